"""The `letters` flow: send what the web process left, remind, forget."""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.logs import to_prefect
from milepost.dates import utc_now
from milepost.settings import load
from pipeline.letters import letters_to_json, work_off
from pipeline.upkeep import open_database


@task(name="work-off", cache_policy=NO_CACHE)  # no retries: what waits is the queue's decision, never the engine's
def work(config: str) -> dict[str, Any]:
    """One round through the queue."""
    with to_prefect():
        settings = load(Path(config))
        with open_database(settings) as database:
            return letters_to_json(work_off(settings, database, now=utc_now))


@flow(name="letters")
def letters(config: str = "milepost.toml") -> dict[str, Any]:
    """Returns `{"sent", "dropped", "failed", "waiting", "why"}`."""
    return work(config)
