"""Which tables SQLite walks through from end to end for what a program asks of it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from store.database import Database

_SCAN = re.compile(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?")
# Indexes that hold no more than what waits, is in doubt, ended badly or is news: to walk through those is what they
# are for.
_FEW = ("ix_change_news", "ix_delivery_pending", "ix_delivery_due", "ix_delivery_unknown", "ix_delivery_taken",
        "ix_delivery_ended")


@contextmanager
def walked_through(database: Database) -> Iterator[dict[str, str]]:
    """While it lasts: table → the statement that walked through all of it, by the plan that SQLite tells beforehand."""
    found: dict[str, str] = {}
    tables = set(sa.inspect(database.engine).get_table_names())
    explaining = False

    def look(connection: sa.Connection, _cursor: Any, statement: str, values: Any, _context: Any, many: bool) -> None:
        nonlocal explaining
        if explaining or not re.match(r"\s*(SELECT|WITH|UPDATE|DELETE|INSERT)", statement):
            return
        explaining = True
        try:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values[0] if many else values).all()
        finally:
            explaining = False
        for step in plan:
            scan = _SCAN.match(str(step[-1]))
            if scan is not None and scan[1] in tables and scan[2] not in _FEW:
                found[scan[1]] = statement

    sa.event.listen(sa.Engine, "before_cursor_execute", look)
    try:
        yield found
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", look)
