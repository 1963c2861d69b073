"""Commits that are under way by themselves on PostgreSQL: what `advance` says and writes, or nothing at all."""

import contextlib
import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from milepost.errors import HeldError
from milepost.records import Advanced, Claim, Reply, Settlement
from store.database import Database
from store.dialects import by_keys
from store.ledger import writers
from store.ledger.ledger import Ledger
from store.ledger.writers import Writer
from store.meta import Meta
from store.schema.tables import issue, subscriber
from store.subscribers.suppressions import suppress
from store.upkeep.restore import mark
from tests.store.conftest import NOW, VARIANT, World, everybody
from tests.store.test_ledger_batches import all_kinds, story, take


@pytest.fixture
def world(postgresql_shared: Database, database: Database) -> World:
    if database is not postgresql_shared:
        pytest.skip("it has one writer")
    return World(database)


@pytest.fixture
def both(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sequence[Writer]]:
    monkeypatch.setattr("store.ledger.ledger.NEAR_S", 0.0)  # as where the database is a journey away
    with world.ledger.writers() as opened:
        assert len(opened) == writers.WRITERS > 1
        yield opened


def by(writer: Writer, settlements: Sequence[Settlement], claims: Sequence[Claim]) -> Advanced | None:
    """What it answers, once it does."""
    return answer(writer) if writer.send(settlements, claims) else None


def answer(writer: Writer) -> Advanced | None:
    while writer.busy:
        select.select([writer], [writer] if writer.unsent else [], [], 20)
        writer.go_on()
    return writer.answer()


def states(world: World, number: int) -> list[str]:
    return [row.state for row in world.ledger.rows(number)]


def test_a_database_that_is_near_has_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.ledger.ledger.NEAR_S", 10.0)
    with world.ledger.writers() as [only]:
        assert only.alive
        assert 0.0 < only.journey_s < 10.0
        assert by(only, (), take(world, world.frozen(2))) is not None


def test_it_says_and_writes_what_advance_does(world: World, both: Sequence[Writer]) -> None:
    number = world.frozen(6)
    claims = take(world, number)
    begun = frozenset(claim.delivery_id for claim in claims[:5])
    assert by(both[0], (), claims[:5]) == Advanced(begun=begun, lost=frozenset())
    assert by(both[0], all_kinds(claims), claims[5:]) == Advanced(
        begun=frozenset([claims[5].delivery_id]), lost=frozenset()
    )
    told = story(world, number)
    assert [row[1] for row in told] == ["sent", "deferred", "failed", "unknown", "sending", "sending"]
    assert [attempt[:3] for attempt in told[0][-1]] == [(1, "dot", "sent")]  # type: ignore[attr-defined]
    assert world.ledger.counts(number).balanced


def test_several_are_under_way_at_once(world: World, both: Sequence[Writer]) -> None:
    """Each holds its own readers, and all of them the issue."""
    claims = take(world, number := world.frozen(4))
    first, second = both[:2]
    assert first.send((), claims[:2])
    assert second.send((), claims[2:])
    assert not first.send((), claims[2:])  # one batch at a time
    assert (answer(second) or claims).begun == {claim.delivery_id for claim in claims[2:]}  # type: ignore[union-attr]
    assert (answer(first) or claims).begun == {claim.delivery_id for claim in claims[:2]}  # type: ignore[union-attr]
    assert states(world, number) == ["sending"] * 4


def leave(world: World, claims: list[Claim]) -> None:
    world.subscribers.leave(claims[2].subscriber_id, NOW)


def pause(world: World, claims: list[Claim]) -> None:
    world.ledger.pause(claims[0].issue, "the editor")


def lose(world: World, claims: list[Claim]) -> None:
    world.ledger.release(claims[1:2])


def restore(world: World, claims: list[Claim]) -> None:  # noqa: ARG001 (the others' form)
    with world.database.begin() as connection:
        mark(connection, "a backup")


@pytest.mark.parametrize("what", [leave, pause, lose, restore])
def test_where_a_row_may_not_begin_nothing_is_written_and_the_next_batch_is(
    world: World, both: Sequence[Writer], what: Any
) -> None:
    claims = take(world, number := world.frozen(4))
    assert by(both[0], (), claims[:1]) is not None
    what(world, claims)
    before = story(world, number)
    assert by(both[0], all_kinds(claims)[:1], claims[1:]) is None
    assert story(world, number) == before
    assert by(both[0], all_kinds(claims)[:1], ()) is not None  # the connection is as good as it was
    assert states(world, number)[0] == "sent"
    if what is restore:
        with pytest.raises(HeldError):
            world.ledger.advance((), claims[1:])


def test_a_lease_taken_over_or_an_address_that_died_is_left_to_advance(
    world: World, both: Sequence[Writer]
) -> None:
    claims = take(world, number := world.frozen(4))
    assert by(both[0], (), claims) is not None
    before = story(world, number)
    assert not both[0].send(all_kinds(claims, suppress=True), ())
    done = all_kinds(claims)
    assert by(both[0], [*done, done[0]], ()) is None
    assert story(world, number) == before


def test_it_waits_for_no_lock_for_long(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(writers._SESSION, "lock_timeout", "20ms")
    claims = take(world, number := world.frozen(2))
    with world.ledger.writers() as opened, world.database.begin() as other:
        other.execute(sa.text("SELECT 1 FROM subscriber FOR UPDATE"))
        assert by(opened[0], (), claims) is None
        assert opened[0].alive
    assert states(world, number) == ["claimed", "claimed"]


Begun = frozenset[int]


def by_a_writer(world: World, claims: Sequence[Claim]) -> Begun:
    with world.ledger.writers() as opened:
        advanced = by(opened[0], (), claims)
        return frozenset() if advanced is None else advanced.begun


def by_advance(world: World, claims: Sequence[Claim]) -> Begun:
    return world.ledger.advance((), claims).begun


def until_it_waits(world: World, asked: Future[Any]) -> None:
    """For a lock; or has ended."""
    blocked = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    while not asked.done():
        with world.database.connect() as connection:
            if connection.execute(blocked).scalar_one():
                return
        time.sleep(0.01)


def leaves(world: World, other: sa.Connection, claim: Claim) -> None:  # noqa: ARG001 (the others' form)
    other.execute(sa.update(subscriber).where(subscriber.c.id == claim.subscriber_id).values(state="unsubscribed"))


def is_suppressed(world: World, other: sa.Connection, claim: Claim) -> None:
    suppress(other, Meta(world.database).address_key(), claim.address, "550 5.1.1", NOW)


def is_paused(world: World, other: sa.Connection, claim: Claim) -> None:  # noqa: ARG001 (the others' form)
    other.execute(sa.update(issue).where(issue.c.number == claim.issue).values(state="paused"))


@pytest.mark.parametrize("way", [by_a_writer, by_advance])
@pytest.mark.parametrize("change", [leaves, is_suppressed, is_paused])
def test_what_commits_while_the_lock_waits_for_it_is_seen(
    world: World, way: Callable[..., Begun], change: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(writers._SESSION, "lock_timeout", "60s")
    claims = take(world, number := world.frozen(3))
    Meta(world.database).address_key()  # there from then on: making it is a commit of its own
    with ThreadPoolExecutor(1) as pool:
        with world.database.begin() as other:
            change(world, other, claims[1])
            asked = pool.submit(way, world, claims)
            until_it_waits(world, asked)
            assert not asked.done()
        begun = asked.result(timeout=60)
    assert claims[1].delivery_id not in begun
    assert states(world, number)[1] in ("claimed", "cancelled", "suppressed", "pending")


@pytest.mark.parametrize("way", [by_a_writer, by_advance])
def test_the_issue_is_locked_first_and_then_its_readers_in_their_order(
    world: World, way: Callable[..., Begun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two who lock the same neither ever holds what the other waits for."""
    monkeypatch.setitem(writers._SESSION, "lock_timeout", "60s")
    claims = take(world, number := world.frozen(3))
    first, *others = sorted(claim.subscriber_id for claim in claims)
    with ThreadPoolExecutor(1) as pool:
        with world.database.begin() as other:
            other.execute(sa.select(subscriber.c.id).where(subscriber.c.id == first).with_for_update())
            asked = pool.submit(way, world, claims[::-1])
            until_it_waits(world, asked)
            with world.database.begin() as third:
                free = sa.select(subscriber.c.id).order_by(subscriber.c.id).with_for_update(skip_locked=True)
                assert list(third.execute(free).scalars()) == others
                assert not third.execute(sa.select(issue.c.number).with_for_update(skip_locked=True)).all()
        assert len(asked.result(timeout=60)) == 3
    assert states(world, number) == ["sending"] * 3


def test_who_is_suppressed_by_a_result_is_locked_in_the_same_order(world: World) -> None:
    claims = take(world, world.frozen(3))
    world.ledger.advance((), claims)
    no = Reply(code=550, enhanced="5.1.1", text="nobody", phase="rcpt")
    dead = [Settlement(claim=claim, state="failed", reply=no, suppress="550 5.1.1") for claim in claims]
    first, *others = sorted(claim.subscriber_id for claim in claims)
    with ThreadPoolExecutor(1) as pool:
        with world.database.begin() as other:  # as another issue's dispatch has it
            other.execute(sa.select(subscriber.c.id).where(subscriber.c.id == first).with_for_update(read=True))
            asked = pool.submit(world.ledger.advance, dead[::-1], ())
            until_it_waits(world, asked)
            with world.database.begin() as third:
                free = sa.select(subscriber.c.id).order_by(subscriber.c.id).with_for_update(read=True, skip_locked=True)
                assert list(third.execute(free).scalars()) == [first, *others]
        assert not asked.result(timeout=60).lost


def test_the_issue_is_locked_first_where_a_result_suppresses_too(world: World) -> None:
    *claims, gone = sorted(take(world, number := world.frozen(3)), key=lambda claim: claim.subscriber_id)
    world.ledger.advance((), [gone])
    no = Reply(code=550, enhanced="5.1.1", text="nobody", phase="rcpt")
    dead = [Settlement(claim=gone, state="failed", reply=no, suppress="550 5.1.1")]
    with ThreadPoolExecutor(1) as pool:
        with world.database.begin() as other:
            first = sa.select(subscriber.c.id).where(subscriber.c.id == claims[0].subscriber_id)
            other.execute(first.with_for_update())
            asked = pool.submit(world.ledger.advance, dead, claims)
            until_it_waits(world, asked)
            with world.database.begin() as third:
                free = sa.select(subscriber.c.id).order_by(subscriber.c.id).with_for_update(skip_locked=True)
                assert list(third.execute(free).scalars()) == [claims[1].subscriber_id, gone.subscriber_id]
                assert not third.execute(sa.select(issue.c.number).with_for_update(skip_locked=True)).all()
        assert len(asked.result(timeout=60).begun) == 2
    assert sorted(states(world, number)) == ["failed", "sending", "sending"]


def test_two_issues_whose_results_suppress_each_others_readers_wait_in_one_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each begins with the other's dead: neither may hold one reader while it asks for the other's."""
    no = Reply(code=550, enhanced="5.1.1", text="nobody", phase="rcpt")
    numbers = world.frozen(2), world.issues.draft(
        "daily", "c2", world.items(), [VARIANT], subject="News", content_hash="c0ffee", now=NOW
    ).number
    world.ledger.freeze(numbers[1], content_hash="c0ffee", place=everybody, now=NOW)
    taken = [take(world, number) for number in numbers]
    assert [sorted(claim.subscriber_id for claim in claims) for claims in taken] == [[1, 2]] * 2
    asked: list[tuple[list[Settlement], list[Claim]]] = []
    for claims, dead in zip(taken, (1, 2), strict=True):
        gone = [claim for claim in claims if claim.subscriber_id == dead]
        world.ledger.advance((), gone)
        done = [Settlement(claim=claim, state="failed", reply=no, suppress="550 5.1.1") for claim in gone]
        asked.append((done, [claim for claim in claims if claim.subscriber_id != dead]))
    both, settle = threading.Barrier(2, timeout=1), Ledger._settle

    def met(self: Ledger, *given: Any) -> bool:
        with contextlib.suppress(threading.BrokenBarrierError):  # of two in one order the second has no lock yet
            both.wait()
        return settle(self, *given)

    monkeypatch.setattr(Ledger, "_settle", met)
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(world.ledger.advance, *one) for one in asked]
        assert [one.result(timeout=60).lost for one in answers] == [frozenset()] * 2


def test_a_connection_that_is_cut_answers_nothing_and_is_opened_again(world: World, both: Sequence[Writer]) -> None:
    claims = take(world, world.frozen(2))
    with world.database.begin() as other:
        other.execute(sa.text("SELECT 1 FROM subscriber FOR UPDATE"))
        assert both[0].send((), claims)
        other.execute(sa.text("SELECT pg_terminate_backend(:it)"), {"it": both[0]._wire.backend_pid})
        assert answer(both[0]) is None
    assert not both[0].alive
    assert not both[0].send((), claims)
    both[0].reopen()
    assert by(both[0], (), claims) is not None


@pytest.mark.parametrize("readers", [30, 1000, 5000])
@pytest.mark.parametrize("statistics", [False, True], ids=["just filled", "analyzed"])
def test_every_statement_finds_its_rows_by_their_keys(world: World, statistics: bool, readers: int) -> None:
    """However small the tables are and whatever is known of them."""
    number = world.drafted(0)
    with world.database.begin() as connection:
        connection.execute(sa.insert(subscriber), [
            {"address": f"r{n}@example.org", "normalized": f"r{n}@example.org", "state": "active", "cadence": "instant",
             "topics": [], "created_at": NOW} for n in range(readers)
        ])
    world.ledger.freeze(number, content_hash="c0ffee", place=everybody, now=NOW)
    with world.database.begin() as connection:
        if statistics:
            connection.execute(sa.text("ANALYZE"))
        for setting, value in writers._SESSION.items():
            connection.execute(sa.select(sa.func.set_config(setting, value, True)))
        for name, (text, _, arrays) in writers._statements().items():
            connection.exec_driver_sql(f"PREPARE asked AS {text.decode()}".replace("%", "%%"))
            plan = connection.exec_driver_sql(f"EXPLAIN EXECUTE asked ({', '.join(['NULL'] * len(arrays))})")
            said = " ".join(plan.scalars())
            connection.exec_driver_sql("DEALLOCATE asked")
            assert "Seq Scan" not in said, name
            # each of its rows is looked up, and no index is walked from end to end
            keys = {"issue": "number", "subscriber": "id"} if name == "lock" else {"delivery": "id"}
            for table, key in keys.items():
                assert f"pk_{table}" in said, name
                assert f"Index Cond: ({key} = " in said or f"Index Cond: (({key} = " in said, name
                assert f"uq_{table}" not in said, name
                assert f"ix_{table}" not in said, name


@pytest.mark.parametrize("known", [False, True], ids=["just filled", "statistics of before it waited"])
def test_a_claim_looks_up_what_it_chose_and_walks_no_index_for_each(world: World, known: bool) -> None:
    number = world.frozen(300)
    with world.database.begin() as connection:
        if known:
            connection.execute(sa.text("UPDATE delivery SET state = 'sent'"))
            connection.execute(sa.text("ANALYZE delivery"))
            connection.execute(sa.text("UPDATE delivery SET state = 'pending'"))
    asked: list[tuple[str, Any]] = []

    @sa.event.listens_for(world.database.engine, "before_cursor_execute")
    def heard(_connection: Any, _cursor: Any, statement: str, given: Any, _context: Any, _many: Any) -> None:
        if "UPDATE delivery" in statement:
            asked.append((statement, given))

    claims = world.ledger.claim(number, limit=10, lease_seconds=60)
    world.ledger.claim(number, limit=10, lease_seconds=60, after=claims[-1].delivery_id)
    sa.event.remove(world.database.engine, "before_cursor_execute", heard)
    assert len(asked) == 2
    with world.database.begin() as connection:
        by_keys(connection)
        for statement, given in asked:
            plan = " ".join(connection.exec_driver_sql(f"EXPLAIN {statement}", given).scalars())
            changed = plan.partition("CTE Scan on chosen")[2]
            assert "ix_delivery" not in changed
            assert "pk_delivery" in changed
            assert "Index Cond: (id = chosen.id)" in changed


@pytest.mark.parametrize("said", [
    "2.0.0 Ok", "", "NULL", "null", 'he said "no", and {left}', "back\\slash \\\"", "a,b", " spaces ", "Grüße 漢字 🦉",
    "li\nne\t", "{}", "'; DROP TABLE attempt; --",
])
def test_what_a_relay_said_is_written_as_it_said_it(world: World, both: Sequence[Writer], said: str) -> None:
    claims = take(world, world.frozen(3))
    assert by(both[0], (), claims) is not None
    replies = [Reply(code=250, text=text, phase="dot") for text in (said, "other", said)]
    done = [
        Settlement(claim=claim, state="sent", reply=reply, message_id=said or None)
        for claim, reply in zip(claims, replies, strict=True)
    ]
    assert by(both[0], done, ()) is not None
    for claim, reply in zip(claims, replies, strict=True):
        assert [one.text for one in world.ledger.attempts(claim.delivery_id)] == [reply.text]
    assert [(row.text, row.code) for row in world.ledger.rows(claims[0].issue)] == [(one.text, 250) for one in replies]


def test_claims_go_on_behind_the_last_one_and_come_back_for_the_rest(database: Database) -> None:
    world = World(database)
    number = world.frozen(6)
    ids = [row.id for row in world.ledger.rows(number)]

    def claimed(limit: int, after: int) -> list[int]:
        taken = world.ledger.claim(number, limit=limit, lease_seconds=60, after=after)
        return [claim.delivery_id for claim in taken]

    assert claimed(2, ids[2]) == ids[3:5]
    assert claimed(3, ids[4]) == [ids[5], *ids[:2]]
    assert claimed(3, ids[5]) == ids[2:3]
