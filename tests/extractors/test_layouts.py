"""A redesign is a second layout: old snapshots read as before, new pages too, and the fuller reading wins."""

import json
from collections.abc import Sequence

import pytest

from extractors import headings, jsonld, outline
from extractors.base import SiteExtractor, slug_of
from extractors.pictures import Pictures
from extractors.reconcile import Claim
from milepost.dates import PartialDate
from milepost.errors import ExtractError
from milepost.records import Page

OLD = "<html><main><h1>A lamp</h1><h2>Facts</h2><p>It was lit.</p></main></html>"
NEW = OLD.replace("Facts", "Story").replace("</main>", "<h2>Meaning</h2><p>It was dark before.</p></main>")


class Labels:
    def __init__(self, name: str, **sections: str) -> None:
        self.name = name
        self.plan = outline.Plan(sections=sections)

    def claims(self, parts, blocks, *, url, known):
        del blocks, known
        return headings.claims(outline.divide(parts.root, self.plan), self.plan, Pictures(url))


class Dated:
    """Reads nothing but what `inner` reads, and a date."""

    name = "dated"

    def __init__(self, inner: Labels) -> None:
        self.inner = inner

    def claims(self, parts, blocks, *, url, known):
        told = self.inner.claims(parts, blocks, url=url, known=known)
        return [*told, Claim("date", PartialDate(value="1900"), "headings", "guess")]


class Lamps(SiteExtractor):
    name = "lamps"
    version = 2

    def __init__(self, *layouts) -> None:
        self._layouts = layouts

    def classify(self, path):
        return "milestone"

    def key(self, url):
        return slug_of(url)

    def cards(self, page):
        return ()

    def layouts(self) -> Sequence:
        return self._layouts

    def read_text(self, text, *, source, url, known=None):
        raise ExtractError("no text")


first = Labels("2024", facts="what_happened")
second = Labels("2026", story="what_happened", meaning="why_it_mattered")


def read(text, *layouts):
    return Lamps(*layouts).read(Page(url="https://a.example/lamp", text=text), source="lamps")


@pytest.mark.parametrize("layouts", [(second, first), (first, second)], ids=["newest first", "oldest first"])
def test_each_build_is_read_by_its_layout(layouts):
    assert read(OLD, *layouts).what_happened == "It was lit."
    assert "why_it_mattered" in read(OLD, *layouts).unknown
    assert read(NEW, *layouts).why_it_mattered == "It was dark before."


def test_the_record_says_which_version_read_it():
    assert read(OLD, second, first).extractor == "lamps/2"


def test_a_date_only_breaks_ties():
    thin = Labels("thin", story="what_happened")
    assert read(NEW, second, thin).date is None
    assert read(NEW, second, Dated(thin)).date is None  # one field more beats a date
    assert read(NEW, second, Dated(second)).date == PartialDate(value="1900")


def test_a_build_that_no_layout_knows_is_an_error():
    with pytest.raises(ExtractError, match="no milestone on this page"):
        read(NEW, first)


def test_json_ld_of_several_articles_is_that_of_this_page():
    blocks = jsonld.read_blocks([json.dumps([
        {"@type": "Article", "headline": "Other", "url": "https://a.example/other"},
        {"@type": ["Article", "Thing"], "headline": "This", "mainEntityOfPage": "https://b.example/lamp/"},
    ])])
    table = jsonld.Table(texts={"title": ("headline",)})
    assert [claim.value for claim in jsonld.claims(blocks, table, url="https://a.example/lamp")] == ["This"]
