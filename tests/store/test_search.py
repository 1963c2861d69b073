"""Finding milestones by words, with the same answers on both engines."""

import datetime as dt
from dataclasses import replace

import pytest
import sqlalchemy as sa

from milepost.errors import InputError
from milepost.records import Change
from store.database import check, upgrade
from store.milestones.search import Search
from tests.store.conftest import NOW, World, make_milestone

LATER = NOW + dt.timedelta(days=1)


@pytest.fixture
def library(world: World) -> World:
    world.look(
        make_milestone("chess", title="A machine wins at chess", what_happened="It beat the champion in Zürich."),
        make_milestone("go", title="A machine wins at Go", why_it_mattered="Harder than chess.", tags=("board-games",)),
        make_milestone("words", title="Translating sentences", people=("José Inventado",), category="language",
                       location="Gull Rock, Exampletown"),
    )
    return world


@pytest.mark.parametrize(
    ("question", "keys"),
    [
        pytest.param("chess", ["chess", "go"], id="the title counts more"),
        pytest.param("machine wins", ["chess", "go"], id="all words"),
        pytest.param("machine sentences", [], id="not any word"),
        pytest.param("CHAMPION", ["chess"], id="case"),
        pytest.param("zurich", ["chess"], id="accents"),
        pytest.param("josé", ["words"], id="names"),
        pytest.param("exampletown", ["words"], id="place"),
        pytest.param("translate sentence", ["words"], id="English endings"),
        pytest.param("board games", ["go"], id="tags"),
        pytest.param("mach", ["chess", "go"], id="the beginning of the last word"),
        pytest.param("language", ["words"], id="category"),
        pytest.param("nothing like it", [], id="nothing"),
    ],
)
def test_finding(library: World, question: str, keys: list[str]) -> None:
    assert [found.stored.milestone.key for found in Search(library.database).search(question)] == keys


@pytest.mark.parametrize(
    "question",
    ['"', "chess\"", "title:chess", "chess OR", "NEAR(chess)", "chess & | !", "(chess", "chess*", "-chess", "^chess",
     "'; DROP TABLE milestone; --", "chess:*A", "\\", "chess \0", "ﬁ½²", "a_b", "日本", "chess " * 500],
)
def test_no_question_is_a_syntax_error(library: World, question: str) -> None:
    try:
        Search(library.database).search(question)
    except InputError as error:
        assert "no word to look for" in str(error)  # noqa: PT017 (a sentence is one of the two good answers)
    assert library.milestones.count("site") == 3


@pytest.mark.parametrize("question", ["", "  ", "?!", "_"])
def test_a_question_without_a_word(library: World, question: str) -> None:
    with pytest.raises(InputError, match="no word to look for"):
        Search(library.database).search(question)


def test_only_what_stands_today_is_found(library: World) -> None:
    search = Search(library.database)
    look_id = library.looks.start("site", LATER)
    edited = replace(library.milestones.get("site", "chess").milestone, title="A machine wins at draughts")
    gone = library.milestones.get("site", "go").milestone
    library.milestones.apply(
        look_id, "site",
        [(Change(source="site", key="chess", kind="corrected"), edited, None),
         (Change(source="site", key="go", kind="withdrawn"), gone, None)],
        announce=True, now=LATER,
    )
    assert search.search("chess") == []
    (found,) = search.search("draughts")
    assert (found.stored.version, found.stored.milestone) == (2, edited)


def test_limit(library: World) -> None:
    assert len(Search(library.database).search("machine", limit=1)) == 1


def test_huge_and_odd_texts_are_indexed(world: World) -> None:
    text = "x" * 5000 + " \0 needle " + "ﬀ" * 200_000
    world.look(make_milestone("huge", title="long " * 400_000, what_happened=text))
    assert len(Search(world.database).search("needle")) == 1


def test_an_index_that_was_lost_is_made_anew(library: World, url: str) -> None:
    with library.database.begin() as connection:
        connection.execute(sa.text("DELETE FROM milestone_search"))
    assert Search(library.database).search("chess") == []
    assert [finding for finding in check(library.database) if "search index" in finding]
    upgrade(url)
    assert len(Search(library.database).search("chess")) == 2
