"""Commands of the first hour: `init` writes the settings, `doctor` checks what they point at."""

from pathlib import Path
from typing import Annotated

import typer

from console.context import CliContext
from console.output import JsonFlag, print_json, print_table
from milepost.errors import MilepostError


def mount(app: typer.Typer) -> None:
    app.command()(init)
    app.command()(doctor)


def init(
    path: Annotated[Path, typer.Argument(help="The file to write, or a folder for it.")] = Path("milepost.toml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
    to_stdout: Annotated[bool, typer.Option("--print", help="Print it instead.")] = False,
) -> None:
    """Write a commented milepost.toml, and beside it the prefect.yaml of its schedules."""
    from pipeline.setup import settings_file, starter, write_deployments, write_starter

    if to_stdout:
        typer.echo(starter(), nl=False)
        return
    path = settings_file(path)
    write_starter(path, force=force)
    if force or not (path.resolve().parent / "prefect.yaml").exists():
        typer.echo(f"Wrote {write_deployments(path, force=force)}, for a Prefect server of yours.")
    typer.echo(f"Wrote {path}. Next: edit it, then `milepost doctor` and `milepost scrape`, which makes the database.")


def doctor(
    context: typer.Context,
    to: Annotated[str | None, typer.Option("--to", help="Send a test mail to this address, too.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check settings, database, sources, relay and DNS; nothing is sent, but for a test mail with --to."""
    from pipeline.doctor import examine

    cli: CliContext = context.obj
    findings = examine(cli.settings, to=to)
    if as_json:
        print_json([{"check": f.check, "ok": f.ok, "says": f.says, "publish": f.publish} for f in findings])
    else:
        words = {True: "ok", False: "NOT OK", None: "?"}
        rows = [(words[f.ok], f.check, f.says) for f in findings]
        print_table("", ("", "check", "what it says"), rows, empty="Nothing to check.")
        for finding in findings:
            if finding.publish:
                typer.echo(f"\nFor {finding.check}, publish:\n{finding.publish}")
    bad = [finding for finding in findings if finding.ok is False]
    if bad:
        raise MilepostError(f"{len(bad)} of {len(findings)} checks failed", hint="Mend what the table names.")
