"""Dispatch: every delivery of one issue that is due, handed over once, each step recorded before the next.

    recover ─▶ claim (T1) ─▶ MAIL ─▶ RCPT ─▶ begin (T3, durable) ─▶ DATA … dot ─▶ sent T4 | deferred T5 | failed T6
       ▲          │ none left                     └ no: RSET, skip                └ no reply: unknown T7
    finish ◀──────┘        on every way out what is claimed and not begun is given back (T2)
"""

import datetime as dt
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from delivery import headers, replies
from delivery.message import MessageTemplate
from delivery.ports import ConnectError, Ledger, Session, Transport
from milepost.errors import ConflictError, DeliveryError, RenderError, StoreError
from milepost.records import Claim, IssueState, Reply

Result = Literal["sent", "deferred", "failed", "unknown", "skipped", "lease_lost"]
Progress = Callable[[Claim, Result, Reply | None], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How dispatch paces itself."""

    batch: int = 20  # claims held at once; few, so that little waits when one of them is slow
    lease_seconds: int = 1800  # longer than all time-outs of one message together (RFC 5321: 1,500 s)
    per_connection: int = 100  # messages, then a new connection: relays like to shuffle their load
    connect_tries: int = 3
    connect_wait_s: float = 0.5  # before the second try; doubles
    record_tries: int = 7  # of T4–T7 while the database is busy (over a minute): a mail is out
    record_wait_s: float = 1.0  # before the second try; doubles


@dataclass(frozen=True, kw_only=True, slots=True)
class Mailing:
    """What dispatch needs to know of one issue, and nothing of how it came to be. All callables are pure."""

    issue: int
    templates: Mapping[str, MessageTemplate]  # variant → template
    link: Callable[[int], str]  # subscriber id → unsubscribe URL
    message_id: Callable[[int], str]  # subscriber id → Message-ID with angle brackets, the same on every attempt
    envelope: Callable[[Claim], str]  # → the address bounces go to
    sign: Callable[[bytes], bytes] = bytes  # message → message with a DKIM signature; `bytes` leaves it as it is


@dataclass(frozen=True, kw_only=True, slots=True)
class DispatchReport:
    """What one dispatch did; the form of `dispatch --json`."""

    issue: int
    results: Mapping[str, int]  # Result → how many deliveries
    freed: int  # claims of a dead dispatcher that became pending again
    orphaned: int  # hand-overs of a dead dispatcher that became unknown
    state: IssueState
    paused: str | None = None  # why the issue waits for an operator
    stopped: bool = False  # asked to stop: the rest is pending
    next_due: dt.datetime | None = None  # when the earliest deferred delivery is due

    def count(self, result: Result) -> int:
        return self.results.get(result, 0)


def dispatch(
    ledger: Ledger,
    transport: Transport,
    mailing: Mailing,
    *,
    now: Callable[[], dt.datetime],
    limits: Limits = Limits(),
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
) -> DispatchReport:
    """Hand over all that is due of `mailing.issue`; returns when nothing is left to claim, on a pause, or on `stop`.

    A recipient that is refused never stops the others. Raises DeliveryError when the relay or a variant's message
    can't be had, StoreError when the ledger can't be written (nothing is sent that was not recorded first),
    ConflictError when the issue is neither frozen nor sending. Calling it again is always safe.
    """
    return _Dispatch(ledger, transport, mailing, now, limits, progress or _quiet, stop, sleep).run()


@dataclass(slots=True)
class _Dispatch:
    """One run of `dispatch`: the open session, what is held, and what came of the rest."""

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
    skipped: list[Claim] = field(default_factory=list)  # held till the end, so that they aren't claimed again at once
    results: Counter[str] = field(default_factory=Counter)
    paused: str | None = None
    stopped: bool = False

    def run(self) -> DispatchReport:
        number = self.mailing.issue
        freed, orphaned = self.ledger.recover(number)
        try:
            while not self._done() and self._claim():
                while self.held and not self._done():
                    self._deliver(self.held[0])
        except BaseException:
            self._leave(quietly=True)
            raise
        self._leave(quietly=False)
        state = self.ledger.finish(number)
        return DispatchReport(
            issue=number, results=dict(self.results), freed=freed, orphaned=orphaned, state=state,
            paused=self.paused, stopped=self.stopped, next_due=self.ledger.next_due(number),
        )

    def _done(self) -> bool:
        self.stopped = self.stopped or self.stop()
        return self.stopped or self.paused is not None

    def _claim(self) -> bool:
        """T1."""
        try:
            claims = self.ledger.claim(
                self.mailing.issue, limit=self.limits.batch, lease_seconds=self.limits.lease_seconds
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
            headers.address(claim.address)
        except RenderError as error:  # no envelope or header may carry it: this reader's trouble alone
            refused = Reply(code=None, text=error.what, phase="message")
            self._settle(claim, "failed", refused, lambda: self.ledger.failed(claim, refused, None))
            return
        message_id = self.mailing.message_id(claim.subscriber_id)
        sender = headers.address(self.mailing.envelope(claim))
        message = self._message(claim, message_id)
        session = self._open()
        if session is None:
            return
        self.used += 1
        reply = session.mail(sender)
        if replies.classify(reply).outcome == "accepted":
            reply = session.rcpt(claim.address)
        if replies.classify(reply).outcome == "accepted":
            if not self._begin(claim, session):
                return
            reply = session.data(message)
        self._judge(claim, reply, message_id)

    def _message(self, claim: Claim, message_id: str) -> bytes:
        template = self.mailing.templates.get(claim.variant)
        if template is None:
            raise DeliveryError(
                f"there is no message for the variant {claim.variant}", where=f"issue {claim.issue}",
                hint="The issue was frozen with other variants than it has now: look at it before going on.",
            )
        link = self.mailing.link(claim.subscriber_id)
        return self.mailing.sign(
            template.bytes_for(address=claim.address, unsubscribe_url=link, message_id=message_id)
        )

    def _begin(self, claim: Claim, session: Session) -> bool:
        """T3. After this the delivery is no longer ours to give back."""
        try:
            begun = self.ledger.begin(claim)
        except ConflictError:
            begun = False
        self.held.remove(claim)
        if begun:
            return True
        self.skipped.append(claim)
        session.reset()
        self._count(claim, "skipped", None)
        return False

    def _judge(self, claim: Claim, reply: Reply, message_id: str) -> None:
        """T4–T7: record what the server said, then do what it means for the session and the issue."""
        ledger, verdict = self.ledger, replies.classify(reply)
        match verdict.outcome:
            case "sent":
                named = replies.queue_id(reply.text)
                self._settle(claim, "sent", reply, lambda: ledger.sent(claim, reply, message_id, queue_id=named))
            case "unknown":
                self._settle(claim, "unknown", reply, lambda: ledger.unknown(claim, reply))
            case "failed":
                self._settle(claim, "failed", reply, lambda: ledger.failed(claim, reply, verdict.suppress))
            case _:
                self._defer(claim, reply)
        if verdict.pause:
            self._pause(reply)
        if verdict.hang_up:
            self._hang_up()
            if reply.code == 421:  # "come back later" is meant for all that this connection still holds
                self._give_back()
        elif verdict.outcome != "sent" and self.session is not None:
            self.session.reset()

    def _defer(self, claim: Claim, reply: Reply) -> None:
        at = self.now()
        if claim.first_attempt_at is not None and at - claim.first_attempt_at >= replies.GIVE_UP:
            expired = replace(reply, text=f"expired after 72 h; the last answer: {reply.text}")
            self._settle(claim, "failed", expired, lambda: self.ledger.failed(claim, expired, None))
            return
        wait = replies.backoff(claim.attempts, str(claim.delivery_id))
        retry_at = at + dt.timedelta(seconds=wait)
        self._settle(claim, "deferred", reply, lambda: self.ledger.deferred(claim, reply, retry_at))

    def _settle(self, claim: Claim, result: Result, reply: Reply, record: Callable[[], None]) -> None:
        """Record the result, patiently: a database that is busy for a moment must not make a sent mail unknown."""
        if claim in self.held:
            self.held.remove(claim)
        wait = self.limits.record_wait_s
        for left in reversed(range(self.limits.record_tries)):
            try:
                record()
            except ConflictError:  # the lease ran out, or a commit that seemed to fail did not: the ledger knows better
                result = "lease_lost"
                break
            except StoreError as error:
                if not left:
                    raise StoreError(
                        f"delivery {claim.delivery_id} is {result} and that can't be recorded ({error.what})",
                        where=f"issue {claim.issue}",
                        hint="Mend the database and dispatch again: it will be listed as unknown, never sent twice.",
                    ) from error
                self.sleep(wait)
                wait *= 2
            else:
                break
        self._count(claim, result, reply)

    def _count(self, claim: Claim, result: Result, reply: Reply | None) -> None:
        self.results[result] += 1
        self.progress(claim, result, reply)

    def _pause(self, reply: Reply) -> None:
        said = f"{reply.code} {reply.text}".strip()
        self.paused = (
            f"The mail server refuses us, not a reader: {said} (at {reply.phase.upper()}). Mend the sending side"
            f" (sender, authentication, reputation), then resume the issue."
        )
        self.ledger.pause(self.mailing.issue, self.paused)

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


def _quiet(claim: Claim, result: Result, reply: Reply | None) -> None:
    """No progress is shown."""

