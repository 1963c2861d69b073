"""kill -9 of Prefect's server, of what runs the schedules, of a run, of all: the next scheduled run goes on alone."""

import itertools
import os
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from store.database import connect
from store.issues.issues import Issues
from store.ledger.ledger import Ledger
from tests.chaos.backends import Backend
from tests.chaos.conftest import Told
from tests.chaos.runner import Verdict
from tests.chaos.service import Kind, Service, Victim, service, until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3_600)]

Moment = Literal["pending", "running", "dispatching"]
MOMENTS: tuple[Moment, ...] = ("pending", "running", "dispatching")
VICTIMS: tuple[Victim, ...] = ("flow", "runner", "server", "machine")
READERS = 30
CASES = list(itertools.product(VICTIMS, MOMENTS))  # all of them with CHAOS=full; else each in one of the four worlds


@pytest.mark.parametrize("kind", ["up", "worker"])
def test_whoever_is_killed_the_next_scheduled_run_goes_on(
    backend: Backend, kind: Kind, folder: Path, servers_database: Path, told: Told
) -> None:
    with service(folder / "it", backend.fresh(folder), kind, servers_database, readers=READERS, gap_ms=600) as here:
        here.start()
        until(lambda: here.looks() >= 1, "the baseline", here.alive)
        world = 2 * (backend.name == "postgresql") + (kind == "worker")
        for victim, moment in CASES if os.environ.get("CHAOS") == "full" else CASES[world::4]:
            before = here.issues()
            killed = kill(here, victim, moment)
            assert killed, f"no {victim} at {moment}"
            until(partial(done, here, before), f"news after the {victim} died {moment}", here.alive)
            told(f"Prefect: {victim} killed, {moment} ({kind})", backend, verdict(here), at_most=READERS)
        until(lambda: not zombies(here), "runs that nobody runs end", here.alive, 1_200)
        assert here.end() == 0
        assert not here.all_of_it()


def kill(here: Service, victim: Victim, moment: Moment) -> list[int]:
    """A story more, and at that moment of the run that finds it: kill -9."""
    moments: dict[Moment, Callable[[], object]] = {
        "pending": lambda: here.in_state("PENDING") and here.which(victim),
        "running": lambda: here.site.knocked.is_set(),
        "dispatching": lambda: len(here.taken()) - before >= 3,
    }
    before = len(here.taken())
    if moment == "running":
        here.site.shut()
    here.site.tell()
    until(moments[moment], f"a run is {moment}", here.alive)
    killed = here.kill(victim)
    here.site.gate.set()
    return killed


def done(here: Service, before: dict[int, str]) -> bool:
    """Another issue was made since, nothing more is to be told, each issue is at its end: sent, or a person's turn."""
    with connect(here.url) as database:
        if Issues(database).unannounced("instant"):
            return False
    issues = here.issues()
    ended = set(issues.values()) <= {"complete", "needs_review"} and here.states().keys() <= {"sent", "unknown"}
    return len(issues) > len(before) and ended


def zombies(here: Service) -> list[str]:
    """Runs that Prefect takes for living though no process of ours is at work on one."""
    if here.which("flow"):
        return ["perhaps"]
    return [run["name"] for run in here.in_state("PENDING", "RUNNING", "CANCELLING")]


def verdict(here: Service) -> Verdict:
    """What the oracle took against what the ledgers tell, of all issues so far."""
    taken = Counter((line.who, line.message_id) for line in here.taken())
    mails = Counter(who for who, _ in taken)
    states: dict[str, Counter[str]] = {}
    with connect(here.url) as database:
        for number in here.issues():
            for row in Ledger(database).rows(number):
                states.setdefault(row.state, Counter())[row.address] += 1
    sent, unknown = states.get("sent", Counter()), states.get("unknown", Counter())
    return Verdict(
        runs=len(here.runs(state={"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}})),
        lost=sum((sent - mails).values()), duplicates=sum(taken.values()) - len(taken), unknown=sum(unknown.values()),
        listed=not mails - sent - unknown, states=here.states(),
    )
