"""Whether what the public pages show may be another than it was: asked once a request, so it costs next to nothing.

    has anybody written at all? (one pragma, one function) ─ no ─▶ the stamp of before
                                                           └ yes ─▶ a stamp of what pages are made of: one small query

On PostgreSQL both are questions to a server: while somebody writes all the time (a dispatch) they are one.
"""

import hashlib
import sqlite3
import threading
import weakref
from collections.abc import Sequence

import sqlalchemy as sa

from milepost.records import IssueState
from store.engine import Database
from store.schema.tables import backfill, change, issue, look, milestone_version, renaming


class Freshness:
    """Watches one database as long as it is there. `states`: of the issues that have a page."""

    def __init__(self, database: Database, states: Sequence[IssueState]) -> None:
        self._database = database
        self._query = _of_what_pages_show(states)
        self._both = sa.select(_SNAPSHOT, *self._query.selected_columns)
        self._busy = False  # somebody had written when it was asked last
        self._lock = threading.Lock()
        self._moved: object = None
        self._stamp = ""
        # Of its own, since the pragma tells a connection what others wrote; it never waits, for a loop may ask.
        self._watcher = None if database.file is None else sqlite3.connect(
            database.file, timeout=0, check_same_thread=False, isolation_level=None
        )
        if self._watcher is not None:
            weakref.finalize(self, self._watcher.close)

    def stamp(self) -> str:
        """What differs as soon as what pages show does; raises StoreError."""
        with self._database.questions() as connection:
            row: Sequence[object] | None = None
            if self._watcher is not None:
                moved = self._written()
            elif self._busy:
                moved, *row = connection.execute(self._both).one()
            else:
                moved = connection.execute(sa.select(_SNAPSHOT)).scalar_one()
            with self._lock:
                self._busy = moved != self._moved
                if moved is not None and not self._busy:
                    return self._stamp
            if row is None:  # the mark was taken first: what is written between the two is seen the next time
                row = connection.execute(self._query).one()
        stamp = hashlib.sha256(repr(tuple(row)).encode()).hexdigest()
        with self._lock:
            self._moved, self._stamp = moved, stamp
        return stamp

    def at_once(self) -> str | None:
        """The same if nobody wrote and that can be known without waiting for anything, else None."""
        if self._watcher is None:
            return None
        moved = self._written()
        with self._lock:
            return self._stamp if moved is not None and moved == self._moved else None

    def _written(self) -> object:
        """What differs as soon as anybody has committed anything to a file, None where that can't be told now."""
        try:
            with self._lock:
                return None if self._watcher is None else self._watcher.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            return None


_SNAPSHOT = sa.cast(sa.func.pg_current_snapshot(), sa.Text())  # what differs as soon as anybody has committed


def _of_what_pages_show(states: Sequence[IssueState]) -> sa.Select[tuple[object, ...]]:
    """Ids are given once and rows of these are never changed otherwise, so that the last ones say it all."""
    shown = issue.c.state.in_(states)
    parts = [
        sa.select(sa.func.max(change.c.id)), sa.select(sa.func.max(milestone_version.c.id)),
        sa.select(sa.func.max(look.c.id)), sa.select(sa.func.max(look.c.finished_at)),
        sa.select(sa.func.count(look.c.released_at)), sa.select(sa.func.count(look.c.held)),
        sa.select(sa.func.count(look.c.refused_at)),
        sa.select(sa.func.count(backfill.c.finished_at)), sa.select(sa.func.count(backfill.c.undone_at)),
        sa.select(sa.func.max(renaming.c.id)), sa.select(sa.func.count(renaming.c.decided_at)),
        sa.select(sa.func.count()).where(shown), sa.select(sa.func.sum(issue.c.number)).where(shown),
        sa.select(sa.func.max(issue.c.frozen_at)).where(shown), sa.select(sa.func.count(issue.c.handed_over_at)),
    ]
    return sa.select(*(part.scalar_subquery() for part in parts))
