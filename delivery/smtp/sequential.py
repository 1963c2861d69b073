"""The slow and simple dispatch: one session, one message, one commit at a time.

For transports that know no other way (a folder), and as the reference that the quick one is compared with.
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from delivery.mailing import (
    RECORD_HINT,
    DispatchReport,
    Letter,
    Limits,
    Mailing,
    Progress,
    Result,
    cannot_record,
    letter,
    settlement,
    upkeep,
)
from delivery.ports import ConnectError, Ledger, Session, Transport
from delivery.smtp import replies
from milepost.errors import ConflictError, DeliveryError, RenderError, StoreError
from milepost.records import Claim, Reply, Settlement
from milepost.renewal import Renewal


def run(
    ledger: Ledger, transport: Transport, mailing: Mailing, *, now: Callable[[], dt.datetime], limits: Limits,
    progress: Progress, stop: Callable[[], bool], sleep: Callable[[float], None],
) -> DispatchReport:
    """See `delivery.dispatch.dispatch`."""
    return _Dispatch(ledger, transport, mailing, now, limits, progress, stop, sleep).run()


@dataclass(slots=True)
class _Dispatch:
    """One run: the open session, what is held, and what came of the rest."""

    ledger: Ledger
    transport: Transport
    mailing: Mailing
    now: Callable[[], dt.datetime]
    limits: Limits
    progress: Progress
    stop: Callable[[], bool]
    sleep: Callable[[float], None]
    session: Session | None = None
    used: int = 0  # messages tried on this session
    held: list[Claim] = field(default_factory=list)  # claimed, not begun
    begun: list[Claim] = field(default_factory=list)  # on the wire
    skipped: list[Claim] = field(default_factory=list)  # held till the end, so that they aren't claimed again at once
    judge: replies.Judge = field(default_factory=replies.Judge)
    doubtful: list[tuple[Letter, Reply]] = field(default_factory=list)  # refused; whose fault that is, nothing says yet
    results: Counter[str] = field(default_factory=Counter)
    freed: int = 0  # since it began
    orphaned: int = 0
    paused: str | None = None
    stopped: bool = False

    def run(self) -> DispatchReport:
        number = self.mailing.issue
        freed, orphaned = self.ledger.recover(number)
        try:
            with Renewal(self._renew, every=self.limits.renew_s):
                while not self._done() and self._claim():
                    while self.held and not self._done():
                        self._deliver(self.held[0])
                self._all_asked()
        except BaseException:
            self._leave(quietly=True)
            raise
        self._leave(quietly=False)
        state = self.ledger.finish(number)
        return DispatchReport(
            issue=number, results=dict(self.results), freed=freed + self.freed, orphaned=orphaned + self.orphaned,
            state=state, paused=self.paused, stopped=self.stopped, next_due=self.ledger.next_due(number),
        )

    def _holding(self) -> list[Claim]:
        return [*self.held, *self.begun, *(one.claim for one, _ in self.doubtful)]

    def _done(self) -> bool:
        self.stopped = self.stopped or self.stop()
        return self.stopped or self.paused is not None

    def _claim(self) -> bool:
        """T1."""
        try:
            claims = self.ledger.claim(
                self.mailing.issue, limit=self.limits.claims, lease_seconds=self.limits.lease_seconds
            )
        except ConflictError as error:
            if not self.results:
                raise
            self.paused = error.what  # it was fine a moment ago: an operator paused it meanwhile
            return False
        self.held = list(claims)
        return bool(claims)

    def _leave(self, *, quietly: bool) -> None:
        """Close the session and give back (T2) what was not begun; on an error, without hiding that error."""
        self._hang_up()
        self.held += self.skipped
        try:
            self._give_back()
        except StoreError:
            if not quietly:  # else their lease runs out: the same, later
                raise

    def _give_back(self) -> None:
        """T2."""
        held, self.held = self.held, []
        if held:
            self.ledger.release(held)

    # --- one delivery -----------------------------------------------------------------------------------------------

    def _deliver(self, claim: Claim) -> None:
        try:
            ready = letter(self.mailing, claim)
        except RenderError as error:  # no envelope or header may carry it: this reader's trouble alone
            self._settle(Settlement(
                claim=claim, state="failed", reply=Reply(code=None, text=error.what, phase="message")
            ))
            return
        session = self._open()
        if session is None:
            return
        self.used += 1
        reply = session.mail(ready.sender)
        if replies.classify(reply).outcome == "accepted":
            reply = session.rcpt(claim.address)
        if replies.classify(reply).outcome == "accepted":
            if not self._begin(claim, session):
                return
            reply = session.data(ready.message)
        self._judge(ready, reply)

    def _begin(self, claim: Claim, session: Session) -> bool:
        """T3. After this the delivery is no longer ours to give back."""
        begun = claim.delivery_id in self.ledger.advance((), [claim]).begun
        if begun:
            self.begun.append(claim)
        self.held.remove(claim)
        if begun:
            return True
        self.skipped.append(claim)
        session.reset()
        self._count(claim, "skipped", None)
        return False

    def _judge(self, ready: Letter, reply: Reply) -> None:
        """T4–T7: record what the server said, then do what it means for the session and the issue."""
        if replies.not_begun(reply, self.used):
            self._hang_up()  # the claim stays in hand, for a new session
            return
        verdict = self.judge(reply)
        if self.judge.doubtful(verdict):
            self.doubtful.append((ready, reply))
            self._out_of_hand(ready.claim)
        else:
            self._settle_letter(ready, reply, verdict)
            if verdict.pause:
                self._pause(reply)
            if self.judge.welcome:
                self._end_doubt(None)
            elif verdict.pause:
                self._end_doubt(replies.REFUSED)
        if verdict.hang_up:
            self._hang_up()
            if reply.code == 421:  # "come back later" is meant for all that this connection still holds
                self._give_back()
        elif verdict.outcome != "sent" and self.session is not None:
            self.session.reset()

    def _settle_letter(self, ready: Letter, reply: Reply, verdict: replies.Verdict) -> None:
        self._settle(settlement(ready.claim, reply, verdict, message_id=ready.message_id, at=self.now()))

    def _end_doubt(self, verdict: replies.Verdict | None) -> None:
        """Settle what was doubtful; None: each is what it seems."""
        while self.doubtful:
            ready, reply = self.doubtful[0]
            self._settle_letter(ready, reply, verdict or replies.classify(reply))
            del self.doubtful[0]

    def _all_asked(self) -> None:
        """Nothing is left to ask for; where it was ended before, what is doubtful waits as those do never asked for."""
        if not self.doubtful:
            return
        verdict: replies.Verdict | None = replies.REFUSED
        if not self._done():
            verdict = self.judge.on_all(taken_before=self.ledger.taken(self.mailing.issue))
            if verdict is not None:
                self._pause(self.doubtful[-1][1])
        self._end_doubt(verdict)

    def _out_of_hand(self, claim: Claim) -> None:
        if claim in self.held:
            self.held.remove(claim)
        self.begun.clear()

    def _settle(self, done: Settlement) -> None:
        """Record the result, patiently: a database that is busy for a moment must not make a sent mail unknown."""
        if done.claim in self.held:
            self.held.remove(done.claim)
        result: Result = done.state
        wait = self.limits.record_wait_s
        for left in reversed(range(self.limits.record_tries)):
            try:
                # Lost: the lease ran out, or a commit that seemed to fail did not. The ledger knows better.
                if self.ledger.advance([done], ()).lost:
                    result = "lease_lost"
                break
            except StoreError as error:
                if not left:
                    where = f"issue {self.mailing.issue}"
                    raise StoreError(cannot_record(done, error.what), where=where, hint=RECORD_HINT) from error
                self.sleep(wait)
                wait *= 2
        self.begun.clear()
        self._count(done.claim, result, done.reply)

    def _count(self, claim: Claim, result: Result, reply: Reply | None) -> None:
        self.results[result] += 1
        self.progress(claim, result, reply)

    def _pause(self, reply: Reply) -> None:
        self.paused = self.judge.why(reply)
        self.ledger.pause(self.mailing.issue, self.paused)

    def _renew(self) -> None:
        """T1′ for what is held, then T2 and T7 for what others left since."""
        freed, orphaned = upkeep(self.ledger, self.mailing.issue, self._holding())
        self.freed += freed
        self.orphaned += orphaned

    # --- the session ------------------------------------------------------------------------------------------------

    def _open(self) -> Session | None:
        """A live session with messages left, None when the refusal paused the issue; raises ConnectError."""
        if self.session is not None and self.session.alive and self.used < self.limits.per_connection:
            return self.session
        self._hang_up()
        wait = self.limits.connect_wait_s
        for left in reversed(range(self.limits.connect_tries)):
            try:
                self.session = self.transport.open()
                self.used = 0
                return self.session
            except ConnectError as error:
                if replies.classify(error.reply).pause:
                    self._pause(error.reply)
                    return None
                if not left or not error.retryable or self.stop():
                    raise
                self.sleep(wait)
                wait *= 2
        raise DeliveryError("no try to connect was allowed", where="limits.connect_tries", hint="Want at least 1.")

    def _hang_up(self) -> None:
        if self.session is not None:
            self.session.quit()
            self.session = None
