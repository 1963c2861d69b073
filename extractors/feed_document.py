"""A feed of any kind as its entries in their order: RSS 0.9 to 2.0, RDF and Atom through feedparser, and JSON Feed.

    text ─▶ fit for a parser (no declared entities, no leading junk) ─▶ feedparser ─┐
         └▶ JSON Feed (jsonfeed.org, 1.1) ──────────────────────────────────────────┴▶ FeedDocument(entries …)

feedparser's dates are left alone: it guesses, and takes an update for a publication. Its raw words are read here. Its
sanitiser is off: markup is read as text by `document_blocks`, which takes no script and no address from it.
"""

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html.entities import html5
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from extractors import dom, pictures
from extractors.clean import LIST_CAP, NAME_CAP, TEXT_CAP, TITLE_CAP, clean, is_void, slugify, unescape, web_url
from extractors.document_blocks import fragment_blocks, shaped
from extractors.written_dates import NOTHING, Reading, read_date
from milepost import text_shape
from milepost.errors import ExtractError
from milepost.records import Image

Kind = Literal["RSS", "RDF", "Atom", "JSON Feed"]

_ROOT = re.compile(r"<(?:\w{1,20}:)?(?:rss|feed|RDF|channel)[\s>/]", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.{0,8000}?-->", re.DOTALL)
_PAGE = re.compile(r"<(?:html|head|body|div|main|article)[\s>]", re.IGNORECASE)
_LOOKED_AT = 64_000  # characters in which a feed says what it is
_END = re.compile(
    r"</(?:rss|channel|(?:\w{1,20}:)?(?:feed|RDF))\s*>\s*(?:<!--.{0,2000}?-->\s*)*", re.IGNORECASE | re.DOTALL
)
_ENTITY = re.compile(r"<!ENTITY\b", re.IGNORECASE)
_PLAIN_ENTITY = re.compile(
    r"""<!ENTITY\s+\w{1,40}\s+(?:"(?:&#\w{1,8};|[^&"%<>]{0,100})"|'(?:&#\w{1,8};|[^&'%<>]{0,100})')\s*>"""
)
_NAMES_OF_SIGNS = re.compile(  # HTML's, somewhere else: feedparser leaves them out, and nobody asks for them
    r"""<!ENTITY\s+%\s+\w{1,40}\s+PUBLIC\s+"-//W3C//ENTITIES [^"<>]{0,100}"\s+"[^"<>]{0,200}"\s*>"""
)
_ENTITIES_CAP = 300  # HTML has 253 by name
_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 §2.2
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,2000}>|<!\[CDATA\[|<!--")
_REFERENCE = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]\w{1,30});", re.IGNORECASE)
_CDATA = re.compile(r"(<!\[CDATA\[.*?(?:\]\]>|\Z))", re.DOTALL)
_AMPERSAND = re.compile(r"&(#\d{1,7};|#[xX][0-9a-fA-F]{1,6};|[a-zA-Z]\w{1,30};)?")
_OF_XML = frozenset({"amp", "lt", "gt", "quot", "apos"})
_PARAGRAPHS = re.compile(r"\n[ \t]*\n")
_MAIL = re.compile(r"\S{1,100}@\S{1,200}")
_FIRST_WORDS = 100  # characters of a text that stand for a title where there is none
_TRACKING = re.compile(r"utm_\w+|fbclid|gclid|mc_[ce]id|at_(?:medium|campaign|custom\d|link\w*|bbc\w*)", re.IGNORECASE)

_TIME_TAIL = re.compile(r"[T\s]+\d{1,2}:\d{2}.*", re.DOTALL)
_WEEKDAY = re.compile(r"[^\W\d_]{2,14}\.?,\s*")
_SHORT_YEAR = re.compile(r"(.*\b\d{1,2}[\s-]+[^\W\d_]{3,10}\.?[\s-]+)(\d{2})(\s+\d{1,2}:\d{2}.*)?", re.DOTALL)
_COMPACT = re.compile(r"((?:19|20)\d{2})(\d{2})(\d{2})(?:T?\d{4,6}\S{0,10})?", re.ASCII)
_NO_DATE = re.compile(  # 0, and seconds that were taken for milliseconds
    r"000[01]-|-000|0000|1970-01-\d\d[T ]\d\d:|(?:\w{3,9}, )?\d{1,2} Jan(?:uary)? 1970 \d\d:", re.IGNORECASE
)
_FIRST_YEAR = 1000  # before it, some of its figures are missing


class FeedEntry(NamedTuple):
    """One entry, every text of it clean."""

    id: str = ""  # guid, atom:id, or a JSON Feed's id, as written
    link: str = ""  # an address that readers can open
    title: str = ""
    titled: bool = True  # False: the title is the beginning of the text
    published: Reading = NOTHING
    updated: Reading = NOTHING
    text: str = ""  # as milepost.text_shape writes it
    text_from: str = ""  # "content" | "summary"
    authors: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()  # slugs
    image: Image | None = None


class FeedDocument(NamedTuple):
    """A feed as it was read."""

    kind: Kind
    version: str  # "rss20", "atom10", "1.1"
    title: str
    language: str
    link: str  # of the site that it tells of
    next: str  # the address of the page of older entries; "" for none (RFC 5005 §3, JSON Feed next_url)
    entries: tuple[FeedEntry, ...]
    ends: bool  # whether it is there to its end
    flaw: str = ""  # what is wrong with its form, where it was read in spite of it


def is_feed(text: str) -> bool:
    """Whether a text begins as a feed does, whatever it is served as."""
    head = _COMMENT.sub("", text[:_LOOKED_AT]).lstrip("\ufeff \t\r\n")
    if head.startswith("{"):
        return "jsonfeed.org/version" in head.replace("\\/", "/")
    found = _ROOT.search(head)
    return found is not None and _PAGE.search(head, 0, found.start()) is None


def read_feed(text: str, url: str, language: str = "") -> FeedDocument:
    """The feed in a text that was had at `url`; `language`: of its words, where it says none.

    Raises ExtractError for what is no feed, and for one that a parser is not given: it declares entities that stand for
    more than a sign.
    """
    dom.check_size(text, url)
    if not is_feed(text):
        raise ExtractError("there is no feed here", where=url, hint="See what it is: milepost source try URL.")
    stripped = text.lstrip("\ufeff \t\r\n")
    return _json_feed(stripped, url, language) if stripped.startswith("{") else _xml_feed(stripped, url, language)


def read_feed_date(written: object, language: str = "") -> Reading:
    """The day of a date as feeds write it, in the time zone that it is written in.

    RFC 822 §5 with years of two figures (RFC 2822 §4.3), RFC 3339, W3C-DTF to its own precision, and what else is
    certain. What programs write where they have none (the year 1, a moment of January 1970) is none.
    """
    line = clean(written if isinstance(written, str) else "", NAME_CAP)
    if not line:
        return NOTHING
    if _NO_DATE.match(line):
        return Reading(None, f"“{clean(line, 80)}” is what programs write where they have no date")
    if match := _SHORT_YEAR.fullmatch(line):
        century = 1900 if int(match[2]) >= 50 else 2000
        line = f"{match[1]}{century + int(match[2])}{match[3] or ''}"
    elif match := _COMPACT.fullmatch(line):
        line = "-".join(match.groups())
    first = reading = read_date(line, language)
    if reading.date is not None and reading.date.year < _FIRST_YEAR:
        return Reading(None, f"“{clean(line, 80)}”: no feed tells of such a year")
    for shorter in (_TIME_TAIL.sub("", line), _WEEKDAY.sub("", _TIME_TAIL.sub("", line), count=1)):
        if reading.date is not None or "can't be read" not in reading.why:
            return reading
        reading = read_date(shorter, language)
    return reading if reading.date is not None else first


def untracked(address: str) -> str:
    """An address without the parameters that tell where a reader came from."""
    if "?" not in address:
        return address
    parts = urlsplit(address)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True)
            if not _TRACKING.fullmatch(name)]
    if len(kept) == len(parse_qsl(parts.query, keep_blank_values=True)):
        return address
    return urlunsplit(parts._replace(query=urlencode(kept)))


# --- XML ------------------------------------------------------------------------------------------------------------


def _xml_feed(text: str, url: str, language: str) -> FeedDocument:
    import feedparser  # takes a tenth of a second, and few sources are feeds

    _refuse_entities(text, url)
    found = _ROOT.search(text[:_LOOKED_AT])
    declared = text.find("<?xml", 0, found.start() if found else 0)
    text = _well_referred(_UNFIT.sub("", text[max(declared, 0):] if declared >= 0 or found is None else text))
    headers = {"content-type": "application/xml; charset=utf-8"}  # no address: ids would be made whole by it
    parsed = feedparser.parse(
        io.BytesIO(text.encode("utf-8", "ignore")), response_headers=headers, sanitize_html=False,
        resolve_relative_uris=False,
    )
    version = str(parsed.get("version") or "")
    feed = parsed.get("feed") or {}
    spoken = _line(feed.get("language"), 40) or language
    kind: Kind = "Atom" if version.startswith("atom") or _is_atom(text) else (
        "RDF" if version in ("rss10", "rss090") else "RSS")
    # In an RSS feed dc:date is when the entry came out; feedparser calls it an update.
    dated = kind != "Atom" and not re.search(r":(?:modified|updated)\b[^<>]{0,200}>", text)
    entries = tuple(_xml_entry(one, url, spoken, dc_date=dated) for one in parsed.entries)
    tail = text.rstrip()[-4_000:]
    flaw = ""
    if parsed.get("bozo") and (error := parsed.get("bozo_exception")) is not None:
        flaw = clean(str(getattr(error, "getMessage", lambda: error)()), NAME_CAP)
    return FeedDocument(
        kind=kind, version=version, title=_words(feed, "title", TITLE_CAP), language=spoken,
        link=web_url(feed.get("link"), url) or "", next=_next(feed, url), entries=entries,
        ends=any(True for end in _END.finditer(tail) if end.end() == len(tail)), flaw=flaw,
    )


def _well_referred(text: str) -> str:
    """Bare ampersands and the names of HTML's signs as XML has them; what is in CDATA stays as it is.

    Else one of them makes feedparser take its other parser, which ends the word after a bare one with a semicolon.
    """
    parts = _CDATA.split(text)
    parts[::2] = [_AMPERSAND.sub(_referred, part) for part in parts[::2]]
    return "".join(parts)


def _referred(match: re.Match[str]) -> str:
    name = match[1]
    if name is None:
        return "&amp;"
    if name.startswith("#") or name[:-1] in _OF_XML:
        return match[0]
    sign = html5.get(name)
    return match[0] if sign is None else "".join(f"&#{ord(one)};" for one in sign)


def _is_atom(text: str) -> bool:
    found = _ROOT.search(text[:_LOOKED_AT])
    return found is not None and found[0].casefold().strip("<>/ \t\r\n").rpartition(":")[2] == "feed"


def _refuse_entities(text: str, url: str) -> None:
    """Raises ExtractError for a document type whose entities are more than names of signs."""
    head = _NAMES_OF_SIGNS.sub("", text[:1_000_000])
    declared = len(_ENTITY.findall(head))
    if declared and (declared > _ENTITIES_CAP or declared != len(_PLAIN_ENTITY.findall(head))):
        raise ExtractError("the feed declares entities that stand for more than a sign: it is not parsed", where=url,
                           hint="Look at what the site serves there.")


def _xml_entry(entry: Mapping[str, Any], url: str, language: str, *, dc_date: bool) -> FeedEntry:
    given = dict(entry.items())  # what its class answers for a missing key is another key's value
    spoken = language
    published = given.get("published") or given.get("created")
    updated = given.get("updated")
    if not published and dc_date:
        published, updated = updated, None
    text, text_from = _text(_bodies(given), url)
    title = _words(given, "title", TITLE_CAP)
    return _closed(FeedEntry(
        id=_line(given.get("id"), 2_000), link=_link(given, url), title=title,
        published=read_feed_date(published, spoken), updated=read_feed_date(updated, spoken), text=text,
        text_from=text_from, authors=_authors(given), tags=_tags(tag.get("label") or tag.get("term")
                                                                for tag in given.get("tags") or ()),
        image=_image(given, url),
    ))


def _bodies(given: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(where, type, value) of the texts of an entry, the fullest first."""
    for one in given.get("content") or ():
        kind = str(one.get("type") or "text/html")
        if kind.startswith(("text/", "application/xhtml")):
            yield "content", kind, str(one.get("value") or "")
    detail = given.get("summary_detail") or {}
    yield "summary", str(detail.get("type") or "text/html"), str(given.get("summary") or "")
    for name in ("media_description", "subtitle"):
        yield "summary", "text/html", str(given.get(name) or "")


def _words(given: Mapping[str, Any], name: str, cap: int) -> str:
    """A line that may be written as markup."""
    detail = given.get(f"{name}_detail") or {}
    value = given.get(name)
    value = value if isinstance(value, str) else ""
    return _plain(value, cap) if detail.get("type") != "text/plain" or _REFERENCE.search(value) else clean(value, cap)


def _plain(value: str, cap: int) -> str:
    """A line without its tags and references, as far as it has any."""
    if _TAG.search(value):
        value = "".join(str(words) for words in dom.fragment(value[: 4 * cap]).itertext())
    line = clean(unescape(value), cap)
    return "" if is_void(line) else line


def _text(bodies: Iterator[tuple[str, str, str]], url: str) -> tuple[str, str]:
    for where, kind, value in bodies:
        if text := shaped_text(value, url, literal=kind == "text/plain" and not _TAG.search(value)):
            return text, where
    return "", ""


def shaped_text(value: str, url: str, *, literal: bool = False) -> str:
    """A text in its shape; "" for none. `literal`: it holds no markup."""
    if not value.strip():
        return ""
    if literal or not _TAG.search(value):
        told = value if literal else unescape(value)
        blocks = [text_shape.Block("paragraph", words) for part in _PARAGRAPHS.split(told[: 4 * TEXT_CAP])
                  if (words := clean(part))]
        return text_shape.written(blocks, TEXT_CAP)
    try:
        return text_shape.written(shaped(fragment_blocks(value)), TEXT_CAP)
    except ExtractError as error:
        raise ExtractError(error.what, where=url, hint=error.hint) from None


def _link(given: Mapping[str, Any], url: str) -> str:
    """The page of an entry: what a forwarder says it is, else the alternate, else an id that is an address."""
    told = [given.get("feedburner_origlink")]
    links = [one for one in given.get("links") or () if one.get("rel", "alternate") == "alternate"]
    told += [one.get("href") for one in sorted(links, key=lambda one: "html" not in str(one.get("type") or "html"))]
    told.append(given.get("link"))
    for address in told:
        if not isinstance(address, str) or (address == given.get("id") and "://" not in address):
            continue  # every guid is a link to feedparser, where it doesn't say that it is none
        if whole := web_url(address, url):
            return untracked(whole)
    return ""


def _authors(given: Mapping[str, Any]) -> tuple[str, ...]:
    """Names alone: an address of mail is nothing to be shown."""
    told = [one for one in given.get("authors") or () if one]
    people = [one.get("name") for one in told if not one.get("email") or "<" not in str(one.get("name"))]
    if len(told) < 2 and isinstance(given.get("author"), str):
        people = [given["author"]]  # feedparser cuts the address out of it, and leaves a part of a long domain
    names = (clean(_MAIL.sub(" ", _plain(one, NAME_CAP)).strip("()<> ,;"), NAME_CAP)
             for one in people if isinstance(one, str))
    return tuple(dict.fromkeys(name for name in names if name))[:LIST_CAP]


def _tags(told: Iterator[object]) -> tuple[str, ...]:
    slugs = (slugify(_plain(one, NAME_CAP)) for one in told if isinstance(one, str) and "://" not in one)
    return tuple(dict.fromkeys(slug for slug in slugs if slug))[:LIST_CAP]


def _image(given: Mapping[str, Any], url: str) -> Image | None:
    """Media RSS first, then an enclosure, then the picture of an episode."""
    media = [one for one in given.get("media_content") or ()
             if str(one.get("medium") or one.get("type") or "").startswith("image")]
    enclosures = [one for one in (*(given.get("enclosures") or ()), *(given.get("links") or ()))
                  if str(one.get("type") or "").startswith("image/") and one.get("rel", "enclosure") == "enclosure"]
    cover = given.get("image")
    told = [*(one.get("url") for one in media), *(one.get("url") for one in given.get("media_thumbnail") or ()),
            *(one.get("href") or one.get("url") for one in enclosures),
            cover.get("href") if isinstance(cover, Mapping) else None]
    for address in told:
        if isinstance(address, str) and (whole := pictures.address(address, url)):
            return Image(url=whole)
    return None


def _next(feed: Mapping[str, Any], url: str) -> str:
    for one in feed.get("links") or ():
        if one.get("rel") == "next" and (whole := web_url(one.get("href"), url)):
            return whole
    return ""


# --- JSON Feed ------------------------------------------------------------------------------------------------------


def _json_feed(text: str, url: str, language: str) -> FeedDocument:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ExtractError(f"the JSON of the feed can't be read: {error}", where=url) from None
    items = data.get("items")
    if not isinstance(items, list):
        raise ExtractError("the feed has no list of items", where=url, hint="See jsonfeed.org/version/1.1.")
    spoken = _line(data.get("language"), 40) or language
    return FeedDocument(
        kind="JSON Feed", version=_line(data.get("version"), 200).rpartition("/")[2], title=_line(data.get("title")),
        language=spoken, link=web_url(_line(data.get("home_page_url"), 2_000), url) or "",
        next=web_url(_line(data.get("next_url"), 2_000), url) or "",
        entries=tuple(_json_entry(one if isinstance(one, dict) else {}, url, spoken) for one in items), ends=True,
    )


def _json_entry(item: Mapping[str, Any], url: str, language: str) -> FeedEntry:
    told = item.get("id")
    identity = str(told) if isinstance(told, int | float) and not isinstance(told, bool) else _line(told, 2_000)
    link = next((whole for name in ("url", "external_url")
                 if (whole := web_url(_line(item.get(name), 2_000), url))), "")
    html, plain, summary = (value if isinstance(value := item.get(name), str) else ""
                            for name in ("content_html", "content_text", "summary"))
    bodies = (("content", shaped_text(html, url)), ("content", shaped_text(plain, url, literal=True)),
              ("summary", shaped_text(summary, url, literal=True)))
    text_from, text = next(((where, words) for where, words in bodies if words), ("", ""))
    authors = item.get("authors") if isinstance(item.get("authors"), list) else [item.get("author")]
    tags = item.get("tags")
    image = next((whole for name in ("image", "banner_image")
                  if (whole := pictures.address(_line(item.get(name), 2_000), url))), None)
    return _closed(FeedEntry(
        id=identity, link=untracked(link), title=_plain(_line(item.get("title")), TITLE_CAP),
        published=read_feed_date(item.get("date_published"), language),
        updated=read_feed_date(item.get("date_modified"), language), text=text, text_from=text_from,
        authors=_authors({"authors": [one for one in authors or () if isinstance(one, dict)]}),
        tags=_tags(iter(tags if isinstance(tags, list) else ())), image=Image(url=image) if image else None,
    ))


def _line(value: object, cap: int = TITLE_CAP) -> str:
    return clean(value, cap) if isinstance(value, str) else ""


def _closed(entry: FeedEntry) -> FeedEntry:
    """The entry, the first words of its text for a title where it has none; a text that is the title is none."""
    said = text_shape.in_one_line(entry.text)
    if entry.title:
        return entry._replace(text="", text_from="") if said == entry.title else entry
    title = _beginning(text_shape.blocks_of(entry.text))
    return entry._replace(title=title, titled=False, text="" if said == title else entry.text)


def _beginning(blocks: Sequence[text_shape.Block]) -> str:
    first = next((text_shape.plain(block.text) for block in blocks if block.kind != "code"), "")
    if len(first) <= _FIRST_WORDS:
        return first
    return f"{first[:_FIRST_WORDS].rpartition(' ')[0] or first[:_FIRST_WORDS]}…"
