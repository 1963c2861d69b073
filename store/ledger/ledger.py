"""The ledger: what became of every hand-over, so that none is lost and none is made twice without anyone asking.

    pending ─T1→ claimed ─T3→ sending ─T4 (250)→ sent
       ↑──T2───────┘            ├─T5→ deferred ─due→ claimed
    pending/claimed/deferred    ├─T6→ failed
      ─T9→ suppressed|cancelled └─T7→ unknown ─T8→ sent|failed|pending
"""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal, cast

import sqlalchemy as sa

from milepost.errors import ConflictError, NotFoundError, StoreError
from milepost.records import (
    Advanced,
    Claim,
    DeliveryState,
    IssueState,
    LedgerCounts,
    Reply,
    Settlement,
    Variant,
)
from store.dialects import moment
from store.engine import Database
from store.faults import translated
from store.issues.issues import load_variants
from store.ledger import batches, claims, freeze, queries, steps
from store.ledger.queries import AttemptRow, DeliveryRow
from store.meta import Meta
from store.schema.tables import delivery, issue
from store.subscribers.addresses import address_hash, normalize
from store.subscribers.suppressions import suppress as never_mail
from store.upkeep.restore import refuse

__all__ = ["AttemptRow", "DeliveryRow", "Ledger"]

AtOnce = Callable[[Sequence[Settlement], Sequence[Claim]], Advanced | None]

# What keeps an issue open; together what no index tells apart, so that it is walked through once.
_WAITING: tuple[tuple[DeliveryState, ...], ...] = (("pending",), ("deferred",), ("claimed", "sending"))


class Ledger:
    """The deliveries of every issue; each method is one durable transaction.

    Any number of dispatchers may use one ledger at once. Every method raises StoreError when the database can't.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._steps = steps.Steps(database.dialect)
        self._batches = batches.Batches(database.dialect)
        self._address_key: bytes | None = None

    def _key(self) -> bytes:
        """The key of the hashes of suppressed addresses, asked for once."""
        if self._address_key is None:
            self._address_key = Meta(self._database).address_key()
        return self._address_key

    # --- the audience -----------------------------------------------------------------------------------------------

    def freeze(
        self,
        number: int,
        *,
        content_hash: str,
        place: freeze.Place,
        now: dt.datetime,
        require_approval: bool = False,
    ) -> LedgerCounts:
        """Draft → frozen: `place` puts every subscriber into a variant or among the exclusions.

        Freezing what is frozen changes nothing. Raises ConflictError when the content is another, when it was
        cancelled, or when `require_approval` and nobody approved it; NotFoundError when there is no such issue.
        """
        key = self._key()
        with self._database.begin() as connection:
            freeze.freeze(
                connection, number, key, content_hash=content_hash, place=place, now=now,
                require_approval=require_approval,
            )
            return queries.counts(connection, number)

    # --- T1, T2: claims ---------------------------------------------------------------------------------------------

    def claim(
        self, number: int, *, limit: int, lease_seconds: int, now: dt.datetime | None = None
    ) -> list[Claim]:
        """T1: take at most `limit` deliveries that are pending, or deferred and due, under a new lease token.

        The lease runs by the database's clock, and so does what is due unless `now` is given. The first claim turns
        the issue from frozen to sending. Raises ConflictError when it is neither, HeldError
        in a restored database that nobody has confirmed (`store.upkeep.restore`).
        """
        with self._database.begin() as connection:
            return claims.claim(connection, number, limit=limit, lease_seconds=lease_seconds, now=now)

    def release(self, held: Sequence[Claim]) -> int:
        """T2: give claims back that were not begun; returns how many still were ours."""
        with self._database.begin() as connection:
            return claims.release(connection, held)

    def recover(self, number: int) -> tuple[int, int]:
        """T2 and T7 for leases that are over: claimed → pending, sending → unknown; returns (freed, unknown).

        A lease that ends later than it can is over too: the clock was set back since.
        """
        with self._database.begin() as connection:
            return claims.recover(connection, number)

    # --- T3: the point of no return ---------------------------------------------------------------------------------

    def begin(self, claim: Claim) -> bool:
        """T3: claimed → sending, on the disk when it returns True; only then may DATA begin.

        In the same transaction it checks again that the lease token holds, that the issue is not paused and that the
        subscriber is active and not suppressed. False: skip it; what is suppressed or cancelled for good (T9) or goes
        back to pending (issue paused) has been moved. Raises HeldError as `claim` does.
        """
        key = self._key()
        with self._database.begin() as connection:
            return self._begin(connection, claim, key)

    def _begin(self, connection: sa.Connection, claim: Claim, key: bytes) -> bool:
        params = steps.of_claim(claim) | {
            "the_issue": claim.issue, "the_subscriber": claim.subscriber_id,
            "the_hash": address_hash(key, normalize(claim.address)),
        }
        for lock in self._steps.locks:
            connection.execute(lock, params)
        if connection.execute(self._steps.begin, params).rowcount == 1:
            return True
        refuse(connection)
        self._step_aside(connection, claim, params)
        return False

    def _step_aside(self, connection: sa.Connection, claim: Claim, params: dict[str, Any]) -> None:
        """T9, or T2 on a pause: put a delivery that may not begin where it belongs, if it is still ours."""
        row = connection.execute(self._steps.why_not, params).first()
        if row is None:
            return
        gone = {"lease": None, "lease_until": None, "updated_at": moment(connection.dialect.name)}
        if row.issue_state == "cancelled" or row.state != "active":
            values = {"state": "cancelled"} | gone
        elif row.suppressed:
            values = {"state": "suppressed"} | gone
        else:
            values = claims.freed(connection)
        connection.execute(claims.held(claim, "claimed").values(**values))

    # --- T4 to T7: what became of it --------------------------------------------------------------------------------

    def sent(self, claim: Claim, reply: Reply, message_id: str, *, queue_id: str | None = None) -> None:
        """T4: the server said 250 to the dot. Raises ConflictError when the lease token no longer holds."""
        self._settle(claim, "sent", steps.of_reply(reply, message_id=message_id, queue_id=queue_id))

    def deferred(self, claim: Claim, reply: Reply, retry_at: dt.datetime) -> None:
        """T5: it may succeed at `retry_at`. Raises ConflictError when the lease token no longer holds."""
        self._settle(claim, "deferred", steps.of_reply(reply, retry_at=retry_at))

    def failed(self, claim: Claim, reply: Reply, suppress: str | None) -> None:
        """T6: it will not succeed; `suppress` is why the address is never to be mailed again, or None.

        Raises ConflictError when the lease token no longer holds.
        """
        self._settle(claim, "failed", steps.of_reply(reply), never_again=suppress)

    def unknown(self, claim: Claim, reply: Reply) -> None:
        """T7: the dot went out and no reply came. Raises ConflictError when the lease token no longer holds."""
        self._settle(claim, "unknown", steps.of_reply(reply))

    def _settle(
        self, claim: Claim, state: DeliveryState, said: dict[str, Any], never_again: str | None = None
    ) -> None:
        key = self._key()
        with self._database.begin() as connection:
            if not self._record(connection, claim, state, said, never_again, key):
                raise ConflictError(
                    f"its lease is over, {state} was not recorded", where=f"delivery {claim.delivery_id}",
                    hint="Somebody else decides about it now.",
                )

    def _record(
        self, connection: sa.Connection, claim: Claim, state: DeliveryState, said: dict[str, Any],
        never_again: str | None, key: bytes,
    ) -> bool:
        params = steps.of_claim(claim) | said
        row = connection.execute(self._steps.settle[state], params).first()
        if row is None:
            return False
        connection.execute(self._steps.log, params | {"the_number": row.attempts, "the_outcome": state})
        if never_again is not None:
            never_mail(connection, key, row.normalized, never_again, moment(connection.dialect.name))
        return True

    # --- T3 to T7 of many, for the price of one commit --------------------------------------------------------------

    def advance(self, settlements: Sequence[Settlement], claims: Sequence[Claim]) -> Advanced:
        """Settle all `settlements` (T4 to T7) and begin all `claims` (T3) in one durable transaction.

        Each row passes the same checks as alone. A claim that may not begin has been moved as `begin` moves it, a
        settlement whose lease token no longer holds is in `lost`. Raises StoreError, and then nothing is written.
        """
        key = self._key()
        if _alike(settlements):
            with suppress(batches.NotAll), batches.transaction(self._database) as run:
                return self._all(run, settlements, claims, key)
        with self._database.begin() as connection:
            begun = [claim.delivery_id for claim in claims if self._begin(connection, claim, key)]
            lost = [
                done.claim.delivery_id for done in settlements
                if not self._record(connection, done.claim, done.state, steps.of_settlement(done), done.suppress, key)
            ]
        return Advanced(begun=frozenset(begun), lost=frozenset(lost))

    @contextmanager
    def at_once(self) -> Iterator[AtOnce]:
        """While it is open: `advance` that takes no longer than the disk, and answers None where it would have to wait.

        None, and nothing is written: another program is writing, a row needs a look of its own, the disk is in trouble
        (`advance` says which), or the database is not on this machine's disk.
        """
        key = self._key()
        with batches.impatient(self._database) as driver:

            def advance(settlements: Sequence[Settlement], claims: Sequence[Claim]) -> Advanced | None:
                if driver is None or not _alike(settlements):
                    return None
                try:
                    with translated(self._database.where), batches.exclusive(driver) as run:
                        return self._all(run, settlements, claims, key)
                except (batches.NotAll, StoreError):
                    return None

            yield advance

    def _all(
        self, run: batches.Run, settlements: Sequence[Settlement], claims: Sequence[Claim], key: bytes
    ) -> Advanced:
        self._batches.lock(run, claims)
        self._batches.settle(run, settlements)
        self._batches.begin(run, claims, key)
        return Advanced(begun=frozenset([claim.delivery_id for claim in claims]), lost=frozenset())

    # --- T8, T9: an operator's word ---------------------------------------------------------------------------------

    def resolve(self, delivery_id: int, outcome: Literal["sent", "failed", "pending"], evidence: str) -> None:
        """T8: settle an unknown hand-over on `evidence` (a relay's log line, a DSN), or on an operator's word.

        `pending` sends it again, and the issue goes on. Raises ConflictError when it is not unknown.
        """
        with self._database.begin() as connection:
            row = connection.execute(
                sa.update(delivery)
                .where(delivery.c.id == delivery_id, delivery.c.state == "unknown")
                .values(state=outcome, lease=None, lease_until=None, next_attempt_at=None,
                        updated_at=moment(connection.dialect.name))
                .returning(delivery.c.issue, delivery.c.attempts)
            ).first()
            if row is None:
                _require_delivery(connection, delivery_id)
                raise ConflictError("it is not unknown, there is nothing to resolve", where=f"delivery {delivery_id}")
            reply = Reply(code=None, text=evidence, phase="resolve")
            claims.log(connection, delivery_id, row.attempts, None, outcome, reply)
            if outcome == "pending":
                _move(connection, row.issue, ("complete", "needs_review"), state="sending", finished_at=None)
            elif not _has(connection, row.issue, "unknown"):  # the rest is looked through once, after the last doubt
                _finish(connection, row.issue, ("needs_review",))

    def cancel(self, number: int) -> int:
        """T9: nothing more of an issue is begun; returns how many deliveries that spares.

        Raises ConflictError when it is a draft (discard that) or finished.
        """
        with self._database.begin() as connection:
            if not _move(connection, number, ("frozen", "sending", "paused"), state="cancelled",
                         finished_at=moment(connection.dialect.name)):
                state = claims.issue_state(connection, number)
                raise ConflictError(f"it is {state}, there is nothing to cancel", where=f"issue {number}")
            return connection.execute(
                sa.update(delivery)
                .where(delivery.c.issue == number, delivery.c.state.in_(("pending", "claimed", "deferred")))
                .values(state="cancelled", lease=None, lease_until=None, updated_at=moment(connection.dialect.name))
            ).rowcount

    # --- the issue --------------------------------------------------------------------------------------------------

    def pause(self, number: int, reason: str) -> None:
        """Frozen or sending → paused: no DATA begins after this commit. Pausing twice keeps the first reason."""
        with self._database.begin() as connection:
            if not _move(connection, number, ("frozen", "sending"), state="paused", pause_reason=reason):
                _require_state(connection, number, "paused", "paused")

    def resume(self, number: int) -> None:
        """Paused → sending; resuming what is sending is no error. Raises ConflictError in any other state."""
        with self._database.begin() as connection:
            if not _move(connection, number, ("paused",), state="sending", pause_reason=None):
                _require_state(connection, number, "sending", "resumed")

    def finish(self, number: int) -> IssueState:
        """Sending → complete, or needs_review when any is unknown; as it is while any waits, or it is paused."""
        with self._database.begin() as connection:
            _finish(connection, number, ("frozen", "sending", "needs_review"))
            return claims.issue_state(connection, number)

    # --- reading ----------------------------------------------------------------------------------------------------

    def counts(self, number: int) -> LedgerCounts:
        """The equation as the tables hold it; all zero for a draft. Raises NotFoundError."""
        with self._database.connect() as connection:
            return queries.counts(connection, number)

    def rows(
        self, number: int, state: DeliveryState | None = None, address: str | None = None, limit: int | None = None
    ) -> list[DeliveryRow]:
        """The deliveries of an issue, in the order they are sent."""
        with self._database.connect() as connection:
            return queries.rows(connection, number, state, address, limit)

    def attempts(self, delivery_id: int) -> list[AttemptRow]:
        """Everything that was tried for one delivery, oldest first."""
        with self._database.connect() as connection:
            return queries.attempts(connection, delivery_id)

    def next_due(self, number: int) -> dt.datetime | None:
        """When the earliest deferred delivery is due, None when none is deferred."""
        query = sa.select(sa.func.min(delivery.c.next_attempt_at)).where(
            delivery.c.issue == number, claims.in_state("deferred")
        )
        with self._database.connect() as connection:
            return cast("dt.datetime | None", connection.execute(query).scalar())

    def variants(self, number: int) -> list[Variant]:
        """The renderings that the deliveries name."""
        with self._database.connect() as connection:
            return load_variants(connection, number)


def _alike(settlements: Sequence[Settlement]) -> bool:
    """Whether one statement can write them all: none suppresses an address."""
    return not any(settlement.suppress for settlement in settlements)


def _move(connection: sa.Connection, number: int, from_: tuple[IssueState, ...], **values: Any) -> bool:
    moved = connection.execute(
        sa.update(issue).where(issue.c.number == number, issue.c.state.in_(from_)).values(**values)
    )
    return moved.rowcount == 1


def _require_state(connection: sa.Connection, number: int, wanted: IssueState, step: str) -> None:
    state = claims.issue_state(connection, number)
    if state != wanted:
        raise ConflictError(f"it is {state}, it can't be {step}", where=f"issue {number}")


def _require_delivery(connection: sa.Connection, delivery_id: int) -> None:
    if connection.execute(sa.select(delivery.c.id).where(delivery.c.id == delivery_id)).first() is None:
        raise NotFoundError("there is no such delivery", where=f"delivery {delivery_id}")


def _has(connection: sa.Connection, number: int, *states: DeliveryState) -> bool:
    those = sa.or_(*map(claims.in_state, states))
    query = sa.select(delivery.c.id).where(delivery.c.issue == number, those).limit(1)
    return connection.execute(query).first() is not None


def _finish(connection: sa.Connection, number: int, from_: tuple[IssueState, ...]) -> None:
    if not any(_has(connection, number, *states) for states in _WAITING):
        state: IssueState = "needs_review" if _has(connection, number, "unknown") else "complete"
        _move(connection, number, from_, state=state, finished_at=moment(connection.dialect.name))
