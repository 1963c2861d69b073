"""The `publish` flow: draft the issues that are due, and freeze those that need no approval."""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows import artifacts, events, outcomes, reports
from flows.logs import to_prefect
from flows.names import by_time
from flows.parameters import Config
from flows.states import in_sentences, result
from milepost.settings import load
from pipeline import publish as steps
from pipeline.edit import find
from pipeline.holds import waiting_issues
from pipeline.upkeep import open_database


@task(name="draft", task_run_name="draft what is due", cache_policy=NO_CACHE)
@in_sentences
def draft(config: str) -> list[dict[str, Any]]:
    """Draft and freeze what is due; returns one entry an issue."""
    with to_prefect():
        return [steps.made_to_json(made) for made in steps.publish(load(Path(config)))]


@flow(name="publish", flow_run_name=by_time)
@in_sentences
def publish(config: Config = "milepost.toml") -> Any:
    """Draft the issues that are due and freeze those that need no approval. It isn't green while one waits for it.

    Args:
        config: The settings file, milepost.toml.
    """
    issues = result(draft(config, return_state=True))
    settings = load(Path(config))
    with open_database(settings) as database:
        waits = [one for one in waiting_issues(settings, database) if one.kind == "approval"]
        for one in issues:
            number, page = one["issue"], steps.page_of(settings, one["issue"])
            words = f"Issue {number}, its hash and its page"
            artifacts.keep_markdown(f"issue-{number}", reports.issue_markdown(find(database, number), page), words)
    return events.told(outcomes.of_waits(waits), outcomes.told_issues(issues), issues)
