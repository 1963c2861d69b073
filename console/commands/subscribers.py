"""Commands about subscribers: `add`, `list`, `import`, `export`, `unsubscribe`."""

import csv
import sys
from pathlib import Path
from typing import Annotated

import typer

from console.arguments import cadence_of, subscriber_state_of
from console.context import CliContext
from console.groups import Group
from console.output import JsonFlag, complain, print_json, print_table
from milepost.dates import utc_now
from milepost.errors import MilepostError

Topics = Annotated[list[str] | None, typer.Option("--topic", help="A category or tag; more than once for more.")]


def mount(app: typer.Typer) -> None:
    group = typer.Typer(cls=Group, help="Those who asked to be mailed.", no_args_is_help=True)
    group.command("add")(add)
    group.command("list")(list_)
    group.command("import")(import_)
    group.command("export")(export)
    group.command("unsubscribe")(unsubscribe)
    app.add_typer(group, name="subscribers")


def add(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="Somebody who asked for it.")],
    cadence: Annotated[str | None, typer.Option("--cadence", help="Else the first that is configured.")] = None,
    topic: Topics = None,
    as_json: JsonFlag = False,
) -> None:
    """Add a subscriber who has already confirmed to you that they want it."""
    from pipeline import subscribers

    door: CliContext = context.obj
    chosen = cadence_of(cadence) if cadence else door.settings.newsletter.cadences[0]
    subscriber, created = subscribers.add(
        door.database, address, cadence=chosen, topics=tuple(topic or ()), now=utc_now()
    )
    if as_json:
        print_json({"address": subscriber.address, "state": subscriber.state, "cadence": subscriber.cadence,
                    "topics": list(subscriber.topics), "added": created})
        return
    said = "Added" if created else "Already there, left as it is:"
    typer.echo(f"{said} {subscriber.address} ({subscriber.state}, {subscriber.cadence}).")


def list_(
    context: typer.Context,
    state: Annotated[str | None, typer.Option("--state", help="pending, active or unsubscribed.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List subscribers."""
    from pipeline import subscribers

    door: CliContext = context.obj
    listed = subscribers.listed(door.database, subscriber_state_of(state) if state else None)
    if as_json:
        for subscriber in listed:
            print_json({
                "address": subscriber.address, "state": subscriber.state, "cadence": subscriber.cadence,
                "topics": list(subscriber.topics), "created_at": subscriber.created_at.isoformat(),
            })
        return
    rows = [(s.address, s.state, s.cadence, ", ".join(s.topics) or "everything", f"{s.created_at:%Y-%m-%d}")
            for s in listed]
    print_table("", ("address", "state", "cadence", "topics", "since"), rows,
                empty="No subscribers yet. Run `milepost subscribers add ADDRESS`.")


def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV with a header: address, and if you like state, cadence, topics.")],
    as_json: JsonFlag = False,
) -> None:
    """Import subscribers from CSV; a row that can't be used is named and doesn't stop the rest."""
    from pipeline.subscribers import import_file

    door: CliContext = context.obj
    imported = import_file(door.database, file, cadence=door.settings.newsletter.cadences[0], now=utc_now())
    if as_json:
        print_json({"added": imported.added, "known": imported.known,
                    "errors": [{"line": number, "error": sentence} for number, sentence in imported.errors]})
    else:
        typer.echo(f"{imported.added} added, {imported.known} were there already, "
                   f"{len(imported.errors)} could not be used.")
    for number, sentence in imported.errors:
        complain(f"{file}, line {number}: {sentence}")
    if imported.errors:
        raise MilepostError(
            f"{len(imported.errors)} rows could not be used", where=str(file), hint="Mend them and import it again."
        )


def export(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Print every subscriber as CSV (or JSON lines); `subscribers import` reads it."""
    from pipeline import subscribers

    door: CliContext = context.obj
    rows = subscribers.export(door.database)
    if as_json:
        for row in rows:
            print_json(row | {"topics": row["topics"].split()})
        return
    writer = csv.DictWriter(sys.stdout, subscribers.COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def unsubscribe(context: typer.Context, address: Annotated[str, typer.Argument(help="Who leaves.")]) -> None:
    """Unsubscribe an address; no message begins for it after this."""
    from pipeline import subscribers

    door: CliContext = context.obj
    typer.echo(f"Unsubscribed {subscribers.unsubscribe(door.database, address, now=utc_now()).address}.")
