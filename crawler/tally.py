"""Counts the outcomes of a crawl and remembers who named each milestone: two small facts a page, never its body."""

from collections.abc import Iterator, KeysView, Mapping

from crawler.outcomes import CrawlReport, Disallowed, Failed, Fetched, Gone, NotModified, Outcome, Redirected
from crawler.paths import Site
from milepost.printable import printable

MAX_FAILURES = 1000  # kept whole in the report; all are counted
_FINDERS = {"sitemap": 1, "listing": 2, "known": 4, "redirect": 8}
_LISTED = _FINDERS["sitemap"] | _FINDERS["listing"]
_RANK = tuple(4 * bool(mask & 4) + 2 * bool(mask & 2) for mask in range(16))
_NAMES = tuple(frozenset(name for name, bit in _FINDERS.items() if mask & bit) for mask in range(16))


class _FoundBy(Mapping[str, frozenset[str]]):
    """Identity URL → finders, a view on the masks by path: a hundred thousand sets are sixteen."""

    def __init__(self, site: Site, masks: Mapping[str, int]) -> None:
        self._site, self._masks = site, masks

    def __getitem__(self, url: str) -> frozenset[str]:
        base = self._site.base
        if not url.startswith(base):
            raise KeyError(url)
        return _NAMES[self._masks[url[len(base):]]]

    def __iter__(self) -> Iterator[str]:
        return map(self._site.identity, self._masks)

    def __len__(self) -> int:
        return len(self._masks)


class Tally:
    """The growing facts of one crawl."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._masks: dict[str, int] = {}
        self._aside: dict[str, list[tuple[str, int]]] = {}
        self.fetched = self.not_modified = self.failed = self.gone = self.redirected = self.disallowed = 0
        self.failures: list[Failed] = []
        self.reasons: list[str] = []

    @property
    def paths(self) -> KeysView[str]:
        """The milestones' paths in the order they were found."""
        return self._masks.keys()

    @property
    def had(self) -> int:
        """Pages that the site did answer for."""
        return self.fetched + self.not_modified + self.gone + self.redirected

    def found(self, path: str, finder: str) -> None:
        """`finder` names the milestone at `path`."""
        self._masks[path] = self._masks.get(path, 0) | _FINDERS[finder]

    def settle(self) -> None:
        """Of paths that differ in upper and lower case only, keep one: the known, else the linked, else the first."""
        chosen: dict[str, str] = {}
        for path, mask in self._masks.items():
            folded = path.casefold()
            rival = chosen.setdefault(path if folded == path else folded, path)
            if _RANK[mask] > _RANK[self._masks[rival]]:
                chosen[folded] = path
        if len(chosen) == len(self._masks):
            return
        for path in list(self._masks):
            keeper = chosen[path.casefold()]
            if keeper != path:
                self._aside.setdefault(keeper, []).append((path, self._masks[path]))
                self._masks[keeper] |= self._masks.pop(path)

    def recall(self, path: str) -> list[str]:
        """`path` is gone: the other spellings of it, taken up again."""
        spellings = self._aside.pop(path, [])
        self._masks |= dict(spellings)
        return [spelling for spelling, _ in spellings]

    def count(self, outcome: Outcome) -> None:
        match outcome:
            case Fetched():
                self.fetched += 1
            case NotModified():
                self.not_modified += 1
            case Gone():
                self.gone += 1
            case Redirected():
                self.redirected += 1
            case Disallowed():
                self.disallowed += 1
            case Failed():
                self.failed += 1
                if len(self.failures) < MAX_FAILURES:
                    self.failures.append(outcome)

    def report(self, requests: int, *, complete: bool, unchanged: bool = False) -> CrawlReport:
        listed = frozenset(self._site.identity(path) for path, mask in self._masks.items() if mask & _LISTED)
        return CrawlReport(
            requests=requests, fetched=self.fetched, not_modified=self.not_modified, failed=self.failed,
            listed=listed, complete=complete, failures=tuple(self.failures), gone=self.gone,
            redirected=self.redirected, disallowed=self.disallowed,
            reasons=tuple(dict.fromkeys(map(printable, self.reasons))), unchanged=unchanged,
            found_by=_FoundBy(self._site, self._masks),
            aliases={
                self._site.identity(spelling): self._site.identity(path)
                for path, spellings in self._aside.items() for spelling, _ in spellings
            },
        )
