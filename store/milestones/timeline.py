"""The timeline as everybody may read it: where each milestone stands, what became of it, which issues told of it.

What waits for an operator is not in it: neither a held look's versions nor a milestone that may be another one renamed.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from milepost.codec import date_from_json
from milepost.dates import PartialDate
from milepost.records import Cadence, ChangeKind, IssueState, Milestone, StoredChange
from store.dialects import one_of
from store.engine import Database
from store.milestones.milestone_queries import HELD, changes_query, public, stored, stored_change
from store.schema.tables import change, issue, issue_item, milestone, renaming, snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """One milestone on the timeline, as far as it takes to find and to list it."""

    id: int
    source: str
    key: str
    version: int  # the number of the one that is shown
    title: str
    date: PartialDate | None
    category: str | None  # slug
    era: str | None  # slug
    tags: tuple[str, ...]  # slugs
    first_seen_at: dt.datetime
    withdrawn: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ToldIn:
    """An issue that told of a milestone."""

    number: int
    cadence: Cadence
    sequence: int | None
    subject: str
    correction: bool


class Timeline:
    """Reads what is public of every source."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def places(self) -> list[Place]:
        """All of them, in the order in which they became known."""
        found = []
        streamed = {"yield_per": 500}
        query = public().order_by(milestone.c.id)
        with self._database.connect() as connection, connection.execute(query, execution_options=streamed) as rows:
            for row in rows:
                record = row.record
                found.append(Place(
                    id=row.milestone_id, source=row.source, key=row.key, version=row.number, title=record["title"],
                    date=date_from_json(record["date"]) if record["date"] else None, category=record["category"],
                    era=record["era"], tags=tuple(record["tags"]), first_seen_at=row.first_seen_at,
                    withdrawn=bool(row.withdrawn),
                ))
        return found

    def records(self, ids: Sequence[int]) -> dict[int, Milestone]:
        """What is shown of these milestones, by id."""
        found: dict[int, Milestone] = {}
        with self._database.connect() as connection:
            for start in range(0, len(ids), 500):
                rows = connection.execute(public().where(milestone.c.id.in_(ids[start : start + 500])))
                found |= {row.milestone_id: stored(row).milestone for row in rows}
        return found

    def changes(
        self, kinds: Sequence[ChangeKind], *, limit: int, milestone_ids: Sequence[int] | None = None
    ) -> list[StoredChange]:
        """What became of milestones, the latest first, without what a backfill found: it is told to nobody."""
        query = (
            changes_query()
            .where(change.c.kind.in_(kinds), ~HELD, change.c.look_id.is_not(None))
            .order_by(change.c.id.desc()).limit(limit)
        )
        if milestone_ids is not None:
            query = query.where(one_of(change.c.milestone_id, milestone_ids))
        with self._database.connect() as connection:
            return [stored_change(row) for row in connection.execute(query)]

    def last_changed(self, kinds: Sequence[ChangeKind], ids: Sequence[int]) -> dict[int, dt.datetime]:
        """When one of these changes last happened to these milestones, by id."""
        query = (
            sa.select(change.c.milestone_id, change.c.id, change.c.detected_at)
            .where(one_of(change.c.milestone_id, ids), change.c.id.in_(
                changes_query().with_only_columns(sa.func.max(change.c.id))
                .where(change.c.kind.in_(kinds), ~HELD, one_of(change.c.milestone_id, ids))
                .group_by(change.c.milestone_id)
            ))
        )
        with self._database.connect() as connection:
            return {row.milestone_id: row.detected_at for row in connection.execute(query)}

    def told_in(self, milestone_id: int, states: Sequence[IssueState]) -> list[ToldIn]:
        """The issues in those states that told of a milestone, the first one first."""
        query = (
            sa.select(issue.c.number, issue.c.cadence, issue.c.sequence, issue.c.subject, issue_item.c.role)
            .join_from(issue_item, issue, issue_item.c.issue == issue.c.number)
            .where(issue_item.c.milestone_id == milestone_id, issue.c.state.in_(states))
            .order_by(issue.c.number, issue_item.c.role)
        )
        with self._database.connect() as connection:
            found = {
                row.number: ToldIn(number=row.number, cadence=row.cadence, sequence=row.sequence, subject=row.subject,
                                   correction=row.role == "correction")
                for row in connection.execute(query)
            }
        return list(found.values())

    def fetched(self, snapshot_ids: Sequence[int]) -> dict[int, tuple[str, dt.datetime]]:
        """Of these snapshots the page's address and when it was fetched."""
        query = sa.select(snapshot.c.id, snapshot.c.url, snapshot.c.fetched_at).where(
            one_of(snapshot.c.id, snapshot_ids)
        )
        with self._database.connect() as connection:
            return {row.id: (row.url, row.fetched_at) for row in connection.execute(query)}

    def former(self) -> Mapping[tuple[str, str], int]:
        """(source, a key that it had before) → milestone's id."""
        query = (
            sa.select(renaming.c.source, renaming.c.old_key, renaming.c.milestone_id)
            .where(renaming.c.decision == "rename").order_by(renaming.c.id)
        )
        with self._database.connect() as connection:
            return {(row.source, row.old_key): row.milestone_id for row in connection.execute(query)}
