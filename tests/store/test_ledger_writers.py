"""Commits that are under way by themselves on PostgreSQL: what `advance` says and writes, or nothing at all."""

import select
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from milepost.errors import HeldError
from milepost.records import Advanced, Claim, Settlement
from store.database import Database
from store.ledger import writers
from store.ledger.writers import Writer
from store.upkeep.restore import mark
from tests.store.conftest import NOW, World
from tests.store.test_ledger_batches import all_kinds, story, take


@pytest.fixture
def world(postgresql_shared: Database, database: Database) -> World:
    if database is not postgresql_shared:
        pytest.skip("it has one writer")
    return World(database)


@pytest.fixture
def both(world: World) -> Iterator[Sequence[Writer]]:
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


@pytest.mark.parametrize("statistics", [False, True], ids=["just filled", "analyzed"])
def test_every_statement_finds_its_rows_by_their_keys(world: World, statistics: bool) -> None:
    """However small the tables are and whatever is known of them."""
    world.frozen(30)
    with world.database.begin() as connection:
        if statistics:
            connection.execute(sa.text("ANALYZE"))
        for setting, value in writers._SESSION.items():
            connection.execute(sa.select(sa.func.set_config(setting, value, True)))
        for at, (name, text) in enumerate(writers._statements().items()):
            wanted = b"$2" in text
            connection.exec_driver_sql(
                f"PREPARE asked{at} (jsonb{', int' if wanted else ''}) AS {text.decode().replace('%', '%%')}"
            )
            plan = connection.exec_driver_sql(f"EXPLAIN EXECUTE asked{at} ('[]'{', 0' if wanted else ''})")
            said = " ".join(plan.scalars())
            assert "Seq Scan" not in said, name
            assert "pk_delivery" not in said or "Index Cond: (id = " in said, name  # it is not walked from end to end
            connection.exec_driver_sql(f"DEALLOCATE asked{at}")


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
