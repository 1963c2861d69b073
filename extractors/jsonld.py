"""The JSON-LD witness: schema.org blocks of a page, read through a table of places, trusted to have no shape."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from extractors import pictures
from extractors.clean import (
    LIST_CAP,
    NAME_CAP,
    TEXT_CAP,
    TITLE_CAP,
    URL_CAP,
    clean,
    is_void,
    slugify,
    slugs_after,
    unescape,
    url_path,
    web_url,
)
from extractors.headings import is_mark
from extractors.reconcile import Claim, date_claim
from extractors.written_dates import Reading, read_date
from milepost.dates import PartialDate
from milepost.fields import FIELD, of_type
from milepost.records import Image
from milepost.same import pieces

WITNESS = "json-ld"
_DECODER = json.JSONDecoder(strict=False)  # line breaks inside strings are read as meant
_SLUGS = frozenset(of_type("slug"))
_NODE_CAP = 2_000  # nodes looked at in one page
_CAPS = dict.fromkeys(of_type("line"), TITLE_CAP) | dict.fromkeys(of_type("slug"), NAME_CAP)


class Blocks(NamedTuple):
    """The nodes at the top of a page's blocks, and a sentence for each block that could not be read."""

    nodes: tuple[dict[str, Any], ...]
    problems: tuple[tuple[str, str], ...]  # (where, what is wrong)
    language: str = ""  # of the page's words, as its document says


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Where a site's JSON-LD keeps each field; places are dotted paths below the article ("about.description")."""

    types: tuple[str, ...] = ("Article", "NewsArticle", "BlogPosting", "TechArticle")
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # field → places
    dates: tuple[str, ...] = ()
    padded: bool = False  # months and days that are not known are written as 01
    names: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)  # field → (place, @type it counts)
    # field → the place whose presence, without any such name in it, says that there are none
    empty_when: Mapping[str, str] = field(default_factory=dict)
    keywords: str | None = None
    image: str | None = None
    crumbs: Mapping[str, str] = field(default_factory=dict)  # field → path prefix of the breadcrumb that tells it
    prefixes: tuple[tuple[str, str], ...] = field(init=False)  # `crumbs`, as they are looked up for every one

    def __post_init__(self) -> None:
        object.__setattr__(self, "prefixes", tuple(self.crumbs.items()))


def read_blocks(texts: Sequence[str], language: str = "") -> Blocks:
    """Parse blocks; one that is broken is left out and reported, the others count."""
    nodes: list[dict[str, Any]] = []
    problems: list[tuple[str, str]] = []
    for number, text in enumerate(texts, 1):
        try:
            data = _decoded(text.strip().removeprefix("<!--").removesuffix("-->"))
        except ValueError as error:
            problems.append((f"block {number}", f"not readable: {error}"[:NAME_CAP]))
            continue
        except RecursionError:
            problems.append((f"block {number}", "not readable: nested too deeply"))
            continue
        nodes += _top(data)
    return Blocks(tuple(nodes[:_NODE_CAP]), tuple(problems), language)


def _decoded(text: str) -> object:
    """What a text holds that is JSON as a whole; raises ValueError or RecursionError where it isn't."""
    if text[:1] == "{":  # nearly every block: there is no white space around it to be looked for
        data, end = _DECODER.raw_decode(text)
        if end == len(text):
            return data
    return _DECODER.decode(text)


def _top(data: object) -> list[dict[str, Any]]:
    """The nodes of a block: one, a list of them, a @graph of them, and what a page says that it is about."""
    found: list[dict[str, Any]] = []
    pending = [data]
    while pending and len(found) < _NODE_CAP:
        value = pending.pop()
        if isinstance(value, list):
            pending += reversed(value)
        elif isinstance(value, dict):
            found.append(value)
            graph = value.get("@graph")
            if isinstance(graph, list):
                pending += reversed(graph)
            if isinstance(main := value.get("mainEntity"), dict):  # of a WebPage: its article
                pending.append(main)
    return found


def is_a(node: Mapping[str, Any], types: Sequence[str]) -> bool:
    """Whether a node's @type (one or a list, with or without the vocabulary's address) is one of `types`."""
    kind = node.get("@type")
    if kind.__class__ is str:
        return kind in types or ("/" in kind and kind.rpartition("/")[2] in types)
    return isinstance(kind, list) and any(str(one).rpartition("/")[2] in types for one in kind)


def find_article(blocks: Blocks, types: Sequence[str], url: str) -> dict[str, Any] | None:
    """The node that is this page: of several, the one that names the page's own path."""
    found = [node for node in blocks.nodes if is_a(node, types) and not _announced(node, url)]
    if len(found) > 1:
        path = url_path(url)
        for node in found:
            page = node.get("mainEntityOfPage")
            address = page.get("@id") if isinstance(page, dict) else page
            names = (address, node.get("url"), node.get("@id"))
            if any(isinstance(name, str) and url_path(name) == path for name in names):
                return node
    return found[0] if found else None


def _announced(node: Mapping[str, Any], url: str) -> bool:
    """Whether a node is an event that has a page of its own on this site, and is only announced on this one."""
    if not is_a(node, ("Event",)) or not isinstance(node.get("url"), str):
        return False
    own, here = web_url(node["url"], url) or url, web_url(url, url) or url
    if own.partition("://")[2].partition("/")[0] != here.partition("://")[2].partition("/")[0]:
        return False  # who sells the tickets
    last = url_path(own).rstrip("/").rpartition("/")[2]
    return last not in ("", url_path(url).rstrip("/").rpartition("/")[2])


def _at(node: object, place: str) -> list[object]:
    """All values at a dotted place; lists are walked into."""
    name, _, rest = place.partition(".")
    inner = node.get(name) if isinstance(node, dict) else None
    if isinstance(inner, list):
        found = inner[:LIST_CAP]
        return [value for one in found for value in _at(one, rest)][:LIST_CAP] if rest else found
    if inner is None:
        return []
    return _at(inner, rest) if rest else [inner]


def _present(node: object, place: str) -> bool:
    """Whether a place is written down at all, be it as an empty list."""
    parent, _, name = place.rpartition(".")
    holders = _at(node, parent) if parent else [node]
    return any(isinstance(holder, dict) and holder.get(name) is not None for holder in holders)


def _text(value: object, cap: int = TEXT_CAP) -> str:
    if not isinstance(value, str):
        return ""
    text = clean(unescape(value), cap)
    return "" if is_void(text) else text


@lru_cache(maxsize=1024)
def unpadded(date: PartialDate) -> PartialDate:
    """What a date stands for where unknown months and days are written as 01.

    A day other than 01 is a day, a month other than 01 is a month; "-01-01" is a year that may hide a January.
    """
    if date.day != 1:
        return date
    if date.month != 1:
        return PartialDate.of(date.year, date.month)
    return PartialDate.of(date.year, confirmed=False)


def _unpadded(told: Reading, table: Table) -> Reading:
    if not table.padded or told.date is None or told.date.circa or told.date.until:
        return told
    return Reading(unpadded(told.date))


def claims(blocks: Blocks, table: Table, *, url: str) -> list[Claim]:
    """Everything the page's own node says of its milestone. [] when there is no such node."""
    article = find_article(blocks, table.types, url)
    if article is None:
        return []
    kind = article.get("@type")
    top = kind if isinstance(kind, str) else table.types[0]
    told = _text_claims(article, table, top)
    spoken = article.get("inLanguage")
    language = spoken if isinstance(spoken, str) else blocks.language
    for place in table.dates:
        for value in _at(article, place):
            if isinstance(value, str | int):
                date = read_date(str(value)[:TITLE_CAP], language)
                told += date_claim(_unpadded(date, table), WITNESS, f"{top}.{place}")
    for name, places in table.names.items():
        told += _name_claims(article, name, places, table.empty_when.get(name), top)
    if table.keywords is not None:
        told += _keyword_claims(article, table.keywords, top)
    if table.image is not None:
        told += _image_claims(article, table.image, top, url)
    told += _crumb_claims(blocks, table)
    return told


def _text_claims(article: Mapping[str, Any], table: Table, top: str) -> list[Claim]:
    told: list[Claim] = []
    for name, places in table.texts.items():
        cap = _CAPS.get(name, TEXT_CAP)
        for place in places:
            for value in _at(article, place):
                text = _place(value) if FIELD[name].by_parts else _text(value, cap)
                if text:
                    label = text if name in _SLUGS else ""
                    told.append(Claim(name, slugify(text) if label else text, WITNESS, f"{top}.{place}", label=label))
                    break
    return told


def _place(value: object) -> str:
    """A text, a schema.org Place or PostalAddress on one line: its name or street, then town, region and country."""
    if not isinstance(value, dict):
        text = _text(value, TITLE_CAP)
        return "" if "://" in text else text  # where to take part, not where it happened
    address = value if is_a(value, ("PostalAddress",)) else next(iter(_at(value, "address")), None)
    parts = [next((text for name in _at(value, "name") if (text := _text(name, TITLE_CAP))), "")]
    if isinstance(address, dict):
        names = ["addressLocality", "addressRegion", "addressCountry"]
        for name in names if parts[0] else ["streetAddress", *names]:
            held = address.get(name)
            parts.append(_text(held.get("name") if isinstance(held, dict) else held, NAME_CAP))
    else:
        parts.append(_place(address))
    return on_one_line(parts)


def on_one_line(parts: Iterable[str]) -> str:
    """The parts of a place, from the nearest to the widest, each once; "" for none."""
    told: list[str] = []
    for part in parts:
        if part and not pieces([part]) <= pieces(told):
            told.append(part)
    return clean(", ".join(told), TITLE_CAP)


def _name_claims(
    article: Mapping[str, Any], name: str, places: Sequence[tuple[str, str]], proof: str | None, top: str,
) -> tuple[Claim, ...]:
    """The names at the first place that has any; where others there are damaged, only as an opinion."""
    whole = True
    for place, kind in places:
        found: list[str] = []
        damaged = False  # what is neither named nor typed must not read as "nobody"
        for value in _at(article, place):
            node = value if isinstance(value, dict) else {}
            text = _text(node.get("name"), NAME_CAP)
            damaged = damaged or not text or not isinstance(node.get("@type"), str)
            if text and is_a(node, (kind,)) and not is_mark(text) and text not in found:
                found.append(text)
        if found:
            return (Claim(name, tuple(found), WITNESS, f"{top}.{place}", part=damaged),)
        whole = whole and not damaged
    if whole and proof is not None and _present(article, proof):
        return (Claim(name, (), WITNESS, f"{top}.{places[0][0]}"),)
    return ()


def _keyword_claims(article: Mapping[str, Any], place: str, top: str) -> tuple[Claim, ...]:
    words: list[str] = []
    whole = True
    for value in _at(article, place):
        text = _text(value)
        whole = whole and bool(text)
        words += text.split(",")
    tags = tuple(dict.fromkeys([slug for word in words if (slug := slugify(word))]))
    return (Claim("tags", tags[:LIST_CAP], WITNESS, f"{top}.{place}", part=not whole, label=place),) if tags else ()


def _image_claims(article: Mapping[str, Any], place: str, top: str, base: str) -> tuple[Claim, ...]:
    """The first picture that has an address; none at all when nothing is written there."""
    for value in _at(article, place):
        holder = value if isinstance(value, dict) else {"url": value}
        for key in ("url", "contentUrl"):
            text = _text(holder.get(key))
            address = pictures.address(text, base)
            if address is not None:
                alt = _text(holder.get("caption"), TITLE_CAP) or _text(holder.get("name"), TITLE_CAP)
                return (Claim("image", Image(url=address, alt=alt), WITNESS, f"{top}.{place}"),)
    return () if place in article else (Claim("image", None, WITNESS, f"{top}.{place}"),)


def _crumb_claims(blocks: Blocks, table: Table) -> list[Claim]:
    told: list[Claim] = []
    for node in blocks.nodes if table.prefixes else ():
        if is_a(node, ("BreadcrumbList",)):
            for value in _at(node, "itemListElement"):
                item = value.get("item") if isinstance(value, dict) else None
                address = item.get("@id") if isinstance(item, dict) else item
                if isinstance(address, str):
                    for name, slug in slugs_after(address[:URL_CAP], table.prefixes):
                        told.append(Claim(name, slug, WITNESS, "BreadcrumbList"))
    return told
