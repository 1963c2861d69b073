"""Who writes waits for others for so long and no longer, and keeps nobody from reading."""

from contextlib import ExitStack
from typing import Any

import pytest
import sqlalchemy as sa

from milepost.errors import StoreError
from store.database import Database, connect
from store.meta import Meta
from store.schema import tables
from store.subscribers.people import Subscribers

POOL = 25  # connections of one kind


@pytest.fixture
def impatient(url: str) -> Any:
    """The same database, opened by somebody who waits a tenth of a second."""
    with connect(url, wait_seconds=0.1) as opened:
        yield opened


def test_a_writer_gives_up_and_has_changed_nothing(database: Database, impatient: Database, now: Any) -> None:
    reader, _ = Subscribers(database).add("reader@readers.example", now=now)
    with database.begin() as connection:
        if database.dialect == "postgresql":
            connection.execute(sa.text("LOCK TABLE subscriber IN EXCLUSIVE MODE"))
        with pytest.raises(StoreError, match="locked by another program"):
            Subscribers(impatient).leave(reader.id, now)
        assert Subscribers(impatient).get(reader.id).state == reader.state  # reading waits for nobody
    assert Subscribers(impatient).leave(reader.id, now).state == "unsubscribed"


def test_readers_have_connections_of_their_own(impatient: Database) -> None:
    Meta(impatient).set("a", "1")
    with ExitStack() as held:
        for _ in range(1 if impatient.dialect == "sqlite" else POOL):
            held.enter_context(impatient.engine.connect())
        with pytest.raises(StoreError, match="every connection to the database is in use"):
            Meta(impatient).set("a", "2")
        assert Meta(impatient).get("a") == "1"
    Meta(impatient).set("a", "2")
    assert Meta(impatient).get("a") == "2"


def test_too_many_readers_hear_so_in_a_sentence(impatient: Database) -> None:
    with ExitStack() as held:
        for _ in range(POOL):
            held.enter_context(impatient.connect())
        with pytest.raises(StoreError, match="every connection to the database is in use"):
            Meta(impatient).get("a")
        Meta(impatient).set("a", "1")
    assert Meta(impatient).get("a") == "1"


def test_who_reads_cannot_write(database: Database) -> None:
    with pytest.raises(StoreError, match="can't be written to"), database.connect() as connection:
        connection.execute(sa.insert(tables.meta).values(key="a", value="1"))
    assert Meta(database).get("a") is None
