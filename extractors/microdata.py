"""The microdata witness: schema.org said in the HTML itself, by itemscope and itemprop (HTML standard §5)."""

from collections.abc import Iterator, Mapping

from lxml import etree
from lxml.etree import _Element as Element

from extractors import jsonld, pictures
from extractors.clean import (
    LIST_CAP,
    NAME_CAP,
    TEXT_CAP,
    TITLE_CAP,
    clean,
    is_void,
    slugify,
)
from extractors.dom import base_of, language, text_of
from extractors.headings import is_mark
from extractors.reconcile import Claim, date_claim
from extractors.written_dates import read_date
from milepost.fields import FIELD, FieldType, of_type
from milepost.records import Image

WITNESS = "microdata"
_PLACE = ("name", "streetAddress", "addressLocality", "addressRegion", "addressCountry", "address")
_TYPED = etree.XPath("boolean(descendant-or-self::*/@itemtype)")
TYPES = frozenset({"Article", "NewsArticle", "BlogPosting", "TechArticle", "Event"})



def _fields_of() -> dict[str, dict[str, str]]:
    """itemprop → type of what it must hold ("": whatever it holds) → field."""
    found: dict[str, dict[str, str]] = {}
    for name, field in FIELD.items():
        for place in field.schema:
            if "." not in place.path:  # a property under another itemscope belongs to that, not to the page
                found.setdefault(place.path, {})[place.type] = name
    return found


_FIELDS_OF: Mapping[str, Mapping[str, str]] = _fields_of()


def claims(root: Element, *, url: str) -> list[Claim]:
    """What the page's own item says. [] when the page has no item of TYPES."""
    # Most pages have no item: an expression sees that in a quarter of the time that a walk takes.
    item = next((one for one in root.iter() if _type(one) in TYPES), None) if _TYPED(root) else None
    if item is None:
        return []
    told: list[Claim] = []
    names: dict[str, list[str]] = {}
    for element in _properties(item):
        for prop in (element.get("itemprop") or "").split():
            fields = _FIELDS_OF.get(prop, {})
            name = fields.get("") or fields.get(_type(element))
            if name is None:
                continue
            kind = FIELD[name].type
            match kind:
                case "names":
                    text = _name(element)
                    names.setdefault(name, []).append("" if is_mark(text) else text)
                case "slugs":
                    words = _value(element).split(",")
                    names.setdefault(name, []).extend(slug for word in words if (slug := slugify(word)))
                case _:
                    told += _claim(name, kind, element, f"itemprop {prop}", url)
    return told + [
        # An item without a name: the list is not whole, and is asked for its opinion only.
        Claim(field, tuple(dict.fromkeys(filter(None, names[field])))[:LIST_CAP], WITNESS, f"itemprop of {field}",
              part="" in names[field], label="keywords" if FIELD[field].type == "slugs" else "")
        for field in of_type("names", "slugs") if any(names.get(field, ()))
    ]


def _claim(name: str, kind: FieldType, element: Element, where: str, url: str) -> Iterator[Claim]:
    match kind:
        case "line" | "prose":
            is_place = FIELD[name].by_parts and "itemscope" in element.attrib
            text = _place(element) if is_place else _value(element, TITLE_CAP if kind == "line" else TEXT_CAP)
            if text and not is_void(text):
                yield Claim(name, text, WITNESS, where)
        case "date":
            written = element.get("datetime") or _value(element)
            yield from date_claim(read_date(written, language(element)), WITNESS, where)
        case "slug":
            if label := _value(element, NAME_CAP):
                yield Claim(name, slugify(label), WITNESS, where, label=label)
        case "image":
            yield from (Claim(name, image, WITNESS, where) for image in _images(element, url))


def _images(element: Element, url: str) -> Iterator[Image]:
    if element.tag == "img":
        image = pictures.pick((element,), url).image
        if image is not None:
            yield image
        return
    written = element.get("href") or element.get("content")
    if (found := pictures.address(written, base_of(element, url))) is not None:
        yield Image(url=found, alt=_value(element, TITLE_CAP) if element.get("alt") else "")


def _type(element: Element) -> str:
    return (element.get("itemtype") or "").rpartition("/")[2] if element.get("itemscope") is not None else ""


def _properties(item: Element) -> Iterator[Element]:
    """The item's own properties, in document order; those of items inside it are left to them."""
    pending = list(reversed(item))
    while pending:
        element = pending.pop()
        if element.get("itemprop"):
            yield element
        if element.get("itemscope") is None:
            pending += reversed(element)


def _name(element: Element) -> str:
    """The name of an item inside an item."""
    named = next((one for one in _properties(element) if "name" in (one.get("itemprop") or "").split()), None)
    return text_of(element if named is None else named, NAME_CAP)


def _place(element: Element, *, named: bool = False) -> str:
    """A Place or a PostalAddress: its name, or where it is not `named` its street; then town, region and country."""
    told: dict[str, str] = {}
    address: Element | None = None
    for one in _properties(element):
        for prop in (one.get("itemprop") or "").split():
            if prop == "address" and "itemscope" in one.attrib:
                address = one if address is None else address
            elif prop in _PLACE:
                told.setdefault(prop, _value(one, NAME_CAP))
    named = named or bool(told.get("name"))
    parts = [told.get(prop, "") for prop in _PLACE if not (named and prop == "streetAddress")]
    return jsonld.on_one_line([*parts, "" if address is None else _place(address, named=named)])


def _value(element: Element, cap: int = TEXT_CAP) -> str:
    content = element.get("content") or element.get("alt")
    return clean(content, cap) if content else text_of(element, cap)
