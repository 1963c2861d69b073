"""A clock that was ahead, on both databases: what it put off is due, and is counted and told of for a day."""

import datetime as dt

import pytest
import sqlalchemy as sa

from delivery.smtp.replies import backoff
from milepost.records import Reply
from store.dialects import moment
from store.issues.editions import Editions
from store.ledger.transitions import LONGEST_DEFERRAL
from store.operators import clock_ahead
from store.schema import tables
from store.subscribers.address_changes import PER_DAY, AddressChanges
from store.subscribers.addresses import parse
from store.subscribers.sign_ups import Limits, Request, SignUps
from tests.hand_over import begin, settle
from tests.store.conftest import NOW, VARIANT, World

YEAR, HOUR, MINUTE = dt.timedelta(days=365), dt.timedelta(hours=1), dt.timedelta(minutes=1)
BUSY = Reply(code=450, enhanced="4.2.0", text="later", phase="rcpt")


def database_time(world: World) -> dt.datetime:
    with world.database.connect() as connection:
        found: dt.datetime = connection.execute(sa.select(moment(world.database.dialect))).scalar_one()
        return found


def test_nothing_is_put_off_for_longer_than_the_ledger_believes() -> None:
    longest = max(backoff(attempts, str(seed)) for attempts in range(20) for seed in range(200))
    assert HOUR < dt.timedelta(seconds=longest) <= LONGEST_DEFERRAL


@pytest.mark.parametrize(("later", "is_due"), [
    (2 * HOUR, False), (LONGEST_DEFERRAL - MINUTE, False), (LONGEST_DEFERRAL + HOUR, True), (YEAR, True),
])
def test_a_mail_that_is_deferred_for_longer_than_ever_is_due(world: World, later: dt.timedelta, is_due: bool) -> None:
    number, now = world.frozen(1), database_time(world)
    (claim,) = world.ledger.claim(number, limit=9, lease_seconds=60)
    settle(world.ledger, claim, "deferred", BUSY, retry_at=now + later)
    next_due = world.ledger.next_due(number)
    assert next_due is not None
    assert (next_due < now + MINUTE) is is_due
    clock_ahead.watch(world.database, now)
    assert clock_ahead.noted(world.database, now) == ({"deferred mails": 1} if is_due else {})
    assert len(world.ledger.claim(number, limit=9, lease_seconds=60)) == is_due


def test_the_time_to_give_up_never_begins_after_now(world: World) -> None:
    number, now = world.frozen(1), database_time(world)
    with world.database.begin() as connection:
        connection.execute(sa.update(tables.delivery).values(first_attempt_at=now + YEAR))
    (claim,) = world.ledger.claim(number, limit=9, lease_seconds=60)
    begin(world.ledger, claim)
    with world.database.connect() as connection:
        first = connection.execute(sa.select(tables.delivery.c.first_attempt_at)).scalar_one()
    assert abs(first - now) < MINUTE


@pytest.mark.parametrize(("approved", "window", "ends"), [
    (NOW - MINUTE, 10 * MINUTE, 9 * MINUTE),  # as it was told
    (NOW - MINUTE, 60 * MINUTE, 59 * MINUTE),  # the settings have a shorter one since
    (NOW + HOUR, 10 * MINUTE, 10 * MINUTE), (NOW + YEAR, 10 * MINUTE, 10 * MINUTE),
])
def test_an_undo_window_ends_when_the_clock_is_right_again(
    world: World, approved: dt.datetime, window: dt.timedelta, ends: dt.timedelta
) -> None:
    number, editions = world.frozen(1), Editions(world.database)
    with world.database.begin() as connection:
        connection.execute(sa.update(tables.issue).values(approved_at=approved, send_after=approved + window))
    assert bool(editions.shorten_windows(10 * MINUTE, NOW)) is (approved > NOW)
    assert world.issues.get(number).send_after == NOW + ends
    assert editions.shorten_windows(10 * MINUTE, NOW) == []


def test_a_period_that_is_to_come_is_not_the_last_one(world: World) -> None:
    world.frozen(1)
    for period in ("2026-11-22", "2026-11-22+c3", "2027-11-22"):
        world.issues.draft("daily", period, (), [VARIANT], subject="News", content_hash=period, now=NOW)
    assert world.issues.last_period("daily") == "2027-11-22"
    assert world.issues.last_period("daily", by="2026-11-23~") == "2026-11-22+c3"
    assert world.issues.last_period("daily", by="2026-11-22~") == "2026-11-22+c3"


def test_who_did_not_confirm_is_reminded_and_a_reader_may_move(world: World) -> None:
    sign_ups, limits = SignUps(world.database), Limits(per_network=99, backlog=99)
    asked = Request(address=parse("a@readers.example"), cadence="weekly", language="en", form="f", network="n")
    assert sign_ups.ask(asked, limits, NOW + YEAR) is None
    with world.database.begin() as connection:
        connection.execute(sa.update(tables.letter).values(state="sent", sent_at=NOW + YEAR))
    assert sign_ups.tend(NOW).reminded == 1
    assert sign_ups.tend(NOW).reminded == 0
    (reader, _), changes = world.subscribers.add("b@readers.example", now=NOW), AddressChanges(world.database)
    for number in range(PER_DAY):
        new = parse(f"b{number}@readers.example")
        assert changes.ask(reader.id, new, language="en", network="n", limits=limits, now=NOW + YEAR) is None
    new = parse("c@readers.example")
    assert changes.ask(reader.id, new, language="en", network="n", limits=limits, now=NOW) is None


def test_what_was_found_is_told_of_for_a_day_and_each_thing_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    database = world.database
    world.looks.finish(world.looks.start("site", NOW), state="complete", now=NOW + YEAR)
    clock_ahead.watch(database, NOW)
    assert clock_ahead.noted(database, NOW) == {"looks": 1}
    world.looks.finish(world.looks.start("site", NOW), state="complete", now=NOW)  # of a right clock: nothing is ahead
    clock_ahead.watch(database, NOW + HOUR)
    assert clock_ahead.noted(database, NOW + HOUR) == {"looks": 1}
    clock_ahead.note(database, NOW + 2 * HOUR, {clock_ahead.WINDOWS: 2})
    assert clock_ahead.noted(database, NOW + 3 * HOUR) == {"looks": 1, clock_ahead.WINDOWS: 2}
    assert clock_ahead.noted(database, NOW + 27 * HOUR) == {}
    clock_ahead.note(database, NOW + 27 * HOUR, {clock_ahead.WINDOWS: 2})  # still the same two
    assert clock_ahead.noted(database, NOW + 27 * HOUR) == {}
    assert [record.getMessage().partition("moments of ")[2] for record in caplog.records] == [
        "looks (1)", "windows of approvals (2)",
    ]
