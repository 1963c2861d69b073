"""The fields of a milestone, one entry each: all that reads, judges, keeps, shows or exports a record goes by these.

How to add one: docs/howto/add-a-field.md. What a `type` means is said where it is used, in a table by type: codec (JSON
forms), newsletter/news/rules (differences), newsletter/issue/corrections (words), pipeline/import_milestones (lines).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple

FieldType = Literal[
    "line",  # a short text
    "prose",  # a text
    "slug",  # a name for machines, or None
    "level",  # 1..5, or None
    "date",  # PartialDate, or None
    "names",  # texts
    "slugs",
    "image",  # Image, or None
    "cards",  # Cards
]
# Where a mail, its plain text and the page show a field. "row": its label beside its value.
Spot = Literal["title", "facts", "text", "aside", "row", "picture", "strip", ""]

EMPTY: Mapping[FieldType, object] = MappingProxyType({
    "line": "", "prose": "", "slug": None, "level": None, "date": None, "names": (), "slugs": (), "image": None,
    "cards": (),
})
_PAGE = ("selector", "headings", "microdata", "json-ld")


class Place(NamedTuple):
    """Where schema.org tells a field: a property of the page's own item, or a dotted path below it."""

    path: str
    type: str = ""  # of what stands there, only things of this @type count


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One field of a milestone."""

    name: str  # of the attribute of records.Milestone, and its key in JSON
    type: FieldType
    labels: Mapping[str, str]  # language → what readers see it called; "en" always
    witnesses: tuple[str, ...]  # who is believed first; one that is not named is asked and never followed
    spot: Spot = ""
    compared: bool = True  # whether a difference in it is a change
    by_parts: bool = False  # a line parted by commas, of which some say the same less exactly: "Dover", "Dover, Kent"
    required: bool = False  # a source that stops telling it has drifted
    hashes_empty: bool = False  # known emptiness is part of hashes: so it was before there were others
    # On sites that are known by their options alone: headings and terms of fact lists (casefolded), schema.org.
    headings: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    schema: tuple[Place, ...] = ()
    columns: tuple[str, ...] = ()  # in CSV
    jsonld: Place | None = None  # in an export, of a schema.org Event; `type`: the thing that the value is the name of
    search: Literal["title", "text", "names", ""] = ""  # which part of what a milestone is found by
    likeness: float = 0.0  # its weight when two records are compared for being one milestone; all of them come to 1

    @property
    def empty(self) -> object:
        """The value of nothing."""
        return EMPTY[self.type]


_ALL = (
    Field(
        name="title", type="line", labels={"en": "Title", "de": "Titel", "he": "כותרת"},
        witnesses=(*_PAGE, "meta", "text"), spot="title", required=True, hashes_empty=True,
        schema=(Place("headline"), Place("name")), columns=("title",), jsonld=Place("name"), search="title",
        likeness=0.25,
    ),
    Field(
        name="date", type="date", labels={"en": "Date", "de": "Datum", "he": "תאריך"},
        witnesses=(*_PAGE, "meta", "card", "text"), spot="facts", hashes_empty=True, facts=("date", "when", "year"),
        schema=(Place("temporalCoverage"), Place("startDate"), Place("about.startDate")), columns=("date",),
        jsonld=Place("startDate"), likeness=0.07,  # of its year
    ),
    Field(
        name="category", type="slug", labels={"en": "Category", "de": "Rubrik", "he": "תחום"},
        witnesses=(*_PAGE, "card", "text"), spot="facts", hashes_empty=True,
        facts=("category", "theme", "kind", "type"), schema=(Place("articleSection"),), columns=("category",),
        jsonld=Place("subjectOf.articleSection"), search="names",
    ),
    Field(
        name="era", type="slug", labels={"en": "Era", "de": "Epoche", "he": "תקופה"}, witnesses=(*_PAGE, "text"),
        spot="facts", hashes_empty=True, facts=("era", "age", "period", "epoch"), columns=("era",),
        jsonld=Place("superEvent", "Event"), search="names",
    ),
    Field(
        name="impact", type="level", labels={"en": "Impact", "de": "Bedeutung", "he": "השפעה"},
        witnesses=(*_PAGE, "card", "text"), spot="facts", hashes_empty=True, facts=("impact", "weight", "importance"),
        columns=("impact",),
    ),
    Field(
        name="what_happened", type="prose", labels={"en": "What happened", "de": "Was geschah", "he": "מה קרה"},
        witnesses=(*_PAGE, "text"), spot="text", required=True, hashes_empty=True,
        headings=("what happened", "summary", "overview", "the story"), schema=(Place("description"),),
        columns=("what_happened",), jsonld=Place("description"), search="text", likeness=0.35,
    ),
    Field(
        name="why_it_mattered", type="prose",
        labels={"en": "Why it mattered", "de": "Warum es wichtig war", "he": "מדוע זה חשוב"},
        witnesses=(*_PAGE, "text"), spot="aside", hashes_empty=True,
        headings=("why it mattered", "why it matters", "significance", "impact", "legacy", "importance", "aftermath"),
        schema=(Place("abstract"), Place("about.description")), columns=("why_it_mattered",),
        jsonld=Place("subjectOf.abstract"), search="text", likeness=0.15,
    ),
    Field(
        name="people", type="names", labels={"en": "People", "de": "Personen", "he": "אנשים"},
        witnesses=(*_PAGE, "text"), spot="row", hashes_empty=True, headings=("people", "key people", "who", "persons"),
        facts=("people", "key people", "who"),
        # The author of a page is who wrote it, not who made history: not asked.
        schema=(Place("mentions", "Person"), Place("performer", "Person")), columns=("people",),
        jsonld=Place("contributor", "Person"), search="names", likeness=0.08,
    ),
    Field(
        name="organizations", type="names", labels={"en": "Organizations", "de": "Organisationen", "he": "ארגונים"},
        witnesses=(*_PAGE, "text"), spot="row", hashes_empty=True,
        headings=("organizations", "organisations", "companies", "institutions"),
        facts=("organizations", "organisations", "organization", "by"),
        schema=(Place("mentions", "Organization"), Place("organizer", "Organization"),
                Place("about.organizer", "Organization"), Place("performer", "Organization")),
        columns=("organizations",), jsonld=Place("organizer", "Organization"), search="names", likeness=0.05,
    ),
    Field(
        name="tags", type="slugs", labels={"en": "Topics", "de": "Themen", "he": "נושאים"},
        witnesses=(*_PAGE, "card", "text"), hashes_empty=True, headings=("tags", "topics", "keywords"),
        facts=("tags", "topics", "keywords"), schema=(Place("keywords"),), columns=("tags",),
        jsonld=Place("keywords"), search="names", likeness=0.05,
    ),
    Field(
        name="image", type="image", labels={"en": "Picture", "de": "Bild", "he": "תמונה"},
        witnesses=("selector", "json-ld", "headings", "microdata", "card", "text"), spot="picture", hashes_empty=True,
        schema=(Place("image"),), columns=("image_url", "image_alt"), jsonld=Place("image"),
    ),
    Field(
        name="location", type="line", labels={"en": "Location", "de": "Ort", "he": "מקום"}, witnesses=(*_PAGE, "text"),
        spot="row", by_parts=True, facts=("location", "place", "where", "venue"),
        schema=(Place("location"), Place("about.location"), Place("contentLocation")), columns=("location",),
        jsonld=Place("location", "Place"), search="names",
    ),
    Field(  # it changes with its neighbours
        name="related", type="cards", labels={"en": "Related", "de": "Verwandtes", "he": "קשורים"},
        witnesses=("headings", "text"), spot="strip", compared=False, hashes_empty=True,
        headings=("related", "related milestones", "see also", "read next"),
    ),
)
FIELD: Mapping[str, Field] = MappingProxyType({field.name: field for field in _ALL})
FIELDS: tuple[str, ...] = tuple(FIELD)
CONTENT_FIELDS: tuple[str, ...] = tuple(field.name for field in _ALL if field.compared)


def of_type(*types: FieldType) -> tuple[str, ...]:
    """The names of the fields of some types, in their order."""
    return tuple(field.name for field in _ALL if field.type in types)


def shown_at(*spots: Spot) -> tuple[str, ...]:
    """The names of the fields that a mail shows in some places, in their order."""
    return tuple(field.name for field in _ALL if field.spot in spots)
