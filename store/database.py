"""The door to the store: make or upgrade a database, open it, check it."""

from pathlib import Path

import sqlalchemy as sa

from milepost.errors import SchemaError, StoreError
from store.dialects import serialize
from store.engine import WAIT_SECONDS, Database
from store.milestones import search
from store.schema import tables
from store.upkeep import check as soundness
from store.upkeep.restore import notice_move

__all__ = ["Database", "check", "connect", "has_tables", "make", "revision", "upgrade"]

MIGRATIONS = Path(__file__).parent / "migrations"
_UPGRADE = "Run `milepost db upgrade`."


def connect(url: str, *, wait_seconds: float = WAIT_SECONDS) -> Database:
    """Open a database of this program's version.

    Raises SchemaError when it has no tables, older ones or newer ones, StoreError when it can't be opened.
    """
    database = Database(url, wait_seconds=wait_seconds)
    try:
        _refuse_other_versions(database)
    except BaseException:
        database.close()
        raise
    return database


def has_tables(url: str) -> bool:
    """Whether somebody has made the database, of whatever version; raises StoreError when it can't be asked."""
    with Database(url) as database:
        if database.file is not None and not database.file.exists():
            return False
        with database.connect() as connection:
            return revision(connection) is not None


def _refuse_other_versions(database: Database) -> None:
    if database.file is not None and not database.file.exists():
        raise SchemaError("there is no database yet", where=database.where, hint=_UPGRADE)
    with database.connect() as connection:
        found = revision(connection)
    if found is None:
        raise SchemaError("the database has no tables yet", where=database.where, hint=_UPGRADE)
    _refuse_newer(found, database)
    if found < tables.HEAD:
        raise SchemaError(
            f"the database is of revision {found:04d}, this program needs {tables.HEAD:04d}",
            where=database.where, hint=f"Make a backup. {_UPGRADE}",
        )


def revision(connection: sa.Connection) -> int | None:
    """The number of the revision the database is at, None before the first."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else int(found)


def upgrade(url: str, *, to: str = "head") -> str:
    """Bring a database to this program's revision, making its file and folder first; returns the revision ("0001").

    One transaction: killed in the middle, it has changed nothing and can be run again. Raises SchemaError when a
    newer Milepost made the database, StoreError when it can't be opened or written.
    """
    return _upgraded(url, to)[1]


def make(url: str) -> bool:
    """As `upgrade`; whether there was none before. Of several that make it at once, one did."""
    return _upgraded(url, "head")[0] is None


def _upgraded(url: str, to: str) -> tuple[int | None, str]:
    """The revision before, None where there was no database, and after."""
    from alembic import command  # takes its time and 8 MB, and is for those who make or upgrade one
    from alembic.config import Config

    database = Database(url, foreign_keys=False)
    try:
        if database.file is not None:
            _make_file(database.file)
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        with database.begin() as connection:
            serialize(connection, "upgrade")
            before = revision(connection)
            _refuse_newer(before or 0, database)
            config.attributes["connection"] = connection
            command.upgrade(config, to)
            _require_keys(connection, database)
            found = revision(connection) or 0
            if found == tables.HEAD and not search.is_whole(connection):
                search.reindex(connection)
            if found == tables.HEAD:
                notice_move(connection)
            return before, f"{found:04d}"
    finally:
        database.close()


def _require_keys(connection: sa.Connection, database: Database) -> None:
    """What SQLite did not check while tables were made anew."""
    if database.dialect == "sqlite" and (orphan := connection.exec_driver_sql("PRAGMA foreign_key_check").first()):
        raise StoreError(
            f"row {orphan[1]} of {orphan[0]} points to a row of {orphan[2]} that is missing; nothing was changed",
            where=database.where, hint="Run `milepost db check` with the version that made it.",
        )


def _refuse_newer(found: int, database: Database) -> None:
    if found > tables.HEAD:
        raise SchemaError(
            f"the database was made by a newer Milepost (revision {found:04d}, this one knows {tables.HEAD:04d})",
            where=database.where, hint="Upgrade Milepost.",
        )


def _make_file(file: Path) -> None:
    """A new file is for its owner alone: people's addresses are in it."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            file.touch(mode=0o600)
    except OSError as error:
        raise StoreError(
            f"the database can't be made: {error.strerror}", where=str(file), hint="Check the path in [store] url."
        ) from None


def check(database: Database | str, *, sample: int | None = soundness.SAMPLE) -> list[str]:
    """One sentence for each thing that is wrong with a database, [] when nothing is; see `store.upkeep.check`.

    Raises SchemaError when there is none of this program's version, StoreError when it can't be opened.
    """
    if isinstance(database, Database):
        return soundness.check(database, sample=sample)
    with connect(database) as opened:
        return soundness.check(opened, sample=sample)
