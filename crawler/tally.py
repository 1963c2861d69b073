"""Counts the outcomes of a crawl and remembers who named each milestone: two small facts a page, never its body."""

from collections.abc import Iterator, KeysView, Mapping

from crawler.outcomes import CrawlReport, Failed, Fetched, Gone, NotModified, Outcome, Redirected
from crawler.paths import Site

MAX_FAILURES = 1000  # kept whole in the report; all are counted
_FINDERS = {"sitemap": 1, "listing": 2, "known": 4, "redirect": 8}
_LISTED = _FINDERS["sitemap"] | _FINDERS["listing"]
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
        self.fetched = self.not_modified = self.failed = self.gone = self.redirected = 0
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
            case Failed():
                self.failed += 1
                if len(self.failures) < MAX_FAILURES:
                    self.failures.append(outcome)

    def report(self, requests: int, *, complete: bool, unchanged: bool = False) -> CrawlReport:
        listed = frozenset(self._site.identity(path) for path, mask in self._masks.items() if mask & _LISTED)
        return CrawlReport(
            requests=requests, fetched=self.fetched, not_modified=self.not_modified, failed=self.failed,
            listed=listed, complete=complete, failures=tuple(self.failures), gone=self.gone,
            redirected=self.redirected, reasons=tuple(dict.fromkeys(self.reasons)), unchanged=unchanged,
            found_by=_FoundBy(self._site, self._masks),
        )
