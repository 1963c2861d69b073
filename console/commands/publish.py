"""The command `publish`: the issues that are due, drafted, and frozen where they need no approval."""

from collections.abc import Iterable, Mapping
from typing import Any

import typer

from console.context import CliContext
from console.output import JsonFlag, print_json
from milepost.printable import counted


def mount(app: typer.Typer) -> None:
    app.command()(publish)


def publish(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Draft the issues that are due, and freeze those that need no approval; exit code 3 while one waits for you.

    Nobody is mailed: `milepost dispatch` does that.
    """
    from console.exit_report import conclude
    from pipeline.publish import made_to_json
    from pipeline.publish import publish as draft_and_freeze

    cli: CliContext = context.obj
    cli.tell_operators_at_the_end()
    issues = [made_to_json(made) for made in draft_and_freeze(cli.settings)]
    if as_json:
        for issue in issues:
            print_json(issue)
    else:
        print_made(issues)
        if not issues:
            typer.echo("No issue is due.")
    conclude([], [f"issue {issue['issue']} waits: {issue['waits']}" for issue in issues if issue["waits"]],
             hint="See `milepost issue list`.")


def print_made(issues: Iterable[Mapping[str, Any]]) -> None:
    """The issues that were made or found waiting, a line each."""
    for issue in issues:
        told = counted(issue["items"], "milestone")
        typer.echo(f"Issue {issue['issue']} ({issue['cadence']}, {told}): {issue['state']}"
                   + (f", {issue['waits']}" if issue["waits"] else ""))
