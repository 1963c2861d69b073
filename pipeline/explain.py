"""From a field's value back to the bytes it came from: witness, place, snapshot, extractor; and why it was news."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from milepost.changes import CORRECTIONS, NEWS
from milepost.codec import field_to_json
from milepost.errors import InputError, NotFoundError
from milepost.fields import FIELDS, shown_at
from milepost.records import Snapshot, StoredChange, StoredMilestone, Witness
from store.archive.pages import Pages
from store.archive.snapshots import Snapshots
from store.database import Database
from store.issues.issues import Issues
from store.milestones.looks import Looks
from store.milestones.milestones import Milestones, Version
from store.milestones.renamings import Renamings


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """Where a field's present value comes from."""

    source: str
    key: str
    field: str
    value: object  # its JSON form
    version: int  # the first that had it
    at: dt.datetime
    extractor: str | None  # None: no page was read for it, an import told it
    witnesses: tuple[Witness, ...]
    snapshot: Snapshot | None  # None: imported, or set by hand
    imported: bool  # an import wrote the version: `extractor` and `witnesses` are what its file says
    news: str  # a sentence


# the fields whose values stand in every mail; a picture's only where pictures are shown
MAILED = shown_at("title", "facts", "text", "aside", "row", "strip")


def explain_item(database: Database, number: int, key: str) -> list[Explanation]:
    """Every value of a milestone that stands in issue `number`, as it was then; raises NotFoundError."""
    for item in Issues(database).get(number).items:
        if item.milestone.key == key:
            told = item.milestone
            shown = [name for name in MAILED if field_to_json(told, name) not in (None, "", [])]
            return [
                explain(database, key, name, source=told.source, version_id=item.version_id) for name in shown
            ]
    hint = f"See `milepost issue show {number}`."
    raise NotFoundError(f"has no milestone {key!r}", where=f"issue {number}", hint=hint)


def explain(
    database: Database, key: str, field: str, *, source: str | None = None, version_id: int | None = None
) -> Explanation:
    """Explain one field of a milestone as it is now, or as it was at one version.

    Raises InputError or NotFoundError when there is no such thing.
    """
    if field not in FIELDS:
        raise InputError(f"there is no field {field!r}", hint=f"Choose from {', '.join(FIELDS)}.")
    versions = Milestones(database).history(key, source)
    if version_id is not None:
        versions = versions[: 1 + [version.id for version in versions].index(version_id)]
    current = versions[-1]
    value = field_to_json(current.milestone, field)
    since = first_with(versions, field)
    if field == "related" and version_id is None:
        current_now = Milestones(database).get(source, key)
        if current_now.milestone.related != current.milestone.related:
            return _related(database, current_now)
    snapshot = Snapshots(database).get(since.snapshot_id) if since.snapshot_id is not None else None
    witnesses = tuple(since.milestone.evidence.get(field, ()))
    told_by_import = any(one.witness == "import" for one in witnesses)
    return Explanation(
        source=current.milestone.source, key=current.milestone.key, field=field, value=value, version=since.number,
        at=since.created_at, extractor=None if told_by_import else since.extractor or None, witnesses=witnesses,
        snapshot=snapshot, imported=was_imported(since), news=_news(database, since, field),
    )


def first_with(versions: Sequence[Version], field: str) -> Version:
    """Of a milestone's versions (at least one, in order) the one since which a field has the value of the last."""
    since = versions[-1]
    value = field_to_json(since.milestone, field)
    for version in reversed(versions):
        if field_to_json(version.milestone, field) != value:
            break
        since = version
    return since


def was_imported(version: Version) -> bool:
    """Whether an import wrote it: no page was read for it."""
    return version.look_id is None and version.backfill_id is None and version.snapshot_id is None


def _related(database: Database, stored: StoredMilestone) -> Explanation:
    """Of Related cards that were read anew since the milestone's last version: those of its page's last reading."""
    record = stored.milestone
    page = record.page
    last = Pages(database).last_read(record.source, [page])[page]
    snapshot = Snapshots(database).get(last.snapshot_id)
    return Explanation(
        source=record.source, key=record.key, field="related", value=field_to_json(record, "related"),
        version=stored.version, at=snapshot.fetched_at, extractor=record.extractor,
        witnesses=tuple(record.evidence.get("related", ())), snapshot=snapshot, imported=False,
        news="no: Related cards change whenever their neighbours do, and never count",
    )


def _news(database: Database, version: Version, field: str) -> str:
    change = version.change
    if version.look_id is None:
        return f"no: {version.found_by} wrote it, which announces nothing"
    if change is None:
        return f"no: {version.found_by} read it anew, and nothing in it had changed"
    if not change.announce:
        return _silence(database, change)
    if change.held:
        return f"not yet: look {change.look_id} is held, an operator decides"
    if change.change.kind in NEWS:
        return f"yes: the milestone was first seen by look {change.look_id}, after the baseline"
    return _as_change(change, field)


def _silence(database: Database, change: StoredChange) -> str:
    """Why a change that a look found is never announced, or not yet."""
    if change.look_id is not None and Looks(database).get(change.look_id).baseline:
        return "no: it was there when the source was first looked at (the baseline)"
    asked = next((question for question in Renamings(database).list(change.change.source, pending=True)
                  if question.new is not None and question.new.id == change.milestone_id), None)
    if asked is not None:
        return (f"not yet: it may be {asked.old_key} renamed, an operator decides "
                f"(`milepost changes resolve {asked.id}`)")
    return "no: its page was listed at the baseline already, and could only be read later"


def _as_change(change: StoredChange, field: str) -> str:
    kinds = {part.field: part.kind for part in change.change.fields}
    kind = kinds.get(field, change.change.kind)
    if kind in CORRECTIONS:
        return f"as a correction, found by look {change.look_id}: for those who were sent the milestone before"
    return f"no: it was {kind} by look {change.look_id}, which is not worth a mail"


def explanation_to_json(told: Explanation) -> dict[str, Any]:
    """The form of `explain --json`."""
    snapshot = told.snapshot
    return {
        "source": told.source, "key": told.key, "field": told.field, "value": told.value, "version": told.version,
        "at": told.at.isoformat(), "extractor": told.extractor, "imported": told.imported,
        "news": told.news,
        "witnesses": [
            {name: value for name, value in
             (("witness", w.witness), ("where", w.where), ("url", w.url), ("says", w.says)) if value is not None}
            for w in told.witnesses
        ],
        "snapshot": snapshot and {
            "url": snapshot.url, "fetched_at": snapshot.fetched_at.isoformat(), "sha256": snapshot.body_hash,
            "bytes": len(snapshot.body), "rendered_by": snapshot.rendered_by,
        },
    }
