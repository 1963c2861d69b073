"""Milestones that took another key: kept with their history, asked about where it is not sure, answered once."""

import datetime as dt
from dataclasses import replace

import pytest

from milepost.errors import ConflictError, NotFoundError
from milepost.records import Change, FieldChange, Milestone
from store.milestones.milestones import Likeness
from store.milestones.renamings import Renamings
from store.milestones.search import Search
from tests.store.conftest import NOW, VARIANT, World, added, make_milestone

LATER = NOW + dt.timedelta(days=1)
OLD, NEW = make_milestone("old"), make_milestone("new", title="A new title")


@pytest.fixture
def asked(world: World) -> World:
    """"old" is known, "new" appeared, and may be the same."""
    world.look(OLD, announce=False)
    look_id = world.looks.start("site", NOW)
    likeness = Likeness(old_key="old", new_key="new", proof="score", score=0.7, sure=False)
    for _ in range(2):  # twice is once
        world.milestones.apply(
            look_id, "site", [(added(NEW), NEW, None)], announce=True, now=NOW, silent={"new"}, likenesses=[likeness]
        )
    world.looks.finish(look_id, state="complete", now=NOW, milestones=2)
    return world


def join(world: World, kept: Milestone = NEW) -> None:
    fields = (FieldChange("title", "corrected", OLD.title, NEW.title),)
    Renamings(world.database).join(1, fields=fields, kept=kept, why="the same", now=LATER)


def test_what_is_asked_is_recorded_and_told_to_nobody(asked: World) -> None:
    [question] = Renamings(asked.database).list("site", pending=True)
    assert (question.old_key, question.new_key, question.score, question.decision) == ("old", "new", 0.7, "pending")
    assert question.new is not None
    assert question.new.milestone == NEW
    assert question.old.milestone == OLD
    assert asked.issues.unannounced("instant") == []


def test_new_it_is_news(asked: World) -> None:
    Renamings(asked.database).announce(1, why="another one", now=LATER)
    assert [change.change.key for change, _ in asked.issues.unannounced("instant")] == ["new"]
    question = Renamings(asked.database).get(1)
    assert (question.decision, question.why, question.decided_at) == ("new", "another one", LATER)


def test_the_same_it_is_one_milestone_with_one_history(asked: World) -> None:
    first = asked.milestones.get("site", "old")
    join(asked)
    assert asked.milestones.keys("site") == {"new"}
    stored = asked.milestones.get("site", "new")
    assert (stored.id, stored.version, stored.milestone, stored.first_seen_at) == (first.id, 2, NEW, NOW)
    history = asked.milestones.history("new")
    assert [(entry.number, entry.milestone.key) for entry in history] == [(1, "old"), (2, "new")]
    assert history[1].change is not None
    assert history[1].change.change.kind == "renamed"
    assert [field.field for field in history[1].change.change.fields] == ["key", "title"]
    assert asked.issues.unannounced("instant") == []
    assert [found.stored.id for found in Search(asked.database).search("new title")] == [first.id]
    assert Search(asked.database).search("title of old") == []
    assert Renamings(asked.database).former("site", ["old", "new"]) == {"old": "new"}


def test_what_only_the_old_one_knew_stays_known(asked: World) -> None:
    join(asked, kept=replace(NEW, impact=5))
    stored = asked.milestones.get("site", "new")
    assert (stored.version, stored.milestone.impact) == (3, 5)


def test_changes_of_the_new_one_go_on_as_the_old_ones(asked: World) -> None:
    look_id = asked.looks.start("site", LATER)
    better = replace(NEW, title="Better")
    change = Change(source="site", key="new", kind="corrected", fields=(FieldChange("title", "corrected", "a", "b"),))
    asked.milestones.apply(look_id, "site", [(change, better, None)], announce=True, now=LATER)
    join(asked, kept=better)
    assert [found.change.kind for found in asked.milestones.changes(key="new")] == ["corrected", "renamed", "added"]


def test_a_question_is_answered_once(asked: World) -> None:
    join(asked)
    with pytest.raises(ConflictError, match="new is a rename already"):
        Renamings(asked.database).announce(1, why="no", now=LATER)
    with pytest.raises(ConflictError):
        join(asked)
    with pytest.raises(NotFoundError, match="rename 9"):
        Renamings(asked.database).announce(9, why="no", now=LATER)


def test_what_readers_were_told_is_not_taken_for_another(asked: World) -> None:
    with asked.database.begin() as connection:
        connection.exec_driver_sql("UPDATE change SET announce = TRUE WHERE look_id = 2")
    asked.issues.draft("instant", "c2", asked.items("new"), [VARIANT], subject="s", content_hash="c", now=NOW)
    with pytest.raises(ConflictError, match="new is in issue 1 already"):
        join(asked)


def test_one_that_took_another_key_meanwhile_is_not_it(asked: World) -> None:
    look_id = asked.looks.start("site", LATER)
    third = replace(OLD, key="third")
    change = Change(source="site", key="third", kind="renamed", fields=(FieldChange("key", "renamed", "old", "third"),))
    sure = Likeness(old_key="old", new_key="third", proof="redirect", score=1.0, sure=True)
    asked.milestones.apply(look_id, "site", [(change, third, None)], announce=True, now=LATER, likenesses=[sure])
    with pytest.raises(ConflictError, match="old took the key third meanwhile"):
        join(asked)
    [done] = [found for found in Renamings(asked.database).list("site") if found.decision == "rename"]
    assert (done.old_key, done.new_key, done.proof, done.new) == ("old", "third", "redirect", None)


def test_what_a_baseline_found_is_no_news_even_when_it_is_new(world: World) -> None:
    look_id = world.looks.start("site", NOW)
    likeness = Likeness(old_key="old", new_key="new", proof="score", score=0.7, sure=False)
    world.milestones.apply(
        look_id, "site", [(added(OLD), OLD, None), (added(NEW), NEW, None)], announce=False, now=NOW, silent={"new"},
        likenesses=[likeness],
    )
    world.looks.finish(look_id, state="complete", now=NOW, milestones=2)
    Renamings(world.database).announce(1, why="two", now=LATER)
    assert world.issues.unannounced("instant") == []
