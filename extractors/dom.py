"""A page's markup as a small tree: cut out of the text where that is safe, read whole by BeautifulSoup where not.

    text ─▶ cut: JSON-LD blocks and <main>, found by str.find ─▶ lxml        (nearly every page: 80 % of the time is
         └▶ whole: BeautifulSoup over everything ─▶ the same kind of tree      building the tree, so it is fed less)
"""

import html
import re
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from bs4 import BeautifulSoup, XMLParsedAsHTMLWarning
from bs4.element import NavigableString, PreformattedString, Tag
from lxml import etree
from lxml.etree import HTMLParser
from lxml.etree import _Element as Element

from extractors import markup
from extractors.clean import NAME_CAP, TEXT_CAP, clean, web_url
from extractors.written_dates import Reading, read_date
from milepost.errors import ExtractError

PAGE_CAP = 10 * 1024 * 1024  # characters; the same limit as the crawler's
_DEPTH_CAP = 200  # elements inside one another; beyond it is no page for people

UNREAD = ("script", "style", "svg", "template", "noscript", "iframe", "object", "math", "select", "textarea")
BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "br", "dd", "details", "div", "dl", "dt", "figcaption", "figure",
    "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section",
    "summary", "table", "tbody", "td", "th", "tr", "ul",
})
# lxml refuses to be handed these in a text; a lone surrogate goes when the text is encoded.
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\r") + b"\x7f"
# What XML 1.0 has no place for (§2.2), and a character reference (&#1;) brings in past the line above.
_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LD_TYPE = re.compile(r"""type\s*=\s*["']?application/ld\+json\b""", re.IGNORECASE)
_LD = "application/ld+json"
_LANGUAGE = re.compile(r"""<html\b[^>]{0,2000}?\s(?:xml:)?lang\s*=\s*["']?([A-Za-z0-9_-]{2,40})""", re.IGNORECASE)
_BASE = re.compile(r"<base(?=\s)", re.IGNORECASE)
_PROPERTY = re.compile(
    r"""(?:property|name)\s*=\s*["']?(?:og:image(?::secure_url|:url)?|twitter:image(?::src)?)["'\s/>]""", re.IGNORECASE,
)
_SHARED_NAMES = ("og:image", "twitter:image")
_SHARED = re.compile("|".join(_SHARED_NAMES))
_VALUES = r"""\b%s\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+))"""
_HREF, _CONTENT = (re.compile(_VALUES % name, re.IGNORECASE) for name in ("href", "content"))
_HEAD_CAP = 200_000  # characters in which a document says what its addresses start from, and which picture it shares
_TAG_CAP = 4_000  # characters of one such tag
_SHARED_CAP = 8
_STRETCH = 2_048  # characters that are encoded at a time
_HEAD = 4_000  # characters in which a document says its language
_BLOCK_CAP = 200  # times that JSON-LD is spoken of; each is looked for from the one before it
# A page is read as HTML whatever it declares itself to be, as browsers do: nobody who runs this can mend that.
warnings.filterwarnings("ignore", category=XMLParsedAsHTMLWarning)
_WHOLE_CAP = 100_000  # tags that BeautifulSoup is asked to read: three seconds


class Parts(NamedTuple):
    """What of a page is read: its JSON-LD blocks as text, and a tree that holds <main> (or all of the body)."""

    root: Element
    ld: tuple[str, ...]
    from_cut: bool
    language: str = ""  # the BCP 47 tag that the document gives itself, "" for none
    text: str = ""  # the whole document


def check_size(text: str, where: str) -> None:
    """Raises ExtractError for a text that no page of this kind has."""
    if len(text) > PAGE_CAP:
        raise ExtractError(
            f"the page has {len(text):,} characters, the limit is {PAGE_CAP:,}", where=where,
            hint="Look at what the site serves there.",
        )


def is_complete(text: str) -> bool:
    """Whether the document ends as a served document ends, in </html>."""
    return text.endswith("</html>") or "</html>" in text[-2_000:].casefold()


# Nothing is looked up by its id: the parser need not keep a table of them (2 % of its time).
_PARSER = HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, collect_ids=False, huge_tree=False)


def cut(text: str) -> Parts | None:
    """Read only <main> and the JSON-LD blocks; None when the page is not plainly of that build.

    Raises ExtractError for markup that a parser would choke on.
    """
    main = text.find("<main")
    if main < 0:
        return None
    blocks: list[str] = []
    pieces: list[tuple[int, int]] = []  # where <main> stands, between the blocks
    done = 0
    open_ended = True
    at = text.find(_LD)
    spoken = 0
    while at >= 0:
        if (spoken := spoken + 1) > _BLOCK_CAP:
            return None
        if text[at - 2:at] == '\\"':  # in a string of some other script, however long that is
            at = text.find(_LD, at + 1)
            continue
        start = text.rfind("<script", done, at)
        opened = text.find(">", at)
        end = text.find("</script>", opened)
        if start >= 0 and text.find(">", start, at) < 0:  # else it is spoken of inside another script
            if opened < 0 or end < 0 or _commented(text, done, start):
                return None  # not closed, or inside a comment
            if start > main and open_ended:
                open_ended = _take(pieces, text, max(done, main), start)
            blocks.append(text[opened + 1:end])
            done = end + len("</script>")
        at = text.find(_LD, max(at + 1, done))
    if open_ended and _take(pieces, text, max(done, main), len(text)):
        return None  # <main> is never closed
    if (not blocks and _LD in text.casefold()) or _commented(text, 0, main):
        return None
    root = _parsed(_encoded(text, pieces))
    if [one.tag for one in root.iter("main", "script")] != ["main"]:  # the tree is asked quicker than the text
        return None
    return _parts(text, _without_unread(root), tuple(blocks), at=main, from_cut=True)


def _parts(text: str, root: Element, ld: tuple[str, ...], *, at: int, from_cut: bool) -> Parts:
    """The parts of a page; the root of the tree carries the page's language and <base>, wherever it was cut out.

    `at`: where in the text it was cut out.
    """
    language = match[1] if (match := _LANGUAGE.search(text, 0, _HEAD)) else ""
    if language:
        root.set("lang", language)
    if (base := _base(text, at)) is not None:
        root.append(root.makeelement("base", href=base))
    return Parts(root=root, ld=ld, from_cut=from_cut, language=language, text=text)


def _commented(text: str, start: int, at: int) -> bool:
    """Whether a comment that begins behind `start` is still open at a place."""
    opened = text.rfind("<!--", start, at)
    return opened >= 0 and opened > text.rfind("-->", start, at)


def _take(pieces: list[tuple[int, int]], text: str, start: int, end: int) -> bool:
    """Add text[start:end] up to the end of <main>; whether <main> is still open."""
    close = text.find("</main>", start, end)
    pieces.append((start, end if close < 0 else close))
    return close < 0


def _head(text: str) -> str:
    end = text.find("<body", 0, _HEAD_CAP)
    return text[: end if end >= 0 else _HEAD_CAP]


def _base(text: str, at: int) -> str | None:
    """What the document says that relative addresses start from: the first <base> that has an address (§4.2.3).

    `at`: a place in its body; from there the end of its head is near.
    """
    end = text.rfind("<body", 0, at)
    if end < 0:
        end = text.find("<body", 0, _HEAD_CAP)
    if text.find("<base", 0, end) < 0 and text.find("<BASE", 0, end) < 0:  # up to the end, when there is no <body>
        return None
    head = _head(text)
    tags = (_tag_around(head, match.start() + 1) for match in islice(_BASE.finditer(head), _SHARED_CAP))
    return next((_attribute(href) for tag in tags if (href := _HREF.search(tag))), None)


def shared_pictures(parts: Parts) -> Iterator[str]:
    """The addresses, as written, of the pictures that a document gives to those who link to it (https://ogp.me)."""
    head = _head(parts.text)
    if not any(name in head for name in _SHARED_NAMES):  # an expression takes twenty times as long to see that
        return
    for match in islice(_SHARED.finditer(head), _SHARED_CAP):
        tag = _tag_around(head, match.start())
        if tag[:5].casefold() == "<meta" and _PROPERTY.search(tag) and (content := _CONTENT.search(tag)):
            yield _attribute(content)


def document(parts: Parts) -> Element:
    """The tree of the whole document, however much of it `parts.root` holds; raises ExtractError as `cut` does."""
    root = _tree(_encoded(parts.text, ((0, len(parts.text)),)))
    if parts.language:
        root.set("lang", parts.language)
    return root


def head_tree(parts: Parts) -> Element:
    """The tree of a document's head: its <title>, <meta> and <link>; of what stands before <body> alone."""
    head = _head(parts.text)
    return _tree(_encoded(head, ((0, len(head)),)))


def _tag_around(head: str, at: int) -> str:
    """The tag at a place; "" inside a comment or a script."""
    start = head.rfind("<", max(at - _TAG_CAP, 0), at)
    scripted = head.rfind("<script", 0, at) > head.rfind("</script", 0, at)
    if start < 0 or scripted or _commented(head, 0, at):
        return ""
    return f"{head[start:start + _TAG_CAP].partition('>')[0]}>"


def _attribute(match: re.Match[str]) -> str:
    return _UNFIT.sub("", html.unescape(match[1] or match[2] or match[3] or "")).strip()


def fragment(piece: str) -> Element:
    """The tree of a piece of markup, through lxml, without comments and what is never read."""
    return _tree(_encoded(piece, ((0, len(piece)),)))


def _encoded(text: str, pieces: Iterable[tuple[int, int]]) -> bytes:
    """Pieces (start, end) of a text in UTF-8, without lone surrogates; a stretch of plain ASCII is only copied."""
    return b"".join([
        text[at:min(at + _STRETCH, end)].encode("utf-8", "ignore")
        for start, end in pieces for at in range(start, end, _STRETCH)
    ])


def _tree(data: bytes) -> Element:
    return _without_unread(_parsed(data))


def _parsed(data: bytes) -> Element:
    if b"\0" in data:
        data = data.replace(b"\0", b"")
    markup.check(data)
    root = etree.fromstring(data or b"<html></html>", _PARSER)
    if root is None:  # nothing but white space or comments
        root = etree.fromstring(b"<html></html>", _PARSER)
    return root


def _without_unread(root: Element) -> Element:
    etree.strip_elements(root, *UNREAD, with_tail=False)
    return root


def whole(text: str) -> Parts:
    """Read all of the page with BeautifulSoup; slower, and tolerant of any build.

    Raises ExtractError when there are too many elements, or too deeply nested, for a page.
    """
    data = text.encode("utf-8", "ignore").translate(None, _CONTROLS)
    markup.check(data, max_tags=_WHOLE_CAP)
    soup = BeautifulSoup(data, "lxml", from_encoding="utf-8", multi_valued_attributes=None)
    blocks = tuple(
        tag.get_text() for tag in soup.find_all("script") if _LD_TYPE.match(f'type="{tag.get("type", "")}"')
    )
    top = soup.find("main") or soup.find("body") or soup
    return _parts(text, _graft(top), blocks, at=len(text), from_cut=False)


def _graft(soup: Tag) -> Element:
    """The lxml tree of a soup, so that both ways of parsing are read by the same code."""
    parser = HTMLParser()
    root: Element = parser.makeelement("html")
    pending: list[tuple[Tag, Element, int]] = [(soup, root, 0)]
    while pending:
        tag, element, depth = pending.pop()
        if depth > _DEPTH_CAP:
            raise ExtractError(f"elements are nested more than {_DEPTH_CAP} deep")
        last: Element | None = None
        words: list[str] = []  # since the last element: joined once, where they may be a hundred thousand pieces
        for child in tag.children:
            if isinstance(child, Tag):
                if child.name in UNREAD:
                    continue
                _write(element, last, words)
                last = etree.SubElement(element, _name(child.name))
                for name, value in child.attrs.items():
                    if _is_name(name):
                        last.set(name, _UNFIT.sub("", str(value)))
                pending.append((child, last, depth + 1))
            elif isinstance(child, NavigableString) and not isinstance(child, PreformattedString):
                words.append(child)
        _write(element, last, words)
    return root


def _write(element: Element, last: Element | None, words: list[str]) -> None:
    """Put the words that were met into the tree: behind the `last` child, or before there is one."""
    if not words:
        return
    text = _UNFIT.sub("", "".join(words))
    words.clear()
    if last is None:
        element.text = text
    else:
        last.tail = text


def _is_name(name: str) -> bool:
    return name.isascii() and name.replace("-", "").replace("_", "").isalnum() and not name[0].isdigit()


def _name(name: str) -> str:
    return name if _is_name(name) else "span"


def text_of(element: Element, cap: int = TEXT_CAP) -> str:
    """The text of an element as one clean line, with a space where a block or a line ends."""
    if not len(element):
        return clean(element.text, cap)
    pieces: list[str] = []
    _gather(element, pieces)
    return clean("".join(pieces), cap)


def _gather(element: Element, pieces: list[str]) -> None:
    """Add an element's text in pieces; no tree is deeper than the parsers let it be."""
    block = element.tag in BLOCKS
    if block:
        pieces.append(" ")
    if text := element.text:
        pieces.append(text)
    for child in element:
        _gather(child, pieces)
        if tail := child.tail:
            pieces.append(tail)
    if block:
        pieces.append(" ")


def language(element: Element) -> str:
    """The language of an element's words: the nearest `lang`, its own or around it (HTML standard §3.2.6.2)."""
    at: Element | None = element
    while at is not None:
        if tag := at.get("lang"):
            return str(tag)
        at = at.getparent()
    return ""


def date_of(element: Element) -> Reading:
    """The date that an element tells: its `datetime`, else its words as its language writes dates."""
    told = read_date(element.get("datetime"))
    if told.date is not None:
        return told
    words = text_of(element, NAME_CAP)
    return read_date(words, language(element)) if words else told


def base_of(element: Element, url: str) -> str:
    """The address that an element's relative addresses start from (HTML standard §4.2.3): <base>, or the page's own."""
    base = next(element.getroottree().getroot().iterchildren("base"), None)
    return url if base is None else web_url(base.get("href"), url) or url
