"""Reading the ledger: its equation, its rows, and what was tried for each."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from milepost.errors import NotFoundError
from milepost.records import DeliveryState, LedgerCounts
from store.ledger.transitions import ENDED, in_state
from store.schema.tables import attempt, delivery, exclusion, issue
from store.subscribers.addresses import parse


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryRow:
    """One delivery as the ledger holds it."""

    id: int
    issue: int
    subscriber: int
    address: str
    variant: str
    state: DeliveryState
    attempts: int
    first_attempt_at: dt.datetime | None
    next_attempt_at: dt.datetime | None  # set by a deferral
    message_id: str | None
    queue_id: str | None
    code: int | None  # of the last reply
    enhanced: str | None
    text: str | None
    updated_at: dt.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptRow:
    """One thing that was tried; never changed."""

    number: int  # 1, 2, 3 … of its delivery
    lease: str | None
    phase: str
    outcome: str
    code: int | None
    enhanced: str | None
    text: str
    at: dt.datetime


_PAUSED = "paused until "  # each pause has a day of its own, which stands with its reader: they are one reason


def reason_of(excluded: str) -> str:
    """The reason that an exclusion is counted under. Pure."""
    return "paused" if excluded.startswith(_PAUSED) else excluded


def is_for(reason: str) -> sa.ColumnElement[bool]:
    """The exclusions that are counted under a reason. Pure."""
    return exclusion.c.reason.like(f"{_PAUSED}%") if reason == "paused" else exclusion.c.reason == reason


def counts(connection: sa.Connection, number: int) -> LedgerCounts:
    """See `Ledger.counts`."""
    row = connection.execute(
        sa.select(issue.c.candidates, issue.c.deliveries).where(issue.c.number == number)
    ).first()
    if row is None:
        raise NotFoundError("there is no such issue", where=f"issue {number}", hint="See `milepost issue list`.")
    excluded = (
        sa.select(exclusion.c.reason, sa.func.count()).where(exclusion.c.issue == number)
        .group_by(exclusion.c.reason).order_by(exclusion.c.reason)
    )
    states = (
        sa.select(delivery.c.state, sa.func.count())
        .where(delivery.c.issue == number)
        .group_by(delivery.c.state)
        .order_by(delivery.c.state)
    )
    reasons: dict[str, int] = {}
    for found in connection.execute(excluded):
        reason = reason_of(found[0])
        reasons[reason] = reasons.get(reason, 0) + found[1]
    return LedgerCounts(
        issue=number, candidates=row.candidates or 0, deliveries=row.deliveries or 0, exclusions=reasons,
        states={found[0]: found[1] for found in connection.execute(states)},
    )


def rows(
    connection: sa.Connection, number: int, state: DeliveryState | None, address: str | None
) -> Iterator[DeliveryRow]:
    """See `Ledger.rows`."""
    query = (
        sa.select(*(delivery.c[name] for name in DeliveryRow.__dataclass_fields__))
        .where(delivery.c.issue == number)
        .order_by(delivery.c.id)
    )
    if state is not None:
        query = query.where(in_state(state))
    if address is not None:
        query = query.where(delivery.c.normalized == parse(address).normalized)
    with connection.execute(query, execution_options={"yield_per": 1000}) as found:
        for row in found.mappings():
            yield DeliveryRow(**row)


def words(connection: sa.Connection, number: int, limit: int) -> list[tuple[str, int]]:
    """See `Ledger.words`."""
    refused = in_state(*ENDED), delivery.c.state == "failed"  # as their index has it; each of the three has one
    texts = sa.union_all(*(
        sa.select(delivery.c.text).where(delivery.c.issue == number, *which, delivery.c.text.is_not(None))
        for which in ((in_state("deferred"),), refused, (in_state("unknown"),))
    )).subquery()
    query = (
        sa.select(texts.c.text, sa.func.count()).group_by(texts.c.text)
        .order_by(sa.func.count().desc(), texts.c.text).limit(limit)
    )
    return [(row[0], row[1]) for row in connection.execute(query)]


def exclusion_of(connection: sa.Connection, number: int, subscriber_id: int) -> str | None:
    """See `Ledger.exclusion_of`."""
    query = sa.select(exclusion.c.reason).where(
        exclusion.c.issue == number, exclusion.c.subscriber == subscriber_id
    )
    reason: str | None = connection.execute(query).scalar()
    return reason


def attempts(connection: sa.Connection, delivery_id: int) -> list[AttemptRow]:
    """See `Ledger.attempts`."""
    query = (
        sa.select(*(attempt.c[name] for name in AttemptRow.__dataclass_fields__))
        .where(attempt.c.delivery_id == delivery_id)
        .order_by(attempt.c.id)
    )
    return [AttemptRow(**row) for row in connection.execute(query).mappings()]
