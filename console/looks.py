"""How looks are told: a table of them, and what they leave for an operator to decide."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import typer

from console.context import CliContext
from console.output import print_table, shortened
from milepost.printable import counted, printable

if TYPE_CHECKING:
    from pipeline.new_source import Trial


def print_looks(looks: list[dict[str, Any]]) -> None:
    """A table of looks in the form of `scrape --json`."""
    rows = [
        (look["source"], *(_known(look[name]) for name in ("requests", "fetched", "not_modified", "failed")),
         _known(look["milestones"]), _told(look))
        for look in looks
    ]
    columns = ("source", "requests", "fetched", "not modified", "failed", "milestones", "changes")
    print_table("", columns, rows, empty="Nothing was looked at.")
    for look in looks:
        for note in look["notes"]:
            typer.echo(f"Note: {note}.")
        for sentence in look["degraded"]:
            typer.echo(f"{look['source']} is degraded: {sentence}.")
        print_unread(look)
        if look["disallowed"]:
            typer.echo(f"{look['source']}: robots.txt forbids {look['disallowed']} pages; they were not asked for.")


def print_check(check: Mapping[str, Any]) -> None:
    """How a source reads, in the form of `source check --json`."""
    fields = check["fields"]
    names = sorted({witness for field in fields for witness in field["witnesses"]})
    rows = [
        (*(field[name] for name in ("field", "filled", "empty", "unknown", "disputed")),
         *(field["witnesses"].get(name, 0) for name in names))
        for field in fields
    ]
    print_table(f"{check['source']}: {check['pages']} pages, {check['found']} milestones",
                ("field", "filled", "empty", "unknown", "disputed", *names), rows, empty="")
    if newest := check["newest"]:
        typer.echo(f"The newest is {printable(newest['title'])} ({newest['date'] or 'no date'}, {newest['key']}).")
    for field in fields:
        if field["disputed"]:
            typer.echo(f"The witnesses of {field['field']} differ on {field['disputed']} milestones:")
            for words in field["examples"]:
                typer.echo(f"  {printable(words)}")
    print_unread(check)
    for sentence in check["silent"]:
        typer.echo(f"{check['source']}: {sentence}.")
    for sentence in check["feeds"]:
        typer.echo(f"{check['source']}: {printable(sentence)}.")
    if check["disallowed"]:
        typer.echo(f"robots.txt forbids {check['disallowed']} further pages; they are not asked for.")


def print_trial(trial: "Trial", *, settings: bool = True) -> None:
    """What an address is, and how it would be read."""
    from pipeline.new_source import otherwise, settings_block

    moved = f" ({trial.final_url})" if trial.final_url != trial.url else ""
    served = printable(trial.content_type) or "no content type"
    typer.echo(f"{printable(trial.url)}{printable(moved)}: {served}; robots.txt: {trial.robots}; "
               f"{counted(trial.requests, 'request')}.")
    best = trial.best
    if best is not None:
        elsewhere = f" at {printable(best.url)}" if best.url != trial.final_url else ""
        count = counted(best.found, "milestone")
        typer.echo(f"It is {printable(best.what)}{elsewhere}: {count}, {best.dated} with a date.")
        rows = [(entry.date or "unknown", shortened(entry.title, 50), shortened(entry.text, 70))
                for entry in best.entries]
        print_table("", ("date", "title", "what happened"), rows, empty="")
        for name, examples in best.disputed.items():
            typer.echo(f"The witnesses of {name} differ:")
            for words in examples:
                typer.echo(f"  {printable(words)}")
        if best.unread:
            typer.echo(f"{best.unread} look like milestones and could not be read:")
            for words in best.unread_first:
                typer.echo(f"  {words}")
        if best.unread_dates:
            typer.echo(f"{counted(best.unread_dates, 'milestone')} with a date that could not be read.")
        for sentence in best.silent:
            typer.echo(f"{sentence[:1].upper()}{sentence[1:]}.")
        if settings:
            typer.echo(f"\nThe settings that read it so:\n\n{settings_block(best.source)}")
    for words in trial.unused_feeds:
        typer.echo(words)
    if trial.rendering:
        typer.echo(f"It seems to need its scripts: {trial.rendering}.")
    told = [f"{printable(one.what)} at {printable(one.url)}: {otherwise(one)}" for one in trial.others]
    if told and best is not None:
        typer.echo("\nIt could be read otherwise too:")
        for line in told:
            typer.echo(f"  {line}")
    elif told:
        typer.echo("\n".join(told))


def print_unread(told: Mapping[str, Any]) -> None:
    """What looked like a milestone and could not be read, of a look or a check."""
    if told["unread"]:
        typer.echo(f"{told['source']}: {told['unread']} look like milestones and could not be read:")
        for words in told["unread_first"]:
            typer.echo(f"  {words}")
    if told["unread_dates"]:
        typer.echo(f"{told['source']}: {told['unread_dates']} milestones have a date that could not be read.")


def failures(looks: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The sentences of what went wrong in looks; one that came to nothing names its source, which its address may not.
    """
    for look in looks:
        yield from (f"{look['source']}: {one}" if "error" in look else one for one in look["failures"])


def _known(count: int | None) -> int | str:
    return "–" if count is None else count


def _told(look: Mapping[str, Any]) -> str:
    if "error" in look:
        return "no look"
    if look["baseline"]:
        return "baseline"
    if look["state"] == "no-baseline":
        return "no baseline"
    return ", ".join(f"{count} {kind}" for kind, count in look["changes"].items() if count) or "no change"


def waiting(cli: CliContext, looks: list[dict[str, Any]]) -> list[str]:
    """What these looks leave for an operator to decide: holds, and open questions about renames."""
    from pipeline.holds import pending_renames

    seen = [look["source"] for look in looks if "error" not in look]
    held = [f"{look['source']} is held: {look['held']}" for look in looks if look["held"]]
    held += [f"{question.source}: is {question.new_key} what {question.old_key} was?"
             for question in (pending_renames(cli.database) if seen else ()) if question.source in seen]
    return held
