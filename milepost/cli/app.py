"""The root command, its global options, and the list of what hangs below it."""

from pathlib import Path
from typing import Annotated

import typer

from milepost import __version__
from milepost.cli.context import Door

app = typer.Typer(
    name="milepost",
    help="From “a site published something that matters” to “the people who asked have read it”.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"milepost {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="The settings file; else $MILEPOST_CONFIG, else ./milepost.toml."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is done, on standard error.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Global options."""
    context.obj = Door(config=config, verbose=verbose)
    context.obj.start_logging()


def _mount() -> None:
    from milepost.cli import (
        commands_holds,
        commands_issue,
        commands_record,
        commands_setup,
        commands_source,
        commands_store,
        commands_subscribers,
        commands_watch,
        running,
    )

    for part in (
        commands_setup, commands_source, commands_watch, commands_holds, commands_record, commands_issue,
        commands_subscribers,
        commands_store, running,
    ):
        part.mount(app)


_mount()
