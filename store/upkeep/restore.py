"""A restored database doesn't know what was sent since its backup: it sends nothing until an operator says so.

    backup ─▶ restore, or copy ─▶ marked ─▶ claims refused ─▶ confirm_restore ─▶ claims go on
    pg_dump ─▶ pg_restore ─▶ an upgrade finds it elsewhere (notice_move) ─▶ marked
"""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from milepost.errors import ConflictError, HeldError, InputError
from milepost.records import Reply
from store.dialects import insert
from store.engine import Database
from store.ledger import batches, transitions
from store.meta import PLACE, RESTORED_FROM
from store.schema.tables import delivery, issue, meta, source
from store.upkeep.numbering import jump

_SQLITE = b"SQLite format 3\0"  # how every such file begins: https://www.sqlite.org/fileformat.html#the_database_header


def require_sqlite(backup: Path) -> None:
    """Raises InputError when `backup` is no SQLite file that can be read."""
    try:
        with backup.open("rb") as file:
            begins = file.read(len(_SQLITE))
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", where=str(backup),
                         hint="Check the path of the backup.") from None
    if begins != _SQLITE:
        raise InputError("is no database", where=str(backup), hint="Choose a file that `db backup` wrote.")


def mark(connection: sa.Connection, origin: str, given: Mapping[str, int] | None = None) -> None:
    """From now on this database refuses to send, and gives no id that was given since its backup.

    `given`: see `numbering.jump`.
    """
    jump(connection, given)
    new = insert(connection, meta).values(key=RESTORED_FROM, value=origin)
    connection.execute(new.on_conflict_do_update(index_elements=["key"], set_={"value": origin}))


def notice_move(connection: sa.Connection) -> None:
    """Mark a PostgreSQL database that lies where it did not lie before: pg_restore does not tell us that it ran.

    What stays the same while a database lives, and never comes along in a dump: the cluster's system identifier and the
    object ids of database and table. A cluster that pg_upgrade made is another one; an operator's word settles that.
    """
    if connection.dialect.name != "postgresql" or not connection.execute(sa.select(sa.exists(source.c.key))).scalar():
        return  # one without a source has mailed nobody
    here, before = _place(connection), connection.execute(sa.select(meta.c.value).where(meta.c.key == PLACE)).scalar()
    if before is not None and before != here:
        mark(connection, "a dump, or moved")
    _note(connection, here)


def _place(connection: sa.Connection) -> str:
    return str(connection.execute(sa.text(
        "SELECT concat_ws('.', system_identifier, (SELECT oid FROM pg_database WHERE datname = current_database()),"
        " to_regclass('meta')::oid) FROM pg_control_system()"
    )).scalar_one())


def _note(connection: sa.Connection, here: str) -> None:
    new = insert(connection, meta).values(key=PLACE, value=here)
    connection.execute(new.on_conflict_do_update(index_elements=["key"], set_={"value": here}))


def refuse(connection: sa.Connection) -> None:
    """Raises HeldError in a database that is marked."""
    origin = connection.execute(sa.select(meta.c.value).where(meta.c.key == RESTORED_FROM)).scalar()
    if origin is not None:
        raise HeldError(
            f"the database was restored from {origin}: what was sent since then it doesn't know",
            hint="Compare with the relay's log, then run `milepost db confirm-restore`.",
        )


def restored_from(database: Database) -> str | None:
    """Where a marked database came from, None when it is not marked."""
    with database.connect() as connection:
        origin: str | None = connection.execute(sa.select(meta.c.value).where(meta.c.key == RESTORED_FROM)).scalar()
        return origin


def confirm_restore(
    database: Database, why: str, now: dt.datetime, *, waiting: Literal["pending", "unknown"] = "pending"
) -> int:
    """An operator has looked: let the database send again; returns how many deliveries became unknown.

    `waiting`: what becomes of the deliveries that the backup shows as not sent yet. "pending" sends them: right when
    nothing went out since the backup. "unknown" sends none of them, and lists each by name (T8 settles them).
    Raises ConflictError when the database is not marked.
    """
    with database.begin() as connection:
        origin = connection.execute(sa.select(meta.c.value).where(meta.c.key == RESTORED_FROM)).scalar()
        if origin is None:
            raise ConflictError("it was not restored, there is nothing to confirm", where=database.where)
        doubted = _doubt(connection, origin) if waiting == "unknown" else 0
        connection.execute(sa.delete(meta).where(meta.c.key == RESTORED_FROM))
        if connection.dialect.name == "postgresql":
            _note(connection, _place(connection))  # a copy brought its source's along
        said = insert(connection, meta).values(key=f"confirmed_{now:%Y%m%dT%H%M%S}", value=f"{origin}: {why}")
        connection.execute(said.on_conflict_do_nothing())
    return doubted


def _doubt(connection: sa.Connection, origin: str) -> int:
    """Every delivery that may have gone out since the backup becomes unknown."""
    open_issues = sa.select(issue.c.number).where(issue.c.state.in_(("frozen", "sending", "paused")))
    step, terms = transitions.RESTORE, transitions.Terms(connection.dialect.name)
    doubt = transitions.update(step, terms, delivery.c.issue.in_(open_issues)).returning(delivery.c.id)
    doubted = list(connection.execute(doubt).scalars())
    reply = Reply(code=None, text=f"restored from {origin}; it may have been sent since", phase="restore")
    batches.log(connection, step, [(id_, None) for id_ in doubted], reply)
    return len(doubted)
