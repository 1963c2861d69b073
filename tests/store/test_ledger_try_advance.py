"""What the event loop may write itself: the same as `advance`, or nothing at all when it would have to wait."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa

from milepost.records import Advanced
from store.database import Database
from store.ledger.transitions import TRANSITIONS
from store.schema.tables import DELIVERY_STATES
from tests.store.conftest import NOW, World
from tests.store.test_ledger_batches import all_kinds, story, take


@pytest.fixture
def local(sqlite_database: Database) -> World:
    """A world on this machine's disk."""
    return World(sqlite_database)


def states(world: World, number: int) -> list[str]:
    return [row.state for row in world.ledger.rows(number)]


def test_it_says_and_writes_what_advance_does(local: World) -> None:
    number = local.frozen(6)
    claims = take(local, number)
    with local.ledger.try_advance() as advance:
        assert advance((), claims[:5]) == Advanced(
            begun=frozenset(c.delivery_id for c in claims[:5]), lost=frozenset()
        )
        assert advance(all_kinds(claims), claims[5:]) == Advanced(
            begun=frozenset([claims[5].delivery_id]), lost=frozenset()
        )
    told = story(local, number)
    assert [row[1] for row in told] == ["sent", "deferred", "failed", "unknown", "sending", "sending"]
    assert local.ledger.counts(number).balanced


def test_it_writes_no_state_that_the_database_forbids(local: World) -> None:
    assert {step.to for step in TRANSITIONS.values()} <= set(DELIVERY_STATES)
    number = local.frozen(6)
    claims = take(local, number)
    assert local.database.file is not None
    with local.ledger.try_advance() as advance:
        assert advance((), claims) is not None
        assert advance(all_kinds(claims), ()) is not None
    with closing(sqlite3.connect(local.database.file)) as other:  # it looks at each CHECK of each row
        assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        other.execute("PRAGMA ignore_check_constraints = ON")
        other.execute("UPDATE delivery SET state = 'elsewhere' WHERE id = 1")
        other.execute("PRAGMA ignore_check_constraints = OFF")
        assert other.execute("PRAGMA integrity_check").fetchall() != [("ok",)]


def test_it_waits_for_no_other_writer(local: World) -> None:
    number = local.frozen(2)
    claims = take(local, number)
    assert local.database.file is not None
    with local.ledger.try_advance() as advance, closing(sqlite3.connect(local.database.file)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert advance((), claims) is None
        other.execute("ROLLBACK")
        assert states(local, number) == ["claimed", "claimed"]
        assert advance((), claims) is not None


def test_a_row_that_wants_a_look_of_its_own_is_left_to_advance(local: World) -> None:
    number = local.frozen(6)
    claims = take(local, number)
    local.subscribers.leave(claims[5].subscriber_id, NOW)
    with local.ledger.try_advance() as advance:
        assert advance((), claims) is None
        assert set(states(local, number)) == {"claimed"}
        assert len(local.ledger.advance((), claims).begun) == 5
        assert advance(all_kinds(claims, suppress=True), ()) is None  # an address is never to be mailed again
    assert states(local, number) == ["sending"] * 5 + ["cancelled"]


def test_a_full_disk_is_advances_to_tell(local: World, monkeypatch: pytest.MonkeyPatch) -> None:
    number = local.frozen(1)
    claims = take(local, number)

    def full(*_: Any) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    with local.ledger.try_advance() as advance:
        monkeypatch.setattr(local.ledger._batches, "take", full)
        assert advance((), claims) is None
    assert states(local, number) == ["claimed"]


@pytest.mark.usefixtures("waits_for_the_disk")
def test_what_it_writes_is_on_the_disk(sqlite_database: Database) -> None:
    from store.ledger.batches import impatient

    with impatient(sqlite_database) as driver:
        assert driver is not None
        assert driver.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert driver.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert driver.execute("PRAGMA busy_timeout").fetchone() == (0,)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        driver.execute("SELECT 1")
    with sqlite_database.connect() as connection:
        assert connection.execute(sa.text("PRAGMA busy_timeout")).scalar() != 0  # the others still wait


def test_where_a_commit_is_a_journey_it_never_answers(world: World) -> None:
    if world.database.dialect == "sqlite":
        pytest.skip("on this machine's disk")
    number = world.frozen(1)
    claims = take(world, number)
    with world.ledger.try_advance() as advance:
        assert advance((), claims) is None
    assert states(world, number) == ["claimed"]
