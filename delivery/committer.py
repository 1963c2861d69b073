"""One thread that writes to the ledger for all connections: what came in while it wrote shares the next commit.

    loop: settle, begin, call ─▶ batch ─▶ thread: ledger.advance(all of it) ─▶ loop: each one's answer

A connection goes on only when its step is on the disk; that is the whole of the promise, and all of its cost is shared.
While the thread writes, the next batch fills. When it is idle, a batch goes as soon as enough connections stand in it,
else at the latest after a moment: a commit costs nearly the same for one as for all of them.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from delivery.mailing import RECORD_HINT, Limits, cannot_record
from delivery.ports import Ledger
from milepost.errors import MilepostError, StoreError
from milepost.records import Claim, Settlement

Settled = Callable[[Settlement, bool], None]  # and whether its lease was lost
Begun = Callable[[Claim, bool], None]
_Answers = list[tuple[Callable[..., None], tuple[Any, ...]]]

_LINGER_S = 0.002  # for others to join a commit that takes as long anyway


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


class Committer:
    """The ledger's only writer during one dispatch. All but its thread's work happens in the loop that made it."""

    def __init__(
        self, ledger: Ledger, limits: Limits, sleep: Callable[[float], None], *,
        enough: Callable[[], int], failed: Callable[[BaseException], None],
    ) -> None:
        """`enough`: how many connections make a commit worth its while now.

        `failed` is called in the loop when the ledger can't be written; what was asked for then has no answer.
        """
        self._ledger = ledger
        self._limits = limits
        self._sleep = sleep
        self._enough = enough
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._next = _Batch()
        self._writing = False  # a batch is with the thread
        self._timer: asyncio.TimerHandle | None = None
        self._queue: SimpleQueue[_Batch] = SimpleQueue()
        self._broken = False
        self._thread = threading.Thread(target=self._run, name="milepost-ledger", daemon=True)
        self._thread.start()

    # --- from the loop ----------------------------------------------------------------------------------------------

    def settle(self, done: Settlement, answer: Settled) -> None:
        """T4 to T7."""
        self._next.settlements.append((done, answer))
        self._consider()

    def begin(self, claim: Claim, answer: Begun, refused: Callable[[], None]) -> None:
        """T3; `refused` when the ledger could not be written, so that it is still to be given back."""
        self._next.begins.append((claim, answer, refused))
        self._consider()

    def call(self, work: Callable[[], Any], answer: Callable[[Any, BaseException | None], None]) -> None:
        """Anything else that wants the ledger, after what was asked for before it."""
        self._next.calls.append((work, answer))
        self._consider()

    def close(self) -> None:
        """Write what is left and end; returns when it has."""
        self._next.closing = True
        self._send()
        self._thread.join()

    def _consider(self) -> None:
        """Send the batch now, or when the thread is free, or when enough others have joined it."""
        if self._writing:
            return
        waiting = max(len(self._next.begins), len(self._next.settlements))
        if waiting >= self._enough():
            self._send()
        elif self._timer is None:
            self._timer = self._loop.call_later(_LINGER_S, self._send)

    def _send(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._next = self._next, _Batch()
        self._writing = True
        self._queue.put(batch)

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
            self._advance(batch, answers)
        for work, answer in batch.calls:
            answers.append((answer, _outcome(work)))

    def _advance(self, batch: _Batch, answers: _Answers) -> None:
        claims = [claim for claim, _, _ in batch.begins]
        begun: frozenset[int] | None = None
        if batch.settlements:
            begun = self._settle(batch.settlements, claims, answers)
        if not claims:
            return
        if begun is None:
            try:
                begun = self._ledger.advance((), claims).begun
            except MilepostError as error:  # no body leaves without its commit: they are given back instead
                answers.extend((refused, ()) for _, _, refused in batch.begins)
                answers.append((self._failed, (error,)))
                return
        answers.extend((answer, (claim, claim.delivery_id in begun)) for claim, answer, _ in batch.begins)

    def _settle(
        self, settlements: list[tuple[Settlement, Settled]], claims: list[Claim], answers: _Answers
    ) -> frozenset[int] | None:
        """Record results, patiently: a database that is busy for a moment must not make a sent mail unknown.

        The first try begins `claims` too, the later ones are about the results alone. Returns who was begun, None when
        nobody was asked.
        """
        done = [settlement for settlement, _ in settlements]
        wait = self._limits.record_wait_s
        for tried in range(1, self._limits.record_tries + 1):
            try:
                advanced = self._ledger.advance(done, claims if tried == 1 else ())
            except MilepostError as error:
                if tried == self._limits.record_tries:
                    raise StoreError(
                        cannot_record(done[0], error.what), where=f"issue {done[0].claim.issue}", hint=RECORD_HINT
                    ) from error
                self._sleep(wait)
                wait *= 2
            else:
                # Lost: the lease ran out, or a commit that seemed to fail did not. The ledger knows better.
                answers.extend(
                    (answer, (one, one.claim.delivery_id in advanced.lost)) for one, answer in settlements
                )
                return advanced.begun if tried == 1 else None
        return None


def _outcome(work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return work(), None
    except BaseException as error:  # noqa: BLE001 (told to whoever asked)
        return None, error
