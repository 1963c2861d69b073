"""The `backfill` flow: read stored snapshots again with today's extractors. It has no way to reach delivery."""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.logs import to_prefect
from milepost.settings import load
from pipeline import backfill as steps


@task(name="reread", cache_policy=NO_CACHE)
def reread(config: str, source: str, dry_run: bool, selection: dict[str, Any]) -> dict[str, Any]:
    """Read one source's latest snapshots again; returns the form of `backfill --json`."""
    chosen = steps.Selection.from_json(selection)
    with to_prefect():
        return steps.reread_to_json(steps.backfill(load(Path(config)), source, dry_run=dry_run, selection=chosen))


@flow(name="backfill")
def backfill(
    config: str = "milepost.toml", sources: list[str] | None = None, dry_run: bool = True,
    selection: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Read `sources` (all when None) again. With `dry_run`, the default, nothing is written.

    `selection`: which records, all without it: "keys", "since" and "until" (ISO 8601), "extractor".
    """
    keys = sources or [source.key for source in load(Path(config)).sources]
    states = [reread(config, key, dry_run, selection or {}, return_state=True) for key in keys]
    return [state.result() for state in states]
