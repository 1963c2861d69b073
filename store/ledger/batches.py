"""The steps of many deliveries at once, each statement made from its row of `store.ledger.transitions`.

    claims, settlements ─▶ rows ─┬▶ PostgreSQL: one array for each value, one UPDATE … FROM them
                                 └▶ SQLite: one prepared UPDATE, run for each row
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property, partial
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import PoolProxiedConnection

from milepost.records import Reply
from store.dialects import by_keys
from store.engine import Database
from store.faults import translated
from store.ledger import transitions
from store.ledger.transitions import GIVEN, HELD, RENEWALS, TRANSITIONS, Row, Terms, Transition
from store.write_lock import begin_immediate


class Each:
    """A statement about one delivery, run for each of many."""

    def __init__(self, dialect: str, make: Callable[[Terms], sa.Executable]) -> None:
        """`make` writes the statement in the terms that it is given, once it is needed: most ledgers send nothing."""
        self._dialect, self._make = dialect, make

    @cached_property
    def _listing(self) -> tuple[sa.Executable, Sequence[str]]:
        """The statement that PostgreSQL runs for a list of rows, and which values of theirs it wants."""
        return of_many(self._make)

    @cached_property
    def _prepared(self) -> tuple[str, Callable[[Row], Any]]:
        """The text that SQLite runs for each row, and a row's values as it wants them."""
        # In the order of their places: the driver would look each name up again for every row.
        compiled: Any = self._make(Terms(self._dialect)).compile(dialect=sqlite.dialect())  # type: ignore[attr-defined]
        return str(compiled), itemgetter(*compiled.positiontup)

    def on_driver(self, driver: sqlite3.Connection, rows: Sequence[Row]) -> int:
        """How many rows it changed, on a SQLite connection."""
        if not rows:
            return 0
        text, values = self._prepared
        return driver.executemany(text, map(values, rows)).rowcount

    def on(self, connection: sa.Connection, rows: Sequence[Row]) -> int:
        """How many rows it changed, in an open transaction."""
        if not rows:
            return 0
        if self._dialect == "postgresql":
            statement, wanted = self._listing
            return connection.execute(statement, {name: [row[name] for row in rows] for name in wanted}).rowcount
        text, values = self._prepared
        return connection.exec_driver_sql(text, [values(row) for row in rows]).rowcount


def of_many(make: Callable[[Terms], sa.Executable]) -> tuple[sa.Executable, Sequence[str]]:
    """The statement that PostgreSQL runs for many deliveries at once, and the names of its parameters: each is the
    array of all values that GIVEN calls so.

    Arrays, since a planner takes one for ten rows; it takes a JSON list for a hundred, and with no statistics of a
    small ledger would rather read all of it than look up so many.
    """
    columns: dict[str, sa.ColumnElement[Any]] = {}
    arrays: dict[str, sa.ColumnElement[Any]] = {}

    def array(name: str) -> sa.ColumnElement[Any]:
        return arrays.setdefault(name, sa.bindparam(name, type_=postgresql.ARRAY(GIVEN[name])))

    def column(name: str) -> sa.ColumnElement[Any]:
        array(name)
        return columns.setdefault(name, sa.column(name, GIVEN[name]))

    make(Terms("postgresql", column, array))  # to hear what it asks for
    rows = sa.func.unnest(*(arrays[name] for name in columns)).table_valued(*columns.values(), name="given")
    return make(Terms("postgresql", rows.render_derived().c.__getitem__, array)), tuple(arrays)


Run = Callable[[Each, Sequence[Row]], int]


class Batches:
    """The steps of those who hold a lease (T2 to T7), in one dialect."""

    def __init__(self, dialect: str) -> None:
        self._lock = None if dialect == "sqlite" else Each(dialect, transitions.lock)
        self._steps = {
            row: Each(dialect, partial(transitions.of_one_if_free if row in RENEWALS else transitions.of_one, row))
            for row in TRANSITIONS.values() if HELD in row.only_if
        }
        self._log = Each(dialect, transitions.log)

    def lock(self, run: Run, rows: Sequence[Row]) -> None:
        """What T3 looks at stays as it is until the transaction ends; to be called first in it."""
        if self._lock is not None:
            run(self._lock, rows)

    def take(self, run: Run, step: Transition, rows: Sequence[Row]) -> int:
        """How many of them took the step; an attempt is appended for each, so all have to where the step is logged."""
        taken = run(self._steps[step], rows)
        if step.logs and taken == len(rows):
            run(self._log, rows)
        return taken


def log(
    connection: sa.Connection, step: Transition, taken: Sequence[tuple[int, str | None]], reply: Reply
) -> None:
    """Append what was tried to each delivery that took a step in this transaction: (its id, its lease token)."""
    rows = [transitions.of_attempt(id_, lease, step, reply) for id_, lease in taken]
    Each(connection.dialect.name, transitions.log).on(connection, rows)


def on(connection: sa.Connection) -> Run:
    """What runs statements in an open transaction."""
    return lambda each, rows: each.on(connection, rows)


@contextmanager
def transaction(database: Database) -> Iterator[Run]:
    """One durable transaction, as `Database.begin`; on SQLite on the driver itself, since it comes with every
    mail.
    """
    if database.dialect != "sqlite":
        with database.begin() as connection:
            by_keys(connection)
            yield on(connection)
        return
    with translated(database.where), ExitStack() as opened:
        with database.turns.awaited():
            pooled = database.engine.raw_connection()
            opened.callback(pooled.close)
            run = opened.enter_context(exclusive(_driver(pooled), database.lock_seconds))
        yield run


@contextmanager
def exclusive(driver: sqlite3.Connection, patience: float = 0.0) -> Iterator[Run]:
    """One durable transaction on a SQLite connection, within `patience` seconds; raises what the driver raises."""
    begin_immediate(driver, patience)
    try:
        yield lambda each, rows: each.on_driver(driver, rows)
        driver.execute("COMMIT")
    finally:
        if driver.in_transaction:
            driver.execute("ROLLBACK")


@contextmanager
def impatient(database: Database) -> Iterator[sqlite3.Connection | None]:
    """A connection of its own that never waits for another writer; None where a commit is a journey (PostgreSQL)."""
    if database.dialect != "sqlite":
        yield None
        return
    with translated(database.where):
        pooled = database.engine.raw_connection()
        driver = _driver(pooled)
        pooled.detach()
        driver.execute("PRAGMA busy_timeout = 0")
    with closing(driver):
        yield driver


def _driver(pooled: PoolProxiedConnection) -> sqlite3.Connection:
    driver = pooled.driver_connection
    assert isinstance(driver, sqlite3.Connection)  # noqa: S101 (what the dialect means)
    return driver
