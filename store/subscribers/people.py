"""Subscribers: who asked, how often they want to hear and of what, in and out one by one or many at once."""

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from milepost.errors import ConflictError, HeldError, NotFoundError
from milepost.records import Cadence, ReaderLink, Subscriber, SubscriberState
from store.dialects import insert, unchanged
from store.engine import Database
from store.ledger import owed
from store.ledger.letters import enqueue
from store.meta import LINKS_BY_ID_UP_TO, Meta
from store.schema.tables import subscriber, suppression
from store.subscribers import erase, events, importing, suppressions
from store.subscribers.addresses import Address, address_hash, parse
from store.subscribers.events import READER, By
from store.subscribers.importing import Entry, Outcome

UNDO_FOR = dt.timedelta(days=30)  # after they left, a reader's own link brings them back
COLUMNS = ("address", "state", "cadence", "topics", "created_at", "suppressed")  # of a row of `Subscribers.export`


class Subscribers:
    """Everybody who ever asked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        address: str,
        *,
        state: SubscriberState = "active",
        cadence: Cadence = "instant",
        topics: Sequence[str] = (),
        now: dt.datetime,
        by: By | None = None,
    ) -> tuple[Subscriber, bool]:
        """Somebody asks; returns the subscriber and whether they are new. One that is known is left as it is.

        `by`: the operator whose word it is, which is kept. Raises InputError when `address` is none.
        """
        parsed = parse(address)
        hash_ = None if by is None else self._hash(parsed.normalized)
        with self._database.begin() as connection:
            found, new = _add(connection, parsed, state, cadence, topics, now)
            if new and by is not None and hash_ is not None:
                events.log(connection, hash_, "added", by, now)
            return found, new

    def return_(self, address: str, by: By, now: dt.datetime) -> Subscriber:
        """An operator makes somebody active who left, or whose confirmation never came.

        Raises NotFoundError for nobody's address, ConflictError for who is active, HeldError for who is suppressed.
        """
        normalized = parse(address).normalized
        hash_ = self._hash(normalized)
        with self._database.begin() as connection:
            found = _one(connection, subscriber.c.normalized == normalized, address)
            if (listed := suppressions.find(connection, hash_)) is not None:
                raise HeldError(
                    f"is suppressed since {listed.created_at:%Y-%m-%d} ({listed.reason}): nothing would be sent",
                    where=found.address, hint=f"First run `milepost suppressions lift {found.address} --why …`.",
                )
            if found.state == "active":
                raise ConflictError("is active, there is nothing to return to", where=found.address)
            back = {"state": "active", "confirmed_at": now, "unsubscribed_at": None}
            after = turn(connection, locked(connection, found.id), back, now)
            events.log(connection, hash_, "returned", by, now)
            return after

    def unsubscribe(self, address: str, by: By, now: dt.datetime) -> Subscriber:
        """An operator lets somebody go; no message begins for them after this. Raises NotFoundError."""
        normalized = parse(address).normalized
        key = Meta(self._database).address_key()
        with self._database.begin() as connection:
            found = _one(connection, subscriber.c.normalized == normalized, address)
            return let_go(connection, key, found.id, by, now)[0]

    def _hash(self, normalized: str) -> str:
        return address_hash(Meta(self._database).address_key(), normalized)

    def set_choice(
        self, subscriber_id: int, *, cadence: Cadence | None = None, topics: Sequence[str] | None = None,
        language: str | None = None, now: dt.datetime,
    ) -> Subscriber:
        """Change how often they hear, of what (() = everything), in which language; raises NotFoundError.

        What the choice until now owes them is kept, and the next issue of the new cadence pays it.
        """
        values: dict[str, Any] = {}
        if cadence is not None:
            values["cadence"] = cadence
        if topics is not None:
            values["topics"] = list(topics)
        if language is not None:
            values["language"] = language
        key = Meta(self._database).address_key()
        with self._database.begin() as connection:
            before = locked(connection, subscriber_id)
            after = turn(connection, before, values, now)
            if language is not None and language != before.language:
                spoke = before.language or "the newsletter's"
                by = By(who=READER, why=f"{language} instead of {spoke}")
                events.log(connection, address_hash(key, before.normalized), "language", by, now)
            return after

    def pause(self, subscriber_id: int, until: dt.datetime, *, skips: bool, now: dt.datetime) -> Subscriber:
        """An active reader hears nothing before `until`; `skips`: nor afterwards of what they missed.

        Raises NotFoundError, ConflictError for who is not active.
        """
        return self._pause(subscriber_id, until, now, skips=skips)

    def resume(self, subscriber_id: int, now: dt.datetime) -> Subscriber:
        """A pause ends early; raises NotFoundError, ConflictError for who is not active."""
        return self._pause(subscriber_id, None, now)

    def _pause(
        self, subscriber_id: int, until: dt.datetime | None, now: dt.datetime, *, skips: bool = False
    ) -> Subscriber:
        where = f"subscriber {subscriber_id}"
        key = Meta(self._database).address_key()
        with self._database.begin() as connection:
            found = to_subscriber(locked(connection, subscriber_id))
            if found.state != "active":
                raise ConflictError("is not active: there is nothing to pause", where=where)
            if (found.paused_until, found.pause_skips) != (until, skips):
                said = "mails come again" if until is None else f"no mail before {until:%Y-%m-%d %H:%M} UTC; " + (
                    "what they miss is left out" if skips else "what they miss comes then"
                )
                found = _changed(connection, subscriber_id, {"paused_until": until, "pause_skips": skips})
                by = By(who=READER, why=said)
                events.log(connection, address_hash(key, found.normalized), "paused" if until else "resumed", by, now)
            return found

    def leave(self, subscriber_id: int, now: dt.datetime, *, goodbye: bool = False) -> Subscriber:
        """A reader lets us go by their own link; doing it twice changes nothing. Raises NotFoundError.

        `goodbye`: a letter says so, for they saw no page that did.
        """
        key = Meta(self._database).address_key()
        with self._database.begin() as connection:
            by = By(who=READER, why="their own link")
            return let_go(connection, key, subscriber_id, by, now, goodbye=goodbye)[0]

    def come_back(self, subscriber_id: int, now: dt.datetime, *, cadence: Cadence | None = None) -> bool:
        """A reader takes back that they left, with their former choice or another cadence; whether they are back.

        Not after `UNDO_FOR`, not who never confirmed, not who is suppressed or erased. Raises NotFoundError.
        """
        key = Meta(self._database).address_key()
        with self._database.begin() as connection:
            row = locked(connection, subscriber_id)
            found = to_subscriber(row)
            hash_ = address_hash(key, found.normalized)
            listed = suppressions.find(connection, hash_) is not None
            if found.state == "active":
                return not listed
            if listed or not may_come_back(found, now):
                return False
            back: dict[str, Any] = {"state": "active", "unsubscribed_at": None}
            if cadence is not None:
                back["cadence"] = cadence
            turn(connection, row, back, now)
            why = f"took back that they left ({found.unsubscribed_at:%Y-%m-%d})"
            events.log(connection, hash_, "returned", By(who=READER, why=why), now)
            return True

    def get(self, subscriber_id: int) -> Subscriber:
        """The subscriber; raises NotFoundError."""
        with self._database.connect() as connection:
            return _one(connection, subscriber.c.id == subscriber_id, f"subscriber {subscriber_id}")

    def linked(self, link: ReaderLink) -> Subscriber:
        """Whom a reader's own link was mailed to; raises NotFoundError when that is nobody here.

        A link that names an id is of an earlier release: whoever got their id since then was never mailed it.
        """
        where = "a reader's link"
        if link.handle is not None:
            with self._database.questions() as connection:
                row = connection.execute(_BY_HANDLE, {"the_handle": link.handle}).first()
            return _there(row, where)
        last = int(Meta(self._database).get(LINKS_BY_ID_UP_TO) or 0)
        with self._database.questions() as connection:
            return _one(connection, sa.and_(subscriber.c.id == link.subscriber_id, subscriber.c.id <= last), where)

    def find(self, address: str) -> Subscriber | None:
        """The subscriber of that address, None when there is none; raises InputError when it is no address."""
        normalized = parse(address).normalized
        with self._database.connect() as connection:
            row = connection.execute(SELECT.where(subscriber.c.normalized == normalized)).first()
        return None if row is None else to_subscriber(row)

    def list(self, *, state: SubscriberState | None = None) -> list[Subscriber]:
        """Those in one state, or all, in the order they came."""
        query = SELECT.order_by(subscriber.c.id)
        if state is not None:
            query = query.where(subscriber.c.state == state)
        with self._database.connect() as connection:
            return [to_subscriber(row) for row in connection.execute(query)]

    def choices(self, cadence: Cadence) -> set[tuple[frozenset[str], str | None]]:
        """Every choice of topics and language that active subscribers of a cadence made, once."""
        query = sa.select(subscriber.c.topics, subscriber.c.language).where(
            subscriber.c.state == "active", subscriber.c.cadence == cadence
        )
        with self._database.connect() as connection:
            return {(frozenset(row.topics), row.language) for row in connection.execute(query.distinct())}

    def choices_of(
        self, cadence: Cadence, ids: Collection[int]
    ) -> Mapping[int, tuple[frozenset[str], str | None]]:
        """The topics and the language of those of `ids` who are active subscribers of a cadence."""
        query = sa.select(subscriber.c.id, subscriber.c.topics, subscriber.c.language).where(
            subscriber.c.state == "active", subscriber.c.cadence == cadence
        )
        wanted = sorted(ids)
        found: dict[int, tuple[frozenset[str], str | None]] = {}
        with self._database.connect() as connection:
            for start in range(0, len(wanted), 500):
                rows = connection.execute(query.where(subscriber.c.id.in_(wanted[start : start + 500])))
                found |= {row.id: (frozenset(row.topics), row.language) for row in rows}
        return found

    def counts(self) -> dict[str, int]:
        """How many there are in each state that has any."""
        query = sa.select(subscriber.c.state, sa.func.count()).group_by(subscriber.c.state)
        with self._database.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def more_than(self, count: int) -> bool:
        """Whether there are more than `count` of them, in whatever state, without counting the rest."""
        query = sa.select(subscriber.c.id).order_by(subscriber.c.id).offset(count).limit(1)
        with self._database.connect() as connection:
            return connection.execute(query).first() is not None

    def cadences(self) -> dict[str, int]:
        """How many active subscribers asked for each cadence."""
        query = sa.select(subscriber.c.cadence, sa.func.count()).where(subscriber.c.state == "active")
        with self._database.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query.group_by(subscriber.c.cadence))}

    def erase(self, address: str, by: By, now: dt.datetime) -> bool:
        """Forget an address everywhere and never mail it again; returns whether it was known as a subscriber.

        What stays is a keyed hash, on the list of suppressed addresses and in the ledger's rows, so that the equation
        of past issues still holds. Raises InputError when it is no address.
        """
        normalized = parse(address).normalized
        key = Meta(self._database).address_key()
        with self._database.begin() as connection:
            return erase.erase(connection, key, normalized, now, by)

    def import_(
        self, entries: Sequence[Entry], *, now: dt.datetime, by: By, dry_run: bool = False,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> Sequence[Outcome]:
        """Take in many; returns what became of each person (`importing.admit`).

        Some at a time are one transaction, so that others write in between; what was broken off goes on when the file
        is taken in again, for whoever is in already is known. `by.why` names the file. `dry_run` decides the same and
        writes nothing. `progress`: people decided on, of all.
        """
        key = Meta(self._database).address_key()

        def take_in(connection: sa.Connection, some: Sequence[Entry]) -> Sequence[Outcome]:
            hashes = {one.address.normalized: address_hash(key, one.address.normalized) for one in some}
            return importing.take_in(connection, hashes, some, now=now, by=by.who, why=by.why, dry_run=dry_run)

        return self._database.in_parts(
            importing.strictest(entries), importing.TOGETHER, take_in, dry_run=dry_run, progress=progress)

    def export(self) -> Iterator[dict[str, str]]:
        """Rows with COLUMNS, in the order they came, a few in memory at a time; who was erased is in none."""
        query = SELECT.where(subscriber.c.address != "").order_by(subscriber.c.id)
        key = Meta(self._database).address_key()
        streamed = {"yield_per": 1000}
        with self._database.connect() as connection:
            listed = sa.select(suppression.c.address_hash, suppression.c.reason)
            reasons = {row.address_hash: row.reason for row in connection.execute(listed)}
            with connection.execute(query, execution_options=streamed) as rows:
                for row in rows:
                    yield {
                        "address": row.address, "state": row.state, "cadence": row.cadence,
                        "topics": " ".join(row.topics), "created_at": row.created_at.isoformat(),
                        "suppressed": reasons.get(address_hash(key, row.normalized), ""),
                    }


SELECT: sa.Select[Any] = sa.select(
    subscriber.c.id, subscriber.c.address, subscriber.c.normalized, subscriber.c.state, subscriber.c.cadence,
    subscriber.c.topics, subscriber.c.created_at, subscriber.c.chosen_at, subscriber.c.confirmed_at,
    subscriber.c.unsubscribed_at, subscriber.c.language, subscriber.c.paused_until, subscriber.c.pause_skips,
)


def to_subscriber(row: sa.Row[Any]) -> Subscriber:
    """A row of the subscriber table as a record."""
    return Subscriber(
        id=row.id, address=row.address, normalized=row.normalized, state=row.state, cadence=row.cadence,
        topics=tuple(row.topics), created_at=row.created_at, chosen_at=row.chosen_at, confirmed_at=row.confirmed_at,
        unsubscribed_at=row.unsubscribed_at, language=row.language, paused_until=row.paused_until,
        pause_skips=row.pause_skips,
    )


def may_come_back(found: Subscriber, now: dt.datetime) -> bool:
    """Whether somebody's own link brings them back: they left a short while ago, and had confirmed before. Pure."""
    left = found.unsubscribed_at
    return (
        found.state == "unsubscribed" and found.address != "" and found.confirmed_at is not None and left is not None
        and now - left < UNDO_FOR
    )


_BY_HANDLE = SELECT.where(subscriber.c.handle == sa.bindparam("the_handle"))
_LOCKED = unchanged(SELECT.where(subscriber.c.id == sa.bindparam("the_id")))


def locked(connection: sa.Connection, subscriber_id: int) -> sa.Row[Any]:
    """The subscriber, whom nobody else changes before this transaction ends; raises NotFoundError."""
    row = connection.execute(_LOCKED, {"the_id": subscriber_id}).first()
    if row is None:
        raise _nobody(f"subscriber {subscriber_id}")
    return row


def let_go(
    connection: sa.Connection, key: bytes, subscriber_id: int, by: By, now: dt.datetime, *, goodbye: bool = False
) -> tuple[Subscriber, bool]:
    """No message begins for them after this; who they are then, and whether they were here until now.

    `goodbye`: a letter that says so is queued. Raises NotFoundError.
    """
    who = locked(connection, subscriber_id)
    if who.state == "unsubscribed":
        return to_subscriber(who), False
    after = turn(connection, who, {"state": "unsubscribed", "unsubscribed_at": now}, now)
    hash_ = address_hash(key, who.normalized)
    events.log(connection, hash_, "unsubscribed", by, now)
    if goodbye:
        enqueue(connection, "goodbye", who.address, hash_, now, subscriber=subscriber_id)
    return after, True


def turn(connection: sa.Connection, before: sa.Row[Any], values: dict[str, Any], now: dt.datetime) -> Subscriber:
    """Give a subscriber (as `locked` has them) another state, cadence or topics, and keep what those of until now owe
    them; who they are then."""
    if "state" in values and values["state"] != before.state:  # a pause ends with the state that it was of
        values = {"paused_until": None, "pause_skips": False} | values
    turned = {
        name: value for name, value in values.items()
        if name in ("state", "cadence", "topics", "language", "paused_until") and value != getattr(before, name)
    }
    if not turned:
        return to_subscriber(before)
    chosen = {"chosen_at": now} if {"cadence", "topics"} & set(turned) or turned.get("state") == "active" else {}
    # Before we look what they are owed: an issue that is being sealed is waited for here.
    after = _changed(connection, before.id, values | chosen)
    why = {"active": "return", "unsubscribed": "left"}.get(turned.get("state", ""), "cadence")
    if why != "cadence" or "cadence" in turned:  # other topics alone leave their cadence's news before them
        owed.keep(connection, before, now, why)
    return after


def _changed(connection: sa.Connection, subscriber_id: int, values: Mapping[str, Any]) -> Subscriber:
    """The subscriber as these columns make them."""
    change = sa.update(subscriber).where(subscriber.c.id == subscriber_id).values(**values)
    return to_subscriber(connection.execute(change.returning(*SELECT.selected_columns)).one())


def _add(
    connection: sa.Connection, parsed: Address, state: SubscriberState, cadence: Cadence, topics: Sequence[str],
    now: dt.datetime,
) -> tuple[Subscriber, bool]:
    new = insert(connection, subscriber).values(**_values(parsed, state, cadence, topics, now))
    made = connection.execute(new.on_conflict_do_nothing().returning(subscriber.c.id)).first()
    return _one(connection, subscriber.c.normalized == parsed.normalized, parsed.address), made is not None


def _values(
    parsed: Address, state: SubscriberState, cadence: Cadence, topics: Sequence[str], now: dt.datetime
) -> dict[str, Any]:
    return {
        "address": parsed.address, "normalized": parsed.normalized, "state": state, "cadence": cadence,
        "topics": list(topics), "created_at": now, "confirmed_at": now if state == "active" else None,
        "unsubscribed_at": now if state == "unsubscribed" else None,
    }


def _one(connection: sa.Connection, clause: sa.ColumnElement[bool], where: str) -> Subscriber:
    return _there(connection.execute(SELECT.where(clause)).first(), where)


def _there(row: sa.Row[Any] | None, where: str) -> Subscriber:
    if row is None:
        raise _nobody(where)
    return to_subscriber(row)


def _nobody(where: str) -> NotFoundError:
    return NotFoundError("there is no such subscriber", where=where, hint="See `milepost subscribers list`.")
