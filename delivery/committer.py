"""One thread that writes to the ledger for all connections: what came in while it wrote shares the next commit.

    loop: settle, begin, call ─▶ queue ─▶ thread: ledger.advance(all of it) ─▶ loop: each one's answer

A connection goes on only when its step is on the disk; that is the whole of the promise, and all of its cost is shared.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from delivery.mailing import RECORD_HINT, Limits, cannot_record
from delivery.ports import Ledger
from milepost.errors import MilepostError, StoreError
from milepost.records import Claim, Settlement

Settled = Callable[[Settlement, bool], None]  # and whether its lease was lost
Begun = Callable[[Claim, bool], None]
_Answers = list[tuple[Callable[..., None], tuple[Any, ...]]]

_LINGER_S = 0.0006  # for others to join a commit that takes as long anyway


class Committer:
    """The ledger's only writer during one dispatch. Answers are given in the event loop that made it."""

    def __init__(
        self, ledger: Ledger, limits: Limits, sleep: Callable[[float], None], failed: Callable[[BaseException], None]
    ) -> None:
        """`failed` is called in the loop when the ledger can't be written; what was asked for then has no answer."""
        self._ledger = ledger
        self._limits = limits
        self._sleep = sleep
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[tuple[str, Any, Callable[..., None] | None]] = SimpleQueue()
        self._broken = False
        self._thread = threading.Thread(target=self._run, name="milepost-ledger", daemon=True)
        self._thread.start()

    # --- from the loop ----------------------------------------------------------------------------------------------

    def settle(self, done: Settlement, answer: Settled) -> None:
        """T4 to T7."""
        self._queue.put(("settle", done, answer))

    def begin(self, claim: Claim, answer: Begun, refused: Callable[[], None]) -> None:
        """T3; `refused` when the ledger could not be written, so that it is still to be given back."""
        self._queue.put(("begin", (claim, refused), answer))

    def call(self, work: Callable[[], Any], answer: Callable[[Any, BaseException | None], None]) -> None:
        """Anything else that wants the ledger, after what was asked for before it."""
        self._queue.put(("call", work, answer))

    def close(self) -> None:
        """Write what is left and end; returns when it has."""
        self._queue.put(("close", None, None))
        self._thread.join()

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        closing = False
        while not closing:
            batch = [self._queue.get()]
            if batch[0][0] != "close" and self._limits.connections > 1:
                time.sleep(_LINGER_S)
            while True:
                try:
                    batch.append(self._queue.get_nowait())
                except Empty:
                    break
            closing = any(kind == "close" for kind, _, _ in batch)
            answers: _Answers = []
            try:
                self._write(batch, answers)
            except BaseException as error:  # noqa: BLE001 (a thread has nobody else to tell)
                self._broken = True
                answers.append((self._failed, (error,)))
            if answers:
                self._loop.call_soon_threadsafe(_give, answers)

    def _write(self, batch: list[tuple[str, Any, Any]], answers: _Answers) -> None:
        settlements = [(what, answer) for kind, what, answer in batch if kind == "settle"]
        claims = [(*what, answer) for kind, what, answer in batch if kind == "begin"]
        if (settlements or claims) and not self._broken:
            self._advance(settlements, claims, answers)
        for kind, work, answer in batch:
            if kind == "call":
                answers.append((answer, _outcome(work)))

    def _advance(
        self, settlements: list[tuple[Settlement, Settled]], claims: list[tuple[Claim, Callable[[], None], Begun]],
        answers: _Answers,
    ) -> None:
        begin = [claim for claim, _, _ in claims]
        begun: frozenset[int] | None = None
        if settlements:
            begun = self._settle(settlements, begin, answers)
        if not claims:
            return
        if begun is None:
            try:
                begun = self._ledger.advance((), begin).begun
            except MilepostError as error:  # no body leaves without its commit: they are given back instead
                answers.extend((refused, ()) for _, refused, _ in claims)
                answers.append((self._failed, (error,)))
                return
        answers.extend((answer, (claim, claim.delivery_id in begun)) for claim, _, answer in claims)

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


def _give(answers: _Answers) -> None:
    for answer, values in answers:
        answer(*values)
