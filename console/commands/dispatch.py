"""The command `dispatch`: hand a frozen issue to the relay, once or until nothing waits; and what that came to."""

import datetime as dt
from typing import Annotated, Any

import typer

from console.arguments import Number
from console.context import CliContext
from console.output import JsonFlag, counted, print_json, progress
from milepost.errors import ConflictError, HeldError


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
    from pipeline.dispatch import drain, sent_to_json
    from pipeline.edit import find

    door: CliContext = context.obj
    again = f"milepost dispatch {number}{' --drain' if to_the_end else ''}"
    door.kept = f"The ledger knows who was mailed; `{again}` goes on with the rest."
    hold_back(door, number, find(door.database, number).state, None, again)
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


def hold_back(door: CliContext, number: int, state: str, reason: str | None, again: str) -> None:
    """Raises HeldError for an issue that waits for an operator, ConflictError for one that was cancelled under us.

    `reason`: why nothing more of it is sent, when a dispatch told it; `again`: the command that goes on after that.
    """
    from pipeline.edit import find

    if state == "paused":
        why = reason or find(door.database, number).pause_reason
        raise HeldError(f"it is paused: {why}", where=f"issue {number}",
                        hint=f"Mend that, then `milepost issue resume {number}` and `{again}`.")
    if reason is not None:
        raise ConflictError(reason, where=f"issue {number}")
    if state == "needs_review":
        raise HeldError("nobody knows whether some got it", where=f"issue {number}",
                        hint=f"`milepost ledger {number} --state unknown` names them, "
                             f"`milepost ledger resolve {number}` settles them.")


def print_sent(result: dict[str, Any], again: str) -> None:
    """What a dispatch in the form of `ledger --json` came to; `again` is the command that goes on with the rest."""
    typer.echo(_ledger_line(result))
    if result["next_due"]:
        due = dt.datetime.fromisoformat(result["next_due"]).astimezone(dt.UTC)
        typer.echo(f"{result['states'].get('deferred', 0)} deferred: the next is due at {due:%Y-%m-%d %H:%M} UTC; "
                   f"a scheduled run or `{again}` tries it then.")
    for address in result.get("worn_out", ()):
        typer.echo(f"Suppressed {address}: too many soft bounces.")


def _ledger_line(data: dict[str, Any]) -> str:
    def listed(counts: dict[str, int]) -> str:
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "none"

    return (f"Issue {data['issue']}: {counted(data['candidates'], 'candidate')} = "
            f"{counted(data['deliveries'], 'delivery', 'deliveries')} "
            f"({listed(data['states'])}) + exclusions ({listed(data['exclusions'])})")
