"""Says in our own database that a flow's run is at work, for as long as it is: Prefect's server may be away meanwhile.

    a run begins ─▶ its lease, renewed ─▶ it ends, the lease with it       killed: flows.lost_runs finds its lease over
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.context import FlowRunContext, TaskRunContext

from milepost.errors import MilepostError
from milepost.renewal import Renewal
from milepost.settings import load
from pipeline.upkeep import open_database
from store import holders
from store.run_leases import RunLeases

log = logging.getLogger("milepost.flows")
CONFIG = "milepost.toml"


@contextmanager
def at_work() -> Iterator[None]:
    """While it is open, the lease of the flow's run in which we are is in force; nothing outside of one, or in a task.

    A database in trouble keeps nobody from working: then only Prefect's heartbeats say that the run lives.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or TaskRunContext.get() is not None:
        yield
        return
    run, config = str(context.flow_run.id), Path((context.parameters or {}).get("config", CONFIG))

    def step(of: Callable[[RunLeases], None]) -> None:
        try:
            with open_database(load(config)) as database:
                of(RunLeases(database))
        except MilepostError as error:
            log.debug("the lease of this run: %s", error)

    step(lambda leases: leases.take(run, holders.me()))
    try:
        with Renewal(lambda: step(lambda leases: leases.renew(run))):
            yield
    finally:
        step(lambda leases: leases.let_go(run))
