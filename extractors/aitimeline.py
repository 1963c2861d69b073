"""The AI timeline of aitimeline.world: a Next.js site with a page for each milestone and cards of them elsewhere."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice

from lxml.etree import _Element as Element

from extractors import dom, headings, jsonld, names, outline, plaintext
from extractors.addresses import Addresses
from extractors.base import Layout, SiteExtractor
from extractors.cards import CARD_CAP, LINK_CAP, CardDraft, Names, one_each, settled, unread_cards
from extractors.clean import LIST_CAP, slug_after, slugify, url_path
from extractors.names import NOBODY
from extractors.pictures import Pictures
from extractors.reconcile import Claim
from milepost.errors import ExtractError
from milepost.records import Card, KnownNames, Milestone, Page, PageKind, Unread

PLAN = outline.Plan(
    sections={
        "what happened": "what_happened",
        "why it mattered": "why_it_mattered",
        "key people": "people",
        "organizations": "organizations",
        "tags": "tags",
        "related milestones": "related",
        "at a glance": "",  # a heading of the newer layout, over the facts below
    },
    facts={
        "date": "date", "era": "era", "category": "category", "impact": "impact",
        "key people": "people", "people": "people", "organizations": "organizations", "tags": "tags",
    },
    links={"category": "/category/", "era": "/era/", "tags": "/tag/"},
    milestones=Addresses(("/timeline/",)),
    year_only=True,
)
TABLE = jsonld.Table(
    texts={
        "title": ("headline", "name", "about.name"),
        "what_happened": ("description",),
        "why_it_mattered": ("about.description",),
    },
    dates=("datePublished", "about.startDate"),
    padded=True,
    names={"people": (("author", "Person"),), "organizations": (("about.organizer", "Organization"),)},
    empty_when={"people": "author", "organizations": "about.description"},  # nobody: the author is the site itself
    keywords="keywords",
    image="image",
    crumbs={"era": "/era/"},
)
TEXT_PLAN = plaintext.TextPlan(
    sections=PLAN.sections,
    categories={
        "research breakthroughs": "research", "infrastructure & compute": "infrastructure",
        "product launches": "product", "cultural moments": "cultural", "regulation & policy": "regulation",
        "competitions & benchmarks": "competition",
    },
)
_LISTINGS = ("/era/", "/category/")
_PERSON_CLASS = "text-[#94a3b8]"
_ORGANIZATION_CLASSES = frozenset({"text-[#818cf8]", "border"})


class Pages:
    """The site's milestone page in all builds seen so far: the newer ones only add a fact list and questions."""

    name = "pages"

    def claims(self, parts: dom.Parts, blocks: jsonld.Blocks, *, url: str, known: KnownNames) -> list[Claim]:
        page = outline.divide(parts.root, PLAN)
        shown = Pictures(url)
        told = headings.claims(page, PLAN, shown)
        told += jsonld.claims(blocks, TABLE, url=url)
        for section in page.sections:
            if PLAN.sections.get(section.label) == "related":
                found = (card for element in section.content for card in linked(element, shown, known))
                related = tuple(islice(found, LIST_CAP))
                told.append(Claim("related", related, headings.WITNESS, "h2 Related Milestones"))
        return told


class AiTimeline(SiteExtractor):
    """aitimeline.world"""

    name = "aitimeline"
    version = 1
    seeds = ("/",)
    links = PLAN.links

    def classify(self, path: str) -> PageKind:
        if PLAN.milestones.key(path):
            return "milestone"
        if not url_path(path) or any(slug_after(path, prefix) for prefix in _LISTINGS):
            return "listing"
        return "other"

    def key(self, url: str) -> str:
        slug = PLAN.milestones.key(url_path(url))
        if slug is None:
            raise ExtractError("not the address of a milestone (/timeline/<slug>)", where=url)
        return slug

    def cards(self, page: Page) -> tuple[Card, ...]:
        return settled(one_each(_all_cards(self.tree(page), page.url)))

    def unread(self, page: Page) -> tuple[Unread, ...]:
        if self.classify(url_path(page.url)) != "listing":
            return ()
        return unread_cards(self.tree(page), PLAN, self.cards(page), _details_key)

    def layouts(self) -> Sequence[Layout]:
        return (Pages(),)

    def read_text(self, text: str, *, source: str, url: str, known: KnownNames = NOBODY) -> Milestone:
        key, address = plaintext.address(url, PLAN.milestones)
        return self.milestone(plaintext.claims(text, TEXT_PLAN, known=known), source=source, key=key, url=address)


def _all_cards(root: Element, url: str) -> Iterator[Card]:
    """The home page's <article>s, then the linked cards of every other page."""
    shown = Pictures(url)
    for article in islice(root.iter("article"), CARD_CAP):
        key = _details_key(article)
        card = None if key is None else _card(article, key, shown, NOBODY)
        if card is not None:
            yield card
    yield from linked(root, shown, NOBODY)


def _details_key(article: Element) -> str | None:
    """The key in the id of an article's details: the home page's cards are no links."""
    found = (node.get("id") or "" for node in article.iter("div")) if article.tag == "article" else ()
    return next((name.removesuffix("-details") for name in found if name.endswith("-details")), None)


def linked(root: Element, shown: Pictures, known: KnownNames) -> Iterator[Card]:
    """Cards that are links as a whole: <a href="/timeline/…"> with a heading inside."""
    for link in islice(root.iter("a"), LINK_CAP):
        key = PLAN.milestones.key(link.get("href"))
        if key is not None:
            card = _card(link, key, shown, known)
            if card is not None:
                yield card


def _card(element: Element, key: str, shown: Pictures, known: KnownNames) -> Card | None:
    draft = CardDraft(key, element, PLAN)
    if draft.labels:
        draft.category = slugify(draft.spans[0][1]) or None  # above the title; below it names, then #tags
    named: list[tuple[Element, str]] = []
    tags: list[str] = []
    for span, words in draft.spans[draft.labels:][:LIST_CAP]:
        if words.startswith("#") and (span.text or "").startswith("#"):
            tags.append(slugify(words))
        else:
            named.append((span, words))
    return draft.card(shown, _names(named, known), [tag for tag in tags if tag])


def _names(spans: Sequence[tuple[Element, str]], known: KnownNames) -> Names:
    """Organizations wear another colour than people, and in some lists a border."""
    people: list[str] = []
    organizations: list[str] = []
    marked = True
    for span, name in spans:
        of_organization, of_person = _colours(span.get("class") or "")
        if of_organization:
            organizations.append(name)
        else:
            people.append(name)
            marked = marked and of_person
    if marked:
        return tuple(people), tuple(organizations), None
    split = names.tell_apart([name for _, name in spans], known)
    return split.people, split.organizations, split.confidence


@lru_cache(maxsize=256)  # the site writes the same few
def _colours(classes: str) -> tuple[bool, bool]:
    """Whether a name wears an organization's colour, and whether it wears a person's."""
    worn = classes.split()
    return not _ORGANIZATION_CLASSES.isdisjoint(worn), _PERSON_CLASS in worn
