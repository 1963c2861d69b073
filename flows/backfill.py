"""The `backfill` flow: read stored snapshots again with today's extractors. It has no way to reach delivery."""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows import artifacts, outcomes, reports
from flows.logs import to_prefect
from flows.names import by_time
from flows.parameters import Config, Keys
from flows.states import ended, in_sentences, outcome
from milepost.settings import load
from pipeline import backfill as steps
from pipeline.several import UnfinishedError, sift


@task(name="reread", task_run_name="read {source} again", cache_policy=NO_CACHE)
@in_sentences
def reread(config: str, source: str, dry_run: bool, selection: dict[str, Any]) -> dict[str, Any]:
    """Read one source's latest snapshots again; returns the form of `backfill --json`."""
    chosen = steps.Selection.from_json(selection)
    with to_prefect():
        return steps.reread_to_json(steps.backfill(load(Path(config)), source, dry_run=dry_run, selection=chosen))


@flow(name="backfill", flow_run_name=by_time)
@in_sentences
def backfill(
    config: Config = "milepost.toml", sources: Keys = None, dry_run: bool = True,
    selection: dict[str, Any] | None = None,
) -> Any:
    """Read stored pages again with today's extractors: offline, silent, and without a way to mail.

    Args:
        config: The settings file, milepost.toml.
        sources: The keys of the sources to read again; all when empty.
        dry_run: Show what would change and write nothing.
        selection: Which records, all without it: "keys", "since" and "until" (ISO 8601), "extractor".
    """
    settings = load(Path(config))
    keys = sources or [source.key for source in settings.sources]
    came_to = [
        outcome(reread.with_options(tags=[f"source:{key}"])(config, key, dry_run, selection or {}, return_state=True))
        for key in keys
    ]
    unfinished: UnfinishedError | None = None
    try:
        results = sift(zip(keys, came_to, strict=True), steps.not_read_to_json)
    except UnfinishedError as error:
        unfinished, results = error, error.result
    artifacts.keep_table("backfill", reports.rereads_table(results), "What differs, field by field")
    return ended(outcomes.of_rereads(results), outcomes.told_rereads(results), unfinished or results)
