"""The archive for programs: Atom (RFC 4287), JSON Feed 1.1 and a sitemap, pure from issues to bytes."""

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast
from urllib.parse import urlsplit

from lxml import etree

from milepost.records import Issue
from milepost.settings import Settings
from newsletter.issue.safe import clean, one_line
from pipeline.mail_identity import sender_name

ATOM = "http://www.w3.org/2005/Atom"
SITEMAP = "http://www.sitemaps.org/schemas/sitemap/0.9"
JSON_FEED = "https://jsonfeed.org/version/1.1"
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An issue with its whole content."""

    issue: Issue
    label: str  # "Weekly no. 3"
    url: str
    html: str
    summary: str
    changed: dt.datetime  # when it was last another: sealed, or corrected since


Listed = tuple[Issue, dt.datetime]  # an entry, and when it was last another


@dataclass(frozen=True, kw_only=True, slots=True)
class Feed:
    """One way to tell programs."""

    media_type: str
    make: Callable[[Settings, Sequence[Listed], Sequence[Entry]], bytes]  # all that are listed, the latest with content


def _author(settings: Settings) -> str:
    return one_line(sender_name(settings)) or one_line(settings.newsletter.name)


def atom(settings: Settings, _listed: Sequence[Listed], entries: Sequence[Entry]) -> bytes:
    """An Atom feed document; its ids are tag URIs (RFC 4151), which outlive a change of address."""
    letter, base = settings.newsletter, settings.web.base_url
    feed = etree.Element(f"{{{ATOM}}}feed", nsmap=_default(ATOM))
    feed.set(_XML_LANG, letter.language)
    _add(feed, "title", one_line(letter.name))
    if letter.tagline:
        _add(feed, "subtitle", one_line(letter.tagline))
    _add(feed, "id", f"{base}/")
    _add(feed, "updated", max((_rfc3339(entry.changed) for entry in entries), default="1970-01-01T00:00:00Z"))
    _add(feed, "link", rel="self", type="application/atom+xml", href=f"{base}/feed.atom")
    _add(feed, "link", rel="alternate", type="text/html", href=f"{base}/issues")
    author = _add(feed, "author")
    _add(author, "name", _author(settings))
    for entry in entries:
        element = _add(feed, "entry")
        _add(element, "title", one_line(entry.issue.subject))
        _add(element, "id", _id(settings, entry.issue))
        _add(element, "published", _rfc3339(published_at(entry.issue)))
        _add(element, "updated", _rfc3339(entry.changed))
        _add(element, "category", term=entry.issue.cadence, label=entry.label)
        _add(element, "link", rel="alternate", type="text/html", href=entry.url)
        _add(element, "summary", entry.summary)
        _add(element, "content", clean(entry.html), type="html")
    return etree.tostring(feed, xml_declaration=True, encoding="utf-8")


def json_feed(settings: Settings, _listed: Sequence[Listed], entries: Sequence[Entry]) -> bytes:
    """A JSON Feed 1.1 document."""
    letter, base = settings.newsletter, settings.web.base_url
    document = {
        "version": JSON_FEED,
        "title": one_line(letter.name),
        "home_page_url": f"{base}/issues",
        "feed_url": f"{base}/feed.json",
        "language": letter.language,
        "authors": [{"name": _author(settings)}],
        "items": [
            {
                "id": _id(settings, entry.issue),
                "url": entry.url,
                "title": one_line(entry.issue.subject),
                "summary": entry.summary,
                "content_html": entry.html,
                "date_published": _rfc3339(published_at(entry.issue)),
                "date_modified": _rfc3339(entry.changed),
                "tags": [entry.issue.cadence],
            }
            for entry in entries
        ],
    }
    if letter.tagline:
        document["description"] = one_line(letter.tagline)
    return json.dumps(document, ensure_ascii=False, indent=1).encode("utf-8")


def sitemap(settings: Settings, listed: Sequence[Listed], _entries: Sequence[Entry]) -> bytes:
    """A sitemap (sitemaps.org 0.9) of the index and every entry, at most 50,000."""
    base = settings.web.base_url
    root = etree.Element(f"{{{SITEMAP}}}urlset", nsmap=_default(SITEMAP))
    pages = [(f"{base}/issues", max((changed for _, changed in listed), default=None))]
    pages += [(f"{base}/issues/{issue.number}", changed) for issue, changed in listed[:49_999]]
    for url, changed in pages:
        page = etree.SubElement(root, f"{{{SITEMAP}}}url")
        etree.SubElement(page, f"{{{SITEMAP}}}loc").text = url
        if changed is not None:
            etree.SubElement(page, f"{{{SITEMAP}}}lastmod").text = _rfc3339(changed)
    return etree.tostring(root, xml_declaration=True, encoding="utf-8")


FEEDS: Mapping[str, Feed] = MappingProxyType({
    "feed.atom": Feed(media_type="application/atom+xml; charset=utf-8", make=atom),
    "feed.json": Feed(media_type="application/feed+json; charset=utf-8", make=json_feed),
    "sitemap.xml": Feed(media_type="application/xml; charset=utf-8", make=sitemap),
})


def etag(content: bytes) -> str:
    """A strong validator (RFC 9110 §8.8.3) of some bytes."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def _add(parent: "etree._Element", name: str, text: str | None = None, **attributes: str) -> "etree._Element":
    element = etree.SubElement(parent, f"{{{ATOM}}}{name}", attributes)
    element.text = text
    return element


def _default(namespace: str) -> dict[str, str]:
    """A namespace without a prefix; the stubs know no None."""
    return cast("dict[str, str]", {None: namespace})


def published_at(issue: Issue) -> dt.datetime:
    """When readers first had it."""
    return issue.handed_over_at or issue.frozen_at or issue.created_at


def _rfc3339(moment: dt.datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _id(settings: Settings, issue: Issue) -> str:
    host = urlsplit(settings.web.base_url).hostname or "localhost"
    return f"tag:{host},{issue.created_at:%Y-%m-%d}:issue/{issue.number}"
