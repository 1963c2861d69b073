"""Readers who change their minds: what each was told is remembered, so that nothing is lost or told twice."""

import dataclasses
import datetime as dt
import json
from collections.abc import Callable, Collection
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from console.app import app
from milepost.records import Cadence, Change, Issue
from newsletter.issue.compose import content_hash
from pipeline.edit import edit, replay, stop
from pipeline.ledger import absent, equation
from pipeline.publish import draft_due, freeze, waiting_news
from store.database import Database
from store.issues.issues import Issues
from store.ledger.ledger import Ledger
from store.ledger.owed import Owed
from store.subscribers.people import Subscribers
from store.subscribers.suppressions import Suppressions
from tests.pipeline.town import DAY, HOUR, MONDAY, Town
from tests.store.conftest import World, make_milestone, postgresql_server, postgresql_shared, sqlite_shared  # noqa: F401  # noqa: F401
from tests.store.conftest import database as both  # noqa: F401


@pytest.fixture
def town(both: Database) -> Town:  # noqa: F811
    return Town(both)


def test_weekly_to_instant_between_the_two_issues_misses_nothing(town: Town) -> None:
    ann, _bea = town.reader("ann", "weekly"), town.reader("bea", "instant")
    town.at(MONDAY + 2 * DAY)
    town.finds("loom")
    assert town.publishes() == [1]
    assert town.exclusion(1, ann) == "other_cadence"
    town.at(MONDAY + 3 * DAY)
    town.chooses(ann, "instant")
    assert town.owed() == [("ann", "loom")]
    assert town.publishes() == []  # what is owed waits for the day's hour
    town.at(MONDAY + 4 * DAY + 2 * HOUR)
    assert town.publishes() == [2]
    issue = Issues(town.database).get(2)
    assert ([item.milestone.key for item in issue.items], [item.milestone.key for item in issue.owed]) == ([], ["loom"])
    assert equation(Ledger(town.database).counts(2))["excluded"] == 1  # bea, whom issue 1 told
    town.at(MONDAY + 7 * DAY + 2 * HOUR)
    town.publishes()
    assert town.told(ann) == [(2, ["loom"])]
    assert town.told(_bea) == [(1, ["loom"])]
    assert town.owed() == []
    assert replay(town.settings, town.database, 2).proven


def test_what_is_owed_goes_with_the_next_news(town: Town) -> None:
    ann, bea = town.reader("ann", "weekly"), town.reader("bea", "instant")
    town.finds("loom")
    town.publishes()
    town.chooses(ann, "instant")
    town.finds("mill")
    assert town.publishes() == [2]
    assert (town.told(ann), town.told(bea)) == ([(2, ["mill", "loom"])], [(1, ["loom"]), (2, ["mill"])])
    assert replay(town.settings, town.database, 2).proven


def test_weekly_to_daily(town: Town) -> None:
    town.offers("daily", "weekly")
    ann = town.reader("ann", "weekly")
    town.reader("bea", "daily")
    town.at(MONDAY + 2 * DAY)
    town.finds("loom")
    town.at(MONDAY + 3 * DAY + 2 * HOUR)
    assert town.publishes() == [1]
    town.chooses(ann, "daily")
    assert town.publishes() == []
    assert [(waiting.cadence, waiting.owed) for waiting in waiting_news(town.settings, town.database)
            if waiting.owed] == [("daily", 1)]
    town.at(MONDAY + 4 * DAY + 2 * HOUR)
    assert town.publishes() == [2]
    assert town.publishes() == []
    assert town.told(ann) == [(2, ["loom"])]


def test_instant_to_weekly_hears_it_once(town: Town) -> None:
    ann, bea = town.reader("ann", "instant"), town.reader("bea", "weekly")
    town.at(MONDAY + 2 * DAY)
    town.finds("loom")
    assert town.publishes() == [1]
    town.chooses(ann, "weekly")
    town.at(MONDAY + 3 * DAY)
    town.finds("mill")
    town.publishes()
    town.at(MONDAY + 7 * DAY + 2 * HOUR)
    [number] = town.publishes()
    assert (town.keys(ann), town.keys(bea)) == (["loom", "mill"], ["mill", "loom"])
    assert town.told(ann)[-1] == (number, ["mill"])
    assert replay(town.settings, town.database, number).proven


def test_who_was_told_all_of_it_is_left_out_and_it_is_said(town: Town) -> None:
    ann = town.reader("ann", "instant")
    town.reader("bea", "weekly")
    town.at(MONDAY + 2 * DAY)
    town.finds("loom")
    town.publishes()
    town.chooses(ann, "weekly")
    town.at(MONDAY + 7 * DAY + 2 * HOUR)
    [number] = town.publishes()
    assert town.exclusion(number, ann) == "nothing_new"
    assert town.keys(ann) == ["loom"]


def test_topics_chosen_after_the_draft_get_a_variant_of_what_was_approved(town: Town) -> None:
    town.offers("daily")
    ann = town.reader("ann", "daily", ["ships"])
    town.reader("bea", "daily")
    town.finds("loom")
    town.finds("sail", category="ships")
    town.at(MONDAY + 2 * HOUR)
    [issue] = draft_due(town.settings, town.database, now=lambda: town.now)
    town.chooses(ann, topics=["research"])
    freeze(town.settings, town.database, issue.number, content_hash=issue.content_hash, now=town.now)
    town.sends(issue.number)
    assert town.told(ann) == [(1, ["loom"])]
    assert Issues(town.database).get(1).content_hash == issue.content_hash
    assert len(Issues(town.database).variant_names(1)) == 3
    assert replay(town.settings, town.database, 1).proven


def test_what_can_not_be_rendered_any_more_is_owed_and_said(
    town: Town, tmp_path: Path
) -> None:
    town.offers("daily")
    ann = town.reader("ann", "daily", ["ships"])
    bea = town.reader("bea", "daily")
    town.finds("loom")
    town.finds("sail", category="ships")
    town.at(MONDAY + 2 * HOUR)
    [issue] = draft_due(town.settings, town.database, now=lambda: town.now)
    town.at(MONDAY + 2 * HOUR + dt.timedelta(minutes=1))
    town.chooses(ann, topics=["research"])
    own = tmp_path / "templates"
    (own / "partials").mkdir(parents=True)
    (own / "partials" / "new.j2").write_text("Something else.", encoding="utf-8")
    letter = town.settings.newsletter.model_copy(update={"templates": own})
    other = town.settings.model_copy(update={"newsletter": letter})
    freeze(other, town.database, issue.number, content_hash=issue.content_hash, now=town.now)
    town.sends(issue.number)

    counts = Ledger(town.database).counts(1)
    assert counts.exclusions == {"owed": 1}
    assert counts.balanced
    assert (equation(counts)["owed"], equation(counts)["excluded"]) == (1, 0)
    found = absent(town.database, 1, "ann@readers.example")
    assert found.why.startswith("topics (changed 2026-04-06 10:01 UTC, draft 2026-04-06 10:00 UTC)")
    assert [(row.key, row.cadence, row.why) for row in found.owed] == [("loom", "daily", "unrendered")]

    config = tmp_path / "milepost.toml"
    config.write_text(f'[store]\nurl = "{town.settings.store.url}"\n', encoding="utf-8")
    asked = CliRunner().invoke(app, ["--config", str(config), "ledger", "1", "--to", "ann@readers.example"])
    assert "excluded: topics (changed 2026-04-06 10:01 UTC, draft 2026-04-06 10:00 UTC)" in asked.output
    assert "owed in the next daily issue: loom" in asked.output
    told = CliRunner().invoke(app, ["--config", str(config), "ledger", "1", "--to", "ann@readers.example", "--json"])
    assert json.loads(told.stdout)["absent"]["owed"][0]["next"] == "daily"
    listed = CliRunner().invoke(app, ["--config", str(config), "ledger", "owed", "--json"])
    assert [(row["address"], row["key"]) for row in json.loads(listed.stdout)] == [("ann@readers.example", "loom")]

    town.at(MONDAY + DAY + 2 * HOUR)
    assert town.publishes() == [2]
    assert (town.told(ann), town.keys(bea)) == ([(2, ["loom"])], ["loom", "sail"])


@pytest.mark.parametrize(
    ("address", "words"),
    [
        pytest.param("ann@readers.example", "other_cadence (today they read the weekly issue)", id="another cadence"),
        pytest.param("cat@readers.example", "no_match", id="topics"),
        pytest.param("dan@readers.example", "unsubscribed", id="left"),
        pytest.param("eve@readers.example", "signed up", id="came later"),
        pytest.param("nobody@readers.example", "no subscriber has that address", id="nobody"),
    ],
)
def test_everybody_without_a_mail_is_told_why(town: Town, address: str, words: str) -> None:
    town.reader("ann", "weekly")
    town.reader("cat", "instant", ["ships"])
    dan = town.reader("dan", "instant")
    Subscribers(town.database).leave(dan.id, town.now)
    town.reader("bea", "instant")
    town.finds("loom")
    town.publishes()
    town.reader("eve", "instant")
    assert words in absent(town.database, 1, address).why


def test_who_leaves_and_returns_is_told_what_came_before_they_left(town: Town) -> None:
    ann = town.reader("ann", "weekly")
    town.reader("bea", "weekly")
    town.at(MONDAY + 2 * DAY)
    town.finds("loom")
    people = Subscribers(town.database)
    people.leave(ann.id, town.now + HOUR)
    assert town.owed() == []  # nothing is owed to who is not here
    town.at(MONDAY + 3 * DAY)
    town.finds("mill")
    town.at(MONDAY + 7 * DAY + 2 * HOUR)
    town.publishes()
    town.at(MONDAY + 8 * DAY)
    people.come_back(ann.id, town.now)
    assert town.owed() == [("ann", "loom")]
    town.at(MONDAY + 14 * DAY + 2 * HOUR)
    town.publishes()
    assert town.keys(ann) == ["loom"]


def test_what_was_held_as_they_left_and_told_while_they_were_away_is_owed_on_their_return(town: Town) -> None:
    """And nothing that an issue before that held: its news was none of ann's topics."""
    town.offers("weekly")
    ann = town.reader("ann", "weekly", ["research"])
    town.reader("bea", "weekly")
    town.finds("ship", category="ships")
    town.at(MONDAY + 2 * HOUR)
    assert town.publishes() == [1]
    town.at(MONDAY + DAY)
    looks, record = town.world.looks, make_milestone("loom", category="research")
    held = looks.start("site", town.now)
    town.world.milestones.apply(
        held, "site", [(Change(source="site", key="loom", kind="added"), record, None)], announce=True,
        held="a surge", now=town.now,
    )
    looks.finish(held, state="complete", now=town.now, milestones=3)
    people = Subscribers(town.database)
    people.leave(ann.id, town.now + HOUR)
    looks.release(held, "it was looked at", town.now + 2 * HOUR)
    town.at(MONDAY + 7 * DAY + 2 * HOUR)
    assert town.publishes() == [2]
    people.come_back(ann.id, town.now + HOUR)
    assert town.owed() == [("ann", "loom")]


def test_a_mail_called_off_because_they_left_is_owed_on_their_return(town: Town) -> None:
    ann = town.reader("ann", "instant")
    town.finds("loom")
    [number] = town.publishes(send=False)
    people = Subscribers(town.database)
    people.leave(ann.id, town.now + HOUR)
    town.sends(number)
    assert Ledger(town.database).counts(number).states == {"cancelled": 1}
    town.at(MONDAY + DAY)
    people.come_back(ann.id, town.now)
    town.at(MONDAY + 2 * DAY)
    town.publishes()
    assert town.keys(ann) == ["loom"]


def test_nobody_is_owed_what_came_before_they_did(town: Town) -> None:
    town.finds("loom")
    town.reader("bea", "instant")
    town.publishes()
    town.at(MONDAY + DAY)
    ann = town.reader("ann", "weekly")
    town.chooses(ann, "instant")
    assert town.owed() == []


def test_a_backfill_and_a_baseline_are_owed_to_nobody(town: Town) -> None:
    ann = town.reader("ann", "weekly")
    record = make_milestone("imported")
    town.world.milestones.apply(
        None, "site", [(Change(source="site", key="imported", kind="added"), record, None)], announce=False,
        now=town.now,
    )
    town.world.look(make_milestone("second-base"), announce=False)
    town.chooses(ann, "instant")
    assert town.owed() == []


def test_a_switch_while_the_mail_is_on_its_way_makes_no_second(town: Town) -> None:
    ann = town.reader("ann", "instant")
    town.reader("bea", "weekly")
    town.finds("loom")
    [number] = town.publishes(send=False)
    town.chooses(ann, "weekly")
    town.at(MONDAY + 7 * DAY + 2 * HOUR)
    [weekly] = town.publishes()
    town.sends(number)
    assert (town.told(ann), town.exclusion(weekly, ann)) == ([(number, ["loom"])], "nothing_new")


def test_an_issue_taken_back_owes_those_who_turned_away_meanwhile(town: Town) -> None:
    ann = town.reader("ann", "instant")
    town.reader("bea", "weekly")
    town.finds("loom")
    [instant] = town.publishes(send=False)
    town.at(MONDAY + 6 * HOUR)
    town.chooses(ann, "weekly")
    town.at(MONDAY + 7 * DAY + 2 * HOUR)
    [weekly] = town.publishes()
    assert town.exclusion(weekly, ann) == "nothing_new"
    assert stop(town.database, instant).undone
    town.at(MONDAY + 14 * DAY + 2 * HOUR)
    numbers = town.publishes()
    assert town.keys(ann) == ["loom"]
    assert town.told(ann)[0][0] in numbers


def test_topics_that_want_it_no_more_end_the_debt(town: Town) -> None:
    ann = town.reader("ann", "weekly")
    town.reader("bea", "instant")
    town.finds("loom")
    town.publishes()
    town.chooses(ann, "instant", ["ships"])
    town.finds("sail", category="ships")
    town.publishes()
    assert (town.keys(ann), town.owed()) == (["sail"], [])


def test_a_milestone_withdrawn_meanwhile_is_not_told(town: Town) -> None:
    ann = town.reader("ann", "weekly")
    town.reader("bea", "instant")
    town.finds("loom")
    town.publishes()
    town.chooses(ann, "instant")
    stored = town.world.milestones.get("site", "loom")
    look_id = town.world.looks.start("site", town.now)
    town.world.milestones.apply(
        look_id, "site", [(Change(source="site", key="loom", kind="withdrawn"), stored.milestone, None)],
        announce=True, now=town.now,
    )
    town.world.looks.finish(look_id, state="complete", now=town.now, milestones=1)
    town.at(MONDAY + 2 * DAY)
    assert town.publishes() == []
    assert town.keys(ann) == []


def test_a_suppressed_reader_makes_no_issue(town: Town) -> None:
    town.offers("instant")
    ann = town.reader("ann", "weekly")
    town.reader("bea", "instant")
    town.finds("loom")
    town.publishes()
    town.chooses(ann, "instant")
    Suppressions(town.database).add(ann.address, "dead", town.now)
    town.at(MONDAY + 2 * DAY)
    assert town.publishes() == []


def test_an_edit_keeps_what_is_owed(town: Town) -> None:
    town.offers("instant")
    ann = town.reader("ann", "weekly")
    town.reader("bea", "instant")
    town.finds("loom")
    town.publishes()
    town.chooses(ann, "instant")
    town.at(MONDAY + DAY + 2 * HOUR)
    [issue] = draft_due(town.settings, town.database, now=lambda: town.now)
    revised = edit(town.settings, town.database, issue.number, subject="What you missed")
    assert [item.milestone.key for item in revised.owed] == ["loom"]
    assert revised.content_hash != issue.content_hash
    town.publishes()
    assert town.keys(ann) == ["loom"]


def test_the_approved_hash_binds_what_is_owed(town: Town) -> None:
    issue = _owed_issue(town)
    hashed: Callable[[Issue], str] = lambda one: content_hash(  # noqa: E731
        one.items, [], shown={}, templates="", owed=one.owed)
    assert hashed(issue) != hashed(dataclasses.replace(issue, owed=()))


def _owed_issue(town: Town) -> Issue:
    ann = town.reader("ann", "weekly")
    town.reader("bea", "instant")
    town.finds("loom")
    town.publishes()
    town.chooses(ann, "instant")
    town.finds("mill")
    [number] = town.publishes(send=False)
    return Issues(town.database).get(number)


# --- corrections ------------------------------------------------------------------------------------------------------


def test_a_correction_follows_its_reader_to_another_cadence(town: Town) -> None:
    ann, bea, cat = town.reader("ann", "instant"), town.reader("bea", "weekly"), town.reader("cat", "instant")
    town.at(MONDAY + 2 * DAY)
    town.finds("loom")
    town.publishes()
    town.chooses(ann, "weekly")
    town.at(MONDAY + 3 * DAY)
    town.finds("loom", title="The loom, rightly")
    town.publishes()
    town.at(MONDAY + 7 * DAY + 2 * HOUR)
    town.publishes()
    assert town.keys(cat) == ["loom", "loom"]
    assert town.keys(bea) == ["loom"]  # never told the mistake
    town.at(MONDAY + 14 * DAY + 2 * HOUR)
    town.publishes()
    assert town.keys(ann) == ["loom", "loom"]
    assert [issue.number for issue in Issues(town.database).list()] == sorted(
        {number for who in (ann, bea, cat) for number, _ in town.told(who)}, reverse=True
    )


def test_a_correction_that_the_new_cadence_told_already_is_owed(town: Town) -> None:
    ann, bea = town.reader("ann", "weekly"), town.reader("bea", "instant")
    town.finds("loom")
    town.publishes()
    town.at(MONDAY + 7 * DAY + 2 * HOUR)
    town.publishes()
    town.at(MONDAY + 8 * DAY)
    town.finds("loom", title="The loom, rightly")
    town.publishes()
    assert (town.keys(ann), town.keys(bea)) == (["loom"], ["loom", "loom"])
    town.chooses(ann, "instant")
    assert town.owed() == [("ann", "loom")]
    town.at(MONDAY + 9 * DAY + 2 * HOUR)
    town.publishes()
    town.at(MONDAY + 14 * DAY + 2 * HOUR)
    town.publishes()
    assert (town.keys(ann), town.owed()) == (["loom", "loom"], [])


def _sealed(town: Town, cadence: Cadence) -> int:
    """The next issue of a cadence, whatever the hour, sealed."""
    [draft] = draft_due(town.settings, town.database, only=cadence, early=True, now=lambda: town.now)
    freeze(town.settings, town.database, draft.number, content_hash=draft.content_hash, now=town.now)
    return draft.number


def test_a_correction_is_owed_while_what_was_read_last_is_wrong(town: Town) -> None:
    """Ann turns to weekly with two corrections open. Of its draft's one the other is put right too: none is open."""
    town.offers("daily", "weekly")
    ann, _bea = town.reader("ann", "daily"), town.reader("bea", "weekly")
    town.finds("loom")
    for cadence in ("daily", "weekly"):
        town.sends(_sealed(town, cadence))
    town.at(town.now + 7 * DAY)
    town.finds("loom", title="Second title")
    town.sends(_sealed(town, "weekly"))  # tells bea
    town.at(town.now + 7 * DAY)
    town.finds("loom", title="Third title")
    [draft] = draft_due(town.settings, town.database, only="weekly", early=True, now=lambda: town.now)
    town.at(town.now + HOUR)
    town.chooses(ann, "weekly")
    assert town.owed() == [("ann", "loom"), ("ann", "loom")]
    freeze(town.settings, town.database, draft.number, content_hash=draft.content_hash, now=town.now)
    assert town.owed() == []  # her mail is on its way
    town.sends(draft.number)
    assert town.owed() == []
    assert [len(keys) for _, keys in town.told(ann)] == [1, 1]
    # and nobody is left out of the next issue as if something were owed still
    town.at(town.now + 7 * DAY)
    town.finds("other", category="ships")
    town.chooses(ann, topics=["research"])
    assert town.exclusion(_sealed(town, "weekly"), ann) == "no_match"


def test_a_correction_that_was_undone_is_owed_to_nobody(town: Town) -> None:
    town.offers("daily", "weekly")
    ann = town.reader("ann", "daily")
    town.finds("loom", title="First title")
    town.sends(_sealed(town, "daily"))
    town.at(town.now + 2 * DAY)
    town.finds("loom", title="Second title")
    town.chooses(ann, "weekly")
    assert town.owed() == [("ann", "loom")]
    town.at(town.now + DAY)
    town.finds("loom", title="First title")
    assert town.owed() == []
    town.finds("loom", title="Third title")
    assert town.owed() == [("ann", "loom")]


def test_what_is_owed_is_read_some_at_a_time_and_is_the_same(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """News and corrections, told by other mails or not: whichever stand in one part."""
    readers = [town.reader(f"r{number}", "weekly") for number in range(5)]
    town.reader("keeps", "instant")
    town.finds("loom", "mill")
    town.publishes()
    for who in readers:
        town.chooses(who, "instant")
        town.now += dt.timedelta(minutes=1)
    whole = Owed(town.database).list()
    assert len(whole) == 10
    asked: list[int] = []

    def counted(_: sa.Connection, open_: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        asked.append(len(open_))
        return {(whole[3].subscriber, whole[3].change_id)} & set(open_)

    monkeypatch.setattr("store.ledger.owed._AT_ONCE", 3)
    assert Owed(town.database).list() == whole
    monkeypatch.setattr("store.ledger.owed._put_right", counted)
    monkeypatch.setattr("store.ledger.owed.CORRECTIONS", frozenset({"added"}))
    assert Owed(town.database).list() == [row for row in whole if row is not whole[3]]
    assert asked == [3, 3, 3, 1]
    assert next(iter(Owed(town.database).each())) == whole[0]
