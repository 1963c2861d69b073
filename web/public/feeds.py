"""What the pages tell, for programs: Atom (RFC 4287), JSON Feed 1.1 and a sitemap, pure from entries to bytes."""

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast
from urllib.parse import urlsplit

from lxml import etree

from milepost.settings import Settings
from newsletter.issue.safe import clean, one_line
from pipeline.mail_identity import sender_name

ATOM = "http://www.w3.org/2005/Atom"
SITEMAP = "http://www.sitemaps.org/schemas/sitemap/0.9"
JSON_FEED = "https://jsonfeed.org/version/1.1"
MOST_PAGES = 50_000  # of a sitemap (sitemaps.org)
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_NEVER = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One thing that a feed tells, with its whole content."""

    id: str  # a tag URI (RFC 4151), which outlives a change of address
    title: str
    url: str
    html: str
    summary: str
    published: dt.datetime
    changed: dt.datetime  # when what it tells was last another
    topics: tuple[tuple[str, str], ...] = ()  # slug, words
    language: str | None = None  # of its title and content, where that is not the feed's


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel:
    """What a feed says of itself."""

    title: str
    id: str
    name: str  # below the base address, without ".atom" or ".json"
    home: str  # the page that shows the same


@dataclass(frozen=True, kw_only=True, slots=True)
class Feed:
    """One way to tell programs."""

    media_type: str
    make: Callable[[Settings, Channel, Sequence[Entry]], bytes]


def atom(settings: Settings, channel: Channel, entries: Sequence[Entry]) -> bytes:
    """An Atom feed document."""
    letter, base = settings.newsletter, settings.web.base_url
    feed = etree.Element(f"{{{ATOM}}}feed", nsmap=_default(ATOM))
    feed.set(_XML_LANG, letter.language)
    _add(feed, "title", one_line(channel.title))
    if letter.tagline:
        _add(feed, "subtitle", one_line(letter.tagline))
    _add(feed, "id", channel.id)
    _add(feed, "updated", max((_rfc3339(entry.changed) for entry in entries), default=_NEVER))
    _add(feed, "link", rel="self", type="application/atom+xml", href=f"{base}/{channel.name}.atom")
    _add(feed, "link", rel="alternate", type="text/html", href=channel.home)
    _add(feed, "icon", f"{base}/favicon.svg")
    author = _add(feed, "author")
    _add(author, "name", _author(settings))
    for entry in entries:
        element = _add(feed, "entry")
        if entry.language:
            element.set(_XML_LANG, entry.language)
        _add(element, "title", one_line(entry.title))
        _add(element, "id", entry.id)
        _add(element, "published", _rfc3339(entry.published))
        _add(element, "updated", _rfc3339(entry.changed))
        for term, label in entry.topics:
            _add(element, "category", term=one_line(term), label=one_line(label))
        _add(element, "link", rel="alternate", type="text/html", href=entry.url)
        _add(element, "summary", clean(entry.summary))
        _add(element, "content", clean(entry.html), type="html")
    return etree.tostring(feed, xml_declaration=True, encoding="utf-8")


def json_feed(settings: Settings, channel: Channel, entries: Sequence[Entry]) -> bytes:
    """A JSON Feed 1.1 document."""
    letter, base = settings.newsletter, settings.web.base_url
    document: dict[str, Any] = {
        "version": JSON_FEED,
        "title": one_line(channel.title),
        "home_page_url": channel.home,
        "feed_url": f"{base}/{channel.name}.json",
        "icon": f"{base}/cards/icon.png",
        "favicon": f"{base}/favicon.svg",
        "language": letter.language,
        "authors": [{"name": _author(settings)}],
        "items": [
            {
                "id": entry.id,
                "url": entry.url,
                "title": one_line(entry.title),
                "summary": clean(entry.summary),
                "content_html": clean(entry.html),
                "date_published": _rfc3339(entry.published),
                "date_modified": _rfc3339(entry.changed),
                "tags": [one_line(term) for term, _ in entry.topics],
            } | ({"language": entry.language} if entry.language else {})
            for entry in entries
        ],
    }
    if letter.tagline:
        document["description"] = one_line(letter.tagline)
    return json.dumps(document, ensure_ascii=False, indent=1).encode("utf-8")


def sitemap(pages: Sequence[tuple[str, dt.datetime | None]]) -> bytes:
    """A sitemap (sitemaps.org 0.9) of these addresses, and when each was last another."""
    root = etree.Element(f"{{{SITEMAP}}}urlset", nsmap=_default(SITEMAP))
    for url, changed in pages[:MOST_PAGES]:
        page = etree.SubElement(root, f"{{{SITEMAP}}}url")
        etree.SubElement(page, f"{{{SITEMAP}}}loc").text = url
        if changed is not None:
            etree.SubElement(page, f"{{{SITEMAP}}}lastmod").text = _rfc3339(changed)
    return etree.tostring(root, xml_declaration=True, encoding="utf-8")


FORMS: Mapping[str, Feed] = MappingProxyType({  # by the ending of the address
    "atom": Feed(media_type="application/atom+xml; charset=utf-8", make=atom),
    "json": Feed(media_type="application/feed+json; charset=utf-8", make=json_feed),
})
SITEMAP_TYPE = "application/xml; charset=utf-8"


def tag_uri(settings: Settings, day: dt.datetime, what: str) -> str:
    """A name for `what`, which was first told on that day."""
    return f"tag:{urlsplit(settings.web.base_url).hostname or 'localhost'},{day:%Y-%m-%d}:{what}"


def _author(settings: Settings) -> str:
    return one_line(sender_name(settings)) or one_line(settings.newsletter.name)


def _add(parent: "etree._Element", name: str, text: str | None = None, **attributes: str) -> "etree._Element":
    element = etree.SubElement(parent, f"{{{ATOM}}}{name}", attributes)
    element.text = text
    return element


def _default(namespace: str) -> dict[str, str]:
    """A namespace without a prefix; the stubs know no None."""
    return cast("dict[str, str]", {None: namespace})


def _rfc3339(moment: dt.datetime) -> str:
    return moment.isoformat(timespec="seconds")
