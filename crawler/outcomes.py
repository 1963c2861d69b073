"""The records of a crawl: the plan, what became of each page, and the report, counted as the pages come in."""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from crawler.paths import Site
from milepost import __version__
from milepost.errors import FetchError
from milepost.printable import printable
from milepost.records import PageKind, Snapshot, Validators
from milepost.settings import FetchSettings

Now = Callable[[], dt.datetime]
Progress = Callable[[int, int], None]  # pages done, pages known so far

MAX_FAILURES = 1000  # kept whole in the report; all are counted
_FINDERS = {"sitemap": 1, "listing": 2, "known": 4, "redirect": 8}
_LISTED = _FINDERS["sitemap"] | _FINDERS["listing"]
_RANK = tuple(4 * bool(mask & 4) + 2 * bool(mask & 2) for mask in range(16))
_NAMES = tuple(frozenset(name for name, bit in _FINDERS.items() if mask & bit) for mask in range(16))


def user_agent(contact: str | None) -> str:
    """How we introduce ourselves: "Milepost/0.1.0 (+https://example.org/contact)"."""
    plain = "".join(sign for sign in contact or "" if " " <= sign < "\x7f").strip()
    return f"Milepost/{__version__} (+{plain})" if plain else f"Milepost/{__version__}"


class Memory(Protocol):
    """What is remembered of earlier looks; the store implements it."""

    def validators(self, url: str) -> Validators | None:
        """What the stored 200 of this identity URL came with; called once before each page is asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CrawlPlan:
    """Everything a crawl needs to know."""

    source: str  # its key
    base_url: str  # pages are known by base_url + path
    fetch_from: str | None  # a mirror that the bytes come from instead
    allow_hosts: frozenset[str]  # private hosts that may be asked: "host" or "host:port"
    seeds: tuple[str, ...]  # listing paths always asked for
    classify: Callable[[str], PageKind]  # of a path
    limits: FetchSettings
    user_agent: str
    max_pages: int  # asked for in one look, milestones and listings together
    known_urls: frozenset[str] = frozenset()  # identity URLs of known milestones: asked for though no longer listed
    # paths (or addresses) on a listing page; without it only the sitemap and `known_urls` lead to milestones
    links: Callable[[Snapshot], Iterable[str]] | None = None
    # paths that an unchanged listing (identity URL) held when last fetched; without it, where `links` is given,
    # listings are asked for unconditionally: a 304 would leave their links unknown
    linked_before: Callable[[str], Iterable[str]] | None = None
    poll: str | None = None  # a path that tells of news: unchanged, it ends the look
    poll_hash: str | None = None  # SHA-256 of that page's stored body, for servers without ETag
    full: bool = False  # look at everything, whatever `poll` says
    min_interval: float = 0.0  # least seconds between two requests to a host


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A page as it is now."""

    snapshot: Snapshot
    kind: PageKind
    validators: Validators | None

    @property
    def url(self) -> str:
        return self.snapshot.url


@dataclass(frozen=True, kw_only=True, slots=True)
class NotModified:
    """304: as stored."""

    url: str
    kind: PageKind


@dataclass(frozen=True, kw_only=True, slots=True)
class Gone:
    """404 or 410."""

    url: str
    kind: PageKind
    status: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Redirected:
    """The page moved to another path of the site: `target` is its identity URL, fetched as a page of its own."""

    url: str
    kind: PageKind
    target: str
    status: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """The page could not be had; what is known of it stands."""

    url: str
    kind: PageKind
    error: FetchError


@dataclass(frozen=True, kw_only=True, slots=True)
class Disallowed:
    """robots.txt asks us not to fetch the page: it was not asked for, and that is no fault."""

    url: str
    kind: PageKind


Outcome = Fetched | NotModified | Gone | Redirected | Failed | Disallowed


@dataclass(frozen=True, kw_only=True, slots=True)
class CrawlReport:
    """What a crawl did."""

    requests: int  # sent, with robots, sitemaps, redirects and retries
    fetched: int
    not_modified: int
    failed: int
    # asyncio writes the repr of what it ran into an error that nobody sees: a hundred thousand addresses stay out of it
    listed: frozenset[str] = field(repr=False)  # identity URLs of milestones that a sitemap or listing named this time
    complete: bool  # every sitemap and listing was read whole; only then is absence from `listed` worth a thought
    failures: tuple[Failed, ...]  # the first MAX_FAILURES of them
    gone: int = 0
    redirected: int = 0
    disallowed: int = 0  # listed or known, and not asked for, as robots.txt forbids it
    reasons: tuple[str, ...] = ()  # why not complete, a sentence each
    unread: tuple[str, ...] = ()  # what sitemaps hold and nobody can ask for, a sentence each: no look would find more
    unchanged: bool = False  # the poll page had not changed: nothing else was asked, `listed` says nothing
    # how each milestone was found, by identity URL: of "sitemap", "listing", "known", "redirect"
    found_by: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)
    # identity URLs not asked for, as they differ from another in upper and lower case only → that other
    aliases: Mapping[str, str] = field(default_factory=dict)


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
    """The growing facts of one crawl: two small ones a page, who named it and what became of it, never its body."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._masks: dict[str, int] = {}
        self._aside: dict[str, list[tuple[str, int]]] = {}
        self.fetched = self.not_modified = self.failed = self.gone = self.redirected = self.disallowed = 0
        self.failures: list[Failed] = []
        self.reasons: list[str] = []
        self.unread: list[str] = []

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
            reasons=tuple(dict.fromkeys(map(printable, self.reasons))),
            unread=tuple(map(printable, self.unread)), unchanged=unchanged,
            found_by=_FoundBy(self._site, self._masks),
            aliases={
                self._site.identity(spelling): self._site.identity(path)
                for path, spellings in self._aside.items() for spelling, _ in spellings
            },
        )
