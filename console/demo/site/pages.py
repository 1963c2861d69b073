"""The sample site's pages, purely: (content, build id) → path → bytes. Another build id changes every page's bytes."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from milepost.dates import PartialDate

RELATED = 3  # cards under "Read next"


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """One milestone as the sample site's editors keep it."""

    key: str
    title: str
    date: PartialDate
    era: str  # slug
    category: str  # slug
    impact: int
    what_happened: str
    why_it_mattered: str
    people: tuple[str, ...]
    organizations: tuple[str, ...]
    tags: tuple[str, ...]
    image_alt: str = ""  # "": no picture
    held_back: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """All that the site tells; `edits` is what its editors are yet to correct."""

    name: str
    tagline: str
    base_url: str
    eras: Mapping[str, str]  # slug → label
    categories: Mapping[str, str]
    stories: tuple[Story, ...]
    edits: tuple[Mapping[str, str], ...] = ()
    later: tuple[Story, ...] = ()  # what they are yet to write
    bench: tuple[Mapping[str, str], ...] = ()  # what the page without words fetches

    def published(self) -> "Content":
        """With the stories that were held back."""
        return replace(self, stories=tuple(replace(story, held_back=False) for story in self.stories))

    def edited(self) -> "Content":
        """With the corrections made."""
        changes: dict[str, dict[str, Any]] = {
            edit["key"]: {name: text for name, text in edit.items() if name != "key"} for edit in self.edits
        }
        stories = tuple(replace(story, **changes.get(story.key, {})) for story in self.stories)
        return replace(self, stories=stories, edits=())

    def continued(self) -> "Content":
        """With what was written after that."""
        return replace(self, stories=(*self.stories, *self.later), later=())

    @property
    def shown(self) -> tuple[Story, ...]:
        """The stories on the site, oldest first."""
        return tuple(sorted((one for one in self.stories if not one.held_back), key=lambda one: one.date.sort_key))


@cache
def load() -> Content:
    """The content that ships with the program."""
    data = tomllib.loads(files("console.demo.site").joinpath("milestones.toml").read_text(encoding="utf-8"))
    return Content(
        **data["site"], eras=data["eras"], categories=data["categories"], edits=tuple(data["edits"]),
        stories=tuple(map(_story, data["milestones"])), later=tuple(map(_story, data["later"])),
        bench=tuple(data["bench"]),
    )


def _story(data: Mapping[str, Any]) -> Story:
    lists = {name: tuple(data[name]) for name in ("people", "organizations", "tags")}
    return Story(**{**data, "date": PartialDate(value=data["date"]), **lists})


def build(content: Content, *, build_id: str) -> dict[str, bytes]:
    """Every file of the site by its path: "/", "/story/…", "/age/…", "/theme/…", "/art/….svg", robots and sitemap."""
    render = _renderer(content, build_id)
    shown = content.shown
    pages = {"/": render("home.html", stories=shown)}
    for story in shown:
        pages[f"/story/{story.key}"] = render(
            "story.html", story=story, related=_related(story, shown), ld=_linked_data(content, story),
        )
        if story.image_alt:
            pages[f"/art/{story.key}.svg"] = render("picture.svg", story=story)
    for kind, labels in (("age", content.eras), ("theme", content.categories)):
        for slug, label in labels.items():
            members = tuple(one for one in shown if slug in (one.era, one.category))
            pages[f"/{kind}/{slug}"] = render("list.html", label=label, kind=kind, stories=members)
    pages["/robots.txt"] = render("robots.txt")
    listed = [path for path in pages if not path.startswith(("/art/", "/robots"))]
    pages["/sitemap.xml"] = render("sitemap.xml", paths=listed)
    return pages


def build_bench(content: Content, *, build_id: str) -> dict[str, bytes]:
    """The page that is empty without its script, "/bench", and what that fetches; nothing links to them."""
    entries = json.dumps(content.bench, ensure_ascii=False).encode()
    return {"/bench": _renderer(content, build_id)("bench.html"), "/bench.json": entries}


def first_sentence(text: str) -> str:
    """What a card shows of a text."""
    end = text.find(". ")
    return text if end < 0 else text[: end + 1]


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("console.demo.site", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )
    made.filters["first_sentence"] = first_sentence
    return made


def _renderer(content: Content, build_id: str) -> Any:
    def render(name: str, **values: object) -> bytes:
        text = _environment().get_template(f"{name}.j2").render(site=content, build_id=build_id, **values)
        return text.encode("utf-8")

    return render


def _related(story: Story, stories: Sequence[Story]) -> list[Story]:
    """Those that share most with a story, its neighbours in time first."""
    others = [one for one in stories if one.key != story.key]

    def nearness(one: Story) -> tuple[int, int]:
        shared = len(set(one.tags) & set(story.tags)) * 2 + (one.category == story.category) + (one.era == story.era)
        return -shared, abs(one.date.year - story.date.year)

    return sorted(others, key=nearness)[:RELATED]


def _linked_data(content: Content, story: Story) -> str:
    """The story as JSON-LD: one @graph, dates no finer than they are known."""
    address = f"{content.base_url}/story/{story.key}"
    article: dict[str, object] = {
        "@type": "Article",
        "@id": address,
        "headline": story.title,
        "description": story.what_happened,
        "abstract": story.why_it_mattered,
        "temporalCoverage": story.date.value,
        "articleSection": content.categories[story.category],
        "keywords": list(story.tags),
        "author": {"@type": "Organization", "name": content.name},
        "mentions": [
            *({"@type": "Person", "name": name} for name in story.people),
            *({"@type": "Organization", "name": name} for name in story.organizations),
        ],
    }
    if story.image_alt:
        article["image"] = {
            "@type": "ImageObject", "url": f"{content.base_url}/art/{story.key}.svg", "caption": story.image_alt,
        }
    crumbs = {
        "@type": "BreadcrumbList",
        "itemListElement": [
            {"@type": "ListItem", "position": 1, "name": content.name, "item": f"{content.base_url}/"},
            {"@type": "ListItem", "position": 2, "name": content.eras[story.era],
             "item": f"{content.base_url}/age/{story.era}"},
            {"@type": "ListItem", "position": 3, "name": content.categories[story.category],
             "item": f"{content.base_url}/theme/{story.category}"},
        ],
    }
    data = {"@context": "https://schema.org", "@graph": [article, crumbs]}
    return json.dumps(data, ensure_ascii=False, indent=1).replace("<", "\\u003c")
