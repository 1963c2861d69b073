"""The `notify` flow: tell operators what waits or is wrong; scheduled by itself too: a run that dies tells nobody."""

import datetime as dt
import logging
from pathlib import Path
from typing import Any

import httpx
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import PrefectException

from flows import events, outcomes
from flows.logs import to_prefect
from flows.lost_runs import Silent, end_lost_runs
from flows.missed_runs import done_by_another, make_up_for_missed_runs
from flows.names import by_time
from flows.parameters import Config
from flows.states import in_sentences, state
from milepost.dates import utc_now
from milepost.errors import StoreError
from milepost.settings import load
from pipeline.operate import notices
from pipeline.upkeep import open_database

log = logging.getLogger("milepost.flows")


@task(name="tell", task_run_name="tell operators", cache_policy=NO_CACHE)
def tell(config: str) -> dict[str, Any]:  # no retries: each channel's are kept in the database
    """One round: what is new, what lasts, what is over."""
    file = Path(config)
    with to_prefect():
        return notices.noticed_to_json(notices.quietly(load(file), folder=file.resolve().parent))


@flow(name="notify", flow_run_name=by_time)
@in_sentences
def notify(config: Config = "milepost.toml") -> Any:
    """Tell operators what waits for them or is wrong, and end runs that died; a channel that is down fails nothing.

    One crash wakes it several times: the first that begins does it, the others end as skipped. It isn't green while
    runs wait for a process for longer than `notify.lost_minutes`.

    Args:
        config: The settings file, milepost.toml.
    """
    make_up_for_missed_runs(utc_now())
    if why := done_by_another():
        return state(outcomes.skipped(why), None)
    settings, silent = load(Path(config)), Silent()
    try:
        with open_database(settings) as database:
            silent = end_lost_runs(database, utc_now(), within=dt.timedelta(minutes=settings.notify.lost_minutes))
    except StoreError as error:
        log.warning("which runs died can't be known: %s", error)
    except (PrefectException, httpx.HTTPError) as error:
        log.warning("Prefect can't be asked which runs died: %s", error)
    told = tell(config)  # last: it tells of the runs that wait, too
    return events.told(outcomes.of_waiting(silent.waiting), outcomes.told_notices(told, silent.lost), told)
