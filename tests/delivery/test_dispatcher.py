"""Many connections at once: they share commits and limits, and one of them in trouble is nobody else's."""

import math
from dataclasses import replace
from typing import Any

import pytest

from delivery.dispatch import DispatchReport, Limits, dispatch
from delivery.smtp import group_commit
from delivery.smtp.connect import PipelineTransport
from delivery.smtp.session import Timeouts
from milepost.errors import DeliveryError

DROP, HANG = "drop", "hang"
READERS = 60
QUICK: dict[str, Any] = {"connect_wait_s": 0.0, "record_wait_s": 0.0}


@pytest.fixture(params=["near", "far"])
def ledger(request: pytest.FixtureRequest, ledgers: Any) -> Any:
    """One that the loop writes to itself, and one that it leaves to a thread."""
    ledger = ledgers(READERS)
    ledger.far = request.param == "far"
    return ledger


@pytest.fixture(params=["pipelining", "lock-step"])
def ours(request: pytest.FixtureRequest, relay: Any) -> PipelineTransport:
    relay.pipelining = request.param == "pipelining"
    return PipelineTransport(host="127.0.0.1", port=relay.port, security="plain", timeouts=Timeouts.within(5))


def send(ledger: Any, ours: Any, mailing: Any, clock: Any, **options: Any) -> DispatchReport:
    limits = Limits(**(QUICK | {"connections": 4} | options.pop("limits", {})))
    return dispatch(ledger, ours, mailing, now=clock, limits=limits, sleep=lambda _: None, **options)


def test_they_share_the_work_and_the_commits(ledger: Any, ours: Any, mailing: Any, clock: Any, relay: Any) -> None:
    report = send(ledger, ours, mailing, clock)
    assert report.results == {"sent": READERS}
    assert sorted(relay.readers) == list(range(1, READERS + 1))
    assert relay.connections == 4
    assert ledger.commits < 2 * READERS
    assert all(row.history == ["claimed", "sending", "sent"] for row in ledger.rows)


@pytest.mark.timeout(60)
def test_one_that_hangs_holds_up_nobody(ledger: Any, ours: Any, relay: Any, mailing: Any, clock: Any) -> None:
    """It hangs until all others have their mail, but for the one that it may have named already."""
    relay.fault("dot", 3, HANG)
    relay.before_answer = lambda _: relay.drop_what_hangs() if len(relay.taken) >= READERS - 1 else None
    report = send(ledger, replace(ours, timeouts=Timeouts()), mailing, clock)
    assert report.results == {"sent": READERS - 1, "unknown": 1}
    assert ledger.row(3).state == "unknown"


def test_a_server_that_allows_fewer_connections_gets_fewer(
    ledger: Any, ours: Any, mailing: Any, clock: Any, relay: Any
) -> None:
    first: list[int] = []

    def busy(verb: str) -> None:
        first.append(1)
        if verb == "connect" and 1 < len(first) < 50:
            relay.fault("connect", None, "421 4.7.0 too many connections")

    relay.on_verb = busy
    report = send(ledger, ours, mailing, clock, limits={"connect_tries": 2})
    assert report.results["sent"] + report.results.get("deferred", 0) == READERS
    assert report.results["sent"] >= READERS - 4


def test_a_policy_refusal_stops_all_of_them_soon(
    ledger: Any, ours: Any, mailing: Any, clock: Any, relay: Any
) -> None:
    relay.fault("rcpt", None, "550 5.7.1 relaying denied", times=READERS)
    report = send(ledger, ours, mailing, clock)
    assert report.state == "paused"
    assert 1 <= report.results["refused"] <= 4
    assert ledger.states() == {"pending": READERS}
    assert relay.taken == []


def test_a_pace_delays_and_loses_nobody(ledgers: Any, ours: Any, mailing: Any, clock: Any) -> None:
    report = send(ledgers(10), ours, mailing, clock, limits={"per_second": 50.0, "per_domain_per_second": 40.0})
    assert report.results == {"sent": 10}


def test_a_stop_leaves_nothing_in_the_air(ledger: Any, ours: Any, mailing: Any, clock: Any, relay: Any) -> None:
    report = send(ledger, ours, mailing, clock, stop=lambda: len(relay.taken) >= 10)
    assert report.stopped
    assert set(ledger.states()) == {"sent", "pending"}
    assert ledger.states()["sent"] == len(relay.taken) < READERS
    assert send(ledger, ours, mailing, clock).state == "complete"
    assert sorted(relay.readers) == list(range(1, READERS + 1))


def test_no_server_is_one_error_for_all_of_them(ledger: Any, mailing: Any, clock: Any, closed_port: int) -> None:
    nobody = PipelineTransport(host="127.0.0.1", port=closed_port, security="plain")
    with pytest.raises(DeliveryError, match="Connection refused"):
        send(ledger, nobody, mailing, clock)
    assert ledger.states() == {"pending": READERS}


def test_a_bug_ends_the_run_and_hides_nothing(ledger: Any, ours: Any, mailing: Any, clock: Any) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    ledger.claim = broken
    with pytest.raises(ZeroDivisionError):
        send(ledger, ours, mailing, clock)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("interrupt", [ZeroDivisionError("a bug"), KeyboardInterrupt()], ids=["a bug", "Ctrl-C"])
def test_what_breaks_into_a_commit_loses_no_result(
    interrupt: BaseException, ledger: Any, ours: Any, mailing: Any, clock: Any, relay: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thread writes what the loop could not, and the dispatch ends."""
    monkeypatch.setattr(group_commit, "_SLOW_S", math.inf)  # on a busy machine the loop would leave all to the thread
    verbs: list[str] = []

    def once(verb: str) -> None:
        verbs.append(verb)
        if verb == "rcpt" and verbs.count("rcpt") == 9:
            ledger.interrupt = interrupt

    relay.on_verb = once
    with pytest.raises(type(interrupt)):
        send(ledger, ours, mailing, clock)
    assert set(ledger.states()) == {"sent", "pending"}
    assert ledger.states()["sent"] == len(relay.taken) > 0


@pytest.mark.timeout(30)
@pytest.mark.parametrize("ledger", ["far"], indirect=True)
def test_a_bug_in_the_thread_ends_the_run_too(ledger: Any, ours: Any, mailing: Any, clock: Any, relay: Any) -> None:
    advance = ledger.advance

    def broken(settlements: Any, claims: Any) -> Any:
        if len(relay.taken) > 9:
            raise ZeroDivisionError
        return advance(settlements, claims)

    ledger.advance = broken
    with pytest.raises(ZeroDivisionError):
        send(ledger, ours, mailing, clock)
    assert set(ledger.states()) <= {"sent", "sending", "pending", "claimed"}


@pytest.mark.timeout(30)
def test_a_whole_batch_that_may_not_begin_is_not_the_end(
    ledger: Any, ours: Any, mailing: Any, clock: Any, relay: Any
) -> None:
    """Somebody else took over all that we had claimed: we ask for what is left, and come to an end."""
    claim = ledger.claim

    def claim_and_lose(number: int, *, limit: int, lease_seconds: int, after: int = 0) -> Any:
        claims = claim(number, limit=limit, lease_seconds=lease_seconds, after=after)
        for one in claims:
            if one.subscriber_id <= 8:
                ledger.row(one.subscriber_id).lease = "another's"
        return claims

    ledger.claim = claim_and_lose
    report = send(ledger, ours, mailing, clock, limits={"connections": 1, "batch": 4})
    assert report.results == {"sent": READERS - 8, "skipped": 8}
    assert sorted(relay.readers) == list(range(9, READERS + 1))
