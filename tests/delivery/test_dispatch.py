"""Dispatch against a real SMTP server: what the relay accepted, and what the ledger knows afterwards, agree."""

import dataclasses
import datetime as dt
from typing import Any

import pytest

from milepost.errors import ConflictError
from tests.delivery.conftest import IMPATIENT, READERS, Run, others

DROP, HANG = "drop", "hang"


def test_everybody_gets_one_message_of_their_own(ledger: Any, relay: Any, run: Run) -> None:
    report = run(ledger)
    assert report.results == {"sent": READERS}
    assert report.state == "complete"
    assert relay.readers == list(range(1, READERS + 1))
    for taken, row in zip(relay.taken, ledger.rows, strict=True):
        assert taken.recipients == [row.address]
        assert taken.sender == f"b{row.subscriber_id}@bounces.example"
        assert f"To: {row.address}\r\n".encode() in taken.content
        assert row.message_id is not None
        assert f"Message-ID: {row.message_id}\r\n".encode() in taken.content
        assert row.queue_id == f"Q{row.subscriber_id:06d}"
    assert relay.connections == 1


def test_a_second_dispatch_sends_nothing(ledger: Any, relay: Any, run: Run) -> None:
    run(ledger)
    with pytest.raises(ConflictError, match="complete"):
        run(ledger)
    assert len(relay.taken) == READERS


def test_a_connection_is_renewed_after_its_share(ledger: Any, relay: Any, run: Run) -> None:
    run(ledger, limits=dataclasses.replace(IMPATIENT, per_connection=2))
    assert relay.connections == 3
    assert len(relay.taken) == READERS


def test_the_commit_stands_before_the_body_leaves(ledger: Any, relay: Any, run: Run) -> None:
    seen: list[str] = []
    relay.before_answer = lambda taken: seen.append(
        next(row.state for row in ledger.rows if row.address == taken.recipients[0])
    )
    run(ledger)
    assert seen == ["sending"] * READERS
    assert all(row.history == ["claimed", "sending", "sent"] for row in ledger.rows)


# --- replies that stop one delivery, and only that one --------------------------------------------------------------

PASSING = [
    ("mail", "450 4.1.8 later"),
    ("rcpt", "421 4.3.2 closing"), ("rcpt", "450 4.2.1 greylisted"), ("rcpt", "451 4.3.0 trouble"),
    ("rcpt", "452 4.5.3 too many"), ("rcpt", DROP), ("data", "421 4.3.2 closing"), ("data", "451 4.3.0 trouble"),
    ("data", DROP), ("body", "421 4.3.2 closing"), ("dot", "421 4.3.2 closing"), ("dot", "452 4.3.1 disk full"),
]


@pytest.mark.parametrize(("verb", "what"), PASSING, ids=[f"{verb} {what[:3]}" for verb, what in PASSING])
def test_what_passes_is_deferred_and_later_sent(
    verb: str, what: str, ledger: Any, relay: Any, run: Run, clock: Any
) -> None:
    relay.fault(verb, 3, what)
    report = run(ledger)
    assert report.results == {"sent": READERS - 1, "deferred": 1}
    assert report.state == "sending"
    assert ledger.row(3).state == "deferred"
    assert report.next_due == ledger.row(3).retry_at
    assert clock.at < ledger.row(3).retry_at <= clock.at + dt.timedelta(minutes=6)
    assert sorted(relay.readers) == others(3)
    clock.advance(minutes=6)
    assert run(ledger).state == "complete"
    assert sorted(relay.readers) == list(range(1, READERS + 1))


@pytest.mark.parametrize("what", ["421 4.7.0 enough messages in this session", DROP])
def test_a_session_that_ends_after_so_many_mails_keeps_nobody_waiting(
    what: str, ledger: Any, relay: Any, run: Run
) -> None:
    relay.session_ends = (2, what)
    report = run(ledger)
    assert report.results == {"sent": READERS}
    assert report.state == "complete"
    assert relay.connections == READERS / 2
    assert relay.readers == list(range(1, READERS + 1))


@pytest.mark.parametrize("what", ["421 4.3.2 closing", DROP])
def test_a_relay_that_ends_a_session_before_its_first_mail_is_given_time(
    what: str, ledger: Any, relay: Any, run: Run, clock: Any
) -> None:
    relay.session_ends = (0, what)
    report = run(ledger)
    assert report.results == {"deferred": READERS}
    relay.session_ends = None
    clock.advance(minutes=6)
    assert run(ledger).results == {"sent": READERS}


@pytest.mark.parametrize("rounds", [1, 3, 20])
@pytest.mark.parametrize("code", ["450 4.2.0", "451 4.3.0", "452 4.3.1"])
def test_patience_outlasts_many_refusals(
    rounds: int, code: str, ledger: Any, relay: Any, run: Run, clock: Any
) -> None:
    relay.fault("rcpt", 2, f"{code} not now", times=rounds)
    for _ in range(rounds):
        run(ledger)
        clock.at = ledger.row(2).retry_at
    assert run(ledger).state == "complete"
    assert sorted(relay.readers) == list(range(1, READERS + 1))


def test_after_three_days_it_is_given_up(ledger: Any, relay: Any, run: Run, clock: Any) -> None:
    relay.fault("rcpt", 2, "450 4.2.1 mailbox busy", times=1000)
    run(ledger)
    while ledger.row(2).state == "deferred":
        clock.at = ledger.row(2).retry_at
        report = run(ledger)
    row = ledger.row(2)
    assert row.state == "failed"
    assert "expired after 72 h" in row.attempts[-1].text
    assert "mailbox busy" in row.attempts[-1].text
    assert dt.timedelta(hours=72) <= clock.at - row.first_attempt_at < dt.timedelta(hours=76)
    assert report.state == "complete"


FINAL = [
    ("rcpt", "550 5.1.1 no such user", "550 5.1.1"), ("rcpt", "556 5.1.10 null MX", "556 5.1.10"),
    ("rcpt", "550 5.2.1 disabled", "550 5.2.1"), ("dot", "550 5.1.1 no such user", "550 5.1.1"),
    ("rcpt", "552 5.2.2 full", None), ("rcpt", "552 full", None), ("rcpt", "550 not here", None),
    ("rcpt", "553 5.1.3 bad address", None), ("data", "554 no", None), ("dot", "554 5.6.0 odd content", None),
]


@pytest.mark.parametrize(("verb", "what", "why"), FINAL, ids=[f"{verb} {what[:10]}" for verb, what, _ in FINAL])
def test_a_refusal_for_good_fails_that_one_reader(
    verb: str, what: str, why: str | None, ledger: Any, relay: Any, run: Run
) -> None:
    relay.fault(verb, 3, what)
    report = run(ledger)
    assert report.results == {"sent": READERS - 1, "failed": 1}
    assert report.state == "complete"
    assert ledger.row(3).state == "failed"
    assert ledger.suppressed == ({} if why is None else {"r3@readers.example": why})
    assert sorted(relay.readers) == others(3)


OURS = [
    ("rcpt", "550 5.7.1 relaying denied"), ("dot", "550 5.7.26 unauthenticated mail"), ("dot", "554 5.7.1 spam"),
    ("mail", "530 5.7.0 must issue STARTTLS"), ("mail", "535 5.7.8 who are you"), ("mail", "553 sender refused"),
    ("rcpt", "550 blocked by our policy"), ("data", "550 5.7.0 no"), ("mail", "550 5.7.1 we don't know you"),
    ("rcpt", "530 5.7.0 log in first"), ("rcpt", "554 5.7.1 <r3@readers.example>: Client host blocked using a list"),
]


@pytest.mark.parametrize(("verb", "what"), OURS, ids=[f"{verb} {what[:10]}" for verb, what in OURS])
def test_a_refusal_of_us_pauses_the_issue(
    verb: str, what: str, ledger: Any, relay: Any, run: Run
) -> None:
    relay.fault(verb, 3, what)
    report = run(ledger)
    assert report.state == "paused"
    assert report.paused is not None
    assert what[4:] in report.paused
    assert ledger.pause_reason == report.paused
    assert ledger.states() == {"sent": 2, "pending": READERS - 2}  # nobody pays for what is our fault
    assert [(*one, reply.text) for one, reply in zip(ledger.row(3).outcomes, ledger.row(3).attempts, strict=True)] == [
        (1, "refused", what[4:])
    ]
    assert ledger.suppressed == {}
    ledger.resume()
    assert run(ledger).state == "complete"
    assert sorted(relay.readers) == list(range(1, READERS + 1))


def test_a_refusal_of_us_costs_a_reader_none_of_the_time_that_a_deferral_has(
    ledger: Any, relay: Any, run: Run, clock: Any
) -> None:
    relay.fault("mail", 3, "535 5.7.8 who are you")
    run(ledger)
    clock.advance(hours=80)
    ledger.resume()
    relay.fault("rcpt", 3, "450 4.2.0 greylisted")
    assert run(ledger).results["deferred"] == 1
    clock.advance(minutes=15)
    assert run(ledger).state == "complete"
    assert sorted(relay.readers) == list(range(1, READERS + 1))


# (what is said about one reader at RCPT, what becomes of the delivery, whether it is never mailed again)
BY_NAME = [
    ("550 5.5.0 Requested action not taken: mailbox unavailable", "failed", True),
    ("550 5.5.0 Requested action not taken: mailbox unavailable (AB-001) [mx.readers.example]", "failed", True),
    ("550 Requested action not taken: mailbox unavailable", "failed", False),
    ("525 5.7.13 Disabled recipient address", "failed", False),
    ("550 5.7.1 <r3@readers.example>: Recipient address rejected: User r3 temporary locked", "deferred", False),
    ("550 5.7.1 <r3@readers.example>: Recipient address rejected: Access denied", "failed", False),
    ("550 5.7.1 Mailbox is locked, try again later", "deferred", False),
    ("550 Mailbox r3@readers.example is blocked", "failed", False),
    ("550 5.7.0 User r3 is suspended", "failed", False),
    ("550 5.7.1 not for you", "deferred", False), ("550 5.7.133 not in the group's list", "deferred", False),
]


@pytest.mark.parametrize(("what", "becomes", "gone"), BY_NAME, ids=[what[:60] for what, *_ in BY_NAME])
def test_a_refusal_of_one_reader_holds_up_nobody_else(
    what: str, becomes: str, gone: bool, ledger: Any, relay: Any, run: Run
) -> None:
    relay.fault("rcpt", 3, what)
    report = run(ledger)
    assert report.paused is None
    assert report.results == {"sent": READERS - 1, becomes: 1}
    assert ledger.row(3).state == becomes
    assert list(ledger.suppressed) == ["r3@readers.example"] * gone
    assert sorted(relay.readers) == others(3)


@pytest.mark.parametrize(
    ("what", "costs"), [("550 5.1.1 nobody of that name", 9), ("550 5.7.1 denied", 0), ("550 no", 0)],
)
def test_more_refusals_by_name_than_readers_can_be_at_fault_for_pause_it(
    what: str, costs: int, ledgers: Any, relay: Any, run: Run
) -> None:
    ledger = ledgers(30)
    for reader in range(1, 31):
        relay.fault("rcpt", reader, what)
    report = run(ledger)
    assert report.state == "paused"
    assert "refuses 10 of 10 readers by name" in (report.paused or "")
    assert what[4:] in (report.paused or "")
    assert ledger.states()["pending"] == 30 - costs
    assert ledger.row(10).outcomes[-1][1] == "refused"
    assert "r10@readers.example" not in ledger.suppressed


@pytest.mark.parametrize("readers", [1, READERS])
@pytest.mark.parametrize("phase", ["rcpt", "data", "dot"])
@pytest.mark.parametrize("what", ["550 5.7.1 denied", "550 no", "554 5.0.0 rejected", "552 5.3.1 mail system full"])
def test_a_refusal_of_everybody_is_a_refusal_of_us(
    what: str, phase: str, readers: int, ledgers: Any, relay: Any, run: Run
) -> None:
    """However few they are: nobody is failed for it, or loses time, and all have it once it is mended."""
    ledger = ledgers(readers)
    relay.fault(phase, None, what, times=readers)
    report = run(ledger)
    assert report.state == "paused"
    assert what[4:] in (report.paused or "")
    assert report.results == {"refused": report.results["refused"]}
    assert ledger.states() == {"pending": readers}
    assert all(row.first_attempt_at is None for row in ledger.rows)
    refused = sum(bool(row.attempts) for row in ledger.rows)
    assert refused == (1 if what.startswith("550 5.7.1") and phase != "rcpt" else readers)
    for _ in range(readers - refused):  # what the relay never came to say
        relay.pick(phase, None)
    ledger.resume()
    assert run(ledger).state == "complete"
    assert sorted(relay.readers) == list(range(1, readers + 1))
    assert ledger.suppressed == {}


@pytest.mark.parametrize(("what", "becomes"), [("550 5.7.1 denied", "deferred"), ("550 no", "failed")])
@pytest.mark.parametrize("reader", [1, 3, READERS])
def test_a_vague_refusal_is_the_readers_where_others_are_served(
    what: str, becomes: str, reader: int, ledger: Any, relay: Any, run: Run
) -> None:
    """Whoever comes first, too, before anybody can know that."""
    relay.fault("rcpt", reader, what)
    report = run(ledger)
    assert (report.paused, report.results) == (None, {"sent": READERS - 1, becomes: 1})
    assert ledger.row(reader).history[-1] == becomes


def test_a_vague_refusal_of_the_last_ones_is_theirs_where_others_were_served_before(
    ledger: Any, relay: Any, run: Run, clock: Any
) -> None:
    relay.fault("rcpt", 2, "450 4.2.1 later")
    relay.fault("rcpt", 2, "550 5.7.1 not for you")
    assert run(ledger).results == {"sent": READERS - 1, "deferred": 1}
    clock.advance(hours=1)
    report = run(ledger)
    assert (report.paused, report.results) == (None, {"deferred": 1})


@pytest.mark.parametrize(
    "what", ["550 5.1.1 nobody of that name", "550 no such user", "552 5.2.2 full", "450 4.2.1 later"],
)
def test_a_list_of_one_whose_mailbox_is_named_pauses_nothing(what: str, ledgers: Any, relay: Any, run: Run) -> None:
    relay.fault("rcpt", 1, what)
    report = run(ledgers(1))
    assert report.paused is None
    assert report.results == {"deferred" if what.startswith("4") else "failed": 1}


def test_asked_to_stop_before_anybody_was_served_it_leaves_the_refused_waiting(
    ledger: Any, relay: Any, run: Run
) -> None:
    relay.fault("rcpt", None, "550 no", times=2)
    report = run(ledger, stop=lambda: relay.verbs.count("rcpt") >= 2)
    assert (report.stopped, report.paused) == (True, None)
    assert ledger.states() == {"pending": READERS}
    assert run(ledger).state == "complete"


def test_an_old_list_pauses_nothing(ledgers: Any, relay: Any, run: Run) -> None:
    ledger = ledgers(30)
    for reader in range(2, 31, 2):  # half of them
        relay.fault("rcpt", reader, "550 5.1.1 nobody of that name")
    report = run(ledger)
    assert report.state == "complete"
    assert report.results == {"sent": 15, "failed": 15}


# --- readers and operators who change their mind --------------------------------------------------------------------


@pytest.mark.parametrize("how", ["unsubscribed", "suppressed"])
def test_no_body_leaves_after_a_reader_has_left(how: str, ledger: Any, relay: Any, run: Run) -> None:
    def leave(claim: Any) -> None:
        if claim.subscriber_id == 3:
            if how == "unsubscribed":
                ledger.gone.add(5)
            else:
                ledger.suppressed["r5@readers.example"] = "bounced"

    ledger.before_begin = leave
    report = run(ledger)
    assert report.results == {"sent": READERS - 1, "skipped": 1}
    assert 5 not in relay.readers
    assert ledger.row(5).state == ("cancelled" if how == "unsubscribed" else "suppressed")
    assert "rset" in relay.verbs
    assert report.state == "complete"


def test_a_pause_from_outside_stops_it(ledger: Any, relay: Any, run: Run) -> None:
    ledger.before_begin = lambda claim: ledger.pause(1, "the editor") if claim.subscriber_id == 3 else None
    report = run(ledger, limits=dataclasses.replace(IMPATIENT, batch=4))
    assert report.state == "paused"
    assert report.paused is not None
    assert ledger.states() == {"sent": 2, "pending": READERS - 2}
    assert relay.readers == [1, 2]


def test_asked_to_stop_it_finishes_the_message_in_hand(ledger: Any, relay: Any, run: Run) -> None:
    report = run(ledger, stop=lambda: len(relay.taken) >= 2)
    assert report.stopped
    assert report.results == {"sent": 2}
    assert ledger.states() == {"sent": 2, "pending": READERS - 2}
    assert run(ledger).state == "complete"


# --- what must not happen to all because of one, or silently to all --------------------------------------------------

TRICKS = [
    "r3@readers.example, x9@victims.example", '"r3@readers.example> RCPT TO:<x9"@victims.example',
    "r3@readers.example\r\nBcc: x9@victims.example", "r3@readers.example>\r\nRCPT TO:<x9@victims.example",
    "r3@readers.example\n", "grüße3@readers.example", "r3@readers.example\0", "r3 <x9@victims.example>", "r3", "",
    "=?utf-8?q?r3?=@readers.example", "r3@[127.0.0.1]", f"{'r' * 65}3@readers.example",
]


@pytest.mark.parametrize("address", TRICKS, ids=[ascii(trick)[:40] for trick in TRICKS])
def test_an_address_never_makes_two_and_never_stops_the_others(
    address: str, ledger: Any, relay: Any, run: Run
) -> None:
    ledger.row(3).address = address
    report = run(ledger)
    assert report.results == {"sent": READERS - 1, "failed": 1}
    assert relay.readers == others(3)
    assert all(len(taken.recipients) == 1 for taken in relay.taken)
    assert "not one plain mail address" in ledger.row(3).attempts[0].text
