"""Tokens of programs: kept as hashes, shown once, good for what their scopes name until they expire or are revoked."""

import datetime as dt
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from milepost.errors import ConflictError, NotFoundError
from store.dialects import insert
from store.engine import Database
from store.schema.tables import api_token

PREFIX = "milepost_"  # so that whoever scans what was published by mistake knows one


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """One token, without itself."""

    id: int
    name: str  # given once: what it did names it
    scopes: tuple[str, ...]
    made_by: str
    created_at: dt.datetime
    expires_at: dt.datetime | None  # None: never
    last_used_at: dt.datetime | None  # to the minute
    revoked_at: dt.datetime | None
    revoked_why: str | None

    def why_not(self, now: dt.datetime) -> str | None:
        """Why it opens nothing (any more); None where it does."""
        if not self.scopes:
            return "it has no scope"
        if self.revoked_at is not None:
            return f"it was revoked {self.revoked_at:%Y-%m-%d}"
        if self.expires_at is not None and self.expires_at <= now:
            return f"it expired {self.expires_at:%Y-%m-%d %H:%M} UTC"
        return None


class Tokens:
    """All of them. Every method raises StoreError when the database can't."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, name: str, scopes: Sequence[str], *, by: str, now: dt.datetime, expires_at: dt.datetime | None
    ) -> tuple[str, Token]:
        """A new one: itself, which nobody can read again, and what is kept. ConflictError where the name was given."""
        shown = PREFIX + secrets.token_urlsafe(32)
        with self._database.begin() as connection:
            new = insert(connection, api_token).values(
                name=name, token_hash=hash_of(shown), scopes=list(scopes), made_by=by, created_at=now,
                expires_at=expires_at,
            )
            if connection.execute(new.on_conflict_do_nothing().returning(api_token.c.id)).first() is None:
                raise ConflictError("there is or was a token of that name", where=name,
                                    hint="Choose another: the log of acts tells one from the other by it.")
            return shown, _one(connection, api_token.c.name == name, name)

    def find(self, shown: str) -> Token | None:
        """The token that somebody shows, also one that opens nothing; None for what never was one."""
        with self._database.connect() as connection:
            row = connection.execute(_SELECT.where(api_token.c.token_hash == hash_of(shown))).mappings().first()
        return None if row is None else _token(row)

    def used(self, token_id: int, now: dt.datetime) -> None:
        """It was shown just now."""
        with self._database.begin() as connection:
            connection.execute(sa.update(api_token).where(api_token.c.id == token_id).values(last_used_at=now))

    def revoke(self, name: str, why: str, now: dt.datetime) -> Token:
        """It opens nothing from now on; one that was revoked before stays as it was. Raises NotFoundError."""
        with self._database.begin() as connection:
            connection.execute(
                sa.update(api_token).where(api_token.c.name == name, api_token.c.revoked_at.is_(None))
                .values(revoked_at=now, revoked_why=why)
            )
            return _one(connection, api_token.c.name == name, name)

    def list(self) -> list[Token]:
        """All that ever were, oldest first."""
        with self._database.connect() as connection:
            return [_token(row) for row in connection.execute(_SELECT.order_by(api_token.c.id)).mappings()]


_SELECT: sa.Select[Any] = sa.select(*(api_token.c[name] for name in Token.__dataclass_fields__))


def hash_of(shown: str) -> str:
    """What is kept of a token or a link: SHA-256 in hex; 256 random bits need no slow hash, nobody tries them all."""
    return hashlib.sha256(shown.encode("utf-8", "surrogatepass")).hexdigest()


def _token(row: sa.RowMapping) -> Token:
    return Token(**(dict(row) | {"scopes": tuple(row["scopes"])}))


def _one(connection: sa.Connection, clause: sa.ColumnElement[bool], name: str) -> Token:
    row = connection.execute(_SELECT.where(clause)).mappings().first()
    if row is None:
        raise NotFoundError("there is no token of that name", where=name, hint="See `milepost tokens`.")
    return _token(row)
