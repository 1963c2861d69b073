"""An address that somebody typed: how it becomes a subscriber, how it is forgotten, and what is kept as proof."""

import datetime as dt
import random
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from milepost.errors import HeldError
from store.database import Database
from store.ledger.bounces import Bounces
from store.ledger.letters import Letters, Quota
from store.meta import RESTORED_FROM, Meta
from store.schema.tables import letter, subscriber
from store.subscribers.address_changes import AddressChanges
from store.subscribers.addresses import parse
from store.subscribers.events import By
from store.subscribers.importing import Entry
from store.subscribers.people import Subscribers
from store.subscribers.sign_ups import HOUR, Limits, Request, SignUps
from store.subscribers.suppressions import Suppressions, liftable
from tests.store.conftest import NOW

PLENTY = Limits(per_network=1000, backlog=1000)
DAY, MONTH = dt.timedelta(days=1), dt.timedelta(days=30)
US = By(who="an operator", why="they asked")


def a_request(address: str = "Ada@Readers.Example", **changes: Any) -> Request:
    fields: dict[str, Any] = {
        "address": parse(address), "cadence": "weekly", "topics": ("chess",), "language": "en", "form": "page-en-1",
        "source": "timeline", "path": "/story", "network": "n1",
    }
    return Request(**(fields | changes))


@pytest.fixture
def sign_ups(database: Database) -> SignUps:
    return SignUps(database)


@pytest.fixture
def letters(database: Database) -> Letters:
    return Letters(database)


def name_of(sign_ups: SignUps, address: str = "ada@readers.example") -> str:
    found = sign_ups.of(address)
    assert found is not None
    return found.name


def send_all(letters: Letters, now: dt.datetime) -> list[str]:
    taken = letters.claim(now, limit=100, memory=MONTH).taken
    for one in taken:
        assert letters.settle(one, "sent", now)
    return [one.kind for one in taken]


def test_what_is_asked_is_no_subscriber_until_it_is_confirmed(database: Database, sign_ups: SignUps) -> None:
    assert sign_ups.ask(a_request(), PLENTY, NOW) is None
    assert Subscribers(database).list() == []
    assert sign_ups.confirm(name_of(sign_ups), "n2", NOW + DAY).ended == "confirmed"
    [reader] = Subscribers(database).list()
    assert (reader.address, reader.state, reader.cadence, reader.topics) == (
        "Ada@readers.example", "active", "weekly", ("chess",)
    )
    [proof] = sign_ups.consents(reader.id)
    assert (proof.asked_at, proof.confirmed_at, proof.form, proof.source, proof.path) == (
        NOW, NOW + DAY, "page-en-1", "timeline", "/story"
    )
    assert (proof.network, proof.confirmed_network) == ("n1", "n2")


def test_ten_thousand_sign_ups_for_one_victim_are_one_letter(sign_ups: SignUps, letters: Letters) -> None:
    for number in range(200):  # from as many networks
        assert sign_ups.ask(a_request(network=f"n{number}"), PLENTY, NOW) is None
    assert send_all(letters, NOW) == ["confirm"]
    sign_ups.ask(a_request(), PLENTY, NOW + dt.timedelta(hours=1))
    assert send_all(letters, NOW + dt.timedelta(hours=1)) == []
    assert sign_ups.counts(NOW)["taken"] == 201
    assert [one.sent_before for one in letters.claim(NOW, limit=9, memory=MONTH).taken] == []


def test_the_next_day_has_a_letter_of_its_own_and_knows_of_the_first(sign_ups: SignUps, letters: Letters) -> None:
    sign_ups.ask(a_request(), PLENTY, NOW)
    send_all(letters, NOW)
    sign_ups.ask(a_request(), PLENTY, NOW + DAY)
    [again] = letters.claim(NOW + DAY, limit=9, memory=MONTH).taken
    assert (again.kind, again.sent_before) == ("confirm", 1)


def test_the_last_choice_counts_and_an_earlier_mail_s_link_still_works(database: Database, sign_ups: SignUps) -> None:
    sign_ups.ask(a_request(), PLENTY, NOW)
    first = name_of(sign_ups)
    sign_ups.ask(a_request(cadence="instant", topics=()), PLENTY, NOW + DAY)
    assert sign_ups.confirm(first, "n", NOW + DAY).ended == "confirmed"
    [reader] = Subscribers(database).list()
    assert (reader.cadence, reader.topics) == ("instant", ())


def test_a_network_has_so_many_addresses_an_hour_and_others_are_not_kept_waiting(sign_ups: SignUps) -> None:
    tight = Limits(per_network=2, backlog=100)
    asked = [sign_ups.ask(a_request(f"r{number}@readers.example"), tight, NOW) for number in range(4)]
    assert asked == [None, None, "network", "network"]
    assert sign_ups.ask(a_request("r0@readers.example"), tight, NOW) is None  # the same one again
    assert sign_ups.ask(a_request("x@readers.example", network="n2"), tight, NOW) is None
    assert sign_ups.ask(a_request("r3@readers.example"), tight, NOW + dt.timedelta(hours=2)) is None
    assert sign_ups.counts(NOW) == {"network": 2, "taken": 5}


def test_a_queue_that_is_full_takes_no_more_until_it_is_sent(sign_ups: SignUps, letters: Letters) -> None:
    tight = Limits(per_network=100, backlog=2)
    asked = [sign_ups.ask(a_request(f"r{number}@readers.example"), tight, NOW) for number in range(3)]
    assert asked == [None, None, "backlog"]
    send_all(letters, NOW)
    assert sign_ups.ask(a_request("r3@readers.example"), tight, NOW) is None


class TestConfirming:
    @pytest.mark.parametrize("name", ["", "x", "a" * 24, "ab\0", "../etc"])
    def test_a_link_that_is_none(self, sign_ups: SignUps, name: str) -> None:
        assert sign_ups.confirm(name.replace("\0", ""), "n", NOW).ended == "unknown"

    def test_a_second_press_changes_nothing(self, database: Database, sign_ups: SignUps) -> None:
        sign_ups.ask(a_request(), PLENTY, NOW)
        name = name_of(sign_ups)
        first, second = sign_ups.confirm(name, "n", NOW), sign_ups.confirm(name, "n", NOW + DAY)
        assert (first.ended, second.ended) == ("confirmed", "again")
        assert len(sign_ups.consents(first.subscriber or 0)) == 1

    def test_an_old_link_brings_nobody_back_who_left_since(self, database: Database, sign_ups: SignUps) -> None:
        sign_ups.ask(a_request(), PLENTY, NOW)
        name = name_of(sign_ups)
        reader = sign_ups.confirm(name, "n", NOW).subscriber or 0
        Subscribers(database).leave(reader, NOW)
        assert sign_ups.confirm(name, "n", NOW).ended == "used"
        assert Subscribers(database).get(reader).state == "unsubscribed"

    def test_who_left_comes_back_by_signing_up_anew(self, database: Database, sign_ups: SignUps) -> None:
        reader, _ = Subscribers(database).add("ada@readers.example", now=NOW)
        Subscribers(database).leave(reader.id, NOW)
        sign_ups.ask(a_request(), PLENTY, NOW + DAY)
        assert Subscribers(database).get(reader.id).state == "unsubscribed"  # asking alone does nothing
        assert sign_ups.confirm(name_of(sign_ups), "n", NOW + DAY).subscriber == reader.id
        assert Subscribers(database).get(reader.id).state == "active"

    @pytest.mark.parametrize("reason", ["550 5.1.1", "bounce 5.1.1", "bounce in words", "3 soft bounces", "556"])
    def test_bounces_are_lifted_and_the_history_says_so(
        self, database: Database, sign_ups: SignUps, reason: str
    ) -> None:
        Suppressions(database).add("ada@readers.example", reason, NOW)
        sign_ups.ask(a_request(), PLENTY, NOW)
        assert Suppressions(database).find("ada@readers.example")  # asking alone lifts nothing
        assert sign_ups.confirm(name_of(sign_ups), "n", NOW).ended == "confirmed"
        assert Suppressions(database).find("ada@readers.example") is None
        assert [one.action for one in Suppressions(database).history("ada@readers.example")] == ["lifted", "confirmed"]

    @pytest.mark.parametrize("reason", ["complaint", "erased", "by an operator: abusive", "status = complained"])
    def test_no_other_reason_is(self, database: Database, sign_ups: SignUps, reason: str) -> None:
        Suppressions(database).add("ada@readers.example", reason, NOW)
        sign_ups.ask(a_request(), PLENTY, NOW)
        assert sign_ups.confirm(name_of(sign_ups), "n", NOW).ended == "kept_out"
        assert Suppressions(database).find("ada@readers.example")
        assert Subscribers(database).list() == []
        assert not liftable(reason)

    def test_a_month_later_the_link_is_nobody_s(self, database: Database, sign_ups: SignUps) -> None:
        sign_ups.ask(a_request(), PLENTY, NOW)
        name = name_of(sign_ups)
        assert sign_ups.find(name, NOW + MONTH - DAY) is not None
        assert sign_ups.find(name, NOW + MONTH) is None
        assert sign_ups.confirm(name, "n", NOW + MONTH).ended == "unknown"
        assert Subscribers(database).list() == []


class TestTending:
    def test_one_reminder_a_day_after_the_letter_went_out(self, sign_ups: SignUps, letters: Letters) -> None:
        sign_ups.ask(a_request(), PLENTY, NOW)
        assert sign_ups.tend(NOW + 2 * DAY).reminded == 0  # it never went out: no relay was there
        send_all(letters, NOW + 2 * DAY)
        assert sign_ups.tend(NOW + 3 * DAY - dt.timedelta(seconds=1)).reminded == 0
        assert sign_ups.tend(NOW + 3 * DAY).reminded == 1
        assert send_all(letters, NOW + 3 * DAY) == ["remind"]
        assert sign_ups.tend(NOW + 9 * DAY).reminded == 0

    def test_who_confirmed_is_not_reminded(self, sign_ups: SignUps, letters: Letters) -> None:
        sign_ups.ask(a_request(), PLENTY, NOW)
        send_all(letters, NOW)
        sign_ups.confirm(name_of(sign_ups), "n", NOW)
        assert sign_ups.tend(NOW + 3 * DAY).reminded == 0

    def test_a_month_later_the_address_is_nowhere(self, sign_ups: SignUps, letters: Letters) -> None:
        sign_ups.ask(a_request(), PLENTY, NOW)
        send_all(letters, NOW)
        assert sign_ups.tend(NOW + MONTH - DAY).forgotten == 0
        assert sign_ups.tend(NOW + MONTH).forgotten == 1
        assert sign_ups.of("ada@readers.example") is None
        assert {one.address for one in letters.list(limit=9)} == {""}


class TestLetters:
    def test_one_that_was_taken_is_nobody_else_s(self, sign_ups: SignUps, letters: Letters) -> None:
        sign_ups.ask(a_request(), PLENTY, NOW)
        assert len(letters.claim(NOW, limit=9, memory=MONTH).taken) == 1
        assert letters.claim(NOW, limit=9, memory=MONTH).taken == []

    def test_one_of_a_process_that_died_is_taken_again(
        self, database: Database, sign_ups: SignUps, letters: Letters
    ) -> None:
        sign_ups.ask(a_request(), PLENTY, NOW)
        [dead] = letters.claim(NOW, limit=9, memory=MONTH).taken
        expire(database)
        [taken] = letters.claim(NOW, limit=9, memory=MONTH).taken
        assert not letters.settle(dead, "sent", NOW)  # it wakes up: the letter is not its any more
        assert letters.settle(taken, "sent", NOW)

    def test_what_is_put_off_is_not_due_before(self, sign_ups: SignUps, letters: Letters) -> None:
        sign_ups.ask(a_request(), PLENTY, NOW)
        [taken] = letters.claim(NOW, limit=9, memory=MONTH).taken
        letters.settle(taken, "queued", NOW, why="451 later", again_at=NOW + DAY)
        assert letters.claim(NOW, limit=9, memory=MONTH).taken == []
        assert letters.next_due() == NOW + DAY
        assert [one.attempts for one in letters.claim(NOW + DAY, limit=9, memory=MONTH).taken] == [1]

    def test_a_quota_is_one_of_all_processes(self, sign_ups: SignUps, letters: Letters) -> None:
        for name in ("ada", "ben", "gil", "eve", "zoe"):
            sign_ups.ask(a_request(f"{name}@readers.example"), PLENTY, NOW)
        quota = Quota(kind="confirm", most=3, since=NOW - HOUR, again_at=NOW + HOUR, why="enough for an hour")
        mine = letters.claim(NOW, limit=2, memory=MONTH, quota=quota)
        theirs = letters.claim(NOW, limit=9, memory=MONTH, quota=quota)  # none of mine is sent yet, all may be
        assert [len(mine.taken), mine.put_off, len(theirs.taken), theirs.put_off] == [2, 0, 1, 2]
        assert {(one.why, one.next_attempt_at) for one in letters.list(limit=2)} == {(quota.why, quota.again_at)}
        for one in (*mine.taken, *theirs.taken):
            letters.settle(one, "sent", NOW)
        later = replace(quota, since=NOW + HOUR, again_at=NOW + 2 * HOUR)
        assert len(letters.claim(NOW + HOUR, limit=9, memory=MONTH, quota=replace(quota, most=4)).taken) == 1
        assert len(letters.claim(NOW + 2 * HOUR, limit=9, memory=MONTH, quota=later).taken) == 1

    def test_a_restored_database_sends_none(self, database: Database, sign_ups: SignUps, letters: Letters) -> None:
        sign_ups.ask(a_request(), PLENTY, NOW)
        Meta(database).set(RESTORED_FROM, "a backup")
        with pytest.raises(HeldError):
            letters.claim(NOW, limit=9, memory=MONTH)


def expire(database: Database) -> None:
    """Every lease ends now."""
    with database.begin() as connection:
        connection.execute(sa.update(letter).values(lease_until=1.0))


def test_erasing_takes_the_address_out_of_all_of_it(database: Database, sign_ups: SignUps, letters: Letters) -> None:
    sign_ups.ask(a_request(), PLENTY, NOW)
    reader = sign_ups.confirm(name_of(sign_ups), "n", NOW).subscriber or 0
    sign_ups.ask(a_request(), PLENTY, NOW)
    Subscribers(database).erase("ada@readers.example", US, NOW)
    assert sign_ups.of("ada@readers.example") is None
    assert sign_ups.consents(reader) == []
    assert {(one.address, one.state) for one in letters.list(limit=9)} == {("", "dropped")}


SEEDS = (0, 3, 4, 5, 6, 7)  # whose walks together go every way that the first dozen go


@pytest.mark.parametrize(
    ("database", "seed"), [*(("sqlite", seed) for seed in SEEDS), ("postgresql", 3), ("postgresql", 4)],
    indirect=["database"],
)
def test_a_walk_the_state_is_what_the_reader_did_last(database: Database, sign_ups: SignUps, seed: int) -> None:
    walk(database, sign_ups, seed)


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(40))
def test_many_walks(database: Database, sign_ups: SignUps, seed: int) -> None:
    walk(database, sign_ups, seed)


def walk(database: Database, sign_ups: SignUps, seed: int) -> None:
    """Signing up, confirming, leaving, moving, erasing by the reader; imports and bounces by others, in any order."""
    chance, address, other = random.Random(seed), "ada@readers.example", "ada@elsewhere.example"  # noqa: S311
    people, list_, changes, mails = Subscribers(database), Suppressions(database), AddressChanges(database), 0
    wanted = known = False  # what the reader said last; whether there is anybody who may say it
    kept_out, bounced = set[str](), set[str]()  # addresses: what only an operator can undo, and what they can
    moved: tuple[str, dt.datetime] | None = None  # the link that undoes it, from `other` to `address`
    left_at: dt.datetime | None = None
    now = NOW
    for _ in range(40):
        now += dt.timedelta(hours=chance.randint(1, 60))
        step = chance.choice([
            "ask", "ask", "confirm", "confirm", "leave", "leave by mail", "mail again", "import", "bounce", "complain",
            "erase", "undo", "pause", "resume", "move", "move", "move back",
        ])
        if step in ("complain", "erase") and chance.random() < 0.8:
            continue
        entry, reader = sign_ups.of(address), people.find(address)
        if step == "ask":
            sign_ups.ask(a_request(address), PLENTY, now)
        elif step == "confirm" and entry is not None:
            ended = sign_ups.confirm(entry.name, "n", now).ended
            if ended == "confirmed":
                assert address not in kept_out
                wanted = known = True
                bounced.discard(address)
        elif step == "leave" and reader is not None:
            people.leave(reader.id, now)
            left_at = now if wanted else left_at
            wanted = False
        elif step == "leave by mail" and reader is not None:
            mails += 1
            did = Bounces(database).leave(f"mail {mails}", handle_of(database, reader.id), now, goodbye=True)
            assert did == ("unsubscribed" if wanted else "noted"), seed
            left_at = now if wanted else left_at
            wanted = False
        elif step == "mail again" and reader is not None and mails:  # an inbox that is read twice takes nobody away
            assert Bounces(database).leave(f"mail {mails}", handle_of(database, reader.id), now) == "seen"
        elif step == "undo" and reader is not None:
            may = wanted or (left_at is not None and now - left_at < MONTH)
            may = may and address not in kept_out | bounced
            assert people.come_back(reader.id, now) == may, (step, seed)
            wanted = wanted or may
        elif step in ("pause", "resume") and reader is not None and wanted:  # neither says that they want no more
            until = now + DAY if step == "pause" else None
            people.pause(reader.id, until, skips=False, now=now) if until else people.resume(reader.id, now)
            assert people.get(reader.id).paused_until == until
        elif step == "move" and reader is not None:
            assert changes.ask(reader.id, parse(other), language="en", network="n", limits=PLENTY, now=now) is None
            change = changes.of(reader.id)[-1]
            free = other not in kept_out | bounced and address not in kept_out  # else the complaint were outrun
            assert changes.confirm(change.name, now) == (
                "unknown" if not wanted else "moved" if free else "kept_out"
            ), (step, seed)
            if wanted and free:
                address, other, moved = other, address, (change.undo_name, now)
        elif step == "move back" and reader is not None and moved is not None:
            undo, at = moved
            may = now - at < MONTH and other not in kept_out
            assert changes.undo(undo, now) == (
                "undone" if may else "kept_out" if now - at < MONTH else "unknown"
            ), (step, seed)
            if may:
                address, other, moved = other, address, None
                bounced.discard(address)
        elif step == "import":
            fresh = reader is None and list_.find(address) is None
            people.import_([Entry(line=1, address=parse(address), standing="active", cadence="daily")], now=now, by=US)
            wanted, known = (True, True) if fresh else (wanted, known)  # an import never resurrects
        elif step == "bounce" and reader is not None:
            if list_.add(address, "550 5.1.1", now):
                bounced.add(address)
        elif step == "complain" and reader is not None:
            list_.add(address, "complaint", now)
            people.leave(reader.id, now)
            wanted, left_at = False, now
            kept_out.add(address)
        elif step == "erase":
            people.erase(address, US, now)
            wanted, known = False, False
            kept_out.add(address)
        sign_ups.tend(now)
        reader, listed = people.find(address), list_.find(address)
        assert (reader is not None and reader.state == "active") == wanted, (step, seed)
        assert (listed is not None) == (address in kept_out | bounced), (step, seed)
        assert (reader is not None) == known
        assert people.find(other) is None  # one person is one reader, wherever they have been


def handle_of(database: Database, reader: int) -> str:
    """What names a reader in the address that their own mails give for leaving."""
    with database.connect() as connection:
        return str(connection.execute(sa.select(subscriber.c.handle).where(subscriber.c.id == reader)).scalar_one())


def test_who_comes_again_after_an_operator_lifted_their_erasure_can_be_erased_again(
    database: Database, sign_ups: SignUps
) -> None:
    for _ in range(3):
        sign_ups.ask(a_request(), PLENTY, NOW)
        assert sign_ups.confirm(name_of(sign_ups), "n", NOW).ended == "confirmed"
        assert Subscribers(database).erase("ada@readers.example", US, NOW)
        Suppressions(database).lift("ada@readers.example", US, NOW)
    assert {one.address for one in Subscribers(database).list()} == {""}


@pytest.mark.parametrize("later", ["complaint", "by an operator: abusive"])
def test_a_reason_that_somebody_meant_takes_the_place_of_a_bounce(database: Database, later: str) -> None:
    list_ = Suppressions(database)
    assert list_.add("ada@readers.example", "550 5.1.1", NOW)
    assert not list_.add("ada@readers.example", later, NOW)
    assert not list_.add("ada@readers.example", "556", NOW)
    found = list_.find("ada@readers.example")
    assert found is not None
    assert found.reason == later
