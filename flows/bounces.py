"""The `bounces` flow: read what came back, from every inbox of the settings; one that is down stops no other."""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows import outcomes
from flows.logs import to_prefect
from flows.missed_runs import make_up_for_missed_runs
from flows.names import by_time
from flows.parameters import Config
from flows.states import ended, in_sentences, outcome
from milepost.dates import utc_now
from milepost.errors import MilepostError
from milepost.settings import load
from pipeline import bounces as steps
from pipeline.several import UnfinishedError
from pipeline.upkeep import open_database


@task(name="read-inbox", task_run_name="read inbox {number}", cache_policy=NO_CACHE)
@in_sentences
def read(config: str, number: int) -> dict[str, Any]:
    """Read one inbox to its end; returns how many reports had which effect."""
    settings = load(Path(config))
    with to_prefect(), open_database(settings) as database:
        inbox = settings.bounces.sources[number - 1]  # by its number: its address may name a mailbox
        gathered = steps.read_bounces(settings, database, inbox, now=utc_now())
        return {"read": gathered.read, "results": dict(gathered.results), "left_for_you": len(gathered.unproven)}


@flow(name="bounces", flow_run_name=by_time)
@in_sentences
def bounces(config: Config = "milepost.toml") -> Any:
    """Read what came back: suppress dead addresses, count soft bounces, let complainers go.

    Args:
        config: The settings file, milepost.toml.
    """
    make_up_for_missed_runs(utc_now())
    settings = load(Path(config))
    numbers = range(1, len(settings.bounces.sources) + 1)
    came_to = [outcome(read(config, number, return_state=True)) for number in numbers]
    with open_database(settings) as database:
        worn_out = len(steps.suppress_worn_out(database, now=utc_now()))
    errors = [one for one in came_to if isinstance(one, MilepostError)]
    gathered = [one for one in came_to if isinstance(one, dict)]
    result = {"inboxes": gathered, "worn_out": worn_out}
    done = f"{sum(one['read'] for one in gathered)} reports read, {worn_out} addresses suppressed for soft bounces"
    return ended(outcomes.of_errors(errors), done, UnfinishedError(errors, result) if errors else result)
