"""What waits and what is in doubt is found without walking through everything that was ever sent."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from milepost.records import DeliveryState
from store import holders
from store.database import Database
from store.ledger.ledger import Ledger
from store.ledger.transitions import in_state
from store.operators.listings import Listings
from store.schema.tables import delivery
from tests.store.conftest import World


@pytest.mark.parametrize(
    ("state", "index", "order"),
    [("pending", "pending", delivery.c.id), ("deferred", "due", delivery.c.next_attempt_at),
     ("unknown", "unknown", delivery.c.id)],
    ids=["pending", "deferred", "unknown"],
)
def test_they_are_walked_in_order_by_their_own_index(
    sqlite_database: Database, state: DeliveryState, index: str, order: sa.Column[object]
) -> None:
    query = sa.select(delivery.c.id).where(delivery.c.issue == 1, in_state(state)).order_by(order).limit(10)
    ran: list[tuple[str, Any]] = []
    with sqlite_database.connect() as connection:
        sa.event.listen(connection, "before_cursor_execute", lambda *now: ran.append((now[2], now[3])))
        connection.execute(query).all()
        written, values = ran[-1]
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {written}", values).all()
    said = " ".join(str(step[-1]) for step in plan)
    assert f"ix_delivery_{index}" in said
    assert "TEMP B-TREE" not in said


def test_what_was_not_sent_is_listed_without_walking_through_what_was(sqlite_database: Database) -> None:
    ran: list[tuple[str, Any]] = []
    listings = Listings(sqlite_database)
    sa.event.listen(sa.Engine, "before_cursor_execute", saw := lambda *now: ran.append((now[2], now[3])))
    try:
        listings.deliveries(1, state="failed", after=7, limit=10)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", saw)
    asked = next((written, values) for written, values in ran if "FROM delivery" in written)
    with sqlite_database.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked[0]}", asked[1]).all()
    said = " ".join(str(step[-1]) for step in plan)
    assert "ix_delivery_ended" in said
    assert "TEMP B-TREE" not in said


def test_moving_on_leaves_the_indexes_alone(sqlite_database: Database) -> None:
    """From claimed to sending to sent no index names the state: that is where a dispatch spends its commits."""
    with sqlite_database.connect() as connection:
        indexes = connection.exec_driver_sql(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'delivery' AND sql IS NOT NULL"
        ).all()
    assert {name for name, _ in indexes} == {
        "ix_delivery_pending", "ix_delivery_due", "ix_delivery_unknown", "ix_delivery_ended", "ix_delivery_taken",
    }
    for _, sql in indexes:
        columns, _, which = sql.partition(" WHERE ")
        assert "state" not in columns.partition("(")[2]
        assert not any(f"'{state}'" in which for state in ("claimed", "sending", "sent"))


@pytest.mark.parametrize("asks", [
    lambda ledger: ledger.recover(1), lambda ledger: ledger.take_over(1, started=lambda _: None),
    lambda ledger: ledger.held(1), lambda ledger: ledger.finish(1),
], ids=["recover", "take_over", "held", "finish"])
def test_what_dispatchers_hold_is_found_without_walking_through_the_issue(
    sqlite_database: Database, asks: Callable[[Ledger], object]
) -> None:
    """One lease is over and its holder is gone; whatever asks for either looks through what is held alone."""
    world = World(sqlite_database)
    world.frozen(3)
    dead = Ledger(sqlite_database, holder=replace(holders.me(), pid=1, started="1"))
    claimed, begun, _ = dead.claim(1, limit=3, lease_seconds=60)
    assert dead.advance([], [begun]).begun
    with sqlite_database.begin() as connection:
        held = delivery.c.id.in_([claimed.delivery_id, begun.delivery_id])
        connection.execute(sa.update(delivery).where(held).values(lease_until=1.0))
        connection.execute(sa.update(delivery).where(~held).values(state="sent", lease=None))
    ran: list[tuple[str, Any]] = []
    sa.event.listen(sa.Engine, "before_cursor_execute", saw := lambda *now: ran.append((now[2], now[3])))
    try:
        asks(world.ledger)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", saw)
    looked = [one for one in ran if "delivery.state = 'claimed'" in one[0] or "delivery.state = 'sending'" in one[0]]
    assert looked
    with sqlite_database.connect() as connection:
        for written, values in looked:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {written}", values).all()
            assert "ix_delivery_taken" in " ".join(str(step[-1]) for step in plan), written


def test_a_freeze_finds_each_readers_kind_and_not_each_kinds_readers(sqlite_database: Database) -> None:
    """By an index of the kinds: with as many choices of topics as readers it would look at the readers that often."""
    ran: list[tuple[str, Any]] = []
    sa.event.listen(sa.Engine, "before_cursor_execute", saw := lambda *now: ran.append((now[2], now[3])))
    try:
        World(sqlite_database).frozen(3)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", saw)
    written = [one for one in ran if "JOIN kind" in one[0] and one[0].lstrip().startswith(("WITH", "INSERT"))]
    assert written
    with sqlite_database.connect() as connection:
        for statement, values in written:
            plan = " | ".join(str(step[-1]) for step in connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {statement}", values
            ))
            assert "SEARCH kind USING AUTOMATIC" in plan, plan
