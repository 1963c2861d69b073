"""Commands for what is kept: `db …` the database, `archive …` the stored pages."""

import datetime as dt
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from console.arguments import Why
from console.context import CliContext
from console.groups import Group
from console.output import JsonFlag, complain, print_json, print_table
from milepost.dates import utc_now
from milepost.errors import InputError, StoreError
from milepost.printable import counted


def mount(app: typer.Typer) -> None:
    db = typer.Typer(cls=Group, help="The database: make it, check it, back it up.", no_args_is_help=True)
    db.command("upgrade")(db_upgrade)
    db.command("check")(db_check)
    db.command("backup")(db_backup)
    db.command("restore")(db_restore)
    db.command("confirm-restore")(db_confirm_restore)
    db.command("copy")(db_copy)
    app.add_typer(db, name="db")
    archive = typer.Typer(cls=Group, help="The stored pages, and the issues as web pages.", no_args_is_help=True)
    archive.command("size")(archive_size)
    archive.command("export")(archive_export)
    archive.command("train")(archive_train)
    archive.command("prune")(archive_prune)
    archive.command("build")(archive_build)
    app.add_typer(archive, name="archive")
    templates = typer.Typer(cls=Group, help="The mail's templates.", no_args_is_help=True)
    templates.command("eject")(templates_eject)
    app.add_typer(templates, name="templates")


# --- the database ---------------------------------------------------------------------------------------------------


def db_upgrade(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Create the database, or bring an older one up to this version."""
    from pipeline.upkeep import upgrade

    cli: CliContext = context.obj
    revision = upgrade(cli.settings)
    if as_json:
        print_json({"revision": revision})
    else:
        typer.echo(f"The database is at revision {revision}.")


def db_check(
    context: typer.Context,
    as_json: JsonFlag = False,
    every: Annotated[bool, typer.Option("--all", help="Read every archived page, not a sample.")] = False,
) -> None:
    """Check that the database is whole: its structure, its archive, and the sum of every ledger."""
    from pipeline.upkeep import check

    cli: CliContext = context.obj
    findings = check(cli.database, every=every)
    if as_json:
        print_json(list(findings))
    for finding in findings if not as_json else ():
        complain(finding)
    if findings:
        raise StoreError(f"{len(findings)} things are wrong", hint="Restore a backup, or ask with the list above.")
    if not as_json:
        typer.echo("The database is whole.")


def db_backup(context: typer.Context, to: Annotated[Path, typer.Argument(help="The backup's file.")]) -> None:
    """Write a backup of the SQLite database while it is in use."""
    from pipeline.upkeep import backup

    cli: CliContext = context.obj
    size = backup(cli.database, to)
    typer.echo(f"Wrote {to} ({size:,} bytes).")


def db_restore(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="A file that `db backup` wrote.")],
    replace: Annotated[bool, typer.Option("--replace", help="In place of a database that is there.")] = False,
) -> None:
    """Restore a backup. It refuses to send anything until `db confirm-restore`: it can't know what went out since."""
    from pipeline.upkeep import restore

    cli: CliContext = context.obj
    restore(cli.settings, source, replace=replace)
    typer.echo("Restored. Nothing is sent before `milepost db confirm-restore --why …`.")


def db_confirm_restore(
    context: typer.Context,
    why: Why,
    waiting: Annotated[
        str, typer.Option("--waiting", help="Deliveries that waited then become pending (and are sent) or unknown.")
    ] = "unknown",
) -> None:
    """Let a restored (or copied) database send again. By default what waited then is listed as unknown, not sent."""
    from pipeline.upkeep import confirm

    cli: CliContext = context.obj
    if waiting not in ("pending", "unknown"):
        raise InputError(f"there is no such choice as {waiting!r}", where="--waiting", hint="Want pending or unknown.")
    choice = cast("Literal['pending', 'unknown']", waiting)
    unknown = confirm(cli.database, why, waiting=choice, now=utc_now())
    typer.echo(f"Confirmed; {counted(unknown, 'delivery is', 'deliveries are')} listed as unknown.")


def db_copy(
    context: typer.Context,
    to: Annotated[str, typer.Option("--to", help="The other database's url.")],
    as_json: JsonFlag = False,
) -> None:
    """Copy everything into another, empty database (SQLite or PostgreSQL), verified by counts and hashes."""
    from pipeline.upkeep import copy

    cli: CliContext = context.obj
    copied = copy(cli.settings, to)
    if as_json:
        print_json([{"table": part.table, "rows": part.rows, "sha256": part.sha256} for part in copied])
        return
    rows = [(part.table, part.rows, part.sha256[:16]) for part in copied if part.rows]
    print_table("", ("table", "rows", "SHA-256"), rows, empty="There was nothing to copy.")
    typer.echo("Copied and compared. The copy sends nothing before `milepost db confirm-restore --why …`.")


# --- the archive ----------------------------------------------------------------------------------------------------


def archive_size(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Show how many pages are stored, and how small."""
    from pipeline.upkeep import archive_size as measure

    cli: CliContext = context.obj
    size = measure(cli.database)
    stored = size.stored_bytes + size.dictionary_bytes
    share = stored / size.raw_bytes if size.raw_bytes else 0.0
    if as_json:
        print_json({"snapshots": size.snapshots, "blobs": size.blobs, "raw_bytes": size.raw_bytes,
                    "stored_bytes": stored, "dictionaries": size.dictionaries, "share": round(share, 4)})
        return
    typer.echo(f"{size.snapshots:,} snapshots of {size.blobs:,} different bodies: {size.raw_bytes:,} bytes kept in "
               f"{stored:,} ({share:.1%}), {size.dictionaries} dictionaries among them.")


def archive_export(
    context: typer.Context,
    warc: Annotated[Path, typer.Option("--warc", help="The file to write, as in pages.warc.gz.")],
    source: Annotated[str | None, typer.Option("--source", "-s", help="Only this source.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write the stored pages as a WARC file (ISO 28500), which other archives read."""
    from pipeline.upkeep import export_warc

    cli: CliContext = context.obj
    records = export_warc(cli.database, warc, source=source, now=utc_now())
    if as_json:
        print_json({"file": str(warc), "records": records})
        return
    typer.echo(f"Wrote {records} records to {warc}.")


def archive_train(context: typer.Context) -> None:
    """Train a new compression dictionary on the stored pages, and pack them again with it."""
    from pipeline.upkeep import train

    cli: CliContext = context.obj
    typer.echo(f"Packed {train(cli.database, utc_now())} bodies again; see `milepost archive size`.")


def archive_prune(
    context: typer.Context,
    days: Annotated[int, typer.Option("--older-than-days", min=1, help="Only snapshots older than this.")],
    as_json: JsonFlag = False,
) -> None:
    """Forget old snapshots. What is evidence for a record, or a page's latest, always stays."""
    from pipeline.upkeep import prune

    cli: CliContext = context.obj
    gone = prune(cli.database, utc_now() - dt.timedelta(days=days))
    if as_json:
        print_json({"snapshots": gone.snapshots, "blobs": gone.blobs, "bytes": gone.bytes})
        return
    typer.echo(f"Forgot {gone.snapshots} snapshots; {gone.blobs} bodies ({gone.bytes:,} bytes) went with them.")


def archive_build(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", help="The folder.")],
    as_json: JsonFlag = False,
) -> None:
    """Write every sealed issue as a static site: pages, index, Atom, JSON Feed, sitemap."""
    from web.export import build_archive

    cli: CliContext = context.obj
    built = build_archive(cli.settings, cli.database, out)
    if as_json:
        print_json({"written": [str(path) for path in built.written], "unchanged": built.unchanged})
        return
    typer.echo(f"{len(built.written)} files written to {out}, {built.unchanged} were the same already.")


def templates_eject(folder: Annotated[Path, typer.Argument(help="Where to write them.")]) -> None:
    """Copy the templates to a folder of your own; name it in newsletter.templates and edit what you like."""
    from pipeline.setup import eject_templates

    written = eject_templates(folder)
    typer.echo(f"Wrote {len(written)} templates to {folder}. Those you don't edit may be deleted again.")
