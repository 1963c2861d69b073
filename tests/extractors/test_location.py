"""Where it happened: a fact of the page, a text, a Place or an address in schema.org's words."""

import json
from typing import Any

import pytest

from extractors import registry
from milepost.records import Milestone, Page
from tests.disagreements import disagreements

EVENT = {"@context": "https://schema.org", "@type": "Event", "name": "The lamp is lit", "startDate": "1911-10-02"}
ADDRESS = {"@type": "PostalAddress", "streetAddress": "2 Quay Street", "addressLocality": "Exampletown",
           "postalCode": "00000", "addressCountry": {"@type": "Country", "name": "Nowhere"}}


def read(linked: object = None, body: str = "") -> Milestone:
    block = "" if linked is None else f'<script type="application/ld+json">{json.dumps(linked)}</script>'
    html = (f"<!doctype html><html lang=en><head>{block}</head><body><article><h1>The lamp is lit</h1>{body}"
            "<h2>What happened</h2><p>Somebody turned a switch.</p></article></body></html>")
    site = registry.get("generic", {"milestones": "/m/"})
    return site.read(Page(url="https://lights.example/m/lamp", text=html), source="lights")


@pytest.mark.parametrize(("location", "told"), [
    pytest.param("Gull Rock, Exampletown", "Gull Rock, Exampletown", id="a text"),
    pytest.param({"@type": "Place", "name": "Gull Rock"}, "Gull Rock", id="a place"),
    pytest.param({"@type": "Place", "name": "Gull Rock", "address": ADDRESS}, "Gull Rock, Exampletown, Nowhere",
                 id="with its address"),
    pytest.param({"@type": "Place", "address": ADDRESS}, "2 Quay Street, Exampletown, Nowhere", id="its address alone"),
    pytest.param(ADDRESS, "2 Quay Street, Exampletown, Nowhere", id="an address"),
    pytest.param({"@type": "Place", "name": "Gull Rock", "address": "Quay Street, Exampletown"},
                 "Gull Rock, Quay Street, Exampletown", id="an address in words"),
    pytest.param({"@type": "Place", "name": "Exampletown", "address": {"addressLocality": "Exampletown"}},
                 "Exampletown", id="a town in itself"),
    pytest.param([{"@type": "VirtualLocation", "url": "https://w.example/"}, {"@type": "Place", "name": "Gull Rock"}],
                 "Gull Rock", id="also to be watched"),
    pytest.param({"@type": ["Place"], "name": ["Gull Rock"], "address": [ADDRESS]}, "Gull Rock, Exampletown, Nowhere",
                 id="lists"),
    pytest.param("https://watch.example/", "", id="only to be watched"),
    pytest.param({"@type": "Place", "name": 7, "address": [[]]}, "", id="nonsense"),
])
def test_an_event_tells_its_place(location: object, told: str) -> None:
    record = read(EVENT | {"location": location})
    assert record.location == told
    assert ("location" in record.unknown) is not bool(told)


def test_an_article_tells_the_place_that_it_is_about() -> None:
    article: dict[str, Any] = {"@type": "Article", "headline": "The lamp is lit"}
    about = {"@type": "Event", "location": {"@type": "Place", "name": "Gull Rock"}}
    assert read(article | {"about": about}).location == "Gull Rock"
    assert read(article | {"contentLocation": {"@type": "Place", "name": "Gull Rock"}}).location == "Gull Rock"


@pytest.mark.parametrize("label", ["Location", "Place:", "Where"])
def test_a_fact_tells_the_place(label: str) -> None:
    record = read(body=f"<dl><dt>{label}</dt><dd>Gull Rock</dd></dl>")
    assert record.location == "Gull Rock"
    assert [one.witness for one in record.evidence["location"]] == ["headings"]


PLACE = '<p itemprop="location" itemscope itemtype="https://schema.org/Place">'
TOWN = ('<i itemprop="address" itemscope itemtype="https://schema.org/PostalAddress">'
        '<i itemprop="streetAddress">2 Quay Street</i> <i itemprop="addressLocality">Exampletown</i></i>')


@pytest.mark.parametrize(("item", "told"), [
    ('<span itemprop="location">Gull Rock</span>', "Gull Rock"),
    (f'{PLACE}{TOWN} At <b itemprop="name">Gull Rock</b></p>', "Gull Rock, Exampletown"),
    (f"{PLACE}{TOWN}</p>", "2 Quay Street, Exampletown"),
    (f"{PLACE}Here</p>", ""),
], ids=["text", "place", "address", "no name"])
def test_microdata_tells_the_place(item: str, told: str) -> None:
    scope = '<div itemscope itemtype="https://schema.org/Event"><b itemprop="name">The lamp is lit</b>'
    assert read(body=f"{scope}{item}</div>").location == told


def test_the_town_and_the_rock_in_it_are_no_dispute_and_the_fuller_one_is_kept() -> None:
    linked = EVENT | {"location": {"@type": "Place", "name": "Gull Rock", "address": ADDRESS}}
    record = read(linked, "<dl><dt>Place</dt><dd>exampletown</dd></dl>")
    assert record.location == "Gull Rock, Exampletown, Nowhere"
    assert [(one.witness, one.vague) for one in record.evidence["location"]] == [("json-ld", False), ("headings", True)]
    other = read(linked, "<dl><dt>Place</dt><dd>Another Rock</dd></dl>")
    assert other.location == "Another Rock"
    assert disagreements(other.evidence) == ("location",)
