"""What Prefect's server watches, asked of the server's own matching: who is told of which end, and how often."""

import datetime as dt
from typing import Any
from uuid import UUID, uuid4

import pytest

pytestmark = pytest.mark.usefixtures("no_run")
NOTIFY = uuid4()
RUN = "prefect.flow-run.0"


def automations(notify: UUID | None = NOTIFY) -> dict[str, Any]:
    """Name → the trigger, as the server has it."""
    from prefect.server.events.schemas.automations import EventTrigger

    from flows.automations import wanted

    return {
        one.name.removeprefix("Milepost: "): EventTrigger.model_validate(one.trigger.model_dump(mode="json"))
        for one in wanted(notify, hours=26.0, beat_s=180)
    }


def waking(event: str, flow: str, *, deployed: bool = True) -> list[str]:
    """The automations that fire at once when a run of `flow` ends so."""
    from prefect.server.events.schemas.automations import Posture
    from prefect.server.events.schemas.events import ReceivedEvent

    related = [{"prefect.resource.id": f"prefect.flow.{flow}", "prefect.resource.role": "flow",
                "prefect.resource.name": flow}]
    if deployed:
        related.append({"prefect.resource.id": "prefect.deployment.1", "prefect.resource.role": "deployment",
                        "prefect.resource.name": "hourly"})
    told = ReceivedEvent.model_validate({
        "occurred": dt.datetime(2026, 11, 3, tzinfo=dt.UTC), "event": event, "resource": {"prefect.resource.id": RUN},
        "related": related, "id": uuid4(),
    })
    return [name for name, one in automations().items() if one.posture == Posture.Reactive and one.covers(told)
            and one.expects(told.event)]


@pytest.mark.parametrize(("event", "flow", "by"), [
    ("prefect.flow-run.Held", "scrape", "runs that are not green"),
    ("prefect.flow-run.Paused by relay", "dispatch", "runs that are not green"),
    ("prefect.flow-run.Waits for approval", "publish", "runs that are not green"),
    ("prefect.flow-run.Failed", "bounces", "runs that are not green"),
    ("prefect.flow-run.Lost", "letters", "runs that are not green"),
    ("prefect.flow-run.Crashed", "run", "runs that died before they told"),
    ("prefect.flow-run.Lost", "run", "runs that died before they told"),
])
def test_a_run_that_is_not_green_is_told_of_once(event: str, flow: str, by: str) -> None:
    assert waking(event, flow) == [by]


@pytest.mark.parametrize(("event", "flow", "deployed"), [
    ("prefect.flow-run.Held", "scrape", False),  # within a run that ends alike
    ("prefect.flow-run.Held", "run", True),  # it has told already
    ("prefect.flow-run.Completed", "scrape", True),
    ("prefect.flow-run.Held by another", "dispatch", True),  # it passes by itself
    ("prefect.flow-run.Failed", "notify", True),  # it would call itself for ever
    ("prefect.flow-run.Crashed", "somebody-else-s", True),
])
def test_what_needs_no_word_wakes_nobody(event: str, flow: str, deployed: bool) -> None:
    assert waking(event, flow, deployed=deployed) == []


def test_a_run_of_which_nothing_is_heard_is_lost_and_every_end_is_a_word() -> None:
    from flows.outcomes import NAMES

    died, unborn = automations()["runs whose process died"], automations()["runs that never began"]
    assert (died.after, died.within) == ({"prefect.flow-run.heartbeat"}, dt.timedelta(seconds=540))
    assert unborn.after == {f"prefect.flow-run.{name}" for name in ("Pending", "Submitting", "InfrastructurePending")}
    assert unborn.within == dt.timedelta(seconds=900)
    for name in (*NAMES, "Completed", "Cancelled", "Crashed", "Lost"):
        assert died.expects(f"prefect.flow-run.{name}")
        assert unborn.expects(f"prefect.flow-run.{name}")
    assert died.expects("prefect.flow-run.heartbeat")
    assert not died.expects("prefect.flow-run.Pending")
    assert unborn.expects("prefect.flow-run.Running")
    assert not unborn.expects("prefect.flow-run.Pending")


def test_without_a_deployment_that_tells_lost_runs_end_all_the_same() -> None:
    assert list(automations(None)) == ["runs whose process died", "runs that never began"]


def test_a_source_that_nobody_looks_at_is_missed_by_itself() -> None:
    missed = automations()["sources nobody looks at"]
    assert missed.within == dt.timedelta(hours=26)
    assert missed.for_each == {"prefect.resource.id"}
