"""SQLite's one write lock: who finds it taken asks again every millisecond, and who waited long is told of.

    a write ─▶ the line for its program's connection ─▶ BEGIN IMMEDIATE, tried every STEP_S until it is granted
            └ LONG_S and more until then ─▶ a line in the log: how long, and what had to wait

The lock has no line: it goes to whoever happens to ask when it is free. SQLite's own busy handler sleeps longer each
time, up to 100 ms, and beside a program that takes the lock hundreds of times a second (a dispatch) it falls asleep
again and again for longer than the lock is ever held. https://www.sqlite.org/c3ref/busy_timeout.html
"""

import logging
import random
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("milepost.store")

STEP_S = 0.001  # between two tries, about: as long as a small commit holds the lock on a quick disk
LONG_S = 1.0  # a wait for the database's turn that is worth a line in the log
_OURS = ("store.engine", "store.write_lock", "store.ledger.batches", "contextlib")  # who begins for somebody else


def begin_immediate(driver: sqlite3.Connection, patience: float) -> None:
    """Begin a transaction that writes.

    Raises sqlite3.OperationalError (SQLITE_BUSY) when others had the lock for `patience` seconds whenever it was asked
    for; with 0 it is asked for once, of a connection that doesn't wait by itself.
    """
    if not patience:  # beside every mail: two statements less
        driver.execute("BEGIN IMMEDIATE")
        return
    end = time.monotonic() + patience
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        while not _granted(driver, end):
            # Never in step with a program that commits in equal times, or with another that waits.
            time.sleep(STEP_S * random.uniform(0.5, 1.5))  # noqa: S311 (no secret)
    finally:  # what else can be in the way is SQLite's to wait for
        driver.execute(f"PRAGMA busy_timeout = {int(patience * 1000)}")


def _granted(driver: sqlite3.Connection, end: float) -> bool:
    try:
        driver.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= end:
            raise
        return False
    return True


def give_way() -> None:
    """Between two of many transactions: long enough that whoever waits asks for the lock once meanwhile."""
    time.sleep(2 * STEP_S)


class Turns:
    """How long one program's writes waited for their turn; several threads may use it at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.long, self.longest = 0, 0.0  # how many waited LONG_S and more, and the longest of all in seconds

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Around what waits for a turn; a long wait is logged, with what waited, also one that was in vain."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self._note(time.monotonic() - begun)

    def _note(self, seconds: float) -> None:
        if seconds <= self.longest and seconds < LONG_S:
            return
        with self._lock:
            self.longest = max(self.longest, seconds)
            self.long += seconds >= LONG_S
            long, longest = self.long, self.longest
        if seconds >= LONG_S:
            log.warning(
                "a write waited %.1f s for its turn while others wrote to the database: %s (%d waited %g s or more "
                "since this program started, the longest %.1f s)", seconds, _who(), long, LONG_S, longest,
            )


def _who() -> str:
    """The function that wants to write."""
    frame = sys._getframe()  # noqa: SLF001 (asked only after a second of waiting)
    while frame.f_back is not None and frame.f_globals.get("__name__") in _OURS:
        frame = frame.f_back
    return f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}"
