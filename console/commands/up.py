"""The command `up`: all of Milepost on one machine, as one service."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from console.context import CliContext
from console.flow_runs import config_path
from console.output import say
from console.supervisor import Part, Supervisor, listens
from milepost.errors import InputError
from milepost.log_lines import in_json

LOOPBACK = "127.0.0.1"


def mount(app: typer.Typer) -> None:
    app.command()(up)


def up(
    context: typer.Context,
    host: Annotated[str, typer.Option("--host", help="Readers' pages listen here, behind your proxy.")] = LOOPBACK,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="… on this port.")] = 8025,
    prefect_port: Annotated[
        int, typer.Option("--prefect-port", min=1, max=65535, help="Prefect's pages, on loopback.")
    ] = 4200,
) -> None:
    """Run all of it on this machine: schedules with Prefect's pages, readers' pages, letters and bounces.

    SIGTERM ends it: a dispatch waits for the replies to what is out. With PREFECT_API_URL set, that server is used.
    """
    from pipeline.upkeep import upgrade

    cli: CliContext = context.obj
    if not cli.settings.sources:
        raise InputError("no source is configured", hint="Add a [[sources]] block to milepost.toml.")
    config = config_path(cli)
    upgrade(cli.settings)
    serve_all(config, host=host, port=port, prefect_port=prefect_port)


def serve_all(config: Path, *, host: str, port: int, prefect_port: int) -> None:
    """All parts, until SIGTERM or Ctrl-C; raises InputError when something listens where one of them is to."""
    parts = _parts(config, host=host, port=port, prefect_port=prefect_port)
    for part in parts:
        if part.ready():
            hint = "Stop it, or choose another port."
            raise InputError("something listens there already", where=part.name, hint=hint)
    say(f"Starting; Prefect's pages will be on {_api(prefect_port).removesuffix('/api')}, "
               f"the readers' on http://{host}:{port} (the first start takes a minute) …")
    Supervisor(parts=parts, say=lambda text: say(f"milepost up: {text}")).run()


def _api(prefect_port: int) -> str:
    return os.environ.get("PREFECT_API_URL") or f"http://{LOOPBACK}:{prefect_port}/api"


def _log_options() -> list[str]:
    """So that the parts say what they say as this process does."""
    return ["--log", "json"] if in_json() else []


def _parts(config: Path, *, host: str, port: int, prefect_port: int) -> list[Part]:
    """In the order in which they start: Prefect's server (unless there is one), the schedules, the readers' pages."""
    from flows.engine import DRAINED_S, prepare

    home = config.parent / ".milepost" / "prefect"
    prepare(home)
    home.mkdir(parents=True, exist_ok=True)
    own = [] if os.environ.get("PREFECT_API_URL") else [Part(
        # its pages ask where they come from, so that a tunnel to another port serves as well
        name="Prefect's server", ready=listens(LOOPBACK, prefect_port),
        environment={"PREFECT_SERVER_UI_API_URL": "/api"}, prints_to=home / "greeting.txt",
        command=[sys.executable, "-m", "prefect", "server", "start", "--host", LOOPBACK, "--port", str(prefect_port)],
    )]
    begun = config.parent / ".milepost" / "schedules.ready"
    begun.parent.mkdir(exist_ok=True)  # with PREFECT_HOME set elsewhere nobody has made it
    begun.unlink(missing_ok=True)
    return [*own, Part(
        name="the schedules", environment={"PREFECT_API_URL": _api(prefect_port)},
        command=[sys.executable, "-m", "flows.serving", str(config), str(begun), *_log_options()], ready=begun.exists,
        grace_s=DRAINED_S,
    ), Part(
        name="the readers' pages", environment={}, ready=listens(host, port), grace_s=30.0,
        command=[sys.executable, "-m", "milepost", "--config", str(config), *_log_options(), "web", "serve",
                 "--host", host, "--port", str(port)],
    )]
