"""The `letters` flow: send what the web process left, remind, forget."""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows import events, outcomes
from flows.logs import to_prefect
from flows.names import by_time
from flows.parameters import Config
from flows.states import in_sentences, result
from milepost.dates import utc_now
from milepost.settings import load
from pipeline.letters import letters_to_json, work_off
from pipeline.upkeep import open_database


@task(name="work-off", task_run_name="work off the letters", cache_policy=NO_CACHE)
@in_sentences
def work(config: str) -> dict[str, Any]:  # no retries: what waits is the queue's decision, never the engine's
    """One round through the queue."""
    with to_prefect():
        settings = load(Path(config))
        with open_database(settings) as database:
            return letters_to_json(work_off(settings, database, now=utc_now))


@flow(name="letters", flow_run_name=by_time)
@in_sentences
def letters(config: Config = "milepost.toml") -> Any:
    """Send the confirmations that the web process left, remind once, forget sign-ups after a month.

    Args:
        config: The settings file, milepost.toml.
    """
    done = result(work(config, return_state=True))
    return events.told(outcomes.of_letters(done), outcomes.told_letters(done), done)
