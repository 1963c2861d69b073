"""What Prefect's server is asked to watch: runs whose process died, runs that are not green, sources nobody looks at.

    a run's heartbeat stops, or it never begins ─┐
    a run ends otherwise than green ─────────────┼▶ notify/notify: tells operators, ends runs that are lost
    no look at a source for N hours ─────────────┘

A heartbeat that is missed is a suspicion: the server may have been away itself. flows.lost_runs asks the run's lease.
A silence of `notify` itself wakes nobody: on a machine that is late each of its runs that waits would make another.
"""

import datetime as dt
from collections.abc import Sequence
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings

from flows.outcomes import LOST, NAMES, SKIPPED
from milepost.settings import NotifySettings

_USUAL_BEAT_S = 180  # Prefect's default
BEATS = 3  # of a flow's run may be missed
_ENDS = {f"prefect.flow-run.{name}" for name in (*NAMES, "Completed", "Cancelled", "Crashed", LOST, SKIPPED)}
_HANDED_OVER = {f"prefect.flow-run.{name}" for name in ("Pending", "Submitting", "InfrastructurePending")}
_DIED = {"prefect.flow-run.Crashed", f"prefect.flow-run.{LOST}"}
_ALARMS = {f"prefect.flow-run.{name}" for name, kind in NAMES.items() if kind == "FAILED"} | _DIED
_ANY_RUN: dict[str, str | list[str]] = {"prefect.resource.id": "prefect.flow-run.*"}
_TELLS = "run"  # this flow calls `notify` before it ends, whatever it found; it can't when it dies
_TELL_NOT = ("scrape", "publish", "dispatch", "letters", "bounces", "backfill")  # `notify` would call itself
_ASKS = "notify"  # which of the silent are dead
FLOWS = (_TELLS, *_TELL_NOT, _ASKS, "approve", "release-hold", "refuse-hold", "resume-issue", "stop-issue")


def wanted(notify: UUID | None, rules: NotifySettings, *, beat_s: int) -> list[AutomationCore]:
    """The automations; without `notify`, the deployment that tells operators, only the cure of lost runs.

    `beat_s`: how often a run says that it lives.
    """
    beat, look = "prefect.flow-run.heartbeat", "milepost.look.ended"
    tell = None if notify is None else RunDeployment(
        source="selected", deployment_id=notify, parameters=None, job_variables=None,
    )
    automations = [
        _lost("Milepost: runs whose process died", after={beat}, expect={beat, *_ENDS},
              within=dt.timedelta(seconds=BEATS * beat_s), tell=tell),
        _lost("Milepost: runs that never began", after=_HANDED_OVER, within=dt.timedelta(minutes=rules.lost_minutes),
              expect={beat, *_ENDS, "prefect.flow-run.Running", "prefect.flow-run.Scheduled"}, tell=tell),
    ]
    if tell is None:
        return automations
    return [
        *automations, _alarm("Milepost: runs that are not green", _ALARMS, _TELL_NOT, tell),
        _alarm("Milepost: runs that died before they told", _DIED, (_TELLS,), tell),
        AutomationCore(
            name="Milepost: sources nobody looks at",
            description=f"No look at a source has ended for {rules.silent_hours:g} hours.",
            trigger=EventTrigger(
                after={look}, expect={look}, match={"prefect.resource.id": "milepost.source.*"},
                for_each={"prefect.resource.id"}, posture=Posture.Proactive, threshold=1,
                within=dt.timedelta(hours=rules.silent_hours),
            ),
            actions=[tell],
        ),
    ]


def _lost(
    name: str, *, after: set[str], expect: set[str], within: dt.timedelta, tell: RunDeployment | None
) -> AutomationCore:
    """Without a deployment that could look at its lease, the server itself says that the run is lost."""
    return AutomationCore(
        name=name, description="A run of which nothing is heard any more has crashed; else it would be there for ever.",
        trigger=EventTrigger(
            after=after, expect=expect, match=_ANY_RUN,
            match_related={
                "prefect.resource.role": "flow",
                "prefect.resource.name": [one for one in FLOWS if tell is None or one != _ASKS],
            },
            for_each={"prefect.resource.id"}, posture=Posture.Proactive, threshold=1, within=within,
        ),
        actions=[tell or ChangeFlowRunState(
            state=StateType.CRASHED, name=LOST, force=False,
            message=f"Nothing was heard of it for {within / dt.timedelta(minutes=1):g} minutes: its process died."
                    " The next run goes on.",
        )],
    )


def _alarm(name: str, events: set[str], flows: Sequence[str], tell: RunDeployment) -> AutomationCore:
    """Once a run: only those that a deployment began, not the runs within them, which end alike."""
    return AutomationCore(
        name=name, description="Operators are told at once, by the channels of [notify] urls.",
        trigger=EventTrigger(
            expect=events, match=_ANY_RUN, match_related=[
                {"prefect.resource.role": "flow", "prefect.resource.name": list(flows)},
                {"prefect.resource.role": "deployment"},
            ],
            for_each={"prefect.resource.id"}, posture=Posture.Reactive, threshold=1, within=dt.timedelta(0),
        ),
        actions=[tell],
    )


def set_up(rules: NotifySettings) -> Sequence[str]:
    """Make them on the server that PREFECT_API_URL names, or bring them up to date; returns their names.

    Two that ran at once may have made doubles: each is there once afterwards.
    """
    names = []
    with get_client(sync_client=True) as client:
        try:
            notify: UUID | None = client.read_deployment_by_name("notify/notify").id
        except ObjectNotFound:
            notify = None
        beat_s = get_current_settings().flows.heartbeat_frequency or _USUAL_BEAT_S
        for one in wanted(notify, rules, beat_s=beat_s):
            there = client.read_automations_by_name(one.name)
            if there:
                client.update_automation(automation_id=there[0].id, automation=one)
                for double in there[1:]:
                    client.delete_automation(double.id)
            else:
                client.create_automation(one)
            names.append(one.name)
    return names
