"""Reads many stored pages again, in order, on every core where there are many; what is in memory stays small.

    pages ─▶ batches ─▶ (a crew of processes, or this one) ─▶ records and failures, batch by batch
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from extractors.base import SiteExtractor
from milepost.errors import ExtractError
from milepost.records import Milestone
from pipeline.look.reading import key_of, stored_page, whole
from pipeline.look.reading_guard import ReadingGuard
from pipeline.look.stored_page import Stored
from store.archive.pages import Pages
from store.archive.snapshots import Snapshots

BATCH = 64  # pages
MANY = 2_000  # pages from which starting other processes pays


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What a batch of pages came to."""

    read_to: str  # URL of its last page
    pages: int
    records: tuple[tuple[Milestone, int], ...]  # with the snapshot of each
    failures: tuple[str, ...]  # a sentence a page


def workers(pages: int) -> int:
    """How many processes are worth having for so many pages: 0 is none but this one."""
    return (os.cpu_count() or 1) if pages >= MANY else 0


def _read_batch(guard: ReadingGuard, stored: Sequence[Stored], *, apart: bool) -> Batch:
    """Read one batch; a bad page stops no other."""
    records: list[tuple[Milestone, int]] = []
    failures: list[str] = []
    for page, answer in zip(stored, guard.records(stored, apart=apart), strict=True):
        try:
            if isinstance(answer, ExtractError):
                raise answer
            records += [(whole(record), page.snapshot_id) for record in answer]
        except ExtractError as error:
            failures.append(str(error))
    return Batch(
        read_to=stored[-1].url, pages=len(stored), records=tuple(records), failures=tuple(failures)
    )


def read_again(
    guard: ReadingGuard, source: str, site: SiteExtractor, snapshots: Snapshots, pages: Pages,
    work: Sequence[tuple[str, int]], *, processes: int, batch: int = BATCH,
) -> Iterator[Batch]:
    """The batches of `work` (URL, snapshot id), in its order; `batch` pages each."""
    loads = (
        _load(source, site, snapshots, pages, work[start : start + batch])
        for start in range(0, len(work), batch)
    )
    if processes < 2:
        for stored in loads:
            yield _read_batch(guard, stored, apart=False)
        return
    with ThreadPoolExecutor(processes) as pool:  # each thread waits for a worker
        read = partial(_read_batch, guard, apart=True)
        yield from _ahead(loads, lambda stored: pool.submit(read, stored), ahead=2 * processes)


def _ahead(
    loads: Iterator[list[Stored]], submit: Callable[[list[Stored]], "Future[Batch]"], *, ahead: int
) -> Iterator[Batch]:
    """Keep a few batches in flight, and no more than that in memory."""
    flying: deque[Future[Batch]] = deque()
    for stored in loads:
        flying.append(submit(stored))
        if len(flying) > ahead:
            yield flying.popleft().result()
    while flying:
        yield flying.popleft().result()


def _load(
    source: str, site: SiteExtractor, snapshots: Snapshots, pages: Pages, work: Sequence[tuple[str, int]]
) -> list[Stored]:
    keys = {url: key_of(site, url) for url, _ in work}
    cards = pages.cards(source, {key for key in keys.values() if key is not None})
    taken = snapshots.some([snapshot_id for _, snapshot_id in work])
    return [
        stored_page(taken[snapshot_id], snapshot_id, cards.get(keys[url] or "", ())) for url, snapshot_id in work
    ]
