"""A clock that was a year ahead, and is right again: what it wrote keeps nothing waiting, and lets nobody in."""

import datetime as dt
from dataclasses import replace

import pytest
import sqlalchemy as sa

from pipeline.operate.conditions import Condition
from pipeline.operate.telling import decide
from store import first_seen
from store.database import Database
from store.ledger.letters import LEASE_SECONDS, Letters
from store.operators.accounts import Operators
from store.operators.guesses import Guesses
from store.operators.guesses import Limits as GuessLimits
from store.operators.notices import Notice, Notices
from store.operators.webhooks import Webhooks
from store.schema import tables
from store.subscribers.addresses import parse
from store.subscribers.sign_ups import Limits, Request, SignUps
from tests.store.conftest import NOW

AHEAD = NOW + dt.timedelta(days=365)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    return sqlite_database


def request(address: str) -> Request:
    return Request(address=parse(address), cadence="weekly", language="en", form="f", network="192.0.2.0")


def limits(per_network: int) -> Limits:
    return Limits(per_network=per_network, backlog=99)


def test_letters_go_out_whatever_the_clock_said(database: Database) -> None:
    sign_ups, letters = SignUps(database), Letters(database)
    assert sign_ups.ask(request("a@readers.example"), limits(9), AHEAD) is None
    assert len(letters.claim(NOW, limit=9, memory=HOUR).taken) == 1
    far = sa.func.unixepoch() + 365 * 86400 + LEASE_SECONDS
    with database.begin() as connection:  # as a claim of then would have left it
        connection.execute(sa.update(tables.letter).values(lease_until=far))
    assert len(letters.claim(NOW, limit=9, memory=HOUR).taken) == 1
    assert letters.claim(NOW, limit=9, memory=HOUR).taken == []  # this one is held


def test_who_signed_up_next_year_keeps_no_network_out(database: Database) -> None:
    sign_ups = SignUps(database)
    assert sign_ups.ask(request("a@readers.example"), limits(1), AHEAD) is None
    assert sign_ups.ask(request("b@readers.example"), limits(1), NOW) is None
    assert sign_ups.ask(request("c@readers.example"), limits(1), NOW) == "network"


def test_wrong_guesses_of_next_year_lock_nobody_out(database: Database) -> None:
    guesses = Guesses(database, GuessLimits(per_network=1))
    guesses.begin("ann", "192.0.2.0", now=AHEAD)
    assert isinstance(guesses.begin("ann", "192.0.2.0", now=NOW), int)
    assert guesses.begin("ann", "192.0.2.0", now=NOW) == "network"


def test_a_session_that_began_next_year_is_over(database: Database) -> None:
    operators = Operators(database)
    ann = operators.add("ann", "admin", "link", now=NOW, until=NOW + HOUR)
    ann = operators.use_link("link", "hash", now=NOW) or ann
    for token, now in (("then", AHEAD), ("today", NOW)):
        assert operators.begin_session(ann, token, now=now, until=now + HOUR)
    assert operators.session("then", now=NOW, idle=HOUR) is None
    assert operators.session("today", now=NOW, idle=HOUR) is not None
    assert operators.sessions(ann.id, now=NOW, idle=HOUR) == 1


def test_operators_are_told_today(database: Database) -> None:
    held = Condition(kind="look-held", about="site", says="site: a surge", do="See it.")
    known = Notice(key=held.key, says=held.says, since=NOW, told_at=AHEAD)
    told = decide([held], [known], now=NOW, name="T", last_message=AHEAD, every=HOUR, remind=HOUR)
    assert told.news is not None
    over = decide([], [replace(known, told_at=NOW, gone_at=AHEAD)], now=NOW, name="T", last_message=None, every=HOUR,
                  remind=HOUR)
    assert (over.news is not None, over.known) == (True, ())
    notices = Notices(database)
    with notices.round() as round_:
        round_.queue("channel", "title", "body", AHEAD)
    assert len(notices.take(["channel"], NOW, NOW + dt.timedelta(minutes=5))) == 1
    assert notices.take(["channel"], NOW, NOW + dt.timedelta(minutes=5)) == []


def test_others_are_told_today_and_of_what_happens_from_today_on(database: Database) -> None:
    webhooks = Webhooks(database)
    webhooks.fill("endpoint", lambda _: ("", ""), AHEAD)
    webhooks.fill("endpoint", lambda _: ("", ""), NOW)
    with database.begin() as connection:
        kept = connection.execute(sa.select(tables.meta.c.value).where(tables.meta.c.key == "webhooks.endpoint"))
        assert kept.scalar_one() == NOW.isoformat()
        connection.execute(sa.insert(tables.webhook_message).values(
            event="issue.sent:1", endpoint="endpoint", body="{}", state="queued", created_at=AHEAD,
            next_attempt_at=AHEAD, why="",
        ))
    assert len(webhooks.take(["endpoint"], NOW, NOW + HOUR, 9)) == 1
    assert webhooks.take(["endpoint"], NOW, NOW + HOUR, 9) == []


def test_an_old_secret_is_not_counted_from_next_year(database: Database) -> None:
    secret = ("webhooks.previous_secret", "x" * 20)
    first_seen.since(database, [secret], AHEAD)
    assert first_seen.since(database, [secret], NOW) == {secret[0]: NOW}
