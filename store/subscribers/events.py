"""What was done about an address, who, when and why: kept by its keyed hash, so that an erase leaves no name."""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from milepost.errors import InputError
from milepost.printable import without_addresses
from store.dialects import given
from store.schema.tables import subscriber_event

Action = Literal[
    "added", "imported", "unsubscribed", "returned", "erased", "suppressed", "lifted", "confirmed", "paused", "resumed",
    "moved", "language",
    "moved_away",  # of the address that a reader had before: an old file that names it asks for nothing
]
READER = "the reader"  # who did it, where no operator and no machine did
_LONGEST = 500  # characters of a reason


@dataclass(frozen=True, kw_only=True, slots=True)
class By:
    """An operator's word: who says it, and why."""

    who: str
    why: str

    def __post_init__(self) -> None:
        """Raises InputError when either is empty."""
        for name, text in (("--by", self.who), ("--why", self.why)):
            if not text.strip():
                raise InputError("it is empty", where=name, hint="Say who you are and how you know; it is kept.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One thing that was done."""

    at: dt.datetime
    action: Action
    by: str
    why: str
    address_hash: str


_COLUMNS = [subscriber_event.c[name] for name in Event.__dataclass_fields__]


def log(connection: sa.Connection, hash_: str, action: Action, by: By, now: dt.datetime) -> None:
    """Keep it, in the transaction that does it; an operator's reason outlives an erase: no address stands in it."""
    log_all(connection, [hash_], action, by, now)


def log_all(connection: sa.Connection, hashes: Sequence[str], action: Action, by: By, now: dt.datetime) -> None:
    """The same of several addresses, about which the same was done."""
    who = " ".join(by.who.split())[:100]
    why = " ".join((by.why if by.who == READER else without_addresses(by.why)).split())[:_LONGEST]
    if hashes:
        connection.execute(sa.insert(subscriber_event), [
            {"address_hash": hash_, "at": now, "action": action, "by": who, "why": why} for hash_ in hashes
        ])


def of(connection: sa.Connection, hash_: str) -> list[Event]:
    """What was done about one address, oldest first."""
    query = sa.select(*_COLUMNS).where(subscriber_event.c.address_hash == hash_).order_by(subscriber_event.c.id)
    return [Event(**row) for row in connection.execute(query).mappings()]


def move(connection: sa.Connection, old: str, new: str) -> None:
    """What was done about one address was done about another, which the same person has now."""
    connection.execute(
        sa.update(subscriber_event).where(subscriber_event.c.address_hash == old).values(address_hash=new)
    )


def moved_away(connection: sa.Connection, hashes: Collection[str]) -> dict[str, dt.datetime]:
    """Of these addresses those of which the last that was done is that their reader took another, with the moment."""
    later = subscriber_event.alias("later")
    asked = given(connection, "moved", {"value": sa.Text()}, [{"value": hash_} for hash_ in hashes])
    query = sa.select(subscriber_event.c.address_hash, subscriber_event.c.at).where(
        subscriber_event.c.address_hash.in_(sa.select(asked.c.value)), subscriber_event.c.action == "moved_away",
        ~sa.exists().where(
            later.c.address_hash == subscriber_event.c.address_hash, later.c.id > subscriber_event.c.id,
        ),
    )
    return {row.address_hash: row.at for row in connection.execute(query)}


def forget_words(connection: sa.Connection, hash_: str) -> None:
    """Empty the reasons of one address: people write names into them."""
    connection.execute(sa.update(subscriber_event).where(subscriber_event.c.address_hash == hash_).values(why=""))


def about_suppressions(connection: sa.Connection) -> dict[str, list[Event]]:
    """Suppressing, lifting and erasing, by address hash, oldest first."""
    query = sa.select(*_COLUMNS).where(subscriber_event.c.action.in_(("suppressed", "lifted", "erased")))
    found: dict[str, list[Event]] = {}
    for row in connection.execute(query.order_by(subscriber_event.c.id)).mappings():
        found.setdefault(row["address_hash"], []).append(Event(**row))
    return found
