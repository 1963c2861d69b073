"""The feeds of a site that a look comes upon: which it asks for, why not the others, and what they brought.

    a listing's <link rel=alternate> ─┐
    the forge's feed of releases      ├▶ advertised ─▶ used: titles, dates and new addresses, beside the pages' own
    a sitemap with news:title        ─┘            ├▶ ignored, and why
                                                   └▶ lost: was used, and can't be had any more
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from crawler.links import hrefs
from crawler.paths import Site
from crawler.sitemap import parse
from extractors.base import SiteExtractor
from extractors.recognize import advertised_feeds, forge_feeds
from milepost.errors import ExtractError
from milepost.printable import counted, printable
from milepost.records import Milestone, Page, Snapshot
from milepost.settings import AUTO, Settings, SourceSettings
from pipeline.look.reading import key_of
from pipeline.look.reading_guard import page_of
from store.archive import source_feeds
from store.archive.snapshots import Snapshots
from store.archive.source_feeds import SourceFeeds
from store.database import Database
from store.milestones.looks import Look, Looks
from store.milestones.milestones import Milestones

_MOST = 3  # feeds that a look finds by itself and asks for; as many sitemaps with news


class FoundFeeds:
    """Of one look at one source."""

    def __init__(self, settings: Settings, source: SourceSettings, site: SiteExtractor, database: Database, look: Look,
                 named: Collection[str]) -> None:
        """`named`: the paths of feeds in the settings, "%3F" for the "?" of a query."""
        self._source, self._site, self._database, self._look = source, site, database, look
        self._fetch = settings.fetch
        self._place = Site.of(source.base_url, source.fetch_from)
        self.finds = source.feeds == AUTO
        self._of_pages = not all(site.classify(seed) == "milestone" for seed in site.seeds)
        self.before = source_feeds.noted(database, source.key)
        self.paths: set[str] = set(named)  # those asked for; it grows while the crawl goes on
        self._named = frozenset(named)
        self._news: set[str] = set()
        self._used: dict[str, int] = {}
        self._trouble: dict[str, str] = {}  # address → why
        self._ignored: dict[str, str] = {}  # address → why
        self._unused: dict[str, None] = {}
        self._looked = self._skipped = False  # whether a page was looked at that would advertise one, or was not
        self._stood: dict[str, None] = dict.fromkeys(self.before.stood if self.before else ())
        self._since = self.before.stood_since if self.before else None
        self._ended = None if look.baseline else next(
            (one for one in Looks(database).list(source.key) if one.finished_at and one.state != "failed"), None)

    # --- while the crawl goes on ------------------------------------------------------------------------------------

    def on(self, url: str, snapshot: Snapshot | None) -> Iterable[str]:
        """The paths of feeds to ask for, by the listing at `url`; without a snapshot it is as it was."""
        path = self._place.path(url)
        if path is None or path not in self._site.seeds or path in self._named or self._source.feeds not in ((), AUTO):
            return
        if snapshot is None and not self.finds and self.before is not None:
            self._skipped = True
            return
        if snapshot is None:
            latest = Snapshots(self._database).latest(self._source.key, url)
            if latest is None:
                return
            snapshot = latest[1]
        self._looked = True
        told = [*advertised_feeds(page_of(snapshot)), *((feed, False) for feed in forge_feeds(self._source.base_url))]
        for address, of_comments in told:
            yield from self._advertised(address, of_comments)

    def _advertised(self, address: str, of_comments: bool) -> Iterable[str]:
        found = self._place.path_with_query(address)
        if not self.finds:
            if found is not None and not of_comments and self._of_pages:
                self._unused[self._place.identity(found)] = None
        elif of_comments:
            self._ignored[address] = "it is of comments"
        elif found is None:
            self._ignored[address] = "it is on another host"
        elif found not in self.paths and found not in self._site.seeds:
            if len(self.paths - self._news) >= _MOST:
                self._ignored[address] = f"{_MOST} are asked for already"
                return
            self.paths.add(found)
            yield found

    def of_news(self, place: str) -> str | None:
        """The path of a sitemap, fetched from `place`, which tells titles; None where it is not to be asked for."""
        found = self._place.path_with_query(place) if self.finds and self._of_pages else None
        if found is None or found in self.paths or len(self._news) >= _MOST:
            return None
        self._news.add(found)
        self.paths.add(found)
        return found

    def found(self, url: str) -> bool:
        """Whether the page at `url` is a feed that the look found by itself: it may be missing."""
        path = self._path(url)
        return path in self.paths and path not in self._named

    def is_feed(self, listing: Page) -> bool:
        """Whether what a look took for a feed is one."""
        from extractors.feed_cards import is_told  # the parsers of feeds take their time to begin

        return is_told(listing.text)

    def trouble(self, url: str, why: str) -> None:
        """The feed at `url` can't be had or read."""
        self._trouble[url] = why.removeprefix(f"{url}: ").rstrip(".")

    def links(self, snapshot: Snapshot) -> Iterable[str]:
        """Addresses on a listing; of a feed those that its entries link to."""
        if self._path(snapshot.url) not in self.paths:
            return hrefs(snapshot)
        locations = self._locations(snapshot)
        pages = [page for one in locations if (page := self._page(one)) is not None]
        self._used[snapshot.url] = len(set(pages))
        if self._is_new(snapshot.url):
            self._note_stood(pages)
        return locations

    def _locations(self, snapshot: Snapshot) -> Iterable[str]:
        if snapshot.body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            from extractors.feed_document import read_feed  # the parsers of feeds take their time to begin

            try:
                page = page_of(snapshot)
                return tuple(one.link for one in read_feed(page.text, page.url).entries if one.link)
            except ExtractError:
                return ()  # who reads its cards says so
        return parse(
            snapshot.body, max_body=self._fetch.max_body_bytes, keep=lambda location: location, place=snapshot.url,
            max_kept=self._source.max_pages, max_seen=self._source.max_pages,
        ).locations

    def _path(self, url: str) -> str:
        return url.removeprefix(self._place.base)

    def _page(self, location: str) -> str | None:
        """The address of the source's page that a feed leads to; None for another one's."""
        path = self._place.path(location, own=True)
        return self._place.identity(path) if path is not None and self._site.classify(path) == "milestone" else None

    def _is_new(self, url: str) -> bool:
        """Whether no look that ended has read this feed: what it names was there before it was asked for."""
        if self._ended is None or self._ended.finished_at is None:
            return False
        if self.before is not None:
            return url not in self.before.used and url not in self.before.lost
        over = self._ended.finished_at
        return all(at > over for _, at, _ in Snapshots(self._database).history(self._source.key, url))

    def _note_stood(self, pages: Iterable[str]) -> None:
        """Written at once: should this look die or be held, what stood there is no news at the next one either."""
        self._stood |= dict.fromkeys(pages)
        if self._since is None and self._ended is not None:
            self._since = self._ended.started_at.date().isoformat()
        before = self.before or SourceFeeds()
        kept = replace(before, stood=tuple(self._stood), stood_since=self._since)
        if self._stood and self.before is not None:
            source_feeds.note(self._database, self._source.key, kept)

    # --- when it is over --------------------------------------------------------------------------------------------

    def stood(self, appeared: Mapping[str, Milestone], sitemap: Collection[str]) -> frozenset[str]:
        """Of what appeared the keys that a feed named when it was first read, that nothing else names, and that are no
        younger than the look before. `sitemap`: the addresses that one names.
        """
        stood = {key: record for key, record in appeared.items()
                 if record.page in self._stood and record.page not in sitemap and not self._is_younger(record)}
        elsewhere = self._named_elsewhere() if stood else set()
        return frozenset(key for key, record in stood.items() if record.page not in elsewhere)

    def _is_younger(self, record: Milestone) -> bool:
        """Whether it came out since the look before; what is dated in days to come says nothing of that."""
        date, latest = record.date, (self._look.started_at + dt.timedelta(days=1)).date().isoformat()
        return (date is not None and date.day is not None and self._since is not None
                and self._since <= date.value <= latest)

    def _named_elsewhere(self) -> set[str]:
        """The pages that the listings beside the feeds link to."""
        snapshots, named = Snapshots(self._database), set[str]()
        for listing in snapshots.pages(self._source.key, kind="listing"):
            if listing.last_snapshot_id is not None and self._path(listing.url) not in self.paths:
                links = hrefs(snapshots.get(listing.last_snapshot_id))
                named |= {page for one in links if (page := self._page(one)) is not None}
        return named

    def settle(self, *, complete: bool) -> tuple[str, ...]:
        """Note what this look came to know, once it has recorded; returns sentences of what nobody has to decide."""
        before = self.before or SourceFeeds()
        used = {url: count for url, count in self._used.items() if url not in self._trouble}
        was_used = before.used.keys() | before.lost.keys()
        lost = {url: why for url, why in self._trouble.items() if url in was_used}
        ignored = self._ignored | {url: why for url, why in self._trouble.items() if url not in was_used}
        past = was_used - used.keys() - lost.keys()
        left: set[str] = set()
        for url in past:
            if complete:
                left.add(url)  # what it told is told by nobody any more
                Snapshots(self._database).replace_cards(self._source.key, url, ())
            elif url in before.used:
                used[url] = before.used[url]
            else:
                lost[url] = before.lost[url]
        recorded = Milestones(self._database).keys(self._source.key) if self._stood else set[str]()
        stood = tuple(url for url in self._stood if key_of(self._site, url) not in recorded)
        unused = dict.fromkeys((*self._unused, *(before.unused if self._skipped or not self._looked else ())))
        now = SourceFeeds(
            used=used, ignored=ignored, lost=lost, nothing=self._nothing(used, lost),
            unused=() if self._source.feeds or not self._of_pages else tuple(unused),
            stood=stood, stood_since=self._since if stood else None,
        )
        if now != self.before:
            source_feeds.note(self._database, self._source.key, now)
            self.before = now
        said = f"{', '.join(sorted(left))} is advertised no more, or named in the settings: nobody asks it any more"
        return (said,) if left else ()

    def _nothing(self, used: Mapping[str, int], lost: Mapping[str, str]) -> str:
        if not self.finds or used or lost:
            return ""
        if not self._of_pages:
            return "its milestones have no pages of their own that a feed would lead to"
        if not self._looked:
            return "none of its listings was there to advertise one" if self._site.seeds else "it has no listings"
        return "its listings advertise none that can be read"


def wanting(feeds: SourceFeeds | None) -> tuple[str, ...]:
    """A sentence for what the settings ask of feeds and don't get: a witness that is lost, or none that was ever had.
    """
    if feeds is None:
        return ()
    lost = tuple(f"the feed {printable(url)} was a witness of its pages and can't be had: {printable(why)}"
                 for url, why in feeds.lost.items())
    return (*lost, f'the setting feeds = "{AUTO}" finds no feed: {feeds.nothing}') if feeds.nothing else lost


def told(feeds: SourceFeeds | None) -> tuple[str, ...]:
    """A sentence for each feed that is used, and for each that is left out and why; beside `wanting` and `hint`."""
    if feeds is None:
        return ()
    used = [f"it uses the feed {printable(url)}, which names {counted(count, 'page')} of its own"
            for url, count in feeds.used.items()]
    ignored = [f"it leaves out the feed {printable(url)}: {printable(why)}" for url, why in feeds.ignored.items()]
    return (*used, *ignored)


def hint(feeds: SourceFeeds | None) -> tuple[str, ...]:
    """What a source advertises and its settings ask for nowhere: no fault, and worth a thought."""
    if feeds is None or not feeds.unused:
        return ()
    places = ", ".join(map(printable, feeds.unused))
    return (f'it advertises {places}, which nobody uses: feeds = "{AUTO}" makes it a witness and a way to new pages',)

