"""T1 and T2 in an open transaction: taking deliveries under a lease, and leases that are over."""

import secrets
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from milepost.errors import ConflictError, NotFoundError
from milepost.records import Claim, IssueState, Reply
from store.ledger import batches
from store.ledger.transitions import CLAIM, CLAIM_DUE, EXPIRE, ORPHAN, Terms, Transition, of_lease, ready, update
from store.schema.tables import delivery, issue
from store.upkeep.restore import refuse


def claim(connection: sa.Connection, number: int, *, limit: int, lease_seconds: int) -> list[Claim]:
    """See `Ledger.claim`."""
    refuse(connection)
    _open(connection, number)
    token = secrets.token_hex(16)
    taken: list[Claim] = []
    for step, order in ((CLAIM, delivery.c.id), (CLAIM_DUE, delivery.c.next_attempt_at)):
        if len(taken) < limit:
            taken += _take(connection, number, step, order, limit - len(taken), token, lease_seconds)
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
    connection: sa.Connection, number: int, step: Transition, order: sa.Column[Any], limit: int, token: str,
    lease_seconds: int,
) -> list[Claim]:
    # One conditional UPDATE. PostgreSQL passes by the rows that others are taking at this moment; on SQLite
    # BEGIN IMMEDIATE has made us the only writer. In a WITH, since PostgreSQL may run a bare subquery twice.
    terms = Terms(connection.dialect.name)
    chosen = (
        sa.select(delivery.c.id)
        .where(delivery.c.issue == number, ready(step, terms))
        .order_by(order)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    rows = connection.execute(
        update(step, terms, delivery.c.id.in_(sa.select(chosen.c.id))).returning(
            delivery.c.id, delivery.c.subscriber, delivery.c.address, delivery.c.variant, delivery.c.attempts,
            delivery.c.first_attempt_at,
        ),
        of_lease(token, lease_seconds),
    ).all()
    return [
        Claim(
            delivery_id=id_, issue=number, subscriber_id=who, address=address, variant=variant, lease=token,
            attempts=attempts, first_attempt_at=first,
        )
        for id_, who, address, variant, attempts, first in sorted(rows, key=itemgetter(0))
    ]


def recover(connection: sa.Connection, number: int) -> tuple[int, int]:
    """See `Ledger.recover`."""
    terms, ours = Terms(connection.dialect.name), delivery.c.issue == number
    over = sa.select(delivery.c.id).where(ours, sa.or_(ready(EXPIRE, terms), ready(ORPHAN, terms))).limit(1)
    if connection.execute(over).first() is None:
        return 0, 0  # the usual case looks through the issue once, not twice: no index knows who is on the way
    freed = connection.execute(update(EXPIRE, terms, ours)).rowcount
    lost = connection.execute(update(ORPHAN, terms, ours).returning(delivery.c.id, delivery.c.lease)).all()
    reply = Reply(code=None, text="its dispatcher died before it recorded a reply", phase="dot")
    batches.log(connection, ORPHAN, [(row.id, row.lease) for row in lost], reply)
    return freed, len(lost)


def issue_state(connection: sa.Connection, number: int) -> IssueState:
    """The issue's state; raises NotFoundError."""
    state: IssueState | None = connection.execute(sa.select(issue.c.state).where(issue.c.number == number)).scalar()
    if state is None:
        raise NotFoundError("there is no such issue", where=f"issue {number}", hint="See `milepost issue list`.")
    return state
