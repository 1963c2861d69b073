"""What a difference in each field of a milestone means, in one table: RULES.

    old record, new record ─▶ RULES[field] (or the source's own class) ─▶ corrected | enriched | cosmetic | None
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from milepost.changes import KINDS
from milepost.dates import PartialDate
from milepost.fields import CONTENT_FIELDS, FIELD, FieldType
from milepost.records import ChangeKind, FieldClass, Image, Milestone
from milepost.same import fold, picture_of, pieces, same_date, same_place, same_text
from milepost.text_shape import in_one_line

Comparer: TypeAlias = Callable[[Milestone, Milestone], ChangeKind | None]


def prose(field: str) -> Comparer:
    """Words: typography, case and shape are cosmetic, other words a correction, words where none were a gain."""

    def compare(old: Milestone, new: Milestone) -> ChangeKind | None:
        return _words(in_one_line(getattr(old, field)), in_one_line(getattr(new, field))) or (
            None if getattr(old, field) == getattr(new, field) else "cosmetic"
        )

    return compare


def slug(field: str) -> Comparer:
    """A name for machines, or None: only its case is cosmetic."""

    def compare(old: Milestone, new: Milestone) -> ChangeKind | None:
        return _words(getattr(old, field) or "", getattr(new, field) or "")

    return compare


def number(field: str) -> Comparer:
    """A number or None."""

    def compare(old: Milestone, new: Milestone) -> ChangeKind | None:
        before: int | None = getattr(old, field)
        after: int | None = getattr(new, field)
        if before == after:
            return None
        return "enriched" if before is None else "corrected"

    return compare


def names(field: str) -> Comparer:
    """A list as a set: order and typography are cosmetic, a longer list a gain, a name taken back a correction."""

    def compare(old: Milestone, new: Milestone) -> ChangeKind | None:
        before: tuple[str, ...] = getattr(old, field)
        after: tuple[str, ...] = getattr(new, field)
        if before == after:
            return None
        had, has = pieces(before), pieces(after)
        if had == has:
            return "cosmetic"
        return "enriched" if had < has else "corrected"

    return compare


def place(field: str) -> Comparer:
    """A line of parts: their order and typography are cosmetic, further parts a gain, fewer no other place."""

    def compare(old: Milestone, new: Milestone) -> ChangeKind | None:
        before: str = getattr(old, field)
        after: str = getattr(new, field)
        if before and after and same_place(before, after) and before != after:
            return "enriched" if pieces([before]) < pieces([after]) else "cosmetic"
        return _words(before, after)

    return compare


def date(field: str) -> Comparer:
    """A date that gains precision or certainty is a gain; a vaguer reading of the same date says nothing."""

    def compare(old: Milestone, new: Milestone) -> ChangeKind | None:
        before: PartialDate | None = getattr(old, field)
        after: PartialDate | None = getattr(new, field)
        if before == after or (before and after and says_less(before, after)):
            return None
        if after is None:
            return "corrected"
        if before is None:
            return "enriched"
        another_end = before.until not in (None, "..", after.until)
        return "enriched" if same_date(before, after) and not another_end else "corrected"

    return compare


def says_less(known: PartialDate, told: PartialDate) -> bool:
    """Whether `told` is only a vaguer reading of `known`: a coarser date that holds it takes nothing back."""
    ends = told.until or known.until is None
    return same_date(told, known) and (told.value != known.value or not told.confirmed or not ends)


def image(field: str) -> Comparer:
    """The same picture in another size, or over https, is cosmetic; a description without an address says no less."""

    def compare(old: Milestone, new: Milestone) -> ChangeKind | None:
        before: Image | None = getattr(old, field)
        after: Image | None = getattr(new, field)
        if before == after:
            return None
        if after is None:
            return "corrected"
        if before is None:
            return "enriched"
        kinds = (_addresses(before.url, old.url, after.url, new.url), _words(before.alt, after.alt))
        return strongest(*(kind for kind in kinds if kind))

    return compare


def strongest(*kinds: ChangeKind) -> ChangeKind | None:
    """The strongest of some fields' kinds; None of none."""
    return max(kinds, key=lambda kind: KINDS[kind].strength, default=None)


def judge(name: str, old: Milestone, new: Milestone, classes: Mapping[str, FieldClass]) -> ChangeKind | None:
    """What the difference in one field means, None when there is none; `classes`: what the source says instead.

    A field that was unknown in `old` is learnt, which is a gain even when it is learnt to be empty, where that counts.
    """
    learnt = name in old.unknown and (FIELD[name].hashes_empty or getattr(new, name) != FIELD[name].empty)
    kind = RULES[name](old, new) or ("enriched" if learnt else None)
    if kind is None:
        return None
    chosen = classes.get(name)
    if chosen == "ignore":
        return None
    return chosen or ("enriched" if learnt else kind)


def _words(before: str, after: str) -> ChangeKind | None:
    if before == after:
        return None
    if same_text(before, after):
        return "cosmetic"
    return "corrected" if fold(before) else "enriched"


def _addresses(before: str | None, old_page: str, after: str | None, new_page: str) -> ChangeKind | None:
    if before == after or after is None:
        return None
    if before is None:
        return "enriched"
    return "cosmetic" if picture_of(before, old_page) == picture_of(after, new_page) else "corrected"


_BY_TYPE: Mapping[FieldType, Callable[[str], Comparer]] = MappingProxyType({
    "line": prose, "prose": prose, "slug": slug, "level": number, "date": date, "names": names, "slugs": names,
    "image": image,
})
RULES: Mapping[str, Comparer] = MappingProxyType({
    name: (place if FIELD[name].by_parts else _BY_TYPE[FIELD[name].type])(name) for name in CONTENT_FIELDS
})
