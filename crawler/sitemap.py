"""Reads a sitemap or a sitemap index (sitemaps.org), as far as it goes when it is broken; pure, no DTD, no entities."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from xml.parsers import expat

from crawler.decode import gunzip

MAX_LOCATION = 2048  # characters of a <loc> (sitemaps.org)
MAX_SEEN = 1_000_000  # <loc>s of one look
_MAX_DEPTH = 16  # elements within elements; a sitemap has three or four
_SLICE = 64 * 1024

Kind = Literal["urlset", "index"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sitemap:
    """What could be read. `partial` says why that may not be all, None when it is."""

    kind: Kind | None
    locations: tuple[str, ...]  # as written, those that `keep` kept, each once
    seen: int  # <loc>s met, kept or not
    partial: str | None = None


class _Enough(Exception):  # noqa: N818 - ends the parse, isn't an error
    pass


class _Reader:
    """The expat handlers: <loc> directly under <url> or <sitemap>, whatever prefix they carry."""

    def __init__(self, keep: Callable[[str], str | None], max_kept: int, max_seen: int) -> None:
        self.kind: Kind | None = None
        self.kept: dict[str, None] = {}
        self.seen = 0
        self._keep, self._max_kept, self._max_seen = keep, max_kept, max_seen
        self._path: list[str] = []
        self._text: list[str] | None = None
        self._length = 0

    def start(self, tag: str, _attributes: object) -> None:
        name = tag.rsplit(":", 1)[-1]
        if not self._path:
            if name not in ("urlset", "sitemapindex"):
                raise _Enough(f"its first element is <{name[:30]}>, so it is no sitemap")
            self.kind = "index" if name == "sitemapindex" else "urlset"
        elif name == "loc" and self._path[-1] in ("url", "sitemap"):
            self._text, self._length = [], 0
        self._path.append(name)
        if len(self._path) > _MAX_DEPTH:
            raise _Enough("its elements are nested too deep")

    def end(self, _tag: str) -> None:
        self._path.pop()
        if self._text is None:
            return
        location, self._text = "".join(self._text).strip(), None
        if self.seen >= self._max_seen:
            raise _Enough(f"more than {self._max_seen} addresses")
        self.seen += 1
        kept: str | None = None
        if location and self._length <= MAX_LOCATION:
            kept = location if self.kind == "index" else self._keep(location)
        if kept is not None and kept not in self.kept:
            if len(self.kept) >= self._max_kept:
                raise _Enough(f"more than {self._max_kept} pages")
            self.kept[kept] = None

    def data(self, text: str) -> None:
        if self._text is not None and self._length <= MAX_LOCATION:
            self._length += len(text)
            self._text.append(text)

    def doctype(self, *_: object) -> None:
        raise _Enough("it declares a DTD, which is not read")


def _whole(location: str) -> str | None:
    return location


def parse(
    body: bytes, *, max_body: int, max_kept: int = MAX_SEEN, max_seen: int = MAX_SEEN,
    keep: Callable[[str], str | None] = _whole,
) -> Sitemap:
    """Read `body` (XML, or gzip of it, up to `max_body` bytes of XML); never raises on what a site wrote.

    `keep` turns each page's address into what is kept of it, or None to leave it out: a big sitemap costs no memory
    for pages that nobody wants (an index keeps its sitemaps' addresses as they are). At most `max_kept` are kept and
    `max_seen` looked at; beyond, or where the XML breaks, the result is `partial` and holds what came before.
    """
    partial: str | None = None
    if body[:2] == b"\x1f\x8b":
        body, broken = gunzip(body, max_body=max_body)
        partial = "its gzip is cut or too large" if broken else None
    body = body.lstrip()  # a blank before the XML declaration is a common slip
    if not body:
        return Sitemap(kind=None, locations=(), seen=0, partial=partial or "it is empty")
    reader = _Reader(keep, max_kept, max_seen)
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
        partial = str(reason)
    except (expat.ExpatError, ValueError, LookupError) as error:
        partial = partial or f"its XML breaks off: {error}"
    return Sitemap(kind=reader.kind, locations=tuple(reader.kept), seen=reader.seen, partial=partial)
