"""What a feed, or a news sitemap, tells of a site's pages: a card for each, a witness beside the page's own words.

    <item><title>…<link>…<pubDate>…   ─┐
    <url><loc>…<news:title>…          ─┴▶ Card(key of the page at that address, title, date)
"""

import re
from collections.abc import Callable, Iterator

from lxml import etree

from extractors.clean import TITLE_CAP, clean, web_url
from extractors.feed_document import is_feed, read_feed, read_feed_date
from milepost.errors import ExtractError
from milepost.records import Card, Page

_NEWS = "{http://www.google.com/schemas/sitemap-news/0.9}"
_URLSET = re.compile(r"<(?:\w{1,20}:)?urlset[\s>]", re.IGNORECASE)
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True, huge_tree=False)
_CAP = 5_000  # cards of one feed


def is_told(text: str) -> bool:
    """Whether a text begins as a feed or a sitemap does."""
    return is_feed(text) or _URLSET.search(text[:4_000]) is not None


def feed_cards(page: Page, key: Callable[[str], str | None]) -> tuple[Card, ...]:
    """The cards of a feed or sitemap, the first of each key; `key`: of a milestone's address, None for another one's.

    Raises ExtractError for a page that is neither.
    """
    found: Iterator[Card]
    if is_feed(page.text):
        told = ((one.link, one.title if one.titled else "", one.published.date, one.tags)
                for one in read_feed(page.text, page.url).entries)
        found = (Card(key=of, title=title, date=date, tags=tags) for link, title, date, tags in told
                 if title and (of := key(link)))
    elif _URLSET.search(page.text[:4_000]):
        found = _of_sitemap(page, key)
    else:
        raise ExtractError("it is neither a feed nor a sitemap", where=page.url,
                           hint="Take it out of `feeds` in the source's settings.")
    cards: dict[str | None, Card] = {}
    for card in found:
        if len(cards) < _CAP:
            cards.setdefault(card.key, card)
    return tuple(cards.values())


def _of_sitemap(page: Page, key: Callable[[str], str | None]) -> Iterator[Card]:
    """Entries that tell more than an address."""
    root = etree.fromstring(page.text.encode("utf-8", "ignore"), _PARSER)
    for one in () if root is None else root.iter("{*}url"):
        address = web_url((one.findtext("{*}loc") or "").strip(), page.url)
        title = clean(one.findtext(f"{_NEWS}news/{_NEWS}title"), TITLE_CAP)
        date = read_feed_date(one.findtext(f"{_NEWS}news/{_NEWS}publication_date")).date
        if address and title and (of := key(address)):
            yield Card(key=of, title=title, date=date)
