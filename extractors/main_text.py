"""The main text of a page that no heading names: the element round which its paragraphs cluster, by a measured rule.

    tree ─▶ blocks (words that stand together, and how many of them are links) ─▶ weight of each element around them
         ─▶ itemprop articleBody, a body's own class, else the heaviest element ─▶ its blocks, without what stands aside
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, takewhile
from typing import Literal, NamedTuple

from lxml.etree import _Element as Element

from extractors.clean import TEXT_CAP, clean
from extractors.dom import BLOCKS
from milepost import text_shape

_HEADS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_APART = frozenset({"nav", "aside", "footer", "form", "button", "figure", "figcaption", "dialog", "audio", "video",
                    "input", "label", "menu"})
_ROLES = frozenset({
    "navigation", "complementary", "banner", "contentinfo", "search", "dialog", "alert", "menu", "form",
})
_LOOSE = frozenset({"div", "section", "article", "main", "body", "td", "html", "center", "span", "font", "header"})
# What sites call the parts of a page that stand beside an article, as words of a class or an id.
_ASIDE = re.compile(
    r"(?<![a-z])(?:comments?|disqus|discussion|related|recommend\w*|read-?more|more-?(?:on|from|stories|news)|shar(?:e|ing)\w*"
    r"|social\w*|newsletter\w*|promo\w*|side-?bar\w*|ad(?:s|vert\w*)?|sponsor\w*|cookie\w*|consent|subscri\w*|pop-?up|modal"
    r"|bread-?crumbs?|by-?line|authors?(?:-?(?:bio|box|info|card|name))?|tags|tag-?list|(?<!elementor-)widget\w*|foot(?:er)?|menu|nav\w*"
    r"|outbrain|taboola|teasers?|captions?|credits?|copyright|pager|pagination|toolbar|print|rating|skip|toc|trending|popular"
    r"|signup|sign-up|login|register|banner|meta|post-?meta|entry-?(?:meta|footer|utility)|timestamp|dateline|pub-?date"
    r"|screen-reader\w*|sr-only|visually-?hidden|no-?print|jp-\w+|sharedaddy|author\w*bio|follow\w*|feedback"
    r"|infobox|navbox|reference\w*|footnotes?|mw-editsection|catlinks)(?![a-z])"
)
_COMMENTS = re.compile(r"comment|disqus|related|teaser|promo|recommend")
_BODY = re.compile(
    r"(?<![\w-])(?:entry-content|e-content|article-?_*(?:body|content|text)|post-?_*(?:body|content|text)|story-?_*(?:body|content|text)"
    r"|(?:td-)?post-content|articletext|field-name-body|blog-?_*(?:post-)?content|news-?_*(?:body|content|text))(?![\w-])"
)
_LEAST = 25  # characters of a block that weighs
_MOST = 1_000  # characters that a block weighs at most
_FADING = (1.0, 0.6, 0.3, 0.15)  # of a block's weight: for what it stands in, what that stands in, …
_MAJOR = 0.4  # of all text: what holds so much is no aside, whatever it is called
_NAMED = 0.3  # of the heaviest: a body that is called one
_NEAR = 1.25  # what is around the heaviest is the body too where it holds little more
_OWN = 0.25  # of the heaviest: what the page calls its article …
_OWN_LEAST = 250.0  # … and holds so many characters
_NEARBY = 6  # elements around a text in which pieces of it are looked for
_MANY = 0.5  # of all text
_LINE = 300  # characters of a line of links
_SHORT = 80  # characters of a line that is a sentence or nothing
_ENDS = ".!?…。！？:;\"”»'’“)"
_LINKED = 0.5  # of a block's words, from which it is a line of links
_BLOCK_CAP = 5_000


class Block(NamedTuple):
    """Words that stand together."""

    element: Element  # the block element that they stand in
    kind: Literal["paragraph", "item", "heading", "code"]
    text: str
    linked: int  # characters of it inside links
    depth: int = 0  # of an item: lists around its own
    mark: str = "-"


class MainText(NamedTuple):
    """What a page tells in its main part."""

    element: Element
    blocks: tuple[Block, ...]
    where: str  # how it was found: "itemprop articleBody", "class entry-content", "paragraphs"

    def written(self) -> str:
        """The text with its paragraphs, lists and code, as records keep it."""
        shaped = [
            text_shape.Block("code" if one.kind == "code" else "item" if one.kind == "item" else "paragraph",
                             one.text, one.depth, one.mark)
            for one in self.blocks
        ]
        return text_shape.written(shaped, TEXT_CAP)


def named(elements: Sequence[Element], where: str) -> MainText | None:
    """The text of elements that somebody named; None without words."""
    blocks = [block for element in elements for block in blocks_of(element)]
    return MainText(elements[0], tuple(blocks), where) if blocks else None


def blocks_of(element: Element) -> list[Block]:
    """All blocks in an element, save what is never text."""
    walk = _Walk({}, 0, element)
    walk.block(element)
    return walk.blocks


def main_text(root: Element, *, article: Element | None = None, leave_out: Iterable[str] = ()) -> MainText | None:
    """The page's main text; None where no paragraph says anything.

    `article`: what the page says is its article, where it says so. `leave_out`: texts that are not of it, as its title.
    """
    weights = _weights(root)
    walk = _Walk(weights, weights.get(root, 0), root)
    walk.block(root)
    heavy = [(block, weight) for block in walk.blocks if (weight := _weight(block))]
    if not heavy:
        return None
    held = _held(heavy)
    if article is not None and held.get(article, 0.0) >= max(_OWN * max(held.values()), _OWN_LEAST):
        heavy = [(block, weight) for block, weight in heavy if _is_in(block.element, (article,))]
        held, root = _held(heavy), article
    holders, where = _named_bodies(held), "articleBody"
    if not holders:
        holders, where = _clustered(heavy, held, root), "paragraphs"
    holders = _alike(holders, heavy)
    said = {" ".join(text.split()).casefold() for text in leave_out}
    blocks = _fit([
        block for block in walk.blocks if block.text.casefold() not in said and _is_in(block.element, holders)
    ])
    return MainText(holders[0], tuple(blocks), where) if blocks else None


def _held(heavy: Sequence[tuple[Block, float]]) -> dict[Element, float]:
    """The weight of all blocks in each element."""
    held: dict[Element, float] = defaultdict(float)
    for block, weight in heavy:
        at: Element | None = block.element
        while at is not None:
            held[at] += weight
            at = at.getparent()
    return held


def _named_bodies(held: Mapping[Element, float]) -> list[Element]:
    """The elements that say themselves that they are the body (schema.org, microformats, common templates)."""
    heaviest = max(held.values())
    found: list[Element] = []
    for element, weight in held.items():
        if weight < _NAMED * heaviest:
            continue
        names = element.get("class")
        if "articleBody" in (element.get("itemprop") or "").split() or (names and _BODY.search(names.lower())):
            found.append(element)
    return [max(found, key=lambda one: held[one])] if found else []


def _clustered(heavy: Sequence[tuple[Block, float]], held: Mapping[Element, float], root: Element) -> list[Element]:
    """The element round which the paragraphs cluster; what is around it, where that holds little more."""
    scores: dict[Element, float] = defaultdict(float)
    for block, weight in heavy:
        at: Element | None = block.element if block.element.tag in _LOOSE else _around(block.element)
        for fading in _FADING:
            if at is None:
                break
            scores[at] += weight * fading
            at = at.getparent()
    best = max(scores, key=lambda one: scores[one])
    while best is not root and (around := best.getparent()) is not None and held[around] <= _NEAR * held[best]:
        best = around
    return [best]


def _alike(holders: list[Element], heavy: Sequence[tuple[Block, float]]) -> list[Element]:
    """The holders, and what holds paragraphs of the same build not far from them: a text that others interrupt."""
    builds: dict[tuple[str, ...], float] = defaultdict(float)
    for block, weight in heavy:
        if _is_in(block.element, holders):
            builds[_build(block.element)] += weight
    if not builds:
        return holders
    build = max(builds, key=lambda one: builds[one])
    around = holders[0]
    for at in islice(holders[0].iterancestors(), _NEARBY):
        around = at
        if at.tag in ("article", "main"):
            break
    further = [
        _around(block.element) for block, _ in heavy
        if _build(block.element) == build and not _is_in(block.element, holders) and _is_in(block.element, (around,))
    ]
    return list(dict.fromkeys([*holders, *further]))


def _build(element: Element) -> tuple[str, ...]:
    """What paragraphs of one text have in common: what they are and stand in, and what that is called."""
    around = (f"{at.tag} {at.get('class') or ''}" for at in islice(element.iterancestors(), 3))
    return (str(element.tag), *around)


def _fit(blocks: list[Block]) -> list[Block]:
    """The blocks without lines of links, short lines that are no sentence, and headings that nothing stands under."""
    kept = [
        block for block in blocks
        if not (block.linked > _LINKED * len(block.text) and len(block.text) < _LINE)
        and not (block.kind == "paragraph" and len(block.text) < _SHORT and block.element.tag in _LOOSE
                 and block.text[-1] not in _ENDS)
    ]
    return [
        block for at, block in enumerate(kept)
        if block.kind != "heading" or (
            block.element.tag != "h1" and at + 1 < len(kept) and kept[at + 1].kind != "heading"
        )
    ]


def _weight(block: Block) -> float:
    own = len(block.text) - 2 * block.linked
    if block.kind == "heading" or own < _LEAST:
        return 0.0
    return min(own, _MOST) * (0.5 if block.kind == "item" else 1.0)


def _around(element: Element) -> Element:
    """What a paragraph, or the list of an item, stands in."""
    parent = element.getparent()
    while parent is not None and parent.tag not in _LOOSE:
        element, parent = parent, parent.getparent()
    return element if parent is None else parent


def _is_in(element: Element, holders: Sequence[Element]) -> bool:
    at: Element | None = element
    while at is not None:
        if at in holders:
            return True
        at = at.getparent()
    return False


def _weights(root: Element) -> dict[Element, int]:
    """Characters outside links in each element, and in all of its name: an aside is not told from its name alone."""
    found: dict[Element, int] = {}
    elements = list(root.iter())
    for element in reversed(elements):
        own = len(element.text.strip()) if element.text and element.tag != "a" else 0
        found[element] = held = found.get(element, 0) + own
        parent = element.getparent()
        if parent is not None:
            found[parent] = found.get(parent, 0) + held + (len(element.tail.strip()) if element.tail else 0)
    return found


class _Walk:
    """Goes through a tree once and gathers its blocks."""

    def __init__(self, weights: dict[Element, int], total: int, root: Element) -> None:
        self.blocks: list[Block] = []
        self._root = root
        self._weights, self._total = weights, total
        self._words: list[str] = []
        self._linked = 0
        self._links = 0  # <a> that are open
        self._names: dict[str | None, int] | None = None  # class → characters in all elements of it

    def block(self, element: Element) -> None:
        if self._is_apart(element) or len(self.blocks) >= _BLOCK_CAP:
            return
        if element.tag == "pre":
            text = "\n".join(line.rstrip() for line in "".join(map(str, element.itertext())).strip("\n").split("\n"))
            if text.strip():
                self.blocks.append(Block(element, "code", text[:TEXT_CAP], 0))
            return
        self._inside(element, element)
        self._flush(element)

    def _inside(self, element: Element, holder: Element) -> None:
        self._say(element.text)
        for child in element:
            tag = child.tag
            if tag == "br":
                if self._words and self._words[-1] == "\n":
                    self._flush(holder)
                else:
                    self._words.append("\n")
            elif tag in BLOCKS or tag == "center":
                self._flush(holder)
                self.block(child)
            elif not self._is_apart(child):
                self._links += tag == "a"
                self._inside(child, holder)
                self._links -= tag == "a"
            self._say(child.tail)

    def _say(self, words: str | None) -> None:
        if words:
            if self._words and self._words[-1] == "\n" and not words.strip():
                return
            self._words.append(words)
            if self._links:
                self._linked += len(words.strip())

    def _flush(self, holder: Element) -> None:
        if not self._words:
            return
        text, linked = clean("".join(self._words)), self._linked
        self._words, self._linked = [], 0
        if not text:
            return
        if holder.tag in _HEADS:
            self.blocks.append(Block(holder, "heading", text, linked))
            return
        item = holder if holder.tag == "li" else holder.getparent()
        begun = item is not None and self.blocks and _is_in(self.blocks[-1].element, (item,))
        if item is not None and item.tag == "li" and item is not self._root and not begun:
            within = takewhile(lambda one: one is not self._root, item.iterancestors())
            lists = [one for one in within if one.tag in ("ul", "ol")]
            mark = "-"
            if lists and lists[0].tag == "ol":
                mark = f"{1 + sum(1 for _ in item.itersiblings('li', preceding=True))}."
            self.blocks.append(Block(holder, "item", text, linked, max(len(lists) - 1, 0), mark))
            return
        self.blocks.append(Block(holder, "paragraph", text, linked))

    def _is_apart(self, element: Element) -> bool:
        """Whether an element stands beside the text, by what it is or what it is called, and by how little it holds."""
        if not self._weights:
            return element.tag in ("nav", "form", "button", "figcaption")
        if element.tag not in _APART and not _is_called_aside(element):
            return False
        return self._weights.get(element, 0) < _MAJOR * self._total and not self._is_many(element)

    def _is_many(self, element: Element) -> bool:
        """Whether the elements of the same name hold most of the text together: a text in pieces is no aside."""
        names = element.get("class")
        if not names or element.tag in _APART or _COMMENTS.search(names.lower()):
            return False
        if self._names is None:
            self._names = defaultdict(int)
            for one, weight in self._weights.items():
                self._names[one.get("class")] += weight
        return self._names[names] >= _MANY * self._total


def _is_called_aside(element: Element) -> bool:
    if element.get("role") in _ROLES or element.get("aria-hidden") == "true" or element.get("hidden") is not None:
        return True
    names = f"{element.get('class') or ''} {element.get('id') or ''}".lower()
    if names != " " and _ASIDE.search(names):
        return True
    return "display:none" in (element.get("style") or "").replace(" ", "").lower()
