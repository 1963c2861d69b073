"""Commands about operators: who has a login to the desk, in which role, and the link that lets them in first."""

from typing import Annotated

import typer

from console.arguments import Who, operator
from console.context import CliContext
from console.groups import WithDefault
from console.output import JsonFlag, print_json, print_table

Name = Annotated[str, typer.Argument(help="The operator's name.")]
RoleOption = Annotated[
    str, typer.Option("--role", help="viewer, writer, editor or admin; each may what those before it may.")
]


def mount(app: typer.Typer) -> None:
    group = typer.Typer(cls=WithDefault, help="Who has a login to the desk, and who did what there.")
    group.command("list")(list_)
    group.command("add")(add)
    group.command("role")(role)
    group.command("reset")(reset)
    group.command("disable")(disable)
    group.command("enable")(enable)
    group.command("log")(log)
    app.add_typer(group, name="operators")


def list_(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List the operators."""
    from pipeline.operators.accounts import Accounts

    cli: CliContext = context.obj
    found = Accounts(cli.settings, cli.database).list()
    if as_json:
        print_json([
            {"name": one.name, "role": one.role, "created_at": one.created_at.isoformat(),
             "password": one.password is not None, "codes": one.totp_secret is not None,
             "disabled_at": one.disabled_at and one.disabled_at.isoformat()}
            for one in found
        ])
        return
    print_table("", ("name", "role", "since", "signs in"), [
        (one.name, one.role, f"{one.created_at:%Y-%m-%d}",
         "locked out" if one.disabled_at else "link not used yet" if one.password is None
         else "with password and code" if one.totp_secret else "with password")
        for one in found
    ], empty="There are none, and no desk. `milepost operators add NAME --role admin` begins one.")


def add(context: typer.Context, name: Name, role: RoleOption, by: Who = None, as_json: JsonFlag = False) -> None:
    """Add one, and print the link by which they set a password: once, within two days."""
    from pipeline.operators.accounts import Accounts, role_of
    from pipeline.operators.acts import at_the_console

    cli: CliContext = context.obj
    invited = Accounts(cli.settings, cli.database).add(name, role_of(role), by=at_the_console(operator(by)))
    if as_json:
        print_json({"name": invited.operator.name, "role": invited.operator.role, "link": invited.link,
                    "until": invited.until.isoformat()})
        return
    typer.echo(f"{invited.operator.name} is {invited.operator.role}. Till {invited.until:%Y-%m-%d %H:%M} UTC, once:")
    typer.echo(invited.link)


def role(context: typer.Context, name: Name, role: RoleOption, by: Who = None) -> None:
    """Give one another role; they sign in anew."""
    from pipeline.operators.accounts import Accounts, role_of
    from pipeline.operators.acts import at_the_console

    cli: CliContext = context.obj
    Accounts(cli.settings, cli.database).change_role(name, role_of(role), by=at_the_console(operator(by)))
    typer.echo(f"{name} is {role} now, and signed out.")


def reset(context: typer.Context, name: Name, by: Who = None, as_json: JsonFlag = False) -> None:
    """Make a new link; the password, the codes and every session are void at once."""
    from pipeline.operators.accounts import Accounts
    from pipeline.operators.acts import at_the_console

    cli: CliContext = context.obj
    invited = Accounts(cli.settings, cli.database).reset(name, by=at_the_console(operator(by)))
    if as_json:
        print_json({"name": invited.operator.name, "link": invited.link, "until": invited.until.isoformat()})
        return
    typer.echo(f"{invited.operator.name} is signed out. Till {invited.until:%Y-%m-%d %H:%M} UTC, once:")
    typer.echo(invited.link)


def disable(context: typer.Context, name: Name, by: Who = None) -> None:
    """Lock one out, at once and everywhere; what they did stays in the log."""
    from pipeline.operators.accounts import Accounts
    from pipeline.operators.acts import at_the_console

    cli: CliContext = context.obj
    Accounts(cli.settings, cli.database).disable(name, by=at_the_console(operator(by)))
    typer.echo(f"{name} is locked out.")


def enable(context: typer.Context, name: Name, by: Who = None) -> None:
    """Let one in again."""
    from pipeline.operators.accounts import Accounts
    from pipeline.operators.acts import at_the_console

    cli: CliContext = context.obj
    Accounts(cli.settings, cli.database).enable(name, by=at_the_console(operator(by)))
    typer.echo(f"{name} may come in again.")


def log(
    context: typer.Context,
    last: Annotated[int, typer.Option("--last", min=1, max=1000, help="How many of the latest.")] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List what operators did at the desk, by the API, here and by Prefect's forms, and why, the latest first."""
    from pipeline.operators.acts import act_to_json, latest

    cli: CliContext = context.obj
    found = latest(cli.database, limit=last)
    if as_json:
        print_json([act_to_json(one) for one in found])
        return
    print_table("", ("at", "who", "what", "on", "outcome", "why"), [
        (f"{one.at:%Y-%m-%d %H:%M}", f"{one.who} ({one.role or one.door})", one.what, one.about, one.outcome, one.why)
        for one in found
    ], empty="Nothing was done yet.")
