"""What looks were refused, and what follows from it: their versions are taken back, and what they read is known again.

    held look ─▶ refuse ─▶ refused_at ─▶ its versions are hidden for good, the record is as it was before
                             └─▶ later looks ask: which values, which picture was refused? (released: none)
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from milepost.codec import milestone_from_json, milestone_to_json
from milepost.errors import ConflictError
from milepost.fingerprint import fingerprint
from milepost.records import FieldChange, Milestone, RefusedChange
from store.dialects import one_of, serialize
from store.engine import Database
from store.milestones import search
from store.milestones.looks import WAITING, Look, get_look, look_of, read_again
from store.schema.tables import change, look, milestone, milestone_version, renaming, source_profile

Restore = Callable[[Milestone, Milestone, Milestone], Milestone]  # before, written, now → the record to keep
# What these guards object to was read; with the others it is what was not there, and what was read is read again.
OF_WHAT_WAS_READ = ("drift", "surge", None)
_IN_FORCE = sa.and_(look.c.refused_at.is_not(None), look.c.released_at.is_(None))


@dataclass(frozen=True, kw_only=True, slots=True)
class Undone:
    """What a refusal took back."""

    look: Look
    restored: int  # milestones that are what they were
    dropped: int  # milestones that are none
    again: bool  # what was read is read again by the next look


class Refusals:
    """Of the looks of every source."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def refuse(self, look_id: int, restore: Restore, *, why: str, now: dt.datetime) -> Undone:
        """Take back all that a held look wrote, all or nothing; history stays whole, and nobody hears of it.

        Raises ConflictError when it is not held, NotFoundError when there is no such look.
        """
        with self._database.begin() as connection:
            serialize(connection, f"milestones.{get_look(connection, look_id).source}")
            done = connection.execute(
                sa.update(look)
                .where(look.c.id == look_id, look.c.held.is_not(None), look.c.released_at.is_(None),
                       look.c.refused_at.is_(None))
                .values(refused_at=now, refused_why=why)
            )
            found = get_look(connection, look_id)
            if done.rowcount == 0:
                raise ConflictError("that look is not held", where=f"look {look_id}")
            again = found.guard not in OF_WHAT_WAS_READ
            if again:
                read_again(connection, look_id)
            counts = [
                _take_back(connection, found, milestone_id, restore, now=now)
                for milestone_id in list(connection.execute(
                    sa.select(change.c.milestone_id).where(change.c.look_id == look_id).distinct()
                    .union(sa.select(milestone_version.c.milestone_id).where(milestone_version.c.look_id == look_id))
                ).scalars())
            ]
            connection.execute(
                sa.update(renaming).where(renaming.c.look_id == look_id, renaming.c.decision == "pending")
                .values(decision="new", decided_at=now, why=why)
            )
            return Undone(look=found, restored=counts.count(True), dropped=counts.count(False), again=again)

    def changes(self, source: str) -> dict[str, list[RefusedChange]]:
        """What was refused to be read, by the milestone's key; only of looks whose refusal is in force."""
        query = (
            sa.select(look.c.id, milestone.c.key, change.c.kind, change.c.fields, milestone_version.c.record)
            .join_from(change, look, change.c.look_id == look.c.id)
            .join(milestone, change.c.milestone_id == milestone.c.id)
            .join(milestone_version, change.c.new_version_id == milestone_version.c.id)
            .where(look.c.source == source, _IN_FORCE,
                   sa.or_(look.c.guard.is_(None), look.c.guard.in_([one for one in OF_WHAT_WAS_READ if one])))
            .order_by(change.c.id)
        )
        found: dict[str, list[RefusedChange]] = {}
        with self._database.connect() as connection:
            for row in connection.execute(query):
                record = milestone_from_json(row.record)
                found.setdefault(record.key, []).append(RefusedChange(
                    look=row.id, kind=row.kind, fields=tuple(FieldChange(*field) for field in row.fields),
                    record=record,
                ))
        return found

    def pictures(self, source: str, guard: str) -> list[tuple[Look, Mapping[str, Any] | None]]:
        """The looks that this guard held and that were refused, the latest first, with what each offered."""
        query = (
            sa.select(look, source_profile.c.data)
            .join_from(look, source_profile, source_profile.c.look_id == look.c.id, isouter=True)
            .where(look.c.source == source, look.c.guard == guard, _IN_FORCE)
            .order_by(look.c.id.desc())
        )
        with self._database.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [(look_of({name: value for name, value in row.items() if name != "data"}), row["data"]) for row in rows]

    def removals(self, source: str) -> int:
        """The last look of much missing that was refused: what was missing by then stays on record. 0 for none."""
        query = sa.select(sa.func.coalesce(sa.func.max(look.c.id), 0)).where(
            look.c.source == source, look.c.guard.in_(("removal", "shrunken")), _IN_FORCE
        )
        with self._database.connect() as connection:
            return int(connection.execute(query).scalar_one())


def _take_back(
    connection: sa.Connection, refused: Look, milestone_id: int, restore: Restore, *, now: dt.datetime
) -> bool | None:
    """Make one milestone what it was before the look; True: it is, False: it is none, None: it was that already."""
    versions = connection.execute(
        sa.select(milestone_version).where(milestone_version.c.milestone_id == milestone_id)
        .order_by(milestone_version.c.number)
    ).all()
    written = [one for one in versions if one.look_id == refused.id]
    row = connection.execute(sa.select(milestone).where(milestone.c.id == milestone_id)).one()
    if row.first_look_id == refused.id:
        connection.execute(sa.update(milestone).where(milestone.c.id == milestone_id).values(state="withdrawn"))
        return False
    _rename_back(connection, refused.id, row, now)
    for kind, state in (("withdrawn", "present"), ("restored", "withdrawn")):
        moved = sa.exists().where(change.c.milestone_id == milestone_id, change.c.look_id == refused.id,
                                  change.c.kind == kind)
        connection.execute(sa.update(milestone).where(milestone.c.id == milestone_id, moved).values(state=state))
    if not written:
        return None
    looks = {one.id: one for one in connection.execute(
        sa.select(look.c.id, look.c.refused_at, WAITING.label("waits"))
        .where(one_of(look.c.id, [one.look_id for one in versions if one.look_id is not None]))
    )}
    before = [one for one in versions if one.number < written[0].number
              and (one.look_id is None or looks[one.look_id].refused_at is None)]
    if not before:
        return None
    was, last = before[-1], versions[-1]
    record = milestone_from_json(was.record)
    kept = record if last.id == written[-1].id else restore(
        record, milestone_from_json(written[-1].record), milestone_from_json(last.record)
    )
    if fingerprint(kept) == last.fingerprint:
        return None
    # What is left of it may wait for an operator itself: then it goes on to.
    waits = next((one.look_id for one in (last, was) if one.look_id is not None and looks[one.look_id].waits), None)
    connection.execute(sa.insert(milestone_version).values(
        milestone_id=milestone_id, number=last.number + 1, record=milestone_to_json(kept),
        fingerprint=fingerprint(kept), snapshot_id=was.snapshot_id, extractor=kept.extractor, look_id=waits,
        created_at=now,
    ))
    connection.execute(
        sa.update(milestone).where(milestone.c.id == milestone_id).values(version=last.number + 1, evidence=None)
    )
    search.index(connection, {milestone_id: kept})
    return True


def _rename_back(connection: sa.Connection, look_id: int, row: sa.Row[Any], now: dt.datetime) -> None:
    """Its old key, where the look renamed it and nobody else has that key by now."""
    mine = sa.and_(renaming.c.look_id == look_id, renaming.c.milestone_id == row.id, renaming.c.decision == "rename",
                   renaming.c.new_key == row.key)
    old = connection.execute(sa.select(renaming.c.old_key).where(mine)).scalar()
    taken = sa.select(milestone.c.id).where(milestone.c.source == row.source, milestone.c.key == old)
    if old is None or connection.execute(taken).first() is not None:
        return
    connection.execute(sa.update(milestone).where(milestone.c.id == row.id).values(key=old))
    connection.execute(sa.update(renaming).where(mine).values(decision="new", decided_at=now))
