"""Runs whose process died without a word: known by their silence, and never a run that may live."""

import datetime as dt
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("no_run")
NOW = dt.datetime(2026, 11, 3, 12, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(("state", "life", "minutes", "beat_s", "lost"), [
    ("PENDING", None, 14, 180, False), ("PENDING", None, 16, 180, True), ("PENDING", None, 16, None, True),
    ("PENDING", "alive", 6_000, 180, False), ("PENDING", "dead", 0, 180, True),
    ("RUNNING", None, 14, 180, False), ("RUNNING", None, 16, 180, True),
    ("RUNNING", None, 16, 600, False), ("RUNNING", None, 31, 600, True),  # three of its heartbeats may be missed
    ("RUNNING", None, 6_000, None, False),  # it never says that it lives
    ("RUNNING", "alive", 6_000, 180, False),  # the server was away: what the run said went nowhere
    ("RUNNING", "dead", 0, 180, True), ("RUNNING", "dead", 0, None, True), ("CANCELLING", "dead", 0, 180, True),
    ("RUNNING", "elsewhere", 8, 180, False), ("RUNNING", "elsewhere", 10, 180, True),  # its lease is over
    ("RUNNING", "elsewhere", 6_000, None, False),
])
def test_a_run_is_lost_when_it_is_proven_dead_or_nothing_was_heard_of_it_for_long(
    state: str, life: Any, minutes: int, beat_s: int | None, lost: bool
) -> None:
    from prefect.client.schemas.objects import StateType

    from flows import lost_runs

    heard, within = NOW - dt.timedelta(minutes=minutes), dt.timedelta(minutes=15)
    assert lost_runs.lost(StateType[state], life, heard, NOW, beat_s=beat_s, within=within, begun=NOW) is lost


@pytest.mark.parametrize(("begun", "lost"), [
    (None, False), (-60, False), (-2, False), (14, False), (15, False), (16, True),
])
def test_what_was_handed_over_waits_until_it_is_overtaken_by_what_was_due_long_after_it(
    begun: int | None, lost: bool
) -> None:
    """On a machine that is late each run waits for a process for an hour: none of them is dead."""
    from prefect.client.schemas.objects import StateType

    from flows import lost_runs

    handed_over, within = NOW - dt.timedelta(minutes=60), dt.timedelta(minutes=15)
    latest = None if begun is None else handed_over + dt.timedelta(minutes=begun)
    assert lost_runs.lost(
        StateType.PENDING, None, handed_over, NOW, beat_s=180, within=within, begun=latest
    ) is lost


@pytest.mark.parametrize(("state", "life", "minutes", "waits"), [
    ("PENDING", None, 16, True), ("PENDING", None, 14, False), ("PENDING", "alive", 16, False),
    ("RUNNING", None, 16, False),
])
def test_a_run_that_has_not_begun_for_long_is_told_of(state: str, life: Any, minutes: int, waits: bool) -> None:
    from prefect.client.schemas.objects import StateType

    from flows import lost_runs

    since, within = NOW - dt.timedelta(minutes=minutes), dt.timedelta(minutes=15)
    assert lost_runs.waits(StateType[state], life, since, NOW, within=within) is waits


def test_a_deployment_whose_runs_nobody_takes_waits_from_round_to_round_and_an_outage_counts_for_little() -> None:
    from flows.lost_runs import late
    from flows.missed_runs import Due
    from store.operators.waiting_runs import Late

    within = dt.timedelta(minutes=15)

    def due(deployment: str, *, handed_over: bool = False) -> Due:
        return Due(id="1", name="one", job="j", at=NOW, sees=NOW, deployment=deployment, handed_over=handed_over)

    def at(minutes: float) -> dt.datetime:
        return NOW + dt.timedelta(minutes=minutes)

    def waited(minutes: float) -> Late:
        return Late(since=NOW, waited=dt.timedelta(minutes=minutes))

    first = late({}, None, [due("a"), due("b"), due("c", handed_over=True)], NOW, within=within)
    assert first == {"a": waited(0), "b": waited(0)}
    second = late(first, NOW, [due("a"), due("d")], at(10), within=within)
    assert second == {"a": waited(10), "d": Late(since=at(10), waited=dt.timedelta(0))}
    assert late(second, at(10), [due("b")], at(25), within=within) == {"b": Late(since=at(25), waited=dt.timedelta(0))}
    assert late(second, at(10), [due("a")], at(2_000), within=within) == {"a": waited(25)}, "nothing ran meanwhile"
    assert late(second, at(10), [due("a")], at(-5), within=within) == {"a": waited(10)}, "the clock was set back"


def test_runs_that_wait_keep_a_round_from_being_green_and_say_for_how_long() -> None:
    from flows import outcomes

    told: dict[str, Any] = {"conditions": 1, "title": None, "sent": 0, "failed": []}
    found = outcomes.of_waiting([("soft-otter", dt.timedelta(minutes=17, seconds=20))])
    end = outcomes.end(found, outcomes.told_notices(told, ()))
    assert (end.name, end.kind) == ("Runs wait", "FAILED")
    assert end.says == "run soft-otter: waiting for a process for 17 minutes"
    green = outcomes.end(outcomes.of_waiting([]), outcomes.told_notices(told, ["soft-otter"]))
    assert (green.kind, green.says) == ("COMPLETED", "1 condition, 0 messages sent; lost: soft-otter")


class Server:
    """Answers with these events of a run."""

    def __init__(self, *events: str) -> None:
        self.events, self.asked = events, dict[str, Any]()

    def request(self, method: Any, path: Any, **given: Any) -> "Server":
        assert (method, path) == ("POST", "/events/filter")
        self.asked = given["json"]
        return self

    def json(self) -> dict[str, Any]:
        return {"events": [{"occurred": one} for one in self.events]}


def test_what_was_heard_last_counts_be_it_the_state_or_an_event() -> None:
    from flows.lost_runs import _heard

    server = Server("2026-11-03T12:30:00Z")
    assert _heard(server, "7", NOW) == NOW + dt.timedelta(minutes=30)
    assert server.asked["filter"] == {"resource": {"id": ["prefect.flow-run.7"]}, "order": "DESC"}
    assert _heard(Server("2026-11-03T11:30:00Z"), "7", NOW) == NOW
    assert _heard(Server(), "7", NOW) == NOW


def test_every_flow_of_ours_is_looked_after() -> None:
    import importlib
    import pkgutil

    import prefect

    import flows
    from flows.automations import FLOWS

    modules = [importlib.import_module(f"flows.{one.name}") for one in pkgutil.iter_modules(flows.__path__)]
    found = {one.name for module in modules for one in vars(module).values() if isinstance(one, prefect.Flow)}
    assert set(FLOWS) == found
