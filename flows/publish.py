"""The `publish` flow: draft the issues that are due, and freeze those that need no approval."""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.logs import to_prefect
from milepost.settings import load
from pipeline import publish as steps


@task(name="draft", cache_policy=NO_CACHE)
def draft(config: str) -> list[dict[str, Any]]:
    """Draft and freeze what is due; returns one entry an issue."""
    with to_prefect():
        return [steps.made_to_json(made) for made in steps.publish(load(Path(config)))]


@flow(name="publish")
def publish(config: str = "milepost.toml") -> list[dict[str, Any]]:
    """Returns `{"issue", "cadence", "period", "items", "state", "waits"}` for each issue made."""
    return draft(config)
