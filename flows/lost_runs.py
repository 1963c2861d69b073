"""Ends the runs whose process died: by their lease in our database, and by what was last heard of them.

    runs that Prefect takes for living ─▶ whose lease is in force: they live, whatever the server missed
                                       ─▶ proven dead, or silent for too long ─▶ Crashed "Lost"

Prefect's server forgets what its automations waited for when it is started again (flows.automations): hence `notify`
asks for itself, on its schedule and whenever an automation wakes it.
"""

import datetime as dt
import logging
from typing import Any, Protocol

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter, FlowRunFilterState
from prefect.client.schemas.filters import FlowRunFilterStateType as OfType
from prefect.client.schemas.objects import State, StateType
from prefect.settings import get_current_settings

from flows.automations import BEATS, FLOWS
from flows.outcomes import LOST
from store import holders
from store.engine import Database
from store.holders import Life
from store.run_leases import RunLeases

log = logging.getLogger("milepost.flows")

_LIVING = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
_MOST = 200  # in one round


class Client(Protocol):
    """What is used of Prefect's client."""

    def request(self, method: Any, path: Any, **given: Any) -> Any: ...


def lost(
    state: StateType, life: Life | None, heard: dt.datetime, now: dt.datetime, *, beat_s: int | None,
    within: dt.timedelta,
) -> bool:
    """Whether a run in that state, of which something was last heard then, has no process any more. Pure.

    `life`: what its lease says, None without one: it has not begun, or is at its end; `beat_s`: how often a run that
    began says that it lives, None: it never does; `within`: the silence that a run without a lease may keep.
    """
    if life in ("alive", "dead"):
        return life == "dead"
    silence = now - heard
    if state == StateType.PENDING:
        return silence > within
    if beat_s is None:
        return False  # nobody can know
    beats = dt.timedelta(seconds=BEATS * beat_s)
    return silence > (beats if life == "elsewhere" else max(beats, within))


def end_lost_runs(database: Database, now: dt.datetime, *, within: dt.timedelta) -> list[str]:
    """Mark every run of our flows that is lost as crashed; returns their names."""
    ended = []
    beat_s = get_current_settings().flows.heartbeat_frequency
    leases = RunLeases(database)
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[*FLOWS])),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=OfType(any_=_LIVING))), limit=_MOST,
        )
        lives = leases.lives([str(run.id) for run in found], holders.me())
        for run in found:
            if run.state is None:
                continue
            kind, since, life = run.state.type, run.state.timestamp, lives.get(str(run.id))
            if not lost(kind, life, since, now, beat_s=beat_s, within=within):
                continue  # its state is young enough: nobody need be asked
            if not lost(kind, life, _heard(client, str(run.id), since), now, beat_s=beat_s, within=within):
                continue
            client.set_flow_run_state(run.id, State(type=StateType.CRASHED, name=LOST, message=(
                "Its process died without a word. The next run goes on."
            )))
            leases.let_go(str(run.id))
            ended.append(run.name)
    for name in ended:
        log.warning("the run %s was lost: its process died without a word", name)
    return ended


def _heard(client: Client, run: str, otherwise: dt.datetime) -> dt.datetime:
    """When the last event of a run was; `otherwise` without one."""
    wanted = {"filter": {"resource": {"id": [f"prefect.flow-run.{run}"]}, "order": "DESC"}, "limit": 1}
    events = client.request("POST", "/events/filter", json=wanted).json()["events"]
    return max(otherwise, *(dt.datetime.fromisoformat(one["occurred"]) for one in events)) if events else otherwise
