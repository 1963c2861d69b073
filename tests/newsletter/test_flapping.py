"""What a record keeps when its page tells again what it had given up."""

from dataclasses import replace

import pytest

from milepost.dates import PartialDate
from milepost.records import FieldClass, Flap, Milestone
from newsletter.news.flapping import STAYS, Damped, damp

FIRST = Milestone(
    source="bells", key="great-bell", url="https://bells.example/great-bell", title="The great bell is cast",
    date=PartialDate(value="1858"), what_happened="It was cast in one night.", people=("Ann Founder",),
)
SECOND = replace(FIRST, title="The great bell is hung")
THIRD = replace(FIRST, title="The great bell cracks")


def told(read: Milestone, *flaps: Flap, known: Milestone = SECOND, classes: dict[str, FieldClass] | None = None,
         silent: tuple[str, ...] = ()) -> Damped:
    return damp(known, read, earlier=[FIRST], open_={flap.field: flap for flap in flaps}, classes=classes or {},
                silent=silent)


def test_what_was_given_up_before_waits_and_is_said() -> None:
    found = told(FIRST)
    assert (found.record.title, found.open) == (SECOND.title, (Flap(field="title", value=FIRST.title, looks=1),))
    assert "title alternates between “The great bell is hung” and “The great bell is cast”" in str(found.begun[0])


@pytest.mark.parametrize(
    ("read", "known"),
    [
        pytest.param(SECOND, SECOND, id="nothing else"),
        pytest.param(THIRD, SECOND, id="what it never said"),
        pytest.param(replace(FIRST, title="The GREAT bell is hung"), SECOND, id="typography"),
        pytest.param(FIRST, replace(SECOND, title="", unknown=frozenset({"title"})), id="what was not known"),
    ],
)
def test_all_else_is_followed_at_once(read: Milestone, known: Milestone) -> None:
    assert told(read, known=known) == Damped(record=read, open=(), begun=())


def test_it_is_taken_when_it_has_stayed() -> None:
    flaps: tuple[Flap, ...] = ()
    kept: list[str] = []
    for _ in range(STAYS):
        found = told(FIRST, *flaps)
        flaps, kept = found.open, [*kept, found.record.title]
    assert (flaps, kept) == ((), [SECOND.title] * (STAYS - 1) + [FIRST.title])


def test_another_telling_begins_the_count_anew() -> None:
    found = told(THIRD, Flap(field="title", value=FIRST.title, looks=STAYS - 1))
    assert (found.record.title, found.open, found.begun) == (
        SECOND.title, (Flap(field="title", value=THIRD.title, looks=1),), ()
    )


def test_a_field_of_which_nothing_is_told_is_counted_neither_way() -> None:
    flap = Flap(field="title", value=FIRST.title, looks=STAYS - 1)
    assert told(SECOND, flap, silent=("title",)).open == (flap,)


def test_what_a_source_ignores_does_not_alternate() -> None:
    flap = Flap(field="title", value=FIRST.title, looks=1)
    assert told(FIRST, flap, classes={"title": "ignore"}) == Damped(record=FIRST, open=(), begun=())


def test_only_the_field_that_alternates_waits() -> None:
    found = told(replace(FIRST, date=PartialDate(value="1859"), people=("Ann Founder", "Ben Ringer")))
    assert (found.record.title, found.record.date, found.record.people) == (
        SECOND.title, PartialDate(value="1859"), ("Ann Founder", "Ben Ringer")
    )
