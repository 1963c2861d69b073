"""The command about webhooks: tell other programs what they were not told yet."""

from dataclasses import asdict

import typer

from console.context import CliContext
from console.groups import Group
from console.output import JsonFlag, print_json
from milepost.errors import DeliveryError, InputError


def mount(app: typer.Typer) -> None:
    group = typer.Typer(cls=Group, help="Tell other programs of milestones and issues.", no_args_is_help=True)
    group.command("send")(send)
    group.callback()(lambda: None)
    app.add_typer(group, name="webhooks")


def send(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Tell the addresses of [webhooks] what is new, and again what they did not take; scheduled runs do it too."""
    from pipeline.operate.webhooks import post

    cli: CliContext = context.obj
    if not cli.settings.webhooks.urls:
        raise InputError("[webhooks] urls names no address", hint="See docs/operations/webhooks.md.")
    done = post(cli.settings, cli.database)
    if as_json:
        print_json(asdict(done))
    else:
        typer.echo(f"{done.sent} sent, {done.waiting} to be tried again, {done.given_up} given up.")
    if done.why:
        raise DeliveryError(f"not all were taken: {done.why}", hint="They are tried again by themselves.")
