"""Reads a sitemap in each of its forms (sitemaps.org: XML, feed, text), as far as it goes when it is broken; pure.

    bytes ─▶ lines: an address each
         └▶ XML ─▶ expat ─▶ broken? its slips mended ─▶ lxml's recovery ─▶ compared with what stands there

No DTD, no entities.
"""

import codecs
import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html.entities import html5
from typing import Any, Literal, NamedTuple
from urllib.parse import urljoin
from xml.parsers import expat

from lxml import etree

from crawler.decode import gunzip
from crawler.paths import is_address

MAX_LOCATION = 2048  # characters of a <loc> (sitemaps.org)
MAX_SEEN = 1_000_000  # addresses of one look
_MAX_DEPTH = 16  # elements within elements; a sitemap has three or four
_LOOSE = 16  # pieces of text between an entry's elements that are looked at
_DATE = 64  # characters of a <lastmod>
_SLICE = 64 * 1024
_BEGINNING = 64 * 1024  # where the first element of a sitemap stands, whatever a server wrote before it

Kind = Literal["urlset", "index"]


class _Form(NamedTuple):
    """What a sitemap of a certain first element looks like."""

    kind: Kind
    within: str  # the element that its entries stand in
    entry: str
    address: str
    instead: str | None = None  # what names the address where `address` doesn't
    attribute: bool = False  # the address is an attribute
    modified: str | None = None  # what says when the page was last changed


_FORMS: Mapping[str, _Form] = {
    "urlset": _Form("urlset", "urlset", "url", "loc", modified="lastmod"),
    "sitemapindex": _Form("index", "sitemapindex", "sitemap", "loc"),
    "rss": _Form("urlset", "channel", "item", "link", instead="guid"),
    "RDF": _Form("urlset", "RDF", "item", "link"),  # RSS 1.0
    "feed": _Form("urlset", "feed", "entry", "link", attribute=True),  # Atom (RFC 4287)
}
_FIRST = re.compile(rf"<(?:[\w.-]+:)?(?:{'|'.join(_FORMS)})(?=[\s>])")
_DECLARED = re.compile(rb"<\?xml[^>]{0,200}?\bencoding\s{0,9}=\s{0,9}[\"']([A-Za-z0-9._:-]{1,40})[\"']")
# Those of Python's codecs that are some people's alphabet: others take a square of time, or are no encoding at all.
_ALPHABETS = re.compile(
    r"(?:us-)?ascii|utf-?(?:8|16(?:[bl]e)?)|iso[-_]?8859[-_]\d+|latin-?\d|(?:windows-|cp)\d+|koi8-[ru]|gb\w+|big5\w*|"
    r"shift[-_]jis|euc[-_]\w\w", re.IGNORECASE)
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKED = re.compile(r"<!(?:--|\[CDATA\[)")
_BARE = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9A-Fa-f]{1,6});)(?P<name>[A-Za-z][A-Za-z0-9]{1,31};)?")
_SPOILT = "\ufffd"  # stands for what could not be decoded


@dataclass(frozen=True, kw_only=True, slots=True)
class Sitemap:
    """What could be read. `partial` says why that may not be all, None when it is."""

    kind: Kind | None
    locations: tuple[str, ...]  # as written, those that `keep` kept, each once
    seen: int  # addresses met, kept or not
    partial: str | None = None
    unread: int = 0  # entries or lines that name no address: none, no possible one, or one that is too long
    example: str = ""  # the first of those
    following: str | None = None  # the address of a feed's next page (RFC 5005)
    # of the locations, what their entries say of when they were last changed, as written; "": nothing, or not the same
    modified: Mapping[str, str] = field(default_factory=dict)


class _Enough(Exception):  # noqa: N818 - ends the parse, isn't an error
    pass


class _NoSitemap(_Enough):
    pass


class _Taker:
    """Takes what is wanted of the addresses, within bounds."""

    def __init__(self, keep: Callable[[str], str | None], max_kept: int, max_seen: int, *, dates: bool) -> None:
        self.kept: dict[str, None] = {}
        self.modified: dict[str, str] = {}
        self.dates = dates
        self.seen = self.unread = 0
        self.example = ""
        self._keep, self._max_kept, self._max_seen = keep, max_kept, max_seen

    def take(self, location: str, *, whole: bool = True, as_it_is: bool = False) -> str | None:
        """`whole`: nothing of the address was lost; `as_it_is`: keep it whatever `keep` says. Returns what it keeps."""
        if self.seen >= self._max_seen:
            raise _Enough(f"more than {self._max_seen} addresses")
        self.seen += 1
        kept: str | None = None
        fine = whole and location != "" and _SPOILT not in location
        if fine:
            kept = location if as_it_is else self._keep(location)
        if kept is None and not (fine and is_address(location)):
            self.refuse(location or "an empty one")
        elif kept is not None and kept not in self.kept:
            if len(self.kept) >= self._max_kept:
                raise _Enough(f"more than {self._max_kept} pages")
            self.kept[kept] = None
        return kept

    def date(self, kept: str, modified: str) -> None:
        """What an entry says of when its page was last changed; entries of one page that differ say nothing."""
        before = self.modified.get(kept, modified)
        self.modified[kept] = modified if before == modified else ""

    def refuse(self, what: str) -> None:
        """`what` names no address."""
        self.unread += 1
        self.example = self.example or what[:80]


class _Reader:
    """The handlers of both parsers: the address of each entry, whatever prefix its elements carry."""

    def __init__(self, taker: _Taker, place: str) -> None:
        self.form: _Form | None = None
        self.entries = 0
        self.following: str | None = None
        self.taker = taker
        self._path: list[str] = []
        self._bases = [place]
        self._text: list[str] | None = None
        self._length = 0
        self._whole = self._permanent = True
        self._told = False  # the entry has named its address
        self._instead: str | None = None
        self._loose: list[str] = []  # the entry's own text
        self._kept: str | None = None  # what was kept of the entry's address
        self._date: list[str] | None = None  # the text of when it was last changed, while that is being read
        self._modified: str | None = None

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = _local(tag)
        if not self._path:
            self.form = _FORMS.get(name)
            if self.form is None:
                raise _NoSitemap(f"its first element is <{name[:30]}>, so it is no sitemap")
        elif self._text is not None:
            # an element behind the beginning of an address: a "<" that stands for itself
            self._whole = self._whole and not "".join(self._text).strip()
        elif self.form is not None:
            self._inside(self.form, name, attributes)
        base = attributes.get("xml:base", attributes.get("{http://www.w3.org/XML/1998/namespace}base", ""))
        self._bases.append(_joined(self._bases[-1], base) if base else self._bases[-1])
        self._path.append(name)
        if len(self._path) > _MAX_DEPTH:
            raise _Enough("its elements are nested too deep")

    def _inside(self, form: _Form, name: str, attributes: Mapping[str, str]) -> None:
        parent = self._path[-1]
        if name == form.entry and parent in (form.within, form.entry):  # an entry within one: its end is missing
            self.entries += 1
            self._dated()
            self._told, self._instead, self._loose = False, None, []
        elif parent == form.entry and form.attribute and name == form.address:
            href = attributes.get("href", "").strip()
            if href and not self._told and attributes.get("rel", "alternate") == "alternate":
                self._tell(_joined(self._bases[-1], href))
        elif parent == form.entry and name in (form.address, form.instead):
            self._text, self._length, self._whole = [], 0, True
            self._permanent = attributes.get("isPermaLink", "true").strip() != "false"
        elif parent == form.entry and name == form.modified and self.taker.dates:
            self._date = []
        elif parent == form.within and name == "link" and attributes.get("rel") == "next":
            self.following = _joined(self._bases[-1], attributes.get("href", "").strip()) or None

    def end(self, tag: str) -> None:
        name = _local(tag)
        self._path.pop()
        self._bases.pop()
        if self.form is None:
            return
        if self._text is not None and name in (self.form.address, self.form.instead):
            location, self._text = "".join(self._text).strip(), None
            if name == self.form.instead:
                self._instead = location if self._permanent else self._instead
            elif self.form.within in ("channel", "RDF"):
                if location:
                    self._tell(_joined(self._bases[-1], location))
            else:
                self._tell(location)
        elif self._date is not None and name == self.form.modified:
            written, self._date = "".join(self._date).strip()[:_DATE], None
            self._modified = written if self._modified in (None, written) else ""
        elif name == self.form.entry and self._told:
            self._dated()
        elif name == self.form.entry and not self._told and self.form.within in self._path:
            loose = "".join(self._loose).strip()
            if self._instead:
                self._tell(self._instead)
            elif _says_http(loose):
                self._tell(loose)
            else:
                self.taker.refuse(f"<{name}>")

    def _tell(self, location: str) -> None:
        self._told = True
        whole = self._whole and self._length <= MAX_LOCATION
        self._kept = self.taker.take(
            location, whole=whole, as_it_is=self.form is not None and self.form.kind == "index")

    def _dated(self) -> None:
        """The entry is over."""
        if self._kept is not None and self.taker.dates:
            self.taker.date(self._kept, self._modified or "")
        self._kept, self._date, self._modified = None, None, None

    def data(self, text: str) -> None:
        if self._text is not None and self._length <= MAX_LOCATION:
            self._length += len(text)
            self._text.append(text)
        elif self._date is not None:
            self._date.append(text[:_DATE])
        elif self.form is not None and self._path[-1] == self.form.entry and len(self._loose) < _LOOSE:
            self._loose.append(text[:MAX_LOCATION])

    def doctype(self, *_: object) -> None:
        raise _Enough("it declares a DTD, which is not read")

    def close(self) -> None:
        """lxml calls it at the end."""


def _says_http(text: str) -> bool:
    return text[:8].lower().startswith(("http://", "https://"))


def _local(tag: str) -> str:
    return tag.rpartition("}")[2].rpartition(":")[2]


def _joined(base: str, address: str) -> str:
    """A path stays one: a mirror's pages are known by theirs."""
    try:
        return address if address.startswith("/") and not address.startswith("//") else urljoin(base, address)
    except ValueError:
        return address


def _whole(location: str) -> str | None:
    return location


def parse(
    body: bytes, *, max_body: int, max_kept: int = MAX_SEEN, max_seen: int = MAX_SEEN,
    keep: Callable[[str], str | None] = _whole, place: str = "", dates: bool = False,
) -> Sitemap:
    """Read `body` (XML or text, or gzip of it, up to `max_body` bytes once undone); never raises on what a site wrote.

    `keep` turns each page's address into what is kept of it, or None to leave it out: a big sitemap costs no memory
    for pages that nobody wants (an index keeps its sitemaps' addresses as they are). At most `max_kept` are kept and
    `max_seen` looked at; beyond, or where what is broken can't be mended, the result is `partial` and holds the rest.
    What a feed's addresses are relative to is its own address, `place`. `dates`: also what its entries say of when
    their pages were last changed.
    """
    cut: str | None = None
    if body[:2] == b"\x1f\x8b":
        body, broken = gunzip(body, max_body=max_body)
        cut = "its gzip is cut or too large" if broken else None
    body = body.lstrip()  # a blank before the XML declaration is a common slip
    if not body:
        return Sitemap(kind=None, locations=(), seen=0, partial=cut or "it is empty")

    def taker() -> _Taker:
        return _Taker(keep, max_kept, max_seen, dates=dates)

    if not _text(body[:_BEGINNING]).lstrip().startswith("<"):
        text = _text(body)
        if _FIRST.search(text, 0, _BEGINNING) is None:
            return _lines(text, taker(), cut)
    reader, partial, hopeless = _strictly(body, _Reader(taker(), place))
    if partial is not None and cut is None and not hopeless:
        mended = _mended(_text(body))
        if mended is not None:
            reader, partial = _recovered(mended, _Reader(taker(), place), partial)
    taken = reader.taker
    return Sitemap(
        kind=None if reader.form is None else reader.form.kind, locations=tuple(taken.kept), seen=taken.seen,
        partial=cut or partial, unread=taken.unread, example=taken.example, following=reader.following,
        modified=taken.modified,
    )


def _lines(text: str, taker: _Taker, cut: str | None) -> Sitemap:
    """A text: an address a line (sitemaps.org), which says "http" or it isn't one."""
    partial = cut
    try:
        for line in re.split(r"[\r\n]+", text):
            address = line.strip().removeprefix("\ufeff")
            if not address or address.startswith("#"):
                continue
            if _says_http(address):
                taker.take(address)
            else:
                taker.refuse(address)
    except _Enough as reason:
        partial = partial or str(reason)
    if taker.unread and not taker.seen:
        return Sitemap(kind=None, locations=(), seen=0, partial=cut or "it is neither XML nor a list of addresses")
    return Sitemap(
        kind="urlset", locations=tuple(taker.kept), seen=taker.seen, partial=partial, unread=taker.unread,
        example=taker.example,
    )


class _Read(NamedTuple):
    reader: _Reader
    partial: str | None
    hopeless: bool  # nothing that a parser forgives


def _strictly(body: bytes, reader: _Reader) -> _Read:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.data
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.EntityDeclHandler = reader.doctype
    try:
        for start in range(0, len(body), _SLICE):
            parser.Parse(body[start : start + _SLICE], False)
        parser.Parse(b"", True)
    except _Enough as reason:
        return _Read(reader, str(reason), hopeless=not isinstance(reason, _NoSitemap))
    except (expat.ExpatError, ValueError, LookupError) as error:
        return _Read(reader, f"its XML breaks off: {error}", hopeless=False)
    return _Read(reader, None, hopeless=False)


def _text(body: bytes) -> str:
    """`body` by its mark or its declaration, else as UTF-8; what can't be decoded is U+FFFD."""
    for mark, encoding in _BOMS:
        if body.startswith(mark):
            return body[len(mark):].decode(encoding, "replace")
    told = _DECLARED.match(body)
    encoding = "utf-8" if told is None else told[1].decode("ascii")
    try:
        return body.decode(encoding if _ALPHABETS.fullmatch(encoding) else "utf-8", "replace")
    except LookupError:  # no such encoding
        return body.decode("utf-8", "replace")


class _Mended(NamedTuple):
    text: str  # from its first element to the last one that is closed
    entries: int  # as many begin there
    closed: bool  # the first element ends


def _mended(text: str) -> _Mended | None:
    """A broken text with its usual slips mended: a bare "&", an HTML entity, a control character, words before it.

    None when it is no sitemap, or has a DTD.
    """
    first = _FIRST.search(text, 0, _BEGINNING)
    if first is None or "<!doctype" in (lower := text.lower()) or "<!entity" in lower:
        return None
    text = _unmarked(_NO_XML.sub(_SPOILT, text[first.start():]))
    form = _FORMS[_local(first[0].removeprefix("<"))]
    entries = sum(1 for _ in re.finditer(rf"<(?:[\w.-]+:)?{form.entry}(?=[\s/>])", text))
    closed = f"</{first[0].removeprefix('<')}" in text
    return _Mended(text[: text.find(">", max(text.rfind("</"), 0)) + 1], entries, closed)


def _unmarked(text: str) -> str:
    """Without comments, CDATA sections as text, every "&" as XML wants it."""
    pieces: list[str] = []
    at = 0
    for mark in _MARKED.finditer(text):
        if mark.start() < at:
            continue
        comment = mark[0] == "<!--"
        end = text.find("-->" if comment else "]]>", mark.end())
        if end < 0:
            break
        pieces += (_BARE.sub(_named, text[at : mark.start()]), "" if comment else html.escape(text[mark.end() : end]))
        at = end + 3
    return "".join((*pieces, _BARE.sub(_named, text[at:])))


def _named(found: re.Match[str]) -> str:
    name = found["name"]
    return "&amp;" if name is None else html.escape(html5.get(name, f"&{name}"))


def _recovered(mended: _Mended, reader: _Reader, why: str) -> tuple[_Reader, str | None]:
    """What lxml reads of it; partial only when entries of the text are missing there, or the text ends early."""
    target: Any = reader  # the stubs want one that takes bytes as well, which never come
    parser = etree.XMLParser(
        target=target, recover=True, load_dtd=False, no_network=True, huge_tree=False, encoding="utf-8",
    )
    data = mended.text.encode()
    try:
        for start in range(0, len(data), _SLICE):
            parser.feed(data[start : start + _SLICE])
        parser.close()
    except _Enough as reason:
        return reader, str(reason)
    except (etree.LxmlError, ValueError):
        return reader, why
    if not mended.closed:
        return reader, why
    missing = mended.entries - reader.entries
    if missing > 0:
        return reader, f"{missing} of its {mended.entries} entries can't be read: {why}"
    return reader, None
