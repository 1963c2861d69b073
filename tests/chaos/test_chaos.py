"""Whatever happens to a dispatcher, nobody is lost, nobody gets an issue twice, and every doubt is listed by name.

The whole table: `pytest -m chaos -s` (CHAOS=full: 200 kills, 10,000 readers; CHAOS_SEED: another run to play again).
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import runner
from tests.chaos.runner import Fault, Verdict

FULL = os.environ.get("CHAOS") == "full"
SEED = int(os.environ.get("CHAOS_SEED", "1"))
KILLS, READERS = (200, 10_000) if FULL else (20, 2_000)
FEW = READERS // 20
CONNECTIONS = 4
POINTS = [
    ("before-T1", 1), ("after-T1", 1), ("before-mail", 3), ("after-rcpt", 3), ("before-T3", 2), ("after-T3", 2),
    ("before-data", 3), ("after-data", 3), ("before-body", 3), ("after-dot", 3), ("before-T4", 2), ("after-T4", 2),
    ("before-quit", 1), ("after-quit", 1),
]


@pytest.fixture(scope="module")
def rows() -> Iterator[list[tuple[str, Verdict]]]:
    """The table, printed at the end."""
    found: list[tuple[str, Verdict]] = []
    yield found
    print(f"\n\nseed {SEED}\n{runner.table(found)}")  # noqa: T201 (the table is what the run is for)


def hold(verdict: Verdict, *, at_most: int = 0) -> None:
    assert verdict.lost == 0
    assert verdict.duplicates == 0
    assert verdict.unknown <= at_most
    assert verdict.listed


def test_one_kill_of_a_small_issue(tmp_path: Path) -> None:
    with runner.world(tmp_path, 200, seed=SEED, gap_ms=5) as here:
        killed = runner.kills(here, 1, SEED)
        here.finish()
        hold(here.verdict(), at_most=CONNECTIONS * killed)


chaos = pytest.mark.chaos


@chaos
@pytest.mark.timeout(3600)
def test_killed_at_random(tmp_path: Path, rows: list[tuple[str, Verdict]]) -> None:
    with runner.world(tmp_path, READERS, seed=SEED, gap_ms=20) as here:
        killed = runner.kills(here, KILLS, SEED)
        here.finish()
        verdict = here.verdict()
    rows.append((f"F1 kill -9 ({killed} alive)", verdict))
    assert killed >= KILLS // 2
    hold(verdict, at_most=CONNECTIONS * killed)


@chaos
@pytest.mark.timeout(600)
def test_killed_at_each_point(tmp_path: Path, rows: list[tuple[str, Verdict]]) -> None:
    with runner.world(tmp_path, FEW * 2, seed=SEED, gap_ms=20) as here:
        runner.at_points(here, POINTS, CONNECTIONS)
        here.finish()
        verdict = here.verdict()
    rows.append(("F2 kill -9 at named points", verdict))
    hold(verdict, at_most=CONNECTIONS * len(POINTS))


@chaos
def test_dropped_after_the_dot(tmp_path: Path, rows: list[tuple[str, Verdict]]) -> None:
    with runner.world(tmp_path, READERS, seed=SEED, faults=[("dot", "drop", 0.05, 1)]) as here:
        here.finish()
        verdict = here.verdict()
    rows.append(("F3 drop after the dot, 5 %", verdict))
    hold(verdict, at_most=verdict.dropped)
    assert verdict.unknown == verdict.dropped > 0


@chaos
@pytest.mark.parametrize("verb", ["connect", "ehlo", "mail", "rcpt", "data"])
def test_dropped_before_the_dot(verb: str, tmp_path: Path, rows: list[tuple[str, Verdict]]) -> None:
    with runner.world(tmp_path, FEW, seed=SEED, faults=[(verb, "drop", 0.1, 1)]) as here:
        here.finish()
        verdict = here.verdict()
    rows.append((f"F4 drop at {verb}", verdict))
    hold(verdict)
    assert verdict.states == {"sent": FEW}


@chaos
def test_dropped_in_the_middle_of_a_message(tmp_path: Path, rows: list[tuple[str, Verdict]]) -> None:
    """A small message may be out, dot and all, before we hear of the drop: then it is a doubt, and never a repeat."""
    with runner.world(tmp_path, FEW, seed=SEED, faults=[("body", "drop", 0.1, 1)]) as here:
        here.finish()
        verdict = here.verdict()
    rows.append(("F4 drop in the message", verdict))
    hold(verdict, at_most=FEW // 5)
    assert verdict.states["sent"] + verdict.unknown == FEW


@chaos
@pytest.mark.parametrize("verb", ["connect", "ehlo", "mail", "rcpt", "data", "dot", "quit"])
def test_busy_at_each_verb(verb: str, tmp_path: Path, rows: list[tuple[str, Verdict]]) -> None:
    with runner.world(tmp_path, FEW, seed=SEED, faults=[(verb, "421 4.3.2 closing", 0.1, 1)]) as here:
        here.finish()
        verdict = here.verdict()
    rows.append((f"F5 421 at {verb}", verdict))
    hold(verdict)
    assert verdict.states == {"sent": FEW}


@chaos
@pytest.mark.parametrize("rounds", [1, 3, 20])
def test_refused_for_now(rounds: int, tmp_path: Path, rows: list[tuple[str, Verdict]]) -> None:
    faults: list[Fault] = [
        ("rcpt", "450 4.2.1 later", 0.2, rounds), ("dot", "451 4.3.0 trouble", 0.1, rounds),
        ("data", "452 4.3.1 no room", 0.1, rounds),
    ]
    with runner.world(tmp_path, FEW, seed=SEED, faults=faults) as here:
        here.finish()
        verdict = here.verdict()
    rows.append((f"F6 4xx for {rounds} rounds", verdict))
    hold(verdict)
    assert verdict.states == {"sent": FEW}


@chaos
def test_refused_for_good(tmp_path: Path, rows: list[tuple[str, Verdict]]) -> None:
    faults: list[Fault] = [
        ("rcpt", "550 5.1.1 nobody", 0.1, 99), ("rcpt", "550 5.2.1 disabled", 0.1, 99),
        ("rcpt", "552 5.2.2 full", 0.1, 99), ("dot", "554 5.6.0 odd", 0.1, 99),
    ]
    with runner.world(tmp_path, FEW, seed=SEED, faults=faults) as here:
        here.finish()
        verdict = here.verdict()
    rows.append(("F7 5xx about readers", verdict))
    hold(verdict)
    assert set(verdict.states) == {"sent", "failed"}


@chaos
@pytest.mark.parametrize("what", ["550 5.7.26 unauthenticated", "535 5.7.8 who are you"])
def test_refused_for_what_we_are(what: str, tmp_path: Path, rows: list[tuple[str, Verdict]]) -> None:
    with runner.world(tmp_path, FEW, seed=SEED, faults=[("dot", what, 1.0, 99)]) as here:
        said = runner.end(here.start(CONNECTIONS))
        verdict = here.verdict()
    rows.append((f"F7 {what[:10]}: pause", verdict))
    assert said.startswith("paused")
    assert verdict.states["failed"] <= CONNECTIONS + 10
    assert verdict.states["pending"] == FEW - verdict.states["failed"]
    hold(verdict)


@chaos
def test_three_at_once_and_one_that_slept(tmp_path: Path, rows: list[tuple[str, Verdict]]) -> None:
    """One is stopped beyond its lease; the others take over, and it wakes up among them."""
    with runner.world(tmp_path, READERS, seed=SEED, gap_ms=20) as here:
        children = [here.start(CONNECTIONS) for _ in range(3)]
        time.sleep(0.3)
        children[0].send_signal(signal.SIGSTOP)
        time.sleep(runner.LEASE + 1)
        late = here.start(CONNECTIONS)
        time.sleep(0.5)
        children[0].send_signal(signal.SIGCONT)
        for child in [*children, late]:
            runner.end(child)
        here.finish()
        verdict = here.verdict()
    rows.append(("F12 four at once, one asleep", verdict))
    hold(verdict, at_most=CONNECTIONS * 4)


@chaos
def test_started_twice_and_again_when_it_is_over(tmp_path: Path, rows: list[tuple[str, Verdict]]) -> None:
    with runner.world(tmp_path, FEW * 2, seed=SEED) as here:
        for child in [here.start(CONNECTIONS), here.start(CONNECTIONS)]:
            runner.end(child)
        here.finish()
        assert "conflict" in runner.end(here.start(CONNECTIONS))
        verdict = here.verdict()
    rows.append(("F16 started twice, and again", verdict))
    hold(verdict)
    assert verdict.states == {"sent": FEW * 2}


@chaos
def test_asked_to_end(tmp_path: Path, rows: list[tuple[str, Verdict]]) -> None:
    with runner.world(tmp_path, FEW * 5, seed=SEED, gap_ms=20) as here:
        for _ in range(5):
            child = here.start(CONNECTIONS)
            time.sleep(0.2)
            child.terminate()
            runner.end(child, 30)
            assert child.returncode == 0
            assert not here.states().keys() & {"claimed", "sending"}
        here.finish()
        verdict = here.verdict()
    rows.append(("F17 SIGTERM", verdict))
    hold(verdict)
    assert verdict.states == {"sent": FEW * 5}
