"""Backups while the database is in use, putting one back, and moving between engines: nothing is sent twice after."""

import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from milepost.errors import ConflictError, HeldError, InputError, SchemaError, StoreError
from milepost.records import Reply
from store.archive.snapshots import Snapshots
from store.database import Database, check, connect, upgrade
from store.meta import Meta
from store.milestones.search import Search
from store.schema import tables
from store.upkeep.backup import backup, restore
from store.upkeep.copy import copy
from store.upkeep.numbering import FAR
from store.upkeep.restore import confirm_restore, restored_from
from tests.hand_over import begin, settle
from tests.store.conftest import NOW, VARIANT, World, everybody, make_milestone, make_snapshot

OK = Reply(code=250, phase="dot")


@pytest.fixture
def sent(sqlite_database: Database, tmp_path: Path) -> tuple[World, Path, int]:
    """A backup was made, then one of three deliveries went out."""
    world = World(sqlite_database)
    number = world.frozen(3)
    file = tmp_path / "backup.db"
    backup(sqlite_database, file)
    (claim,) = world.ledger.claim(number, limit=1, lease_seconds=60)
    begin(world.ledger, claim)
    settle(world.ledger, claim, "sent", OK, message_id="<1@example.org>")
    return world, file, number


def test_a_backup_is_whole_and_ours_alone(sqlite_database: Database, tmp_path: Path) -> None:
    World(sqlite_database).frozen(3)
    size = backup(sqlite_database, tmp_path / "b.db")
    assert size == (tmp_path / "b.db").stat().st_size > 0
    assert stat.S_IMODE((tmp_path / "b.db").stat().st_mode) == 0o600
    assert check(f"sqlite:///{tmp_path}/b.db") == []
    assert not [file.name for file in tmp_path.iterdir() if file.name.startswith(".b.db")]


def test_a_backup_while_somebody_writes(sqlite_database: Database, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with sqlite_database.begin() as connection:  # two rows that always agree
                connection.execute(sa.text("DELETE FROM meta"))
                connection.execute(sa.insert(tables.meta), [{"key": key, "value": str(number)} for key in "ab"])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for index in range(5):
            backup(sqlite_database, tmp_path / f"{index}.db")
    finally:
        stop.set()
        writer.join()
    for index in range(5):
        with connect(f"sqlite:///{tmp_path}/{index}.db") as copied:
            assert Meta(copied).get("a") == Meta(copied).get("b")
            assert check(copied) == []


def test_a_backup_never_overwrites(sqlite_database: Database, tmp_path: Path) -> None:
    (tmp_path / "b.db").write_text("precious")
    with pytest.raises(ConflictError, match="there is a file of that name"):
        backup(sqlite_database, tmp_path / "b.db")
    with pytest.raises(StoreError, match="can't be written"):
        backup(sqlite_database, tmp_path / "no folder" / "b.db")
    assert (tmp_path / "b.db").read_text() == "precious"


def test_postgresql_has_its_own(database: Database, tmp_path: Path) -> None:
    if database.dialect == "sqlite":
        pytest.skip("about PostgreSQL")
    with pytest.raises(StoreError, match="use pg_dump"):
        backup(database, tmp_path / "b.db")


def test_a_restored_database_refuses_to_send(sent: tuple[World, Path, int], tmp_path: Path) -> None:
    """F16: the backup says that all three wait, though one has its mail."""
    _, file, number = sent
    url = f"sqlite:///{tmp_path}/new/milepost.db"
    restore(file, url)
    with connect(url) as database:
        world = World(database)
        assert restored_from(database) == str(file)
        with pytest.raises(HeldError, match=r"what was sent since then it doesn't know.*confirm-restore"):
            world.ledger.claim(number, limit=1, lease_seconds=60)
        assert confirm_restore(database, "nothing went out", NOW) == 0
        assert len(world.ledger.claim(number, limit=9, lease_seconds=60)) == 3
        with pytest.raises(ConflictError, match="nothing to confirm"):
            confirm_restore(database, "again", NOW)


def test_no_id_is_given_twice_after_a_restore(sent: tuple[World, Path, int], tmp_path: Path) -> None:
    world, file, number = sent
    lost = [world.subscribers.add(f"late{index}@example.org", now=NOW)[0].id for index in range(3)]
    for again in range(2):
        url = f"sqlite:///{tmp_path}/restored{again}.db"
        restore(file, url)
        with connect(url) as database:
            people = World(database).subscribers
            new = [people.add(f"new{again}{index}@example.org", now=NOW)[0].id for index in range(3)]
            assert not set(new) & set(lost)
            assert min(new) > FAR
            confirm_restore(database, "we looked", NOW)
            before = max(row.id for row in World(database).ledger.rows(number))
            issue = World(database).issues.draft(
                "instant", f"c9{again}", [], [VARIANT], subject="9", content_hash="9", now=NOW
            )
            World(database).ledger.freeze(issue.number, content_hash="9", place=everybody, now=NOW)
            assert min(row.id for row in World(database).ledger.rows(issue.number)) > before + FAR // 2
            file = tmp_path / f"next{again}.db"
            backup(database, file)
            lost += new


def test_the_same_backup_put_back_twice_gives_no_id_twice(sent: tuple[World, Path, int]) -> None:
    world, file, _ = sent
    url, given = f"sqlite:///{world.database.file}", []
    world.database.close()
    for again in range(3):
        restore(file, url, replace=True)
        with connect(url) as database:
            given += [World(database).subscribers.add(f"x{again}{n}@example.org", now=NOW)[0].id for n in range(3)]
    assert len(set(given)) == 9
    assert given == sorted(given)


def test_an_id_that_was_taken_back_is_not_given_again(sqlite_database: Database) -> None:
    people = World(sqlite_database).subscribers
    gone, _ = people.add("gone@example.org", now=NOW)
    with sqlite_database.begin() as connection:
        connection.execute(sa.delete(tables.subscriber))
    assert people.add("new@example.org", now=NOW)[0].id > gone.id


def test_what_may_have_been_sent_is_listed_instead(sent: tuple[World, Path, int], tmp_path: Path) -> None:
    _, file, number = sent
    url = f"sqlite:///{tmp_path}/new.db"
    restore(file, url)
    with connect(url) as database:
        ledger = World(database).ledger
        assert confirm_restore(database, "we can't tell", NOW, waiting="unknown") == 3
        assert dict(ledger.counts(number).states) == {"unknown": 3}
        assert ledger.claim(number, limit=9, lease_seconds=60) == []
        assert ledger.finish(number) == "needs_review"
        (row, *_) = ledger.rows(number)
        assert "may have been sent since" in ledger.attempts(row.id)[0].text


def test_restoring_in_place_of_a_database_in_use(sent: tuple[World, Path, int]) -> None:
    world, file, number = sent
    url = f"sqlite:///{world.database.file}"
    with pytest.raises(ConflictError, match=r"there is a database already.*--replace"):
        restore(file, url)
    assert dict(world.ledger.counts(number).states) == {"pending": 2, "sent": 1}
    with pytest.raises(ConflictError, match=r"somebody has the database open.*Stop them all"):
        restore(file, url, replace=True, wait_seconds=0)
    assert dict(world.ledger.counts(number).states) == {"pending": 2, "sent": 1}
    world.database.close()
    restore(file, url, replace=True)
    assert dict(world.ledger.counts(number).states) == {"pending": 3}
    with pytest.raises(HeldError):
        world.ledger.claim(number, limit=1, lease_seconds=60)
    assert check(world.database) == []


def test_a_begun_claim_does_not_outlive_a_restore(sent: tuple[World, Path, int], tmp_path: Path) -> None:
    world, _, number = sent
    (claim,) = world.ledger.claim(number, limit=1, lease_seconds=60)
    backup(world.database, tmp_path / "later.db")
    world.database.close()
    restore(tmp_path / "later.db", f"sqlite:///{world.database.file}", replace=True)
    with pytest.raises(HeldError):
        begin(world.ledger, claim)


@pytest.mark.parametrize("content", [b"", b"not a database" * 999], ids=["empty", "text"])
def test_what_is_no_backup(sqlite_database: Database, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.db").write_bytes(content)
    url = f"sqlite:///{sqlite_database.file}"
    with pytest.raises((InputError, StoreError), match=r"not a backup of Milepost|not a database"):
        restore(tmp_path / "b.db", url, replace=True)
    with pytest.raises(InputError, match="no such file"):
        restore(tmp_path / "none.db", url, replace=True)
    assert check(sqlite_database) == []


def test_a_backup_of_a_newer_milepost(sqlite_database: Database, tmp_path: Path) -> None:
    with sqlite_database.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0999'"))
    backup(sqlite_database, tmp_path / "b.db")
    with pytest.raises(SchemaError, match="newer Milepost"):
        restore(tmp_path / "b.db", f"sqlite:///{tmp_path}/new.db")


# --- copying --------------------------------------------------------------------------------------------------------


def fill(database: Database) -> int:
    """Something in most tables."""
    world = World(database)
    world.snapshots.add(make_snapshot(body=bytes(range(256))), "milestone", None)
    world.look(*(make_milestone(f"M-{index}_ä{chr(65 + index % 50)}") for index in range(30)), announce=False)
    number = world.frozen(4)
    claims = world.ledger.claim(number, limit=2, lease_seconds=60)
    begin(world.ledger, claims[0])
    no = Reply(code=550, enhanced="5.1.1", text="no", phase="dot")
    settle(world.ledger, claims[0], "failed", no, suppress="5.1.1")
    Meta(database).signing_key()
    return number


@pytest.fixture
def other_engine(url: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of the engine that `url` is not."""
    if not url.startswith("sqlite"):
        return f"sqlite:///{tmp_path}/other.db"
    server: str = request.getfixturevalue("postgresql_empty")
    return server


def test_everything_moves_to_the_other_engine(url: str, other_engine: str) -> None:
    with connect(url) as source:
        number = fill(source)
        before = World(source).ledger.rows(number)
        key = Meta(source).signing_key()
    copied = {table.table: table.rows for table in copy(url, other_engine)}
    assert copied["milestone"] == 32
    assert copied["delivery"] == 4
    assert copied["suppression"] == 1
    with connect(other_engine) as target:
        world = World(target)
        assert check(target) == []
        assert world.ledger.rows(number) == before
        assert Meta(target).signing_key() == key
        assert Snapshots(target).get(1).body == bytes(range(256))
        assert len(Search(target).search("title", limit=99)) == 32
        with pytest.raises(HeldError):
            world.ledger.claim(number, limit=1, lease_seconds=60)
        confirm_restore(target, "the old one is switched off", NOW)
        assert len(world.ledger.claim(number, limit=9, lease_seconds=60)) == 2
        world.look(make_milestone("after"))  # new rows are numbered after the old ones
        assert world.subscribers.add("new@example.org", now=NOW)[0].id > FAR  # none that was given since
    with connect(url) as source:
        assert restored_from(source) is None


def test_copying_into_a_database_in_use_is_refused(url: str, other_engine: str) -> None:
    with connect(url) as source:
        fill(source)
    upgrade(other_engine)
    with connect(other_engine) as target:
        World(target).subscribers.add("somebody@example.org", now=NOW)
    with pytest.raises(ConflictError, match=r"not empty: it has rows in subscriber"):
        copy(url, other_engine)


def test_a_copy_to_the_same_engine(sqlite_database: Database, tmp_path: Path) -> None:
    fill(sqlite_database)
    copied = copy(f"sqlite:///{sqlite_database.file}", f"sqlite:///{tmp_path}/copy.db")
    assert sum(table.rows for table in copied) > 80
    assert check(f"sqlite:///{tmp_path}/copy.db") == []
    assert {len(table.sha256) for table in copied} == {64}


@pytest.fixture
def moved(postgresql_empty: str) -> Iterator[tuple[str, str]]:
    """A PostgreSQL database with a baseline that was upgraded since, and the address of a copy of it."""
    upgrade(postgresql_empty)
    with connect(postgresql_empty) as database:
        World(database).baseline()
    upgrade(postgresql_empty)
    name = sa.make_url(postgresql_empty).database
    elsewhere = sa.make_url(postgresql_empty).set(database=f"{name}_b").render_as_string(hide_password=False)
    yield postgresql_empty, elsewhere
    in_server(postgresql_empty, f"DROP DATABASE IF EXISTS {name}_b WITH (FORCE)")


def in_server(url: str, statement: str) -> None:
    """Run it from a database that nobody uses."""
    server = sa.create_engine(
        sa.make_url(url).set(database="template1"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )
    with server.connect() as connection:
        connection.exec_driver_sql(statement)
    server.dispose()


def test_a_postgresql_database_that_was_put_back_elsewhere_sends_nothing(moved: tuple[str, str]) -> None:
    """Neither pg_restore nor CREATE DATABASE … TEMPLATE tells us; the next upgrade, which any start does, sees it."""
    here, elsewhere = moved
    in_server(here, f"CREATE DATABASE {sa.make_url(elsewhere).database} TEMPLATE {sa.make_url(here).database}")
    upgrade(here)
    with connect(here) as database:
        assert restored_from(database) is None
    upgrade(elsewhere)
    with connect(elsewhere) as database:
        assert restored_from(database) == "a dump, or moved"
        confirm_restore(database, "nothing was sent since", NOW)
    upgrade(elsewhere)
    with connect(elsewhere) as database:
        assert restored_from(database) is None
