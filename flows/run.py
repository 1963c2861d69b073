"""The `run` flow, for `milepost run` and a schedule: scrape, publish what is due, dispatch what waits, send letters."""

from typing import Any

from prefect import flow

from flows.dispatch import dispatch
from flows.letters import letters
from flows.publish import publish
from flows.scrape import scrape
from milepost.errors import MilepostError
from pipeline.several import UnfinishedError


@flow(name="run")
def run(config: str = "milepost.toml") -> dict[str, Any]:
    """The whole main job. What fails in one part doesn't keep the next from its work; the run fails at its end."""
    result: dict[str, Any] = {}
    errors: list[MilepostError] = []
    for name, part in (("looks", scrape), ("issues", publish), ("ledgers", dispatch), ("letters", letters)):
        outcome = part(config, return_state=True).result(raise_on_failure=False)
        if isinstance(outcome, UnfinishedError):
            errors += outcome.errors
            result[name] = outcome.result
        elif isinstance(outcome, MilepostError):
            errors.append(outcome)
            result[name] = None if name == "letters" else []
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            result[name] = outcome
    if errors:
        raise UnfinishedError(errors, result)
    return result
