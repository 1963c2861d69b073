"""The `scrape` flow: one look at each source, one task a source; a source that fails doesn't stop the rest."""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.logs import to_prefect
from milepost.settings import load
from pipeline.look import scrape as steps
from pipeline.several import down_to_json, sift


@task(name="look", cache_policy=NO_CACHE)
def look(config: str, source: str, full: bool) -> dict[str, Any]:
    """One look at one source; returns the form of `scrape --json`."""
    with to_prefect():
        return steps.report_to_json(steps.scrape(load(Path(config)), source, full=full))


@flow(name="scrape")
def scrape(config: str = "milepost.toml", sources: list[str] | None = None, full: bool = False) -> list[dict[str, Any]]:
    """Look at `sources` (all that are configured when None). Fails at the end when any look failed."""
    keys = sources or [source.key for source in load(Path(config)).sources]
    states = [look(config, key, full, return_state=True) for key in keys]
    return sift(zip(keys, [state.result(raise_on_failure=False) for state in states], strict=True), down_to_json)
