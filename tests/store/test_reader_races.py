"""Many presses of one reader's buttons in the same moment, on connections of their own: each has one outcome."""

import datetime as dt
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from milepost.records import Subscriber
from store.database import Database, connect
from store.ledger.ledger import Ledger
from store.ledger.letters import Letters, Quota
from store.subscribers.address_changes import AddressChanges
from store.subscribers.addresses import parse
from store.subscribers.events import By
from store.subscribers.people import Subscribers
from store.subscribers.sign_ups import Limits, Request, SignUps
from tests.store.conftest import NOW, World, everybody

PLENTY = Limits(per_network=1000, backlog=1000)
DAY = dt.timedelta(days=1)


@pytest.fixture
def at_once() -> Iterator[Callable[..., list[Any]]]:
    """Calls all of them at the same moment, each in a thread; what they returned, in their order."""
    with ThreadPoolExecutor(max_workers=20) as threads:

        def run(*calls: Callable[[], Any]) -> list[Any]:
            start = threading.Barrier(len(calls))

            def one(call: Callable[[], Any]) -> Any:
                start.wait()
                return call()

            return [future.result() for future in [threads.submit(one, call) for call in calls]]

        yield run


def a_request(address: str) -> Request:
    return Request(
        address=parse(address), cadence="weekly", language="en", form="page-en-1", network=f"network of {address}"
    )


def test_twenty_confirmations_make_one_subscriber(database: Database, at_once: Callable[..., list[Any]]) -> None:
    sign_ups = SignUps(database)
    sign_ups.ask(a_request("ada@readers.example"), PLENTY, NOW)
    entry = sign_ups.of("ada@readers.example")
    assert entry is not None
    done = at_once(*[lambda: sign_ups.confirm(entry.name, "n", NOW)] * 20)
    assert Counter(one.ended for one in done) == {"confirmed": 1, "again": 19}
    [reader] = Subscribers(database).list()
    assert {one.subscriber for one in done} == {reader.id}
    assert len(sign_ups.consents(reader.id)) == 1
    assert [one.kind for one in Letters(database).list(limit=9)].count("welcome") == 1


def test_leaving_and_coming_back_at_once_ends_as_one_of_both(
    database: Database, at_once: Callable[..., list[Any]]
) -> None:
    people = Subscribers(database)
    reader, _ = people.add("ada@readers.example", now=NOW)
    leave, back = (lambda: people.leave(reader.id, NOW, goodbye=True)), (lambda: people.come_back(reader.id, NOW))
    at_once(*[leave, back] * 10)
    found = people.get(reader.id)
    assert (found.state == "active") == (found.unsubscribed_at is None)
    assert people.come_back(reader.id, NOW + DAY)  # whichever was last, neither is lost
    assert [one.kind for one in Letters(database).list(limit=99)] in (["goodbye"], [])


def test_two_readers_who_want_one_address_at_once_are_never_one(
    database: Database, at_once: Callable[..., list[Any]]
) -> None:
    people, changes, sign_ups = Subscribers(database), AddressChanges(database), SignUps(database)
    for number in range(5):
        names, wanted = [], f"wanted{number}@readers.example"
        for name in (f"ada{number}", f"ben{number}"):
            reader, _ = people.add(f"{name}@readers.example", now=NOW)
            changes.ask(reader.id, parse(wanted), language="en", network=name, limits=PLENTY, now=NOW)
            names += [changes.of(reader.id)[0].name]
        sign_ups.ask(a_request(wanted), PLENTY, NOW)
        entry = sign_ups.of(wanted)
        assert entry is not None
        first, second, came = at_once(
            lambda: changes.confirm(names[0], NOW), lambda: changes.confirm(names[1], NOW),  # noqa: B023 (run at once)
            lambda: sign_ups.confirm(entry.name, "n", NOW).ended,  # noqa: B023
        )
        assert came == "confirmed"
        assert sorted([first, second]) in (["kept_out", "kept_out"], ["kept_out", "moved"])
        assert len([one for one in people.list() if one.normalized == wanted]) == 1


def test_twenty_presses_of_one_change_move_once_and_say_so_to_all(
    database: Database, at_once: Callable[..., list[Any]]
) -> None:
    changes = AddressChanges(database)
    reader, _ = Subscribers(database).add("ada@readers.example", now=NOW)
    changes.ask(reader.id, parse("ada@new.example"), language="en", network="n", limits=PLENTY, now=NOW)
    [change] = changes.of(reader.id)
    assert Counter(at_once(*[lambda: changes.confirm(change.name, NOW)] * 20)) == {"moved": 1, "again": 19}
    assert Counter(at_once(*[lambda: changes.undo(change.undo_name, NOW)] * 20)) == {"undone": 1, "again": 19}


@pytest.mark.parametrize("press", [
    lambda people, _, one: people.set_choice(one.id, cadence="daily", now=NOW),
    lambda people, _, one: people.pause(one.id, NOW + DAY, skips=False, now=NOW),
    lambda people, _, one: people.leave(one.id, NOW),
    lambda people, _, one: people.unsubscribe(one.address, By(who="test", why="asked"), NOW),
    lambda people, _, one: people.erase(one.address, now=NOW, by=By(who="test", why="asked")),
    lambda _, changes, one: changes.confirm(changes.of(one.id)[0].name, NOW),
], ids=["switch", "pause", "leave", "unsubscribe", "erase", "move"])
def test_an_issue_is_frozen_while_a_reader_presses(
    world: World, url: str, press: Callable[[Subscribers, AddressChanges, Subscriber], object]
) -> None:
    """Whoever has locked a reader's row, and goes on to change it, keeps no freeze waiting that this would wait for."""
    if world.database.engine.dialect.name == "sqlite":
        pytest.skip("a SQLite writer is alone already")
    issue = world.drafted(1)
    [one] = world.subscribers.list()
    changes = AddressChanges(world.database)
    changes.ask(one.id, parse("new@new.example"), language="en", network="n", limits=PLENTY, now=NOW)
    frozen: list[object] = []

    def freeze(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "UPDATE" in statement and "FROM subscriber" in statement and not frozen:
            with connect(url, wait_seconds=3) as other:
                frozen.append(Ledger(other).freeze(issue, content_hash="c0ffee", place=everybody, now=NOW))

    sa.event.listen(world.database.engine, "after_cursor_execute", freeze)
    try:
        press(world.subscribers, changes, one)
    finally:
        sa.event.remove(world.database.engine, "after_cursor_execute", freeze)
    assert frozen
    assert world.ledger.counts(issue).deliveries == 1


def test_a_network_s_limit_holds_however_many_ask_at_once(
    database: Database, at_once: Callable[..., list[Any]]
) -> None:
    sign_ups, tight = SignUps(database), Limits(per_network=3, backlog=100)
    asks = [
        lambda number=number: sign_ups.ask(
            Request(address=parse(f"r{number}@readers.example"), cadence="weekly", language="en", form="page-en-1",
                    network="one"), tight, NOW
        )
        for number in range(20)
    ]
    assert Counter(at_once(*asks)) == {None: 3, "network": 17}


def test_an_hour_s_letters_are_as_many_however_many_take_them_at_once(
    database: Database, at_once: Callable[..., list[Any]]
) -> None:
    sign_ups = SignUps(database)
    for number in range(12):
        sign_ups.ask(a_request(f"r{number}@readers.example"), PLENTY, NOW)
    quota = Quota(kind="confirm", most=5, since=NOW - DAY, again_at=NOW + DAY, why="enough for an hour")
    claim = lambda: Letters(database).claim(NOW, limit=3, memory=DAY, quota=quota)  # noqa: E731
    taken = [one.id for claimed in at_once(*[claim] * 8) for one in claimed.taken]
    assert len(taken) == len(set(taken)) == 5
