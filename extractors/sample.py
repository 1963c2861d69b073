"""Clockwork, the sample site that ships with Milepost: facts in a list, JSON-LD in a @graph, cards in <li>."""

from collections.abc import Sequence

from extractors import cards, dom, headings, jsonld, outline, plaintext
from extractors.addresses import Addresses
from extractors.base import Layout, SiteExtractor
from extractors.clean import LIST_CAP, slug_after, url_path
from extractors.names import NOBODY
from extractors.pictures import Pictures
from extractors.reconcile import Claim
from milepost.errors import ExtractError
from milepost.records import Card, KnownNames, Milestone, Page, PageKind, Unread

PLAN = outline.Plan(
    sections={"what happened": "what_happened", "why it mattered": "why_it_mattered", "read next": "related"},
    facts={
        "date": "date", "theme": "category", "age": "era", "impact": "impact",
        "people": "people", "organizations": "organizations", "tags": "tags",
    },
    links={"category": "/theme/", "era": "/age/"},
    milestones=Addresses(("/story/",)),
)
TABLE = jsonld.Table(
    texts={"title": ("headline",), "what_happened": ("description",), "why_it_mattered": ("abstract",)},
    dates=("temporalCoverage",),
    names={"people": (("mentions", "Person"),), "organizations": (("mentions", "Organization"),)},
    empty_when={"people": "mentions", "organizations": "mentions"},
    keywords="keywords",
    image="image",
    crumbs={"era": "/age/", "category": "/theme/"},
)
TEXT_PLAN = plaintext.TextPlan(sections=PLAN.sections)
_LISTINGS = ("/age/", "/theme/")


class Facts:
    """The site's only layout so far."""

    name = "facts"

    def claims(self, parts: dom.Parts, blocks: jsonld.Blocks, *, url: str, known: KnownNames) -> list[Claim]:  # noqa: ARG002
        page = outline.divide(parts.root, PLAN)
        shown = Pictures(url)
        told = [*headings.claims(page, PLAN, shown), *jsonld.claims(blocks, TABLE, url=url)]
        for section in page.sections:
            if PLAN.sections.get(section.label) == "related":
                found = (card for element in section.content for card in cards.linked_cards(element, PLAN, shown))
                told.append(Claim("related", cards.one_each(found)[:LIST_CAP], headings.WITNESS, "h2 Read next"))
        return told


class Sample(SiteExtractor):
    """clockwork.example"""

    name = "sample"
    version = 1
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
            raise ExtractError("not the address of a milestone (/story/<slug>)", where=url)
        return slug

    def cards(self, page: Page) -> tuple[Card, ...]:
        return cards.settled(cards.one_each(cards.linked_cards(self.tree(page), PLAN, Pictures(page.url))))

    def unread(self, page: Page) -> tuple[Unread, ...]:
        if self.classify(url_path(page.url)) != "listing":
            return ()
        return cards.unread_cards(self.tree(page), PLAN, self.cards(page))

    def layouts(self) -> Sequence[Layout]:
        return (Facts(),)

    def read_text(self, text: str, *, source: str, url: str, known: KnownNames = NOBODY) -> Milestone:
        key, address = plaintext.address(url, PLAN.milestones)
        return self.milestone(plaintext.claims(text, TEXT_PLAN, known=known), source=source, key=key, url=address)
