"""Compares the records known with the records just read: what changed, and what to keep.

    known records ─┐
    records read  ─┴▶ merge (unknown never overwrites) ─▶ RULES, field by field ─▶ Detection(changes, merged)
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from milepost.codec import field_to_json
from milepost.records import CONTENT_FIELDS, FIELDS, Change, FieldChange, Image, Milestone
from newsletter.rules import RULES, says_less, strongest


@dataclass(frozen=True, kw_only=True, slots=True)
class Detection:
    """What a look found. Milestones that are unchanged have no change, and all that were read are in `merged`."""

    changes: tuple[Change, ...]  # in the order in which the milestones were read
    merged: Mapping[str, Milestone]  # key → the record to keep


def detect(old: Mapping[str, Milestone], new: Mapping[str, Milestone]) -> Detection:
    """Judge each milestone in `new` against `old` (both by key); a key absent from `new` is not judged at all."""
    changes: list[Change] = []
    merged: dict[str, Milestone] = {}
    for key, read in new.items():
        known = old.get(key)
        if known is None:
            merged[key] = read
            changes.append(Change(source=read.source, key=key, kind="added"))
            continue
        merged[key] = merge(known, read)
        change = compare(known, merged[key])
        if change is not None:
            changes.append(change)
    return Detection(changes=tuple(changes), merged=merged)


def compare(known: Milestone, kept: Milestone) -> Change | None:
    """The change from one record of a milestone to its next; None when no content field differs."""
    fields: list[FieldChange] = []
    for name in CONTENT_FIELDS:
        if name in kept.unknown:
            continue
        learnt = name in known.unknown  # known to be empty is more than not known
        kind = RULES[name](known, kept) or ("enriched" if learnt else None)
        if kind is not None:
            before = None if learnt else field_to_json(known, name)
            fields.append(FieldChange(name, "enriched" if learnt else kind, before, field_to_json(kept, name)))
    kind = strongest(*(change.kind for change in fields))
    return None if kind is None else Change(source=kept.source, key=kept.key, kind=kind, fields=tuple(fields))


def merge(known: Milestone, read: Milestone) -> Milestone:
    """The record to keep of a milestone that was read again.

    A field that could not be read keeps its value and that value's evidence; so do a date that was only read more
    vaguely and an image's address that was only described.
    """
    kept = {name: getattr(known, name) for name in FIELDS if name in read.unknown}
    if read.date and known.date and "date" not in known.unknown and says_less(known.date, read.date):
        kept["date"] = known.date
    if read.image and read.image.url is None and known.image and known.image.url:
        kept["image"] = Image(url=known.image.url, alt=read.image.alt or known.image.alt)
    evidence = {name: witnesses for name, witnesses in read.evidence.items() if name not in kept}
    evidence |= {name: known.evidence[name] for name in kept if name in known.evidence}
    return replace(read, **kept, unknown=read.unknown & known.unknown, evidence=evidence)
