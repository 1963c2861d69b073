"""kill -9 of Prefect's server, of what runs the schedules, of a run, of all: the next scheduled run goes on alone."""

import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from store.database import connect
from store.issues.issues import Issues
from store.ledger.ledger import Ledger
from tests.chaos.backends import Backend, Postgresql
from tests.chaos.conftest import Told
from tests.chaos.runner import Verdict
from tests.chaos.service import Kind, Service, Victim, service, until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1_800)]

Moment = Literal["pending", "running", "dispatching"]
World = tuple[str, Kind]  # the database, ours and Prefect's; who runs the schedules
WORLDS: list[World] = [("sqlite", "up"), ("sqlite", "worker"), ("postgresql", "up"), ("postgresql", "worker")]
VICTIMS: tuple[Victim, ...] = ("flow", "runner", "server", "machine")
MOMENTS: tuple[Moment, ...] = ("pending", "running", "dispatching")
CASES = [(victim, moment) for victim in VICTIMS for moment in MOMENTS]
READERS = 20
ENDED_S = 600.0  # what nobody runs is called lost: two minutes after its hand-over, told by the next run


@pytest.fixture(scope="module", params=WORLDS, ids="-".join)
def world(request: pytest.FixtureRequest) -> World:
    found: World = request.param
    return found


@pytest.fixture(scope="module")
def here(
    world: World, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """One start for all the kills of a world: a supervisor starts again whoever is killed, the test a machine."""
    name, kind = world
    backend: Backend = request.getfixturevalue({"postgresql": "postgresql_backend"}.get(name, name))
    folder = tmp_path_factory.mktemp("-".join(world))
    servers: Path | str = (
        backend.empty() if isinstance(backend, Postgresql) else request.getfixturevalue("servers_database")
    )
    with service(folder / "it", backend.fresh(folder), kind, servers, readers=READERS, gap_ms=900) as one:
        one.start()
        until(lambda: one.looks() >= 1, "the baseline", one.alive)
        yield one


@pytest.mark.parametrize(("victim", "moment"), CASES)
def test_whoever_is_killed_the_next_scheduled_run_goes_on(
    world: World, here: Service, victim: Victim, moment: Moment, told: Told
) -> None:
    if os.environ.get("CHAOS") != "full" and CASES.index((victim, moment)) % 4 != WORLDS.index(world):
        pytest.skip("played in another world; CHAOS=full plays all twelve in each")
    begun, before, mails = time.monotonic(), here.issues(), len(here.taken())
    assert kill(here, victim, moment), f"no {victim} at {moment}"
    until(partial(done, here, before), f"news after the {victim} died {moment}", here.alive)
    took = time.monotonic() - begun
    told(f"Prefect: {victim} killed, {moment}", "-".join(world), verdict(here, before, mails=mails, seconds=took),
         at_most=READERS)


def test_afterwards_no_run_is_left_that_nobody_runs(here: Service) -> None:
    until(lambda: not zombies(here), "runs that nobody runs end", here.alive, ENDED_S)
    assert here.end() == 0
    # a run of schedules that were killed has lost its parent: it goes on alone, to its end
    until(lambda: not here.all_of_it(), "nobody is left", seconds=ENDED_S)


def kill(here: Service, victim: Victim, moment: Moment) -> list[int]:
    """A story more, and at that moment of the run that finds it: kill -9."""
    moments: dict[Moment, Callable[[], object]] = {
        "pending": lambda: here.in_state("PENDING", deployment="hourly") and here.which(victim),
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
    """Runs that Prefect takes for living though no process of ours is at work on them; all that begins goes on."""
    living = here.in_state("PENDING", "RUNNING", "CANCELLING")
    at_work = here.runs_at_work()
    return [run["name"] for run in living if run["id"] not in at_work]


def verdict(here: Service, before: Collection[int] = (), *, mails: int = 0, seconds: float = 0.0) -> Verdict:
    """What the oracle took against what the ledgers tell, of the issues made since: after so many mails."""
    taken = Counter((line.who, line.message_id) for line in here.taken()[mails:])
    got = Counter(who for who, _ in taken)
    states: dict[str, Counter[str]] = {}
    with connect(here.url) as database:
        for number in here.issues().keys() - set(before):
            for row in Ledger(database).rows(number):
                states.setdefault(row.state, Counter())[row.address] += 1
    sent, unknown = states.get("sent", Counter()), states.get("unknown", Counter())
    return Verdict(
        runs=len(here.runs(state={"type": {"any_": ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]}})),
        lost=sum((sent - got).values()), duplicates=sum(taken.values()) - len(taken), unknown=sum(unknown.values()),
        listed=not got - sent - unknown, states={state: sum(which.values()) for state, which in states.items()},
        seconds=seconds,
    )
