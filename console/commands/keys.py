"""Commands about secrets that are changed: `list`, and `rotate` and `leaked` for the keys of readers' links."""

from typing import Annotated

import typer

from console.arguments import Who, Why, operator
from console.context import CliContext
from console.groups import WithDefault
from console.output import JsonFlag, print_json, print_table
from milepost.dates import utc_now


def mount(app: typer.Typer) -> None:
    group = typer.Typer(cls=WithDefault, help="Secrets that are being changed, and the keys of readers' links.")
    group.command("list")(list_)
    group.command("rotate")(rotate)
    group.command("leaked")(leaked)
    app.add_typer(group, name="keys")


def list_(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List the keys of readers' links by name, and which old secrets are still accepted; no secret is shown."""
    from pipeline.operate.rotation import known_keys, old_secrets

    cli: CliContext = context.obj
    now = utc_now()
    keys, old = known_keys(cli.settings, cli.database), old_secrets(cli.settings, cli.database, now)
    if as_json:
        print_json({
            "keys": [{"name": one.name, "where": one.where, "signs": one.signs,
                      "leaked_at": one.leaked_at and one.leaked_at.isoformat()} for one in keys],
            "old": [{"setting": one.setting, "count": one.count, "since": one.since.isoformat(),
                     "until": one.until and one.until.isoformat(), "overdue": one.overdue(now)} for one in old],
        })
        return
    print_table("", ("key of readers' links", "kept in the", "state"), [
        (one.name, one.where,
         f"leaked {one.leaked_at:%Y-%m-%d}: its links only unsubscribe" if one.leaked_at
         else "signs" if one.signs else "its links work")
        for one in keys
    ], empty="No link was ever signed.")
    print_table("", ("old secret", "how many", "since", "state"), [
        (one.setting, one.count, f"{one.since:%Y-%m-%d}",
         "accepted for good" if one.until is None
         else f"should have gone {one.until:%Y-%m-%d}" if one.overdue(now) else f"accepted until {one.until:%Y-%m-%d}")
        for one in old
    ], empty="No old secret is accepted.")


def rotate(
    context: typer.Context,
    why: Why,
    has_leaked: Annotated[bool, typer.Option(
        "--leaked", help="The key of before has leaked: its links let readers leave, and nothing else.",
    )] = False,
    by: Who = None,
) -> None:
    """Let a new random key sign readers' links, where the database keeps it; old links go on working."""
    from pipeline.operators.link_keys import rotate as rotate_key

    cli: CliContext = context.obj
    old, new = rotate_key(
        cli.settings, cli.database, has_leaked=has_leaked, why=why, by=operator(by), now=utc_now()
    )
    then = "let readers leave, and nothing else" if has_leaked else "go on working"
    typer.echo(f"{new} signs the links of mails from the next dispatch on; those of {old} {then}. "
               "Make a backup now: one from before doesn't know the new key.")


def leaked(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The key's name, from `milepost keys`.")],
    why: Why,
    by: Who = None,
) -> None:
    """Say that a key of readers' links has leaked: its links let readers leave, and nothing else."""
    from pipeline.operators.link_keys import leaked as has_leaked

    cli: CliContext = context.obj
    has_leaked(cli.settings, cli.database, name, why=why, by=operator(by), now=utc_now())
    typer.echo(f"{name} lets readers leave, and nothing else; pages that are open obey within half a minute.")
