"""Looks as tasks in the processes of a Dask cluster: how `scrape` looks with `[prefect] fan_out = "dask"`.

    key ─▶ the task `look` for it, by prefect-dask ─▶ whichever process of the cluster is free ─▶ flows.fan_out waits

Without `dask_address` the cluster is this machine's and this run's alone: it begins and ends with it.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prefect.client.schemas.objects import State, StateType

from milepost.errors import MilepostError
from milepost.settings import Settings

log = logging.getLogger("milepost.flows")

ADVICE = "Start one: `dask worker ADDRESS`, with the same settings."


class DaskRuns:
    """See flows.fan_out.Runs; a run is a task's future here."""

    def __init__(self, submit: Callable[[str], Any], client: Any) -> None:
        """`submit`: source → the future of its look, as Dask has it; `client`: Dask's, which knows who is at work."""
        self._submit, self._client = submit, client
        self._lock = threading.Lock()
        self._futures: dict[str, Any] = {}

    def begin(self, source: str) -> str:
        """See Runs."""
        with self._lock:  # each source waits in a thread of its own
            future = self._submit(source)
            self._futures[future.key] = future
        return str(future.key)

    def state(self, run: str) -> State[Any] | None:
        """See Runs."""
        future = self._futures[run]
        if future.status == "finished":
            ended: State[Any] = future.result()
            return ended
        if future.status in ("error", "lost"):
            died = future.exception() if future.status == "error" else "nobody knows of it any more"
            return State(type=StateType.CRASHED, name="Crashed", message=f"its process died: {died}")
        if future.status == "cancelled":
            return State(type=StateType.CANCELLED, name="Cancelled", message="Dask called it off")
        if any(run in at_work for at_work in self._client.processing().values()):
            return State(type=StateType.RUNNING)
        return State(type=StateType.SCHEDULED)

    def call_off(self, run: str, why: str) -> None:
        """See Runs. One that a process of another machine has begun goes on to its end."""
        log.debug("run %s: %s", run, why)
        self._futures[run].cancel()


@contextmanager
def dask_runs(
    settings: Settings, look: Callable[[str], tuple[Any, dict[str, Any]]], processes: int
) -> Iterator[DaskRuns]:
    """While it is open: a cluster that looks. `look`: source → the task and its parameters; `processes`: of a cluster
    of this machine, at most.

    Raises MilepostError where prefect-dask is not installed, no server of Prefect's is named, or nobody answers at
    `dask_address`.
    """
    try:
        from prefect_dask import DaskTaskRunner  # an extra
    except ImportError:
        raise MilepostError('fan_out = "dask" needs what is not installed', where="[prefect]",
                            hint="Run `pip install 'milepost[dask]'`.") from None
    if not os.environ.get("PREFECT_API_URL"):
        raise MilepostError('fan_out = "dask" wants a server that all its processes tell of their work',
                            where="PREFECT_API_URL", hint="Name it, or take that out of [prefect].")
    address = settings.prefect.dask_address
    if address is None:
        own = {"n_workers": processes, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
        runner = DaskTaskRunner(cluster_kwargs=own)
    else:
        runner = DaskTaskRunner(address=address, client_kwargs={"timeout": "30s"})
    try:
        runner.__enter__()
        client = runner.client
    except (OSError, TimeoutError) as error:
        raise MilepostError(f"no scheduler of Dask answers: {error}", where=address,
                            hint="Start it: `dask scheduler`, or mend [prefect] dask_address.") from None

    def submit(source: str) -> Any:
        task, parameters = look(source)
        return runner.submit(task, parameters=parameters).wrapped_future

    try:
        yield DaskRuns(submit, client)
    finally:
        runner.__exit__(None, None, None)
