"""Pages read while later ones are asked for: what comes of a look is the same, and what was missed is read then."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
import sqlalchemy as sa

from milepost.errors import ExtractError, MilepostError
from milepost.records import Card, LabelPair, SiteLabel, StoppedPage
from milepost.settings import Settings
from pipeline import workers
from pipeline.look import page_archiver, reading
from pipeline.look.page_archiver import Intake
from pipeline.look.read_ahead import ReadAhead
from pipeline.look.reading_guard import Entries, Read, ReadingGuard, Stored
from pipeline.look.scrape import scrape
from pipeline.workers import Crew
from store.archive.pages import Pages
from store.archive.snapshots import Snapshots
from store.database import Database
from store.milestones.milestones import Milestones
from store.schema import tables
from tests.pipeline.stage import BreakableSite


class Guard:
    """Reads when it is told to; what it read, in order."""

    source, processes = "site", 2

    def __init__(self) -> None:
        self.go_on, self.read = threading.Event(), list[int]()
        self.fault: MilepostError | None = None

    def give_up(self) -> None:
        self.go_on.set()

    def entries(self, pages: Sequence[Stored], *, apart: bool) -> list[Entries | ExtractError]:
        assert apart
        self.go_on.wait(20)
        if self.fault is not None:
            raise self.fault
        self.read += [page.snapshot_id for page in pages]
        return [ExtractError(f"page {page.snapshot_id}") for page in pages]


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Guard]:
    monkeypatch.setattr(workers, "MANY", 4)
    guard = Guard()
    yield guard
    guard.go_on.set()


def stored(number: int, *cards: tuple[str, Card]) -> Stored:
    return Stored(url=f"https://s.example/{number}", snapshot_id=number, body=b"", content_type="", cards=cards)


def ahead_of(guard: Any, labels: Sequence[LabelPair] = ()) -> ReadAhead:
    return ReadAhead(guard, labels)


def test_few_pages_begin_nothing(guard: Guard) -> None:
    with ahead_of(guard) as ahead:
        assert [ahead.offer(3), ahead.processes] == [False, 0]
        assert ahead.offer(1)


def test_a_look_that_reads_all_by_itself_has_no_use_for_it(guard: Guard) -> None:
    guard.processes = 1
    with ahead_of(guard) as ahead:
        assert not ahead.offer(100)


def test_what_was_read_is_had_by_its_number_and_cards_whatever_came_first(guard: Guard) -> None:
    card = "https://s.example/", Card(key="9", title="Nine")
    guard.go_on.set()
    with ahead_of(guard) as ahead:
        for pages in ([stored(9, card), stored(3)], [stored(5)]):
            assert ahead.offer(4)
            ahead.read(pages)
        ahead.finish()
        assert sorted(guard.read) == [3, 5, 9]
        assert [str(ahead.take(number, ())) for number in (2, 3, 4, 5, 10)] == [
            "None", "page 3", "None", "page 5", "None"]
        assert str(ahead.take(9, [card])) == "page 9"
        assert ahead.take(9, ()) is None
        assert ahead.take(9, [(card[0], card[1]._replace(title="Ninth"))]) is None
        ahead.close()
        assert ahead.take(5, ()) is None


def test_pages_for_which_there_is_no_time_are_left_to_the_look(guard: Guard) -> None:
    with ahead_of(guard) as ahead:
        taken = 0
        while ahead.offer(4) and taken < 100:
            ahead.read([stored(taken)])
            taken += 1
        assert 2 <= taken <= 4  # a batch a process, and one that waits
        guard.go_on.set()
        ahead.finish()
        assert ahead.offer(4)


def test_a_worker_that_can_not_be_had_costs_no_page(guard: Guard, caplog: pytest.LogCaptureFixture) -> None:
    guard.fault = MilepostError("no process could be started")
    guard.go_on.set()
    with ahead_of(guard) as ahead:
        assert ahead.offer(4)
        ahead.read([stored(1)])
        ahead.finish()
        assert (ahead.offer(4), ahead.processes, ahead.take(1, ())) == (False, 0, None)
    assert "no process could be started" in caplog.text


def test_why_pages_are_not_read_ahead_is_said_once(guard: Guard, caplog: pytest.LogCaptureFixture) -> None:
    with ahead_of(guard) as ahead:
        for number in range(2):
            assert ahead.offer(4)
            ahead.read([stored(number)])
        guard.fault = MilepostError("no process could be started")
        guard.go_on.set()
        ahead.finish()
    assert caplog.text.count("no process could be started") == 1


def test_what_is_given_up_is_neither_read_nor_waited_for(guard: Guard) -> None:
    with ExitStack() as around:
        ahead = around.enter_context(ahead_of(guard))
        assert ahead.offer(4)
        ahead.read([stored(1)])
        around.pop_all().__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert guard.go_on.is_set()
    assert not ahead.offer(100)


def ended(*_: object) -> None:
    """As Ctrl-C ends what it stands for."""
    raise KeyboardInterrupt


# --- a whole look -----------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a look that reads ahead from its fourth page on, four at a time."""
    monkeypatch.setattr(workers, "MANY", 4)
    monkeypatch.setattr(page_archiver, "PAGES", 4)
    monkeypatch.setattr(reading, "BATCH", 3)
    return settings.model_copy(update={"fetch": settings.fetch.model_copy(update={"reading_processes": 2})})


def test_pages_are_read_while_others_are_asked_for_and_once(
    quick: Settings, site: BreakableSite, database: Database, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    read = dict[int, list[bool]]()  # snapshot → whether it was read before all had come
    crawling = [True]
    entries, flush = ReadingGuard.entries, ReadAhead.finish

    def noted(self: ReadingGuard, pages: Sequence[Stored], *, apart: bool = False) -> list[Entries | ExtractError]:
        for page in pages:
            read.setdefault(page.snapshot_id, []).append(crawling[0])
        return entries(self, pages, apart=apart)

    def over(self: ReadAhead) -> None:
        flush(self)
        crawling[0] = False

    monkeypatch.setattr(ReadingGuard, "entries", noted)
    monkeypatch.setattr(ReadAhead, "finish", over)
    with caplog.at_level("INFO", "milepost.scrape"):
        report = scrape(quick, "clockwork")
    assert (report.state, report.milestones) == ("complete", len(site.stories))
    assert sorted(map(len, read.values())) == [1] * len(site.stories)
    early = sum(when == [True] for when in read.values())
    assert early
    assert f"{early} were read while later ones were asked for, {early} of them as they stand now" in caplog.text
    assert len(Milestones(database).known("clockwork")) == len(site.stories)


def test_a_page_that_is_not_there_is_not_read(
    quick: Settings, site: BreakableSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = sorted(story.key for story in site.stories)
    site.replaced[f"/story/{keys[3]}"] = None
    read: list[str] = []
    monkeypatch.setattr(ReadAhead, "offer", lambda *_: True)
    monkeypatch.setattr(ReadAhead, "read", lambda _, some: read.extend(page.url.rpartition("/")[2] for page in some))
    assert scrape(quick, "clockwork").milestones == len(keys) - 1
    assert sorted(read) == [*keys[:3], *keys[4:]]


def test_a_page_whose_card_came_later_is_read_with_it(
    quick: Settings, site: BreakableSite, database: Database, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever was read before: the card is a witness of every field that it shows."""
    cards = Pages.cards
    crawling = [True]

    def later(self: Pages, source: str, keys: Any) -> dict[str, list[tuple[str, Card]]]:
        return {} if crawling[0] else cards(self, source, keys)

    finish = ReadAhead.finish

    def over(self: ReadAhead) -> None:
        finish(self)
        crawling[0] = False

    monkeypatch.setattr(Pages, "cards", later)
    monkeypatch.setattr(ReadAhead, "finish", over)
    with caplog.at_level("INFO", "milepost.scrape"):
        assert scrape(quick, "clockwork").milestones == len(site.stories)
    assert "were read while later ones were asked for, 0 of them as they stand now" in caplog.text
    known = Milestones(database).known("clockwork")
    witnesses = [{one.witness for told in stored.milestone.evidence.values() for one in told}
                 for stored in known.values()]
    assert all("card" in one for one in witnesses)


def test_what_was_read_by_other_labels_is_not_taken(
    quick: Settings, site: BreakableSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = list[int]()
    take = ReadAhead.take

    def noted(self: ReadAhead, snapshot_id: int, cards: Any) -> Any:
        taken.append(snapshot_id)
        return take(self, snapshot_id, cards)

    def otherwise(self: Intake, *_: object) -> None:
        self.ahead.labels = (LabelPair("category", "old", "old"),)

    monkeypatch.setattr(ReadAhead, "take", noted)
    monkeypatch.setattr(page_archiver.Intake, "flush", _before(page_archiver.Intake.flush, otherwise))
    assert scrape(quick, "clockwork").milestones == len(site.stories)
    assert taken == []


def _before(whole: Any, first: Any) -> Any:
    def both(self: Any, *rest: Any) -> Any:
        first(self)
        return whole(self, *rest)

    return both


def test_a_look_that_is_stopped_leaves_no_worker(
    quick: Settings, site: BreakableSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    crews = list[Crew]()
    enter = Crew.__enter__

    def noted(self: Crew) -> Crew:
        crews.append(self)
        return enter(self)

    monkeypatch.setattr(Crew, "__enter__", noted)
    monkeypatch.setattr(ReadAhead, "finish", ended)
    with pytest.raises(KeyboardInterrupt):
        scrape(quick, "clockwork")
    assert [crew._all for crew in crews] == [set()]
    assert not [one for one in threading.enumerate() if one.name.startswith("reading-ahead")]
    monkeypatch.undo()
    assert scrape(quick, "clockwork").milestones == len(site.stories)


def test_pages_that_are_in_the_store_are_not_written_twice_whatever_goes_wrong_then(
    quick: Settings, site: BreakableSite, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that is ended writes what waits."""
    offer, offers = ReadAhead.offer, list[int]()

    def once(self: ReadAhead, pages: int) -> bool:
        offers.append(pages)
        if len(offers) == 3:
            raise KeyboardInterrupt
        return offer(self, pages)

    monkeypatch.setattr(ReadAhead, "offer", once)
    with pytest.raises(KeyboardInterrupt):
        scrape(quick, "clockwork")
    assert site.stories
    with database.connect() as connection:
        urls = connection.execute(sa.select(tables.snapshot.c.url)).scalars().all()
    assert urls
    assert len(urls) == len(set(urls))


def test_a_page_that_stopped_its_reader_is_known_when_the_look_is_ended(
    quick: Settings, site: BreakableSite, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while nothing more is read ahead."""
    stopped = StoppedPage(body_hash="0" * 64, by="somebody", why="it hung", at="2026-01-01T00:00:00+00:00")

    def busy(self: ReadAhead, _: int) -> bool:
        self._guard._news["https://clockwork.example/story/x"] = stopped
        return False

    monkeypatch.setattr(ReadAhead, "offer", busy)
    monkeypatch.setattr(ReadAhead, "finish", ended)
    with pytest.raises(KeyboardInterrupt):
        scrape(quick, "clockwork")
    assert site.stories
    assert Pages(database).stopped("clockwork") == {"https://clockwork.example/story/x": stopped}


def test_a_look_that_is_ended_begins_no_reading(
    quick: Settings, site: BreakableSite, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes what waits, and that is all."""
    monkeypatch.setattr(workers, "MANY", 1)
    take, waited, begun = Intake._take, list[int](), list[int]()

    def take_and_end(self: Intake, page: Any) -> None:
        take(self, page)
        if page.kind == "milestone" and self._arrived:
            waited.append(len(self._arrived))
            raise KeyboardInterrupt

    monkeypatch.setattr(Intake, "_take", take_and_end)
    monkeypatch.setattr(ReadAhead, "read", lambda _, pages: begun.append(len(pages)))
    with pytest.raises(KeyboardInterrupt):
        scrape(quick, "clockwork")
    assert site.stories
    assert waited
    assert begun == []
    assert Snapshots(database).unread("clockwork")


def test_what_is_read_when_all_have_come_is_given_up_with_the_look(
    quick: Settings, site: BreakableSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages that workers are at when it ends are waited for by nobody."""
    given_up = list[str]()

    monkeypatch.setattr(ReadAhead, "offer", lambda *_: False)
    monkeypatch.setattr(ReadAhead, "give_up", lambda _: None)
    monkeypatch.setattr(ReadingGuard, "give_up", lambda self: given_up.append(self.source))
    monkeypatch.setattr(reading.PackedRecords, "put", ended)
    with pytest.raises(KeyboardInterrupt):
        scrape(quick, "clockwork")
    assert site.stories
    assert given_up == ["clockwork"]


def test_how_labels_are_spelt_is_counted_once_a_record_and_kept_once_for_all() -> None:
    """However often one is read; each answer of another process has words of its own."""
    light = reading._Light()

    def read(key: str, *words: str) -> Read:
        labels = tuple(SiteLabel("gpt", "".join(one)) for one in words)
        return Read(key=key, record=b"", labels=(), spelt=labels, shares_its_page=False, undated=False)

    for one in (read("a", "GPT", "GPT"), read("b", "GPT", "Gpt"), read("c"), read("a", "Gpt")):
        light.note(one)
    assert light.spelt == {SiteLabel("gpt", "GPT"): 1, SiteLabel("gpt", "Gpt"): 2}
    light.note(read("b"))
    assert light.spelt == {SiteLabel("gpt", "Gpt"): 1}
    light.note(read("d", "Gpt"))
    kept = [label for spelt in light._spelt.values() for label in spelt]
    assert (len(kept), len(set(map(id, kept)))) == (2, 1)
