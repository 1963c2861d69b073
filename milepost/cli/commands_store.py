"""Commands for the database: `db upgrade`, `db check`."""

from typing import Annotated

import typer

from milepost.cli.context import Door
from milepost.cli.output import JsonFlag, print_json
from milepost.errors import StoreError


def mount(app: typer.Typer) -> None:
    db = typer.Typer(help="The database.", no_args_is_help=True)
    db.command("upgrade")(db_upgrade)
    db.command("check")(db_check)
    app.add_typer(db, name="db")


def db_upgrade(context: typer.Context) -> None:
    """Create the database, or bring an older one up to this version."""
    from store.database import upgrade

    door: Door = context.obj
    revision = upgrade(door.settings.store.url)
    typer.echo(f"The database is at revision {revision}.")


def db_check(
    context: typer.Context,
    as_json: JsonFlag = False,
    every: Annotated[bool, typer.Option("--all", help="Read every archived page, not a sample.")] = False,
) -> None:
    """Check that the database is whole: its structure, its archive, and the sum of every ledger."""
    from store.checking import SAMPLE, check

    door: Door = context.obj
    findings = check(door.database, sample=None if every else SAMPLE)
    if as_json:
        print_json(list(findings))
    for finding in findings if not as_json else ():
        typer.echo(f"milepost: {finding}", err=True)
    if findings:
        raise StoreError(f"{len(findings)} things are wrong", hint="Restore a backup, or ask with the list above.")
    if not as_json:
        typer.echo("The database is whole.")
