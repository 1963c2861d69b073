"""Sending an issue as an operator does: a second relay, a throttle, to the end, and what ends it before."""

import datetime as dt
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from console.app import app
from milepost.dates import utc_now
from milepost.errors import ConflictError, DeliveryError, HeldError, InputError, NotFoundError, SettingsError
from milepost.records import Reply, Settlement
from milepost.settings import Settings, load
from pipeline import dispatch as steps
from pipeline import throttle
from pipeline.dispatch import LONGEST_S, drain, until_next
from pipeline.doctor import examine
from pipeline.mail_identity import relay as transport_of
from pipeline.publish import publish
from store import holders
from store.database import Database
from store.issues.issues import Issues
from store.ledger.ledger import Ledger
from store.meta import Meta
from store.schema.tables import delivery
from tests.delivery.conftest import Relay
from tests.pipeline import prepared
from tests.pipeline.stage import READERS

DOWN = "smtp://127.0.0.1:9"
Say = Callable[..., Any]


@pytest.fixture
def relays() -> Iterator[Callable[[], Relay]]:
    """Starts relays, and stops them afterwards."""
    started: list[Relay] = []

    def start() -> Relay:
        started.append(Relay())
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def relay(relays: Callable[[], Relay], config: Path) -> Relay:
    """The one that the settings name."""
    started = relays()
    _set(config, f'url = "smtp://127.0.0.1:{started.port}"')
    return started


@pytest.fixture
def issue(settings: Settings, issued: None) -> int:  # noqa: ARG001 (it comes first)
    """A frozen issue for three readers; returns its number."""
    [number] = steps.waiting(settings)
    return number


@pytest.fixture
def say(config: Path) -> Say:
    """Runs one command line; raises what it raised."""
    return lambda *words: CliRunner().invoke(app, ["--config", str(config), *map(str, words)], catch_exceptions=False)


def _set(config: Path, *lines: str) -> None:
    """Put `lines` in the place of mail.url."""
    words = config.read_text(encoding="utf-8").splitlines()
    at = next(place for place, line in enumerate(words) if line.startswith('url = "smtp'))
    config.write_text("\n".join([*words[:at], *lines, *words[at + 1 :]]), encoding="utf-8")


def _make_due(database: Database) -> None:
    """Time passes until the deferred ones are due."""
    with database.begin() as connection:
        past = utc_now() - dt.timedelta(minutes=1)
        connection.execute(delivery.update().where(delivery.c.state == "deferred").values(next_attempt_at=past))


class Nap:
    """A sleep that only counts, and does something the first time."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.seconds = 0.0
        self._then: Callable[[], object] | None = then

    def __call__(self, seconds: float) -> None:
        assert seconds <= 1.0
        self.seconds += seconds
        then, self._then = self._then, None
        if then is not None:
            then()


# --- a second relay -------------------------------------------------------------------------------------------------


def test_with_the_first_relay_down_all_goes_through_the_second_and_the_ledger_says_so(
    config: Path, issue: int, relays: Callable[[], Relay], say: Say
) -> None:
    second = relays()
    _set(config, f'url = "{DOWN}"', f'fallback = "smtp://127.0.0.1:{second.port}"')

    told = json.loads(say("dispatch", issue, "--json").output)

    assert (told["state"], told["results"]) == ("complete", {"sent": len(READERS)})
    assert sorted(taken.recipients[0] for taken in second.taken) == sorted(READERS)
    for reader in READERS:
        [row] = json.loads(say("ledger", issue, "--to", reader, "--json").output)["rows"]
        assert f"[smtp://127.0.0.1:{second.port}]" in row["attempts"][-1]["text"]


def test_the_first_relay_is_enough_while_it_is_there(
    config: Path, issue: int, relays: Callable[[], Relay], say: Say
) -> None:
    first, second = relays(), relays()
    _set(config, f'url = "smtp://127.0.0.1:{first.port}"', f'fallback = "smtp://127.0.0.1:{second.port}"')
    assert say("dispatch", issue).exit_code == 0
    assert (len(first.taken), second.connections) == (len(READERS), 0)


def test_by_timers_alone_what_is_due_is_published_and_then_sent(
    config: Path, settings: Settings, relay: Relay, say: Say
) -> None:
    prepared.copy("news", settings)
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("[newsletter]", "[newsletter]\napproval = true"), encoding="utf-8")
    with pytest.raises(HeldError, match="issue 1 waits: "):
        say("publish")
    config.write_text(text, encoding="utf-8")
    assert "frozen" in say("publish").output
    assert say("dispatch").exit_code == 0
    assert sorted(taken.recipients[0] for taken in relay.taken) == sorted(READERS)
    assert "Nothing is due to be sent." in say("dispatch").output


def test_an_issue_that_is_paused_is_said_at_each_dispatch_of_all(issue: int, relay: Relay, say: Say) -> None:
    assert say("issue", "pause", issue, "--why", "a typing error").exit_code == 0
    with pytest.raises(HeldError, match=f"issue {issue}: it is paused: a typing error"):
        say("dispatch")
    assert relay.taken == []


def test_the_second_relay_has_a_login_of_its_own(settings: Settings) -> None:
    mail = settings.mail.model_copy(update={
        "url": SecretStr("smtps://one:sesame@first.example"), "oauth2_token": SecretStr("a-token"),
        "fallback": SecretStr("smtp+starttls://two:pa%40ss@second.example"), "timeout": 5.0,
    })
    first: Any = transport_of(settings.model_copy(update={"mail": mail}))
    second = first.fallback
    assert (first.user, first.token()) == ("one", "a-token")
    assert (second.user, second.password, second.token, second.port) == ("two", "pa@ss", None, 587)
    assert (second.hello, second.timeouts) == (first.hello, first.timeouts)


@pytest.mark.parametrize(
    ("url", "fallback", "says"),
    [
        pytest.param("maildir:///outbox", "smtp://127.0.0.1:25", "Only an SMTP relay", id="no relay to stand in for"),
        pytest.param("smtp://127.0.0.1:25", "smtp://far.example:25", "in plain text", id="it would show the mail"),
    ],
)
def test_a_second_relay_that_can_not_be_is_told(settings: Settings, url: str, fallback: str, says: str) -> None:
    mail = settings.mail.model_copy(update={"url": SecretStr(url), "fallback": SecretStr(fallback)})
    with pytest.raises(SettingsError, match=says) as caught:
        transport_of(settings.model_copy(update={"mail": mail}))
    assert caught.value.where == "mail.fallback"


@pytest.mark.parametrize("up", ["mail relay", "second relay"])
def test_the_doctor_looks_at_each_relay_by_itself(settings: Settings, relays: Callable[[], Relay], up: str) -> None:
    running = f"smtp://127.0.0.1:{relays().port}"
    urls = {"mail relay": DOWN, "second relay": DOWN} | {up: running}
    mail = settings.mail.model_copy(update={
        "url": SecretStr(urls["mail relay"]), "fallback": SecretStr(urls["second relay"]),
    })
    findings = {one.check: one for one in examine(settings.model_copy(update={"mail": mail}))}
    assert {name: findings[name].ok for name in urls} == {name: name == up for name in urls}
    assert findings[up].says.startswith(f"{running} takes mail")


# --- the throttle ---------------------------------------------------------------------------------------------------


def test_a_throttle_is_kept_told_and_taken_back(issue: int, say: Say, database: Database, settings: Settings) -> None:
    ask = throttle.watched(database, issue, usual=30.0)
    assert ask() == 30.0

    assert "at 2.5 a second" in say("issue", "throttle", issue, "2.5").output
    assert ask() == throttle.throttled(database, issue) == 2.5
    told = json.loads(say("issue", "throttle", issue, "off", "--json").output)
    assert told == {"issue": issue, "throttle": None, "usual": None}
    assert ask() == 30.0

    throttle.throttle(database, issue, 500.0)
    assert steps.dispatch(settings, issue).report.state == "complete"
    assert Meta(database).get(f"throttle.{issue}") is None
    with pytest.raises(ConflictError, match="complete"):
        say("issue", "throttle", issue, "5")


@pytest.mark.parametrize("rate", ["0", "nan", "inf", "100001", "fast"])
def test_what_is_no_rate_changes_nothing(issue: int, say: Say, database: Database, rate: str) -> None:
    with pytest.raises(InputError, match="no rate"):
        say("issue", "throttle", issue, rate)
    assert throttle.throttled(database, issue) is None


def test_no_such_issue_has_no_throttle(say: Say, issue: int) -> None:
    with pytest.raises(NotFoundError):
        say("issue", "throttle", issue + 1, "5")


def test_a_dispatch_that_runs_picks_it_up(
    issue: int, relay: Relay, config: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a mail an hour nothing would be sent; an operator lets it go while it waits."""
    throttle.throttle(database, issue, 1 / 3600)
    asked: list[float | None] = []
    watched = throttle.watched

    def watching(*given: Any, **named: Any) -> Callable[[], float | None]:
        ask = watched(*given, **named)

        def heard() -> float | None:
            asked.append(ask())
            if len(asked) == 1:
                assert relay.taken == []
                throttle.throttle(database, issue, 5_000.0)
            return asked[-1]

        return heard

    monkeypatch.setattr(steps, "watched", watching)
    sent = steps.dispatch(load(config), issue)
    assert sent.report.results == {"sent": len(READERS)}
    assert asked[:2] == [1 / 3600, 5_000.0]


# --- to the end -----------------------------------------------------------------------------------------------------


def test_one_pass_leaves_what_is_deferred_and_a_drain_waits_for_it(
    issue: int, relay: Relay, config: Path, say: Say, database: Database
) -> None:
    relay.fault("rcpt", None, "450 4.2.1 try later", times=2)
    said = say("dispatch", issue)
    assert said.exit_code == 0
    assert "2 deferred: the next is due at" in said.output
    assert f"`milepost dispatch {issue}` tries it then" in said.output

    relay.fault("rcpt", None, "450 4.2.1 later still")
    _make_due(database)
    nap = Nap(lambda: _make_due(database))
    seen: list[tuple[int, int]] = []
    sent = drain(load(config), issue, progress=lambda done, total: seen.append((done, total)), sleep=nap)

    assert (sent.report.state, dict(sent.report.results)) == ("complete", {"deferred": 1, "sent": 2})
    assert (sent.counts.states["sent"], sent.report.stopped) == (len(READERS), False)
    assert 0 < nap.seconds <= LONGEST_S
    assert (seen[0], seen[-1]) == ((1, 3), (3, 3))
    assert sorted(taken.recipients[0] for taken in relay.taken) == sorted(READERS)


@pytest.mark.parametrize("how", ["SIGTERM", "a stop"])
def test_a_drain_that_waits_ends_when_it_is_asked_to(issue: int, relay: Relay, config: Path, how: str) -> None:
    relay.fault("rcpt", None, "450 4.2.1 try later")
    before = signal.getsignal(signal.SIGTERM)
    wish: list[bool] = []
    nap = Nap(lambda: os.kill(os.getpid(), signal.SIGTERM) if how == "SIGTERM" else wish.append(True))

    sent = drain(load(config), issue, stop=lambda: bool(wish), sleep=nap)

    assert sent.report.stopped
    assert nap.seconds <= 1.0
    assert {state: count for state, count in sent.counts.states.items() if count} == {"sent": 2, "deferred": 1}
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_drain_that_was_ended_says_what_was_kept(
    issue: int, relay: Relay, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay.fault("rcpt", None, "450 4.2.1 try later")
    monkeypatch.setattr("pipeline.dispatch._wait", lambda *_: True)
    said = say("dispatch", issue, "--drain")
    assert said.exit_code == 0
    assert f"stopped. The ledger knows who was mailed; `milepost dispatch {issue} --drain` goes on" in said.stderr


def test_ctrl_c_while_it_waits(issue: int, relay: Relay, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    relay.fault("rcpt", None, "450 4.2.1 try later")
    monkeypatch.setattr("pipeline.dispatch._wait", interrupted)
    said = say("dispatch", issue, "--drain")
    assert said.exit_code == 130
    assert "stopped. The ledger knows who was mailed" in said.stderr


def test_an_operator_pauses_while_it_waits(
    issue: int, relay: Relay, config: Path, say: Say, database: Database
) -> None:
    relay.fault("rcpt", None, "450 4.2.1 try later")
    sent = drain(load(config), issue, sleep=Nap(lambda: Ledger(database).pause(issue, "a word is wrong")))
    assert (sent.report.state, sent.report.paused) == ("paused", "a word is wrong")
    with pytest.raises(HeldError, match="a word is wrong"):
        say("dispatch", issue, "--drain")


@pytest.mark.parametrize(
    ("command", "again"),
    [(("dispatch", "{}", "--drain"), "`milepost dispatch {} --drain`"),
     (("issue", "send", "{}"), "`milepost issue send {}`")],
    ids=["dispatch", "issue send"],
)
def test_a_refusal_of_us_is_held(
    command: tuple[str, ...], again: str, issue: int, relay: Relay, say: Say, database: Database
) -> None:
    relay.fault("rcpt", None, "550 5.7.1 relaying denied", times=3)
    with pytest.raises(HeldError, match=r"it is paused: .*relaying denied") as caught:
        say(*(word.format(issue) for word in command))
    assert caught.value.exit_code == 3
    assert again.format(issue) in str(caught.value)
    assert Issues(database).get(issue).state == "paused"


def test_an_uncertain_hand_over_is_held(issue: int, relay: Relay, say: Say) -> None:
    relay.fault("dot", None, "drop")
    for _ in range(2):
        with pytest.raises(HeldError, match="nobody knows whether some got it"):
            say("dispatch", issue, "--drain")
    assert len(relay.taken) == len(READERS)


def test_without_a_relay_nothing_is_lost(config: Path, issue: int, say: Say) -> None:
    _set(config, f'url = "{DOWN}"')
    with pytest.raises(DeliveryError, match="can't be reached") as caught:
        say("dispatch", issue, "--drain")
    assert caught.value.exit_code == 1
    assert json.loads(say("ledger", issue, "--json").output)["states"]["pending"] == len(READERS)


@pytest.mark.parametrize(
    ("due", "seconds"), [(None, LONGEST_S), (-5.0, 0.5), (7.0, 7.0), (7200.0, LONGEST_S)],
    ids=["others hold the rest", "due already", "soon", "in hours"],
)
def test_the_wait_is_bounded(due: float | None, seconds: float) -> None:
    now = utc_now()
    assert until_next(None if due is None else now + dt.timedelta(seconds=due), now) == seconds


# --- full mailboxes -------------------------------------------------------------------------------------------------


def test_full_mailboxes_count_where_no_bounces_are_read(
    issue: int, relay: Relay, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[dt.datetime] = []

    def worn(_database: Database, *, now: dt.datetime) -> list[str]:
        looked.append(now)
        return ["ada@readers.example"]

    monkeypatch.setattr(steps, "suppress_worn_out", worn)
    relay.fault("rcpt", None, "552 5.2.2 mailbox full")
    sent = steps.dispatch(load(config), issue)
    assert dict(sent.report.results) == {"sent": 2, "failed": 1}
    assert steps.sent_to_json(sent)["worn_out"] == ["ada@readers.example"]
    assert len(looked) == 1


# --- what another dispatcher holds ----------------------------------------------------------------------------------

# A dispatcher that takes two of three, has one of them on the wire, and is killed.
KILLED = """
import os, signal, sys
from store.database import connect
from store import holders
from store.ledger.ledger import Ledger

with connect(sys.argv[1]) as database:
    ledger = Ledger(database)
    first, _ = ledger.claim(int(sys.argv[2]), limit=2, lease_seconds=120)
    ledger.advance((), [first])
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(settings: Settings, issue: int) -> int:
    """The process id of a dispatcher that was killed at work on the issue."""
    child = subprocess.Popen([sys.executable, "-c", KILLED, settings.store.url, str(issue)])
    assert child.wait(60) == -signal.SIGKILL
    return child.pid


def test_what_a_dead_dispatcher_holds_is_told_and_taken_over_when_asked(
    killed: int, issue: int, relay: Relay, say: Say
) -> None:
    with pytest.raises(HeldError) as caught:
        say("dispatch", issue)
    assert caught.value.exit_code == 3
    assert re.fullmatch(
        rf"another dispatcher \(process {killed} on \S+\) holds 2 until \d\d:\d\d:\d\d UTC", caught.value.what
    )
    assert f"That process is dead: `milepost dispatch {issue} --take-over` goes on at once" in str(caught.value)
    told = json.loads(say("ledger", issue, "--json").output)
    assert [(one["deliveries"], one["pid"], one["life"]) for one in told["held"]] == [(2, killed, "dead")]
    assert f"Held: another dispatcher (process {killed} on " in say("ledger", issue).output
    assert len(relay.taken) == 1

    with pytest.raises(HeldError, match="nobody knows whether some got it"):
        say("dispatch", issue, "--take-over")
    assert len(relay.taken) == 2
    states = json.loads(say("ledger", issue, "--json").output)["states"]
    assert {state: count for state, count in states.items() if count} == {"sent": 2, "unknown": 1}
    assert "Held" not in say("ledger", issue).output


@pytest.mark.parametrize(
    ("whose", "hint"),
    [("ours", "It is at work; `milepost issue send {}` goes on"), ("another machine's", "Nobody can tell from here")],
)
def test_what_may_be_alive_is_not_taken_over(
    whose: str, hint: str, issue: int, relay: Relay, say: Say, database: Database
) -> None:
    holder = holders.me() if whose == "ours" else replace(holders.me(), host="elsewhere")
    Ledger(database, holder=holder).claim(issue, limit=2, lease_seconds=120)
    with pytest.raises(HeldError, match="holds 2 until"):
        say("dispatch", issue, "--take-over")
    with pytest.raises(HeldError) as caught:
        say("issue", "send", issue)
    assert hint.format(issue) in str(caught.value)
    assert len(relay.taken) == 1


@pytest.mark.usefixtures("killed", "relay")
def test_a_drain_waits_for_the_end_of_a_lease(issue: int, config: Path, database: Database) -> None:
    def pass_by() -> None:
        with database.begin() as connection:
            connection.execute(delivery.update().values(lease_until=delivery.c.lease_until - 120))

    sent = drain(load(config), issue, sleep=Nap(pass_by))
    assert (sent.report.state, dict(sent.report.results)) == ("needs_review", {"sent": 2})
    assert (sent.report.freed, sent.report.orphaned, sent.held) == (1, 1, ())


@pytest.mark.usefixtures("relay")
def test_a_drain_that_waits_for_another_ends_as_the_other_has_left_it(
    issue: int, config: Path, database: Database
) -> None:
    """What it held when we looked is of no interest once the issue is complete."""
    other = Ledger(database, holder=replace(holders.me(), host="elsewhere"))
    theirs = other.claim(issue, limit=1, lease_seconds=120)
    accepted = Reply(code=250, text="2.0.0 Ok", phase="dot")

    def they_send() -> None:
        other.advance([], theirs)
        other.advance([Settlement(claim=claim, state="sent", reply=accepted) for claim in theirs], [])
        other.finish(issue)

    sent = drain(load(config), issue, sleep=Nap(they_send))
    assert (sent.report.state, sent.report.results, sent.held) == ("complete", {"sent": len(READERS) - 1}, ())
    assert sent.counts.states["sent"] == len(READERS)


def test_a_run_that_leaves_an_issue_to_another_dispatcher_is_held(
    say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [{"deliveries": 72, "until": "2026-11-23T08:50:00+01:00", "life": "elsewhere", "host": "mail", "pid": 4711}]
    ledger = {"issue": 7, "states": {"claimed": 72}, "paused": None, "held": held}
    monkeypatch.setattr(
        "console.flow_runs.flow_result", lambda *_: {"looks": [], "issues": [], "ledgers": [ledger], "letters": None}
    )
    with pytest.raises(HeldError) as caught:
        say("run")
    assert caught.value.what == "issue 7: another dispatcher (process 4711 on mail) holds 72 until 07:50:00 UTC"


def test_a_drain_looks_again_when_the_first_lease_ends() -> None:
    now = utc_now()
    soon, later = now + dt.timedelta(seconds=7), now + dt.timedelta(seconds=30)
    assert until_next(None, now, ends=[later, soon]) == 7
    assert until_next(soon, now, ends=[later]) == 7
    assert until_next(None, now, ends=[now - dt.timedelta(hours=1)]) == 0.5
    assert until_next(None, now, ends=[now + dt.timedelta(hours=1)]) == LONGEST_S


# --- a machine that is restarted between an approval and the dispatch -------------------------------------------------

# A machine that loses its power in the moment in which an approval was said to be kept.
APPROVED = """
import os, signal, sys
from pathlib import Path
from milepost.dates import utc_now
from milepost.settings import load
from pipeline.operators.acts import BY_A_FLOW
from pipeline.operators.decisions import Decisions
from store.database import connect

settings = load(Path(sys.argv[1]))
with connect(settings.store.url) as database:
    Decisions(settings, database).approve(1, content_hash=sys.argv[2], by=BY_A_FLOW)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.usefixtures("news")
def test_an_approval_outlives_a_restart_and_the_issue_is_dispatched_once(
    config: Path, database: Database, relay: Relay
) -> None:
    text, more = config.read_text(encoding="utf-8"), "[newsletter]\napproval = true\nundo_minutes = 30"
    config.write_text(text.replace("[newsletter]", more), encoding="utf-8")
    settings = load(config)
    publish(settings)
    draft = Issues(database).get(1)
    approved = draft.content_hash
    assert draft.state == "draft"
    child = subprocess.Popen([sys.executable, "-c", APPROVED, str(config), approved])
    assert child.wait(60) == -signal.SIGKILL
    assert (publish(settings), steps.waiting(settings)) == ([], [])  # the next run: not due, and no other draft
    later = utc_now() + dt.timedelta(minutes=31)
    assert steps.waiting(settings, now=lambda: later) == [1]
    sent = steps.dispatch(settings, 1, now=lambda: later)
    assert (sent.counts.states["sent"], Issues(database).get(1).content_hash) == (3, approved)
    assert steps.waiting(settings, now=lambda: later) == []
    assert steps.dispatch(settings, 1, now=lambda: later).report.results == {}
    assert len(relay.taken) == 3
