"""Any timeline site that gives each milestone a page of its own: told by a source's options, not by code.

    options = { milestones = "/news/", listings = ["/", "/archive/*"], sections = { "The story" = "what_happened" } }
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Self

from lxml.etree import _Element as Element
from pydantic import AfterValidator, Field, field_validator

from extractors import (
    addresses,
    article,
    cards,
    dom,
    headings,
    jsonld,
    main_text,
    microdata,
    outline,
    pictures,
    plaintext,
    selectors,
)
from extractors.addresses import Addresses, covers
from extractors.base import Layout, SiteExtractor
from extractors.clean import LIST_CAP, url_path
from extractors.names import NOBODY
from extractors.options import Options, labels
from extractors.reconcile import Claim
from extractors.unread import placed
from milepost.errors import ExtractError
from milepost.fields import FIELD, FieldType, of_type
from milepost.records import Card, KnownNames, Milestone, Page, PageKind, Unread

if TYPE_CHECKING:
    from extractors.list import List

# label → field, of the headings and fact lists that sites commonly have
SECTIONS: Mapping[str, str] = {label: name for name, field in FIELD.items() for label in field.headings}
_TEXTS = frozenset(of_type("prose"))
_SHOWN = (headings.WITNESS, microdata.WITNESS)
FACTS: Mapping[str, str] = {label: name for name, field in FIELD.items() for label in field.facts}


class GenericOptions(Options):
    """[sources.options] of a source with extractor = "generic"; labels and prefixes come on top of the usual ones."""

    milestones: tuple[str, ...] = ("/timeline/",)  # path prefixes or patterns of milestone pages: "/news/*/:slug"
    exclude: tuple[str, ...] = ()  # paths and patterns that are none all the same: "/news/live/*"
    listings: tuple[str, ...] = ("/",)  # paths of listings, "/archive/*" for all below
    sections: Annotated[dict[str, str], AfterValidator(labels)] = Field(default_factory=dict)  # heading → field
    facts: Annotated[dict[str, str], AfterValidator(labels)] = Field(default_factory=dict)  # <dt> → field
    links: dict[str, str] = Field(default_factory=dict)  # field → path prefix: category = "/theme/"
    select: dict[str, str] = Field(default_factory=dict)  # field → where it stands: title = "h1.headline"
    # Listings are lists of dated entries, read as `list` does, with its selectors: entry = "li.news", link = "h3 a".
    entries: dict[str, str] | None = None
    dates: tuple[str, ...] = ()  # further places of the date in JSON-LD: "datePublished"
    padded_dates: bool = False  # the site writes months and days that it doesn't know as 01
    ends_in_html: bool = True  # its pages close with </html>: one that doesn't was cut off

    @field_validator("milestones", "exclude", mode="before")
    @classmethod
    def _one_or_several(cls, given: object) -> object:
        return (given,) if isinstance(given, str) else given

    @field_validator("milestones")
    @classmethod
    def _patterns(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        if not given:
            raise ValueError("want at least one path of milestones")
        return tuple(map(addresses.checked, given))

    @field_validator("entries")
    @classmethod
    def _of_entries(cls, given: dict[str, str] | None) -> dict[str, str] | None:
        selectors.made_ready(given or {}, "entry", "link")
        return given

    @field_validator("select")
    @classmethod
    def _selectors(cls, given: dict[str, str]) -> dict[str, str]:
        selectors.made_ready(given)
        return given

    @field_validator("listings", "exclude")
    @classmethod
    def _rooted(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for path in given:
            addresses.check_covering(path)
        return given


def _places(*types: FieldType) -> dict[str, tuple[str, ...]]:
    """Field of one of these types → where schema.org tells it."""
    return {name: tuple(place.path for place in FIELD[name].schema) for name in of_type(*types)}


class _AnyLayout:
    """All witnesses that a page may have."""

    name = "any"

    def __init__(self, options: GenericOptions) -> None:
        self.plan = outline.Plan(
            sections={**SECTIONS} | options.sections,
            facts={**FACTS} | options.facts,
            links={"category": "/category/", "era": "/era/", "tags": "/tag/"} | options.links,
            milestones=Addresses(options.milestones, options.exclude),
        )
        self.selectors = selectors.made_ready(options.select)
        self.table = jsonld.Table(
            types=("Article", "NewsArticle", "BlogPosting", "TechArticle", "Event"),
            texts=_places("line", "prose", "slug"),
            dates=(*_places("date")["date"], *options.dates),
            padded=options.padded_dates,
            names={name: FIELD[name].schema for name in of_type("names")},
            keywords=_places("slugs")["tags"][0],
            image=_places("image")["image"][0],
            crumbs={name: prefix for name, prefix in self.plan.links.items() if name != "tags"},
        )

    def claims(self, parts: dom.Parts, blocks: jsonld.Blocks, *, url: str, known: KnownNames) -> list[Claim]:  # noqa: ARG002
        page = outline.divide(parts.root, self.plan)
        shown = pictures.Pictures(url)
        told = headings.claims(page, self.plan, shown)
        told += microdata.claims(parts.root, url=url)
        told += jsonld.claims(blocks, self.table, url=url)
        # Of a site known only by its options nothing says which of its parts are always there: none is called empty.
        # Microdata stands in the same elements as the words: where those are damaged, it is no second witness.
        doubted = {claim.field for claim in told if claim.part and claim.witness == headings.WITNESS}
        told = [claim for claim in told if claim.value]
        if doubted:
            told = [
                claim._replace(part=True) if claim.witness == microdata.WITNESS and claim.field in doubted else claim
                for claim in told
            ]
        if "image" not in [claim.field for claim in told] and (image := pictures.shared(parts, url)):
            told.append(Claim("image", image, headings.WITNESS, "meta og:image"))
        named: main_text.MainText | None = None
        if self.selectors:
            whole = dom.document(parts)
            named = selectors.text_at(self.selectors, whole)
            told = [*selectors.claims(self.selectors, whole, url=url, links=self.plan.links), *told]
        if _has_sections(told, parts.root):
            told = article.settled_titles(told, parts, page, blocks, url)
        else:
            told = article.claims(told, parts, blocks, page, url=url, named=named)
        for section in page.sections:
            if self.plan.sections.get(section.label) == "related":
                found = (card for one in section.content for card in cards.linked_cards(one, self.plan, shown))
                if related := cards.one_each(found):
                    told.append(Claim("related", related[:LIST_CAP], headings.WITNESS, f"h2 {section.written}"))
        return told


def _list_of(options: GenericOptions) -> "List":
    """The reader of listings that are lists of dated entries."""
    from extractors.list import List, TimelineOptions  # most sources have none

    return List(TimelineOptions(select=options.entries or {}, ends_in_html=options.ends_in_html))


def _has_sections(told: Sequence[Claim], root: Element) -> bool:
    """Whether a page tells its texts under headings, or as microdata that says which they are.

    Beside an articleBody (schema.org) an item's description is its summary, and the page an article.
    """
    witnesses = {claim.witness for claim in told if claim.field in _TEXTS and claim.witness in _SHOWN}
    return headings.WITNESS in witnesses or (
        microdata.WITNESS in witnesses and not root.xpath(".//*[@itemprop='articleBody']"))


class Generic(SiteExtractor):
    """A site described by its source's options."""

    name = "generic"
    settings_witness = selectors.WITNESS
    # 1 took summaries for the texts of articles, and the site's own heading for their title; 2 knew no article inside a
    # WebPage's mainEntity; 3 took an event that a page only announces for what the page tells of; 4 took the summary of
    # an item with an articleBody for its text, and believed a bare day in the head against the one that readers see.
    version = 5

    def __init__(self, options: GenericOptions | None = None) -> None:
        self.options = options or GenericOptions()
        self.seeds = tuple(path for path in self.options.listings if "*" not in path)
        self.whole_documents = self.options.ends_in_html
        self._layout = _AnyLayout(self.options)
        self.links = self._layout.plan.links
        self.settings = self.options.select | {
            f"entries.{name}": written for name, written in (self.options.entries or {}).items()
            if name not in ("entry", "link")  # an entry without its link leads to no page, and is unread
        }
        self._list = None if self.options.entries is None else _list_of(self.options)

    @classmethod
    def configured(cls, options: Mapping[str, object]) -> Self:
        return cls(GenericOptions.taken(options, cls.name))

    def classify(self, path: str) -> PageKind:
        if self._layout.plan.milestones.key(path):
            return "milestone"
        return "listing" if any(covers(listing, path) for listing in self.options.listings) else "other"

    def key(self, url: str) -> str:
        milestones = self._layout.plan.milestones
        slug = milestones.key(url_path(url))
        if slug is None:
            raise ExtractError(f"not the address of a milestone ({milestones})", where=url)
        return slug

    def cards(self, page: Page) -> tuple[Card, ...]:
        root = self.tree(page)
        if root is None:
            return ()
        linked = cards.linked_cards(root, self._layout.plan, pictures.Pictures(page.url))
        listed = [one for one in self._listed(page) if isinstance(one, Card)]
        return cards.settled(cards.one_each((*listed, *linked)))

    def _listed(self, page: Page) -> list[Card | Unread]:
        if self._list is None:
            return []
        from extractors.list import listed_cards

        return listed_cards(self._list, page, self._layout.plan.milestones)

    def unread(self, page: Page) -> tuple[Unread, ...]:
        if self.classify(url_path(page.url)) != "listing":
            return ()
        if self._list is not None:
            return placed([one if isinstance(one, Unread) else one.date for one in self._listed(page)])
        return cards.unread_cards(self.tree(page), self._layout.plan, self.cards(page))

    def layouts(self) -> Sequence[Layout]:
        return (self._layout,)

    def read_text(self, text: str, *, source: str, url: str, known: KnownNames = NOBODY) -> Milestone:
        key, address = plaintext.address(url, self._layout.plan.milestones)
        plan = plaintext.TextPlan(sections=self._layout.plan.sections)
        return self.milestone(plaintext.claims(text, plan, known=known), source=source, key=key, url=address)
