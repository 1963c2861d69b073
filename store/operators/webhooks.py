"""What others are to be told, in a queue: each event once for each address, since that was first seen.

    changes that count as news, issues that were sent ─▶ rows that are not there yet ─▶ taken ─▶ sent | later | dropped
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from milepost.changes import NEWS
from milepost.codec import milestone_from_json
from milepost.dates import SKEW
from milepost.records import Milestone
from store.clock import due
from store.dialects import insert, serialize
from store.engine import Database
from store.milestones.milestone_queries import HELD
from store.schema.tables import ANNOUNCED, change, issue, look, meta, milestone, milestone_version, webhook_message

MessageState = Literal["queued", "sent", "dropped"]
_SINCE = "webhooks.{endpoint}"
LONGEST_WAIT = dt.timedelta(days=1)  # that a message is ever put off for
_MOST = 500  # events of a round; the next one goes on


@dataclass(frozen=True, kw_only=True, slots=True)
class Added:
    """A milestone that is news."""

    change: int
    milestone: Milestone
    at: dt.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """An issue that was handed over as far as it will be."""

    number: int
    sequence: int
    cadence: str
    subject: str
    at: dt.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One event for one address."""

    id: int
    event: str
    endpoint: str
    body: str
    attempts: int
    created_at: dt.datetime


class Webhooks:
    """The queue. Every method raises StoreError when the database can't."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def fill(self, endpoint: str, write: Callable[[Added | Sent], tuple[str, str]], now: dt.datetime) -> int:
        """Queue what an address was not told yet; returns how many. `write`: (event, body) of each."""
        with self._database.begin() as connection:
            serialize(connection, "webhooks")
            since = _since(connection, endpoint, now)
            told = sa.select(webhook_message.c.event).where(webhook_message.c.endpoint == endpoint)
            found: list[Added | Sent] = [*_added(connection, since, told), *_sent(connection, since, told)]
            rows = [
                {"event": event, "endpoint": endpoint, "body": body, "state": "queued", "created_at": now,
                 "next_attempt_at": now, "why": ""}
                for event, body in map(write, found)
            ]
            if rows:
                connection.execute(sa.insert(webhook_message), rows)
            return len(rows)

    def take(self, endpoints: Collection[str], now: dt.datetime, until: dt.datetime, most: int) -> Sequence[Message]:
        """The oldest that are due; nobody else takes them before `until`."""
        chosen = (
            sa.select(webhook_message.c.id)
            .where(
                webhook_message.c.state == "queued", _come(now),
                webhook_message.c.endpoint.in_(sorted(endpoints)),
            )
            .order_by(webhook_message.c.id).limit(most)
        )
        taken = (
            sa.update(webhook_message).where(webhook_message.c.id.in_(chosen), _come(now))
            .values(next_attempt_at=until)
            .returning(*(webhook_message.c[name] for name in Message.__dataclass_fields__))
        )
        with self._database.begin() as connection:
            serialize(connection, "webhooks")
            return sorted((Message(**row) for row in connection.execute(taken).mappings()), key=lambda one: one.id)

    def settle(
        self, message: int, state: MessageState, now: dt.datetime, *, why: str = "", again_at: dt.datetime | None = None
    ) -> None:
        """What an attempt came to; `again_at` goes with "queued"."""
        with self._database.begin() as connection:
            connection.execute(
                sa.update(webhook_message).where(webhook_message.c.id == message).values(
                    state=state, why=why, attempts=webhook_message.c.attempts + 1, next_attempt_at=again_at or now,
                    settled_at=None if state == "queued" else now,
                )
            )

    def counts(self) -> Mapping[str, int]:
        """Messages by state."""
        query = sa.select(webhook_message.c.state, sa.func.count()).group_by(webhook_message.c.state)
        with self._database.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def given_up(self, since: dt.datetime) -> tuple[int, str]:
        """How many were given up since, and the last one's reason."""
        rows = sa.select(webhook_message.c.why).where(
            webhook_message.c.state == "dropped", webhook_message.c.settled_at >= since
        ).order_by(webhook_message.c.id.desc())
        with self._database.connect() as connection:
            found = list(connection.execute(rows).scalars())
        return len(found), found[0] if found else ""


def _since(connection: sa.Connection, endpoint: str, now: dt.datetime) -> dt.datetime:
    """Since when an address is told: what was before it was named is no news to it."""
    key = _SINCE.format(endpoint=endpoint)
    new = insert(connection, meta).values(key=key, value=now.isoformat())
    connection.execute(new.on_conflict_do_nothing())
    kept = connection.execute(sa.select(meta.c.value).where(meta.c.key == key)).scalar_one()
    since = dt.datetime.fromisoformat(kept)
    if since > now + SKEW:  # the clock was ahead: what happens until then would be told to nobody
        connection.execute(sa.update(meta).where(meta.c.key == key).values(value=now.isoformat()))
        return now
    return since


def _come(now: dt.datetime) -> sa.ColumnElement[bool]:
    return due(webhook_message.c.next_attempt_at, now, LONGEST_WAIT)


def _added(connection: sa.Connection, since: dt.datetime, told: sa.Select[tuple[str]]) -> list[Added]:
    """A backfill's are never among them: it announces nothing."""
    name = sa.literal("milestone.added:") + sa.cast(change.c.id, sa.String)
    query = (
        sa.select(change.c.id, change.c.detected_at, milestone_version.c.record)
        .join_from(change, milestone, milestone.c.id == change.c.milestone_id)
        .join(milestone_version, sa.and_(
            milestone_version.c.milestone_id == milestone.c.id, milestone_version.c.number == milestone.c.version
        ))
        .outerjoin(look, look.c.id == change.c.look_id)
        .where(
            ANNOUNCED, change.c.kind.in_(NEWS), change.c.detected_at >= since, milestone.c.state == "present",
            sa.not_(sa.func.coalesce(HELD, sa.false())), name.not_in(told),
        )
        .order_by(change.c.id).limit(_MOST)
    )
    return [
        Added(change=row.id, milestone=milestone_from_json(row.record), at=row.detected_at)
        for row in connection.execute(query)
    ]


def _sent(connection: sa.Connection, since: dt.datetime, told: sa.Select[tuple[str]]) -> list[Sent]:
    name = sa.literal("issue.sent:") + sa.cast(issue.c.number, sa.String)
    query = (
        sa.select(issue.c.number, issue.c.sequence, issue.c.cadence, issue.c.subject, issue.c.finished_at)
        .where(issue.c.state.in_(("complete", "needs_review")), issue.c.finished_at >= since, name.not_in(told))
        .order_by(issue.c.number).limit(_MOST)
    )
    return [
        Sent(number=row.number, sequence=row.sequence or row.number, cadence=row.cadence, subject=row.subject,
             at=row.finished_at)
        for row in connection.execute(query)
    ]
