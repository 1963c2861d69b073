"""T3 to T7 for many deliveries in one statement each: what a busy dispatch runs instead of `store.steps` row by row.

    claims, settlements ─▶ JSON ─▶ rows "r" of a table ─▶ UPDATE … FROM r

A statement says yes to the whole batch or raises `NotAll`; then nothing of it stands and the caller goes row by row.
"""

import datetime as dt
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa

from milepost.records import Claim, Settlement, check_aware
from store.addresses import address_hash, normalize
from store.dialects import moment, seconds
from store.engine import Database
from store.faults import translated
from store.restoring import MARK
from store.steps import text

# The columns of "r", with PostgreSQL's types.
_CLAIM = {"id": "bigint", "lease": "text", "hash": "text"}
_SETTLEMENT = {
    "id": "bigint", "lease": "text", "state": "text", "code": "integer", "enhanced": "text", "said": "text",
    "phase": "text", "message_id": "text", "queue_id": "text", "retry": "timestamptz",
}


Run = Callable[[str, str], int]  # (statement, rows) → how many rows it changed


class NotAll(Exception):  # noqa: N818 (an answer, not a fault)
    """At least one row of a batch was refused."""


class Batches:
    """The statements in one dialect; `rows` is their only parameter."""

    def __init__(self, dialect: str) -> None:
        now, clock = str(moment(dialect)), str(seconds(dialect))
        claims, settlements = _rows(dialect, _CLAIM), _rows(dialect, _SETTLEMENT)
        # PostgreSQL only: see `store.steps`; in the order of ids, so that two of these never wait for each other.
        self._locks = [] if dialect == "sqlite" else [
            f"""
                SELECT t.{key} FROM {table} t
                WHERE t.{key} IN (SELECT delivery.{table} FROM delivery, {claims} WHERE delivery.id = r.id)
                ORDER BY t.{key} FOR SHARE
            """  # noqa: S608
            for table, key in (("issue", "number"), ("subscriber", "id"))
        ]
        self._begin = f"""
            UPDATE delivery
            SET state = 'sending', updated_at = {now}, lease_until = {clock} + lease_seconds,
                first_attempt_at = coalesce(first_attempt_at, {now})
            FROM {claims}
            WHERE delivery.id = r.id AND delivery.lease = r.lease AND delivery.state = 'claimed'
              AND EXISTS (SELECT 1 FROM issue i WHERE i.number = delivery.issue AND i.state = 'sending')
              AND EXISTS (SELECT 1 FROM subscriber s WHERE s.id = delivery.subscriber AND s.state = 'active')
              AND NOT EXISTS (SELECT 1 FROM suppression x WHERE x.address_hash = r.hash)
              AND NOT EXISTS (SELECT 1 FROM meta m WHERE m.key = '{MARK}')
        """  # noqa: S608 (nothing in it comes from outside)
        # From which states each outcome is taken: store.steps.FROM.
        self._settle = f"""
            UPDATE delivery
            SET state = r.state, updated_at = {now}, code = r.code, enhanced = r.enhanced, text = r.said,
                next_attempt_at = r.retry, message_id = coalesce(r.message_id, delivery.message_id),
                queue_id = coalesce(r.queue_id, delivery.queue_id),
                attempts = delivery.attempts + CASE delivery.state WHEN 'unknown' THEN 0 ELSE 1 END,
                first_attempt_at = coalesce(delivery.first_attempt_at, {now}),
                lease = CASE r.state WHEN 'unknown' THEN delivery.lease END,
                lease_until = CASE r.state WHEN 'unknown' THEN delivery.lease_until END
            FROM {settlements}
            WHERE delivery.id = r.id AND delivery.lease = r.lease
              AND (delivery.state = 'sending'
                   OR delivery.state = 'unknown' AND r.state <> 'unknown'
                   OR delivery.state = 'claimed' AND r.state IN ('deferred', 'failed'))
        """  # noqa: S608
        self._log = f"""
            INSERT INTO attempt (delivery_id, number, lease, phase, outcome, code, enhanced, text, at)
            SELECT delivery.id, delivery.attempts, r.lease, r.phase, r.state, r.code, r.enhanced, r.said, {now}
            FROM {settlements} JOIN delivery ON delivery.id = r.id
            ORDER BY delivery.id
        """  # noqa: S608

    def lock(self, run: Run, claims: Sequence[Claim]) -> None:
        """What `begin` looks at stays as it is until the transaction ends; to be called first in it."""
        if claims and self._locks:
            rows = json.dumps([{"id": claim.delivery_id} for claim in claims])
            for lock in self._locks:
                run(lock, rows)

    def begin(self, run: Run, claims: Sequence[Claim], key: bytes) -> None:
        """T3 for all of them, or NotAll."""
        rows = json.dumps([
            {"id": claim.delivery_id, "lease": claim.lease, "hash": address_hash(key, normalize(claim.address))}
            for claim in claims
        ])
        if claims and run(self._begin, rows) != len(claims):
            raise NotAll

    def settle(self, run: Run, settlements: Sequence[Settlement]) -> None:
        """T4 to T7 for all of them, or NotAll; none of them suppresses an address."""
        if not settlements:
            return
        rows = json.dumps([_row(settlement) for settlement in settlements])
        if run(self._settle, rows) != len(settlements):
            raise NotAll
        run(self._log, rows)


@contextmanager
def transaction(database: Database) -> Iterator[Run]:
    """One durable transaction, as `Database.begin`; on SQLite on the driver itself, since it comes with every
    mail.
    """
    if database.dialect != "sqlite":
        with database.begin() as connection:
            yield lambda statement, rows: connection.execute(sa.text(statement), {"rows": rows}).rowcount
        return
    with translated(database.where):
        pooled = database.engine.raw_connection()
        try:
            driver = pooled.driver_connection
            assert isinstance(driver, sqlite3.Connection)  # noqa: S101 (what the dialect means)
            driver.execute("BEGIN IMMEDIATE")
            try:
                yield lambda statement, rows: driver.execute(statement, {"rows": rows}).rowcount
                driver.execute("COMMIT")
            finally:
                if driver.in_transaction:
                    driver.execute("ROLLBACK")
        finally:
            pooled.close()


def _row(settlement: Settlement) -> dict[str, object]:
    claim, reply, retry = settlement.claim, settlement.reply, settlement.retry_at
    return {
        "id": claim.delivery_id, "lease": claim.lease, "state": settlement.state, "code": reply.code,
        "enhanced": reply.enhanced, "said": text(reply), "phase": reply.phase, "message_id": settlement.message_id,
        "queue_id": settlement.queue_id, "retry": None if retry is None else stamp(retry),
    }


def stamp(moment: dt.datetime) -> str:
    """A moment as `store.columns.Moment` writes it."""
    return check_aware(moment).astimezone(dt.UTC).isoformat(timespec="microseconds")


def _rows(dialect: str, columns: dict[str, str]) -> str:
    """The parameter `rows`, a JSON list of objects, as the table r."""
    if dialect == "postgresql":
        types = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        return f"jsonb_to_recordset(CAST(:rows AS jsonb)) AS r({types})"
    fields = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in columns)
    return f"(SELECT {fields} FROM json_each(:rows)) AS r"  # noqa: S608
