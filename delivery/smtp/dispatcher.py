"""The quick dispatch: many connections, each step of all of them on the disk before the next, commits shared.

    claims ─▶ pick ─▶ MAIL, RCPT ─▶ group commit (T3) ─▶ DATA … dot ─▶ group commit (T4–T7) ─▶ progress
"""

import asyncio
import datetime as dt
import gc
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from delivery.mailing import (
    DispatchReport,
    Letter,
    Limits,
    Mailing,
    Progress,
    Result,
    letter,
    settlement,
    upkeep,
)
from delivery.pace import Paces
from delivery.ports import ConnectError, Ledger, TryAdvance, Writer
from delivery.smtp import replies
from delivery.smtp.connect import PipelineTransport
from delivery.smtp.conversation import Conversation
from delivery.smtp.group_commit import GroupCommit
from delivery.smtp.wire import Wire
from milepost.errors import ConflictError, RenderError, StoreError
from milepost.records import Claim, Reply, Settlement

_LOOK_S = 1.0  # between two looks at how many a second an operator wants


def run(
    ledger: Ledger, transport: PipelineTransport, mailing: Mailing, *, now: Callable[[], dt.datetime], limits: Limits,
    progress: Progress, stop: Callable[[], bool], sleep: Callable[[float], None],
    throttle: Callable[[], float | None] | None = None,
) -> DispatchReport:
    """See `delivery.dispatch.dispatch`."""
    number = mailing.issue
    freed, orphaned = ledger.recover(number)

    async def dispatched(try_advance: TryAdvance, writers: Sequence[Writer]) -> _Dispatcher:
        one = _Dispatcher(
            ledger, try_advance, writers, transport, mailing, now, limits, progress, stop, sleep, throttle
        )
        await one.run()
        return one

    gc.freeze()  # what the program is made of needs no looking through while the mails come and go
    try:
        with ledger.try_advance() as try_advance, ledger.writers() as writers:
            done = asyncio.run(dispatched(try_advance, writers))
    finally:
        gc.unfreeze()
    state = ledger.finish(number)
    return DispatchReport(
        issue=number, results=dict(done.results), freed=freed + done.freed, orphaned=orphaned + done.orphaned,
        state=state, paused=done.paused, stopped=done.stopped, next_due=ledger.next_due(number),
    )


class _Dispatcher:
    """One run: the conversations, what is claimed and not begun, and what came of the rest."""

    def __init__(
        self, ledger: Ledger, try_advance: TryAdvance, writers: Sequence[Writer], transport: PipelineTransport,
        mailing: Mailing, now: Callable[[], dt.datetime], limits: Limits, progress: Progress, stop: Callable[[], bool],
        sleep: Callable[[float], None], throttle: Callable[[], float | None] | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._ledger, self._transport, self._mailing, self._now = ledger, transport, mailing, now
        self._limits, self._progress, self._stop, self._sleep = limits, progress, stop, sleep
        self._throttle, self._look_at = throttle, self._loop.time()
        self._commits = GroupCommit(
            ledger, try_advance, limits, sleep, connections=lambda: len(self._conversations), failed=self._fail,
            writers=writers,
        )
        self._paces = Paces(limits.per_second, limits.per_domain_per_second, self._loop.time())
        self._conversations = [Conversation(self) for _ in range(max(1, limits.connections))]
        self._wanted = limits.claims
        self._ready: deque[Claim] = deque()  # claimed, not begun
        self._skipped: list[Claim] = []  # held till the end, so that they aren't claimed again at once
        self._held: dict[int, Claim] = {}  # by their deliveries: claimed, and without an outcome yet
        self._renew_at = self._loop.time() + limits.renew_s
        self._asking = False  # a claim is on its way
        self._dry = False  # the last one brought nothing
        self._last = 0  # the last delivery that was claimed
        self._open_steps = 0  # asked of the ledger and not answered yet
        self._error: BaseException | None = None
        self._judge = replies.Judge()
        self._doubtful: list[tuple[Letter, Reply]] = []  # refused, and nothing says yet whose fault that is
        self._broken = False  # results can't be recorded: nothing is worth waiting for
        self._stopped_at: float | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving: set[_Leaving] = set()
        self._over = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self.results: Counter[str] = Counter()
        self.freed = self.orphaned = 0  # since it began
        self.paused: str | None = None
        self.stopped = False

    # --- the whole run ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until nothing is left to do; raises what `dispatch` raises."""
        self._loop.set_exception_handler(self._bug)
        patience = self._transport.timeouts
        every = min(0.2, *(getattr(patience, name) / 3 for name in ("command", "data", "block", "dot", "quit")))
        self._watch(every)
        if self._throttle is None:
            self._ask()
        try:
            while not self._over.done():
                try:
                    await asyncio.shield(self._over)
                except asyncio.CancelledError as error:  # Ctrl-C: what is out is waited for, a second one ends that
                    self._fail(error)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            await self._leave()
        if self._error is not None:
            raise self._error

    def _watch(self, every: float) -> None:
        """Every now and then: overdue replies, a stop, and the end of patience after it."""
        self._timer = self._loop.call_later(every, self._watch, every)
        at = self._loop.time()
        for wire in [one.wire for one in self._conversations if one.wire is not None]:
            wire.check(at)
        for leaving in list(self._leaving):
            leaving.wire.check(at)
        if self._throttle is not None and at >= self._look_at:
            self._look_at = float("inf")  # until there is an answer
            self._commits.call(self._throttle, self._throttled)
        if at >= self._renew_at:
            self._renew()
        if self._closing and self._stopped_at is None:
            self._stopped_at = at
        if self._stopped_at is not None and at - self._stopped_at > self._limits.drain_s:
            for wire in [one.wire for one in self._conversations if one.wire is not None]:
                wire.abort("asked to stop, and it did not answer in time")
        self._settle_down()

    def _renew(self) -> None:
        """T1′: whoever waits, for the reply to a dot, a pace or a connection, still holds what it has taken. Then T2
        and T7: a pass may take hours, and somebody else may have died since it began.
        """
        held = list(self._held.values())
        self._renew_at = float("inf")
        self._commits.call(lambda: self._upkeep(held), self._renewed)

    def _upkeep(self, held: list[Claim]) -> int:
        """In the ledger's thread, which the report waits for; how many may be claimed again."""
        freed, orphaned = upkeep(self._ledger, self._mailing.issue, held)
        self.freed += freed
        self.orphaned += orphaned
        return freed

    def _renewed(self, freed: int | None, error: BaseException | None) -> None:
        self._renew_at = self._loop.time() + self._limits.renew_s
        if error is not None and not isinstance(error, StoreError):  # a database in trouble: T3 will say so, or T4
            self._fail(error)
        if freed:
            self._dry = False
            self._ask()

    def _throttled(self, per_second: float | None, error: BaseException | None) -> None:
        """How many a second an operator wants from now on."""
        self._look_at = self._loop.time() + _LOOK_S
        if error is not None:
            self._fail(error)
            return
        self._paces.change(per_second, self._loop.time())
        self._ask()
        self._spread()

    @property
    def _closing(self) -> bool:
        """Whether nothing more may begin."""
        if not self.stopped and self._stop():
            self.stopped = True
        return self.stopped or self.paused is not None or self._error is not None

    def _settle_down(self) -> None:
        """The end, when nothing is left to do or to wait for."""
        if self._over.done():
            return
        if self._broken:
            self._over.set_result(None)
        elif self._open_steps or self._asking or any(one.busy for one in self._conversations):
            return
        elif self._closing or (self._dry and not self._ready):
            if self._doubtful:
                self._all_asked()
            else:
                self._over.set_result(None)

    async def _leave(self) -> None:
        """Say QUIT everywhere, then give back (T2) what was not begun; on an error, without hiding that error."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for conversation in self._conversations:
            self._quit(conversation)
        if self._leaving:
            await asyncio.wait([leaving.gone for leaving in self._leaving], timeout=self._transport.timeouts.quit)
        for leaving in list(self._leaving):
            leaving.wire.abort("it did not answer to QUIT")
        await asyncio.sleep(0)  # transports close at the loop's next turn
        self._commits.close()
        held = [*self._ready, *self._skipped]
        try:
            if held:
                self._ledger.release(held)
        except StoreError:
            if self._error is None:  # else their lease runs out: the same, later
                raise

    def _fail(self, error: BaseException) -> None:
        """Nothing more begins; what is out is waited for, unless its results can't be recorded any more."""
        self._error = self._error or error
        if self._commits.broken:
            self._broken = True
        self._settle_down()

    def _bug(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._broken = True
        self._fail(context.get("exception") or RuntimeError(context["message"]))

    # --- T1 ---------------------------------------------------------------------------------------------------------

    def _ask(self, limit: int | None = None) -> None:
        """Claim some more where few are left; `limit` 0 only asks whether the issue is still being sent."""
        if self._asking:
            return
        enough = self._dry or 2 * len(self._ready) > self._wanted  # the rest is for other dispatchers to take
        if (enough and limit is None) or self._closing:
            return
        self._asking = True
        number, seconds = self._mailing.issue, self._limits.lease_seconds
        wanted = self._wanted if limit is None else limit
        self._commits.call(
            lambda: self._ledger.claim(number, limit=wanted, lease_seconds=seconds, after=self._last),
            lambda claims, error: self._claimed(claims, error, wanted),
        )

    def _claimed(self, claims: list[Claim] | None, error: BaseException | None, wanted: int) -> None:
        self._asking = False
        if isinstance(error, ConflictError) and self.results:
            self.paused = self.paused or error.what  # it was fine a moment ago: an operator paused it meanwhile
        elif error is not None:
            self._fail(error)
        elif wanted:
            self._dry = not claims
            self._last = max((claim.delivery_id for claim in claims or ()), default=self._last)
            self._ready.extend(claims or ())
            self._held.update((claim.delivery_id, claim) for claim in claims or ())
        if not self._ready:
            self._ask()  # what was held up while it was only asked whether the issue is still being sent
        self._spread()
        self._settle_down()

    def _spread(self) -> None:
        """Letters for conversations that have nothing to do."""
        for conversation in self._conversations:
            if not self._ready or self._closing:
                break
            if not conversation.busy and not conversation.connecting:
                self.idle(conversation)

    # --- the conversations' office ----------------------------------------------------------------------------------

    @property
    def share(self) -> int:
        return self._limits.per_connection

    def pick(self) -> Letter | None:
        while not self._closing:
            self._ask()
            claim = self._next_claim()
            if claim is None:
                return None
            try:
                return letter(self._mailing, claim)
            except RenderError as error:  # no envelope or header may carry it: this reader's trouble alone
                refused = Reply(code=None, text=error.what, phase="message")
                self._record(Settlement(claim=claim, state="failed", reply=refused))
            except Exception as error:  # noqa: BLE001 (told by `run`)
                self._ready.appendleft(claim)
                self._fail(error)
        return None

    def _next_claim(self) -> Claim | None:
        if not self._ready:
            return None
        if self._paces.unlimited:
            return self._ready.popleft()
        at = self._loop.time()
        waits = []
        for index, claim in enumerate(self._ready):
            wait = self._paces.wait(claim, at)
            if wait <= 0.0:
                self._paces.take(claim, at)
                del self._ready[index]
                return claim
            waits.append(wait)
        self._loop.call_later(min(waits), self._spread)
        return None

    def put_back(self, letter: Letter) -> None:
        self._ready.appendleft(letter.claim)

    def begin(self, conversation: Conversation, letter: Letter) -> None:
        self._open_steps += 1

        def answered(claim: Claim, begun: bool) -> None:
            self._open_steps -= 1
            if not begun:
                self._held.pop(claim.delivery_id, None)
                self._skipped.append(claim)
                self._count(claim, "skipped", None)
                self._ask(0)
            conversation.proceed(letter, begun)
            self._settle_down()

        def refused() -> None:
            self._open_steps -= 1
            self.put_back(letter)
            conversation.proceed(letter, False)

        if self._closing:
            self._open_steps -= 1
            self.put_back(letter)
            conversation.proceed(letter, False)
        else:
            self._commits.begin(letter.claim, answered, refused)

    def judge(self, letter: Letter, reply: Reply) -> replies.Verdict:
        """T4–T7: have recorded what the server said, and tell what it means for the connection."""
        verdict = self._judge(reply)
        if self._judge.doubtful(verdict):
            self._doubtful.append((letter, reply))
            return verdict
        self._settle_letter(letter, reply, verdict)
        if verdict.pause:
            self._pause(reply)
        if self._doubtful and (self._judge.welcome or verdict.pause):
            self._end_doubt(None if self._judge.welcome else replies.REFUSED)
        return verdict

    def _settle_letter(self, letter: Letter, reply: Reply, verdict: replies.Verdict) -> None:
        self._record(settlement(letter.claim, reply, verdict, message_id=letter.message_id, at=self._now()))

    def _end_doubt(self, verdict: replies.Verdict | None) -> None:
        """Settle what was doubtful; None: each is what it seems."""
        doubtful, self._doubtful = self._doubtful, []
        for one, reply in doubtful:
            self._settle_letter(one, reply, verdict or replies.classify(reply))

    def _all_asked(self) -> None:
        """Nothing is left to ask for, and some are doubtful still."""
        if self._closing:  # too early to tell: they wait, as those do that were never asked for
            self._end_doubt(replies.REFUSED)
            return
        self._open_steps += 1

        def answered(taken: bool | None, error: BaseException | None) -> None:
            self._open_steps -= 1
            if error is not None:
                self._fail(error)
            verdict = self._judge.on_all(taken_before=bool(taken))
            if verdict is not None and self._doubtful:
                self._pause(self._doubtful[-1][1])
            self._end_doubt(verdict)
            self._settle_down()

        self._commits.call(lambda: self._ledger.taken(self._mailing.issue), answered)

    def idle(self, conversation: Conversation) -> None:
        if conversation.wire is not None and conversation.spent:
            self._quit(conversation)
        if conversation.wire is not None:
            conversation.start()
        elif self._ready and not conversation.connecting and not self._closing:
            conversation.connecting = True
            self._do(self._connect(conversation))
        if not conversation.busy:
            self._settle_down()

    # --- results ----------------------------------------------------------------------------------------------------

    def _record(self, done: Settlement) -> None:
        self._open_steps += 1
        self._commits.settle(done, self._settled)

    def _settled(self, done: Settlement, lost: bool) -> None:
        self._open_steps -= 1
        self._held.pop(done.claim.delivery_id, None)
        self._count(done.claim, "lease_lost" if lost else done.state, done.reply)
        self._settle_down()

    def _count(self, claim: Claim, result: Result, reply: Reply | None) -> None:
        self.results[result] += 1
        try:
            self._progress(claim, result, reply)
        except BaseException as error:  # noqa: BLE001 (told by `run`, after what is out has its record)
            self._fail(error)

    def _pause(self, reply: Reply) -> None:
        if self.paused is not None:
            return
        self.paused = reason = self._judge.why(reply)
        self._open_steps += 1

        def answered(_done: Any, error: BaseException | None) -> None:
            self._open_steps -= 1
            if error is not None:
                self._fail(error)
            self._settle_down()

        self._commits.call(lambda: self._ledger.pause(self._mailing.issue, reason), answered)

    # --- connections ------------------------------------------------------------------------------------------------

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    async def _connect(self, conversation: Conversation) -> None:
        wait = self._limits.connect_wait_s
        for left in reversed(range(max(1, self._limits.connect_tries))):
            try:
                conversation.take(await self._transport.connect())
                break
            except ConnectError as error:
                if replies.classify(error.reply).pause:
                    conversation.connecting = False
                    self._pause(error.reply)
                    return
                if not left or not error.retryable or self._closing:
                    conversation.connecting = False
                    self._without(conversation, error)
                    return
                await asyncio.to_thread(self._sleep, wait)
                wait *= 2
        self.idle(conversation)

    def _without(self, conversation: Conversation, error: ConnectError) -> None:
        """One connection could not be had: with others we go on, a server may allow fewer than we asked for."""
        others = [other for other in self._conversations if other is not conversation]
        if any(other.wire is not None or other.connecting for other in others):
            if len(self._conversations) > 1:
                self._conversations.remove(conversation)
            self._settle_down()
        else:
            self._fail(error)

    def _quit(self, conversation: Conversation) -> None:
        wire = conversation.give_up()
        if wire is not None:
            self._leaving.add(_Leaving(wire, self._leaving))


class _Leaving:
    """The end of a connection: it was told QUIT, and its answer, whatever it is, is waited for beside all else."""

    def __init__(self, wire: Wire, others: set["_Leaving"]) -> None:
        self.wire = wire
        self.gone = asyncio.get_running_loop().create_future()
        self._others = others
        wire.own(self)
        wire.put(b"QUIT\r\n", "quit")

    def replied(self, phase: str, code: int, raw: bytes) -> None:  # noqa: ARG002 (the form of a wire's Owner)
        self.wire.abort("goodbye")

    def lost(self, text: str) -> None:  # noqa: ARG002
        self._others.discard(self)
        if not self.gone.done():
            self.gone.set_result(None)
