"""A timeline on one page: entries with a heading and a <time>, in a list or in sections.

    <li id="first-flight"><time datetime="1903-12-17">…</time><h3>First flight</h3><p>…</p></li>
"""

import re
from collections.abc import Sequence
from itertools import islice

from lxml.etree import _Element as Element

from extractors import dom, pictures
from extractors.cards import CARD_CAP
from extractors.clean import LIST_CAP, NAME_CAP, TITLE_CAP, clean, slug_after, slugify
from extractors.dom import text_of
from extractors.headings import WITNESS
from extractors.listpage import Entry, ListPage
from extractors.reconcile import Claim, date_claim
from extractors.unread import shape, unread
from milepost.errors import ExtractError
from milepost.records import Page, Unread

_HEADS = ("h2", "h3", "h4", "h5")
_YEAR = re.compile(r"\b\d{3,4}\b|\d{1,2}[./]\d{1,2}")
_HOLDERS = ("li", "article", "section", "div", "tr")


class TimelineList(ListPage):
    """A page whose entries each hold one heading and one <time>."""

    name = "timelinelist"
    version = 1

    def entries(self, page: Page) -> Sequence[Entry | Unread]:
        if not dom.is_complete(page.text):
            raise ExtractError("the page ends early: no </html>", where=page.url)
        parts = dom.cut(page.text) or dom.whole(page.text)
        return [
            unread("entry", text_of(holder, NAME_CAP), "no heading") if heading is None
            else _entry(holder, heading, page.url) if next(holder.iter("time"), None) is not None
            else unread("entry", text_of(holder, NAME_CAP), "no <time>")
            for holder, heading in _holders(parts.root)
        ]


def _holders(root: Element) -> list[tuple[Element, Element | None]]:
    """(entry, its heading) in the page's order: the smallest element around a heading that holds a <time>, and no other
    heading; and what is built as these are, tells a year, and has no <time>, or no heading (None).
    """
    found: dict[Element, Element | None] = {}
    bare: list[tuple[Element, list[Element]]] = []  # a heading, and what is around it alone
    for heading in islice(root.iter(*_HEADS), CARD_CAP):
        around: list[Element] = []
        for holder in heading.iterancestors(*_HOLDERS):
            if sum(1 for _ in holder.iter(*_HEADS)) > 1:
                bare.append((heading, around))
                break
            if next(holder.iter("time"), None) is not None:
                found[holder] = heading
                break
            around.append(holder)
        else:
            bare.append((heading, around))
    lists = {shape(holder): holder.getparent() for holder in found}
    for heading, around in bare:
        alike = next((holder for holder in around if shape(holder) in lists), None)
        if alike is not None and _YEAR.search(text_of(alike)):  # without any, it is a note among the entries
            found[alike] = heading
    for holder in [one for parent in set(lists.values()) if parent is not None for one in parent]:
        if holder not in found and shape(holder) in lists and _is_headless(holder):
            found[holder] = None
    return [(holder, found[holder]) for holder in root.iter(*_HOLDERS) if holder in found]


def _is_headless(holder: Element) -> bool:
    return next(holder.iter("time"), None) is not None and next(holder.iter(*_HEADS), None) is None


def _entry(holder: Element, heading: Element, url: str) -> Entry | Unread:
    title = text_of(heading, TITLE_CAP)
    where = f"{heading.tag} {clean(title, 80)}"
    told = [Claim("title", title, WITNESS, where)] if title else []
    time = next(holder.iter("time"))
    told += date_claim(dom.date_of(time), WITNESS, f"time of {where}")
    paragraphs = [text for one in holder.iter("p") if (text := text_of(one)) and _is_prose(one)]
    if paragraphs:
        told.append(Claim("what_happened", clean(" ".join(paragraphs)), WITNESS, f"p of {where}"))
    tags = [slug_after(link.get("href"), "/tag/") or slugify(text_of(link, NAME_CAP).removeprefix("#"))
            for link in holder.iter("a") if "tag" in (link.get("rel") or "").split()]
    if found := tuple(dict.fromkeys(tag for tag in tags if tag)):
        told.append(Claim("tags", found[:LIST_CAP], WITNESS, f"a rel=tag of {where}"))
    if image := pictures.pick(holder.iter("img"), url).image:
        told.append(Claim("image", image, WITNESS, f"img of {where}"))
    key = _key(holder, heading, title)
    return Entry(key, told) if key else unread("entry", text_of(holder, NAME_CAP), "neither an anchor nor a title")


def _is_prose(paragraph: Element) -> bool:
    """Whether a paragraph tells something: not the line of the date, not the line of the tags."""
    if next(paragraph.iter("time"), None) is not None:
        return False
    links = list(paragraph)
    return not links or any("tag" not in (link.get("rel") or "").split() for link in links)


def _key(holder: Element, heading: Element, title: str) -> str:
    """The entry's own anchor; without one, the words of its title, which stay when its neighbours change; or ""."""
    anchors = [holder.get("id"), heading.get("id")]
    anchors += [link.get("href") for link in heading.iter("a") if (link.get("href") or "").startswith("#")]
    for anchor in anchors:
        if anchor and (key := slugify(anchor)):
            return key
    return slugify(title)
