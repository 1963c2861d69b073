"""The card witness: short forms of milestones in listings and under Related, and what they say of a milestone."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from lxml.etree import _Element as Element

from extractors.clean import (
    LIST_CAP,
    NAME_CAP,
    TEXT_CAP,
    TITLE_CAP,
    is_void,
    slug_after,
)
from extractors.dom import date_of, text_of
from extractors.headings import impact_of, is_mark
from extractors.outline import Plan
from extractors.pictures import Pictures
from extractors.reconcile import Claim
from extractors.unread import placed, shape, unread
from milepost.dates import PartialDate
from milepost.records import Card, Unread

WITNESS = "card"
CARD_CAP = 10_000  # cards read from one page
LINK_CAP = 50_000  # links looked at in one page

Names = tuple[tuple[str, ...], tuple[str, ...], float | None]  # people, organizations, confidence


class CardDraft:
    """One card's parts, found in document order; `card()` closes it once the site has said what its labels mean."""

    __slots__ = ("category", "date", "impact", "key", "labels", "pictures", "spans", "summary", "title")

    def __init__(self, key: str, element: Element, plan: Plan) -> None:
        self.key = key
        self.title = ""
        self.category: str | None = None
        self.date: PartialDate | None = None
        self.summary = ""
        self.pictures: list[Element] = []
        # Small labels and their words, in order, save stars and dates: the site says what they mean.
        self.spans: list[tuple[Element, str]] = []
        self.labels = 0  # how many of them stand above the title
        self.impact: int | None = None
        categories = plan.links.get("category")
        for node in element.iter():  # the first of each kind counts; lxml takes longer to leave out the others
            tag = node.tag
            if tag == "div":  # most of them
                if self.impact is None and (label := node.get("aria-label")):
                    self.impact = impact_of(label)
            elif tag == "span":
                weight = impact_of(label) if (label := node.get("aria-label")) else None
                if weight is None:
                    words = text_of(node, NAME_CAP)
                    if not is_mark(words):
                        self.spans.append((node, words))
                        continue
                    weight = impact_of(words)
                if self.impact is None:
                    self.impact = weight
            elif tag == "time":
                if self.date is None:
                    self.date = date_of(node).date
            elif tag == "p":
                self.summary = self.summary or text_of(node, TEXT_CAP)
            elif tag == "img":
                self.pictures.append(node)
            elif tag == "a":
                if categories and self.category is None:
                    self.category = slug_after(node.get("href"), categories)
            elif tag in _HEADS and not self.title:
                self.title = text_of(node, TITLE_CAP)
                self.labels = len(self.spans)

    def card(self, shown: Pictures, names: Names = ((), (), None), tags: Sequence[str] = ()) -> Card | None:
        """The finished card; None without a title: then it was no card."""
        if not self.title or is_void(self.title):
            return None
        people, organizations, confidence = names
        return Card(
            self.key, self.title, self.category, self.date, "" if is_void(self.summary) else self.summary,
            people, organizations, self.impact, tuple(tags), shown.pick(self.pictures).image, confidence=confidence,
        )


_HEADS = ("h2", "h3", "h4")


def linked_cards(root: Element, plan: Plan, shown: Pictures) -> Iterator[Card]:
    """Cards in plain markup: an <article> or <li>, or a link itself, holding a heading and a link to a milestone.

    The first of each milestone: the link within a card would be another of it.
    """
    told: set[str] = set()
    for element in islice(root.iter("article", "li", "a"), LINK_CAP):
        key = plan.milestones.key(element.get("href")) if element.tag == "a" else _only_link(element, plan)
        if key is None or key in told:
            continue
        card = CardDraft(key, element, plan).card(shown)
        if card is not None:
            told.add(key)
            yield card


def _only_link(element: Element, plan: Plan) -> str | None:
    """The one milestone that an element links to; a list around several cards is no card itself."""
    found: str | None = None
    for link in element.iter("a"):
        slug = plan.milestones.key(link.get("href"))
        if slug and found and slug != found:
            return None
        found = found or slug
    return found


def unread_cards(
    root: Element, plan: Plan, shown: Sequence[Card], key_of: Callable[[Element], str | None] | None = None
) -> tuple[Unread, ...]:
    """What looks like a card of a milestone on a listing and is none of those `shown`, in the page's order.

    That is an element with a link to a milestone that has a heading, a date or an <article> of its own, but no title;
    one with a heading, built and placed as the cards are, that leads to no milestone; and a heading's link below the
    milestones' path in which no key can be found. `key_of` says what milestone an element is a card of, where a site
    tells it otherwise than by a link.
    """
    known = {card.key: card for card in shown}
    found: list[Unread | PartialDate | None] = []
    elements = []
    shapes = set()
    for element in islice(root.iter("article", "li", "a"), LINK_CAP):
        linked = plan.milestones.key(element.get("href")) if element.tag == "a" else _only_link(element, plan)
        key = (key_of(element) if key_of is not None else None) or linked
        head = next((text for one in element.iter(*_HEADS) if (text := text_of(one, TITLE_CAP))), "")
        elements.append((element, key, head))
        if key in known and head:
            shapes.add(shape(element))
    taken: set[Element] = set()
    seen: set[str] = set()
    for element, key, head in elements:
        if any(one in taken for one in element.iterancestors()):
            continue
        if key in known:
            if key not in seen:
                found.append(known[key].date)
        elif key is not None:
            if key not in seen and (element.tag == "article" or next(element.iter(*_HEADS, "time"), None) is not None):
                found.append(unread("card", text_of(element, TEXT_CAP) or key, "no title", key=key))
                taken.add(element)
            else:
                continue
        elif head and (address := _keyless(element, plan)) is not None:
            found.append(unread("link", head, f"no key in {address}"))
            taken.add(element)
        elif head and element.tag != "a" and shape(element) in shapes and not _leads(element, plan):
            found.append(unread("card", head, "it leads to no milestone"))
            taken.add(element)
        if key is not None:
            seen.add(key)
    return placed(found, newest_first=None)


def _keyless(element: Element, plan: Plan) -> str | None:
    """The first address below the milestones' path that has no key; None where there is none, or one with a key too."""
    addresses = [link.get("href") or "" for link in element.iter("a")]
    below = [one for one in addresses if plan.milestones.is_below(one)]
    return None if not below or any(plan.milestones.key(one) for one in below) else below[0]


def _leads(element: Element, plan: Plan) -> bool:
    """Whether it holds links to milestones, so that it holds cards, or to what the settings leave out."""
    links = [link.get("href") for link in element.iter("a")]
    return any(plan.milestones.key(href) or plan.milestones.leaves_out(href) for href in links)


def one_each(cards: Iterable[Card]) -> tuple[Card, ...]:
    """The first card of each milestone."""
    found: dict[str | None, Card] = {}
    for card in cards:
        found.setdefault(card.key, card)
        if len(found) >= CARD_CAP:
            break
    return tuple(found.values())


def settled(cards: Sequence[Card]) -> tuple[Card, ...]:
    """The cards of one page, their dates settled as far as that page can: one that prints years alone settles none."""
    if any(card.date is not None and card.date.month is not None for card in cards):
        return tuple(cards)
    return tuple(
        card if card.date is None else card._replace(date=PartialDate(value=card.date.value, confirmed=False))
        for card in cards
    )


def claims(cards: Sequence[tuple[str, Card]]) -> Iterator[Claim]:
    """What cards on other pages say of the milestone; `cards` are (address of that page, card).

    A card has room for some of the names: those that it shows are its opinion, and one that shows none has none.
    """
    for url, card in cards[:LIST_CAP]:
        yield Claim("title", card.title, WITNESS, "title", url)
        if card.date is not None:
            yield Claim("date", card.date, WITNESS, "time", url)
        if card.category:
            yield Claim("category", card.category, WITNESS, "label", url, label=card.category)
        if card.impact is not None:
            yield Claim("impact", card.impact, WITNESS, "label", url)
        if card.summary:
            yield Claim("what_happened", card.summary, WITNESS, "p", url, part=True)
        for name, shown in (("people", card.people), ("organizations", card.organizations)):
            if shown:
                yield Claim(name, shown, WITNESS, "names", url, part=True)
        if card.tags:
            yield Claim("tags", card.tags, WITNESS, "tags", url, label="tags")
        if card.image is not None:
            yield Claim("image", card.image, WITNESS, "img", url)
