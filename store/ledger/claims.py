"""T1 and T2 in an open transaction: taking deliveries under a lease, giving them back, and leases that are over."""

import datetime as dt
import secrets
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from milepost.errors import ConflictError, NotFoundError
from milepost.records import Claim, DeliveryState, IssueState, Reply
from store.dialects import moment, seconds
from store.ledger import steps
from store.schema.tables import attempt, delivery, issue
from store.upkeep.restore import refuse

_CHUNK = 500  # rows named in one statement

def claim(
    connection: sa.Connection, number: int, *, limit: int, lease_seconds: int, now: dt.datetime | None
) -> list[Claim]:
    """See `Ledger.claim`."""
    refuse(connection)
    _open(connection, number)
    token = secrets.token_hex(16)
    taken = _take(connection, number, in_state("pending"), delivery.c.id, limit, token, lease_seconds)
    if len(taken) < limit:
        clock = moment(connection.dialect.name) if now is None else now
        due = sa.and_(in_state("deferred"), delivery.c.next_attempt_at <= clock)
        left = limit - len(taken)
        taken += _take(connection, number, due, delivery.c.next_attempt_at, left, token, lease_seconds)
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
    connection: sa.Connection, number: int, which: sa.ColumnElement[bool], order: sa.Column[Any], limit: int,
    token: str, lease_seconds: int,
) -> list[Claim]:
    # One conditional UPDATE. PostgreSQL passes by the rows that others are taking at this moment; on SQLite
    # BEGIN IMMEDIATE has made us the only writer. In a WITH, since PostgreSQL may run a bare subquery twice.
    chosen = (
        sa.select(delivery.c.id)
        .where(delivery.c.issue == number, which)
        .order_by(order)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    rows = connection.execute(
        sa.update(delivery)
        .where(delivery.c.id.in_(sa.select(chosen.c.id)))
        .values(
            state="claimed", lease=token, lease_seconds=lease_seconds,
            lease_until=seconds(connection.dialect.name) + lease_seconds, updated_at=moment(connection.dialect.name),
        )
        .returning(
            delivery.c.id, delivery.c.subscriber, delivery.c.address, delivery.c.variant, delivery.c.attempts,
            delivery.c.first_attempt_at,
        )
    ).all()
    return [
        Claim(
            delivery_id=id_, issue=number, subscriber_id=who, address=address, variant=variant, lease=token,
            attempts=attempts, first_attempt_at=first,
        )
        for id_, who, address, variant, attempts, first in sorted(rows, key=itemgetter(0))
    ]


def release(connection: sa.Connection, claims: Sequence[Claim]) -> int:
    """See `Ledger.release`."""
    free = freed(connection)
    ids: dict[str, list[int]] = {}
    for claim in claims:
        ids.setdefault(claim.lease, []).append(claim.delivery_id)
    return sum(
        connection.execute(
            sa.update(delivery)
            .where(delivery.c.id.in_(mine[at : at + _CHUNK]), delivery.c.lease == lease, delivery.c.state == "claimed")
            .values(**free)
        ).rowcount
        for lease, mine in ids.items()
        for at in range(0, len(mine), _CHUNK)
    )


def recover(connection: sa.Connection, number: int) -> tuple[int, int]:
    """See `Ledger.recover`."""
    clock = seconds(connection.dialect.name)
    over = sa.and_(
        delivery.c.issue == number,
        sa.or_(delivery.c.lease_until < clock, delivery.c.lease_until > clock + delivery.c.lease_seconds + 60),
    )
    on_the_way = delivery.c.state.in_(("claimed", "sending"))
    if connection.execute(sa.select(delivery.c.id).where(over, on_the_way).limit(1)).first() is None:
        return 0, 0  # the usual case looks through the issue once, not twice: no index knows who is on the way
    back = connection.execute(
        sa.update(delivery).where(over, delivery.c.state == "claimed").values(**freed(connection))
    ).rowcount
    # The lease token stays: if its holder is alive after all, the server's reply is evidence (T4 to T6).
    lost = connection.execute(
        sa.update(delivery)
        .where(over, delivery.c.state == "sending")
        .values(state="unknown", attempts=delivery.c.attempts + 1, updated_at=moment(connection.dialect.name))
        .returning(delivery.c.id, delivery.c.attempts, delivery.c.lease)
    ).all()
    reply = Reply(code=None, text="its dispatcher died before it recorded a reply", phase="dot")
    for row in lost:
        log(connection, row.id, row.attempts, row.lease, "unknown", reply)
    return back, len(lost)


def in_state(state: DeliveryState) -> sa.ColumnElement[bool]:
    """The deliveries in `state`, which is written out: no planner finds a partial index behind a parameter."""
    return delivery.c.state == sa.literal(state, sa.String(), literal_execute=True)


def by_token(claim: Claim, *states: DeliveryState) -> tuple[sa.ColumnElement[bool], ...]:
    """The claim's token holds, and the delivery is in one of these states."""
    return delivery.c.lease == claim.lease, delivery.c.state.in_(states)


def held(claim: Claim, *states: DeliveryState) -> sa.Update:
    """An UPDATE of the claim's row, as long as its token holds."""
    return sa.update(delivery).where(delivery.c.id == claim.delivery_id, *by_token(claim, *states))


def freed(connection: sa.Connection) -> dict[str, Any]:
    """The values of a delivery that anybody may claim."""
    return {"state": "pending", "lease": None, "lease_until": None, "updated_at": moment(connection.dialect.name)}


def log(
    connection: sa.Connection, delivery_id: int, number: int, lease: str | None, outcome: str, reply: Reply
) -> None:
    """Append what was tried."""
    connection.execute(sa.insert(attempt).values(
        delivery_id=delivery_id, number=number, lease=lease, phase=reply.phase, outcome=outcome, code=reply.code,
        enhanced=reply.enhanced, text=steps.text(reply), at=moment(connection.dialect.name),
    ))


def issue_state(connection: sa.Connection, number: int) -> IssueState:
    """The issue's state; raises NotFoundError."""
    state: IssueState | None = connection.execute(sa.select(issue.c.state).where(issue.c.number == number)).scalar()
    if state is None:
        raise NotFoundError("there is no such issue", where=f"issue {number}", hint="See `milepost issue list`.")
    return state
