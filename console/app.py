"""The root command, its global options, and the list of what hangs below it."""

import logging
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from console.context import CliContext
from console.groups import Group
from console.output import say
from milepost import __version__

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class Root(Group):
    """Ends in a sentence when somebody presses Ctrl-C."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; exit code 130 after Ctrl-C, and what was kept on standard error."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say(f"milepost: stopped. {(ctx.obj or CliContext()).kept}", level=logging.WARNING)
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    name="milepost",
    cls=Root,
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
    log: Annotated[
        Literal["text", "json"], typer.Option("--log", help="The form of log lines: json has one object a line.")
    ] = "text",
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Global options."""
    context.obj = CliContext(config=config, verbose=verbose, json_lines=log == "json")
    context.with_resource(context.obj.opened)
    context.obj.start_logging()


def _mount() -> None:
    from console.commands import (
        backfill,
        database,
        dispatch,
        holds,
        issue,
        keys,
        ledger,
        letters,
        milestones,
        operate,
        operators,
        prefect,
        publish,
        record,
        run,
        scrape,
        setup,
        source,
        subscribers,
        suppressions,
        tokens,
        up,
        webhooks,
    )

    for part in (
        setup, source, scrape, milestones, record, holds, backfill, issue, publish, dispatch, ledger, letters,
        subscribers, suppressions, database, run, operate, operators, webhooks, tokens, keys, prefect, up,
    ):
        part.mount(app)


_mount()
