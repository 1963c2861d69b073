"""Takes what a crawl finds into the store as it arrives, and remembers for the end of the look what is gone or moved.

    Recall ─▶ crawl ─▶ Fetched, NotModified, Gone, Redirected, Failed ─▶ Intake ─▶ (store)
                                                                     the crawl is over ─▶ CrawledLook
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from crawler.outcomes import CrawlReport, Disallowed, Failed, Fetched, Gone, NotModified, Outcome, Redirected
from milepost.errors import ExtractError
from milepost.records import Validators
from milepost.settings import GuardSettings, SourceSettings
from pipeline.look.reading import key_of
from pipeline.look.reading_guard import ReadingGuard, Stored
from store.archive.pages import Pages
from store.archive.snapshots import Snapshots
from store.database import Database
from store.milestones.looks import Look, Looks
from store.milestones.milestones import Milestones

_TOGETHER = 1000  # "not modified"s that share one transaction: losing some costs nothing but their time


@dataclass(frozen=True, kw_only=True, slots=True)
class Recall:
    """The crawler's view of the store: every page's validators, read at once instead of one query a page."""

    known: Mapping[str, Validators]

    def validators(self, url: str) -> Validators | None:
        return self.known.get(url)


@dataclass(kw_only=True)
class Intake:
    """Each page is archived at once, so that an interrupted look loses nothing. Call `flush` when the crawl is over."""

    snapshots: Snapshots
    pages: Pages
    guard: ReadingGuard
    now: Callable[[], dt.datetime]
    gone: dict[str, int] = field(default_factory=dict)  # milestone URL → 404 or 410
    moved: dict[str, str] = field(default_factory=dict)  # milestone URL → URL of the page it redirects to
    failed: set[str] = field(default_factory=set)  # milestone URLs
    disallowed: set[str] = field(default_factory=set)  # milestone URLs
    unread_listings: list[str] = field(default_factory=list)  # a sentence each
    _unchanged: list[str] = field(default_factory=list)

    def __call__(self, outcome: Outcome) -> None:
        match outcome:
            case Fetched(snapshot=snapshot, kind=kind, validators=validators):
                snapshot_id = self.snapshots.add(snapshot, kind, validators)
                if kind == "listing":
                    self._take_cards(Stored.of(snapshot, snapshot_id))
            case NotModified(url=url):
                self._unchanged.append(url)
                if len(self._unchanged) >= _TOGETHER:
                    self.flush()
            case Gone(url=url, kind=kind, status=status):
                self.snapshots.mark_gone(self.guard.source, url, status, self.now())
                if kind == "milestone":
                    self.gone[url] = status
            case Redirected(url=url, kind="milestone", target=target, status=status):
                self.pages.note_moved(self.guard.source, url, target, status, self.now())
                self.moved[url] = target
            case Failed(url=url, kind="milestone"):
                self.failed.add(url)
            case Disallowed(url=url, kind="milestone"):
                self.disallowed.add(url)

    def _take_cards(self, listing: Stored) -> None:
        """Keep what a listing shows; what an unreadable one showed before stands."""
        try:
            cards, unread = self.guard.cards(listing), self.guard.unread(listing)
        except ExtractError as error:
            self.unread_listings.append(str(error))
            return
        finally:
            self.pages.note_stopped(self.guard.source, self.guard.news())
        self.snapshots.replace_cards(self.guard.source, listing.url, cards)
        self.pages.note_unread(self.guard.source, {listing.url: unread})

    def flush(self) -> None:
        """Write the "not modified"s that wait."""
        if self._unchanged:
            self.pages.note_not_modified(self.guard.source, self._unchanged, self.now())
            self._unchanged.clear()

    def key(self, url: str) -> str | None:
        """The milestone's key in an address; None when it is no milestone's."""
        return key_of(self.guard.site, url)

    def destination(self, url: str) -> str | None:
        """Where the redirects of a page end; None when they go in a circle."""
        passed = {url}
        while (target := self.moved.get(url)) is not None:
            if target in passed:
                return None
            passed.add(target)
            url = target
        return url

    def moved_keys(self) -> dict[str, str]:
        """Key → the other key that its address leads to."""
        found: dict[str, str] = {}
        for url in self.moved:
            end = self.destination(url)
            old, new = self.key(url), None if end is None else self.key(end)
            if old is not None and new is not None and old != new:
                found[old] = new
        return found


class CrawledLook:
    """One look at one source after its crawl: what it brought, and what is remembered of the source."""

    def __init__(
        self, database: Database, guards: GuardSettings, settings: SourceSettings, look: Look, intake: Intake,
        crawled: CrawlReport, *, now: Callable[[], dt.datetime],
    ) -> None:
        self.database, self.guards, self.settings, self.look = database, guards, settings, look
        self.intake, self.crawled, self.now, self.source = intake, crawled, now, look.source
        self.looks, self.milestones, self.pages = Looks(database), Milestones(database), Pages(database)
        self.snapshots, self.site = Snapshots(database), intake.guard.site
        self.known = self.milestones.count(look.source)  # before this look
        self.listed = len(crawled.listed) if crawled.complete else None
        self.listed_before = self.looks.listed_before(look.source)
