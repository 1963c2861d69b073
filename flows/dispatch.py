"""The `dispatch` flow: hand a frozen issue to the relay; the ledger, not Prefect, keeps it from going out twice."""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.logs import to_prefect
from milepost.settings import load
from pipeline import dispatch as steps
from pipeline.several import sift, unsent_to_json


@task(name="send", cache_policy=NO_CACHE)  # no retries: a repeat is the ledger's decision (T2, T5), never the engine's
def send(config: str, issue: int) -> dict[str, Any]:
    """Dispatch one issue until nothing is left to do now."""
    with to_prefect():
        return steps.sent_to_json(steps.dispatch(load(Path(config)), issue))


@flow(name="dispatch")
def dispatch(config: str = "milepost.toml", issue: int | None = None) -> list[dict[str, Any]]:
    """Dispatch `issue`, or every issue that has deliveries waiting. Returns `ledger --json` for each."""
    numbers = [issue] if issue is not None else steps.waiting(load(Path(config)))
    states = [send(config, number, return_state=True) for number in numbers]
    return sift(zip(numbers, [state.result(raise_on_failure=False) for state in states], strict=True), unsent_to_json)
