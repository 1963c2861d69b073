"""Runs the schedules on this machine: every deployment of prefect.yaml, with neither work pool nor worker.

    prefect.yaml ─▶ deployments ─▶ Runner: one process a run      SIGTERM ─▶ runs are asked to end, and waited for

Which flows there are is ours to say; when they run, the operator's: the schedules of prefect.yaml beside the settings.
"""

import asyncio
import datetime as dt
import logging
import sys
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from importlib import import_module
from os import kill
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any

import yaml  # type: ignore[import-untyped]
from prefect.runner import Runner
from prefect.schedules import Schedule
from prefect.types.entrypoint import EntrypointType

from flows import automations
from flows.missed_runs import skip_missed_runs
from milepost.dates import utc_now
from milepost.errors import InputError, MilepostError
from milepost.log_lines import as_line, start_logging
from milepost.settings import Settings, load
from pipeline.setup import deployments
from store.holders import started

AT_ONCE = 4  # runs; a fifth waits
DRAIN_S = 50.0  # for runs in hand: a dispatch waits 30 s for the replies to what is out


class DrainingRunner(Runner):
    """Ends as a server should: the runs in hand are asked to end first, so that no mail is left without its reply."""

    def handle_sigterm(self, *_: Any, **__: Any) -> None:
        """Blocks Prefect's own loop meanwhile: no other run is begun."""
        for pid in drain(children, seconds=DRAIN_S):
            with suppress(ProcessLookupError):
                kill(pid, SIGKILL)  # a look that goes on: whoever looks next takes over from it, since it is dead
        sys.exit(0)


def children() -> set[int]:
    """The processes that this one started and that live; a zombie does not."""
    found: set[int] = set()
    for task in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            found |= {int(pid) for pid in task.read_text(encoding="ascii").split()}
    return {pid for pid in found if started(pid)}


def drain(
    living: Callable[[], Collection[int]], *, seconds: float,
    ask: Callable[[int], None] = lambda pid: kill(pid, SIGTERM),
    now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
) -> set[int]:
    """Ask each of the `living` to end, once, and wait for them, at most so many seconds; returns who lives on."""
    asked: set[int] = set()
    until = now() + seconds
    while (left := set(living())) and now() < until:
        for pid in left - asked:
            with suppress(ProcessLookupError):
                ask(pid)
        asked |= left
        sleep(0.1)
    return left


def planned(config: Path) -> list[dict[str, Any]]:
    """Our deployments, each with the `schedules` that prefect.yaml beside `config` gives it; ours without that file.

    Raises InputError when that file can't be read.
    """
    ours: list[dict[str, Any]] = yaml.safe_load(deployments(config))["deployments"]
    file = config.resolve().parent / "prefect.yaml"
    theirs: dict[str, list[Any]] = {}
    try:
        edited = yaml.safe_load(file.read_text(encoding="utf-8"))["deployments"]
        theirs = {one["name"]: one.get("schedules") or [] for one in edited}
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError, LookupError, AttributeError, yaml.YAMLError) as error:
        raise InputError(
            f"its deployments can't be read: {' '.join(str(error).split()) or type(error).__name__}", where=str(file),
            hint="Mend it, or write it anew with `milepost prefect init --force`.",
        ) from None
    return [one | {"schedules": theirs.get(one["name"], one.get("schedules", []))} for one in ours]


def schedule(given: Mapping[str, Any]) -> Schedule:
    """One of prefect.yaml: `cron`, `interval` (seconds) or `rrule`, with `timezone`, `anchor_date`, `day_or`, `active`.

    Raises InputError for what Prefect can't plan.
    """
    known = {name: value for name, value in given.items() if value is not None}
    if isinstance(known.get("interval"), int | float):
        known["interval"] = dt.timedelta(seconds=known["interval"])
    try:
        return Schedule(**known)
    except (TypeError, ValueError) as error:
        raise InputError(f"no schedule: {error}", where=f"prefect.yaml, {dict(given)}",
                         hint="Give one of cron, interval (seconds) or rrule.") from None


def serve(config: Path, settings: Settings, *, begun: Path) -> None:
    """Until SIGTERM: every deployment of `config`, on the server that PREFECT_API_URL names.

    `begun`: a file that is made once all of it is set up.
    """
    runner = DrainingRunner(name="milepost", pause_on_shutdown=False, limit=AT_ONCE)
    for wanted in planned(config):
        if wanted["name"] == "bounces" and not settings.bounces.sources:
            continue
        module, _, name = wanted["entrypoint"].partition(":")
        runner.add_deployment(getattr(import_module(module), name).to_deployment(
            name=wanted["name"], parameters=wanted["parameters"], description=wanted["description"],
            tags=wanted.get("tags", ["milepost"]), entrypoint_type=EntrypointType.MODULE_PATH,
            schedules=[schedule(one) for one in wanted["schedules"]],
        ))
    automations.set_up(settings.notify)
    skip_missed_runs(utc_now())
    begun.touch()
    asyncio.run(runner.start())


if __name__ == "__main__":
    from flows.engine import server_errors

    _file = Path(sys.argv[1])
    start_logging(json_lines=sys.argv[3:] == ["--log", "json"])
    try:
        with server_errors():
            serve(_file, load(_file), begun=Path(sys.argv[2]))
    except MilepostError as error:
        sys.exit(as_line(f"milepost: {error}", level=logging.ERROR))
