"""What Prefect's server watches, asked of the server's own matching: who is told of which end, and how often."""

import datetime as dt
from collections import Counter
from types import SimpleNamespace
from typing import Any, Self
from unittest import mock
from uuid import UUID, uuid4

import pytest

from milepost.settings import NotifySettings

pytestmark = pytest.mark.usefixtures("no_run")
NOTIFY = uuid4()
RUN = "prefect.flow-run.0"


def actions(notify: UUID | None = NOTIFY) -> dict[str, list[str]]:
    """Name → what is done."""
    from flows.automations import wanted

    return {one.name.removeprefix("Milepost: "): [act.type for act in one.actions]
            for one in wanted(notify, NotifySettings(), beat_s=180)}


def automations(notify: UUID | None = NOTIFY) -> dict[str, Any]:
    """Name → the trigger, as the server has it."""
    from prefect.server.events.schemas.automations import EventTrigger

    from flows.automations import wanted

    return {
        one.name.removeprefix("Milepost: "): EventTrigger.model_validate(one.trigger.model_dump(mode="json"))
        for one in wanted(notify, NotifySettings(), beat_s=180)
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


@pytest.mark.parametrize(("flow", "looked_into"), [
    ("run", True), ("approve", True), ("notify", False), ("somebody-else-s", False),
])
def test_a_silence_of_ours_wakes_notify_and_its_own_does_not(flow: str, looked_into: bool) -> None:
    """On a machine that is late each `notify` that waits for a process would wake another, which waits too."""
    from prefect.server.events.schemas.events import ReceivedEvent

    found = automations()
    for name, event in (("runs whose process died", "heartbeat"), ("runs that never began", "Pending")):
        told = ReceivedEvent.model_validate({
            "occurred": dt.datetime(2026, 11, 3, tzinfo=dt.UTC), "event": f"prefect.flow-run.{event}", "id": uuid4(),
            "resource": {"prefect.resource.id": RUN},
            "related": [{"prefect.resource.id": "prefect.flow.1", "prefect.resource.role": "flow",
                         "prefect.resource.name": flow}],
        })
        assert found[name].covers(told) is looked_into
        assert automations(None)[name].covers(told) is (looked_into or flow == "notify")


def test_a_silence_is_looked_into_and_without_a_deployment_for_that_the_server_decides() -> None:
    assert {tuple(done) for done in actions().values()} == {("run-deployment",)}
    alone = actions(None)
    assert list(alone) == ["runs whose process died", "runs that never began"]
    assert all(done == ["change-flow-run-state"] for done in alone.values())


class Server:
    """One with automations of ours, of an earlier release and of before that; `done` is what was asked of it."""

    def __init__(self, *names: str) -> None:
        self.there, self.done = [SimpleNamespace(id=uuid4(), name=name) for name in names], Counter[str]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def read_deployment_by_name(self, name: str) -> Any:
        assert name == "notify/notify"
        return SimpleNamespace(id=NOTIFY)

    def read_automations_by_name(self, name: str) -> list[Any]:
        return [one for one in self.there if one.name == name]

    def create_automation(self, automation: Any) -> None:
        self.done["made"] += 1
        self.there.append(SimpleNamespace(id=uuid4(), name=automation.name))

    def update_automation(self, automation_id: UUID, automation: Any) -> None:
        assert automation_id in [one.id for one in self.there if one.name == automation.name]
        self.done["brought up to date"] += 1

    def delete_automation(self, automation_id: UUID) -> None:
        self.done["deleted"] += 1
        self.there = [one for one in self.there if one.id != automation_id]


def test_twice_makes_no_doubles_and_takes_away_those_that_are_there() -> None:
    from flows import automations as ours

    server = Server("Milepost: runs that are not green", "Milepost: runs that are not green", "somebody else's")
    with mock.patch.object(ours, "get_client", return_value=server):
        for _ in range(2):
            names = ours.set_up(NotifySettings())
    assert Counter(one.name for one in server.there) == Counter([*names, "somebody else's"])
    assert server.done == {"made": 4, "deleted": 1, "brought up to date": 1 + 5}


def test_a_source_that_nobody_looks_at_is_missed_by_itself() -> None:
    missed = automations()["sources nobody looks at"]
    assert missed.within == dt.timedelta(hours=26)
    assert missed.for_each == {"prefect.resource.id"}
