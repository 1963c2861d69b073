"""What a look could not see, and what of it is let go: the same pages hold no later look.

    a look that saw too little ─▶ offered ─▶ (its hold is released) ─▶ let go ─▶ (they answer again) ─▶ forgotten
    a first look that saw too little ─▶ let go until they are read: nothing was known of them that could be lost
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.look.crawled_look import CrawledLook
from pipeline.look.reading import Reading
from store.milestones.profiles import Profiles


@dataclass(frozen=True, kw_only=True, slots=True)
class Unseen:
    """Pages that failed, lead astray or could not be read, and why the listings are not whole."""

    pages: frozenset[str] = frozenset()  # identity URLs of milestones
    reasons: frozenset[str] = frozenset()  # a sentence each

    def __and__(self, other: "Unseen") -> "Unseen":
        return Unseen(pages=self.pages & other.pages, reasons=self.reasons & other.reasons)

    def __bool__(self) -> bool:
        return bool(self.pages or self.reasons)


@dataclass(frozen=True, kw_only=True, slots=True)
class Missed:
    """What a look could not see, beside what is let go."""

    all: Unseen
    let_go: Unseen  # the part of it that holds nothing
    over: bool  # what an operator let go was for this look alone, or is seen again: nothing is let go any more
    astray: frozenset[str]  # the pages among it that redirect to no milestone
    astray_to: str  # where most of them lead


def unseen(at: CrawledLook, reading: Reading, astray: frozenset[str]) -> Unseen:
    """What this look could not see; `astray`: pages that redirect to no milestone."""
    listed = {url for url in at.intake.gone if url in at.crawled.listed}
    return Unseen(
        pages=frozenset(at.intake.failed) | listed | reading.failed | astray,
        reasons=frozenset() if at.crawled.complete else frozenset(at.crawled.reasons),
    )


def missed(at: CrawledLook, reading: Reading, astray: frozenset[str], astray_to: str) -> Missed:
    """What this look could not see, and how much of it is known to be so."""
    now = unseen(at, reading, astray)
    found = Profiles(at.database, "incomplete").accepted(at.source)
    again = Unseen() if found is None else now & unseen_from_json(found.data)
    never = now.pages & at.looks.unread_since_baseline(at.source)
    return Missed(
        all=now, let_go=Unseen(pages=again.pages | never, reasons=again.reasons),
        over=found is not None and (found.once or not again), astray=astray, astray_to=astray_to,
    )


def unseen_to_json(value: Unseen) -> dict[str, Any]:
    """The form in which a held look keeps it."""
    return {"pages": sorted(value.pages), "reasons": sorted(value.reasons)}


def unseen_from_json(data: Mapping[str, Any]) -> Unseen:
    """The inverse of `unseen_to_json`. Raises KeyError."""
    return Unseen(pages=frozenset(data["pages"]), reasons=frozenset(data["reasons"]))
