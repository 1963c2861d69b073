"""Commands about issues: draft, look at, approve and send them."""

from dataclasses import asdict
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Annotated

import typer

from console.arguments import Number, PrefectFlag, Why, cadence_of
from console.by_hand import decisions, typing
from console.commands.dispatch import hold_back, print_sent
from console.context import CliContext
from console.groups import Group
from console.output import JsonFlag, print_json, print_table, progress
from milepost.dates import utc_now
from milepost.errors import InputError, MilepostError
from milepost.printable import counted, printable

if TYPE_CHECKING:
    from milepost.records import Issue


def mount(app: typer.Typer) -> None:
    issue = typer.Typer(cls=Group, help="Draft, look at, approve and send issues.", no_args_is_help=True)
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
    issue.command("throttle")(issue_throttle)
    app.add_typer(issue, name="issue")


def _issue_json(issue: "Issue") -> dict[str, object]:
    return {
        "issue": issue.number, "cadence": issue.cadence, "period": issue.period, "state": issue.state,
        "subject": issue.subject, "content_hash": issue.content_hash, "created_at": issue.created_at.isoformat(),
        "items": [{"key": item.milestone.key, "title": item.milestone.title, "role": item.role}
                  for item in issue.items],
        "owed": [{"key": item.milestone.key, "title": item.milestone.title, "role": item.role}
                 for item in issue.owed],
        "candidates": issue.candidates, "deliveries": issue.deliveries, "exclusions": issue.exclusions,
        "handed_over_at": issue.handed_over_at.isoformat() if issue.handed_over_at else None,
        "pause_reason": issue.pause_reason,
        "unpictured": [asdict(one) for one in issue.unpictured],
    }


def _echo_unpictured(issue: "Issue") -> None:
    """Say which pictures it does without; that keeps nobody from sending it."""
    if issue.unpictured:
        typer.echo(f"{counted(len(issue.unpictured), 'picture')} could not be had, and it goes without:")
    for one in issue.unpictured:
        typer.echo(f"  {printable(one.title)} ({one.key}): {one.why} · {printable(one.url)}")


def issue_draft(
    context: typer.Context,
    cadence: Annotated[str | None, typer.Option("--cadence", help="Only this one; else all configured.")] = None,
    now: Annotated[
        bool, typer.Option("--now", help="Don't wait for the cadence's quiet window, weekday or hour.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Draft an issue from what is new. It is not frozen and not sent."""
    from pipeline.publish import draft_due, waiting_news

    cli: CliContext = context.obj
    chosen = cadence_of(cadence) if cadence else None
    drafted = draft_due(cli.settings, cli.database, only=chosen, early=now)
    if as_json:
        print_json([_issue_json(issue) for issue in drafted])
        return
    if not drafted:
        waits = waiting_news(cli.settings, cli.database, only=chosen)
        for waiting in waits:
            until = f"{waiting.until:%Y-%m-%d %H:%M} UTC, when no more has landed" if waiting.until else "its hour"
            owed = f", and {counted(waiting.owed, 'reader')} owed," if waiting.owed else ","
            typer.echo(f"{waiting.changes} new for the {waiting.cadence} issue{owed} which waits for {until}; "
                       "`--now` drafts it at once.")
        if not waits:
            typer.echo("Nothing new to tell: no issue was drafted.")
    for issue in drafted:
        told = counted(len(issue.items), "milestone") + (
            f", and {len(issue.owed)} that some readers are owed" if issue.owed else "")
        typer.echo(f"Drafted issue {issue.number} ({issue.cadence}, {told}): {issue.subject}")
        _echo_unpictured(issue)


def issue_list(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List the issues, newest first."""
    from pipeline.edit import issues_by_number

    cli: CliContext = context.obj
    issues = issues_by_number(cli.database)
    if as_json:
        print_json([_issue_json(issue) for issue in issues])
        return
    rows = [(i.number, i.cadence, i.period, i.state, i.deliveries, i.subject) for i in issues]
    print_table("", ("issue", "cadence", "period", "state", "deliveries", "subject"), rows,
                empty="No issues yet. Run `milepost issue draft`.")


def issue_show(context: typer.Context, number: Number, as_json: JsonFlag = False) -> None:
    """Show one issue: what is in it, its hash, pictures it goes without, and how far it is."""
    from pipeline.edit import find

    cli: CliContext = context.obj
    issue = find(cli.database, number)
    if as_json:
        print_json(_issue_json(issue))
        return
    typer.echo(f"Issue {issue.number} · {issue.cadence} · {issue.period} · {issue.state}")
    typer.echo(f"Subject  {issue.subject}\nHash     {issue.content_hash}")
    if issue.freezing:
        typer.echo(f"Freezing {issue.freezing.placed:,} of {issue.freezing.candidates:,} readers are placed; "
                   "`milepost publish` goes on where it was broken off")
    if issue.pause_reason:
        typer.echo(f"{'Held  ' if issue.state == 'draft' else 'Paused'}   {issue.pause_reason}")
    places = [*((str(position), item) for position, item in enumerate(issue.items, 1)),
              *(("owed", item) for item in issue.owed)]
    rows = [(place, item.milestone.date.human() if item.milestone.date else "", item.milestone.title, item.role)
            for place, item in places]
    print_table("", ("", "date", "milestone", ""), rows, empty="It holds no milestones.")
    _echo_unpictured(issue)


def issue_preview(
    context: typer.Context,
    number: Number,
    out: Annotated[Path | None, typer.Option("--out", help="Write both parts and the web page here.")] = None,
    html: Annotated[bool, typer.Option("--html", help="Print the HTML part instead of the text.")] = False,
    show: Annotated[bool, typer.Option("--open", help="Open the HTML part and the web page in the browser.")] = False,
) -> None:
    """Show an issue as it will be sent: byte for byte, but for the reader's own links and the day of the hand-over."""
    from pipeline.edit import variants
    from web.export import write_preview

    cli: CliContext = context.obj
    if out is None and not show:
        for variant in variants(cli.settings, cli.database, number, now=utc_now()):
            typer.echo(variant.html if html else variant.text)
        return
    written = write_preview(cli.settings, cli.database, number, out or Path(mkdtemp(prefix="milepost-preview-")))
    for path in written:
        typer.echo(f"Wrote {path}")
    if show:
        for path in (written[0], written[-1]):
            if typer.launch(str(path.resolve())) != 0:
                raise MilepostError("no browser could be started", where=str(path), hint="Open the files yourself.")


def issue_edit(
    context: typer.Context,
    number: Number,
    subject: Annotated[str | None, typer.Option("--subject", help="Another subject; empty takes yours back.")] = None,
    preheader: Annotated[
        str | None, typer.Option("--preheader", help="What inboxes show beside the subject; empty takes yours back.")
    ] = None,
    intro: Annotated[Path | None, typer.Option("--intro", help="A Markdown file to stand above the first one.")] = None,
    first: Annotated[list[str] | None, typer.Option("--first", help="Keys that come first, in this order.")] = None,
    leave_out: Annotated[list[str] | None, typer.Option("--leave-out", help="A key to do without.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Change a draft. It is rendered again and has a new hash; an approval of the old one is void."""
    cli: CliContext = context.obj
    words: str | None = None
    if intro is not None:
        try:
            words = intro.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise InputError(f"can't be read: {reason}", where=str(intro), hint="Give a UTF-8 text file.") from None
    issue = decisions(cli).edit(
        number, by=typing(), replaces=None, subject=subject, intro=words, preheader=preheader,
        order=tuple(first or ()), leave_out=tuple(leave_out or ()))
    if as_json:
        print_json(_issue_json(issue))
        return
    typer.echo(f"Issue {number} now says “{issue.subject}” and has the hash {issue.content_hash}.")
    _echo_unpictured(issue)


def issue_test(
    context: typer.Context, number: Number, to: Annotated[str, typer.Option("--to", help="Any address.")]
) -> None:
    """Send one test mail, marked [Test]; it is in no ledger and its unsubscribe link is nobody's."""
    cli: CliContext = context.obj
    address, words = decisions(cli).test(number, to, by=typing())
    typer.echo(f"Sent a test of issue {number} to {address}: {words}")


def issue_approve(
    context: typer.Context,
    number: Number,
    content_hash: Annotated[
        str | None, typer.Option("--hash", help="Approve only if the issue still has this hash.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Approve a draft: its milestones, its bytes and its audience are frozen. `issue stop` undoes it in time.

    All but the day is approved: the masthead and `Date:` are of the day on which it is handed over.
    """
    from pipeline.edit import find

    cli: CliContext = context.obj
    approved = content_hash or find(cli.database, number).content_hash
    counts = decisions(cli).approve(number, content_hash=approved, by=typing())
    minutes = cli.settings.newsletter.undo_minutes
    if as_json:
        print_json(_issue_json(find(cli.database, number)))
        return
    typer.echo(f"Froze issue {number}: {counted(counts.candidates, 'subscriber')}, "
               f"{counted(counts.deliveries, 'delivery', 'deliveries')}, "
               f"{counted(sum(counts.exclusions.values()), 'exclusion')}.")
    typer.echo(f"A scheduled run sends it in {minutes} minutes, `milepost issue send {number}` at once; "
               f"`milepost issue stop {number}` takes it back.")
    typer.echo("All but its day is as approved: the masthead and Date are of the day it is sent.")


def issue_send(context: typer.Context, number: Number, prefect: PrefectFlag = False, as_json: JsonFlag = False) -> None:
    """Send an issue now; exit code 3 when it is paused or has hand-overs nobody knows the end of.

    One that was sent before, or in part, goes on where the ledger says.
    """
    from pipeline.dispatch import dispatch, sent_to_json

    cli: CliContext = context.obj
    cli.kept = f"The ledger knows who was mailed; `milepost issue send {number}` goes on with the rest."
    decisions(cli).make_ready(number, by=typing())
    if prefect:
        from console.flow_runs import flow_result

        result = flow_result(cli, "dispatch", issue=number)[0]
    else:
        with progress(f"Sending issue {number}", quiet=as_json, unit="mails") as bar:
            result = sent_to_json(dispatch(cli.settings, number, progress=bar))
    if as_json:
        print_json(result)
    else:
        print_sent(result, f"milepost issue send {number}")
    hold_back(
        cli, number, result["state"], result["paused"], f"milepost issue send {number}", held=result["held"]
    )


def issue_stop(
    context: typer.Context,
    number: Number,
    why: Annotated[str, typer.Option("--why", help="Your reason; it is kept.")] = "stopped by an operator",
) -> None:
    """Stop an issue at any time: before its first mail it is a draft again, later it is paused."""
    cli: CliContext = context.obj
    stopped = decisions(cli).stop(number, by=typing(), why=why)
    said = "is a draft again: nothing was sent" if stopped.undone else "is paused"
    typer.echo(f"Issue {number} {said}.")


def issue_replay(context: typer.Context, number: Number, as_json: JsonFlag = False) -> None:
    """Render an issue again from what is stored, and prove that the bytes are the ones that were sent."""
    from pipeline.edit import replay

    cli: CliContext = context.obj
    again = replay(cli.settings, cli.database, number)
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
    cli: CliContext = context.obj
    decisions(cli).discard(number, by=typing())
    typer.echo(f"Discarded draft {number}.")


def issue_pause(context: typer.Context, number: Number, why: Why) -> None:
    """Stop an issue that is being sent; a dispatcher that runs obeys before its next message."""
    cli: CliContext = context.obj
    decisions(cli).pause(number, by=typing(), why=why)
    typer.echo(f"Paused issue {number}.")


def issue_resume(context: typer.Context, number: Number) -> None:
    """Let a paused issue be sent again."""
    cli: CliContext = context.obj
    decisions(cli).resume(number, by=typing())
    typer.echo(f"Issue {number} may be sent again: `milepost issue send {number}`.")


def issue_throttle(
    context: typer.Context,
    number: Number,
    rate: Annotated[str, typer.Argument(metavar="RATE|off", help="Messages a second; off: as mail.per_second has it.")],
    as_json: JsonFlag = False,
) -> None:
    """Set how fast an issue is sent; a dispatcher that runs obeys within seconds."""
    cli: CliContext = context.obj
    try:
        per_second = None if rate == "off" else float(rate)
    except ValueError:
        raise InputError(f"{rate!r} is no rate", where="issue throttle",
                         hint="Give messages a second, as in 20 or 0.5, or off.") from None
    decisions(cli).throttle(number, per_second, by=typing())
    usual = cli.settings.mail.per_second
    if as_json:
        print_json({"issue": number, "throttle": per_second, "usual": usual})
    elif per_second is not None:
        typer.echo(f"Issue {number} is sent at {per_second:g} a second; "
                   f"`milepost issue throttle {number} off` ends that.")
    else:
        typer.echo(f"Issue {number} is sent {'as fast as it goes' if usual is None else f'at {usual:g} a second'}, "
                   "as the settings have it.")
