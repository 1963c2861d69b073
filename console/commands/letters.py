"""Commands about letters, the mails that are no issue, and the sign-ups that most of them are about."""

from typing import Annotated

import typer

from console.context import CliContext
from console.groups import WithDefault
from console.output import JsonFlag, print_json, print_table
from milepost.dates import utc_now
from milepost.errors import DeliveryError

_WHAT = {
    "taken": "taken", "network": "refused: too many from a network", "backlog": "refused: too many letters wait",
    "repeated": "refused: the same address again and again within a minute",
    "trap": "turned away: the hidden field was filled", "too_fast": "turned away: sent faster than anybody reads",
    "too_old": "turned away: the page was older than a day",
    "no_proof": "asked again: without the proof of work", "wrong_proof": "asked again: the proof of work was wrong",
    "old_proof": "asked again: the proof of work came too late",
    "used_proof": "asked again: the proof of work was used for another address",
}


def mount(app: typer.Typer) -> None:
    group = typer.Typer(cls=WithDefault, help="Mails that are no issue: confirmations, reminders, welcomes.")
    group.command("list")(list_)
    group.command("send")(send)
    app.add_typer(group, name="letters")


def list_(
    context: typer.Context,
    last: Annotated[int, typer.Option("--last", min=1, help="How many of the latest are listed.")] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List the latest letters and why one waits or was dropped, and count a day's sign-ups, taken and refused."""
    from pipeline.letters import standing

    cli: CliContext = context.obj
    found = standing(cli.database, utc_now(), limit=last)
    if as_json:
        print_json({
            "states": dict(found.states), "sign_ups": dict(found.sign_ups),
            "letters": [
                {"id": one.id, "kind": one.kind, "address": one.address or None, "state": one.state,
                 "attempts": one.attempts, "queued_at": one.queued_at.isoformat(),
                 "next_attempt_at": one.next_attempt_at.isoformat() if one.state == "queued" else None,
                 "sent_at": one.sent_at.isoformat() if one.sent_at else None, "why": one.why,
                 "came_back": one.came_back or None}
                for one in found.letters
            ],
        })
        return
    print_table("", ("queued", "kind", "to", "state", "why"), [
        (f"{one.queued_at:%Y-%m-%d %H:%M}", one.kind, one.address or "(forgotten)", one.state,
         f"came back: {one.came_back}" if one.came_back else "" if one.state == "sent" else one.why)
        for one in found.letters
    ], empty="No letter was ever written.")
    if found.states:
        typer.echo(", ".join(f"{count} {state}" for state, count in found.states.items()) + ".")
    for what, count in found.sign_ups.items():
        typer.echo(f"Sign-ups in the last day, {_WHAT.get(what, what)}: {count}.")


def send(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Send what waits, remind who did not confirm in a day, forget month-old sign-ups; `run` and `web` do it too."""
    from pipeline.letters import letters_to_json, work_off

    cli: CliContext = context.obj
    cli.tell_operators_at_the_end()
    done = work_off(cli.settings, cli.database, now=utc_now)
    if as_json:
        print_json(letters_to_json(done))
    else:
        typer.echo(f"{done.sent} sent, {done.dropped} dropped, {done.failed} failed, {done.waiting} to be tried again.")
    if done.why:
        raise DeliveryError(f"letters wait: {done.why}", hint="They go out by themselves once it is mended.")
