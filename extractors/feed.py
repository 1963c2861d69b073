"""A feed (RSS, RDF, Atom, JSON Feed): each entry is a milestone, and one that falls out of it is not gone.

    <guid isPermaLink="true">https://kiln.example/2026/03/first-firing/</guid>   → key "2026:03:first-firing"
    <id>tag:kiln.example,2026:7</id>                                              → key "tag:kiln.example,2026:7"
    no id                                                                         → its link's path
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Literal, Self
from urllib.parse import unquote, urlsplit

from extractors.clean import KEY_CAP, LIST_CAP, clean, slugify
from extractors.feed_document import FeedDocument, FeedEntry, read_feed, untracked
from extractors.listpage import Entry, ListOptions, ListPage
from extractors.reconcile import PRECEDENCE, Claim, date_claim
from extractors.unread import unread
from milepost.errors import ExtractError
from milepost.records import Page, Unread

WITNESS = "feed"
FEED_TYPES = frozenset({
    "application/rss+xml", "application/atom+xml", "application/rdf+xml", "application/xml", "text/xml",
    "application/feed+json", "application/json", "text/plain", "text/html", "application/octet-stream",
    "application/x-rss+xml", "text/rss+xml", "application/rss", "application/atom", "binary/octet-stream",
    "application/xhtml+xml", "",
})
_WEB = re.compile(r"https?://", re.IGNORECASE)
_NOT_IN_KEY = re.compile(r"[/\s#]+")


class FeedOptions(ListOptions):
    """[sources.options] of a feed."""

    path: str = "/feed.xml"
    key: Literal["id", "link", "title"] = "id"  # what an entry is known by
    date: Literal["published", "updated"] = "published"  # "updated": where a feed gives nothing else
    authors: Literal["people", "organizations", ""] = "people"  # which field they are
    tags: tuple[str, ...] = ()  # only entries with one of these; () for all


class Feed(ListPage):
    """The page of a feed."""

    name = "feed"
    version = 1
    precedence: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        dict.fromkeys(PRECEDENCE, (WITNESS, "text"))
    )
    a_window = True
    follows_anywhere = True

    def __init__(self, options: FeedOptions | None = None) -> None:
        self._options = options or FeedOptions()
        super().__init__(self._options)

    @classmethod
    def configured(cls, options: Mapping[str, object]) -> Self:
        return cls(FeedOptions.taken(options, cls.name))

    def takes(self, content_type: str, path: str) -> bool:
        """Feeds are served as anything: what it is, its first tag says."""
        del path
        return content_type in FEED_TYPES

    def key(self, url: str) -> str:
        key = unquote(urlsplit(url).fragment)
        if not key:
            raise ExtractError("the address names no entry of the feed (…#entry)", where=url)
        return key

    def entries(self, page: Page) -> Sequence[Entry | Unread]:
        feed = read_feed(page.text, page.url)
        found = [self._entry(entry, number, feed, page.url) for number, entry in enumerate(feed.entries, 1)
                 if not self._options.tags or set(entry.tags) & set(self._options.tags)]
        if not feed.ends and found:
            found[-1] = unread("entry", feed.entries[-1].title, "the feed ends in it: it may be cut off")
        return found

    def _entry(self, entry: FeedEntry, number: int, feed: FeedDocument, url: str) -> Entry | Unread:
        says = entry.title or entry.link or entry.id or f"entry {number}"
        key = self._key(entry, url)
        if not key:
            return unread("entry", says, "no id, no link and no title")
        if not entry.title:
            return unread("entry", says, "neither a title nor a text", key=key)
        where = f"{feed.kind} entry"
        told = [Claim("title", entry.title, WITNESS if entry.titled else "text", f"{where}: title")]
        date = entry.updated if self._options.date == "updated" and not entry.published.date else entry.published
        told += date_claim(date, WITNESS, f"{where}: {'updated' if date is entry.updated else 'published'}")
        if entry.text:
            told.append(Claim("what_happened", entry.text, WITNESS, f"{where}: {entry.text_from}"))
        if entry.authors and self._options.authors:
            told.append(Claim(self._options.authors, entry.authors[:LIST_CAP], WITNESS, f"{where}: author"))
        if entry.tags:
            told.append(Claim("tags", entry.tags, WITNESS, f"{where}: category"))
        if entry.image:
            told.append(Claim("image", entry.image, WITNESS, f"{where}: image"))
        return Entry(key, told, url=entry.link)

    def _key(self, entry: FeedEntry, url: str) -> str:
        match self._options.key:
            case "title":
                return slugify(entry.title) or entry_key(entry.title, url)
            case "link":
                return entry_key(entry.link, url)
        return entry_key(entry.id or entry.link, url) or slugify(entry.title)


def entry_key(identity: str, url: str) -> str:
    """What an entry is known by: its id; of an address what stays when its site moves to https or its feed is tracked.

    The host of the feed's own page (`url`) is left out, and so are the scheme, "www.", tracking and the closing slash.
    """
    if _WEB.match(identity):
        try:
            parts = urlsplit(untracked(identity))
            own = urlsplit(url).netloc
        except ValueError:
            return _fit(identity)
        host = _bare(parts.netloc)
        rest = f"{unquote(parts.path).rstrip('/')}{'?' + parts.query if parts.query else ''}"
        rest += f"#{parts.fragment}" if parts.fragment else ""
        return _fit((rest if host == _bare(own) else host + rest).lstrip("/?") or host)
    return _fit(identity)


def _bare(authority: str) -> str:
    return authority.casefold().removeprefix("www.").removesuffix(":443").removesuffix(":80")


def _fit(identity: str) -> str:
    """An id in the form of a key: nothing in it parts a path."""
    key = _NOT_IN_KEY.sub(":", clean(identity)).strip(":")
    if len(key) <= min(200, KEY_CAP):
        return key
    return f"{key[:160]}:{hashlib.sha256(identity.encode('utf-8', 'replace')).hexdigest()[:16]}"
