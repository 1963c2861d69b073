"""What operators did: who, in which role, when, what, on what, why, and what it changed.

    begin (before it is done) ─▶ asked ─ end ─▶ done | refused        one that stays "asked" was cut off in the middle
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from milepost.records import Role
from store.engine import Database
from store.schema.tables import act

Outcome = Literal["asked", "done", "refused"]
Door = Literal["desk", "api", "console", "flows"]
LONGEST = 500  # characters of a reason or a sentence


@dataclass(frozen=True, kw_only=True, slots=True)
class Act:
    """One thing that somebody did, or wanted to."""

    id: int
    at: dt.datetime
    who: str
    role: Role | None
    door: Door
    what: str  # "issue.approve"
    about: str  # "issue 12"
    why: str
    outcome: Outcome
    said: str  # the sentence it ended in
    before: Any
    after: Any
    ended_at: dt.datetime | None


_COLUMNS = [act.c[name] for name in Act.__dataclass_fields__]


class Acts:
    """The log. Every method raises StoreError when the database can't."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(
        self, *, who: str, role: Role | None, door: Door, what: str, about: str, why: str, before: Any,
        now: dt.datetime,
    ) -> int:
        """Write what is about to be done; returns its number."""
        made = sa.insert(act).values(
            at=now, who=who[:100], role=role, door=door, what=what, about=about[:200], why=_line(why),
            outcome="asked", said="", before=before,
        ).returning(act.c.id)
        with self._database.begin() as connection:
            return int(connection.execute(made).scalar_one())

    def end(self, number: int, outcome: Outcome, said: str, *, after: Any = None, now: dt.datetime) -> None:
        """Write what came of it, once."""
        with self._database.begin() as connection:
            connection.execute(
                sa.update(act).where(act.c.id == number, act.c.outcome == "asked")
                .values(outcome=outcome, said=_line(said), after=after, ended_at=now)
            )

    def last_done(self, what: str, about: str) -> Act | None:
        """The last of its kind that was done about something."""
        query = (
            sa.select(*_COLUMNS).where(act.c.about == about, act.c.what == what, act.c.outcome == "done")
            .order_by(act.c.id.desc()).limit(1)
        )
        with self._database.connect() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else Act(**row)

    def list(
        self, *, who: str | None = None, about: str | None = None, before: int | None = None, limit: int = 50
    ) -> Sequence[Act]:
        """The latest first; `before`: those older than that number."""
        query = sa.select(*_COLUMNS).order_by(act.c.id.desc()).limit(limit)
        for column, value in ((act.c.who, who), (act.c.about, about)):
            if value is not None:
                query = query.where(column == value)
        if before is not None:
            query = query.where(act.c.id < before)
        with self._database.connect() as connection:
            return [Act(**row) for row in connection.execute(query).mappings()]


def _line(text: str) -> str:
    return " ".join(text.split())[:LONGEST]
