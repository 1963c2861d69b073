"""T3 to T7 for many deliveries in one statement each: what a busy dispatch runs instead of `store.steps` row by row.

    claims, settlements ─▶ rows "r" of a table (PostgreSQL: one JSON list; SQLite: VALUES) ─▶ UPDATE … FROM r

A statement says yes to the whole batch or raises `NotAll`; then nothing of it stands and the caller goes row by row.
One statement for many rows also keeps the sending thread from waiting: SQLite works without Python's lock meanwhile.
"""

import datetime as dt
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import PoolProxiedConnection

from milepost.records import Claim, Settlement, check_aware
from store.addresses import address_hash, normalize
from store.dialects import moment, seconds
from store.engine import Database
from store.faults import translated
from store.restoring import MARK
from store.steps import text

# The columns of "r", with PostgreSQL's types.
_ID = {"id": "bigint"}
_CLAIM = {"id": "bigint", "lease": "text", "hash": "text"}
_SETTLEMENT = {
    "id": "bigint", "lease": "text", "state": "text", "code": "integer", "enhanced": "text", "said": "text",
    "phase": "text", "message_id": "text", "queue_id": "text", "retry": "timestamptz",
}
# How many rows a SQLite statement is written for: few enough that the driver keeps them all compiled.
_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)

Row = tuple[object, ...]
Run = Callable[[str, Any], int]  # (statement, its parameters) → how many rows it changed


class NotAll(Exception):  # noqa: N818 (an answer, not a fault)
    """At least one row of a batch was refused."""


class _Statement:
    """One statement about the rows of r; `body` writes it around the words that stand for r."""

    def __init__(self, dialect: str, columns: Mapping[str, str], body: Callable[[str], str]) -> None:
        self._columns, self._body = columns, body
        self._typed: str | None = None
        if dialect == "postgresql":
            types = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            self._typed = body(f"jsonb_to_recordset(CAST(:rows AS jsonb)) AS r({types})")
        self._sized: dict[int, str] = {}

    def __call__(self, run: Run, rows: Sequence[Row]) -> int:
        """How many rows it changed."""
        if not rows:
            return 0
        if self._typed is not None:
            return run(self._typed, {"rows": json.dumps([dict(zip(self._columns, row, strict=True)) for row in rows])})
        return sum(
            self._few(run, rows[at : at + _SIZES[-1]]) for at in range(0, len(rows), _SIZES[-1])
        )

    def _few(self, run: Run, rows: Sequence[Row]) -> int:
        size = next(size for size in _SIZES if size >= len(rows))
        values = list(chain.from_iterable(rows))
        values += [None] * (len(self._columns) * size - len(values))  # rows of NULL are no delivery's
        return run(self._sized.get(size) or self._write(size), values)

    def _write(self, size: int) -> str:
        names = ", ".join(f"column{at} AS {name}" for at, name in enumerate(self._columns, 1))
        row = f"({', '.join('?' * len(self._columns))})"
        values = f"(SELECT {names} FROM (VALUES {', '.join([row] * size)})) AS r"  # noqa: S608
        self._sized[size] = self._body(values)
        return self._sized[size]


class Batches:
    """The statements in one dialect."""

    def __init__(self, dialect: str) -> None:
        now, clock = str(moment(dialect)), str(seconds(dialect))
        # PostgreSQL only: see `store.steps`; in the order of ids, so that two of these never wait for each other.
        self._locks = [] if dialect == "sqlite" else [
            _Statement(dialect, _ID, lambda r, table=table, key=key: f"""
                SELECT t.{key} FROM {table} t
                WHERE t.{key} IN (SELECT delivery.{table} FROM delivery, {r} WHERE delivery.id = r.id)
                ORDER BY t.{key} FOR SHARE
            """)  # type: ignore[misc]  # noqa: S608
            for table, key in (("issue", "number"), ("subscriber", "id"))
        ]
        self._begin = _Statement(dialect, _CLAIM, lambda r: f"""
            UPDATE delivery
            SET state = 'sending', updated_at = {now}, lease_until = {clock} + lease_seconds,
                first_attempt_at = coalesce(first_attempt_at, {now})
            FROM {r}
            WHERE delivery.id = r.id AND delivery.lease = r.lease AND delivery.state = 'claimed'
              AND EXISTS (SELECT 1 FROM issue i WHERE i.number = delivery.issue AND i.state = 'sending')
              AND EXISTS (SELECT 1 FROM subscriber s WHERE s.id = delivery.subscriber AND s.state = 'active')
              AND NOT EXISTS (SELECT 1 FROM suppression x WHERE x.address_hash = r.hash)
              AND NOT EXISTS (SELECT 1 FROM meta m WHERE m.key = '{MARK}')
        """)  # noqa: S608 (nothing in it comes from outside)
        # From which states each outcome is taken: store.steps.FROM.
        self._settle = _Statement(dialect, _SETTLEMENT, lambda r: f"""
            UPDATE delivery
            SET state = r.state, updated_at = {now}, code = r.code, enhanced = r.enhanced, text = r.said,
                next_attempt_at = r.retry, message_id = coalesce(r.message_id, delivery.message_id),
                queue_id = coalesce(r.queue_id, delivery.queue_id),
                attempts = delivery.attempts + CASE delivery.state WHEN 'unknown' THEN 0 ELSE 1 END,
                first_attempt_at = coalesce(delivery.first_attempt_at, {now}),
                lease = CASE r.state WHEN 'unknown' THEN delivery.lease END,
                lease_until = CASE r.state WHEN 'unknown' THEN delivery.lease_until END
            FROM {r}
            WHERE delivery.id = r.id AND delivery.lease = r.lease
              AND (delivery.state = 'sending'
                   OR delivery.state = 'unknown' AND r.state <> 'unknown'
                   OR delivery.state = 'claimed' AND r.state IN ('deferred', 'failed'))
        """)  # noqa: S608
        self._log = _Statement(dialect, _SETTLEMENT, lambda r: f"""
            INSERT INTO attempt (delivery_id, number, lease, phase, outcome, code, enhanced, text, at)
            SELECT delivery.id, delivery.attempts, r.lease, r.phase, r.state, r.code, r.enhanced, r.said, {now}
            FROM {r} JOIN delivery ON delivery.id = r.id
            ORDER BY delivery.id
        """)  # noqa: S608

    def lock(self, run: Run, claims: Sequence[Claim]) -> None:
        """What `begin` looks at stays as it is until the transaction ends; to be called first in it."""
        for lock in self._locks:
            lock(run, [(claim.delivery_id,) for claim in claims])

    def begin(self, run: Run, claims: Sequence[Claim], key: bytes) -> None:
        """T3 for all of them, or NotAll."""
        rows: list[Row] = [
            (claim.delivery_id, claim.lease, address_hash(key, normalize(claim.address))) for claim in claims
        ]
        if self._begin(run, rows) != len(claims):
            raise NotAll

    def settle(self, run: Run, settlements: Sequence[Settlement]) -> None:
        """T4 to T7 for all of them, or NotAll; none of them suppresses an address."""
        rows = [_row(settlement) for settlement in settlements]
        if self._settle(run, rows) != len(settlements):
            raise NotAll
        self._log(run, rows)


@contextmanager
def transaction(database: Database) -> Iterator[Run]:
    """One durable transaction, as `Database.begin`; on SQLite on the driver itself, since it comes with every
    mail.
    """
    if database.dialect != "sqlite":
        with database.begin() as connection:
            yield lambda statement, values: connection.execute(sa.text(statement), values).rowcount
        return
    with translated(database.where):
        pooled = database.engine.raw_connection()
        try:
            with exclusive(_driver(pooled)) as run:
                yield run
        finally:
            pooled.close()


@contextmanager
def exclusive(driver: sqlite3.Connection) -> Iterator[Run]:
    """One durable transaction on a SQLite connection; raises what the driver raises."""
    driver.execute("BEGIN IMMEDIATE")
    try:
        yield lambda statement, values: driver.execute(statement, values).rowcount
        driver.execute("COMMIT")
    finally:
        if driver.in_transaction:
            driver.execute("ROLLBACK")


@contextmanager
def impatient(database: Database) -> Iterator[sqlite3.Connection | None]:
    """A connection of its own that never waits for another writer; None where a commit is a journey (PostgreSQL)."""
    if database.dialect != "sqlite":
        yield None
        return
    with translated(database.where):
        pooled = database.engine.raw_connection()
        driver = _driver(pooled)
        pooled.detach()
        driver.execute("PRAGMA busy_timeout = 0")
    with closing(driver):
        yield driver


def _driver(pooled: PoolProxiedConnection) -> sqlite3.Connection:
    driver = pooled.driver_connection
    assert isinstance(driver, sqlite3.Connection)  # noqa: S101 (what the dialect means)
    return driver


def _row(settlement: Settlement) -> Row:
    claim, reply, retry = settlement.claim, settlement.reply, settlement.retry_at
    return (
        claim.delivery_id, claim.lease, settlement.state, reply.code, reply.enhanced, text(reply), reply.phase,
        settlement.message_id, settlement.queue_id, None if retry is None else stamp(retry),
    )


def stamp(moment: dt.datetime) -> str:
    """A moment as `store.columns.Moment` writes it."""
    return check_aware(moment).astimezone(dt.UTC).isoformat(timespec="microseconds")
