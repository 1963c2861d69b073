"""What an address that nobody knows yet may be, and the settings that would read it; purely, from one page's text.

    page ─▶ a feed? JSON? CSV? a changelog? a list? an article? ─▶ Candidate(extractor, options, what)
         ├▶ the feeds that it links to, and those that its forge has
         └▶ needs_rendering: why a page without its scripts tells nothing
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from html import unescape
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from extractors import csv as csv_pages
from extractors import json as json_pages
from extractors import registry
from extractors.base import takes_markdown
from extractors.clean import clean, web_url
from extractors.document_blocks import is_html
from extractors.feed_document import is_feed, read_feed
from milepost.errors import ExtractError
from milepost.records import Page

_LINK = re.compile(r"<link\b[^<>]{1,2000}>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""\b(rel|type|href|title)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+))""", re.IGNORECASE)
_FEEDS = frozenset({"application/rss+xml", "application/atom+xml", "application/feed+json", "application/rdf+xml",
                    "application/json"})
_HEAD = 400_000  # characters in which a page links to its feeds
_SCRIPT = re.compile(r"<(script|style|noscript|svg|template)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TAGS = re.compile(r"<[^<>]{0,4000}>")
_MOUNT = re.compile(
    r"""<div\b[^<>]{0,300}\bid\s*=\s*["']?(?:root|app|__next|__nuxt|svelte|gatsby|ember)[^<>]{0,300}>\s*</div>""",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"(?:enable|requires?|need|without) javascript|javascript (?:is )?(?:disabled|required)", re.IGNORECASE
)
_FEW_WORDS = 60
_FIGURES = re.compile(r"\d{1,8}")
# field → the names that APIs and tables give it, the likeliest first
_NAMES: Mapping[str, tuple[str, ...]] = {
    "key": ("id", "guid", "uuid", "slug", "key", "tag_name", "number", "no", "nr"),
    "title": ("title", "name", "headline", "tag_name", "version", "subject", "label"),
    "date": ("date", "published_at", "published", "date_published", "released_at", "release_date", "released",
             "publish_date", "publication_date", "pubdate", "opened", "year", "created_at", "created"),
    "url": ("html_url", "url", "link", "permalink", "web_url", "href"),
    "what_happened": ("description", "body", "content", "summary", "text", "excerpt", "notes", "what_happened"),
    "why_it_mattered": ("why_it_mattered", "significance"),
    "tags": ("tags", "topics", "labels", "keywords", "categories"),
    "category": ("category", "section"),
    "people": ("people", "persons"),
    "organizations": ("organizations", "organisations", "companies", "organization"),
    "image": ("image", "image_url", "picture", "thumbnail", "cover"),
    "location": ("location", "place", "city", "venue"),
}
_DEPTH = 3  # objects inside one another in which a list is looked for


class Candidate(NamedTuple):
    """One way to read a page."""

    extractor: str
    options: Mapping[str, Any]
    what: str  # "a feed (Atom)"
    least: int = 1  # milestones that it has, or it is something else


def candidates(page: Page, path: str, content_type: str) -> list[Candidate]:
    """Ways to read the page at `path` ("/feed?kind=rss"), what it says of itself first; raises nothing.

    `content_type`: in small letters, without its parameters.
    """
    text = page.text.lstrip("\ufeff \t\r\n")
    if is_feed(page.text):
        return list(_feeds(page, path))
    if text[:1] in ("{", "[") and (found := _json(page, path)):
        return found
    html = is_html(page.text) or content_type in ("text/html", "application/xhtml+xml")
    if not html and (content_type in ("text/csv", "text/tab-separated-values") or path.endswith((".csv", ".tsv"))):
        return _csv(page, path)
    if not html:
        return [Candidate("changelog", {"path": path}, "a changelog in Markdown")] if takes_markdown(
            content_type, urlsplit(path).path) or "#" in text[:20_000] else []
    known = registry.names()
    found = [Candidate("changelog", {"path": path}, "a changelog", 2)]
    found += [Candidate("list", {"path": path}, "a list of entries", 2)] if "list" in known else []
    found += [Candidate("timelinelist", {"path": path}, "a timeline on one page", 2),
              Candidate("aitimeline", {}, "the layout of aitimeline.world"),
              Candidate("generic", {"milestones": pattern_of(path), "listings": ["/"]}, "an article on its own page")]
    return found


def pattern_of(path: str) -> str:
    """The addresses of which a milestone's is one: "/news/2031/04/first" → "/news/*/*/:slug", "/a/b" → "/a/"."""
    parts = urlsplit(path).path.strip("/").split("/")
    if any(_FIGURES.fullmatch(part) for part in parts[:-1]):
        return "/" + "/".join([*("*" if _FIGURES.fullmatch(part) else part for part in parts[:-1]), ":slug"])
    return "/" + "/".join([*parts[:-1], ""]) if len(parts) > 1 else "/"


def linked_feeds(page: Page) -> tuple[str, ...]:
    """The feeds that a page names in its head, comments' feeds last; each once."""
    return tuple(address for address, _ in advertised_feeds(page))


def advertised_feeds(page: Page) -> tuple[tuple[str, bool], ...]:
    """(address, whether it is of comments) of each feed that a page names in its head (`<link rel=alternate>`: HTML
    standard §4.6.7.1, RSS autodiscovery), those of comments last; ten at most, each once.
    """
    found: list[tuple[bool, str]] = []
    for tag in _LINK.findall(page.text[:_HEAD]):
        told = {name.casefold(): unescape(one or other or third) for name, one, other, third in _ATTRIBUTE.findall(tag)}
        kind = told.get("type", "").partition(";")[0].strip().casefold()
        if "alternate" not in told.get("rel", "").casefold().split() or kind not in _FEEDS:
            continue
        address = web_url(told.get("href", "").strip(), page.url)
        if address and not (kind == "application/json" and "feed" not in address):
            found.append(("comment" in f"{told.get('title', '')} {address}".casefold(), address))
    kinds: dict[str, bool] = {}
    for of_comments, address in sorted(found, key=lambda one: one[0]):
        kinds.setdefault(address, of_comments)
    return tuple(kinds.items())[:10]


def forge_feeds(url: str) -> tuple[str, ...]:
    """The feeds of releases that a project has on a forge whose addresses are known; () for every other address."""
    parts = urlsplit(url)
    host, names = (parts.hostname or "").casefold(), [part for part in parts.path.split("/") if part]
    if len(names) < 2:
        return ()
    if host == "gitlab.com" or host.startswith("gitlab."):
        project = "/".join(names[: names.index("-")] if "-" in names else names)
        return (f"{parts.scheme}://{parts.netloc}/{project}/-/releases.atom",)
    if host in ("github.com", "codeberg.org") or host.startswith(("gitea.", "forgejo.")):
        return (f"{parts.scheme}://{parts.netloc}/{names[0]}/{names[1].removesuffix('.git')}/releases.atom",)
    return ()


def needs_rendering(page: Page) -> str:
    """Why a page's words are not in it until its scripts have run; "" where they are."""
    if not runs_scripts(page):
        return ""
    bare = _SCRIPT.sub(" ", page.text)
    words = words_of(page)
    if words >= _FEW_WORDS:
        return ""
    if _MOUNT.search(bare) or _ASKS.search(page.text):
        return f"it has {words} words and a place for its scripts to put the rest"
    return f"it has {words} words beside its scripts" if words < _FEW_WORDS // 4 else ""


def runs_scripts(page: Page) -> bool:
    """Whether it is HTML with a script."""
    return is_html(page.text) and "<script" in page.text.casefold()


def words_of(page: Page) -> int:
    """How many words of an HTML page are there for its readers, about a thousand at most."""
    bare = _SCRIPT.sub(" ", page.text)
    body = bare[max(bare.casefold().find("<body"), 0):]
    return len(clean(_TAGS.sub(" ", body), 5_000).split())


def _feeds(page: Page, path: str) -> Iterator[Candidate]:
    try:
        feed = read_feed(page.text, page.url)
    except ExtractError:
        yield Candidate("feed", {"path": path}, "a feed")
        return
    what = f"a feed ({feed.kind}{f', {feed.title}' if feed.title else ''})"
    options: dict[str, Any] = {"path": path}
    ids, links = [one.id for one in feed.entries if one.id], [one.link for one in feed.entries if one.link]
    if ids and len(set(ids)) * 2 <= len(ids) and len(set(links)) == len(feed.entries):
        options["key"] = "link"  # its ids are no ids
    if feed.entries and not any(one.published.date for one in feed.entries) and all(
            one.updated.date for one in feed.entries):
        yield Candidate("feed", options | {"date": "updated"}, f"{what}, dated by its updates: it tells nothing else")
    yield Candidate("feed", options, what)


# --- JSON and CSV ---------------------------------------------------------------------------------------------------


def _json(page: Page, path: str) -> list[Candidate]:
    try:
        data = json_pages.read_json(page)
    except ExtractError:
        return []
    lists = sorted(_lists(data, "", 0), key=lambda one: -len(one[1]))
    for place, entries in lists[:5]:
        objects = [one for one in entries[:50] if isinstance(one, dict)]
        fields = _fields_of([name for one in objects for name in one], quoted=True)
        if len(objects) * 2 >= len(entries[:50]) and "title" in fields:
            options: dict[str, Any] = {"path": path, "fields": fields}
            if place:
                options["entries"] = place
            told = [one.get(str(fields.get("date", "")).strip('"')) for one in objects]
            if told and all(isinstance(one, int | float) and one > 3_000 for one in told):
                options["unix_dates"] = True
            following = json_pages.next_place(data)
            return [Candidate("json", options | ({"next": following} if following else {}), "JSON")]
    return []


def _lists(data: Any, place: str, depth: int) -> Iterator[tuple[str, list[Any]]]:
    if isinstance(data, list):
        yield place, data
    elif isinstance(data, dict) and depth < _DEPTH:
        for name, value in list(data.items())[:200]:
            step = name if re.fullmatch(r"[A-Za-z_]\w*", name) else f'"{name}"'
            if '"' not in name and "\\" not in name:
                yield from _lists(value, f"{place}.{step}" if place else step, depth + 1)


def _csv(page: Page, path: str) -> list[Candidate]:
    try:
        head, _ = csv_pages.read_table(page)
    except ExtractError:
        return []
    fields = _fields_of(head, quoted=False)
    if "title" not in fields:
        return []
    return [Candidate("csv", {"path": path, "fields": fields}, "CSV")]


def _fields_of(names: Sequence[str], *, quoted: bool) -> dict[str, str]:
    """Field → which of these names is likely it; `quoted`: as JMESPath writes them."""
    given: dict[str, str] = {}
    for name in names:
        given.setdefault(re.sub(r"[\W_]+", "_", name.casefold()).strip("_"), name)
    given |= {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).casefold(): name for name in names}
    found: dict[str, str] = {}
    for field, usual in _NAMES.items():
        taken = set(found.values()) if field != "title" else set()
        written = next((given[one] for one in usual if one in given and given[one] not in taken), None)
        if written is not None:
            found[field] = written
    if quoted:
        return {field: name if re.fullmatch(r"[A-Za-z_]\w*", name) else '"' + name.replace('"', '\\"') + '"'
                for field, name in found.items()}
    return found
