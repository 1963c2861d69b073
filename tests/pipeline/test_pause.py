"""Who pauses is in no issue, the ledger says until when; and afterwards they hear of it at once, or not at all."""

import datetime as dt
from dataclasses import replace

import pytest

from pipeline.edit import stop
from pipeline.ledger import absent
from store.database import Database
from store.issues.issues import Issues
from store.ledger.ledger import Ledger
from store.ledger.owed import Owed
from store.subscribers.people import Subscribers
from tests.pipeline.town import DAY, HOUR, MONDAY, Town
from tests.store.conftest import database as both  # noqa: F401
from tests.store.conftest import postgresql_server, postgresql_shared, sqlite_shared  # noqa: F401

WEEK = 7 * DAY


@pytest.fixture
def town(both: Database) -> Town:  # noqa: F811
    town = Town(both)
    town.offers("weekly")
    town.at(MONDAY + 2 * HOUR)
    return town


def pause(town: Town, who: object, until: dt.datetime, *, skips: bool = False) -> None:
    Subscribers(town.database).pause(who.id, until, skips=skips, now=town.now)  # type: ignore[attr-defined]


def weekly(town: Town, *keys: str) -> list[int]:
    """Something is found and the next weekly issue goes out."""
    if keys:
        town.finds(*keys)
    town.at(town.now + WEEK)
    return town.publishes()


def test_what_was_missed_comes_as_one_digest(town: Town) -> None:
    ada, bob = town.reader("ada"), town.reader("bob")
    weekly(town, "m1")
    pause(town, ada, MONDAY + 4 * WEEK - HOUR)
    for number, key in enumerate(("m2", "m3")):
        [issue] = weekly(town, key)
        counts = Ledger(town.database).counts(issue)
        assert counts.balanced, number
        assert counts.exclusions == {"paused": 1}
        assert "paused until 2026-05-04" in absent(town.database, issue, ada.address).why
    assert town.keys(ada) == ["m1"]
    [issue] = weekly(town, "m4")
    assert sorted(town.told(ada)[-1][1]) == ["m2", "m3", "m4"]
    assert town.told(ada)[-1][0] == issue
    assert town.keys(bob) == ["m1", "m2", "m3", "m4"]
    assert Owed(town.database).list() == []


def test_or_it_is_left_out_whatever_they_turn_to_since(town: Town) -> None:
    ada, _ = town.reader("ada"), town.reader("bob")
    weekly(town, "m1")
    pause(town, ada, MONDAY + 3 * WEEK - HOUR, skips=True)
    weekly(town, "m2")
    weekly(town, "m3")
    assert town.keys(ada) == ["m1", "m3"]
    assert Owed(town.database).list() == []
    town.offers("weekly", "daily")
    town.chooses(ada, cadence="daily")
    town.at(town.now + 2 * DAY)
    town.publishes()
    assert town.keys(ada) == ["m1", "m3"]


def test_who_resumes_early_is_told_in_the_next_issue(town: Town) -> None:
    ada, _ = town.reader("ada"), town.reader("bob")
    pause(town, ada, MONDAY + 50 * WEEK)
    weekly(town, "m1")
    assert town.publishes() == []  # nobody who pauses makes an issue due
    Subscribers(town.database).resume(ada.id, town.now)
    weekly(town)
    assert town.keys(ada) == ["m1"]


def test_who_pauses_after_the_draft_is_left_out_of_it(town: Town) -> None:
    ada, _ = town.reader("ada"), town.reader("bob")
    letter = town.settings.newsletter
    town.settings = town.settings.model_copy(update={"newsletter": letter.model_copy(update={"approval": True})})
    weekly(town, "m1")
    pause(town, ada, MONDAY + 50 * WEEK)
    [draft] = Issues(town.database).list(states=["draft"])
    Issues(town.database).approve(draft.number, draft.content_hash, town.now)
    town.publishes()
    assert Ledger(town.database).counts(draft.number).exclusions == {"paused": 1}


@pytest.mark.parametrize("skips", [True, False])
def test_an_issue_that_is_taken_back_leaves_no_trace_of_the_pause(town: Town, skips: bool) -> None:
    ada, bob = town.reader("ada"), town.reader("bob")
    pause(town, ada, MONDAY + 50 * WEEK, skips=skips)
    town.finds("m1")
    town.at(town.now + WEEK)
    [issue] = town.publishes(send=False)
    stop(town.database, issue)
    Subscribers(town.database).resume(ada.id, town.now)
    Issues(town.database).approve(issue, Issues(town.database).get(issue).content_hash, town.now)
    town.publishes()
    assert (town.keys(ada), town.keys(bob)) == (["m1"], ["m1"])
    assert Owed(town.database).list() == []


def test_a_pause_is_over_when_its_day_begins(town: Town) -> None:
    ada = town.reader("ada")
    found = replace(ada, paused_until=MONDAY)
    assert (found.paused(MONDAY - HOUR), found.paused(MONDAY)) == (True, False)
