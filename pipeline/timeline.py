"""The timeline as readers see it: every milestone's place, its history, and where each of its facts was read.

    store ─▶ Record (places by date, their addresses, topics), kept until something is written
          └▶ one milestone: steps (first seen, corrected …), readings (field ─▶ page, witnesses), issues that told it
"""

import datetime as dt
import hashlib
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from milepost.changes import CORRECTIONS
from milepost.codec import field_to_json
from milepost.errors import InputError
from milepost.fields import shown_at
from milepost.records import ChangeKind, FieldChange, IssueState, Milestone, Witness
from pipeline.explain import first_with, was_imported
from store.database import Database
from store.freshness import Freshness
from store.milestones.milestones import Milestones, Version
from store.milestones.search import Search
from store.milestones.source_labels import SourceLabels
from store.milestones.timeline import Place, ToldIn
from store.milestones.timeline import Timeline as Public

__all__ = ["Changed", "Freshness", "Place", "Reading", "Record", "Step", "Story", "Timeline", "ToldIn", "record_of"]

SHOWN = (*shown_at("title", "facts", "text", "aside", "row"), "tags")  # fields of which it is told where they were read
# What an entry's time of change goes by: what only looks another is none.
_REWRITTEN: tuple[ChangeKind, ...] = ("corrected", "enriched", "withdrawn", "restored", "renamed")
TOLD_CHANGES: tuple[ChangeKind, ...] = (*CORRECTIONS, "withdrawn", "restored")  # in the feed of changes
_PLAIN = re.compile(r"\w[\w.~-]*")  # a part of an address that no program changes
_LONGEST = 180  # bytes of one: most file systems take 255 in a name
_OURS = frozenset({"pages", "index.html"})  # what stands below /timeline beside the milestones

StepKind = Literal["first_seen", "corrected", "enriched", "reread", "withdrawn", "restored", "renamed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """Something that happened to a milestone on record."""

    kind: StepKind
    at: dt.datetime
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """Where the present value of a field was read."""

    field: str
    at: dt.datetime
    page: str | None  # its address; None: an import told it
    witnesses: tuple[Witness, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """One milestone with all that is known of its record."""

    place: Place
    milestone: Milestone
    steps: tuple[Step, ...]  # the first one first
    readings: tuple[Reading, ...]  # in the order of the fields
    told_in: tuple[ToldIn, ...]
    changed: dt.datetime  # when what its page says of it was last another
    earlier: Place | None  # its neighbours by date
    later: Place | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """A change that is told to whoever follows the changes."""

    id: int
    kind: ChangeKind
    at: dt.datetime
    fields: tuple[FieldChange, ...]
    place: Place


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """All places, as they are found and listed."""

    present: tuple[Place, ...]  # by date, the undated ones last
    by_id: Mapping[int, Place]  # withdrawn ones too
    address: Mapping[int, str]  # of a milestone's page, below /timeline/; it stays what it was
    by_address: Mapping[str, int]  # of a former key too
    topics: Mapping[str, int]  # categories and tags → how many are present, the most common first
    topic_address: Mapping[str, str]  # below /topics/
    by_topic_address: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)  # slug → words of the sites' own links

    def about(self, topic: str) -> list[Place]:
        """Those of `present` with that category or tag."""
        return [place for place in self.present if topic in (place.category, *place.tags)]

    def latest(self, topic: str | None = None) -> list[Place]:
        """The same, or all of them, the last to become known first."""
        places = list(self.present) if topic is None else self.about(topic)
        return sorted(places, key=lambda place: (place.first_seen_at, place.id), reverse=True)

    def neighbours(self, place: Place) -> tuple[Place | None, Place | None]:
        """The milestones before and after a present and dated one."""
        at = bisect_left(self.present, _when(place), key=_when)
        if self.present[at : at + 1] != (place,) or place.date is None:
            return None, None
        before, after = self.present[at - 1] if at else None, self.present[at + 1 : at + 2]
        return before, after[0] if after and after[0].date else None


def record_of(places: Sequence[Place], former: Mapping[tuple[str, str], int]) -> Record:
    """Order the places (given in the order in which they became known) and give each its address."""
    by_id = {place.id: place for place in places}
    by_address: dict[str, int] = {}
    address: dict[int, str] = {}
    for place in places:  # of two sources with the same key the one that was here first keeps the short address
        names = (_address(place.key), _address(f"{place.source}/{place.key}"), _hashed(str(place.id)))
        address[place.id] = next(name for name in names if name not in by_address)
        by_address[address[place.id]] = place.id
    for (source, key), milestone_id in former.items():
        for name in (_address(key), _address(f"{source}/{key}")):
            if milestone_id in by_id:
                by_address.setdefault(name, milestone_id)
    present = sorted((place for place in places if not place.withdrawn), key=_when)
    counted = Counter(topic for place in present for topic in dict.fromkeys((place.category, *place.tags)) if topic)
    topics = dict(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0])))
    topic_address = {topic: _address(topic) for topic in topics}
    return Record(
        present=tuple(present), by_id=by_id, address=address, by_address=by_address, topics=topics,
        topic_address=topic_address, by_topic_address={name: topic for topic, name in topic_address.items()},
    )


def _when(place: Place) -> tuple[bool, tuple[int, int, int], str, int]:
    return place.date is None, place.date.sort_key if place.date else (0, 0, 0), place.title, place.id


def _address(name: str) -> str:
    """`name` where it can stand in an address and in a file's name as it is, else what stands for it."""
    parts = name.split("/")
    plain = all(_PLAIN.fullmatch(part) for part in parts) and parts[0] not in _OURS and "pages" not in parts[1:]
    return name if plain and len(name.encode("utf-8", "replace")) <= _LONGEST else _hashed(name)


def _hashed(name: str) -> str:
    return f"x-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:20]}"


class Timeline:
    """Over one database; from several threads at once. Every method raises StoreError."""

    def __init__(self, database: Database, freshness: Freshness, *, issues: Sequence[IssueState]) -> None:
        """`issues`: the states of those that readers are led to."""
        self._database, self._public, self._labels = database, Public(database), SourceLabels(database)
        self._freshness, self._issues = freshness, issues
        self._kept: tuple[str, Record] | None = None  # two threads that make it at once make the same

    def record(self) -> Record:
        """All places as they are now."""
        stamp, kept = self._freshness.stamp(), self._kept
        if kept is None or kept[0] != stamp:
            record = record_of(self._public.places(), self._public.former())
            kept = self._kept = (stamp, replace(record, labels=self._labels.words()))
        return kept[1]

    def milestones(self, places: Sequence[Place]) -> Mapping[int, Milestone]:
        """What is on record of these, by id."""
        return self._public.records([place.id for place in places])

    def changed(self, places: Sequence[Place]) -> Mapping[int, dt.datetime]:
        """When what is told of these was last another, by id."""
        later = self._public.last_changed(_REWRITTEN, [place.id for place in places])
        return {place.id: max(place.first_seen_at, later.get(place.id, place.first_seen_at)) for place in places}

    def find(self, record: Record, text: str, limit: int) -> list[Place]:
        """Milestones that have all the words of `text`, the best first; [] also where there is no word in it."""
        try:
            found = Search(self._database).search(text, limit)
        except InputError:
            return []
        places = (record.by_id.get(hit.stored.id) for hit in found)
        return [place for place in places if place is not None and not place.withdrawn]

    def changes(self, record: Record, limit: int, topic: str | None = None) -> list[Changed]:
        """What became of milestones, the latest first."""
        of = None if topic is None else [
            place.id for place in record.by_id.values() if topic in (place.category, *place.tags)
        ]
        if of is not None and not of:
            return []
        return [
            Changed(id=told.id, kind=told.change.kind, at=told.detected_at, fields=told.change.fields,
                    place=record.by_id[told.milestone_id])
            for told in self._public.changes(TOLD_CHANGES, limit=limit, milestone_ids=of)
            if told.milestone_id in record.by_id
        ]

    def story(self, record: Record, place: Place) -> Story:
        """One milestone with all that is known of its record; raises NotFoundError when it is gone meanwhile."""
        versions = [
            version for version in Milestones(self._database).history(place.key, place.source)
            if version.number <= place.version
        ]
        earlier, later = record.neighbours(place)
        return Story(
            place=place, milestone=versions[-1].milestone, steps=steps_of(versions, place.first_seen_at),
            readings=self._readings(versions), told_in=tuple(self._public.told_in(place.id, self._issues)),
            changed=self.changed([place])[place.id], earlier=earlier, later=later,
        )

    def _readings(self, versions: Sequence[Version]) -> tuple[Reading, ...]:
        told = versions[-1].milestone
        since = {
            name: first_with(versions, name) for name in SHOWN if field_to_json(told, name) not in (None, "", [])
        }
        fetched = self._public.fetched(sorted({one.snapshot_id for one in since.values() if one.snapshot_id}))
        found = []
        for name, version in since.items():
            page, at = fetched.get(version.snapshot_id or 0, (None, version.created_at))
            found.append(Reading(
                field=name, at=at, page=None if was_imported(version) else page or told.url,
                witnesses=tuple(version.milestone.evidence.get(name, ())),
            ))
        return tuple(found)


def steps_of(versions: Sequence[Version], first_seen_at: dt.datetime) -> tuple[Step, ...]:
    """What happened to a milestone, as its versions (in order) tell; what only looks another is no step."""
    steps = [Step(kind="first_seen", at=first_seen_at)]
    for version in versions:
        made = version.change
        if made is not None and not made.held and made.change.kind in ("corrected", "enriched", "renamed"):
            kind: StepKind = "reread" if made.look_id is None and made.change.kind != "renamed" else made.change.kind
            steps.append(Step(kind=kind, at=made.detected_at, fields=made.change.fields))
        steps += [
            Step(kind=one.change.kind, at=one.detected_at)
            for one in version.later if not one.held and one.change.kind in ("withdrawn", "restored")
        ]
    return tuple(steps)
