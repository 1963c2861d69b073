"""Commands that watch: `scrape`, and `extract` for one saved page."""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.arguments import PrefectFlag, Sources
from console.context import CliContext
from console.looks import failures, print_check, print_looks, waiting
from console.output import JsonFlag, phases, print_json, say
from milepost.errors import InputError
from milepost.printable import printable_json

if TYPE_CHECKING:
    from milepost.records import Milestone, Unread
    from pipeline.several import Stop


def mount(app: typer.Typer) -> None:
    app.command()(scrape)
    example = "Example: milepost extract page.html --url https://bridges.example/bridge/iron-span -e generic --json"
    app.command(epilog=example)(extract)


def scrape(
    context: typer.Context,
    sources: Sources = None,
    full: Annotated[bool, typer.Option("--full", help="Ask for every page, whatever the poll page says.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what a first look would find; nothing is kept of it.")
    ] = False,
    prefect: PrefectFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Look at the sources: fetch, read, detect what changed. Nobody is mailed."""
    from console.exit_report import conclude
    from pipeline.look.look_at_several import chosen

    cli: CliContext = context.obj
    if dry_run:
        if prefect:
            raise typer.BadParameter("--dry-run keeps nothing, so there is nothing for Prefect: leave one out.")
        _try_out(cli, sources, as_json=as_json)
        return
    cli.kept = "Pages that were fetched are archived, and the next look goes on from there; nothing was announced."
    keys = chosen(cli.settings, sources)
    cli.tell_operators_at_the_end()
    looks = _looks_by_prefect(cli, keys, full=full) if prefect else _looks(cli, keys, full=full, quiet=as_json)
    if as_json:
        for look in looks:
            print_json(look)
    else:
        print_looks(looks)
    conclude(failures(looks), waiting(cli, looks))


def _try_out(cli: CliContext, sources: list[str] | None, *, as_json: bool) -> None:
    """What a first look at each source would find; one that is down doesn't keep us from the rest."""
    from console.exit_report import conclude
    from pipeline.look.look_at_several import chosen, look_at_several
    from pipeline.sources import tried_to_json, try_source

    cli.kept = "Nothing was kept: it was a dry run."
    with phases(quiet=as_json) as begin:

        def look(key: str, stop: "Stop") -> dict[str, Any]:
            with begin(f"Looking at {key}") as bar:
                return tried_to_json(try_source(cli.settings, key, progress=bar, stop=stop))

        keys = chosen(cli.settings, sources)
        told = _all_of(lambda: look_at_several(cli.settings, keys, look))
    for one in told:
        if as_json:
            print_json(one | {"dry_run": True})
        elif "error" not in one:
            print_check(one)
    conclude(
        (sentence for one in told for sentence in one["failures"]),
        [f"{one['source']} would be held: {one['held']}" for one in told if one["held"]],
        hint="Nothing was kept of this; a real look takes what could be read as its baseline and waits for you.",
    )


def _looks(cli: CliContext, keys: list[str], *, full: bool, quiet: bool) -> list[dict[str, Any]]:
    """A look at each source, side by side; one that is down or drips doesn't keep us from the rest."""
    from pipeline.look.look_at_several import look_at_several
    from pipeline.look.scrape import report_to_json, scrape

    with phases(quiet=quiet) as begin:

        def look(key: str, stop: "Stop") -> dict[str, Any]:
            with begin(f"Looking at {key}") as bar:
                return report_to_json(scrape(cli.settings, key, full=full, progress=bar, stop=stop))

        return _all_of(lambda: look_at_several(cli.settings, keys, look))


def _all_of(made: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The looks with those that failed among them."""
    from pipeline.several import UnfinishedError

    try:
        return made()
    except UnfinishedError as error:
        looks: list[dict[str, Any]] = error.result
        return looks


def _looks_by_prefect(cli: CliContext, keys: list[str], *, full: bool) -> list[dict[str, Any]]:
    from console.flow_runs import flow_result

    return _all_of(lambda: flow_result(cli, "scrape", sources=keys, full=full))


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
    from pipeline.look.reading import read_entries, read_file, whole

    del context
    if names:
        for name in registry.names():
            typer.echo(name)
        return
    if file is None:
        raise InputError("no file was named", hint="Try `milepost extract PAGE.html --json`.")
    several = None if text else read_entries(file, extractor=extractor, url=url)
    if several is not None:
        _print_entries(*several, as_json=as_json)
        return
    milestone = read_file(file, extractor=extractor, url=url, as_text=text, listings=tuple(listing or ()))
    data = milestone_to_json(milestone)
    if as_json:
        print_json(data)
    else:
        typer.echo(printable_json(json.dumps(data, ensure_ascii=False, indent=2)))
    whole(milestone)


def _print_entries(records: Sequence["Milestone"], unread: Sequence["Unread"], *, as_json: bool) -> None:
    """Every entry of a page, then what could not be read: that makes the exit code 1."""
    from milepost.codec import milestone_to_json

    for record in records:
        data = milestone_to_json(record)
        if as_json:
            print_json(data)
        else:
            typer.echo(printable_json(json.dumps(data, ensure_ascii=False, indent=2)))
    for one in unread:
        say(f"not read: {one}", level=logging.WARNING)
    if unread:
        raise typer.Exit(1)
