"""Which addresses are milestones: prefixes as ever, patterns with a key in them, and what is left out."""

import pytest

from extractors import registry
from extractors.addresses import Addresses, _remembered, checked
from extractors.clean import URL_CAP, key_after
from milepost.errors import ExtractError, SettingsError
from milepost.records import Page

DATED = Addresses(("/news/*/*/*/:slug",), ("/news/live/*", "/news/*/*/*/draft-*"))


@pytest.mark.parametrize("address", [
    "/story/lamp", "/story/lamp/", "/story/lamp.html", "/story/", "/story", "/story/a/b", "https://x.example/story/lamp?a#b",
    "/story/%C3%A9", "/other/lamp", "", None, "/story/" + "a" * 1_900, "/story/" + "a" * 1_901,
])
def test_a_prefix_keeps_every_key_that_it_ever_gave(address):
    assert Addresses(("/story/",)).key(address) == key_after(address, "/story/")
    assert Addresses(("/story/", "/tale/:slug")).key(address) == (
        key_after(address, "/story/") if len(address or "") < 1_900 else None
    )


def test_what_is_longer_than_an_address_is_read_and_not_kept():
    asked: list[str] = []

    def key(address: str) -> str:
        asked.append(address)
        return "lamp"

    known = _remembered(key)
    for address in ("/story/lamp", "/story/lamp?" + "a" * URL_CAP) * 2:
        assert known(address) == "lamp"
    assert [len(one) > URL_CAP for one in asked] == [False, True, True]


@pytest.mark.parametrize(("addresses", "address", "key"), [
    (DATED, "/news/2026/05/01/lamp", "lamp"),
    (DATED, "https://x.example/news/2026/05/01/lamp/?from=home#top", "lamp"),
    (DATED, "/news/2026/05/lamp", None),
    (DATED, "/news/2026/05/01/lamp/comments", None),
    (DATED, "/news/live/05/01/lamp", None),
    (DATED, "/news/2026/05/01/draft-lamp", None),
    (DATED, "/news//05/01/lamp", None),
    (Addresses(("/*-:slug.html",)), "/report-lamp.html", "lamp"),
    (Addresses(("/:slug/notes/:slug",)), "/2026/notes/lamp", "2026-lamp"),
    (Addresses(("/a/:slug", "/b/")), "/b/lamp", "lamp"),
    (Addresses(("/a.b/:slug",)), "/axb/lamp", None),
])
def test_the_key_in_an_address(addresses, address, key):
    assert addresses.key(address) == key


@pytest.mark.parametrize("pattern", [
    "news/", "/news", "/news/*", "/news/**/:slug", "/news/?id=:slug", "/*a*b*-:slug", "/a b/",
])
def test_a_pattern_that_tells_no_key_is_refused(pattern):
    with pytest.raises(ValueError, match=r"want|segment"):
        checked(pattern)
    with pytest.raises(SettingsError, match="milestones"):
        registry.get("generic", {"milestones": [pattern]})


def test_the_address_of_a_key_where_the_pattern_tells_it():
    assert Addresses(("/a/:slug.html",)).address_of("lamp") == "/a/lamp.html"
    with pytest.raises(ExtractError, match="Give the whole address"):
        DATED.address_of("lamp")


def test_a_listing_of_dated_addresses():
    options = {"milestones": "/news/*/*/*/:slug", "exclude": "/news/live/*", "listings": ["/news/*/"]}
    site = registry.get("generic", options)
    text = "<html><main>" + "".join(
        f'<article><h2>{title}</h2><a href="{address}">More</a></article>' for title, address in (
            ("Lamp", "/news/2026/05/01/lamp"), ("Live", "/news/live/05/01/now"), ("Odd", "/news/2026/odd"),
        )) + "</main></html>"
    page = Page(url="https://lamps.example/news/2026", text=text)
    assert site.classify("/news/2026") == "listing"
    assert [(card.key, card.title) for card in site.cards(page)] == [("lamp", "Lamp")]
    # What is excluded is no milestone, so that nothing is missed by not reading it.
    assert [(one.says, one.why) for one in site.unread(page)] == [("Odd", "no key in /news/2026/odd")]
