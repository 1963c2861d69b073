"""After a time in which nothing ran: of the runs that were missed one a schedule begins, the rest end as skipped.

    runs of schedules and automations whose time is past ─▶ one of each job stays ─▶ the others: Cancelled "Skipped"

A run looks at everything that happened since the last one: seven hours' worth of them at once would do one run's work.
So would the runs of `notify` that one crash wakes by several automations: whoever begins first looks for all of them.
"""

import datetime as dt
import json
import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas import filters
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException

from flows.automations import FLOWS
from flows.outcomes import SKIPPED

log = logging.getLogger("milepost.flows")
_MOST = 200  # in one request


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """A run that a schedule planned and that is to begin, or has begun."""

    id: Any  # Prefect's
    name: str
    job: str  # its deployment and parameters: runs of one job do the same
    at: dt.datetime  # when it was to begin
    sees: dt.datetime  # what happened by then; of one that has not begun, what happened before its time
    deployment: str = ""
    handed_over: bool = False  # to a process, that has not said a word yet

    @classmethod
    def of(cls, run: Any, *, begins: dt.datetime | None = None) -> "Due":
        """A run as Prefect's client has it; `begins`: of one that begins its work at that moment."""
        job = json.dumps([str(run.deployment_id), run.parameters], sort_keys=True, default=str)
        at = run.expected_start_time
        return cls(
            id=run.id, name=run.name, job=job, at=at, sees=begins or at, deployment=str(run.deployment_id),
            handed_over=run.state_type == StateType.PENDING,
        )


def superseded(due: Iterable[Due], begun: Collection[Due] = ()) -> list[tuple[Due, Due]]:
    """Those of the runs that need not begin, each with the later one that does their work. Pure.

    `begun`: runs that are at work already.
    """
    waiting = sorted(due, key=lambda run: run.at)
    latest = {run.job: run for run in sorted([*waiting, *begun], key=lambda run: run.sees)}
    return [(run, latest[run.job]) for run in waiting if latest[run.job].id != run.id]


def make_up_for_missed_runs(now: dt.datetime) -> int:
    """In a run that nobody asked for by hand, and in no other: it does the work of all that are due; returns how many.
    """
    ours = _unasked()
    return 0 if ours is None else skip_missed_runs(now, [Due.of(ours, begins=now)])


def done_by_another() -> str | None:
    """Why a run need not do its work: one of the same job has begun it after what woke this one. None: do it.

    Of two that begin at the same moment the first goes on: both see the other, and one of them is to do it.
    """
    ours = _unasked()
    if ours is None:
        return None
    try:
        with get_client(sync_client=True) as client:
            begun = client.read_flow_runs(
                flow_run_filter=filters.FlowRunFilter(
                    deployment_id=filters.FlowRunFilterDeploymentId(any_=[ours.deployment_id]),
                    state=filters.FlowRunFilterState(
                        type=filters.FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.COMPLETED])
                    ),
                    start_time=filters.FlowRunFilterStartTime.model_validate({"after_": ours.expected_start_time}),
                ),
                sort=FlowRunSort.START_TIME_ASC, limit=_MOST,
            )
    except (PrefectException, httpx.HTTPError) as error:
        log.warning("Prefect can't be asked who else is at it: %s", error)
        return None
    other = began_before(ours.id, begun)
    return None if other is None else f"{other} began after what woke this run, and looks at all of it."


def began_before(ours: Any, begun: Collection[Any]) -> str | None:
    """The name of the first of the runs that have begun, unless that is ours or ours is not among them. Pure."""
    if ours not in {run.id for run in begun}:
        return None
    first = min(begun, key=lambda run: (run.start_time, str(run.id)))
    return None if first.id == ours else str(first.name)


def _unasked() -> Any | None:
    """The run in which we are, where a schedule or an automation began it; None within another, or asked for by hand.
    """
    context = FlowRunContext.get()
    ours = None if context is None else context.flow_run
    return ours if ours is not None and ours.deployment_id and by_itself(ours) else None


def by_itself(run: Any) -> bool:
    """Whether a schedule or an automation asked for a run, and no person."""
    return bool(run.auto_scheduled or (run.created_by is not None and run.created_by.type == "AUTOMATION"))


def skip_missed_runs(now: dt.datetime, begun: Collection[Due] = ()) -> int:
    """End what was missed, but for the latest of each; returns how many. A server in trouble is left in peace."""
    skipped: set[Any] = set()
    try:
        with get_client(sync_client=True) as client:
            while found := [pair for pair in superseded(due_runs(client, now), begun) if pair[0].id not in skipped]:
                for run, by in found:
                    says = (f"It was to begin at {run.at:%Y-%m-%d %H:%M} UTC and could not; the run of"
                            f" {by.at:%Y-%m-%d %H:%M} does its work.")
                    client.set_flow_run_state(run.id, State(type=StateType.CANCELLED, name=SKIPPED, message=says))
                    skipped.add(run.id)
    except (PrefectException, httpx.HTTPError) as error:
        log.warning("Prefect can't be asked which runs were missed: %s", error)
    if skipped:
        log.warning("%d missed runs are skipped: the latest of each schedule does their work", len(skipped))
    return len(skipped)


def due_runs(client: Any, now: dt.datetime) -> list[Due]:
    """Runs that nobody asked for by hand, whose time has come; also those that were handed over and said no word yet:
    after a crash nobody works on them."""
    found = client.read_flow_runs(
        flow_filter=filters.FlowFilter(name=filters.FlowFilterName(any_=[*FLOWS])),
        flow_run_filter=filters.FlowRunFilter(
            state=filters.FlowRunFilterState(
                type=filters.FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.PENDING])
            ),
            expected_start_time=filters.FlowRunFilterExpectedStartTime.model_validate({"before_": now}),
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=_MOST,
    )
    return [
        Due.of(run) for run in found
        if run.deployment_id and by_itself(run) and run.state_name not in ("AwaitingRetry", "Resuming")
    ]
