"""What one look read, written into an open transaction: versions, changes, and pages that count as read."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from milepost.codec import evidence_to_json, field_to_json, milestone_to_json
from milepost.fingerprint import fingerprint
from milepost.records import Change, FieldChange, Flap, Milestone
from store.archive.pages import chunks
from store.dialects import insert, serialize
from store.milestones import search
from store.milestones.looks import ensure_source, hold, listed_at_baseline, require_running
from store.milestones.milestone_queries import NONE
from store.schema.tables import change, flapping, milestone, milestone_version, page, renaming, reread

_CHUNK = 500  # keys named in one statement

# Made once: to build a statement costs a first look more than to run it.
_NEW_MILESTONE = sa.insert(milestone).returning(milestone.c.id, sort_by_parameter_order=True)
_NEW_VERSION = sa.insert(milestone_version).returning(milestone_version.c.id, sort_by_parameter_order=True)
_NEW_CHANGE = sa.insert(change).returning(change.c.id, sort_by_parameter_order=True)

Entry = tuple[Change | None, Milestone, int | None]  # what happened, the record to keep, the snapshot it was read from


@dataclass(frozen=True, kw_only=True, slots=True)
class Likeness:
    """A known milestone and one that appeared, which are one and the same for sure, or may be."""

    old_key: str
    new_key: str
    proof: str  # "redirect", "score", "operator"
    score: float | None  # 0..1
    sure: bool  # its entry is a change of kind "renamed"; else an operator is asked, and both stay until then


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """What `apply` really wrote."""

    versions: int  # new ones
    changes: tuple[int, ...]  # ids of new ones, in the order of their entries
    skipped: int  # entries whose content the store held already


@dataclass(frozen=True, kw_only=True, slots=True)
class _Current:
    id: int
    number: int
    version_id: int
    fingerprint: str
    state: str
    related: object = None  # in its JSON form
    evidence: object = None  # in its JSON form
    none: bool = False  # only a look that was refused has seen it


def apply(
    connection: sa.Connection,
    look_id: int | None,
    source: str,
    entries: Iterable[Entry],
    *,
    announce: bool,
    held: bool | str,
    now: dt.datetime,
    guard: str | None = None,
    silent: Collection[str] = (),
    likenesses: Sequence[Likeness] = (),
    flaps: Mapping[str, Sequence[Flap]] = MappingProxyType({}),
    backfill_id: int | None = None,
) -> Applied:
    """See `Milestones.apply`, which opens the transaction; `backfill_id` is the backfill that wrote the versions."""
    ensure_source(connection, source)
    serialize(connection, f"milestones.{source}")
    if look_id is not None:
        require_running(connection, look_id)
        if held:
            hold(connection, look_id, held if isinstance(held, str) else "a guard stopped it", guard)
    writer = _Writer(connection, look_id, source, announce=announce, now=now, silent=silent, backfill_id=backfill_id)
    coming = iter(entries)
    while some := list(islice(coming, _CHUNK)):
        current = _current(connection, source, {
            *(record.key for _, record, _ in some),
            *(key for happened, _, _ in some if (key := _old_key(happened)) is not None),
        })
        for happened, record, snapshot_id in some:
            writer.write(happened, record, snapshot_id, current)
        writer.write_new(current)
    writer.note_likenesses(likenesses, _current(
        connection, source, {key for one in likenesses for key in (one.old_key, one.new_key)}))
    writer.note_flaps(flaps, _current(connection, source, flaps))
    if look_id is not None:
        writer.mark_read()
    return Applied(versions=writer.versions, changes=tuple(writer.changes), skipped=writer.skipped)


def _late(connection: sa.Connection, source: str, record: Milestone) -> bool:
    """Whether the baseline listed the page; of one that holds several milestones, whether it was never read since."""
    url = record.page
    if url != record.url:
        query = sa.select(page.c.read_snapshot_id).where(page.c.source == source, page.c.url == url)
        if connection.execute(query).scalar() is not None:
            return False
    return listed_at_baseline(connection, source, url)


class _Writer:
    """Writes entry by entry, counting."""

    def __init__(
        self, connection: sa.Connection, look_id: int | None, source: str, *, announce: bool, now: dt.datetime,
        silent: Collection[str], backfill_id: int | None,
    ) -> None:
        self._connection = connection
        self._look_id = look_id
        self._source = source
        self._announce = announce
        self._now = now
        self._silent = frozenset(silent)
        self._backfill_id = backfill_id
        self._renamed: set[str] = set()  # new keys
        self._new: dict[str, tuple[Change | None, Milestone, str, int | None]] = {}  # key → as in an entry, fingerprint
        self._read: list[tuple[str, str, int | None]] = []  # key, URL, snapshot
        self.versions = 0
        self.changes: list[int] = []
        self.skipped = 0

    def write(
        self, happened: Change | None, record: Milestone, snapshot_id: int | None, current: dict[str, _Current]
    ) -> None:
        """One entry; `current` is kept up to date, so that a key may come twice."""
        if record.source != self._source:
            raise ValueError(f"a record of {record.source!r} among those of {self._source!r}")
        is_renamed = happened is not None and happened.kind == "renamed"
        if self._new and (is_renamed or record.key in self._new or record.key in current):
            self.write_new(current)  # so that changes are in the order of their entries
        if happened is not None and is_renamed:
            self._rename(happened, record.key, current)
        known = current.get(record.key)
        hash_ = fingerprint(record)
        self._read.append((record.key, record.page, snapshot_id))
        if known is None:
            self._new[record.key] = happened, record, hash_, snapshot_id
            return
        related = field_to_json(record, "related")
        if known.none and happened is not None and happened.kind == "added":
            current[record.key] = self._at_last(happened, known, record, hash_, snapshot_id)
        elif happened is not None and happened.kind in ("withdrawn", "restored"):
            current[record.key] = self._move(happened, known, record, hash_, snapshot_id)
        elif known.fingerprint == hash_:
            self.skipped += 1
        else:
            current[record.key] = self._next(happened, known, record, hash_, snapshot_id)
        if current[record.key].related != related:
            self._relate(current, record.key, related)
        evidence = evidence_to_json(record)
        if current[record.key].evidence != evidence:
            self._witness(current, record.key, evidence)

    def write_new(self, current: dict[str, _Current]) -> None:
        """Write what was seen for the first time, and waits to be written together: a first look has nothing else."""
        if not self._new:
            return
        new, execute = list(self._new.values()), self._connection.execute
        told = [milestone_to_json(record) for _, record, _, _ in new]
        ids = execute(_NEW_MILESTONE, [
            {"source": self._source, "key": record.key, "first_seen_at": self._now, "first_look_id": self._look_id,
             "version": 1, "state": "present", "related": data["related"]}
            for (_, record, _, _), data in zip(new, told, strict=True)
        ]).scalars().all()
        versions = execute(_NEW_VERSION, [
            self._version_row(milestone_id, 1, data, hash_, snapshot_id)
            for milestone_id, data, (_, _, hash_, snapshot_id) in zip(ids, told, new, strict=True)
        ]).scalars().all()
        search.index(self._connection, {at: record for at, (_, record, _, _) in zip(ids, new, strict=True)})
        self.versions += len(new)
        added = [
            Change(source=self._source, key=record.key, kind="added", fields=happened.fields if happened else ())
            for happened, record, _, _ in new
        ]
        self._changes([
            (happened, milestone_id, None, version_id, self._is_news(record))
            for happened, milestone_id, version_id, (_, record, _, _) in zip(added, ids, versions, new, strict=True)
        ])
        for milestone_id, version_id, data, (_, record, hash_, _) in zip(ids, versions, told, new, strict=True):
            current[record.key] = _Current(
                id=milestone_id, number=1, version_id=version_id, fingerprint=hash_, state="present",
                related=data["related"], evidence=data["evidence"],
            )
        self._new.clear()

    def _at_last(
        self, happened: Change, known: _Current, record: Milestone, hash_: str, snapshot_id: int | None
    ) -> _Current:
        """Of what only a refused look had seen: a milestone from now on."""
        number = known.number + 1
        version_id = self._version(known.id, number, record, hash_, snapshot_id)
        self._connection.execute(
            sa.update(milestone).where(milestone.c.id == known.id)
            .values(version=number, state="present", first_seen_at=self._now, first_look_id=self._look_id)
        )
        self._change(happened, known.id, None, version_id, announce=self._is_news(record))
        return replace(known, number=number, version_id=version_id, fingerprint=hash_, state="present", none=False)

    def _is_news(self, record: Milestone) -> bool:
        """Whether one that is new is announced: not where the baseline listed its page and could not read it."""
        return (
            self._announce and record.key not in self._silent
            and not _late(self._connection, self._source, record)
        )

    def _next(
        self, happened: Change | None, known: _Current, record: Milestone, hash_: str, snapshot_id: int | None
    ) -> _Current:
        number = known.number + 1
        version_id = self._version(known.id, number, record, hash_, snapshot_id)
        self._connection.execute(sa.update(milestone).where(milestone.c.id == known.id).values(version=number))
        if happened is not None:
            self._change(happened, known.id, known.version_id, version_id)
        return replace(known, number=number, version_id=version_id, fingerprint=hash_)

    def _move(
        self, happened: Change, known: _Current, record: Milestone, hash_: str, snapshot_id: int | None
    ) -> _Current:
        state = "withdrawn" if happened.kind == "withdrawn" else "present"
        if known.state == state and known.fingerprint == hash_:
            self.skipped += 1
            return known
        self._connection.execute(sa.update(milestone).where(milestone.c.id == known.id).values(state=state))
        if known.fingerprint == hash_:  # the record is as it was, only its standing changed
            self._change(happened, known.id, known.version_id, known.version_id)
            moved = known
        else:
            moved = self._next(happened, known, record, hash_, snapshot_id)
        return replace(moved, state=state)

    def _relate(self, current: dict[str, _Current], key: str, related: object) -> None:
        """Keep the Related cards as they are now; they are no part of what a version is compared by."""
        known = current[key] = replace(current[key], related=related)
        self._connection.execute(sa.update(milestone).where(milestone.c.id == known.id).values(related=related))

    def _witness(self, current: dict[str, _Current], key: str, evidence: object) -> None:
        """Keep who told each field as it was last read; a version keeps who did when it was made."""
        known = current[key] = replace(current[key], evidence=evidence)
        self._connection.execute(sa.update(milestone).where(milestone.c.id == known.id).values(evidence=evidence))

    def _rename(self, happened: Change, key: str, current: dict[str, _Current]) -> None:
        """Give a known milestone its new key, so that its history goes on; nothing when that was done before."""
        old = _old_key(happened)
        if old is None or old not in current or key in current:
            return
        known = current[key] = current.pop(old)
        self._renamed.add(key)
        self._connection.execute(
            sa.update(milestone).where(milestone.c.id == known.id).values(key=key, state="present")
        )

    def note_likenesses(self, likenesses: Sequence[Likeness], current: dict[str, _Current]) -> None:
        """Keep what was renamed, and what is to be asked; nothing that was kept before."""
        for likeness in likenesses:
            values: dict[str, Any] = {
                "source": self._source, "old_key": likeness.old_key, "new_key": likeness.new_key,
                "score": likeness.score, "proof": likeness.proof, "look_id": self._look_id, "detected_at": self._now,
            }
            if likeness.sure:
                if likeness.new_key not in self._renamed:
                    continue
                values |= {"milestone_id": current[likeness.new_key].id, "decision": "rename", "decided_at": self._now}
            else:
                old, new = current.get(likeness.old_key), current.get(likeness.new_key)
                if old is None or new is None:
                    continue
                values |= {"milestone_id": old.id, "other_id": new.id, "decision": "pending"}
            self._connection.execute(insert(self._connection, renaming).values(**values).on_conflict_do_nothing())

    def note_flaps(self, flaps: Mapping[str, Sequence[Flap]], current: dict[str, _Current]) -> None:
        """Keep what alternates of these milestones (by key) instead of what was kept of them before."""
        for key, still in flaps.items():
            milestone_id = current[key].id
            self._connection.execute(sa.delete(flapping).where(flapping.c.milestone_id == milestone_id))
            if still:
                self._connection.execute(sa.insert(flapping), [
                    {"milestone_id": milestone_id, "field": flap.field, "value": flap.value, "looks": flap.looks}
                    for flap in still
                ])

    def _version(self, milestone_id: int, number: int, record: Milestone, hash_: str, snapshot_id: int | None) -> int:
        made = self._connection.execute(
            _NEW_VERSION, self._version_row(milestone_id, number, milestone_to_json(record), hash_, snapshot_id))
        self.versions += 1
        search.index(self._connection, {milestone_id: record})
        return int(made.scalar_one())

    def _version_row(
        self, milestone_id: int, number: int, told: Mapping[str, Any], hash_: str, snapshot_id: int | None
    ) -> dict[str, Any]:
        return {
            "milestone_id": milestone_id, "number": number, "record": told, "fingerprint": hash_,
            "snapshot_id": snapshot_id, "extractor": told["extractor"], "look_id": self._look_id,
            "created_at": self._now, "backfill_id": self._backfill_id,
        }

    def _change(
        self, happened: Change, milestone_id: int, old_version: int | None, new_version: int,
        *, announce: bool | None = None,
    ) -> None:
        announce = self._announce if announce is None else announce
        self._changes([(happened, milestone_id, old_version, new_version, announce)])

    def _changes(self, made: Sequence[tuple[Change, int, int | None, int, bool]]) -> None:
        """Write changes: (what happened, milestone, old version, new version, whether it is announced)."""
        self.changes += self._connection.execute(_NEW_CHANGE, [
            {"look_id": self._look_id, "milestone_id": milestone_id, "kind": happened.kind,
             "fields": [_field(field) for field in happened.fields], "old_version_id": old_version,
             "new_version_id": new_version, "detected_at": self._now, "announce": announce}
            for happened, milestone_id, old_version, new_version, announce in made
        ]).scalars()

    def mark_read(self) -> None:
        """The pages and cards behind all entries are done with, whether they brought anything new or not."""
        if not self._read:
            return
        for some in chunks({key for key, _, _ in self._read}):
            self._connection.execute(sa.delete(reread).where(reread.c.source == self._source, reread.c.key.in_(some)))
        pages = [{"of_url": url, "of_snapshot": at} for _, url, at in self._read if at is not None]
        if pages:
            self._connection.execute(
                sa.update(page)
                .where(page.c.source == self._source, page.c.url == sa.bindparam("of_url"))
                .values(read_snapshot_id=sa.bindparam("of_snapshot")),
                pages,
            )


def _field(field: FieldChange) -> list[Any]:
    return list(field)


def _old_key(happened: Change | None) -> str | None:
    """The key that a renamed milestone had; None for every other change."""
    if happened is None or happened.kind != "renamed":
        return None
    return next((str(field.old) for field in happened.fields if field.field == "key"), None)


def _current(connection: sa.Connection, source: str, keys: Collection[str]) -> dict[str, _Current]:
    """The milestones of these keys, as far as there are any: a look at a large source touches few."""
    wanted = sorted(keys)
    found: dict[str, _Current] = {}
    for start in range(0, len(wanted), _CHUNK):
        found |= _some_current(connection, source, wanted[start : start + _CHUNK])
    return found


def _some_current(connection: sa.Connection, source: str, keys: Sequence[str]) -> dict[str, _Current]:
    query = (
        sa.select(
            milestone.c.key, milestone.c.id, milestone.c.state, milestone.c.related, milestone.c.evidence,
            milestone_version.c.number, milestone_version.c.record,
            milestone_version.c.id.label("version_id"), milestone_version.c.fingerprint, NONE.label("none"),
        )
        .join_from(milestone, milestone_version, milestone_version.c.milestone_id == milestone.c.id)
        .where(
            milestone.c.source == source, milestone.c.key.in_(keys), milestone_version.c.number == milestone.c.version
        )
    )
    return {
        row.key: _Current(
            id=row.id, number=row.number, version_id=row.version_id, fingerprint=row.fingerprint, state=row.state,
            related=row.related, evidence=row.record["evidence"] if row.evidence is None else row.evidence,
            none=bool(row.none),
        )
        for row in connection.execute(query)
    }
