"""Whatever happens to a dispatcher or its relay, nobody is lost, nobody gets an issue twice, every doubt has a name.

The whole table: `make chaos` (CHAOS=full: 200 kills, 10,000 readers; CHAOS_SEED: another run to play again).
"""

import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from delivery.smtp.session import Timeouts
from milepost.dates import utc_now
from store.database import connect
from store.issues.issues import Issues
from store.upkeep.backup import backup, restore
from store.upkeep.restore import confirm_restore
from tests.chaos import runner
from tests.chaos.backends import Backend, Postgresql, Sqlite
from tests.chaos.conftest import Size, Told
from tests.chaos.oracle import Oracle
from tests.chaos.runner import Fault

chaos = pytest.mark.chaos

# What a dispatcher with one connection leaves behind when it is killed at a point, once its lease is over:
# (sent, unknown, taken by the oracle) of five readers, the rest is pending; None: either may be.
POINTS: dict[tuple[str, int], tuple[int, int | None, int | None]] = {
    ("before-T1", 1): (0, 0, 0),
    ("after-T1", 1): (0, 0, 0),
    ("before-mail", 1): (0, 0, 0),
    ("after-rcpt", 1): (0, 0, 0),
    ("before-T3", 1): (0, 0, 0),
    ("after-T3", 1): (0, 1, 0),
    ("before-data", 1): (0, 1, 0),
    ("after-data", 1): (0, 1, 0),
    ("before-body", 1): (0, 1, 0),
    ("before-dot", 1): (0, 1, 0),
    ("after-dot", 1): (0, 1, None),
    ("before-T4", 1): (0, 1, 1),
    ("after-T4", 1): (1, None, 1),  # the next one's T3 may have shared the commit
    ("before-quit", 1): (5, 0, 5),
    ("after-quit", 1): (5, 0, 5),
}


@pytest.fixture(params=["sqlite", "postgresql", "far"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """`far`: a PostgreSQL a journey away, where a dispatch has several writers."""
    if request.param == "sqlite":
        found: Backend = request.getfixturevalue("sqlite")
        return found
    server: Postgresql = request.getfixturevalue("postgresql_backend")
    return server.far() if request.param == "far" else server


def test_one_kill_of_a_small_issue(tmp_path: Path, sqlite: Sqlite, size: Size, told: Told) -> None:
    with runner.world(tmp_path, sqlite, 200, seed=size.seed, gap_ms=5) as here:
        killed = runner.kills(here, 1, size.seed)
        here.finish()
        told("F1 one kill -9", sqlite, here.verdict(), at_most=size.connections * killed)


@chaos
@pytest.mark.timeout(3600)
def test_killed_at_random(tmp_path: Path, backend: Backend, size: Size, told: Told) -> None:
    with runner.world(tmp_path, backend, size.readers, seed=size.seed, gap_ms=50) as here:
        killed = runner.kills(here, size.kills, size.seed)
        here.finish()
        verdict = here.verdict()
    told(f"F1 kill -9 ({killed} alive)", backend, verdict, at_most=size.connections * killed)
    assert killed >= size.kills // 2


@chaos
def test_killed_at_each_point(tmp_path: Path, backend: Backend, size: Size, told: Told) -> None:
    verdicts = []
    for (point, count), (sent, unknown, taken) in POINTS.items():
        with runner.world(tmp_path / point, backend, 5, seed=size.seed) as here:
            child = here.start(connections=1, lease=1, point=point, count=count)
            child.end()
            assert child.process.exitcode == -signal.SIGKILL, f"it never came to {point}"
            time.sleep(1.1)
            states = here.recovered()
            assert states.get("sent", 0) == sent, point
            assert unknown is None or states.get("unknown", 0) == unknown, point
            assert states.get("pending", 0) == 5 - sent - states.get("unknown", 0), point
            assert taken is None or len(here.lines("took")) == taken, point
            here.finish()
            verdicts.append(here.verdict())
            assert verdicts[-1].unknown <= 1, point
    told(f"F2 killed at {len(POINTS)} points", backend, runner.together(verdicts), at_most=len(POINTS))


@chaos
def test_dropped_after_the_dot(tmp_path: Path, backend: Backend, size: Size, told: Told) -> None:
    with runner.world(tmp_path, backend, size.readers, seed=size.seed, faults=[("dot", "drop", 0.05, 1)]) as here:
        here.finish()
        verdict = here.verdict()
    told("F3 drop after the dot, 5 %", backend, verdict, at_most=verdict.silent)
    assert verdict.unknown == verdict.silent > 0


@chaos
@pytest.mark.parametrize("verb", ["connect", "ehlo", "mail", "rcpt", "data"])
def test_dropped_before_the_dot(verb: str, tmp_path: Path, backend: Backend, size: Size, told: Told) -> None:
    with runner.world(tmp_path, backend, size.few, seed=size.seed, faults=[(verb, "drop", 0.1, 1)]) as here:
        here.finish()
        verdict = here.verdict()
    told(f"F4 drop at {verb}", backend, verdict)
    assert verdict.states == {"sent": size.few}


@chaos
def test_dropped_in_the_middle_of_a_message(tmp_path: Path, backend: Backend, size: Size, told: Told) -> None:
    """The message is more than the kernel takes at once (8 MB), and the server is gone after a part of it: the dot was
    held back till then, so that there is no doubt.
    """
    with runner.world(
        tmp_path, backend, 12, seed=size.seed, faults=[("body", "drop", 0.4, 1)], size=80_000, window=65_536
    ) as here:
        here.finish()
        verdict = here.verdict()
        struck = len(here.lines("data")) - len(here.lines("took"))
    told("F4 drop in the message", backend, verdict)
    assert verdict.states == {"sent": 12}
    assert struck > 0


@chaos
def test_dropped_with_the_whole_message_on_its_way(
    tmp_path: Path, backend: Backend, size: Size, told: Told
) -> None:
    """A small message is out, dot and all, before anybody can hear of the drop: a doubt, and never a repeat."""
    with runner.world(tmp_path, backend, size.few, seed=size.seed, faults=[("body", "drop", 0.1, 1)]) as here:
        here.finish()
        verdict = here.verdict()
        struck = {line.who for line in here.lines("data")} - {line.who for line in here.lines("took")}
    told("F4 drop, dot on its way", backend, verdict, at_most=size.few // 5)
    assert verdict.states["sent"] + verdict.unknown == size.few
    assert verdict.unknown == len(struck) > 0


@chaos
@pytest.mark.parametrize("verb", ["connect", "ehlo", "mail", "rcpt", "data", "dot", "quit"])
def test_busy_at_each_verb(verb: str, tmp_path: Path, backend: Backend, size: Size, told: Told) -> None:
    faults: list[Fault] = [(verb, "421 4.3.2 closing", 0.1, 1)]
    with runner.world(tmp_path, backend, size.few, seed=size.seed, faults=faults) as here:
        here.finish()
        verdict = here.verdict()
    told(f"F5 421 at {verb}", backend, verdict)
    assert verdict.states == {"sent": size.few}


@chaos
@pytest.mark.parametrize("rounds", [1, 3, 20])
def test_refused_for_now(rounds: int, tmp_path: Path, backend: Backend, size: Size, told: Told) -> None:
    faults: list[Fault] = [
        ("rcpt", "450 4.2.1 later", 0.2, rounds), ("dot", "451 4.3.0 trouble", 0.1, rounds),
        ("data", "452 4.3.1 no room", 0.1, rounds),
    ]
    with runner.world(tmp_path, backend, size.few, seed=size.seed, faults=faults) as here:
        here.finish(tries=3 * rounds + 5)
        verdict = here.verdict()
    told(f"F6 4xx for {rounds} rounds", backend, verdict)
    assert verdict.states == {"sent": size.few}


@chaos
def test_refused_for_good(tmp_path: Path, backend: Backend, size: Size, told: Told) -> None:
    faults: list[Fault] = [
        ("rcpt", "550 5.1.1 nobody", 0.1, 99), ("rcpt", "550 5.2.1 disabled", 0.1, 99),
        ("rcpt", "552 5.2.2 full", 0.1, 99), ("dot", "554 5.6.0 odd", 0.1, 99),
    ]
    with runner.world(tmp_path, backend, size.few, seed=size.seed, faults=faults) as here:
        here.finish()
        verdict = here.verdict()
    told("F7 5xx about readers", backend, verdict)
    assert set(verdict.states) == {"sent", "failed"}


@chaos
@pytest.mark.parametrize("what", ["550 5.7.26 unauthenticated", "535 5.7.8 who are you"])
def test_refused_for_what_we_are(what: str, tmp_path: Path, backend: Backend, size: Size, told: Told) -> None:
    with runner.world(tmp_path, backend, size.few, seed=size.seed, faults=[("dot", what, 1.0, 99)]) as here:
        said = here.start().end()
        verdict = here.verdict()
    told(f"F7 {what[:10]}: pause", backend, verdict)
    assert said.startswith("paused")
    assert verdict.states == {"pending": size.few}  # nobody is failed for what is our fault


@chaos
def test_slow_and_silent_after_the_dot(tmp_path: Path, backend: Backend, size: Size, told: Told) -> None:
    """With a patience of 4 s for 600: an answer after 2 s counts, none at all is a doubt; nobody waits for the others.
    """
    faults: list[Fault] = [("dot", "late 2", 0.04, 1), ("dot", "never", 0.03, 1)]
    with runner.world(tmp_path, backend, size.few * 2, seed=size.seed, faults=faults) as here:
        here.finish(timeouts=Timeouts(dot=4.0))
        verdict = here.verdict()
        took, silent = here.lines("took"), here.lines("silent")
    told("F8 late, or no reply to the dot", backend, verdict, at_most=verdict.silent)
    assert verdict.unknown == verdict.silent > 0
    for mute in silent[:-1]:
        assert any(mute.at < line.at < mute.at + 4.0 for line in took), "one silent connection held up the others"


@chaos
@pytest.mark.parametrize("dispatchers", [2, 8])
def test_many_at_once_and_one_that_slept(
    dispatchers: int, tmp_path: Path, backend: Backend, size: Size, told: Told
) -> None:
    """One is stopped beyond its lease; the others take over, and it wakes up among them."""
    with runner.world(tmp_path, backend, size.readers, seed=size.seed, gap_ms=20) as here:
        children = [here.start() for _ in range(dispatchers)]
        here.until(20)
        children[0].signal(signal.SIGSTOP)
        time.sleep(runner.LEASE + 1)
        late = here.start()
        time.sleep(0.5)
        children[0].signal(signal.SIGCONT)
        for child in [*children, late]:
            child.end()
        here.finish()
        verdict = here.verdict()
    told(f"F12 {dispatchers} at once, one asleep", backend, verdict, at_most=size.connections * (dispatchers + 1))


@chaos
def test_started_twice_and_again_when_it_is_over(tmp_path: Path, backend: Backend, size: Size, told: Told) -> None:
    with runner.world(tmp_path, backend, size.few * 2, seed=size.seed) as here:
        for child in [here.start(), here.start()]:
            child.end()
        here.finish()
        assert here.start().end().startswith("ConflictError")
        verdict = here.verdict()
    told("F16 started twice, and again", backend, verdict)
    assert verdict.states == {"sent": size.few * 2}


@chaos
def test_restored_from_a_backup_of_the_middle(tmp_path: Path, sqlite: Sqlite, size: Size, told: Told) -> None:
    """The backup knows less than the readers got: it sends nothing until told, and then lists what it can't know."""
    with runner.world(tmp_path, sqlite, size.few * 2, seed=size.seed, gap_ms=20) as here:
        child = here.start()
        here.until(20)
        with connect(here.url) as database:
            backup(database, tmp_path / "backup.db")
        child.end()
        before = len(here.lines("took"))
        restore(tmp_path / "backup.db", here.url, replace=True)
        assert here.start().end().startswith("HeldError: the database was restored")
        assert len(here.lines("took")) == before == size.few * 2
        with connect(here.url) as database:
            confirm_restore(database, "everything went out since", utc_now(), waiting="unknown")
        assert here.start().end().startswith("needs_review")
        verdict = here.verdict()
    told("F16 restored from a backup", sqlite, verdict, at_most=size.few * 2)
    assert set(verdict.states) == {"sent", "unknown"}


@chaos
def test_asked_to_end(tmp_path: Path, backend: Backend, size: Size, told: Told) -> None:
    with runner.world(tmp_path, backend, size.few * 5, seed=size.seed, gap_ms=20) as here:
        for _ in range(5):
            child = here.start()
            time.sleep(0.2)
            child.process.terminate()
            child.end(30)
            assert not here.states().keys() & {"claimed", "sending"}
        here.finish()
        verdict = here.verdict()
    told("F17 SIGTERM", backend, verdict)
    assert verdict.states == {"sent": size.few * 5}


# --- whose lease it is ------------------------------------------------------------------------------------------------


@chaos
def test_killed_and_taken_over(tmp_path: Path, backend: Backend, size: Size, told: Told) -> None:
    """No lease would end before the test does: what the dead hold is taken from them, and nothing of the living."""
    dice = random.Random(size.seed)  # noqa: S311 (a seed is to be played again)
    with runner.world(tmp_path, backend, 5 * size.few, seed=size.seed, gap_ms=30) as here:
        living = here.start(lease=3600, connections=1)
        killed = taken = 0
        for _ in range(5):
            child = here.start(lease=3600)
            here.until_it_holds(child)
            time.sleep(dice.uniform(0.0, 0.3))
            assert here.take_over() == (0, 0), "it took from the living"
            killed += child.kill()
            taken += sum(here.take_over())
        living.end()
        here.finish(lease=3600)
        verdict = here.verdict()
    told(f"F1 kill -9 and take-over ({taken} taken)", backend, verdict, at_most=size.connections * killed)
    assert taken > 0


@chaos
def test_a_reply_that_comes_after_the_lease(tmp_path: Path, backend: Backend, size: Size, told: Told) -> None:
    """Who waits for it lives, and renews: others who come meanwhile find nothing to take, and nothing is in doubt."""
    with runner.world(
        tmp_path, backend, size.few, seed=size.seed, faults=[("dot", f"late {2 * runner.LEASE + 1}", 0.04, 1)]
    ) as here:
        children = [here.start()]
        here.until(5)
        for _ in range(4):
            time.sleep(runner.LEASE / 2)
            children.append(here.start())
        for child in children:
            child.end()
        here.finish()
        verdict = here.verdict()
    told("F8 reply after two leases", backend, verdict)
    assert verdict.states == {"sent": size.few}


# --- whose fault a refusal is -----------------------------------------------------------------------------------------

OF_US = [
    ("connect", "554 5.7.1 go away"), ("ehlo", "550 5.7.1 not you"), ("mail", "530 5.7.0 who are you"),
    ("mail", "550 5.7.1 no"), ("rcpt", "554 5.7.1 relay access denied"), ("rcpt", "550 5.7.1 denied"),
    ("rcpt", "550 no"), ("data", "550 5.7.1 policy"), ("dot", "550 5.7.26 unauthenticated"), ("dot", "554 no"),
]


@chaos
@pytest.mark.parametrize("few", [True, False], ids=["six readers", "many"])
@pytest.mark.parametrize(("verb", "what"), OF_US, ids=[f"{verb} {what}" for verb, what in OF_US])
def test_a_refusal_of_us_again_and_again_then_mended(
    verb: str, what: str, few: bool, tmp_path: Path, backend: Backend, size: Size, told: Told
) -> None:
    readers = 6 if few else size.few
    with runner.world(tmp_path, backend, readers, seed=size.seed, faults=[(verb, what, 1.0, 999)]) as here:
        for _ in range(3):
            assert here.start().end().startswith("paused")
            assert here.states() == {"pending": readers}
            here.resume()
        here.mend()
        here.finish()
        verdict = here.verdict()
    told(f"F20 {verb} {what[:12]}, {readers}", backend, verdict)
    assert verdict.states == {"sent": readers}


OF_A_MAILBOX = {
    "550 5.1.1 User unknown in virtual mailbox table": "failed",
    "550 5.5.0 Requested action not taken: mailbox unavailable": "failed",
    "525 5.7.13 Disabled recipient address": "failed",
    "550 5.7.1 Recipient address rejected: User temporary locked": "sent",
    "550 Mailbox is blocked": "failed",
    "550 No such user here": "failed",
    "552 5.2.2 Over quota": "failed",
    "550 5.7.1 User is suspended": "failed",
    "550-5.2.1 receiving mail at a rate\r\n550 5.2.1 that prevents more": "sent",
    "550 5.4.1 Recipient address rejected: Access denied": "failed",
}


@chaos
def test_refused_by_a_mailbox_in_ten_servers_words(
    tmp_path: Path, backend: Backend, size: Size, told: Told
) -> None:
    faults: list[Fault] = [("rcpt", what, 0.015, 1) for what in OF_A_MAILBOX]
    oracle = Oracle({"seed": size.seed, "faults": faults}, -1)

    def becomes(reader: str) -> str:
        while what := oracle.strike("rcpt", reader):  # after "later" there may be another
            if OF_A_MAILBOX[what] == "failed":
                return "failed"
        return "sent"

    expected = Counter(map(becomes, runner.names(size.readers)))
    with runner.world(tmp_path, backend, size.readers, seed=size.seed, faults=faults) as here:
        here.finish()
        verdict = here.verdict()
        with connect(here.url) as database:
            assert Issues(database).get(1).state == "complete"
    told("F21 a mailbox refuses, ten ways", backend, verdict)
    assert verdict.states == dict(expected)
    assert expected["failed"] > 10


@chaos
@pytest.mark.parametrize("what", ["421 4.7.0 that was enough", "drop"])
def test_a_session_ends_after_seven_mails(
    what: str, tmp_path: Path, backend: Backend, size: Size, told: Told
) -> None:
    with runner.world(tmp_path, backend, size.few, seed=size.seed, session=(7, what)) as here:
        said = here.start(whole=True).end()
        verdict = here.verdict()
    told(f"F22 {what[:3]} after 7 mails", backend, verdict)
    assert said.startswith("complete")  # in one run: nobody waited
    assert verdict.states == {"sent": size.few}
