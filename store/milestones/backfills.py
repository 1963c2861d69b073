"""Backfills: which pages are read again, what was read so far, and one transaction to write it all, or take it back.

    selected ─▶ (read again) ─▶ stage, batch by batch ─▶ finish ─▶ versions      undo ─▶ versions as they were before
"""

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from milepost.codec import milestone_from_json, milestone_to_json
from milepost.errors import ConflictError, NotFoundError
from milepost.records import IssueState, Milestone, StoredMilestone
from store.dialects import insert, serialize
from store.engine import Database
from store.milestones import apply_look
from store.milestones.apply_look import Entry
from store.milestones.looks import ensure_source
from store.milestones.milestone_queries import NONE, current, current_by_id, numbered, stored
from store.schema.tables import (
    backfill,
    backfill_record,
    issue,
    issue_item,
    milestone,
    milestone_version,
    page,
    snapshot,
)

CHUNK = 500  # records that are in memory at once
MAX_FAILURES = 1000  # sentences that are kept


@dataclass(frozen=True, kw_only=True, slots=True)
class Backfill:
    """One backfill of one source."""

    id: int
    source: str
    extractor: str  # who read: "aitimeline/2"
    parameters: Mapping[str, Any]  # what was selected
    started_at: dt.datetime
    finished_at: dt.datetime | None  # None: it died, or is still reading
    undone_at: dt.datetime | None
    undone_why: str | None
    read_to: str | None  # the last page's URL
    read: int  # pages
    failed: int  # of those
    failures: tuple[str, ...]  # a sentence a page, the first MAX_FAILURES
    versions: int  # it wrote

    @property
    def state(self) -> str:
        """"finished", "undone", or "unfinished": it died, or is still reading."""
        return "undone" if self.undone_at else "finished" if self.finished_at else "unfinished"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadAgain:
    """A record that a backfill read, and the snapshot it was read from."""

    record: Milestone
    snapshot_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """An issue that told of milestones which a backfill touches."""

    issue: int
    state: IssueState
    keys: tuple[str, ...]


# What is known now, what was read again → what to write.
Decide = Callable[[Mapping[str, StoredMilestone], Sequence[ReadAgain]], list[Entry]]
# A milestone as it was before a backfill, as that left it, and as it is now → the entry that takes the backfill back.
Revert = Callable[[Milestone, Milestone, StoredMilestone], Entry]


class Backfills:
    """The backfills of every source."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def selected(
        self, source: str, *, since: dt.datetime | None = None, until: dt.datetime | None = None
    ) -> list[tuple[str, int]]:
        """Milestone pages with the snapshot that each was last read from, by URL; the bounds are of its fetching."""
        query = (
            sa.select(page.c.url, page.c.read_snapshot_id)
            .where(page.c.source == source, page.c.kind == "milestone", page.c.read_snapshot_id.is_not(None))
            .order_by(page.c.url)
        )
        if since is not None or until is not None:
            query = query.join(snapshot, page.c.read_snapshot_id == snapshot.c.id)
        if since is not None:
            query = query.where(snapshot.c.fetched_at >= since)
        if until is not None:
            query = query.where(snapshot.c.fetched_at < until)
        with self._database.connect() as connection:
            return sorted((row.url, row.read_snapshot_id) for row in connection.execute(query))

    def open(self, source: str, extractor: str, parameters: Mapping[str, Any], now: dt.datetime) -> Backfill:
        """The unfinished backfill of the same extractor and parameters, to go on with, else a new one."""
        with self._database.begin() as connection:
            ensure_source(connection, source)
            serialize(connection, f"backfill.{source}")
            query = sa.select(backfill).where(
                backfill.c.source == source, backfill.c.extractor == extractor, backfill.c.finished_at.is_(None),
                backfill.c.undone_at.is_(None),
            )
            for row in connection.execute(query.order_by(backfill.c.id)):
                if row.parameters == dict(parameters):
                    return _backfill(row)
            made = connection.execute(
                sa.insert(backfill)
                .values(source=source, extractor=extractor, parameters=dict(parameters), started_at=now, failures=[])
                .returning(backfill.c.id)
            )
            return _get(connection, int(made.scalar_one()))

    def stage(
        self, backfill_id: int, read_again: Sequence[ReadAgain], *, read_to: str, read: int, failures: Sequence[str]
    ) -> None:
        """Keep one batch: of `read` pages up to the URL `read_to`, those records that differ, and what went wrong."""
        with self._database.begin() as connection:
            found = _get(connection, backfill_id, lock=True)
            if found.finished_at is not None or found.undone_at is not None:
                raise ConflictError("it is over", where=f"backfill {backfill_id}", hint="Start another.")
            if found.read_to is not None and found.read_to >= read_to:
                return  # another run of the same backfill was here first
            for one in read_again:
                values = {"snapshot_id": one.snapshot_id, "record": milestone_to_json(one.record)}
                put = insert(connection, backfill_record).values(
                    backfill_id=backfill_id, key=one.record.key, **values
                )
                connection.execute(put.on_conflict_do_update(
                    index_elements=["backfill_id", "key"], set_=values,
                    where=backfill_record.c.snapshot_id <= put.excluded.snapshot_id,
                ))
            connection.execute(
                sa.update(backfill).where(backfill.c.id == backfill_id).values(
                    read_to=read_to, read=found.read + read, failed=found.failed + len(failures),
                    failures=[*found.failures, *failures][:MAX_FAILURES],
                )
            )

    def finish(self, backfill_id: int, decide: Decide, now: dt.datetime) -> Backfill:
        """Write all that was staged as versions that nobody hears of, all or nothing; again, it changes nothing.

        Raises ConflictError when it was undone, NotFoundError when there is none.
        """
        with self._database.begin() as connection:
            found = _get(connection, backfill_id, lock=True)
            if found.undone_at is not None:
                raise ConflictError("it was undone", where=f"backfill {backfill_id}", hint="Start another.")
            if found.finished_at is not None:
                return found
            versions = 0
            for read_again in _staged(connection, backfill_id):
                known = _known(connection, found.source, [one.record.key for one in read_again])
                versions += apply_look.apply(
                    connection, None, found.source, decide(known, read_again), announce=False, held=False, now=now,
                    backfill_id=backfill_id,
                ).versions
            connection.execute(sa.delete(backfill_record).where(backfill_record.c.backfill_id == backfill_id))
            connection.execute(
                sa.update(backfill).where(backfill.c.id == backfill_id).values(finished_at=now, versions=versions)
            )
            return _get(connection, backfill_id)

    def undo(self, backfill_id: int, revert: Revert, *, why: str, now: dt.datetime) -> int:
        """Write what was there before it as new versions, all or nothing; returns how many. History stays whole.

        Raises ConflictError when it was undone before, NotFoundError when there is none.
        """
        with self._database.begin() as connection:
            found = _get(connection, backfill_id, lock=True)
            if found.undone_at is not None:
                raise ConflictError("it was undone already", where=f"backfill {backfill_id}")
            versions = 0
            for touched in _touched(connection, backfill_id):
                entries = [_reverted(connection, backfill_id, one, revert) for one in touched.values()]
                versions += apply_look.apply(
                    connection, None, found.source, entries, announce=False, held=False, now=now
                ).versions
            connection.execute(sa.delete(backfill_record).where(backfill_record.c.backfill_id == backfill_id))
            connection.execute(
                sa.update(backfill).where(backfill.c.id == backfill_id).values(undone_at=now, undone_why=why)
            )
            return versions

    def told(self, source: str, keys: Collection[str]) -> list[Told]:
        """Issues beyond their draft that tell of these milestones, by number."""
        query = (
            sa.select(issue.c.number, issue.c.state, milestone.c.key)
            .join_from(issue_item, issue, issue_item.c.issue == issue.c.number)
            .join(milestone, issue_item.c.milestone_id == milestone.c.id)
            .where(milestone.c.source == source, issue.c.state != "draft")
            .order_by(issue.c.number, issue_item.c.position)
        )
        wanted = sorted(keys)
        found: dict[int, list[str]] = {}
        states: dict[int, IssueState] = {}
        with self._database.connect() as connection:
            for start in range(0, len(wanted), CHUNK):
                for row in connection.execute(query.where(milestone.c.key.in_(wanted[start : start + CHUNK]))):
                    found.setdefault(row.number, []).append(row.key)
                    states[row.number] = row.state
        return [Told(issue=number, state=states[number], keys=tuple(dict.fromkeys(found[number])))
                for number in sorted(found)]

    def get(self, backfill_id: int) -> Backfill:
        """One of them; raises NotFoundError."""
        with self._database.connect() as connection:
            return _get(connection, backfill_id)

    def list(self, source: str | None = None, *, limit: int = 50) -> list[Backfill]:
        """The latest first."""
        query = sa.select(backfill).order_by(backfill.c.id.desc()).limit(limit)
        if source is not None:
            query = query.where(backfill.c.source == source)
        with self._database.connect() as connection:
            return [_backfill(row) for row in connection.execute(query)]


def _get(connection: sa.Connection, backfill_id: int, *, lock: bool = False) -> Backfill:
    query = sa.select(backfill).where(backfill.c.id == backfill_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise NotFoundError("there is no such backfill", where=f"backfill {backfill_id}",
                            hint="See `milepost backfill list`.")
    return _backfill(row)


def _backfill(row: sa.Row[Any]) -> Backfill:
    return Backfill(**{**row._mapping, "failures": tuple(row.failures)})  # noqa: SLF001 (SQLAlchemy's public name)


def _staged(connection: sa.Connection, backfill_id: int) -> Iterator[list[ReadAgain]]:
    """What was staged, CHUNK records at a time."""
    last = ""
    query = sa.select(backfill_record).where(backfill_record.c.backfill_id == backfill_id)
    while rows := connection.execute(
        query.where(backfill_record.c.key > last).order_by(backfill_record.c.key).limit(CHUNK)
    ).all():
        yield [ReadAgain(record=milestone_from_json(row.record), snapshot_id=row.snapshot_id) for row in rows]
        last = rows[-1].key


def _touched(connection: sa.Connection, backfill_id: int) -> Iterator[dict[int, StoredMilestone]]:
    """The milestones that it wrote versions of, as they are now, CHUNK at a time."""
    last = 0
    query = sa.select(milestone_version.c.milestone_id).where(milestone_version.c.backfill_id == backfill_id).distinct()
    while ids := list(connection.execute(
        query.where(milestone_version.c.milestone_id > last).order_by(milestone_version.c.milestone_id).limit(CHUNK)
    ).scalars()):
        yield current_by_id(connection, ids)
        last = ids[-1]


def _reverted(connection: sa.Connection, backfill_id: int, now: StoredMilestone, revert: Revert) -> Entry:
    query = sa.select(sa.func.min(milestone_version.c.number), sa.func.max(milestone_version.c.number)).where(
        milestone_version.c.milestone_id == now.id, milestone_version.c.backfill_id == backfill_id
    )
    first, last = connection.execute(query).one()
    written = numbered(connection, now.id, last)
    return revert(numbered(connection, now.id, first - 1), written, now)


def _known(connection: sa.Connection, source: str, keys: Sequence[str]) -> dict[str, StoredMilestone]:
    query = current().where(milestone.c.source == source, milestone.c.key.in_(keys), ~NONE)
    return {row.key: stored(row) for row in connection.execute(query)}
