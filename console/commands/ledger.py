"""Commands about what became of the mails: the `ledger` of who got them, `ledger resolve`, and `bounces`."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.arguments import Number, delivery_state_of, outcome_of
from console.by_hand import decisions, typing
from console.commands.dispatch import holders
from console.context import CliContext
from console.groups import WithDefault
from console.output import (
    JsonFlag,
    complain,
    print_json,
    print_json_rows,
    print_json_with,
    print_long_table,
    print_table,
)
from milepost.dates import utc_now
from milepost.errors import HeldError, InputError, MilepostError

if TYPE_CHECKING:
    from milepost.records import LedgerCounts, OwedRow
    from pipeline.ledger import Absent, Told


def mount(app: typer.Typer) -> None:
    ledger = typer.Typer(
        cls=WithDefault, help="Who got an issue, who did not, and why; hand-overs that nobody knows the end of.",
    )
    ledger.command("show")(show)
    ledger.command("owed")(owed)
    ledger.command("resolve")(resolve)
    app.add_typer(ledger, name="ledger")
    app.command()(bounces)


# --- ledger -----------------------------------------------------------------------------------------------------------


def show(
    context: typer.Context,
    number: Number,
    state: Annotated[str | None, typer.Option("--state", help="List the deliveries in this state.")] = None,
    address: Annotated[str | None, typer.Option("--to", help="Only this address, with its whole story.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show who got an issue, who did not, and why; the sum always comes out."""
    from pipeline.ledger import absent, ask, held_by_others, held_to_json

    cli: CliContext = context.obj
    asked = state is not None or address is not None
    counts, told = ask(cli.database, number, state=delivery_state_of(state) if state else None, address=address)
    held = [held_to_json(one) for one in held_by_others(cli.database, counts)]
    missing = absent(cli.database, number, address) if address is not None and not told and state is None else None
    if as_json:
        head = _counts_json(counts) | {"held": held}
        if address is None and asked:
            print_json_with(head, "rows", map(_row_json, told))
        else:
            print_json(head | ({"rows": [_row_json(one) | _story_json(one) for one in told]} if asked else {})
                       | ({"absent": _absent_json(missing)} if missing else {}))
        return
    _print_equation(counts)
    if held:
        typer.echo(f"Held: {holders(held)}")
    if missing is not None:
        _print_absent(missing)
    elif asked:
        print_long_table(("address", "state", "tries", "code", "said", "when"),
                         ((r.address, r.state, r.attempts, r.code, r.text, _clock(r.updated_at))
                          for r in (one.row for one in told)),
                         empty="No such deliveries.")
    for one in told if address else ():
        _print_story(one)


def owed(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List who is owed which milestone since they chose anew, and by which issue it is paid."""
    from pipeline.ledger import owed as rows_owed

    cli: CliContext = context.obj
    rows = rows_owed(cli.database)
    if as_json:
        print_json_rows({"address": row.address} | _owed_json(row) for row in rows)
        return
    print_long_table(("address", "milestone", "since", "why", "paid by"),
                     ((r.address, r.key, _clock(r.since), r.why, f"the next {r.cadence} issue") for r in rows),
                     empty="Nobody is owed anything.")


def _print_absent(missing: "Absent") -> None:
    from pipeline.ledger import owed_words

    excluded = "" if missing.reason in ("draft", "unknown", "later") else "excluded: "
    words = owed_words(missing.owed)
    typer.echo(f"{missing.address}: {excluded}{missing.why}" + (f"; {words}" if words else "") + ".")


def _absent_json(missing: "Absent") -> dict[str, Any]:
    return {
        "address": missing.address, "reason": missing.reason, "why": missing.why,
        "owed": [_owed_json(row) for row in missing.owed],
    }


def _owed_json(row: "OwedRow") -> dict[str, Any]:
    return {
        "source": row.source, "key": row.key, "title": row.title, "since": row.since.isoformat(), "why": row.why,
        "next": row.cadence,
    }


def _print_equation(counts: "LedgerCounts") -> None:
    from pipeline.ledger import SETTLED, equation

    terms = equation(counts)
    listed = " + ".join(f"{count} {term}" for term, count in terms.items() if count or term != "owed")
    typer.echo(f"Issue {counts.issue}: {counts.candidates} candidates = {listed}")
    excluded = ", ".join(f"{count} {reason}" for reason, count in counts.exclusions.items() if count)
    if excluded:
        typer.echo(f"Excluded: {excluded}")
    if terms["owed"]:
        typer.echo(f"The next issue pays the {terms['owed']} who are owed: `milepost ledger owed` names them.")
    waiting = ", ".join(
        f"{count} {state}" for state, count in counts.states.items() if state not in SETTLED and count
    )
    if waiting:
        typer.echo(f"Waiting: {waiting}")
    if terms["unknown"]:
        typer.echo(f"Nobody knows whether {terms['unknown']} got it: `milepost ledger {counts.issue} --state unknown` "
                   f"names them, `milepost ledger resolve {counts.issue} --postfix-log FILE` asks the relay's log.")


def _print_story(one: "Told") -> None:
    row = one.row
    told = [(a.at, a.number, a.outcome, a.phase, a.code, a.enhanced, a.text) for a in one.attempts]
    told += [(b.read_at, row.attempts, f"bounce: {b.grade}", "report", b.code, b.enhanced, b.text) for b in one.bounces]
    if told:
        print_table(f"The story of {row.address or 'somebody who was erased'}",
                    ("when", "try", "what", "at", "code", "status", "said"),
                    [(_clock(at), *rest) for at, *rest in sorted(told, key=lambda each: each[0])], empty="")
    if row.queue_id:
        typer.echo(f"Queue id    {row.queue_id}")
    if row.message_id:
        typer.echo(f"Message-ID  {row.message_id}")
    if row.next_attempt_at and row.state == "deferred":
        typer.echo(f"Next try    {_clock(row.next_attempt_at)}")


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _counts_json(counts: "LedgerCounts") -> dict[str, Any]:
    from pipeline.dispatch import counts_to_json
    from pipeline.ledger import equation

    return counts_to_json(counts) | {"equation": dict(equation(counts))}


def _row_json(one: "Told") -> dict[str, Any]:
    row = one.row
    return {
        "address": row.address, "state": row.state, "attempts": row.attempts, "code": row.code,
        "enhanced": row.enhanced, "text": row.text, "message_id": row.message_id, "queue_id": row.queue_id,
        "next_attempt_at": row.next_attempt_at.isoformat() if row.next_attempt_at else None,
        "updated_at": row.updated_at.isoformat(),
    }


def _story_json(one: "Told") -> dict[str, Any]:
    return {
        "attempts": [
            {"number": a.number, "phase": a.phase, "outcome": a.outcome, "code": a.code, "enhanced": a.enhanced,
             "text": a.text, "at": a.at.isoformat()} for a in one.attempts
        ],
        "bounces": [
            {"grade": b.grade, "code": b.code, "enhanced": b.enhanced, "text": b.text,
             "read_at": b.read_at.isoformat()} for b in one.bounces
        ],
    }


# --- resolve ----------------------------------------------------------------------------------------------------------


def resolve(
    context: typer.Context,
    number: Number,
    log: Annotated[list[Path] | None, typer.Option(
        "--postfix-log", help="The relay's mail log, plain or gzip; more than once for rotated ones.",
    )] = None,
    complete: Annotated[bool, typer.Option(
        "--log-is-complete",
        help="These files hold all that the relay wrote since the issue began: what they never mention is sent again.",
    )] = False,
    address: Annotated[str | None, typer.Option("--to", help="Settle this one address by your own word …")] = None,
    outcome: Annotated[str | None, typer.Option(
        "--as", help="… as sent, failed, or pending (which sends it again) …",
    )] = None,
    why: Annotated[str, typer.Option("--why", help="… and how you know; it is kept.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Settle uncertain hand-overs by the relay's log or by your word; exit code 3 while any is left.

    The log settles what it proves: taken, bounced, or broken off before the end. The rest stays unknown.
    """
    cli: CliContext = context.obj
    if bool(log) == bool(address):
        raise InputError("nothing to go by", where="ledger resolve", hint="Give --postfix-log FILE, or --to ADDRESS.")
    if address is not None:
        if outcome is None:
            raise InputError("an outcome is missing", where="--as", hint="Choose from sent, failed, pending.")
        one = decisions(cli).resolve(number, address, outcome_of(outcome), by=typing(), why=why)
        if as_json:
            print_json({"issue": number, "address": one.address, "outcome": outcome})
        else:
            typer.echo(f"Issue {number}: {one.address} is {outcome} now.")
        return
    resolved = decisions(cli).resolve_by_log(number, log or [], by=typing(), complete=complete)
    left = resolved.results.get("unknown", 0)
    if as_json:
        print_json({
            "issue": number, "unknown": resolved.unknown, "results": dict(resolved.results),
            "evidence": [{"address": who, "outcome": what, "line": line} for who, what, line in resolved.evidence],
        })
    else:
        print_table("", ("address", "is now", "the line that proves it"), resolved.evidence,
                    empty="Nothing was unknown." if not resolved.unknown else "The log proves nothing of them.")
    if left:
        raise HeldError(
            f"{left} of {resolved.unknown} are still unknown", where=f"issue {number}",
            hint="Give older or newer logs too, or settle them one by one with --to, --as and --why.",
        )


# --- bounces ----------------------------------------------------------------------------------------------------------


def bounces(
    context: typer.Context,
    source: Annotated[list[str] | None, typer.Argument(
        show_default=False,
        help="maildir:///FOLDER, mbox:///FILE, imaps://USER@HOST/INBOX; else bounces.sources of the settings.",
    )] = None,
    as_json: JsonFlag = False,
) -> None:
    """Read what came back: suppress dead addresses, count soft bounces, let complainers go; never answers anybody."""
    from pipeline import bounces as steps

    cli: CliContext = context.obj
    sources = source or cli.settings.bounces.sources
    if not sources:
        raise InputError("no inbox to read", where="bounces", hint="Name one, or set bounces.sources.")
    cli.tell_operators_at_the_end()
    gathered: list[steps.Gathered] = []
    failures: list[MilepostError] = []
    for each in sources:
        try:
            gathered.append(steps.read_bounces(cli.settings, cli.database, each, now=utc_now()))
        except MilepostError as error:  # the other inboxes are read all the same
            failures.append(error)
    worn_out = steps.suppress_worn_out(cli.database, now=utc_now())
    if as_json:
        print_json({
            "sources": [{"source": g.source, "read": g.read}
                        | {result: g.results.get(result, 0) for result in steps.RESULTS}
                        | {"left_for_you": list(g.unproven)} for g in gathered],
            "worn_out": worn_out,
        })
    else:
        print_table("", ("inbox", "read", *steps.RESULTS),
                    [(g.source, g.read, *(g.results.get(result, 0) for result in steps.RESULTS)) for g in gathered],
                    empty="No inbox could be read.")
        for one in (mail for each in gathered for mail in each.unproven):
            typer.echo(f"Asks to leave and proves nothing: {one}. It is left in the inbox; if you know who it is, run "
                       "`milepost subscribers unsubscribe ADDRESS --why …`.")
        for address in worn_out:
            typer.echo(f"Suppressed {address}: too many soft bounces.")
    for failure in failures[:-1]:
        complain(str(failure))
    if failures:
        raise failures[-1]
