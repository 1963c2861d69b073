"""Commands about the newsletter: `issue …`, `ledger`, and `subscribers …`."""

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from milepost.cli.context import Door
from milepost.cli.output import JsonFlag, print_json, print_table, progress
from milepost.dates import utc_now
from milepost.errors import InputError, MilepostError

if TYPE_CHECKING:
    from milepost.records import Cadence, Issue, Subscriber, SubscriberState

Number = Annotated[int, typer.Argument(metavar="ISSUE", help="The issue's number.", min=1)]
PrefectFlag = Annotated[bool, typer.Option("--prefect", help="Run it as a Prefect flow.")]


def mount(app: typer.Typer) -> None:
    issue = typer.Typer(help="Draft, look at, approve and send issues.", no_args_is_help=True)
    for name, command in (
        ("draft", issue_draft), ("list", issue_list), ("show", issue_show), ("preview", issue_preview),
        ("approve", issue_approve), ("send", issue_send), ("discard", issue_discard),
        ("pause", issue_pause), ("resume", issue_resume),
    ):
        issue.command(name)(command)
    app.add_typer(issue, name="issue")
    app.command()(ledger)
    subscribers = typer.Typer(help="Those who asked to be mailed.", no_args_is_help=True)
    for name, command in (
        ("add", subscribers_add), ("list", subscribers_list), ("import", subscribers_import),
        ("export", subscribers_export), ("unsubscribe", subscribers_unsubscribe),
    ):
        subscribers.command(name)(command)
    app.add_typer(subscribers, name="subscribers")


# --- issues ---------------------------------------------------------------------------------------------------------


def _issue_json(issue: "Issue") -> dict[str, object]:
    return {
        "issue": issue.number, "cadence": issue.cadence, "period": issue.period, "state": issue.state,
        "subject": issue.subject, "content_hash": issue.content_hash, "created_at": issue.created_at.isoformat(),
        "items": [{"key": item.milestone.key, "title": item.milestone.title, "role": item.role}
                  for item in issue.items],
        "candidates": issue.candidates, "deliveries": issue.deliveries, "exclusions": issue.exclusions,
        "pause_reason": issue.pause_reason,
    }


def issue_draft(
    context: typer.Context,
    cadence: Annotated[str | None, typer.Option("--cadence", help="Only this one; else all that are configured.")] = None,
    now: Annotated[bool, typer.Option("--now", help="Don't wait for the weekday and hour of the cadence.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Draft an issue from what is new. It is not frozen and not sent."""
    from flows.steps.publish import draft_due

    door: Door = context.obj
    drafted = draft_due(door.settings, door.database, only=_cadence(cadence) if cadence else None, early=now)
    if as_json:
        print_json([_issue_json(issue) for issue in drafted])
        return
    if not drafted:
        typer.echo("Nothing new to tell: no issue was drafted.")
    for issue in drafted:
        typer.echo(f"Drafted issue {issue.number} ({issue.cadence}, {len(issue.items)} milestones): {issue.subject}")


def issue_list(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List the issues, newest first."""
    from store.issues import Issues

    door: Door = context.obj
    issues = Issues(door.database).list()
    if as_json:
        print_json([_issue_json(issue) for issue in issues])
        return
    rows = [(i.number, i.cadence, i.period, i.state, len(i.items), i.deliveries, i.subject) for i in issues]
    print_table("", ("issue", "cadence", "period", "state", "items", "deliveries", "subject"), rows,
                empty="No issues yet. Run `milepost issue draft`.")


def issue_show(context: typer.Context, number: Number, as_json: JsonFlag = False) -> None:
    """Show one issue: what is in it, its hash, and how far it is."""
    from store.issues import Issues

    door: Door = context.obj
    issue = Issues(door.database).get(number)
    if as_json:
        print_json(_issue_json(issue))
        return
    typer.echo(f"Issue {issue.number} · {issue.cadence} · {issue.period} · {issue.state}")
    typer.echo(f"Subject  {issue.subject}\nHash     {issue.content_hash}")
    if issue.pause_reason:
        typer.echo(f"Paused   {issue.pause_reason}")
    rows = [(position, item.milestone.date.human() if item.milestone.date else "", item.milestone.title, item.role)
            for position, item in enumerate(issue.items, 1)]
    print_table("", ("", "date", "milestone", ""), rows, empty="It holds no milestones.")


def issue_preview(
    context: typer.Context,
    number: Number,
    out: Annotated[Path | None, typer.Option("--out", help="Write both parts into this folder.")] = None,
    html: Annotated[bool, typer.Option("--html", help="Print the HTML part instead of the text.")] = False,
) -> None:
    """Show an issue as it will be sent: byte for byte, but for the reader's own unsubscribe link."""
    from store.issues import Issues

    door: Door = context.obj
    for variant in Issues(door.database).variants(number):
        if out is None:
            typer.echo(variant.html if html else variant.text)
            continue
        out.mkdir(parents=True, exist_ok=True)
        for ending, content in (("html", variant.html), ("txt", variant.text)):
            path = out / f"issue-{number}-{variant.name}.{ending}"
            path.write_text(content, encoding="utf-8")
            typer.echo(f"Wrote {path}")


def issue_approve(
    context: typer.Context,
    number: Number,
    content_hash: Annotated[
        str | None, typer.Option("--hash", help="Approve only if the issue still has this hash.")
    ] = None,
) -> None:
    """Approve a draft: its milestones, its bytes and its audience are frozen. `issue send` may then send it."""
    from flows.steps.publish import freeze
    from store.issues import Issues

    door: Door = context.obj
    approved = content_hash or Issues(door.database).get(number).content_hash
    counts = freeze(door.database, number, content_hash=approved, now=utc_now())
    typer.echo(f"Froze issue {number}: {counts.candidates} subscribers, {counts.deliveries} deliveries, "
               f"{sum(counts.exclusions.values())} exclusions. Next: `milepost issue send {number}`.")


def issue_send(context: typer.Context, number: Number, prefect: PrefectFlag = False, as_json: JsonFlag = False) -> None:
    """Send an issue. One that was sent before, or in part, goes on where the ledger says."""
    from flows.steps.dispatch import dispatch, sent_to_json
    from flows.steps.publish import freeze_unless_held

    door: Door = context.obj
    freeze_unless_held(door.settings, door.database, number, now=utc_now())
    if prefect:
        from milepost.cli.running import flow_result

        result = flow_result(door, "dispatch", issue=number)[0]
    else:
        with progress(f"Sending issue {number}", quiet=as_json) as bar:
            result = sent_to_json(dispatch(door.settings, number, progress=bar))
    if as_json:
        print_json(result)
    else:
        typer.echo(_ledger_line(result))
    if result["paused"]:
        raise MilepostError(
            f"issue {number} is paused: {result['paused']}",
            hint=f"Mend that, then `milepost issue resume {number}` and `milepost issue send {number}`.",
        )


def issue_discard(context: typer.Context, number: Number) -> None:
    """Throw a draft away; its milestones are free for the next one."""
    from store.issues import Issues

    door: Door = context.obj
    Issues(door.database).discard(number)
    typer.echo(f"Discarded draft {number}.")


def issue_pause(
    context: typer.Context, number: Number, why: Annotated[str, typer.Option("--why", help="Your reason; it is kept.")]
) -> None:
    """Stop an issue that is being sent; a dispatcher that runs obeys before its next message."""
    from store.ledger import Ledger

    door: Door = context.obj
    Ledger(door.database).pause(number, why)
    typer.echo(f"Paused issue {number}.")


def issue_resume(context: typer.Context, number: Number) -> None:
    """Let a paused issue be sent again."""
    from store.ledger import Ledger

    door: Door = context.obj
    Ledger(door.database).resume(number)
    typer.echo(f"Issue {number} may be sent again: `milepost issue send {number}`.")


# --- the ledger -----------------------------------------------------------------------------------------------------


def _ledger_line(data: dict[str, object]) -> str:
    def listed(counts: object) -> str:
        assert isinstance(counts, dict)
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "none"

    return (f"Issue {data['issue']}: {data['candidates']} candidates = {data['deliveries']} deliveries "
            f"({listed(data['states'])}) + exclusions ({listed(data['exclusions'])})")


def ledger(
    context: typer.Context,
    number: Number,
    state: Annotated[str | None, typer.Option("--state", help="List the deliveries in this state.")] = None,
    address: Annotated[str | None, typer.Option("--to", help="Every attempt for this address.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show who got an issue, who did not, and why; the sum always comes out."""
    from flows.steps.dispatch import counts_to_json
    from store.ledger import STATES, Ledger

    door: Door = context.obj
    book = Ledger(door.database)
    if state is not None and state not in STATES:
        raise InputError(f"there is no state {state!r}", where="--state", hint=f"Choose from {', '.join(STATES)}.")
    counts = book.counts(number)
    data: dict[str, object] = dict(counts_to_json(counts))
    rows = list(book.rows(number, state=state, address=address)) if state or address else []
    if as_json:
        if state or address:
            data["rows"] = [row.to_json() for row in rows]
        print_json(data)
        return
    typer.echo(_ledger_line(data))
    if state or address:
        print_table("", ("address", "state", "attempts", "code", "said", "queue id", "when"),
                    [(r.address, r.state, r.attempts, r.code, r.text, r.queue_id, f"{r.updated_at:%Y-%m-%d %H:%M:%S}")
                     for r in rows], empty="No such deliveries.")


# --- subscribers ----------------------------------------------------------------------------------------------------


def _cadence(word: str) -> "Cadence":
    from milepost.records import CADENCES

    for cadence in CADENCES:
        if word == cadence:
            return cadence
    raise InputError(f"there is no cadence {word!r}", hint=f"Choose from {', '.join(CADENCES)}.")


def _state(word: str) -> "SubscriberState":
    if word == "pending" or word == "active" or word == "unsubscribed":
        return word
    raise InputError(f"there is no state {word!r}", hint="Choose from pending, active, unsubscribed.")


def _subscriber_json(subscriber: "Subscriber") -> dict[str, object]:
    return {"address": subscriber.address, "state": subscriber.state, "cadence": subscriber.cadence,
            "topics": list(subscriber.topics), "created_at": subscriber.created_at.isoformat()}


def subscribers_add(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="Somebody who asked for it.")],
    cadence: Annotated[str | None, typer.Option("--cadence", help="Else the first that is configured.")] = None,
    topic: Annotated[list[str] | None, typer.Option("--topic", help="A category or tag; more than once for more.")] = None,
) -> None:
    """Add a subscriber who has already confirmed to you that they want it."""
    from store.subscribers import Subscribers

    door: Door = context.obj
    chosen = _cadence(cadence) if cadence else door.settings.newsletter.cadences[0]
    subscriber, created = Subscribers(door.database).add(
        address, state="active", cadence=chosen, topics=tuple(topic or ()), now=utc_now()
    )
    typer.echo(f"{'Added' if created else 'Already there:'} {subscriber.address} ({subscriber.state}, {subscriber.cadence}).")


def subscribers_list(
    context: typer.Context,
    state: Annotated[str | None, typer.Option("--state", help="pending, active or unsubscribed.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List subscribers."""
    from store.subscribers import Subscribers

    door: Door = context.obj
    listed = Subscribers(door.database).list(state=_state(state) if state else None)
    if as_json:
        for subscriber in listed:
            print_json(_subscriber_json(subscriber))
        return
    rows = [(s.address, s.state, s.cadence, ", ".join(s.topics) or "everything", f"{s.created_at:%Y-%m-%d}")
            for s in listed]
    print_table("", ("address", "state", "cadence", "topics", "since"), rows,
                empty="No subscribers yet. Run `milepost subscribers add ADDRESS`.")


def subscribers_import(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV with a header: address, and if you like cadence, topics, state.")],
) -> None:
    """Import subscribers from CSV; a row that can't be used is named and doesn't stop the rest."""
    from store.subscribers import Subscribers

    door: Door = context.obj
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            if "address" not in (reader.fieldnames or ()):
                raise InputError("has no column named address", where=str(file), hint="Its first line must name columns.")
            report = Subscribers(door.database).import_(
                reader, cadence=door.settings.newsletter.cadences[0], now=utc_now()
            )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"can't be read: {reason}", where=str(file), hint="Give a UTF-8 CSV file.") from None
    typer.echo(f"{report.added} added, {report.existing} were there already, {len(report.errors)} could not be used.")
    for sentence in report.errors:
        typer.echo(f"milepost: {file}: {sentence}", err=True)
    if report.errors:
        raise MilepostError(f"{len(report.errors)} rows could not be used", where=str(file), hint="Mend and import again.")


def subscribers_export(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Print every subscriber as CSV (or JSON lines)."""
    from store.subscribers import Subscribers

    door: Door = context.obj
    listed = Subscribers(door.database).export()
    if as_json:
        for subscriber in listed:
            print_json(_subscriber_json(subscriber))
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("address", "state", "cadence", "topics", "created_at"))
    for s in listed:
        writer.writerow((s.address, s.state, s.cadence, " ".join(s.topics), s.created_at.isoformat()))


def subscribers_unsubscribe(context: typer.Context, address: Annotated[str, typer.Argument(help="Who leaves.")]) -> None:
    """Unsubscribe an address; no message begins for it after this."""
    from store.subscribers import Subscribers

    door: Door = context.obj
    Subscribers(door.database).unsubscribe(address, now=utc_now())
    typer.echo(f"Unsubscribed {address}.")
