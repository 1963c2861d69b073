"""Commands into one record's past: `history`, `diff`, `explain`, and `search` over all of them."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from milepost.cli.commands_watch import OneSource
from milepost.cli.context import Door
from milepost.cli.output import JsonFlag, print_json, print_table, shortened
from milepost.errors import InputError

if TYPE_CHECKING:
    from flows.steps.explain import Explanation
    from store.milestones import Version

Key = Annotated[str, typer.Argument(help="The milestone's key, as `milepost milestones` lists it.")]


def mount(app: typer.Typer) -> None:
    for command in (history, diff, explain, search):
        app.command()(command)


def _version_json(version: "Version") -> dict[str, Any]:
    change = version.change
    return {
        "version": version.number, "at": version.created_at.isoformat(), "extractor": version.extractor,
        "snapshot": version.snapshot_id, "look": version.look_id, "fingerprint": version.fingerprint,
        "kind": change.change.kind if change else None,
        "fields": [field._asdict() for field in change.change.fields] if change else [],
        "announce": change.announce if change else False,
    }


def history(context: typer.Context, key: Key, source: OneSource = None, as_json: JsonFlag = False) -> None:
    """List every version of a milestone: when, what changed, and what read it."""
    from store.milestones import Milestones

    door: Door = context.obj
    versions = Milestones(door.database).history(key, source)
    if as_json:
        print_json([_version_json(version) for version in versions])
        return
    rows = [
        (v.number, f"{v.created_at:%Y-%m-%d %H:%M}", v.change.change.kind if v.change else "",
         ", ".join(field.field for field in v.change.change.fields) if v.change else "",
         "a look" if v.look_id else "a backfill", v.extractor)
        for v in versions
    ]
    print_table("", ("version", "at", "kind", "fields", "found by", "read by"), rows, empty="It has no versions.")


def diff(
    context: typer.Context,
    key: Key,
    older: Annotated[int, typer.Argument(help="A version, as `milepost history` numbers them.", min=1)],
    newer: Annotated[int, typer.Argument(help="Another.", min=1)],
    source: OneSource = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what differs between two versions of a milestone."""
    from store.milestones import Milestones

    door: Door = context.obj
    found = Milestones(door.database).diff(key, older, newer, source)
    if as_json:
        print_json([field._asdict() for field in found])
        return
    print_table("", ("field", f"version {older}", f"version {newer}"),
                [(field.field, shortened(field.old, 400), shortened(field.new, 400)) for field in found],
                empty="They are the same.")


def explain(
    context: typer.Context,
    key: Annotated[str | None, typer.Argument(help="The milestone's key.")] = None,
    field: Annotated[str | None, typer.Argument(help="A field, as `milepost show` names them.")] = None,
    issue: Annotated[int | None, typer.Option("--issue", help="As it stands in this issue …", min=1)] = None,
    item: Annotated[str | None, typer.Option("--item", help="… every line of the milestone with this key.")] = None,
    source: OneSource = None,
    as_json: JsonFlag = False,
) -> None:
    """Walk from a field's value, or from the lines of a mail, back to the bytes they came from."""
    from flows.steps.explain import explain as walk
    from flows.steps.explain import explain_item, explanation_to_json

    door: Door = context.obj
    if issue is not None and item is not None:
        told = explain_item(door.database, issue, item)
    elif key is not None and field is not None:
        told = [walk(door.database, key, field, source=source)]
    else:
        raise InputError("what to explain?", hint="Give KEY FIELD, or --issue N --item KEY.")
    for position, one in enumerate(told):
        if as_json:
            print_json(explanation_to_json(one))
        else:
            _print_explanation(one, gap=position > 0)


def _print_explanation(told: "Explanation", *, gap: bool) -> None:
    if gap:
        typer.echo()
    typer.echo(f"{told.source}/{told.key} · {told.field}\n")
    typer.echo(f"Value      {shortened(told.value, 400)}")
    typer.echo(f"Since      version {told.version}, {told.at:%Y-%m-%d %H:%M} UTC, read by {told.extractor}")
    for witness in told.witnesses:
        said = f", which says {witness.says}" if witness.says is not None else ""
        on = f" on {witness.url}" if witness.url else ""
        typer.echo(f"Witness    {witness.witness}: {witness.where}{on}{said}")
    if told.snapshot is not None:
        typer.echo(f"Snapshot   {told.snapshot.url}, fetched {told.snapshot.fetched_at:%Y-%m-%d %H:%M:%S} UTC")
        typer.echo(f"           SHA-256 {told.snapshot.body_hash}, {len(told.snapshot.body):,} bytes, in the archive")
    typer.echo(f"News       {told.news}")


def search(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="Words to look for.")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000)] = 20,
    as_json: JsonFlag = False,
) -> None:
    """Search the milestones' texts; the best fit first."""
    from milepost.codec import milestone_to_json
    from store.search import Search

    door: Door = context.obj
    found = Search(door.database).search(text, limit)
    if as_json:
        for hit in found:
            print_json(milestone_to_json(hit.stored.milestone))
        return
    rows = [(m.date.human() if m.date else "", m.key, m.title) for m in (hit.stored.milestone for hit in found)]
    print_table("", ("date", "key", "title"), rows, empty="Nothing fits.")


