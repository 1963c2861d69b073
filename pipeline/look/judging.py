"""What a look's readings mean: what changed, what to keep, and whether to trust any of it."""

from collections import ChainMap, Counter
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, overload

from extractors.drift import Kept, Profile, Profiler, drift, profile_from_json, unfit
from extractors.labels import Labels
from milepost.changes import KINDS, NEWS
from milepost.fields import FIELDS
from milepost.fingerprint import fingerprint
from milepost.records import Change, Flap, Milestone
from newsletter.news.contested import Contest
from newsletter.news.detect import Detection, detect
from newsletter.news.flapping import Flapping
from newsletter.news.guards import Counted
from newsletter.news.renames import Match
from pipeline.look.absence import Absences, Missed
from pipeline.look.packed_records import Chosen, PackedRecords, slices
from pipeline.look.page_archiver import CrawledLook
from pipeline.look.reading import Reading
from pipeline.look.renaming import Absence, pair
from pipeline.look.rereading import StoodBefore, reread_by_another, stood_before
from pipeline.look.unread_entries import UnreadEntries
from store.milestones.profiles import Profiles
from store.milestones.refusals import Refusals
from store.milestones.source_labels import SourceLabels

SLICE = 500  # milestones that are judged, and whose records are in memory, at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class Drifted:
    """What the drift guard found, and what the source is like by now."""

    reason: str | None = None
    notes: tuple[str, ...] = ()
    now: Profile | None = None  # None: too little was read to tell
    accepted: bool = False  # it would be held, had an operator not released a look that found the same
    once: bool = False  # … for this look alone
    degraded: tuple[str, ...] | None = None  # what witnesses dispute; None: as before
    refused: int | None = None  # the look that found the source so, and that an operator refused


class ToRecord(NamedTuple):
    """One milestone that was read, or that leaves: what happened to it, by its key."""

    change: Change | None
    key: str
    snapshot_id: int | None


class Entries(Sequence[ToRecord]):
    """What is to be recorded, in order. Of what is new, a mark is kept: a first look of a hundred thousand pages has
    nothing else, and a change that says no more than a key is made when it is asked for."""

    def __init__(self, source: str, snapshots: Mapping[str, int]) -> None:
        """`snapshots`: key → the snapshot that its record was read from."""
        self._source, self._snapshots = source, snapshots
        self._keys: list[str] = []
        self._new = bytearray()
        self._changes: dict[str, Change] = {}

    def add(self, key: str, change: Change | None) -> None:
        """A milestone that was read, and what happened to it; each key once."""
        new = change is not None and change.kind == "added" and not change.fields
        self._keys.append(key)
        self._new.append(new)
        if change is not None and not new:
            self._changes[key] = change

    @property
    def changes(self) -> Iterator[Change]:
        """Of those that something happened to."""
        return (one.change for one in self if one.change is not None)

    @overload
    def __getitem__(self, index: int) -> ToRecord: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ToRecord]: ...
    def __getitem__(self, index: int | slice) -> ToRecord | Sequence[ToRecord]:
        if isinstance(index, slice):
            return [self._one(key, new) for key, new in zip(self._keys[index], self._new[index], strict=True)]
        return self._one(self._keys[index], self._new[index])

    def __iter__(self) -> Iterator[ToRecord]:
        return map(self._one, self._keys, self._new)

    def __len__(self) -> int:
        return len(self._keys)

    def _one(self, key: str, new: int) -> ToRecord:
        change = Change(source=self._source, key=key, kind="added") if new else self._changes.get(key)
        return ToRecord(change, key, self._snapshots[key])


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """What is to be recorded."""

    entries: Entries
    records: MutableMapping[str, Milestone]  # key → the record to keep
    matches: tuple[Match, ...]
    contests: tuple[Contest, ...]
    flaps: Mapping[str, Sequence[Flap]]  # key → what alternates
    flapping: tuple[Flapping, ...]  # what began to wait in this look, and is said once
    notes: tuple[str, ...] = ()
    stood: StoodBefore = field(default_factory=StoodBefore)


class Judge:
    """Of one look."""

    def __init__(self, at: CrawledLook, absences: Absences) -> None:
        self._at, self._absences = at, absences

    def judge(self, reading: Reading, absence: Absence) -> Judged:
        """What changed and what to keep; each milestone is judged by itself, so many at a time."""
        at = self._at
        if at.look.baseline:
            matches: tuple[Match, ...] = ()
            stood = StoodBefore()
        else:
            on_record = at.milestones.on_record(at.source, reading.records.keys())
            appeared = Chosen(reading.records, [key for key in reading.records if key not in on_record])
            stood = stood_before(at, appeared, reading.records)
            unlisted = self._absences.unlisted() if appeared and absence.believed else set()
            absence = replace(absence, moved={
                **absence.moved, **self._at_the_same_address(appeared, reading), **stood.moved})
            matches = pair(
                at.database, at.source, appeared, absence, read=reading.records, unlisted=unlisted,
                siblings=reading.shared,
            )
        renamed = {found.new: found.old for found in matches if found.sure}
        labels = tuple(SourceLabels(at.database).known(at.source))
        withdrawn, flaps = at.milestones.withdrawn(at.source), at.milestones.flaps(at.source)
        kept, entries = PackedRecords(), Entries(at.source, reading.snapshots)
        found = list[Detection]()
        for keys in slices(reading.records, SLICE):
            read = {key: reading.records[key] for key in keys}
            # What a held look wrote was told to nobody: what is read is judged by what was.
            told = at.milestones.some(at.source, keys, visible=True)
            olds = at.milestones.some(at.source, {renamed[key] for key in keys if key in renamed})
            detection = detect(
                {key: stored.milestone for key, stored in (told | olds).items()}, read,
                withdrawn=withdrawn, renamed=renamed,
                classes=at.settings.classes, believed=at.settings.believe_first,
                earlier=at.milestones.earlier(at.source, {
                    key: stored.version for key, stored in told.items()
                    if stored.version > 1 and fingerprint(read[key]) != stored.fingerprint
                }),
                flaps=flaps,
                labels=Labels(labels),
                reread=reread_by_another(
                    at, {**told, **olds}, {renamed.get(key, key): record for key, record in read.items()}, labels
                ),
            )
            changes = {change.key: change for change in detection.changes}
            for key, record in detection.merged.items():
                entries.add(key, changes.get(key))
                if record is not read[key]:
                    kept[key] = record
            found.append(replace(detection, merged={}, changes=()))
        otherwise = [key for one in found for key in one.read_otherwise]
        return Judged(
            entries=entries, records=ChainMap(kept, reading.records), matches=matches,
            contests=tuple(contest for one in found for contest in one.contests),
            flaps={key: still for one in found for key, still in one.flaps.items()},
            flapping=tuple(begun for one in found for begun in one.flapping),
            notes=_otherwise(otherwise, at.site.signature), stood=stood,
        )

    def _at_the_same_address(
        self, appeared: Mapping[str, Milestone], reading: Reading
    ) -> dict[str, str]:
        """Known key → new key of what a page tells under another id than before (a feed), and links to as before.

        The address says that they are one where nobody else has it.
        """
        fresh = {key: place for key, record in appeared.items()
                 if record.found_on and (place := _place(record))}
        if not fresh:
            return {}
        shared = Counter(fresh.values())
        known: dict[str, list[str]] = {}
        for key, stored in self._at.milestones.known(self._at.source).items():
            if key not in fresh and (place := _place(stored.milestone)) in shared:
                known.setdefault(place, []).append(key)
        return {known[place][0]: key for key, place in fresh.items()
                if shared[place] == 1 and len(known.get(place, ())) == 1 and known[place][0] not in reading.records}

    def count(
        self, reading: Reading, judged: Judged, drifted: Drifted, firsts: Mapping[str, int], failed: int,
        missed: Missed, unread: UnreadEntries,
    ) -> Counted:
        """What the guards weigh. A first look is followed however many of its pages failed: what it had listed is
        known, and no news when it can be read."""
        baseline, crawled, guards = self._at.look.baseline, self._at.crawled, self._at.guards
        settled = self._absences.settled()
        kinds = Counter(change.kind for change in judged.entries.changes)
        broken = None if crawled.complete else next(
            iter(sorted(missed.all.reasons - missed.let_go.reasons)),
            None if missed.all.reasons else "not every listing could be read",
        )
        return Counted(
            known=self._at.known, added=0 if baseline else self._new(judged, reading),
            telling=0 if baseline else sum(count for kind, count in kinds.items() if KINDS[kind].told),
            missing=0 if baseline else sum(first > settled for first in firsts.values()),
            listed=self._at.listed, listed_before=self._at.listed_before,
            asked=crawled.fetched + crawled.not_modified + crawled.gone + crawled.redirected + crawled.failed,
            failed=failed, astray=len(missed.astray), astray_to=missed.astray_to,
            let_go=failed + len(missed.astray) if baseline else len(missed.let_go.pages), broken=broken,
            drifted=drifted.reason, unread=len(unread.waiting), entries=unread.entries,
            unread_newest=unread.newest, newest_read=unread.newest_read, minimum=guards.surge_min,
            unsure=len(judged.stood.unsure), left=len(judged.stood.left), fewest=guards.removal_min,
            share=guards.surge_share, max_failed_share=guards.max_failed_share,
        )

    def _new(self, judged: Judged, reading: Reading) -> int:
        """How many milestones are news; pages that a first look listed and could not read are none when they come."""
        late = self._at.looks.unread_since_baseline(self._at.source)
        return sum(change.kind in NEWS and reading.records[change.key].page not in late
                   and change.key not in judged.stood.no_news for change in judged.entries.changes)

    def drifted(self, reading: Reading, judged: Judged) -> Drifted:
        """Whether what was read should be trusted: the pages may not (or no more) be what the extractor was made for.

        A look that read a twentieth of the pages or less can't move any share far enough to matter. New milestones are
        no part of it: what they are like says nothing of a layout that their neighbours share.
        """
        baseline = self._at.look.baseline
        if not baseline and len(reading.records) + len(reading.failures) <= 0.05 * self._at.known:
            return Drifted()
        failed = {self._at.intake.key(url) for url in reading.failed}
        before, after, weighed = Profiler(), Profiler(), _Weighed()
        lost: set[str] = set()  # pages that were read once, and could not be now
        for stored in self._at.milestones.each(self._at.source):
            known, key = stored.milestone, stored.milestone.key
            before.add(known)
            read = reading.records.get(key)
            weighed.add(known, read)
            if known.page in reading.failed:
                lost.add(known.page)
            if key not in failed:
                after.add(known if read is None else read)
        if baseline:
            for key, record in reading.records.items():
                if key not in weighed.known and key not in failed:
                    after.add(record)
        # what was never read can't be lost
        now = after.profile(failed=len(reading.failed) if baseline else len(lost))
        degraded = after.disputes()
        if baseline:
            return Drifted(reason=unfit(now), now=now, degraded=degraded)
        kept = weighed.kept(judged)
        found = drift(before.profile(), now, kept=kept)
        accepted = Profiles(self._at.database).accepted(self._at.source)
        if found.reason is not None and accepted is not None:
            beside = drift(profile_from_json(accepted.data), now, kept=kept)
            if beside.reason is None:  # an operator released a look that found the source so
                return Drifted(
                    notes=beside.notes, now=now, degraded=degraded + beside.lost, accepted=True, once=accepted.once
                )
        return Drifted(
            reason=found.reason, notes=found.notes, now=now, degraded=degraded + found.lost,
            refused=None if found.reason is None else next((
                look.id for look, data in Refusals(self._at.database).pictures(self._at.source, "drift")
                if data is not None and drift(profile_from_json(data), now, kept=kept).reason is None
            ), None),
        )


def _otherwise(keys: Sequence[str], reader: str) -> tuple[str, ...]:
    """What a look says of milestones that another extractor has read otherwise from the pages as they were."""
    if not keys:
        return ()
    many = f"{keys[0]} is" if len(keys) == 1 else f"{keys[0]} and {len(keys) - 1} more are"
    said = f"{many} read otherwise by {reader} than by the extractor before, from the same page"
    return (f"{said}: kept, and no correction (see `milepost show KEY --history`)",)


def _place(record: Milestone) -> str:
    """The address of a record's own page, however it is spelt; "" where it has none."""
    if record.url.startswith(f"{record.page}#"):
        return ""
    return record.url.partition("://")[2].removeprefix("www.").rstrip("/")


class _Weighed:
    """Field → of its known values whose pages were read again, how many are told otherwise now, be it contested."""

    def __init__(self) -> None:
        self.known: set[str] = set()  # keys
        self._read: Counter[str] = Counter()
        self._untold: Counter[str] = Counter()

    def add(self, known: Milestone, read: Milestone | None) -> None:
        """A known record, and what was read of it now; None where nothing was."""
        self.known.add(known.key)
        if read is None:
            return
        for name in FIELDS:
            if name not in known.unknown and getattr(known, name):
                self._read[name] += 1
                self._untold[name] += name in read.unknown

    def kept(self, judged: Judged) -> dict[str, Kept]:
        """Of every field."""
        revised = Counter(
            part.field for change in judged.entries.changes if change.key in self.known for part in change.fields
            if part.kind == "corrected"
        )
        changed = revised + Counter(contest.field for contest in judged.contests)
        changed += Counter(one.field for one in judged.flapping if one.silent)
        return {name: Kept(changed[name], self._read[name], self._untold[name], revised[name]) for name in FIELDS}
