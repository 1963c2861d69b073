"""Commands about issues: draft, look at, approve and send them, and the ledger of who got them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from milepost.cli.context import Door
from milepost.cli.output import JsonFlag, print_json, print_table, progress
from milepost.cli.words import cadence_of, delivery_state_of
from milepost.dates import utc_now
from milepost.errors import InputError, MilepostError

if TYPE_CHECKING:
    from milepost.records import Issue
    from store.ledger import DeliveryRow

Number = Annotated[int, typer.Argument(metavar="ISSUE", help="The issue's number.", min=1)]
PrefectFlag = Annotated[bool, typer.Option("--prefect", help="Run it as a Prefect flow.")]


def mount(app: typer.Typer) -> None:
    issue = typer.Typer(help="Draft, look at, approve and send issues.", no_args_is_help=True)
    issue.command("draft")(issue_draft)
    issue.command("list")(issue_list)
    issue.command("show")(issue_show)
    issue.command("preview")(issue_preview)
    issue.command("edit")(issue_edit)
    issue.command("test")(issue_test)
    issue.command("approve")(issue_approve)
    issue.command("send")(issue_send)
    issue.command("stop")(issue_stop)
    issue.command("replay")(issue_replay)
    issue.command("discard")(issue_discard)
    issue.command("pause")(issue_pause)
    issue.command("resume")(issue_resume)
    app.add_typer(issue, name="issue")
    app.command()(ledger)


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
    cadence: Annotated[str | None, typer.Option("--cadence", help="Only this one; else all configured.")] = None,
    now: Annotated[bool, typer.Option("--now", help="Don't wait for the weekday and hour of the cadence.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Draft an issue from what is new. It is not frozen and not sent."""
    from flows.steps.publish import draft_due

    door: Door = context.obj
    drafted = draft_due(door.settings, door.database, only=cadence_of(cadence) if cadence else None, early=now)
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
    rows = [(i.number, i.cadence, i.period, i.state, i.deliveries, i.subject) for i in issues]
    print_table("", ("issue", "cadence", "period", "state", "deliveries", "subject"), rows,
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


def issue_edit(
    context: typer.Context,
    number: Number,
    subject: Annotated[str | None, typer.Option("--subject", help="Another subject; empty takes yours back.")] = None,
    intro: Annotated[Path | None, typer.Option("--intro", help="A Markdown file to stand above the first one.")] = None,
    first: Annotated[list[str] | None, typer.Option("--first", help="Keys that come first, in this order.")] = None,
    leave_out: Annotated[list[str] | None, typer.Option("--leave-out", help="A key to do without.")] = None,
) -> None:
    """Change a draft. It is rendered again and has a new hash; an approval of the old one is void."""
    from flows.steps.editing import edit

    door: Door = context.obj
    words: str | None = None
    if intro is not None:
        try:
            words = intro.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"can't be read: {error}", where=str(intro), hint="Give a UTF-8 text file.") from None
    issue = edit(door.settings, door.database, number, subject=subject, intro=words, order=tuple(first or ()),
                 leave_out=tuple(leave_out or ()))
    typer.echo(f"Issue {number} now says “{issue.subject}” and has the hash {issue.content_hash}.")


def issue_test(
    context: typer.Context, number: Number, to: Annotated[str, typer.Option("--to", help="Any address.")]
) -> None:
    """Send one test mail, marked [Test]; it is in no ledger and its unsubscribe link is nobody's."""
    from flows.steps.editing import send_trial, trial_mail

    door: Door = context.obj
    mail = trial_mail(door.settings, door.database, number, to, now=utc_now())
    reply = send_trial(door.settings, mail)
    typer.echo(f"Sent a test of issue {number} to {mail.address}: {reply.code or ''} {reply.text}".rstrip())


def issue_approve(
    context: typer.Context,
    number: Number,
    content_hash: Annotated[
        str | None, typer.Option("--hash", help="Approve only if the issue still has this hash.")
    ] = None,
) -> None:
    """Approve a draft: its milestones, its bytes and its audience are frozen. `issue stop` undoes it in time."""
    from flows.steps.editing import approve
    from store.issues import Issues

    door: Door = context.obj
    approved = content_hash or Issues(door.database).get(number).content_hash
    counts = approve(door.settings, door.database, number, content_hash=approved, now=utc_now())
    minutes = door.settings.newsletter.undo_minutes
    typer.echo(f"Froze issue {number}: {counts.candidates} subscribers, {counts.deliveries} deliveries, "
               f"{sum(counts.exclusions.values())} exclusions.")
    typer.echo(f"A scheduled run sends it in {minutes} minutes, `milepost issue send {number}` at once; "
               f"`milepost issue stop {number}` takes it back.")


def issue_send(context: typer.Context, number: Number, prefect: PrefectFlag = False, as_json: JsonFlag = False) -> None:
    """Send an issue now. One that was sent before, or in part, goes on where the ledger says."""
    from flows.steps.dispatch import dispatch, sent_to_json
    from flows.steps.editing import send_at_once
    from flows.steps.publish import freeze_unless_held
    from store.issues import Issues

    door: Door = context.obj
    freeze_unless_held(door.settings, door.database, number, now=utc_now())
    if Issues(door.database).get(number).send_after is not None:
        send_at_once(door.database, number)  # whoever types this has decided a second time
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


def issue_stop(
    context: typer.Context, number: Number, why: Annotated[str, typer.Option("--why")] = "stopped by an operator"
) -> None:
    """Stop an issue at any time: before its first mail it is a draft again, later it is paused."""
    from flows.steps.editing import stop

    door: Door = context.obj
    stopped = stop(door.database, number, reason=why)
    said = "is a draft again: nothing was sent" if stopped.undone else "is paused"
    typer.echo(f"Issue {number} {said}.")


def issue_replay(context: typer.Context, number: Number, as_json: JsonFlag = False) -> None:
    """Render an issue again from what is stored, and prove that the bytes are the ones that were sent."""
    from flows.steps.editing import replay

    door: Door = context.obj
    again = replay(door.settings, door.database, number)
    if as_json:
        print_json({"issue": number, "proven": again.proven, "differing": list(again.differing),
                    "same_templates": again.same_templates})
    elif again.proven:
        typer.echo(f"Issue {number} renders to the same bytes, part for part.")
    if not again.proven:
        why = "" if again.same_templates else "; the templates are not those of its time"
        raise MilepostError(f"issue {number} renders differently in: {', '.join(again.differing)}{why}",
                            hint="What was sent is stored: `milepost issue preview`.")


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


def _ledger_line(data: dict[str, Any]) -> str:
    def listed(counts: dict[str, int]) -> str:
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "none"

    return (f"Issue {data['issue']}: {data['candidates']} candidates = {data['deliveries']} deliveries "
            f"({listed(data['states'])}) + exclusions ({listed(data['exclusions'])})")


def _row_json(row: "DeliveryRow") -> dict[str, object]:
    return {
        "address": row.address, "state": row.state, "attempts": row.attempts, "code": row.code,
        "enhanced": row.enhanced, "text": row.text, "message_id": row.message_id, "queue_id": row.queue_id,
        "next_attempt_at": row.next_attempt_at.isoformat() if row.next_attempt_at else None,
        "updated_at": row.updated_at.isoformat(),
    }


def ledger(
    context: typer.Context,
    number: Number,
    state: Annotated[str | None, typer.Option("--state", help="List the deliveries in this state.")] = None,
    address: Annotated[str | None, typer.Option("--to", help="Only this address, with every attempt.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show who got an issue, who did not, and why; the sum always comes out."""
    from flows.steps.dispatch import counts_to_json
    from store.ledger import Ledger

    door: Door = context.obj
    book = Ledger(door.database)
    data = counts_to_json(book.counts(number))
    asked = state is not None or address is not None
    rows = book.rows(number, delivery_state_of(state) if state else None, address) if asked else []
    attempts = {row.id: book.attempts(row.id) if address else [] for row in rows}
    if as_json:
        if asked:
            data["rows"] = [
                _row_json(row) | {"attempts": [
                    {"number": a.number, "phase": a.phase, "outcome": a.outcome, "code": a.code, "text": a.text,
                     "at": a.at.isoformat()} for a in attempts[row.id]]}
                if address else _row_json(row)
                for row in rows
            ]
        print_json(data)
        return
    typer.echo(_ledger_line(data))
    if asked:
        print_table("", ("address", "state", "tries", "code", "said", "when"),
                    [(r.address, r.state, r.attempts, r.code, r.text, f"{r.updated_at:%Y-%m-%d %H:%M:%S}")
                     for r in rows], empty="No such deliveries.")
    told = [(a.number, f"{a.at:%Y-%m-%d %H:%M:%S}", a.outcome, a.phase, a.code, a.text)
            for tries in attempts.values() for a in tries]
    if told:
        print_table("Attempts", ("try", "when", "outcome", "at", "code", "said"), told, empty="")
