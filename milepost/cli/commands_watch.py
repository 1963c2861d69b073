"""Commands that watch and show: `scrape`, `milestones`, `show`, `changes`, `extract`, `backfill`, `holds`."""

import csv
import io
import json
import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from milepost.cli.context import Door
from milepost.cli.output import JsonFlag, print_json, print_table, progress, shortened
from milepost.errors import HeldError, InputError, MilepostError

if TYPE_CHECKING:
    from milepost.records import Card, LookReport, Milestone
    from store.renamings import Renaming

Sources = Annotated[list[str] | None, typer.Argument(metavar="[SOURCE]...", help="Keys of sources; all when none.")]
OneSource = Annotated[str | None, typer.Option("--source", "-s", help="Only this source.")]
PrefectFlag = Annotated[bool, typer.Option("--prefect", help="Run it as a Prefect flow.")]
CSV_COLUMNS = ("source", "key", "url", "title", "date", "category", "era", "impact", "what_happened",
               "why_it_mattered", "people", "organizations", "tags", "image_url", "image_alt", "unknown")


class Format(StrEnum):
    """How milestones are printed."""

    TABLE = "table"
    JSONL = "jsonl"
    CSV = "csv"


def mount(app: typer.Typer) -> None:
    for command in (scrape, milestones, show, changes, extract, backfill):
        app.command()(command)


def scrape(
    context: typer.Context,
    sources: Sources = None,
    full: Annotated[bool, typer.Option("--full", help="Ask for every page, whatever the poll page says.")] = False,
    prefect: PrefectFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Look at the sources: fetch, read, detect what changed. Nobody is mailed."""
    from flows.steps.renaming import pending_renames
    from flows.steps.scrape import report_from_json, report_to_json
    from flows.steps.scrape import scrape as look

    door: Door = context.obj
    keys = sources or [source.key for source in door.settings.sources]
    if not keys:
        raise InputError("no source is configured", hint="Add a [[sources]] block to milepost.toml.")
    reports: list[LookReport] = []
    errors: list[MilepostError] = []
    if prefect:
        from milepost.cli.running import flow_result

        reports = [report_from_json(data) for data in flow_result(door, "scrape", sources=keys, full=full)]
    else:
        for key in keys:
            try:
                with progress(f"Looking at {key}", quiet=as_json) as bar:
                    reports.append(look(door.settings, key, full=full, progress=bar))
            except MilepostError as error:  # one source that is down doesn't keep us from the others
                errors.append(error)
    for report in reports:
        if as_json:
            print_json(report_to_json(report))
    if not as_json and reports:
        _print_reports(reports)
    _judge(reports, errors, pending_renames(door.database) if reports else [])


def _print_reports(reports: list["LookReport"]) -> None:
    rows = [
        (r.source, r.requests, r.fetched, r.not_modified, r.failed, r.milestones,
         "baseline" if r.baseline else ", ".join(f"{n} {kind}" for kind, n in r.changes.items() if n) or "no change")
        for r in reports
    ]
    columns = ("source", "requests", "fetched", "not modified", "failed", "milestones", "changes")
    print_table("", columns, rows, empty="Nothing was looked at.")


def _judge(reports: list["LookReport"], errors: list[MilepostError], questions: list["Renaming"]) -> None:
    """Say every failure in a sentence and leave with the exit code that the worst of them deserves."""
    sentences = [str(error) for error in errors]
    sentences += [sentence for report in reports for sentence in report.failures]
    held = [f"{report.source} is held: {report.held}" for report in reports if report.held]
    held += [f"{report.source}: is {question.new_key} what {question.old_key} was?" for report in reports
             for question in questions if question.source == report.source]
    for sentence in sentences[:-1] if not held else sentences:
        typer.echo(f"milepost: {sentence}", err=True)
    if held:
        raise HeldError("; ".join(held), hint="See `milepost holds list` and `milepost holds renames`.")
    if sentences:
        raise MilepostError(sentences[-1])


def milestones(
    context: typer.Context,
    source: OneSource = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="table, jsonl or csv.")] = Format.TABLE,
    as_json: JsonFlag = False,
) -> None:
    """List the milestones on record; `--json` is the same as `--format jsonl`."""
    from milepost.codec import milestone_to_json
    from store.milestones import Milestones

    door: Door = context.obj
    records = Milestones(door.database)
    if as_json or form is Format.JSONL:
        for stored in records.iterate(source):
            print_json(milestone_to_json(stored.milestone))
    elif form is Format.CSV:
        _print_csv(stored.milestone for stored in records.iterate(source))
    else:
        rows = [
            (m.date.human() if m.date else "", m.key, m.title, m.category, m.impact)
            for m in (stored.milestone for stored in records.iterate(source))
        ]
        print_table("", ("date", "key", "title", "category", "impact"), rows,
                    empty="No milestones yet. Run `milepost scrape`.")


def _print_csv(listed: Iterable["Milestone"]) -> None:
    from milepost.codec import milestone_to_json

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for milestone in listed:
        data = milestone_to_json(milestone)
        image = data["image"] or {"url": None, "alt": None}
        data |= {"date": (data["date"] or {}).get("value"), "image_url": image["url"], "image_alt": image["alt"]}
        cells = (data[name] for name in CSV_COLUMNS)
        writer.writerow(["; ".join(cell) if isinstance(cell, list) else cell for cell in cells])
        sys.stdout.write(buffer.getvalue())
        buffer.seek(0)
        buffer.truncate()


def show(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="The milestone's key, as `milepost milestones` lists it.")],
    source: OneSource = None,
    as_json: JsonFlag = False,
) -> None:
    """Show one milestone, with the witnesses of each field."""
    from milepost.codec import field_to_json, milestone_to_json
    from milepost.records import FIELDS
    from store.milestones import Milestones

    door: Door = context.obj
    stored = Milestones(door.database).get(source, key)
    milestone = stored.milestone
    if as_json:
        print_json(milestone_to_json(milestone) | {"version": stored.version, "fingerprint": stored.fingerprint})
        return
    rows = []
    for name in FIELDS:
        value = field_to_json(milestone, name) if name not in milestone.unknown else "(unknown)"
        witnesses = ", ".join(
            f"{w.witness} {w.where}" + (f" (says {w.says})" if w.says else "") for w in milestone.evidence.get(name, ())
        )
        rows.append((name, _plain(milestone, name, value), witnesses))
    seen = f"{stored.first_seen_at:%Y-%m-%d}"
    title = f"{milestone.source}/{milestone.key} · version {stored.version} · first seen {seen}"
    print_table(f"{title}\n{milestone.url}", ("field", "value", "witnesses"), rows, empty="")


def _plain(milestone: "Milestone", name: str, value: object) -> object:
    if value in (None, "", []):
        return "(empty)"
    if name == "date" and milestone.date:
        return milestone.date.human() + ("" if milestone.date.confirmed else " (not confirmed)")
    if name == "image" and milestone.image:
        return "\n".join(part for part in (milestone.image.url, milestone.image.alt) if part)
    if name == "related":
        return "\n".join(_card_line(card) for card in milestone.related)
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _card_line(card: "Card") -> str:
    return " · ".join(part for part in (card.date.human() if card.date else "", card.title) if part)


def changes(
    context: typer.Context,
    source: OneSource = None,
    kind: Annotated[str | None, typer.Option("--kind", "-k", help="Only added, corrected, enriched, …")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="The newest so many.")] = 50,
    every: Annotated[bool, typer.Option("--all", help="Also what is no news: baselines, backfills.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """List what changed, newest first."""
    from milepost.records import CHANGE_KINDS
    from store.milestones import Milestones

    kinds = [known for known in CHANGE_KINDS if kind is None or known == kind]
    if not kinds:
        raise InputError(f"there is no kind {kind!r}", where="--kind", hint=f"Choose from {', '.join(CHANGE_KINDS)}.")
    door: Door = context.obj
    listed = Milestones(door.database).changes(
        source=source, kinds=kinds, limit=limit, announce=None if every else True
    )
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


def extract(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="A saved page; - for standard input.")] = None,
    url: Annotated[str | None, typer.Option("--url", help="The page's address; else its canonical link.")] = None,
    extractor: Annotated[str, typer.Option("--extractor", "-e", help="Who reads it.")] = "aitimeline",
    text: Annotated[bool, typer.Option("--text", help="The file is the page's plain text, not its HTML.")] = False,
    listing: Annotated[
        list[Path] | None, typer.Option("--listing", help="A saved listing page, whose cards confirm dates.")
    ] = None,
    names: Annotated[bool, typer.Option("--list", help="List the extractors.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Read one saved page and print its record; needs no settings, no database and no network."""
    from extractors import registry
    from flows.steps.reading import read_file, whole
    from milepost.codec import milestone_to_json

    del context
    if names:
        for name in registry.names():
            typer.echo(name)
        return
    if file is None:
        raise InputError("no file was named", hint="Try `milepost extract PAGE.html --json`.")
    milestone = read_file(file, extractor=extractor, url=url, as_text=text, listings=tuple(listing or ()))
    data = milestone_to_json(milestone)
    if as_json:
        print_json(data)
    else:
        typer.echo(json.dumps(data, ensure_ascii=False, indent=2))
    whole(milestone)


def backfill(
    context: typer.Context,
    sources: Sources = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change and write nothing.")] = False,
    prefect: PrefectFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Read the stored snapshots again with today's extractors. It announces nothing and has no way to mail."""
    from flows.steps.backfill import backfill as reread
    from flows.steps.backfill import reread_to_json

    door: Door = context.obj
    keys = sources or [source.key for source in door.settings.sources]
    if prefect:
        from milepost.cli.running import flow_result

        results = flow_result(door, "backfill", sources=keys, dry_run=dry_run)
    else:
        results = []
        for key in keys:
            with progress(f"Reading {key} again", quiet=as_json) as bar:
                results.append(reread_to_json(reread(door.settings, key, dry_run=dry_run, progress=bar)))
    failures = [sentence for result in results for sentence in result["failures"]]
    if as_json:
        for result in results:
            print_json(result)
    else:
        rows = [(change["key"], change["kind"], field["field"], shortened(field["old"]), shortened(field["new"]))
                for result in results for change in result["changes"] for field in change["fields"]]
        columns = ("key", "kind", "field", "was", "would be" if dry_run else "is")
        read = sum(result["read"] for result in results)
        print_table("", columns, rows, empty=f"{read} snapshots read again; every record came out the same.")
    for sentence in failures[:-1]:
        typer.echo(f"milepost: {sentence}", err=True)
    if failures:
        raise MilepostError(failures[-1])
