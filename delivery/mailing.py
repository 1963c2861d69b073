"""What a dispatch is told, how it paces itself, and what it reports: the words its two ways of sending share."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from delivery.message import headers
from delivery.message.build import MessageTemplate
from delivery.ports import Ledger
from delivery.smtp import replies
from milepost.errors import DeliveryError, RenderError
from milepost.records import Claim, IssueState, Reply, Settlement
from milepost.renewal import LEASE_S

Result = Literal["sent", "deferred", "failed", "refused", "unknown", "skipped", "lease_lost"]
Progress = Callable[[Claim, Result, Reply | None], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How dispatch paces itself."""

    connections: int = 1  # to the relay at once; a transport that can't pipeline always has one
    batch: int | None = None  # claims asked for at once; None: 50 a connection, at most 1,000
    lease_seconds: int = LEASE_S  # how long what a dead dispatcher claimed keeps others waiting; renewed while it lives
    per_connection: int = 100  # messages, then a new connection: relays like to shuffle their load
    per_second: float | None = None  # messages begun a second, all connections together
    per_domain_per_second: float | None = None  # the same for each domain of readers
    connect_tries: int = 3
    connect_wait_s: float = 0.5  # before the second try; doubles
    record_tries: int = 7  # of T4–T7 while the database is busy (over a minute): a mail is out
    record_wait_s: float = 1.0  # before the second try; doubles
    drain_s: float = 30.0  # after a stop: for the replies to what is out; what has none by then is unknown

    @property
    def claims(self) -> int:
        """How many claims to ask for at once."""
        return self.batch or min(1000, 50 * self.connections)

    @property
    def renew_s(self) -> float:
        """Seconds between two renewals of a lease: three may fail before it ends."""
        return self.lease_seconds / 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Mailing:
    """What dispatch needs to know of one issue, and nothing of how it came to be. All callables are pure."""

    issue: int
    templates: Mapping[str, MessageTemplate]  # variant → template, which may be made when it is asked for
    link: Callable[[Claim], str]  # → unsubscribe URL
    message_id: Callable[[Claim], str]  # → Message-ID with angle brackets, the same on every attempt
    envelope: Callable[[Claim], str]  # → the address bounces go to
    leave: Callable[[Claim], str] | None = None  # → where a mail takes them off the list; None: no such way
    sign: Callable[[bytes], bytes] = bytes  # message → the same below a DKIM-Signature; `bytes` leaves it as it is


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


@dataclass(slots=True)
class Letter:
    """One claim made ready to go: nothing about it can fail any more but the way."""

    claim: Claim
    sender: str
    message_id: str
    message: bytes  # CRLF lines, none of which begins with a dot: it needs no stuffing
    lost: str | None = None  # its connection went while its T3 was on the way to the disk, and why


def letter(mailing: Mailing, claim: Claim) -> Letter:
    """The letter of `claim`; raises RenderError when its address can stand in no envelope (that reader's trouble
    alone), DeliveryError when the issue has no message for it (everybody's), StoreError when that can't be read.
    """
    try:
        template = mailing.templates.get(claim.variant)
    except RenderError as error:  # everybody's as well
        raise DeliveryError(error.what, where=f"issue {claim.issue}, variant {claim.variant}") from error
    if template is None:
        raise DeliveryError(
            f"there is no message for the variant {claim.variant}", where=f"issue {claim.issue}",
            hint="The issue was frozen with other variants than it has now: look at it before going on.",
        )
    message_id = mailing.message_id(claim)
    link = mailing.link(claim)
    message = template.bytes_for(
        address=claim.address, unsubscribe_url=link, message_id=message_id,
        leave_address=mailing.leave(claim) if mailing.leave else None,
    )
    sign = mailing.sign
    return Letter(
        claim=claim, sender=headers.address(mailing.envelope(claim)), message_id=message_id,
        message=message if sign is bytes else sign(message),
    )


def upkeep(ledger: Ledger, issue: int, held: Sequence[Claim]) -> tuple[int, int]:
    """What a dispatch does every `Limits.renew_s`: keep what it holds (T1′), then free what nobody does (T2, T7).

    In this order: what is ours is not over, however late this comes. Returns `Ledger.recover`'s; raises StoreError.
    """
    if held:
        ledger.renew(held)
    return ledger.recover(issue)


def settlement(
    claim: Claim, reply: Reply, verdict: replies.Verdict, *, message_id: str | None, at: dt.datetime
) -> Settlement:
    """T4 to T7 for one delivery: what the verdict on the last reply makes of it, `at` that moment. Pure."""
    match verdict.outcome:
        case "sent":
            return Settlement(
                claim=claim, state="sent", reply=reply, message_id=message_id, queue_id=replies.queue_id(reply.text)
            )
        case "unknown":
            return Settlement(claim=claim, state="unknown", reply=reply, message_id=message_id)
        case "failed":
            return Settlement(claim=claim, state="failed", reply=reply, suppress=verdict.suppress)
        case "refused":
            return Settlement(claim=claim, state="refused", reply=reply)
    if claim.first_attempt_at is not None and at - claim.first_attempt_at >= replies.GIVE_UP:
        expired = replace(reply, text=f"expired after 72 h; the last answer: {reply.text}")
        return Settlement(claim=claim, state="failed", reply=expired)
    wait = dt.timedelta(seconds=replies.backoff(claim.attempts, str(claim.delivery_id)))
    return Settlement(claim=claim, state="deferred", reply=reply, retry_at=at + wait)


def cannot_record(done: Settlement, why: str) -> str:
    """The sentence for a hand-over whose record can't be written."""
    return f"delivery {done.claim.delivery_id} is {done.state} and that can't be recorded ({why})"


RECORD_HINT = "Mend the database and dispatch again: it will be listed as unknown, never sent twice."


def quiet(claim: Claim, result: Result, reply: Reply | None) -> None:
    """No progress is shown."""
