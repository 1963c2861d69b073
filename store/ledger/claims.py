"""T1 and T2 in an open transaction: taking deliveries under a lease, who holds them, and leases that are over."""

import datetime as dt
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from milepost.errors import ConflictError, NotFoundError
from milepost.records import Claim, IssueState, Reply
from store import holders
from store.dialects import by_keys
from store.holders import Holder, Life
from store.ledger import batches
from store.ledger.transitions import (
    CLAIM,
    CLAIM_DUE,
    EXPIRE,
    ORPHAN,
    TAKE_OVER,
    TAKE_OVER_SENDING,
    Row,
    Terms,
    Transition,
    of_lease,
    ready,
    taken,
    update,
)
from store.schema.tables import delivery, issue, subscriber
from store.upkeep.restore import refuse


@dataclass(frozen=True, kw_only=True, slots=True)
class Holding:
    """What one dispatcher has taken of an issue and not settled."""

    holder: Holder | None  # None: taken by an earlier release
    life: Life  # whether it is dead, as far as that can be told from here
    deliveries: int
    until: dt.datetime  # by the database's clock: when the last of its leases ends, unless it is renewed


def claim(
    connection: sa.Connection, number: int, *, limit: int, lease_seconds: int, holder: Holder, after: int = 0
) -> list[Claim]:
    """See `Ledger.claim`. `after`: those behind this delivery first, and the ones before it when there are not enough.

    Else each claim would walk past all that were taken before it: their entries stay in the index for as long as any
    transaction of the database is older, and a planner may choose to walk the primary key.
    """
    refuse(connection)
    _open(connection, number)
    by_keys(connection)
    lease = of_lease(secrets.token_hex(16), lease_seconds, str(holder))
    taken: list[Claim] = []
    walks = [(CLAIM, delivery.c.id, delivery.c.id > after)] if after else []
    for step, order, where in (
        *walks, (CLAIM, delivery.c.id, sa.true()), (CLAIM_DUE, delivery.c.next_attempt_at, sa.true())
    ):
        if len(taken) < limit:
            taken += _take(connection, number, step, order, limit - len(taken), lease, where)
    return taken


def _open(connection: sa.Connection, number: int) -> None:
    state = issue_state(connection, number)
    if state == "frozen":
        connection.execute(
            sa.update(issue).where(issue.c.number == number, issue.c.state == "frozen").values(state="sending")
        )
    elif state != "sending":
        raise ConflictError(f"it is {state}, nothing of it is sent", where=f"issue {number}")


def _take(
    connection: sa.Connection, number: int, step: Transition, order: sa.Column[Any], limit: int, lease: Row,
    where: sa.ColumnElement[bool],
) -> list[Claim]:
    # One conditional UPDATE. PostgreSQL passes by the rows that others are taking at this moment; on SQLite
    # BEGIN IMMEDIATE has made us the only writer. In a WITH, since PostgreSQL may run a bare subquery twice.
    terms = Terms(connection.dialect.name)
    chosen = (
        sa.select(delivery.c.id)
        .where(delivery.c.issue == number, ready(step, terms), where)
        .order_by(order)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    handle = sa.select(subscriber.c.handle).where(subscriber.c.id == delivery.c.subscriber).correlate(delivery)
    rows = connection.execute(
        update(
            step, terms, delivery.c.id.in_(sa.select(chosen.c.id)), by_key=connection.dialect.name == "postgresql"
        ).returning(
            delivery.c.id, delivery.c.subscriber, delivery.c.address, delivery.c.variant, delivery.c.attempts,
            delivery.c.first_attempt_at, handle.scalar_subquery(),
        ),
        lease,
    ).all()
    return [
        Claim(
            delivery_id=id_, issue=number, subscriber_id=who, address=address, variant=variant,
            lease=str(lease["the_lease"]),
            attempts=attempts, first_attempt_at=first, reader=reader,
        )
        for id_, who, address, variant, attempts, first, reader in sorted(rows, key=itemgetter(0))
    ]


def any_over(connection: sa.Connection, number: int) -> bool:
    """Whether a lease is over; looks through what is held alone."""
    terms, ours = Terms(connection.dialect.name), delivery.c.issue == number
    over = sa.select(delivery.c.id).where(
        ours, taken("claimed", "sending"), sa.or_(ready(EXPIRE, terms), ready(ORPHAN, terms))
    ).limit(1)
    return connection.execute(over).first() is not None


def recover(connection: sa.Connection, number: int) -> tuple[int, int]:
    """See `Ledger.recover`."""
    return _freed(connection, number, EXPIRE, {}), _doubted(connection, number, ORPHAN, {})


def take_over(connection: sa.Connection, number: int, me: Holder, started: holders.Started) -> tuple[int, int]:
    """See `Ledger.take_over`."""
    freed = doubted = 0
    for holding in held(connection, number, me, started):
        if holding.life == "dead":
            theirs = {"the_holder": str(holding.holder)}
            freed += _freed(connection, number, TAKE_OVER, theirs)
            doubted += _doubted(connection, number, TAKE_OVER_SENDING, theirs)
    return freed, doubted


def _freed(connection: sa.Connection, number: int, step: Transition, given: Row) -> int:
    return len(_all_that_may(connection, number, step, given))


def _doubted(connection: sa.Connection, number: int, step: Transition, given: Row) -> int:
    lost = [(row.id, row.lease) for row in _all_that_may(connection, number, step, given)]
    reply = Reply(code=None, text="its dispatcher died before it recorded a reply", phase="dot")
    batches.log(connection, step, lost, reply)
    return len(lost)


def _all_that_may(connection: sa.Connection, number: int, step: Transition, given: Row) -> Sequence[sa.Row[Any]]:
    """The step, taken by all deliveries of an issue that may take it, but for those that somebody renews or settles at
    this very moment: of two who write to many rows neither is to wait for the other. A SQLite writer is alone already.
    """
    terms = Terms(connection.dialect.name)
    chosen = (
        sa.select(delivery.c.id).where(delivery.c.issue == number, taken(*step.from_), ready(step, terms))
        .with_for_update(skip_locked=True).cte("chosen")
    )
    which = delivery.c.id.in_(sa.select(chosen.c.id))
    return connection.execute(update(step, terms, which).returning(delivery.c.id, delivery.c.lease), given).all()


def held(connection: sa.Connection, number: int, me: Holder, started: holders.Started) -> list[Holding]:
    """See `Ledger.held`."""
    holder, until = delivery.c.lease_holder, delivery.c.lease_until
    found = connection.execute(
        sa.select(holder, sa.func.count(), sa.func.max(until))
        .where(delivery.c.issue == number, taken("claimed", "sending"))
        .group_by(holder).order_by(sa.func.count().desc(), holder)
    )
    return [
        Holding(
            holder=(who := Holder.parse(text)), life=holders.life(who, me, started), deliveries=count,
            until=dt.datetime.fromtimestamp(last or 0.0, dt.UTC),
        )
        for text, count, last in found
    ]


def issue_state(connection: sa.Connection, number: int) -> IssueState:
    """The issue's state; raises NotFoundError."""
    state: IssueState | None = connection.execute(sa.select(issue.c.state).where(issue.c.number == number)).scalar()
    if state is None:
        raise NotFoundError("there is no such issue", where=f"issue {number}", hint="See `milepost issue list`.")
    return state
