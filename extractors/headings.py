"""The headings witness: what a page's own HTML says, by its headings, its header, its fact list and its links."""

import re
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import replace
from functools import lru_cache
from itertools import islice, zip_longest

from lxml.etree import _Element as Element

from extractors.clean import (
    LIST_CAP,
    NAME_CAP,
    TEXT_CAP,
    TITLE_CAP,
    URL_CAP,
    clean,
    is_void,
    slug_after,
    slugify,
    slugs_after,
)
from extractors.dom import date_of, language, text_of
from extractors.outline import FAQ, PARTS_CAP, Outline, Plan, Section, blocks_of, entries_of, is_list, label_of
from extractors.pictures import Pictures
from extractors.reconcile import Claim, date_claim
from extractors.written_dates import NOTHING, Reading, read_date
from milepost.dates import PartialDate
from milepost.fields import of_type

WITNESS = "headings"
LISTS = frozenset(of_type("names", "slugs"))
_TEXTS = frozenset(of_type("prose"))
_IMPACT = re.compile(r"(?:impact(?: level)?:?\s*)?([1-5])\s*(?:of|/|out of)\s*5", re.IGNORECASE)
_STARS = re.compile(r"(?:impact:?\s*)?(★{1,5})(☆{0,4})", re.IGNORECASE)


@lru_cache(maxsize=1024)
def impact_of(text: str) -> int | None:
    """Read "Impact level 4 of 5", "4 / 5", "★★★★☆"."""
    line = clean(text, NAME_CAP)
    if match := _IMPACT.fullmatch(line):
        return int(match[1])
    if match := _STARS.fullmatch(line):
        return len(match[1])
    return None


@lru_cache(maxsize=4096)
def is_mark(text: str) -> bool:
    """Whether a short text is a mark and nobody's name: stars, "Impact: 5 out of 5", figures, a date."""
    if not any(map(str.isalpha, text)):
        return True
    if "★" not in text and not any(map(str.isdecimal, text)):  # nearly every name; neither is written without
        return False
    return impact_of(text) is not None or read_date(text).date is not None


def claims(page: Outline, plan: Plan, shown: Pictures) -> list[Claim]:
    """Everything the HTML says, save its related cards."""
    told = [Claim("title", text_of(head, TITLE_CAP), WITNESS, "h1") for head in page.titles[:3]]
    told += _header_claims(page, plan)
    seen, sections = _section_claims(page, plan)
    told += sections
    terms = [(term, text_of(term, NAME_CAP)) for term in islice(page.article.iter("dt"), PARTS_CAP)]
    told += _fact_claims(terms, plan)
    told += _image_claims(page, plan, shown)
    if missing := LISTS - seen:
        missing -= {claim.field for claim in told}
        told += _absent(page, plan, [label_of(label) for _, label in terms], missing)
    return told


def _section_claims(page: Outline, plan: Plan) -> tuple[set[str], list[Claim]]:
    """(the fields that have a heading, what stands under them)."""
    seen: set[str] = set()
    told: list[Claim] = []
    texts: dict[str, tuple[tuple[str, ...], str]] = {}
    for section in page.sections:
        name = plan.sections.get(section.label)
        if not name or name == "related":
            continue
        seen.add(name)
        where = f"h2 {section.written}"
        if name in LISTS:
            value, whole = _list_under(section, name, plan)
            if value:  # a list that is damaged is asked for its opinion and not followed
                told.append(Claim(name, value, WITNESS, where, part=not whole))
            continue
        blocks = blocks_of(section)
        if blocks and not is_void(blocks[0]):
            if name in texts:
                told.append(Claim(name, _joined(blocks), WITNESS, where))
            else:
                texts[name] = blocks, where
    # With one of the texts gone, another one of several blocks may have swallowed it.
    lost = any(name not in texts for name in plan.sections.values() if name in _TEXTS)
    told += [
        Claim(name, _joined(blocks), WITNESS, where, part=lost and len(blocks) > 1)
        for name, (blocks, where) in texts.items()
    ]
    return seen, told


def _joined(blocks: tuple[str, ...]) -> str:
    return blocks[0] if len(blocks) == 1 else clean(" ".join(blocks))  # each is clean


def _list_under(section: Section, name: str, plan: Plan) -> tuple[tuple[str, ...], bool]:
    """(the entries under a heading, or the commas of its line when it is no list; whether the list is whole)."""
    entries, whole = entries_of(section)
    found = [words for _, words in entries]
    if not entries and len(section.content) <= 1:
        found = [clean(part, NAME_CAP) for block in blocks_of(section) for part in block.split(",")]
    if name == "tags":
        prefix = plan.links.get("tags")
        links = [_first_link(item) for item, _ in entries] if prefix else []
        slugs = [slug_after(link.get("href"), prefix) if prefix and link is not None else None for link in links]
        found = [slug or slugify(words.removeprefix("#"))
                 for slug, words in zip_longest(slugs, found, fillvalue="") if slug or words]
    return _entries(found, name), whole


def _first_link(element: Element) -> Element | None:
    first = element[0] if len(element) else None
    return first if first is None or first.tag == "a" else next(element.iter("a"), None)


def _entries(found: list[str], name: str) -> tuple[str, ...]:
    """The entries of a list that can be entries, each once: a mark is no name."""
    kept = [one for one in found[:LIST_CAP] if one and not is_void(one) and (name == "tags" or not is_mark(one))]
    return tuple(dict.fromkeys(kept))


def _absent(page: Outline, plan: Plan, terms: Sequence[str], missing: Set[str]) -> Iterator[Claim]:
    """A list without its heading is empty, provided that every heading of the article is one we know.

    `terms`: those of its fact lists, as they are compared; `missing`: lists that have no heading and are told nowhere.
    """
    for section in page.sections:
        known = section.label in plan.sections or section.label in FAQ
        if not known and page.article in section.heading.iterancestors():
            return
    if any(term not in plan.facts for term in terms):
        return
    said: set[tuple[str, str]] = set()
    for kind, labels in (("h2", plan.sections), ("dt", plan.facts if terms else {})):
        for label, name in labels.items():
            if name in missing and label not in terms and (kind, name) not in said:
                said.add((kind, name))
                yield Claim(name, (), WITNESS, f"no {kind} {label.title()}")


def _header_claims(page: Outline, plan: Plan) -> list[Claim]:
    told: list[Claim] = []
    header = page.header
    dated = weighed = False
    for node in islice(header.iter("time", "a", "div", "span", "p", "abbr", "meter"), PARTS_CAP):
        tag = node.tag
        if tag == "time":
            if not dated:
                told += date_claim(_floor(date_of(node), plan), WITNESS, "header time")
            dated = True
        elif tag == "a":
            told += _linked(node, plan, "header link")
        else:
            level = node.get("aria-label") or (node.text if not len(node) else None)
            impact = impact_of(level) if level and level != "Impact" else None
            if impact is not None:
                weighed = True
                told.append(Claim("impact", impact, WITNESS, "header impact"))
    if not weighed:  # stars or figures that stand in elements of their own
        for node in islice(header.iter("div", "span", "p", "dd"), PARTS_CAP // 10):
            if 0 < len(node) <= 6 and (impact := impact_of(text_of(node, NAME_CAP).replace("★ ", "★"))) is not None:
                told.append(Claim("impact", impact, WITNESS, "header impact"))
                break
    return told + _link_claims(page, plan)


def _floor(told: Reading, plan: Plan) -> Reading:
    if plan.year_only and told.date is not None and told.date.month is None:
        return _unsettled(told.date)
    return told


@lru_cache(maxsize=1024)  # there are no more years than that
def _unsettled(date: PartialDate) -> Reading:
    return Reading(replace(date, confirmed=False))


def _link_claims(page: Outline, plan: Plan) -> list[Claim]:
    """The breadcrumb above the article and the "Part of …" line below it name the era and category once more."""
    told: list[Claim] = []
    for nav in page.root.iter("nav"):
        if "breadcrumb" in (nav.get("aria-label") or "").casefold():
            told += _slugs(nav, plan, "breadcrumb")
            break
    for line in islice(page.article.iter("p"), PARTS_CAP):
        if (text := line.text) and text.lstrip().startswith("Part of"):
            told += _slugs(line, plan, "p Part of")
    return told


def _slugs(element: Element, plan: Plan, where: str) -> list[Claim]:
    return [claim for link in islice(element.iter("a"), LIST_CAP) for claim in _linked(link, plan, where)]


def _linked(link: Element, plan: Plan, where: str) -> Sequence[Claim]:
    href = link.get("href")
    slugs = slugs_after(href[:URL_CAP], plan.prefixes) if href else ()
    return [Claim(name, slug, WITNESS, where) for name, slug in slugs if name != "tags"] if slugs else ()


def _fact_claims(terms: Iterable[tuple[Element, str]], plan: Plan) -> Iterator[Claim]:
    """A list of facts: <dt>Category</dt><dd>…</dd>; `terms` with their words."""
    for term, label in terms:
        name = plan.facts.get(label_of(label))
        fact = term.getnext() if name is not None else None
        if name is None or fact is None or fact.tag != "dd":
            continue
        where = f"dt {label}"
        text = text_of(fact, TEXT_CAP)
        if not text or is_void(text):
            continue
        if name == "date":
            time = next(fact.iter("time"), None)
            told = read_date(time.get("datetime")) if time is not None else NOTHING
            if told.date is None:
                told = read_date(text, language(fact))
            yield from date_claim(_floor(told, plan), WITNESS, where)
        elif name == "impact":
            spoken = (text, *(node.get("aria-label") or "" for node in fact.iter()))
            levels = [level for words in spoken if (level := impact_of(words)) is not None]
            if levels:
                yield Claim("impact", levels[0], WITNESS, where)
        elif name in LISTS:
            found, doubtful = _fact_names(term, name)
            yield Claim(name, found, WITNESS, where, part=doubtful)
        elif name in plan.links:
            linked = [slug_after(link.get("href"), plan.links[name]) for link in fact.iter("a")]
            slug = next(filter(None, linked), None)
            yield Claim(name, slug or slugify(text), WITNESS, where, label="" if slug else text)
        else:
            yield Claim(name, text, WITNESS, where)


def _fact_names(term: Element, name: str) -> tuple[tuple[str, ...], bool]:
    """(the names of a fact, whether they are in doubt): several <dd>, list items, links, or one line with commas."""
    found: list[str] = []
    builds: set[str] = set()
    doubtful = False
    for fact in term.itersiblings():
        if fact.tag != "dd":
            break
        items = list(fact.iter("li")) if len(fact) else []
        nodes = items or (list(fact.iter("a")) if len(fact) else [])
        if nodes:
            found += [text_of(node, NAME_CAP) for node in nodes]
            doubtful = doubtful or not all(is_list(one) for one in fact.iter("ul", "ol"))
        else:
            pieces = text_of(fact).split(",")
            found += [clean(piece, NAME_CAP) for piece in pieces]
            # "Royal Observatory, Greenwich" is one organization: commas alone are an opinion.
            doubtful = doubtful or (len(pieces) > 1 and name == "organizations")
        builds.add("li" if items else "a" if nodes else "text")
    if name == "tags":
        found = [slugify(one.removeprefix("#")) for one in found]
    else:  # a neighbour's facts are no names
        doubtful = doubtful or any(one.startswith("#") or (one and is_mark(one)) for one in found)
    # <dd>s of several builds: one of them may belong to a <dt> that is gone.
    doubtful = doubtful or len(builds) > 1
    return _entries(found, name), doubtful


def _image_claims(page: Outline, plan: Plan, shown: Pictures) -> Iterator[Claim]:
    """The picture of the page that is not part of a card or of the site's own frame."""
    found = shown.pick(
        image for image in islice(page.root.iter("img"), PARTS_CAP) if not any(
            parent.tag == "nav" or (parent.tag == "a" and plan.milestones.key(parent.get("href")))
            for parent in image.iterancestors("nav", "a")
        )
    )
    if found.image is not None or not found.hidden:  # of a picture that only a script can find nothing is said
        yield Claim("image", found.image, WITNESS, "img" if found.image else "no img")
