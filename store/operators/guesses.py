"""Passwords that are tried: counted before they are looked at, by the name and the network they come from.

    begin ─ too many of a network, or of a name from a network that guessed at it ─▶ refused
      └─▶ (the password is looked at) ─ right ─▶ forgive
"""

import datetime as dt
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from store.clock import within
from store.dialects import serialize
from store.engine import Database
from store.schema.tables import guess

WINDOW = dt.timedelta(minutes=15)
Refused = Literal["network", "name"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How many wrong guesses there may be in WINDOW."""

    per_network: int = 20  # at whatever name
    per_name: int = 10  # from wherever: from then on a network that guessed wrongly at it guesses no more


class Guesses:
    """All that wait to be found right or wrong, and those that were wrong."""

    def __init__(self, database: Database, limits: Limits | None = None) -> None:
        self._database, self._limits = database, limits or Limits()

    def begin(self, name: str, network: str, *, now: dt.datetime) -> int | Refused:
        """Count one that is about to be looked at, and give its number; or which limit refuses it.

        A name is never locked as a whole: who guesses at it would lock its owner out. A network from which nobody
        guessed wrongly at it is still let in.
        """
        since = within(guess.c.at, now, WINDOW)
        with self._database.begin() as connection:
            serialize(connection, "guesses")
            connection.execute(sa.delete(guess).where(~since))

            def count(*where: sa.ColumnElement[bool]) -> int:
                return int(connection.execute(
                    sa.select(sa.func.count()).select_from(guess).where(since, *where)
                ).scalar_one())

            if count(guess.c.network == network) >= self._limits.per_network:
                return "network"
            of_name = guess.c.name == name
            if count(of_name) >= self._limits.per_name and count(of_name, guess.c.network == network):
                return "name"
            made = sa.insert(guess).values(name=name, network=network, at=now).returning(guess.c.id)
            return int(connection.execute(made).scalar_one())

    def forgive(self, number: int) -> None:
        """It was right."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(guess).where(guess.c.id == number))
