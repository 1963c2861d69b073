"""Turns what a database driver raises into one clear sentence, at the border and nowhere else; bugs pass through."""

import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from milepost.errors import BusyError, ConflictError, StoreError

_MAKE_ROOM = "Free some space (`milepost archive size`, old backups), then run it again; nothing was half written."
_NO_ROOM, _ROOM = 128 * 1024, 16 * 1024 * 1024  # bytes: fewer hold no WAL index; with more something else is full
_TEMPORARY = ("SQLITE_TMPDIR", "TMPDIR")  # then /var/tmp: https://www.sqlite.org/tempfiles.html, section 5
_LOCKED = "the database is locked by another program"

Room = Callable[[str], int | None]

# SQLite's primary result codes (https://www.sqlite.org/rescode.html) → what happened, what to do.
_SQLITE: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: ("the disk is full", _MAKE_ROOM),
    sqlite3.SQLITE_BUSY: (_LOCKED, "Wait for it to end, then run it again."),
    sqlite3.SQLITE_LOCKED: (_LOCKED, "Wait for it to end, then run it again."),
    sqlite3.SQLITE_READONLY: ("the database can't be written to", "Check the owner and mode of its file and folder."),
    sqlite3.SQLITE_CANTOPEN: ("the database can't be opened", "Check the path, its owner and mode."),
    sqlite3.SQLITE_PERM: ("the database can't be opened", "Check the path, its owner and mode."),
    sqlite3.SQLITE_NOTADB: ("the file is not a database", "Check the path in [store] url."),
    sqlite3.SQLITE_CORRUPT: ("the database is damaged", "Run `milepost db check` and restore a backup."),
    sqlite3.SQLITE_IOERR: ("the disk failed while reading or writing", "Check the disk, then run `milepost db check`."),
}

# PostgreSQL's SQLSTATE codes or classes (its manual, appendix A) → what happened, what to do.
_POSTGRESQL: dict[str, tuple[str, str]] = {
    "53100": ("the disk is full", _MAKE_ROOM),
    "53300": ("the database has no connection left", "Raise max_connections or run fewer programs at once."),
    "55P03": (_LOCKED, "Wait for it to end, then run it again."),
    "25006": ("the database can't be written to", "Connect to the primary server, not to a replica."),
    "42501": ("the database refuses this user", "Grant it rights on the schema."),
    "3D000": ("there is no such database", "Create it (`createdb`), then run `milepost db upgrade`."),
    "28": ("the database refuses this user", "Check the user and password in [store] url."),
    "57P": ("the database was shut down", "Start it and run it again."),
    "08": ("the connection to the database was lost", "Check that it runs, then run it again."),
}
_LOST_HINT = "Start it, or mend [store] url."
# A server, and a pooler before it (PgBouncer), refuse a session that is one too many before it has a code.
_NONE_LEFT = re.compile(
    r"too many clients already|remaining connection slots|too many connections for|no more connections allowed|"
    r"query_wait_timeout"
)
_LIBPQ = re.compile(r"FATAL: +|\[Errno -?\d+\] ")  # the driver's own signs before a reason
_RACE_STATES = {"40001", "40P01"}  # serialization failure, deadlock


def _sqlite_fault(error: sqlite3.Error, where: str, room: Room) -> tuple[str, str] | None:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return None
    code, free = code & 0xFF, room(where)
    if code == sqlite3.SQLITE_IOERR and free is not None and free < _NO_ROOM:
        code = sqlite3.SQLITE_FULL  # what SQLite says when there is no room for the file beside it (SHMSIZE)
    if code == sqlite3.SQLITE_FULL and free is not None and free > _ROOM:
        folder = next((os.environ[name] for name in _TEMPORARY if os.environ.get(name)), "/var/tmp")  # noqa: S108
        return _SQLITE[code][0], (
            f"There is room where the database lies: look at SQLite's temporary files (in {folder}; SQLITE_TMPDIR "
            "names another folder) and at quotas, then run it again; nothing was half written."
        )
    return _SQLITE.get(code)


def free_bytes(where: str) -> int | None:
    """Room on the disk of a file; None where that can't be told, or where it is an address."""
    try:
        return shutil.disk_usage(Path(where).absolute().parent).free
    except (OSError, ValueError):
        return None


def _postgresql_fault(error: BaseException, *, lost: bool) -> tuple[str, str] | None:
    state: str | None = getattr(error, "sqlstate", None)
    if lost and (state is None or state[:2] == "08") and _NONE_LEFT.search(str(error)):
        return _POSTGRESQL["53300"]
    if state is None:
        if not lost:
            return None
        # libpq itself failed (no server, no such database, connection cut), and only its words say which.
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
        reason = _LIBPQ.sub("", first.rpartition(" failed: ")[2]).rstrip(".")
        return f"the database can't be reached ({reason[:1].lower()}{reason[1:]})", _LOST_HINT
    return next((_POSTGRESQL[state[:size]] for size in (5, 3, 2) if state[:size] in _POSTGRESQL), None)


def _is_unique_violation(error: BaseException) -> bool:
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        return code in (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
    return getattr(error, "sqlstate", None) == "23505"


def translate(
    error: sa.exc.DBAPIError | sqlite3.Error, where: str, room: Room = free_bytes
) -> StoreError | None:
    """The error a user may meet for what the driver raised, or None when it is a bug of ours.

    `room`: on the disk of `where`, see `free_bytes`.
    """
    cause: BaseException | None = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    if cause is None:
        return None
    if _is_unique_violation(cause):
        return ConflictError(f"somebody else wrote the same thing first ({cause})".replace("\n", " "), where=where)
    if getattr(cause, "sqlstate", None) in _RACE_STATES:
        return ConflictError("two programs got in each other's way", where=where, hint="Run it again.")
    if isinstance(cause, sqlite3.Error):
        fault = _sqlite_fault(cause, where, room)
    else:
        fault = _postgresql_fault(cause, lost=isinstance(error, sa.exc.OperationalError))
    if fault is None:
        return None
    return (BusyError if fault[0] == _LOCKED else StoreError)(fault[0], where=where, hint=fault[1])


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Everything a driver raises inside becomes a StoreError at `where`, except what only a bug can cause."""
    try:
        yield
    except (sa.exc.DBAPIError, sqlite3.Error) as error:
        fault = translate(error, where)
        if fault is None:
            raise
        raise fault from error
    except sa.exc.TimeoutError as error:  # the pool's: it never got as far as the driver
        raise BusyError("every connection to the database is in use", where=where,
                         hint="Wait for what is running, then run it again.") from error
