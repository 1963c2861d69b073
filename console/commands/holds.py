"""Commands for what waits for an operator: held looks, and milestones that may be old ones under a new address."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.arguments import Why
from console.by_hand import decisions, typing
from console.context import CliContext
from console.groups import WithDefault
from console.output import JsonFlag, print_json, print_table

if TYPE_CHECKING:
    from pipeline.holds import Renaming


def mount(app: typer.Typer) -> None:
    holds = typer.Typer(cls=WithDefault, help="What waits for an operator: held looks, and questions about renames.")
    holds.command("list")(holds_list)
    holds.command("release")(holds_release)
    holds.command("refuse")(holds_refuse)
    app.add_typer(holds, name="holds")


def holds_list(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List the looks that are held, and the questions that are open."""
    from pipeline.holds import held_looks, pending_renames

    cli: CliContext = context.obj
    held, questions = held_looks(cli.database), pending_renames(cli.database)
    if as_json:
        looks = [{"kind": "look", "look": h.id, "source": h.source, "guard": h.guard, "reason": h.held,
                  "at": h.started_at.isoformat()} for h in held]
        print_json([*looks, *({"kind": "rename"} | _question_json(question) for question in questions)])
        return
    rows = [(h.id, h.source, f"{h.started_at:%Y-%m-%d %H:%M}", h.held) for h in held]
    if rows or not questions:
        print_table("", ("look", "source", "started", "reason"), rows, empty="Nothing is held.")
    if rows:
        typer.echo("See `milepost changes --all`; then `milepost holds release LOOK --why …`, or `refuse` for a fault.")
    if questions:
        _print_questions(questions)


def _question_json(question: "Renaming") -> dict[str, Any]:
    return {"id": question.id, "source": question.source, "old": question.old_key, "new": question.new_key,
            "score": question.score, "look": question.look_id, "at": question.detected_at.isoformat()}


def _print_questions(questions: "list[Renaming]") -> None:
    rows = [(q.id, q.source, q.old_key, q.new_key, "" if q.score is None else f"{q.score:.2f}") for q in questions]
    print_table("", ("id", "source", "was", "may now be", "alike"), rows, empty="No question is open.")
    if questions:
        typer.echo("Answer with `milepost changes resolve ID --same --why …` or `--new --why …`.")


def holds_release(
    context: typer.Context,
    look: Annotated[int, typer.Argument(help="The look's number, from `milepost holds`.")],
    why: Why,
    once: Annotated[bool, typer.Option("--once", help="The same holds a look again, after the next one.")] = False,
    refused: Annotated[bool, typer.Option("--refused", help="It was refused: take that back.")] = False,
) -> None:
    """Let the changes of a held look through to the next issue; later looks are not held for the same."""
    cli: CliContext = context.obj
    decisions(cli).release(look, by=typing(), why=why, once=once, refused=refused)
    if refused:
        typer.echo(f"Look {look} is refused no more: the next look reads it again.")
        return
    typer.echo(f"Released look {look}: its changes count as news from now on.")
    if not once:
        typer.echo("What the look found the source to be like is as it should be from now on.")


def holds_refuse(
    context: typer.Context,
    look: Annotated[int, typer.Argument(help="The look's number, from `milepost holds`.")],
    why: Why,
) -> None:
    """Say that what a held look found was a fault: the record stays as it was, and the same is not asked again."""
    from pipeline.operators.decisions import refused

    cli: CliContext = context.obj
    said = refused(decisions(cli).refuse(look, by=typing(), why=why))
    typer.echo(f"{said[:1].upper()}{said[1:]}.")
    typer.echo(f"`milepost holds release {look} --refused --why …` takes that back.")


# --- mounted below `changes` ------------------------------------------------------------------------------------------


def show_questions(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List new milestones that may be old ones renamed; none is announced before you have said which it is."""
    from pipeline.holds import pending_renames

    cli: CliContext = context.obj
    questions = pending_renames(cli.database)
    if as_json:
        print_json([_question_json(question) for question in questions])
        return
    _print_questions(questions)


def resolve_question(
    context: typer.Context,
    question: Annotated[int, typer.Argument(metavar="ID", help="From `milepost changes renames`.")],
    why: Why,
    same: Annotated[
        bool | None, typer.Option("--same/--new", help="The same milestone renamed, or a new one: news.")
    ] = None,
) -> None:
    """Say whether a milestone is an old one renamed (no news) or a new one (announced in the next issue)."""
    if same is None:
        raise typer.BadParameter("Say which it is: --same (the same milestone renamed) or --new (a new one: news).")
    cli: CliContext = context.obj
    answered = decisions(cli).answer(question, same=same, by=typing(), why=why)
    said = f"is {answered.old_key}, renamed: no news" if same else "is new, and goes into the next issue"
    typer.echo(f"{answered.new_key} {said}.")
