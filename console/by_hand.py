"""What an operator does to one address by hand: whose word it is, the one call, and what is told of it."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

import typer

from console.arguments import operator
from console.context import CliContext
from console.output import print_json
from milepost.dates import utc_now

if TYPE_CHECKING:
    from pipeline.subscribers import By
    from pipeline.upkeep import Database

Found = TypeVar("Found")
Done = TypeVar("Done", covariant=True)


class Act(Protocol[Done]):
    """One of `pipeline.subscribers`: what it does to an address, and what came of it."""

    def __call__(self, database: "Database", address: str, /, *, by: "By", now: dt.datetime) -> Done:
        """Raises MilepostError."""


def by_hand(
    context: typer.Context, act: Act[Found], address: str, *, why: str, by: str | None, as_json: bool,
    form: Callable[[Found], Mapping[str, object]], says: Callable[[Found], str],
) -> None:
    """Do it in the name of who types, and tell it: as `form` with --json, else in the sentence that `says` makes."""
    from pipeline.subscribers import By

    cli: CliContext = context.obj
    found = act(cli.database, address, by=By(who=operator(by), why=why), now=utc_now())
    if as_json:
        print_json(form(found))
    else:
        typer.echo(says(found))
