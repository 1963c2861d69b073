"""The same text, names and picture: the witnesses' judge and the changes' judge give one answer."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extractors.reconcile import Claim, reconcile
from milepost.changes import CORRECTIONS, KINDS, NEWS
from milepost.records import CHANGE_KINDS, Image, Milestone
from milepost.same import fold, picture_of, pieces, same_picture, same_text
from newsletter.news.rules import RULES
from tests.disagreements import disagreements

PAGE = "https://harbour.example/m/lighthouse"
BASE = Milestone(source="harbour", key="lighthouse", url=PAGE, title="The lighthouse is lit", what_happened="Oil.")

ONE_PICTURE = [
    pytest.param("https://img.example/a.jpg?w=320", "https://img.example/a.jpg?w=640", True, id="a resizer's width"),
    pytest.param("http://img.example/a.jpg", "https://img.example/a.jpg", True, id="over https"),
    pytest.param("https://IMG.example/a.jpg", "https://img.example/a.jpg", True, id="the host's case"),
    pytest.param("https://img.example/t/250px-a.jpg", "https://img.example/t/960px-a.jpg", True, id="a thumbnail"),
    pytest.param("https://img.example/t/250px-a.jpg", "https://img.example/t/a.jpg", True, id="thumbnail and whole"),
    pytest.param("https://img.example/a.jpg?id=1", "https://img.example/a.jpg?id=2", False, id="another id"),
    pytest.param("https://img.example/a.jpg?1", "https://img.example/a.jpg?2", False, id="an id without a name"),
    pytest.param("https://img.example/a.jpg", "https://img.example/b.jpg", False, id="another file"),
    pytest.param("https://img.example/a.jpg", "https://cdn.example/a.jpg", False, id="another host"),
]
ONE_TEXT = [
    pytest.param("“It’s lit”", "\"It's lit\"", True, id="quotes"),
    pytest.param("Dover – Calais", "Dover-Calais", True, id="dashes"),
    pytest.param("«Oil» …", '"oil" ...', True, id="guillemets, ellipsis, case"),
    pytest.param("light\N{SOFT HYPHEN}house", "lighthouse", True, id="a soft hyphen"),
    pytest.param("40\N{NO-BREAK SPACE}m", "40 m", True, id="another space"),
    pytest.param("\N{LATIN SMALL LIGATURE FI}re", "Fire", True, id="a ligature"),
    pytest.param("It is lit", "It was lit", False, id="another word"),
    pytest.param("1887", "1878", False, id="another number"),
]


@pytest.mark.parametrize(("one", "other", "same"), ONE_PICTURE)
def test_a_picture_is_one_for_witnesses_and_for_changes(one: str, other: str, same: bool) -> None:
    assert same_picture(one, other) is same
    told = [Claim("image", Image(url=one), "json-ld", "Article.image"), Claim("image", Image(url=other), "card", "img")]
    assert disagreements(reconcile(told).evidence) == (() if same else ("image",))
    old, new = (replace(BASE, image=Image(url=url)) for url in (one, other))
    assert RULES["image"](old, new) == ("cosmetic" if same else "corrected")


@pytest.mark.parametrize(("one", "other", "same"), ONE_TEXT)
def test_a_text_is_one_for_witnesses_and_for_changes(one: str, other: str, same: bool) -> None:
    assert same_text(one, other) is same
    told = [Claim("title", one, "headings", "h1"), Claim("title", other, "json-ld", "Article.headline")]
    assert disagreements(reconcile(told).evidence) == (() if same else ("title",))
    assert RULES["title"](replace(BASE, title=one), replace(BASE, title=other)) == ("cosmetic" if same else "corrected")


@pytest.mark.parametrize(("one", "other", "same"), [
    pytest.param(("Ada Reed", "Bo Lind"), ("Bo Lind", "Ada Reed"), True, id="order"),
    pytest.param(("Harbour Board, Dover",), ("Harbour Board", "Dover"), True, id="a comma inside or between"),
    pytest.param(("Ada Reed",), ("Ada Read",), False, id="another name"),
    pytest.param(("Ada Reed", "Bo Lind"), ("Ada Reed",), False, id="one less"),
])
def test_names_are_the_same_for_witnesses_and_for_changes(
    one: tuple[str, ...], other: tuple[str, ...], same: bool
) -> None:
    assert (pieces(one) == pieces(other)) is same
    told = [Claim("people", one, "headings", "h2"), Claim("people", other, "json-ld", "Article.author")]
    assert disagreements(reconcile(told).evidence) == (() if same else ("people",))
    kind = RULES["people"](replace(BASE, people=one), replace(BASE, people=other))
    assert kind == ("cosmetic" if same else "corrected")


def test_a_picture_of_the_site_itself_stays_the_same_on_a_mirror() -> None:
    mirror = picture_of("https://mirror.example/a.jpg", "https://mirror.example/m/lighthouse")
    assert mirror == picture_of("https://harbour.example/a.jpg", PAGE)
    assert mirror != picture_of("https://cdn.example/a.jpg", PAGE)


def test_an_address_that_is_none_is_compared_as_it_stands() -> None:
    assert not same_picture("https://[x/a.jpg", "https://[y/a.jpg")


@given(st.text(max_size=40))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_what_reaches_an_issue_is_said_in_one_table() -> None:
    assert set(KINDS) == set(CHANGE_KINDS)
    assert NEWS == ("added",)
    assert CORRECTIONS == ("corrected",)
