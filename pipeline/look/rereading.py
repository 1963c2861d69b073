"""Reads many stored pages again, in order, on every core where there are many; what is in memory stays small.

    pages ─▶ batches ─▶ (a pool of processes, or this one) ─▶ records and failures, batch by batch
"""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from extractors import registry
from extractors.base import SiteExtractor
from extractors.charset import decode
from milepost.errors import ExtractError, MilepostError
from milepost.records import Card, Milestone, Page
from pipeline.look.reading import key_of, whole
from store.archive.pages import Pages
from store.archive.snapshots import Snapshots

BATCH = 64  # pages
MANY = 2_000  # pages from which starting other processes pays


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """Which extractor reads for which source; small enough to be sent to another process with every batch."""

    source: str
    extractor: str
    options: Mapping[str, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A stored page as a reader gets it."""

    url: str
    snapshot_id: int
    body: bytes
    content_type: str
    cards: tuple[tuple[str, Card], ...]


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


def read_batch(reader: Reader, stored: Sequence[Stored]) -> Batch:
    """Read one batch; a bad page stops no other. Runs in any process."""
    site = registry.get(reader.extractor, reader.options)
    records: list[tuple[Milestone, int]] = []
    failures: list[str] = []
    for page in stored:
        try:
            text = Page(url=page.url, text=decode(page.body, page.content_type))
            read = site.read_many(text, source=reader.source, cards=page.cards)
            records += [(whole(record), page.snapshot_id) for record in read]
        except ExtractError as error:
            failures.append(str(error))
    return Batch(
        read_to=stored[-1].url, pages=len(stored), records=tuple(records), failures=tuple(failures)
    )


def read_again(
    reader: Reader, site: SiteExtractor, snapshots: Snapshots, pages: Pages, work: Sequence[tuple[str, int]], *,
    processes: int, batch: int = BATCH,
) -> Iterator[Batch]:
    """The batches of `work` (URL, snapshot id), in its order; `batch` pages each."""
    loads = (
        _load(reader.source, site, snapshots, pages, work[start : start + batch])
        for start in range(0, len(work), batch)
    )
    if processes < 2:
        for stored in loads:
            yield read_batch(reader, stored)
        return
    context = multiprocessing.get_context("spawn")  # a fork would take our threads' locks and connections along
    try:
        with ProcessPoolExecutor(processes, mp_context=context) as pool:
            yield from _ahead(loads, lambda stored: pool.submit(read_batch, reader, stored), ahead=2 * processes)
    except BrokenProcessPool as error:
        raise MilepostError(
            "a process that read pages died", where=reader.source, hint="Run it again: it goes on from there."
        ) from error


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
        Stored(
            url=url, snapshot_id=snapshot_id, body=taken[snapshot_id].body,
            content_type=taken[snapshot_id].headers.get("content-type", ""),
            cards=tuple(cards.get(keys[url] or "", ())),
        )
        for url, snapshot_id in work
    ]

