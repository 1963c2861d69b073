"""What Prefect's server is asked to watch: runs whose process died, runs that are not green, sources nobody looks at.

    a run's heartbeat stops ─▶ Crashed "Lost"      a run ends otherwise than green ─┐
                                                   no look at a source for N hours ─┴▶ the deployment notify/notify
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound

from flows.outcomes import NAMES

BEATS_S = 540  # three heartbeats of a flow's
_FLOWS = ("run", "scrape", "publish", "dispatch", "letters", "bounces", "backfill")  # `notify` would call itself
_ENDS = {f"prefect.flow-run.{name}" for name in (*NAMES, "Completed", "Cancelled", "Crashed", "Lost")}
_ALARMS = {f"prefect.flow-run.{name}" for name, kind in NAMES.items() if kind == "FAILED"} | {
    "prefect.flow-run.Crashed", "prefect.flow-run.Lost",
}


def wanted(notify: UUID | None, *, hours: float) -> list[AutomationCore]:
    """The automations; without `notify`, the deployment that tells operators, only the cure of lost runs."""
    beat, look = "prefect.flow-run.heartbeat", "milepost.look.ended"
    lost = "Its process died without a word: no heartbeat for 9 minutes. The next scheduled run goes on."
    automations = [AutomationCore(
        name="Milepost: runs whose process died",
        description="A run that sends no heartbeat any more is marked as crashed; else it would be Running for ever.",
        trigger=EventTrigger(
            after={beat}, expect={beat, *_ENDS}, match={"prefect.resource.id": "prefect.flow-run.*"},
            for_each={"prefect.resource.id"}, posture=Posture.Proactive, threshold=1, within=timedelta(seconds=BEATS_S),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, name="Lost", message=lost, force=False)],
    )]
    if notify is None:
        return automations
    tell = RunDeployment(source="selected", deployment_id=notify, parameters=None, job_variables=None)
    return [*automations, AutomationCore(
        name="Milepost: runs that are not green",
        description="Operators are told at once, by the channels of [notify] urls.",
        trigger=EventTrigger(
            expect=set(_ALARMS), match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={"prefect.resource.role": "flow", "prefect.resource.name": list(_FLOWS)},
            for_each={"prefect.resource.id"}, posture=Posture.Reactive, threshold=1, within=timedelta(0),
        ),
        actions=[tell],
    ), AutomationCore(
        name="Milepost: sources nobody looks at",
        description=f"No look at a source has ended for {hours:g} hours.",
        trigger=EventTrigger(
            after={look}, expect={look}, match={"prefect.resource.id": "milepost.source.*"},
            for_each={"prefect.resource.id"}, posture=Posture.Proactive, threshold=1, within=timedelta(hours=hours),
        ),
        actions=[tell],
    )]


def set_up(*, hours: float) -> Sequence[str]:
    """Make them on the server that PREFECT_API_URL names, or bring them up to date; returns their names."""
    names = []
    with get_client(sync_client=True) as client:
        try:
            notify: UUID | None = client.read_deployment_by_name("notify/notify").id
        except ObjectNotFound:
            notify = None
        for one in wanted(notify, hours=hours):
            there = client.read_automations_by_name(one.name)
            if there:
                client.update_automation(automation_id=there[0].id, automation=one)
            else:
                client.create_automation(one)
            names.append(one.name)
    return names
