"""The borders of the delivery room: the ledger that remembers, the transport that hands over, mail that comes back."""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from milepost.errors import DeliveryError
from milepost.records import Advanced, Claim, IssueState, Reply, Settlement

TryAdvance = Callable[[Sequence[Settlement], Sequence[Claim]], Advanced | None]
RecordKind = Literal["TXT", "MX", "A", "AAAA", "PTR"]


class ConnectError(DeliveryError):
    """No session could be opened. `reply` holds the phase (connect | ehlo | tls | auth) and the server's words.

    `retryable` says whether the same attempt may succeed a moment later (a busy server: yes; a wrong password: no).
    """

    def __init__(self, what: str, *, where: str, reply: Reply, retryable: bool, hint: str | None = None) -> None:
        super().__init__(what, where=where, hint=hint)
        self.reply = reply
        self.retryable = retryable


class Writer(Protocol):
    """A way to have `Ledger.advance` done while the event loop goes on: one batch at a time. Nothing here raises."""

    @property
    def alive(self) -> bool:
        """Whether a batch may be sent on it."""

    @property
    def busy(self) -> bool:
        """Whether a batch is under way: it has no answer yet."""

    @property
    def unsent(self) -> bool:
        """Whether part of it still waits to be written."""

    def fileno(self) -> int:
        """Where the answer will be heard."""

    def send(self, settlements: Sequence[Settlement], claims: Sequence[Claim]) -> bool:
        """Put a batch under way, both kinds in one commit; False: nothing was sent, `advance` is to be asked."""

    def go_on(self) -> None:
        """Called when there is something to read, or room to write; afterwards look at `busy` and `alive`."""

    def answer(self) -> Advanced | None:
        """Called once when it is no longer busy. None: nothing was written, or nobody can tell; ask `advance`."""

    def close(self) -> None:
        """Called when it was silent for too long, and at the end."""

    def reopen(self) -> None:
        """Called from a thread, for one that is not alive; raises StoreError."""


class Ledger(Protocol):
    """What `dispatch` needs of the ledger of deliveries; the steps T1–T7 are commits, in that order.

    Every method raises StoreError when the database can't do it.
    """

    def recover(self, number: int) -> tuple[int, int]:
        """Called first, then after each renewal: claims whose lease is over become pending, `sending` ones unknown →
        (freed, unknown).
        """

    def claim(self, number: int, *, limit: int, lease_seconds: int, after: int = 0) -> Sequence[Claim]:
        """T1. Called between batches: at most `limit` deliveries that are pending or due again; none: nothing to do.
        Those behind the delivery `after` come first.

        Raises ConflictError when the issue is neither frozen nor sending.
        """

    def renew(self, held: Sequence[Claim]) -> int:
        """T1′. Called every now and then for all that was claimed and has no outcome yet; how many still were ours.

        From a thread of its own in `delivery.smtp.sequential`, beside the other steps, as `recover` after it.
        """

    def release(self, claims: Sequence[Claim]) -> int:
        """T2. Called on every way out for claims not begun: back to pending (or deferred); how many still were ours."""

    def advance(self, settlements: Sequence[Settlement], claims: Sequence[Claim]) -> Advanced:
        """T3 of `claims` and T4–T7 of `settlements` in one commit, durable when it returns; nothing is written
        on error.

        Called after RCPT was accepted and before DATA (a claim that is not in `begun` is skipped: lease lost, issue
        paused, subscriber gone), and on each outcome. A settlement in `lost` has no lease any more: somebody else
        has decided. Many deliveries come at once; a dispatch never calls it from two threads at a time, but
        beside writers that carry other deliveries.
        """

    def try_advance(self) -> AbstractContextManager[TryAdvance]:
        """Opened around a dispatch: `advance` for the event loop, which answers None rather than wait.

        None: nothing was written, and `advance` is to be asked, from where it can be waited for. Called between calls
        of `advance`, never beside one.
        """

    def writers(self) -> AbstractContextManager[Sequence[Writer]]:
        """Opened around a dispatch; none where `try_advance` is the quicker way."""

    def pause(self, number: int, reason: str) -> None:
        """Called when the relay refuses us rather than a subscriber. Pausing twice is no error."""

    def finish(self, number: int) -> IssueState:
        """Called last: complete, needs_review, or the state as it stays while deliveries wait or it is paused."""

    def taken(self, number: int) -> bool:
        """Called when all are asked and refused: whether any mail of the issue was ever taken."""

    def next_due(self, number: int) -> dt.datetime | None:
        """Called last: when the earliest deferred delivery is due, None when none waits."""


class Session(Protocol):
    """One open connection, one transaction at a time: mail, rcpt, then data or reset. Nothing here raises.

    A reply with code None means that none came (`text` says why), and that the session is no longer `alive`.
    """

    @property
    def alive(self) -> bool:
        """Whether another transaction may be tried on this session."""

    def mail(self, sender: str) -> Reply:
        """MAIL FROM; phase "mail"."""

    def rcpt(self, address: str) -> Reply:
        """RCPT TO; phase "rcpt"."""

    def data(self, message: bytes) -> Reply:
        """DATA, the message (CRLF lines, not dot-stuffed) and the dot.

        Phase "data": the dot was never sent, so nobody took the message. Phase "dot": it was; code None is uncertain.
        """

    def reset(self) -> None:
        """RSET: forget the transaction. Called when a delivery is skipped or was refused."""

    def quit(self) -> None:
        """QUIT and close. What the server answers doesn't matter."""


class Transport(Protocol):
    """A way to hand messages over."""

    @property
    def where(self) -> str:
        """Its address without a password, for people to read: "smtp://127.0.0.1:2525"."""

    def open(self) -> Session:
        """A session ready for MAIL; raises ConnectError."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """One message as it arrived, cut to `delivery.bounces.reports.LONGEST` octets."""

    name: str  # how the inbox knows it
    raw: bytes


class Inbox(Protocol):
    """A place that bounces arrive at, open for reading."""

    def arrivals(self) -> Iterator[Arrival]:
        """Everything that was not put away yet; raises DeliveryError when it can't be read."""

    def put_away(self, arrivals: Sequence[Arrival]) -> None:
        """Called after the effect of these is committed; raises DeliveryError, and then they are read again."""


class LookupFailedError(DeliveryError):
    """The DNS could not be asked: nothing is known, not even that there is no such name."""


class Resolver(Protocol):
    """Who asks the DNS."""

    def lookup(self, name: str, kind: RecordKind) -> list[str]:
        """The records of `name` (of an address for PTR) as text, without their last dots; [] when there are none.

        TXT strings are joined (RFC 7208 §3.3); MX reads "10 mx.example.org". Raises LookupFailedError.
        """
