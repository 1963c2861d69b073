"""Reads pages in other processes while a look still asks for later ones.

    pages of a commit ─▶ few wait? ─▶ a worker ─▶ what they hold, packed, aside
                                                  └▶ the look reads: taken where the cards are those it was read with

The look reads what is not here by then: pages may be skipped, and no worker that can't be had costs one.
"""

import logging
import threading
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from milepost.errors import ExtractError, MilepostError
from milepost.printable import counted
from milepost.records import Card, LabelPair
from pipeline import workers
from pipeline.look.packed_records import Aside, Packer
from pipeline.look.reading_guard import Entries, ReadingGuard, Stored

log = logging.getLogger("milepost.scrape")


class ReadAhead:
    """Of one look: `offer` pages as they are archived, `finish`, then `take` what was read. A context manager.

    It starts no process before as many pages have come as are worth it, and for a look that reads all by itself none.
    """

    def __init__(self, guard: ReadingGuard, labels: Sequence[LabelPair]) -> None:
        """`labels`: what the source's labels are known to stand for."""
        self._guard, self.labels = guard, tuple(labels)
        self._processes = workers.processes_for(workers.MANY, guard.processes)
        self._come = self._taken = 0  # pages
        self._pool: ThreadPoolExecutor | None = None
        self._flying: deque[Future[None]] = deque()
        self._lock = threading.Lock()
        self._packer, self._aside = Packer(), Aside()
        # columns: snapshot's id, hash of the cards its page was read with, place and size of what was read
        self._ids, self._cards, self._starts, self._sizes = (array("q") for _ in range(4))

    @property
    def processes(self) -> int:
        """How many read; 0 as long as none was started."""
        return 0 if self._pool is None else self._processes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.give_up()
        self.close()

    def give_up(self) -> None:
        """Nothing of it is wanted any more: read no other page, and end what is being read."""
        self._processes = 0
        self._guard.give_up()

    def offer(self, pages: int) -> bool:
        """So many came; whether `read` has time for them."""
        self._come += pages
        if not self._processes or self._come < workers.MANY:
            return False
        while self._flying and self._flying[0].done():
            self._settle(self._flying.popleft())
        return self._processes > 0 and len(self._flying) <= self._processes

    def read(self, pages: Sequence[Stored]) -> None:
        """Read these meanwhile."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._processes, thread_name_prefix="reading-ahead")
        self._flying.append(self._pool.submit(self._read, pages))

    def finish(self) -> None:
        """Wait for what is being read."""
        while self._flying:
            self._settle(self._flying.popleft())
        order = sorted(range(len(self._ids)), key=self._ids.__getitem__)
        self._ids, self._cards, self._starts, self._sizes = (
            array("q", map(column.__getitem__, order))
            for column in (self._ids, self._cards, self._starts, self._sizes))

    def take(self, snapshot_id: int, cards: Sequence[tuple[str, Card]]) -> Entries | ExtractError | None:
        """What the page of that snapshot holds; None where it was not read, or with other cards."""
        at = bisect_left(self._ids, snapshot_id)
        if at == len(self._ids) or self._ids[at] != snapshot_id or self._cards[at] != hash(tuple(cards)):
            return None
        self._taken += 1
        answer: Entries | ExtractError = self._packer.unpack(self._aside.get(self._starts[at], self._sizes[at]))
        return answer

    def close(self) -> None:
        """Begin nothing more, and give back what is kept aside."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        if self._ids:
            log.info("%s: of %s %d were read while later ones were asked for, %d of them as they stand now",
                     self._guard.source, counted(self._come, "page", "pages"), len(self._ids), self._taken)
        self._aside.close()
        for column in (self._ids, self._cards, self._starts, self._sizes):
            del column[:]

    def _read(self, pages: Sequence[Stored]) -> None:
        answers = self._guard.entries(pages, apart=True)
        with self._lock:
            for page, answer in zip(pages, answers, strict=True):
                packed = self._packer.pack(answer)
                self._starts.append(self._aside.put(packed))
                self._sizes.append(len(packed))
                self._ids.append(page.snapshot_id)
                self._cards.append(hash(page.cards))

    def _settle(self, batch: Future[None]) -> None:
        """What goes wrong ahead is tried again by the look, which then says so in its own words."""
        try:
            workers.result_of(batch)
        except MilepostError as error:
            if self._processes:  # and not of each batch that is under way
                log.warning("%s: pages are read only when all have come: %s", self._guard.source, error)
            self._processes = 0
