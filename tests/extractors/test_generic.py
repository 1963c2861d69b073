"""Sites told by options: what they take, what they refuse, and pages of many milestones."""

import json

import pytest

from extractors import registry
from milepost.dates import PartialDate
from milepost.errors import ExtractError, SettingsError
from milepost.records import Page

MARKDOWN = """# Changelog

## [1.1.0] - 2026-01-02
### Added
- A lamp.

## [1.0.0] - 2025-01-02
- The first.
"""


def changelog(text=MARKDOWN, url="https://lantern.example/changelog"):
    return registry.get("keepachangelog", {"path": "/changelog"}), Page(url=url, text=text)


@pytest.mark.parametrize(("name", "options", "sentence"), [
    ("generic", {"milestone": "/news/"}, "'milestone'"),
    ("generic", {"milestones": "news"}, "a path from the root"),
    ("generic", {"sections": {"Who": "persons"}}, "there are title, date"),
    ("generic", {"sections": "Who"}, "'sections'"),
    ("keepachangelog", {"path": "changelog"}, "a path from the root"),
    ("timelinelist", {"project": "x"}, "It takes: path"),
    ("aitimeline", {"path": "/"}, "takes no options"),
    ("sample", {"x": 1}, "takes no options"),
])
def test_options_that_are_not_taken(name, options, sentence):
    with pytest.raises(SettingsError, match=sentence):
        registry.get(name, options)


@pytest.mark.parametrize(("path", "kind"), [
    ("/bridge/iron-span", "milestone"), ("/", "listing"), ("/river/ell", "listing"), ("/river", "other"),
    ("/bridge/", "other"), ("/about", "other"),
])
def test_paths_of_a_generic_site(saved, path, kind):
    assert saved("generic").site.classify(path) == kind


def test_a_generic_site_says_which_listings_are_asked_for(saved):
    assert saved("generic").site.seeds == ("/",)


@pytest.mark.parametrize("damage", [
    lambda text: text.replace("<h2>Builders</h2>", "<h2>By whom</h2>"),
    lambda text: text.replace("<h2>Builders</h2>", ""),
    lambda text: text.replace("itemprop=", "data-x="),
], ids=["renamed", "removed", "no microdata"])
def test_a_damaged_generic_page_has_no_silent_gap(saved, damage):
    site, page = saved("generic").site, saved("generic").pages["bridge.tallow-footbridge"]
    milestone = site.read(Page(url=page.url, text=damage(page.text)), source="bridges")
    assert milestone.people == ("Marta Holm", "Piet de Wael") or "people" in milestone.unknown
    assert milestone.title == "The Tallow footbridge"


def test_microdata_alone_makes_a_record(saved):
    site = saved("generic").site
    text = """<html><body><div itemscope itemtype="https://schema.org/Event"><span itemprop="name">A ford</span>
    <meta itemprop="startDate" content="1402-06"><p itemprop="description">People waded.</p>
    <div itemprop="organizer" itemscope itemtype="https://schema.org/Organization"><i itemprop="name">Abbey</i>
    <i itemprop="description">Not the ford's.</i></div></div></body></html>"""
    milestone = site.read(Page(url="https://bridges.example/bridge/ford", text=text), source="bridges")
    assert (milestone.title, milestone.date.value, milestone.what_happened) == ("A ford", "1402-06", "People waded.")
    assert milestone.organizations == ("Abbey",)


def test_padded_dates_when_the_site_says_so():
    text = """<html><head><script type="application/ld+json">{"@type": "Article", "headline": "A", "description": "B.",
    "datePublished": "1900-01-01"}</script></head><body><main><h1>A</h1></main></body></html>"""
    page = Page(url="https://a.example/timeline/a", text=text)
    padded = registry.get("generic", {"dates": ["datePublished"], "padded_dates": True}).read(page, source="a")
    assert padded.date == PartialDate(value="1900", confirmed=False)
    read = registry.get("generic", {"dates": ["datePublished"]}).read(page, source="a")
    assert read.date == PartialDate(value="1900-01-01")
    assert registry.get("generic").read(page, source="a").unknown >= {"date"}


class TestManyOnAPage:
    def test_one_is_read_by_its_fragment(self):
        site, page = changelog(url="https://lantern.example/changelog#1-0-0")
        assert site.key(page.url) == "1-0-0"
        assert site.read(page, source="l").what_happened == "The first."

    def test_the_page_is_the_milestone_page(self):
        site, _ = changelog()
        assert (site.classify("/changelog"), site.classify("/"), site.seeds) == ("milestone", "other", ("/changelog",))

    def test_other_sites_have_one_on_a_page(self, sample):
        page = sample.pages["story.ammonia-clock"]
        assert sample.site.read_many(page, source="s") == (sample.site.read(page, source="s"),)

    @pytest.mark.parametrize(("text", "url", "sentence"), [
        (MARKDOWN, "https://lantern.example/changelog", "names no entry"),
        (MARKDOWN, "https://lantern.example/changelog#3-0-0", "no entry '3-0-0'"),
        ("# Changelog\n\nNothing yet.\n", "https://lantern.example/changelog#1-0-0", "no milestone on this page"),
        ("<html><h2>1.0.0</h2>", "https://lantern.example/changelog#1-0-0", "ends early"),
    ], ids=["no fragment", "other fragment", "no release", "cut off"])
    def test_what_can_not_be_read(self, text, url, sentence):
        site, page = changelog(text, url)
        with pytest.raises(ExtractError, match=sentence):
            site.read(page, source="l")

    def test_of_two_entries_with_one_key_the_first_is_read_and_the_other_told(self):
        site, page = changelog(MARKDOWN + "\n## 1.0.0\n- Again.\n\n## 0.9.0\n- The oldest.\n")
        assert [(one.key, one.what_happened) for one in site.read_many(page, source="l")] == [
            ("1-1-0", "Added: A lamp."), ("1-0-0", "The first."), ("0-9-0", "The oldest."),
        ]
        assert [(one.says, one.why) for one in site.unread(page)] == [("1-0-0", "an entry before it has the same key")]

    def test_a_new_release_leaves_the_keys_of_the_others(self):
        site, page = changelog()
        before = {one.key: one for one in site.read_many(page, source="l")}
        _, later = changelog(MARKDOWN.replace("# Changelog\n", "# Changelog\n\n## 1.2.0 - 2026-05-06\n- More.\n", 1))
        after = {one.key: one for one in site.read_many(later, source="l")}
        assert after.keys() - before.keys() == {"1-2-0"}
        assert {key: after[key] for key in before} == before

    def test_markdown_as_text(self):
        site, page = changelog(url="https://lantern.example/changelog#1-1-0")
        assert site.read_text(page.text, source="l", url=page.url) == site.read(page, source="l")


def test_the_article_that_a_page_is_about_is_the_pages_own():
    told = {"@type": "WebPage", "name": "Gull Rock", "mainEntity": {
        "@type": "NewsArticle", "headline": "The lens is set", "datePublished": "2031-03-12",
        "mentions": [{"@type": "Person", "name": "Ida Invented"}],
        "author": {"@type": "Person", "name": "Otto Reporter"},
    }}
    text = (f"<html lang='en'><head><script type='application/ld+json'>{json.dumps(told)}</script></head>"
            "<body><article><h1>The lens is set</h1><p>Two people set the lens before noon, and lit it at dusk.</p>"
            "<p>Boats saw it from four miles out.</p></article></body></html>")
    record = registry.get("generic", {"milestones": "/news/"}).read(
        Page(url="https://rock.example/news/lens", text=text), source="rock")
    assert (record.date and record.date.value, record.people) == ("2031-03-12", ("Ida Invented",))
