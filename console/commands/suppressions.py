"""Commands about addresses that are never mailed: `list`, `add`, `lift`, and the whole list by the file."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.arguments import Who, Why, operator
from console.by_hand import by_hand, care, typing
from console.context import CliContext
from console.exit_report import require_rows_used
from console.groups import WithDefault
from console.output import JsonFlag, print_json, print_table, progress
from milepost.dates import utc_now
from milepost.errors import InputError
from milepost.printable import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from milepost.records import SubscriberState
    from pipeline.subscribers import Event
    from pipeline.suppression_files import Read

_SAMPLE = 10  # rows that a dry run shows


def mount(app: typer.Typer) -> None:
    group = typer.Typer(cls=WithDefault, help="Addresses that are never mailed again, and why.")
    group.command("list")(list_)
    group.command("add")(add)
    group.command("lift")(lift)
    group.command("import")(import_)
    group.command("export")(export)
    app.add_typer(group, name="suppressions")


def list_(
    context: typer.Context,
    history: Annotated[
        bool, typer.Option("--history", help="Also what was lifted, and who did what about each, when and why.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """List the addresses that are never mailed, with the reason; who was erased is a hash."""
    from pipeline import subscribers

    cli: CliContext = context.obj
    listed = subscribers.suppressed(cli.database)
    events = subscribers.histories(cli.database) if history else {}
    names = {one.address_hash: one.normalized or f"erased:{one.address_hash[:12]}" for one in listed}
    lifted = [hash_ for hash_ in events if hash_ not in names]
    if as_json:
        for one in listed:
            print_json({
                "address": one.normalized, "address_hash": one.address_hash, "reason": one.reason,
                "since": one.created_at.isoformat(), "history": _history(events, one.address_hash),
            })
        for hash_ in lifted:
            print_json({"address": None, "address_hash": hash_, "reason": None, "since": None,
                        "history": _history(events, hash_)})
        return
    print_table("", ("address", "reason", "since"),
                [(names[one.address_hash], one.reason, f"{one.created_at:%Y-%m-%d}") for one in listed],
                empty="No address is suppressed.")
    if history:
        print_table("", ("address", "when", "what", "who", "why"), [
            (names.get(hash_, f"lifted:{hash_[:12]}"), f"{one.at:%Y-%m-%d %H:%M}", one.action, one.by, one.why)
            for hash_, each in events.items() for one in each
        ], empty="No operator suppressed, lifted or erased anything.")


def _history(events: "Mapping[str, Sequence[Event]]", hash_: str) -> list[dict[str, str]]:
    return [{"at": one.at.isoformat(), "action": one.action, "by": one.by, "why": one.why}
            for one in events.get(hash_, ())]


def add(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="Never to be mailed again.")],
    why: Why,
    by: Who = None,
    as_json: JsonFlag = False,
) -> None:
    """Never mail an address again, subscriber or not."""
    cli: CliContext = context.obj
    by_hand(
        care(cli).suppress, address, why=why, by=by, as_json=as_json,
        form=lambda new: {"address": address, "added": new},
        says=lambda new: f"{address} is never mailed from now on." if new else f"{address} was suppressed already.",
    )


def lift(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="What may be mailed again.")],
    why: Why,
    by: Who = None,
    as_json: JsonFlag = False,
) -> None:
    """Let a suppressed address be mailed again; what it was suppressed for stays in its history."""
    from pipeline import subscribers

    cli: CliContext = context.obj

    def state() -> "SubscriberState | None":
        found = subscribers.show(cli.database, address).subscriber
        return found.state if found else None

    after = {
        None: f"It is no subscriber: `milepost subscribers add {address}`.", "active": "It is mailed again.",
        "pending": f"It waits for its confirmation: `milepost subscribers return {address} --why …`.",
        "unsubscribed": f"It has left: `milepost subscribers return {address} --why …`.",
    }
    by_hand(
        care(cli).lift, address, why=why, by=by, as_json=as_json,
        form=lambda was: {"address": address, "was": was.reason, "subscriber": state()},
        says=lambda was: f"{address} is suppressed no more (was: {was.reason}). {after[state()]}",
    )


def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A blocklist as CSV of any program: a heading, or an address a line.")],
    why: Why,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show how it is read and what it would do; write nothing.")
    ] = False,
    by: Who = None,
    as_json: JsonFlag = False,
) -> None:
    """Never mail any address of a CSV file again; it only adds, and exit code 3 for a file of people who want mail."""
    from pipeline import suppression_files
    from pipeline.subscribers import By

    cli: CliContext = context.obj
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", where=str(file), hint="Check its path and mode.") from None
    doing = f"{'Looking at' if dry_run else 'Taking in'} {file.name}"
    with progress(doing, quiet=as_json, unit="addresses") as bar:
        if dry_run:
            read = suppression_files.import_file(
                cli.database, raw, file.name, by=By(who=operator(by), why=why), now=utc_now(), dry_run=True,
                progress=bar)
        else:
            read = care(cli).import_suppressions(raw, file.name, by=typing(by), why=why, progress=bar)
    counts = {taken: read.count(taken) for taken in suppression_files.TAKEN}
    if as_json:
        print_json(counts | {
            "dry_run": dry_run, "readers": read.readers, "rows": read.rows, "repeated": read.repeated,
            "cleaned": read.cleaned, "encoding": read.encoding, "separator": read.separated_by,
            "columns": {"address": read.address_in, "reason": read.reason_in},
            "errors": [{"line": line, "error": sentence} for line, sentence in read.errors],
        })
    else:
        _say_import(read, dry_run=dry_run)
    require_rows_used(file, read.errors)


def _say_import(read: "Read", *, dry_run: bool) -> None:
    if dry_run:
        told = f"the column “{read.reason_in}”" if read.reason_in else "no column: yours stands in"
        typer.echo(f"Read as {read.encoding}, separated by {read.separated_by}; the reason: {told}.")
        typer.echo("Nothing is written.")
        print_table("", ("line", "address", "reason", "would be"),
                    [(str(one.line), one.address, one.reason, one.taken) for one in read.listed[:_SAMPLE]], empty="")
    new = "Would be suppressed" if dry_run else "Suppressed"
    typer.echo(
        f"{new}: {read.count('added')}, of them active readers: {read.readers}; for a stricter reason now: "
        f"{read.count('stricter')}; known already: {read.count('known')}."
    )
    if read.repeated or read.cleaned:
        cleaned = counted(read.cleaned, "address", "addresses")
        typer.echo(f"{counted(read.repeated, 'row')} named an address again, {cleaned} had something taken off.")


def export(
    context: typer.Context,
    why: Annotated[str, typer.Option("--why", help="Your reason; it is kept.")] = "taken at the console",
    by: Who = None,
    as_json: JsonFlag = False,
) -> None:
    """Print every suppressed address as CSV that no spreadsheet runs (or JSON lines); who was erased is in none."""
    from pipeline import suppression_files

    cli: CliContext = context.obj
    if as_json:
        care(cli).export_each_suppression(suppression_files.export, print_json, by=typing(by), why=why)
        return
    sys.stdout.write(care(cli).export_suppressions(by=typing(by), why=why))
