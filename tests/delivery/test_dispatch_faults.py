"""Dispatch when something breaks: the relay, the ledger, the connection after the dot, a callback."""

import socket
from typing import Any

import pytest

from delivery.dispatch import Limits
from delivery.smtp.connect import PipelineTransport
from delivery.smtp.session import SmtpTransport, Timeouts
from delivery.smtp.wire import Wire
from milepost.errors import DeliveryError, StoreError
from tests.delivery.conftest import READERS, Run, others
from tests.hand_over import begin

DROP, HANG = "drop", "hang"


# --- the gap after the dot ------------------------------------------------------------------------------------------


def test_a_connection_dropped_after_the_dot_is_unknown_and_never_sent_again(
    ledger: Any, relay: Any, run: Run, clock: Any
) -> None:
    relay.fault("dot", 2, DROP)
    relay.fault("dot", 5, DROP)
    report = run(ledger)
    assert report.results == {"sent": READERS - 2, "unknown": 2}
    assert report.state == "needs_review"
    assert [row.subscriber_id for row in ledger.rows if row.state == "unknown"] == [2, 5]
    clock.advance(days=4)
    assert sorted(relay.readers) == list(range(1, READERS + 1))


@pytest.mark.parametrize("kind", [SmtpTransport, PipelineTransport])
def test_a_reply_to_the_dot_that_never_comes_is_unknown(
    kind: type[SmtpTransport], ledgers: Any, relay: Any, run: Run
) -> None:
    ledger = ledgers(1)  # nobody else: for them so little patience might be too little
    relay.fault("dot", 1, HANG)
    hasty = kind(host="127.0.0.1", port=relay.port, security="plain", timeouts=Timeouts(dot=0.1))
    report = run(ledger, transport=hasty)
    assert report.results == {"unknown": 1}
    assert report.state == "needs_review"
    assert ledger.row(1).attempts[0].phase == "dot"


def test_421_to_quit_leaves_it_sent(ledger: Any, relay: Any, run: Run) -> None:
    relay.fault("quit", None, "421 4.3.2 closing")
    assert run(ledger).results == {"sent": READERS}


def test_a_dead_dispatchers_rows_are_freed_or_listed(ledger: Any, relay: Any, run: Run, clock: Any) -> None:
    first, second = ledger.claim(1, limit=2, lease_seconds=60)
    begin(ledger, second)
    clock.advance(minutes=2)
    report = run(ledger)
    assert (report.freed, report.orphaned) == (1, 1)
    assert report.state == "needs_review"
    assert ledger.row(second.subscriber_id).state == "unknown"
    assert sorted(relay.readers) == others(second.subscriber_id)
    assert first.subscriber_id in relay.readers


def test_a_live_dispatchers_rows_are_left_alone(ledger: Any, relay: Any, run: Run) -> None:
    theirs = ledger.claim(1, limit=2, lease_seconds=60)
    report = run(ledger)
    assert report.state == "sending"
    assert sorted(relay.readers) == others(1)[1:]
    assert all(begin(ledger, claim) for claim in theirs)


def test_a_lease_lost_meanwhile_sends_nothing(ledger: Any, relay: Any, run: Run) -> None:
    def stolen(claim: Any) -> None:
        if claim.subscriber_id == 4:
            ledger.row(4).lease = "somebody else's"

    ledger.before_begin = stolen
    report = run(ledger)
    assert report.results == {"sent": READERS - 1, "skipped": 1}
    assert 4 not in relay.readers
    assert ledger.row(4).lease == "somebody else's"


def test_a_lease_lost_after_the_body_is_reported(ledger: Any, relay: Any, run: Run) -> None:
    def overrun(taken: Any) -> None:
        if taken.recipients == ["r4@readers.example"]:
            ledger.row(4).state, ledger.row(4).lease = "unknown", None

    relay.before_answer = overrun
    report = run(ledger)
    assert report.results == {"sent": READERS - 1, "lease_lost": 1}
    assert report.state == "needs_review"
    assert relay.readers.count(4) == 1


# --- a relay that can't be had --------------------------------------------------------------------------------------


def test_no_server_is_one_clear_sentence_and_nothing_is_lost(
    ledger: Any, run: Run, closed_port: int
) -> None:
    nobody = SmtpTransport(host="127.0.0.1", port=closed_port, security="plain")
    with pytest.raises(DeliveryError, match=rf"127\.0\.0\.1:{closed_port} can't be reached \(Connection refused\)"):
        run(ledger, transport=nobody)
    assert ledger.states() == {"pending": READERS}
    assert run(ledger).results == {"sent": READERS}


@pytest.mark.parametrize("verb", ["connect", "ehlo"])
@pytest.mark.parametrize("what", [DROP, "421 4.3.2 busy"])
def test_a_relay_that_is_busy_for_a_moment_is_asked_again(
    verb: str, what: str, ledger: Any, relay: Any, run: Run
) -> None:
    relay.fault(verb, None, what, times=2)
    waits: list[float] = []
    report = run(ledger, limits=Limits(connect_wait_s=0.5), sleep=waits.append)
    assert report.results == {"sent": READERS}
    assert waits == [0.5, 1.0]


def test_a_relay_that_stays_busy_ends_it_without_loss(ledger: Any, relay: Any, run: Run) -> None:
    relay.fault("connect", None, "421 4.3.2 busy", times=3)
    with pytest.raises(DeliveryError, match=r"421 4\.3\.2 busy"):
        run(ledger)
    assert ledger.states() == {"pending": READERS}
    assert run(ledger).state == "complete"


def test_a_relay_that_wont_have_us_pauses_the_issue(ledger: Any, relay: Any, run: Run) -> None:
    relay.fault("connect", None, "554 5.7.1 you are listed")
    report = run(ledger)
    assert report.state == "paused"
    assert "you are listed" in (report.paused or "")
    assert ledger.states() == {"pending": READERS}


# --- a ledger that can't be written ---------------------------------------------------------------------------------


def test_without_the_commit_no_body_leaves(ledger: Any, relay: Any, run: Run) -> None:
    ledger.before_begin = lambda claim: ledger.break_at.update(begin=1) if claim.subscriber_id == 3 else None
    with pytest.raises(StoreError, match="the disk is full"):
        run(ledger)
    assert relay.readers == [1, 2]
    assert ledger.states() == {"sent": 2, "pending": READERS - 2}
    ledger.before_begin = lambda _: None
    assert run(ledger).state == "complete"
    assert sorted(relay.readers) == list(range(1, READERS + 1))


def test_a_busy_ledger_is_given_time_to_record(ledger: Any, run: Run) -> None:
    ledger.break_at["sent"] = 5
    waits: list[float] = []
    report = run(ledger, limits=Limits(record_wait_s=1.0), sleep=waits.append)
    assert report.results == {"sent": READERS}
    assert waits == [1, 2, 4, 8, 16]


def test_a_hand_over_that_cant_be_recorded_is_never_repeated(ledger: Any, relay: Any, run: Run, clock: Any) -> None:
    ledger.break_at["sent"] = 1000
    with pytest.raises(StoreError, match=r"delivery 1 is sent and that can't be recorded .*listed as unknown"):
        run(ledger)
    assert relay.readers == [1]
    ledger.break_at.clear()
    clock.advance(hours=1)
    report = run(ledger)
    assert report.orphaned == 1
    assert report.state == "needs_review"
    assert relay.readers == list(range(1, READERS + 1))


def test_a_claim_that_fails_sends_nothing(ledger: Any, relay: Any, run: Run) -> None:
    ledger.break_at["claim"] = 1
    with pytest.raises(StoreError):
        run(ledger)
    assert relay.taken == []
    assert ledger.states() == {"pending": READERS}


def test_a_variant_without_a_message_stops_before_anything_is_sent(ledgers: Any, relay: Any, run: Run) -> None:
    ledger = ledgers(2, variant="robotics")
    with pytest.raises(DeliveryError, match="variant robotics"):
        run(ledger)
    assert relay.taken == []
    assert ledger.states() == {"pending": 2}


def test_progress_hears_of_each_delivery_once(ledger: Any, relay: Any, run: Run) -> None:
    relay.fault("rcpt", 2, "550 5.1.1 gone")
    heard: list[tuple[int, str]] = []
    run(ledger, progress=lambda claim, result, _: heard.append((claim.subscriber_id, result)))
    assert heard == [(1, "sent"), (2, "failed"), (3, "sent"), (4, "sent"), (5, "sent"), (6, "sent")]


def test_a_callback_that_breaks_leaves_no_claim_behind(ledger: Any, run: Run) -> None:
    def broken(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(ledger, progress=broken)
    left = ledger.states()
    assert set(left) == {"sent", "pending"}  # what was begun already is finished, and nothing more begins
    assert left["sent"] <= 2


def test_every_socket_is_closed(ledger: Any, relay: Any, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    real, real_use = socket.create_connection, Wire._use

    def noted(*args: Any, **kwargs: Any) -> socket.socket:
        opened.append(real(*args, **kwargs))
        return opened[-1]

    def noted_too(wire: Wire, transport: Any) -> None:
        opened.append(transport.get_extra_info("socket"))
        real_use(wire, transport)

    monkeypatch.setattr(socket, "create_connection", noted)
    monkeypatch.setattr(Wire, "_use", noted_too)
    relay.fault("dot", 2, DROP)
    relay.fault("mail", 4, "421 bye")
    run(ledger)
    assert len(opened) == 3
    assert all(sock.fileno() == -1 for sock in opened)


# --- a server that says what would steer a terminal ------------------------------------------------------------------

ODD = "\x1b[2J\x1b]0;owned\x07"


@pytest.mark.parametrize("verb", ["connect", "ehlo", "mail", "rcpt", "data", "dot"])
@pytest.mark.parametrize(
    "said", [f"550 5.1.1 no {ODD} such user", f"550 5.7.1 {ODD} listed in x", f"{ODD}hello", f"25{ODD}"]
)
def test_what_a_server_says_is_cleaned_before_it_is_kept(
    verb: str, said: str, ledger: Any, relay: Any, run: Run
) -> None:
    """A reply or none: no escape sign stands in the ledger, in the reason of a pause or in an error."""
    relay.fault(verb, None, said, times=3)
    try:
        told = repr(run(ledger).paused)
    except DeliveryError as error:
        told = str(error)
    kept = [reply.text for row in ledger.rows for reply in row.attempts] + [ledger.pause_reason or "", told]
    assert all(text.isprintable() for text in kept)
    heard = verb != "ehlo" or not said.startswith("550")  # such a server is asked with HELO
    assert any("owned" in text or "reply" in text for text in kept) == heard
