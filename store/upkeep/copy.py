"""Moving everything from one database to another, SQLite or PostgreSQL, and proving that it arrived.

    source, at one moment ─▶ table by table ─▶ target, one transaction ─▶ counts and hashes agree ─▶ marked
"""

import datetime as dt
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from milepost.codec import canonical_json
from milepost.errors import ConflictError, StoreError
from store.database import connect, upgrade
from store.dialects import serialize
from store.engine import Database
from store.milestones import search
from store.schema.tables import metadata
from store.upkeep import restore

CHUNK = 500  # rows in memory at once


@dataclass(frozen=True, kw_only=True, slots=True)
class Copied:
    """One table that arrived."""

    table: str
    rows: int
    sha256: str  # of its rows in the order of their keys, the same on both sides


def copy(source_url: str, target_url: str) -> list[Copied]:
    """Copy all rows into a new database, which is made first; returns what arrived, table by table.

    The source is only read. The target is marked as restored: it sends nothing until `restoring.confirm_restore`, so
    that two databases never send the same issue. Raises ConflictError when the target holds anything, StoreError when
    what arrived is not what was sent (nothing stays of it then), SchemaError when the source has to be upgraded first.
    """
    with connect(source_url) as source:
        upgrade(target_url)
        with connect(target_url) as target, source.connect() as reading, target.begin() as writing:
            serialize(writing, "copy")
            _refuse_full(writing, target)
            for table in metadata.sorted_tables:
                for rows in _chunks(reading, table):
                    writing.execute(sa.insert(table), rows)
                _continue_numbering(writing, table)
            copied = [_compare(reading, writing, table, target) for table in metadata.sorted_tables]
            search.reindex(writing)
            restore.mark(writing, source.where)
    return copied


def _refuse_full(connection: sa.Connection, target: Database) -> None:
    for table in metadata.sorted_tables:
        if connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() is not None:
            raise ConflictError(
                f"the target is not empty: it has rows in {table.name}", where=target.where,
                hint="Copy into a new database.",
            )


def _chunks(connection: sa.Connection, table: sa.Table) -> Iterator[list[dict[str, Any]]]:
    query = sa.select(table).order_by(*table.primary_key.columns)
    with connection.execute(query, execution_options={"yield_per": CHUNK}) as result:
        for rows in result.mappings().partitions():
            yield [dict(row) for row in rows]


def _continue_numbering(connection: sa.Connection, table: sa.Table) -> None:
    """PostgreSQL only: let the next row get the number after the last one copied."""
    key = table.autoincrement_column
    if connection.dialect.name == "postgresql" and key is not None:
        connection.execute(sa.text(
            f"SELECT setval(pg_get_serial_sequence('{table.name}', '{key.name}'), "  # noqa: S608 (names of our own)
            f"(SELECT coalesce(max({key.name}), 0) + 1 FROM {table.name}), false)"
        ))


def _compare(
    reading: sa.Connection, writing: sa.Connection, table: sa.Table, target: Database
) -> Copied:
    sent, arrived = _digest(reading, table), _digest(writing, table)
    if sent != arrived:
        raise StoreError(
            f"{table.name} did not arrive as it was sent ({arrived[0]} rows of {sent[0]}); nothing was copied",
            where=target.where, hint="Run `milepost db check` on the source.",
        )
    return Copied(table=table.name, rows=sent[0], sha256=sent[1])


def _digest(connection: sa.Connection, table: sa.Table) -> tuple[int, str]:
    """How many rows, and the hash of all of them; keys that are text are ordered by their bytes on both engines."""
    rows, digest = 0, hashlib.sha256()
    query = sa.select(table).order_by(*(_by_bytes(connection, column) for column in table.primary_key.columns))
    with connection.execute(query, execution_options={"yield_per": CHUNK}) as result:
        for row in result:
            digest.update(canonical_json(_plain(row)))
            rows += 1
    return rows, digest.hexdigest()


def _by_bytes(connection: sa.Connection, column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    is_text = isinstance(column.type, sa.String)
    return column.collate("C") if is_text and connection.dialect.name == "postgresql" else column


def _plain(row: Sequence[Any]) -> list[Any]:
    """A row in a form that JSON knows."""
    return [
        value.hex() if isinstance(value, bytes) else value.isoformat() if isinstance(value, dt.datetime) else value
        for value in row
    ]
