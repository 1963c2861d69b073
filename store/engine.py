"""The engine behind every store class: durable transactions, wrapped errors, nothing global.

    SQLite      WAL, synchronous=FULL, foreign_keys=ON; BEGIN IMMEDIATE to write (store.write_lock), BEGIN to read
    PostgreSQL  READ COMMITTED for writers, REPEATABLE READ for readers; synchronous_commit is never off
    a pooler    as PgBouncer, seen by itself: whatever a session would keep is said in each transaction

Writers and readers have a pool each, the readers' connections can't write: writers that wait for a lock keep nobody
from reading.
"""

import math
import select
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from milepost.errors import StoreError
from store.faults import translated
from store.write_lock import Turns, begin_immediate, give_way

T = TypeVar("T")
R = TypeVar("R")

WAIT_SECONDS = 60.0  # for another writer to finish, before we give up with a sentence
# What is written while somebody reads for long stays in the WAL. Once it is in the database the file is cut to this;
# else it kept its greatest size while any program has it open. https://www.sqlite.org/pragma.html#pragma_journal_size_limit
WAL_BYTES = 64 * 1024 * 1024

# A host that lost its power or its wire says no goodbye. By their own defaults both ends would wait for it for hours
# (tcp(7)): here a dispatch that can't go on, there a session that keeps its locks, by which nobody may take over what
# it held. Within 30 s each end knows, well before a lease is over. https://www.postgresql.org/docs/15/libpq-connect.html
_LOST_HOST = {
    "keepalives": 1, "keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000,
}
# https://www.postgresql.org/docs/15/runtime-config-connection.html (s, s, times, ms); a Unix socket has none
_LOST_CLIENT = {
    "tcp_keepalives_idle": "15", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30000",
}

# What is known of a connection, in SQLAlchemy's `info` of it.
_POOLED = "milepost: a pooler is between"
_USED = "milepost: used at"  # by time.monotonic
QUIET_S = 15.0  # a session that nobody used for so long is asked whether it is still there

_FORMS = "Want sqlite:///FILE or postgresql://USER@HOST/NAME."


def parse(url: str) -> URL:
    """The database's address with the driver we use; raises StoreError when it is none of ours."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreError("the store's url is not a database address", hint=_FORMS) from None
    if parsed.get_backend_name() == "sqlite":
        if not parsed.database or parsed.database == ":memory:" or parsed.database.startswith("file:"):
            raise StoreError("the store has to be a file", where="sqlite", hint=_FORMS)
        return parsed.set(drivername="sqlite")
    if parsed.get_backend_name() in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    raise StoreError(f"{parsed.get_backend_name()} is not a database that Milepost knows", hint=_FORMS)


class Database:
    """A database and the two ways to use it: `begin` to write, `connect` to read. Close it, or use it in `with`."""

    def __init__(self, url: str, *, wait_seconds: float = WAIT_SECONDS, foreign_keys: bool = True) -> None:
        """`wait_seconds`: how long a step waits for other writers, in this program and elsewhere, and for a connection.
        `foreign_keys`: whether SQLite checks them at each step; a migration that makes a table anew can't have it.

        Opens nothing yet; see `store.database.connect`.
        """
        self.url = parse(url)
        self.dialect = self.url.get_backend_name()
        self.where = self.url.database or ""
        if self.dialect == "postgresql":
            self.where = self.url.set(drivername="postgresql").render_as_string()
        # On SQLite half of the patience is for the line in this program, half for the lock that others may have: so
        # nobody waits longer than they were told.
        self.lock_seconds = wait_seconds / 2 if self.dialect == "sqlite" else wait_seconds
        self.turns = Turns()
        self.keys: dict[str, bytes] = {}  # those that never change, once they were read (store.meta)
        self.engine = _engine(self.url, self.lock_seconds, writes=True)
        if not foreign_keys and self.dialect == "sqlite":
            sa.event.listen(self.engine, "connect", _sqlite_no_foreign_keys)
        self._readers = _engine(self.url, wait_seconds, writes=False)

    @property
    def file(self) -> Path | None:
        """The database's file, None for PostgreSQL."""
        return Path(self.url.database) if self.dialect == "sqlite" and self.url.database else None

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """One durable transaction: committed at the end, rolled back by any exception.

        Raises StoreError for what the disk, a lock or the network did, ConflictError when somebody wrote the same.
        """
        with translated(self.where), ExitStack() as opened:
            with self.turns.awaited():
                connection = opened.enter_context(self.engine.begin())
            yield connection

    def in_turn(self, parts: Iterable[T]) -> Iterator[T]:
        """What is written in many transactions, a part in each: between two of them whoever waits is let go first.

        SQLite's lock and the line before it go to who happens to ask, and that is who has just had them.
        """
        for number, part in enumerate(parts):
            if number and self.dialect == "sqlite":
                give_way()
            yield part

    def in_parts(
        self, items: Sequence[T], size: int, do: Callable[[sa.Connection, Sequence[T]], Sequence[R]], *,
        dry_run: bool = False, progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> list[R]:
        """What `do` made of the items, `size` of them in one transaction, so that others write in between.

        `dry_run`: it only reads. `progress`: items that are done with, of all. Raises what `do` does; the parts before
        it are written.
        """
        made: list[R] = []
        parts = range(0, len(items), size)
        progress(0, len(items))
        for start in parts if dry_run else self.in_turn(parts):
            with self.connect() if dry_run else self.begin() as connection:
                made += do(connection, items[start : start + size])
            progress(len(made), len(items))
        return made

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        """A view of the database at one moment, for reading only; raises StoreError as `begin` does."""
        with translated(self.where), self._readers.connect() as connection:
            yield connection

    @contextmanager
    def questions(self) -> Iterator[sa.Connection]:
        """For reading only, and each statement sees a moment of its own: none waits for a transaction to be begun and
        ended as well, which on a busy server is most of a small question's time. Raises StoreError as `begin` does.
        """
        with translated(self.where), self._readers.connect() as connection:
            if self.dialect == "postgresql":
                connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            yield connection

    def behind_pooler(self) -> bool:
        """Whether a pooler is between us and PostgreSQL, so that a session is no longer ours than a transaction."""
        with self.connect() as connection:
            return bool(connection.info.get(_POOLED))

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()
        self._readers.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _engine(url: URL, wait_seconds: float, *, writes: bool) -> sa.Engine:
    pool: dict[str, Any] = {"pool_size": 5, "max_overflow": 20, "pool_timeout": wait_seconds}
    if url.get_backend_name() == "postgresql":
        if not writes:
            pool["isolation_level"] = "REPEATABLE READ"
        try:
            asked = {"connect_timeout": max(2, math.ceil(wait_seconds)), **_LOST_HOST}
            engine = sa.create_engine(
                url, connect_args={k: v for k, v in asked.items() if k not in url.query}, **pool
            )
        except (ImportError, NoSuchModuleError):
            raise StoreError(
                "PostgreSQL needs a driver that is not installed", hint="Run `pip install 'milepost[postgres]'`."
            ) from None
        sa.event.listen(engine, "connect", _postgresql_session(wait_seconds))
        sa.event.listen(engine, "checkin", _note_use)
        sa.event.listen(engine, "checkout", _still_there(engine.dialect))
        sa.event.listen(engine, "begin", _pooled_transaction(wait_seconds))
        return engine if writes else engine.execution_options(postgresql_readonly=True)
    if writes:
        # SQLite lets one write at a time, and who finds it taken tries again, for as long as others are luckier. Here
        # they stand in line for the one connection, and only meet other processes at the lock itself.
        pool = {"pool_size": 1, "max_overflow": 0, "pool_timeout": wait_seconds}
    engine = sa.create_engine(url, connect_args={"timeout": wait_seconds}, **pool)
    sa.event.listen(engine, "connect", _sqlite_session)
    if writes:
        # One that starts with BEGIN alone would fail at its first write, without waiting, once another one wrote.
        sa.event.listen(engine, "begin", _sqlite_write(wait_seconds))
    else:
        sa.event.listen(engine, "connect", _sqlite_read_only)
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine


def _sqlite_session(connection: Any, record: Any) -> None:  # noqa: ARG001 (the event's form)
    connection.isolation_level = None  # no BEGIN of the driver's own making: ours are in _engine
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # a commit is on the disk when it returns (delivery.T3 relies on it)
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
    cursor.close()


def _sqlite_write(patience: float) -> Any:
    def begin(connection: sa.Connection) -> None:
        try:
            begin_immediate(connection.connection.driver_connection, patience)  # type: ignore[arg-type]
        except sqlite3.OperationalError as error:  # SQLAlchemy passes on what an event raises as it is
            raise sa.exc.OperationalError("BEGIN IMMEDIATE", None, error) from error

    return begin


def _sqlite_no_foreign_keys(connection: Any, record: Any) -> None:  # noqa: ARG001 (the event's form)
    connection.execute("PRAGMA foreign_keys = OFF")


def _sqlite_read_only(connection: Any, record: Any) -> None:  # noqa: ARG001 (the event's form)
    # Not by mode=ro in the address: who may only read the file could then not make the -shm that WAL needs.
    connection.execute("PRAGMA query_only = ON").close()


def _postgresql_session(wait_seconds: float) -> Any:
    def prepare(connection: Any, record: Any) -> None:
        with connection.cursor() as cursor:
            # A pooler tells each client a number of its own making (https://www.pgbouncer.org/features.html has what a
            # session keeps behind one that hands it on after each transaction, PgBouncer's mode "transaction").
            if cursor.execute("SELECT pg_backend_pid()").fetchone() != (connection.info.backend_pid,):
                record.info[_POOLED] = True
                connection.prepare_threshold = None  # the driver's statements would be in somebody else's session
                connection.commit()
                return
            settings = _LOST_CLIENT | {"lock_timeout": f"{int(wait_seconds * 1000)}ms"}
            cursor.execute(
                f"SELECT {', '.join(['set_config(%s, %s, false)'] * len(settings))}",
                [word for setting in settings.items() for word in setting],
            )
            cursor.execute(
                "SELECT set_config('synchronous_commit', 'on', false) "
                "WHERE current_setting('synchronous_commit') = 'off'"
            )
        connection.commit()

    def prepared(connection: Any, record: Any) -> None:
        import psycopg  # PostgreSQL's own, which not every installation has

        try:
            prepare(connection, record)
        except psycopg.Error as error:  # SQLAlchemy passes on what an event raises as it is
            raise sa.exc.OperationalError("SELECT set_config(…)", None, error) from error

    return prepared


def _note_use(connection: Any, record: Any) -> None:  # noqa: ARG001 (the event's form)
    record.info[_USED] = time.monotonic()


def _still_there(dialect: sa.Dialect) -> Any:
    """Instead of SQLAlchemy's pool_pre_ping, which asks the server before each use: beside a busy one that is much of
    a small question's time. A server that ends a session says so, or at least closes its connection, and then there is
    something to read where nothing was asked for. Of a host that is gone without a word we hear by `_LOST_HOST`, and
    what is between may forget a connection that is silent: who was not used for QUIET_S is asked.
    """
    def check(connection: Any, record: Any, proxy: Any) -> None:  # noqa: ARG001 (the event's form)
        used = record.info.get(_USED)
        if used is None:  # just made
            return
        if time.monotonic() - used < QUIET_S and _is_silent(connection):
            return
        try:
            dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            if dialect.is_disconnect(error, connection, None):
                raise sa.exc.InvalidatePoolError from error  # the pool makes another
            raise

    return check


def _is_silent(connection: Any) -> bool:
    """Whether nothing came from the server since it was last read from, nor the end of the connection."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return not poll.poll(0)


def _pooled_transaction(wait_seconds: float) -> Any:
    def begin(connection: sa.Connection) -> None:
        """What `_postgresql_session` says once for a session, for this transaction alone."""
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            return  # a question, which locks nothing and commits nothing
        if connection.info.get(_POOLED):
            connection.exec_driver_sql(
                "SELECT set_config('lock_timeout', %s, true), set_config('synchronous_commit', "
                "CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' "
                "ELSE current_setting('synchronous_commit') END, true)", (f"{int(wait_seconds * 1000)}ms",),
            )

    return begin
