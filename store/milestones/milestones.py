"""Milestones, every version of them, and the changes between: written in one transaction a look, idempotently.

    entries (change, record, snapshot) ─▶ apply ─▶ milestone ─ milestone_version ─ change
"""

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import sqlalchemy as sa

from milepost.codec import evidence_to_json, milestone_from_json
from milepost.errors import NotFoundError
from milepost.records import ChangeKind, Flap, Milestone, StoredChange, StoredMilestone
from store.dialects import one_of
from store.engine import Database
from store.milestones import apply_look, milestone_queries
from store.milestones.apply_look import Applied, Entry, Likeness
from store.milestones.milestone_queries import HELD, NONE, FieldDiff, Version
from store.schema.columns import Json
from store.schema.tables import change, flapping, look, milestone, milestone_version

__all__ = ["Applied", "Entry", "FieldDiff", "Likeness", "Milestones", "Version"]


_STREAMED = {"yield_per": 500}  # rows in memory


class Milestones:
    """The records of every source."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def apply(
        self,
        look_id: int | None,
        source: str,
        entries: Iterable[Entry],
        *,
        announce: bool,
        held: bool | str = False,
        now: dt.datetime,
        guard: str | None = None,
        silent: Collection[str] = (),
        likenesses: Sequence[Likeness] = (),
        flaps: Mapping[str, Sequence[Flap]] = MappingProxyType({}),
    ) -> Applied:
        """Store what a look (None: a backfill) read, all or nothing; returns what was really new.

        `entries` are all records read this time: (change or None, record to keep, snapshot id). One whose content the
        store holds already creates nothing, so that applying twice is applying once; its page counts as read.
        `announce` False: the changes can never reach an issue. `held`: they wait for an operator; a text is the reason,
        `guard` the name of the guard that stopped the look. `silent`: keys that are not announced when they are added.
        `likenesses`: what was renamed, and which of the silent ones an operator is asked about.
        `flaps`: key of an entry → what alternates of it.
        Raises ConflictError when the look ended or was taken over, ValueError when a backfill would announce.
        """
        if look_id is None and announce:
            raise ValueError("a backfill never announces")
        with self._database.begin() as connection:
            return apply_look.apply(
                connection, look_id, source, entries, announce=announce, held=held, now=now, guard=guard,
                silent=silent, likenesses=likenesses, flaps=flaps,
            )

    def note_evidence(self, source: str, records: Sequence[Milestone]) -> None:
        """Keep who tells the fields of records whose content is as it was: no version is made."""
        if not records:
            return
        rows = [{"of_key": record.key, "told": evidence_to_json(record)} for record in records]
        with self._database.begin() as connection:
            connection.execute(
                sa.update(milestone)
                .where(milestone.c.source == source, milestone.c.key == sa.bindparam("of_key"))
                .values(evidence=sa.bindparam("told", type_=Json)), rows,
            )

    def known(self, source: str) -> dict[str, StoredMilestone]:
        """The current version of every milestone of a source by key, withdrawn ones included."""
        with self._database.connect() as connection:
            query = milestone_queries.current().where(milestone.c.source == source, ~NONE).order_by(milestone.c.key)
            return {row.key: milestone_queries.stored(row) for row in connection.execute(query)}

    def each(self, source: str) -> Iterator[StoredMilestone]:
        """`known`, a few at a time."""
        query = milestone_queries.current().where(milestone.c.source == source, ~NONE).order_by(milestone.c.key)
        with self._database.connect() as connection, connection.execute(query, execution_options=_STREAMED) as rows:
            for row in rows:
                yield milestone_queries.stored(row)

    def on_record(self, source: str, keys: Collection[str]) -> set[str]:
        """Which of these keys are known, withdrawn ones included."""
        wanted, found = sorted(keys), set[str]()
        query = sa.select(milestone.c.key).where(milestone.c.source == source, ~NONE)
        with self._database.connect() as connection:
            for start in range(0, len(wanted), 500):
                here = query.where(milestone.c.key.in_(wanted[start : start + 500]))
                found |= set(connection.execute(here).scalars())
        return found

    def some(self, source: str, keys: Collection[str], *, visible: bool = False) -> dict[str, StoredMilestone]:
        """`known`, of these keys only; `visible`: not the versions that wait for an operator, if there are others."""
        wanted = sorted(keys)
        found: dict[str, StoredMilestone] = {}
        with self._database.connect() as connection:
            for start in range(0, len(wanted), 500):
                query = milestone_queries.visible() if visible else milestone_queries.current()
                query = query.where(
                    milestone.c.source == source, milestone.c.key.in_(wanted[start : start + 500]), ~NONE
                )
                found |= {row.key: milestone_queries.stored(row) for row in connection.execute(query)}
        return found

    def earlier(self, source: str, numbers: Mapping[str, int], *, most: int = 10) -> dict[str, list[Milestone]]:
        """What these milestones were before (key → version number) that version, the last `most` versions of each."""
        found: dict[str, list[Milestone]] = {}
        wanted = sorted(numbers)
        with self._database.connect() as connection:
            for start in range(0, len(wanted), 500):
                query = milestone_queries.versions().where(
                    milestone.c.source == source, milestone.c.key.in_(wanted[start : start + 500]),
                    milestone_version.c.number >= milestone.c.version - most,
                )
                for row in connection.execute(query.order_by(milestone_version.c.id)):
                    if row.number < numbers[row.key]:
                        found.setdefault(row.key, []).append(milestone_queries.stored(row).milestone)
        return found

    def flaps(self, source: str) -> dict[str, dict[str, Flap]]:
        """What alternates on the pages of a source: key → field → what was told last."""
        query = (
            sa.select(milestone.c.key, flapping).join_from(flapping, milestone).where(milestone.c.source == source)
            .order_by(milestone.c.key, flapping.c.field)
        )
        found: dict[str, dict[str, Flap]] = {}
        with self._database.connect() as connection:
            for row in connection.execute(query):
                flap = Flap(field=row.field, value=row.value, looks=row.looks)
                found.setdefault(row.key, {})[row.field] = flap
        return found

    def keys(self, source: str) -> set[str]:
        """The keys of all that are present."""
        query = sa.select(milestone.c.key).where(milestone.c.source == source, milestone.c.state == "present")
        with self._database.connect() as connection:
            return set(connection.execute(query).scalars())

    def withdrawn(self, source: str) -> set[str]:
        """The keys that the source withdrew."""
        query = sa.select(milestone.c.key).where(milestone.c.source == source, milestone.c.state == "withdrawn", ~NONE)
        with self._database.connect() as connection:
            return set(connection.execute(query).scalars())

    def get(self, source: str | None, key: str) -> StoredMilestone:
        """The current version; raises NotFoundError, or InputError when `source` is None and several have the key."""
        with self._database.connect() as connection:
            query = milestone_queries.current().where(milestone.c.id == milestone_queries.find(connection, source, key))
            return milestone_queries.stored(connection.execute(query).one())

    def iterate(self, source: str | None = None) -> Iterator[StoredMilestone]:
        """The current version of every milestone that is present, by source and key, a few at a time."""
        query = milestone_queries.current().where(milestone.c.state == "present")
        query = query.order_by(milestone.c.source, milestone.c.key)
        if source is not None:
            query = query.where(milestone.c.source == source)
        with self._database.connect() as connection, connection.execute(query, execution_options=_STREAMED) as rows:
            for row in rows:
                yield milestone_queries.stored(row)

    def count(self, source: str) -> int:
        """How many milestones of a source are present."""
        query = sa.select(sa.func.count()).where(milestone.c.source == source, milestone.c.state == "present")
        with self._database.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def version(self, version_id: int) -> StoredMilestone:
        """A milestone as it was at one version; raises NotFoundError."""
        query = milestone_queries.versions().where(milestone_version.c.id == version_id)
        with self._database.connect() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFoundError("there is no such version", where=f"version {version_id}")
        return milestone_queries.stored(row)

    def at_versions(self, version_ids: Collection[int]) -> dict[int, StoredMilestone]:
        """Milestones as they were at these versions, by the versions' ids."""
        query = milestone_queries.versions().where(one_of(milestone_version.c.id, sorted(version_ids)))
        with self._database.connect() as connection:
            return {row.id: milestone_queries.stored(row) for row in connection.execute(query)}

    def count_changes(self, look_ids: Collection[int]) -> dict[int, dict[ChangeKind, int]]:
        """Look → how many changes of each kind it found; nothing of one that found none."""
        query = sa.select(change.c.look_id, change.c.kind, sa.func.count()).where(one_of(change.c.look_id, look_ids))
        found: dict[int, dict[ChangeKind, int]] = {}
        with self._database.connect() as connection:
            for row in connection.execute(query.group_by(change.c.look_id, change.c.kind)):
                found.setdefault(row[0], {})[row[1]] = row[2]
        return found

    def latest_changes(self, look_ids: Collection[int], each: int) -> list[StoredChange]:
        """The latest changes that these looks found, `each` at most, the newest first."""
        of, made, other = look.alias(), change.alias(), change.alias()
        # The oldest one that is wanted of a look; of a look with fewer all are. Asked once a look, not once a change.
        oldest = (
            sa.select(other.c.id).where(other.c.look_id == of.c.id).order_by(other.c.id.desc())
            .offset(each - 1).limit(1).scalar_subquery()
        )
        found = sa.select(made.c.id).join_from(
            of, made, sa.and_(made.c.look_id == of.c.id, made.c.id >= sa.func.coalesce(oldest, 0))
        ).where(one_of(of.c.id, look_ids))
        query = milestone_queries.changes_query().where(change.c.id.in_(found)).order_by(change.c.id.desc())
        with self._database.connect() as connection:
            return [milestone_queries.stored_change(row) for row in connection.execute(query)]

    def history(self, key: str, source: str | None = None) -> list[Version]:
        """Every version of a milestone, oldest first; raises as `get` does."""
        with self._database.connect() as connection:
            milestone_id = milestone_queries.find(connection, source, key)
            query = milestone_queries.changes_query().where(change.c.milestone_id == milestone_id)
            made_by: dict[int, StoredChange] = {}
            later: dict[int, list[StoredChange]] = {}
            for happened in map(milestone_queries.stored_change, connection.execute(query.order_by(change.c.id))):
                if happened.new_version_id == happened.old_version_id:
                    later.setdefault(happened.new_version_id, []).append(happened)
                else:
                    made_by[happened.new_version_id] = happened
            query = sa.select(milestone_version).where(milestone_version.c.milestone_id == milestone_id)
            return [
                Version(
                    id=row.id, number=row.number, milestone=milestone_from_json(row.record),
                    fingerprint=row.fingerprint, snapshot_id=row.snapshot_id, extractor=row.extractor,
                    look_id=row.look_id, backfill_id=row.backfill_id, created_at=row.created_at,
                    change=made_by.get(row.id), later=tuple(later.get(row.id, ())),
                )
                for row in connection.execute(query.order_by(milestone_version.c.number))
            ]

    def diff(self, key: str, older: int, newer: int, source: str | None = None) -> list[FieldDiff]:
        """What differs between two versions (1, 2, 3 …) of a milestone, in the order of the fields.

        Raises as `get` does, and NotFoundError for a version that never was.
        """
        with self._database.connect() as connection:
            milestone_id = milestone_queries.find(connection, source, key)
            return milestone_queries.diff(
                milestone_queries.numbered(connection, milestone_id, older),
                milestone_queries.numbered(connection, milestone_id, newer),
            )

    def changes(
        self,
        *,
        source: str | None = None,
        key: str | None = None,
        kinds: Sequence[ChangeKind] | None = None,
        look_id: int | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        announce: bool | None = None,
        held: bool | None = None,
        limit: int | None = None,
        before: int | None = None,
    ) -> list[StoredChange]:
        """The changes that fit every filter given, newest first; `since` counts in, `until` doesn't.

        `before`: those that are older than the one of that id.
        """
        query = milestone_queries.changes_query().order_by(change.c.id.desc()).limit(limit)
        filters: list[tuple[object, sa.ColumnElement[bool]]] = [
            (source, milestone.c.source == source),
            (key, milestone.c.key == key),
            (kinds, change.c.kind.in_(kinds or ())),
            (look_id, change.c.look_id == look_id),
            (announce, change.c.announce == announce),
            (held, HELD if held else ~HELD),
        ]
        if since is not None:
            query = query.where(change.c.detected_at >= since)
        if until is not None:
            query = query.where(change.c.detected_at < until)
        if before is not None:
            query = query.where(change.c.id < before)
        query = query.where(*(clause for value, clause in filters if value is not None))
        with self._database.connect() as connection:
            return [milestone_queries.stored_change(row) for row in connection.execute(query)]
