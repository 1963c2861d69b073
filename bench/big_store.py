"""A store of many milestones and many more snapshots: a look with no change, reading every page again, and searching.

    python -m bench.big_store [--milestones 100000] [--snapshots 1000000] [--pages 100000] [--keep FILE]

    made rows (pages of the sample site, numbered) ─▶ one process a part ─▶ seconds, CPU seconds, memory at its peak

The look is everything but the requests: the crawl is played by a loop that says "not modified" for every known page.
"""

import argparse
import asyncio
import datetime as dt
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import zstandard

from bench.apart import Took, measured
from console.demo.site import pages
from crawler.outcomes import CrawlPlan, CrawlReport, NotModified
from extractors import registry
from milepost.codec import milestone_to_json
from milepost.fingerprint import fingerprint
from milepost.records import Milestone, Page, body_hash
from milepost.settings import Settings, parse
from pipeline.backfill import backfill, undo
from pipeline.look import scrape
from store.archive.blobs import LEVEL, train
from store.database import Database, connect, upgrade
from store.milestones import search
from store.milestones.search import Search
from store.schema import tables

SOURCE, BASE = "bench", "https://clockwork.example"
NOW = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)
WRONG = 100  # every so-manyeth record was read wrong, for the backfill to mend
_KEY, _TITLE = "salisbury-cathedral-clock", "A clock without a face strikes at Salisbury"
_ROWS = 10_000  # in one statement


# --- the store ------------------------------------------------------------------------------------------------------


@cache
def _page() -> bytes:
    return pages.build(pages.load(), build_id="b1")[f"/story/{_KEY}"]


def body(number: int) -> bytes:
    """One of many pages."""
    return _page().replace(_KEY.encode(), f"{_KEY}-{number}".encode()).replace(
        _TITLE.encode(), f"{_TITLE} {number}".encode()
    )


@cache
def _record() -> Milestone:
    page = Page(url=f"{BASE}/story/{_KEY}", text=_page().decode())
    return registry.get("sample").read(page, source=SOURCE)


def record(number: int) -> Milestone:
    """What is on record of it."""
    key = f"{_KEY}-{number}"
    title = "Wrong" if number % WRONG == 0 else f"{_TITLE} {number}"
    return replace(_record(), key=key, url=f"{BASE}/story/{key}", title=title)


def fill(database: Database, milestones: int, snapshots: int) -> None:
    """Write rows as looks would have left them: every page fetched again and again, its record read from the first."""
    trained = train([body(number) for number in range(400)])
    assert trained is not None
    data = zstandard.ZstdCompressionDict(trained)
    data.precompute_compress(level=LEVEL)
    packer = zstandard.ZstdCompressor(level=LEVEL, dict_data=data)
    rounds = max(snapshots // milestones, 1)
    with database.begin() as connection:
        def put(table: sa.Table, rows: list[dict[str, Any]]) -> None:
            connection.execute(sa.insert(table), rows)

        put(tables.source, [{"key": SOURCE}])
        put(tables.look, [{"source": SOURCE, "started_at": NOW, "finished_at": NOW, "state": "complete",
                           "baseline": True, "milestones": milestones, "failures": [], "listed": milestones}])
        put(tables.dictionary, [{"trained_at": NOW, "samples": 400, "data": trained}])
        for part in _parts(milestones):
            records = [(number + 1, record(number), body(number)) for number in part]
            shas = {at: body_hash(page) for at, _, page in records}
            put(tables.blob, [{"sha256": shas[at], "encoding": "zstd", "raw_size": len(page), "dictionary": 1,
                               "data": packer.compress(page)} for at, _, page in records])
            for turn in range(rounds):
                put(tables.snapshot, [
                    {"id": turn * milestones + at, "source": SOURCE, "url": one.url, "final_url": one.url,
                     "status": 200, "headers": {"content-type": "text/html; charset=utf-8"}, "body_sha": shas[at],
                     "fetched_at": NOW - dt.timedelta(days=rounds - turn)} for at, one, _ in records
                ])
            last = (rounds - 1) * milestones
            put(tables.page, [{"source": SOURCE, "url": one.url, "kind": "milestone", "etag": f'"{at:016x}"',
                               "last_status": 200, "last_snapshot_id": last + at, "read_snapshot_id": last + at,
                               "first_listed_look": 1, "last_listed_look": 1, "asked_at": NOW, "seen_at": NOW}
                              for at, one, _ in records])
            put(tables.milestone, [{"id": at, "source": SOURCE, "key": one.key, "first_seen_at": NOW,
                                    "first_look_id": 1, "version": 1, "state": "present"} for at, one, _ in records])
            put(tables.milestone_version, [
                {"milestone_id": at, "number": 1, "record": milestone_to_json(one), "fingerprint": fingerprint(one),
                 "snapshot_id": at, "extractor": one.extractor, "look_id": 1, "created_at": NOW}
                for at, one, _ in records
            ])
            put(tables.change, [{"look_id": 1, "milestone_id": at, "kind": "added", "fields": [], "new_version_id": at,
                                 "detected_at": NOW, "announce": False} for at, _, _ in records])
        search.reindex(connection)


def _parts(count: int) -> Iterator[range]:
    for start in range(0, count, _ROWS):
        yield range(start, min(start + _ROWS, count))


def settings_for(file: Path) -> Settings:
    return parse({
        "store": {"url": f"sqlite:///{file}", "keep_days": 3650},
        "sources": [{"key": SOURCE, "extractor": "sample", "base_url": BASE, "max_pages": 1_000_000}],
    })


# --- the parts ------------------------------------------------------------------------------------------------------


def make(file: Path, milestones: int, snapshots: int) -> int:
    """Build the database; returns its size in MB."""
    upgrade(f"sqlite:///{file}")
    with connect(f"sqlite:///{file}") as database:
        fill(database, milestones, snapshots)
    return file.stat().st_size // 1_000_000


def look(file: Path) -> dict[str, int]:
    """A look at a site that has not changed."""

    async def crawl(plan: CrawlPlan, *, on_page: Callable[[Any], None], **_: Any) -> CrawlReport:
        for url in plan.known_urls:
            on_page(NotModified(url=url, kind="milestone"))
        await asyncio.sleep(0)
        count = len(plan.known_urls)
        return CrawlReport(
            requests=count, fetched=0, not_modified=count, failed=0, listed=plan.known_urls, complete=True, failures=(),
            found_by=dict.fromkeys(plan.known_urls, frozenset({"listing", "sitemap"})),
        )

    scrape.crawl = crawl  # type: ignore[assignment,attr-defined]
    report = scrape.scrape(settings_for(file), SOURCE, now=lambda: NOW)
    assert report.held is None, report.held
    assert not any(report.changes.values()), report.changes
    return {"not modified": report.not_modified}


def nothing(_file: Path) -> None:
    """What it costs to start."""


def find(file: Path) -> float:
    """Searches for words that many or few have; milliseconds a search."""
    with connect(f"sqlite:///{file}") as database:
        words = ("Salisbury 4711", "clock", "face strikes 99", "no-such-word")
        started = time.monotonic()
        for text in words:
            Search(database).search(text)
        return (time.monotonic() - started) / len(words) * 1000


def read_again(file: Path, dry_run: bool, processes: int | None, until: str | None) -> tuple[int, int, float, int]:
    """(pages, records that differ, pages a second, id)."""
    from pipeline.backfill import Selection

    keys = () if until is None else tuple(f"{_KEY}-{number}" for number in range(int(until)))
    done = backfill(settings_for(file), SOURCE, dry_run=dry_run, processes=processes, now=lambda: NOW,
                    selection=Selection(keys=keys))
    return done.read, done.differ, done.pages_per_second, done.backfill_id or 0


def take_back(file: Path, number: int) -> int:
    with connect(f"sqlite:///{file}") as database:
        return undo(database, number, why="a measurement", now=NOW)


def main() -> None:
    """Print a line a part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--milestones", type=int, default=100_000)
    parser.add_argument("--snapshots", type=int, default=1_000_000)
    parser.add_argument("--pages", type=int, default=100_000, help="that are read again")
    parser.add_argument("--keep", type=Path, help="where the database is made, or was made before")
    chosen = parser.parse_known_args()[0]
    with tempfile.TemporaryDirectory() as folder:
        file: Path = chosen.keep or Path(folder) / "scale.db"
        if not file.exists():
            made = measured(make, file, chosen.milestones, chosen.snapshots)
            print(f"made {chosen.milestones:,} milestones and {chosen.snapshots:,} snapshots in {made.seconds:.0f} s: "
                  f"{made.result:,} MB\n")
        upgrade(f"sqlite:///{file}")  # one that was kept may be of an older Milepost
        print(f"{'':<44}{'seconds':>9}{'CPU s':>9}{'MB at its peak':>16}")
        _line("starting, and nothing else", measured(nothing, file))
        _line("a look, nothing changed", measured(look, file))
        took = measured(find, file)
        _line(f"a search, {took.result:.1f} ms each", took)
        until = str(chosen.pages) if chosen.pages < chosen.milestones else None
        for what, processes in (("one core", 0), ("all cores", None)):
            took = measured(read_again, file, True, processes, until)
            read, _, speed, _ = took.result
            _line(f"reading {read:,} pages again, {what}: {speed:,.0f}/s", took)
        took = measured(read_again, file, False, None, until)
        _line(f"the same and writing {took.result[1]:,} records", took)
        undone = measured(take_back, file, took.result[3])
        assert undone.result == took.result[1] == -(-min(chosen.pages, chosen.milestones) // WRONG)
        _line(f"taking {undone.result:,} records back", undone)


def _line(what: str, took: Took) -> None:
    print(f"{what:<44}{took.seconds:>9.1f}{took.cpu:>9.1f}{took.peak_mb:>16,}", flush=True)


if __name__ == "__main__":
    main()
