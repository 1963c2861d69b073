"""Commands over all milestones on record: `milestones`, `changes`, `export`, `import`, `search`."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from console.arguments import OneSource
from console.commands.holds import resolve_question, show_questions
from console.context import CliContext
from console.groups import WithDefault
from console.output import JsonFlag, complain, print_json, print_table
from milepost.errors import InputError, MilepostError


class Format(StrEnum):
    """How milestones are printed."""

    TABLE = "table"
    JSONL = "jsonl"
    CSV = "csv"
    JSONLD = "jsonld"


class Exported(StrEnum):
    """How milestones are written for others."""

    JSONL = "jsonl"
    CSV = "csv"
    JSONLD = "jsonld"


def mount(app: typer.Typer) -> None:
    app.command()(milestones)
    group = typer.Typer(cls=WithDefault, help="What changed, and new milestones that may be old ones renamed.")
    group.command("list")(list_changes)
    group.command("renames")(show_questions)
    group.command("resolve")(resolve_question)
    app.add_typer(group, name="changes")
    for name, command in (("export", export), ("import", import_), ("search", search)):
        app.command(name)(command)


def milestones(
    context: typer.Context,
    source: OneSource = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="As `milepost export` has it, or a table.")]
        = Format.TABLE,
    as_json: JsonFlag = False,
) -> None:
    """List the milestones on record; `--json` is the same as `--format jsonl`."""
    from pipeline.milestones import on_record

    if as_json and form not in (Format.TABLE, Format.JSONL):
        raise typer.BadParameter(f"--json and --format {form.value} can't both be had; give one of them.")
    if as_json or form is not Format.TABLE:
        export(context, source=source, form=Exported.JSONL if as_json else Exported(form.value))
        return
    cli: CliContext = context.obj
    listed = on_record(cli.database, source)
    rows = [(m.date.human() if m.date else "", m.key, m.title, m.category, m.impact) for m in listed]
    print_table("", ("date", "key", "title", "category", "impact"), rows,
                empty="No milestones yet. Run `milepost scrape`.")


def export(
    context: typer.Context,
    source: OneSource = None,
    form: Annotated[
        Exported, typer.Option("--format", "-f", help="jsonl (whole records), csv, or jsonld (schema.org).")
    ] = Exported.JSONL,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A file; else standard output.")] = None,
) -> None:
    """Write the milestones on record for others: JSON Lines, CSV or schema.org JSON-LD."""
    from pipeline.export import lines
    from pipeline.milestones import on_record

    cli: CliContext = context.obj
    written = lines(form.value, on_record(cli.database, source))
    if out is None:
        for line in written:
            sys.stdout.write(f"{line}\n")
        return
    partial = out.with_name(f"{out.name}.part")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            file.writelines(f"{line}\n" for line in written)
        partial.replace(out)
    except OSError as error:
        raise InputError(f"can't be written: {error.strerror}", where=str(out), hint="Choose another place.") from None


def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="JSON Lines, as `milepost export` writes them; - is standard input.")],
    source: Annotated[
        str | None, typer.Option("--source", "-s", help="The source they are to belong to; else as each line says.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Take milestones in from JSON Lines. Nobody is told of them; importing a file again changes nothing."""
    from milepost.dates import utc_now
    from pipeline.import_milestones import Importer

    cli: CliContext = context.obj
    importer = Importer(cli.database, sources=[known.key for known in cli.settings.sources], now=utc_now())
    if source is not None:
        cli.settings.source(source)
    try:
        if str(file) == "-":
            imported = importer.take(sys.stdin, source=source)
        else:
            with file.open(encoding="utf-8", errors="replace") as text:
                imported = importer.take(text, source=source)
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", where=str(file), hint="Check the path.") from None
    if as_json:
        print_json({"lines": imported.lines, "added": imported.added, "changed": imported.changed,
                    "unchanged": imported.unchanged, "failed": imported.failed, "failures": list(imported.failures)})
    else:
        typer.echo(f"{imported.added} added, {imported.changed} changed, {imported.unchanged} were known already, "
                   f"{imported.failed} lines could not be used.")
    for sentence in imported.failures[:-1]:
        complain(f"{file}: {sentence}.")
    if imported.failures:
        raise MilepostError(imported.failures[-1], where=str(file))


def list_changes(
    context: typer.Context,
    source: OneSource = None,
    kind: Annotated[str | None, typer.Option("--kind", "-k", help="Only added, corrected, enriched, …")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="The newest so many.")] = 50,
    every: Annotated[bool, typer.Option("--all", help="Also what is no news: baselines, backfills.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """List what changed, newest first."""
    from milepost.records import CHANGE_KINDS
    from pipeline.milestones import changes

    kinds = [known for known in CHANGE_KINDS if kind is None or known == kind]
    if not kinds:
        raise InputError(f"there is no kind {kind!r}", where="--kind", hint=f"Choose from {', '.join(CHANGE_KINDS)}.")
    cli: CliContext = context.obj
    listed = changes(cli.database, source=source, kinds=kinds, limit=limit, announced_only=not every)
    if as_json:
        for stored in listed:
            change = stored.change
            print_json({
                "id": stored.id, "source": change.source, "key": change.key, "kind": change.kind,
                "fields": [field._asdict() for field in change.fields],
                "detected_at": stored.detected_at.isoformat(), "announce": stored.announce, "held": stored.held,
            })
        return
    rows = [
        (stored.id, f"{stored.detected_at:%Y-%m-%d %H:%M}", stored.change.kind, stored.change.key,
         ", ".join(field.field for field in stored.change.fields), "held" if stored.held else "")
        for stored in listed
    ]
    print_table("", ("id", "detected", "kind", "key", "fields", ""), rows, empty="Nothing has changed.")


def search(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="Words to look for.")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="The best so many.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """Search the milestones' texts; the best fit first."""
    from milepost.codec import milestone_to_json
    from pipeline.milestones import search as look_for

    cli: CliContext = context.obj
    found = look_for(cli.database, text, limit)
    if as_json:
        for hit in found:
            print_json(milestone_to_json(hit))
        return
    rows = [(m.date.human() if m.date else "", m.key, m.title) for m in found]
    print_table("", ("date", "key", "title"), rows, empty="Nothing fits.")
