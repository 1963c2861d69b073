"""Who waits for SQLite's one write lock, how it asks, and what is said of a long wait."""

import logging
import sqlite3
import threading
import time
from contextlib import closing, suppress
from typing import Any

import pytest

from milepost.errors import BusyError
from store import write_lock
from store.engine import Database
from store.ledger import batches
from store.write_lock import Turns, begin_immediate, give_way


class Lock:
    """A driver whose lock is taken so many times; it says what it was asked."""

    def __init__(self, taken: int, code: int = sqlite3.SQLITE_BUSY) -> None:
        self._taken, self._code = taken, code
        self.asked: list[str] = []

    def execute(self, statement: str) -> None:
        self.asked.append(statement)
        if statement == "BEGIN IMMEDIATE" and self.asked.count(statement) <= self._taken:
            error = sqlite3.OperationalError("no")
            error.sqlite_errorcode = self._code
            raise error


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


def test_who_finds_it_taken_asks_again_in_a_moment_however_often(slept: list[float]) -> None:
    driver: Any = Lock(500)
    begin_immediate(driver, 60)
    assert driver.asked.count("BEGIN IMMEDIATE") == 501
    assert len(slept) == 500
    assert max(slept) <= 0.002  # SQLite's own handler sleeps 100 ms between two tries by then
    assert len(set(slept)) > 100  # never in step with who commits in equal times


def test_it_is_asked_for_once_by_who_has_no_patience_and_the_rest_of_a_connection_waits_as_before(
    slept: list[float],
) -> None:
    driver: Any = Lock(1)
    with pytest.raises(sqlite3.OperationalError):
        begin_immediate(driver, 0)
    assert driver.asked == ["BEGIN IMMEDIATE"]
    driver = Lock(0)
    begin_immediate(driver, 1.5)
    assert driver.asked[-1] == "PRAGMA busy_timeout = 1500"
    assert slept == []


def test_what_is_no_lock_is_not_waited_for(slept: list[float]) -> None:
    driver: Any = Lock(1, sqlite3.SQLITE_FULL)
    with pytest.raises(sqlite3.OperationalError):
        begin_immediate(driver, 60)
    assert slept == []


def test_a_wait_inside_sqlite_counts_as_one(slept: list[float]) -> None:
    driver: Any = Lock(1, sqlite3.SQLITE_BUSY_RECOVERY)  # https://www.sqlite.org/rescode.html: the low byte is the kind
    begin_immediate(driver, 60)
    assert len(slept) == 1


def test_who_gives_way_leaves_time_to_ask_for_it_once(slept: list[float]) -> None:
    give_way()
    driver: Any = Lock(500)
    begin_immediate(driver, 60)
    assert slept[0] > max(slept[1:])


def test_of_many_transactions_each_lets_others_go_first_but_the_first(
    sqlite_database: Database, slept: list[float]
) -> None:
    parts = sqlite_database.in_turn(range(3))
    assert (next(parts), slept) == (0, [])
    assert (list(parts), len(slept)) == ([1, 2], 2)


def test_a_thread_that_waits_is_let_go_between_two_parts(sqlite_database: Database) -> None:
    """Else it goes to who had it last: SQLite's line and its lock are nobody's by right."""
    order, begun = list[object](), threading.Event()

    def wait() -> None:
        begun.set()
        with sqlite_database.begin():
            order.append("who waited")

    waiting = threading.Thread(target=wait)
    for part in sqlite_database.in_turn(range(20)):
        with sqlite_database.begin():
            if part == 0:
                waiting.start()
                begun.wait(20)
                time.sleep(0.05)  # until it waits
            order.append(part)
    waiting.join()
    assert order.index("who waited") < 15


# --- long waits -------------------------------------------------------------------------------------------------------


@pytest.fixture
def other(sqlite_database: Database) -> Any:
    """Another program, which is writing."""
    assert sqlite_database.file is not None
    with closing(sqlite3.connect(sqlite_database.file, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def test_a_write_that_waited_long_is_named_in_the_log_and_a_short_wait_is_not(
    sqlite_database: Database, other: sqlite3.Connection, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(write_lock, "LONG_S", 0.05)
    threading.Timer(0.2, other.execute, ["ROLLBACK"]).start()
    patient = Database(sqlite_database.url.render_as_string())
    with patient.begin():
        pass
    [line] = [record.getMessage() for record in caplog.records if record.name == "milepost.store"]
    assert f"{__name__}.{test_a_write_that_waited_long_is_named_in_the_log_and_a_short_wait_is_not.__name__}" in line
    assert "(1 waited 0.05 s or more" in line
    monkeypatch.setattr(write_lock, "LONG_S", 1.0)
    with patient, patient.begin():
        pass
    assert patient.turns.long == 1
    assert patient.turns.longest >= 0.05
    assert [record.getMessage() for record in caplog.records if record.name == "milepost.store"] == [line]


@pytest.mark.usefixtures("other")
def test_a_wait_in_vain_is_told_of_too(
    sqlite_database: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_lock, "LONG_S", 0.05)
    with Database(sqlite_database.url.render_as_string(), wait_seconds=0.2) as impatient:
        with pytest.raises(BusyError, match="locked by another program"), impatient.begin():
            pass
        with pytest.raises(BusyError), batches.transaction(impatient):  # the way of deliveries' steps
            pass
        assert impatient.turns.long == 2
    assert caplog.text.count("a write waited") == 2
    assert caplog.text.count(f"{__name__}.test_a_wait_in_vain") == 2


def test_the_line_inside_a_program_is_a_wait_as_well(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_lock, "LONG_S", 0.05)
    with Database(sqlite_database.url.render_as_string(), wait_seconds=0.2) as crowded, crowded.begin():
        with pytest.raises(BusyError, match="every connection"), crowded.begin():
            pass
        assert crowded.turns.long == 1


def test_what_goes_wrong_in_a_write_is_no_wait(sqlite_database: Database) -> None:
    with suppress(ZeroDivisionError), sqlite_database.begin():
        raise ZeroDivisionError
    with sqlite_database.begin():  # the connection is free again
        pass
    assert sqlite_database.turns.long == 0


def test_the_longest_is_kept_of_all_that_waited(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    moments = iter([0, 0.5, 10, 13, 20, 22])
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    turns = Turns()
    with caplog.at_level(logging.WARNING, "milepost.store"):
        for _ in range(3):
            with turns.awaited():
                pass
    assert (turns.long, turns.longest) == (2, 3)
    assert "the longest 3.0 s" in caplog.records[-1].getMessage()
    assert "waited 2.0 s" in caplog.records[-1].getMessage()
