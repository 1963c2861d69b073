"""A look that sees milestones and can't read them says so, and waits; a release ends that for what it released."""

import functools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from delivery.ports import RecordKind
from milepost.dates import utc_now
from milepost.records import LookReport
from milepost.settings import Settings, parse
from pipeline.doctor import examine
from pipeline.holds import held_looks, release
from pipeline.look import finish_look
from pipeline.look.scrape import report_to_json, scrape
from pipeline.sources import check_source, tried_to_json, try_source
from store.archive.snapshots import Snapshots
from store.database import connect
from store.milestones.looks import Looks
from store.milestones.milestones import Milestones
from tests.console import terminal
from tests.new_database import new_database
from tests.pipeline.stage import Dying

SOURCE = "kettles"


def heading(number: int, *, readable: bool = True) -> str:
    date = f"20{10 + number // 12:02}-{1 + number % 12:02}-05"
    return f"[0.{number}.8] - {date}" if readable else f"Kettle release 0.{number}.8 “Copper {number}”"


def changelog(*headings: str) -> str:
    entries = "".join(f"<h2>{head}</h2><ul><li>A lid that {head[-9:]} fits.</li></ul>" for head in headings)
    return f"<!doctype html><html><body><h1>Changelog</h1>{entries}</body></html>"


class Site:
    """A changelog on loopback."""

    def __init__(self) -> None:
        self.text = ""
        self.pages: dict[str, str] = {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = site.text if self.path == "/changelog" else site.pages.get(self.path)
                data = (found or "none").encode()
                self.send_response(404 if found is None else 200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    site.thread.start()
    yield site
    site.server.shutdown()
    site.thread.join()
    site.server.server_close()


@pytest.fixture
def settings(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = parse({
        "store": {"url": f"sqlite:///{tmp_path_factory.mktemp('unread')}/milepost.db"},
        "sources": [{
            "key": SOURCE, "extractor": "keepachangelog", "options": {"path": "/changelog"}, "base_url": "https://kettles.example",
            "fetch_from": f"http://127.0.0.1:{site.server.server_port}", "allow_hosts": ["127.0.0.1"],
        }],
    })
    new_database(settings.store.url)
    return settings


class NoRecords:
    """A DNS that holds nothing."""

    def lookup(self, name: str, kind: RecordKind) -> list[str]:
        return []


def doctor_says(settings: Settings) -> list[tuple[bool | None, str]]:
    """Of the source, but for whether its server answers."""
    findings = [one for one in examine(settings, resolver=NoRecords()) if one.check == f"source {SOURCE}"]
    return [(one.ok, one.says) for one in findings[1:]]


def told(report: LookReport) -> dict[str, int]:
    return {kind: count for kind, count in report.changes.items() if count}


def released(settings: Settings, look: int | None, *, once: bool = False) -> None:
    assert look is not None
    with connect(settings.store.url) as database:
        release(database, look, why="they are drafts", now=utc_now(), once=once)


def waiting(settings: Settings) -> list[int]:
    with connect(settings.store.url) as database:
        return [look.id for look in held_looks(database)]


READ = [heading(number) for number in reversed(range(48))]
UNREAD = [heading(number, readable=False) for number in reversed(range(48, 120))]
WORDS = ("72 of 120 entries could not be read, among them “Kettle release 0.119.8 “Copper 119”” where the newest "
         "stands; the newest read is 0.47.8")


def test_a_first_look_is_a_baseline_and_held_and_its_release_lasts(settings: Settings, site: Site) -> None:
    site.text = changelog(*UNREAD, *READ)
    first = scrape(settings, SOURCE)
    assert (first.baseline, first.state, first.milestones, first.held) == (True, "held", 48, WORDS)
    assert (first.unread, len(first.unread_first)) == (72, 5)
    assert first.unread_first[0] == "“Kettle release 0.119.8 “Copper 119”” (not a version and a date alone)"
    data = json.loads(json.dumps(report_to_json(first)))
    assert (data["unread"], data["unread_first"][4][:25], data["unread_dates"]) == (72, "“Kettle release 0.115.8 “", 0)

    again = scrape(settings, SOURCE)  # nothing changed: still not seen, and no second question
    assert (again.held, again.unread, told(again), waiting(settings)) == (WORDS, 72, {}, [first.look_id])

    ((well, says),) = doctor_says(settings)
    assert (well, says[:44]) == (False, "72 on its pages look like milestones and can")
    assert "“Kettle release 0.119.8 “Copper 119”” (not a version and a date alone)" in says
    released(settings, first.look_id)
    ((well, says),) = doctor_says(settings)
    assert (well, says.endswith("and you let that pass")) == (None, True)
    after = scrape(settings, SOURCE)
    assert (after.held, after.state, after.unread, told(after)) == (None, "complete", 72, {})
    site.text = changelog(heading(130), *UNREAD, *READ)
    news = scrape(settings, SOURCE)
    assert (news.held, told(news)) == (None, {"added": 1})

    site.text = changelog(heading(131, readable=False), heading(130), *UNREAD, *READ)  # another one, and the newest
    held = scrape(settings, SOURCE)
    assert held.held == ("1 of 122 entries could not be read, among them “Kettle release 0.131.8 “Copper 131”” where "
                         "the newest stands; the newest read is 0.130.8")
    site.text = changelog(heading(131), heading(130), *UNREAD, *READ)  # it can be read at last
    mended = scrape(settings, SOURCE)
    assert (mended.held, told(mended), waiting(settings)) == (None, {"added": 1}, [])


def test_once_is_for_the_next_look_alone(settings: Settings, site: Site) -> None:
    site.text = changelog(*UNREAD, *READ)
    released(settings, scrape(settings, SOURCE).look_id, once=True)
    assert scrape(settings, SOURCE).held is None
    assert scrape(settings, SOURCE).held == WORDS


def test_news_beside_what_can_not_be_read_waits_with_it(settings: Settings, site: Site) -> None:
    site.text = changelog(*READ)
    assert scrape(settings, SOURCE).state == "complete"
    site.text = changelog(heading(51, readable=False), heading(50), *READ)
    held = scrape(settings, SOURCE)
    assert (held.state, told(held)) == ("held", {"added": 1})
    released(settings, held.look_id)
    assert scrape(settings, SOURCE).held is None


def test_a_few_old_ones_are_counted_and_hold_nothing(settings: Settings, site: Site) -> None:
    site.text = changelog(*READ, "Kettle release 0.0.1", "[0.0.0] - 04/03/2009")
    first = scrape(settings, SOURCE)
    assert (first.held, first.state, first.unread, first.unread_dates) == (None, "complete", 1, 1)


class TestBeforeAnyBaseline:
    def test_a_dry_run_tells_what_a_first_look_would_find_and_keeps_nothing(
        self, settings: Settings, site: Site
    ) -> None:
        site.text = changelog(*UNREAD, *READ, "[0.0.0] - 04/03/2009")
        told = tried_to_json(try_source(settings, SOURCE))
        assert (told["dry_run"], told["state"], told["found"], told["unread"]) == (True, "held", 49, 72)
        assert told["newest"] == {"key": "0-47-8", "title": "0.47.8", "date": "2013-12-05"}
        assert (len(told["unread_first"]), told["unread_dates"]) == (5, 1)
        assert told["held"].startswith("72 of 121 entries could not be read")
        with connect(settings.store.url) as database:
            assert Looks(database).list(SOURCE) == []
            assert Milestones(database).count(SOURCE) == 0
            assert Snapshots(database).pages(SOURCE) == []
        first = scrape(settings, SOURCE)  # and the first look is one still
        assert (first.baseline, told["held"]) == (True, first.held)

    def test_it_needs_no_database(self, settings: Settings, site: Site, tmp_path: Path) -> None:
        site.text = changelog(*READ)
        nowhere = settings.store.model_copy(update={"url": f"sqlite:///{tmp_path}/none.db"})
        assert try_source(settings.model_copy(update={"store": nowhere}), SOURCE).check.found == 48
        assert list(tmp_path.iterdir()) == []

    def test_the_check_counts_the_same_over_stored_pages(self, settings: Settings, site: Site) -> None:
        site.text = changelog(*UNREAD, *READ)
        scrape(settings, SOURCE)
        check = check_source(settings, SOURCE)
        assert (check.found, check.unread, check.unread_first[0][:25]) == (48, 72, "“Kettle release 0.119.8 “")

    def test_every_disputed_field_comes_with_three_examples(self, settings: Settings, site: Site) -> None:
        stories = {
            f"/timeline/{name}": f'<!doctype html><html><body><script type="application/ld+json">{{"@type":"Article",'
            f'"headline":"Buy a {name}"}}</script><article><h1>The {name}</h1><h2>What happened</h2><p>A {name} was '
            "cast.</p></article></body></html>"
            for name in ("lamp", "bell", "kite", "loom")
        }
        home = "".join(f'<article><h3>The {path[10:]}</h3><a href="{path}">Read on</a></article>' for path in stories)
        puzzle = '<article><h3>The mill</h3><a href="/timeline/1850/mill">Read on</a></article>'
        site.pages = stories | {"/": f"<!doctype html><html><body>{puzzle}{home}</body></html>"}
        [source] = settings.sources
        generic = source.model_copy(update={"extractor": "generic", "options": {}})
        told = tried_to_json(try_source(settings.model_copy(update={"sources": (generic,)}), SOURCE))
        [title] = [field for field in told["fields"] if field["field"] == "title"]
        assert (title["disputed"], len(title["examples"])) == (4, 3)
        assert title["examples"][0] == "bell: json-ld (Article.headline) says “Buy a bell”"
        assert told["unread_first"] == ("“The mill” (no key in /timeline/1850/mill)",)

    def test_at_a_terminal(self, settings: Settings, site: Site, tmp_path: Path) -> None:
        site.text = changelog(*UNREAD, *READ)
        [source] = settings.sources
        config = tmp_path / "milepost.toml"
        config.write_text(
            f'[store]\nurl = "sqlite:///here.db"\n[[sources]]\nkey = "{SOURCE}"\nextractor = "keepachangelog"\n'
            f'base_url = "https://kettles.example"\nfetch_from = "{source.fetch_from}"\nallow_hosts = ["127.0.0.1"]\n'
            'options = { path = "/changelog" }\n', encoding="utf-8",
        )

        milepost = functools.partial(terminal.milepost, "--config", str(config))
        table = milepost("scrape", "--dry-run")
        assert table.returncode == 3
        assert "1 pages, 48 milestones" in table.stdout
        assert "The newest is 0.47.8 (2013-12-05, 0-47-8)." in table.stdout
        assert "kettles: 72 look like milestones and could not be read:\n  “Kettle release 0.119.8" in table.stdout
        assert "kettles would be held: 72 of 120 entries" in table.stderr
        told = milepost("scrape", "--dry-run", "--json")
        assert (told.returncode, json.loads(told.stdout)["unread"]) == (3, 72)
        assert milepost("scrape", "--dry-run", "--prefect").returncode == 2
        assert not (tmp_path / "here.db").exists()


def test_a_page_of_several_counts_as_read_when_all_of_them_are_recorded(
    settings: Settings, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are recorded in parts, and a look may die between two of them."""
    monkeypatch.setattr(finish_look, "TOGETHER", 5)
    site.text = changelog(*READ)
    dying = Dying(monkeypatch)
    assert scrape(settings, SOURCE).milestones == 48
    assert dying.calls == [48]


def test_what_can_be_read_by_now_is_counted_no_more(site: Site, settings: Settings) -> None:
    site.text = changelog(heading(5, readable=False), *READ[-3:])
    assert scrape(settings, SOURCE).unread == 1
    site.text = changelog(heading(5), *READ[-3:])
    assert scrape(settings, SOURCE).unread == 0
