"""The records of a crawl: the plan, what became of each page, and the report."""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Protocol

from milepost.errors import FetchError
from milepost.records import PageKind, Snapshot, Validators
from milepost.settings import FetchSettings, RenderSettings

Now = Callable[[], dt.datetime]
Progress = Callable[[int, int], None]  # pages done, pages known so far


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
    takes: Callable[[str, str], bool] | None = None  # (content type, path) → whether that is read; None: HTML alone
    limits: FetchSettings
    follows_anywhere: bool = False  # a milestone's page is asked for wherever it redirects to
    # listings (paths) that are asked for wherever they redirect to: feeds move; it may grow while the crawl goes on
    feeds: Set[str] = frozenset()
    # (identity URL of a listing, the listing as fetched, None where it is unchanged) → paths of feeds that it
    # advertises and that are to be asked for; one that can't be had leaves the look complete
    feeds_on: Callable[[str, Snapshot | None], Iterable[str]] | None = None
    news_sitemap: Callable[[str], str | None] | None = None  # URL of a sitemap that tells titles → path to ask for
    with_queries: bool = False  # in the path of a page "%3F" stands for the "?" of its query
    # the address of the page that goes on where a milestone's page ends; so many more are asked for at most
    following: Callable[[Snapshot], str | None] | None = None
    following_before: Callable[[str], str | None] | None = None  # the same, of an unchanged page by its identity URL
    max_following: int = 0
    max_pages: int  # asked for in one look, milestones and listings together
    known_urls: frozenset[str] = frozenset()  # identity URLs of known milestones: asked for though no longer listed
    # paths (or addresses) on a listing page; without it only the sitemap and `known_urls` lead to milestones
    links: Callable[[Snapshot], Iterable[str]] | None = None
    # paths that an unchanged listing (identity URL) held when last fetched; without it, where `links` is given,
    # listings are asked for unconditionally: a 304 would leave their links unknown
    linked_before: Callable[[str], Iterable[str]] | None = None
    poll: str | None = None  # a path that tells of news: unchanged, it ends the look
    poll_hash: str | None = None  # SHA-256 of that page's stored body, for servers without ETag
    # (identity URL of a milestone, what its sitemap's entry says of when it was last changed, as written, or "") →
    # whether it need not be asked for: asked once for each entry that is read; None: all are asked for
    unchanged: Callable[[str, str], bool] | None = None
    full: bool = False  # look at everything, whatever `poll` says
    render: RenderSettings | None = None  # pages of HTML are taken as a browser shows them, their scripts run …
    render_wait: str | None = None  # … once something on them fits this CSS selector, else once they are at rest


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A page as it is now."""

    snapshot: Snapshot
    kind: PageKind
    validators: Validators | None
    document: bytes | None = None  # of a rendered page: the bytes that it was rendered from

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
    listed: Set[str] = field(repr=False)  # identity URLs of milestones that a sitemap or listing named this time
    complete: bool  # every sitemap and listing was read whole; only then is absence from `listed` worth a thought
    failures: tuple[Failed, ...]  # the first thousand of them
    gone: int = 0
    redirected: int = 0
    not_asked: int = 0  # milestones that `CrawlPlan.unchanged` spared: as they were
    disallowed: int = 0  # listed or known, and not asked for, as robots.txt forbids it
    reasons: tuple[str, ...] = ()  # why not complete, a sentence each
    unread: tuple[str, ...] = ()  # what sitemaps hold and nobody can ask for, a sentence each: no look would find more
    unchanged: bool = False  # the poll page had not changed: nothing else was asked, `listed` says nothing
    # how each milestone was found, by identity URL: of "sitemap", "listing", "known", "redirect"
    found_by: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)
    # identity URLs not asked for, as they differ from another in upper and lower case only → that other
    aliases: Mapping[str, str] = field(default_factory=dict)
