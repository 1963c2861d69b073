"""Subscribers: who asked, how often they want to hear and of what, in and out one by one or by the file."""

import csv
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, cast

import sqlalchemy as sa

from milepost.errors import InputError, NotFoundError
from milepost.records import CADENCES, Cadence, Subscriber, SubscriberState
from store.dialects import insert
from store.engine import Database
from store.meta import Meta
from store.schema.tables import SUBSCRIBER_STATES, subscriber
from store.subscribers import erase
from store.subscribers.addresses import Address, parse

COLUMNS = ("address", "state", "cadence", "topics", "created_at")  # of a file that is imported or exported


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """How an import went."""

    added: int
    known: int  # addresses that were there already, left as they are
    errors: tuple[tuple[int, str], ...]  # (line of the file, or row from 1 where there is none; what is wrong with it)


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
    ) -> tuple[Subscriber, bool]:
        """Somebody asks; returns the subscriber and whether they are new. One that is known is left as it is.

        Raises InputError when `address` is none.
        """
        parsed = parse(address)
        with self._database.begin() as connection:
            return _add(connection, parsed, state, cadence, topics, now)

    def set_state(self, subscriber_id: int, state: SubscriberState, now: dt.datetime) -> Subscriber:
        """Confirm, unsubscribe or bring back; the moment is kept. Raises NotFoundError."""
        values: dict[str, Any] = {"state": state}
        if state == "active":
            values |= {"confirmed_at": now, "unsubscribed_at": None}
        if state == "unsubscribed":
            values |= {"unsubscribed_at": now}
        return self._change(subscriber_id, values, unless=subscriber.c.state == state)

    def set_choice(
        self, subscriber_id: int, *, cadence: Cadence | None = None, topics: Sequence[str] | None = None
    ) -> Subscriber:
        """Change how often they hear, or of what (() = everything); raises NotFoundError."""
        values: dict[str, Any] = {}
        if cadence is not None:
            values["cadence"] = cadence
        if topics is not None:
            values["topics"] = list(topics)
        return self._change(subscriber_id, values)

    def _change(
        self, subscriber_id: int, values: dict[str, Any], unless: sa.ColumnElement[bool] | None = None
    ) -> Subscriber:
        with self._database.begin() as connection:
            if values:
                query = sa.update(subscriber).where(subscriber.c.id == subscriber_id)
                connection.execute((query if unless is None else query.where(~unless)).values(**values))
            return _one(connection, subscriber.c.id == subscriber_id, f"subscriber {subscriber_id}")

    def get(self, subscriber_id: int) -> Subscriber:
        """The subscriber; raises NotFoundError."""
        with self._database.connect() as connection:
            return _one(connection, subscriber.c.id == subscriber_id, f"subscriber {subscriber_id}")

    def find(self, address: str) -> Subscriber | None:
        """The subscriber of that address, None when there is none; raises InputError when it is no address."""
        normalized = parse(address).normalized
        with self._database.connect() as connection:
            row = connection.execute(_SELECT.where(subscriber.c.normalized == normalized)).first()
        return None if row is None else to_subscriber(row)

    def list(
        self, *, state: SubscriberState | None = None, cadence: Cadence | None = None, limit: int | None = None
    ) -> list[Subscriber]:
        """Subscribers in the order they came."""
        query = _SELECT.order_by(subscriber.c.id).limit(limit)
        if state is not None:
            query = query.where(subscriber.c.state == state)
        if cadence is not None:
            query = query.where(subscriber.c.cadence == cadence)
        with self._database.connect() as connection:
            return [to_subscriber(row) for row in connection.execute(query)]

    def counts(self) -> dict[str, int]:
        """How many there are in each state that has any."""
        query = sa.select(subscriber.c.state, sa.func.count()).group_by(subscriber.c.state)
        with self._database.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def cadences(self) -> dict[str, int]:
        """How many active subscribers asked for each cadence."""
        query = sa.select(subscriber.c.cadence, sa.func.count()).where(subscriber.c.state == "active")
        with self._database.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query.group_by(subscriber.c.cadence))}

    def erase(self, address: str, now: dt.datetime) -> bool:
        """Forget an address everywhere and never mail it again; returns whether it was known as a subscriber.

        What stays is a keyed hash, on the list of suppressed addresses and in the ledger's rows, so that the equation
        of past issues still holds. Raises InputError when it is no address.
        """
        normalized = parse(address).normalized
        key = Meta(self._database).address_key()
        with self._database.begin() as connection:
            return erase.erase(connection, key, normalized, now)

    def import_(
        self, rows: Iterable[Mapping[str, str]], *, now: dt.datetime, state: SubscriberState = "active",
        cadence: Cadence = "instant",
    ) -> Imported:
        """Add many, as read by `csv.DictReader`; a bad row is reported and doesn't stop the rest.

        Columns: `address` (or `email`), and if given `state`, `cadence`, `topics` (separated by spaces or semicolons);
        `state` and `cadence` stand in for what a row leaves empty. All in one transaction.
        """
        errors: list[tuple[int, str]] = []

        def good() -> Iterator[dict[str, Any]]:
            for position, row in enumerate(rows, 1):
                number = row.line if isinstance(row, Line) else position
                try:
                    yield _values(*_read_row(row, state, cadence), now)
                except InputError as error:
                    errors.append((number, str(error)))

        added = read = 0
        values = good()
        with self._database.begin() as connection:
            new = insert(connection, subscriber).on_conflict_do_nothing().returning(subscriber.c.id)
            while chunk := list(islice(values, 500)):
                read += len(chunk)
                added += len(connection.execute(new, chunk).all())
        return Imported(added=added, known=read - added, errors=tuple(errors))

    def export(self, *, state: SubscriberState | None = None) -> Iterator[dict[str, str]]:
        """Rows for `csv.DictWriter(file, COLUMNS)`, in the order they came, a few at a time; `import_` reads them."""
        query = _SELECT.order_by(subscriber.c.id)
        if state is not None:
            query = query.where(subscriber.c.state == state)
        streamed = {"yield_per": 1000}
        with self._database.connect() as connection, connection.execute(query, execution_options=streamed) as rows:
            for row in rows:
                yield {
                    "address": row.address, "state": row.state, "cadence": row.cadence,
                    "topics": " ".join(row.topics), "created_at": row.created_at.isoformat(),
                }


class Line(dict[str, str]):
    """A row that knows the line of the file it ends on."""

    def __init__(self, row: Mapping[str, str], line: int) -> None:
        super().__init__(row)
        self.line = line


def read_csv(lines: Iterable[str]) -> Iterator[Line]:
    """Rows for `import_` out of a CSV file's lines; without a heading, each line is an address."""
    text = iter(lines)
    first = next(text, "")
    names = [name.strip().lower() for name in next(csv.reader([first.lstrip("\ufeff")]), [])]
    if "address" in names or "email" in names:
        reader = csv.DictReader(text, fieldnames=names, restval="")
        for row in reader:
            yield Line(row, reader.line_num + 1)  # the heading was read before it
        return
    for number, line in enumerate(chain((first.lstrip("\ufeff"),), text), 1):
        if line.strip():
            yield Line({"address": line.strip()}, number)


_SELECT: sa.Select[Any] = sa.select(
    subscriber.c.id, subscriber.c.address, subscriber.c.normalized, subscriber.c.state, subscriber.c.cadence,
    subscriber.c.topics, subscriber.c.created_at,
)


def to_subscriber(row: sa.Row[Any]) -> Subscriber:
    """A row of the subscriber table as a record."""
    return Subscriber(
        id=row.id, address=row.address, normalized=row.normalized, state=row.state, cadence=row.cadence,
        topics=tuple(row.topics), created_at=row.created_at,
    )


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
    row = connection.execute(_SELECT.where(clause)).first()
    if row is None:
        raise NotFoundError("there is no such subscriber", where=where, hint="See `milepost subscribers list`.")
    return to_subscriber(row)


def _read_row(
    row: Mapping[str, str], state: SubscriberState, cadence: Cadence
) -> tuple[Address, SubscriberState, Cadence, tuple[str, ...]]:
    given_state = (row.get("state") or state).strip().lower()
    if given_state not in SUBSCRIBER_STATES:
        raise InputError(f"{given_state!r} is no state; want {', '.join(SUBSCRIBER_STATES)}", where="state")
    given_cadence = (row.get("cadence") or cadence).strip().lower()
    if given_cadence not in CADENCES:
        raise InputError(f"{given_cadence!r} is no cadence; want {', '.join(CADENCES)}", where="cadence")
    topics = tuple((row.get("topics") or "").replace(";", " ").split())
    address = parse(row.get("address") or row.get("email") or "")
    return address, cast("SubscriberState", given_state), given_cadence, topics
