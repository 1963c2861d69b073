"""Operators: who has a login to the desk, the link that lets each in first, and who is there now.

    add ─▶ link ─ once ─▶ password ─▶ session        another password, role or a disable ends every session of theirs

Of whatever lets somebody in only a hash is kept.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from milepost.dates import SKEW
from milepost.errors import ConflictError, NotFoundError
from milepost.records import Role
from store.clock import within
from store.dialects import serialize
from store.engine import Database
from store.schema.tables import operator, operator_link, operator_session

SEEN_EVERY = dt.timedelta(minutes=1)  # how exactly it is known when a session was last used


@dataclass(frozen=True, kw_only=True, slots=True)
class Operator:
    """A person with a login to the desk."""

    id: int
    name: str
    role: Role
    password: str | None  # an argon2id hash
    totp_secret: str | None
    created_at: dt.datetime
    password_at: dt.datetime | None
    disabled_at: dt.datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """Somebody who is signed in."""

    operator: Operator
    created_at: dt.datetime
    seen_at: dt.datetime
    expires_at: dt.datetime


_COLUMNS = [operator.c[name] for name in Operator.__dataclass_fields__]


class Operators:
    """All of them. Every method raises StoreError when the database can't."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def any(self) -> bool:
        """Whether there is one that may come in."""
        query = sa.select(sa.exists().where(operator.c.disabled_at.is_(None)))
        with self._database.connect() as connection:
            return bool(connection.execute(query).scalar())

    def list(self) -> Sequence[Operator]:
        """Everyone, by name."""
        with self._database.connect() as connection:
            return [_operator(row) for row in connection.execute(sa.select(*_COLUMNS).order_by(operator.c.name))]

    def find(self, name: str) -> Operator | None:
        """The one of that name."""
        with self._database.connect() as connection:
            row = connection.execute(sa.select(*_COLUMNS).where(operator.c.name == name)).first()
        return None if row is None else _operator(row)

    def get(self, name: str) -> Operator:
        """The one of that name; raises NotFoundError."""
        found = self.find(name)
        if found is None:
            raise NotFoundError("there is no such operator", where=name, hint="See `milepost operators list`.")
        return found

    def add(self, name: str, role: Role, link_hash: str, *, now: dt.datetime, until: dt.datetime) -> Operator:
        """A new one, with the link to set a password by; raises ConflictError where the name is taken."""
        with self._database.begin() as connection:
            serialize(connection, "operators")
            if connection.execute(sa.select(operator.c.id).where(operator.c.name == name)).first() is not None:
                raise ConflictError(
                    "there is an operator of that name", where=name,
                    hint=f"`milepost operators reset` makes a new link for {name}.",
                )
            made = sa.insert(operator).values(name=name, role=role, created_at=now).returning(*_COLUMNS)
            found = _operator(connection.execute(made).one())
            _link(connection, found.id, link_hash, now, until)
            return found

    def reset(self, operator_id: int, link_hash: str, *, now: dt.datetime, until: dt.datetime) -> None:
        """A new link; the password and the second factor are gone, as is every older link and session."""
        with self._database.begin() as connection:
            _end_all(connection, operator_id)
            connection.execute(
                sa.update(operator).where(operator.c.id == operator_id)
                .values(password=None, totp_secret=None, totp_last=None, password_at=None)
            )
            connection.execute(sa.delete(operator_link).where(operator_link.c.operator_id == operator_id))
            _link(connection, operator_id, link_hash, now, until)

    def change_role(self, operator_id: int, role: Role) -> None:
        """Another role, from the next sign-in on; raises ConflictError where nobody would be left to be admin."""
        with self._database.begin() as connection:
            serialize(connection, "operators")
            connection.execute(sa.update(operator).where(operator.c.id == operator_id).values(role=role))
            _require_admin(connection)
            _end_all(connection, operator_id)

    def disable(self, operator_id: int, *, now: dt.datetime) -> None:
        """Lock one out; raises ConflictError where nobody would be left to be admin."""
        with self._database.begin() as connection:
            serialize(connection, "operators")
            connection.execute(
                sa.update(operator).where(operator.c.id == operator_id, operator.c.disabled_at.is_(None))
                .values(disabled_at=now)
            )
            _require_admin(connection)
            _end_all(connection, operator_id)
            connection.execute(sa.delete(operator_link).where(operator_link.c.operator_id == operator_id))

    def enable(self, operator_id: int) -> None:
        """Let one in again."""
        with self._database.begin() as connection:
            connection.execute(sa.update(operator).where(operator.c.id == operator_id).values(disabled_at=None))

    # --- the way in -------------------------------------------------------------------------------------------------

    def linked(self, link_hash: str, now: dt.datetime) -> Operator | None:
        """Whose link it is, where it still leads in."""
        with self._database.connect() as connection:
            row = connection.execute(_by_link(link_hash, now)).first()
        return None if row is None else _operator(row)

    def use_link(self, link_hash: str, password: str, *, now: dt.datetime) -> Operator | None:
        """Set the password by a link, which is used up then; None where it leads nowhere (any more)."""
        with self._database.begin() as connection:
            row = connection.execute(_by_link(link_hash, now)).first()
            used = sa.update(operator_link).where(
                operator_link.c.token_hash == link_hash, operator_link.c.used_at.is_(None)
            ).values(used_at=now)
            if row is None or connection.execute(used).rowcount != 1:  # of two at once, one
                return None
            _set_password(connection, row.id, password, now)
            return replace(_operator(row), password=password, password_at=now)

    def set_password(self, operator_id: int, password: str, *, now: dt.datetime) -> None:
        """Another password; every session of theirs ends."""
        with self._database.begin() as connection:
            _set_password(connection, operator_id, password, now)

    def rehash(self, operator_id: int, old: str, new: str) -> None:
        """The same password under today's parameters."""
        with self._database.begin() as connection:
            connection.execute(
                sa.update(operator).where(operator.c.id == operator_id, operator.c.password == old)
                .values(password=new)
            )

    def set_totp(self, operator_id: int, secret: str | None, *, step: int | None = None) -> None:
        """Ask for a second factor from now on, or for none; `step`: of the code that proved it, which is used up."""
        with self._database.begin() as connection:
            connection.execute(
                sa.update(operator).where(operator.c.id == operator_id).values(totp_secret=secret, totp_last=step)
            )

    def use_step(self, operator_id: int, step: int) -> bool:
        """Use up a time step of the second factor (RFC 6238 §5.2); False where it, or a later one, was used."""
        with self._database.begin() as connection:
            used = connection.execute(
                sa.update(operator)
                .where(operator.c.id == operator_id, sa.func.coalesce(operator.c.totp_last, -1) < step)
                .values(totp_last=step)
            )
            return used.rowcount == 1

    # --- sessions ---------------------------------------------------------------------------------------------------

    def begin_session(
        self, who: Operator, token_hash: str, *, now: dt.datetime, until: dt.datetime, instead_of: str | None = None
    ) -> bool:
        """Somebody is signed in till then at most; `instead_of`: their browser's session before, which ends.

        False, and nobody is, where they were disabled or got another password since `who` was read.
        """
        same = sa.select(operator.c.id).where(
            operator.c.id == who.id, operator.c.disabled_at.is_(None),
            operator.c.password.is_(None) if who.password is None else operator.c.password == who.password,
        ).with_for_update()
        ended = sa.delete(operator_session).where(
            sa.or_(operator_session.c.expires_at <= now, operator_session.c.token_hash == (instead_of or ""))
        )
        with self._database.begin() as connection:
            connection.execute(ended)
            if connection.execute(same).first() is None:
                return False
            connection.execute(sa.insert(operator_session).values(
                token_hash=token_hash, operator_id=who.id, created_at=now, seen_at=now, expires_at=until,
            ))
            return True

    def session(self, token_hash: str, *, now: dt.datetime, idle: dt.timedelta) -> Session | None:
        """Whose session it is; None where there is none, it is over, slept too long, or its operator is disabled."""
        query = (
            sa.select(*_COLUMNS, *(operator_session.c[name].label(f"session_{name}")
                                   for name in ("created_at", "seen_at", "expires_at")))
            .join_from(operator_session, operator)
            .where(
                operator_session.c.token_hash == token_hash, operator.c.disabled_at.is_(None),
                operator_session.c.expires_at > now, within(operator_session.c.seen_at, now, idle),
                operator_session.c.created_at <= now + SKEW,
            )
        )
        with self._database.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else Session(
            operator=_operator(row), created_at=row.session_created_at, seen_at=row.session_seen_at,
            expires_at=row.session_expires_at,
        )

    def seen(self, token_hash: str, *, now: dt.datetime) -> None:
        """It was used."""
        with self._database.begin() as connection:
            connection.execute(
                sa.update(operator_session).where(operator_session.c.token_hash == token_hash).values(seen_at=now)
            )

    def end_session(self, token_hash: str) -> None:
        """Signed out."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(operator_session).where(operator_session.c.token_hash == token_hash))

    def end_sessions(self, operator_id: int, *, but: str = "") -> int:
        """Signed out everywhere, `but` in the session of that hash; returns how many ended."""
        with self._database.begin() as connection:
            return connection.execute(sa.delete(operator_session).where(
                operator_session.c.operator_id == operator_id, operator_session.c.token_hash != but
            )).rowcount

    def sessions(self, operator_id: int, *, now: dt.datetime, idle: dt.timedelta) -> int:
        """How many sessions of theirs there are."""
        query = sa.select(sa.func.count()).select_from(operator_session).where(
            operator_session.c.operator_id == operator_id, operator_session.c.expires_at > now,
            within(operator_session.c.seen_at, now, idle), operator_session.c.created_at <= now + SKEW,
        )
        with self._database.connect() as connection:
            return int(connection.execute(query).scalar_one())


def _operator(row: sa.Row[Any]) -> Operator:
    return Operator(**{name: getattr(row, name) for name in Operator.__dataclass_fields__})


def _link(connection: sa.Connection, operator_id: int, hash_: str, now: dt.datetime, until: dt.datetime) -> None:
    connection.execute(sa.insert(operator_link).values(
        token_hash=hash_, operator_id=operator_id, created_at=now, expires_at=until,
    ))


def _by_link(link_hash: str, now: dt.datetime) -> sa.Select[Any]:
    return sa.select(*_COLUMNS).join_from(operator_link, operator).where(
        operator_link.c.token_hash == link_hash, operator_link.c.used_at.is_(None), operator_link.c.expires_at > now,
        operator_link.c.created_at <= now + SKEW,
        operator.c.disabled_at.is_(None),
    )


def _set_password(connection: sa.Connection, operator_id: int, password: str, now: dt.datetime) -> None:
    connection.execute(
        sa.update(operator).where(operator.c.id == operator_id).values(password=password, password_at=now)
    )
    _end_all(connection, operator_id)


def _end_all(connection: sa.Connection, operator_id: int) -> None:
    connection.execute(sa.delete(operator_session).where(operator_session.c.operator_id == operator_id))


def _require_admin(connection: sa.Connection) -> None:
    left = sa.exists().where(operator.c.role == "admin", operator.c.disabled_at.is_(None))
    had = sa.exists().where(operator.c.role == "admin")
    if connection.execute(sa.select(sa.and_(had, ~left))).scalar():
        raise ConflictError(
            "nobody would be left to be admin", where="operators", hint="Make somebody else one first.",
        )
