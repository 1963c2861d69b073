"""Another address for a subscriber: theirs once it is confirmed there; the old one is told, and may undo it.

    ask ─▶ change, letter "move" queued to the new address     the same whoever has that address
    confirm ─▶ the subscriber has it, with all their history; letter "moved" queued to the old one
    undo ─▶ the old address again, for `UNDO_FOR`

Two readers are never made one: what is somebody's, suppressed or erased stays where it is.
"""

import datetime as dt
import secrets
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from milepost.errors import NotFoundError
from store.clock import within
from store.dialects import serialize, unchanged
from store.engine import Database
from store.ledger.letters import enqueue
from store.meta import Meta
from store.schema.tables import address_change, letter, sign_up, subscriber, suppression
from store.subscribers import events, suppressions
from store.subscribers.addresses import Address, address_hash
from store.subscribers.events import READER, By
from store.subscribers.people import UNDO_FOR
from store.subscribers.sign_ups import FORGET_AFTER, HOUR, Limits, count

PER_DAY = 3  # changes that one reader may ask for
Refusal = Literal["network", "backlog", "reader"]
_AWAY = By(who=READER, why="they read at another address")  # names none: the reader may be erased
Ended = Literal["moved", "again", "kept_out", "unknown"]
Undone = Literal["undone", "again", "kept_out", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AddressChange:
    """One change that somebody asked for."""

    id: int
    subscriber: int
    name: str
    undo_name: str
    old_address: str
    old_normalized: str
    new_address: str
    new_normalized: str
    language: str
    asked_at: dt.datetime
    confirmed_at: dt.datetime | None
    undone_at: dt.datetime | None  # taken back, given up for another, or its letter reached nobody


class AddressChanges:
    """All changes of the last month."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(
        self, subscriber_id: int, new: Address, *, language: str, network: str, limits: Limits, now: dt.datetime
    ) -> Refusal | None:
        """Take it in and queue its letter; which limit kept it out, None when none did.

        One that is asked for again keeps its link, and whatever else the reader asked for leads nowhere any more.
        Raises NotFoundError.
        """
        hash_ = self._hash(new.normalized)
        with self._database.begin() as connection:
            serialize(connection, "sign_up")  # what is counted must not change before it is written
            who = _locked(connection, subscriber_id)
            if (refusal := _refusal(connection, subscriber_id, new, network, limits, now)) is not None:
                count(connection, refusal, now)
                return refusal
            count(connection, "moving", now)
            theirs = sa.and_(
                address_change.c.subscriber == subscriber_id, address_change.c.confirmed_at.is_(None),
            )
            same = sa.and_(
                theirs, address_change.c.new_normalized == new.normalized,
                address_change.c.old_normalized == who.normalized, address_change.c.asked_at > now - FORGET_AFTER,
            )
            connection.execute(
                sa.update(address_change).where(theirs, address_change.c.undone_at.is_(None)).values(undone_at=now)
            )
            found = connection.execute(sa.select(address_change.c.id).where(same)).scalar()
            if found is None:
                found = connection.execute(sa.insert(address_change).values(
                    subscriber=subscriber_id, name=secrets.token_urlsafe(18), undo_name=secrets.token_urlsafe(18),
                    old_address=who.address, old_normalized=who.normalized, new_address=new.address,
                    new_normalized=new.normalized, language=language, network=network, asked_at=now,
                ).returning(address_change.c.id)).scalar_one()
            else:
                connection.execute(sa.update(address_change).where(address_change.c.id == found).values(
                    undone_at=None, asked_at=now, language=language, new_address=new.address,
                ))
            enqueue(connection, "move", new.address, hash_, now, subscriber=subscriber_id, change=found)
            return None

    def find(self, name: str, now: dt.datetime) -> AddressChange | None:
        """The change that waits for its confirmation and whose link that is."""
        return self._find(sa.and_(
            address_change.c.name == name, address_change.c.confirmed_at.is_(None),
            address_change.c.undone_at.is_(None), address_change.c.asked_at > now - FORGET_AFTER,
        ))

    def find_undo(self, undo_name: str, now: dt.datetime) -> AddressChange | None:
        """The change that was made and can be undone, and whose link at the old address that is."""
        return self._find(sa.and_(
            address_change.c.undo_name == undo_name, address_change.c.undone_at.is_(None),
            address_change.c.confirmed_at > now - UNDO_FOR,
        ))

    def confirm(self, name: str, now: dt.datetime) -> Ended:
        """Whoever has the letter at the new address pressed the button; a second press changes nothing."""
        key = Meta(self._database).address_key()
        with self._database.begin() as connection:
            found = _found(connection, address_change.c.name == name)
            if found is None:
                return "unknown"
            asked, who = found
            if asked.undone_at is not None or asked.asked_at <= now - FORGET_AFTER:
                return "unknown"
            if asked.confirmed_at is not None:
                return "again" if who.normalized == asked.new_normalized else "unknown"
            if who.state != "active" or who.normalized != asked.old_normalized:
                return "unknown"
            old, new = address_hash(key, asked.old_normalized), address_hash(key, asked.new_normalized)
            before = suppressions.find(connection, old)
            if (
                suppressions.find(connection, new) is not None
                or (before is not None and not suppressions.liftable(before.reason))  # a complaint moves with nobody
                or not _move(connection, who.id, asked.new_address, asked.new_normalized)
            ):
                return "kept_out"
            events.move(connection, old, new)
            _keep_as_theirs(connection, who.id, asked.old_normalized, old)
            events.log(connection, new, "moved", By(who=READER, why=f"it was {asked.old_address} before"), now)
            events.log(connection, old, "moved_away", _AWAY, now)
            connection.execute(
                sa.update(address_change).where(address_change.c.id == asked.id).values(confirmed_at=now)
            )
            enqueue(connection, "moved", asked.old_address, old, now, subscriber=who.id, change=asked.id)
            return "moved"

    def undo(self, undo_name: str, now: dt.datetime) -> Undone:
        """Whoever has the letter at the old address pressed the button: it is the subscriber's again."""
        key = Meta(self._database).address_key()
        with self._database.begin() as connection:
            found = _found(connection, address_change.c.undo_name == undo_name)
            if found is None:
                return "unknown"
            asked, who = found
            if asked.confirmed_at is None or asked.confirmed_at <= now - UNDO_FOR:
                return "unknown"
            if asked.undone_at is not None:
                return "again" if who.normalized == asked.old_normalized else "unknown"
            if who.normalized != asked.new_normalized:
                return "unknown"
            old, new = address_hash(key, asked.old_normalized), address_hash(key, asked.new_normalized)
            listed = suppressions.find(connection, old)
            if (listed is not None and not suppressions.liftable(listed.reason)) or not _move(
                connection, who.id, asked.old_address, asked.old_normalized
            ):
                return "kept_out"
            if listed is not None:  # its mailbox works: the letter came
                connection.execute(sa.delete(suppression).where(suppression.c.address_hash == old))
            events.move(connection, new, old)
            why = f"undone: it was {asked.new_address} in between"
            events.log(connection, old, "moved", By(who=READER, why=why), now)
            events.log(connection, new, "moved_away", _AWAY, now)
            connection.execute(sa.update(address_change).where(address_change.c.id == asked.id).values(undone_at=now))
            return "undone"

    def of(self, subscriber_id: int) -> list[AddressChange]:
        """Those of one subscriber, oldest first."""
        query = sa.select(*_COLUMNS).where(address_change.c.subscriber == subscriber_id).order_by(address_change.c.id)
        with self._database.connect() as connection:
            return [AddressChange(**row) for row in connection.execute(query).mappings()]

    def forget(self, now: dt.datetime) -> int:
        """Remove what can neither be confirmed nor undone any more; returns how many."""
        old = sa.func.coalesce(address_change.c.confirmed_at, address_change.c.asked_at) <= now - FORGET_AFTER
        with self._database.connect() as connection:  # mostly there is nothing: no writer waits for us then
            if connection.execute(sa.select(address_change.c.id).where(old).limit(1)).first() is None:
                return 0
        with self._database.begin() as connection:
            return connection.execute(sa.delete(address_change).where(old)).rowcount

    def _find(self, clause: sa.ColumnElement[bool]) -> AddressChange | None:
        with self._database.connect() as connection:
            return _one(connection, clause)

    def _hash(self, normalized: str) -> str:
        return address_hash(Meta(self._database).address_key(), normalized)


_COLUMNS = [address_change.c[name] for name in AddressChange.__dataclass_fields__]


def _one(connection: sa.Connection, clause: sa.ColumnElement[bool]) -> AddressChange | None:
    row = connection.execute(sa.select(*_COLUMNS).where(clause)).mappings().first()
    return None if row is None else AddressChange(**row)


def _found(
    connection: sa.Connection, clause: sa.ColumnElement[bool]
) -> tuple[AddressChange, sa.Row[Any]] | None:
    """A change and its subscriber, whom nobody else changes before this transaction ends."""
    asked = _one(connection, clause)
    if asked is None:
        return None
    who = _locked(connection, asked.subscriber)
    asked = _one(connection, clause)  # as whoever pressed in the same moment left it
    return None if asked is None else (asked, who)


def _locked(connection: sa.Connection, subscriber_id: int) -> sa.Row[Any]:
    row = connection.execute(unchanged(sa.select(subscriber).where(subscriber.c.id == subscriber_id))).first()
    if row is None:
        raise NotFoundError("there is no such subscriber", where=f"subscriber {subscriber_id}")
    return row


def _move(connection: sa.Connection, subscriber_id: int, address: str, normalized: str) -> bool:
    """Whether it is theirs now: not what another reader has, be it since this very moment."""
    theirs = sa.update(subscriber).where(subscriber.c.id == subscriber_id)
    try:
        with connection.begin_nested():
            connection.execute(theirs.values(address=address, normalized=normalized))
    except sa.exc.IntegrityError:
        return False
    return True


def _keep_as_theirs(connection: sa.Connection, subscriber_id: int, normalized: str, hash_: str) -> None:
    """What went to the address they had names them, so that they are told of it and an erase finds it."""
    settled = sa.and_(letter.c.subscriber.is_(None), letter.c.state.not_in(("queued", "sending")))
    connection.execute(
        sa.update(letter).where(letter.c.address_hash == hash_, settled).values(subscriber=subscriber_id)
    )
    confirmed = sa.and_(sign_up.c.normalized == normalized, sign_up.c.confirmed_at.is_not(None))
    connection.execute(sa.delete(sign_up).where(confirmed))  # the consent tells all of it


def _refusal(
    connection: sa.Connection, subscriber_id: int, new: Address, network: str, limits: Limits, now: dt.datetime
) -> Refusal | None:
    def number(query: sa.Select[Any]) -> int:
        return int(connection.execute(query).scalar_one())

    moving = sa.select(sa.func.count()).select_from(address_change)
    others = moving.where(address_change.c.new_normalized != new.normalized)
    theirs = address_change.c.subscriber == subscriber_id
    if number(others.where(theirs, within(address_change.c.asked_at, now, dt.timedelta(days=1)))) >= PER_DAY:
        return "reader"
    signing_up = sa.select(sa.func.count()).select_from(sign_up).where(
        sign_up.c.network == network, within(sign_up.c.asked_at, now, HOUR)
    )
    of_network = others.where(address_change.c.network == network, within(address_change.c.asked_at, now, HOUR))
    if number(of_network) + number(signing_up) >= limits.per_network:
        return "network"
    waiting = sa.select(sa.func.count()).select_from(letter).where(letter.c.state == "queued")
    return "backlog" if number(waiting) >= limits.backlog else None
