"""Reads stored snapshots again with today's extractors: offline, silent, and with no way to delivery.

    select ─▶ read again ─▶ compare with what is known ─▶ (dry run: show)  stage ─▶ finish, in one transaction ─▶ undo
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from extractors import registry
from extractors.base import SiteExtractor
from milepost.dates import utc_now
from milepost.errors import ConflictError, ExtractError, MilepostError, NotFoundError
from milepost.fingerprint import fingerprint
from milepost.records import Change, Flap, Milestone, RefusedChange, StoredMilestone
from milepost.settings import Settings, SourceSettings
from newsletter.news.contested import contests
from newsletter.news.detect import compare, merge, take_back
from newsletter.news.flapping import kept_back
from newsletter.news.refused import without_refused
from pipeline.look.reading import BATCH, key_of, spelt_on, whole
from pipeline.look.reading_guard import ReadBy, ReadingGuard, SiteReader, Stored
from pipeline.several import Progress
from pipeline.workers import Crew, in_order, processes_for
from store.archive.pages import Pages
from store.archive.snapshots import Snapshots
from store.database import Database, connect
from store.milestones.apply_look import Entry
from store.milestones.backfills import MAX_FAILURES, Backfill, Backfills, ReadAgain, Told
from store.milestones.milestones import Milestones
from store.milestones.refusals import Refusals
from store.milestones.source_labels import SourceLabels

__all__ = [
    "Backfill", "Reread", "Selection", "backfill", "decide", "listed", "not_read_to_json", "nothing_fits",
    "require_some", "reread_to_json", "resume", "undo",
]

KEPT = 10_000  # changes that a result holds; all are counted
_CHUNK = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which records are read again: those that fit all that is given, each from the snapshot it was last read from."""

    keys: tuple[str, ...] = ()  # () is all
    since: dt.datetime | None = None  # when the snapshot was fetched; counts in
    until: dt.datetime | None = None  # doesn't
    extractor: str | None = None  # who read the record that is known: "aitimeline/1"

    def to_json(self) -> dict[str, Any]:
        """What two runs must have in common to be one."""
        return {
            "keys": sorted(self.keys), "extractor": self.extractor,
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Selection":
        """The inverse of `to_json`."""
        since, until = data.get("since"), data.get("until")
        return cls(
            keys=tuple(data.get("keys") or ()), extractor=data.get("extractor"),
            since=dt.datetime.fromisoformat(since) if since else None,
            until=dt.datetime.fromisoformat(until) if until else None,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Reread:
    """What reading a source's snapshots again came to."""

    source: str
    dry_run: bool
    read: int  # pages, by earlier runs of the same backfill too
    changes: tuple[Change, ...]  # the first KEPT: field by field, old → new
    differ: int  # records that came out otherwise
    written: int  # new versions
    told: tuple[Told, ...]  # issues that told of records which differ
    failures: tuple[str, ...]  # a sentence a page
    backfill_id: int | None = None  # None for a dry run
    resumed: bool = False  # an earlier run died, and this one went on from there
    seconds: float = field(default=0.0, compare=False)  # that this run took
    pages_per_second: float = field(default=0.0, compare=False)  # of this run


@dataclass(kw_only=True)
class _Tally:
    """What differs, as it is found."""

    changes: list[Change] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    def add(self, entries: Sequence[Entry]) -> None:
        self.keys |= {record.key for _, record, _ in entries}
        self.changes += [change for change, _, _ in entries if change is not None][: KEPT - len(self.changes)]


def backfill(
    settings: Settings, key: str, *, dry_run: bool, selection: Selection = Selection(),
    now: Callable[[], dt.datetime] = utc_now, progress: Progress | None = None, processes: int | None = None,
    batch: int = BATCH,
) -> Reread:
    """Read records of the source `key` again; nothing is fetched or announced.

    With `dry_run` nothing is written either. Else all that differs is written in one transaction at the end; a run that
    died before that is gone on with by the next one of the same selection. `processes`: how many read at once, by
    default one a core where there are many pages; `batch`: pages that are read, and kept, at a time. Raises StoreError.
    """
    started = time.monotonic()
    source = settings.source(key)
    reader = SiteReader(ReadBy.of(source))
    with connect(settings.store.url) as database, Crew(settings.guards.max_read_seconds) as crew:
        labels, pages = SourceLabels(database), Pages(database)
        guard = ReadingGuard(reader, crew, stopped=pages.stopped(key), now=now)
        guard.teach(labels.known(key))
        store, milestones, tally = Backfills(database), Milestones(database), _Tally()
        chosen = frozenset(selection.keys)
        work = list(_wanted(reader.site, selection, milestones, key, store.selected(
            key, since=selection.since, until=selection.until
        )))
        flaps, refused = milestones.flaps(key), Refusals(database).changes(key)
        run = None if dry_run else store.open(key, reader.site.signature, selection.to_json(), now())
        left = work if run is None or run.read_to is None else [one for one in work if one[0] > str(run.read_to)]
        done, failures = len(work) - len(left), list(run.failures if run else ())
        batches = read_again(
            guard, Snapshots(database), pages, left,
            processes=processes_for(len(left)) if processes is None else processes, batch=batch,
        )
        for part in batches:
            if run is not None:
                pages.note_stopped(key, guard.news())
            records = [ReadAgain(record=record, snapshot_id=at) for record, at in part.records
                       if not chosen or record.key in chosen]
            known = milestones.some(key, [one.record.key for one in records])
            records = _without_refused(records, known, refused)
            entries = decide(source, {
                name: stored for name, stored in known.items()
                if selection.extractor in (None, stored.milestone.extractor)
            }, records, flaps)
            if run is None:
                tally.add(entries)
            else:
                differing = {record.key for _, record, _ in entries}
                labels.learn(key, (pair for one in records for pair in one.record.labels),
                             spelt_on(one.record for one in records), now())
                milestones.note_evidence(key, _as_known(known, records))
                store.stage(run.id, [one for one in records if one.record.key in differing],
                            read_to=part.read_to, read=part.pages, failures=part.failures)
            done += part.pages
            failures += part.failures[: MAX_FAILURES - len(failures)]
            if progress is not None:
                progress(done, len(work))
        finished = _finish(source, store, run, tally, flaps, now())
        seconds = time.monotonic() - started
        return Reread(
            source=key, dry_run=dry_run, read=len(work) if finished is None else finished.read,
            changes=tuple(tally.changes), differ=len(tally.keys), written=finished.versions if finished else 0,
            told=tuple(store.told(key, tally.keys)), failures=tuple(failures),
            backfill_id=run.id if run else None, resumed=run is not None and run.read_to is not None,
            seconds=round(seconds, 3), pages_per_second=round(len(left) / max(seconds, 0.001), 1),
        )


def resume(settings: Settings, backfill_id: int, *, progress: Progress | None = None) -> Reread:
    """Go on with the backfill `backfill_id` where it died; raises NotFoundError, or ConflictError when it is over or
    its extractor is another by now."""
    with connect(settings.store.url) as database:
        died = Backfills(database).get(backfill_id)
    where = f"backfill {backfill_id}"
    if died.finished_at is not None or died.undone_at is not None:
        raise ConflictError(f"it is {died.state} already", where=where, hint="See `milepost backfill list`.")
    source = settings.source(died.source)
    today = registry.get(source.extractor, source.options).signature
    if today != died.extractor:
        raise ConflictError(
            f"it was begun with {died.extractor}, and now it is {today} that reads", where=where,
            hint=f"Run `milepost backfill undo {backfill_id} --why …` and start another.",
        )
    return backfill(
        settings, died.source, dry_run=False, selection=Selection.from_json(died.parameters), progress=progress
    )


def _wanted(
    site: SiteExtractor, selection: Selection, milestones: Milestones, source: str, pages: Sequence[tuple[str, int]]
) -> Iterator[tuple[str, int]]:
    """The pages that the selection may mean; one that holds several milestones is read to be sure."""
    chosen = frozenset(selection.keys)
    for start in range(0, len(pages), _CHUNK):
        chunk = pages[start : start + _CHUNK]
        keys = {url: key_of(site, url) for url, _ in chunk}
        if chosen:
            keys = {url: key for url, key in keys.items() if key is None or key in chosen}
        if selection.extractor is not None:
            known = milestones.some(source, {key for key in keys.values() if key is not None})
            readers = {key: stored.milestone.extractor for key, stored in known.items()}
            keys = {url: key for url, key in keys.items() if key is None or readers.get(key) == selection.extractor}
        yield from (one for one in chunk if one[0] in keys)


def _without_refused(
    read: Sequence[ReadAgain], known: Mapping[str, StoredMilestone], refused: Mapping[str, Sequence[RefusedChange]]
) -> list[ReadAgain]:
    """What was read, without what an operator refused; pure."""
    if not refused:
        return list(read)
    stands = {key: stored.milestone for key, stored in known.items()}
    left = without_refused({one.record.key: one.record for one in read}, stands, refused).records
    return [replace(one, record=left[one.record.key]) for one in read if one.record.key in left]


def _as_known(known: Mapping[str, StoredMilestone], read: Sequence[ReadAgain]) -> list[Milestone]:
    """The records that came out as they are known: who tells their fields today is what later looks are measured by."""
    return [one.record for one in read
            if (stored := known.get(one.record.key)) is not None and stored.snapshot_id == one.snapshot_id
            and stored.fingerprint == fingerprint(one.record)]


def _finish(
    source: SourceSettings, store: Backfills, run: Backfill | None, tally: _Tally,
    flaps: Mapping[str, Mapping[str, Flap]], now: dt.datetime,
) -> Backfill | None:
    if run is None:
        return None

    def counted(known: Mapping[str, StoredMilestone], read: Sequence[ReadAgain]) -> list[Entry]:
        entries = decide(source, known, read, flaps)
        tally.add(entries)
        return entries

    return store.finish(run.id, counted, now)


def decide(
    source: SourceSettings, known: Mapping[str, StoredMilestone], read: Sequence[ReadAgain],
    flaps: Mapping[str, Mapping[str, Flap]] = MappingProxyType({}),
) -> list[Entry]:
    """What to write of records that were read again; pure.

    Left out: what is not known (it is left to the next look: here it could never become news), what a look has read
    from a newer snapshot meanwhile, and what came out the same. What alternates (`flaps`: key → field) is left to the
    looks, which tell their readers.
    """
    entries: list[Entry] = []
    for one in read:
        stored = known.get(one.record.key)
        if stored is None or (stored.snapshot_id or 0) > one.snapshot_id:
            continue
        contested = contests(
            stored.milestone, one.record, believed=source.believe_first,
            same_page=stored.snapshot_id == one.snapshot_id,
        )
        kept = kept_back(
            stored.milestone, merge(stored.milestone, one.record, contested), flaps.get(one.record.key, {})
        )
        if fingerprint(kept) != stored.fingerprint:
            entries.append((compare(stored.milestone, kept, source.classes), kept, one.snapshot_id))
    return entries


def undo(database: Database, backfill_id: int, *, why: str, now: dt.datetime) -> int:
    """Take a backfill back, in new versions that nobody hears of; returns how many.

    A field that a look has read anew since stays as that look left it. Raises ConflictError when it was undone before,
    NotFoundError when there is none.
    """

    def revert(before: Milestone, written: Milestone, current: StoredMilestone) -> Entry:
        untouched = current.milestone == written
        kept = before if untouched else take_back(before, written, current.milestone)
        return compare(current.milestone, kept), kept, current.snapshot_id

    return Backfills(database).undo(backfill_id, revert, why=why, now=now)


def listed(database: Database, source: str | None = None) -> list[Backfill]:
    """The backfills of all sources or one, the latest first."""
    return Backfills(database).list(source)


def require_some(database: Database, sources: Sequence[str], selection: Selection) -> None:
    """Raises NotFoundError when a key is of no milestone of these sources, or when no record fits keys and extractor.

    One source alone may lack them: what is asked for may be another's.
    """
    milestones, wanted = Milestones(database), selection.extractor
    for key in selection.keys:
        if not any(milestones.some(source, [key]) for source in sources):
            raise NotFoundError(f"there is no milestone {key!r}", where=", ".join(sources),
                                hint="See `milepost milestones`.")
    if wanted is not None and not any(_read_by(milestones, source, selection.keys, wanted) for source in sources):
        raise nothing_fits(f"{wanted} read no such record")


def nothing_fits(why: str | None = None) -> NotFoundError:
    """What is said of a selection by which nothing is read."""
    hint = "See `milepost show KEY --history` for what read a record, and when."
    return NotFoundError("no stored page fits the selection" + (f": {why}" if why else ""), hint=hint)


def _read_by(milestones: Milestones, source: str, chosen: Sequence[str], extractor: str) -> bool:
    records = milestones.some(source, chosen).values() if chosen else milestones.iterate(source)
    return any(stored.milestone.extractor == extractor for stored in records)


def reread_to_json(reread: Reread) -> dict[str, Any]:
    """The form of `backfill --json`."""
    return {
        "source": reread.source, "dry_run": reread.dry_run, "read": reread.read, "written": reread.written,
        "differ": reread.differ, "backfill": reread.backfill_id, "resumed": reread.resumed,
        "seconds": reread.seconds, "pages_per_second": reread.pages_per_second,
        "changes": [{"key": change.key, "kind": change.kind, "fields": [field._asdict() for field in change.fields]}
                    for change in reread.changes],
        "issues": [{"issue": told.issue, "state": told.state, "keys": list(told.keys)} for told in reread.told],
        "failures": list(reread.failures),
    }


def not_read_to_json(source: str, error: MilepostError) -> dict[str, Any]:
    """The form of `backfill --json` for a source that could not be read again."""
    return {
        "source": source, "dry_run": None, "read": 0, "written": 0, "differ": 0, "backfill": None, "resumed": False,
        "seconds": 0.0, "pages_per_second": 0.0, "changes": [], "issues": [], "failures": [str(error)],
        "error": str(error),
    }


# --- reading many pages, in order, on every core where there are many


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What a batch of pages came to."""

    read_to: str  # URL of its last page
    pages: int
    records: tuple[tuple[Milestone, int], ...]  # with the snapshot of each
    failures: tuple[str, ...]  # a sentence a page


def _read_batch(guard: ReadingGuard, stored: Sequence[Stored], *, apart: bool) -> Batch:
    """Read one batch; a bad page stops no other."""
    records: list[tuple[Milestone, int]] = []
    failures: list[str] = []
    for page, answer in zip(stored, guard.records(stored, apart=apart), strict=True):
        try:
            if isinstance(answer, ExtractError):
                raise answer
            records += [(whole(record), page.snapshot_id) for record in answer]
        except ExtractError as error:
            failures.append(str(error))
    return Batch(
        read_to=stored[-1].url, pages=len(stored), records=tuple(records), failures=tuple(failures)
    )


def read_again(
    guard: ReadingGuard, snapshots: Snapshots, pages: Pages, work: Sequence[tuple[str, int]], *,
    processes: int, batch: int = BATCH,
) -> Iterator[Batch]:
    """The batches of `work` (URL, snapshot id), in its order; `batch` pages each."""
    loads = (
        _load(guard, snapshots, pages, work[start : start + batch])
        for start in range(0, len(work), batch)
    )
    read = partial(_read_batch, guard, apart=processes > 1)
    for _, part in in_order(loads, read, processes=processes):
        yield part


def _load(
    guard: ReadingGuard, snapshots: Snapshots, pages: Pages, work: Sequence[tuple[str, int]]
) -> list[Stored]:
    keys = {url: key_of(guard.site, url) for url, _ in work}
    cards = pages.cards(guard.source, {key for key in keys.values() if key is not None})
    taken = snapshots.some([snapshot_id for _, snapshot_id in work])
    return [
        Stored.of(taken[snapshot_id], snapshot_id, cards.get(keys[url] or "", ())) for url, snapshot_id in work
    ]
