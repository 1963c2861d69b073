"""The milestones on record, as operators ask for them: all, one, its versions, what changed, and by their words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from milepost.records import ChangeKind, Milestone, StoredChange, StoredMilestone
from store.database import Database
from store.milestones.milestone_queries import FieldDiff, Version
from store.milestones.milestones import Milestones
from store.milestones.search import Search

__all__ = [
    "FieldDiff", "Found", "Version", "changes", "diff", "found", "history", "on_record", "search",
    "search_stored", "show",
]


def on_record(database: Database, source: str | None = None) -> Iterator[Milestone]:
    """Every milestone, or one source's, a few in memory at a time."""
    return (stored.milestone for stored in Milestones(database).iterate(source))


def show(database: Database, source: str | None, key: str) -> StoredMilestone:
    """One milestone as it is known now; raises NotFoundError, and InputError when several sources have that key."""
    return Milestones(database).get(source, key)


def history(database: Database, key: str, source: str | None = None) -> list[Version]:
    """Every version of a milestone, in order; raises NotFoundError."""
    return Milestones(database).history(key, source)


def diff(database: Database, key: str, older: int, newer: int, source: str | None = None) -> list[FieldDiff]:
    """What differs between two versions, by their numbers; raises NotFoundError."""
    return Milestones(database).diff(key, older, newer, source)


def changes(
    database: Database, *, source: str | None, kinds: Sequence[ChangeKind], limit: int, announced_only: bool
) -> list[StoredChange]:
    """What changed, newest first; `announced_only` leaves out baselines and backfills."""
    return Milestones(database).changes(
        source=source, kinds=kinds, limit=limit, announce=True if announced_only else None
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a look found of one milestone."""

    source: str
    key: str
    kind: ChangeKind
    title: str
    url: str
    day: str  # as readers are shown it; "" without a date


def found(database: Database, looks: Sequence[int]) -> list[Found]:
    """What these looks found, the oldest first, each with the milestone as it is known now."""
    milestones, told = Milestones(database), list[Found]()
    for look_id in looks:
        changes = milestones.changes(look_id=look_id)[::-1]
        for source in {stored.change.source for stored in changes}:
            known = milestones.some(source, {one.change.key for one in changes if one.change.source == source})
            told += [
                Found(source=source, key=key, kind=one.change.kind, title=record.title, url=record.url,
                      day=record.date.human() if record.date else "")
                for one in changes if (key := one.change.key) in known and one.change.source == source
                for record in (known[key].milestone,)
            ]
    return told


def search(database: Database, text: str, limit: int) -> list[Milestone]:
    """The milestones that fit the words, the best first."""
    return [stored.milestone for stored in search_stored(database, text, limit)]


def search_stored(database: Database, text: str, limit: int) -> list[StoredMilestone]:
    """The same as they are stored; raises InputError when there is no word in `text`."""
    return [hit.stored for hit in Search(database).search(text, limit)]
