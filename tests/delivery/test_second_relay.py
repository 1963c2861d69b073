"""A second relay takes over before any mail, never after; what a relay can tell in its reports it is asked to."""

import threading
from collections import Counter
from typing import Any

import pytest

from delivery.dispatch import Limits, dispatch
from delivery.mailing import letter
from delivery.smtp.connect import Line, PipelineTransport
from delivery.smtp.conversation import Conversation
from delivery.smtp.session import Timeouts
from milepost.errors import DeliveryError

DROP = "drop"
READERS = 12
QUICK = Limits(connections=2, connect_wait_s=0.0, record_wait_s=0.0)


def to(port: int, fallback: PipelineTransport | None = None) -> PipelineTransport:
    return PipelineTransport(
        host="127.0.0.1", port=port, security="plain", timeouts=Timeouts.within(5), fallback=fallback
    )


def send(ledger: Any, transport: PipelineTransport, mailing: Any, clock: Any, **options: Any) -> Any:
    return dispatch(ledger, transport, mailing, now=clock, limits=QUICK, sleep=lambda _: None, **options)


def test_nobody_at_the_first_is_mail_through_the_second(
    ledgers: Any, mailing: Any, clock: Any, relay: Any, closed_port: int
) -> None:
    ledger = ledgers(READERS)
    assert send(ledger, to(closed_port, to(relay.port)), mailing, clock).results == {"sent": READERS}
    assert sorted(relay.readers) == list(range(1, READERS + 1))
    assert all(row.attempts[-1].text.endswith(f"[smtp://127.0.0.1:{relay.port}]") for row in ledger.rows)


@pytest.mark.parametrize(
    ("verb", "said"), [("connect", "421 4.3.2 too busy"), ("ehlo", "450 4.3.2 not now"), ("connect", DROP)],
    ids=["421 at the greeting", "450 at EHLO", "hung up"],
)
def test_a_first_relay_that_is_busy(
    ledgers: Any, mailing: Any, clock: Any, relays: Any, verb: str, said: str
) -> None:
    first, second = relays(), relays()
    first.fault(verb, None, said, times=100)
    assert send(ledgers(READERS), to(first.port, to(second.port)), mailing, clock).results == {"sent": READERS}
    assert (len(first.taken), len(second.taken)) == (0, READERS)


def test_a_refusal_for_good_is_nobody_elses(ledgers: Any, mailing: Any, clock: Any, relays: Any) -> None:
    first, second = relays(), relays()
    first.fault("connect", None, "554 5.7.1 go away", times=100)
    assert send(ledgers(READERS), to(first.port, to(second.port)), mailing, clock).state == "paused"
    assert second.connections == 0


def test_what_was_lost_after_the_dot_is_not_sent_again(ledgers: Any, mailing: Any, clock: Any, relays: Any) -> None:
    first, second = relays(), relays()
    first.fault("dot", 3, DROP)
    ledger = ledgers(READERS)
    assert send(ledger, to(first.port, to(second.port)), mailing, clock).results == {"sent": READERS - 1, "unknown": 1}
    assert ledger.row(3).state == "unknown"
    assert 3 not in second.readers


def test_neither_of_them(ledgers: Any, mailing: Any, clock: Any, closed_port: int) -> None:
    ledger = ledgers(READERS)
    with pytest.raises(DeliveryError, match="Connection refused"):
        send(ledger, to(closed_port, to(closed_port)), mailing, clock)
    assert ledger.states() == {"pending": READERS}


def test_a_throttle_is_asked_and_a_broken_one_is_told(ledgers: Any, mailing: Any, clock: Any, relay: Any) -> None:
    asked: list[int] = []

    def free() -> float | None:
        asked.append(1)
        return 400.0

    assert send(ledgers(READERS), to(relay.port), mailing, clock, throttle=free).results == {"sent": READERS}
    assert asked

    def broken() -> float | None:
        raise ZeroDivisionError

    ledger = ledgers(READERS)
    with pytest.raises(ZeroDivisionError):
        send(ledger, to(relay.port), mailing, clock, throttle=broken)
    assert ledger.states() == {"pending": READERS}


def test_who_looks_at_the_throttle_takes_no_more_for_that(
    ledgers: Any, mailing: Any, clock: Any, relay: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a dispatcher whose relay is slow takes all of an issue, and the others of it have nothing to send."""
    monkeypatch.setattr("delivery.smtp.dispatcher._LOOK_S", 0.0)
    ledger, asked, held = ledgers(READERS), threading.Semaphore(0), Counter[str]()

    def free() -> float | None:
        asked.release()
        return None

    def think(_: object) -> None:
        if not held:
            for _ in range(6):
                assert asked.acquire(timeout=30)
            held.update(ledger.states())

    relay.before_answer = think
    limits = Limits(batch=2, connections=1, connect_wait_s=0.0, record_wait_s=0.0)
    report = dispatch(ledger, to(relay.port), mailing, now=clock, limits=limits, throttle=free)
    assert report.results == {"sent": READERS}
    assert held["pending"] >= READERS - 4, held  # a batch on the wire and a batch after it are taken, no more


class Heard:
    """A connection that only notes what is put on it."""

    def __init__(self) -> None:
        self.said = b""

    def own(self, owner: object) -> None:
        self.owner = owner

    def put(self, data: bytes, *_phases: str) -> None:
        self.said += data


@pytest.mark.parametrize("dsn", [True, False], ids=["DSN is offered", "it is not"])
def test_a_report_is_to_name_the_delivery(ledgers: Any, mailing: Any, dsn: bool) -> None:
    claim = ledgers(1).claim(1, limit=1, lease_seconds=60)[0]

    class Desk:
        share = 10

        def pick(self) -> Any:
            return letter(mailing, claim)

    wire: Any = Heard()
    conversation = Conversation(Desk())  # type: ignore[arg-type]
    conversation.take(Line(wire=wire, pipelining=True, dsn=dsn))
    conversation.start()
    asked = f" RET=HDRS ENVID={claim.issue}.{claim.delivery_id}" if dsn else ""
    assert wire.said.startswith(f"MAIL FROM:<b{claim.subscriber_id}@bounces.example>{asked}\r\n".encode())


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "lock-step"])
@pytest.mark.parametrize("dsn", [True, False], ids=["DSN is offered", "it is not"])
def test_a_server_hears_of_reports_only_where_it_offers_them(
    ledgers: Any, mailing: Any, clock: Any, relay: Any, dsn: bool, pipelining: bool
) -> None:
    relay.dsn, relay.pipelining = dsn, pipelining
    assert send(ledgers(3), to(relay.port), mailing, clock).results == {"sent": 3}
    heard = [sender.partition(":")[2] for sender in relay.senders]
    asked = {n: f" RET=HDRS ENVID=1.{n}" if dsn else "" for n in range(1, 4)}
    assert sorted(heard) == [f"<b{n}@bounces.example>{asked[n]}" for n in range(1, 4)]
