"""A document as its blocks in their order, whether it is Markdown or HTML: headings, paragraphs, items of lists, code.

    Markdown ─▶ markdown-it's tokens ─┐
                  └▶ HTML within it ──┼▶ Block(kind, level, text, anchor …)
    HTML ─▶ dom.whole ────────────────┘
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from lxml.etree import _Element as Element
from markdown_it import MarkdownIt
from markdown_it.token import Token

from extractors import dom
from extractors.clean import TITLE_CAP, clean
from milepost import text_shape
from milepost.printable import UNSEEN
from milepost.text_shape import plain

Kind = Literal["heading", "paragraph", "item", "code"]

_MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"]).disable("inline")
_INLINE_CAP = 6_000  # characters of one line or paragraph
_BRACKETS_CAP = 300  # … and opening brackets: those that are never closed take the parser the square of their number
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_HTML = re.compile(
    r"\s*(?:<\?xml[^>]{0,200}>\s*|<!--.{0,4000}?-->\s*){0,9}<(?:!doctype\s+html|html[\s>])", re.IGNORECASE | re.DOTALL
)
_ANCHOR = re.compile(r"""<a\b[^<>]{0,200}?\b(?:name|id)\s*=\s*["']?([^"'\s<>]{1,200})""", re.IGNORECASE)
_ATTRIBUTES = re.compile(r"\s*\{\s*#([\w.:-]{1,200})[^{}]{0,200}\}\s*$")
_NOT_IN_SLUG = re.compile(r"[^\w\- ]")
_HEADS = {f"h{level}": level for level in range(1, 7)}
_LEFT_OUT = frozenset({
    *dom.UNREAD, "nav", "footer", "aside", "form", "head", "button", "img", "picture", "video", "audio",
})
_PARTS = frozenset({
    "address", "article", "blockquote", "center", "dd", "details", "div", "dl", "dt", "fieldset", "figcaption",
    "figure", "header", "hgroup", "hr", "main", "ol", "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot",
    "th", "thead", "tr", "ul", "li", *_HEADS,
})
_CODE_CAP = 4_000  # characters of one piece of code


class Block(NamedTuple):
    """A piece of a document."""

    kind: Kind
    text: str  # in one line, `code` in backticks; of code: its lines
    level: int = 0  # of a heading 1..6
    anchor: str = ""  # of a heading: its id on the page
    depth: int = 0  # of an item: lists that it stands inside of, beside its own
    mark: str = "-"  # of an item
    bold: bool = False  # all of it
    struck: bool = False  # all of it
    links: tuple[str, ...] = ()  # of a heading: the words of its links
    quoted: bool = False  # it is somebody else's words, or part of a list


def is_html(text: str) -> bool:
    """Whether a text is an HTML document, and not Markdown that begins with a tag or a comment."""
    return _HTML.match(text) is not None or dom.is_complete(text.rstrip())


def document_blocks(text: str) -> tuple[list[Block], str]:
    """(the blocks of a document, the language that it gives itself).

    Raises ExtractError for markup that no parser is given.
    """
    if not is_html(text):
        return list(_markdown(text.removeprefix("\ufeff"))), ""
    parts = dom.whole(text)
    return list(_Markup(parts.root)), parts.language


def fragment_blocks(markup: str) -> list[Block]:
    """The blocks of a piece of HTML. Raises ExtractError for markup that no parser is given."""
    return list(_Markup(dom.fragment(markup), whole=False))


def shaped(body: Iterable[Block]) -> Iterator[text_shape.Block]:
    """Blocks as a text has them: a heading is a paragraph, and one with nothing under it is left out."""
    waiting: list[Block] = []
    last: text_shape.Block | None = None
    for block in body:
        if block.kind == "heading":
            waiting = [*(one for one in waiting if one.level < block.level), block]
            continue
        if block.kind == "item" and not block.mark and last is not None and last.kind == "item":
            last = last._replace(text=f"{last.text} {block.text}")
            continue
        if last is not None:
            yield last
        for heading in waiting:
            yield text_shape.Block("paragraph", f"{heading.text.rstrip(':：. ')}:")
        waiting = []
        kind: text_shape.Kind = "paragraph" if block.kind == "item" and not block.mark else block.kind
        last = text_shape.Block(kind, block.text, depth=block.depth, mark=block.mark or "-")
    if last is not None:
        yield last


# --- Markdown -------------------------------------------------------------------------------------------------------


class _Slugs:
    """The ids that forges give to headings: the words in small letters, a number for those that come again."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def of(self, heading: str) -> str:
        slug = _NOT_IN_SLUG.sub("", heading.strip().casefold()).replace(" ", "-")
        count = self._seen[slug]
        self._seen[slug] += 1
        return f"{slug}-{count}" if count else slug


def _markdown(text: str) -> Iterator[Block]:
    slugs = _Slugs()
    lists: list[int | None] = []  # of each open list: the next number; None: it has none
    fresh = False  # an item was opened, and nothing of it was met
    quotes = 0
    cells: list[str] | None = None
    anchored = ""
    known: dict[str, Any] = {}  # links that are defined somewhere else
    tokens = _MARKDOWN.parse(text, known)
    for at, token in enumerate(tokens):
        match token.type:
            case "bullet_list_open":
                lists.append(None)
            case "ordered_list_open":
                lists.append(int(token.attrs.get("start", 1) or 1))
            case "bullet_list_close" | "ordered_list_close":
                lists.pop()
            case "list_item_open":
                fresh = True
            case "list_item_close":
                fresh = False
            case "blockquote_open":
                quotes += 1
            case "blockquote_close":
                quotes -= 1
            case "tr_open":
                cells = []
            case "tr_close":
                if cells and any(cells):
                    yield Block("item", " · ".join(cell for cell in cells if cell))
                cells = None
            case "fence" | "code_block":
                yield Block("code", _code(token.content))
                fresh = False
            case "html_block":
                content = _COMMENT.sub(" ", token.content)
                found = _ANCHOR.search(content)
                inside = list(_Markup(dom.fragment(content), whole=False)) if "<" in content else []
                if inside:
                    yield from inside
                elif found:
                    anchored = found[1]
            case "inline":
                children: list[Token] = []
                _MARKDOWN.inline.parse(_readable(token.content), _MARKDOWN, known, children)
                words = _inline(children)
                if cells is not None:
                    cells.append(words.text)
                    continue
                opener = tokens[at - 1]
                if opener.type == "heading_open" and not lists:
                    told, attributes = words.text, _ATTRIBUTES.search(words.text)
                    if attributes:
                        told = told[: attributes.start()]
                    told = clean(told, TITLE_CAP)
                    slug = slugs.of(plain(told))
                    anchor = words.anchor or (attributes[1] if attributes else "") or anchored or slug
                    yield Block("heading", told, level=int(opener.tag[1]), anchor=anchor, struck=words.struck,
                                links=words.links, quoted=quotes > 0)
                elif words.text:
                    yield _worded(words, lists, fresh)
                    if fresh and lists and lists[-1] is not None:
                        lists[-1] += 1
                    fresh = False
                anchored = words.anchor if not words.text else ""


def _readable(content: str) -> str:
    """A paragraph as far as it is read."""
    content = content[:_INLINE_CAP]
    return content if content.count("[") <= _BRACKETS_CAP else "[".join(content.split("[", _BRACKETS_CAP)[:-1])


class _Words(NamedTuple):
    text: str
    bold: bool
    struck: bool
    anchor: str
    links: tuple[str, ...]


def _worded(words: _Words, lists: Sequence[int | None], fresh: bool) -> Block:
    if not lists:
        return Block("paragraph", words.text, bold=words.bold, struck=words.struck)
    if not fresh:
        return Block("item", words.text, depth=len(lists), mark="")
    mark = "-" if lists[-1] is None else f"{lists[-1]}."
    return Block("item", words.text, depth=len(lists) - 1, mark=mark, bold=words.bold, struck=words.struck)


def _inline(children: Sequence[Token]) -> _Words:
    """The words of a line; Markdown's own signs, pictures and tags are none."""
    said: list[str] = []
    links: list[str] = []
    opened: list[int] = []
    anchor = ""
    strong = loose = struck = unstruck = 0  # signs inside and outside
    bold = crossed = 0
    for child in children:
        words = ""
        match child.type:
            case "text" | "text_special":
                words = child.content
            case "code_inline":
                words = _in_backticks(child.content)
            case "softbreak" | "hardbreak":
                words = " "
            case "link_open":
                opened.append(len(said))
            case "link_close":
                if opened:
                    links.append(clean("".join(said[opened.pop():])))
            case "strong_open":
                bold += 1
            case "strong_close":
                bold -= 1
            case "s_open":
                crossed += 1
            case "s_close":
                crossed -= 1
            case "html_inline":
                if found := _ANCHOR.match(child.content):
                    anchor = found[1]
                words = " " if re.match(r"</?(?:br|p|li|div)\b", child.content, re.IGNORECASE) else ""
        if words.strip():
            strong, loose = (strong + 1, loose) if bold else (strong, loose + 1)
            struck, unstruck = (struck + 1, unstruck) if crossed else (struck, unstruck + 1)
        said.append(words)
    return _Words(clean("".join(said)), strong > 0 and not loose, struck > 0 and not unstruck, anchor, tuple(links))


def _in_backticks(code: str) -> str:
    """Words as code; spaces around them stay outside."""
    inside = code.strip()
    if not inside or "`" in inside:
        return code
    at = code.index(inside)
    return f"{code[:at]}`{inside}`{code[at + len(inside):]}"


def _code(content: str) -> str:
    lines = (UNSEEN.sub("", line.expandtabs(4)) for line in content[:_CODE_CAP].rstrip().split("\n"))
    return "\n".join(line.rstrip() for line in lines)


# --- HTML -----------------------------------------------------------------------------------------------------------


class _Markup:
    """The blocks of a tree; `whole`: it is a document, whose parts around the text are left out."""

    def __init__(self, root: Element, *, whole: bool = True) -> None:
        self._root, self._whole = root, whole

    def __iter__(self) -> Iterator[Block]:
        main = next(self._root.iter("main"), None) if self._whole else None
        yield from self._inside(self._root if main is None else main, ())

    def _inside(self, element: Element, lists: tuple[str, ...], quoted: bool = False) -> Iterator[Block]:
        """The blocks within an element, its loose words as paragraphs between them."""
        loose: list[str] = [element.text or ""]
        start = element.get("start") or ""
        number = int(start) - 1 if start.isascii() and start.isdigit() and len(start) < 9 else 0
        for child in element:
            tag = child.tag if isinstance(child.tag, str) else ""
            if tag in _PARTS:
                yield from self._loose(loose, lists)
                loose = [child.tail or ""]
                number += tag == "li"
                yield from self._part(child, tag, lists, number, quoted)
            elif tag and tag not in _LEFT_OUT:
                if _holds_parts(child):
                    yield from self._loose(loose, lists)
                    yield from self._inside(child, lists, quoted)
                    loose = [child.tail or ""]
                else:
                    loose += [*_said(child), child.tail or ""]
            else:
                loose.append(child.tail or "")
        yield from self._loose(loose, lists)

    def _loose(self, said: list[str], lists: tuple[str, ...]) -> Iterator[Block]:
        if words := clean("".join(said)):
            yield Block("item", words, depth=len(lists), mark="") if lists else Block("paragraph", words)

    def _part(self, element: Element, tag: str, lists: tuple[str, ...], number: int, quoted: bool) -> Iterator[Block]:
        if tag in _HEADS:
            text = clean("".join(_said(element)), TITLE_CAP).rstrip("¶#🔗 ")
            links = tuple(clean("".join(_said(link))) for link in element.iter("a"))
            yield Block("heading", text, level=_HEADS[tag], anchor=_anchor(element), links=links,
                        struck=_all_in(element, ("del", "s", "strike")), quoted=quoted or bool(lists))
        elif tag in ("ul", "ol"):
            yield from self._inside(element, (*lists, tag), quoted)
        elif tag == "li":
            of = lists or ("ul",)
            mark = f"{number}." if of[-1] == "ol" else "-"
            for block in self._inside(element, of, quoted):
                if mark and block.kind == "item" and block.depth == len(of):
                    bold = _all_in(element, ("b", "strong"))
                    block, mark = block._replace(depth=len(of) - 1, mark=mark, bold=bold), ""
                yield block
        elif tag == "pre":
            yield Block("code", _code(_all_words(element)))
        elif tag == "tr":
            cells = (clean("".join(_said(cell))) for cell in element)
            if row := " · ".join(cell for cell in cells if cell):
                yield Block("item", row)
        elif tag == "p" and not any(child.tag in _PARTS for child in element):
            if words := clean("".join(_said(element))):
                bold = _all_in(element, ("b", "strong"))
                yield (Block("item", words, depth=len(lists), mark="") if lists
                       else Block("paragraph", words, bold=bold, struck=_all_in(element, ("del", "s", "strike"))))
        else:
            yield from self._inside(element, lists, quoted or tag == "blockquote")


def _said(element: Element) -> Iterator[str]:
    """The words of an element, code in backticks, white space not yet collapsed."""
    tag = element.tag if isinstance(element.tag, str) else ""
    if not tag or tag in _LEFT_OUT:
        return
    if tag in ("br", "p", "div", "li", "td"):
        yield " "
    if tag in ("code", "kbd", "samp", "tt"):
        yield _in_backticks(_all_words(element))
        return
    yield element.text or ""
    for child in element:
        yield from _said(child)
        yield child.tail or ""


def _all_words(element: Element) -> str:
    return "".join(str(words) for words in element.itertext())


def _holds_parts(element: Element) -> bool:
    return any(isinstance(one.tag, str) and one.tag in _PARTS for one in element.iterdescendants())


def _all_in(element: Element, tags: tuple[str, ...]) -> bool:
    """Whether all words of an element stand in one child of those tags."""
    return len(element) == 1 and element[0].tag in tags and not (element.text or "").strip() and not (
        element[0].tail or "").strip()


def _anchor(heading: Element) -> str:
    """The id by which a heading is linked to: its own, that of a link in it or beside it, or its section's."""
    if own := heading.get("id"):
        return own
    for inner in heading.iterdescendants():
        if isinstance(inner.tag, str) and (found := inner.get("id") or (inner.get("name") if inner.tag == "a" else "")):
            return found
    for link in (*heading.iter("a"), *_beside(heading)):
        href = link.get("href") or ""
        if href.startswith("#") and len(href) > 1:
            return href[1:]
    parent = heading.getparent()
    if parent is not None and parent.tag in ("section", "div", "article", "li", "header") and parent[0] is heading:
        return parent.get("id") or ""
    return ""


def _beside(heading: Element) -> Iterator[Element]:
    after = heading.getnext()
    if after is not None and after.tag == "a":
        yield after
