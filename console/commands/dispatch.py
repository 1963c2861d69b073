"""The command `dispatch`: hand frozen issues to the relay, once or until nothing waits; and what that came to."""

import datetime as dt
import logging
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from console.context import CliContext
from console.output import JsonFlag, print_json, progress, say
from milepost.errors import ConflictError, HeldError, MilepostError
from milepost.printable import counted


def mount(app: typer.Typer) -> None:
    app.command()(dispatch)


def dispatch(
    context: typer.Context,
    number: Annotated[int | None, typer.Argument(
        metavar="[ISSUE]", help="The issue's number; every issue that waits to be sent when none.", min=1,
    )] = None,
    to_the_end: Annotated[bool, typer.Option(
        "--drain", help="Wait for what is deferred and go on until nothing waits any more.",
    )] = False,
    take_over: Annotated[bool, typer.Option(
        "--take-over", help="Don't wait for a dispatcher that is proven dead: it ran on this machine, and is gone.",
    )] = False,
    as_json: JsonFlag = False,
) -> None:
    """Send what is due of a frozen issue, or of all; exit code 3 when one is paused, has hand-overs nobody knows the
    end of, or another dispatcher holds the rest.

    Any number of dispatchers may send one issue at once. SIGTERM ends it after the replies to what is out, with exit
    code 0; run it again to go on.
    """
    from console.exit_report import conclude
    from pipeline.dispatch import waiting
    from pipeline.holds import waiting_issues

    cli: CliContext = context.obj
    cli.tell_operators_at_the_end()
    if number is not None:
        _send(cli, number, to_the_end=to_the_end, take_over=take_over, as_json=as_json)
        return
    failures: list[str] = []
    held = [f"{one.about}: {one.why} (`{one.command}`)" for one in waiting_issues(cli.settings, cli.database)
            if one.kind in ("paused", "unknown")]
    due = waiting(cli.settings)
    if not due and not as_json:
        typer.echo("Nothing is due to be sent.")
    for one in due:  # of which one that can't be sent doesn't keep us from the next
        try:
            if not _send(cli, one, to_the_end=to_the_end, take_over=take_over, as_json=as_json):
                return
        except HeldError as error:
            held.append(str(error))
        except MilepostError as error:
            failures.append(str(error))
    conclude(failures, held, hint="See `milepost status`.")


def _send(cli: CliContext, number: int, *, to_the_end: bool, take_over: bool, as_json: bool) -> bool:
    """Send one issue and say what that came to; False when we were asked to end. Raises as `hold_back` does."""
    from pipeline.dispatch import dispatch as one
    from pipeline.dispatch import drain, sent_to_json
    from pipeline.edit import find

    again = f"milepost dispatch {number}{' --drain' if to_the_end else ''}"
    cli.kept = f"The ledger knows who was mailed; `{again}` goes on with the rest."
    hold_back(cli, number, find(cli.database, number).state, None, again)
    with progress(f"Sending issue {number}", quiet=as_json, unit="mails") as bar:
        sent = (drain if to_the_end else one)(cli.settings, number, progress=bar, take_over=take_over)
    result: dict[str, Any] = sent_to_json(sent)
    if as_json:
        print_json(result)
    else:
        print_sent(result, again)
    if result["stopped"]:
        say(f"milepost: stopped. {cli.kept}", level=logging.WARNING)
        return False
    hold_back(cli, number, result["state"], result["paused"], again, held=result["held"])
    return True


def hold_back(
    cli: CliContext, number: int, state: str, reason: str | None, again: str, *,
    held: Sequence[dict[str, Any]] = (),
) -> None:
    """Raises HeldError for an issue that waits for an operator or another dispatcher, ConflictError for one that was
    cancelled under us.

    `reason`: why nothing more of it is sent, when a dispatch told it; `again`: the command that goes on after that;
    `held`: what others have taken of it, as `dispatch --json` tells it.
    """
    from pipeline.edit import find

    if state == "paused":
        why = find(cli.database, number).pause_reason or reason
        raise HeldError(f"it is paused: {why}", where=f"issue {number}",
                        hint=f"Mend that, then `milepost issue resume {number}` and `{again}`.")
    if reason is not None:
        raise ConflictError(reason, where=f"issue {number}")
    if state == "needs_review":
        raise HeldError("nobody knows whether some got it", where=f"issue {number}",
                        hint=f"`milepost ledger {number} --state unknown` names them, "
                             f"`milepost ledger resolve {number}` settles them.")


    if held:
        raise HeldError(holders(held), where=f"issue {number}", hint=_wait_or_take_over(held, number, again))


def holders(held: Sequence[dict[str, Any]]) -> str:
    """Who holds what, and until when: "another dispatcher (process 4711 on mail) holds 72 until 07:50:12 UTC"."""
    return "; ".join(
        f"another dispatcher{_named(one)} holds {one['deliveries']} until"
        f" {dt.datetime.fromisoformat(one['until']).astimezone(dt.UTC):%H:%M:%S} UTC"
        for one in held
    )


def _named(one: dict[str, Any]) -> str:
    return "" if one["pid"] is None else f" (process {one['pid']} on {one['host']})"


def _wait_or_take_over(held: Sequence[dict[str, Any]], number: int, again: str) -> str:
    lives = {one["life"] for one in held}
    if "dead" in lives:
        return f"That process is dead: `milepost dispatch {number} --take-over` goes on at once, `{again}` then."
    if lives == {"alive"}:
        return f"It is at work; `{again}` goes on with what it leaves."
    return f"Nobody can tell from here whether it lives. If it does not, `{again}` goes on after that time."


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
