"""How a page is divided by its headings: what stands under which, and what is left out of it."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from lxml.etree import _Element as Element

from extractors.addresses import Addresses
from extractors.clean import NAME_CAP, TITLE_CAP, clean
from extractors.dom import text_of

PARTS_CAP = 500  # headings, facts or header elements looked at in one page
FAQ = frozenset({"frequently asked questions", "faq", "faqs", "questions and answers", "common questions"})
_HEADS = ("h1", "h2")
_NO_TEXT = frozenset({"dl", "figure", "img", "aside", "nav", "form", "footer", "header", "picture", "button", "table"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How a site names and links its parts; labels are written casefolded and without a closing colon."""

    sections: Mapping[str, str]  # h2 label → field
    facts: Mapping[str, str] = field(default_factory=dict)  # dt label → field
    links: Mapping[str, str] = field(default_factory=dict)  # field → path prefix: {"category": "/category/"}
    milestones: Addresses = field(default_factory=lambda: Addresses(("/timeline/",)))
    year_only: bool = False  # the header's <time> is cut to the year, a month may be known elsewhere
    prefixes: tuple[tuple[str, str], ...] = field(init=False)  # `links`, as they are looked up for every link

    def __post_init__(self) -> None:
        object.__setattr__(self, "prefixes", tuple(self.links.items()))


class Section(NamedTuple):
    """A heading and what stands under it."""

    label: str  # as it is compared
    written: str  # as it stands in the page
    heading: Element
    content: tuple[Element, ...]
    loose: str  # text directly under the heading, outside any element


class Outline(NamedTuple):
    """A page's parts as its headings divide it."""

    root: Element
    article: Element
    header: Element
    titles: tuple[Element, ...]
    sections: tuple[Section, ...]


def label_of(text: str) -> str:
    """A heading as it is compared: casefolded, without a closing colon. "Why it mattered?" stays a question."""
    return text.casefold().rstrip(": ")


def divide(root: Element, plan: Plan) -> Outline:
    """Divide a page; questions and answers are left out, whatever their headings say."""
    heads = list(root.iter(*_HEADS))
    headed = _holders(heads)
    firsts = [head for head in heads if head.tag == "h1"][:PARTS_CAP]
    seconds = [head for head in heads if head.tag == "h2"][:PARTS_CAP]
    titles = [head for head in firsts if text_of(head, TITLE_CAP)]
    article = next((one for one in root.iter("article") if next(one.iter("h1"), None) is not None), None)
    if article is None:
        article = next(root.iter("article"), root)
    header = next(article.iter("header"), None)
    if header is None:
        own = next((head for head in titles if article in head.iterancestors()), *titles[:1]) if titles else article
        header = next(own.iterancestors("header"), article) if titles else article
    sections: list[Section] = []
    barred: list[Element] = []
    for head in seconds:
        if barred and any(parent in barred for parent in head.iterancestors()):
            continue
        written = text_of(head, TITLE_CAP)
        label = label_of(written)
        if label in FAQ:
            barred += _container(head)
        at = head
        parent = head.getparent()
        if parent is not None and parent.tag in ("header", "hgroup") and next(parent.iter("h1"), None) is None:
            at = parent
        sections.append(Section(label, written, head, _following(at, headed, plan), at.tail or ""))
    return Outline(root, article, header, tuple(titles), tuple(sections))


def _container(head: Element) -> tuple[Element, ...]:
    """The section that a heading opens, when it has one of its own."""
    parent = head.getparent()
    while parent is not None and parent.tag in ("header", "div", "section", "aside"):
        if next(parent.iter("h2")) is not head or next(parent.iter("h1"), None) is not None:
            return ()
        if parent.tag in ("section", "aside") or len(parent) > 1:
            return (parent,)
        parent = parent.getparent()
    return ()


def _holders(heads: Iterable[Element]) -> set[Element]:
    """The headings and all that they stand in, worked out once: asking each element for its headings takes longer."""
    found: set[Element] = set()
    for head in heads:
        at: Element | None = head
        while at is not None and at not in found:
            found.add(at)
            at = at.getparent()
    return found


def _following(element: Element, headed: Set[Element], plan: Plan) -> tuple[Element, ...]:
    """What stands under a heading: up to the next one, and up to words that are a heading in all but their tag."""
    found = []
    for sibling in element.itersiblings():
        if sibling in headed:
            break
        if not len(sibling) and (text := sibling.text) and _is_label(text, plan):
            break
        found.append(sibling)
        if (tail := sibling.tail) and not tail.isspace() and _is_label(tail, plan):
            break
    return tuple(found)


def _is_label(text: str, plan: Plan) -> bool:
    if len(text) > NAME_CAP and "  " not in text:  # a paragraph; cleaning it only to see that takes its time
        return False
    return label_of(clean(text, NAME_CAP)) in plan.sections


def blocks_of(section: Section) -> tuple[str, ...]:
    """The blocks of text under a heading, each once; lists of facts, pictures and asides are not of the text."""
    blocks = [clean(section.loose)]
    for element in section.content:
        if element.tag not in _NO_TEXT:
            blocks.append(text_of(element))
        if (tail := element.tail) and not tail.isspace():
            blocks.append(clean(tail))
    return tuple(dict.fromkeys([block for block in blocks if block]))


def entries_of(section: Section) -> tuple[list[tuple[Element, str]], bool]:
    """(list items with their words, whether the lists are whole: each child an item with words, no words beside)."""
    found: list[tuple[Element, str]] = []
    whole = True
    for element in section.content:
        for one in element.iter("li", "ul", "ol"):
            if one.tag == "li":
                words = text_of(one, NAME_CAP)
                whole = whole and bool(words)
                found.append((one, words))
            else:
                whole = whole and is_list(one)
    return found, whole


def is_list(element: Element) -> bool:
    """Whether a list holds nothing but items."""
    if (text := element.text) and not text.isspace():
        return False
    return all(item.tag == "li" and ((tail := item.tail) is None or tail.isspace()) for item in element)
