"""What a look did not find again (gone, moved, fallen off the old end of a page), and what it could not see at all.

    milestones that are not there ─▶ Absences ─▶ withdrawn at the second look in a row
    pages that were not seen      ─▶ missed   ─▶ offered ─▶ (their hold is released) ─▶ let go, until they answer again

The same pages hold no later look. What a first look did not see is let go until it is read: nothing was known of it
that could be lost.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from extractors.listpage import ListPage
from milepost.printable import counted
from milepost.records import Change, Milestone, page_address
from newsletter.news.guards import shrunken
from newsletter.news.renames import Match
from newsletter.news.windows import fallen
from pipeline.look.page_archiver import CrawledLook
from pipeline.look.reading import Reading, read_stored
from pipeline.look.renaming import Absence, pending_renames
from pipeline.look.unread_entries import FIRST
from store.archive import lost_entries
from store.milestones.profiles import Profiles
from store.milestones.refusals import Refusals


class Absences:
    """Of one look."""

    def __init__(self, at: CrawledLook) -> None:
        self._at = at
        self._fallen: frozenset[str] = frozenset()  # keys that only fell off the old end of a page

    def left_pages(self, reading: Reading) -> dict[str, str]:
        """Milestones that are no more on the page which they shared with others: address → key.

        A page that was not read now is as it was: what was missing from it still is.
        """
        intake, whole = self._at.intake, self._at.site.lists_all
        read = {record.page for record in map(reading.records.__getitem__, reading.shared)
                if whole or not record.found_on}
        away = read | intake.gone.keys() | intake.moved.keys() | intake.failed | intake.disallowed
        before = [url for url in self._at.pages.missing(self._at.source) if whole or "#" in url]
        if not read and not before:
            return {}
        known = self._at.milestones.known(self._at.source)
        places = {stored.milestone.url: stored.milestone.page for stored in known.values()}
        missing = [url for url in before if places.get(url, page_address(url)) not in away]
        keys = {stored.milestone.url: key for key, stored in known.items()}  # a fragment is the page's own id, or a key
        left = {url: keys[url] for url in missing if url in keys}
        if not read:
            return left
        off = {stored.milestone.url: key for key, stored in known.items()
               if stored.milestone.page in read and key not in reading.records}
        if not whole:
            milestones = {key: stored.milestone for key, stored in known.items()}
            self._fallen = self._fallen_off(read, off, reading, milestones)
        return left | {url: key for url, key in off.items() if key not in self._fallen}

    def shrunk(self, reading: Reading) -> tuple[str, ...]:
        """A sentence for each list that has fewer entries than when it was last read, and no new one.

        Where a page holds its newest entries alone, one that left it is not gone (`a_window`): it stays on record, and
        whoever knows that the list holds all of them says so in the settings. How many a list lost is kept until it
        has a new entry, or one of them again.
        """
        lost = {page: set(keys) for page, keys in lost_entries.noted(self._at.database, self._at.source).items()}
        if self._at.site.lists_all or not isinstance(self._at.site, ListPage) or not self._at.site.a_window:
            self._keep_lost({}, lost)
            return ()
        now: dict[str, set[str]] = {}
        for key, record in reading.records.items():
            now.setdefault(record.page, set()).add(key)
        last = self._at.pages.last_read(self._at.source, now)
        work = {url: one.snapshot_id for url, one in last.items()}
        before: dict[str, set[str]] = {}
        for key, record in read_stored(self._at.intake.guard, self._at.snapshots, self._at.pages, work,
                                       dry=True).records.items():
            before.setdefault(record.page, set()).add(key)
        grown = {page for page, keys in before.items() if now[page] - keys}
        shrunk = {page: gone for page, keys in before.items() if page not in grown and (gone := keys - now[page])}
        stands = {page: keys for page, keys in lost.items() if page not in grown}
        self._keep_lost({page: stands.get(page, set()) | shrunk.get(page, set()) for page in (*stands, *shrunk)}, lost)
        return tuple(
            f"{page} has {counted(len(gone), 'entry', 'entries')} fewer than before, and no new one "
            f"({', '.join(sorted(gone)[:FIRST])}{', …' if len(gone) > FIRST else ''}): what left it stays on record"
            for page, gone in shrunk.items()
        )

    def _keep_lost(self, lost: Mapping[str, set[str]], before: Mapping[str, set[str]]) -> None:
        if lost != before:
            lost_entries.note(self._at.database, self._at.source, lost)

    def _fallen_off(
        self, read: Collection[str], off: Mapping[str, str], reading: Reading, known: Mapping[str, Milestone]
    ) -> frozenset[str]:
        """Keys of entries in `off` (address → key) that the pages read now, windows on their last few, show no more."""
        before, missing = self._at.pages.fallen(self._at.source), self._at.pages.missing(self._at.source)
        withdrawn = self._at.milestones.withdrawn(self._at.source)
        found: set[str] = set()
        keys: dict[str, list[str]] = {page: [] for page in read}
        for key, record in reading.records.items():
            if (page := page_address(record.url)) in keys:
                keys[page].append(key)
        for page in read:
            shown = [reading.records[key] for key in keys[page]]
            found |= fallen(
                {key: known[key] for url, key in off.items()
                 if page_address(url) == page and url not in missing and key not in withdrawn},
                [record for record in shown if record.key in known],
                [record for record in shown if record.key not in known],
                before={off[url] for url in before if url in off},
            )
        urls = {url for url, key in off.items() if key in found}
        elsewhere = {url for url in before if page_address(url) not in read}
        self._at.pages.note_fallen(self._at.source, urls | elsewhere, self._at.now())
        return frozenset(found)

    def absence(self, left: Mapping[str, str]) -> Absence:
        """Who is missing for sure, and of whom that can't be told; addresses are those of this look."""
        intake, listed = self._at.intake, self._at.crawled.listed
        minimum, share = self._at.guards.removal_min, self._at.guards.surge_share
        believed = self._at.listed is not None and shrunken(
            self._at.listed, self._at.listed_before, minimum=minimum, share=share
        ) is None
        whole = self._at.crawled.complete
        away = {url for url in (*intake.gone, *intake.moved) if whole and url not in listed}
        unsure = {*intake.gone, *intake.moved, *intake.failed, *intake.disallowed} - away
        return Absence(
            missing=frozenset(key for url in away if (key := intake.key(url)) is not None)
            | frozenset(left.values() if whole else ()),
            unsure=frozenset(key for url in unsure if (key := intake.key(url)) is not None) | self._fallen,
            believed=believed, moved=intake.moved_keys(),
        )

    def unlisted(self) -> set[str]:
        """Known keys that the listings don't name, nor a listed page that holds several."""
        listed = self._at.crawled.listed
        keys = {self._at.intake.key(url) for url in listed}
        left = self._at.milestones.keys(self._at.source) - keys
        if None not in keys:
            return left
        return {key for key, stored in self._at.milestones.some(self._at.source, left).items()
                if stored.milestone.page not in listed}

    def missing(self, absence: Absence, matches: Collection[Match], left: Mapping[str, str]) -> dict[str, int]:
        """Key → the first look in a row to find it missing, of known milestones that are not something else.

        Something else: what is renamed, what may be, and what moved to a page that could not be read yet.
        """
        if not self._at.crawled.complete:
            return {}
        away = dict(left) | {
            url: key for url in (*self._at.intake.gone, *self._at.intake.moved)
            if (key := self._at.intake.key(url)) in absence.missing and key is not None
        }
        asked = {found.old for found in matches}
        asked |= {question.old_key for question in pending_renames(self._at.database, self._at.source)}
        present = self._at.milestones.some(self._at.source, set(away.values()) | set(absence.moved.values()))
        waiting = {old for old, new in absence.moved.items() if new not in present and new not in self._gone_keys()}
        withdrawn = self._at.milestones.withdrawn(self._at.source)
        counted = {url for url, key in away.items()
                   if key in present and key not in asked and key not in waiting and key not in withdrawn}
        firsts = self._at.pages.note_missing(self._at.source, counted, self._at.look.id)
        return {away[url]: first for url, first in firsts.items()}

    def _gone_keys(self) -> set[str | None]:
        return {self._at.intake.key(url) for url in self._at.intake.gone}

    def settled(self) -> int:
        """The last look of much missing that an operator decided: what was missing by then holds no look again."""
        return max(self._at.looks.accepted_removals(self._at.source), self._refused())

    def stays(self, firsts: Mapping[str, int]) -> dict[str, int]:
        """Of those: what is gone and stays on record, as the look that missed it first was refused → that look."""
        accepted, refused = self._at.looks.accepted_removals(self._at.source), self._refused()
        return {key: refused for key, first in firsts.items() if accepted < first <= refused}

    def _refused(self) -> int:
        return Refusals(self._at.database).removals(self._at.source)

    def leaving(self, firsts: Mapping[str, int]) -> list[tuple[Change, Milestone]]:
        """What was missing at an earlier look already, and is so now: withdrawn, with its record."""
        stays = self.stays(firsts)
        leaving = {key for key, first in firsts.items() if first < self._at.look.id and key not in stays}
        return [
            (Change(source=self._at.source, key=key, kind="withdrawn"), stored.milestone)
            for key, stored in self._at.milestones.some(self._at.source, leaving).items()
        ]

    def astray(self) -> tuple[frozenset[str], str]:
        """The pages that redirect to what is no milestone's page, or several to one; and where most of them lead.

        A login wall and a careless redirect answer so for pages that are still there.
        """
        ends = {url: self._at.intake.destination(url) for url in self._at.intake.moved}
        counted = Counter(ends.values())
        base = self._at.settings.base_url.rstrip("/")
        away = {
            url: end or "one another" for url, end in ends.items()
            if end is None or counted[end] > 1 or self._at.site.classify(end.removeprefix(base)) != "milestone"
        }
        return frozenset(away), next(iter(Counter(away.values()).most_common(1)), ("", 0))[0]


# --- what a look could not see


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
