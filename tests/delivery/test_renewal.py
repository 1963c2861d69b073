"""A dispatch keeps what it holds for as long as it lives, and no longer: its leases are short, and renewed."""

import threading
from typing import Any

import pytest

from delivery.dispatch import Limits, dispatch
from delivery.mailing import Mailing
from delivery.smtp.connect import PipelineTransport
from delivery.smtp.session import SmtpTransport
from milepost.records import Claim
from tests.delivery.conftest import READERS, Run
from tests.delivery.memory_ledger import MemoryLedger
from tests.delivery.misbehaving_relay import Relay

pytestmark = pytest.mark.timeout(60)


class Often(Limits):
    """Leases that are renewed fifty times a second, however long they are: their end is the ledger's own clock's."""

    renew_s = 0.02  # type: ignore[assignment]


SHORT = Often(lease_seconds=1, connect_wait_s=0.0, record_wait_s=0.0)


def test_usual_leases_are_short() -> None:
    assert Limits().lease_seconds <= 120
    assert Limits().renew_s <= 30


class Renewals:
    """Counts the renewals of a ledger, and lets the relay wait for so many of them."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger
        self._more = threading.Condition()
        ledger.on_renewal = self._notify

    def _notify(self) -> None:
        with self._more:
            self._more.notify_all()

    def wait(self, number: int) -> None:
        """For so many more."""
        wanted = self._ledger.renewed + number
        with self._more:
            assert self._more.wait_for(lambda: self._ledger.renewed >= wanted, 30), "it holds without renewing"


def test_a_mail_is_on_the_wire_for_longer_than_its_lease(ledger: MemoryLedger, relay: Relay, run: Run) -> None:
    """The relay thinks about the first mail for nearly four leases; all that the dispatch has taken stays its own."""
    renewals = Renewals(ledger)

    def think(_: object) -> None:
        if len(relay.taken) > 1:
            return
        for _ in range(4):
            renewals.wait(2)  # one of them began after the clock was moved
            ledger.clock.advance(seconds=0.9)
            assert ledger.recover(1) == (0, 0)

    relay.before_answer = think
    report = run(ledger, limits=SHORT)
    assert report.results == {"sent": READERS}
    assert sorted(relay.readers) == list(range(1, READERS + 1))


def test_a_ledger_that_can_not_be_renewed_for_a_moment_ends_nothing(
    ledger: MemoryLedger, relay: Relay, run: Run
) -> None:
    renewals = Renewals(ledger)
    ledger.break_at["renew"] = 2
    relay.before_answer = lambda _: renewals.wait(1) if len(relay.taken) == 1 else None
    assert run(ledger, limits=SHORT).results == {"sent": READERS}
    assert ledger.break_at["renew"] == 0


def test_who_dies_while_a_pass_is_under_way_is_taken_over_from_in_it(
    ledger: MemoryLedger, relay: Relay, run: Run
) -> None:
    """A pass may take hours. Two were taken by somebody who dies now: one not begun, one on the wire."""
    renewals = Renewals(ledger)
    first, second = ledger.claim(1, limit=2, lease_seconds=60)
    assert ledger.advance((), [first]).begun

    def die(_: object) -> None:
        if len(relay.taken) == 1:
            ledger.clock.advance(seconds=61)
            renewals.wait(2)

    relay.before_answer = die
    report = run(ledger, limits=Often(lease_seconds=3600, batch=2, connect_wait_s=0.0, record_wait_s=0.0))
    assert (report.freed, report.orphaned, report.results) == (1, 1, {"sent": READERS - 1})
    assert ledger.row(first.subscriber_id).state == "unknown"
    assert ledger.row(second.subscriber_id).state == "sent"


def test_what_was_taken_over_meanwhile_is_not_begun(
    ledger: MemoryLedger, mailing: Mailing, relay: Relay, clock: Any, transport: SmtpTransport
) -> None:
    """Its process was stopped for so long that others took all it had not begun: it sends none of that."""
    theirs: list[Claim] = []

    def sleep(_: object) -> None:
        if theirs:
            return
        clock.advance(hours=1)
        assert ledger.recover(1)[1] == 1  # the one on the wire
        theirs.extend(ledger.claim(1, limit=READERS, lease_seconds=3600))

    relay.before_answer = sleep
    report = dispatch(ledger, transport, mailing, now=clock, limits=Limits(lease_seconds=120))
    assert report.results == {"sent": 1, "skipped": len(theirs)}
    assert len(theirs) >= READERS - 2
    assert sorted(ledger.states().items()) == [("claimed", len(theirs)), ("sent", READERS - len(theirs))]
    assert len(relay.taken) == 1


def test_a_failing_renewal_hides_no_bug(ledger: MemoryLedger, relay: Relay, mailing: Mailing, clock: Any) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    ledger.on_renewal = broken
    asked = threading.Event()
    renew = ledger.renew

    def renewing(held: Any) -> int:
        try:
            return renew(held)
        finally:
            asked.set()

    ledger.renew = renewing  # type: ignore[method-assign]
    relay.before_answer = lambda _: asked.wait(30)
    ours = PipelineTransport(host="127.0.0.1", port=relay.port, security="plain")
    with pytest.raises(ZeroDivisionError):
        dispatch(ledger, ours, mailing, now=clock, limits=SHORT)
