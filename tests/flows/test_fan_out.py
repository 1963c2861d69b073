"""One run a source: what becomes of each is said, also of one that no worker takes, or that takes too long."""

from collections.abc import Iterator
from typing import Any

import pytest

from milepost.dates import utc_now
from milepost.errors import MilepostError, UnderWayError
from milepost.settings import Settings
from pipeline.look.look_at_several import look_at_several
from pipeline.several import Stop, UnfinishedError
from store.database import Database
from store.milestones.looks import Looks

pytestmark = pytest.mark.usefixtures("no_run")
Story = list[tuple[str, str, str] | None]  # (type, name, message) at each question; the last one stays


class Runs:
    """A server that tells what it was told to tell."""

    def __init__(self, stories: dict[str, Story], database: Database | None = None) -> None:
        self._stories, self._database = stories, database
        self.off: dict[str, str] = {}
        self.begun: list[str] = []

    def begin(self, source: str) -> str:
        self.begun.append(source)
        return source

    def state(self, run: str) -> Any:
        from prefect.client.schemas.objects import State, StateType

        story = self._stories[run]
        told = story.pop(0) if len(story) > 1 else story[0]
        if told is None:
            return None
        kind, name, says = told
        if self._database is not None and name not in ("Scheduled", "Running"):
            looks = Looks(self._database)
            looks.finish(looks.start(run, utc_now()), state="complete", now=utc_now(), milestones=3,
                         held="a surge" if name == "Held" else None)
        return State(type=StateType[kind], name=name, message=says)

    def call_off(self, run: str, why: str) -> None:
        self.off[run] = why


class HeldRuns(Runs):
    """The run for clockwork leaves a held look as soon as it is asked for, whatever is asked of the server after."""

    def __init__(self, stories: dict[str, Story], database: Database) -> None:
        super().__init__(stories)
        self._looks = Looks(database)

    def begin(self, source: str) -> str:
        if source == "clockwork":
            self._looks.finish(self._looks.start(source, utc_now()), state="complete", now=utc_now(), milestones=3,
                               held="a surge")
        return super().begin(source)


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


WAITS, WORKS = ("SCHEDULED", "Scheduled", ""), ("RUNNING", "Running", "")
DONE, HELD = ("COMPLETED", "Completed", "1 source"), ("FAILED", "Held", "source clockwork: a surge")


@pytest.fixture
def clock() -> Iterator[Clock]:
    yield Clock()  # noqa: PT022 - its time goes on


def spread(settings: Settings, runs: Runs, clock: Clock) -> Any:
    from flows.fan_out import Spread

    return Spread(settings, runs, now=clock, sleep=clock.sleep)


def test_what_a_run_came_to_is_what_the_database_says(settings: Settings, database: Database, clock: Clock) -> None:
    told = spread(settings, Runs({"clockwork": [WAITS, None, WORKS, DONE]}, database), clock).look("clockwork", Stop())
    assert (told["state"], told["milestones"], "error" in told) == ("complete", 3, False)
    told = spread(settings, Runs({"clockwork": [HELD]}, database), clock).look("clockwork", Stop())
    assert (told["state"], told["held"]) == ("held", "a surge")


@pytest.mark.parametrize(("ended", "error", "says"), [
    (("CRASHED", "Lost", "its process died"), MilepostError, "its run ended as Lost: its process died"),
    (("FAILED", "Failed", "source clockwork: clockwork: nobody answers"), MilepostError, "Failed: nobody answers"),
    (("CANCELLED", "Cancelled", ""), MilepostError, "its run ended as Cancelled: nothing is known of why"),
    (("CANCELLED", "Held by another", "another look is under way"), UnderWayError, "another look is under way"),
    (DONE, MilepostError, "its run ended as Completed and left no look"),
])
def test_a_run_that_left_no_look_says_why(
    settings: Settings, clock: Clock, ended: Any, error: type[MilepostError], says: str
) -> None:
    with pytest.raises(error, match=says):
        spread(settings, Runs({"clockwork": [WORKS, ended]}), clock).look("clockwork", Stop())


def test_a_run_that_no_worker_takes_is_called_off(settings: Settings, clock: Clock) -> None:
    runs = Runs({"clockwork": [WAITS]})
    with pytest.raises(MilepostError, match="no worker has taken its run for 10 minutes, nor taken any other"):
        spread(settings, runs, clock).look("clockwork", Stop())
    assert (list(runs.off), 600 < clock.seconds < 610) == (["clockwork"], True)


def test_a_run_that_was_taken_and_never_begun_is_called_off(settings: Settings, clock: Clock) -> None:
    runs = Runs({"clockwork": [*[WAITS] * 200, ("PENDING", "Pending", "")]})
    with pytest.raises(MilepostError, match="no worker has begun its run for 10 minutes"):
        spread(settings, runs, clock).look("clockwork", Stop())
    assert 1000 < clock.seconds < 1010


def test_a_run_waits_as_long_as_workers_take_others(settings: Settings, database: Database, clock: Clock) -> None:
    runs = Runs({"clockwork": [*[WAITS] * 290, WORKS, DONE], "later": [*[WAITS] * 295, WORKS, DONE]}, database)
    workers = spread(settings, runs, clock)
    assert workers.look("clockwork", Stop())["state"] == "complete"
    assert workers.look("later", Stop())["state"] == "complete"
    assert clock.seconds > 1100


def test_a_run_that_takes_too_long_is_called_off(settings: Settings, clock: Clock) -> None:
    runs = Runs({"clockwork": [WAITS, WORKS]})
    with pytest.raises(MilepostError, match="its run was not done within 180 minutes: called off"):
        spread(settings, runs, clock).look("clockwork", Stop())
    assert list(runs.off) == ["clockwork"]


def test_a_run_whose_parent_is_stopped_is_called_off(settings: Settings, clock: Clock) -> None:
    stop, runs = Stop(), Runs({"clockwork": [WORKS]})
    stop.set()
    with pytest.raises(KeyboardInterrupt):
        spread(settings, runs, clock).look("clockwork", stop)
    assert list(runs.off) == ["clockwork"]


def test_several_end_in_the_truth_of_each(settings: Settings, database: Database, clock: Clock) -> None:
    """The names of those that failed or are held are those of the whole run's findings."""
    from flows import outcomes

    other = settings.sources[0].model_copy(update={"key": "other", "fetch_from": "http://127.0.0.1:10"})
    settings = settings.model_copy(update={"sources": (*settings.sources, other)})
    runs = HeldRuns({"clockwork": [WORKS, HELD], "other": [WORKS, None, ("CRASHED", "Lost", "its process died")]},
                    database)
    with pytest.raises(UnfinishedError) as unfinished:
        look_at_several(settings, ["clockwork", "other"], spread(settings, runs, clock).look, at_once=2)
    end = outcomes.end(outcomes.of_looks(unfinished.value.result), "done")
    assert (end.name, [(one.name, one.about) for one in end.findings]) == (
        "Failed", [("Failed", "source other"), ("Held", "source clockwork")])


def test_without_a_server_nobody_waits_for_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.fan_out import PrefectRuns

    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(MilepostError, match="wants a server and its workers"):
        PrefectRuns("milepost.toml", full=False)
