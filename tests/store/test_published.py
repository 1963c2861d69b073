"""What is asked of the past: which issues tell the same, and what became of their milestones since."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

import pytest
import sqlalchemy as sa

from milepost.records import Amended, Cadence, Change, ChangeKind, FieldChange, IssueItem, IssueState
from store.schema import tables
from tests.store.conftest import NOW, VARIANT, World, make_milestone

SHOWN: tuple[IssueState, ...] = ("frozen", "complete")
LATER = NOW + dt.timedelta(days=1)
RETOLD = (FieldChange("title", "corrected", "Title of one", "Better"),)


def published(world: World, items: Sequence[IssueItem], cadence: Cadence = "instant", period: str = "c2") -> int:
    number = world.issues.draft(
        cadence, period, items, [VARIANT], subject="News", content_hash="c0ffee", now=NOW,
        sequence=world.issues.next_sequence(cadence),
    ).number
    with world.database.begin() as connection:
        connection.execute(sa.update(tables.issue).where(tables.issue.c.number == number).values(state="complete"))
    return number


def later(
    world: World, key: str, kind: ChangeKind, fields: tuple[FieldChange, ...] = (), *, days: int = 1,
    announce: bool = True, held: str | None = None, title: str | None = None,
) -> None:
    """What a later look found."""
    now = NOW + dt.timedelta(days=days)
    look_id = world.looks.start("site", now)
    change = Change(source="site", key=key, kind=kind, fields=fields)
    told = make_milestone(key) if title is None else replace(make_milestone(key), title=title)
    world.milestones.apply(look_id, "site", [(change, told, None)], announce=announce, now=now)
    if held:
        with world.database.begin() as connection:
            connection.execute(sa.update(tables.look).where(tables.look.c.id == look_id).values(held=held))


@pytest.fixture
def ready(world: World) -> World:
    world.baseline()
    world.look(make_milestone("one"), make_milestone("two"))
    return world


def test_issues_that_tell_the_same_are_known_by_what_they_tell(ready: World) -> None:
    one, two = ready.items()
    numbers = [
        published(ready, [one], period="c1"), published(ready, [two], period="c2"),
        published(ready, ready.items(cadence="weekly"), "weekly", "2026-W47"),
    ]
    told = ready.issues.told(SHOWN)
    assert told == {
        numbers[0]: {("news", one.milestone_id)}, numbers[1]: {("news", two.milestone_id)},
        numbers[2]: {("news", one.milestone_id), ("news", two.milestone_id)},
    }
    assert ready.issues.told(["draft"]) == {}


def test_numbers_count_per_cadence_and_go_on_after_those_from_before(ready: World) -> None:
    one, two = ready.items()
    first = published(ready, [one], period="c1")
    weekly = published(ready, ready.items("one", cadence="weekly"), "weekly", "2026-W47")
    second = published(ready, [two], period="c2")
    assert [ready.issues.get(number).sequence for number in (first, weekly, second)] == [1, 1, 2]
    with ready.database.begin() as connection:  # as of an earlier release
        connection.execute(sa.update(tables.issue).values(sequence=None))
    assert (ready.issues.next_sequence("instant"), ready.issues.next_sequence("monthly")) == (3, 1)


def test_a_correction_is_known_at_every_issue_that_told_the_mistake(ready: World) -> None:
    one, two = ready.items()
    instant = published(ready, [one, two])
    weekly = published(ready, ready.items(cadence="weekly"), "weekly", "2026-W47")
    assert ready.issues.amended(SHOWN) == {}

    later(ready, "one", "corrected", RETOLD, title="Better")

    want = {one.milestone_id: Amended(fields=RETOLD, corrected_at=LATER)}
    assert ready.issues.amended(SHOWN) == {instant: want, weekly: want}
    assert ready.issues.amended(SHOWN, weekly) == {weekly: want}
    assert ready.issues.amended(["draft"]) == {}
    # whoever tells of it later tells it right
    monthly = published(ready, ready.items(cadence="monthly"), "monthly", "2026-11")
    assert monthly not in ready.issues.amended(SHOWN)


def test_it_leads_to_the_issue_that_told_it_in_the_same_cadence_where_there_is_one(ready: World) -> None:
    first, weekly = published(ready, ready.items()), published(ready, ready.items(cadence="weekly"), "weekly", "w1")
    later(ready, "one", "corrected", RETOLD, title="Better")
    ((change, stored),) = ready.issues.corrections("instant")
    told = IssueItem(
        change_id=change.id, milestone_id=stored.id, version_id=stored.version_id, role="correction",
        milestone=stored.milestone, first_seen_at=stored.first_seen_at, fields=RETOLD, corrected_at=LATER,
    )
    correcting = published(ready, [told], period="c3")
    found = ready.issues.amended(SHOWN)
    assert {number: amended[stored.id].issue for number, amended in found.items()} == {
        first: correcting, weekly: correcting,
    }
    also = published(ready, [told], "weekly", "w2")
    found = ready.issues.amended(SHOWN)
    assert (found[first][stored.id].issue, found[weekly][stored.id].issue) == (correcting, also)


@pytest.mark.parametrize(("announce", "held"), [(False, None), (True, "a surge")], ids=["a baseline", "held"])
def test_what_is_told_to_nobody_marks_nothing(announce: bool, held: str | None, ready: World) -> None:
    published(ready, ready.items())
    later(ready, "one", "corrected", RETOLD, announce=announce, held=held, title="Better")
    assert ready.issues.amended(SHOWN) == {}


def test_a_withdrawn_milestone_is_marked_until_it_is_back(ready: World) -> None:
    items = ready.items()
    number = published(ready, items)
    later(ready, "two", "withdrawn")
    assert ready.issues.amended(SHOWN) == {number: {items[1].milestone_id: Amended(withdrawn_at=LATER)}}
    later(ready, "two", "restored", days=2)
    assert ready.issues.amended(SHOWN) == {}
