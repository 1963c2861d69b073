"""The `scrape` flow: one look at each source, one task a source; a source that fails or drips doesn't stop the rest."""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows import artifacts, events, outcomes, reports
from flows.dask_looks import ADVICE, dask_runs
from flows.fan_out import PrefectRuns, Spread
from flows.logs import to_prefect
from flows.names import by_time
from flows.parameters import Config, Keys
from flows.states import ended, in_sentences, result
from milepost.settings import Settings, load
from pipeline.holds import Waits, waiting_looks
from pipeline.look import scrape as steps
from pipeline.look.look_at_several import chosen, look_at_several
from pipeline.milestones import found
from pipeline.several import Stop, UnfinishedError
from pipeline.upkeep import open_database


@task(name="look", task_run_name="look {source}", cache_policy=NO_CACHE)
@in_sentences
def look(config: str, source: str, full: bool, stop: Stop | None) -> Any:
    """One look at one source; returns the form of `scrape --json`."""
    with to_prefect():
        settings = load(Path(config))
        report = steps.report_to_json(steps.scrape(settings, source, full=full, stop=stop))
        findings = outcomes.of_looks([report], _waits(settings, [source]))
        return ended(findings, outcomes.told_looks([report]), report)


@flow(name="scrape", flow_run_name=by_time)
@in_sentences
def scrape(config: Config = "milepost.toml", sources: Keys = None, full: bool = False) -> Any:
    """Look at the sources; nobody is mailed. It isn't green while a look failed, is held or waits for an answer.

    Args:
        config: The settings file, milepost.toml.
        sources: The keys of the sources to look at; all that are configured when empty.
        full: Ask for every page, whatever the poll page says.
    """
    settings = load(Path(config))
    keys = chosen(settings, sources)

    def one(key: str, stop: Stop) -> dict[str, Any]:
        told: dict[str, Any] = result(look.with_options(tags=[f"source:{key}"])(
            config, key, full, stop, return_state=True
        ))
        return told

    # a source by itself is looked at here: this may be the run that another asked for
    way = settings.prefect.fan_out if len(keys) > 1 else "threads"
    unfinished: UnfinishedError | None = None
    try:
        if way == "deployment":
            looks = look_at_several(settings, keys, Spread(settings, PrefectRuns(config, full)).look,
                                    at_once=settings.prefect.runs_at_once)
        elif way == "dask":
            looks = _by_dask(settings, keys, config, full)
        else:
            looks = look_at_several(settings, keys, one)
    except UnfinishedError as error:
        unfinished, looks = error, error.result
    findings = outcomes.of_looks(looks, _waits(settings, keys))
    _report(settings, looks)
    if way != "deployment":  # else each run has told of its own
        events.tell_looks(looks)
    return events.told(findings, outcomes.told_looks(looks), unfinished or looks)


def _by_dask(settings: Settings, keys: list[str], config: str, full: bool) -> list[dict[str, Any]]:
    def task(source: str) -> tuple[Any, dict[str, Any]]:
        parameters = {"config": config, "source": source, "full": full, "stop": None}
        return look.with_options(tags=[f"source:{source}"]), parameters

    here = settings.prefect.dask_address is None
    at_once = settings.fetch.sources_at_once if here else settings.prefect.runs_at_once
    with dask_runs(settings, task, min(at_once, len(keys))) as runs:
        return look_at_several(settings, keys, Spread(settings, runs, advice=ADVICE).look, at_once=at_once)


def _report(settings: Settings, looks: list[dict[str, Any]]) -> None:
    artifacts.keep_table("looks", reports.looks_table(looks), reports.looks_description(looks))
    with open_database(settings) as database:
        news = found(database, [look["look_id"] for look in looks if look["look_id"] and not look["baseline"]])
    if news:
        artifacts.keep_markdown("found", reports.found_markdown(news), "What is new or changed, with its links")


def _waits(settings: Settings, keys: list[str]) -> list[Waits]:
    with open_database(settings) as database:
        return waiting_looks(database, keys)
