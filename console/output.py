"""How commands speak: tables and plain lines for people, JSON for scripts, progress on a terminal."""

import json
import logging
import os
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from milepost.log_lines import as_line, in_json
from milepost.printable import printable, printable_json

if TYPE_CHECKING:
    from rich.console import Console

_ENDLESS = 10_000  # columns
AT_ONCE = 5_000  # rows of a table of any length that are measured for its columns together
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of a table.")]


class Progress(Protocol):
    """Told how far a long piece of work has come."""

    def __call__(self, done: int, total: int) -> None: ...


class Begin(Protocol):
    """A phase of a long piece of work, in any thread: what it yields is told how far that has come."""

    def __call__(self, what: str, unit: str = "", /) -> AbstractContextManager[Progress]: ...


def console(*, stderr: bool = False) -> "Console":
    """A rich console; imported here since it costs start-up time. A file or a pipe has lines as long as they need."""
    from rich.console import Console

    endless = not (sys.stderr if stderr else sys.stdout).isatty() and "COLUMNS" not in os.environ
    return Console(stderr=stderr, highlight=False, width=_ENDLESS if endless else None)


def print_json(value: object) -> None:
    """One JSON value on one line, UTF-8 as it is but for signs that nobody sees."""
    typer.echo(printable_json(json.dumps(value, ensure_ascii=False)))


def say(sentence: str, *, level: int = logging.INFO) -> None:
    """A line for whoever is at the terminal, on standard error; an object with `--log json`, as all lines there."""
    typer.echo(as_line(sentence, level=level), err=True)


def print_json_with(value: Mapping[str, object], name: str, rows: Iterable[object]) -> None:
    """The same of an object that ends with a list of any length: none of it waits for the rest."""
    head = json.dumps(value, ensure_ascii=False).removesuffix("}")
    typer.echo(printable_json(f"{head}{', ' if value else ''}{json.dumps(name)}: "), nl=False)
    _echo_rows(rows)
    typer.echo("}")


def print_json_rows(rows: Iterable[object]) -> None:
    """`print_json` of a list of any length, row by row."""
    _echo_rows(rows)
    typer.echo("")


def _echo_rows(rows: Iterable[object]) -> None:
    typer.echo("[", nl=False)
    before = ""
    for row in rows:
        typer.echo(before + printable_json(json.dumps(row, ensure_ascii=False)), nl=False)
        before = ", "
    typer.echo("]", nl=False)


def complain(sentence: str) -> None:
    """What went wrong or waits, in a line of its own on standard error."""
    say(f"milepost: {printable(sentence)}", level=logging.ERROR)


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
        table.add_row(*(Text(printable(str(cell))) for cell in row))
    console().print(table)


def print_wrapped(text: str) -> None:
    """Lines of words, none wider than the terminal unless one word is; what goes on is four columns further in."""
    width = console().width
    for line in text.split("\n"):
        margin = line[: len(line) - len(line.lstrip())]
        typer.echo(textwrap.fill(
            line, width, subsequent_indent=margin or "    ", break_long_words=False, break_on_hyphens=False,
        ))


def print_long_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table of any length, in parts of AT_ONCE rows with a head each: none of it waits for the rest."""
    left = iter(rows)
    part = list(islice(left, AT_ONCE))
    print_table("", columns, part, empty=empty)
    while part := list(islice(left, AT_ONCE)):
        print_table("", columns, part, empty="")


def shortened(value: object, width: int = 60) -> str:
    """A value for a table's cell: text as it is, anything else as JSON, cut to `width` characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= width else f"{text[: width - 1]}…"


@contextmanager
def progress(what: str, *, quiet: bool = False, unit: str = "") -> Iterator[Progress]:
    """A display of one phase; see `phases`."""
    with phases(quiet=quiet) as begin, begin(what, unit) as bar:
        yield bar


@contextmanager
def phases(*, quiet: bool = False) -> Iterator[Begin]:
    """One display for all of a long work: enter what it yields with each phase's name, one after or beside the other.

    Bars on a terminal, one for each that is under way; elsewhere log lines every few seconds. Always on standard error.
    With a unit ("pages") it also says how many of them a second, and how long it will take.
    """
    if quiet:
        yield lambda _what, _unit="": nullcontext(lambda _done, _total: None)
        return
    if not sys.stderr.isatty() or in_json():
        yield Lines(say, time.monotonic).begin
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    with Bars(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console(stderr=True), transient=True,
    ) as bars:

        @contextmanager
        def begin(what: str, unit: str = "") -> Iterator[Progress]:
            bar, pace = bars.add_task(what, total=None, rate=""), _Pace(unit, time.monotonic)
            try:
                yield lambda done, total: bars.update(bar, completed=done, total=total, rate=pace.rate(done))
            finally:
                bars.remove_task(bar)

        yield begin


class Lines:
    """Progress as log lines: what is done at once says nothing, a long work a line of each phase every few seconds."""

    EVERY = 5.0  # seconds

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._say, self._clock = say, clock
        self._said = clock()
        self._lock = threading.Lock()
        self._under_way: dict[object, str] = {}  # also of a phase that has not moved for long

    @contextmanager
    def begin(self, what: str, unit: str = "") -> Iterator[Progress]:
        """The phase `what`; the lines of all phases share one pace."""
        pace = _Pace(unit, self._clock)
        self._under_way[pace] = f"{what}: no page yet"

        def report(done: int, total: int) -> None:
            self._under_way[pace] = f"{what}: {done:,} of {total:,}{pace.told(done, total)}"
            with self._lock:
                if self._clock() - self._said >= self.EVERY:
                    self._said = self._clock()
                    for line in list(self._under_way.values()):
                        self._say(line)

        try:
            yield report
        finally:
            del self._under_way[pace]


class _Pace:
    """How fast a piece of work goes, from its first sign of life on: what an earlier run did doesn't count."""

    def __init__(self, unit: str, clock: Callable[[], float]) -> None:
        self._unit, self._clock = unit, clock
        self._first: tuple[float, int] | None = None

    def _speed(self, done: int) -> float:
        now = self._clock()
        if self._first is None:
            self._first = (now, done)
        since, before = self._first
        return (done - before) / max(now - since, 0.001)

    def rate(self, done: int) -> str:
        speed = self._speed(done)
        return f"{speed:,.0f} {self._unit}/s" if self._unit and speed else ""

    def told(self, done: int, total: int) -> str:
        """The same with the time that is left, for a log line."""
        speed = self._speed(done)
        return f" ({self.rate(done)}, {(total - done) / speed:,.0f} s left)" if self._unit and speed else ""
