"""Long lists for operators, a part at a time: each goes on behind the last row that was shown, whatever came meanwhile.

    filters, the last row's key ─▶ at most so many rows in the order of an index, and where the next part begins

A list by OFFSET skips rows and shows others twice when something is added or goes while somebody turns pages.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

from milepost.codec import milestone_from_json
from milepost.records import (
    Cadence,
    ChangeKind,
    DeliveryState,
    Issue,
    IssueState,
    Milestone,
    StoredChange,
    Subscriber,
    SubscriberState,
    Witness,
)
from store.engine import Database
from store.issues.issues import issue_of
from store.ledger.letters import COLUMNS as LETTER
from store.ledger.letters import Letter, LetterKind, LetterState, listed
from store.ledger.queries import DeliveryRow, is_for
from store.ledger.transitions import ENDED, in_state
from store.milestones import milestone_queries
from store.milestones.looks import WAITING, Look, look_of
from store.schema.tables import (
    ANNOUNCED,
    change,
    delivery,
    exclusion,
    issue,
    letter,
    look,
    milestone,
    milestone_version,
    subscriber,
    suppression,
)
from store.subscribers.people import SELECT, to_subscriber

Row = TypeVar("Row")


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice(Generic[Row]):
    """A part of a list."""

    rows: tuple[Row, ...]
    after: int | None  # the next part begins behind this key; None: there is none


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedMilestone:
    """One milestone as it is known now."""

    id: int
    state: str  # present, withdrawn
    version: int
    first_seen_at: dt.datetime
    record: Milestone


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedChange:
    """One change, the title of its milestone now, and who told each field that changed."""

    stored: StoredChange
    title: str
    url: str
    witnesses: dict[str, tuple[Witness, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Excluded:
    """Who has no delivery of an issue."""

    who: Subscriber  # with the address "" after an erase
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedSuppression:
    """One address that is never mailed."""

    id: int
    normalized: str | None  # None after an erase
    address_hash: str
    reason: str
    created_at: dt.datetime


class Listings:
    """The lists. Every method raises StoreError when the database can't."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def milestones(
        self, *, only: int | None = None, source: str | None = None, key: str | None = None, state: str | None = None,
        after: int | None = None, limit: int,
    ) -> Slice[ListedMilestone]:
        """The latest first; `only`: the one of that number."""
        query = milestone_queries.current().add_columns(milestone.c.state)
        query = _where(query, (only, milestone.c.id == only), (source, milestone.c.source == source),
                       (key, milestone.c.key == key), (state, milestone.c.state == state))
        return self._part(query, milestone.c.id, _listed_milestone, lambda one: one.id, after, limit, falling=True)

    def changes(
        self, *, source: str | None = None, kinds: Sequence[ChangeKind] = (), look_id: int | None = None,
        news_only: bool = False, after: int | None = None, limit: int, newest_first: bool = False,
    ) -> Slice[ListedChange]:
        """The oldest first, so that who asks on hears of each once, unless told otherwise."""
        query = (
            milestone_queries.changes_query()
            .join(milestone_version, milestone_version.c.id == change.c.new_version_id)
            .add_columns(milestone_version.c.record)
        )
        query = _where(query, (source, milestone.c.source == source), (kinds or None, change.c.kind.in_(kinds)),
                       (look_id, change.c.look_id == look_id), (news_only or None, ANNOUNCED))
        return self._part(query, change.c.id, _listed_change, lambda one: one.stored.id, after, limit,
                          falling=newest_first)

    def looks(
        self, *, source: str | None = None, waiting: bool = False, after: int | None = None, limit: int
    ) -> Slice[Look]:
        """The latest first; `waiting`: those that are held and not released."""
        query = _where(sa.select(look), (source, look.c.source == source),
                       (waiting or None, WAITING))
        return self._part(query, look.c.id, lambda row: look_of(row._mapping), lambda one: one.id,  # noqa: SLF001
                          after, limit, falling=True)

    def issues(
        self, *, cadence: Cadence | None = None, states: Sequence[IssueState] = (), after: int | None = None, limit: int
    ) -> Slice[Issue]:
        """Without their items, the latest first."""
        query = _where(sa.select(issue), (cadence, issue.c.cadence == cadence),
                       (states or None, issue.c.state.in_(states)))
        return self._part(query, issue.c.number, lambda row: issue_of(row, ()), lambda one: one.number, after, limit,
                          falling=True)

    def deliveries(
        self, number: int, *, state: DeliveryState | None = None, after: int | None = None, limit: int
    ) -> Slice[DeliveryRow]:
        """Of one issue, in the order of its readers' ids."""
        query = sa.select(*(delivery.c[name] for name in DeliveryRow.__dataclass_fields__)).where(
            delivery.c.issue == number
        )
        if state is not None:
            query = query.where(in_state(state))
        if state in ENDED:
            query = query.where(in_state(*ENDED))  # what their index is for, in its own words
        return self._part(query, delivery.c.subscriber, lambda row: DeliveryRow(**row._mapping),  # noqa: SLF001
                          lambda one: one.subscriber, after, limit)

    def excluded(
        self, number: int, *, reason: str | None = None, after: int | None = None, limit: int
    ) -> Slice[Excluded]:
        """Who has no delivery of one issue, and why, in the order of their ids; `reason`: as `counts` names it."""
        query = (
            SELECT.add_columns(exclusion.c.reason)
            .join(exclusion, subscriber.c.id == exclusion.c.subscriber).where(exclusion.c.issue == number)
        )
        if reason is not None:
            query = query.where(is_for(reason))
        return self._part(
            query, exclusion.c.subscriber, lambda row: Excluded(who=to_subscriber(row), reason=row.reason),
            lambda one: one.who.id, after, limit,
        )

    def readers(
        self, *, text: str = "", state: SubscriberState | None = None, cadence: Cadence | None = None,
        after: int | None = None, limit: int,
    ) -> Slice[Subscriber]:
        """In the order they came, whose address contains `text`, in which no sign stands for others."""
        query = _where(
            SELECT.where(subscriber.c.address != ""), (state, subscriber.c.state == state),
            (cadence, subscriber.c.cadence == cadence),
        )
        if text:
            # Looked for in the index of addresses: what else there is of a reader is read of those alone who have it.
            other = subscriber.alias()
            query = query.where(subscriber.c.id.in_(sa.select(other.c.id).where(_has(other.c.normalized, text))))
        return self._part(query, subscriber.c.id, to_subscriber, lambda one: one.id, after, limit)

    def suppressions(
        self, *, text: str = "", after: int | None = None, limit: int
    ) -> Slice[ListedSuppression]:
        """The latest first."""
        query = sa.select(*(suppression.c[name] for name in ListedSuppression.__dataclass_fields__))
        query = _where(query, (
            text or None, _has(suppression.c.normalized, text)
        ))
        return self._part(query, suppression.c.id, lambda row: ListedSuppression(**row._mapping),  # noqa: SLF001
                          lambda one: one.id, after, limit, falling=True)

    def letters(
        self, *, state: LetterState | None = None, kind: LetterKind | None = None, after: int | None = None, limit: int
    ) -> Slice[Letter]:
        """The latest first."""
        query = _where(sa.select(*LETTER), (state, letter.c.state == state), (kind, letter.c.kind == kind))
        query = _next(query, letter.c.id, after, limit, falling=True)
        with self._database.connect() as connection:
            return _slice(listed(connection, query), lambda one: one.id, limit)

    def _part(
        self, query: sa.Select[Any], key: sa.ColumnElement[int], read: Callable[[sa.Row[Any]], Row],
        key_of: Callable[[Row], int], after: int | None, limit: int, *, falling: bool = False,
    ) -> Slice[Row]:
        query = _next(query, key, after, limit, falling=falling)
        with self._database.connect() as connection:
            return _slice([read(row) for row in connection.execute(query)], key_of, limit)


def _next(
    query: sa.Select[Any], key: sa.ColumnElement[int], after: int | None, limit: int, *, falling: bool
) -> sa.Select[Any]:
    """One row more than is shown: whether there is one says whether the list goes on."""
    if after is not None:
        query = query.where(key < after if falling else key > after)
    return query.order_by(key.desc() if falling else key).limit(limit + 1)


def _slice(found: Sequence[Row], key_of: Callable[[Row], int], limit: int) -> Slice[Row]:
    rows = tuple(found[:limit])
    return Slice(rows=rows, after=key_of(rows[-1]) if len(found) > limit else None)


def _has(column: sa.ColumnElement[str], text: str) -> sa.ColumnElement[bool]:
    """Whether it contains a text in which no sign stands for others."""
    return _Position(column, text.strip().casefold()) > 0


class _Position(sa.sql.functions.GenericFunction[int]):
    """Where a text begins in another, 0 where it is not in it."""

    type = sa.Integer()
    inherit_cache = True


@compiles(_Position)
def _position(element: _Position, compiler: Any, **how: Any) -> str:
    name = "strpos" if compiler.dialect.name == "postgresql" else "instr"
    return f"{name}{compiler.process(element.clause_expr, **how)}"


def _where(query: sa.Select[Any], *filters: tuple[object, sa.ColumnElement[bool]]) -> sa.Select[Any]:
    return query.where(*(clause for value, clause in filters if value is not None))


def _listed_milestone(row: sa.Row[Any]) -> ListedMilestone:
    stored = milestone_queries.stored(row)
    return ListedMilestone(
        id=stored.id, state=row.state, version=stored.version, first_seen_at=stored.first_seen_at,
        record=stored.milestone,
    )


def _listed_change(row: sa.Row[Any]) -> ListedChange:
    stored, record = milestone_queries.stored_change(row), milestone_from_json(row.record)
    named = [part.field for part in stored.change.fields] or ["title"]
    return ListedChange(
        stored=stored, title=record.title, url=record.url,
        witnesses={name: tuple(record.evidence.get(name, ())) for name in named},
    )
