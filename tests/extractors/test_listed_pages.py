"""A list whose entries have pages of their own: the list is a witness beside each page."""

import pytest

from extractors import registry
from extractors.silent_settings import counted, silent
from milepost.codec import card_from_json, card_to_json
from milepost.errors import SettingsError
from milepost.records import Page, Unread

ITEMS = (
    "<li>12 March 2031: <a href='news/lens.html'>The lens is set</a> by two</li>"
    "<li>May 2031: <a href='https://rock.example/news/keeper.html'>A keeper moves in</a></li>"
    "<li>2 June 2031: <a href='/news/drafts/oil.html'>Oil, a draft</a></li>"
    "<li>3 June 2031: <a href='https://elsewhere.example/news/storm.html'>A storm</a></li>"
)
OPTIONS = {"milestones": "/news/:slug.html", "exclude": ["/news/drafts/*"], "listings": ["/"], "entries": {}}


def listing(items: str = ITEMS) -> Page:
    return Page(url="https://rock.example/", text=f"<html lang='en'><body><main><ul>{items}</ul></main></body></html>")


def article(day: str, title: str) -> Page:
    return Page(url="https://rock.example/news/lens.html", text=(
        f"<html lang='en'><body><article><h1>{title}</h1>{day}<p>Two people set the lens before noon, and lit it.</p>"
        "<p>Boats saw it from four miles out.</p></article></body></html>"))


def test_entries_are_witnesses_of_the_pages_they_lead_to() -> None:
    site = registry.get("generic", OPTIONS)
    lens, keeper = site.cards(listing())
    assert (lens.key, lens.title, lens.date and lens.date.value, keeper.key, keeper.date and keeper.date.value) == (
        "lens", "The lens is set", "2031-03-12", "keeper", "2031-05")
    told = [(one.says, one.why) for one in site.unread(listing())]
    assert told == [("A storm", "it leads to no page of a milestone")], "what the settings leave out is none"
    assert site.classify("/news/drafts/oil.html") == "other"

    page = article("<time datetime='2031-03-12'>12 March</time>", "The lens is set")
    record = site.read(page, source="rock", cards=[("https://rock.example/", lens)])
    assert {one.witness for one in record.evidence["date"]} >= {"card", "headings"}
    assert all(one.says is None for one in record.evidence["date"])

    undated = site.read(article("", "The lens is set"), source="rock", cards=[("https://rock.example/", lens)])
    assert undated.date is not None
    assert undated.date.value == "2031-03-12", "what the page doesn't tell, the list does"
    wrong = article("<time datetime='2031-04-12'>12 April</time>", "The lens is set")
    disputed = site.read(wrong, source="rock", cards=[("https://rock.example/", lens)])
    assert [one.says for one in disputed.evidence["date"] if one.witness == "card"] == ["2031-03-12"]


def test_entries_are_found_by_selectors_too() -> None:
    site = registry.get("generic", {**OPTIONS, "entries": {"entry": "li", "link": "a", "title": "a"}})
    assert [card.key for card in site.cards(listing())] == ["lens", "keeper"]
    assert all(isinstance(one, Unread) for one in site.unread(listing()))
    with pytest.raises(SettingsError, match="no CSS selector"):
        registry.get("generic", {**OPTIONS, "entries": {"entry": "li["}})


def test_selectors_of_entries_that_find_nothing_are_counted() -> None:
    site = registry.get("generic", {**OPTIONS, "entries": {"entry": "li", "title": "a", "people": "b.who"}})
    assert site.settings == {"entries.title": "a", "entries.people": "b.who"}
    lens = site.cards(listing())[0]
    assert card_from_json(card_to_json(lens)).silent == lens.silent == ("entries.people",)
    record = site.read(article("", "The lens is set"), source="rock", cards=[("https://rock.example/", lens)])
    [said] = silent(site.settings, [counted(site.settings, [record] * 3)])
    assert "entries.people" in said
    assert "finds nothing" in said
