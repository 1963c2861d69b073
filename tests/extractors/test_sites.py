"""Every saved page of every site reads as the record that stands beside it."""

from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from console.demo.site import pages as sample_pages
from extractors import dom, registry
from extractors.listpage import ListPage
from milepost.codec import card_to_json, milestone_to_json
from milepost.fields import FIELDS
from milepost.records import Page
from tests.disagreements import disagreements

CAPTURED = Path(__file__).parents[3] / "shared/sites/aitimeline"
SITES = Path(__file__).parents[1] / "sites"
SAVED = sorted(
    (file.parent.name, file.stem) for kind in ("html", "md", "page") for file in SITES.glob(f"*/*.{kind}")
)


@pytest.mark.parametrize(("source", "stem"), SAVED, ids=lambda value: value)
def test_a_saved_page_reads_as_its_record(source, stem, saved):
    assert _reading(saved(source), stem, source) == saved(source).expected[stem]


@pytest.mark.parametrize(("source", "stem"), SAVED, ids=lambda value: value)
def test_the_cut_reads_as_the_whole_page(source, stem, saved, monkeypatch):
    fast = _reading(saved(source), stem, source)
    monkeypatch.setattr(dom, "cut", lambda _: None)
    assert _reading(saved(source), stem, source) == fast


def _reading(saved, stem, source):
    """The page's cards, its record, or its records, by what kind of page and site it is."""
    page = saved.pages[stem]
    if isinstance(saved.site, ListPage):
        return [milestone_to_json(milestone) for milestone in saved.site.read_many(page, source=source)]
    if saved.site.classify(urlsplit(page.url).path) == "milestone":
        cards = saved.cards(saved.site.key(page.url))
        return milestone_to_json(saved.site.read(page, source=source, cards=cards))
    return [card_to_json(card) for card in saved.site.cards(page)]


def test_milestone_pages_of_our_sites_take_the_fast_way(aitimeline, sample):
    for site in (aitimeline, sample):
        for page in site.pages.values():
            if site.site.classify(urlsplit(page.url).path) == "milestone":
                assert dom.cut(page.text) is not None


def test_every_site_has_saved_pages():
    assert {source for source, _ in SAVED} == set(registry.names())


@pytest.fixture(scope="module")
def content():
    return sample_pages.load().published().edited()


@pytest.fixture(scope="module")
def built(content):
    return {
        path: Page(url=content.base_url + path, text=body.decode())
        for path, body in sample_pages.build(content, build_id="test").items()
    }


class TestSampleSite:
    """The content is known from its source, so every record can be compared with it."""

    def test_every_story_is_read_exactly(self, sample, content, built):
        home = sample.site.cards(built["/"])
        assert [card.key for card in home] == [story.key for story in content.shown]
        for story in content.shown:
            cards = [(built["/"].url, card) for card in home if card.key == story.key]
            milestone = sample.site.read(built[f"/story/{story.key}"], source="clockwork", cards=cards)
            for name in set(FIELDS) - {"image", "location", "related"}:  # the site tells no place
                assert getattr(milestone, name) == getattr(story, name), (story.key, name)
            assert (milestone.image.alt if milestone.image else "") == story.image_alt
            assert len(milestone.related) == sample_pages.RELATED
            assert milestone.unknown == {"location"}
            assert not disagreements(milestone.evidence)

    def test_another_build_changes_every_page_and_no_record(self, sample, content, built):
        again = sample_pages.build(content, build_id="another")
        for path, page in built.items():
            if sample.site.classify(path) == "other":
                continue
            later = replace(page, text=again[path].decode())
            assert later.text != page.text
            if sample.site.classify(path) == "milestone":
                assert sample.site.read(later, source="c") == sample.site.read(page, source="c")


@pytest.mark.captured
class TestCaptured:
    """The real site's pages against the facts behind them."""

    def test_all_records_are_exact(self, captured):
        assert len(captured.truth) == 81
        for key, truth in captured.truth.items():
            milestone = captured.site.read(captured.pages[key], source="aitimeline", cards=captured.cards(key))
            date = "-".join(f"{truth[part]:02d}" for part in ("year", "month", "day") if truth.get(part))
            image = (milestone.image.url, milestone.image.alt) if milestone.image else None
            assert image == ((truth["imageUrl"], truth["imageAlt"]) if "imageUrl" in truth else None)
            assert {
                "title": milestone.title, "description": milestone.what_happened, "impact": milestone.why_it_mattered,
                "impactLevel": milestone.impact, "people": list(milestone.people),
                "organizations": list(milestone.organizations), "tags": list(milestone.tags), "era": milestone.era,
                "category": milestone.category, "date": milestone.date.value,
            } == {
                **{name: truth[name] for name in (
                    "title", "description", "impact", "impactLevel", "people", "organizations", "tags", "era",
                    "category",
                )},
                "date": date,
            }
            assert milestone.date.confirmed
            assert milestone.unknown == {"location"}
            assert len(milestone.related) == 5

    def test_every_field_has_a_witness_and_none_differs(self, captured):
        for key, page in captured.pages.items():
            milestone = captured.site.read(page, source="aitimeline", cards=captured.cards(key))
            assert {name for name in FIELDS if not milestone.evidence.get(name)} == {"location"}
            assert not disagreements(milestone.evidence)

    def test_without_cards_a_january_is_a_year_that_waits(self, captured):
        for key, truth in captured.truth.items():
            milestone = captured.site.read(captured.pages[key], source="aitimeline")
            if truth.get("month") in (None, 1):
                assert (milestone.date.value, milestone.date.confirmed) == (str(truth["year"]), False)
            else:
                assert milestone.date.confirmed

    def test_the_cut_reads_as_the_whole_page(self, captured, monkeypatch):
        assert all(dom.cut(page.text) for page in captured.pages.values())
        fast = {key: captured.site.read(page, source="a") for key, page in captured.pages.items()}
        home = captured.site.cards(captured.home)
        monkeypatch.setattr(dom, "cut", lambda _: None)
        assert {key: captured.site.read(page, source="a") for key, page in captured.pages.items()} == fast
        assert captured.site.cards(captured.home) == home

    def test_cards_of_listings_agree_with_the_home_page(self, captured):
        home = {card.key: card for card in captured.site.cards(captured.home)}
        assert home.keys() == captured.truth.keys()
        folder = CAPTURED / "pages"
        for file in sorted([*folder.glob("era/*.html"), *folder.glob("category/*.html"), *folder.glob("year/*.html")]):
            page = Page(url=f"https://aitimeline.world/{file.parent.name}/{file.stem}", text=file.read_text("utf-8"))
            cards = captured.site.cards(page)
            assert cards
            for card in cards:
                full = home[card.key]
                assert (card.title, card.summary, card.impact) == (full.title, full.summary, full.impact)
                told = None if file.parent.name == "year" else full.date and full.date.value  # it stands above there
                assert (card.date and card.date.value) == told
                assert (card.people, card.organizations) == (full.people[:2], full.organizations[:2])
                assert card.confidence is None
