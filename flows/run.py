"""The `run` flow, which `milepost run` and a schedule start: scrape, publish what is due, dispatch what waits."""

from typing import Any

from prefect import flow

from flows.dispatch import dispatch
from flows.publish import publish
from flows.scrape import scrape


@flow(name="run")
def run(config: str = "milepost.toml") -> dict[str, Any]:
    """The whole main job. A source that failed doesn't keep the others' news from being published."""
    looks = scrape(config, return_state=True)
    issues = publish(config)
    ledgers = dispatch(config)
    return {"looks": looks.result(), "issues": issues, "ledgers": ledgers}
