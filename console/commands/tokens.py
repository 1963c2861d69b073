"""Commands about the tokens of programs that use the API: `list`, `add`, `revoke`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.arguments import Who, Why, operator
from console.context import CliContext
from console.groups import WithDefault
from console.output import JsonFlag, print_json, print_table
from milepost.dates import utc_now

if TYPE_CHECKING:
    from pipeline.operators.api_tokens import Token

_DAYS = 90


def mount(app: typer.Typer) -> None:
    group = typer.Typer(cls=WithDefault, help="Tokens of programs that use the API, and what each may.")
    group.command("list")(list_)
    group.command("add")(add)
    group.command("revoke")(revoke)
    app.add_typer(group, name="tokens")


def list_(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List the tokens, also those that open nothing any more; no token itself is kept."""
    from pipeline.operators.api_tokens import listed

    cli: CliContext = context.obj
    found = listed(cli.database)
    if as_json:
        for one in found:
            print_json(_form(one))
        return
    now = utc_now()
    print_table("", ("name", "scopes", "made", "by", "last used", "expires", "state"), [
        (one.name, " ".join(one.scopes), f"{one.created_at:%Y-%m-%d}", one.made_by,
         f"{one.last_used_at:%Y-%m-%d %H:%M}" if one.last_used_at else "never",
         f"{one.expires_at:%Y-%m-%d}" if one.expires_at else "never", one.why_not(now) or "good")
        for one in found
    ], empty="There is no token.")


def _form(one: "Token") -> dict[str, Any]:
    moments = {name: getattr(one, name) for name in ("created_at", "expires_at", "last_used_at", "revoked_at")}
    return {
        "name": one.name, "scopes": list(one.scopes), "made_by": one.made_by, "why_not": one.why_not(utc_now()),
        "revoked_why": one.revoked_why,
    } | {name: at and at.isoformat() for name, at in moments.items()}


def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Which program it is for; what it does is kept under that name.")],
    scope: Annotated[list[str], typer.Option(
        "--scope", help="What it may: read, decide, readers, readers.write; as often as wanted.",
    )],
    days: Annotated[int, typer.Option("--days", help="Until it expires; 0: never.")] = _DAYS,
    by: Who = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a token; it is shown this once."""
    from pipeline.operators.api_tokens import add as add_token

    cli: CliContext = context.obj
    shown, token = add_token(cli.database, name, scope, days=days or None, by=operator(by), now=utc_now())
    if as_json:
        print_json({"token": shown} | _form(token))
        return
    until = "for good" if token.expires_at is None else f"until {token.expires_at:%Y-%m-%d}"
    typer.echo(shown)
    typer.echo(f"It may {', '.join(token.scopes)} {until}, and nobody can read it again.", err=True)


def revoke(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name, from `milepost tokens`.")],
    why: Why,
    by: Who = None,
) -> None:
    """Make a token open nothing any more."""
    from pipeline.operators.api_tokens import revoke as revoke_token

    cli: CliContext = context.obj
    token = revoke_token(cli.database, name, why=why, by=operator(by), now=utc_now())
    typer.echo(f"{token.name} opens nothing any more.")
