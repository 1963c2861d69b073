"""Who may subscribe, leaves and returns, and the list of addresses never to be mailed."""

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import sqlalchemy as sa

from milepost.errors import ConflictError, HeldError, InputError, NotFoundError
from milepost.records import ReaderLink, Reply
from store.database import Database, check
from store.meta import Meta
from store.schema import tables
from store.subscribers import importing
from store.subscribers.addresses import parse
from store.subscribers.events import By
from store.subscribers.people import Subscribers
from store.subscribers.suppressions import Suppressions
from tests.hand_over import settle
from tests.store.conftest import NOW, World
from tests.whole_tables import walked_through

LATER = NOW + dt.timedelta(days=1)
US = By(who="grace", why="she wrote to us")


@pytest.mark.parametrize(
    ("given", "address", "normalized"),
    [
        pytest.param("Ada.Lovelace+news@Example.ORG", "Ada.Lovelace+news@example.org",
                     "ada.lovelace+news@example.org", id="case"),
        pytest.param(" ada@example.org\t", "ada@example.org", "ada@example.org", id="blanks"),
        pytest.param("ada@bücher.example.org", "ada@xn--bcher-kva.example.org",
                     "ada@xn--bcher-kva.example.org", id="idn"),
    ],
)
def test_addresses_we_take(world: World, given: str, address: str, normalized: str) -> None:
    who, new = world.subscribers.add(given, now=NOW)
    assert (who.address, who.normalized, new) == (address, normalized, True)
    assert world.subscribers.find(given) == who == world.subscribers.get(who.id)


@pytest.mark.parametrize(
    "given",
    [
        "", "ada", "ada@", "@example.org", "a@example.org, b@example.org", "a@example.org b@example.org",
        "a@example.org\r\nBcc: b@example.org", "a@example.org\n", "\ra@example.org", '"a b"@example.org',
        '"a@evil"@example.org', "Ada <a@example.org>", "dö@example.org", "a@[127.0.0.1]", "a@localhost",
        "a\0@example.org",
        "a@example.org\0", "a..b@example.org", "a＠example.org", "x" * 65 + "@example.org", "a@" + "x" * 250 + ".org",
    ],
)
def test_addresses_we_refuse(given: str) -> None:
    with pytest.raises(InputError, match="not an e-mail address we can send to"):
        parse(given)


def test_nobody_is_added_under_no_address(world: World) -> None:
    with pytest.raises(InputError):
        world.subscribers.add("a@example.org, b@example.org", now=NOW)
    assert world.subscribers.list() == []


def test_adding_twice_changes_nothing(world: World) -> None:
    first, _ = world.subscribers.add("ada@example.org", cadence="weekly", topics=["research"], now=NOW)
    again, new = world.subscribers.add("ADA@example.org", cadence="daily", now=LATER)
    assert (again, new) == (first, False)
    assert (first.cadence, first.topics, first.state) == ("weekly", ("research",), "active")


def test_states_and_choices(world: World) -> None:
    who, _ = world.subscribers.add("ada@example.org", state="pending", now=NOW)
    assert world.subscribers.return_(who.address, US, LATER).state == "active"
    assert world.subscribers.set_choice(who.id, cadence="monthly", topics=["a", "b"], now=LATER).topics == ("a", "b")
    assert world.subscribers.leave(who.id, LATER).state == "unsubscribed"
    world.subscribers.add("bo@example.org", now=NOW)
    assert world.subscribers.counts() == {"active": 1, "unsubscribed": 1}
    assert [found.address for found in world.subscribers.list(state="active")] == ["bo@example.org"]
    assert [(found.address, found.cadence) for found in world.subscribers.list()] == [
        ("ada@example.org", "monthly"), ("bo@example.org", "instant"),
    ]
    for act in (world.subscribers.leave, world.subscribers.come_back):
        with pytest.raises(NotFoundError):
            act(99, LATER)


def test_suppressions(world: World) -> None:
    list_ = Suppressions(world.database)
    assert list_.add("Ada@example.org", "5.1.1", NOW)
    assert not list_.add("ada@example.org", "again", LATER)
    (found,) = list_.list()
    assert list_.find("ADA@EXAMPLE.org") == found
    assert (found.normalized, found.reason, found.created_at) == ("ada@example.org", "5.1.1", NOW)
    assert re.fullmatch(r"[0-9a-f]{64}", found.address_hash)  # nothing of the address
    assert list_.lift("ada@example.org", US, LATER) == found
    assert list_.find("ada@example.org") is None
    with pytest.raises(NotFoundError, match="suppressions list"):
        list_.lift("ada@example.org", US, LATER)
    (event,) = list_.history("ADA@example.org")
    assert (event.action, event.by, event.at) == ("lifted", "grace", LATER)
    assert event.why == "she wrote to us (was suppressed 2026-11-23: 5.1.1)"
    assert list_.add("ada@example.org", "by grace", LATER, by=US)
    assert [one.action for one in list_.histories()[found.address_hash]] == ["lifted", "suppressed"]


def test_who_left_or_waits_returns_by_an_operator_s_word(world: World) -> None:
    people = world.subscribers
    ada, _ = people.add("ada@example.org", cadence="weekly", now=NOW)
    people.add("bo@example.org", state="pending", now=NOW)
    assert people.unsubscribe("ADA@example.org", US, NOW).state == "unsubscribed"
    assert people.return_("ada@example.org", US, LATER) == replace(ada, chosen_at=LATER, confirmed_at=LATER)
    assert people.return_("bo@example.org", US, LATER).state == "active"
    with pytest.raises(ConflictError, match="is active"):
        people.return_("ada@example.org", US, LATER)
    with pytest.raises(NotFoundError):
        people.return_("nobody@example.org", US, LATER)
    history = Suppressions(world.database).history("ada@example.org")
    assert [(one.action, one.by, one.at) for one in history] == [
        ("unsubscribed", "grace", NOW), ("returned", "grace", LATER),
    ]


def test_who_is_suppressed_returns_only_once_that_is_lifted(world: World) -> None:
    people, list_ = world.subscribers, Suppressions(world.database)
    people.add("ada@example.org", now=NOW)
    people.unsubscribe("ada@example.org", US, NOW)
    list_.add("ada@example.org", "complaint", NOW)
    with pytest.raises(HeldError, match=r"suppressed since 2026-11-23 \(complaint\).*suppressions lift"):
        people.return_("ada@example.org", US, LATER)
    found = people.find("ada@example.org")
    assert found is not None
    assert found.state == "unsubscribed"
    list_.lift("ada@example.org", US, LATER)
    assert people.return_("ada@example.org", US, LATER).state == "active"


@pytest.mark.parametrize(("who", "why"), [("", "x"), ("x", " ")])
def test_an_operator_s_word_has_a_name_and_a_reason(who: str, why: str) -> None:
    with pytest.raises(InputError, match="it is empty"):
        By(who=who, why=why)


def test_erasing_leaves_only_a_hash(world: World) -> None:
    number = world.frozen(2)
    (claim,) = world.ledger.claim(number, limit=1, lease_seconds=60)
    busy = Reply(code=450, text="reader0@example.org is busy", phase="rcpt")
    settle(world.ledger, claim, "deferred", busy, retry_at=LATER)
    list_ = Suppressions(world.database)
    list_.add("reader0@example.org", "bad", LATER, by=By(who="grace", why="reader0@ wrote"))
    assert world.subscribers.erase("Reader0@example.org", US, LATER)
    assert not world.subscribers.erase("nobody@example.org", US, LATER)
    assert [(one.action, one.why) for one in list_.history("reader0@example.org")] == [
        ("suppressed", ""), ("erased", "she wrote to us"),
    ]
    with world.database.connect() as connection:
        for table in tables.metadata.sorted_tables:
            for row in connection.execute(sa.select(table)):
                assert "reader0" not in str(row)
                assert "nobody@" not in str(row)
    counts = world.ledger.counts(number)
    assert counts.balanced
    assert dict(counts.states) == {"cancelled": 1, "pending": 1}
    assert list_.find("reader0@example.org") is not None
    assert world.subscribers.find("reader0@example.org") is None
    assert check(world.database) == []
    back, new = world.subscribers.add("reader0@example.org", now=LATER)  # asking again is theirs to do
    assert new
    assert list_.find(back.address) is not None  # and an operator's to allow


def test_who_leaves_waits_for_no_walk_through_all_that_was_ever_found(sqlite_database: Database) -> None:
    """Hundreds leave in the hour after an issue: what each is owed is looked for in the news, not in the baselines."""
    world = World(sqlite_database)
    world.frozen()
    with walked_through(sqlite_database) as whole:
        world.subscribers.leave(1, NOW)
        world.issues.unannounced("weekly")
    assert set(whole) & {"change", "delivery", "attempt"} == set(), whole


def test_a_way_out_asks_little_of_a_database_that_is_busy(world: World) -> None:
    """Beside a dispatch each question waits for a processor: who leaves is locked, changed, looked at and noted."""
    world.frozen()
    reader = world.subscribers.list()[0]
    world.subscribers.linked(ReaderLink(handle=handle_of(world, reader.id)))
    Meta(world.database).address_key()  # asked for once
    with statements(world.database) as asked:
        assert world.subscribers.leave(reader.id, NOW, goodbye=True).state == "unsubscribed"
    assert [one.split()[0] for one in asked] == ["SELECT", "UPDATE", "SELECT", "INSERT", "INSERT"], asked
    with statements(world.database) as asked:
        assert world.subscribers.linked(ReaderLink(handle=handle_of(world, reader.id))).state == "unsubscribed"
        assert Suppressions(world.database).find(reader.address) is None
    assert [one.split()[0] for one in asked] == ["SELECT"] * 3, asked  # one of them is this test's


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """What is asked of a database meanwhile, without what begins and ends transactions."""
    asked: list[str] = []

    def noted(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        asked.append(statement)

    engines = (database.engine, database._readers)
    for each in engines:
        sa.event.listen(each, "before_cursor_execute", noted)
    try:
        yield asked
    finally:
        for each in engines:
            sa.event.remove(each, "before_cursor_execute", noted)
        asked[:] = [one for one in asked if not one.startswith("BEGIN")]


def handle_of(world: World, reader: int) -> str:
    with world.database.connect() as connection:
        query = sa.select(tables.subscriber.c.handle).where(tables.subscriber.c.id == reader)
        return str(connection.execute(query).scalar_one())


def test_an_erase_reads_no_more_of_the_ledger_than_what_is_theirs(sqlite_database: Database) -> None:
    """Nobody else can write until it is done, however much was ever sent to others."""
    world = World(sqlite_database)
    world.frozen()
    with walked_through(sqlite_database) as whole:
        assert world.subscribers.erase("reader0@example.org", By(who="operator", why="asked"), NOW)
    assert set(whole) & {"delivery", "attempt", "bounce", "letter"} == set(), whole


def test_an_erase_takes_the_address_out_of_what_operators_wrote(world: World) -> None:
    """Also one that they had before, in a domain that is written with more than ASCII, and in what an act changed."""
    world.baseline()
    moved, _ = world.subscribers.add("Ada@bücher.example", now=NOW)
    world.subscribers.add("nada@xn--bcher-kva.example", now=NOW)
    with world.database.begin() as connection:
        def put(table: sa.Table, **values: object) -> None:
            connection.execute(sa.insert(table).values(**values))

        put(tables.address_change, subscriber=moved.id, name="n", undo_name="u", old_address="Old@example.org",
            old_normalized="old@example.org", new_address="Ada@xn--bcher-kva.example", language="en", network="",
            new_normalized="ada@xn--bcher-kva.example", asked_at=NOW, confirmed_at=NOW)
        put(tables.act, at=NOW, who="grace", door="console", what="reader.import", about="file ADA@bücher.example.csv",
            why="for old@example.org, not very_old@example.org", outcome="done", said="ada@xn--bcher-kva.example is in",
            before={"intro": ["write to Ada@bücher.example."], "state": None}, after={"n": 1})
        connection.execute(sa.update(tables.look).values(
            refused_why="(ada@bücher.example told us)", released_why="nada@bücher.example told us"))
    by = By(who="grace", why="Ada@xn--bcher-kva.example asked")
    Suppressions(world.database).add("nada@bücher.example", "as ada@bücher.example wrote", NOW)
    assert world.subscribers.erase("ada@bücher.example", by, LATER)
    with world.database.connect() as connection:
        act = connection.execute(sa.select(tables.act)).one()
        look = connection.execute(sa.select(tables.look)).one()
    assert (act.about, act.why, act.said, act.before, act.after) == (
        "file (address).csv", "for (address), not very_old@example.org", "(address) is in",
        {"intro": ["write to (address)."], "state": None}, {"n": 1},
    )
    assert (look.refused_why, look.released_why) == ("((address) told us)", "nada@bücher.example told us")
    assert Suppressions(world.database).history("ada@bücher.example")[-1].why == "(address) asked"
    listed = Suppressions(world.database).find("nada@bücher.example")
    assert listed is not None
    assert listed.reason == "as (address) wrote"


def test_others_write_while_a_long_list_comes_in_and_what_was_broken_off_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "TOGETHER", 2)
    entries = [
        importing.Entry(line=n, address=parse(f"p{n}@readers.example"), standing="active", cadence="daily")
        for n in range(7)
    ]
    by = By(who="ada", why="a list")
    with Database(world.database.url.render_as_string(hide_password=False), wait_seconds=2) as other:
        web = Subscribers(other)

        def meanwhile(done: int, _: int) -> None:
            if done == 4:  # whoever came in with the first of them leaves, at once
                web.unsubscribe("p0@readers.example", by, NOW)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            world.subscribers.import_(entries, now=NOW, by=by, progress=meanwhile)
    again = world.subscribers.import_(entries, now=NOW, by=by)
    assert [one.result for one in again] == ["held_back", "known", "known", "known", "added", "added", "added"]
