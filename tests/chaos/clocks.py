"""Clocks that can be set wrong while they run: a database's own, and the one a program reads.

    a file with seconds ─▶ SQLite's julianday and strftime, PostgreSQL's clock_timestamp, Clock.now
"""

import datetime as dt
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from store.database import connect

_UNIX_EPOCH = 2440587.5  # as a Julian day


class Clock:
    """The machine's clock, wrong by as many seconds as a file says; right without a file."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def read(self) -> float:
        """Seconds since 1970."""
        return time.time() + (float(self._file.read_text()) if self._file else 0.0)

    def now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.read(), dt.UTC)

    @contextmanager
    def set(self) -> Iterator[None]:
        """Inside, every SQLite database that this process opens goes by this clock; PostgreSQL has its own: `jump`."""
        if self._file is None:
            yield
            return
        sa.event.listen(Engine, "connect", self._give)
        try:
            yield
        finally:
            sa.event.remove(Engine, "connect", self._give)

    def _give(self, connection: Any, _record: Any) -> None:
        if not hasattr(connection, "create_function"):
            return
        connection.create_function("julianday", 1, lambda _now: self.read() / 86400.0 + _UNIX_EPOCH)
        connection.create_function(
            "strftime", 2, lambda _form, _now: self.now().isoformat(timespec="milliseconds")[:23]
        )


_SHADOW = (
    "CREATE TABLE wrong_clock (shift interval NOT NULL)",
    "INSERT INTO wrong_clock VALUES ('0')",
    (
        "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS"
        " 'SELECT pg_catalog.clock_timestamp() + (SELECT shift FROM public.wrong_clock)'"
    ),
)


def prepare(url: str, file: Path) -> Clock:
    """A clock for the database at `url`, which from now on goes by it; it is right until it jumps."""
    _write(file, 0.0)
    with connect(url) as database:
        if database.dialect == "postgresql":
            with database.begin() as connection:
                for statement in _SHADOW:
                    connection.execute(sa.text(statement))
                name = database.url.database
                connection.execute(sa.text(f'ALTER DATABASE "{name}" SET search_path = public, pg_catalog'))
    return Clock(file)


def jump(url: str, file: Path, seconds: float) -> None:
    """Now both clocks are wrong by so many seconds."""
    _write(file, seconds)
    with connect(url) as database:
        if database.dialect == "postgresql":
            with database.begin() as connection:
                shift = dt.timedelta(seconds=seconds)
                connection.execute(sa.text("UPDATE wrong_clock SET shift = :shift"), {"shift": shift})


def _write(file: Path, seconds: float) -> None:
    new = file.with_suffix(".new")
    new.write_text(str(seconds))
    new.replace(file)  # never half written for whoever reads it
