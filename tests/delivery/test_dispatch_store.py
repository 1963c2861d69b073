"""Dispatch over the real ledger on SQLite: killed, doubled and left by readers, it loses and repeats nothing."""

import datetime as dt
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from delivery.dispatch import Limits, dispatch
from delivery.smtp.session import SmtpTransport
from milepost.errors import ConflictError, MilepostError
from milepost.records import Placement, Variant
from store.database import Database, connect
from store.issues.issues import Issues
from store.ledger.ledger import Ledger
from store.schema import tables
from store.subscribers.people import Subscribers
from tests.new_database import new_database

NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
READERS = 12
HASH = "0" * 64

# Another process: the one that is killed. Its issue has one variant, whose template it builds as the caller does.
DISPATCHER = """
import datetime as dt, sys
from delivery.dispatch import Limits, Mailing, dispatch
from delivery.message import tokens
from delivery.message.build import Letterhead, MessageTemplate
from delivery.message.headers import Mailbox
from delivery.transports import from_url
from store.database import connect
from store.issues.issues import Issues
from store.ledger.ledger import Ledger

url, mail_url = sys.argv[1:]
key, now = "an-invented-key-of-thirty-two-characters", dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
with connect(url) as database:
    ledger = Ledger(database)
    letterhead = Letterhead(sender=Mailbox("", "news@timeline.example"), list_id="milestones.timeline.example")
    dispatch(
        ledger, from_url(mail_url),
        Mailing(
            issue=1,
            templates={
                v.name: MessageTemplate.build(v, letterhead=letterhead, date=now)
                for v in Issues(database).variants(1)
            },
            link=lambda claim: f"https://timeline.example/u/{claim.reader}",
            message_id=lambda claim: tokens.message_id(
                key, issue=1, reader=claim.reader, domain="timeline.example"
            ),
            envelope=lambda claim: f"b{claim.subscriber_id}@bounces.example",
        ),
        now=lambda: dt.datetime.now(dt.UTC), limits=Limits(batch=4),
    )
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return new_database(f"sqlite:///{tmp_path}/milepost.db")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with connect(url) as database:
        yield database


@pytest.fixture
def ledger(database: Database, variants: Any) -> Ledger:
    """Issue 1, frozen for everybody."""
    for number in range(1, READERS + 1):
        Subscribers(database).add(f"r{number}@readers.example", cadence="weekly", now=NOW)
    rendered: Variant = variants()
    Issues(database).draft(
        "weekly", "2026-W47", [], [rendered], subject=rendered.subject, content_hash=HASH, now=NOW
    )
    ledger = Ledger(database)
    ledger.freeze(1, content_hash=HASH, place=lambda *_: Placement(variant="all"), now=NOW)
    return ledger


def states(ledger: Ledger) -> dict[str, int]:
    counts = ledger.counts(1)
    assert counts.balanced
    return {state: number for state, number in counts.states.items() if number}


def test_everybody_once(ledger: Ledger, transport: SmtpTransport, relay: Any, mailing: Any) -> None:
    report = dispatch(ledger, transport, mailing, now=lambda: NOW)
    assert report.results == {"sent": READERS}
    assert report.state == "complete"
    assert sorted(relay.readers) == list(range(1, READERS + 1))
    assert states(ledger) == {"sent": READERS}
    with pytest.raises(ConflictError, match="complete"):
        dispatch(ledger, transport, mailing, now=lambda: NOW)
    assert len(relay.taken) == READERS


def test_every_kind_of_answer_is_kept(ledger: Ledger, transport: SmtpTransport, relay: Any, mailing: Any) -> None:
    relay.fault("rcpt", 2, "450 4.2.1 later")
    relay.fault("rcpt", 3, "550 5.1.1 nobody")
    relay.fault("dot", 4, "drop")
    relay.fault("dot", 5, "552 5.2.2 full")
    report = dispatch(ledger, transport, mailing, now=lambda: dt.datetime.now(dt.UTC))
    assert report.results == {"sent": READERS - 4, "deferred": 1, "failed": 2, "unknown": 1}
    assert report.state == "sending"
    assert report.next_due is not None
    assert states(ledger) == {"sent": READERS - 4, "deferred": 1, "failed": 2, "unknown": 1}
    rows = [row.state for row in ledger.rows(1)]
    assert rows[:5] == ["sent", "deferred", "failed", "unknown", "failed"]
    assert 4 in relay.readers


def test_a_refusal_of_us_pauses_and_a_resume_goes_on(
    ledger: Ledger, transport: SmtpTransport, relay: Any, mailing: Any, database: Database
) -> None:
    relay.fault("rcpt", 2, "550 5.7.1 relaying denied")
    report = dispatch(ledger, transport, mailing, now=lambda: NOW)
    assert report.state == "paused"
    assert "relaying denied" in (Issues(database).get(1).pause_reason or "")
    assert states(ledger) == {"sent": 1, "pending": READERS - 1}
    waiting = ledger.rows(1, state="pending")[0]
    assert (waiting.attempts, waiting.text, waiting.first_attempt_at) == (1, "5.7.1 relaying denied", None)
    assert [one.outcome for one in ledger.attempts(waiting.id)] == ["refused"]
    with pytest.raises(ConflictError, match="paused"):
        dispatch(ledger, transport, mailing, now=lambda: NOW)
    ledger.resume(1)
    assert dispatch(ledger, transport, mailing, now=lambda: NOW).state == "complete"
    assert sorted(relay.readers) == list(range(1, READERS + 1))


def test_a_pause_meanwhile_stops_it(ledger: Ledger, transport: SmtpTransport, relay: Any, mailing: Any) -> None:
    relay.before_answer = lambda _: ledger.pause(1, "the editor") if len(relay.taken) == 3 else None
    report = dispatch(ledger, transport, mailing, now=lambda: NOW)
    assert report.state == "paused"
    assert len(relay.taken) == 3
    assert states(ledger) == {"sent": 3, "pending": READERS - 3}


def test_no_mail_after_an_unsubscribe(
    ledger: Ledger, transport: SmtpTransport, relay: Any, mailing: Any, database: Database
) -> None:
    people = Subscribers(database)
    last = people.find(f"r{READERS}@readers.example")
    assert last is not None
    relay.before_answer = lambda _: people.leave(last.id, NOW)
    report = dispatch(ledger, transport, mailing, now=lambda: NOW)
    assert report.results == {"sent": READERS - 1, "skipped": 1}
    assert READERS not in relay.readers
    assert report.state == "complete"


def test_two_dispatchers_share_the_work(
    url: str, ledger: Ledger, transport: SmtpTransport, relay: Any, mailing: Any
) -> None:
    errors: list[MilepostError] = []

    def work() -> None:
        try:
            with connect(url) as own:
                dispatch(Ledger(own), transport, mailing, now=lambda: NOW, limits=Limits(batch=2))
        except ConflictError:
            pass  # the other one was faster and the issue is complete
        except MilepostError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert sorted(relay.readers) == list(range(1, READERS + 1))
    assert states(ledger) == {"sent": READERS}
    assert ledger.finish(1) == "complete"


class Counting(Ledger):
    """The ledger, and an event after so many renewals that a lease of a second would have ended."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.left = 6
        self.enough = threading.Event()

    def renew(self, held: Any) -> int:
        kept = super().renew(held)
        self.left -= 1
        if self.left <= 0:
            self.enough.set()
        return kept


def test_nobody_takes_what_waits_for_a_reply(
    database: Database, ledger: Ledger, transport: SmtpTransport, relay: Any, mailing: Any
) -> None:
    """Another dispatcher comes after the leases have ended for the first time, and finds nothing to take."""
    ours = Counting(database)
    seen: list[object] = []

    def think(_: object) -> None:
        if len(relay.taken) == 1:
            assert ours.enough.wait(30)
            seen.extend([ledger.recover(1), ledger.claim(1, limit=9, lease_seconds=60)])

    relay.before_answer = think
    report = dispatch(ours, transport, mailing, now=lambda: NOW, limits=Limits(lease_seconds=1))
    assert seen == [(0, 0), []]
    assert (report.results, report.state) == ({"sent": READERS}, "complete")


@pytest.mark.parametrize("moment", ["before the 250", "before the mail is taken"])
def test_killed_again_and_again_it_loses_and_repeats_nothing(
    moment: str, url: str, ledger: Ledger, relay: Any
) -> None:
    """The relay kills the dispatcher itself: while it waits for the 250, or between its commit and the body."""
    kills = 0
    child: subprocess.Popen[bytes] | None = None

    def kill() -> None:
        nonlocal kills
        if child is not None and child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
            child.wait(10)
            kills += 1

    if moment == "before the 250":
        relay.before_answer = lambda _: kill() if len(relay.taken) in (2, 7) else None
    else:
        relay.on_verb = lambda verb: kill() if verb == "data" and relay.verbs.count("data") in (2, 7) else None

    while any(state in ("pending", "claimed", "sending") for state in states(ledger)):
        child = subprocess.Popen([sys.executable, "-c", DISPATCHER, url, f"smtp://127.0.0.1:{relay.port}"])
        assert child.wait(60) in (0, -signal.SIGKILL)
        with connect(url) as database, database.begin() as connection:  # the leases of the dead are over
            connection.execute(sa.update(tables.delivery).values(lease_until=tables.delivery.c.lease_until - 3600))
        ledger.recover(1)

    assert kills == 2
    assert states(ledger) == {"sent": READERS - 2, "unknown": 2}
    assert ledger.finish(1) == "needs_review"
    sent = {row.address for row in ledger.rows(1, "sent")}
    listed = {row.address for row in ledger.rows(1, "unknown")}
    taken = Counter(taken.recipients[0] for taken in relay.taken)
    assert set(taken.values()) == {1}
    assert sent <= set(taken)
    assert set(taken) - sent <= listed
    assert len(taken) == (READERS if moment == "before the 250" else READERS - 2)
