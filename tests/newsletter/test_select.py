"""When an issue is due, who gets which variant, and who is left out for which reason."""

import datetime as dt
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from milepost.records import NOBODY, Cadence, IssueItem, Placement, Standing, Subscriber, Variant
from newsletter.news.select import (
    due,
    early_period,
    latest_period,
    latest_slot,
    offered,
    place,
    quiet_from,
    variant_name,
    variants,
)

ItemMaker = Callable[..., IssueItem]
ZONE = "Europe/Amsterdam"
DRAFTED = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)


def at(text: str, zone: str = ZONE) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def ask(
    cadence: Cadence, now: str, *, last: str | None = None, found: str = "2026-01-01T00:00", **over: Any
) -> str | None:
    settings: dict[str, Any] = {"timezone": ZONE, "weekday": "monday", "hour": 9} | over
    zone = settings["timezone"]
    return due(cadence, now=at(now, zone), last=last, pending={17: at(found, zone)}, **settings)


@pytest.mark.parametrize(
    ("cadence", "now", "last", "period"),
    [
        pytest.param("daily", "2026-11-23T08:59", "2026-11-22", None, id="daily, a minute early"),
        pytest.param("daily", "2026-11-23T09:00", "2026-11-22", "2026-11-23", id="daily, on the hour"),
        pytest.param("daily", "2026-11-23T23:59", "2026-11-23", None, id="daily, done today"),
        pytest.param("daily", "2026-11-24T03:00", "2026-11-22", "2026-11-23", id="daily, late by a night"),
        pytest.param("daily", "2026-11-27T10:00", "2026-11-22", "2026-11-27", id="daily, four missed make one"),
        pytest.param("daily", "2026-11-20T10:00", "2026-11-22", None, id="daily, the clock went back"),
        pytest.param("daily", "2027-01-01T09:00", "2026-12-31", "2027-01-01", id="daily, new year"),
        pytest.param("weekly", "2026-11-23T08:59", "2026-W47", None, id="weekly, a minute early"),
        pytest.param("weekly", "2026-11-23T09:00", "2026-W47", "2026-W48", id="weekly, on the hour"),
        pytest.param("weekly", "2026-11-29T23:00", "2026-W47", "2026-W48", id="weekly, late by six days"),
        pytest.param("weekly", "2026-12-16T10:00", "2026-W47", "2026-W51", id="weekly, three missed make one"),
        pytest.param("weekly", "2026-11-25T10:00", "2026-W48", None, id="weekly, done this week"),
        pytest.param("weekly", "2027-01-02T10:00", "2026-W52", "2026-W53", id="weekly, ISO year of 53 weeks"),
        pytest.param("weekly", "2027-01-04T10:00", "2026-W53", "2027-W01", id="weekly, first ISO week"),
        pytest.param("monthly", "2026-11-01T08:00", "2026-10", None, id="monthly, an hour early"),
        pytest.param("monthly", "2026-11-01T09:00", "2026-10", "2026-11", id="monthly, on the hour"),
        pytest.param("monthly", "2026-11-30T10:00", "2026-10", "2026-11", id="monthly, late by a month"),
        pytest.param("monthly", "2027-01-01T08:59", "2026-11", "2026-12", id="monthly, missed, over new year"),
        pytest.param("monthly", "2026-03-31T08:59", "2026-02", "2026-03", id="monthly, 31st"),
        pytest.param("monthly", "2026-11-05T10:00", None, "2026-11", id="monthly, the first ever"),
    ],
)
def test_due(cadence: Cadence, now: str, last: str | None, period: str | None) -> None:
    assert ask(cadence, now, last=last) == period


@pytest.mark.parametrize(
    ("now", "hour", "slot"),
    [
        pytest.param("2026-03-29T00:59+00:00", 2, "2026-03-28T01:00+00:00", id="before the hour that is skipped"),
        pytest.param("2026-03-29T01:00+00:00", 2, "2026-03-29T01:00+00:00", id="the hour that is skipped"),
        pytest.param("2026-03-29T07:00+00:00", 9, "2026-03-29T07:00+00:00", id="the morning after the gap"),
        pytest.param("2026-03-29T06:59+00:00", 9, "2026-03-28T08:00+00:00", id="23 hours after the last"),
        pytest.param("2026-10-25T00:00+00:00", 2, "2026-10-25T00:00+00:00", id="the hour that comes twice, first"),
        pytest.param("2026-10-25T01:00+00:00", 2, "2026-10-25T00:00+00:00", id="the hour that comes twice, second"),
        pytest.param("2026-10-25T08:00+00:00", 9, "2026-10-25T08:00+00:00", id="the morning after the fold"),
        pytest.param("2026-10-25T07:59+00:00", 9, "2026-10-24T07:00+00:00", id="25 hours after the last"),
    ],
)
def test_slots_follow_the_local_clock_across_daylight_saving(now: str, hour: int, slot: str) -> None:
    moment = dt.datetime.fromisoformat(now)

    found = latest_slot("daily", now=moment, timezone=ZONE, weekday="monday", hour=hour)

    assert found.astimezone(dt.UTC) == dt.datetime.fromisoformat(slot)


@pytest.mark.parametrize("zone", ["Europe/Amsterdam", "America/St_Johns", "Pacific/Apia", "Australia/Lord_Howe", "UTC"])
@pytest.mark.parametrize("hour", [0, 2])
def test_a_year_of_runs_makes_one_issue_a_day(zone: str, hour: int) -> None:
    """A run each hour through both changes of the clock; something is always pending."""
    now, last = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC), None
    periods: list[str] = []
    while now < dt.datetime(2027, 1, 1, 12, tzinfo=dt.UTC):
        period = due(
            "daily", now=now, last=last, pending={1: dt.datetime(2025, 1, 1, tzinfo=dt.UTC)},
            timezone=zone, weekday="monday", hour=hour,
        )  # fmt: skip
        if period is not None:
            last = period
            periods.append(period)
        now += dt.timedelta(hours=1)

    days = [dt.date.fromisoformat(period) for period in periods]
    assert days == [days[0] + dt.timedelta(days=n) for n in range(len(days))]
    assert len(days) in (365, 366)


@pytest.mark.parametrize(
    ("cadence", "now", "slot"),
    [
        pytest.param("weekly", "2026-11-23T08:59", "2026-11-20T09:00", id="weekly, before its day"),
        pytest.param("weekly", "2026-11-27T08:59", "2026-11-20T09:00", id="weekly, before its hour"),
        pytest.param("weekly", "2026-11-27T09:00", "2026-11-27T09:00", id="weekly, on the hour"),
        pytest.param("weekly", "2026-11-29T23:59", "2026-11-27T09:00", id="weekly, the end of its week"),
        pytest.param("monthly", "2026-12-01T08:59", "2026-11-01T09:00", id="monthly, before its hour"),
        pytest.param("monthly", "2026-03-01T08:59", "2026-02-01T09:00", id="monthly, after the shortest"),
        pytest.param("monthly", "2026-12-31T23:59", "2026-12-01T09:00", id="monthly, the end of its month"),
    ],
)
def test_the_newest_slot_that_is_not_to_come(cadence: Cadence, now: str, slot: str) -> None:
    assert latest_slot(cadence, now=at(now), timezone=ZONE, weekday="friday", hour=9) == at(slot)


def test_the_day_is_the_zones_and_not_the_clocks() -> None:
    """Half past ten in the evening, UTC, is half past eleven the next morning in Auckland."""
    now = dt.datetime(2026, 11, 23, 22, 30, tzinfo=dt.UTC)
    slot = latest_slot("daily", now=now, timezone="Pacific/Auckland", weekday="monday", hour=9)
    assert slot == at("2026-11-24T09:00", "Pacific/Auckland")


def test_an_early_instant_issue_is_named_after_its_first_change() -> None:
    def early(cadence: Cadence) -> str:
        return early_period(
            cadence, now=at("2026-11-25T10:00"), pending={19, 17, 23}, timezone=ZONE, weekday="monday", hour=9
        )

    assert early("instant") == "c17"
    assert early("weekly") == "2026-W48+c17"


def test_what_turns_up_after_the_slot_waits_for_the_next_one() -> None:
    """Monday had nothing to tell; Wednesday's find is Monday's news, not Wednesday's."""
    found = "2026-11-25T08:00"

    assert ask("weekly", "2026-11-25T09:00", last="2026-W47", found=found) is None
    assert ask("weekly", "2026-11-30T09:00", last="2026-W47", found=found) == "2026-W49"


@pytest.mark.parametrize("cadence", ["daily", "weekly", "monthly"])
@pytest.mark.parametrize("day", range(1, 15))
def test_an_early_issue_leaves_the_next_slot_its_turn(cadence: Cadence, day: int) -> None:
    """Asked for on any day, before or after that day's slot; what is found right after it goes out at the next slot."""
    clock: dict[str, Any] = {"timezone": ZONE, "weekday": "friday", "hour": 9}
    for hour in (7, 11):
        now = dt.datetime(2026, 11, day, hour, tzinfo=ZoneInfo(ZONE))
        early = early_period(cadence, now=now, pending=[17], **clock)
        found = {18: now + dt.timedelta(minutes=5)}
        assert due(cadence, now=now + dt.timedelta(minutes=10), last=early, pending=found, **clock) is None
        slot = latest_slot(cadence, now=now + dt.timedelta(days=32), **clock)
        assert due(cadence, now=slot, last=early, pending=found, **clock) is not None


@pytest.mark.parametrize(
    ("cadence", "period"), [("daily", "2026-11-23"), ("weekly", "2026-W48"), ("monthly", "2026-11")]
)
def test_what_is_found_at_the_very_slot_is_of_its_issue_and_what_comes_after_it_is_not(
    cadence: Cadence, period: str
) -> None:
    slot = at("2026-11-01T09:00" if cadence == "monthly" else "2026-11-23T09:00")
    moment = dt.timedelta(microseconds=1)

    def at_its_slot(found: dt.datetime) -> str | None:
        return due(
            cadence, now=slot + dt.timedelta(hours=1), last=None, pending={17: found}, timezone=ZONE, weekday="monday",
            hour=9,
        )

    assert at_its_slot(slot - moment) == period
    assert at_its_slot(slot) == period
    assert at_its_slot(slot + moment) is None


def test_nothing_pending_is_never_due() -> None:
    for cadence in ("instant", "daily", "weekly", "monthly"):
        assert due(cadence, now=DRAFTED, last=None, pending={}, timezone=ZONE, weekday="monday", hour=9) is None  # type: ignore[arg-type]


def test_instant_is_due_at_once_and_named_after_its_first_change() -> None:
    pending = {19: DRAFTED, 17: DRAFTED}

    assert due("instant", now=DRAFTED, last="c16", pending=pending, timezone=ZONE, weekday="monday", hour=9) == "c17"
    assert due("instant", now=DRAFTED, last="c17", pending=pending, timezone=ZONE, weekday="monday", hour=9) is None


QUIET = dt.timedelta(minutes=30)


def minutes(*marks: float) -> list[dt.datetime]:
    """Moments so many minutes after DRAFTED."""
    return [DRAFTED + dt.timedelta(minutes=mark) for mark in marks]


@pytest.mark.parametrize(
    ("landed", "now", "due_now"),
    [
        pytest.param([0], 0, False, id="just landed"),
        pytest.param([0], 29.9, False, id="almost quiet"),
        pytest.param([0], 30, True, id="quiet"),
        pytest.param([0, 20], 30, False, id="another one landed"),
        pytest.param([20, 0], 50, True, id="quiet after the last, whatever their order"),
        pytest.param([0, 25, 50, 75, 100], 119.9, False, id="a trickle, almost at the end of our patience"),
        pytest.param([0, 25, 50, 75, 100, 115], 120, True, id="a trickle that never ends"),
        pytest.param([0, 24 * 60], 24 * 60, True, id="one waited since yesterday"),
        pytest.param([4], 0, False, id="found by a clock that is a little ahead"),
        pytest.param([10], 0, True, id="found by a clock that was ahead"),
    ],
)
def test_what_lands_together_is_told_together(landed: list[float], now: float, due_now: bool) -> None:
    """The instant cadence waits until it is quiet, and a trickle can't make it wait for ever."""
    pending = dict(enumerate(minutes(*landed), 17))

    period = due("instant", now=minutes(now)[0], last="c9", pending=pending, timezone=ZONE, weekday="monday", hour=9,
                 quiet=QUIET)

    assert period == ("c17" if due_now else None)


def test_the_quiet_window_counts_in_real_minutes_when_the_clocks_change() -> None:
    """02:50 summer time, 02:10 winter time: twenty minutes lie between them, not minus forty."""
    zone = ZoneInfo(ZONE)
    first, second = dt.datetime(2026, 10, 25, 2, 50, tzinfo=zone), dt.datetime(2026, 10, 25, 2, 10, tzinfo=zone, fold=1)

    assert quiet_from([first, second], QUIET) == dt.datetime(2026, 10, 25, 1, 40, tzinfo=dt.UTC)
    assert quiet_from([first], dt.timedelta(0)) == first.astimezone(dt.UTC)


def test_other_cadences_know_no_quiet_window() -> None:
    now = at("2026-11-23T09:00")
    found = now - dt.timedelta(minutes=1)
    assert due("weekly", now=now, last=None, pending={17: found}, timezone=ZONE, weekday="monday", hour=9,
               quiet=QUIET) == "2026-W48"


def test_a_naive_clock_is_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        due("daily", now=dt.datetime(2026, 1, 1), last=None, pending={}, timezone=ZONE, weekday="monday", hour=9)  # noqa: DTZ001


def subscriber(**fields: Any) -> Subscriber:
    given: dict[str, Any] = {
        "id": 1, "address": "reader@example.org", "normalized": "reader@example.org", "state": "active",
        "cadence": "weekly", "created_at": DRAFTED - dt.timedelta(days=1),
    }  # fmt: skip
    return Subscriber(**(given | fields))


@pytest.mark.parametrize(
    ("fields", "suppressed", "exclusion"),
    [
        pytest.param({}, False, None, id="active"),
        pytest.param({"state": "pending"}, False, "pending", id="pending"),
        pytest.param({"state": "unsubscribed"}, False, "unsubscribed", id="unsubscribed"),
        pytest.param({}, True, "suppressed", id="suppressed"),
        pytest.param({"state": "pending"}, True, "suppressed", id="suppressed before all else"),
        pytest.param({"cadence": "daily"}, False, "other_cadence", id="another cadence"),
        pytest.param({"topics": ("knitting",)}, False, "no_match", id="no topic matches"),
        pytest.param({"created_at": DRAFTED + dt.timedelta(seconds=1)}, False, "joined_later", id="signed up later"),
        pytest.param({"created_at": DRAFTED}, False, None, id="signed up in that instant"),
        pytest.param({"topics": ("navigation",)}, False, "owed", id="chose what could not be rendered"),
    ],
)
def test_each_candidate_has_one_place(
    make_item: ItemMaker, fields: dict[str, Any], suppressed: bool, exclusion: str | None
) -> None:
    items = [make_item(1), make_item(3)]

    placed = place(
        subscriber(**fields), suppressed, cadence="weekly", items=items, rendered={"all"}, drafted_at=DRAFTED
    )

    assert placed.exclusion == exclusion
    assert placed.variant == (None if exclusion else "all")


def test_equal_choices_share_a_variant_and_each_place_names_a_rendered_one(make_item: ItemMaker) -> None:
    items = [make_item(n) for n in range(1, 6)]
    choices = [(), ("standards",), ("time-zones",), ("STANDARDS", "knitting"), ("mechanisms",), ("knitting",)]

    named = variants(items, [(topics, NOBODY) for topics in choices])

    assert next(iter(named)) == "all"
    assert named["all"] == tuple(items)
    assert sorted(len(chosen) for chosen in named.values()) == [2, 2, 5]
    for topics in choices:
        placed = place(
            subscriber(topics=topics), False, cadence="weekly", items=items, rendered=named, drafted_at=DRAFTED
        )
        chosen = offered(items, topics)
        assert (placed.exclusion == "no_match") == (not chosen)
        if chosen:
            assert named[placed.variant or ""] == chosen


def test_a_variants_name_depends_on_its_items_alone(make_item: ItemMaker) -> None:
    items = [make_item(n) for n in range(1, 5)]

    assert variant_name(items, items[:2]) == variant_name(items, items[1::-1])
    assert variant_name(items, items[:2]) != variant_name(items, items[:3])
    assert variant_name(items, items) == "all"
    assert variants(items, [(("pendulum",), NOBODY), (("watches",), NOBODY)]) == variants(
        items, [(("watches",), NOBODY), (("pendulum",), NOBODY)]
    )


@pytest.mark.parametrize(("zone", "day", "hour"), [
    pytest.param("Europe/Berlin", "2026-03-28T00:00", 2, id="an hour that does not come"),
    pytest.param("Europe/Berlin", "2026-10-24T00:00", 2, id="an hour that comes twice"),
    pytest.param("America/Sao_Paulo", "2018-11-03T00:00", 0, id="a midnight that does not come"),
])
def test_the_day_that_clocks_change_has_one_issue_as_every_day(zone: str, day: str, hour: int) -> None:
    begun = at(day, zone).astimezone(dt.UTC)
    last, made = None, []
    for moment in (begun + dt.timedelta(minutes=10 * step) for step in range(3 * 144)):
        period = due("daily", now=moment, last=last, pending={17: moment - dt.timedelta(hours=26)}, timezone=zone,
                     weekday="monday", hour=hour)
        if period is not None:
            last = period
            made.append(dt.date.fromisoformat(period))
    assert [one - made[0] for one in made] == [dt.timedelta(days=number) for number in range(len(made))]
    assert dt.date.fromisoformat(day[:10]) + dt.timedelta(days=1) in made


def test_what_instant_readers_are_owed_goes_at_the_hour_of_the_day_and_names_its_issue() -> None:
    def asked(now: str, since: str) -> str | None:
        return due(
            "instant", now=at(now), last=None, pending={}, owed={5: at(since)}, timezone=ZONE, weekday="monday", hour=9,
        )

    assert asked("2026-11-23T09:30", since="2026-11-23T09:00") == "owed-2026-11-23"
    assert asked("2026-11-23T09:30", since="2026-11-23T09:01") is None


def test_an_early_issue_of_what_is_owed_alone_is_named_after_the_oldest_debt() -> None:
    settings: dict[str, Any] = {"now": at("2026-11-23T10:00"), "timezone": ZONE, "weekday": "monday", "hour": 9}

    assert early_period("instant", pending=(), owed=(7, 5), **settings) == "owed-5"
    assert early_period("daily", pending=(), owed=(7, 5), **settings) == "2026-11-23+owed-5"


def test_a_debt_is_offered_to_whom_it_is_owed_and_has_a_variant(make_item: ItemMaker) -> None:
    items, owed = [make_item(1)], [make_item(2), make_item(3)]
    standing = Standing(owed=frozenset([3]))

    chosen = offered(items, (), standing, owed=owed)

    assert [item.change_id for item in chosen] == [1, 3]
    assert chosen in variants(items, [((), standing)], owed=owed).values()


def test_a_debt_that_was_told_elsewhere_is_offered_no_more(make_item: ItemMaker) -> None:
    owed = [make_item(2), make_item(3, role="correction")]
    standing = Standing(owed=frozenset([2, 3]), told=frozenset([owed[0].milestone_id]))
    # nor is a correction of what they read right
    assert offered([make_item(1)], (), standing, owed=owed) == (make_item(1),)


@pytest.mark.parametrize("skips", [False, True])
def test_an_issue_during_a_pause_is_owed_or_passed_over_and_older_debts_stay(make_item: ItemMaker, skips: bool) -> None:
    until = dt.datetime(2026, 11, 30, 23, 30, tzinfo=dt.UTC)
    reader = subscriber(paused_until=until, pause_skips=skips)

    def placed(now: dt.datetime | None) -> Placement:
        return place(
            reader, False, cadence="weekly", items=[make_item(1), make_item(2)], owed=[make_item(3)], rendered={"all"},
            drafted_at=DRAFTED, standing=Standing(owed=frozenset([2, 3])), now=now, zone=ZoneInfo(ZONE),
            render=lambda name, _: Variant(name=name, subject="News", html="", text="", placeholder="P"),
        )

    reason = "paused until 2026-12-01"  # where the newsletter is at home
    assert placed(DRAFTED) == (
        Placement(exclusion=reason, waived=frozenset([1]), passed=frozenset([2])) if skips
        else Placement(exclusion=reason, owes=frozenset([1]))
    )
    assert placed(until).exclusion is None
    assert placed(None).exclusion is None


def test_only_what_the_draft_did_not_foresee_is_rendered_for_a_reader(make_item: ItemMaker) -> None:
    items = [make_item(1), make_item(3)]
    asked: list[str] = []

    def render(name: str, _: object) -> Variant:
        asked.append(name)
        return Variant(name=name, subject="News", html="", text="", placeholder="P")

    def placed(*topics: str) -> Placement:
        return place(
            subscriber(topics=topics), False, cadence="weekly", items=items, rendered={"all"}, drafted_at=DRAFTED,
            render=render,
        )

    assert placed() == Placement(variant="all")
    assert asked == []
    unforeseen = placed("navigation")
    assert asked == [unforeseen.variant]
    assert unforeseen.rendering == Variant(name=asked[0], subject="News", html="", text="", placeholder="P")


def test_who_was_told_it_all_gets_nothing_and_their_debts_of_it_are_over(make_item: ItemMaker) -> None:
    items = [make_item(1), make_item(2)]
    standing = Standing(told=frozenset([1, 2]), owed=frozenset([2]))

    placed = place(
        subscriber(), False, cadence="weekly", items=items, rendered={"all"}, drafted_at=DRAFTED, standing=standing,
    )

    assert placed == Placement(exclusion="nothing_new", told=frozenset([2]))


def test_a_correction_that_is_owed_is_no_news_that_was_told_already(make_item: ItemMaker) -> None:
    news, owed = make_item(1), make_item(2, role="correction")
    standing = Standing(told=frozenset([owed.milestone_id]), wrong=frozenset([2]), owed=frozenset([2]))

    placed = place(  # what there is a rendering of tells the news alone
        subscriber(), False, cadence="weekly", items=[news], owed=[owed], rendered={"all"}, drafted_at=DRAFTED,
        standing=standing,
    )

    assert placed == Placement(variant="all")


# --- a clock that was ahead -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cadence", "period"), [
    ("instant", "c17"), ("daily", "2026-11-23"), ("weekly", "2026-W48"), ("monthly", "2026-11"),
])
@pytest.mark.parametrize("found", ["2026-11-24T12:00", "2027-11-23T12:00"])
def test_what_was_found_by_a_clock_that_was_ahead_is_due(cadence: Cadence, period: str, found: str) -> None:
    assert ask(cadence, "2026-11-23T12:00", found=found, quiet=dt.timedelta(minutes=30)) == period


@pytest.mark.parametrize(("cadence", "now", "period", "taken"), [
    ("daily", "2026-11-23T08:00", "2026-11-23", True), ("daily", "2026-11-23T08:00", "2026-11-23+c9", True),
    ("daily", "2026-11-23T23:58", "2026-11-24", True), ("daily", "2026-11-23T23:50", "2026-11-24", False),
    ("weekly", "2026-11-23T08:00", "2026-W48", True), ("weekly", "2026-11-23T08:00", "2027-W01", False),
    ("monthly", "2026-11-23T08:00", "2026-11", True), ("monthly", "2026-11-23T08:00", "2026-12", False),
])
def test_a_period_is_believed_as_soon_as_it_can_have_an_issue(
    cadence: Cadence, now: str, period: str, taken: bool
) -> None:
    by = latest_period(cadence, now=at(now), timezone=ZONE)
    assert by is not None
    assert (period < by) is taken
    assert latest_period("instant", now=at(now), timezone=ZONE) is None


def test_who_signed_up_by_a_clock_that_was_ahead_waits_for_no_year(make_item: ItemMaker) -> None:
    for joined, reason in ((dt.timedelta(minutes=1), "joined_later"), (dt.timedelta(days=365), None)):
        placed = place(
            subscriber(created_at=DRAFTED + joined), False, cadence="weekly", items=[make_item(1)], rendered=["all"],
            drafted_at=DRAFTED, now=DRAFTED + dt.timedelta(minutes=2),
        )
        assert placed.exclusion == reason
