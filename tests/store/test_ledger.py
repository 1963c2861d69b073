"""The ledger's steps T1 to T9, one by one, on both engines."""

import datetime as dt
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from milepost.errors import ConflictError, NotFoundError, StoreError
from milepost.records import Claim, Placement, Reply, Standing, Subscriber, SubscriberState
from store import holders
from store.database import Database, check, connect
from store.dialects import moment
from store.ledger import freeze, owed
from store.ledger.ledger import Ledger
from store.schema import tables
from store.subscribers.suppressions import Suppressions
from tests.hand_over import begin, lost, settle
from tests.store.conftest import NOW, VARIANT, World, added, everybody, make_milestone

OK = Reply(code=250, enhanced="2.0.0", text="queued as 4711", phase="dot")
BUSY = Reply(code=450, enhanced="4.2.0", text="later", phase="rcpt")
NOBODY = Reply(code=550, enhanced="5.1.1", text="no such user", phase="rcpt")
SILENCE = Reply(code=None, text="time-out", phase="dot")
PAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
FUTURE = dt.datetime.now(dt.UTC) + dt.timedelta(hours=3)  # no clock that was right puts anything off for long


def states(world: World, number: int) -> dict[str, int]:
    counts = world.ledger.counts(number)
    assert counts.balanced
    return dict(counts.states)


def take(world: World, number: int, limit: int = 100, lease_seconds: int = 60) -> list[Claim]:
    return world.ledger.claim(number, limit=limit, lease_seconds=lease_seconds)


def pass_by(world: World, seconds: int) -> None:
    """Let so much time pass on the database's clock, as the leases see it."""
    with world.database.begin() as connection:
        connection.execute(sa.update(tables.delivery).values(lease_until=tables.delivery.c.lease_until - seconds))


def end_leases(world: World) -> None:
    pass_by(world, 3600)


# --- freezing ---------------------------------------------------------------------------------------------------------


def test_everybody_is_placed(world: World) -> None:
    bulk = freeze.CHUNK + 3  # more than one chunk
    world.readers(bulk)
    world.subscribers.add("pending@example.org", state="pending", now=NOW)
    world.subscribers.add("bounced@example.org", now=NOW)
    Suppressions(world.database).add("bounced@example.org", "5.1.1", NOW)
    number = world.frozen(0)
    counts = world.ledger.counts(number)
    assert counts.balanced
    assert counts.candidates == freeze.CHUNK + 5
    assert dict(counts.exclusions) == {"pending": 1, "suppressed": 1}
    issue = world.issues.get(number)
    assert (issue.state, issue.candidates, issue.deliveries, issue.exclusions) == ("frozen", 505, 503, 2)
    assert check(world.database) == []


def test_those_who_are_alike_are_placed_by_one_question(world: World) -> None:
    """However many they are, and each of them gets a row of their own; who pauses is looked at one by one."""
    def add(name: str, language: str | None = None, **chosen: Any) -> int:
        who, _ = world.subscribers.add(f"{name}@example.org", now=NOW, **chosen)
        with world.database.begin() as connection:
            connection.execute(sa.update(tables.subscriber).where(tables.subscriber.c.id == who.id).values(
                language=language))
        return who.id

    kinds: list[tuple[str | None, Sequence[str]]] = [(None, ()), ("de", ()), ("de", ("a",)), (None, ("b", "a"))]
    there = {kind: {add(f"r{at}-{n}", kind[0], topics=kind[1]) for n in range(4)} for at, kind in enumerate(kinds)}
    gone = add("gone", topics=["b", "a"])
    world.subscribers.leave(gone, NOW)
    resting = [add(f"rests-{n}") for n in range(2)]
    for who in resting:
        world.subscribers.pause(who, NOW + dt.timedelta(days=9), skips=False, now=NOW)
    asked: list[tuple[int, str | None, tuple[str, ...]]] = []

    def place(who: Subscriber, _suppressed: bool, _standing: Standing) -> Placement:
        asked.append((who.id, who.language, who.topics))
        if who.state != "active" or who.paused_until:
            return Placement(exclusion=who.state)
        return Placement(exclusion="no_match") if who.topics == ("a",) else Placement(variant="all")

    world.issues.draft("instant", "c1", [], [VARIANT], subject="s", content_hash="c0ffee", now=NOW)
    counts = world.ledger.freeze(1, content_hash="c0ffee", place=place, now=NOW)
    alike = [(language, topics) for id_, language, topics in asked if id_ == 0]
    assert Counter(alike) == Counter({(None, ()): 1, ("de", ()): 1, ("de", ("a",)): 1, (None, ("b", "a")): 2})
    assert sorted(id_ for id_, *_ in asked if id_ != 0) == resting
    assert (counts.deliveries, counts.exclusions) == (12, {"active": 2, "no_match": 4, "unsubscribed": 1})
    rows = world.ledger.rows(1)
    assert {row.subscriber for row in rows} == there[None, ()] | there["de", ()] | there[None, ("b", "a")]
    assert all(row.address == world.subscribers.get(row.subscriber).address for row in rows)


def test_the_list_is_one_part_where_few_stand_somehow(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owed, "MANY", 2)
    number = world.drafted(5)
    news = [item.change_id for item in world.issues.get(number).items]
    people = world.subscribers.list()

    def parts() -> list[tuple[int, int]]:
        with world.database.connect() as connection:
            return [(one.after, one.up_to) for one in owed.parts(connection, "instant", news)]

    assert parts() == [(0, people[-1].id)]
    for reader in people[:3]:  # since the news was found
        world.subscribers.set_choice(reader.id, topics=["chess"], now=NOW + dt.timedelta(hours=1))
    found = parts()
    assert len(found) > 1
    assert all(up_to - after <= 2 for after, up_to in found)
    assert [after for after, _ in found[1:]] == [up_to for _, up_to in found[:-1]]
    assert (found[0][0], found[-1][1]) == (0, people[-1].id)


def test_what_is_foreseen_is_what_freezing_comes_to(world: World) -> None:
    def place(who: Subscriber, suppressed: bool, _: Standing) -> Placement:
        kind = f"{who.state} {suppressed} {who.cadence} {len(who.topics)} {who.created_at > NOW} {who.paused_until}"
        return Placement(exclusion=kind[:40]) if suppressed or who.topics else Placement(variant="all")

    topics: list[Sequence[str]] = [(), ("a",), ("b",), ("b",), ()]
    for number, chosen in enumerate(topics):
        state: SubscriberState = "pending" if number == 3 else "active"
        world.subscribers.add(f"r{number}@example.org", state=state, topics=chosen, cadence="weekly", now=NOW)
    world.subscribers.add("late@example.org", topics=["b"], cadence="weekly", now=NOW + dt.timedelta(hours=1))
    listed = Suppressions(world.database)
    listed.add("r0@example.org", "5.1.1", NOW)
    listed.add("r4@example.org", "5.1.1", NOW)
    with world.database.begin() as connection:  # as an erase leaves it
        connection.execute(sa.update(tables.suppression).values(normalized=None).where(
            tables.suppression.c.normalized == "r4@example.org"))
    drafted = world.issues.draft("instant", "c1", [], [VARIANT], subject="s", content_hash="c0ffee", now=NOW)
    later = NOW + dt.timedelta(days=9)
    foreseen = world.ledger.foresee(drafted, place=place, now=later)
    assert foreseen == world.ledger.freeze(1, content_hash="c0ffee", place=place, now=later)
    assert dict(foreseen.exclusions) == {
        "active True weekly 0 False None": 2, "active False weekly 1 False None": 2,
        "pending False weekly 1 False None": 1, "active False weekly 1 True None": 1,
    }


def test_freezing_twice_places_nobody_twice(world: World) -> None:
    number = world.frozen(2)
    world.subscribers.add("late@example.org", now=NOW)
    again = world.ledger.freeze(number, content_hash="c0ffee", place=everybody, now=NOW)
    assert again == world.ledger.counts(number)
    assert again.candidates == 2


@pytest.mark.parametrize(
    ("place", "message"),
    [
        pytest.param(lambda *_: Placement(variant="none"), "no variant 'none'", id="unknown variant"),
        pytest.param(lambda *_: Placement(), "not both or neither", id="nothing"),
        pytest.param(lambda *_: Placement(variant="all", exclusion="x"), "not both or neither", id="both"),
    ],
)
def test_a_bad_placement_freezes_nothing(world: World, place: freeze.Place, message: str) -> None:
    with pytest.raises((ConflictError, ValueError), match=message):
        world.frozen(2, place)
    assert world.issues.get(1).state == "draft"
    assert world.ledger.counts(1).candidates == 0


def test_a_reader_with_two_places_freezes_nothing(world: World) -> None:
    """Another program left an exclusion of the issue behind, and its reader is placed as one who gets it."""
    world.baseline()
    reader, _ = world.subscribers.add("two-places@example.org", now=NOW)
    world.subscribers.add("one-place@example.org", now=NOW)
    world.issues.draft("instant", "c1", [], [VARIANT], subject="s", content_hash="c0ffee", now=NOW)
    with world.database.begin() as connection:
        connection.execute(sa.insert(tables.exclusion).values(issue=1, subscriber=reader.id, reason="left behind"))
    with pytest.raises(StoreError, match="2 candidates are not 2 deliveries and 1 exclusions; it was not frozen"):
        world.ledger.freeze(1, content_hash="c0ffee", place=everybody, now=NOW)
    assert world.issues.get(1).state == "draft"
    assert world.ledger.counts(1).states == {}


def test_a_reader_without_a_place_freezes_nothing(world: World) -> None:
    """A row that was made by hand, where no walk through the readers comes by."""
    world.baseline()
    reader, _ = world.subscribers.add("nowhere@example.org", now=NOW)
    world.subscribers.add("somewhere@example.org", now=NOW)
    world.issues.draft("instant", "c1", [], [VARIANT], subject="s", content_hash="c0ffee", now=NOW)
    with world.database.begin() as connection:
        connection.execute(sa.update(tables.subscriber).where(tables.subscriber.c.id == reader.id).values(id=0))
    with pytest.raises(StoreError, match="2 candidates are not 1 deliveries and 0 exclusions; it was not frozen"):
        world.ledger.freeze(1, content_hash="c0ffee", place=everybody, now=NOW)
    assert world.issues.get(1).state == "draft"
    assert world.ledger.counts(1).states == {}


def test_what_is_frozen_is_what_was_approved(world: World) -> None:
    world.baseline()
    world.issues.draft("instant", "c1", [], [VARIANT], subject="s", content_hash="c0ffee", now=NOW)

    def freeze(content_hash: str) -> str:
        world.ledger.freeze(1, content_hash=content_hash, place=everybody, now=NOW, require_approval=True)
        return world.issues.get(1).state

    with pytest.raises(ConflictError, match="its content is c0ffee"):
        freeze("decaf")
    with pytest.raises(ConflictError, match=r"nobody approved it.*milepost issue approve 1"):
        freeze("c0ffee")
    world.issues.approve(1, "c0ffee", NOW)
    assert freeze("c0ffee") == "frozen"
    world.issues.draft("instant", "c2", [], [VARIANT], subject="s", content_hash="c0ffee", now=NOW)
    with world.database.begin() as connection:
        connection.execute(sa.update(tables.issue).where(tables.issue.c.number == 2).values(state="cancelled"))
    with pytest.raises(ConflictError, match="it was cancelled"):
        world.ledger.freeze(2, content_hash="c0ffee", place=everybody, now=NOW)
    with pytest.raises(NotFoundError):
        world.ledger.freeze(3, content_hash="", place=everybody, now=NOW)


def test_sign_ups_while_freezing_are_counted_once(world: World, url: str) -> None:
    """F19: a reader signs up after the freeze has begun."""
    if url.startswith("sqlite"):
        pytest.skip("a SQLite writer is alone")

    with ThreadPoolExecutor(1) as pool, connect(url) as elsewhere:
        signing_up: list[Future[tuple[Subscriber, bool]]] = []

        def waits() -> bool:
            with elsewhere.connect() as connection:
                return connection.execute(sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one() > 0

        def place(who: Subscriber, suppressed: bool, _: Standing) -> Placement:
            if not signing_up:
                signing_up.append(pool.submit(World(elsewhere).subscribers.add, "late@example.org", now=NOW))
                while not (waits() or signing_up[0].done()):
                    time.sleep(0.01)
            return everybody(who, suppressed)

        number = world.frozen(3, place)
        assert signing_up[0].result(timeout=30)[1]
    assert world.ledger.counts(number).candidates == 3
    assert world.ledger.counts(number).balanced


# --- T1, T2 -----------------------------------------------------------------------------------------------------------


def test_claims_are_small_and_leased(world: World) -> None:
    number = world.frozen(5)
    first, second = take(world, number, 2), take(world, number, 2)
    assert [claim.subscriber_id for claim in first + second] == [1, 2, 3, 4]
    assert len({claim.lease for claim in first + second}) == 2
    assert world.issues.get(number).state == "sending"
    assert states(world, number) == {"claimed": 4, "pending": 1}
    assert (first[0].address, first[0].variant, first[0].attempts) == ("reader0@example.org", "all", 0)


def test_giving_back(world: World) -> None:
    number = world.frozen(3)
    claims = take(world, number)
    assert begin(world.ledger, claims[0])
    assert world.ledger.release(claims) == 2
    assert world.ledger.release(claims) == 0
    assert states(world, number) == {"pending": 2, "sending": 1}


@pytest.mark.parametrize("state", ["draft", "paused", "complete", "needs_review", "cancelled"])
def test_no_claims_unless_it_is_being_sent(world: World, state: str) -> None:
    number = world.frozen(1)
    with world.database.begin() as connection:
        connection.execute(sa.update(tables.issue).values(state=state))
    with pytest.raises(ConflictError, match=f"it is {state}"):
        take(world, number)
    with pytest.raises(NotFoundError):
        take(world, 99)


def test_two_dispatchers_never_share_a_row(world: World, url: str) -> None:
    number = world.frozen(60)
    with connect(url) as other:
        ledgers = [Ledger(world.database), Ledger(other)] * 2

        def work(ledger: Ledger) -> list[int]:
            mine = []
            while claims := ledger.claim(number, limit=4, lease_seconds=60):
                mine += [claim.delivery_id for claim in claims if begin(ledger, claim)]
            return mine

        with ThreadPoolExecutor(4) as pool:
            taken = Counter(one for part in pool.map(work, ledgers) for one in part)
    assert len(taken) == 60
    assert set(taken.values()) == {1}
    assert states(world, number) == {"sending": 60}


def test_a_dead_dispatcher_is_recovered_from(world: World) -> None:
    number = world.frozen(4)
    claims = take(world, number)
    assert begin(world.ledger, claims[0])
    assert begin(world.ledger, claims[1])
    settle(world.ledger, claims[1], "sent", OK, message_id="<1@example.org>")
    assert world.ledger.recover(number) == (0, 0)  # the leases run still
    end_leases(world)
    assert world.ledger.recover(number) == (2, 1)
    assert states(world, number) == {"pending": 2, "sent": 1, "unknown": 1}
    assert world.ledger.recover(number) == (0, 0)
    (row,) = world.ledger.rows(number, state="unknown")
    (tried,) = world.ledger.attempts(row.id)
    assert (tried.outcome, tried.lease, tried.number) == ("unknown", claims[0].lease, 1)


def test_no_lease_is_endless_when_the_clock_is_set_back(world: World) -> None:
    number = world.frozen(1)
    take(world, number)
    with world.database.begin() as connection:
        connection.execute(sa.update(tables.delivery).values(lease_until=tables.delivery.c.lease_until + 86400))
    assert world.ledger.recover(number) == (1, 0)


def test_a_renewed_lease_is_not_over(world: World) -> None:
    """A mail is on the wire for longer than its lease: whoever waits for the reply holds it."""
    number = world.frozen(3)
    waits, on_the_wire, left = take(world, number)
    assert begin(world.ledger, on_the_wire)
    for _ in range(3):
        pass_by(world, 40)
        assert world.ledger.renew([waits, on_the_wire]) == 2
    assert world.ledger.recover(number) == (1, 0)  # the one that nobody renewed
    assert {row.subscriber for row in world.ledger.rows(number, state="pending")} == {left.subscriber_id}
    assert not lost(world.ledger, on_the_wire, "sent", OK, message_id="<1@example.org>")
    assert begin(world.ledger, waits)


def test_nobody_renews_what_others_have_taken_since(world: World) -> None:
    number = world.frozen(2)
    old, doubted = take(world, number)
    assert begin(world.ledger, doubted)
    end_leases(world)
    assert world.ledger.renew([old, doubted]) == 2  # over, and nobody has taken them yet
    end_leases(world)
    assert world.ledger.recover(number) == (1, 1)
    (new,) = take(world, number)
    assert world.ledger.renew([old, doubted]) == 0
    assert not begin(world.ledger, old)
    assert begin(world.ledger, new)


def test_a_stopped_dispatcher_wakes_up_after_its_lease(world: World) -> None:
    """What it had on the wire is in doubt meanwhile, is never sent again, and its late reply settles it."""
    number = world.frozen(2)
    waits, on_the_wire = take(world, number)
    assert begin(world.ledger, on_the_wire)
    end_leases(world)
    assert world.ledger.recover(number) == (1, 1)
    (theirs,) = take(world, number)
    assert theirs.subscriber_id == waits.subscriber_id
    assert world.ledger.renew([waits, on_the_wire]) == 0
    assert not begin(world.ledger, waits)
    settle(world.ledger, on_the_wire, "sent", OK)
    assert states(world, number) == {"claimed": 1, "sent": 1}


def test_who_holds_what_and_until_when(world: World) -> None:
    number = world.frozen(5)
    first, second = (Ledger(world.database, holder=replace(holders.me(), pid=pid, started="1")) for pid in (41, 42))
    first.claim(number, limit=2, lease_seconds=60)
    begun = second.claim(number, limit=3, lease_seconds=600)[0]
    assert begin(second, begun)
    held = world.ledger.held(number, started=lambda pid: "" if pid == 42 else "1")
    assert [(one.holder and one.holder.pid, one.deliveries, one.life) for one in held] == [
        (42, 3, "dead"), (41, 2, "alive")
    ]
    with world.database.connect() as connection:
        now = connection.execute(sa.select(moment(world.database.dialect))).scalar_one()
    assert 500 < (held[0].until - now).total_seconds() <= 601
    assert 0 < (held[1].until - now).total_seconds() <= 61
    with world.database.begin() as connection:  # as an older release left them
        connection.execute(sa.update(tables.delivery).values(lease_holder=None))
    (unnamed,) = world.ledger.held(number)
    assert (unnamed.holder, unnamed.deliveries, unnamed.life) == (None, 5, "elsewhere")


def test_only_the_dead_are_taken_from(world: World) -> None:
    number = world.frozen(5)
    dead, alive = (Ledger(world.database, holder=replace(holders.me(), pid=pid, started="1")) for pid in (41, 42))
    waits, on_the_wire, _ = dead.claim(number, limit=3, lease_seconds=600)
    assert begin(dead, on_the_wire)
    working = alive.claim(number, limit=2, lease_seconds=600)
    assert begin(alive, working[0])
    assert world.ledger.take_over(number, started=lambda _: "1") == (0, 0)
    assert world.ledger.take_over(number, started=lambda pid: "" if pid == 41 else "1") == (2, 1)
    assert states(world, number) == {"pending": 2, "unknown": 1, "claimed": 1, "sending": 1}
    (doubt,) = world.ledger.rows(number, state="unknown")
    (tried,) = world.ledger.attempts(doubt.id)
    assert (doubt.subscriber, tried.outcome, tried.lease) == (on_the_wire.subscriber_id, "unknown", on_the_wire.lease)
    assert not begin(dead, waits)  # were the proof wrong, it would send nothing twice
    assert begin(alive, working[1])
    assert world.ledger.take_over(number, started=lambda pid: "" if pid == 41 else "1") == (0, 0)


# --- T3 ---------------------------------------------------------------------------------------------------------------


def test_begin_is_once(world: World) -> None:
    (claim,) = take(world, world.frozen(1))
    assert begin(world.ledger, claim)
    assert not begin(world.ledger, claim)


def test_a_lease_taken_over_can_not_begin(world: World) -> None:
    """F12: a dispatcher was stopped past its lease, then continued."""
    number = world.frozen(1)
    (old,) = take(world, number)
    end_leases(world)
    world.ledger.recover(number)
    (new,) = take(world, number)
    assert not begin(world.ledger, old)
    assert begin(world.ledger, new)
    assert world.ledger.release([old]) == 0
    assert lost(world.ledger, old, "sent", OK, message_id="<1@example.org>")


def test_nobody_who_left_is_mailed(world: World) -> None:
    """F15: unsubscribed, suppressed, cancelled or paused between the claim and DATA."""
    number = world.frozen(4)
    unsubscribed, suppressed, fine, paused = take(world, number)
    world.subscribers.leave(unsubscribed.subscriber_id, NOW)
    Suppressions(world.database).add(suppressed.address, "bounced", NOW)
    assert [begin(world.ledger, claim) for claim in (unsubscribed, suppressed, fine)] == [False, False, True]
    world.ledger.pause(number, "the relay refuses us")
    assert not begin(world.ledger, paused)
    assert states(world, number) == {"cancelled": 1, "pending": 1, "sending": 1, "suppressed": 1}


# --- T4 to T7 ---------------------------------------------------------------------------------------------------------


def test_sent(world: World) -> None:
    number = world.frozen(1)
    (claim,) = take(world, number)
    begin(world.ledger, claim)
    settle(world.ledger, claim, "sent", OK, message_id="<1@example.org>", queue_id="4711")
    (row,) = world.ledger.rows(number)
    assert (row.state, row.code, row.enhanced, row.text, row.message_id, row.queue_id, row.attempts) == (
        "sent", 250, "2.0.0", "queued as 4711", "<1@example.org>", "4711", 1,
    )
    assert world.ledger.finish(number) == "complete"
    assert lost(world.ledger, claim, "sent", OK, message_id="<1@example.org>")
    assert len(world.ledger.attempts(row.id)) == 1


def test_sent_needs_a_begin(world: World) -> None:
    (claim,) = take(world, world.frozen(1))
    assert lost(world.ledger, claim, "sent", OK, message_id="<1@example.org>")


def test_deferred_until_it_is_due(world: World) -> None:
    number = world.frozen(1)
    (claim,) = take(world, number)
    settle(world.ledger, claim, "deferred", BUSY, retry_at=FUTURE)
    assert world.ledger.next_due(number) == FUTURE
    assert take(world, number) == []
    assert world.ledger.finish(number) == "sending"
    with world.database.begin() as connection:
        connection.execute(sa.update(tables.delivery).values(next_attempt_at=PAST))
    (again,) = take(world, number)
    assert (again.attempts, again.first_attempt_at is not None) == (1, True)
    begin(world.ledger, again)
    settle(world.ledger, again, "deferred", BUSY, retry_at=PAST)
    (third,) = take(world, number)  # due by the database's clock
    assert third.attempts == 2
    assert third.first_attempt_at == again.first_attempt_at
    assert [tried.number for tried in world.ledger.attempts(third.delivery_id)] == [1, 2]


def test_failed_and_suppressed(world: World) -> None:
    number = world.frozen(2)
    gone, full = take(world, number)
    settle(world.ledger, gone, "failed", NOBODY, suppress="5.1.1")
    settle(world.ledger, full, "failed", NOBODY)
    listed = Suppressions(world.database).list()
    assert [(entry.normalized, entry.reason) for entry in listed] == [("reader0@example.org", "5.1.1")]
    assert world.ledger.finish(number) == "complete"


def test_unknown_waits_for_somebody(world: World) -> None:
    number = world.frozen(1)
    (claim,) = take(world, number)
    begin(world.ledger, claim)
    settle(world.ledger, claim, "unknown", SILENCE)
    assert take(world, number) == []
    assert world.ledger.finish(number) == "needs_review"


def test_a_late_250_settles_an_unknown(world: World) -> None:
    """The dispatcher lived, its lease didn't; nobody else decided meanwhile: the reply it holds is evidence."""
    number = world.frozen(1)
    (claim,) = take(world, number)
    begin(world.ledger, claim)
    end_leases(world)
    assert world.ledger.recover(number) == (0, 1)
    assert world.ledger.finish(number) == "needs_review"
    settle(world.ledger, claim, "sent", OK, message_id="<1@example.org>")
    assert world.ledger.finish(number) == "complete"


def test_what_a_server_says_can_always_be_kept(world: World) -> None:
    number = world.frozen(1)
    (claim,) = take(world, number)
    settle(world.ledger, claim, "deferred", Reply(code=451, text="nul \x00 and \udce9", phase="rcpt"), retry_at=PAST)
    assert world.ledger.rows(number)[0].text == "nul \N{REPLACEMENT CHARACTER} and ?"


# --- T8, T9 and the issue ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "issue_state"), [("sent", "complete"), ("failed", "complete"), ("pending", "sending")]
)
def test_resolving_an_unknown(world: World, outcome: str, issue_state: str) -> None:
    number = world.frozen(1)
    (claim,) = take(world, number)
    begin(world.ledger, claim)
    settle(world.ledger, claim, "unknown", SILENCE)
    world.ledger.finish(number)
    world.ledger.resolve(claim.delivery_id, outcome, "relay log line 12")  # type: ignore[arg-type]
    assert states(world, number) == {outcome: 1}
    assert world.issues.get(number).state == issue_state
    assert world.ledger.attempts(claim.delivery_id)[-1].text == "relay log line 12"
    with pytest.raises(ConflictError, match="neither unknown"):
        world.ledger.resolve(claim.delivery_id, "sent", "again")
    # Somebody has decided: the old token is worth nothing now.
    assert lost(world.ledger, claim, "sent", OK, message_id="<1@example.org>")
    with pytest.raises(NotFoundError):
        world.ledger.resolve(999, "sent", "what")


def test_a_refusal_of_us_is_kept_and_the_delivery_waits_on(world: World) -> None:
    number = world.frozen(1)
    (claim,) = take(world, number)
    begin(world.ledger, claim)
    settle(world.ledger, claim, "refused", Reply(code=550, enhanced="5.7.26", text="no", phase="data"))
    (row,) = world.ledger.rows(number)
    assert (row.state, row.attempts, row.first_attempt_at, row.code) == ("pending", 1, None, 550)
    assert [(one.outcome, one.phase) for one in world.ledger.attempts(row.id)] == [("refused", "data")]
    assert lost(world.ledger, claim, "sent", OK)  # the lease is given back
    (again,) = take(world, number)
    assert again.attempts == 1


@pytest.mark.parametrize("phase", ["connect", "ehlo", "tls", "auth", "mail", "rcpt", "data"])
def test_what_failed_before_the_dot_may_be_tried_again(world: World, phase: str) -> None:
    number = world.frozen(1)
    (claim,) = take(world, number)
    settle(world.ledger, claim, "failed", Reply(code=530, enhanced="5.7.0", text="log in", phase=phase))
    assert world.ledger.finish(number) == "complete"
    world.ledger.resolve(claim.delivery_id, "pending", "the login is mended")
    assert (states(world, number), world.issues.get(number).state) == ({"pending": 1}, "sending")
    assert world.ledger.attempts(claim.delivery_id)[-1].text == "the login is mended"
    assert [one.delivery_id for one in take(world, number)] == [claim.delivery_id]


def test_what_failed_at_the_dot_or_was_decided_is_over(world: World) -> None:
    number = world.frozen(2)
    first, second = take(world, number)
    begin(world.ledger, first)
    settle(world.ledger, first, "failed", Reply(code=554, text="odd", phase="dot"))
    settle(world.ledger, second, "failed", Reply(code=530, text="log in", phase="mail"))
    for outcome in ("sent", "failed"):
        with pytest.raises(ConflictError, match="nothing to resolve"):
            world.ledger.resolve(second.delivery_id, outcome, "no")  # type: ignore[arg-type]
    with pytest.raises(ConflictError, match="nothing to resolve"):
        world.ledger.resolve(first.delivery_id, "pending", "no")


def test_what_waits_because_we_were_refused_can_be_given_up(world: World) -> None:
    number = world.frozen(2)
    first, second = take(world, number)
    settle(world.ledger, first, "refused", Reply(code=550, enhanced="5.7.1", text="no", phase="rcpt"))
    world.ledger.release([second])
    world.ledger.resolve(first.delivery_id, "failed", "that host never takes our mail")
    assert states(world, number) == {"failed": 1, "pending": 1}
    with pytest.raises(ConflictError, match="nothing to resolve"):
        world.ledger.resolve(second.delivery_id, "failed", "it was never refused")


def test_pausing_and_resuming(world: World) -> None:
    number = world.frozen(2)
    world.ledger.pause(number, "550 5.7.1")
    world.ledger.pause(number, "another reason")
    issue = world.issues.get(number)
    assert (issue.state, issue.pause_reason) == ("paused", "550 5.7.1")
    assert world.ledger.finish(number) == "paused"
    world.ledger.resume(number)
    world.ledger.resume(number)
    assert (world.issues.get(number).state, world.issues.get(number).pause_reason) == ("sending", None)
    assert len(take(world, number)) == 2


def test_steps_that_the_state_forbids(world: World) -> None:
    number = world.frozen(0)
    assert world.ledger.finish(number) == "complete"
    for step in (lambda: world.ledger.pause(number, "x"), lambda: world.ledger.resume(number)):
        with pytest.raises(ConflictError, match="it is complete"):
            step()
    with pytest.raises(NotFoundError):
        world.ledger.pause(99, "x")
    with pytest.raises(NotFoundError):
        world.ledger.counts(99)


def test_rows_by_state_and_address(world: World) -> None:
    number = world.frozen(3)
    (claim, *_) = take(world, number, 1)
    assert [row.id for row in world.ledger.rows(number, state="claimed")] == [claim.delivery_id]
    assert [row.address for row in world.ledger.rows(number, address="READER2@example.org")] == ["reader2@example.org"]
    assert list(world.issues.variants(number)) == [VARIANT]
    assert world.ledger.next_due(number) is None


def test_the_tables_refuse_a_second_delivery(world: World) -> None:
    world.frozen(1)
    with pytest.raises(ConflictError), world.database.begin() as connection:
        connection.execute(sa.text(
            "INSERT INTO delivery (id, issue, subscriber, normalized, address, variant, state, updated_at) "
            "SELECT 99, issue, subscriber, 'x', 'x', variant, state, updated_at FROM delivery"
        ))


def test_check_finds_an_equation_that_does_not_hold(world: World) -> None:
    world.frozen(2)
    with world.database.begin() as connection:
        connection.execute(sa.delete(tables.delivery).where(tables.delivery.c.id == 1))
    assert check(world.database) == ["issue 1: 2 candidates are not the 1 deliveries and 0 exclusions in the ledger"]


# --- faults -----------------------------------------------------------------------------------------------------------


def test_a_full_disk_at_t3_and_on_again(sqlite_database: Database) -> None:
    """F9: not begun, so no DATA; after space is made the same claim goes on."""
    world = World(sqlite_database)
    (claim,) = take(world, world.frozen(1))
    engine = sqlite_database.engine
    with sqlite_database.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE filler (data BLOB)")
        connection.exec_driver_sql(
            "CREATE TRIGGER fill AFTER UPDATE ON delivery BEGIN INSERT INTO filler VALUES (zeroblob(400000)); END"
        )
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()

    def no_space(connection: Any, _record: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    sa.event.listen(engine, "connect", no_space)
    engine.dispose()
    with pytest.raises(StoreError, match="the disk is full"):
        begin(world.ledger, claim)
    sa.event.remove(engine, "connect", no_space)
    engine.dispose()
    assert [row.state for row in world.ledger.rows(claim.issue)] == ["claimed"]
    assert begin(world.ledger, claim)


DIES = """
import os, signal, sys
from store.database import connect
from store.ledger.ledger import Ledger

ledger = Ledger(connect(sys.argv[1]))
first, second, _ = ledger.claim(int(sys.argv[2]), limit=3, lease_seconds=0)
assert ledger.advance((), [first]).begun
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_dispatcher_loses_nothing_and_sends_nothing_twice(world: World, url: str) -> None:
    """F2: kill -9 after T3 is committed."""
    number = world.frozen(4)
    done = subprocess.run([sys.executable, "-c", DIES, url, str(number)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert states(world, number) == {"claimed": 2, "pending": 1, "sending": 1}
    assert world.ledger.recover(number) == (2, 1)
    assert states(world, number) == {"pending": 3, "unknown": 1}
    assert check(world.database) == []


def test_another_writer_holds_the_database_at_t3(sqlite_database: Database) -> None:
    """F10: nothing is sent without T3."""
    world = World(sqlite_database)
    (claim,) = take(world, world.frozen(1))
    with (
        Database(sqlite_database.url.render_as_string(), wait_seconds=0.1) as other, other.begin(),
        pytest.raises(StoreError, match="locked"),
    ):
        begin(world.ledger, claim)
    assert begin(world.ledger, claim)


def test_a_milestone_is_announced_once_whatever_happens(world: World) -> None:
    """F18: the look commits and dies, a second one reads the same, a backfill reads it again."""
    number = world.frozen(1)
    record = make_milestone("news")
    again = world.looks.start("site", NOW)
    world.milestones.apply(again, "site", [(added(record), record, None)], announce=True, now=NOW)
    world.milestones.apply(None, "site", [(added(record), record, None)], announce=False, now=NOW)
    assert world.issues.unannounced("instant") == []
    assert number == 1


def test_rows_one_after_another_are_those_at_once(world: World) -> None:
    number = world.frozen(5)
    world.ledger.claim(number, limit=2, lease_seconds=60)
    assert list(world.ledger.each(number)) == world.ledger.rows(number)
    assert list(world.ledger.each(number, "claimed")) == world.ledger.rows(number, "claimed")
    assert len(world.ledger.rows(number, "claimed")) == 2
