"""Random walks through the ledger and through the tests' own beside it: the same steps, answers and rows.

Whatever happens in whatever order, nothing is lost, nothing goes out twice, and MemoryLedger, which the tests of
delivery stand on, is the ledger without its database. `make test` goes some of these walks, `make chaos` many.
"""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from milepost.errors import ConflictError, HeldError
from milepost.records import Advanced, Claim, Reply, Settlement
from store.database import Database, check
from store.dialects import moment
from store.holders import Holder
from store.ledger.ledger import Ledger
from store.ledger.writers import Writer
from store.schema import tables
from store.subscribers.events import By
from store.subscribers.suppressions import Suppressions
from store.upkeep.restore import confirm_restore, mark
from tests.delivery.memory_ledger import Clock, MemoryLedger
from tests.store.conftest import NOW, World
from tests.store.test_ledger_writers import by

READERS = 5
STEPS = 40  # of a walk
WAITING = {"pending", "claimed", "sending", "deferred"}
OUTCOMES = ("sent", "deferred", "failed", "refused", "unknown")
DISPATCHERS = ("first", "second")
some_readers = st.sampled_from(range(1, READERS + 1))
some_claims = st.sets(st.integers(0, 11), min_size=1, max_size=3)
a_dispatcher = st.sampled_from(DISPATCHERS)


def holder(name: str) -> Holder:
    """That dispatcher's process; both are of one machine."""
    return Holder(
        host="mail", machine="m", boot="b", namespace="n", pid=DISPATCHERS.index(name) + 1, started=name
    )


@dataclass(frozen=True)
class Pair:
    """A claim as the ledger gave it, and as MemoryLedger did."""

    real: Claim
    model: Claim


class Walk(RuleBasedStateMachine):
    """Dispatchers that die, sleep and come back, readers who leave, an operator, and a clock."""

    world: World
    number: int
    first: int  # the id of the first delivery
    steps: Counter[str]
    writers: Sequence[Writer]

    def __init__(self) -> None:
        super().__init__()
        self.ledgers = {name: Ledger(self.world.database, holder=holder(name)) for name in DISPATCHERS}
        self.ledger = self.ledgers["first"]
        self.model = MemoryLedger(Clock(), READERS, issue=self.number)
        for row in self.model.rows:
            row.address = f"reader{row.subscriber_id - 1}@example.org"
        self.lent: list[Pair] = []  # every claim that anybody ever held, the last ones last
        self.taken: Counter[int] = Counter()  # delivery → how often DATA was let begin
        self.again: Counter[int] = Counter()  # delivery → how often somebody asked for it to be sent once more
        self._anew()
        self.closing = ExitStack()
        self.try_advance = self.closing.enter_context(self.ledger.try_advance())

    def _anew(self) -> None:
        """The issue as it was frozen."""
        with self.world.database.begin() as connection:
            connection.execute(sa.delete(tables.attempt))
            connection.execute(sa.delete(tables.suppression))
            connection.execute(sa.delete(tables.meta).where(tables.meta.c.key != "address_key"))
            connection.execute(sa.update(tables.issue).values(
                state="frozen", pause_reason=None, finished_at=None
            ))
            for reader in range(READERS):
                address = f"reader{reader}@example.org"
                connection.execute(sa.update(tables.subscriber).where(tables.subscriber.c.id == reader + 1).values(
                    state="active", address=address, normalized=address,
                ))
                ours = tables.delivery.c.id == self.first + reader
                fresh = {column.name: None for column in tables.delivery.c if column.nullable}
                connection.execute(sa.update(tables.delivery).where(ours).values(fresh | {
                    "state": "pending", "attempts": 0, "address": address, "normalized": address,
                }))

    def teardown(self) -> None:
        """Whatever happened: the last dispatcher meets nothing to trip over, and afterwards nobody waits."""
        try:
            if self.model.restored:
                self.confirmed("pending")
            if self.model.state == "paused":
                self.ledger.resume(self.number)
            self.an_hour_passes()
            self.an_hour_passes()
            self.an_hour_passes()
            self.ledger.recover(self.number)
            while self.world.issues.get(self.number).state in ("frozen", "sending") and (
                claims := self.ledger.claim(self.number, limit=3, lease_seconds=60)
            ):
                begun = self.ledger.advance((), claims).begun
                self.taken.update(begun)
                self.ledger.advance([
                    Settlement(claim=claim, state="sent", reply=Reply(code=250, phase="dot"))
                    for claim in claims if claim.delivery_id in begun
                ], ())
            states: Counter[str] = Counter(row.state for row in self.ledger.rows(self.number))
            assert not WAITING & set(states)
            assert self.ledger.counts(self.number).balanced
            assert self.ledger.finish(self.number) == ("needs_review" if states["unknown"] else "complete")
            assert check(self.world.database) == []
        finally:
            self.closing.close()

    # --- dispatchers ------------------------------------------------------------------------------------------------

    @rule(limit=st.integers(1, 4), lease=st.sampled_from([60, 5400]), who=a_dispatcher)
    def claim(self, limit: int, lease: int, who: str) -> None:
        self.ledger, self.model.holder = self.ledgers[who], who
        real = self.both("claim", limit=limit, lease_seconds=lease)
        if real is None:
            return
        mine, model = real
        assert [self.named(one.delivery_id) for one in mine] == [one.delivery_id for one in model]
        for one, other in zip(mine, model, strict=True):
            assert (one.subscriber_id, one.address, one.variant, one.attempts, one.first_attempt_at is None) == (
                other.subscriber_id, other.address, other.variant, other.attempts, other.first_attempt_at is None
            )
            self.lent.append(Pair(one, other))

    @rule(limit=st.integers(1, 4), which=some_claims, outcome=st.sampled_from(OUTCOMES), quick=st.booleans())
    def go_on(self, limit: int, which: set[int], outcome: str, quick: bool) -> None:
        """What a dispatch does all day: some more are claimed, begun, and some of them are settled."""
        before = len(self.lent)
        self.claim(limit, 5400, "second" if quick else "first")
        fresh = set(range(len(self.lent) - before))
        if fresh:
            self.advance(fresh, 0, outcome, 0.5, quick)
            if which & fresh:
                self.advance(which & fresh, len(which), outcome, -1.0, quick)

    def both(self, step: str, **how: Any) -> tuple[Any, Any] | None:
        """What each ledger answered; None when both refused, in the same way."""
        try:
            model = getattr(self.model, step)(self.number, **how)
        except (ConflictError, HeldError) as error:
            refused = type(error)
        else:
            return getattr(self.ledger, step)(self.number, **how), model
        try:
            getattr(self.ledger, step)(self.number, **how)
        except refused:
            return None
        raise AssertionError(f"{step} was refused by the model alone")

    def picked(self, which: set[int]) -> list[Pair]:
        """Of the last claims, stale ones among them, one at most for each delivery."""
        chosen = [self.lent[-1 - back] for back in sorted(which) if back < len(self.lent)]
        return list({pair.real.delivery_id: pair for pair in reversed(chosen)}.values())

    @precondition(lambda self: self.lent)
    @rule(which=some_claims, settled=st.integers(0, 3), outcome=st.sampled_from(OUTCOMES * 2 + ("dead", "not named")),
          hours=st.sampled_from([-1.0, 0.5, 1.5]), quick=st.booleans())
    def advance(self, which: set[int], settled: int, outcome: str, hours: float, quick: bool) -> None:
        """Some claims are settled and some begun, in one commit."""
        pairs = self.picked(which)
        done, begun = pairs[:settled], pairs[settled:]
        real = [self.settlement(pair.real, outcome, self.real_clock() + dt.timedelta(hours=hours)) for pair in done]
        model = [self.settlement(pair.model, outcome, self.model.clock() + dt.timedelta(hours=hours)) for pair in done]
        try:
            wanted = self.model.advance(model, [pair.model for pair in begun])
        except HeldError:
            try:
                self._advance(quick, real, [pair.real for pair in begun])
            except HeldError:
                return
            raise AssertionError("a restored database began") from None
        got = self._advance(quick, real, [pair.real for pair in begun])
        assert {self.named(one) for one in got.begun} == wanted.begun
        assert {self.named(one) for one in got.lost} == wanted.lost
        self.taken.update(got.begun)

    def _advance(self, quick: bool, settlements: list[Settlement], claims: list[Claim]) -> Advanced:
        tried = self.try_advance(settlements, claims) if quick else None
        if quick and self.writers:
            tried = by(self.writers[len(claims) % len(self.writers)], settlements, claims)
        return tried or self.ledger.advance(settlements, claims)

    def settlement(self, claim: Claim, outcome: str, retry_at: dt.datetime) -> Settlement:
        """`dead`: failed, and never to be mailed again; `not named`: failed before anything could be taken."""
        state: Any = "failed" if outcome in ("dead", "not named") else outcome
        code = {"sent": 250, "deferred": 451, "failed": 550, "refused": 530, "unknown": None}[state]
        phase: Any = "rcpt" if outcome in ("refused", "not named") else "dot"
        return Settlement(
            claim=claim, state=state, reply=Reply(code=code, enhanced="4.2.0", text=state, phase=phase),
            message_id=f"<{claim.subscriber_id}@x>" if state == "sent" else None, queue_id="4XyZ" if code else None,
            retry_at=retry_at if state == "deferred" else None, suppress="550" if outcome == "dead" else None,
        )

    @precondition(lambda self: self.lent)
    @rule(which=some_claims)
    def give_back(self, which: set[int]) -> None:
        pairs = self.picked(which)
        assert self.ledger.release([pair.real for pair in pairs]) == self.model.release([pair.model for pair in pairs])

    @precondition(lambda self: self.lent)
    @rule(which=some_claims)
    def renew(self, which: set[int]) -> None:
        """Stale claims too: of what others have taken since nothing is renewed."""
        pairs = self.picked(which)
        assert self.ledger.renew([pair.real for pair in pairs]) == self.model.renew([pair.model for pair in pairs])

    @rule(dead=st.sampled_from([(), (), *([name] for name in DISPATCHERS), DISPATCHERS]))
    def take_over(self, dead: list[str]) -> None:
        """They may be alive all the same: even a wrong proof sends nothing twice."""
        gone = {holder(name).pid for name in dead}
        self.model.dead = set(dead)
        taken = self.ledger.take_over(
            self.number, started=lambda pid: "" if pid in gone else DISPATCHERS[pid - 1]
        )
        assert taken == self.model.take_over(self.number)

    @rule()
    def recover(self) -> None:
        assert self.ledger.recover(self.number) == self.model.recover(self.number)

    @rule()
    def finish(self) -> None:
        assert self.ledger.finish(self.number) == self.model.finish(self.number)

    # --- clocks -----------------------------------------------------------------------------------------------------

    @rule()
    def an_hour_passes(self) -> None:
        self.model.clock.advance(hours=1)
        self._shift(-3600)

    @rule()
    def the_clock_is_set_back(self) -> None:
        """By a day: leases end later than they can."""
        self.model.clock.advance(hours=-24)
        self._shift(24 * 3600)

    def _shift(self, seconds: int) -> None:
        lease, due = tables.delivery.c.lease_until, tables.delivery.c.next_attempt_at
        with self.world.database.begin() as connection:
            connection.execute(sa.update(tables.delivery).values(lease_until=lease + seconds))
            for id_, at in connection.execute(sa.select(tables.delivery.c.id, due).where(due.is_not(None))).all():
                moved = at + dt.timedelta(seconds=seconds)
                connection.execute(
                    sa.update(tables.delivery).where(tables.delivery.c.id == id_).values(next_attempt_at=moved)
                )

    def real_clock(self) -> dt.datetime:
        """The database's."""
        with self.world.database.connect() as connection:
            now: dt.datetime = connection.execute(sa.select(moment(self.world.database.dialect))).scalar_one()
            return now

    # --- operators and readers --------------------------------------------------------------------------------------

    @rule(really=st.sampled_from([True, False, False]))
    def pause(self, really: bool) -> None:
        if really:
            self.both("pause", reason="550 5.7.1")

    @rule()
    def resume(self) -> None:
        try:
            self.model.resume()
        except ConflictError:
            try:
                self.ledger.resume(self.number)
            except ConflictError:
                return
            raise AssertionError("resumed") from None
        self.ledger.resume(self.number)

    @rule(reader=some_readers, outcome=st.sampled_from(["sent", "failed", "pending"]))
    def resolve(self, reader: int, outcome: Any) -> None:
        try:
            self.model.resolve(reader, outcome, "the relay's log")
        except ConflictError:
            try:
                self.ledger.resolve(self.first + reader - 1, outcome, "the relay's log")
            except ConflictError:
                return
            raise AssertionError("resolved what has an end") from None
        self.ledger.resolve(self.first + reader - 1, outcome, "the relay's log")
        self.again[self.first + reader - 1] += outcome == "pending"

    @rule(reader=some_readers)
    def leave(self, reader: int) -> None:
        if self.world.subscribers.get(reader).address:
            self.world.subscribers.leave(reader, NOW)
            self.model.gone.add(reader)

    @rule(reader=some_readers)
    def come_back(self, reader: int) -> None:
        """By their own link, which brings nobody back who is suppressed."""
        if self.world.subscribers.get(reader).address:
            back = self.world.subscribers.come_back(reader, NOW)
            assert back is (self.model.row(reader).address not in self.model.suppressed)
            if back:
                self.model.gone.discard(reader)

    @rule(reader=some_readers)
    def complain(self, reader: int) -> None:
        Suppressions(self.world.database).add(self.model.row(reader).address, "complained", NOW)
        self.model.suppressed.setdefault(self.model.row(reader).address, "complained")

    @rule(reader=some_readers)
    def be_erased(self, reader: int) -> None:
        if address := self.world.subscribers.get(reader).address:
            self.world.subscribers.erase(address, By(who="test", why="asked"), NOW)
            self.model.erase(reader)

    @rule(really=st.sampled_from([True, False, False, False]))
    def restored(self, really: bool) -> None:
        if not really:
            return
        with self.world.database.begin() as connection:
            mark(connection, "a backup")
        self.model.restored = True

    @precondition(lambda self: self.model.restored)
    @rule(waiting=st.sampled_from(["pending", "unknown"]))
    def confirmed(self, waiting: Any) -> None:
        found = confirm_restore(self.world.database, "looked", self.real_clock(), waiting=waiting)
        assert found == self.model.confirm_restore(waiting)

    # --- what always holds ------------------------------------------------------------------------------------------

    @invariant()
    def they_say_the_same(self) -> None:
        """And nobody is let in twice, but for a deferral or on an operator's word."""
        now = moment(self.world.database.dialect)
        delivery, attempt = tables.delivery, tables.attempt
        with self.world.database.connect() as connection:
            rows = connection.execute(sa.select(delivery, now.label("now")).order_by(delivery.c.id)).all()
            tried: dict[int, list[tuple[Any, ...]]] = {row.id: [] for row in rows}
            for one in connection.execute(sa.select(attempt).order_by(attempt.c.id)):
                tried[one.delivery_id].append((one.number, one.outcome, one.phase, one.code))
            assert connection.execute(sa.select(tables.issue.c.state)).scalar_one() == self.model.state
            listed = connection.execute(sa.select(sa.func.count()).select_from(tables.suppression)).scalar_one()
        for real, model in zip(rows, self.model.rows, strict=True):
            held_by = Holder.parse(real.lease_holder)
            last = next((one for one in reversed(model.attempts) if one.text in OUTCOMES), Reply(code=None))
            due = model.retry_at is not None and model.retry_at <= self.model.clock()
            assert (
                real.state, real.attempts, real.lease is None, real.lease_until is None,
                held_by and held_by.started, real.message_id,
                real.queue_id, real.first_attempt_at is None, real.code, real.enhanced, real.next_attempt_at is None,
                real.next_attempt_at is not None and real.next_attempt_at <= real.now,
            ) == (
                model.state, model.tried, model.lease is None, model.lease_until is None, model.holder,
                model.message_id,
                model.queue_id, model.first_attempt_at is None, last.code, last.enhanced, model.retry_at is None, due,
            )
            assert tried[real.id] == [
                (*known, reply.phase, reply.code)
                for known, reply in zip(model.outcomes, model.attempts, strict=True)
            ]
            again = sum(one[1] in ("deferred", "refused") for one in tried[real.id]) + self.again[real.id]
            assert self.taken[real.id] <= 1 + again
        assert listed == len(self.model.suppressed)
        held = {found.holder.started: found.deliveries for found in self.ledger.held(self.number) if found.holder}
        assert held == self.model.held(self.number)

    def named(self, delivery_id: int) -> int:
        """A delivery's number in MemoryLedger."""
        return delivery_id - self.first + 1


def test_walks_through_both(database: Database) -> None:
    """On SQLite and on PostgreSQL."""
    walk(database, 8)


@pytest.mark.chaos
def test_many_walks_through_both(database: Database) -> None:
    walk(database, 60)


def walk(database: Database, times: int) -> None:
    place = World(database)
    number = place.frozen(READERS)
    first = place.ledger.rows(number)[0].id
    with place.ledger.writers() as writers:
        here = {"world": place, "number": number, "first": first, "writers": writers}
        run_state_machine_as_test(type("WalkHere", (Walk,), here), settings=settings(  # type: ignore[no-untyped-call]
            max_examples=times, stateful_step_count=STEPS, deadline=None, derandomize=True,
            phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck),
        ))
