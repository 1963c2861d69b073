"""The headings witness: what a page's own HTML says, by its headings, its header, its fact list and its links."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from lxml.etree import _Element as Element

from extractors.clean import (
    LIST_CAP,
    NAME_CAP,
    TEXT_CAP,
    TITLE_CAP,
    clean,
    is_void,
    partial_date,
    slug_after,
    slugify,
    web_url,
)
from extractors.dom import text_of
from extractors.reconcile import Claim
from milepost.dates import PartialDate
from milepost.records import Image

WITNESS = "headings"
LISTS = frozenset({"people", "organizations", "tags"})
FAQ = frozenset({"frequently asked questions", "faq", "faqs", "questions and answers", "common questions"})
_HEADS = ("h1", "h2")
_IMPACT = re.compile(r"(?:impact(?: level)?:?\s*)?([1-5])\s*(?:of|/|out of)\s*5", re.IGNORECASE)
_STARS = re.compile(r"(?:impact:?\s*)?(★{1,5})(☆{0,4})", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How a site names and links its parts; labels are written casefolded and without a closing colon."""

    sections: Mapping[str, str]  # h2 label → field
    facts: Mapping[str, str] = field(default_factory=dict)  # dt label → field
    links: Mapping[str, str] = field(default_factory=dict)  # field → path prefix: {"category": "/category/"}
    milestones: str = "/timeline/"  # path prefix of milestones
    year_only: bool = False  # the header's <time> is cut to the year, a month may be known elsewhere


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


@lru_cache(maxsize=1024)
def impact_of(text: str) -> int | None:
    """Read "Impact level 4 of 5", "4 / 5", "★★★★☆"."""
    line = clean(text, NAME_CAP)
    if match := _IMPACT.fullmatch(line):
        return int(match[1])
    if match := _STARS.fullmatch(line):
        return len(match[1])
    return None


def outline(root: Element) -> Outline:
    """Divide a page; questions and answers are left out, whatever their headings say."""
    titles = [head for head in root.iter("h1") if text_of(head)]
    article = next((one for one in root.iter("article") if next(one.iter("h1"), None) is not None), None)
    if article is None:
        article = next(root.iter("article"), root)
    header = next((one for one in article.iter("header")), None)
    if header is None:
        header = next((parent for parent in titles[0].iterancestors("header")), article) if titles else article
    sections: list[Section] = []
    barred: list[Element] = []
    for head in root.iter("h2"):
        if barred and any(parent in barred for parent in head.iterancestors()):
            continue
        written = text_of(head, TITLE_CAP)
        label = label_of(written)
        if label in FAQ:
            barred += _container(head)
        sections.append(_section(label, written, head))
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


def _section(label: str, written: str, head: Element) -> Section:
    at = head
    loose = at.tail or ""
    content = _following(at)
    while not content and not loose.strip():
        parent = at.getparent()
        if parent is None or parent.tag in ("article", "main", "section", "body", "html") or len(parent) != 1:
            break  # only a wrapper of nothing but the heading is stepped out of
        at = parent
        loose = at.tail or ""
        content = _following(at)
    return Section(label, written, head, content, loose)


def _following(element: Element) -> tuple[Element, ...]:
    found = []
    for sibling in element.itersiblings():
        if sibling.tag in _HEADS or next(sibling.iter(*_HEADS), None) is not None:
            break
        found.append(sibling)
    return tuple(found)


def section_text(section: Section) -> str:
    """The words under a heading, as one line."""
    if len(section.content) == 1 and not section.loose.strip():
        return text_of(section.content[0])
    return clean(" ".join((section.loose, *(f"{text_of(one)} {one.tail or ''}" for one in section.content))))


def entries(section: Section) -> Iterator[Element]:
    """The list items under a heading."""
    for element in section.content:
        yield from element.iter("li")


def names_in(section: Section) -> tuple[str, ...]:
    """The entries under a heading, or the commas of its line when it is no list."""
    items = [text_of(item, NAME_CAP) for item in entries(section)]
    if not items:
        items = [clean(part, NAME_CAP) for part in section_text(section).split(",")]
    return tuple(dict.fromkeys(item for item in items[:LIST_CAP] if item and not is_void(item)))


def slugs_in(section: Section, prefix: str | None) -> tuple[str, ...]:
    """The slugs of a section's links, or of its entries' words where there is no link."""
    found: list[str] = []
    for item in entries(section):
        link = next(item.iter("a"), None) if prefix else None
        slug = slug_after(link.get("href"), prefix) if link is not None and prefix else None
        found.append(slug or slugify(text_of(item, NAME_CAP).removeprefix("#")))
    if not found:
        found = [slugify(name.removeprefix("#")) for name in names_in(section)]
    return tuple(dict.fromkeys(slug for slug in found[:LIST_CAP] if slug))


def claims(page: Outline, plan: Plan, *, url: str) -> list[Claim]:
    """Everything the HTML says, save its related cards."""
    told = [Claim("title", text_of(head, TITLE_CAP), WITNESS, "h1") for head in page.titles[:3]]
    told += _header_claims(page, plan)
    seen: set[str] = set()
    for section in page.sections:
        name = plan.sections.get(section.label)
        if name is None or name == "related":
            continue
        seen.add(name)
        where = f"h2 {section.written}"
        if name == "tags":
            value: str | tuple[str, ...] = slugs_in(section, plan.links.get("tags"))
        elif name in LISTS:
            value = names_in(section)
        else:
            value = section_text(section)
        if value and not (isinstance(value, str) and is_void(value)):
            told.append(Claim(name, value, WITNESS, where))
    told += _fact_claims(page, plan)
    told += _image_claims(page, plan, url)
    told += _absent(page, plan, seen, {claim.field for claim in told})
    return told


def _absent(page: Outline, plan: Plan, seen: set[str], told: set[str]) -> Iterator[Claim]:
    """A list without its heading is empty, provided that every heading of the article is one we know."""
    inside = page.article
    for section in page.sections:
        known = section.label in plan.sections or section.label in FAQ
        if not known and inside in section.heading.iterancestors():
            return
    terms = [label_of(text_of(term, NAME_CAP)) for term in inside.iter("dt")]
    if any(term not in plan.facts for term in terms):
        return
    for kind, labels in (("h2", plan.sections), ("dt", plan.facts if terms else {})):
        for label, name in labels.items():
            if name in LISTS and name not in seen and name not in told and label not in terms:
                yield Claim(name, (), WITNESS, f"no {kind} {label.title()}")


def _header_claims(page: Outline, plan: Plan) -> Iterator[Claim]:
    header = page.header
    dated = weighed = False
    for node in header.iter("time", "a", "div", "span", "p", "abbr", "meter"):
        if node.tag == "time":
            date = partial_date(node.get("datetime")) or partial_date(text_of(node, NAME_CAP))
            if date is not None and not dated:
                yield Claim("date", _floor(date, plan), WITNESS, "header time")
            dated = True
        elif node.tag == "a":
            yield from _linked(node, plan, "header link")
        else:
            level = node.get("aria-label") or (node.text if not len(node) else None)
            impact = impact_of(level) if level and level != "Impact" else None
            if impact is not None:
                weighed = True
                yield Claim("impact", impact, WITNESS, "header impact")
    if not weighed:  # stars or figures that stand in elements of their own
        for node in header.iter("div", "span", "p", "dd"):
            if 0 < len(node) <= 6 and (impact := impact_of(text_of(node, NAME_CAP).replace("★ ", "★"))) is not None:
                yield Claim("impact", impact, WITNESS, "header impact")
                break
    yield from _link_claims(page, plan)


def _floor(date: PartialDate, plan: Plan) -> PartialDate:
    return PartialDate.of(date.year, confirmed=False) if plan.year_only and date.month is None else date


def _link_claims(page: Outline, plan: Plan) -> Iterator[Claim]:
    """The breadcrumb above the article and the "Part of …" line below it name the era and category once more."""
    for nav in page.root.iter("nav"):
        if "breadcrumb" in (nav.get("aria-label") or "").casefold():
            yield from _slugs(nav, plan, "breadcrumb")
            break
    for line in page.article.iter("p"):
        if line.text and line.text.lstrip().startswith("Part of"):
            yield from _slugs(line, plan, "p Part of")


def _slugs(element: Element, plan: Plan, where: str) -> Iterator[Claim]:
    for link in element.iter("a"):
        yield from _linked(link, plan, where)


def _linked(link: Element, plan: Plan, where: str) -> Iterator[Claim]:
    href = link.get("href")
    for name, prefix in plan.links.items():
        if name != "tags" and (slug := slug_after(href, prefix)):
            yield Claim(name, slug, WITNESS, where)


def _fact_claims(page: Outline, plan: Plan) -> Iterator[Claim]:
    """A list of facts: <dt>Category</dt><dd>…</dd>."""
    for term in page.article.iter("dt") if plan.facts else ():
        label = text_of(term, NAME_CAP)
        name = plan.facts.get(label_of(label))
        fact = term.getnext()
        if name is None or fact is None or fact.tag != "dd":
            continue
        where = f"dt {label}"
        text = text_of(fact, TEXT_CAP)
        if not text or is_void(text):
            continue
        if name == "date":
            time = next(fact.iter("time"), None)
            date = partial_date(time.get("datetime") if time is not None else None) or partial_date(text)
            if date is not None:
                yield Claim("date", _floor(date, plan), WITNESS, where)
        elif name == "impact":
            spoken = (text, *(node.get("aria-label") or "" for node in fact.iter()))
            levels = [level for words in spoken if (level := impact_of(words)) is not None]
            if levels:
                yield Claim("impact", levels[0], WITNESS, where)
        elif name in LISTS:
            found, by_commas = _fact_names(term)
            if name == "tags":
                found = tuple(slug for one in found if (slug := slugify(one.removeprefix("#"))))
            # "Royal Observatory, Greenwich" is one organization: commas alone are an opinion, not a value.
            yield Claim(name, found, WITNESS, where, part=by_commas and name == "organizations")
        elif name in plan.links:
            linked = [slug_after(link.get("href"), plan.links[name]) for link in fact.iter("a")]
            yield Claim(name, next(filter(None, linked), slugify(text)), WITNESS, where)
        else:
            yield Claim(name, text, WITNESS, where)


def _fact_names(term: Element) -> tuple[tuple[str, ...], bool]:
    """(the names of a fact, whether only commas parted them): several <dd>, list items, links, or one line."""
    found: list[str] = []
    by_commas = False
    for fact in term.itersiblings():
        if fact.tag != "dd":
            break
        nodes = list(fact.iter("li")) or list(fact.iter("a"))
        if nodes:
            found += [text_of(node, NAME_CAP) for node in nodes]
        else:
            pieces = text_of(fact).split(",")
            by_commas = by_commas or len(pieces) > 1
            found += [clean(piece, NAME_CAP) for piece in pieces]
    return tuple(dict.fromkeys(name for name in found[:LIST_CAP] if name and not is_void(name))), by_commas


def _image_claims(page: Outline, plan: Plan, url: str) -> Iterator[Claim]:
    """The first picture of the page that is not part of a card or of the site's own frame."""
    for picture in page.root.iter("img"):
        if any(
            parent.tag == "nav" or (parent.tag == "a" and slug_after(parent.get("href"), plan.milestones))
            for parent in picture.iterancestors("nav", "a")
        ):
            continue
        source = picture.get("src") or picture.get("data-src")
        address = web_url(source, url)
        if address:
            yield Claim("image", Image(url=address, alt=clean(picture.get("alt"), TITLE_CAP)), WITNESS, "img")
        elif source:
            continue
        return
    yield Claim("image", None, WITNESS, "no img")
