"""What looks remember for the guards of later ones, and what a held look may show."""

import datetime as dt
from dataclasses import replace

import pytest
import sqlalchemy as sa

from milepost.errors import ConflictError
from milepost.records import Change
from store.milestones.refusals import Refusals
from store.schema import tables
from tests.store.conftest import NOW, VARIANT, World, make_milestone

LATER = NOW + dt.timedelta(days=1)


def finish(world: World, *, listed: int | None, guard: str | None = None, held: str | None = None,
           state: str = "complete") -> int:
    look_id = world.looks.start("site", NOW)
    world.looks.finish(look_id, state=state, now=NOW, listed=listed, guard=guard, held=held)  # type: ignore[arg-type]
    return look_id


def test_what_listings_named_when_they_were_last_believed(world: World) -> None:
    assert world.looks.listed_before("site") is None
    finish(world, listed=80)
    finish(world, listed=None, state="incomplete")
    assert world.looks.listed_before("site") == 80
    shrunken = finish(world, listed=20, guard="shrunken", held="20 fewer")
    finish(world, listed=20, guard="shrunken")  # asks the same
    assert world.looks.listed_before("site") == 80
    world.looks.release(shrunken, "they are gone", LATER)
    assert world.looks.listed_before("site") == 20
    finish(world, listed=30, guard="surge", held="10 more")
    assert world.looks.listed_before("site") == 30
    assert world.looks.listed_before("elsewhere") is None


@pytest.mark.parametrize(("guard", "accepted"), [("removal", True), ("shrunken", True), ("surge", False)])
def test_a_released_removal_is_accepted(world: World, guard: str, accepted: bool) -> None:
    look_id = finish(world, listed=80, guard=guard, held="too many")
    assert world.looks.accepted_removals("site") == 0
    world.looks.release(look_id, "so be it", LATER)
    assert world.looks.accepted_removals("site") == (look_id if accepted else 0)


def test_a_version_that_waits_is_not_shown_until_it_is_released(world: World) -> None:
    world.baseline()
    world.look(make_milestone("one"), make_milestone("two"))
    look_id = world.looks.start("site", LATER)
    better = replace(make_milestone("one"), title="Better?")
    change = Change(source="site", key="one", kind="corrected")
    world.milestones.apply(
        look_id, "site", [(change, better, None)], announce=True, held="drift", guard="drift", now=LATER
    )
    world.looks.finish(look_id, state="complete", now=LATER)

    def shown() -> list[str]:
        return [stored.milestone.title for _, stored in world.issues.unannounced("instant")]

    assert shown() == ["Title of one", "Title of two"]
    assert world.milestones.get("site", "one").milestone.title == "Better?"
    assert world.milestones.some("site", ["one"], visible=True)["one"].milestone.title == "Title of one"
    assert world.looks.get(look_id).guard == "drift"
    world.looks.release(look_id, "it is", LATER)
    assert shown() == ["Better?", "Title of two"]


def test_what_a_held_look_told_and_was_taken_back_is_no_correction_even_when_it_is_released(world: World) -> None:
    world.baseline()
    world.look(make_milestone("one"))
    world.issues.draft("instant", "c2", world.items(), [VARIANT], subject="s", content_hash="c", now=NOW)
    with world.database.begin() as connection:
        connection.execute(sa.update(tables.issue).values(state="complete"))
    right = make_milestone("one")
    garbage = replace(right, title="undefined")
    corrected = Change(source="site", key="one", kind="corrected")
    held = world.looks.start("site", LATER)
    world.milestones.apply(held, "site", [(corrected, garbage, None)], announce=True, held="drift", now=LATER)
    world.looks.finish(held, state="complete", now=LATER)
    again = world.looks.start("site", LATER)
    world.milestones.apply(again, "site", [(None, right, None)], announce=True, now=LATER)
    world.looks.finish(again, state="complete", now=LATER)
    world.looks.release(held, "it is over", LATER)
    assert world.issues.corrections("instant") == []
    third = world.looks.start("site", LATER)
    world.milestones.apply(third, "site", [(corrected, garbage, None)], announce=True, now=LATER)
    assert len(world.issues.corrections("instant")) == 2


def test_what_only_a_held_look_found_is_known_as_it_found_it(world: World) -> None:
    world.look(make_milestone("one"), held="surge")
    assert world.milestones.some("site", ["one"], visible=True)["one"].milestone == make_milestone("one")


def test_a_refused_look_is_as_if_it_had_not_been(world: World) -> None:
    world.baseline()
    wrong, junk = replace(make_milestone("one"), title="Undefined"), make_milestone("junk")
    world.look(make_milestone("one"))
    look_id = world.looks.start("site", LATER)
    world.milestones.apply(look_id, "site", [
        (Change(source="site", key="one", kind="corrected"), wrong, None),
        (Change(source="site", key="junk", kind="added"), junk, None),
    ], announce=True, held="drift", guard="drift", now=LATER)
    world.looks.finish(look_id, state="complete", now=LATER, milestones=3)
    refusals = Refusals(world.database)

    done = refusals.refuse(look_id, lambda before, _written, _now: before, why="a fault", now=LATER)

    assert (done.restored, done.dropped, done.again) == (1, 1, False)
    assert world.milestones.get("site", "one").milestone.title == "Title of one"
    assert "junk" not in world.milestones.known("site")
    assert [one.record.title for one in refusals.changes("site")["one"]] == ["Undefined"]
    assert (world.looks.count_waiting(), [look.id for look, _ in refusals.pictures("site", "drift")]) == (0, [look_id])
    again = world.looks.start("site", LATER)
    world.milestones.apply(again, "site", [(Change(source="site", key="junk", kind="added"), junk, None)],
                           announce=True, now=LATER)
    assert world.milestones.known("site")["junk"].version == 2
    with pytest.raises(ConflictError, match="was refused: a fault"):
        world.looks.release(look_id, "it is right", LATER)
    world.looks.release(look_id, "it is right", LATER, refused=True)
    assert refusals.changes("site") == {}


def test_a_baseline_that_is_refused_is_none(world: World) -> None:
    first = world.looks.start("site", NOW)
    world.milestones.apply(first, "site", [(None, make_milestone("one"), None)], announce=False, now=NOW)
    world.looks.finish(first, state="complete", now=NOW, milestones=1, held="9 of 10 could not be read", guard="unread")
    Refusals(world.database).refuse(first, lambda before, _written, _now: before, why="a fault", now=LATER)
    assert world.milestones.known("site") == {}
    assert world.looks.get(world.looks.start("site", LATER)).baseline
