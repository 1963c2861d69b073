"""What operators were told and the messages that say it: kept, so that each thing is told once and none is lost.

    rows ─ (decided) ─▶ written with a message a channel, in one transaction ─▶ taken ─▶ sent | again later | dropped
"""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, cast

import sqlalchemy as sa

from store.clock import due
from store.dialects import serialize
from store.engine import Database
from store.schema.tables import notice, notice_message

LONGEST_WAIT = dt.timedelta(hours=1)  # that a message is ever put off for
MessageState = Literal["queued", "sent", "dropped"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """One condition as operators know it."""

    key: str
    says: str
    since: dt.datetime
    told_at: dt.datetime | None = None  # when they were last told; None: not yet
    gone_at: dt.datetime | None = None  # since when it is not so any more


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One message for one channel."""

    id: int
    channel: str
    title: str
    body: str
    state: MessageState
    attempts: int
    created_at: dt.datetime
    next_attempt_at: dt.datetime
    sent_at: dt.datetime | None
    why: str


class Round:
    """What is known, and what becomes of it, in one transaction that no other may enter."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def notices(self) -> list[Notice]:
        """All of them, the oldest first."""
        return _notices(self._connection)

    def last_message(self) -> dt.datetime | None:
        """When the latest message to anybody was written."""
        query = sa.select(sa.func.max(notice_message.c.created_at))
        found: dt.datetime | None = self._connection.execute(query).scalar()
        return found

    def behind(self) -> frozenset[str]:
        """The channels that have a message on its way: they were not told yet what it says."""
        query = sa.select(notice_message.c.channel).where(notice_message.c.state == "queued").distinct()
        return frozenset(self._connection.execute(query).scalars())

    def keep(self, notices: Collection[Notice]) -> None:
        """Make the notices these, and no others."""
        self._connection.execute(sa.delete(notice))
        if notices:
            self._connection.execute(
                sa.insert(notice),
                [{name: getattr(one, name) for name in Notice.__dataclass_fields__} for one in notices],
            )

    def queue(self, channel: str, title: str, body: str, now: dt.datetime) -> None:
        """Write a message; one that still waits for that channel gives way to it, with what was tried of it."""
        waiting = self._connection.execute(
            sa.update(notice_message)
            .where(notice_message.c.channel == channel, notice_message.c.state == "queued")
            .values(state="dropped")
            .returning(notice_message.c.attempts, notice_message.c.next_attempt_at, notice_message.c.why)
        ).first()
        attempts, again_at, why = waiting or (0, now, "")
        self._connection.execute(sa.insert(notice_message).values(
            channel=channel, title=title, body=body, state="queued", attempts=attempts, created_at=now,
            next_attempt_at=again_at, why=why,
        ))


class Notices:
    """Every notice and message. Each method raises StoreError when the database can't."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def round(self) -> Iterator[Round]:
        """One at a time: what one decides, the next one knows."""
        with self._database.begin() as connection:
            serialize(connection, "notices")
            yield Round(connection)

    def list(self) -> list[Notice]:
        """All notices, the oldest first."""
        with self._database.connect() as connection:
            return _notices(connection)

    def take(self, channels: Collection[str], now: dt.datetime, until: dt.datetime) -> Sequence[Message]:
        """The messages that are due for these channels; nobody else takes them before `until`."""
        taken = (
            sa.update(notice_message)
            .where(
                notice_message.c.state == "queued", due(notice_message.c.next_attempt_at, now, LONGEST_WAIT),
                notice_message.c.channel.in_(sorted(channels)),
            )
            .values(next_attempt_at=until).returning(*notice_message.c)
        )
        with self._database.begin() as connection:
            found = [Message(**row) for row in connection.execute(taken).mappings()]
        return sorted(found, key=lambda one: one.id)

    def settle(
        self, message: int, state: MessageState, now: dt.datetime, *, why: str = "", again_at: dt.datetime | None = None
    ) -> None:
        """What an attempt came to; `again_at` goes with "queued"."""
        with self._database.begin() as connection:
            connection.execute(
                sa.update(notice_message).where(notice_message.c.id == message, notice_message.c.state == "queued")
                .values(
                    state=state, why=why, attempts=notice_message.c.attempts + 1,
                    sent_at=now if state == "sent" else None, next_attempt_at=again_at or now,
                )
            )

    def latest(self) -> Mapping[str, Message]:
        """Channel → its latest message."""
        last = sa.select(sa.func.max(notice_message.c.id)).group_by(notice_message.c.channel)
        with self._database.connect() as connection:
            rows = connection.execute(sa.select(notice_message).where(notice_message.c.id.in_(last))).mappings()
            return {row["channel"]: Message(**row) for row in rows}

    def counts(self) -> Mapping[MessageState, int]:
        """How many messages there are in each state that has any."""
        query = sa.select(notice_message.c.state, sa.func.count()).group_by(notice_message.c.state)
        with self._database.connect() as connection:
            return {cast("MessageState", row[0]): row[1] for row in connection.execute(query)}

    def forget(self, before: dt.datetime) -> None:
        """Remove messages that were settled and are older."""
        with self._database.begin() as connection:
            connection.execute(
                sa.delete(notice_message)
                .where(notice_message.c.state != "queued", notice_message.c.created_at < before)
            )


def _notices(connection: sa.Connection) -> list[Notice]:
    rows = connection.execute(sa.select(notice).order_by(notice.c.since, notice.c.key)).mappings()
    return [Notice(**row) for row in rows]
