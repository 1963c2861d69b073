"""Opening, making and upgrading a database, and what is said when that can't be done."""

import datetime as dt
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from milepost.errors import BusyError, ConflictError, SchemaError, StoreError
from store import database as door
from store import engine
from store.database import Database, check, connect, upgrade
from store.faults import translate
from store.meta import Meta
from store.milestones.looks import Looks
from store.schema import tables
from tests.store.conftest import _empty


def test_upgrade_makes_what_the_metadata_says(empty_url: str) -> None:
    assert upgrade(empty_url) == f"{tables.HEAD:04d}"
    with connect(empty_url) as database, database.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True, "include_name": tables.in_metadata}
        if database.dialect == "postgresql":  # an index of SQLite's alone
            options["include_object"] = lambda _, name, *rest: name != "ix_subscriber_kind"  # noqa: ARG005 (Alembic's form)
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, tables.metadata) == []


def test_upgrading_twice_changes_nothing(empty_url: str) -> None:
    assert upgrade(empty_url) == upgrade(empty_url)


def test_head_is_the_last_migration() -> None:
    script = ScriptDirectory(str(door.MIGRATIONS))
    assert script.get_heads() == [f"{tables.HEAD:04d}"]


def test_a_new_file_gets_its_folder(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path}/new/folder/milepost.db")
    assert stat.S_IMODE((tmp_path / "new/folder/milepost.db").stat().st_mode) == 0o600


def test_a_database_without_tables_is_refused(empty_url: str) -> None:
    if empty_url.startswith("sqlite"):
        sqlite3.connect(empty_url.removeprefix("sqlite:///")).close()
        Path(empty_url.removeprefix("sqlite:///")).touch()
    with pytest.raises(SchemaError, match=r"no tables yet.*Run `milepost db upgrade`"):
        connect(empty_url)


def test_a_missing_file_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"there is no database yet.*Run `milepost db upgrade`"):
        connect(f"sqlite:///{tmp_path}/none.db")
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    ("found", "message"),
    [
        pytest.param("0000", r"revision 0000, this program needs .*Run `milepost db upgrade`", id="older"),
        pytest.param("0999", "made by a newer Milepost.*Upgrade Milepost", id="newer"),
    ],
)
def test_another_revision_is_refused(url: str, found: str, message: str) -> None:
    with connect(url) as database, database.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :found"), {"found": found})
    with pytest.raises(SchemaError, match=message):
        connect(url)


def test_upgrade_refuses_a_newer_database(url: str) -> None:
    with connect(url) as database, database.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0999'"))
    with pytest.raises(SchemaError, match="newer Milepost"):
        upgrade(url)


@pytest.mark.parametrize(
    "url",
    ["mysql://host/name", "nonsense", "sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"],
)
def test_urls_that_are_no_store(url: str) -> None:
    with pytest.raises(StoreError, match="Want sqlite:///FILE"):
        connect(url)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_always_means_psycopg(scheme: str) -> None:
    assert Database(f"{scheme}://me@127.0.0.1/x").url.drivername == "postgresql+psycopg"


def test_a_password_is_not_shown() -> None:
    assert "secret" not in Database("postgresql://me:secret@127.0.0.1/x").where


# --- what the disk, a lock or the network did -------------------------------------------------------------------------


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "letter.db").write_bytes(b"Dear reader, " * 1000)
    with pytest.raises(StoreError, match="not a database"):
        connect(f"sqlite:///{tmp_path}/letter.db")


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="can't be made"):
        upgrade(f"sqlite:///{tmp_path}/file/milepost.db")


def test_a_path_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="can't be opened"):
        connect(f"sqlite:///{tmp_path}")


def test_a_full_disk(sqlite_database: Database) -> None:
    with sqlite_database.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE filler (data BLOB)")

    def fill() -> None:
        with sqlite_database.begin() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 1}")
            for _ in range(100):
                connection.exec_driver_sql("INSERT INTO filler VALUES (zeroblob(4000))")

    with pytest.raises(StoreError, match=r"the disk is full.*nothing was half written"):
        fill()
    with sqlite_database.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM filler").scalar_one() == 0


def test_a_locked_database(sqlite_database: Database) -> None:
    with (
        Database(sqlite_database.url.render_as_string(), wait_seconds=0.1) as other,
        sqlite_database.begin(),
        pytest.raises(BusyError, match="locked by another program"),
        other.begin(),
    ):
        pass


def test_writers_of_one_program_stand_in_one_line(sqlite_database: Database) -> None:
    """The lock of SQLite is polled, and the unlucky starve; the pool wakes whoever waits."""
    with (
        sqlite_database.begin(),
        pytest.raises(BusyError, match="every connection to the database is in use"),
        sqlite_database.begin(),
    ):
        pass
    with sqlite_database.begin():
        pass


def test_a_reader_does_not_wait_for_a_writer(sqlite_database: Database) -> None:
    meta = Meta(sqlite_database)
    meta.set("a", "old")
    with sqlite_database.begin() as connection:
        connection.exec_driver_sql("UPDATE meta SET value = 'new' WHERE key = 'a'")
        assert meta.get("a") == "old"
    assert meta.get("a") == "new"


def test_a_read_only_database(sqlite_database: Database) -> None:
    with sqlite_database.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")
        with pytest.raises(sa.exc.OperationalError) as caught:
            connection.exec_driver_sql("DELETE FROM meta")
    assert caught.value.orig is not None
    assert "can't be written to" in str(translate(caught.value, "x"))


def test_no_postgresql_there() -> None:
    with pytest.raises(StoreError, match="can't be reached"):
        connect("postgresql://me@127.0.0.1:1/x")


def test_no_such_postgresql_database(postgresql_server: str) -> None:
    url = sa.make_url(postgresql_server).set(database="nowhere").render_as_string(hide_password=False)
    with pytest.raises(StoreError, match=r'be reached.*"nowhere" does not exist'):
        connect(url)


def test_what_a_long_reader_kept_in_the_wal_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "WAL_BYTES", 100_000)
    file = tmp_path / "any.db"
    wal = Path(f"{file}-wal")

    def write(size: int) -> None:
        with database.begin() as connection:
            connection.exec_driver_sql("INSERT INTO t VALUES (zeroblob(?))", (size,))

    with Database(f"sqlite:///{file}") as database:
        with database.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE t (x)")
        with database.connect() as reader:
            reader.exec_driver_sql("SELECT * FROM t").all()
            write(6_000_000)  # beyond where SQLite tries to bring it into the database
            write(1)
            assert wal.stat().st_size > 5_000_000
        for _ in range(3):  # the first brings it into the database, the next begins it anew
            write(1)
        assert wal.stat().st_size <= 100_000


def test_a_session_that_is_one_too_many_is_told_so(postgresql_shared: Database) -> None:
    """The server runs, and its address is right: neither is what has to be mended."""
    as_admin = sa.create_engine(postgresql_shared.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with as_admin.connect() as admin:
        admin.exec_driver_sql("CREATE ROLE few LOGIN CONNECTION LIMIT 1")
        try:
            few = postgresql_shared.url.set(username="few").render_as_string(hide_password=False)
            with (
                Database(few) as first, first.connect(), Database(few) as second,
                pytest.raises(StoreError, match=r"no connection left\. Raise max_connections or run fewer"),
                second.connect(),
            ):
                pass
        finally:
            admin.exec_driver_sql("DROP ROLE few")


@pytest.mark.parametrize("said", [
    "FATAL:  sorry, too many clients already", "FATAL:  no more connections allowed (max_client_conn)",
    "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
])
def test_servers_and_poolers_that_have_no_session_left_are_understood(said: str) -> None:
    error = psycopg.OperationalError(f"connection failed: connection to server at 127.0.0.1 failed: {said}")
    told = translate(sa.exc.OperationalError("", {}, error), "here")
    assert str(told).startswith("here: the database has no connection left")
    waited = psycopg.errors.ProtocolViolation("query_wait_timeout")  # as PgBouncer says in a transaction
    told = translate(sa.exc.OperationalError("", {}, waited), "here")
    assert str(told).startswith("here: the database has no connection left")


def test_neither_end_of_a_connection_waits_for_hours(postgresql_shared: Database) -> None:
    """What the client asks of TCP, by its own words in the address where there are some."""
    _empty(postgresql_shared)  # another test may have left it at another revision
    patient = postgresql_shared.url.update_query_dict({"keepalives_idle": "60"}).render_as_string(hide_password=False)
    for url, idle in ((postgresql_shared.url.render_as_string(hide_password=False), "15"), (patient, "60")):
        with connect(url) as database, database.connect() as connection:
            asked = connection.connection.driver_connection.info.get_parameters()  # type: ignore[union-attr]
            assert (asked["keepalives_idle"], asked["keepalives_count"]) == (idle, "3")
            assert asked["tcp_user_timeout"] == "30000"


def test_postgresql_cuts_the_connection(postgresql_shared: Database) -> None:
    """F13: the step fails with a sentence, the next one works."""

    def cut() -> None:
        with postgresql_shared.begin() as connection:
            connection.execute(sa.insert(tables.meta).values(key="lost", value="1"))
            own = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
            with postgresql_shared.begin() as other:
                other.execute(sa.text("SELECT pg_terminate_backend(:own)"), {"own": own})

    with pytest.raises(StoreError, match=r"shut down|can't be reached"):
        cut()
    assert Meta(postgresql_shared).get("lost") is None


def test_a_bug_is_not_hidden(database: Database) -> None:
    with pytest.raises(sa.exc.DBAPIError), database.begin() as connection:
        connection.execute(sa.text("SELECT * FROM no_such_table"))


def test_the_same_row_twice_is_a_conflict(database: Database) -> None:
    with pytest.raises(ConflictError, match="somebody else wrote the same"), database.begin() as connection:
        connection.execute(sa.insert(tables.meta), [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}])


def test_an_exception_rolls_back(database: Database) -> None:
    def fail() -> None:
        with database.begin() as connection:
            connection.execute(sa.insert(tables.meta).values(key="a", value="1"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert Meta(database).get("a") is None


@pytest.mark.usefixtures("waits_for_the_disk")
def test_sqlite_is_durable_and_keeps_its_keys(sqlite_database: Database) -> None:
    with sqlite_database.connect() as connection:
        said = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    assert said == ["wal", 2, 1, 200]


# --- columns, keys, check ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "moment",
    [
        dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC),
        dt.datetime(2026, 11, 23, 9, 0, 0, 123456, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=45))),
        dt.datetime(1957, 10, 4, tzinfo=dt.UTC),
    ],
    ids=["whole", "offset", "old"],
)
def test_moments_come_back_in_utc(database: Database, moment: dt.datetime) -> None:
    looks = Looks(database)
    found = looks.get(looks.start("site", moment)).started_at
    assert found == moment
    assert found.utcoffset() == dt.timedelta(0)


def test_a_naive_moment_is_refused(database: Database) -> None:
    with pytest.raises(sa.exc.StatementError, match="naive datetime"):
        Looks(database).start("site", dt.datetime(2026, 1, 1))  # noqa: DTZ001 (the point)


def test_secret_keys_are_made_once_and_differ(database: Database) -> None:
    key = Meta(database).signing_key()
    assert len(key) == 32
    assert Meta(database).signing_key() == key
    assert Meta(database).address_key() != key


def test_a_sound_database_has_no_findings(url: str) -> None:
    assert check(url) == []


def test_importing_the_package_is_light() -> None:
    code = "import sys, store; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_the_files_of_migrations_are_in_the_package() -> None:
    assert {"env.py", "script.py.mako"} <= {file.name for file in door.MIGRATIONS.iterdir()}
    assert stat.S_ISDIR((door.MIGRATIONS / "versions").stat().st_mode)
