"""Commands that run the whole: `run` through Prefect, `demo` on the sample site, `web` for readers."""

from pathlib import Path
from typing import Annotated, Any

import typer

from console.commands.dispatch import holders
from console.commands.publish import print_made
from console.context import CliContext
from console.groups import WithDefault
from console.looks import failures as looks_failures
from console.looks import print_looks, waiting
from console.output import JsonFlag, print_json, say
from milepost.errors import InputError
from milepost.log_lines import in_json


def mount(app: typer.Typer) -> None:
    for command in (run, demo):
        app.command()(command)
    web = typer.Typer(cls=WithDefault, help="The readers' pages: issues, sign-up, and the way out.")
    web.command("serve")(serve)
    web.command("embed")(embed)
    app.add_typer(web, name="web")


def run(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Scrape, publish what is due, dispatch what waits, send letters: once, through Prefect."""
    from console.exit_report import conclude
    from console.flow_runs import flow_result
    from pipeline.several import UnfinishedError
    from pipeline.upkeep import open_or_make

    cli: CliContext = context.obj
    if not cli.settings.sources:
        raise InputError("no source is configured", hint="Add a [[sources]] block to milepost.toml.")
    cli.kept = "What was finished is kept, the ledger knows who was mailed, and the next run goes on from there."
    cli.tell_operators_at_the_end()
    open_or_make(cli.settings).close()  # one that can't be had is told at once, not after Prefect has started
    failures: list[str] = []
    try:
        result = flow_result(cli, "run")
    except UnfinishedError as error:
        result = error.result
        failures += map(str, error.errors)
    if as_json:
        print_json(result)
    else:
        _print_run(cli, result)
    failures = [one for one in failures if one not in {look.get("error") for look in result["looks"]}]
    failures += looks_failures(result["looks"])
    failures += [f"issue {ledger['issue']} is paused: {ledger['paused']}" for ledger in result["ledgers"]
                 if ledger["paused"]]
    if result["letters"] and result["letters"]["why"]:
        failures.append(f"letters wait: {result['letters']['why']}")
    held = [f"issue {ledger['issue']}: {holders(ledger['held'])}" for ledger in result["ledgers"] if ledger["held"]]
    decide = waiting(cli, result["looks"])
    conclude(failures, [*decide, *held], hint="See `milepost holds`." if decide else "The next run goes on after that.")


def _print_run(cli: CliContext, result: dict[str, Any]) -> None:
    from pipeline.publish import waiting_news

    print_looks(result["looks"])
    print_made(result["issues"])
    for ledger in result["ledgers"]:
        states = ", ".join(f"{count} {state}" for state, count in ledger["states"].items() if count)
        said = "not sent now" if "error" in ledger else states or "nobody to send it to"
        typer.echo(f"Issue {ledger['issue']}: {said}")
    if result["letters"] and result["letters"]["sent"]:
        typer.echo(f"Letters: {result['letters']['sent']} sent")
    for news in waiting_news(cli.settings, cli.database):
        until = f"{news.until:%Y-%m-%d %H:%M} UTC" if news.until else "its hour"
        typer.echo(f"{news.changes} new for the {news.cadence} issue, which waits for {until}.")


def demo(
    folder: Annotated[Path, typer.Option("--folder", help="Where the demo keeps its files.")] = Path("milepost-demo"),
    direct: Annotated[bool, typer.Option("--direct", help="Call the same functions without Prefect.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Then go on as `milepost up` does, beside the site.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Play the main job on a sample site, all on this machine: from a new page to a read mail."""
    from console.demo.play import play

    play(folder, direct=direct, keep=keep, as_json=as_json)


def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option("--host", help="Listen here; keep it behind your TLS proxy.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Listen on this port.")] = 8025,
) -> None:
    """Serve the issues' pages, the sign-up and the one-click unsubscribe, and send the letters of both."""
    from web import serve as server

    cli: CliContext = context.obj
    processes = cli.settings.web.processes
    tell = say if in_json() else typer.echo  # `milepost up` has both in its log
    tell(f"Serving on http://{host}:{port} (public address: {cli.settings.web.base_url}"
         f"{f', {processes} processes' if processes > 1 else ''}). Stop with Ctrl-C.")
    server.serve(cli.settings, host=host, port=port)


def embed(context: typer.Context) -> None:
    """Print a form for any page: plain HTML, no script; it leads to the sign-up page, where the choice is made."""
    from web.embed import form

    cli: CliContext = context.obj
    typer.echo(form(cli.settings), nl=False)
