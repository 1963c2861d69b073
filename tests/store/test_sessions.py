"""Sessions of a server are kept between uses: one that it ended is replaced unnoticed, and none is asked needlessly."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
import sqlalchemy as sa

from store import engine
from store.database import Database, connect

USES: dict[str, Callable[[Database], Callable[[], AbstractContextManager[sa.Connection]]]] = {
    "to write": lambda database: database.begin,
    "to read": lambda database: database.connect,
    "to ask": lambda database: database.questions,
}


@pytest.fixture
def database(postgresql_shared: Database) -> Iterator[Database]:
    with connect(postgresql_shared.url.render_as_string(hide_password=False)) as own:
        yield own


def session_of(way: Callable[[], AbstractContextManager[sa.Connection]]) -> int:
    """The server's number of the session that a use has."""
    with way() as connection:
        return int(connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one())


@pytest.mark.parametrize("use", USES)
def test_a_session_that_the_server_ended_is_replaced_before_anything_is_asked_of_it(
    database: Database, postgresql_shared: Database, use: str
) -> None:
    way = USES[use](database)
    before = session_of(way)
    assert session_of(way) == before
    with postgresql_shared.begin() as connection:
        ended = sa.text("SELECT pg_terminate_backend(:session, 5000)")  # returns once it is gone
        assert connection.execute(ended, {"session": before}).scalar_one()
    assert session_of(way) != before


@pytest.mark.parametrize("use", USES)
def test_only_a_session_that_was_idle_for_long_is_asked_whether_it_is_there(
    database: Database, monkeypatch: pytest.MonkeyPatch, use: str
) -> None:
    asked: list[object] = []
    for pool in (database.engine, database._readers):
        monkeypatch.setattr(pool.dialect, "do_ping", asked.append)
    way = USES[use](database)
    for _ in range(3):
        session_of(way)
    assert asked == []
    monkeypatch.setattr(engine, "QUIET_S", 0.0)
    session_of(way)
    assert len(asked) == 1


def test_a_question_on_a_server_is_one_statement_and_no_transaction(database: Database) -> None:
    said: list[str] = []
    for name in ("commit", "rollback"):
        sa.event.listen(database._readers, name, lambda _, name=name: said.append(name))
    with database.questions() as connection:
        assert connection.execute(sa.text("SELECT 1")).scalar_one() == 1
        driver = connection.connection.driver_connection
        assert driver is not None
        assert driver.info.transaction_status.name == "IDLE"
    with database.connect() as connection:  # the same session, as it was
        connection.execute(sa.text("SELECT 1"))
        assert connection.execute(sa.text("SHOW transaction_isolation")).scalar_one() == "repeatable read"
