"""The hand-overs that nobody knows the end of, with all that evidence can be looked up by."""

import datetime as dt
from dataclasses import dataclass
from operator import attrgetter

import sqlalchemy as sa

from store.engine import Database
from store.ledger.transitions import in_state
from store.schema.tables import attempt, delivery, issue, subscriber
from store.subscribers.addresses import parse


@dataclass(frozen=True, kw_only=True, slots=True)
class Unknown:
    """A delivery in the state `unknown` (T7)."""

    id: int
    issue: int
    subscriber: int
    address: str
    message_id: str | None  # None where its dispatcher died before it could tell
    reader: str  # the subscriber's handle
    handle: str | None  # the issue's
    attempts: int
    since: dt.datetime  # its uncertain hand-over began then at the earliest


class Unknowns:
    """Finds them; `Ledger.resolve` settles them (T8)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, number: int | None = None, *, address: str | None = None) -> list[Unknown]:
        """Those of one issue or of all, by their ids; raises InputError when `address` is none."""
        settled = (
            sa.select(sa.func.max(attempt.c.at))
            .where(attempt.c.delivery_id == delivery.c.id, attempt.c.outcome != "unknown")
            .scalar_subquery()
        )
        query = (
            sa.select(
                delivery.c.id, delivery.c.issue, delivery.c.subscriber, delivery.c.address, delivery.c.message_id,
                delivery.c.attempts, subscriber.c.handle.label("reader"), issue.c.handle,
                sa.func.coalesce(settled, delivery.c.first_attempt_at, delivery.c.updated_at).label("since"),
            )
            .join(subscriber, subscriber.c.id == delivery.c.subscriber)
            .join(issue, issue.c.number == delivery.c.issue)
            .where(in_state("unknown"))
        )
        if number is not None:
            query = query.where(delivery.c.issue == number)
        if address is not None:
            query = query.where(delivery.c.normalized == parse(address).normalized)
        with self._database.connect() as connection:
            found = [Unknown(**row) for row in connection.execute(query).mappings()]
        # Asked for in that order, SQLite would walk through all that was ever sent, by its keys, to save itself this.
        return sorted(found, key=attrgetter("id"))
