"""A ledger that keeps the rules of delivery in memory, by a clock that stands still."""

import copy
import datetime as dt
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

from delivery.ports import TryAdvance, Writer
from milepost.errors import ConflictError, HeldError, StoreError
from milepost.records import Advanced, Claim, IssueState, Reply, Settlement

START = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)

_FROM = {  # in which states an outcome is taken from the holder of the lease token
    "sent": ("sending", "unknown"), "deferred": ("claimed", "sending", "unknown"),
    "failed": ("claimed", "sending", "unknown"), "refused": ("claimed", "sending"), "unknown": ("sending",),
}

_AFTER_DATA = ("dot", "resolve", "restore", "message")


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
    lease_for: dt.timedelta = dt.timedelta(0)
    lease_until: dt.datetime | None = None
    holder: str | None = None
    retry_at: dt.datetime | None = None
    first_attempt_at: dt.datetime | None = None
    tried: int = 0  # times that it was begun and has an outcome
    attempts: list[Reply] = field(default_factory=list)
    outcomes: list[tuple[int, str]] = field(default_factory=list)  # of each of `attempts`: its number and what it was
    message_id: str | None = None
    queue_id: str | None = None
    history: list[str] = field(default_factory=list)

    def become(self, state: str) -> None:
        self.state = state
        self.history.append(state)

    def free(self) -> None:
        self.lease = self.lease_until = self.holder = None

    def keep(self, outcome: str, reply: Reply) -> None:
        """What was tried; the number is that of the attempt it belongs to."""
        self.attempts.append(reply)
        self.outcomes.append((self.tried, outcome))


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
        self.restored = False  # from a backup, and nobody has confirmed it
        self.break_at: dict[str, int] = {}  # step → how many times it fails
        self.before_begin: Callable[[Claim], None] = lambda _: None
        self.commits = 0
        self.interrupt: BaseException | None = None  # what comes in the middle of the next commit in the loop
        self.holder = "here"  # which dispatcher claims
        self.dead: set[str] = set()  # those that are proven dead
        self.renewed = 0
        self.on_renewal: Callable[[], object] = lambda: None
        self.far = False  # its commits take too long for the event loop to wait for
        self._tokens = itertools.count(1)

    def row(self, subscriber_id: int) -> Row:
        return self.rows[subscriber_id - 1]

    def states(self) -> dict[str, int]:
        return dict(Counter(row.state for row in self.rows))

    def recover(self, number: int) -> tuple[int, int]:
        self._break("recover")
        return self._died([
            row for row in self.rows if row.lease_until is not None and self._is_over(row, row.lease_until)
        ])

    def take_over(self, number: int) -> tuple[int, int]:
        return self._died([row for row in self.rows if row.holder in self.dead])

    def _died(self, rows: list[Row]) -> tuple[int, int]:
        freed = [row for row in rows if row.state == "claimed"]
        orphaned = [row for row in rows if row.state == "sending"]
        for row in freed:
            self._free(row)
        for row in orphaned:  # its lease token stays: if its holder is alive after all, it brings evidence
            row.become("unknown")
            row.tried += 1
            row.keep("unknown", Reply(code=None, text="its dispatcher died", phase="dot"))
        return len(freed), len(orphaned)

    def held(self, number: int) -> dict[str, int]:
        """Who holds how many."""
        return dict(Counter(str(row.holder) for row in self.rows if row.state in ("claimed", "sending")))

    def _is_over(self, row: Row, until: dt.datetime) -> bool:
        longest = self.clock() + row.lease_for + dt.timedelta(minutes=1)
        return until < self.clock() or until > longest  # longer than it can be: the clock was set back

    def claim(self, number: int, *, limit: int, lease_seconds: int, after: int = 0) -> list[Claim]:
        self._break("claim")
        self._refuse()
        if self.state not in ("frozen", "sending"):
            raise ConflictError(f"issue {number} is {self.state}")
        self.state = "sending"
        pending = [row for row in self.rows if row.state == "pending"]
        waiting = sorted(pending, key=lambda row: (row.delivery_id <= after, row.delivery_id))[:limit]
        due = [
            row for row in self.rows
            if row.state == "deferred" and row.retry_at is not None and row.retry_at <= self.clock()
        ]
        waiting += sorted(due, key=lambda row: row.retry_at or START)[: limit - len(waiting)]
        return [self._lend(row, lease_seconds) for row in sorted(waiting, key=lambda row: row.delivery_id)]

    def _refuse(self) -> None:
        if self.restored:
            raise HeldError("the database was restored")

    def renew(self, held: Sequence[Claim]) -> int:
        self._break("renew")
        kept = [row for row in map(self._find, held) if row is not None and row.state in ("claimed", "sending")]
        for row in kept:
            row.lease_until = self.clock() + row.lease_for
        self.renewed += 1
        self.on_renewal()
        return len(kept)

    def release(self, claims: Sequence[Claim]) -> int:
        self._break("release")
        mine = [row for row in map(self._find, claims) if row is not None and row.state == "claimed"]
        for row in mine:
            self._free(row)
        return len(mine)

    def _begin(self, claim: Claim) -> bool:
        self.before_begin(claim)
        self._break("begin")
        self._refuse()
        row = self._find(claim)
        if row is None or row.state != "claimed":
            return False
        if row.subscriber_id in self.gone or row.address in self.suppressed:
            row.become("cancelled" if row.subscriber_id in self.gone else "suppressed")
            row.free()
            return False
        if self.state != "sending":
            self._free(row)
            return False
        row.become("sending")
        row.lease_until = self.clock() + row.lease_for
        row.first_attempt_at = row.first_attempt_at or self.clock()
        return True

    def advance(self, settlements: Sequence[Settlement], claims: Sequence[Claim]) -> Advanced:
        """One commit: all of it or nothing."""
        before = copy.deepcopy(self.rows)
        suppressed = dict(self.suppressed)
        try:
            lost = frozenset(done.claim.delivery_id for done in settlements if not self._settle(done))
            begun = frozenset(claim.delivery_id for claim in claims if self._begin(claim))
        except (StoreError, HeldError):
            self.rows, self.suppressed = before, suppressed
            raise
        self.commits += 1
        return Advanced(begun=begun, lost=lost)

    @contextmanager
    def try_advance(self) -> Iterator[TryAdvance]:
        def advance(settlements: Sequence[Settlement], claims: Sequence[Claim]) -> Advanced | None:
            if self.interrupt is not None and threading.current_thread() is threading.main_thread():
                interrupt, self.interrupt = self.interrupt, None
                raise interrupt
            if self.far or any(self.break_at.values()):
                return None
            try:
                return self.advance(settlements, claims)
            except StoreError:
                return None

        yield advance

    def writers(self) -> AbstractContextManager[Sequence[Writer]]:
        return nullcontext(())

    def pause(self, number: int, reason: str) -> None:
        self._move(("frozen", "sending", "paused"), "paused")
        self.pause_reason = self.pause_reason or reason

    def resume(self) -> None:
        self._move(("paused", "sending"), "sending")
        self.pause_reason = None

    def _move(self, from_: tuple[IssueState, ...], to: IssueState) -> None:
        if self.state not in from_:
            raise ConflictError(f"it is {self.state}")
        self.state = to

    def finish(self, number: int) -> IssueState:
        return self._finish(("frozen", "sending", "needs_review"))

    def _finish(self, from_: tuple[IssueState, ...]) -> IssueState:
        states = self.states()
        if self.state in from_ and not {"pending", "claimed", "sending", "deferred"} & set(states):
            self.state = "needs_review" if "unknown" in states else "complete"
        return self.state

    def resolve(self, delivery_id: int, outcome: str, evidence: str) -> None:
        row = self.rows[delivery_id - 1]
        last = (row.outcomes[-1][1], row.attempts[-1].phase) if row.outcomes else ("", "")
        again = outcome == "pending" and row.state == "failed" and last[0] == "failed" and last[1] not in _AFTER_DATA
        given_up = outcome == "failed" and row.state == "pending" and last[0] == "refused"
        if row.state != "unknown" and not again and not given_up:
            raise ConflictError("it is neither unknown nor refused before the dot")
        if again:
            row.first_attempt_at = None
        row.become(outcome)
        row.free()
        row.retry_at = None
        row.keep(outcome, Reply(code=None, text=evidence, phase="resolve"))
        if outcome == "pending" and self.state in ("complete", "needs_review"):
            self.state = "sending"
        elif outcome != "pending" and "unknown" not in self.states():
            self._finish(("needs_review",))

    def erase(self, subscriber_id: int) -> None:
        row = self.row(subscriber_id)
        self.gone.add(subscriber_id)
        self.suppressed.setdefault(row.address, "erased")
        if row.state in ("pending", "claimed", "deferred"):
            row.become("cancelled")
            row.free()

    def confirm_restore(self, waiting: str) -> int:
        """An operator let it send again; `waiting` is what becomes of what the backup shows as not sent."""
        self.restored = False
        if waiting != "unknown" or self.state not in ("frozen", "sending", "paused"):
            return 0
        doubted = [row for row in self.rows if row.state in ("pending", "claimed", "sending", "deferred")]
        for row in doubted:
            row.become("unknown")
            row.free()
            row.tried += 1
            row.keep("unknown", Reply(code=None, text="restored", phase="restore"))
        return len(doubted)

    def taken(self, number: int) -> bool:
        return "sent" in self.states()

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
        row.lease_for = dt.timedelta(seconds=lease_seconds)
        row.lease_until = self.clock() + row.lease_for
        row.holder = self.holder
        row.become("claimed")
        return Claim(
            delivery_id=row.delivery_id, issue=self.issue, subscriber_id=row.subscriber_id, address=row.address,
            variant=row.variant, lease=row.lease, attempts=row.tried, first_attempt_at=row.first_attempt_at,
            reader=f"{row.subscriber_id:020}",
        )

    def _free(self, row: Row) -> None:
        row.become("pending")
        row.free()

    def _settle(self, done: Settlement) -> bool:
        self._break(done.state)
        row = self._find(done.claim)
        if row is None or row.state not in _FROM[done.state]:
            return False
        if row.state != "unknown":  # that attempt was counted when it became unknown
            row.tried += 1
        row.become("pending" if done.state == "refused" else done.state)
        if done.state != "unknown":  # there the token stays: its holder may still learn more
            row.free()
        row.first_attempt_at = None if done.state == "refused" else row.first_attempt_at or self.clock()
        row.retry_at = done.retry_at
        row.message_id, row.queue_id = done.message_id or row.message_id, done.queue_id or row.queue_id
        row.keep(done.state, done.reply)
        if done.suppress is not None:
            self.suppressed.setdefault(row.address, done.suppress)
        return True
