"""After a time in which nothing ran one run of each schedule does the work of all; what people asked for stays."""

import datetime as dt
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Self
from unittest import mock
from uuid import uuid4

import pytest

pytestmark = pytest.mark.usefixtures("no_run")
NOW = dt.datetime(2026, 11, 3, 12, 0, tzinfo=dt.UTC)


def run(
    name: str, hour: int, *, deployment: str | None = "d1", planned: bool = True, state: str = "Late",
    by: str | None = None, began: dt.datetime | None = None,
) -> Any:
    return SimpleNamespace(
        created_by=by and SimpleNamespace(type=by), start_time=began,
        id=name, name=name, deployment_id=deployment, parameters={"config": "milepost.toml"}, auto_scheduled=planned,
        expected_start_time=NOW.replace(hour=hour), state_name=state, state_type=None,
    )


def test_the_latest_of_each_job_stays() -> None:
    from flows.missed_runs import Due, superseded

    due = [Due.of(run(*one)) for one in (("c", 9), ("a", 7), ("b", 8))]
    other = Due.of(run("other", 7, deployment="d2"))
    assert [(one.name, by.name) for one, by in superseded([*due, other])] == [("a", "c"), ("b", "c")]
    assert superseded([*due[:1], other]) == []


def test_who_is_at_work_does_the_work_of_all_that_were_to_begin_before() -> None:
    from flows.missed_runs import Due, superseded

    due, begun = [Due.of(run("a", 7)), Due.of(run("c", 9))], Due.of(run("b", 8))
    assert [(one.name, by.name) for one, by in superseded(due, [begun])] == [("a", "c")]
    assert [(one.name, by.name) for one, by in superseded(due[:1], [begun])] == [("a", "b")]


def test_who_begins_now_does_the_work_of_all_that_are_due_and_is_called_by_its_own_time() -> None:
    from flows.missed_runs import Due, superseded

    due, begun = [Due.of(run("a", 7)), Due.of(run("c", 9))], Due.of(run("b", 8), begins=NOW)
    assert [(one.name, by.name, by.at.hour) for one, by in superseded(due, [begun])] == [("a", "b", 8), ("c", "b", 8)]


@pytest.mark.parametrize(("planned", "by", "alone"), [
    (True, None, True), (False, "AUTOMATION", True), (False, "DEPLOYMENT", False), (False, None, False),
])
def test_what_a_schedule_or_an_automation_asks_for_no_person_does(planned: bool, by: str | None, alone: bool) -> None:
    from flows.missed_runs import by_itself

    assert by_itself(run("a", 7, planned=planned, by=by)) is alone


def test_of_rounds_that_begin_at_one_moment_the_first_goes_on_and_each_other_is_told_who() -> None:
    from flows.missed_runs import began_before

    later = NOW + dt.timedelta(seconds=1)
    begun = [run("c", 7, began=later), run("b", 7, began=NOW), run("a", 7, began=NOW)]
    assert [began_before(ours, begun) for ours in ("a", "b", "c")] == [None, "a", "a"]
    assert began_before("unknown", begun) is None
    assert began_before("a", [begun[2]]) is None


def test_a_round_that_another_began_after_what_woke_it_ends_at_once_and_says_so() -> None:
    from prefect.context import FlowRunContext

    from flows.missed_runs import done_by_another

    which = str(uuid4())
    ours = run("ours", 7, deployment=which, planned=False, by="AUTOMATION", began=NOW)
    other = run("first", 7, began=NOW)
    asked: list[Any] = []

    class Begun(Server):
        def read_flow_runs(self, **given: Any) -> list[Any]:
            asked.append(given["flow_run_filter"])
            return super().read_flow_runs()

    def told(flow_run: Any, *runs: Any) -> str | None:
        context = SimpleNamespace(flow_run=flow_run)
        with (mock.patch("flows.missed_runs.get_client", return_value=Begun(*runs)),
              mock.patch.object(FlowRunContext, "get", return_value=context)):
            return done_by_another()

    assert told(ours, ours, other) == "first began after what woke this run, and looks at all of it."
    assert asked[0].start_time.after_ == ours.expected_start_time
    assert told(ours, ours) is None
    assert told(run("ours", 7, deployment=which, planned=False), ours, other) is None  # a person asked for it
    assert len(asked) == 2


class Server:
    """Gives a page of what waits, and notes what is said of whom; `deaf`: one whose state it will not change."""

    def __init__(self, *runs: Any, page: int = 3, deaf: str = "") -> None:
        self.runs, self.page, self.deaf, self.said = list(runs), page, deaf, dict[str, str]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def read_flow_runs(self, **_: Any) -> list[Any]:
        return self.runs[: self.page]

    def set_flow_run_state(self, run: str, state: Any) -> None:
        self.said[run] = f"{state.type.value} {state.name}: {state.message}"
        self.runs = [one for one in self.runs if one.id != run or run == self.deaf]


@pytest.fixture
def server() -> Iterator[Server]:
    told = Server(
        *(run(f"h{hour}", hour) for hour in range(6)), run("asked for", 1, planned=False),
        run("woken", 1, planned=False, by="AUTOMATION"), run("again", 2, state="AwaitingRetry"), page=4, deaf="h1",
    )
    with mock.patch("flows.missed_runs.get_client", return_value=told):
        yield told


def test_page_after_page_is_told_in_words_and_one_that_will_not_end_ends_it(server: Server) -> None:
    from flows.missed_runs import skip_missed_runs

    assert skip_missed_runs(NOW) == len(server.said)
    assert server.said["h0"] == ("CANCELLED Skipped: It was to begin at 2026-11-03 00:00 UTC and could not; the run of"
                                 " 2026-11-03 03:00 does its work.")
    assert not server.said.keys() & {"h5", "asked for", "again"}
    assert server.said.keys() >= {"h0", "h1", "h2", "h3"}


def test_a_run_that_somebody_asked_for_skips_nothing(server: Server) -> None:
    from prefect.context import FlowRunContext

    from flows.missed_runs import make_up_for_missed_runs

    assert make_up_for_missed_runs(NOW) == 0  # no run at all
    for one in (run("by hand", 9, planned=False), run("a part", 9, deployment=None)):
        with mock.patch.object(FlowRunContext, "get", return_value=SimpleNamespace(flow_run=one)):
            assert make_up_for_missed_runs(NOW) == 0
    assert not server.said
    with mock.patch.object(FlowRunContext, "get", return_value=SimpleNamespace(flow_run=run("planned", 9))):
        assert make_up_for_missed_runs(NOW) == len(server.said) > 0
