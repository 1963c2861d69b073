"""Random walks through the ledger: whatever happens in whatever order, nothing is lost and nothing goes out twice."""

import random
from collections import Counter

import pytest
import sqlalchemy as sa

from milepost.errors import ConflictError
from milepost.records import Claim, Reply
from store.database import check
from store.ledger.ledger import Ledger
from store.schema import tables
from store.subscribers.suppressions import Suppressions
from tests.hand_over import begin, settle
from tests.store.conftest import NOW, World

READERS = 12
ENDS = {"sent", "failed", "unknown", "suppressed", "cancelled"}


class Walk:
    """A few dispatchers, some of which die or sleep, and an SMTP server that remembers whom it took mail for."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.ledger: Ledger = world.ledger
        self.random = random.Random(seed)  # noqa: S311 (no secret)
        self.number = world.frozen(READERS)
        self.held: list[Claim] = []  # claimed, not begun
        self.begun: list[Claim] = []  # begun, no DATA yet
        self.taken: Counter[int] = Counter()  # what the server took: delivery → times
        self.replies: list[Claim] = []  # taken, the reply not recorded yet

    def step(self) -> None:
        self.random.choice([
            self.claim, self.claim, self.begin, self.begin, self.begin, self.data, self.data, self.record, self.record,
            self.give_back, self.leases_end, self.die, self.leave, self.pause, self.resume, self.no_dot,
        ])()

    def pick(self, claims: list[Claim]) -> Claim | None:
        return claims.pop(self.random.randrange(len(claims))) if claims else None

    def claim(self) -> None:
        try:
            self.held += self.ledger.claim(self.number, limit=3, lease_seconds=60)
        except ConflictError:
            assert self.world.issues.get(self.number).state == "paused"

    def begin(self) -> None:
        claim = self.pick(self.held)
        if claim is not None and begin(self.ledger, claim):
            self.begun.append(claim)

    def data(self) -> None:
        claim = self.pick(self.begun)
        if claim is not None:
            self.taken[claim.delivery_id] += 1
            self.replies.append(claim)

    def record(self) -> None:
        claim = self.pick(self.replies)
        if claim is not None:
            settle(self.ledger, claim, "sent", Reply(code=250, phase="dot"), message_id="<x@example.org>")

    def no_dot(self) -> None:
        claim = self.pick(self.begun)
        if claim is not None:
            reply = Reply(code=self.random.choice([None, 451]), phase="data")
            settle(self.ledger, claim, "deferred", reply, retry_at=NOW.replace(year=2020))

    def give_back(self) -> None:
        self.ledger.release(self.held)

    def leases_end(self) -> None:
        with self.world.database.begin() as connection:
            connection.execute(sa.update(tables.delivery).values(lease_until=tables.delivery.c.lease_until - 3600))
        self.ledger.recover(self.number)

    def die(self) -> None:
        """A dispatcher is killed: what it held in memory is gone, whatever the server has taken."""
        self.pick(self.random.choice([self.held, self.begun, self.replies]))

    def leave(self) -> None:
        who = self.random.choice(self.world.subscribers.list())
        if self.random.random() < 0.5:
            self.world.subscribers.set_state(who.id, "unsubscribed", NOW)
        else:
            Suppressions(self.world.database).add(who.address, "complained", NOW)

    def pause(self) -> None:
        if self.random.random() < 0.3:
            self.ledger.pause(self.number, "550 5.7.1")

    def resume(self) -> None:
        self.ledger.resume(self.number) if self.world.issues.get(self.number).state == "paused" else None

    def finish(self) -> None:
        """The last dispatcher has nothing to trip over, and goes on until nothing waits."""
        self.held.clear(), self.begun.clear(), self.replies.clear()
        self.resume()
        self.leases_end()
        while claims := self.ledger.claim(self.number, limit=5, lease_seconds=60):
            for claim in claims:
                if begin(self.ledger, claim):
                    self.taken[claim.delivery_id] += 1
                    settle(self.ledger, claim, "sent", Reply(code=250, phase="dot"), message_id="<x@example.org>")


@pytest.mark.parametrize("seed", range(6))
def test_nothing_lost_nothing_twice(world: World, seed: int) -> None:
    walk = Walk(world, seed)
    for _ in range(120):
        walk.step()
        assert world.ledger.counts(walk.number).balanced
    walk.finish()
    states = {row.id: row.state for row in world.ledger.rows(walk.number)}
    assert set(states.values()) <= ENDS
    assert max(walk.taken.values()) == 1
    sent = {delivery for delivery, state in states.items() if state == "sent"}
    unknown = {delivery for delivery, state in states.items() if state == "unknown"}
    assert sent <= walk.taken.keys() <= sent | unknown
    expected = "needs_review" if unknown else "complete"
    assert world.ledger.finish(walk.number) == expected
    assert check(world.database) == []
