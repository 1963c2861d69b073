"""T3 to T7 for many deliveries at once: what a busy dispatch runs instead of `store.ledger.steps` row by row.

    claims, settlements ─▶ rows ─┬▶ PostgreSQL: one JSON list, one UPDATE … FROM it
                                 └▶ SQLite: one prepared UPDATE, run for each row

The rows pass all together or `NotAll` is raised; then nothing of it stands and the caller goes row by row.
"""

import datetime as dt
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from operator import itemgetter
from string import Formatter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import PoolProxiedConnection

from milepost.records import Claim, Settlement, check_aware
from store.dialects import moment, seconds
from store.engine import Database
from store.faults import translated
from store.ledger.steps import text
from store.subscribers.addresses import address_hash, normalize
from store.upkeep.restore import MARK

# The columns of the rows, with PostgreSQL's types.
_ID = {"id": "bigint"}
_CLAIM = {"id": "bigint", "lease": "text", "hash": "text"}
_LOG = {
    "id": "bigint", "lease": "text", "state": "text", "code": "integer", "enhanced": "text", "said": "text",
    "phase": "text",
}
_SETTLED = {"message_id": "text", "queue_id": "text", "retry": "timestamptz"}

Row = Mapping[str, object]
Run = Callable[[str, Any], int]  # (statement, the rows, or for PostgreSQL their JSON) → how many rows it changed


class NotAll(Exception):  # noqa: N818 (an answer, not a fault)
    """At least one row of a batch was refused."""


class _Statement:
    """One statement about rows; its text names their columns in braces.

    PostgreSQL reads all of them at the place {from_rows}, or {and_rows} where other tables are named before.
    """

    def __init__(self, dialect: str, columns: Mapping[str, str], text: str) -> None:
        self._json = dialect == "postgresql"
        if self._json:
            types = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            rows = f"jsonb_to_recordset(CAST(:rows AS jsonb)) AS r({types})"
            places = {name: f"r.{name}" for name in columns} | {"from_rows": f"FROM {rows}", "and_rows": f", {rows}"}
        else:  # in the order of their places: the driver looks each name up again for every row
            places = dict.fromkeys(columns, "?") | {"from_rows": "", "and_rows": ""}
            self._values = itemgetter(*(name for _, name, _, _ in Formatter().parse(text) if name in columns))
        self._text = text.format(**places)

    def __call__(self, run: Run, rows: Sequence[Row]) -> int:
        """How many rows it changed."""
        if not rows:
            return 0
        return run(self._text, {"rows": json.dumps(rows)} if self._json else list(map(self._values, rows)))


class Batches:
    """The statements in one dialect."""

    def __init__(self, dialect: str) -> None:
        now, clock = str(moment(dialect)), str(seconds(dialect))
        # PostgreSQL only: see `store.ledger.steps`; in the order of ids, so that no two of these wait for each other.
        self._locks = [] if dialect == "sqlite" else [
            _Statement(dialect, _ID, f"""
                SELECT t.{key} FROM {table} t
                WHERE t.{key} IN (SELECT delivery.{table} FROM delivery {{and_rows}} WHERE delivery.id = {{id}})
                ORDER BY t.{key} FOR SHARE
            """)  # noqa: S608
            for table, key in (("issue", "number"), ("subscriber", "id"))
        ]
        self._begin = _Statement(dialect, _CLAIM, f"""
            UPDATE delivery
            SET state = 'sending', updated_at = {now}, lease_until = {clock} + lease_seconds,
                first_attempt_at = coalesce(first_attempt_at, {now})
            {{from_rows}}
            WHERE delivery.id = {{id}} AND delivery.lease = {{lease}} AND delivery.state = 'claimed'
              AND EXISTS (SELECT 1 FROM issue i WHERE i.number = delivery.issue AND i.state = 'sending')
              AND EXISTS (SELECT 1 FROM subscriber s WHERE s.id = delivery.subscriber AND s.state = 'active')
              AND NOT EXISTS (SELECT 1 FROM suppression x WHERE x.address_hash = {{hash}})
              AND NOT EXISTS (SELECT 1 FROM meta m WHERE m.key = '{MARK}')
        """)  # noqa: S608 (nothing in it comes from outside)
        # From which states each outcome is taken: store.steps.FROM.
        self._settle = _Statement(dialect, _LOG | _SETTLED, f"""
            UPDATE delivery
            SET state = {{state}}, updated_at = {now}, code = {{code}}, enhanced = {{enhanced}}, text = {{said}},
                next_attempt_at = {{retry}}, message_id = coalesce({{message_id}}, delivery.message_id),
                queue_id = coalesce({{queue_id}}, delivery.queue_id),
                attempts = delivery.attempts + CASE delivery.state WHEN 'unknown' THEN 0 ELSE 1 END,
                first_attempt_at = coalesce(delivery.first_attempt_at, {now}),
                lease = CASE {{state}} WHEN 'unknown' THEN delivery.lease END,
                lease_until = CASE {{state}} WHEN 'unknown' THEN delivery.lease_until END
            {{from_rows}}
            WHERE delivery.id = {{id}} AND delivery.lease = {{lease}}
              AND (delivery.state = 'sending'
                   OR delivery.state = 'unknown' AND {{state}} <> 'unknown'
                   OR delivery.state = 'claimed' AND {{state}} IN ('deferred', 'failed'))
        """)  # noqa: S608
        self._log = _Statement(dialect, _LOG, f"""
            INSERT INTO attempt (delivery_id, number, lease, phase, outcome, code, enhanced, text, at)
            SELECT delivery.id, delivery.attempts, {{lease}}, {{phase}}, {{state}}, {{code}}, {{enhanced}}, {{said}},
                {now}
            FROM delivery {{and_rows}} WHERE delivery.id = {{id}}
            ORDER BY delivery.id
        """)  # noqa: S608

    def lock(self, run: Run, claims: Sequence[Claim]) -> None:
        """What `begin` looks at stays as it is until the transaction ends; to be called first in it."""
        for lock in self._locks:
            lock(run, [{"id": claim.delivery_id} for claim in claims])

    def begin(self, run: Run, claims: Sequence[Claim], key: bytes) -> None:
        """T3 for all of them, or NotAll."""
        rows: list[Row] = [
            {"id": claim.delivery_id, "lease": claim.lease, "hash": address_hash(key, normalize(claim.address))}
            for claim in claims
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
        yield lambda statement, rows: driver.executemany(statement, rows).rowcount
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
    return {
        "id": claim.delivery_id, "lease": claim.lease, "state": settlement.state, "code": reply.code,
        "enhanced": reply.enhanced, "said": text(reply), "phase": reply.phase, "message_id": settlement.message_id,
        "queue_id": settlement.queue_id, "retry": None if retry is None else stamp(retry),
    }


def stamp(moment: dt.datetime) -> str:
    """A moment as `store.schema.columns.Moment` writes it."""
    return check_aware(moment).astimezone(dt.UTC).isoformat(timespec="microseconds")
