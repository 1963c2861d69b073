"""What can happen to a milestone between two looks, and which of it reaches an issue: one table."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from milepost.records import ChangeKind


class Kind(NamedTuple):
    """One kind of change, as readers and the store see it."""

    strength: int  # of a field's kinds the strongest is the change's; 0: never said of a field
    told: Literal["news", "correction", ""]  # a new item; beside the news it corrects; in no issue
    means: str


KINDS: Mapping[ChangeKind, Kind] = MappingProxyType({
    "added":     Kind(0, "news", "a page is read whose key was never known, and that is no known one renamed"),
    "corrected": Kind(3, "correction", "something that was told is told differently, or taken back"),
    "enriched":  Kind(2, "", "something empty, unknown or vague was filled in, and nothing taken back"),
    "cosmetic":  Kind(1, "", "it reads and looks the same: typography, order, a picture's size"),
    "renamed":   Kind(0, "", "it has another address: the old one redirects there, or is gone while the rest is alike"),
    "withdrawn": Kind(0, "", "its page is gone or leads elsewhere, and no listing names it, at two looks"),
    "restored":  Kind(0, "", "it was withdrawn and its page is there again, under the same key"),
})
NEWS: tuple[ChangeKind, ...] = tuple(kind for kind, row in KINDS.items() if row.told == "news")
CORRECTIONS: tuple[ChangeKind, ...] = tuple(kind for kind, row in KINDS.items() if row.told == "correction")
