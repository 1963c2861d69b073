"""Ends the runs whose process died: by their lease in our database, and by what was last heard of them.

    runs that Prefect takes for living ─▶ whose lease is in force: they live, whatever the server missed
                                       ─▶ proven dead, or silent for too long ─▶ Crashed "Lost"
                                       ─▶ not begun yet, as none that was due after them: they wait for a process
    runs that are due, and taken by nobody ─▶ through several rounds, none of their deployment has begun: they wait too

Prefect's server forgets what its automations waited for when it is started again (flows.automations): hence `notify`
asks for itself, on its schedule and whenever an automation wakes it.
"""

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterStartTime,
    FlowRunFilterState,
)
from prefect.client.schemas.filters import FlowRunFilterStateType as OfType
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import get_current_settings

from flows.automations import BEATS, FLOWS
from flows.missed_runs import Due, due_runs
from flows.outcomes import LOST
from store import holders
from store.engine import Database
from store.holders import Life
from store.operators import waiting_runs
from store.operators.waiting_runs import Late
from store.run_leases import RunLeases

log = logging.getLogger("milepost.flows")

_LIVING = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
_BEGUN = [StateType.RUNNING, StateType.COMPLETED, StateType.FAILED]  # not what was ended before it began
_MOST = 200  # in one round
_ROUNDS = 2  # each as long as a run may wait: what stood still for one of them may have been the machine


@dataclass(frozen=True, kw_only=True, slots=True)
class Silent:
    """What one round came to, by the names of the runs."""

    lost: tuple[str, ...] = ()  # ended
    waiting: tuple[tuple[str, dt.timedelta], ...] = ()  # for a process, for so long


class Client(Protocol):
    """What is used of Prefect's client."""

    def request(self, method: Any, path: Any, **given: Any) -> Any: ...


def lost(
    state: StateType, life: Life | None, heard: dt.datetime, now: dt.datetime, *, beat_s: int | None,
    within: dt.timedelta, begun: dt.datetime | None,
) -> bool:
    """Whether a run in that state, of which something was last heard then, has no process any more. Pure.

    `life`: what its lease says, None without one: it has not begun, or is at its end; `beat_s`: how often a run that
    began says that it lives, None: it never does; `within`: the silence that a run without a lease may keep; `begun`:
    the latest time for which a run was planned that has begun. On a machine that is late all runs wait for a process;
    one that was overtaken by those planned so much later than it was handed over has none.
    """
    if life in ("alive", "dead"):
        return life == "dead"
    silence = now - heard
    if state == StateType.PENDING:
        return begun is not None and begun - heard > within
    if beat_s is None:
        return False  # nobody can know
    beats = dt.timedelta(seconds=BEATS * beat_s)
    return silence > (beats if life == "elsewhere" else max(beats, within))


def waits(state: StateType, life: Life | None, since: dt.datetime, now: dt.datetime, *, within: dt.timedelta) -> bool:
    """Whether a run that is not lost was handed over so long ago and has not begun. Pure."""
    return state == StateType.PENDING and life is None and now - since > within


def late(
    before: Mapping[str, Late], last: dt.datetime | None, due: Sequence[Due], now: dt.datetime, *, within: dt.timedelta
) -> dict[str, Late]:
    """Deployment → since when each round found a run of it that is due and that nobody took. Pure.

    Between two rounds as much as `within` counts: in a longer time nobody was there to take anything. So what was
    missed in an outage has that time to begin after it before anybody is told.
    """
    passed = dt.timedelta(0) if last is None else min(max(now - last, dt.timedelta(0)), within)
    found = {run.deployment for run in due if not run.handed_over}
    return {
        one: Late(since=now, waited=dt.timedelta(0)) if known is None else
        Late(since=known.since, waited=known.waited + passed)
        for one in sorted(found) for known in [before.get(one)]
    }


def _taken_by_nobody(
    client: Any, database: Database, now: dt.datetime, within: dt.timedelta
) -> list[tuple[str, dt.timedelta]]:
    """The runs of the schedules that are due in all rounds for _ROUNDS times `within` while none of theirs begins."""
    due = due_runs(client, now)
    last, before = waiting_runs.late(database)
    kept = late(before, last, due, now, within=within)
    for deployment, one in list(kept.items()):
        if one.waited >= _ROUNDS * within and _begun_since(client, deployment, one.since):
            kept[deployment] = Late(since=now, waited=dt.timedelta(0))
    waiting_runs.note_late(database, now, kept)
    return [
        (run.name, now - kept[run.deployment].since) for run in due
        if not run.handed_over and kept[run.deployment].waited >= _ROUNDS * within
    ]


def _begun_since(client: Any, deployment: str, since: dt.datetime) -> bool:
    return bool(client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId.model_validate({"any_": [deployment]}),
            start_time=FlowRunFilterStartTime.model_validate({"after_": since}),
        ),
        limit=1,
    ))


def end_lost_runs(database: Database, now: dt.datetime, *, within: dt.timedelta) -> Silent:
    """Mark every run of our flows that is lost as crashed; those that only wait are told of and left in peace."""
    ended: list[str] = []
    waiting: list[tuple[str, dt.timedelta]] = []
    beat_s = get_current_settings().flows.heartbeat_frequency
    leases = RunLeases(database)
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[*FLOWS])),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=OfType(any_=_LIVING))), limit=_MOST,
        )
        begun = _begun(client) if found else None
        lives = leases.lives([str(run.id) for run in found], holders.me())
        for run in found:
            if run.state is None:
                continue
            kind, since, life = run.state.type, run.state.timestamp, lives.get(str(run.id))

            def is_lost(heard: dt.datetime, *, kind: StateType = kind, life: Life | None = life) -> bool:
                return lost(kind, life, heard, now, beat_s=beat_s, within=within, begun=begun)

            # Where its state is young enough nobody need be asked what was heard of it.
            if not (is_lost(since) and is_lost(_heard(client, str(run.id), since))):
                if waits(kind, life, since, now, within=within):
                    waiting.append((run.name, now - since))
                continue
            client.set_flow_run_state(run.id, State(type=StateType.CRASHED, name=LOST, message=_says(kind)))
            leases.let_go(str(run.id))
            ended.append(run.name)
        waiting += _taken_by_nobody(client, database, now, within)
    waiting_runs.note(database, now, waiting)
    for name in ended:
        log.warning("the run %s was lost: its process died without a word", name)
    return Silent(lost=tuple(ended), waiting=tuple(waiting))


def _says(state: StateType) -> str:
    if state == StateType.PENDING:
        return ("It was handed over and never began, and runs that were due long after it have: its process died. The"
                " next run of the schedule goes on; what a person asked for is to be asked for again.")
    return "Its process died without a word. The next run goes on."


def _begun(client: Any) -> dt.datetime | None:
    """The latest time for which a run of a deployment of ours was planned that has begun."""
    found = client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[*FLOWS])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=OfType(any_=_BEGUN)),
            deployment_id=FlowRunFilterDeploymentId(is_null_=False),
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1,
    )
    return found[0].expected_start_time if found else None


def _heard(client: Client, run: str, otherwise: dt.datetime) -> dt.datetime:
    """When the last event of a run was; `otherwise` without one."""
    wanted = {"filter": {"resource": {"id": [f"prefect.flow-run.{run}"]}, "order": "DESC"}, "limit": 1}
    events = client.request("POST", "/events/filter", json=wanted).json()["events"]
    return max(otherwise, *(dt.datetime.fromisoformat(one["occurred"]) for one in events)) if events else otherwise
