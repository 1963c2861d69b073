"""Pages that came share a commit, never for long, and never once something is done with one of them."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from types import SimpleNamespace
from typing import Any, cast

import pytest

from crawler.outcomes import CrawlReport, Fetched, Gone, Redirected
from milepost.dates import utc_now
from milepost.records import PageKind, Snapshot
from milepost.settings import Settings
from pipeline.look import page_archiver
from pipeline.look.page_archiver import BYTES, PAGES, Intake
from pipeline.look.read_ahead import ReadAhead
from pipeline.look.scrape import scrape
from pipeline.several import Stop
from store.archive.pages import Pages
from store.archive.retention import Archive
from store.archive.snapshots import Arrived, Snapshots
from store.database import Database
from tests.pipeline.stage import BreakableSite

SITE = "https://site.example"


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def fetched(number: int, kind: PageKind = "milestone", body: bytes = b"page") -> Fetched:
    url = f"{SITE}/{kind}/{number}"
    return Fetched(
        snapshot=Snapshot(source="site", url=url, final_url=url, status=200, headers={}, body=body + b"%d" % number,
                          fetched_at=utc_now()),
        kind=kind, validators=None,
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def intake(database: Database, clock: Clock) -> Intake:
    guard: Any = SimpleNamespace(
        source="site", site=SimpleNamespace(follows_anywhere=False), cards=lambda _: (), unread=lambda _: (),
        news=dict, processes=1,
    )
    feeds: Any = SimpleNamespace(found=lambda _: False)
    return Intake(
        snapshots=Snapshots(database), pages=Pages(database), guard=guard, now=utc_now, clock=clock, feeds=feeds,
        ahead=ReadAhead(guard, ()))


def written(intake: Intake) -> int:
    return len(intake.snapshots.pages("site"))


def test_they_are_written_when_they_are_many(intake: Intake) -> None:
    for number in range(PAGES - 1):
        intake(fetched(number))
    assert written(intake) == 0
    intake(fetched(PAGES))
    assert written(intake) == PAGES


def test_a_listing_that_is_written_and_what_has_waited_do_not_meet(intake: Intake) -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Snapshots):
        def add_all(self, arrived: Sequence[Arrived]) -> list[int]:
            if not begun.is_set():
                begun.set()
                go_on.wait(20)
            return super().add_all(arrived)

    intake.snapshots = Slow(intake.pages._database)
    intake(fetched(1))
    with ThreadPoolExecutor() as threads:
        listing = threads.submit(intake, fetched(2, "listing"))
        assert begun.wait(20)
        late = threads.submit(intake.flush)
        waits = not wait([late], 0.3).done  # one that doesn't is over by now
        go_on.set()
        listing.result()
        late.result()
    assert waits
    assert written(intake) == 2


def test_they_are_written_when_they_are_large(intake: Intake) -> None:
    intake(fetched(1, body=bytes(BYTES)))
    assert written(intake) == 1


def test_they_are_written_when_the_first_has_waited(intake: Intake, clock: Clock) -> None:
    intake(fetched(1))
    clock.seconds += page_archiver.WAIT_S
    intake(fetched(2))
    assert written(intake) == 2


def test_a_listing_is_written_at_once_before_its_cards_are(intake: Intake) -> None:
    intake(fetched(1))
    intake(fetched(2, "listing"))
    assert written(intake) == 2


def test_what_is_gone_or_moved_waits_for_the_next_writing(intake: Intake) -> None:
    intake(Gone(url=f"{SITE}/gone", kind="milestone", status=410))
    intake(Redirected(url=f"{SITE}/old", kind="milestone", target=f"{SITE}/new", status=301))
    assert (written(intake), set(intake.gone), intake.moved) == (0, {f"{SITE}/gone"}, {f"{SITE}/old": f"{SITE}/new"})
    intake.flush()
    gone, old = intake.snapshots.pages("site")
    assert (gone.last_status, old.last_status, old.moved_to) == (410, 301, f"{SITE}/new")


def test_a_page_is_written_while_the_next_lets_itself_be_waited_for(
    intake: Intake, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_archiver, "WAIT_S", 0.05)

    async def crawl() -> CrawlReport:
        intake(fetched(1))
        clock.seconds += 1
        async with asyncio.timeout(60):
            while not written(intake):  # noqa: ASYNC110 - the store tells nobody
                await asyncio.sleep(0.01)
        return cast("CrawlReport", None)

    asyncio.run(page_archiver._until_stopped(crawl(), intake, Stop()))


def test_a_look_that_is_stopped_keeps_what_came(
    settings: Settings, site: BreakableSite, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_archiver, "WAIT_S", 3600.0)
    stop, before = Stop(), len(Snapshots(database).pages("clockwork"))

    def progress(done: int, _: int) -> None:
        if done == 12:
            stop.set()

    with pytest.raises((KeyboardInterrupt, asyncio.CancelledError)):
        scrape(settings, "clockwork", progress=progress, stop=stop)
    assert len(Snapshots(database).pages("clockwork")) - before >= 12
    assert scrape(settings, "clockwork").milestones == len(site.stories)


def test_a_dictionary_is_trained_once_there_is_enough_for_one(
    intake: Intake, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a first look packs no page twice but the first."""
    monkeypatch.setattr(page_archiver, "SAMPLES", 100)
    told: list[int] = []
    intake.enough = lambda: told.append(len(intake.snapshots.pages("site")))
    for number in range(4 * PAGES):
        intake(fetched(number))
    assert told == [2 * PAGES]
    assert Archive(database).size().dictionaries == 0
