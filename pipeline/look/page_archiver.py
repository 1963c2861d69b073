"""Asks a site for its pages and takes what comes into the store at once; what is gone or moved is kept for the end.

    what is known ─▶ plan ─▶ crawl ─▶ Fetched, NotModified, Gone, Redirected, Failed ─▶ Intake ─▶ (store)
                                                                        the crawl is over ─▶ CrawledLook
"""

import asyncio
import datetime as dt
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from crawler.crawl import crawl, ended
from crawler.outcomes import (
    CrawlPlan,
    CrawlReport,
    Disallowed,
    Failed,
    Fetched,
    Gone,
    NotModified,
    Outcome,
    Redirected,
)
from milepost.dates import believed
from milepost.errors import ExtractError, StoreError
from milepost.records import Snapshot, Validators
from milepost.settings import GuardSettings, Settings, SourceSettings
from pipeline.look.found_feeds import FoundFeeds
from pipeline.look.lastmods import TrustedLastmods
from pipeline.look.read_ahead import ReadAhead
from pipeline.look.reading import cards_of, key_of
from pipeline.look.reading_guard import ReadingGuard, Stored, page_of
from pipeline.several import Progress, Stop
from store.archive.pages import Pages
from store.archive.retention import SAMPLES, Archive
from store.archive.snapshots import Arrived, Snapshots
from store.database import Database
from store.milestones.looks import Look, Looks
from store.milestones.milestones import Milestones

_TOGETHER = 1000  # "not modified"s that share one transaction: losing some costs nothing but their time
# Pages that share one: together they take a commit's time, of which a page alone takes as much.
PAGES, BYTES, WAIT_S = 64, 4 * 1024 * 1024, 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Recall:
    """The crawler's view of the store: every page's validators, read at once instead of one query a page."""

    known: Mapping[str, Validators]

    def validators(self, url: str) -> Validators | None:
        return self.known.get(url)


@dataclass(kw_only=True)
class Intake:
    """Takes what comes into the store. Pages share a commit as long as nothing is done with them, for WAIT_S at most,
    so that an interrupted look loses no more than that, and its pages are asked for again. A listing is written before
    its cards are. Call `flush` when the crawl is over."""

    snapshots: Snapshots
    pages: Pages
    guard: ReadingGuard
    now: Callable[[], dt.datetime]
    feeds: FoundFeeds
    ahead: ReadAhead
    enough: Callable[[], object] = lambda: None  # called when as many pages were written as a dictionary is made of
    clock: Callable[[], float] = time.monotonic
    gone: dict[str, int] = field(default_factory=dict)  # milestone URL → 404 or 410
    moved: dict[str, str] = field(default_factory=dict)  # milestone URL → URL of the page it redirects to
    failed: set[str] = field(default_factory=set)  # milestone URLs
    disallowed: set[str] = field(default_factory=set)  # milestone URLs
    had: dict[str, str] = field(default_factory=dict)  # milestone URL → where, of those followed anywhere
    unread_listings: list[str] = field(default_factory=list)  # a sentence each
    _arrived: list[Arrived] = field(default_factory=list)
    _bytes: int = 0  # of those
    # A listing comes in a thread of its own, while the loop's may write what has waited: of two one goes first.
    _writing: threading.RLock = field(default_factory=threading.RLock)
    _written: int = 0  # pages
    _since: float = 0.0  # when the first of them came
    _unchanged: list[str] = field(default_factory=list)
    _away: dict[str, int] = field(default_factory=dict)  # like `gone`, of those that wait to be written
    _elsewhere: dict[str, tuple[str, int]] = field(default_factory=dict)  # like `moved`, with the status

    def __call__(self, outcome: Outcome) -> None:
        match outcome:
            case Fetched(snapshot=snapshot, kind=kind, validators=validators, document=document):
                self._take(Arrived(snapshot, kind, validators, document))
            case NotModified(url=url):
                self._unchanged.append(url)
                self._flush_when(len(self._unchanged) >= _TOGETHER)
            case Failed(url=url, kind="listing", error=error) if self.feeds.found(url):
                self.feeds.trouble(url, error.what)
            case Disallowed(url=url, kind="listing") if self.feeds.found(url):
                self.feeds.trouble(url, "robots.txt forbids it")
            case Gone(url=url, kind=kind, status=status):
                if self.feeds.found(url):
                    self.feeds.trouble(url, f"it answers {status}")
                self._away[url] = status
                self._flush_when(len(self._away) >= _TOGETHER)
                if kind == "milestone":
                    self.gone[url] = status
            case Redirected(url=url, kind="milestone", target=target, status=status):
                self._elsewhere[url] = target, status
                self._flush_when(len(self._elsewhere) >= _TOGETHER)
                self.moved[url] = target
            case Failed(url=url, kind="milestone"):
                self.failed.add(url)
            case Disallowed(url=url, kind="milestone"):
                self.disallowed.add(url)

    def _take(self, page: Arrived) -> None:
        snapshot = page.snapshot
        if page.kind == "milestone" and self.guard.site.follows_anywhere:
            self.had[snapshot.url] = snapshot.final_url
        with self._writing:
            if not self._arrived:
                self._since = self.clock()
            self._arrived.append(page)
            self._bytes += len(snapshot.body) + len(page.document or b"")
            if page.kind != "listing":
                self._flush_when(len(self._arrived) >= PAGES or self._bytes >= BYTES or self.is_late)
                return
            number = self._write()[-1]
        self._take_cards(Stored.of(snapshot, number))  # may take long, and nobody waits for it

    @property
    def is_late(self) -> bool:
        """Whether a page has waited for WAIT_S."""
        return bool(self._arrived) and self.clock() - self._since >= WAIT_S

    def _flush_when(self, due: bool) -> None:
        if due:
            self.flush()

    def _write(self) -> list[int]:
        """Write the pages that wait; returns the ids of their snapshots."""
        with self._writing:
            ids = self.snapshots.add_all(self._arrived)
            written, self._arrived, self._bytes = self._arrived, [], 0  # whatever goes wrong now: not twice
            if self._written < SAMPLES <= self._written + len(ids):
                self.enough()
            self._written += len(ids)
            self._read_ahead([(one.snapshot, number) for one, number in zip(written, ids, strict=True)
                              if one.kind == "milestone"])
            return ids

    def _read_ahead(self, taken: Sequence[tuple[Snapshot, int]]) -> None:
        self.pages.note_stopped(self.guard.source, self.guard.news())  # should the look die, it is known
        if not self.ahead.offer(len(taken)):
            return
        cards = cards_of(self.guard, self.pages, [snapshot.url for snapshot, _ in taken])
        self.ahead.read([Stored.of(snapshot, number, cards(snapshot.url)) for snapshot, number in taken])

    def _take_cards(self, listing: Stored) -> None:
        """Keep what a listing shows; what an unreadable one showed before stands."""
        if self.feeds.found(listing.url) and not self.feeds.is_feed(listing.page):
            self.feeds.trouble(listing.url, "it is neither a feed nor a sitemap")
            return
        try:
            cards, unread = self.guard.cards(listing), self.guard.unread(listing)
        except ExtractError as error:
            if self.feeds.found(listing.url):
                self.feeds.trouble(listing.url, error.what)
            else:
                self.unread_listings.append(str(error))
            return
        finally:
            self.pages.note_stopped(self.guard.source, self.guard.news())
        self.snapshots.replace_cards(self.guard.source, listing.url, cards)
        self.pages.note_unread(self.guard.source, {listing.url: unread})

    def flush(self) -> None:
        """Write all that waits."""
        self._write()
        source = self.guard.source
        self.snapshots.mark_gone(source, self._away, self.now())
        self._away.clear()
        self.pages.note_moved(source, self._elsewhere, self.now())
        self._elsewhere.clear()
        if self._unchanged:
            self.pages.note_not_modified(source, self._unchanged, self.now())
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
        crawled: CrawlReport, lastmods: TrustedLastmods, *, now: Callable[[], dt.datetime],
    ) -> None:
        self.database, self.guards, self.settings, self.look = database, guards, settings, look
        self.intake, self.crawled, self.now, self.source = intake, crawled, now, look.source
        self.lastmods = lastmods
        self.looks, self.milestones, self.pages = Looks(database), Milestones(database), Pages(database)
        self.snapshots, self.site, self.feeds = Snapshots(database), intake.guard.site, intake.feeds
        self.elsewhere = dict(self._elsewhere())
        self.known = self.milestones.count(look.source)  # before this look
        self.listed = len(crawled.listed) if crawled.complete else None
        self.listed_before = self.looks.listed_before(look.source)

    def _elsewhere(self) -> Iterator[tuple[str, str]]:
        """(address, where it was had) of pages that redirect to another place."""
        base = self.settings.base_url.rstrip("/")
        fetch = (self.settings.fetch_from or base).rstrip("/")
        for url, place in self.intake.had.items():
            asked = fetch + url.removeprefix(base).replace("%3F", "?", 1)
            if place.rstrip("/") != asked.rstrip("/"):
                yield url, place


def archive_pages(
    settings: Settings, database: Database, look: Look, guard: ReadingGuard, ahead: ReadAhead, *, full: bool,
    now: Callable[[], dt.datetime], progress: Progress | None, stop: Stop,
) -> CrawledLook:
    """Ask for the pages of the look's source and archive each as it comes; `full`: whatever the poll page says.

    Raises what `crawl` raises; what came by then is in the store.
    """
    source = settings.source(look.source)
    snapshots, pages = Snapshots(database), Pages(database)
    base_url = source.base_url.rstrip("/")
    seeds = [base_url + seed for seed in guard.site.seeds]
    alone = bool(seeds) and all(guard.site.classify(seed) == "milestone" for seed in guard.site.seeds)
    if not full and alone and pages.gone_for_good(source.key, seeds):
        raise ended(base_url)
    poll = None if full else _poll(source, snapshots, Looks(database), now())
    if poll is None:
        # until this look is complete: a dead one counts for nothing
        Looks(database).note_asked_in_full(source.key, None)
    follows = guard.site.pages > 1

    def following(snapshot: Snapshot) -> str | None:
        return guard.site.following(page_of(snapshot))

    def following_before(url: str) -> str | None:
        latest = snapshots.latest(source.key, url)
        return None if latest is None else following(latest[1])

    feeds = FoundFeeds(settings, source, guard.site, database, look, guard.feeds)
    above = urlsplit(base_url).path

    def takes(kind: str, path: str) -> bool:
        if path.removeprefix(above) not in feeds.paths:
            return guard.site.takes(kind, path)
        from extractors.feed import FEED_TYPES  # the parsers of feeds take their time to begin

        return kind in FEED_TYPES

    def linked_before(url: str) -> Iterable[str]:
        """The links of a listing that answered 304: those of the snapshot it stands for."""
        latest = snapshots.latest(source.key, url)
        return () if latest is None else feeds.links(latest[1])

    milestones = Milestones(database)
    alternating = milestones.some(source.key, milestones.flaps(source.key)).values()
    lastmods = TrustedLastmods(source, database, look, full=full,
                               alternating=[stored.milestone.page for stored in alternating])
    known = seeds if follows else pages.urls(source.key, "milestone")
    plan = CrawlPlan(
        source=source.key, base_url=source.base_url, fetch_from=source.fetch_from,
        allow_hosts=frozenset(source.allow_hosts), seeds=(*guard.site.seeds, *guard.feeds),
        classify=lambda path: "listing" if path in feeds.paths else guard.site.classify(path),
        takes=takes,
        follows_anywhere=guard.site.follows_anywhere, feeds=feeds.paths,
        feeds_on=feeds.on, news_sitemap=feeds.of_news,
        with_queries=follows or any("%3F" in seed for seed in (*guard.site.seeds, *guard.feeds)),
        following=following if follows else None, following_before=following_before if follows else None,
        max_following=guard.site.pages - 1,
        limits=settings.fetch, max_pages=source.max_pages, poll=None if poll is None else source.poll, poll_hash=poll,
        known_urls=frozenset(known),
        links=feeds.links, linked_before=linked_before, unchanged=lastmods.unchanged if lastmods.trusts else None,
        render=settings.render if source.render else None, render_wait=source.render_wait,
    )
    archive = Archive(database)
    intake = Intake(snapshots=snapshots, pages=pages, guard=guard, now=now, feeds=feeds, ahead=ahead,
                    enough=lambda: archive.keep_small(now()))
    recall = Recall(known=pages.validators(source.key))
    try:
        crawled = asyncio.run(_until_stopped(
            crawl(plan, memory=recall, on_page=intake, now=now, progress=progress), intake, stop))
    except StoreError:  # it takes no more
        raise
    except BaseException:
        ahead.give_up()
        intake.flush()
        raise
    intake.flush()
    return CrawledLook(database, settings.guards, source, look, intake, crawled, lastmods, now=now)


async def _until_stopped(crawling: Coroutine[Any, Any, CrawlReport], intake: Intake, stop: Stop) -> CrawlReport:
    """The crawl to its end; raises CancelledError at once when it is stopped, also in the middle of a page.

    Pages are written in time also while the next one lets itself be waited for.
    """
    task, loop = asyncio.ensure_future(crawling), asyncio.get_running_loop()
    with stop.waking(lambda: loop.call_soon_threadsafe(task.cancel)):
        try:
            while not (await asyncio.wait({task}, timeout=WAIT_S))[0]:
                if intake.is_late:
                    intake.flush()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        return await task


def _poll(source: SourceSettings, snapshots: Snapshots, looks: Looks, now: dt.datetime) -> str | None:
    """The SHA-256 of the page to ask for first, so that an unchanged site costs two requests, as it was last seen.

    None when this look must be a full one: when the last look was anything but complete, when pages still wait to be
    read or for an operator's word on what can't be, and every so many hours: the poll page tells of new milestones,
    not of every edit.
    """
    asked = looks.asked_in_full(source.key)
    if source.poll is None or asked is None or not believed(asked, now):
        return None
    if now - asked >= dt.timedelta(hours=source.full_every_hours):
        return None
    if any(look.guard == "unread" for look in looks.list(source.key, waiting=True)):
        return None
    latest = snapshots.latest(source.key, f"{source.base_url}{source.poll}")
    if latest is None or snapshots.unread(source.key) or snapshots.to_reread(source.key):
        return None
    return latest[1].body_hash
