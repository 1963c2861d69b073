"""Databases to test on: a SQLite file, and a PostgreSQL server of our own where one can be started."""

import datetime as dt
import functools
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from milepost.dates import PartialDate
from milepost.records import (
    NOBODY,
    Change,
    IssueItem,
    Milestone,
    Placement,
    Snapshot,
    Standing,
    Subscriber,
    Validators,
    Variant,
)
from store.archive.snapshots import Snapshots
from store.database import Database, connect, upgrade
from store.issues.issues import Issues
from store.ledger.ledger import Ledger
from store.milestones.looks import Looks
from store.milestones.milestones import Milestones
from store.schema import tables
from store.subscribers.addresses import parse
from store.subscribers.events import By
from store.subscribers.importing import Entry
from store.subscribers.people import Subscribers
from tests.made_once import alone, made_once
from tests.new_database import new_database
from tests.store import postgresql

NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)


@pytest.fixture(scope="session")
def postgresql_server() -> str:
    """The URL of the run's PostgreSQL server; see tests.store.postgresql for which."""
    pytest.importorskip("psycopg")
    try:
        return postgresql.shared()
    except postgresql.NoServerError as error:
        pytest.skip(f"no PostgreSQL: {error}")


@pytest.fixture(scope="session")
def postgresql_shared(postgresql_server: str) -> Iterator[Database]:
    """A PostgreSQL database with all tables, opened once; `url` empties it before each test."""
    name = f"shared_{uuid.uuid4().hex[:12]}"
    if postgresql.is_ours():
        made_once("postgresql-migrated", lambda _: _migrated(postgresql_server, _MIGRATED))
        with alone("postgresql-migrated"):
            _postgresql_run(postgresql_server, f"CREATE DATABASE {name} TEMPLATE {_MIGRATED}")
    else:
        _migrated(postgresql_server, name)
    with connect(_named(postgresql_server, name)) as database:
        yield database
    _postgresql_run(postgresql_server, f"DROP DATABASE {name} WITH (FORCE)")


_MIGRATED = "migrated"


def _migrated(server: str, name: str) -> None:
    """Make the database of that name, with all tables and nothing in them."""
    _postgresql_run(server, f"CREATE DATABASE {name}")
    upgrade(_named(server, name))


@pytest.fixture(scope="session")
def sqlite_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """The same in a SQLite file."""
    with connect(new_database(f"sqlite:///{tmp_path_factory.mktemp('shared')}/milepost.db")) as database:
        yield database


def _empty(database: Database) -> None:
    """Empty every table and start its numbers anew: quicker than a new database, with its statements compiled."""
    with database.begin() as connection:
        for statement in _emptying(database.dialect):
            connection.exec_driver_sql(statement)
    database.keys.clear()  # which never change in a database that is not emptied


@functools.cache
def _emptying(dialect: str) -> tuple[str, ...]:
    """The statements; PostgreSQL takes them all at once."""
    statements = [f"DELETE FROM {tables.SEARCH}"]  # noqa: S608 (a name of our own)
    for table in reversed(tables.metadata.sorted_tables):
        statements.append(f'DELETE FROM "{table.name}"')  # noqa: S608 (a name of our own)
        if (key := table.autoincrement_column) is not None and dialect == "postgresql":
            statements.append(f"PERFORM setval(pg_get_serial_sequence('{table.name}', '{key.name}'), 1, false)")
    if dialect == "sqlite":
        statements.append("DELETE FROM sqlite_sequence")
    statements.append(f"UPDATE alembic_version SET version_num = '{tables.HEAD:04d}'")  # noqa: S608 (a test may have changed it)
    return tuple(statements) if dialect == "sqlite" else (f"DO $$ BEGIN {'; '.join(statements)}; END $$",)


def _named(server: str, name: str) -> str:
    return sa.make_url(server).set(database=name).render_as_string(hide_password=False)


def _postgresql_run(server: str, statement: str) -> None:
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables, on either engine."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.db"
        return
    yield request.getfixturevalue("postgresql_empty")


@pytest.fixture
def postgresql_empty(postgresql_server: str) -> Iterator[str]:
    """A PostgreSQL database without tables."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    _postgresql_run(postgresql_server, f"CREATE DATABASE {name}")
    yield _named(postgresql_server, name)
    _postgresql_run(postgresql_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    """An open database with all tables and nothing in them, on either engine."""
    shared: Database = request.getfixturevalue(f"{request.param}_shared")
    _empty(shared)
    return shared


@pytest.fixture
def url(database: Database) -> str:
    """The address of `database`, for whoever wants to open it too."""
    return database.url.render_as_string(hide_password=False)


@pytest.fixture
def sqlite_database(tmp_path: Path) -> Iterator[Database]:
    """For what only SQLite does."""
    with connect(new_database(f"sqlite:///{tmp_path}/only.db"), wait_seconds=0.2) as opened:
        yield opened


@pytest.fixture
def now() -> dt.datetime:
    return NOW


# --- material ---------------------------------------------------------------------------------------------------------


def make_milestone(key: str, **fields: object) -> Milestone:
    values: dict[str, object] = {
        "source": "site", "key": key, "url": f"https://site.example/m/{key}", "title": f"Title of {key}",
        "date": PartialDate(value="2012"), "category": "research", "people": ("Ada Invented",),
        "organizations": ("Made-up Labs",), "what_happened": "It happened — really.", "extractor": "site/1",
    }
    return Milestone(**(values | fields))  # type: ignore[arg-type]


def make_snapshot(
    url: str = "https://site.example/m/one", body: bytes = b"<html>one</html>", **fields: object
) -> Snapshot:
    values: dict[str, object] = {
        "source": "site", "url": url, "final_url": url, "status": 200, "headers": {"content-type": "text/html"},
        "body": body, "fetched_at": NOW,
    }
    return Snapshot(**(values | fields))  # type: ignore[arg-type]


def added(record: Milestone) -> Change:
    return Change(source=record.source, key=record.key, kind="added")


def everybody(who: Subscriber, suppressed: bool, _: Standing = NOBODY) -> Placement:
    """A placement rule: whoever is active and not suppressed."""
    if suppressed:
        return Placement(exclusion="suppressed")
    return Placement(variant="all") if who.state == "active" else Placement(exclusion=who.state)


VARIANT = Variant(name="all", subject="News", html="<p>News @@LINK@@</p>", text="News @@LINK@@", placeholder="@@LINK@@")


class World:
    """A database and short ways to bring it into the state that a test starts from."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.looks = Looks(database)
        self.snapshots = Snapshots(database)
        self.milestones = Milestones(database)
        self.issues = Issues(database)
        self.subscribers = Subscribers(database)
        self.ledger = Ledger(database)

    def look(
        self, *records: Milestone, announce: bool = True, held: bool | str = False, state: str = "complete"
    ) -> int:
        """One whole look that found these records to be new."""
        look_id = self.looks.start("site", NOW)
        self.milestones.apply(
            look_id, "site", [(added(record), record, None) for record in records], announce=announce, held=held,
            now=NOW,
        )
        self.looks.finish(look_id, state=state, now=NOW, milestones=self.milestones.count("site"))  # type: ignore[arg-type]
        return look_id

    def baseline(self) -> int:
        """A baseline of one milestone."""
        return self.look(make_milestone("base"), announce=False)

    def items(self, *keys: str, cadence: str = "instant") -> list[IssueItem]:
        """Unannounced milestones as the items of an issue."""
        return [
            IssueItem(
                change_id=change.id, milestone_id=stored.id, version_id=stored.version_id, role="news",
                milestone=stored.milestone, first_seen_at=stored.first_seen_at,
            )
            for change, stored in self.issues.unannounced(cadence)  # type: ignore[arg-type]
            if not keys or change.change.key in keys
        ]

    def readers(self, count: int) -> None:
        """So many more subscribers at once."""
        entries = [
            Entry(line=index, address=parse(f"bulk{index}@example.org"), standing="active", cadence="instant")
            for index in range(count)
        ]
        self.subscribers.import_(entries, now=NOW, by=By(who="test", why="a list"))

    def frozen(self, readers: int = 3, place: Callable[[Subscriber, bool, Standing], Placement] = everybody) -> int:
        """An issue with one piece of news, frozen for so many readers."""
        number = self.drafted(readers)
        self.ledger.freeze(number, content_hash="c0ffee", place=place, now=NOW)
        return number

    def drafted(self, readers: int) -> int:
        """An issue with one piece of news, and so many readers."""
        self.baseline()
        self.look(make_milestone("news"))
        for index in range(readers):
            self.subscribers.add(f"reader{index}@example.org", now=NOW)
        return self.issues.draft(
            "instant", "c2", self.items(), [VARIANT], subject="News", content_hash="c0ffee", now=NOW
        ).number


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


@pytest.fixture
def validators() -> Validators:
    return Validators(etag='"one"')
