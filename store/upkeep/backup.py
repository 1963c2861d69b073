"""Backups of a SQLite database while it is in use, and putting one back; PostgreSQL has pg_dump for that.

    backup   database ─▶ a new file, whole as of one moment (SQLite's online backup, https://www.sqlite.org/backup.html)
    restore  backup ─▶ checked, marked ─▶ database, in one transaction of SQLite's own
"""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import sqlalchemy as sa

from milepost.errors import ConflictError, InputError, SchemaError, StoreError
from store.engine import Database
from store.faults import translated
from store.schema import tables
from store.upkeep.numbering import highest_given
from store.upkeep.restore import mark

WAIT_SECONDS = 5.0  # for a command that is about to end, when a database is replaced


def backup(database: Database, target: Path) -> int:
    """Write the database as it is now into the new file `target`; returns its size in bytes.

    Raises ConflictError when the file exists, StoreError when it can't be written or the database is no SQLite file.
    """
    file = _file(database)
    if target.exists():
        raise ConflictError("there is a file of that name", where=str(target), hint="Choose another name.")
    with _beside(target) as unfinished:
        _copy(file, unfinished, named=target)
        _require_whole(unfinished)
        _to_disk(unfinished)
        unfinished.rename(target)
    return target.stat().st_size


def restore(source: Path, url: str, *, replace: bool = False, wait_seconds: float = WAIT_SECONDS) -> None:
    """Put the backup `source` in the place of the database at `url`; it then waits for `confirm_restore` to send.

    Raises InputError when `source` is no backup of Milepost, ConflictError when there is a database and not `replace`,
    or when somebody has it open, StoreError when it can't be written. Until the end, what was there stays.
    """
    target = Database(url)
    file = _file(target)
    if file.exists() and not replace:
        raise ConflictError(
            "there is a database already", where=target.where, hint="Make a backup of it, then restore with --replace."
        )
    if not source.is_file():
        raise InputError("there is no such file", where=str(source), hint="Check the path of the backup.")
    file.parent.mkdir(parents=True, exist_ok=True)
    with _beside(file) as unfinished:
        _copy(source, unfinished, named=file)
        _require_milepost(unfinished, source)
        _require_whole(unfinished)
        _mark(unfinished, source, _given(file) if file.exists() else {})
        # Marked before it gets there: no dispatcher can see it without the mark.
        if file.exists():
            with _alone(file, wait_seconds) as database:
                _copy(unfinished, file, named=file, into=database)
        else:
            _to_disk(unfinished)
            unfinished.rename(file)


def _file(database: Database) -> Path:
    if database.file is None:
        raise StoreError(
            "backups are for SQLite files", where=database.where, hint="For PostgreSQL use pg_dump and pg_restore."
        )
    return database.file


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A temporary file in the folder of `target`, readable by us alone, gone afterwards whatever happens."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise StoreError(
            f"can't be written: {error.strerror}", where=str(target), hint="Check the folder, its owner and mode."
        ) from None
    os.close(handle)
    file = Path(name)
    try:
        yield file
    finally:
        for leftover in (file, Path(f"{name}-wal"), Path(f"{name}-shm"), Path(f"{name}-journal")):
            leftover.unlink(missing_ok=True)


def _copy(source: Path, target: Path, *, named: Path, into: sqlite3.Connection | None = None) -> None:
    """All pages in one step: one moment of the source, whose writers go on meanwhile; all or nothing in the target.

    `named`: what the target will be called. `into`: a connection to it that is open already.
    """
    with (
        translated(str(named)),
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as old,
        closing(sqlite3.connect(target)) if into is None else nullcontext(into) as new,
    ):
        old.backup(new, pages=-1)


@contextmanager
def _alone(file: Path, wait_seconds: float) -> Iterator[sqlite3.Connection]:
    """A connection beside which nobody has the file open: who had would go on with what is there no more.

    Whoever has a database in WAL mode open holds a lock on its file, idle or not, and the kernel takes it back when
    they end, however that is (https://www.sqlite.org/pragma.html#pragma_locking_mode). Raises ConflictError.
    """
    with closing(sqlite3.connect(file, timeout=wait_seconds, isolation_level=None)) as connection:
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_BUSY) & 0xFF not in (
                sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED,
            ):
                raise StoreError(f"can't be taken: {error}", where=str(file)) from None
            raise ConflictError(
                "somebody has the database open: `milepost up`, `web serve`, a schedule, a look or a dispatch",
                where=str(file), hint="Stop them all (`systemctl stop milepost`), then restore.",
            ) from None
        except sqlite3.DatabaseError:  # damaged: why it is replaced
            pass
        yield connection


def _require_milepost(file: Path, source: Path) -> None:
    with translated(str(source)), closing(sqlite3.connect(file)) as connection:
        found = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        if not {"alembic_version", "meta", "delivery"} <= found:
            raise InputError("is not a backup of Milepost", where=str(source), hint="Check the path of the backup.")
        revision = int(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])
    if revision > tables.HEAD:
        raise SchemaError("was made by a newer Milepost", where=str(source), hint="Upgrade Milepost.")


def _require_whole(file: Path) -> None:
    with translated(str(file)), closing(sqlite3.connect(file)) as connection:
        said = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if said != "ok":
        raise StoreError(f"the copy is damaged: {said}", where=str(file), hint="Run `milepost db check`.")


def _given(file: Path) -> dict[str, int]:
    """The highest ids that the database to be replaced has given; none of one that can't be read."""
    engine = sa.create_engine(f"sqlite:///{file}", poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            return highest_given(connection)
    except sa.exc.DatabaseError:  # damaged: why it is replaced
        return {}


def _mark(file: Path, source: Path, given: dict[str, int]) -> None:
    engine = sa.create_engine(f"sqlite:///{file}", poolclass=sa.NullPool)
    with translated(str(file)), engine.begin() as connection:
        mark(connection, str(source), given)


def _to_disk(file: Path) -> None:
    with file.open("rb") as handle:
        os.fsync(handle.fileno())
