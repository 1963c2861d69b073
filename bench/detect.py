"""What deciding costs: comparing 100,000 records, and a look at 100,000 milestones of which none changed.

    python -m bench.detect [--milestones 100000]

CPU seconds. The look is everything but the requests: what the store is asked before the crawl, what it takes in while
every page answers 304, and the end of the look.
"""

import argparse
import datetime as dt
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from crawler.outcomes import CrawlReport, NotModified
from extractors import registry
from flows.steps.concluding import Conclusion
from flows.steps.intake import Intake
from milepost.codec import milestone_to_json
from milepost.dates import PartialDate
from milepost.fingerprint import fingerprint
from milepost.records import Milestone
from milepost.settings import GuardSettings
from newsletter.detect import detect
from store import schema
from store.database import Database, connect, upgrade
from store.looks import Looks
from store.pages import Pages
from store.snapshots import Snapshots

BASE = "https://clockwork.example"
SOURCE = "bench"
NOW = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)


def record(number: int, *, edited: bool = False) -> Milestone:
    """One of many milestones; texts as long as a site's."""
    text = f"Clock {number} was wound for the first time and struck {number % 12 + 1}. " * 4
    return Milestone(
        source=SOURCE, key=f"clock-{number}", url=f"{BASE}/story/clock-{number}", title=f"Clock {number}",
        date=PartialDate(value=f"{1500 + number % 500}"), category="towers", era="weights", impact=number % 5 + 1,
        what_happened=text, why_it_mattered=text + (" It still does." if edited else ""),
        people=(f"Maker {number % 97}", f"Patron {number % 13}"), organizations=(f"Guild {number % 7}",),
        tags=("clock", f"strike-{number % 12}"), extractor="sample/1",
    )


@contextmanager
def stored(count: int) -> Iterator[Database]:
    """A database of a source with so many milestones, each read from a page of its own."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/bench.db"
        upgrade(url)
        with connect(url) as database:
            fill(database, count)
            yield database


def fill(database: Database, count: int) -> None:
    """Write rows as looks would have left them, without their crawls."""
    with database.begin() as connection:
        def put(table: sa.Table, rows: list[dict[str, object]]) -> None:
            connection.execute(sa.insert(table), rows)

        put(schema.source, [{"key": SOURCE}])
        put(schema.look, [{"source": SOURCE, "started_at": NOW, "finished_at": NOW, "state": "complete",
                           "baseline": True, "milestones": count, "failures": [], "listed": count}])
        put(schema.blob, [{"sha256": "0" * 64, "encoding": "zstd", "raw_size": 0, "data": b""}])
        for start in range(0, count, 10_000):
            records = [(n + 1, record(n)) for n in range(start, min(start + 10_000, count))]
            put(schema.snapshot, [{"id": n, "source": SOURCE, "url": one.url, "final_url": one.url, "status": 200,
                                   "headers": {}, "body_sha": "0" * 64, "fetched_at": NOW} for n, one in records])
            put(schema.page, [{"source": SOURCE, "url": one.url, "kind": "milestone", "etag": f'"{n:016x}"',
                               "last_status": 200, "last_snapshot_id": n, "read_snapshot_id": n,
                               "first_listed_look": 1, "last_listed_look": 1, "asked_at": NOW, "seen_at": NOW}
                              for n, one in records])
            put(schema.milestone, [{"id": n, "source": SOURCE, "key": one.key, "first_seen_at": NOW,
                                    "first_look_id": 1, "version": 1, "state": "present"} for n, one in records])
            put(schema.milestone_version, [{"milestone_id": n, "number": 1, "record": milestone_to_json(one),
                                            "fingerprint": fingerprint(one), "snapshot_id": n,
                                            "extractor": "sample/1", "look_id": 1, "created_at": NOW}
                                           for n, one in records])


def unchanged_look(database: Database, count: int) -> dict[str, float]:
    """Part → CPU seconds of a look in which every page answers "not modified"."""
    took: dict[str, float] = {}
    pages = Pages(database)
    with timed(took, "before the crawl: addresses and validators"):
        look_id = Looks(database).start(SOURCE, NOW)
        urls = pages.urls(SOURCE, "milestone")
        known = pages.validators(SOURCE)
    assert len(urls) == len(known) == count
    crawled = CrawlReport(requests=count, fetched=0, not_modified=count, failed=0, listed=frozenset(urls),
                          complete=True, failures=())
    intake = Intake(snapshots=Snapshots(database), pages=pages, site=registry.get("sample"), source=SOURCE,
                    now=lambda: NOW)
    with timed(took, "during the crawl: 304 after 304"):
        for url in urls:
            intake(NotModified(url=url, kind="milestone"))
        intake.flush()
    with timed(took, "after the crawl: the end of the look"):
        ended = Conclusion(
            database, GuardSettings(), Looks(database).get(look_id), intake, crawled, now=lambda: NOW
        ).end()
    assert ended.whole
    assert not any(ended.report.changes.values())
    return took


@contextmanager
def timed(took: dict[str, float], part: str) -> Iterator[None]:
    started = time.process_time()
    yield
    took[part] = time.process_time() - started


def main() -> None:
    """Print a line a part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--milestones", type=int, default=100_000)
    count: int = parser.parse_known_args()[0].milestones
    old = {f"clock-{number}": record(number) for number in range(count)}
    for share in (0, 100):
        new = {f"clock-{n}": record(n, edited=n % 100 < share) for n in range(count)}
        took: dict[str, float] = {}
        with timed(took, "detect"):
            found = detect(old, new)
        assert len(found.changes) == count * share // 100
        print(f"detect, {count:,} records, {share:>3} % of them edited: {took['detect']:6.2f} s CPU")
    with stored(count) as database:
        took = unchanged_look(database, count)
    print(f"\na look at {count:,} milestones, none changed")
    for part, seconds in (took | {"in all": sum(took.values())}).items():
        print(f"  {part:<46}{seconds:6.2f} s CPU")


if __name__ == "__main__":
    main()
