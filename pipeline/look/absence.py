"""What a look did not find again: gone, moved, fallen off the old end of a page, or only not to be told."""

from collections import Counter
from collections.abc import Collection, Mapping

from milepost.records import Change, Milestone, page_address
from newsletter.news.guards import shrunken
from newsletter.news.renames import Match
from newsletter.news.windows import fallen
from pipeline.look.crawled_look import CrawledLook
from pipeline.look.reading import Reading
from pipeline.look.renaming import Absence, pending_renames
from store.milestones.milestones import Entry


class Absences:
    """Of one look."""

    def __init__(self, at: CrawledLook) -> None:
        self._at = at
        self._fallen: frozenset[str] = frozenset()  # keys that only fell off the old end of a page

    def left_pages(self, reading: Reading) -> dict[str, str]:
        """Milestones that are no more on the page which they shared with others: address → key.

        A page that was not read now is as it was: what was missing from it still is.
        """
        intake = self._at.intake
        read = {page_address(record.url) for record in reading.records.values() if "#" in record.url}
        away = read | intake.gone.keys() | intake.moved.keys() | intake.failed | intake.disallowed
        left = {url: key for url in self._at.pages.missing(self._at.source)
                if "#" in url and page_address(url) not in away and (key := intake.key(url)) is not None}
        if not read:
            return left
        known = self._at.milestones.known(self._at.source)
        off = {stored.milestone.url: key for key, stored in known.items()
               if page_address(stored.milestone.url) in read and key not in reading.records}
        self._fallen = self._fallen_off(read, off, reading, {key: stored.milestone for key, stored in known.items()})
        return left | {url: key for url, key in off.items() if key not in self._fallen}

    def _fallen_off(
        self, read: Collection[str], off: Mapping[str, str], reading: Reading, known: Mapping[str, Milestone]
    ) -> frozenset[str]:
        """Keys of entries in `off` (address → key) that the pages read now, windows on their last few, show no more."""
        before, missing = self._at.pages.fallen(self._at.source), self._at.pages.missing(self._at.source)
        withdrawn = self._at.milestones.withdrawn(self._at.source)
        found: set[str] = set()
        for page in read:
            shown = [record for record in reading.records.values() if page_address(record.url) == page]
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
                if page_address(stored.milestone.url) not in listed}

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

    def leaving(self, firsts: Mapping[str, int]) -> list[Entry]:
        """What was missing at an earlier look already, and is so now: withdrawn."""
        leaving = {key for key, first in firsts.items() if first < self._at.look.id}
        return [
            (Change(source=self._at.source, key=key, kind="withdrawn"), stored.milestone, None)
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
            if end is None or counted[end] > 1 or self._at.intake.site.classify(end.removeprefix(base)) != "milestone"
        }
        return frozenset(away), next(iter(Counter(away.values()).most_common(1)), ("", 0))[0]
