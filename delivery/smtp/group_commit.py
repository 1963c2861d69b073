"""The ledger's only writer in a dispatch: what many connections ask for shares a commit.

    settle, begin, call ─▶ batch ─┬▶ in the loop, when nothing has to be waited for ─▶ each one's answer
                                  ├▶ on a writer, which goes on by itself ──────────────▶
                                  └▶ in a thread ─────────────────────────────────────▶

A connection goes on only when its step is on the disk; that is the whole of the promise, and all of its cost is shared.
A batch goes when enough connections stand in it, else at the latest after a moment: a commit costs nearly the same for
one as for all of them. With a quick disk three in five are enough: the relay is busy with the others meanwhile.
A local disk answers sooner than a thread wakes up, so the loop writes itself. Where another program is writing or the
disk is slow the thread writes, and the next batch fills meanwhile. A database with a server has writers: one where it
is near, several where it is a journey away, and then several batches are on the way at once: none of them holds a row
of another's, for each delivery waits for its own.
What a writer could not do is the thread's, which looks at each row and waits.
"""

import asyncio
import select
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

from delivery.mailing import RECORD_HINT, Limits, cannot_record
from delivery.ports import Ledger, TryAdvance, Writer
from milepost.errors import MilepostError, StoreError
from milepost.records import Advanced, Claim, Settlement

Settled = Callable[[Settlement, bool], None]  # and whether its lease was lost
Begun = Callable[[Claim, bool], None]
_Answers = list[tuple[Callable[..., None], tuple[Any, ...]]]

_LINGER_S = 0.002  # for others to join; results alone are in no hurry, they go with the next step of their connection
# What the loop does for a message, and the ledger for each in a commit, about (`python -m bench.dispatch --profile`).
_WORK_S, _ROW_S = 0.00008, 0.00004
_SLOW_S = 0.02  # of a commit: the thread's from then on, the loop has replies and signals to hear
_REOPEN_S = 1.0  # until the next try, where a writer can't be had
_SILENT_S = 30.0  # a writer that says nothing for so long is given up: whether it wrote, the ledger tells


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
        connections: Callable[[], int], failed: Callable[[BaseException], None], writers: Sequence[Writer] = (),
    ) -> None:
        """`try_advance` and `writers` are the ledger's; `connections`: how many there are now.

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
        self._writing = 0  # batches that are with the thread
        self._soon = False  # one goes at the end of this turn of the loop
        self._timer: asyncio.TimerHandle | None = None
        self._queue: SimpleQueue[_Batch] = SimpleQueue()
        self._broken = False
        self._cost = 0.0  # seconds of a commit beyond its rows, of late
        self._writers = writers
        self._watched: dict[Writer, int] = {}  # by which file descriptor the loop hears of it
        self._under_way: dict[Writer, tuple[_Batch, asyncio.TimerHandle]] = {}
        self._reopen_at = 0.0
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
        """Anything else that wants the ledger; always in the thread, and in its order: after the steps that were asked
        for before it, but for those that are on a writer, which it goes on beside.
        """
        self._next.calls.append((work, answer))
        if self._living():
            calls = _Batch()
            calls.calls, self._next.calls = self._next.calls, []
            self._leave_to_thread(calls)
        else:
            self._consider()

    def close(self) -> None:
        """Write the results that are left and end; returns when it has. What has not begun by now never does."""
        begins, self._next.begins = self._next.begins, []
        for _, _, refused in begins:
            refused()
        for writer in list(self._under_way):
            self._wait_for(writer)
        for writer in list(self._watched):
            self._unwatch(writer)
        self._next.closing = True
        self._write_next()
        self._thread.join()

    def _living(self) -> Sequence[Writer]:
        if self._broken or not self._writers:  # SQLite has none, and this is asked at each step of each mail
            return ()
        return [writer for writer in self._writers if writer.alive]

    def _room(self, living: Sequence[Writer]) -> bool:
        """Whether a batch could go now."""
        return any(writer not in self._under_way for writer in living) if living else not self._writing

    def _consider(self) -> None:
        """Write when this turn of the loop is over, or when others have joined, or when there is room for one more."""
        if self._soon or (self._under_way and len(self._under_way) == len(self._writers)):
            return  # asked at each step of each mail: the second saves a look at each writer
        living = self._living()
        if not self._room(living):
            return
        if len(self._next.begins) >= enough(self._connections(), self._cost, len(living)):
            self._soon = True
            self._loop.call_soon(self._write_next)
        elif self._timer is None and not self._under_way:  # else what is too little for a commit goes after that one
            self._timer = self._loop.call_later(_LINGER_S, self._write_next)

    def _write_next(self) -> None:
        self._soon = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not (self._next.closing or self._room(self._living())):
            return  # whoever makes room comes back to it
        batch, self._next = self._next, _Batch()
        try:
            writer = next((writer for writer in self._living() if writer not in self._under_way), None)
            if writer is None:
                self._write_at_once(batch)
            elif not batch.closing:
                self._write_on(writer, batch)
        finally:  # whatever came between, Ctrl-C too: what was not written is the thread's
            if batch or batch.closing:
                self._leave_to_thread(batch)

    def _leave_to_thread(self, batch: _Batch) -> None:
        self._writing += 1
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

    # --- writers ------------------------------------------------------------------------------------------------------

    def _write_on(self, writer: Writer, batch: _Batch) -> None:
        """Put the steps of `batch` on their way; what the writer does not take stays in it."""
        if not (batch.settlements or batch.begins) or not writer.send(batch.results, batch.claims):
            return
        under_way = _Batch()
        under_way.settlements, batch.settlements = batch.settlements, []
        under_way.begins, batch.begins = batch.begins, []
        self._under_way[writer] = under_way, self._loop.call_later(_SILENT_S, self._give_up, writer)
        if writer not in self._watched:
            self._watched[writer] = writer.fileno()
            self._loop.add_reader(writer, self._hear, writer)
        if writer.unsent:
            self._loop.add_writer(writer, self._hear, writer)

    def _hear(self, writer: Writer) -> None:
        writer.go_on()
        if not writer.unsent and writer in self._watched:
            self._loop.remove_writer(self._watched[writer])
        if not writer.alive:
            self._unwatch(writer)
        if not writer.busy and writer in self._under_way:
            self._answer(writer)

    def _answer(self, writer: Writer) -> None:
        batch, patience = self._under_way.pop(writer)
        patience.cancel()
        advanced = writer.answer()
        if advanced is None:
            self._leave_to_thread(batch)
        else:
            for answer, values in batch.settled(advanced) + batch.begun(advanced):
                answer(*values)
        if self._next:
            self._consider()

    def _give_up(self, writer: Writer) -> None:
        """A step is taken once, by its state and its lease: whether this one was, the ledger tells when asked again."""
        self._unwatch(writer)
        writer.close()
        self._answer(writer)

    def _unwatch(self, writer: Writer) -> None:
        number = self._watched.pop(writer, None)
        if number is not None:
            self._loop.remove_reader(number)
            self._loop.remove_writer(number)

    def _wait_for(self, writer: Writer) -> None:
        """The answer, when the loop's own time is over."""
        end = time.monotonic() + _SILENT_S
        while writer.busy and time.monotonic() < end:
            select.select([writer], [writer] if writer.unsent else [], [], max(0.0, end - time.monotonic()))
            writer.go_on()
        if writer.busy:
            self._give_up(writer)
        else:
            self._answer(writer)

    def _took(self, seconds: float, batch: _Batch) -> None:
        """Called by whoever wrote: the loop and the thread never do so at once."""
        rows = max(len(batch.settlements), len(batch.begins))
        self._cost += (seconds - rows * _ROW_S - self._cost) / 8

    def _written(self, answers: _Answers) -> None:
        self._writing -= 1
        for answer, values in answers:
            answer(*values)
        if self._next:
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
            self._reopen()
        for work, answer in batch.calls:
            answers.append((answer, _outcome(work)))

    def _reopen(self) -> None:
        """What was just written proves that the database is there: so may the writers be."""
        if time.monotonic() < self._reopen_at:
            return
        try:
            for writer in self._writers:
                if not writer.alive:
                    writer.reopen()
        except StoreError:  # the thread goes on alone, and tries again in a while
            self._reopen_at = time.monotonic() + _REOPEN_S

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


def enough(connections: int, cost: float, writers: int = 0) -> int:
    """How many of the connections make a commit of `cost` seconds (beyond its rows) worth its while. Pure.

    Three in five: the relay works for the others meanwhile. Two halves would fall into step, each waiting for the last
    of the other. All, where fewer would each pay more than a message's work. With several writers: what keeps them all
    at work.
    """
    if writers > 1:
        return -(-connections // writers)
    most = (3 * connections + 4) // 5
    return most if cost <= most * _WORK_S else connections


def _outcome(work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return work(), None
    except BaseException as error:  # noqa: BLE001 (told to whoever asked)
        return None, error
