"""Behind a pooler that hands a session on after each transaction, nothing is lost, mixed up or left behind."""

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from milepost.errors import BusyError, MilepostError
from store.database import connect, upgrade
from store.engine import Database
from store.ledger.ledger import Ledger
from store.subscribers.people import Subscribers
from tests.store.conftest import NOW
from tests.store.transaction_pooler import pooled


@pytest.fixture
def direct(postgresql_shared: Database) -> str:
    url = postgresql_shared.url.render_as_string(hide_password=False)
    if "host" not in postgresql_shared.url.query:
        pytest.skip("the server that was given is not reached by a Unix socket")
    upgrade(url)
    return url


@pytest.fixture
def behind(direct: str, tmp_path: Path) -> Iterator[str]:
    with pooled(direct, tmp_path, sessions=2) as url:
        yield url


def test_many_at_once_share_few_sessions(behind: str) -> None:
    """Each statement comes more often than a driver needs to prepare it, in whichever session is free."""
    came_to: Counter[str] = Counter()

    def work(number: int) -> None:
        try:
            with connect(behind) as database:
                people = Subscribers(database)
                for each in range(20):
                    people.add(f"pooled-{number}-{each}@readers.example", cadence="weekly", now=NOW)
                    assert people.find(f"pooled-{number}-{each}@readers.example") is not None
                    came_to["added"] += 1
        except (MilepostError, sa.exc.DBAPIError) as error:
            came_to[str(error)] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert came_to == {"added": 100}


def test_each_transaction_says_what_a_session_would_keep_and_leaves_nothing(behind: str, direct: str) -> None:
    with connect(behind, wait_seconds=7) as database:
        assert database.behind_pooler()
        for opened in (database.begin, database.connect):
            with opened() as connection:
                assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "7s"
                connection.exec_driver_sql("SET LOCAL synchronous_commit = off")  # as a server may have it
        raw = database.engine.raw_connection()
        try:  # without our words before it: as the session is
            cursor = raw.cursor()
            cursor.execute("SELECT current_setting('lock_timeout'), current_setting('tcp_keepalives_idle')")
            assert cursor.fetchone() == ("0", "0")
        finally:
            raw.close()
    with connect(direct) as database:
        assert not database.behind_pooler()


def test_a_commit_waits_for_the_disk_whatever_the_server_s_habit(behind: str, direct: str) -> None:
    with sa.create_engine(direct, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool).connect() as admin:
        name = sa.make_url(direct).database
        admin.exec_driver_sql(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
        try:
            with Database(behind) as database, database.begin() as connection:
                assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        finally:
            admin.exec_driver_sql(f'ALTER DATABASE "{name}" RESET synchronous_commit')


def test_who_waits_for_a_lock_gives_up_in_time(behind: str, direct: str) -> None:
    with Database(direct) as other, other.begin() as holding:
        holding.exec_driver_sql("LOCK TABLE meta IN ACCESS EXCLUSIVE MODE")
        with (
            Database(behind, wait_seconds=0.2) as database, pytest.raises(BusyError, match="locked"),
            database.begin() as connection,
        ):
            connection.exec_driver_sql("SELECT * FROM meta").all()


def test_a_dispatch_has_no_writers_there(behind: str, direct: str) -> None:
    """They keep settings and statements in their sessions; without any each batch is a transaction like any other."""
    with connect(behind) as database, Ledger(database).writers() as writers:
        assert list(writers) == []
    with connect(direct) as database, Ledger(database).writers() as writers:
        assert all(writer.alive for writer in writers)
        assert len(writers) > 0
