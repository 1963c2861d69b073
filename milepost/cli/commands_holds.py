"""Commands for what waits for an operator: held looks, and milestones that may be old ones under a new address."""

from typing import Annotated

import typer

from milepost.cli.context import Door
from milepost.cli.output import JsonFlag, print_json, print_table

Why = Annotated[str, typer.Option("--why", help="Your reason; it is kept.")]


def mount(app: typer.Typer) -> None:
    holds = typer.Typer(help="What waits for an operator.", no_args_is_help=True)
    holds.command("list")(holds_list)
    holds.command("release")(holds_release)
    holds.command("renames")(holds_renames)
    holds.command("resolve")(holds_resolve)
    app.add_typer(holds, name="holds")


def holds_list(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List the looks that are held."""
    from store.looks import Looks

    door: Door = context.obj
    held = Looks(door.database).list(waiting=True)
    if as_json:
        print_json([{"look": h.id, "source": h.source, "reason": h.held, "at": h.started_at.isoformat()} for h in held])
        return
    rows = [(h.id, h.source, f"{h.started_at:%Y-%m-%d %H:%M}", h.held) for h in held]
    print_table("", ("look", "source", "started", "reason"), rows, empty="Nothing is held.")


def holds_release(
    context: typer.Context,
    look: Annotated[int, typer.Argument(help="The look's number, from `milepost holds list`.")],
    why: Annotated[str, typer.Option("--why", help="Your reason; it is kept.")],
) -> None:
    """Let the changes of a held look through to the next issue."""
    from milepost.dates import utc_now
    from store.looks import Looks

    door: Door = context.obj
    Looks(door.database).release(look, why=why, now=utc_now())
    typer.echo(f"Released look {look}: its changes count as news from now on.")


def holds_renames(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List new milestones that may be old ones renamed; none is announced before you have said which it is."""
    from flows.steps.renaming import pending_renames

    door: Door = context.obj
    questions = pending_renames(door.database)
    if as_json:
        print_json([{"id": q.id, "source": q.source, "old": q.old_key, "new": q.new_key, "score": q.score,
                     "look": q.look_id, "at": q.detected_at.isoformat()} for q in questions])
        return
    rows = [(q.id, q.source, q.old_key, q.new_key, "" if q.score is None else f"{q.score:.2f}") for q in questions]
    print_table("", ("id", "source", "was", "may now be", "alike"), rows, empty="No question is open.")
    if questions:
        typer.echo("Answer with `milepost holds resolve ID --same --why …` or `--new --why …`.")


def holds_resolve(
    context: typer.Context,
    question: Annotated[int, typer.Argument(metavar="ID", help="From `milepost holds renames`.")],
    why: Why,
    same: Annotated[bool, typer.Option("--same/--new", help="The same milestone renamed, or a new one: news.")],
) -> None:
    """Say whether a milestone is an old one renamed (no news) or a new one (announced in the next issue)."""
    from flows.steps.renaming import resolve_rename
    from milepost.dates import utc_now

    door: Door = context.obj
    answered = resolve_rename(door.database, question, as_rename=same, why=why, now=utc_now())
    said = f"is {answered.old_key}, renamed: no news" if same else "is new, and goes into the next issue"
    typer.echo(f"{answered.new_key} {said}.")
