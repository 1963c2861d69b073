"""A freeze of many slices: readers sign up, leave and switch in between, and the program dies in any of them."""

import datetime as dt
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from milepost.errors import ConflictError
from milepost.records import Cadence, Freezing, LedgerCounts
from milepost.settings import NotifySettings
from pipeline.edit import discard, edit, stop
from pipeline.operate.conditions import judge
from pipeline.publish import draft_due, freeze
from store.database import Database
from store.issues.issues import Issues
from store.ledger.ledger import Ledger
from store.operators import figures
from store.schema.tables import address_change, issue, subscriber
from store.subscribers.people import Subscribers
from tests.pipeline.town import DAY, Town
from tests.store.conftest import database as both  # noqa: F401
from tests.store.conftest import postgresql_server, postgresql_shared, sqlite_shared  # noqa: F401

MINUTE = dt.timedelta(minutes=1)


class Dies(Exception):  # noqa: N818 (it is played)
    """The program dies."""


@pytest.fixture
def town(both: Database) -> Town:  # noqa: F811
    found = Town(both)
    found.offers("instant", "daily", "weekly")
    return found


def drafted(town: Town, cadence: Cadence) -> int:
    [draft] = draft_due(town.settings, town.database, only=cadence, early=True, now=lambda: town.now)
    return draft.number


def frozen(
    town: Town, number: int, size: int = 1, between: Callable[[Freezing], object] = lambda _: None
) -> LedgerCounts:
    """Freeze a draft, a minute a slice."""
    def clock() -> dt.datetime:
        town.now += MINUTE
        return town.now

    draft = Issues(town.database).get(number)
    return freeze(town.settings, town.database, number, content_hash=draft.content_hash, now=clock(), size=size,
                  progress=between, clock=clock)


def after(slices: int, act: Callable[[], object]) -> Callable[[Freezing], object]:
    """Do something once that many are placed (one a slice)."""
    return lambda freezing: act() if freezing.placed == slices else None


def die() -> None:
    raise Dies


def places(town: Town, number: int) -> dict[str, str]:
    """Who is where: their variant, or why they have none."""
    ledger, found = Ledger(town.database), {}
    for who in Subscribers(town.database).list():
        reason = ledger.exclusion_of(number, who.id)
        if reason is not None:
            found[who.address.split("@")[0]] = reason
    return found | {row.address.split("@")[0]: row.variant for row in ledger.rows(number)}


def test_it_goes_on_where_it_stood(town: Town) -> None:
    for name in ("ann", "bea", "cid", "dot", "eve"):
        town.reader(name, "instant")
    town.finds("loom")
    number = drafted(town, "instant")
    seen: list[tuple[int, int]] = []

    def look(freezing: Freezing) -> None:
        seen.append((freezing.placed, freezing.candidates))
        if freezing.placed == 2:
            town.reader("late", "instant")  # whoever comes now is none of those who were asked
        if freezing.placed == 4:
            die()

    with pytest.raises(Dies):
        frozen(town, number, 2, look)
    half = Issues(town.database).get(number)
    assert (half.state, half.frozen_at, half.freezing and half.freezing.placed) == ("draft", None, 4)
    with pytest.raises(ConflictError, match="it is draft, nothing of it is sent"):
        Ledger(town.database).claim(number, limit=9, lease_seconds=60)
    assert seen == [(2, 5), (4, 5)]
    town.at(town.now + 60 * MINUTE)
    assert number in town.publishes(send=False)  # the schedule's next run, and nobody's word is needed
    counts = Ledger(town.database).counts(number)
    assert (counts.candidates, counts.states, counts.exclusions) == (5, {"pending": 5}, {})
    assert places(town, number).keys() == {"ann", "bea", "cid", "dot", "eve"}
    whole = Issues(town.database).get(number)
    assert (whole.state, whole.frozen_at, whole.freezing) == ("frozen", town.now, None)


def test_whoever_signs_up_between_two_slices_is_none_of_those_who_were_asked(town: Town) -> None:
    """Though the last slice had room for them."""
    for name in ("ann", "bea", "cid"):
        town.reader(name, "instant")
    town.finds("loom")
    number = drafted(town, "instant")
    counts = frozen(town, number, 2, after(2, lambda: town.reader("late", "instant")))
    assert (counts.candidates, counts.states) == (3, {"pending": 3})
    assert places(town, number).keys() == {"ann", "bea", "cid"}


@pytest.mark.parametrize(("size", "slices"), [(1, 3), (2, 2), (3, 1), (4, 1)])
def test_a_list_that_is_no_longer_than_a_slice_is_frozen_in_one(town: Town, size: int, slices: int) -> None:
    for name in ("ann", "bea", "cid"):
        town.reader(name, "instant")
    town.finds("loom")
    seen: list[Freezing] = []
    counts = frozen(town, drafted(town, "instant"), size, seen.append)
    assert (len(seen), counts.deliveries) == (slices - 1, 3)
    with town.database.connect() as connection:
        row = connection.execute(sa.select(issue)).one()
    assert (row.freeze_began_at is None) == (slices == 1)
    assert row.frozen_through is None


def test_nothing_of_it_changes_meanwhile_and_it_can_be_taken_back(town: Town) -> None:
    ann, bea = town.reader("ann", "instant"), town.reader("bea", "instant")
    town.finds("loom")
    number = drafted(town, "instant")
    with pytest.raises(Dies):
        frozen(town, number, 1, after(1, die))
    said = rf"1 of 2 readers are placed.*milepost publish.*milepost issue stop {number}"
    with pytest.raises(ConflictError, match=said):
        discard(town.database, number)
    with pytest.raises(ConflictError, match=said):
        edit(town.settings, town.database, number, subject="Other words")
    town.chooses(ann, "daily")  # a mail was to tell her; now none is
    assert town.owed() == []
    assert stop(town.database, number).undone
    assert places(town, number) == {}
    assert town.owed() == [("ann", "loom")]
    assert Issues(town.database).get(number).freezing is None
    edit(town.settings, town.database, number, subject="Other words")
    assert frozen(town, number).exclusions == {"other_cadence": 1}
    town.sends(number)
    town.at(town.now + DAY)
    town.publishes()
    assert (town.keys(ann), town.keys(bea)) == (["loom"], ["loom"])


def test_who_is_at_it_stops_when_it_is_taken_back(town: Town) -> None:
    for name in ("ann", "bea"):
        town.reader(name, "instant")
    town.finds("loom")
    number = drafted(town, "instant")
    with pytest.raises(ConflictError, match="it was taken back while it was being frozen"):
        frozen(town, number, 1, lambda _: stop(town.database, number))
    assert places(town, number) == {}
    assert Issues(town.database).get(number).pause_reason == "stopped by an operator"


def test_two_at_once_place_everybody_once(town: Town) -> None:
    for name in ("ann", "bea", "cid"):
        town.reader(name, "instant")
    town.finds("loom")
    number = drafted(town, "instant")
    counts = frozen(town, number, 1, after(1, lambda: frozen(town, number)))
    assert (counts.candidates, counts.states) == (3, {"pending": 3})


def test_who_turned_away_between_the_slices_is_owed_it_when_it_is_taken_back_whole(town: Town) -> None:
    ann, _ = town.reader("ann", "instant"), town.reader("bea", "instant")
    town.finds("loom")
    number = drafted(town, "instant")

    def switch() -> None:
        town.now += MINUTE / 2
        town.chooses(ann, "daily")  # after her slice, before the last

    frozen(town, number, 1, after(1, switch))
    assert (places(town, number), town.owed()) == ({"ann": "all", "bea": "all"}, [])
    assert stop(town.database, number).undone
    assert town.owed() == [("ann", "loom")]


def test_a_switch_counts_as_of_ones_own_slice(town: Town) -> None:
    """Ann is placed before she switches, bea after she did: the other cadence tells bea, and neither hears it twice."""
    ann, bea = town.reader("ann", "weekly"), town.reader("bea", "weekly")
    town.finds("loom")
    number = drafted(town, "weekly")

    def switch() -> None:
        town.chooses(ann, "daily")
        town.chooses(bea, "daily")

    frozen(town, number, 1, after(1, switch))
    assert places(town, number) == {"ann": "all", "bea": "other_cadence"}
    town.sends(number)
    town.at(town.now + DAY)
    town.publishes()
    assert (town.keys(ann), town.keys(bea)) == (["loom"], ["loom"])


def test_who_was_placed_is_owed_nothing_of_it(town: Town) -> None:
    """Its news was none of her topics: no switch, and no leaving while others are placed, brings it back."""
    ann, bea, _ = (town.reader(name, "weekly", ["ships"]) for name in ("ann", "bea", "cid"))
    town.finds("loom")
    number = drafted(town, "weekly")

    def turn() -> None:
        town.now += MINUTE / 2  # after their own slices, and after the first
        town.chooses(ann, "daily", [])
        Subscribers(town.database).leave(bea.id, town.now)

    frozen(town, number, 1, after(2, turn))
    assert places(town, number) == {"ann": "no_match", "bea": "no_match", "cid": "no_match"}
    Subscribers(town.database).come_back(bea.id, town.now + MINUTE)
    assert town.owed() == []


def test_who_left_before_their_slice_and_returns_is_owed_it(town: Town) -> None:
    _, bea = town.reader("ann", "weekly"), town.reader("bea", "weekly")
    town.finds("loom")
    number = drafted(town, "weekly")
    people = Subscribers(town.database)
    frozen(town, number, 1, after(1, lambda: people.leave(bea.id, town.now + MINUTE / 2)))
    assert places(town, number) == {"ann": "all", "bea": "unsubscribed"}
    people.come_back(bea.id, town.now + MINUTE)
    assert town.owed() == [("bea", "loom")]


def test_issues_of_two_cadences_at_once(town: Town) -> None:
    """Between them ann goes the one way and bea the other; each hears of it once."""
    ann, bea = town.reader("ann", "daily"), town.reader("bea", "weekly")
    for name in ("cid", "dot"):
        town.reader(name, "daily")
    town.finds("loom")
    daily, weekly = drafted(town, "daily"), drafted(town, "weekly")

    def cross() -> None:
        town.chooses(ann, "weekly")
        town.chooses(bea, "daily")
        frozen(town, weekly)

    frozen(town, daily, 1, after(2, cross))
    assert (places(town, daily)["ann"], places(town, weekly)["ann"]) == ("all", "nothing_new")
    assert (places(town, daily)["bea"], places(town, weekly)["bea"]) == ("other_cadence", "other_cadence")
    assert town.owed() == [("bea", "loom")]
    town.sends(daily)
    town.at(town.now + DAY)
    town.publishes()
    assert (town.keys(ann), town.keys(bea)) == (["loom"], ["loom"])


@pytest.mark.parametrize("moment", ["confirmed_at", "undone_at"])
def test_an_address_that_another_reader_was_placed_with_is_mailed_once(town: Town, moment: str) -> None:
    """And whoever moved meanwhile to an address that nobody had is mailed there."""
    ann, bea, cid = (town.reader(name, "instant") for name in ("ann", "bea", "cid"))
    town.finds("loom")
    number = drafted(town, "instant")

    def swap() -> None:
        for who, name in ((ann, "ann-new"), (bea, "ann"), (cid, "cid-new")):
            with town.database.begin() as connection:
                connection.execute(sa.update(subscriber).where(subscriber.c.id == who.id).values(
                    address=f"{name}@readers.example", normalized=f"{name}@readers.example"))
                connection.execute(sa.insert(address_change).values(
                    subscriber=who.id, name=name, undo_name=f"{name}-undone", old_address="", old_normalized="",
                    new_address="", new_normalized="", language="en", network="", asked_at=town.now,
                    **({"confirmed_at": town.now - DAY} | {moment: town.now}),
                ))

    counts = frozen(town, number, 1, after(1, swap))
    assert counts.exclusions == {"address_placed": 1}
    assert [row.address for row in Ledger(town.database).rows(number)] == [
        "ann@readers.example", "cid-new@readers.example",
    ]


def test_a_freeze_that_stands_still_is_told(town: Town) -> None:
    for name in ("ann", "bea"):
        town.reader(name, "instant")
    town.finds("loom")
    number = drafted(town, "instant")
    with pytest.raises(Dies):
        frozen(town, number, 1, after(1, die))

    def told(later: dt.timedelta) -> list[str]:
        now = town.now + later
        read = figures.read(town.database, ["site"], looks=3, now=now)
        found = judge(read, NotifySettings(), now=now, waits=(), overdue={})
        return [f"{one.says}: {one.do}" for one in found if one.about == f"issue {number}"]

    assert told(9 * MINUTE) == []
    [one] = told(11 * MINUTE)
    assert "is being frozen, 1 of 2 readers are placed, and none has been since" in one
    assert f"`milepost publish` goes on where it stood, `milepost issue stop {number}` takes it back" in one
    town.publishes(send=False)
    assert told(11 * MINUTE) == []
