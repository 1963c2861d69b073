"""Commands for a Prefect server of one's own."""

from typing import Annotated

import typer

from console.context import CliContext
from console.flow_runs import config_path
from console.groups import Group


def mount(app: typer.Typer) -> None:
    prefect = typer.Typer(cls=Group, help="For a Prefect server of your own.", no_args_is_help=True)
    prefect.command("init")(init)
    prefect.command("automations")(automations)
    app.add_typer(prefect, name="prefect")


def init(
    context: typer.Context,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
    to_stdout: Annotated[bool, typer.Option("--print", help="Print it instead.")] = False,
) -> None:
    """Write prefect.yaml beside the settings: every flow with its schedule, by paths that hold everywhere."""
    from pipeline.setup import deployments, write_deployments

    cli: CliContext = context.obj
    config = config_path(cli)
    if to_stdout:
        typer.echo(deployments(config), nl=False)
        return
    typer.echo(f"Wrote {write_deployments(config, force=force)}. Next, in that folder: `prefect deploy --all`.")


def automations(context: typer.Context) -> None:
    """Make Prefect's server watch the runs: those whose process died end, those that are not green tell operators.

    Run it again after an upgrade; it makes nothing twice. `milepost up` does it by itself.
    """
    from flows import engine

    cli: CliContext = context.obj
    engine.prepare(config_path(cli).parent / ".milepost" / "prefect")
    for name in engine.automations(cli.settings.notify):
        typer.echo(f"Set up: {name}")
