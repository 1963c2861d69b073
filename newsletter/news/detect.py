"""Compares the records known with the records just read: what changed, and what to keep.

    known records ─┐
    records read  ─┴▶ merge (unknown never overwrites, ─▶ RULES, field by field ─▶ Detection(changes, merged)
                             nor one witness the others)
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from extractors.labels import UNLEARNT, Labels
from milepost.codec import field_to_json
from milepost.fields import CONTENT_FIELDS, FIELDS
from milepost.records import Change, ChangeKind, FieldChange, FieldClass, Flap, Image, Milestone
from newsletter.news.contested import Contest, contests, evidence_of, fallen_silent, vaguer
from newsletter.news.flapping import Flapping, damp
from newsletter.news.rules import judge, strongest

_AS_RULED: Mapping[str, FieldClass] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Detection:
    """What a look found. Milestones that are unchanged have no change, and all that were read are in `merged`."""

    changes: tuple[Change, ...]  # in the order in which the milestones were read
    merged: Mapping[str, Milestone]  # key → the record to keep
    flaps: Mapping[str, tuple[Flap, ...]] = field(default_factory=dict)  # key → what alternates; (): no more
    flapping: tuple[Flapping, ...] = ()  # what was seen for the first time to alternate, or to change as a witness left
    contests: tuple[Contest, ...] = ()  # fields that stay as they were: their witnesses are not agreed
    read_otherwise: tuple[str, ...] = ()  # keys of what another extractor makes of the page as it was: told to nobody


def detect(
    old: Mapping[str, Milestone], new: Mapping[str, Milestone], *, withdrawn: Collection[str] = (),
    renamed: Mapping[str, str] = MappingProxyType({}), classes: Mapping[str, FieldClass] = _AS_RULED,
    believed: Collection[str] = (), earlier: Mapping[str, Sequence[Milestone]] = MappingProxyType({}),
    flaps: Mapping[str, Mapping[str, Flap]] = MappingProxyType({}),
    labels: Labels = UNLEARNT, reread: Mapping[str, Milestone] = MappingProxyType({}),
) -> Detection:
    """Judge each milestone in `new` against `old` (both by key); a key absent from `new` is not judged at all.

    `withdrawn`: keys in `old` that were withdrawn; read again, they are restored. `renamed`: key in `new` → the key
    that it had in `old`. `classes`: for this source, field → what any difference in it is, instead of RULES.
    `believed`: fields of this source whose first witness is followed, whatever the others tell. `earlier`: key → what
    its record was before `old`; `flaps`: key → field → what alternates since earlier looks (see `flapping`).
    `labels`: what this source's labels stand for: one that is told in place of its slug changes nothing.
    `reread`: key in `old` → what the extractor that read `new` makes of the page that the known record was read from
    by another. What differs between those two is the extractors' difference and not the site's: it is kept, and no
    correction.
    """
    open_flaps: dict[str, tuple[Flap, ...]] = {}
    begun: list[Flapping] = []
    changes: list[Change] = []
    doubted: list[Contest] = []
    otherwise: list[str] = []
    merged: dict[str, Milestone] = {}
    for key, read in new.items():
        before = renamed.get(key, key)
        known = old.get(before)
        if known is None:
            merged[key] = read
            changes.append(Change(source=read.source, key=key, kind="added"))
            continue
        told = known
        if before in reread:
            known = merge(told, reread[before])
        contested = contests(known, read, believed=believed, labels=labels)
        doubted += contested
        damped = damp(
            known, merge(known, read, contested, labels), earlier=earlier.get(before, ()), open_=flaps.get(before, {}),
            silent=read.unknown | {one.field for one in contested},
            lost=fallen_silent(known, read, believed=believed), classes=classes,
        )
        if damped.open or before in flaps:
            open_flaps[key] = damped.open
        begun += damped.begun
        merged[key], fields = _keep(told, damped.record, classes)
        if known is not told:
            fields, differ = _as_extractors_differ(fields, told, known)
            otherwise += [key] if differ else []
        fields = tuple(
            part._replace(kind="cosmetic") if labels.same(part.field, part.old, part.new) else part for part in fields
        )
        kind: ChangeKind | None = strongest(*(change.kind for change in fields))
        if before != key:
            kind, fields = "renamed", (FieldChange("key", "renamed", before, key), *fields)
        elif before in withdrawn:
            kind = "restored"
        if kind is not None:
            changes.append(Change(source=read.source, key=key, kind=kind, fields=fields))
    return Detection(
        changes=tuple(changes), merged=merged, contests=tuple(doubted), flaps=open_flaps, flapping=tuple(begun),
        read_otherwise=tuple(otherwise),
    )


def compare(known: Milestone, kept: Milestone, classes: Mapping[str, FieldClass] = _AS_RULED) -> Change | None:
    """The change from one record of a milestone to its next; None when no content field differs."""
    fields = differences(known, kept, classes)
    kind = strongest(*(change.kind for change in fields))
    return None if kind is None else Change(source=kept.source, key=kept.key, kind=kind, fields=fields)


def differences(
    known: Milestone, kept: Milestone, classes: Mapping[str, FieldClass] = _AS_RULED
) -> tuple[FieldChange, ...]:
    """Each content field that differs, with the kind of its difference."""
    fields: list[FieldChange] = []
    for name in CONTENT_FIELDS:
        if name in kept.unknown:
            continue
        kind = judge(name, known, kept, classes)
        if kind is not None:
            before = None if name in known.unknown else field_to_json(known, name)
            fields.append(FieldChange(name, kind, before, field_to_json(kept, name)))
    return tuple(fields)


def _keep(
    known: Milestone, kept: Milestone, classes: Mapping[str, FieldClass]
) -> tuple[Milestone, tuple[FieldChange, ...]]:
    """The record and its differences; what a source ignores moves only together with what it doesn't."""
    fields = differences(known, kept, classes)
    ignored = [] if fields else [name for name, chosen in classes.items() if chosen == "ignore"]
    if not ignored:
        return kept, fields
    evidence = {name: told for name, told in kept.evidence.items() if name not in ignored}
    evidence |= {name: known.evidence[name] for name in ignored if name in known.evidence}
    unknown = (kept.unknown - set(ignored)) | (known.unknown & set(ignored))
    values = {name: getattr(known, name) for name in ignored}
    return replace(kept, **values, unknown=unknown, evidence=evidence), fields


def _as_extractors_differ(
    fields: tuple[FieldChange, ...], told: Milestone, reread: Milestone
) -> tuple[tuple[FieldChange, ...], bool]:
    """The differences without corrections of what only another extractor tells otherwise, and whether it does."""
    theirs = {name for name in CONTENT_FIELDS if _told(told, name) != _told(reread, name)}
    return tuple(
        part._replace(kind="cosmetic") if part.field in theirs and part.kind == "corrected" else part for part in fields
    ), any(part.field in theirs for part in fields)


def take_back(before: Milestone, written: Milestone, now: Milestone) -> Milestone:
    """`now` without what changed `before` into `written`: fields that were told anew since then stay as they are."""
    back = [name for name in FIELDS if _told(now, name) == _told(written, name) != _told(before, name)]
    evidence = {name: told for name, told in now.evidence.items() if name not in back}
    evidence |= {name: before.evidence[name] for name in back if name in before.evidence}
    unknown = (now.unknown - set(back)) | (before.unknown & set(back))
    values = {name: getattr(before, name) for name in back}
    return replace(now, **values, unknown=unknown, evidence=evidence)


def _told(record: Milestone, name: str) -> tuple[bool, object]:
    return name in record.unknown, getattr(record, name)


def merge(
    known: Milestone, read: Milestone, contested: Collection[Contest] = (), labels: Labels = UNLEARNT
) -> Milestone:
    """The record to keep of a milestone that was read again.

    A field that could not be read keeps its value and that value's evidence; so do those that were only read more
    vaguely (`vaguer`), an image's address that was only described, and what is `contested`, with who tells otherwise.
    """
    kept = {name: getattr(known, name) for name in read.unknown | vaguer(known, read, labels) if name in FIELDS}
    kept |= {one.field: one.old for one in contested}
    if read.image and read.image.url is None and known.image and known.image.url:
        kept["image"] = Image(url=known.image.url, alt=read.image.alt or known.image.alt)
    evidence = {name: witnesses for name, witnesses in read.evidence.items() if name not in kept}
    evidence |= {name: known.evidence[name] for name in kept if name in known.evidence}
    evidence |= {one.field: evidence_of(one, known.evidence.get(one.field, ())) for one in contested}
    return replace(read, **kept, unknown=read.unknown & known.unknown, evidence=evidence)
