"""Commands about subscribers: in and out, one by one or by the file, back again, and forgotten."""

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.arguments import Who, Why, cadence_of, operator, subscriber_state_of
from console.by_hand import by_hand, care, typing
from console.context import CliContext
from console.exit_report import MOST, require_rows_used
from console.groups import Group
from console.output import JsonFlag, complain, print_json, print_table, progress
from milepost.dates import utc_now
from milepost.errors import HeldError
from milepost.printable import counted

if TYPE_CHECKING:
    from milepost.records import Subscriber
    from pipeline.subscribers import Consent, Imported, Outcome, Result

Topics = Annotated[list[str] | None, typer.Option("--topic", help="A category or tag; more than once for more.")]
_SAMPLE = 10  # rows that a dry run shows


def mount(app: typer.Typer) -> None:
    group = typer.Typer(cls=Group, help="Those who asked to be mailed.", no_args_is_help=True)
    group.command("add")(add)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("import")(import_)
    group.command("export")(export)
    group.command("unsubscribe")(unsubscribe)
    group.command("return")(return_)
    group.command("erase")(erase)
    app.add_typer(group, name="subscribers")


def _to_json(subscriber: "Subscriber") -> dict[str, object]:
    return {
        "address": subscriber.address, "state": subscriber.state, "cadence": subscriber.cadence,
        "topics": list(subscriber.topics), "created_at": subscriber.created_at.isoformat(),
    }


def add(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="Somebody who asked for it.")],
    cadence: Annotated[str | None, typer.Option("--cadence", help="Else the first that is configured.")] = None,
    topic: Topics = None,
    why: Annotated[str, typer.Option("--why", help="How you know; it is kept.")] = "added by hand",
    by: Who = None,
    as_json: JsonFlag = False,
) -> None:
    """Add a subscriber who has confirmed to you that they want it; exit code 3 for who left or is suppressed."""
    cli: CliContext = context.obj
    chosen = cadence_of(cadence) if cadence else cli.settings.newsletter.cadences[0]
    subscriber, created = care(cli).add(
        address, cadence=chosen, topics=tuple(topic or ()), by=typing(by), why=why,
    )
    if as_json:
        print_json({"address": subscriber.address, "state": subscriber.state, "cadence": subscriber.cadence,
                    "topics": list(subscriber.topics), "added": created})
        return
    said = "Added" if created else "Already there, left as it is:"
    typer.echo(f"{said} {subscriber.address} ({subscriber.state}, {subscriber.cadence}).")


def list_(
    context: typer.Context,
    state: Annotated[str | None, typer.Option("--state", help="pending, active or unsubscribed.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List subscribers."""
    from pipeline import subscribers

    cli: CliContext = context.obj
    listed = subscribers.listed(cli.database, subscriber_state_of(state) if state else None)
    if as_json:
        for subscriber in listed:
            print_json(_to_json(subscriber))
        return
    rows = [(s.address, s.state, s.cadence, ", ".join(s.topics) or "everything", f"{s.created_at:%Y-%m-%d}")
            for s in listed]
    print_table("", ("address", "state", "cadence", "topics", "since"), rows,
                empty="No subscribers yet. Run `milepost subscribers add ADDRESS`.")


def show(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="Whose.")],
    as_json: JsonFlag = False,
) -> None:
    """Show all that is known of an address: its choice and the proof of it, whether it is suppressed, who did what."""
    from pipeline import subscribers

    cli: CliContext = context.obj
    shown = subscribers.show(cli.database, address)
    who, listed = shown.subscriber, shown.suppression
    if as_json:
        print_json({
            "address": shown.address, "subscriber": _to_json(who) if who else None,
            "suppressed": {"reason": listed.reason, "since": listed.created_at.isoformat()} if listed else None,
            "history": [{"at": one.at.isoformat(), "action": one.action, "by": one.by, "why": one.why}
                        for one in shown.history],
            "sign_up": None if (asked := shown.sign_up) is None else {
                "asked_at": asked.asked_at.isoformat(), "times": asked.asked, "cadence": asked.cadence,
                "topics": list(asked.topics), "source": asked.source, "path": asked.path,
                "reminded_at": asked.reminded_at.isoformat() if asked.reminded_at else None,
                "confirmed_at": asked.confirmed_at.isoformat() if asked.confirmed_at else None,
            },
            "consents": [_consent(one) for one in shown.consents],
            "story": [{"at": one.at.isoformat(), "what": one.what, "state": one.state or None,
                       "who": one.who or None, "said": one.said} for one in shown.story],
        })
        return
    if who is None:
        typer.echo(f"{shown.address} is no subscriber.")
    else:
        typer.echo(f"{who.address}: {who.state}, {who.cadence}, {', '.join(who.topics) or 'everything'}, "
                   f"since {who.created_at:%Y-%m-%d}.")
    if listed is not None:
        typer.echo(f"Suppressed since {listed.created_at:%Y-%m-%d}: {listed.reason}. Nothing is sent to it.")
    if shown.sign_up is not None and shown.sign_up.confirmed_at is None:
        typer.echo(f"Signed up {shown.sign_up.asked_at:%Y-%m-%d %H:%M} ({shown.sign_up.source or 'source unknown'}), "
                   f"asked {counted(shown.sign_up.asked, 'time')}; it waits for its confirmation.")
    for proof in shown.consents:
        typer.echo(f"Asked {proof.asked_at:%Y-%m-%d %H:%M} on {proof.source or 'a form'}"
                   f"{f' {proof.path}' if proof.path else ''} (words {proof.form}, network {proof.network[:12]}), "
                   f"confirmed {proof.confirmed_at:%Y-%m-%d %H:%M} (network {proof.confirmed_network[:12]}): "
                   f"{proof.cadence}, {', '.join(proof.topics) or 'everything'}.")
    print_table("", ("when", "what", "state", "who", "said"),
                [(f"{one.at:%Y-%m-%d %H:%M}", one.what, one.state, one.who, one.said) for one in shown.story],
                empty="Nothing was done about it.")


def _consent(one: "Consent") -> dict[str, object]:
    return {
        "asked_at": one.asked_at.isoformat(), "form": one.form, "language": one.language, "source": one.source,
        "variant": one.variant, "path": one.path, "network": one.network, "cadence": one.cadence,
        "topics": list(one.topics), "confirmed_at": one.confirmed_at.isoformat(),
        "confirmed_network": one.confirmed_network,
    }


def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A list as CSV of any program: a heading, or an address a line.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show how it is read and ten rows; write nothing.")
    ] = False,
    map_: Annotated[
        list[str] | None, typer.Option("--map", help="FIELD=HEADING: the column of address, state, cadence or topics.")
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option("--ignore", help="A heading that is to say nothing.")] = None,
    word: Annotated[
        list[str] | None, typer.Option("--word", help="WORD=STATE: what a word in a column of states means.")
    ] = None,
    state: Annotated[
        str | None, typer.Option("--state", help="What everybody in the file is, where no column says so.")
    ] = None,
    by: Who = None,
    as_json: JsonFlag = False,
) -> None:
    """Import subscribers from CSV; nobody who left is brought back, and what isn't understood is named."""
    from pipeline import subscribers

    cli: CliContext = context.obj
    usual, chosen = cli.settings.newsletter.cadences[0], subscribers.choices(
        map_ or (), ignore or (), word or (), state)
    with progress(f"{'Looking at' if dry_run else 'Taking in'} {file.name}", quiet=as_json, unit="people") as bar:
        if dry_run:
            imported = subscribers.import_file(
                cli.database, file, cadence=usual, by=operator(by), now=utc_now(), chosen=chosen, dry_run=True,
                progress=bar)
        else:
            imported = care(cli).import_file(
                file, cadence=usual, chosen=chosen, by=typing(by), why="", progress=bar)
    counts = {result: imported.count(result) for result in subscribers.RESULTS}
    if as_json:
        print_json(counts | {
            "dry_run": dry_run, "rows": imported.rows, "repeated": imported.repeated, "cleaned": imported.cleaned,
            "encoding": imported.encoding, "separator": imported.separated_by,
            "columns": [{"heading": one.heading, "as": one.taken_for, "note": one.note} for one in imported.columns],
            "people": [_outcome(one) for one in _told(imported, dry_run)],
            "errors": [{"line": number, "error": sentence} for number, sentence in imported.errors],
        })
    else:
        _say_import(imported, counts, dry_run)
    require_rows_used(file, imported.errors)
    held = len(imported.of("held_back", "contradicted"))
    if held:
        raise HeldError(
            f"{counted(held, 'person', 'people')} {'is' if held == 1 else 'are'} left as they were", where=str(file),
            hint="Whoever asked you again: `milepost subscribers return ADDRESS --why …`; who is suppressed: `milepost "
                 "suppressions lift`; who left elsewhere: `milepost subscribers unsubscribe`.",
        )


def _told(imported: "Imported", dry_run: bool) -> Sequence["Outcome"]:
    """Those whom a report lists by name: ten of a dry run, and whoever did not come in as the file has them."""
    listed = imported.of("held_back", "contradicted", "skipped")
    first = imported.outcomes[:_SAMPLE] if dry_run else ()
    return (*first, *(one for one in listed if one not in first))


def _outcome(one: "Outcome") -> dict[str, object]:
    return {"line": one.entry.line, "address": one.entry.address.address, "result": one.result, "why": one.why}


def _say_import(imported: "Imported", counts: "Mapping[Result, int]", dry_run: bool) -> None:
    if dry_run:
        typer.echo(f"Read as {imported.encoding}, separated by {imported.separated_by}; nothing is written.")
        print_table("", ("column", "taken for", ""),
                    [(one.heading or "(no heading)", one.taken_for, one.note) for one in imported.columns], empty="")
        print_table("", ("line", "address", "cadence", "topics", "would be"), [
            (one.entry.line, one.entry.address.address, one.entry.cadence, " ".join(one.entry.topics) or "everything",
             f"{one.result.replace('_', ' ')}{f': {one.why}' if one.why else ''}")
            for one in imported.outcomes[:_SAMPLE]
        ], empty="No row can be used.")
    words: dict[Result, str] = {
        "pending": "pending", "left": "kept as unsubscribed", "suppressed": "never to be mailed",
        "held_back": "held back", "contradicted": "left as they are here", "skipped": "never asked for mail",
    }
    more = [f"{counts[result]} {said}" for result, said in words.items() if counts[result]]
    if imported.repeated:
        more.append(f"{counted(imported.repeated, 'row')} with an address that stood there before")
    added = "would be added" if dry_run else "added"
    typer.echo(", ".join([f"{counts['added']} {added}", f"{counts['known']} were there already", *more,
                          f"{len(imported.errors)} could not be used"]) + ".")
    left = imported.of("held_back", "contradicted", "skipped")
    for one in left[:MOST]:
        complain(f"line {one.entry.line}: {one.entry.address.address}: {one.why}")
    if len(left) > MOST:
        complain(f"{len(left) - MOST} more of the kind; --json prints all of them")


def export(
    context: typer.Context,
    why: Annotated[str, typer.Option("--why", help="What you want it for; it is kept.")] = "exported by hand",
    by: Who = None,
    as_json: JsonFlag = False,
) -> None:
    """Print every subscriber as CSV that no spreadsheet runs (or JSON lines); `subscribers import` reads it."""
    from pipeline import subscribers

    cli: CliContext = context.obj
    if as_json:
        care(cli).export_each(
            subscribers.export, lambda row: print_json(row | {"topics": row["topics"].split()}),
            by=typing(by), why=why,
        )
        return
    writer = csv.DictWriter(sys.stdout, subscribers.COLUMNS, lineterminator="\n")
    writer.writeheader()
    care(cli).export_each(subscribers.export_csv, writer.writerow, by=typing(by), why=why)


def unsubscribe(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="Who leaves.")],
    why: Annotated[str, typer.Option("--why", help="Your reason; it is kept.")] = "asked by hand",
    by: Who = None,
    as_json: JsonFlag = False,
) -> None:
    """Unsubscribe an address; no message begins for it after this."""
    cli: CliContext = context.obj
    by_hand(
        care(cli).unsubscribe, address, why=why, by=by, as_json=as_json,
        form=_to_json, says=lambda found: f"Unsubscribed {found.address}.",
    )


def return_(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="Who left, or never confirmed, and has asked you again.")],
    why: Why,
    by: Who = None,
    as_json: JsonFlag = False,
) -> None:
    """Make somebody active again who left, or whose confirmation never came; exit code 3 for who is suppressed."""
    cli: CliContext = context.obj
    by_hand(
        care(cli).return_, address, why=why, by=by, as_json=as_json,
        form=_to_json, says=lambda found: f"{found.address} is {found.state} again ({found.cadence}).",
    )


def erase(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="Who wants to be forgotten.")],
    why: Why,
    by: Who = None,
    as_json: JsonFlag = False,
) -> None:
    """Forget an address everywhere and never mail it again; what stays is a keyed hash. This can't be undone."""
    cli: CliContext = context.obj
    by_hand(
        care(cli).erase, address, why=why, by=by, as_json=as_json,
        form=lambda known: {"erased": True, "was_subscriber": known},
        says=lambda known: ("Forgotten; it is never mailed again." if known else
                            "It was no subscriber's; it is never mailed from now on."),
    )
