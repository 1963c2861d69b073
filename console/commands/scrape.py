"""Commands that watch: `scrape`, and `extract` for one saved page."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from console.context import CliContext
from console.output import JsonFlag, phases, print_json, print_table
from milepost.errors import InputError, MilepostError, StoreError

Sources = Annotated[list[str] | None, typer.Argument(metavar="[SOURCE]...", help="Keys of sources; all when none.")]
OneSource = Annotated[str | None, typer.Option("--source", "-s", help="Only this source.")]
PrefectFlag = Annotated[bool, typer.Option("--prefect", help="Run it as a Prefect flow.")]


def mount(app: typer.Typer) -> None:
    app.command()(scrape)
    example = "Example: milepost extract page.html --url https://bridges.example/bridge/iron-span -e generic --json"
    app.command(epilog=example)(extract)


def scrape(
    context: typer.Context,
    sources: Sources = None,
    full: Annotated[bool, typer.Option("--full", help="Ask for every page, whatever the poll page says.")] = False,
    prefect: PrefectFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Look at the sources: fetch, read, detect what changed. Nobody is mailed."""
    from console.exit_report import conclude

    door: CliContext = context.obj
    door.kept = "Pages that were fetched are archived, and the next look goes on from there; nothing was announced."
    keys = sources or [source.key for source in door.settings.sources]
    if not keys:
        raise InputError("no source is configured", hint="Add a [[sources]] block to milepost.toml.")
    looks = _looks_by_prefect(door, keys, full=full) if prefect else _looks(door, keys, full=full, quiet=as_json)
    if as_json:
        for look in looks:
            print_json(look)
    else:
        print_looks(looks)
    conclude((sentence for look in looks for sentence in look["failures"]), waiting(door, looks))


def _looks(door: CliContext, keys: list[str], *, full: bool, quiet: bool) -> list[dict[str, Any]]:
    """One look after the other; a source that is down doesn't keep us from the rest."""
    from pipeline.look.scrape import report_to_json, scrape
    from pipeline.several import down_to_json

    looks = []
    with phases(quiet=quiet) as begin:
        for key in keys:
            door.settings.source(key)  # a name that is none fails before anything is asked for
        for key in keys:
            try:
                report = scrape(door.settings, key, full=full, progress=begin(f"Looking at {key}"))
            except MilepostError as error:
                looks.append(down_to_json(key, error))
                if isinstance(error, StoreError):
                    break  # the next source would fare no better
            else:
                looks.append(report_to_json(report))
    return looks


def _looks_by_prefect(door: CliContext, keys: list[str], *, full: bool) -> list[dict[str, Any]]:
    from console.commands.run import flow_result
    from pipeline.several import UnfinishedError

    try:
        looks: list[dict[str, Any]] = flow_result(door, "scrape", sources=keys, full=full)
    except UnfinishedError as error:
        looks = error.result
    return looks


def print_looks(looks: list[dict[str, Any]]) -> None:
    """A table of looks in the form of `scrape --json`."""
    rows = [
        (look["source"], *(_known(look[name]) for name in ("requests", "fetched", "not_modified", "failed")),
         _known(look["milestones"]), _told(look))
        for look in looks
    ]
    columns = ("source", "requests", "fetched", "not modified", "failed", "milestones", "changes")
    print_table("", columns, rows, empty="Nothing was looked at.")


def _known(count: int | None) -> int | str:
    return "–" if count is None else count


def _told(look: Mapping[str, Any]) -> str:
    if "error" in look:
        return "no look"
    if look["baseline"]:
        return "baseline"
    return ", ".join(f"{count} {kind}" for kind, count in look["changes"].items() if count) or "no change"


def waiting(door: CliContext, looks: list[dict[str, Any]]) -> list[str]:
    """What these looks leave for an operator to decide: holds, and open questions about renames."""
    from pipeline.look.renaming import pending_renames

    seen = [look["source"] for look in looks if "error" not in look]
    held = [f"{look['source']} is held: {look['held']}" for look in looks if look["held"]]
    held += [f"{question.source}: is {question.new_key} what {question.old_key} was?"
             for question in (pending_renames(door.database) if seen else ()) if question.source in seen]
    return held


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
    from milepost.codec import milestone_to_json
    from pipeline.look.reading import read_file, whole

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
