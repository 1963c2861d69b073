"""What is known of the sites beside an issue's records; it is kept with the issue, so that it renders alike for ever.

    settings, store ─▶ Known ─▶ Renderer        Known ─▶ JSON, kept and hashed ─▶ Known
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from milepost.fields import FIELDS, of_type
from milepost.records import IssueItem


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A picture of a site that we serve ourselves."""

    name: str  # below /i/ of our own pages
    width: int  # pixels
    height: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What is known; what is not in here is not known, and the mail does without it."""

    languages: Mapping[str, str] = field(default_factory=dict)  # source → language tag (BCP 47) of what it tells
    labels: Mapping[str, str] = field(default_factory=dict)  # slug → words that the operator chose, shown as they stand
    site_labels: Mapping[str, str] = field(default_factory=dict)  # slug → words of the site's own links
    pages: Mapping[str, str] = field(default_factory=dict)  # page_key → address of a neighbour
    pictures: Mapping[str, Picture] = field(default_factory=dict)  # address at the site → what we serve of it

    def has_word_for(self, slug: object) -> bool:
        """Whether the operator or the site calls it something; else there are only its own letters."""
        return slug in self.labels or slug in self.site_labels

    def to_json(self) -> dict[str, object]:
        """The parts that hold anything."""
        pictures = {url: [one.name, one.width, one.height] for url, one in self.pictures.items()}
        parts: dict[str, Mapping[str, object]] = {
            "languages": self.languages, "labels": self.labels, "site_labels": self.site_labels, "pages": self.pages,
            "pictures": pictures,
        }
        return {name: dict(part) for name, part in parts.items() if part}


NOTHING_KNOWN = Known()


def known_from(data: object) -> Known:
    """The inverse of `to_json`; `data` may be None."""
    if not isinstance(data, Mapping):
        return NOTHING_KNOWN
    plain = {name: dict(data.get(name, {})) for name in ("languages", "labels", "site_labels", "pages")}
    pictures = {
        url: Picture(name=name, width=width, height=height)
        for url, (name, width, height) in data.get("pictures", {}).items()
    }
    return Known(**plain, pictures=pictures)


def page_key(source: str, key: str) -> str:
    """What a milestone's page is looked up by; neither part holds a space."""
    return f"{source} {key}"


def slugs_of(items: Iterable[IssueItem]) -> set[str]:
    """Every slug that these items show, also as what was told before."""
    found: set[str] = set()
    one, many = of_type("slug"), of_type("slugs")
    for item in items:
        values: list[object] = [getattr(item.milestone, name) for name in (*one, *many)]
        for change in item.fields:
            if change.field in (*one, *many) and change.field in FIELDS:
                values += [change.old, change.new]
        for value in values:
            found.update([value] if isinstance(value, str) else value or ())  # type: ignore[arg-type]
    return found
