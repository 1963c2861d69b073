"""The selector witness: where a source's settings say that a field stands, in CSS or in XPath.

    "h1.headline"               CSS, by cssselect (https://cssselect.readthedocs.io): several may be parted by commas
    "time::attr(datetime)"      an attribute of what is found
    "xpath:.//dd[2]"            XPath 1.0, of an entry or of the page
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from cssselect import HTMLTranslator, SelectorError
from lxml import etree
from lxml.etree import _Element as Element

from extractors import main_text, pictures
from extractors.clean import LIST_CAP, NAME_CAP, TITLE_CAP, clean, is_void, slug_after, slugify
from extractors.dom import base_of, date_of, language, text_of
from extractors.headings import impact_of, is_mark
from extractors.reconcile import Claim, date_claim
from extractors.written_dates import read_date
from milepost.fields import FIELD, of_type
from milepost.records import Image

WITNESS = "selector"
FIELDS = frozenset(set(FIELD) - set(of_type("cards")))
_XPATH = "xpath:"
_ATTRIBUTE = re.compile(r"\s*::attr\(([A-Za-z][\w.:-]*)\)\s*$")
_SAID_CAP = 80  # characters of a selector, as evidence names the place


class Found(NamedTuple):
    """One thing that a selector leads to: an element, or words."""

    element: Element | None
    words: str = ""


class Selector:
    """One selector of the settings, made ready."""

    def __init__(self, written: str) -> None:
        """Raises ValueError for what is neither CSS nor XPath, in one sentence."""
        self.written = written
        self.where = clean(written, _SAID_CAP)
        self._attribute = ""
        path = written.strip()
        if path.startswith(_XPATH):
            path = path.removeprefix(_XPATH).strip()
        else:
            if match := _ATTRIBUTE.search(path):
                self._attribute, path = match[1].lower(), path[: match.start()]
            try:
                path = HTMLTranslator().css_to_xpath(path)
            except SelectorError as error:
                raise ValueError(f"{written!r} is no CSS selector: {error}") from None
        try:
            self._path = etree.XPath(path, regexp=False)
        except etree.XPathError as error:
            raise ValueError(f"{written!r} is no XPath: {error}") from None

    def find(self, element: Element) -> list[Found]:
        """What it leads to in an element, in the page's order; nothing where XPath meets what it can't go through."""
        try:
            result = self._path(element)
        except etree.XPathError:
            return []
        if not isinstance(result, list):
            return [Found(None, clean(str(result)))] if result not in ("", False) else []
        return list(islice(self._found(result), LIST_CAP))

    def elements(self, element: Element) -> list[Element]:
        """The elements that it leads to, without a cap: the entries of a page."""
        try:
            result = self._path(element)
        except etree.XPathError:
            return []
        return [one for one in result if isinstance(one, etree._Element)] if isinstance(result, list) else []  # noqa: SLF001

    def _found(self, result: Iterable[object]) -> Iterator[Found]:
        for one in result:
            if not isinstance(one, etree._Element):  # noqa: SLF001
                if words := clean(str(one)):
                    yield Found(None, words)
            elif not self._attribute:
                yield Found(one)
            elif words := clean(one.get(self._attribute)):
                yield Found(one, words)


def made_ready(written: Mapping[str, str], *further: str) -> dict[str, Selector]:
    """Field → its selector; raises ValueError for a field that can't be selected and for what is no selector.

    `further`: names that are none of a field, as "entry".
    """
    for name in written:
        if name not in FIELDS and name not in further:
            known = ", ".join((*further, *sorted(FIELDS)))
            raise ValueError(f"there is nothing to select for {name!r}; there are {known}")
    return {name: Selector(selector) for name, selector in written.items()}


def text_at(selectors: Mapping[str, Selector], root: Element) -> main_text.MainText | None:
    """The body, where the settings name its elements and they hold words."""
    selector = selectors.get("what_happened")
    if selector is None:
        return None
    found = [one.element for one in selector.find(root) if one.element is not None and not one.words]
    return main_text.named(found, selector.where) if found else None


def claims(
    selectors: Mapping[str, Selector], root: Element, *, url: str, links: Mapping[str, str]
) -> list[Claim]:
    """What stands where the settings say, save an article's body. `links`: field → path prefix of its links."""
    told: list[Claim] = []
    for name, selector in selectors.items():
        if name in FIELDS:
            told += _claims(name, selector, selector.find(root), url, links.get(name, ""))
    return told


def _claims(name: str, selector: Selector, found: list[Found], url: str, prefix: str) -> Iterator[Claim]:
    if not found:
        return
    where, first = selector.where, found[0]
    match FIELD[name].type:
        case "line":
            if (text := _words(first, TITLE_CAP)) and not is_void(text):
                yield Claim(name, text, WITNESS, where)
        case "prose":
            elements = [one.element for one in found if one.element is not None and not one.words]
            body = main_text.named(elements, where) if elements else None
            text = body.written() if body is not None else first.words
            if text and not is_void(text):
                yield Claim(name, text, WITNESS, where)
        case "date":
            told = read_date(first.words, "" if first.element is None else language(first.element)) if (
                first.words or first.element is None) else date_of(first.element)
            yield from date_claim(told, WITNESS, where)
        case "slug":
            yield from _slug(name, first, where, prefix)
        case "level":
            level = impact_of(_words(first, NAME_CAP))
            if level is not None:
                yield Claim(name, level, WITNESS, where)
        case "names" | "slugs":
            said = [_words(one, NAME_CAP) for one in found]
            if len(said) == 1 and "," in said[0]:
                said = [clean(part) for part in said[0].split(",")]
            if FIELD[name].type == "slugs":
                said = [slugify(words.removeprefix("#")) for words in said]
            if kept := tuple(dict.fromkeys(words for words in said if words and not is_mark(words))):
                yield Claim(name, kept, WITNESS, where)
        case "image":
            if image := _image(first, url):
                yield Claim(name, image, WITNESS, where)


def _slug(name: str, first: Found, where: str, prefix: str) -> Iterator[Claim]:
    href = first.element.get("href") if first.element is not None else None
    if prefix and (slug := slug_after(href, prefix)):
        yield Claim(name, slug, WITNESS, where)
    elif label := _words(first, NAME_CAP):
        yield Claim(name, slugify(label), WITNESS, where, label=label)


def _image(found: Found, url: str) -> Image | None:
    if found.element is not None and not found.words:
        return pictures.pick(found.element.iter("img"), url).image
    base = url if found.element is None else base_of(found.element, url)
    address = pictures.address(found.words, base)
    return Image(url=address) if address is not None else None


def _words(found: Found, cap: int) -> str:
    return found.words[:cap] if found.words or found.element is None else text_of(found.element, cap)
