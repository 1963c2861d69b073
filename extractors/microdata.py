"""The microdata witness: schema.org said in the HTML itself, by itemscope and itemprop (HTML standard §5)."""

from collections.abc import Iterator, Mapping

from lxml.etree import _Element as Element

from extractors.clean import (
    LIST_CAP,
    NAME_CAP,
    TEXT_CAP,
    TITLE_CAP,
    clean,
    is_void,
    slugify,
    web_url,
)
from extractors.dom import language, text_of
from extractors.headings import is_mark
from extractors.reconcile import Claim, date_claim
from extractors.written_dates import read_date
from milepost.records import Image

WITNESS = "microdata"
TYPES = frozenset({"Article", "NewsArticle", "BlogPosting", "TechArticle", "Event"})

# itemprop → field; a property under another itemscope belongs to that, not to the page.
TEXTS: Mapping[str, str] = {
    "headline": "title", "name": "title", "description": "what_happened", "abstract": "why_it_mattered",
}
DATES = frozenset({"temporalCoverage", "startDate"})
NAMES: Mapping[str, Mapping[str, str]] = {  # itemprop → type → field
    "mentions": {"Person": "people", "Organization": "organizations"},
    "performer": {"Person": "people", "Organization": "organizations"},
    "organizer": {"Organization": "organizations"},
}


def claims(root: Element, *, url: str) -> list[Claim]:
    """What the page's own item says. [] when the page has no item of TYPES."""
    item = next((one for one in root.iter() if _type(one) in TYPES), None)
    if item is None:
        return []
    told: list[Claim] = []
    names: dict[str, list[str]] = {"people": [], "organizations": [], "tags": []}
    for element in _properties(item):
        for prop in (element.get("itemprop") or "").split():
            if prop in NAMES and "itemscope" in element.attrib:
                field = NAMES[prop].get(_type(element))
                if field:
                    name = _name(element)
                    names[field].append("" if is_mark(name) else name)
            elif prop == "keywords":
                names["tags"] += [slug for word in _value(element).split(",") if (slug := slugify(word))]
            else:
                told += _claim(prop, element, url)
    return told + [
        # An item without a name: the list is not whole, and is asked for its opinion only.
        Claim(field, tuple(dict.fromkeys(filter(None, found)))[:LIST_CAP], WITNESS, f"itemprop of {field}",
              part="" in found)
        for field, found in names.items() if any(found)
    ]


def _claim(prop: str, element: Element, url: str) -> Iterator[Claim]:
    where = f"itemprop {prop}"
    if prop in TEXTS:
        field = TEXTS[prop]
        text = _value(element, TITLE_CAP if field == "title" else TEXT_CAP)
        if text and not is_void(text):
            yield Claim(field, text, WITNESS, where)
    elif prop in DATES:
        yield from date_claim(read_date(element.get("datetime") or _value(element), language(element)), WITNESS, where)
    elif prop == "articleSection":
        if slug := slugify(_value(element, NAME_CAP)):
            yield Claim("category", slug, WITNESS, where)
    elif prop == "image":
        address = web_url(element.get("src") or element.get("href") or element.get("content"), url)
        if address:
            yield Claim("image", Image(url=address, alt=_value(element, TITLE_CAP)), WITNESS, where)


def _type(element: Element) -> str:
    return (element.get("itemtype") or "").rpartition("/")[2] if "itemscope" in element.attrib else ""


def _properties(item: Element) -> Iterator[Element]:
    """The item's own properties, in document order; those of items inside it are left to them."""
    pending = list(reversed(item))
    while pending:
        element = pending.pop()
        if element.get("itemprop"):
            yield element
        if "itemscope" not in element.attrib:
            pending += reversed(element)


def _name(element: Element) -> str:
    """The name of an item inside an item."""
    named = next((one for one in _properties(element) if "name" in (one.get("itemprop") or "").split()), None)
    return text_of(element if named is None else named, NAME_CAP)


def _value(element: Element, cap: int = TEXT_CAP) -> str:
    content = element.get("content") or element.get("alt")
    return clean(content, cap) if content else text_of(element, cap)
