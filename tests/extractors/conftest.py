"""Saved pages of our own making (tests/sites/<source>/) and, where they are beside the checkout, captured ones."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from extractors import registry
from extractors.base import SiteExtractor
from milepost.records import Card, Page

SITES = Path(__file__).parents[1] / "sites"
CAPTURED = Path(__file__).parents[3] / "shared/sites/aitimeline"
SEED = Path(__file__).parents[3] / "shared/seeds/alexnet-2012.txt"
BASES = {
    "aitimeline": "https://timeline.example",
    "csv": "https://bridges.example",
    "changelog": "https://kiln.example",
    "feed": "https://clocks.example",
    "generic": "https://bridges.example",
    "json": "https://kites.example",
    "keepachangelog": "https://lantern.example",
    "sample": "https://clockwork.example",
    "timelinelist": "https://umbrellas.example",
}


@dataclass(frozen=True, kw_only=True)
class SavedSite:
    """A folder of saved pages: `home.html` is "/", `story.first.html` is "/story/first"; records stand beside them."""

    site: SiteExtractor
    pages: dict[str, Page]  # by file stem
    expected: dict[str, Any]  # stem → record, or list of cards, as JSON

    def cards(self, key: str) -> list[tuple[str, Card]]:
        return [
            (page.url, card)
            for page in self.pages.values()
            if self.site.classify(urlsplit(page.url).path) == "listing"
            for card in self.site.cards(page)
            if card.key == key
        ]


def load_saved(name: str) -> SavedSite:
    folder = SITES / name
    options = folder / "options.json"
    pages = {}
    for file in sorted([*folder.glob("*.html"), *folder.glob("*.md"), *folder.glob("*.page")]):
        path = "/" if file.stem == "home" else "/" + file.stem.replace(".", "/", 1)
        base = BASES.get(name, f"https://{name}.example")
        pages[file.stem] = Page(url=base + path, text=file.read_text(encoding="utf-8"))
    expected = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("*.json")}
    site = registry.get(name, expected.pop("options", {}) if options.is_file() else {})
    return SavedSite(site=site, pages=pages, expected=expected)


@pytest.fixture(scope="session")
def saved() -> Callable[[str], SavedSite]:
    return cache(load_saved)


@pytest.fixture(scope="session")
def aitimeline(saved) -> SavedSite:
    return saved("aitimeline")


@pytest.fixture(scope="session")
def sample(saved) -> SavedSite:
    return saved("sample")


@dataclass(frozen=True, kw_only=True)
class CapturedSite:
    site: SiteExtractor
    home: Page
    pages: dict[str, Page]  # by key
    truth: dict[str, dict[str, Any]]

    def cards(self, key: str) -> list[tuple[str, Card]]:
        return [(self.home.url, card) for card in self.site.cards(self.home) if card.key == key]


@pytest.fixture(scope="session")
def captured() -> CapturedSite:
    if not CAPTURED.is_dir():
        pytest.skip("the captured pages are not beside this checkout (shared/sites)")
    base = "https://aitimeline.world"

    def page(path: str, file: Path) -> Page:
        return Page(url=base + path, text=file.read_text(encoding="utf-8"))

    return CapturedSite(
        site=registry.get("aitimeline"),
        home=page("/", CAPTURED / "pages/index.html"),
        pages={f.stem: page(f"/timeline/{f.stem}", f) for f in sorted((CAPTURED / "pages/timeline").glob("*.html"))},
        truth={one["id"]: one for one in json.loads((CAPTURED / "truth.json").read_text(encoding="utf-8"))},
    )


@pytest.fixture(scope="session")
def seed_text() -> str:
    if not SEED.is_file():
        pytest.skip("the seed text is not beside this checkout (shared/seeds)")
    return SEED.read_text(encoding="utf-8")
