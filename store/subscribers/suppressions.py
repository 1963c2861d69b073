"""Addresses never to be mailed again, found by a keyed hash so that even an erased one stays on the list."""

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from milepost.errors import NotFoundError
from store.dialects import insert, unchanged
from store.engine import Database
from store.meta import Meta
from store.schema.tables import subscriber, suppression
from store.subscribers import events
from store.subscribers.addresses import address_hash, parse
from store.subscribers.events import By, Event


@dataclass(frozen=True, kw_only=True, slots=True)
class Suppression:
    """One address that is never mailed."""

    address_hash: str
    normalized: str | None  # None after an erase
    reason: str
    created_at: dt.datetime


# What a mailbox that works proves wrong; all other reasons somebody meant. Written by store.ledger.bounces,
# delivery.smtp.replies and delivery.bounces.reports.
_BOUNCED = re.compile(r"[45]\d\d(?: [45]\.\d+\.\d+)?|bounce \S.*|\d+ soft bounces")


def liftable(reason: str) -> bool:
    """Whether a reader's own confirmation takes an address off the list: for bounces alone. Pure."""
    return _BOUNCED.fullmatch(reason) is not None


def outranks(reason: str, known: str) -> bool:
    """Whether a reason takes the place of the one an address is on the list for: no confirmation lifts it. Pure."""
    return liftable(known) and not liftable(reason)


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """An address that a list of somebody's names as never to be mailed."""

    normalized: str
    reason: str  # in one line, without addresses: it outlives an erase
    since: dt.datetime | None  # None: the list doesn't say


Taken = Literal["added", "stricter", "known"]  # "stricter": its reason took the place of one that readers can lift
TAKEN: tuple[Taken, ...] = ("added", "stricter", "known")
TOGETHER = 500  # asked for in one statement, and written in one transaction


class Suppressions:
    """The list of addresses never to be mailed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, address: str, reason: str, now: dt.datetime, *, by: By | None = None) -> bool:
        """Never mail `address` again; returns whether that is new. Raises InputError when it is no address.

        `by`: the operator whose word it is; None for what a server's answer made necessary.
        """
        normalized = parse(address).normalized
        key = Meta(self._database).address_key()
        with self._database.begin() as connection:
            new = suppress(connection, key, normalized, reason, now)
            if new and by is not None:
                events.log(connection, address_hash(key, normalized), "suppressed", by, now)
            return new

    def add_all(
        self, named: Sequence[Named], *, by: By, now: dt.datetime, dry_run: bool = False,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> list[tuple[Taken, bool]]:
        """Never mail any of these again; for each what came of it, and whether it was mailed until now.

        Some at a time are one transaction, so that others write in between; who asks again after it was broken off
        finds those on the list. Nobody is taken off it, and nothing is forgotten of who is on it. `dry_run` tells the
        same and writes nothing. No address may be among them twice. `progress`: addresses decided on, of all.
        """
        key = Meta(self._database).address_key()
        return self._database.in_parts(
            named, TOGETHER, lambda connection, some: _add_some(connection, key, some, by, now, dry_run=dry_run),
            dry_run=dry_run, progress=progress,
        )

    def lift(self, address: str, by: By, now: dt.datetime) -> Suppression:
        """An operator lets an address be mailed again; what was on the list is kept in its history, and returned.

        Raises NotFoundError when it is not on the list.
        """
        hash_ = self._hash(address)
        with self._database.begin() as connection:
            found = find(connection, hash_)
            if found is None:
                raise NotFoundError("is not suppressed", where=address, hint="See `milepost suppressions list`.")
            connection.execute(sa.delete(suppression).where(suppression.c.address_hash == hash_))
            was = f"{by.why} (was suppressed {found.created_at:%Y-%m-%d}: {found.reason})"
            events.log(connection, hash_, "lifted", By(who=by.who, why=was), now)
            return found

    def find(self, address: str) -> Suppression | None:
        """Why `address` is never to be mailed, None when it may be; raises InputError when it is no address."""
        hash_ = self._hash(address)
        with self._database.questions() as connection:
            return find(connection, hash_)

    def list(self) -> list[Suppression]:
        """All of them, oldest first."""
        with self._database.connect() as connection:
            return [Suppression(**row) for row in connection.execute(_SELECT.order_by(suppression.c.id)).mappings()]

    def history(self, address: str) -> Sequence[Event]:
        """What operators did about an address, oldest first; raises InputError when it is none."""
        hash_ = self._hash(address)
        with self._database.connect() as connection:
            return events.of(connection, hash_)

    def histories(self) -> Mapping[str, Sequence[Event]]:
        """By keyed hash: whatever operators put on this list or lifted, oldest first."""
        with self._database.connect() as connection:
            return events.about_suppressions(connection)

    def _hash(self, address: str) -> str:
        return address_hash(Meta(self._database).address_key(), parse(address).normalized)


_SELECT = sa.select(
    suppression.c.address_hash, suppression.c.normalized, suppression.c.reason, suppression.c.created_at
)


_OF_HASH = _SELECT.where(suppression.c.address_hash == sa.bindparam("the_hash"))


def find(connection: sa.Connection, hash_: str) -> Suppression | None:
    """What stands on the list for that keyed hash."""
    row = connection.execute(_OF_HASH, {"the_hash": hash_}).mappings().first()
    return None if row is None else Suppression(**row)


def suppress(
    connection: sa.Connection, key: bytes, normalized: str, reason: str, now: dt.datetime | sa.ColumnElement[Any]
) -> bool:
    """Add a normalized address to the list in an open transaction; returns whether that is new.

    Where it is on the list for bounces, a reason that no confirmation lifts takes their place.
    """
    # Ledger.begin holds this row while it decides, so that no DATA begins after our commit.
    connection.execute(unchanged(sa.select(subscriber.c.id).where(subscriber.c.normalized == normalized)))
    new = insert(connection, suppression).values(
        address_hash=address_hash(key, normalized), normalized=normalized, reason=reason, created_at=now
    )
    done = connection.execute(new.on_conflict_do_nothing().returning(suppression.c.id))
    if done.first() is not None:
        return True
    known = find(connection, address_hash(key, normalized))
    if known is not None and outranks(reason, known.reason):
        mine = suppression.c.address_hash == known.address_hash
        connection.execute(sa.update(suppression).where(mine).values(reason=reason))
    return False


def _add_some(
    connection: sa.Connection, key: bytes, named: Sequence[Named], by: By, now: dt.datetime, *, dry_run: bool
) -> list[tuple[Taken, bool]]:
    hashes = {one.normalized: address_hash(key, one.normalized) for one in named}
    people = (
        sa.select(subscriber.c.normalized, subscriber.c.state).where(subscriber.c.normalized.in_(hashes))
        .order_by(subscriber.c.id)
    )
    # as in `suppress`; whoever else does the same takes them in this order
    rows = connection.execute(people if dry_run else unchanged(people))
    mailed = {row.normalized for row in rows if row.state == "active"}
    listed = connection.execute(_SELECT.where(suppression.c.address_hash.in_(hashes.values()))).mappings()
    known = {row["address_hash"]: row["reason"] for row in listed}
    done: list[tuple[Taken, bool]] = []
    for one in named:
        reason = known.get(hashes[one.normalized])
        taken: Taken = "added" if reason is None else "stricter" if outranks(one.reason, reason) else "known"
        done.append((taken, reason is None and one.normalized in mailed))
    if not dry_run:
        _write(connection, hashes, [(one, taken) for one, (taken, _) in zip(named, done, strict=True)], by, now)
    return done


def _write(
    connection: sa.Connection, hashes: Mapping[str, str], decided: Sequence[tuple[Named, Taken]], by: By,
    now: dt.datetime,
) -> None:
    new = [
        {"address_hash": hashes[one.normalized], "normalized": one.normalized, "reason": one.reason,
         "created_at": now if one.since is None else min(one.since, now)}
        for one, taken in decided if taken == "added"
    ]
    if new:
        connection.execute(insert(connection, suppression).on_conflict_do_nothing(), new)
    for one, taken in decided:
        if taken == "stricter":
            mine = suppression.c.address_hash == hashes[one.normalized]
            connection.execute(sa.update(suppression).where(mine).values(reason=one.reason))
    events.log_all(
        connection, [hashes[one.normalized] for one, taken in decided if taken != "known"], "suppressed", by, now)
