"""Commands about one record and its past: `show`, `diff`, `explain`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.arguments import OneSource
from console.context import CliContext
from console.output import JsonFlag, print_json, print_table, shortened
from milepost.printable import printable

if TYPE_CHECKING:
    from milepost.records import Card, Change, Milestone
    from pipeline.explain import Explanation
    from pipeline.milestones import Version

Key = Annotated[str, typer.Argument(help="The milestone's key, as `milepost milestones` lists it.")]


def mount(app: typer.Typer) -> None:
    for command in (show, diff, explain):
        app.command()(command)
    app.command(hidden=True)(history)


def _version_json(version: "Version") -> dict[str, Any]:
    change = version.change
    return {
        "version": version.number, "at": version.created_at.isoformat(), "extractor": version.extractor,
        "snapshot": version.snapshot_id, "look": version.look_id, "backfill": version.backfill_id,
        "fingerprint": version.fingerprint,
        "kind": change.change.kind if change else None,
        "fields": [field._asdict() for field in change.change.fields] if change else [],
        "announce": change.announce if change else False,
        "later": [{"at": one.detected_at.isoformat(), "look": one.look_id, "kind": one.change.kind}
                  for one in version.later],
    }


def show(
    context: typer.Context,
    key: Key,
    source: OneSource = None,
    past: Annotated[
        bool, typer.Option("--history", help="Every version of it instead: when, what changed, and what read it.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show one milestone with the witnesses of each field, or its history."""
    from milepost.codec import field_to_json, milestone_to_json
    from milepost.fields import FIELDS
    from pipeline.milestones import show as find

    if past:
        history(context, key, source, as_json)
        return
    cli: CliContext = context.obj
    stored = find(cli.database, source, key)
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
    from milepost.fields import FIELD

    kind = FIELD[name].type
    if kind == "date" and milestone.date:
        return milestone.date.human() + ("" if milestone.date.confirmed else " (not confirmed)")
    if kind == "image" and milestone.image:
        return "\n".join(part for part in (milestone.image.url, milestone.image.alt) if part)
    if kind == "cards":
        return "\n".join(_card_line(card) for card in milestone.related)
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _card_line(card: "Card") -> str:
    return " · ".join(part for part in (card.date.human() if card.date else "", card.title) if part)


def history(context: typer.Context, key: Key, source: OneSource = None, as_json: JsonFlag = False) -> None:
    """The same as `milepost show KEY --history`."""
    from pipeline.milestones import history as past

    cli: CliContext = context.obj
    versions = past(cli.database, key, source)
    if as_json:
        print_json([_version_json(version) for version in versions])
        return
    rows = []
    for v in versions:
        kind, fields = ("", "") if v.change is None else (v.change.change.kind, _fields(v.change.change))
        rows.append((v.number, f"{v.created_at:%Y-%m-%d %H:%M}", kind, fields, v.found_by, v.extractor))
        rows += [(v.number, f"{one.detected_at:%Y-%m-%d %H:%M}", one.change.kind, "", f"look {one.look_id}", "")
                 for one in v.later]
    print_table("", ("version", "at", "kind", "fields", "found by", "read by"), rows, empty="It has no versions.")


def _fields(change: "Change") -> str:
    return ", ".join(field.field for field in change.fields)


def diff(
    context: typer.Context,
    key: Key,
    older: Annotated[int, typer.Argument(help="A version, as `milepost show KEY --history` numbers them.", min=1)],
    newer: Annotated[int, typer.Argument(help="Another.", min=1)],
    source: OneSource = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what differs between two versions of a milestone."""
    from pipeline.milestones import diff as compare

    cli: CliContext = context.obj
    found = compare(cli.database, key, older, newer, source)
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
    from pipeline.explain import explain as walk
    from pipeline.explain import explain_item, explanation_to_json

    cli: CliContext = context.obj
    if issue is not None and item is not None:
        told = explain_item(cli.database, issue, item)
    elif key is not None and field is not None:
        told = [walk(cli.database, key, field, source=source)]
    else:
        raise typer.BadParameter("What to explain? Give KEY FIELD, or --issue N --item KEY.")
    for position, one in enumerate(told):
        if as_json:
            print_json(explanation_to_json(one))
        else:
            _print_explanation(one, gap=position > 0)


def _came(told: "Explanation") -> str:
    if not told.imported:
        return f"read by {told.extractor}"
    return "imported" if told.extractor is None else f"imported; its file says: read by {told.extractor}"


def _print_explanation(told: "Explanation", *, gap: bool) -> None:
    if gap:
        typer.echo()
    typer.echo(f"{told.source}/{told.key} · {told.field}\n")
    typer.echo(f"Value      {shortened(told.value, 400)}")
    typer.echo(f"Since      version {told.version}, {told.at:%Y-%m-%d %H:%M} UTC, {_came(told)}")
    for witness in told.witnesses:
        said = f", which says {witness.says}" if witness.says is not None else ""
        on = f" on {witness.url}" if witness.url else ""
        typer.echo(f"Witness    {witness.witness}: {witness.where}{on}{said}")
    if told.snapshot is not None:
        typer.echo(f"Snapshot   {told.snapshot.url}, fetched {told.snapshot.fetched_at:%Y-%m-%d %H:%M:%S} UTC")
        typer.echo(f"           SHA-256 {told.snapshot.body_hash}, {len(told.snapshot.body):,} bytes, in the archive")
        if told.snapshot.rendered_by is not None:
            typer.echo(f"Rendered   on {told.snapshot.fetched_at:%Y-%m-%d} by {printable(told.snapshot.rendered_by)}")
    typer.echo(f"News       {told.news}")
