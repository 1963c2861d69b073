"""Random walks of readers who change their address, take it back, come and go: an address is one reader's at most."""

import datetime as dt
import random

import pytest

from store.database import Database
from store.subscribers.address_changes import AddressChanges
from store.subscribers.addresses import parse
from store.subscribers.importing import Entry
from store.subscribers.people import UNDO_FOR, Subscribers
from store.subscribers.sign_ups import FORGET_AFTER
from tests.comings import come_or_go
from tests.store.conftest import NOW
from tests.store.test_sign_ups import PLENTY, US

ADDRESSES = [f"{name}@readers.example" for name in ("ada", "ben", "gil", "eve", "zoe")]
MOST = 3  # readers: there are addresses to go to


def test_an_old_file_brings_no_mail_to_an_address_that_was_left_for_another(database: Database) -> None:
    people, changes = Subscribers(database), AddressChanges(database)

    def imported(address: str) -> str:
        entry = Entry(line=1, address=parse(address), standing="active", cadence="daily")
        [outcome] = people.import_([entry], now=NOW, by=US)
        return outcome.result

    reader, _ = people.add("ada@readers.example", now=NOW)
    changes.ask(reader.id, parse("ada@new.example"), language="en", network="n", limits=PLENTY, now=NOW)
    [change] = changes.of(reader.id)
    assert changes.confirm(change.name, NOW) == "moved"
    assert imported("ada@readers.example") == "held_back"
    assert changes.undo(change.undo_name, NOW) == "undone"
    assert imported("ada@new.example") == "held_back"
    assert imported("ada@readers.example") == "known"
    assert [one.normalized for one in people.list()] == ["ada@readers.example"]
    people.add("ada@new.example", now=NOW)  # whoever says so by name is believed: the hold is over
    assert imported("ada@new.example") == "known"


@pytest.mark.parametrize("seed", [1, 5])  # whose walks come to every end
def test_every_address_is_the_one_that_its_reader_said_last(database: Database, seed: int) -> None:
    chance, now = random.Random(seed), NOW  # noqa: S311
    people, changes = Subscribers(database), AddressChanges(database)
    has: dict[int, str] = {}  # reader → address
    active: dict[int, bool] = {}
    asked: dict[int, tuple[str, str, str, dt.datetime]] = {}  # reader → the link that waits, old, new, when
    made: list[tuple[int, str, str, str, dt.datetime]] = []  # reader, link back, old, new, when
    ends: list[str] = []
    for _ in range(160):
        now += dt.timedelta(hours=chance.randint(9, 40))
        step = chance.choice(["come", "come", "leave", "ask", "ask", "confirm", "confirm", "undo", "undo"])
        address = chance.choice(ADDRESSES)
        who = chance.choice(sorted(has)) if has else None
        if step in ("ask", "come") and made and chance.random() < 0.5:
            address = made[-1][2]  # that somebody gave up a while ago, and may want again
        if step == "confirm" and asked:
            who = chance.choice(sorted(asked))
        if step == "come" and (address in has.values() or len(has) < MOST):
            found, new = people.add(address, now=now)
            assert new == (address not in has.values())
            has.setdefault(found.id, address)
            active.setdefault(found.id, True)
        elif who is None or step == "come":
            continue
        elif step == "leave":
            active[who] = not active[who]
            come_or_go(people, who, here=active[who], now=now)
        elif step == "ask" and active[who] and address != has[who]:
            assert changes.ask(who, parse(address), language="en", network="n", limits=PLENTY, now=now) is None
            waits = [one for one in changes.of(who) if one.confirmed_at is None and one.undone_at is None]
            assert [one.new_address for one in waits] == [address]
            asked[who] = (waits[0].name, has[who], address, now)
        elif step == "confirm" and who in asked:
            name, old, new_one, at = asked[who]
            may = active[who] and has[who] == old and now - at < FORGET_AFTER
            free = new_one not in has.values()
            change = next(one for one in changes.of(who) if one.name == name)
            ended = changes.confirm(name, now)
            ends.append(ended)
            assert ended == ("moved" if may and free else "kept_out" if may else "unknown"), (seed, step)
            if ended == "moved":
                has[who] = new_one
                made.append((who, change.undo_name, old, new_one, now))
                del asked[who]
        elif step == "undo" and made:
            back = chance.choice(made[-2:])
            reader, undo, old, new_one, at = back
            may = now - at < UNDO_FOR and has[reader] == new_one
            free = old not in has.values()
            taken_back = changes.undo(undo, now)
            ends.append(f"back: {taken_back}")
            assert taken_back == ("undone" if may and free else "kept_out" if may else "unknown"), (seed, step)
            if taken_back == "undone":
                has[reader] = old
                made.remove(back)
        readers = people.list()
        assert {one.id: one.normalized for one in readers} == has, (seed, step)
        assert len({one.normalized for one in readers}) == len(readers)
        assert {one.id: one.state == "active" for one in readers} == active
    assert {"moved", "back: undone", "back: kept_out"} <= {*ends}
