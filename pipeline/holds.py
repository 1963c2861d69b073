"""What waits for an operator: held looks, milestones that may be old ones under a new address, drafts, and issues."""

import datetime as dt
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from milepost.changes import NEWS
from milepost.codec import field_to_json
from milepost.fields import FIELDS
from milepost.records import ChangeKind, FieldChange, Issue, Milestone, StoredChange, Witness
from milepost.settings import Settings
from newsletter.news.detect import take_back
from pipeline.look.renaming import pending_renames, resolve_rename
from store.archive.snapshots import Snapshots
from store.database import Database
from store.issues.issues import Issues
from store.milestones.looks import Look, Looks
from store.milestones.milestones import Milestones
from store.milestones.refusals import Refusals, Undone
from store.milestones.renamings import Renaming, Renamings

__all__ = [
    "KeptBack", "Look", "Renaming", "Undone", "Waits", "count_held", "few_kept_back", "held_looks", "kept_back", "look",
    "pending_renames", "question", "refuse", "release", "resolve_rename", "waiting_issues", "waiting_look", "waits",
    "waits_for", "waits_to_json",
]

WaitKind = Literal["held", "rename", "approval", "paused", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Waits:
    """One thing that goes on only after a person has decided."""

    kind: WaitKind
    about: str  # "source aitimeline", "issue 12"
    why: str
    since: dt.datetime | None  # None where it was not kept
    command: str  # the one that ends it
    guard: str | None = None  # that held the look


def held_looks(database: Database) -> list[Look]:
    """Every look that is held and not released, the latest first; `pipeline.listings` has them a part at a time."""
    return Looks(database).list(waiting=True, limit=None)


def count_held(database: Database) -> int:
    """How many there are."""
    return Looks(database).count_waiting()


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptBack:
    """One change that a held look keeps from readers, and where it was read."""

    change: int
    kind: ChangeKind
    key: str
    title: str
    url: str
    fields: tuple[FieldChange, ...]  # old → new; of a milestone that is new: what a mail would tell of it
    evidence: Mapping[str, tuple[Witness, ...]]  # field → who said so, and where in the page
    page: str | None  # the page that was read; None: none was
    fetched_at: dt.datetime | None

    def read(self, field: str) -> list[tuple[str, int]]:
        """Where a field was read as it is told, each place with how often."""
        return list(Counter(_place(one) for one in self.evidence.get(field, ()) if one.says is None).items())

    def disputed(self, field: str) -> list[tuple[str, str]]:
        """What others said of it, and where."""
        return [(one.says, _place(one)) for one in self.evidence.get(field, ()) if one.says is not None]


def _place(one: Witness) -> str:
    return f"{one.witness} ({one.where})" if one.where else one.witness


def kept_back(
    database: Database, look: int, *, limit: int = 50, before: int | None = None
) -> tuple[Mapping[ChangeKind, int], list[KeptBack]]:
    """How many changes of each kind a look found, and the latest of them; `before`: those older than that change."""
    milestones = Milestones(database)
    changes = milestones.changes(look_id=look, limit=limit, before=before)
    return milestones.count_changes([look]).get(look, {}), _as_kept_back(database, changes)


def few_kept_back(
    database: Database, looks: Sequence[int], *, limit: int
) -> list[tuple[Mapping[ChangeKind, int], list[KeptBack]]]:
    """The same for each of several looks, without asking for each: at most `limit` changes of a look."""
    milestones = Milestones(database)
    counts, changes = milestones.count_changes(looks), milestones.latest_changes(looks, limit)
    told = {one.change: one for one in _as_kept_back(database, changes)}
    return [(counts.get(look, {}), [told[one.id] for one in changes if one.look_id == look]) for look in looks]


def _as_kept_back(database: Database, changes: Sequence[StoredChange]) -> list[KeptBack]:
    versions = Milestones(database).at_versions({one.new_version_id for one in changes})
    snapshots = Snapshots(database).taken(
        {version.snapshot_id for version in versions.values() if version.snapshot_id is not None}
    )
    told: list[KeptBack] = []
    for one in changes:
        version = versions[one.new_version_id]
        record, taken = version.milestone, snapshots.get(version.snapshot_id or 0)
        told.append(KeptBack(
            change=one.id, kind=one.change.kind, key=one.change.key, title=record.title, url=record.url,
            fields=one.change.fields or _as_new(record, one.change.kind), evidence=record.evidence,
            page=taken and taken[0], fetched_at=taken and taken[1],
        ))
    return told


def _as_new(record: Milestone, kind: ChangeKind) -> tuple[FieldChange, ...]:
    """What a milestone that was not there before tells, in the form of a change."""
    if kind not in NEWS:
        return ()
    return tuple(
        FieldChange(name, kind, None, value) for name in FIELDS
        if name != "related" and (value := field_to_json(record, name)) not in (None, "", [])
    )


def look(database: Database, number: int) -> Look:
    """One look; raises NotFoundError."""
    return Looks(database).get(number)


def question(database: Database, number: int) -> Renaming:
    """One question about a rename, answered or not; raises NotFoundError."""
    return Renamings(database).get(number)


def release(
    database: Database, look: int, *, why: str, now: dt.datetime, once: bool = False, refused: bool = False
) -> Look:
    """Let the changes of a held look through to the next issue; raises NotFoundError, ConflictError.

    What the look found the source to be like holds no later look, or with `once` only not the next. `refused`: it was
    refused, and that is taken back.
    """
    return Looks(database).release(look, why=why, now=now, once=once, refused=refused)


def refuse(database: Database, look: int, *, why: str, now: dt.datetime) -> Undone:
    """What a held look found was a fault: the record is what it was before, and the same is not asked again.

    A value that was refused is not taken as long as the page tells that very value; where a look was held for what it
    could not see, what it read is read again. `release` takes a refusal back. Raises
    NotFoundError, ConflictError.
    """
    return Refusals(database).refuse(look, take_back, why=why, now=now)


def waits_for(settings: Settings, issue: Issue) -> str | None:
    """Why a draft is not to be frozen without a person's approval, None when it may be."""
    if issue.approved_at is not None:
        return None
    if issue.pause_reason is not None:
        return issue.pause_reason
    return "waits for approval" if settings.newsletter.approval else None


def waits(settings: Settings, database: Database, *, sources: Collection[str] | None = None) -> list[Waits]:
    """All that waits for a person now, of every source or of `sources`; what waits of issues comes last."""
    return [*waiting_looks(database, sources), *waiting_issues(settings, database)]


def waiting_looks(database: Database, sources: Collection[str] | None = None) -> list[Waits]:
    """The held looks and the open questions of every source or of `sources`, oldest first."""
    found = [
        waiting_look(look) for look in reversed(held_looks(database)) if sources is None or look.source in sources
    ]
    return found + [
        Waits(kind="rename", about=f"source {question.source}",
              why=f"is {question.new_key} what {question.old_key} was?", since=question.detected_at,
              command=f"milepost changes resolve {question.id} --same --why …")
        for question in pending_renames(database) if sources is None or question.source in sources
    ]


def waiting_look(look: Look) -> Waits:
    """A held look as one thing that waits. Pure."""
    return Waits(kind="held", about=f"source {look.source}", why=f"look {look.id} is held: {look.held}",
                 since=look.started_at, command=f"milepost holds release {look.id} --why …", guard=look.guard)


def waiting_issues(settings: Settings, database: Database) -> list[Waits]:
    """The drafts that want an approval, the issues that are paused, and those with hand-overs of unknown end."""
    return [
        one for issue in reversed(Issues(database).list(states=["draft", "paused", "needs_review"]))
        if (one := _waiting_issue(settings, issue)) is not None
    ]


def _waiting_issue(settings: Settings, issue: Issue) -> Waits | None:
    number, about = issue.number, f"issue {issue.number}"
    match issue.state:
        case "paused":
            return Waits(kind="paused", about=about, why=f"it is paused: {issue.pause_reason}", since=None,
                         command=f"milepost issue resume {number}")
        case "needs_review":
            return Waits(kind="unknown", about=about, why="nobody knows whether some got it", since=None,
                         command=f"milepost ledger resolve {number}")
        case _ if (why := waits_for(settings, issue)) is not None:
            return Waits(kind="approval", about=about, why=why, since=issue.created_at,
                         command=f"milepost issue approve {number}")
    return None


def waits_to_json(one: Waits) -> dict[str, Any]:
    """The form that flow runs keep it in."""
    return {
        "kind": one.kind, "about": one.about, "why": one.why, "command": one.command,
        "since": one.since and one.since.isoformat(),
    }
