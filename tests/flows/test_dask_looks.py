"""Looks by a Dask cluster: what becomes of a task is said in Prefect's words; tests.chaos.test_dask has a cluster."""

import pickle
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from milepost.errors import MilepostError, UnderWayError
from milepost.settings import Settings

pytestmark = pytest.mark.usefixtures("no_run")


@dataclass
class Future:
    """A task as Dask's client has it."""

    key: str
    status: str = "pending"
    came_to: Any = None

    def result(self) -> Any:
        return self.came_to

    def exception(self) -> Any:
        return self.came_to

    def cancel(self) -> None:
        self.status = "cancelled"


class Client:
    at_work: tuple[str, ...] = ()

    def processing(self) -> dict[str, tuple[str, ...]]:
        return {"tcp://127.0.0.1:1": (), "tcp://127.0.0.1:2": self.at_work}


def test_a_task_is_followed_from_its_queue_to_its_end() -> None:
    from prefect.client.schemas.objects import State, StateType

    from flows.dask_looks import DaskRuns

    future, client = Future("look-1"), Client()
    runs = DaskRuns({"clockwork": future}.__getitem__, client)
    assert runs.begin("clockwork") == "look-1"

    def state() -> tuple[StateType, str | None, str | None]:
        told = runs.state("look-1")
        assert told is not None
        return told.type, told.name, told.message

    assert state()[0] is StateType.SCHEDULED
    client.at_work = ("look-1",)
    assert state()[0] is StateType.RUNNING
    future.status, future.came_to = "error", RuntimeError("killed by the kernel")
    assert state() == (StateType.CRASHED, "Crashed", "its process died: killed by the kernel")
    future.status = "lost"
    assert state() == (StateType.CRASHED, "Crashed", "its process died: nobody knows of it any more")
    future.status, future.came_to = "finished", State(type=StateType.FAILED, name="Held", message="a surge")
    assert state() == (StateType.FAILED, "Held", "a surge")
    runs.call_off("look-1", "it took too long")
    assert state()[0] is StateType.CANCELLED


def test_what_a_task_of_another_process_came_to_arrives_whole() -> None:
    from flows.states import NotGreenError

    held = pickle.loads(pickle.dumps(NotGreenError("it is held", {"look_id": 3})))  # noqa: S301 (our own)
    assert (str(held), held.result) == ("it is held", {"look_id": 3})
    error = pickle.loads(pickle.dumps(UnderWayError("another look", where="clockwork")))  # noqa: S301
    assert (type(error), str(error)) == (UnderWayError, "clockwork: another look")


def test_without_the_extra_or_a_server_it_says_what_is_missing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.dask_looks import dask_runs

    def refused() -> str:
        with pytest.raises(MilepostError) as error, dask_runs(settings, lambda _: (None, {}), 2):
            pass
        return str(error.value)

    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setitem(sys.modules, "prefect_dask", None)
    assert "Run `pip install 'milepost[dask]'`" in refused()
    monkeypatch.setitem(sys.modules, "prefect_dask", type(sys)("prefect_dask"))
    monkeypatch.setattr("prefect_dask.DaskTaskRunner", None, raising=False)
    assert refused().startswith("PREFECT_API_URL: ")
