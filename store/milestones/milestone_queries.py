"""Reading milestones: rows of versions and changes as records."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from milepost.codec import field_to_json, milestone_from_json
from milepost.errors import InputError, NotFoundError
from milepost.fields import CONTENT_FIELDS
from milepost.records import Change, FieldChange, Milestone, StoredChange, StoredMilestone
from store.schema.tables import change, look, milestone, milestone_version, renaming


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """One version of a milestone, with the change that made it (None: a reading that changed no content)."""

    id: int
    number: int
    milestone: Milestone
    fingerprint: str
    snapshot_id: int | None
    extractor: str
    look_id: int | None  # None: a backfill, an import, or an operator's answer
    backfill_id: int | None
    created_at: dt.datetime
    change: StoredChange | None
    later: tuple[StoredChange, ...] = ()  # what happened to it as it was: withdrawn, restored

    @property
    def found_by(self) -> str:
        """Who wrote it: "look 3", "backfill 1", "an import", or "an operator" (an undone backfill, a rename)."""
        if self.look_id is not None:
            return f"look {self.look_id}"
        if self.backfill_id is not None:
            return f"backfill {self.backfill_id}"
        return "an import" if self.snapshot_id is None else "an operator"


class FieldDiff(NamedTuple):
    """One field of two versions, in its JSON forms (milepost.codec)."""

    field: str
    old: object
    new: object


# Whether the change's look waits for an operator, or was refused by one.
HELD = sa.and_(look.c.held.is_not(None), sa.or_(look.c.released_at.is_(None), look.c.refused_at.is_not(None)))
# Whether a look that was refused is all that ever saw the milestone: then there is none.
_first = look.alias("first_look")
NONE = sa.exists().where(_first.c.id == milestone.c.first_look_id, _first.c.refused_at.is_not(None))


def versions() -> sa.Select[Any]:
    """Milestones with every version of them; `stored` reads its rows."""
    return sa.select(
        milestone.c.id.label("milestone_id"), milestone.c.key, milestone.c.first_seen_at,
        milestone_version.c.id, milestone_version.c.number, milestone_version.c.record,
        milestone_version.c.fingerprint, milestone_version.c.snapshot_id,
    ).join_from(milestone, milestone_version, milestone_version.c.milestone_id == milestone.c.id)


def current() -> sa.Select[Any]:
    """Milestones with their current version, their Related cards and evidence as last read; `stored` reads its rows."""
    as_read = (milestone.c.related, milestone.c.evidence)
    return versions().add_columns(*as_read).where(milestone_version.c.number == milestone.c.version)


def visible() -> sa.Select[Any]:
    """Milestones with the last version that waits for no operator, or with the current one where all of them do."""
    return versions().where(milestone_version.c.number == sa.func.coalesce(_last_settled(), milestone.c.version))


def public() -> sa.Select[Any]:
    """What everybody may read: as `visible`, without those of which every version, or the very name, waits for an
    operator; `withdrawn` says whether a milestone was, and that doesn't wait either."""
    waiting = sa.exists().where(
        change.c.milestone_id == milestone.c.id, change.c.kind == "withdrawn", change.c.look_id == look.c.id, HELD
    )
    asked = sa.exists().where(renaming.c.other_id == milestone.c.id, renaming.c.decision == "pending")
    withdrawn = sa.and_(milestone.c.state == "withdrawn", ~waiting).label("withdrawn")
    query = versions().add_columns(withdrawn, milestone.c.source)
    return query.where(milestone_version.c.number == _last_settled(), ~asked, ~NONE)


def _last_settled() -> sa.ScalarSelect[Any]:
    """The number of a milestone's last version that waits for no operator, NULL where all of them do."""
    other, maker = milestone_version.alias(), look.alias()
    return (
        sa.select(sa.func.max(other.c.number))
        .select_from(other.outerjoin(maker, other.c.look_id == maker.c.id))
        .where(
            other.c.milestone_id == milestone.c.id,
            sa.or_(maker.c.held.is_(None), sa.and_(maker.c.released_at.is_not(None), maker.c.refused_at.is_(None))),
        )
        .scalar_subquery()
    )


def stored(row: sa.Row[Any]) -> StoredMilestone:
    """A row of `versions`, `current` or `visible` as a record."""
    as_read = {name: getattr(row, name, None) for name in ("related", "evidence")}
    record = row.record | {name: value for name, value in as_read.items() if value is not None}
    return StoredMilestone(
        id=row.milestone_id, version=row.number, version_id=row.id, milestone=milestone_from_json(record),
        fingerprint=row.fingerprint, first_seen_at=row.first_seen_at, snapshot_id=row.snapshot_id,
    )


def current_by_id(connection: sa.Connection, ids: Sequence[int]) -> dict[int, StoredMilestone]:
    """The current versions of these milestones."""
    return _by_id(connection, current(), ids)


def visible_by_id(connection: sa.Connection, ids: Sequence[int]) -> dict[int, StoredMilestone]:
    """What may be shown of these milestones: see `visible`."""
    return _by_id(connection, visible(), ids)


def _by_id(connection: sa.Connection, query: sa.Select[Any], ids: Sequence[int]) -> dict[int, StoredMilestone]:
    found: dict[int, StoredMilestone] = {}
    for start in range(0, len(ids), 500):
        rows = connection.execute(query.where(milestone.c.id.in_(ids[start : start + 500])))
        found |= {row.milestone_id: stored(row) for row in rows}
    return found


def numbered(connection: sa.Connection, milestone_id: int, number: int) -> Milestone:
    """A milestone as it was at its version `number`; raises NotFoundError."""
    query = versions().where(milestone.c.id == milestone_id, milestone_version.c.number == number)
    row = connection.execute(query).first()
    if row is None:
        raise NotFoundError("there is no such version", where=f"version {number}")
    return stored(row).milestone


def diff(old: Milestone, new: Milestone) -> list[FieldDiff]:
    """The key and the content fields that differ."""
    names = [FieldDiff("key", old.key, new.key)]
    fields = [FieldDiff(name, field_to_json(old, name), field_to_json(new, name)) for name in CONTENT_FIELDS]
    return [field for field in names + fields if field.old != field.new]


def changes_query() -> sa.Select[Any]:
    """Changes with their milestone's name and whether they are held; `stored_change` reads its rows."""
    return (
        sa.select(change, milestone.c.source, milestone.c.key, HELD.label("held"))
        .join_from(change, milestone)
        .outerjoin(look, change.c.look_id == look.c.id)
    )


def stored_change(row: sa.Row[Any]) -> StoredChange:
    """A row of `changes_query` as a record."""
    fields = tuple(FieldChange(*field) for field in row.fields)
    return StoredChange(
        id=row.id, look_id=row.look_id, milestone_id=row.milestone_id,
        change=Change(source=row.source, key=row.key, kind=row.kind, fields=fields),
        old_version_id=row.old_version_id, new_version_id=row.new_version_id, detected_at=row.detected_at,
        announce=row.announce, held=bool(row.held),
    )


def find(connection: sa.Connection, source: str | None, key: str) -> int:
    """The id of a milestone; raises NotFoundError, or InputError when `source` is None and several have the key."""
    query = sa.select(milestone.c.id, milestone.c.source).where(milestone.c.key == key)
    if source is not None:
        query = query.where(milestone.c.source == source)
    rows = connection.execute(query.order_by(milestone.c.source)).all()
    if not rows:
        raise NotFoundError("there is no such milestone", where=key if source is None else f"{source}/{key}",
                            hint=_renamed(connection, source, key))
    if len(rows) > 1:
        raise InputError(
            f"several sources have a milestone of that key: {', '.join(row.source for row in rows)}", where=key,
            hint="Name the source too.",
        )
    return int(rows[0].id)


def _renamed(connection: sa.Connection, source: str | None, key: str) -> str | None:
    """What to say to somebody who uses a milestone's former key."""
    query = (
        sa.select(milestone.c.key)
        .join_from(renaming, milestone, renaming.c.milestone_id == milestone.c.id)
        .where(renaming.c.old_key == key, renaming.c.decision == "rename")
        .order_by(renaming.c.id.desc())
    )
    if source is not None:
        query = query.where(renaming.c.source == source)
    now = connection.execute(query.limit(1)).scalar()
    return None if now is None else f"It was renamed: its key is {now} by now."
