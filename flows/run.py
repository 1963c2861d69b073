"""The `run` flow, for `milepost run` and a schedule: scrape, publish what is due, dispatch what waits, send letters,
tell operators what waits for them."""

from pathlib import Path
from typing import Any

from prefect import flow

from flows import outcomes
from flows.dispatch import dispatch
from flows.letters import letters
from flows.missed_runs import make_up_for_missed_runs
from flows.names import by_time
from flows.notify import notify
from flows.parameters import Config
from flows.publish import publish
from flows.scrape import scrape
from flows.states import ended, in_sentences, outcome
from milepost.dates import utc_now
from milepost.errors import MilepostError
from milepost.settings import load
from pipeline.holds import waiting_issues, waiting_looks
from pipeline.several import UnfinishedError
from pipeline.upkeep import open_database


@flow(name="run", flow_run_name=by_time)
@in_sentences
def run(config: Config = "milepost.toml") -> Any:
    """The whole main job. What fails in one part doesn't keep the next from its work; it isn't green while one waits.

    Args:
        config: The settings file, milepost.toml.
    """
    make_up_for_missed_runs(utc_now())
    result: dict[str, Any] = {}
    errors: list[MilepostError] = []
    alone: list[MilepostError] = []  # of parts that came to nothing at all
    parts: dict[str, Any] = {"looks": scrape, "issues": publish, "ledgers": dispatch, "letters": letters}
    for name, part in parts.items():
        came_to = outcome(part(config, return_state=True))
        if isinstance(came_to, UnfinishedError):
            errors += came_to.errors
            result[name] = came_to.result
        elif isinstance(came_to, MilepostError):
            errors.append(came_to)
            alone.append(came_to)
            result[name] = None if name == "letters" else []
        elif isinstance(came_to, BaseException):
            raise came_to
        else:
            result[name] = came_to
    notify(config, return_state=True)  # a fault of it is its own, and no part of what this run is about
    settings = load(Path(config))
    with open_database(settings) as database:
        of_sources, of_issues = waiting_looks(database), waiting_issues(settings, database)
    findings = [
        *outcomes.of_errors(alone), *outcomes.of_looks(result["looks"], of_sources),
        *outcomes.of_ledgers(result["ledgers"], of_issues), *outcomes.of_letters(result["letters"]),
    ]
    done = "; ".join((
        outcomes.told_looks(result["looks"]), outcomes.told_issues(result["issues"]),
        outcomes.told_ledgers(result["ledgers"]), outcomes.told_letters(result["letters"]),
    ))
    return ended(findings, done, UnfinishedError(errors, result) if errors else result)
