"""Reports beside the ledger: each counts once, names its delivery by proof, and never changes what was handed over."""

import datetime as dt
from typing import Any

import pytest

from milepost.records import Reply
from store.ledger import bounces as bounces_of
from store.ledger.bounces import Bounces, Notice
from store.ledger.resolve import Unknowns
from store.subscribers.events import By
from store.subscribers.suppressions import Suppressions
from tests.hand_over import begin, settle
from tests.store.conftest import NOW, World


def notice(digest: str = "d1", **fields: Any) -> Notice:
    values: dict[str, Any] = {
        "digest": digest, "grade": "hard", "delivery_id": 1, "code": 550, "enhanced": "5.1.1", "text": "no such user",
        "suppress": "bounce 5.1.1",
    }
    return Notice(**(values | fields))


def said(code: int | None, text: str = "", phase: str = "dot", enhanced: str | None = None) -> Reply:
    return Reply(code=code, text=text, phase=phase, enhanced=enhanced)


@pytest.fixture
def sent(world: World) -> World:
    """Issue 1, handed over to three readers as <m1@x> … <m3@x>."""
    number = world.frozen()
    claims = world.ledger.claim(number, limit=10, lease_seconds=60)
    for claim in claims:
        assert begin(world.ledger, claim)
        settle(world.ledger, claim, "sent", said(250), message_id=f"<m{claim.delivery_id}@x>")
    return world


def handle(world: World, *notices: Notice) -> list[str]:
    bounces = Bounces(world.database)
    traced = bounces.trace(notices, {})
    return [bounces.record(one, traced.get(one.digest), NOW) for one in notices]


def test_a_hard_one_suppresses_and_the_delivery_stays_sent(sent: World) -> None:
    assert handle(sent, notice()) == ["suppressed"]
    [row] = sent.ledger.rows(1, address="reader0@example.org")
    assert row.state == "sent"
    assert Suppressions(sent.database).find("reader0@example.org") is not None
    assert sent.subscribers.get(1).state == "active"
    [kept] = Bounces(sent.database).of(1)
    assert (kept.grade, kept.code, kept.enhanced, kept.text, kept.read_at) == (
        "hard", 550, "5.1.1", "no such user", NOW,
    )
    assert sent.ledger.counts(1).balanced


def test_the_same_report_counts_once(sent: World) -> None:
    assert handle(sent, notice(), notice(), notice("d2", grade="soft", suppress=None)) == [
        "suppressed", "seen", "counted",
    ]
    assert handle(sent, notice()) == ["seen"]
    assert len(Bounces(sent.database).of(1)) == 2


def test_a_complaint_unsubscribes_and_suppresses(sent: World) -> None:
    assert handle(sent, notice(grade="complaint", suppress="complaint", code=None, enhanced=None)) == ["unsubscribed"]
    assert sent.subscribers.get(1).state == "unsubscribed"
    assert [one.reason for one in Suppressions(sent.database).list()] == ["complaint"]


def test_a_complaint_ends_a_pause_as_every_way_out_does(sent: World) -> None:
    sent.subscribers.pause(1, NOW + dt.timedelta(days=30), skips=True, now=NOW)
    handle(sent, notice(grade="complaint", suppress="complaint"))
    left = sent.subscribers.get(1)
    assert (left.state, left.unsubscribed_at, left.paused_until) == ("unsubscribed", NOW, None)


@pytest.mark.parametrize(("message_id", "recipient", "found"), [
    pytest.param("<m2@x>", "Reader1@Example.ORG", [2], id="to whom it was sent"),
    pytest.param("<m2@x>", "elsewhere@example.org", [2], id="to where they forward it"),
    pytest.param("<m2@x>", "no address", [2], id="to what is no address"),
    pytest.param("<m9@x>", "reader1@example.org", [], id="a Message-ID that is nobody's"),
])
def test_a_message_id_names_its_delivery_whomever_the_report_names(
    sent: World, message_id: str, recipient: str, found: list[int]
) -> None:
    named = notice(delivery_id=None, message_id=message_id, recipient=recipient)
    assert [one.id for one in Bounces(sent.database).trace([named], {}).values()] == found


def test_whoever_knows_to_whom_it_went_is_asked_for_no_other(sent: World) -> None:
    wrong, right = (notice(f"d{reader}", delivery_id=None, message_id="<m2@x>", exact=True,
                           recipient=f"reader{reader}@example.org") for reader in (0, 1))
    assert [one.id for one in Bounces(sent.database).trace([wrong], {}).values()] == []
    assert [one.id for one in Bounces(sent.database).trace([right], {}).values()] == [2]


def test_an_issue_of_long_ago_is_found_as_well(sent: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last ones are looked through first, and no more than these in most cases."""
    monkeypatch.setattr(bounces_of, "_ISSUES", 0)
    named = notice(delivery_id=None, message_id="<m2@x>", recipient="reader1@example.org", exact=True)
    assert [one.id for one in Bounces(sent.database).trace([named], {}).values()] == [2]


@pytest.mark.parametrize("grade", ["policy", "delayed", "delivered", "unclear"])
def test_the_rest_is_noted(sent: World, grade: str) -> None:
    assert handle(sent, notice(grade=grade, suppress=None)) == ["noted"]
    assert Suppressions(sent.database).list() == []


def test_a_message_id_of_ours_is_proof(sent: World) -> None:
    bounces = Bounces(sent.database)
    mine, strange = notice(delivery_id=None, message_id="<m2@x>"), notice("d2", delivery_id=None, message_id="<no@x>")
    traced = bounces.trace([mine, strange, notice("d3", delivery_id=None)], {})
    assert [(one.id, one.proof) for one in traced.values()] == [(2, "message-id")]
    assert bounces.trace([strange], {"<no@x>": 3})["d2"].id == 3


@pytest.mark.parametrize("delivery_id", [4711, 2**63, 36**13], ids=["never made", "beyond a key", "far beyond"])
def test_what_proves_nothing_changes_nothing(sent: World, delivery_id: int) -> None:
    assert handle(sent, notice(delivery_id=delivery_id, text="private words")) == ["forged"]
    assert Suppressions(sent.database).list() == []
    assert sent.subscribers.get(1).state == "active"


def test_a_report_for_somebody_erased_suppresses_nobody_else(sent: World) -> None:
    handle(sent, notice("d0", grade="soft", suppress=None, text="reader0@example.org is full"))
    sent.subscribers.erase("reader0@example.org", By(who="grace", why="she asked"), NOW)
    assert [row.text for row in Bounces(sent.database).of(1)] == [""]
    assert handle(sent, notice()) == ["suppressed"]
    [only] = Suppressions(sent.database).list()
    assert (only.normalized, only.reason) == (None, "erased")


# --- soft ones add up -----------------------------------------------------------------------------------------------


def test_soft_ones_and_full_mailboxes_are_counted_by_issue(world: World) -> None:
    number = world.frozen(readers=4)
    full, given_up, back, _ = world.ledger.claim(number, limit=10, lease_seconds=60)
    settle(world.ledger, full, "failed", said(552, "full", "rcpt", "5.2.2"))
    settle(world.ledger, given_up, "failed", said(451, "expired after 72 h", "rcpt"))
    begin(world.ledger, back)
    settle(world.ledger, back, "sent", said(250), message_id="<m@x>")
    soft = {"grade": "soft", "delivery_id": back.delivery_id, "suppress": None}
    handle(world, notice("a", **soft), notice("b", **soft))
    bounces = Bounces(world.database)
    struck = bounces.struck(issues=1, since=NOW - dt.timedelta(days=180))
    assert [(one.address, [issue for issue, _ in one.strikes]) for one in struck] == [
        ("reader0@example.org", [number]), ("reader1@example.org", [number]), ("reader2@example.org", [number]),
    ]
    assert all(at.tzinfo is not None for one in struck for _, at in one.strikes)
    assert bounces.struck(issues=2, since=NOW - dt.timedelta(days=180)) == []
    among = bounces.struck(issues=1, since=NOW - dt.timedelta(days=180), among=[struck[1].subscriber, 4711])
    assert among == [struck[1]]
    assert bounces.struck(issues=1, since=NOW - dt.timedelta(days=180), among=[]) == []
    assert bounces.struck(issues=1, since=NOW + dt.timedelta(days=1)) == []
    assert bounces.wear_out(struck[0], "1 soft bounces", NOW)
    assert not bounces.wear_out(struck[0], "1 soft bounces", NOW)
    assert Suppressions(world.database).find("reader0@example.org") is not None


def test_a_refusal_that_is_our_fault_is_no_strike(world: World) -> None:
    number = world.frozen(readers=2)
    one, other = world.ledger.claim(number, limit=10, lease_seconds=60)
    settle(world.ledger, one, "failed", said(550, "blocked", "rcpt", "5.7.1"))
    settle(world.ledger, other, "failed", said(550, "gone", "rcpt", "5.1.1"), suppress="550 5.1.1")
    assert Bounces(world.database).struck(issues=1, since=NOW - dt.timedelta(days=180)) == []


# --- what is uncertain ----------------------------------------------------------------------------------------------


def test_uncertain_hand_overs_are_found_with_when_they_began(world: World) -> None:
    number = world.frozen()
    told, silent, _ = world.ledger.claim(number, limit=10, lease_seconds=60)
    assert begin(world.ledger, told)
    assert begin(world.ledger, silent)
    settle(world.ledger, told, "unknown", said(None, "no answer in time"))
    settle(world.ledger, silent, "deferred", said(451, "later"), retry_at=NOW)
    [again] = [one for one in world.ledger.claim(number, limit=10, lease_seconds=60) if one.attempts]
    assert begin(world.ledger, again)
    settle(world.ledger, again, "unknown", said(None, "no answer in time"))
    unknowns = Unknowns(world.database)
    first, second = unknowns.list(number)
    assert (first.address, first.attempts, first.message_id) == ("reader0@example.org", 1, None)
    assert second.attempts == 2
    [earlier] = [one for one in world.ledger.attempts(second.id) if one.outcome == "deferred"]
    assert second.since == earlier.at  # what came before belongs to the attempt before
    assert [one.id for one in unknowns.list(address="READER1@example.org")] == [second.id]
    assert unknowns.list(number + 1) == []
