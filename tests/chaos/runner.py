"""Plays a fault against dispatchers in processes of their own, and counts what the oracle took and the ledger tells.

    world (database, oracle) ─▶ dispatchers, killed and started again until nothing waits ─▶ Verdict
"""

import datetime as dt
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from milepost.records import Placement, Variant
from store.database import connect, upgrade
from store.issues import Issues
from store.ledger import Ledger
from store.schema import subscriber

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
MARK = "MILEPOST-UNSUBSCRIBE-4f1d"
LEASE = 2  # seconds
Fault = tuple[str, str, float, int]  # see oracle.py


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What one fault did, in the table's words."""

    runs: int  # dispatchers started
    lost: int  # sent says the ledger and nobody took it, or it still waits and nobody paused
    duplicates: int  # messages taken beyond the first of a reader
    unknown: int
    listed: bool  # whoever got it and is not `sent` is `unknown` by name
    states: dict[str, int]
    dropped: int = 0  # by the oracle after it took them


class World:
    """A frozen issue, and an oracle to send it to."""

    def __init__(self, url: str, port: int, log: Path, readers: int) -> None:
        self.url, self.port, self.log, self.readers = url, port, log, readers
        self.runs = 0

    def start(self, connections: int = 4, point: str = "", count: int = 0) -> subprocess.Popen[str]:
        """A dispatcher that has just begun."""
        self.runs += 1
        child = subprocess.Popen(
            [sys.executable, str(HERE / "dispatcher.py"), self.url, str(self.port), str(connections), str(LEASE), point,
             str(count)],
            stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "go\n"
        return child

    def finish(self, connections: int = 4, tries: int = 60) -> None:
        """Dispatchers one after another, by nobody's hand, until nothing waits."""
        for _ in range(tries):
            child = self.start(connections)
            end(child)
            if not self.waiting():
                return
            time.sleep(LEASE / 4)
        raise AssertionError(f"deliveries still wait: {self.states()}")

    def waiting(self) -> bool:
        with connect(self.url) as database:
            ledger = Ledger(database)
            ledger.recover(1)
            ledger.finish(1)
        states = self.states()
        return any(states.get(state) for state in ("pending", "claimed", "sending", "deferred"))

    def states(self) -> dict[str, int]:
        with connect(self.url) as database:
            counts = Ledger(database).counts(1)
            assert counts.balanced
            return {state: count for state, count in counts.states.items() if count}

    def verdict(self) -> Verdict:
        taken: Counter[str] = Counter()
        names: dict[str, set[str]] = {}
        dropped = 0
        for line in self.log.read_text().splitlines():
            what, who, *rest = line.split()
            if what == "took":
                taken[who] += 1
                names.setdefault(who, set()).update(rest)
            else:
                dropped += 1
        assert all(len(ids) == 1 for ids in names.values()), "a second attempt had another Message-ID"
        with connect(self.url) as database:
            rows = {row.address: row.state for row in Ledger(database).rows(1)}
            paused = Issues(database).get(1).state == "paused"
        by = {state: {who for who, its in rows.items() if its == state} for state in set(rows.values())}
        sent, unknown = by.get("sent", set()), by.get("unknown", set())
        waiting = [who for who, state in rows.items() if state in ("pending", "claimed", "sending", "deferred")]
        return Verdict(
            runs=self.runs, lost=len(sent - set(taken)) + (0 if paused else len(waiting)),
            duplicates=sum(taken.values()) - len(taken), unknown=len(unknown),
            listed=set(taken) - sent <= unknown, states=self.states(), dropped=dropped,
        )


@contextmanager
def world(
    folder: Path, readers: int, *, seed: int = 1, gap_ms: float = 0, faults: Sequence[Fault] = ()
) -> Iterator[World]:
    """A new world in `folder`."""
    url = f"sqlite:///{folder}/milepost.db"
    upgrade(url)
    text = f"Issue 7\n\n{'A loom that plays chess, and what came of it. ' * 60}\n\nLeave: {MARK}\n"
    html = f'<html lang="en"><body><p>{text[:-30]}</p><a href="{MARK}">Leave</a></body></html>'
    variant = Variant(name="all", subject="Issue 7", html=html, text=text, placeholder=MARK)
    with connect(url) as database:
        with database.begin() as connection:
            connection.execute(sa.insert(subscriber), [
                {"address": f"r{n}@readers.example", "normalized": f"r{n}@readers.example", "state": "active",
                 "cadence": "weekly", "topics": [], "created_at": NOW}
                for n in range(readers)
            ])
        Issues(database).draft("weekly", "2026-W47", [], [variant], subject="7", content_hash="0" * 64, now=NOW)
        Ledger(database).freeze(1, content_hash="0" * 64, place=lambda *_: Placement(variant="all"), now=NOW)
    plan, log = folder / "plan.json", folder / "oracle.log"
    plan.write_text(json.dumps({"seed": seed, "gap_ms": gap_ms, "faults": faults}))
    log.touch()
    oracle = subprocess.Popen(
        [sys.executable, str(HERE / "oracle.py"), str(plan), str(log)], stdout=subprocess.PIPE, text=True
    )
    assert oracle.stdout is not None
    try:
        yield World(url, int(oracle.stdout.readline()), log, readers)
    finally:
        oracle.kill()
        oracle.wait()
        oracle.stdout.close()


def end(child: subprocess.Popen[str], seconds: float = 120) -> str:
    """Wait for a dispatcher → what it said last."""
    said, _ = child.communicate(timeout=seconds)
    return said.strip()


def kill(child: subprocess.Popen[str]) -> bool:
    """kill -9; whether it was still alive."""
    alive = child.poll() is None
    child.kill()
    child.communicate()
    return alive


def kills(here: World, number: int, seed: int, connections: int = 4) -> int:
    """So many dispatchers, each killed at a random instant of its work; → how many were alive then."""
    dice, killed = random.Random(seed), 0  # noqa: S311 (a seed is to be played again)
    for _ in range(number):
        child = here.start(connections)
        time.sleep(dice.uniform(0.0, 0.4))
        killed += kill(child)
    return killed


def at_points(here: World, points: Sequence[tuple[str, int]], connections: int = 4) -> None:
    """A dispatcher for each named point, which kills itself there."""
    for point, count in points:
        child = here.start(connections, point, count)
        end(child)
        assert child.returncode in (-signal.SIGKILL, 0), f"{point} {count}"
        time.sleep(LEASE + 0.3)  # what the dead one held is free again


def table(rows: Sequence[tuple[str, Verdict]]) -> str:
    """The verdicts as one table."""
    lines = [f"{'fault':<34} {'runs':>5} {'lost':>5} {'dup.':>5} {'unknown':>8}  {'listed':<6} ledger"]
    lines += [
        f"{name:<34} {v.runs:>5} {v.lost:>5} {v.duplicates:>5} {v.unknown:>8}  {'all' if v.listed else 'NOT':<6}"
        f" {v.states}"
        for name, v in rows
    ]
    return "\n".join(lines)
