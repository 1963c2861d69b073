"""Commands that read the stored pages again: `backfill`, and what was read again: `list`, `resume`, `undo`."""

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.arguments import PrefectFlag, Sources
from console.context import CliContext
from console.groups import WithDefault
from console.output import JsonFlag, complain, print_json, print_table, progress, shortened
from milepost.errors import InputError, MilepostError

if TYPE_CHECKING:
    from pipeline.backfill import Backfill, Reread

Id = Annotated[int, typer.Argument(metavar="ID", help="From `milepost backfill list`.")]
_SHOWN = 200  # rows of a table; --json prints all


def mount(app: typer.Typer) -> None:
    group = typer.Typer(
        cls=WithDefault,
        help="Read the stored pages again with today's extractors. It announces nothing and has no way to mail.",
    )
    for name, command in (("run", run), ("list", show_list), ("resume", resume), ("undo", undo)):
        group.command(name)(command)
    app.add_typer(group, name="backfill")


def run(
    context: typer.Context,
    sources: Sources = None,
    keys: Annotated[list[str] | None, typer.Option("--key", "-k", help="Only this milestone; repeat for more.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="Only pages fetched then or later (ISO 8601).")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Only pages fetched before that.")] = None,
    extractor: Annotated[
        str | None, typer.Option("--extractor", "-e", help="Only records that this one read, as in aitimeline/1.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change and write nothing.")] = False,
    processes: Annotated[
        int | None, typer.Option("--processes", min=0, help="How many read at once; by default one a core.")
    ] = None,
    prefect: PrefectFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Read stored pages again, all or a part; what differs is written at once, and can be undone."""
    from pipeline.backfill import Selection, nothing_fits, require_some, reread_to_json
    from pipeline.backfill import backfill as reread

    cli: CliContext = context.obj
    selection = Selection(keys=tuple(keys or ()), since=_moment(since, "--since"), until=_moment(until, "--until"),
                          extractor=extractor)
    chosen = sources or [source.key for source in cli.settings.sources]
    for key in chosen:
        cli.settings.source(key)
    require_some(cli.database, chosen, selection)
    if prefect:
        from console.flow_runs import flow_result

        results = flow_result(cli, "backfill", sources=chosen, dry_run=dry_run, selection=selection.to_json())
    else:
        results = []
        for key in chosen:
            with progress(f"Reading {key} again", quiet=as_json, unit="pages") as bar:
                results.append(reread_to_json(reread(
                    cli.settings, key, dry_run=dry_run, selection=selection, progress=bar, processes=processes
                )))
    _tell(results, as_json=as_json)
    if selection != Selection() and not any(result["read"] for result in results):
        raise nothing_fits()


def resume(context: typer.Context, backfill_id: Id, as_json: JsonFlag = False) -> None:
    """Go on with a backfill that died. (Starting it again with the same options does the same.)"""
    from pipeline.backfill import reread_to_json
    from pipeline.backfill import resume as go_on

    cli: CliContext = context.obj

    def work() -> "Reread":
        with progress(f"Going on with backfill {backfill_id}", quiet=as_json, unit="pages") as bar:
            return go_on(cli.settings, backfill_id, progress=bar)

    _tell([reread_to_json(work())], as_json=as_json)


def _tell(results: list[dict[str, Any]], *, as_json: bool) -> None:
    """What was read again, table after table; then leave with the last of what went wrong."""
    failures = [sentence for result in results for sentence in result["failures"]]
    for result in results:
        if as_json:
            print_json(result)
        else:
            _print_result(result)
    for sentence in failures[:-1]:
        complain(sentence)
    if failures:
        raise MilepostError(failures[-1])


def _print_result(result: dict[str, Any]) -> None:
    dry = result["dry_run"]
    rows = [(change["key"], change["kind"], field["field"], shortened(field["old"]), shortened(field["new"]))
            for change in result["changes"] for field in change["fields"]]
    if rows:
        columns = ("key", "kind", "field", "was", "would be" if dry else "is")
        print_table(result["source"], columns, rows[:_SHOWN], empty="")
    if len(rows) > _SHOWN:
        typer.echo(f"… and {len(rows) - _SHOWN} fields more; --json prints all.")
    told = [(issue["issue"], issue["state"], shortened(", ".join(issue["keys"]))) for issue in result["issues"]]
    if told:
        print_table("Issues that told of them (they stay as they were sent)", ("issue", "state", "milestones"), told,
                    empty="")
    pace = f"{result['seconds']:.1f} s ({result['pages_per_second']:,.0f} a second)"
    read = f"{result['read']:,} pages read again in {pace}"
    if not result["read"]:
        typer.echo(f"{result['source']}: no stored page was to be read again.")
    elif not result["differ"]:
        typer.echo(f"{result['source']}: {read}; every record came out the same.")
    elif dry:
        typer.echo(f"{result['source']}: {read}; {result['differ']} records would change. Nothing was written.")
    else:
        undo_it = f"milepost backfill undo {result['backfill']} --why …"
        typer.echo(f"{result['source']}: {read}; {result['written']} records written, nobody is told. "
                   f"To take it back: {undo_it}")


def show_list(
    context: typer.Context,
    source: Annotated[str | None, typer.Option("--source", "-s", help="Only this source.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the backfills, the latest first."""
    from pipeline.backfill import listed as backfills

    cli: CliContext = context.obj
    listed = backfills(cli.database, source)
    if as_json:
        print_json([_backfill_json(one) for one in listed])
        return
    rows = [(one.id, one.source, one.extractor, f"{one.started_at:%Y-%m-%d %H:%M}", one.read, one.versions,
             one.state, _selected(one)) for one in listed]
    columns = ("id", "source", "read by", "started", "pages", "written", "state", "only")
    print_table("", columns, rows, empty="Nothing was read again yet.")


def _backfill_json(one: "Backfill") -> dict[str, Any]:
    return {
        "id": one.id, "source": one.source, "extractor": one.extractor, "state": one.state,
        "selection": dict(one.parameters), "started_at": one.started_at.isoformat(),
        "finished_at": one.finished_at and one.finished_at.isoformat(),
        "undone_at": one.undone_at and one.undone_at.isoformat(), "undone_why": one.undone_why,
        "read": one.read, "failed": one.failed, "written": one.versions,
    }


def _selected(one: "Backfill") -> str:
    given = {name: value for name, value in one.parameters.items() if value}
    return shortened("; ".join(f"{name} {', '.join(value) if isinstance(value, list) else value}"
                               for name, value in given.items()))


def undo(
    context: typer.Context,
    backfill_id: Id,
    why: Annotated[str, typer.Option("--why", help="Your reason; it is kept.")] = "",
) -> None:
    """Take a backfill back: every record is again as it was before. Nobody is told of that either."""
    from milepost.dates import utc_now
    from pipeline.backfill import undo as take_back

    cli: CliContext = context.obj
    versions = take_back(cli.database, backfill_id, why=why, now=utc_now())
    typer.echo(f"Took backfill {backfill_id} back: {versions} records are as they were before.")


def _moment(text: str | None, option: str) -> dt.datetime | None:
    """A day or a moment; in UTC unless it says otherwise."""
    if text is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is no date", where=option, hint="Want 2026-11-23 or 2026-11-23T09:00Z.") from None
    return moment if moment.utcoffset() is not None else moment.replace(tzinfo=dt.UTC)
