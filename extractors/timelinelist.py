"""A timeline on one page: entries with a heading and a <time>, in a list or in sections.

    <li id="first-flight"><time datetime="1903-12-17">…</time><h3>First flight</h3><p>…</p></li>
"""

from collections.abc import Iterator, Sequence
from itertools import islice

from lxml.etree import _Element as Element

from extractors import dom, pictures
from extractors.cards import CARD_CAP
from extractors.clean import LIST_CAP, NAME_CAP, TITLE_CAP, clean, slug_after, slugify
from extractors.dom import text_of
from extractors.headings import WITNESS
from extractors.listpage import Entry, ListPage
from extractors.reconcile import Claim, date_claim
from milepost.errors import ExtractError
from milepost.records import Page

_HEADS = ("h2", "h3", "h4", "h5")
_HOLDERS = ("li", "article", "section", "div", "tr")


class TimelineList(ListPage):
    """A page whose entries each hold one heading and one <time>."""

    name = "timelinelist"
    version = 1

    def entries(self, page: Page) -> Sequence[Entry]:
        if not dom.is_complete(page.text):
            raise ExtractError("the page ends early: no </html>", where=page.url)
        parts = dom.cut(page.text) or dom.whole(page.text)
        return [_entry(holder, heading, page.url) for holder, heading in _holders(parts.root)]


def _holders(root: Element) -> Iterator[tuple[Element, Element]]:
    """(entry, its heading): the smallest element around a heading that holds a <time>, and no other heading."""
    for heading in islice(root.iter(*_HEADS), CARD_CAP):
        for holder in heading.iterancestors(*_HOLDERS):
            if sum(1 for _ in holder.iter(*_HEADS)) > 1:
                break
            if next(holder.iter("time"), None) is not None:
                yield holder, heading
                break


def _entry(holder: Element, heading: Element, url: str) -> Entry:
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
    return Entry(_key(holder, heading, title), told)


def _is_prose(paragraph: Element) -> bool:
    """Whether a paragraph tells something: not the line of the date, not the line of the tags."""
    if next(paragraph.iter("time"), None) is not None:
        return False
    links = list(paragraph)
    return not links or any("tag" not in (link.get("rel") or "").split() for link in links)


def _key(holder: Element, heading: Element, title: str) -> str:
    """The entry's own anchor; without one, the words of its title, which stay when its neighbours change."""
    anchors = [holder.get("id"), heading.get("id")]
    anchors += [link.get("href") for link in heading.iter("a") if (link.get("href") or "").startswith("#")]
    for anchor in anchors:
        if anchor and (key := slugify(anchor)):
            return key
    key = slugify(title)
    if not key:
        raise ExtractError("an entry of the page has neither an anchor nor a title")
    return key
