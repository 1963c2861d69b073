"""Which programs may ask and decide over the API: tokens made, listed, revoked, and known again when they are shown."""

import datetime as dt
from collections.abc import Sequence
from typing import Literal, get_args

from milepost.errors import InputError
from pipeline.operators.acts import at_the_console, kept
from store.database import Database
from store.operators.tokens import Token, Tokens

__all__ = ["SCOPES", "KnownTokens", "Scope", "Token", "add", "listed", "revoke"]

Scope = Literal["read", "decide", "readers", "readers.write"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_USED = dt.timedelta(minutes=1)  # how exactly "last used" is kept: a write a request would cost more than it tells
_LONGEST_NAME, _LONGEST_DAYS = 80, 3660


def add(
    database: Database, name: str, scopes: Sequence[str], *, days: int | None, by: str, now: dt.datetime
) -> tuple[str, Token]:
    """A new token, shown this once, and what is kept of it; `days` until it expires, None: never.

    Raises InputError for a scope that there isn't, ConflictError for a name that was given before.
    """
    name = " ".join(name.split())
    if not name or len(name) > _LONGEST_NAME:
        raise InputError(f"a name has 1 to {_LONGEST_NAME} characters", where=repr(name[:_LONGEST_NAME]),
                         hint="Say which program it is for.")
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise InputError(f"there is no scope {unknown[0]!r}" if unknown else "it would open nothing", where="--scope",
                         hint=f"Choose from {', '.join(SCOPES)}.")
    if days is not None and not 1 <= days <= _LONGEST_DAYS:
        raise InputError(f"{days} is no number of days", where="--days", hint=f"Give 1 to {_LONGEST_DAYS}.")
    until = None if days is None else now + dt.timedelta(days=days)
    chosen = [scope for scope in SCOPES if scope in scopes]
    return kept(
        database, at_the_console(by), "token.add", f"token {name}",
        lambda: Tokens(database).add(name, chosen, by=by, now=now, expires_at=until),
        after=lambda made: {"scopes": list(made[1].scopes), "expires_at": until and until.isoformat()},
        says=lambda _: f"it may {', '.join(chosen)}", now=lambda: now,
    )


def listed(database: Database) -> list[Token]:
    """All that ever were, oldest first."""
    return Tokens(database).list()


def revoke(database: Database, name: str, *, why: str, by: str, now: dt.datetime) -> Token:
    """It opens nothing from now on; raises NotFoundError, InputError without a reason."""
    if not why.strip():
        raise InputError("it is empty", where="--why", hint="Say why; it is kept.")
    return kept(
        database, at_the_console(by), "token.revoke", f"token {name}",
        lambda: Tokens(database).revoke(name, " ".join(why.split()), now), why=why,
        says=lambda token: f"{token.name} opens nothing any more", now=lambda: now,
    )


class KnownTokens:
    """Who shows one; every method raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._tokens = Tokens(database)

    def known(self, shown: str) -> Token | None:
        """Whose token that is, also one that opens nothing; None for what never was one."""
        return self._tokens.find(shown)

    def note_used(self, token: Token, now: dt.datetime) -> None:
        """Keep that it was shown, to the minute."""
        if token.last_used_at is None or now - token.last_used_at >= _USED:
            self._tokens.used(token.id, now)
