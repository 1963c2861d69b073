"""A ledger that keeps the rules of delivery in memory, by a clock that stands still."""

import copy
import datetime as dt
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from delivery.ports import TryAdvance
from milepost.errors import ConflictError, StoreError
from milepost.records import Advanced, Claim, IssueState, Reply, Settlement

START = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)


class Clock:
    """A clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> dt.datetime:
        return self.at

    def advance(self, **amount: float) -> None:
        self.at += dt.timedelta(**amount)


@dataclass
class Row:
    delivery_id: int
    subscriber_id: int
    address: str
    variant: str = "all"
    state: str = "pending"
    lease: str | None = None
    lease_until: dt.datetime | None = None
    retry_at: dt.datetime | None = None
    first_attempt_at: dt.datetime | None = None
    attempts: list[Reply] = field(default_factory=list)
    message_id: str | None = None
    queue_id: str | None = None
    history: list[str] = field(default_factory=list)

    def become(self, state: str) -> None:
        self.state = state
        self.history.append(state)


class MemoryLedger:
    """The states and rules of the ledger of deliveries, without a database. `break_at` makes a step fail."""

    def __init__(self, clock: Clock, readers: int, *, issue: int = 1, variant: str = "all") -> None:
        self.clock = clock
        self.issue = issue
        self.state: IssueState = "frozen"
        self.pause_reason: str | None = None
        self.rows = [
            Row(delivery_id=n, subscriber_id=n, address=f"r{n}@readers.example", variant=variant)
            for n in range(1, readers + 1)
        ]
        self.gone: set[int] = set()  # unsubscribed
        self.suppressed: dict[str, str] = {}
        self.break_at: dict[str, int] = {}  # step → how many times it fails
        self.before_begin: Callable[[Claim], None] = lambda _: None
        self.commits = 0
        self.interrupt: BaseException | None = None  # what comes in the middle of the next commit in the loop
        self.far = False  # its commits take too long for the event loop to wait for
        self._tokens = itertools.count(1)

    def row(self, subscriber_id: int) -> Row:
        return self.rows[subscriber_id - 1]

    def states(self) -> dict[str, int]:
        return dict(Counter(row.state for row in self.rows))

    def recover(self, number: int) -> tuple[int, int]:
        self._break("recover")
        freed = orphaned = 0
        for row in self.rows:
            if row.lease_until is None or row.lease_until > self.clock():
                continue
            if row.state == "claimed":
                self._free(row)
                freed += 1
            elif row.state == "sending":
                row.become("unknown")  # its lease token stays: if its holder is alive after all, it brings evidence
                row.lease_until = None
                orphaned += 1
        return freed, orphaned

    def claim(self, number: int, *, limit: int, lease_seconds: int) -> list[Claim]:
        self._break("claim")
        if self.state not in ("frozen", "sending"):
            raise ConflictError(f"issue {number} is {self.state}")
        self.state = "sending"
        due = [
            row for row in self.rows
            if row.state == "pending" or (row.state == "deferred" and (row.retry_at or START) <= self.clock())
        ]
        return [self._lend(row, lease_seconds) for row in due[:limit]]

    def release(self, claims: Sequence[Claim]) -> int:
        self._break("release")
        mine = [row for row in map(self._find, claims) if row is not None and row.state == "claimed"]
        for row in mine:
            self._free(row)
        return len(mine)

    def begin(self, claim: Claim) -> bool:
        self.before_begin(claim)
        self._break("begin")
        row = self._find(claim)
        if row is None or row.state != "claimed":
            return False
        if self.state != "sending":
            self._free(row)
            return False
        if row.subscriber_id in self.gone or row.address in self.suppressed:
            row.become("cancelled" if row.subscriber_id in self.gone else "suppressed")
            row.lease = row.lease_until = None
            return False
        row.become("sending")
        return True

    def sent(self, claim: Claim, reply: Reply, message_id: str, *, queue_id: str | None = None) -> None:
        self._break("sent")
        row = self._settle(claim, reply, "sent", {"sending", "unknown"})
        row.message_id, row.queue_id = message_id, queue_id

    def deferred(self, claim: Claim, reply: Reply, retry_at: dt.datetime) -> None:
        self._break("deferred")
        self._settle(claim, reply, "deferred", {"claimed", "sending", "unknown"}).retry_at = retry_at

    def failed(self, claim: Claim, reply: Reply, suppress: str | None) -> None:
        self._break("failed")
        row = self._settle(claim, reply, "failed", {"claimed", "sending", "unknown"})
        if suppress is not None:
            self.suppressed[row.address] = suppress

    def unknown(self, claim: Claim, reply: Reply) -> None:
        self._break("unknown")
        self._settle(claim, reply, "unknown", {"sending"})

    def advance(self, settlements: Sequence[Settlement], claims: Sequence[Claim]) -> Advanced:
        """One commit: all of it or nothing."""
        before = copy.deepcopy(self.rows)
        suppressed = dict(self.suppressed)
        try:
            lost = frozenset(done.claim.delivery_id for done in settlements if not self._record(done))
            begun = frozenset(claim.delivery_id for claim in claims if self.begin(claim))
        except StoreError:
            self.rows, self.suppressed = before, suppressed
            raise
        self.commits += 1
        return Advanced(begun=begun, lost=lost)

    @contextmanager
    def try_advance(self) -> Iterator[TryAdvance]:
        def advance(settlements: Sequence[Settlement], claims: Sequence[Claim]) -> Advanced | None:
            if self.interrupt is not None:
                interrupt, self.interrupt = self.interrupt, None
                raise interrupt
            if self.far or any(self.break_at.values()):
                return None
            try:
                return self.advance(settlements, claims)
            except StoreError:
                return None

        yield advance

    def _record(self, done: Settlement) -> bool:
        try:
            match done.state:
                case "sent":
                    self.sent(done.claim, done.reply, done.message_id or "", queue_id=done.queue_id)
                case "deferred":
                    self.deferred(done.claim, done.reply, done.retry_at or START)
                case "failed":
                    self.failed(done.claim, done.reply, done.suppress)
                case "unknown":
                    self.unknown(done.claim, done.reply)
        except ConflictError:
            return False
        return True

    def pause(self, number: int, reason: str) -> None:
        self.state, self.pause_reason = "paused", reason

    def resume(self) -> None:
        self.state, self.pause_reason = "sending", None

    def finish(self, number: int) -> IssueState:
        states = self.states()
        if self.state == "sending" and not {"pending", "claimed", "sending", "deferred"} & set(states):
            self.state = "needs_review" if "unknown" in states else "complete"
        return self.state

    def next_due(self, number: int) -> dt.datetime | None:
        return min((row.retry_at for row in self.rows if row.state == "deferred" and row.retry_at), default=None)

    def _break(self, step: str) -> None:
        if self.break_at.get(step, 0):
            self.break_at[step] -= 1
            raise StoreError("the disk is full")

    def _find(self, claim: Claim) -> Row | None:
        row = self.rows[claim.delivery_id - 1]
        return row if row.lease == claim.lease else None

    def _lend(self, row: Row, lease_seconds: int) -> Claim:
        row.lease = f"lease-{next(self._tokens)}"
        row.lease_until = self.clock() + dt.timedelta(seconds=lease_seconds)
        row.become("claimed")
        return Claim(
            delivery_id=row.delivery_id, issue=self.issue, subscriber_id=row.subscriber_id, address=row.address,
            variant=row.variant, lease=row.lease, attempts=len(row.attempts), first_attempt_at=row.first_attempt_at,
        )

    def _free(self, row: Row) -> None:
        row.become("pending")
        row.lease = row.lease_until = None

    def _settle(self, claim: Claim, reply: Reply, state: str, allowed: set[str]) -> Row:
        row = self._find(claim)
        if row is None or row.state not in allowed:
            raise ConflictError("the lease no longer holds")
        row.become(state)
        row.lease = row.lease_until = None
        row.first_attempt_at = row.first_attempt_at or self.clock()
        row.attempts.append(reply)
        return row
