"""The `dispatch` flow: hand a frozen issue to the relay; the ledger, not Prefect, keeps it from going out twice."""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows import artifacts, events, outcomes, reports
from flows.logs import to_prefect
from flows.names import by_time
from flows.parameters import Config, IssueNumber
from flows.states import ended, in_sentences, outcome
from milepost.settings import load
from pipeline import dispatch as steps
from pipeline.holds import waiting_issues
from pipeline.several import UnfinishedError, sift, unsent_to_json
from pipeline.upkeep import open_database


@task(name="send", task_run_name="send issue {issue}", cache_policy=NO_CACHE)
@in_sentences
def send(config: str, issue: int) -> Any:  # no retries: a repeat is the ledger's decision (T2, T5), never the engine's
    """Dispatch one issue until nothing is left to do now; returns `dispatch --json`.

    Nobody is there to ask: what a dispatcher held that is proven dead is taken from it without being told to.
    """
    words = f"How much of issue {issue} has come to an end"
    with to_prefect(), artifacts.Progress(f"sending-issue-{issue}", words) as progress:
        ledger = steps.sent_to_json(steps.dispatch(load(Path(config)), issue, progress=progress, take_over=True))
        return ended(outcomes.of_ledgers([ledger]), outcomes.told_ledgers([ledger]), ledger)


@flow(name="dispatch", flow_run_name=by_time)
@in_sentences
def dispatch(config: Config = "milepost.toml", issue: IssueNumber | None = None) -> Any:
    """Send what is due of an issue, or of all. It isn't green while one is paused, in doubt, or held by another.

    Args:
        config: The settings file, milepost.toml.
        issue: The issue's number; every issue that has deliveries waiting when empty.
    """
    settings = load(Path(config))
    numbers = [issue] if issue is not None else steps.waiting(settings)
    came_to = [outcome(send(config, number, return_state=True)) for number in numbers]
    with open_database(settings) as database:
        waits = [one for one in waiting_issues(settings, database) if one.kind in ("paused", "unknown")
                 and (issue is None or one.about == f"issue {issue}")]
    unfinished: UnfinishedError | None = None
    try:
        ledgers = sift(zip(numbers, came_to, strict=True), unsent_to_json)
    except UnfinishedError as error:
        unfinished, ledgers = error, error.result
    findings = outcomes.of_ledgers(ledgers, waits)
    for ledger in ledgers:
        if "error" not in ledger:
            words = f"The ledger of issue {ledger['issue']}: candidates = deliveries + exclusions"
            artifacts.keep_table(f"ledger-issue-{ledger['issue']}", reports.equation_table(ledger), words)
    events.tell_sent(ledgers)
    return events.told(findings, outcomes.told_ledgers(ledgers), unfinished or ledgers)
