"""The command `dispatch`: hand a frozen issue to the relay, in one pass or until nothing waits any more."""

from typing import Annotated, Any

import typer

from console.commands.issue import Number, hold_back, print_sent
from console.context import CliContext
from console.output import JsonFlag, print_json, progress


def mount(app: typer.Typer) -> None:
    app.command()(dispatch)


def dispatch(
    context: typer.Context,
    number: Number,
    to_the_end: Annotated[bool, typer.Option(
        "--drain", help="Wait for what is deferred and go on until nothing waits any more.",
    )] = False,
    as_json: JsonFlag = False,
) -> None:
    """Send what is due of a frozen issue; exit code 3 when it is paused or has hand-overs nobody knows the end of.

    Any number of dispatchers may send one issue at once. SIGTERM ends it after the replies to what is out, with exit
    code 0; run it again to go on.
    """
    from pipeline.dispatch import dispatch as one
    from pipeline.dispatch import find, sent_to_json
    from pipeline.draining import drain

    door: CliContext = context.obj
    again = f"milepost dispatch {number}{' --drain' if to_the_end else ''}"
    door.kept = f"The ledger knows who was mailed; `{again}` goes on with the rest."
    hold_back(door, number, find(door.settings, number).state, None, again)
    with progress(f"Sending issue {number}", quiet=as_json, unit="mails") as bar:
        sent = (drain if to_the_end else one)(door.settings, number, progress=bar)
    result: dict[str, Any] = sent_to_json(sent)
    if as_json:
        print_json(result)
    else:
        print_sent(result, again)
    if result["stopped"]:
        typer.echo(f"milepost: stopped. {door.kept}", err=True)
        return
    hold_back(door, number, result["state"], result["paused"], again)
