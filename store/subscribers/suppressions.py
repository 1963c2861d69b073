"""Addresses never to be mailed again, found by a keyed hash so that even an erased one stays on the list."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from milepost.errors import NotFoundError
from store.dialects import insert
from store.engine import Database
from store.meta import Meta
from store.schema.tables import subscriber, suppression
from store.subscribers.addresses import address_hash, parse


@dataclass(frozen=True, kw_only=True, slots=True)
class Suppression:
    """One address that is never mailed."""

    address_hash: str
    normalized: str | None  # None after an erase
    reason: str
    created_at: dt.datetime


class Suppressions:
    """The list of addresses never to be mailed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, address: str, reason: str, now: dt.datetime) -> bool:
        """Never mail `address` again; returns whether that is new. Raises InputError when it is no address."""
        normalized = parse(address).normalized
        key = Meta(self._database).address_key()
        with self._database.begin() as connection:
            return suppress(connection, key, normalized, reason, now)

    def remove(self, address: str) -> None:
        """An operator lets an address be mailed again; raises NotFoundError when it is not on the list."""
        hash_ = self._hash(address)
        with self._database.begin() as connection:
            done = connection.execute(sa.delete(suppression).where(suppression.c.address_hash == hash_))
            if done.rowcount == 0:
                raise NotFoundError("that address is not suppressed", where=address)

    def contains(self, address: str) -> bool:
        """Whether `address` is never to be mailed."""
        hash_ = self._hash(address)
        with self._database.connect() as connection:
            return is_suppressed(connection, hash_)

    def list(self) -> list[Suppression]:
        """All of them, oldest first."""
        query = sa.select(
            suppression.c.address_hash, suppression.c.normalized, suppression.c.reason, suppression.c.created_at
        ).order_by(suppression.c.id)
        with self._database.connect() as connection:
            return [Suppression(**row) for row in connection.execute(query).mappings()]

    def _hash(self, address: str) -> str:
        return address_hash(Meta(self._database).address_key(), parse(address).normalized)


def is_suppressed(connection: sa.Connection, hash_: str) -> bool:
    """Whether that keyed hash is on the list."""
    query = sa.select(suppression.c.id).where(suppression.c.address_hash == hash_)
    return connection.execute(query).first() is not None


def suppress(
    connection: sa.Connection, key: bytes, normalized: str, reason: str, now: dt.datetime | sa.ColumnElement[Any]
) -> bool:
    """Add a normalized address to the list in an open transaction; returns whether that is new."""
    # Ledger.begin holds this row while it decides, so that no DATA begins after our commit.
    connection.execute(sa.select(subscriber.c.id).where(subscriber.c.normalized == normalized).with_for_update())
    new = insert(connection, suppression).values(
        address_hash=address_hash(key, normalized), normalized=normalized, reason=reason, created_at=now
    )
    done = connection.execute(new.on_conflict_do_nothing().returning(suppression.c.id))
    return done.first() is not None
