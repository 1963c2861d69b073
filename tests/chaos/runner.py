"""Plays a fault against dispatchers in processes of their own, and counts what the oracle took and the ledger tells.

    world (database, oracle) ─▶ dispatchers, killed and started again until nothing waits ─▶ Verdict
"""

import datetime as dt
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from milepost.records import Placement, Variant
from store.database import connect
from store.issues.issues import Issues
from store.ledger.ledger import Ledger
from store.schema.tables import subscriber
from tests.chaos.backends import Backend
from tests.chaos.dispatcher import Order, run

HERE = Path(__file__).parent
NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
MARK = "MILEPOST-UNSUBSCRIBE-4f1d"
LEASE = 2  # seconds
Fault = tuple[str, str, float, int]  # see oracle.py

# Processes that share nothing with us, and still start in milliseconds: forked from one that has imported all.
_START = multiprocessing.get_context("forkserver")
_START.set_forkserver_preload(["pytest", "tests.chaos.dispatcher", "tests.chaos.publisher"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What one fault did, in the table's words."""

    runs: int  # dispatchers started
    lost: int  # sent says the ledger and nobody took it, or it still waits and nobody paused
    duplicates: int  # messages taken beyond the first of a reader
    unknown: int
    listed: bool  # whoever got it and is not `sent` is `unknown` by name
    states: dict[str, int]
    silent: int = 0  # messages that the oracle took and never answered for
    seconds: float = 0.0  # how long it took; 0 where nobody asked


class Child:
    """A process at work."""

    def __init__(self, target: Any, *given: Any) -> None:
        self._said, theirs = _START.Pipe(duplex=False)
        self.process: BaseProcess = _START.Process(target=target, args=(*given, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def started(self) -> "Child":
        """Return when it has said so."""
        assert self._said.poll(60), "it did not start"
        assert self._said.recv() == "go"
        return self

    def end(self, seconds: float = 120) -> str:
        """Wait for it → what it said last; "" when it was killed. A traceback is a failure."""
        self.process.join(seconds)
        code = self.process.exitcode
        assert code is not None, f"still running after {seconds} s"
        assert code in (0, -signal.SIGKILL), f"it crashed: exit code {code}"
        try:
            said: str = self._said.recv() if self._said.poll() else ""
        except EOFError:
            said = ""
        self._said.close()
        return said

    def signal(self, number: int) -> None:
        if self.process.pid is not None and self.process.exitcode is None:
            os.kill(self.process.pid, number)

    def kill(self) -> bool:
        """kill -9; whether it was still alive."""
        alive = self.process.exitcode is None
        self.process.kill()
        self.process.join()
        return alive


class Line(NamedTuple):
    """One of the oracle's."""

    at: float
    what: str
    who: str
    message_id: str = ""


class World:
    """A frozen issue, and an oracle to send it to."""

    def __init__(self, url: str, port: int, log: Path, readers: int, mended: Path = Path("/nowhere")) -> None:
        self.mended = mended
        self.order = Order(url=url, port=port, lease=LEASE)
        self.url, self.log, self.readers = url, log, readers
        self.runs = 0
        self.children: list[Child] = []

    def start(self, **changes: Any) -> Child:
        """A dispatcher that has just begun; `changes` to its Order."""
        self.runs += 1
        child = Child(run, replace(self.order, **changes))
        self.children.append(child)
        return child.started()

    def finish(self, tries: int = 60, **changes: Any) -> None:
        """Dispatchers one after another, by nobody's hand, until nothing waits."""
        for _ in range(tries):
            self.start(**changes).end()
            states = self.recovered()
            if not states.keys() & {"pending", "claimed", "sending", "deferred"}:
                return
            if states.keys() & {"claimed", "sending"}:
                time.sleep(self.order.lease / 4)  # what a dead one held is free again when its lease is over
        raise AssertionError(f"deliveries still wait: {self.states()}")

    def recovered(self) -> dict[str, int]:
        with connect(self.url) as database:
            ledger = Ledger(database)
            ledger.recover(1)
            ledger.finish(1)
        return self.states()

    def until_it_holds(self, child: Child, seconds: float = 60) -> None:
        """Wait until a dispatcher has taken deliveries, or is at its end."""
        give_up = time.monotonic() + seconds
        with connect(self.url) as database:
            ledger = Ledger(database)
            while child.process.exitcode is None:
                if any(one.holder and one.holder.pid == child.process.pid for one in ledger.held(1)):
                    return
                assert time.monotonic() < give_up, "it took nothing"
                time.sleep(0.02)

    def mend(self) -> None:
        """The oracle's faults are over."""
        self.mended.touch()

    def resume(self) -> None:
        """An operator says that a paused issue may go on."""
        with connect(self.url) as database:
            Ledger(database).resume(1)

    def take_over(self) -> tuple[int, int]:
        """As `dispatch --take-over` does before it sends."""
        with connect(self.url) as database:
            return Ledger(database).take_over(1)

    def states(self) -> dict[str, int]:
        with connect(self.url) as database:
            counts = Ledger(database).counts(1)
            assert counts.balanced
            return {state: count for state, count in counts.states.items() if count}

    def lines(self, what: str = "") -> list[Line]:
        """What the oracle noted so far."""
        found = []
        for line in self.log.read_text().splitlines():
            at, *words = line.split()
            found.append(Line(float(at), *words))
        return [line for line in found if not what or line.what == what]

    def until(self, number: int, what: str = "took", seconds: float = 60) -> None:
        """Wait for so many lines of the oracle."""
        give_up = time.monotonic() + seconds
        while len(self.lines(what)) < number:
            assert time.monotonic() < give_up, f"{len(self.lines(what))} of {number}"
            time.sleep(0.02)

    def verdict(self) -> Verdict:
        taken: Counter[str] = Counter()
        names: dict[str, set[str]] = {}
        for line in self.lines("took"):
            taken[line.who] += 1
            names.setdefault(line.who, set()).add(line.message_id)
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
            listed=set(taken) - sent <= unknown, states=self.states(), silent=len(self.lines("silent")),
        )


def fill(url: str, addresses: Sequence[str], *, size: int = 60) -> None:
    """Subscribers of these addresses, and issue 1 frozen for them; `size`: so often a sentence of 48 letters, twice."""
    text = f"Issue 7\n\n{'A loom that plays chess, and what came of it. ' * size}\n\nLeave: {MARK}\n"
    html = f'<html lang="en"><body><p>{text[:-30]}</p><a href="{MARK}">Leave</a></body></html>'
    variant = Variant(name="all", subject="Issue 7", html=html, text=text, placeholder=MARK)
    with connect(url) as database:
        with database.begin() as connection:
            connection.execute(sa.insert(subscriber), [
                {"address": address, "normalized": address, "state": "active", "cadence": "weekly", "topics": [],
                 "created_at": NOW}
                for address in addresses
            ])
        Issues(database).draft("weekly", "2026-W47", [], [variant], subject="7", content_hash="0" * 64, now=NOW)
        Ledger(database).freeze(1, content_hash="0" * 64, place=lambda *_: Placement(variant="all"), now=NOW)


def names(number: int) -> list[str]:
    """So many invented readers."""
    return [f"r{n}@readers.example" for n in range(number)]


@contextmanager
def world(
    folder: Path, backend: Backend, readers: int, *, seed: int = 1, gap_ms: float = 0, faults: Sequence[Fault] = (),
    size: int = 60, window: int | None = None, session: tuple[int, str] | None = None,
) -> Iterator[World]:
    """A new world, its files in `folder`; whoever is still at work in it at the end is killed."""
    folder.mkdir(parents=True, exist_ok=True)
    url = backend.fresh(folder)
    fill(url, names(readers), size=size)
    plan, log = folder / "plan.json", folder / "oracle.log"
    plan.write_text(json.dumps(
        {"seed": seed, "gap_ms": gap_ms, "faults": faults, "window": window, "session": session}
    ))
    log.touch()
    with program("oracle.py", str(plan), str(log)) as port:
        here = World(url, port, log, readers, Path(f"{plan}.mended"))
        try:
            yield here
        finally:
            for child in here.children:
                child.kill()


@contextmanager
def program(name: str, *arguments: str) -> Iterator[int]:
    """One of the servers beside this file, at work → its port."""
    server = subprocess.Popen(
        [sys.executable, str(HERE / name), *arguments], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        yield int(server.stdout.readline())
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def kills(here: World, number: int, seed: int) -> int:
    """So many dispatchers, each killed at a random instant of its work; → how many were alive then."""
    dice, killed = random.Random(seed), 0  # noqa: S311 (a seed is to be played again)
    for _ in range(number):
        child = here.start()
        time.sleep(dice.uniform(0.0, 0.4))
        killed += child.kill()
    return killed


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """Several worlds in one row of the table."""
    states: Counter[str] = Counter()
    for verdict in verdicts:
        states.update(verdict.states)
    return Verdict(
        runs=sum(v.runs for v in verdicts), lost=sum(v.lost for v in verdicts),
        duplicates=sum(v.duplicates for v in verdicts), unknown=sum(v.unknown for v in verdicts),
        listed=all(v.listed for v in verdicts), states=dict(states), silent=sum(v.silent for v in verdicts),
    )


def table(rows: Sequence[tuple[str, str, Verdict]]) -> str:
    """The verdicts as one table; rows of (fault, backend, verdict)."""
    wide = max(10, *(len(backend) for _, backend, _ in rows))
    head = f"{'runs':>5} {'lost':>5} {'dup.':>5} {'unknown':>8}  {'listed':<6} ledger"
    lines = [f"{'fault':<36} {'backend':<{wide}} {head}"]
    lines += [
        f"{fault:<36} {backend:<{wide}} {v.runs:>5} {v.lost:>5} {v.duplicates:>5} {v.unknown:>8}"
        f"  {'all' if v.listed else 'NOT':<6} {' '.join(f'{state} {count}' for state, count in v.states.items())}"
        f"{f', {v.seconds:.0f} s' if v.seconds else ''}"
        for fault, backend, v in rows
    ]
    return "\n".join(lines)
