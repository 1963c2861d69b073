"""What went wrong with queues and mailings elsewhere, played through this ledger."""

import pytest
import sqlalchemy as sa

from milepost.errors import HeldError
from milepost.records import Reply
from store.schema import tables
from store.upkeep.restore import mark
from tests.hand_over import begin, lost, settle
from tests.store.conftest import World

OK = Reply(code=250, text="queued", phase="dot")


def leases_end(world: World) -> None:
    with world.database.begin() as connection:
        connection.execute(sa.update(tables.delivery).values(lease_until=0.0))


def test_a_slow_worker_is_not_a_second_one(world: World) -> None:
    """Its lease ended while it waited for the reply: nobody does its work again, and its late success counts."""
    number = world.frozen(1)
    [slow] = world.ledger.claim(number, limit=1, lease_seconds=60)
    assert begin(world.ledger, slow)
    leases_end(world)
    assert world.ledger.recover(number) == (0, 1)
    assert world.ledger.claim(number, limit=1, lease_seconds=60) == []
    settle(world.ledger, slow, "sent", OK)
    assert world.ledger.finish(number) == "complete"
    assert lost(world.ledger, slow, "failed", Reply(code=550, text="no", phase="dot"))


def test_a_mailing_paused_halfway_goes_on_where_it_was(world: World) -> None:
    """Neither from the first reader again, nor as finished while some wait."""
    number = world.frozen(4)
    done, held = world.ledger.claim(number, limit=2, lease_seconds=60)
    assert begin(world.ledger, done)
    settle(world.ledger, done, "sent", OK)
    world.ledger.pause(number, "the relay hung up")
    assert not begin(world.ledger, held)
    assert world.ledger.finish(number) == "paused"
    world.ledger.resume(number)
    assert world.ledger.finish(number) == "sending"
    rest = world.ledger.claim(number, limit=9, lease_seconds=60)
    assert [claim.subscriber_id for claim in rest] == [2, 3, 4]


def test_a_crash_between_the_lock_and_the_start_frees_the_job(world: World) -> None:
    number = world.frozen(2)
    world.ledger.claim(number, limit=2, lease_seconds=60)
    leases_end(world)
    assert world.ledger.recover(number) == (2, 0)
    assert len(world.ledger.claim(number, limit=2, lease_seconds=60)) == 2


def test_a_snapshot_of_the_server_sends_nothing_by_itself(world: World) -> None:
    number = world.frozen(1)
    with world.database.begin() as connection:
        mark(connection, "a snapshot")
    with pytest.raises(HeldError, match="snapshot"):
        world.ledger.claim(number, limit=1, lease_seconds=60)
