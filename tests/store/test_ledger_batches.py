"""One commit for many deliveries says of each what it would have said alone."""

import datetime as dt
import sqlite3
from typing import Any

import pytest
import sqlalchemy as sa

from milepost.errors import HeldError, StoreError
from milepost.records import Advanced, Claim, Placement, Reply, Settlement, Variant
from store.database import Database, connect
from store.issues.issues import Issues
from store.ledger import batches
from store.ledger.ledger import Ledger
from store.schema.tables import delivery, issue, subscriber
from store.subscribers.people import Subscribers
from store.subscribers.suppressions import Suppressions
from store.upkeep.restore import mark
from tests.hand_over import begin

World = Any

OK = Reply(code=250, enhanced="2.0.0", text="2.0.0 Ok: queued as 4XyZ\0", phase="dot")
LATER = Reply(code=451, enhanced="4.3.0", text="4.3.0 a moment", phase="rcpt")
NO = Reply(code=550, enhanced="5.1.1", text="5.1.1 nobody \udc80", phase="rcpt")
LOST = Reply(code=None, text="no answer in time", phase="dot")
VARIANT = Variant(name="all", subject="7", html="<p>@@</p>", text="@@", placeholder="@@")
DUE = dt.datetime(2026, 11, 23, 9, 5, tzinfo=dt.UTC)


def take(world: World, number: int) -> list[Claim]:
    claims: list[Claim] = world.ledger.claim(number, limit=100, lease_seconds=60)
    return claims


def all_kinds(claims: list[Claim], *, suppress: bool = False) -> list[Settlement]:
    return [
        Settlement(claim=claims[0], state="sent", reply=OK, message_id="<m@list.example>", queue_id="4XyZ"),
        Settlement(claim=claims[1], state="deferred", reply=LATER, retry_at=DUE),
        Settlement(claim=claims[2], state="failed", reply=NO, suppress="550 5.1.1" if suppress else None),
        Settlement(claim=claims[3], state="unknown", reply=LOST),
    ]


def story(world: World, number: int) -> list[tuple[object, ...]]:
    """All that the ledger holds of an issue, but for clocks and tokens."""
    return [
        (row.subscriber, row.state, row.attempts, row.first_attempt_at is None, row.next_attempt_at, row.message_id,
         row.queue_id, row.code, row.enhanced, row.text,
         [(a.number, a.phase, a.outcome, a.code, a.enhanced, a.text) for a in world.ledger.attempts(row.id)])
        for row in world.ledger.rows(number)
    ]


@pytest.mark.parametrize("suppress", [False, True], ids=["quick", "with a suppression"])
def test_together_is_as_alone(world: World, suppress: bool) -> None:
    number = world.frozen(6)
    claims = take(world, number)
    begun = world.ledger.advance((), claims[:5])
    assert begun == Advanced(begun=frozenset(c.delivery_id for c in claims[:5]), lost=frozenset())
    done = world.ledger.advance(all_kinds(claims, suppress=suppress), claims[5:])
    assert done == Advanced(begun=frozenset([claims[5].delivery_id]), lost=frozenset())
    together = story(world, number)
    assert world.ledger.counts(number).balanced
    assert [row[1] for row in together] == ["sent", "deferred", "failed", "unknown", "sending", "sending"]
    assert bool(Suppressions(world.database).list()) == suppress

    with world.database.begin() as connection:  # the same again, row by row
        connection.execute(sa.text("DELETE FROM attempt"))
        connection.execute(sa.text("DELETE FROM suppression"))
        connection.execute(sa.update(delivery).values(
            state="pending", attempts=0, first_attempt_at=None, next_attempt_at=None, message_id=None, queue_id=None,
            code=None, enhanced=None, text=None, lease=None, lease_until=None,
        ))
    claims = take(world, number)
    assert all(begin(world.ledger, claim) for claim in claims)
    for settlement in all_kinds(claims, suppress=suppress):
        assert not world.ledger.advance([settlement], ()).lost
    assert story(world, number) == together


def test_who_left_is_skipped_and_the_others_begin(world: World) -> None:
    number = world.frozen(5)
    claims = take(world, number)
    world.subscribers.leave(claims[1].subscriber_id, DUE)
    Suppressions(world.database).add(claims[3].address, "bounced", DUE)
    done = world.ledger.advance((), claims)
    assert done.begun == frozenset(claims[i].delivery_id for i in (0, 2, 4))
    assert [row.state for row in world.ledger.rows(number)] == [
        "sending", "cancelled", "sending", "suppressed", "sending",
    ]


def test_nothing_begins_after_a_pause_and_what_is_out_is_still_settled(world: World) -> None:
    number = world.frozen(3)
    claims = take(world, number)
    world.ledger.advance((), claims[:1])
    world.ledger.pause(number, "the editor")
    done = world.ledger.advance([Settlement(claim=claims[0], state="sent", reply=OK)], claims[1:])
    assert done == Advanced(begun=frozenset(), lost=frozenset())
    assert [row.state for row in world.ledger.rows(number)] == ["sent", "pending", "pending"]


@pytest.mark.parametrize("state", ["sent", "deferred", "failed", "unknown"])
def test_a_lease_taken_over_is_lost_alone(world: World, state: Any) -> None:
    number = world.frozen(3)
    claims = take(world, number)
    world.ledger.advance((), claims)
    with world.database.begin() as connection:
        connection.execute(
            sa.update(delivery).where(delivery.c.id == claims[1].delivery_id).values(lease="somebody else's")
        )
    done = world.ledger.advance(
        [Settlement(claim=claim, state=state, reply=LATER, retry_at=DUE if state == "deferred" else None)
         for claim in claims], (),
    )
    assert done.lost == {claims[1].delivery_id}
    assert [row.state for row in world.ledger.rows(number)] == [state, "sending", state]


def test_a_settlement_counts_once(world: World) -> None:
    number = world.frozen(1)
    claims = take(world, number)
    world.ledger.advance((), claims)
    sent = [Settlement(claim=claims[0], state="sent", reply=OK)]
    assert world.ledger.advance(sent, ()).lost == frozenset()
    assert world.ledger.advance(sent, ()).lost == {claims[0].delivery_id}
    assert len(world.ledger.attempts(claims[0].delivery_id)) == 1


def test_a_claim_begins_once(world: World) -> None:
    number = world.frozen(2)
    claims = take(world, number)
    assert world.ledger.advance((), claims).begun == {claim.delivery_id for claim in claims}
    assert world.ledger.advance((), claims).begun == frozenset()


def test_a_late_reply_is_evidence_and_no_second_attempt(world: World) -> None:
    number = world.frozen(1)
    claims = world.ledger.claim(number, limit=1, lease_seconds=60)
    world.ledger.advance((), claims)
    with world.database.begin() as connection:
        connection.execute(sa.update(delivery).values(lease_until=0.0))
    assert world.ledger.recover(number) == (0, 1)
    assert world.ledger.advance([Settlement(claim=claims[0], state="sent", reply=OK)], ()).lost == frozenset()
    [row] = world.ledger.rows(number)
    assert (row.state, row.attempts) == ("sent", 1)


def test_two_dispatchers_of_one_issue_begin_at_once(world: World, url: str) -> None:
    """What a beginning looks at must not change; whoever else only looks at it is waited for by nobody."""
    if world.database.dialect == "sqlite":
        pytest.skip("a SQLite writer is alone already")
    claims = take(world, world.frozen(3))
    with world.database.begin() as another, connect(url, wait_seconds=1) as opened:
        for row, key in ((issue.c.number, claims[0].issue), (subscriber.c.id, claims[0].subscriber_id)):
            another.execute(sa.select(row).where(row == key).with_for_update(read=True))
        assert len(Ledger(opened).advance((), claims).begun) == 3


def test_a_restored_database_begins_nothing(world: World) -> None:
    number = world.frozen(2)
    claims = take(world, number)
    with world.database.begin() as connection:
        mark(connection, "a backup")
    with pytest.raises(HeldError, match="restored"):
        world.ledger.advance((), claims)
    assert [row.state for row in world.ledger.rows(number)] == ["claimed", "claimed"]


def test_a_full_disk_writes_nothing_of_it(sqlite_database: Database) -> None:
    for number in range(200):
        Subscribers(sqlite_database).add(f"{number}-{'x' * 50}@example.org", now=DUE)
    Issues(sqlite_database).draft("weekly", "2026-W47", [], [VARIANT], subject="7", content_hash="0", now=DUE)
    ledger = Ledger(sqlite_database)
    ledger.freeze(1, content_hash="0", place=lambda *_: Placement(variant="all"), now=DUE)
    claims = ledger.claim(1, limit=200, lease_seconds=60)
    ledger.advance((), claims[:100])
    sent = [
        Settlement(claim=claim, state="sent", reply=Reply(code=250, text="words " * 80, phase="dot"))
        for claim in claims[:100]
    ]
    with sqlite_database.begin() as connection:
        pages = connection.execute(sa.text("PRAGMA page_count")).scalar()
        connection.execute(sa.text(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(StoreError, match="disk is full"):
        ledger.advance(sent, claims[100:])
    assert {row.state for row in ledger.rows(1)} == {"sending", "claimed"}
    with sqlite_database.begin() as connection:
        connection.execute(sa.text("PRAGMA max_page_count = 1000000"))
    assert len(ledger.advance(sent, claims[100:]).begun) == 100


def test_the_rule_of_the_states_holds_for_the_sender_s_own_connection_and_costs_no_index(world: World) -> None:
    world.frozen(1)
    wrong = sa.update(delivery).values(state="lost")
    with pytest.raises(sa.exc.IntegrityError), world.database.begin() as connection:
        connection.execute(wrong)
    with batches.impatient(world.database) as driver:
        if driver is None:  # PostgreSQL, whose rule is cheap as it is written
            return
        with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            driver.execute("UPDATE delivery SET state = 'lost'")
        program = driver.execute("EXPLAIN UPDATE delivery SET state = 'sent' WHERE id = 1").fetchall()
    assert not [step for step in program if step[1].startswith("Open") and step[1].endswith("phemeral")]
