"""Commands that run the whole: `run` through Prefect, `demo` on the sample site, `web` for readers' clicks."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from milepost.cli.context import Door
from milepost.cli.output import JsonFlag, print_json
from milepost.errors import MilepostError


def mount(app: typer.Typer) -> None:
    for command in (run, demo, web):
        app.command()(command)


def config_path(door: Door) -> Path:
    """The settings file as flows are told of it; checked here, so that a wrong one is a sentence and not a crash."""
    from milepost.settings import config_file

    _ = door.settings
    return config_file(door.config).resolve()


def flow_result(door: Door, name: str, **parameters: Any) -> Any:
    """Run the flow `flows.<name>:<name>` to its end and return its result; raises what it raised."""
    config = config_path(door)
    from flows.engine import prepare

    prepare(config.parent / ".milepost" / "prefect")
    flow = getattr(import_module(f"flows.{name}"), name)
    return flow(config=str(config), **parameters)


def run(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Scrape, publish what is due, dispatch what waits: once, through Prefect."""
    result = flow_result(context.obj, "run")
    if as_json:
        print_json(result)
        return
    for look in result["looks"]:
        told = ", ".join(f"{count} {kind}" for kind, count in look["changes"].items() if count) or "no change"
        typer.echo(f"{look['source']}: {'baseline' if look['baseline'] else told}"
                   + (f" (held: {look['held']})" if look["held"] else ""))
    for issue in result["issues"]:
        typer.echo(f"Issue {issue['issue']} ({issue['cadence']}, {issue['items']} milestones): {issue['state']}"
                   + (f", {issue['waits']}" if issue["waits"] else ""))
    for ledger in result["ledgers"]:
        states = ", ".join(f"{count} {state}" for state, count in ledger["states"].items() if count)
        typer.echo(f"Issue {ledger['issue']}: {states or 'nobody to send it to'}")
    failures = [sentence for look in result["looks"] for sentence in look["failures"]]
    failures += [f"issue {ledger['issue']} is paused: {ledger['paused']}" for ledger in result["ledgers"]
                 if ledger["paused"]]
    for sentence in failures[:-1]:
        typer.echo(f"milepost: {sentence}", err=True)
    if failures:
        raise MilepostError(failures[-1])


def demo(
    folder: Annotated[Path, typer.Option("--folder", help="Where the demo keeps its files.")] = Path("milepost-demo"),
    direct: Annotated[bool, typer.Option("--direct", help="Call the same functions without Prefect.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Go on serving the site, the inbox and the issue.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """The main job on a sample site, all on this machine: from a new page to a read mail."""
    from milepost.cli.demo import play

    play(folder, direct=direct, keep=keep, as_json=as_json)


def web(
    context: typer.Context,
    host: Annotated[str, typer.Option("--host", help="Listen here; keep it behind your TLS proxy.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535)] = 8025,
) -> None:
    """Serve the issues' pages and the one-click unsubscribe."""
    from flows.steps.serve import serve

    door: Door = context.obj
    typer.echo(f"Serving on http://{host}:{port} (public address: {door.settings.web.base_url}). Stop with Ctrl-C.")
    serve(door.settings, host=host, port=port)
