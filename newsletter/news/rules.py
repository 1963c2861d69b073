"""What can happen to a milestone, and what a difference in each of its fields means, in two tables: KINDS and RULES.

    old record, new record ─▶ RULES[field] (or the source's own class) ─▶ corrected | enriched | cosmetic | None
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

from milepost.dates import PartialDate
from milepost.records import ChangeKind, FieldClass, Image, Milestone

Comparer: TypeAlias = Callable[[Milestone, Milestone], ChangeKind | None]



class Kind(NamedTuple):
    """One kind of change, as readers and the store see it."""

    strength: int  # of a field's kinds the strongest is the change's; 0: never said of a field
    told: str  # "news": a new item; "correction": beside the news it corrects; "": in no issue
    means: str


# Everything that can happen to a milestone between two looks.
KINDS: Mapping[ChangeKind, Kind] = MappingProxyType({
    "added":     Kind(0, "news", "a page is read whose key was never known, and that is no known one renamed"),
    "corrected": Kind(3, "correction", "something that was told is told differently, or taken back"),
    "enriched":  Kind(2, "", "something empty, unknown or vague was filled in, and nothing taken back"),
    "cosmetic":  Kind(1, "", "it reads and looks the same: typography, order, a picture's size"),
    "renamed":   Kind(0, "", "it has another address: the old one redirects there, or is gone while the rest is alike"),
    "withdrawn": Kind(0, "", "its page is gone or leads elsewhere, and no listing names it, at two looks"),
    "restored":  Kind(0, "", "it was withdrawn and its page is there again, under the same key"),
})

_FOLDS = str.maketrans(
    dict.fromkeys("‘’‚‛′ʼ`´", "'") | dict.fromkeys("“”„‟″«»", '"') | dict.fromkeys("‐‑‒–—―−", "-")
    | {"…": "...", "\N{SOFT HYPHEN}": "", "\N{ZERO WIDTH SPACE}": "", "\N{WORD JOINER}": "",
       "\N{ZERO WIDTH NO-BREAK SPACE}": ""}
)
_SPACED_DASH = re.compile(r"\s*-+\s*")
_THUMBNAIL = re.compile(r"/\d+px-")  # the size in a MediaWiki thumbnail's path
_SIZE_KEYS = frozenset({"w", "h", "q", "width", "height", "quality", "dpr"})  # what image resizers are asked with


def folded(text: str) -> str:
    """`text` as a reader hears it: without its kind of quotes, dashes, ellipsis, spaces and case."""
    plain = unicodedata.normalize("NFC", text).translate(_FOLDS)
    return " ".join(_SPACED_DASH.sub("-", plain).split()).casefold()


def prose(field: str) -> Comparer:
    """Words: typography, spaces and case are cosmetic, other words a correction, words where none were a gain."""

    def compare(old: Milestone, new: Milestone) -> ChangeKind | None:
        return _words(getattr(old, field), getattr(new, field))

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
        had, has = {folded(name) for name in before}, {folded(name) for name in after}
        if had == has:
            return "cosmetic"
        return "enriched" if had < has else "corrected"

    return compare


def compare_dates(old: Milestone, new: Milestone) -> ChangeKind | None:
    """A date that gains precision or certainty is a gain; a vaguer, unsettled reading of the same date says nothing."""
    before, after = old.date, new.date
    if before == after or (before and after and says_less(before, after)):
        return None
    if after is None:
        return "corrected"
    return "enriched" if before is None or before.contains(after) else "corrected"


def says_less(known: PartialDate, told: PartialDate) -> bool:
    """Whether `told` is only a vaguer reading of `known`, and nobody vouches for its vagueness."""
    return told.contains(known) and not told.confirmed


def compare_images(old: Milestone, new: Milestone) -> ChangeKind | None:
    """The same picture in another size, or over https, is cosmetic; a description without an address says no less."""
    before, after = old.image, new.image
    if before == after:
        return None
    if after is None:
        return "corrected"
    if before is None:
        return "enriched"
    kinds = {_addresses(old, new), _words(before.alt, after.alt)} - {None}
    return strongest(*(kind for kind in kinds if kind))


def strongest(*kinds: ChangeKind) -> ChangeKind | None:
    """The strongest of some fields' kinds; None of none."""
    return max(kinds, key=lambda kind: KINDS[kind].strength, default=None)


def judge(name: str, old: Milestone, new: Milestone, classes: Mapping[str, FieldClass]) -> ChangeKind | None:
    """What the difference in one field means, None when there is none; `classes`: what the source says instead.

    A field that was unknown in `old` is learnt, which is a gain even when it is learnt to be empty.
    """
    learnt = name in old.unknown
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
    was, now = folded(before), folded(after)
    if was == now:
        return "cosmetic"
    return "corrected" if was else "enriched"


def _addresses(old: Milestone, new: Milestone) -> ChangeKind | None:
    before, after = _address(old), _address(new)
    if before == after or after is None:
        return None
    if before is None:
        return "enriched"
    return "cosmetic" if _picture(before, old.url) == _picture(after, new.url) else "corrected"


def _address(milestone: Milestone) -> str | None:
    return milestone.image.url if isinstance(milestone.image, Image) else None


def _picture(url: str, page: str) -> tuple[str, str, str]:
    """What makes two addresses one picture: host, path and query, without scheme, size or the site's own domain."""
    parts = urlsplit(url)
    host = "" if parts.netloc == urlsplit(page).netloc else parts.netloc.lower()
    query = urlencode([(key, value) for key, value in parse_qsl(parts.query) if key not in _SIZE_KEYS])
    return host, _THUMBNAIL.sub("/px-", parts.path), query


# Every content field of a milestone. `related` is not among them: it changes whenever a neighbour does.
RULES: Mapping[str, Comparer] = MappingProxyType({
    "title": prose("title"),
    "date": compare_dates,
    "category": slug("category"),
    "era": slug("era"),
    "impact": number("impact"),
    "what_happened": prose("what_happened"),
    "why_it_mattered": prose("why_it_mattered"),
    "people": names("people"),
    "organizations": names("organizations"),
    "tags": names("tags"),
    "image": compare_images,
})
