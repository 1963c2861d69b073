"""Milestones that took another key, and those of which it is not settled: which await an operator, and their answer.

    Milestones.apply(likenesses) ─▶ pending ─ resolve ─▶ rename: two milestones become one, its history whole
                                                      └▶ new: its `added` may be announced
"""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from milepost.changes import NEWS
from milepost.codec import field_to_json, milestone_to_json
from milepost.errors import ConflictError, NotFoundError
from milepost.fingerprint import fingerprint
from milepost.records import Change, FieldChange, Milestone, StoredMilestone
from store.dialects import serialize
from store.engine import Database
from store.milestones import search
from store.milestones.milestone_queries import current, stored
from store.schema.tables import change, issue_item, look, milestone, milestone_version, renaming

Decision = Literal["pending", "rename", "new"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Renaming:
    """A milestone that took another key, or may have."""

    id: int
    source: str
    old_key: str
    new_key: str
    proof: str  # "redirect", "score", "operator"
    score: float | None  # how alike they are, 0..1
    look_id: int | None
    detected_at: dt.datetime
    decision: Decision
    decided_at: dt.datetime | None
    why: str | None
    old: StoredMilestone  # the one that was known before, as it is now
    new: StoredMilestone | None  # the other one, as it is now; None once they are one


class Renamings:
    """What took another key, of every source."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, source: str | None = None, *, pending: bool = False, limit: int | None = None) -> list[Renaming]:
        """The oldest first; `pending` keeps those that await an operator."""
        query = sa.select(renaming).order_by(renaming.c.id).limit(limit)
        if source is not None:
            query = query.where(renaming.c.source == source)
        if pending:
            query = query.where(renaming.c.decision == "pending")
        with self._database.connect() as connection:
            return [_renaming(connection, row) for row in connection.execute(query).all()]

    def get(self, renaming_id: int) -> Renaming:
        """One of them; raises NotFoundError."""
        with self._database.connect() as connection:
            return _renaming(connection, _row(connection, renaming_id))

    def former(self, source: str, keys: Collection[str]) -> dict[str, str]:
        """Which of these keys a milestone had before: key → the key it has now."""
        query = (
            sa.select(renaming.c.old_key, milestone.c.key)
            .join_from(renaming, milestone, renaming.c.milestone_id == milestone.c.id)
            .where(renaming.c.source == source, renaming.c.decision == "rename")
            .order_by(renaming.c.id)
        )
        found: dict[str, str] = {}
        wanted = sorted(keys)
        with self._database.connect() as connection:
            for start in range(0, len(wanted), 500):
                some = query.where(renaming.c.old_key.in_(wanted[start : start + 500]))
                found |= {row.old_key: row.key for row in connection.execute(some)}
        return found

    def announce(self, renaming_id: int, *, why: str, now: dt.datetime) -> None:
        """They are two: the new one counts as news, unless a baseline found it. Raises as `join` does."""
        with self._database.begin() as connection:
            row = _pending(connection, renaming_id)
            connection.execute(
                sa.update(change)
                .where(
                    change.c.milestone_id == row.other_id, change.c.kind.in_(NEWS),
                    change.c.look_id.in_(sa.select(look.c.id).where(~look.c.baseline)),
                )
                .values(announce=True)
            )
            _decide(connection, renaming_id, "new", why=why, now=now)

    def join(
        self, renaming_id: int, *, fields: tuple[FieldChange, ...], kept: Milestone, why: str, now: dt.datetime,
        proof: str = "operator",
    ) -> StoredMilestone:
        """They are one: the known milestone takes the new key, and goes on with the new one's versions and changes.

        `fields`: what differs between the last version of the one and the first of the other; `kept`: the record to
        keep. Nothing of it is news. Raises ConflictError when it was answered before, when the new one was announced
        already or the old one took yet another key meanwhile, NotFoundError when there is no such question.
        """
        with self._database.begin() as connection:
            row = _pending(connection, renaming_id)
            old, new = _one(connection, row.milestone_id), _one(connection, row.other_id)
            _refuse(connection, row, old)
            _decide(connection, renaming_id, "rename", why=why, now=now, other_id=None, proof=proof)
            renamed = Change(
                source=row.source, key=row.new_key, kind="renamed",
                fields=(FieldChange("key", "renamed", row.old_key, row.new_key), *fields),
            )
            _move(connection, old, new, renamed)
            last = _one(connection, old.id)
            if fingerprint(kept) != last.fingerprint:
                _add_version(connection, last, kept, now)
            connection.execute(
                sa.update(milestone).where(milestone.c.id == old.id).values(
                    related=field_to_json(kept, "related"), evidence=None
                )
            )
            search.index(connection, {old.id: kept})
            return _one(connection, old.id)


def _row(connection: sa.Connection, renaming_id: int) -> sa.Row[Any]:
    row = connection.execute(sa.select(renaming).where(renaming.c.id == renaming_id)).first()
    if row is None:
        raise NotFoundError("there is no such question", where=f"rename {renaming_id}",
                            hint="See `milepost changes renames`.")
    return row


def _pending(connection: sa.Connection, renaming_id: int) -> sa.Row[Any]:
    row = _row(connection, renaming_id)
    serialize(connection, f"milestones.{row.source}")
    row = _row(connection, renaming_id)
    if row.decision != "pending":
        said = "a rename" if row.decision == "rename" else "new"
        raise ConflictError(f"{row.new_key} is {said} already", where=f"rename {renaming_id}")
    return row


def _refuse(connection: sa.Connection, row: sa.Row[Any], old: StoredMilestone) -> None:
    where = f"rename {row.id}"
    told = sa.select(issue_item.c.issue).where(issue_item.c.milestone_id == row.other_id).limit(1)
    number = connection.execute(told).scalar()
    if number is not None:
        raise ConflictError(f"{row.new_key} is in issue {number} already", where=where, hint="Say that it is new.")
    key = connection.execute(sa.select(milestone.c.key).where(milestone.c.id == old.id)).scalar_one()
    if key != row.old_key:
        raise ConflictError(f"{row.old_key} took the key {key} meanwhile", where=where, hint="Say that it is new.")


def _decide(connection: sa.Connection, renaming_id: int, decision: Decision, *, why: str, now: dt.datetime,
            **values: object) -> None:
    connection.execute(
        sa.update(renaming).where(renaming.c.id == renaming_id)
        .values(decision=decision, why=why, decided_at=now, **values)
    )


def _move(connection: sa.Connection, old: StoredMilestone, new: StoredMilestone, renamed: Change) -> None:
    """Everything of `new` becomes a later part of `old`, and its own row goes."""
    first = sa.select(milestone_version.c.id).where(
        milestone_version.c.milestone_id == new.id, milestone_version.c.number == 1
    )
    connection.execute(
        sa.update(change)
        .where(change.c.milestone_id == new.id, change.c.kind == "added",
               change.c.new_version_id == first.scalar_subquery())
        .values(kind="renamed", announce=False, old_version_id=old.version_id,
                fields=[list(field) for field in renamed.fields])
    )
    connection.execute(sa.update(change).where(change.c.milestone_id == new.id).values(milestone_id=old.id))
    connection.execute(
        sa.update(milestone_version).where(milestone_version.c.milestone_id == new.id)
        .values(milestone_id=old.id, number=milestone_version.c.number + old.version)
    )
    connection.execute(sa.update(renaming).where(renaming.c.milestone_id == new.id).values(milestone_id=old.id))
    search.forget(connection, new.id)
    connection.execute(sa.delete(milestone).where(milestone.c.id == new.id))
    connection.execute(
        sa.update(milestone).where(milestone.c.id == old.id)
        .values(key=renamed.key, state="present", version=old.version + new.version)
    )


def _add_version(connection: sa.Connection, last: StoredMilestone, kept: Milestone, now: dt.datetime) -> None:
    connection.execute(sa.insert(milestone_version).values(
        milestone_id=last.id, number=last.version + 1, record=milestone_to_json(kept), fingerprint=fingerprint(kept),
        snapshot_id=last.snapshot_id, extractor=kept.extractor, created_at=now,
    ))
    connection.execute(sa.update(milestone).where(milestone.c.id == last.id).values(version=last.version + 1))


def _one(connection: sa.Connection, milestone_id: int) -> StoredMilestone:
    return stored(connection.execute(current().where(milestone.c.id == milestone_id)).one())


def _renaming(connection: sa.Connection, row: sa.Row[Any]) -> Renaming:
    return Renaming(
        id=row.id, source=row.source, old_key=row.old_key, new_key=row.new_key, proof=row.proof, score=row.score,
        look_id=row.look_id, detected_at=row.detected_at, decision=row.decision, decided_at=row.decided_at, why=row.why,
        old=_one(connection, row.milestone_id), new=None if row.other_id is None else _one(connection, row.other_id),
    )
