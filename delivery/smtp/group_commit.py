"""The ledger's only writer in a dispatch: what many connections ask for shares a commit.

    settle, begin, call ─▶ batch ─┬▶ in the loop, when nothing has to be waited for ─▶ each one's answer
                                  └▶ in a thread ─────────────────────────────────────▶

A connection goes on only when its step is on the disk; that is the whole of the promise, and all of its cost is shared.
A batch goes when enough connections stand in it, else at the latest after a moment: a commit costs nearly the same for
one as for all of them. With a quick disk three in five are enough: the relay is busy with the others meanwhile.
A local disk answers sooner than a thread wakes up, so the loop writes itself. Where another program is writing, the
disk is slow, or the database is on another machine, the thread writes, and the next batch fills meanwhile.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

from delivery.mailing import RECORD_HINT, Limits, cannot_record
from delivery.ports import Ledger, TryAdvance
from milepost.errors import MilepostError, StoreError
from milepost.records import Advanced, Claim, Settlement

Settled = Callable[[Settlement, bool], None]  # and whether its lease was lost
Begun = Callable[[Claim, bool], None]
_Answers = list[tuple[Callable[..., None], tuple[Any, ...]]]

_LINGER_S = 0.002  # for others to join; results alone are in no hurry, they go with the next step of their connection
# What the loop does for a message, and the ledger for each in a commit, about (`python -m bench.dispatch --profile`).
_WORK_S, _ROW_S = 0.00008, 0.00004
_SLOW_S = 0.02  # of a commit: the thread's from then on, the loop has replies and signals to hear


class _Batch:
    """What shares one commit, and the calls that come after it."""

    __slots__ = ("begins", "calls", "closing", "settlements")

    def __init__(self) -> None:
        self.settlements: list[tuple[Settlement, Settled]] = []
        self.begins: list[tuple[Claim, Begun, Callable[[], None]]] = []
        self.calls: list[tuple[Callable[[], Any], Callable[[Any, BaseException | None], None]]] = []
        self.closing = False

    def __bool__(self) -> bool:
        return bool(self.settlements or self.begins or self.calls)

    @property
    def results(self) -> list[Settlement]:
        return [settlement for settlement, _ in self.settlements]

    @property
    def claims(self) -> list[Claim]:
        return [claim for claim, _, _ in self.begins]

    def settled(self, advanced: Advanced) -> _Answers:
        # Lost: the lease ran out, or a commit that seemed to fail did not. The ledger knows better.
        return [(answer, (one, one.claim.delivery_id in advanced.lost)) for one, answer in self.settlements]

    def begun(self, advanced: Advanced) -> _Answers:
        return [(answer, (claim, claim.delivery_id in advanced.begun)) for claim, answer, _ in self.begins]


class GroupCommit:
    """The steps of one dispatch. All but its thread's work happens in the loop that made it."""

    def __init__(
        self, ledger: Ledger, try_advance: TryAdvance, limits: Limits, sleep: Callable[[float], None], *,
        connections: Callable[[], int], failed: Callable[[BaseException], None],
    ) -> None:
        """`try_advance` is the ledger's; `connections`: how many there are now.

        `failed` is called in the loop when the ledger can't be written; what was asked for then has no answer.
        """
        self._ledger = ledger
        self._try_advance = try_advance
        self._limits = limits
        self._sleep = sleep
        self._connections = connections
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._next = _Batch()
        self._writing = False  # a batch is with the thread
        self._soon = False  # one goes at the end of this turn of the loop
        self._timer: asyncio.TimerHandle | None = None
        self._queue: SimpleQueue[_Batch] = SimpleQueue()
        self._broken = False
        self._cost = 0.0  # seconds of a commit beyond its rows, of late
        self._thread = threading.Thread(target=self._run, name="milepost-ledger", daemon=True)
        self._thread.start()

    # --- from the loop ----------------------------------------------------------------------------------------------

    @property
    def broken(self) -> bool:
        """Whether results can't be recorded any more: some steps will have no answer."""
        return self._broken

    def settle(self, done: Settlement, answer: Settled) -> None:
        """T4 to T7."""
        self._next.settlements.append((done, answer))
        self._consider()

    def begin(self, claim: Claim, answer: Begun, refused: Callable[[], None]) -> None:
        """T3; `refused` when the ledger could not be written, so that it is still to be given back."""
        self._next.begins.append((claim, answer, refused))
        self._consider()

    def call(self, work: Callable[[], Any], answer: Callable[[Any, BaseException | None], None]) -> None:
        """Anything else that wants the ledger, after what was asked for before it; always in the thread."""
        self._next.calls.append((work, answer))
        self._consider()

    def close(self) -> None:
        """Write the results that are left and end; returns when it has. What has not begun by now never does."""
        begins, self._next.begins = self._next.begins, []
        for _, _, refused in begins:
            refused()
        self._next.closing = True
        self._write_next()
        self._thread.join()

    def _consider(self) -> None:
        """Write when this turn of the loop is over, or when others have joined, or when the thread is free."""
        if self._writing or self._soon:
            return
        if len(self._next.begins) >= enough(self._connections(), self._cost):
            self._soon = True
            self._loop.call_soon(self._write_next)
        elif self._timer is None:
            self._timer = self._loop.call_later(_LINGER_S, self._write_next)

    def _write_next(self) -> None:
        self._soon = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing and not self._next.closing:
            return  # `_written` comes back to it
        batch, self._next = self._next, _Batch()
        try:
            self._write_at_once(batch)
        finally:  # whatever came between, Ctrl-C too: what was not written is the thread's
            if batch or batch.closing:
                self._writing = True
                self._queue.put(batch)

    def _write_at_once(self, batch: _Batch) -> None:
        """Take the steps out of `batch` that need no waiting."""
        if not (batch.settlements or batch.begins) or self._writing or self._broken or self._cost > _SLOW_S:
            return
        start = time.perf_counter()
        try:
            advanced = self._try_advance(batch.results, batch.claims)
        except Exception as error:  # noqa: BLE001 (a bug; what was sent is to have its record all the same)
            self._failed(error)
            return
        if advanced is None:
            return
        self._took(time.perf_counter() - start, batch)
        answers = batch.settled(advanced) + batch.begun(advanced)
        batch.settlements, batch.begins = [], []
        for answer, values in answers:
            answer(*values)

    def _took(self, seconds: float, batch: _Batch) -> None:
        """Called by whoever wrote: the loop and the thread never do so at once."""
        rows = max(len(batch.settlements), len(batch.begins))
        self._cost += (seconds - rows * _ROW_S - self._cost) / 8

    def _written(self, answers: _Answers) -> None:
        self._writing = False
        for answer, values in answers:
            answer(*values)
        if self._next and not self._writing:
            self._consider()

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        closing = False
        while not closing:
            batch = self._queue.get()
            closing = batch.closing
            answers: _Answers = []
            try:
                self._write(batch, answers)
            except BaseException as error:  # noqa: BLE001 (a thread has nobody else to tell)
                self._broken = True
                answers.append((self._failed, (error,)))
            self._loop.call_soon_threadsafe(self._written, answers)

    def _write(self, batch: _Batch, answers: _Answers) -> None:
        if (batch.settlements or batch.begins) and not self._broken:
            start = time.perf_counter()
            self._advance(batch, answers)
            self._took(time.perf_counter() - start, batch)
        for work, answer in batch.calls:
            answers.append((answer, _outcome(work)))

    def _advance(self, batch: _Batch, answers: _Answers) -> None:
        asked = False
        if batch.settlements:
            advanced, asked = self._settle(batch)
            answers += batch.settled(advanced)
        if not batch.begins:
            return
        if not asked:
            try:
                advanced = self._both_ways((), batch.claims)
            except MilepostError as error:  # no body leaves without its commit: they are given back instead
                answers.extend((refused, ()) for _, _, refused in batch.begins)
                answers.append((self._failed, (error,)))
                return
        answers += batch.begun(advanced)

    def _both_ways(self, done: Sequence[Settlement], claims: Sequence[Claim]) -> Advanced:
        """By the way that waits for nobody, which costs less; where that comes to nothing by the one that waits."""
        try:
            advanced = self._try_advance(done, claims)
        except Exception:  # noqa: BLE001 (the other way meets it too, and tells)
            advanced = None
        return self._ledger.advance(done, claims) if advanced is None else advanced

    def _settle(self, batch: _Batch) -> tuple[Advanced, bool]:
        """Record results, patiently: a database that is busy for a moment must not make a sent mail unknown.

        The first try asks for the beginnings too, the later ones are about the results alone; → and whether it did.
        """
        done = batch.results
        wait = self._limits.record_wait_s
        tried = 1
        while True:
            try:
                return self._both_ways(done, batch.claims if tried == 1 else ()), tried == 1
            except MilepostError as error:
                if tried >= self._limits.record_tries:
                    raise StoreError(
                        cannot_record(done[0], error.what), where=f"issue {done[0].claim.issue}", hint=RECORD_HINT
                    ) from error
            self._sleep(wait)
            wait *= 2
            tried += 1


def enough(connections: int, cost: float) -> int:
    """How many of the connections make a commit of `cost` seconds (beyond its rows) worth its while. Pure.

    Three in five: the relay works for the others meanwhile. Two halves would fall into step, each waiting for the last
    of the other. All, where fewer would each pay more than a message's work.
    """
    most = (3 * connections + 4) // 5
    return most if cost <= most * _WORK_S else connections


def _outcome(work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return work(), None
    except BaseException as error:  # noqa: BLE001 (told to whoever asked)
        return None, error
