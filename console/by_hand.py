"""What an operator does by hand: whose word it is, the one call, which the log keeps, and what is told of it."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

import typer

from console.arguments import operator
from console.context import CliContext
from console.output import print_json

if TYPE_CHECKING:
    from pipeline.operators.acts import Actor
    from pipeline.operators.care import Care
    from pipeline.operators.decisions import Decisions

Found = TypeVar("Found")
Done = TypeVar("Done", covariant=True)


class Act(Protocol[Done]):
    """One of `Care`: what it does to an address, and what came of it."""

    def __call__(self, address: str, /, *, by: "Actor", why: str) -> Done:
        """Raises MilepostError."""


def typing(by: str | None = None) -> "Actor":
    """Who types: `by`, else the name that this machine knows them by."""
    from pipeline.operators.acts import at_the_console

    return at_the_console(operator(by))


def decisions(cli: CliContext) -> "Decisions":
    """What can be decided about looks and issues."""
    from pipeline.operators.decisions import Decisions

    return Decisions(cli.settings, cli.database)


def care(cli: CliContext) -> "Care":
    """What can be done for readers and about addresses."""
    from pipeline.operators.care import Care

    return Care(cli.database)


def by_hand(
    act: Act[Found], address: str, *, why: str, by: str | None, as_json: bool,
    form: Callable[[Found], Mapping[str, object]], says: Callable[[Found], str],
) -> None:
    """Do it in the name of who types, and tell it: as `form` with --json, else in the sentence that `says` makes."""
    found = act(address, by=typing(by), why=why)
    if as_json:
        print_json(form(found))
    else:
        typer.echo(says(found))
