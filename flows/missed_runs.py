"""After a time in which nothing ran: of the runs that were missed one a schedule begins, the rest end as skipped.

    scheduled runs whose time is past ─▶ the latest of each deployment stays ─▶ the others: Cancelled "Skipped"

A run looks at everything that happened since the last one: seven hours' worth of them at once would do one run's work.
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

    @classmethod
    def of(cls, run: Any) -> "Due":
        """A run as Prefect's client has it."""
        job = json.dumps([str(run.deployment_id), run.parameters], sort_keys=True, default=str)
        return cls(id=run.id, name=run.name, job=job, at=run.expected_start_time)


def superseded(due: Iterable[Due], begun: Collection[Due] = ()) -> list[tuple[Due, Due]]:
    """Those of the runs that need not begin, each with the later one that does their work. Pure.

    `begun`: runs that are at work already.
    """
    waiting = sorted(due, key=lambda run: run.at)
    latest = {run.job: run for run in sorted([*begun, *waiting], key=lambda run: run.at)}
    return [(run, latest[run.job]) for run in waiting if latest[run.job].id != run.id]


def make_up_for_missed_runs(now: dt.datetime) -> int:
    """In a run that a schedule began, and in no other: it does the work of all that were missed; returns how many."""
    context = FlowRunContext.get()
    ours = None if context is None else context.flow_run
    if ours is None or not (ours.deployment_id and ours.auto_scheduled):
        return 0  # within another, or asked for by a person
    return skip_missed_runs(now, [Due.of(ours)])


def skip_missed_runs(now: dt.datetime, begun: Collection[Due] = ()) -> int:
    """End what was missed, but for the latest of each; returns how many. A server in trouble is left in peace."""
    skipped: set[Any] = set()
    try:
        with get_client(sync_client=True) as client:
            while found := [pair for pair in superseded(_due(client, now), begun) if pair[0].id not in skipped]:
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


def _due(client: Any, now: dt.datetime) -> list[Due]:
    """Also those that were handed over and said no word yet: after a crash nobody works on them."""
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
        if run.deployment_id and run.auto_scheduled and run.state_name not in ("AwaitingRetry", "Resuming")
    ]
