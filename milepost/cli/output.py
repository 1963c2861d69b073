"""How commands speak: tables and plain lines for people, JSON for scripts, progress on a terminal."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

if TYPE_CHECKING:
    from rich.console import Console

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of a table.")]


class Progress(Protocol):
    """Told how far a long piece of work has come."""

    def __call__(self, done: int, total: int) -> None: ...


def console(*, stderr: bool = False) -> "Console":
    """A rich console; imported here since it costs start-up time."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def print_json(value: object) -> None:
    """One JSON value on one line, UTF-8 as it is."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table, or the sentence `empty` when there is nothing to show. Numbers stand on the right."""
    from rich.table import Table
    from rich.text import Text

    listed = [["" if cell is None else cell for cell in row] for row in rows]
    if not listed:
        typer.echo(empty)
        return
    table = Table(title=title or None, title_justify="left", title_style="bold", header_style="bold", box=None,
                  pad_edge=False, padding=(0, 2, 0, 0))
    for position, column in enumerate(columns):
        numeric = all(isinstance(row[position], int) for row in listed)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in listed:
        table.add_row(*(Text(str(cell)) for cell in row))
    console().print(table)


def shortened(value: object, width: int = 60) -> str:
    """A value for a table's cell: text as it is, anything else as JSON, cut to `width` characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= width else f"{text[: width - 1]}…"


@contextmanager
def progress(what: str, *, quiet: bool = False) -> Iterator[Progress]:
    """A bar on a terminal; elsewhere a log line at each tenth of the way. Always on standard error."""
    if quiet:
        yield lambda _done, _total: None
        return
    if not sys.stderr.isatty():
        yield _log_lines(what)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    with Bars(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console(stderr=True), transient=True,
    ) as bars:
        bar = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)


def _log_lines(what: str) -> Progress:
    tenth = -1

    def report(done: int, total: int) -> None:
        nonlocal tenth
        now = 10 * done // total if total else 10
        if now != tenth:
            tenth = now
            typer.echo(f"{what}: {done} of {total}", err=True)

    return report
