"""What held looks found a source to be like, or could not see of it, and what of that an operator accepted.

    a held look ─▶ offer ─▶ (an operator releases it) ─▶ take_profile ─▶ accepted ─▶ (records are like that) ─▶ retire
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from store.engine import Database
from store.schema.tables import look, source_profile


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """What an operator accepted by releasing a look."""

    id: int
    data: Mapping[str, Any]  # the JSON form of what the look's guard measures
    once: bool  # for the next look alone


class Profiles:
    """What the looks of every source were held for by one guard ("drift", "incomplete", "unread")."""

    def __init__(self, database: Database, guard: str = "drift") -> None:
        self._database = database
        self._of_guard = source_profile.c.look_id.in_(sa.select(look.c.id).where(look.c.guard == guard))

    def accepted(self, source: str) -> Accepted | None:
        """What the next look may be like, beside what is on record; None when nothing was accepted."""
        return next(iter(self.every_accepted(source)), None)

    def every_accepted(self, source: str) -> list[Accepted]:
        """All that has not done its work yet, the latest first."""
        query = sa.select(source_profile).where(
            source_profile.c.source == source, source_profile.c.taken_at.is_not(None),
            source_profile.c.used_at.is_(None), self._of_guard,
        ).order_by(source_profile.c.id.desc())
        with self._database.connect() as connection:
            return [Accepted(id=row.id, data=row.data, once=row.once) for row in connection.execute(query)]

    def offer(self, source: str, data: Mapping[str, Any], now: dt.datetime, *, look_id: int) -> None:
        """What the source is like at a look that is held; the latest offer of a look counts."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(source_profile).where(
                source_profile.c.look_id == look_id, source_profile.c.taken_at.is_(None)
            ))
            connection.execute(sa.insert(source_profile).values(
                source=source, look_id=look_id, data=dict(data), made_at=now, once=False,
            ))

    def retire(self, source: str, now: dt.datetime, *, once: bool = False, look_id: int | None = None) -> None:
        """What was accepted has done its work: the records are like that by now, or it was for one look alone.

        `once`: only what was for one look alone; `look_id`: only what that look found.
        """
        which: list[sa.ColumnElement[bool]] = [source_profile.c.once.is_(sa.true())] if once else []
        which += [] if look_id is None else [source_profile.c.look_id == look_id]
        with self._database.begin() as connection:
            connection.execute(
                sa.update(source_profile)
                .where(source_profile.c.source == source, source_profile.c.taken_at.is_not(None),
                       source_profile.c.used_at.is_(None), self._of_guard, *which)
                .values(used_at=now)
            )


def take_profile(connection: sa.Connection, look_id: int, now: dt.datetime, *, once: bool) -> None:
    """What a held look offered is accepted; nothing when it offered nothing."""
    connection.execute(
        sa.update(source_profile)
        .where(source_profile.c.look_id == look_id, source_profile.c.taken_at.is_(None))
        .values(taken_at=now, once=once)
    )
