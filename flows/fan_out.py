"""One run a source, on whichever worker takes it: how `scrape` looks with `[prefect] fan_out = "deployment"`.

    key ─▶ a run of scrape/scrape for it alone ─▶ waited for ─▶ what our database says of its look
                          └▶ no worker takes it, or it takes too long: it is called off, and that is what it came to

What a run came to is in our own database: a worker elsewhere shares no folder with us for Prefect's results.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound

from flows.outcomes import NAMES, SKIPPED
from milepost.errors import MilepostError, UnderWayError
from milepost.settings import Settings
from pipeline.look.told_before import latest_look, told_of
from pipeline.several import Stop
from pipeline.upkeep import open_database

log = logging.getLogger("milepost.flows")

DEPLOYMENT = "scrape/scrape"  # of prefect.yaml
_ASK_S = 2.0  # between two questions after a run
_DID_ITS_WORK = {name for name, kind in NAMES.items() if kind == "FAILED" and name != "Failed"} | {"Completed"}


class Runs(Protocol):
    """What is asked of Prefect's server."""

    def begin(self, source: str) -> str:
        """Ask for a run that looks at this source; returns its id. Raises MilepostError."""

    def state(self, run: str) -> State[Any] | None:
        """What has become of it by now; None while the server can't be asked."""

    def call_off(self, run: str, why: str) -> None:
        """End it: one that has not begun never does; one at work is asked to end."""


class Spread:
    """Looks by runs of their own; each thread waits for one."""

    def __init__(
        self, settings: Settings, runs: Runs, *, now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        advice: str = "Start one: `prefect worker start --pool milepost`; the run that asks takes a place too.",
    ) -> None:
        """`advice`: where no worker takes a run."""
        self._advice = advice
        self._settings, self._runs, self._now, self._sleep = settings, runs, now, sleep
        self._lock = threading.Lock()
        self._moved = now()  # when a worker last took one of these runs, or ended it

    def look(self, source: str, stop: Stop) -> dict[str, Any]:
        """One source, looked at by a run of its own; the form of `scrape --json`.

        Raises what `scrape` would, as far as its run said it; MilepostError when no worker took the run for
        `begin_minutes` in which none took another either, or it took more than `run_minutes`.
        """
        limits = self._settings.prefect
        with open_database(self._settings) as database:
            before = latest_look(database, source)
        self._move()
        run, begun, taken = self._runs.begin(source), None, False
        try:
            while not (state := self._runs.state(run)) or not state.is_final():
                stop.check()
                if not taken and state is not None and state.type is not StateType.SCHEDULED:
                    taken = True  # a worker is about to begin it
                    self._move()
                if begun is None and state is not None and state.type in (StateType.RUNNING, StateType.CANCELLING):
                    begun = self._now()
                    self._move()
                if begun is None and self._waited() > limits.begin_minutes * 60:
                    what = "begun" if taken else "taken"
                    why = (f"no worker has {what} its run for {limits.begin_minutes:g} minutes, "
                           "nor taken any other of these runs: called off")
                    self._runs.call_off(run, why)
                    raise MilepostError(why, where=source, hint=self._advice)
                if begun is not None and self._now() - begun > limits.run_minutes * 60:
                    why = f"its run was not done within {limits.run_minutes:g} minutes: called off"
                    self._runs.call_off(run, why)
                    raise MilepostError(why, where=source, hint="See [prefect] run_minutes.")
                self._sleep(_ASK_S)
        except KeyboardInterrupt:
            self._runs.call_off(run, "the run that asked for it was stopped")
            raise
        self._move()
        return self._came_to(source, state, before)

    def _move(self) -> None:
        with self._lock:
            self._moved = self._now()

    def _waited(self) -> float:
        with self._lock:
            return self._now() - self._moved

    def _came_to(self, source: str, state: State[Any], before: int) -> dict[str, Any]:
        says = (state.message or "").removeprefix(f"source {source}: ")
        if state.name == "Held by another":
            raise UnderWayError(says, where=source)
        if state.name not in _DID_ITS_WORK:
            said = says.removeprefix(f"{source}: ") or "nothing is known of why"
            raise MilepostError(f"its run ended as {state.name}: {said}", where=source)
        with open_database(self._settings) as database:
            number = latest_look(database, source)
            if number <= before:
                raise MilepostError(f"its run ended as {state.name} and left no look", where=source, hint=(
                    "Have all workers the same [store]?"))
            return told_of(database, number)


class PrefectRuns:
    """On the server that PREFECT_API_URL names."""

    def __init__(self, config: str, full: bool) -> None:
        """Raises MilepostError without a server, or where it doesn't know the deployment."""
        self._parameters = {"config": config, "full": full}
        if not os.environ.get("PREFECT_API_URL"):
            raise MilepostError('fan_out = "deployment" wants a server and its workers', where="PREFECT_API_URL",
                                hint="Name the server, or take that out of [prefect].")
        with get_client(sync_client=True) as client:
            try:
                client.read_deployment_by_name(DEPLOYMENT)
            except ObjectNotFound:
                raise MilepostError("Prefect's server knows no such deployment", where=DEPLOYMENT,
                                    hint="Run `prefect deploy --all` beside prefect.yaml.") from None

    def begin(self, source: str) -> str:
        """See Runs."""
        made: Any = run_deployment(
            DEPLOYMENT, parameters={**self._parameters, "sources": [source]}, timeout=0,
            tags=[f"source:{source}"],
        )
        return str(made.id)

    def state(self, run: str) -> State[Any] | None:
        """See Runs."""
        try:
            with get_client(sync_client=True) as client:
                return client.read_flow_run(run).state  # type: ignore[arg-type]
        except httpx.HTTPError as error:  # a server that is started again is asked again
            log.debug("run %s: %s", run, error)
            return None

    def call_off(self, run: str, why: str) -> None:
        """See Runs."""
        try:
            with get_client(sync_client=True) as client:
                begun = client.read_flow_run(run).start_time is not None  # type: ignore[arg-type]
                ends = (State(type=StateType.CANCELLING, message=why) if begun
                        else State(type=StateType.CANCELLED, name=SKIPPED, message=why))
                client.set_flow_run_state(run, ends, force=not begun)
        except httpx.HTTPError as error:
            log.warning("run %s could not be called off: %s", run, error)
