"""A page that hangs its reader, or takes it along, harms nobody but itself: it is ended, named, and not read again."""

import asyncio
import importlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from extractors import registry
from extractors.sample import Sample
from milepost.dates import utc_now
from milepost.errors import ExtractError
from milepost.records import Page
from milepost.settings import Settings
from pipeline import workers
from pipeline.backfill import backfill
from pipeline.look import page_archiver, reading
from pipeline.look.read_ahead import ReadAhead
from pipeline.look.reading_guard import Entries, ReadingGuard, Stored
from pipeline.look.scrape import scrape
from pipeline.several import Stop
from pipeline.sources import check_source
from pipeline.workers import Crew, Ended
from store.archive.pages import Pages
from store.database import Database, connect
from store.milestones.looks import Looks
from store.milestones.milestones import Milestones
from tests.interruptible import interruptible
from tests.pipeline import prepared
from tests.pipeline.stage import BreakableSite

PLUGIN = '''
import os, signal
from extractors.sample import Sample

class Fragile(Sample):
    """Reads as the sample's extractor, save that some words on a page undo it."""

    name = "fragile"

    def read_many(self, page, **more):
        undo(page.text)
        return super().read_many(page, **more)

    def cards(self, page):
        undo(page.text)
        return super().cards(page)

def undo(text):
    if "hang the reader" in text:
        while True:
            pass
    if "kill the reader" in text:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "fill the memory" in text:
        b"x" * (3 * 1024**3)
'''
BEHIND = "</body>"


@pytest.fixture
def fragile(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A source whose extractor another package brings, and which pages can undo; ended after a second."""
    folder = tmp_path / "site-packages"
    about = folder / "fragile-1.dist-info"
    about.mkdir(parents=True)
    (folder / "fragile.py").write_text(PLUGIN, encoding="utf-8")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: fragile\nVersion: 1\n", encoding="utf-8")
    (about / "entry_points.txt").write_text("[milepost.extractors]\nfragile = fragile:Fragile\n", encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    registry._theirs.cache_clear()
    source = settings.sources[0].model_copy(update={"extractor": "fragile"})
    guards = settings.guards.model_copy(update={"max_read_seconds": 1})
    yield settings.model_copy(update={"sources": (source,), "guards": guards})
    registry._theirs.cache_clear()
    sys.modules.pop("fragile", None)


def break_story(site: BreakableSite, words: str) -> str:
    """Write `words` into a story; its address."""
    slug = site.stories[0].key
    site.replaced[f"/story/{slug}"] = site.story(slug).replace(BEHIND, f"<p>{words}</p>{BEHIND}").encode()
    return f"https://clockwork.example/story/{slug}"


@pytest.mark.parametrize(("words", "why"), [
    ("hang the reader", "more than 1 seconds of processor time"), ("kill the reader", r"died \(SIGSEGV\)"),
    ("fill the memory", "2 GiB of memory"),
])
def test_it_is_ended_and_named_and_the_others_are_read(
    fragile: Settings, site: BreakableSite, words: str, why: str
) -> None:
    url = break_story(site, words)
    report = scrape(fragile, "clockwork")
    assert (report.failed, report.milestones) == (1, len(site.stories) - 1)
    assert [sentence for sentence in report.failures if sentence.startswith(url)]
    with pytest.raises(ExtractError, match=why):
        raise ExtractError("; ".join(report.failures))


def test_it_is_not_read_again_before_it_changes(fragile: Settings, site: BreakableSite, database: Database) -> None:
    scrape(fragile, "clockwork")
    before = Milestones(database).known("clockwork")
    url = break_story(site, "kill the reader")
    first, second = scrape(fragile, "clockwork"), scrape(fragile, "clockwork", full=True)
    assert [report.failed for report in (first, second)] == [1, 1]
    # the second names the moment of the first: the page was not read, and still is not green
    assert [sentence for sentence in second.failures if sentence.startswith(url)] == list(first.failures)
    again = backfill(fragile, "clockwork", dry_run=False)
    assert (again.failures, again.written) == ((), 0)  # it reads what the record stands on: the page before that
    break_story(site, "all is well")
    third = scrape(fragile, "clockwork")
    assert (third.failed, third.held) == (0, None)
    assert Milestones(database).known("clockwork").keys() == before.keys()
    assert scrape(fragile, "clockwork").failures == ()


def test_of_very_many_pages_that_several_processes_read_it_costs_itself_alone(
    fragile: Settings, site: BreakableSite, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = break_story(site, "kill the reader")
    by_hand: list[bool] = []
    records = ReadingGuard.entries

    def noted(self: ReadingGuard, pages: Sequence[Stored], *, apart: bool = False) -> list[Entries | ExtractError]:
        by_hand.append(threading.current_thread() is threading.main_thread())
        return records(self, pages, apart=apart)

    monkeypatch.setattr(ReadingGuard, "entries", noted)
    monkeypatch.setattr(workers, "MANY", len(site.stories))
    monkeypatch.setattr(reading, "BATCH", 5)
    fetch = fragile.fetch.model_copy(update={"reading_processes": 2})
    report = scrape(fragile.model_copy(update={"fetch": fetch}), "clockwork")
    assert (report.failed, report.milestones) == (1, len(site.stories) - 1)
    assert [sentence for sentence in report.failures if sentence.startswith(url) and "died (SIGSEGV)" in sentence]
    assert set(by_hand) == {False}
    assert url in Pages(database).stopped("clockwork")


def test_several_processes_write_what_one_does(
    settings: Settings, site: BreakableSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same records with the same numbers: whoever reads them, they are written in the order of their pages."""
    assert site.stories
    monkeypatch.setattr(reading, "BATCH", 5)
    written = []
    for name, many in (("one", 10_000), ("several", 1)):
        monkeypatch.setattr(workers, "MANY", many)
        store = settings.store.model_copy(update={"url": f"sqlite:///{tmp_path / name}.db"})
        fetch = settings.fetch.model_copy(update={"reading_processes": 2, "concurrency": 1})
        report = scrape(settings.model_copy(update={"store": store, "fetch": fetch}), "clockwork")
        assert (report.state, report.milestones) == ("complete", len(site.stories))
        with connect(store.url) as database:
            known = Milestones(database).known("clockwork")
            written.append([(key, one.id, one.milestone, one.snapshot_id) for key, one in known.items()])
    assert written[0] == written[1]


def test_batches_come_in_their_order_and_none_is_begun_after_one_that_fails() -> None:
    first_may_end, begun = threading.Event(), list[int]()

    def read(batch: int) -> int:
        begun.append(batch)
        if batch == 0:
            first_may_end.wait(20)
        first_may_end.set()
        if batch == 7:
            raise ExtractError("no page")
        return 2 * batch

    found: list[tuple[int, int]] = []
    with pytest.raises(ExtractError, match="no page"):
        found.extend(workers.in_order(range(1_000), read, processes=2))
    assert found == [(batch, 2 * batch) for batch in range(7)]
    assert max(begun) <= 7 + 2 * 2 + 1


@pytest.mark.parametrize(("pages", "most", "wanted"), [(1_999, 4, 0), (2_000, 4, 4), (2_000, 1, 0)])
def test_few_pages_are_read_without_other_processes(pages: int, most: int, wanted: int) -> None:
    assert workers.processes_for(pages, most) == wanted


def test_a_listing_too(fragile: Settings, site: BreakableSite) -> None:
    site.replaced["/"] = (site.file("/") or b"").replace(BEHIND.encode(), b"<p>hang the reader</p></body>")
    report = scrape(fragile, "clockwork")
    assert (report.failed, report.milestones) == (1, len(site.stories))
    assert report.failures[0].startswith("https://clockwork.example/: reading it took more than")


def test_a_look_that_died_leaves_its_pages_to_a_reader_that_can_be_ended(
    settings: Settings, site: BreakableSite, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own extractors read ordinary pages without one: the process itself would hang, or be gone."""
    here: list[str] = []
    read = Sample.read_many

    def noted(self: Sample, page: Page, **more: object) -> object:
        here.append(page.url)
        return read(self, page, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Sample, "read_many", noted)
    Looks(database).start("clockwork", utc_now())  # a look that died
    report = scrape(settings, "clockwork")
    assert (report.failures, report.milestones, here) == ((), len(site.stories), [])
    site.publish()
    assert scrape(settings, "clockwork").changes["added"] > 0
    assert here


def test_a_killed_look_is_gone_on_with(
    fragile: Settings, site: BreakableSite, config: Path, database: Database
) -> None:
    """The whole process is killed while a page hangs its reader, and the next look goes on."""
    scrape(fragile, "clockwork")
    url = break_story(site, "hang the reader")
    code = (
        "from pathlib import Path; from milepost.settings import load; from pipeline.look.scrape import scrape;"
        f"s = load(Path({str(config)!r})); g = s.guards.model_copy(update=dict(max_read_seconds=5));"
        "source = s.sources[0].model_copy(update=dict(extractor='fragile'));"
        "scrape(s.model_copy(update=dict(sources=(source,), guards=g)), 'clockwork')"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths})
    try:
        while not _has_read(database, url):
            if process.poll() is not None:
                pytest.fail("the look ended by itself")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    report = scrape(fragile, "clockwork")
    assert report.failed == 1
    assert report.failures[0].startswith(f"{url}: reading it took more than 1 seconds of processor time")


def _has_read(database: Database, url: str) -> bool:
    """Whether the page is archived and waits to be read."""
    from store.archive.snapshots import Snapshots

    return any(waiting == url for waiting, _ in Snapshots(database).unread("clockwork"))


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module that is loaded in no time, which this one is not: each worker loads what it is given."""
    (tmp_path / "small.py").write_text(SMALL, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("small")
    del sys.modules["small"]


SMALL = """
import os, signal, time

end = int(time.process_time()) + 1.1  # where a page that is given no time would be ended

def double(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number

def load():
    return double

def load_waiting():
    while not os.path.exists("go on"):
        time.sleep(0.01)
    return double

def load_slowly():
    while time.process_time() < end:
        pass
    return double
"""


def test_a_crew_goes_on_behind_the_page_that_ended_a_worker(small: ModuleType) -> None:
    with Crew() as crew:
        assert crew.read(small.load, [1, 2, 3, 4]) == [2, 4, Ended("the process that read it died (SIGKILL)"), 8]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_a_terminal_sends_to_all_is_no_fault_of_a_page(
    small: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    """Also while the worker only begins; it was noted as a page that no look reads again."""
    monkeypatch.chdir(tmp_path)
    with Crew() as crew, ThreadPoolExecutor(1) as thread:
        reading = thread.submit(crew.read, small.load_waiting, [1])
        while not crew._all:
            assert not reading.done()
        [worker] = crew._all
        os.kill(worker._process.pid, number)
        (tmp_path / "go on").touch()
        assert reading.result() == [2]


def test_a_crew_that_is_ended_waits_for_no_page(
    small: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # where nobody says "go on"
    with Crew() as crew, ThreadPoolExecutor(1) as thread:
        reading = thread.submit(crew.read, small.load_waiting, [1])
        while not crew._all:
            assert not reading.done()
        crew.end()
        with pytest.raises(KeyboardInterrupt):
            reading.result()
        with pytest.raises(KeyboardInterrupt):
            crew.read(small.load, [1])


def test_batches_that_are_under_way_are_given_up_where_one_fails() -> None:
    given_up, ended = threading.Event(), list[bool]()

    def read(batch: int) -> None:
        if batch == 0:
            raise ExtractError("no page")
        ended.append(given_up.wait(20))

    with pytest.raises(ExtractError, match="no page"):
        list(workers.in_order(range(9), read, processes=2, give_up=given_up.set))
    assert all(ended)
    given_up.clear()
    assert list(workers.in_order([1, 2], lambda one: one, processes=2, give_up=given_up.set)) == [(1, 1), (2, 2)]
    assert not given_up.is_set()


@pytest.mark.parametrize("ahead", [True, False], ids=["read ahead", "read when all have come"])
@pytest.mark.parametrize("how", ["Ctrl-C", "a stop"])
def test_a_look_that_is_ended_waits_for_no_page_that_hangs(
    fragile: Settings, site: BreakableSite, database: Database, monkeypatch: pytest.MonkeyPatch, how: str, ahead: bool
) -> None:
    """A batch may hold sixty such pages."""
    monkeypatch.setattr(workers, "MANY", 4)
    monkeypatch.setattr(page_archiver, "PAGES", 4)
    break_story(site, "hang the reader")
    settings = fragile.model_copy(update={
        "fetch": fragile.fetch.model_copy(update={"reading_processes": 2}),
        "guards": fragile.guards.model_copy(update={"max_read_seconds": 20}),
    })
    if not ahead:
        monkeypatch.setattr(ReadAhead, "offer", lambda *_: False)
    stop, begun, over = Stop(), threading.Event(), list[str]()
    read = workers._Worker.read

    def noted(self: Any, prepare: Any, pages: Sequence[Stored]) -> Iterator[Any]:
        hangs = any(b"hang the reader" in page.body for page in pages)
        if hangs:
            begun.set()
        for answer in read(self, prepare, pages):
            if hangs and isinstance(answer, Ended):
                over.append(answer.why)
            yield answer

    def end() -> None:
        assert begun.wait(60)
        if how == "a stop":
            stop.set()
        else:
            time.sleep(0.2)  # until who hears it waits
            signal.raise_signal(signal.SIGINT)  # by this thread: the one that waits is not woken by it

    monkeypatch.setattr(workers._Worker, "read", noted)
    with interruptible(), ThreadPoolExecutor(1) as thread:
        ending = thread.submit(end)
        with pytest.raises((KeyboardInterrupt, asyncio.CancelledError)):
            scrape(settings, "clockwork", stop=stop)
        ending.result()
    assert over in ([], ["the process that read it died (SIGKILL)"])  # not by its time
    assert Pages(database).stopped("clockwork") == {}  # and it is not to blame


def test_no_page_pays_for_the_loading_of_what_reads_it(small: ModuleType) -> None:
    """On a busy machine that took longer than a page may, and the first page of each worker was to blame."""
    with Crew(seconds=0) as crew:
        assert crew.read(small.load_slowly, [1, 2]) == [2, 4]


@pytest.mark.parametrize(("queued", "wanted"), [
    (itertools.count(), [2]), (itertools.repeat(7), [Ended("reading it had not ended after 0.2 seconds")]),
], ids=["it had to wait for a processor", "it had not"])
def test_a_page_is_not_to_blame_for_a_machine_that_has_no_time(
    small: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, queued: Iterator[float], wanted: list[object]
) -> None:
    """By the clock it ends when it had its time: what it stood in the queue for a processor isn't its time."""
    monkeypatch.setattr(workers, "_MOMENT", 0.2)
    monkeypatch.setattr(workers, "seconds_queued", lambda _pid: next(queued))
    monkeypatch.chdir(tmp_path)
    with Crew(seconds=0) as crew:
        if wanted == [2]:
            threading.Timer(2, (tmp_path / "go on").touch).start()
        assert crew.read(small.load_waiting, [1]) == wanted


def test_it_is_told_how_long_a_process_waited_for_a_processor() -> None:
    """Two that are busy on one processor wait for each other."""
    one = f"import os; os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}})\nwhile True: pass"
    busy = [subprocess.Popen([sys.executable, "-c", one]) for _ in range(2)]
    try:
        while not all(workers.seconds_queued(process.pid) > 0.2 for process in busy):
            assert [process.poll() for process in busy] == [None, None]
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert workers.seconds_queued(busy[0].pid) == 0  # it is gone


@pytest.mark.parametrize("target", ["/login", "/story/{first}"], ids=["a login wall", "all to one"])
def test_pages_that_all_lead_elsewhere_hold_the_look(
    settings: Settings, site: BreakableSite, database: Database, target: str
) -> None:
    prepared.copy("baseline", settings)
    before = Milestones(database).known("clockwork")
    site.moved = {f"/story/{story.key}": target.format(first=site.stories[0].key) for story in site.stories[1:]}
    for _ in range(2):
        report = scrape(settings, "clockwork", full=True)
        assert report.held is not None
        assert "pages redirect to https://clockwork.example/" in report.held
        assert sum(report.changes.values()) == 0
    assert Milestones(database).known("clockwork") == before
    site.moved = {}
    assert scrape(settings, "clockwork", full=True).held is None


def test_what_robots_txt_forbids_is_no_fault(settings: Settings, site: BreakableSite) -> None:
    hidden = site.stories[0].key
    site.replaced["/robots.txt"] = f"User-agent: *\nDisallow: /story/{hidden}\n".encode()
    first, second = scrape(settings, "clockwork"), scrape(settings, "clockwork", full=True)
    assert (first.baseline, first.disallowed, first.failed, first.failures) == (True, 1, 0, ())
    assert first.milestones == len(site.stories) - 1
    assert (second.disallowed, second.held, second.failures) == (1, None, ())
    assert check_source(settings, "clockwork").disallowed == 1


def test_a_story_under_a_long_address_that_a_text_names_is_news(
    settings: Settings, site: BreakableSite, database: Database
) -> None:
    lines = [f"https://clockwork.example/story/{story.key}" for story in site.stories]
    site.replaced["/sitemap.xml"] = "\n".join(lines).encode()
    assert scrape(settings, "clockwork").baseline
    slug = "-".join(["the-clock-that-never-stopped"] * 11)
    page = site.story(site.stories[0].key).replace(site.stories[0].key, slug)
    site.replaced[f"/story/{slug}"] = page.encode()
    site.replaced["/sitemap.xml"] = "\n".join([*lines, f"https://clockwork.example/story/{slug}"]).encode()
    report = scrape(settings, "clockwork", full=True)
    assert (report.changes["added"], report.failures, report.held) == (1, (), None)
    assert Milestones(database).known("clockwork")[slug].milestone.url == f"https://clockwork.example/story/{slug}"


def test_what_a_sitemap_holds_and_nobody_can_read_is_told_at_each_look(settings: Settings, site: BreakableSite) -> None:
    lines = [f"https://clockwork.example/story/{story.key}" for story in site.stories]
    site.replaced["/sitemap.xml"] = "\n".join([*lines, "and more"]).encode()
    for report in (scrape(settings, "clockwork"), scrape(settings, "clockwork", full=True)):
        assert [told for told in report.failures if told.endswith("can be read: 1, the first: and more")]
        assert (report.state, report.held) == ("complete", None)
