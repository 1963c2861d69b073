"""Ends the runs whose process died, by what was last heard of them: a server that dies forgets what it waited for.

    runs that Prefect takes for living, the last event of each ─▶ silent for too long ─▶ Crashed "Lost"

The automations of the server (flows.automations) do the same sooner, where they survive; this is done by `notify`.
"""

import datetime as dt
import logging
from typing import Any, Protocol

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter, FlowRunFilterState
from prefect.client.schemas.filters import FlowRunFilterStateType as OfType
from prefect.client.schemas.objects import State, StateType
from prefect.settings import get_current_settings

from flows.automations import BEATS, BEGUN_S, FLOWS
from flows.outcomes import LOST

log = logging.getLogger("milepost.flows")

_LIVING = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
_MOST = 200  # in one round


class Client(Protocol):
    """What is used of Prefect's client."""

    def request(self, method: Any, path: Any, **given: Any) -> Any: ...


def silent(state: StateType, heard: dt.datetime, now: dt.datetime, *, beat_s: int | None) -> bool:
    """Whether a run in that state, of which something was last heard then, has no process any more. Pure.

    `beat_s`: how often a run that began says that it lives; None: it never does, so that nobody can know.
    """
    if state == StateType.PENDING:
        return now - heard > dt.timedelta(seconds=BEGUN_S)
    return beat_s is not None and now - heard > dt.timedelta(seconds=max(BEATS * beat_s, BEGUN_S))


def end_lost_runs(now: dt.datetime) -> list[str]:
    """Mark every run of our flows that is silent for too long as crashed; returns their names."""
    ended = []
    beat_s = get_current_settings().flows.heartbeat_frequency
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[*FLOWS])),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=OfType(any_=_LIVING))), limit=_MOST,
        )
        for run in found:
            if run.state is None or not silent(run.state.type, run.state.timestamp, now, beat_s=beat_s):
                continue  # its state is young enough: nobody need be asked
            if not silent(run.state.type, _heard(client, str(run.id), run.state.timestamp), now, beat_s=beat_s):
                continue
            client.set_flow_run_state(run.id, State(type=StateType.CRASHED, name=LOST, message=(
                "Nothing was heard of it any more: its process died. The next run goes on."
            )))
            ended.append(run.name)
    for name in ended:
        log.warning("the run %s was lost: its process died without a word", name)
    return ended


def _heard(client: Client, run: str, otherwise: dt.datetime) -> dt.datetime:
    """When the last event of a run was; `otherwise` without one."""
    wanted = {"filter": {"resource": {"id": [f"prefect.flow-run.{run}"]}, "order": "DESC"}, "limit": 1}
    events = client.request("POST", "/events/filter", json=wanted).json()["events"]
    return max(otherwise, *(dt.datetime.fromisoformat(one["occurred"]) for one in events)) if events else otherwise
