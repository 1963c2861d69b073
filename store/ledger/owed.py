"""What each reader was told, and what a choice that they changed owes them still.

    a switch, a return ─▶ keep: what their own cadence had not come to ─▶ owed ─▶ the next issue of today's cadence
    an issue that is sealed while they pause ─▶ owed, for the first issue after it | waived, which counts as told
    deliveries and their variants' items ─▶ told: never again, whatever the cadence

A change is open for a reader until an issue of their own cadence went out with it: it was told to them then, or their
topics did not want it. Whoever changes nothing is owed nothing, and no query touches them.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa

from milepost.changes import CORRECTIONS, NEWS
from milepost.codec import milestone_from_json
from milepost.records import NOBODY, Cadence, ChangeKind, Milestone, OwedRow, Placement, Standing
from milepost.topics import fits
from store.dialects import insert, one_of
from store.engine import Database
from store.meta import Meta
from store.milestones.milestone_queries import HELD, visible_by_id
from store.schema.columns import Moment
from store.schema.tables import (
    ANNOUNCED,
    change,
    delivery,
    issue,
    issue_item,
    issue_owed_item,
    issue_variant_item,
    look,
    milestone,
    milestone_version,
    owed,
    subscriber,
    suppression,
)
from store.subscribers.addresses import address_hash

# A mail that was handed over, or may have been, or is on its way.
PROMISED = ("pending", "claimed", "sending", "deferred", "sent", "unknown")
HANDED = ("sent", "unknown")
_WAIVED = "waived"  # why a row is settled that nobody was ever owed: a pause skipped it
_CHUNK = 500
_AT_ONCE = 1000  # of what is owed, in memory
MANY = 20_000  # subscribers whose standings are in memory at once

_OPEN = owed.c.told.is_(None)  # written out, since no planner finds a partial index behind a parameter
_SEALED = issue.c.state != "draft"
_BEGUN_AT = sa.func.coalesce(issue.c.freeze_began_at, issue.c.frozen_at)  # when its first reader was placed
# The ledger's keys begin with the issue: who asks for a reader's rows names all issues, and is answered by the key.
_OF_ANY_ISSUE = delivery.c.issue.in_(sa.select(issue.c.number))


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """Subscribers by their ids: `after` < id <= `up_to`."""

    after: int
    up_to: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Debt:
    """One open row of a reader whom an issue of their cadence can pay."""

    id: int
    subscriber: int
    change_id: int
    role: Literal["news", "correction"]
    milestone: Milestone
    milestone_id: int
    since: dt.datetime
    topics: tuple[str, ...]  # of the reader


@dataclass(frozen=True, kw_only=True, slots=True)
class Standings:
    """How readers of one cadence stand; whoever is not in it is told everything that fits, and owed nothing."""

    readers: Mapping[int, Standing] = field(default_factory=dict)

    def of(self, subscriber_id: int) -> Standing:
        """One reader's."""
        return self.readers.get(subscriber_id, NOBODY)



class Owed:
    """Who is owed what."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, *, subscriber_id: int | None = None) -> Sequence[OwedRow]:
        """`each`, as a list."""
        return [*self.each(subscriber_id=subscriber_id)]

    def each(self, *, subscriber_id: int | None = None) -> Iterator[OwedRow]:
        """What is owed to active readers (or to one, active or not), the oldest debts first, some in memory at once.

        A correction is owed while what they last read of it is wrong: another mail may have put it right.
        """
        query = (
            sa.select(
                owed.c.id, owed.c.subscriber, subscriber.c.address, subscriber.c.cadence, owed.c.change_id,
                change.c.kind, milestone.c.source, milestone.c.key, milestone_version.c.record, owed.c.since,
                owed.c.why,
            )
            .join_from(owed, subscriber, owed.c.subscriber == subscriber.c.id)
            .join(change, owed.c.change_id == change.c.id)
            .join(milestone, change.c.milestone_id == milestone.c.id)
            .join(milestone_version, sa.and_(
                milestone_version.c.milestone_id == milestone.c.id, milestone_version.c.number == milestone.c.version,
            ))
            .where(_OPEN)
            .order_by(owed.c.since, owed.c.id)
        )
        if subscriber_id is None:
            query = query.where(subscriber.c.state == "active")
        else:
            query = query.where(owed.c.subscriber == subscriber_id)
        with self._database.connect() as connection, connection.execute(
            query, execution_options={"yield_per": _AT_ONCE}
        ) as found:
            for rows in found.partitions():
                right = _put_right(connection, [
                    (row.subscriber, row.change_id) for row in rows if row.kind in CORRECTIONS
                ])
                yield from (
                    OwedRow(
                        id=row.id, subscriber=row.subscriber, address=row.address, cadence=row.cadence,
                        change_id=row.change_id, source=row.source, key=row.key,
                        title=milestone_from_json(row.record).title, since=row.since, why=row.why,
                    )
                    for row in rows if (row.subscriber, row.change_id) not in right
                )

    def payable(self, cadence: Cadence, now: dt.datetime) -> Sequence[Debt]:
        """What the next issue of `cadence` can pay: told by an earlier one, present, held by nobody, and wanted.

        What a draft of the cadence holds already is its to pay; whoever pauses is paid afterwards.
        """
        key = Meta(self._database).address_key()
        with self._database.connect() as connection:
            rows = debts(connection, cadence, key=key, awake=now)
            ready = _ready(connection, cadence, {row.change_id for row in rows})
            stands = standings(connection, cadence, ready)
        return [
            row for row in rows if row.change_id in ready & stands.of(row.subscriber).owed and (
                row.change_id in stands.of(row.subscriber).wrong if row.role == "correction"
                else row.milestone_id not in stands.of(row.subscriber).told
            )
        ]

    def standings(self, cadence: Cadence, change_ids: Collection[int]) -> Iterator[Standings]:
        """How the readers of a cadence stand to these changes, by what the tables hold now, some at a time."""
        with self._database.connect() as connection:
            for among in parts(connection, cadence, change_ids):
                yield standings(connection, cadence, change_ids, among)


def parts(connection: sa.Connection, cadence: Cadence, change_ids: Collection[int]) -> Iterator[Range]:
    """All subscribers of this moment, in parts: of none do more than MANY stand somehow to these changes.

    Anybody may have read what a correction corrects. To news only those stand who are owed something, or who chose
    anew since it was found: mostly they are few, and all of the list is one part.
    """
    these = one_of(change.c.id, sorted(change_ids))
    found_at = sa.select(sa.func.min(change.c.detected_at)).where(these, change.c.kind.in_(NEWS)).scalar_subquery()
    some = (
        sa.select(owed.c.id).where(_OPEN), sa.select(subscriber.c.id).where(*_chose_anew(cadence, found_at)),
    )
    counted = [
        sa.select(sa.func.count()).select_from(one.limit(MANY + 1).subquery()).scalar_subquery() for one in some
    ]
    last, in_debt, anew, corrects = connection.execute(sa.select(
        sa.select(sa.func.max(subscriber.c.id)).scalar_subquery(), *counted,
        sa.exists().where(these, change.c.kind.in_(CORRECTIONS)),
    )).one()
    last = last or 0
    size = MANY if corrects or in_debt + anew > MANY else max(last, 1)
    for after in range(0, last, size):
        yield Range(after=after, up_to=min(after + size, last))


# --- a choice changes -----------------------------------------------------------------------------------------------


def keep(connection: sa.Connection, row: sa.Row[Any], now: dt.datetime, why: str) -> None:
    """Write down what a reader's choice still owes them, as it was before it changes (`row` of `subscriber`).

    Open are the changes found since they joined that no sealed issue of their cadence held and no mail told them; what
    a mail would have told them that was called off because they had left; and corrections of what they were told. Once
    they left, only what was there before.
    """
    joined, left = row.confirmed_at, row.unsubscribed_at if row.state == "unsubscribed" else None
    if row.state == "pending" or (joined is None and row.state == "unsubscribed"):
        return
    news, corrections = set[tuple[int, int]](), list[int]()
    for is_news, change_id, milestone_id in connection.execute(
        _OPEN_FOR_WHO_IS_HERE if left is None else _OPEN_FOR_WHO_LEFT,
        {"the_reader": row.id, "the_cadence": row.cadence, "joined": joined or row.created_at, "left": left},
    ):
        if is_news:
            news.add((change_id, milestone_id))
        else:
            corrections.append(change_id)
    told = _told_news(connection, [row.id], {milestone_id for _, milestone_id in news}).get(row.id, frozenset())
    opened = {change_id for change_id, milestone_id in news if milestone_id not in told}
    opened |= wrong(connection, corrections, only=[row.id], states=PROMISED).get(row.id, frozenset())
    write(connection, [(row.id, change_id) for change_id in sorted(opened)], why, now)


def _open_changes(*, left: bool) -> sa.CompoundSelect[Any]:
    """What may be open for a reader: (1, change, milestone) of news and (0, change, milestone) of corrections.

    Asked at each choice of each reader, perhaps of many at once and beside a dispatch: one statement, built once.
    """
    reader, left_at = sa.bindparam("the_reader", type_=sa.Integer()), sa.bindparam("left", type_=Moment())
    # Issues in which they have been placed: all that are frozen, and those being frozen that have come to them. Who
    # left was placed in those alone that began before, or their news was written down as they left between the slices.
    sealed = sa.and_(sa.or_(_SEALED, issue.c.frozen_through >= reader), left_at > _BEGUN_AT if left else sa.true())
    concerns = sa.and_(
        ANNOUNCED, ~sa.exists().where(look.c.id == change.c.look_id, HELD),
        change.c.detected_at < left_at if left else sa.true(),
    )
    told_in = sa.and_(
        issue_item.c.cadence == sa.bindparam("the_cadence"), issue_item.c.issue == issue.c.number, sealed,
    )
    past = sa.exists().where(
        told_in, issue_item.c.milestone_id == change.c.milestone_id, issue_item.c.role == "news",
    )
    corrected = sa.exists().where(told_in, issue_item.c.change_id == change.c.id)
    is_news, is_correction = sa.literal_column("1", sa.Integer()), sa.literal_column("0", sa.Integer())
    found = sa.select(is_news, change.c.id, change.c.milestone_id).where(
        concerns, _one_kind(NEWS), ~past, change.c.detected_at >= sa.bindparam("joined"),
    )
    called_off = _variant_items(is_news, change.c.id, change.c.milestone_id).where(
        _OF_ANY_ISSUE, delivery.c.subscriber == reader, delivery.c.state == "cancelled", _one_kind(NEWS),
    )
    corrections = sa.select(is_correction, change.c.id, change.c.milestone_id).where(
        concerns, _one_kind(CORRECTIONS), ~corrected,
    )
    return sa.union_all(found, called_off, corrections)


def _one_kind(kinds: Iterable[ChangeKind]) -> sa.ColumnElement[bool]:
    return sa.or_(*(change.c.kind == kind for kind in kinds))  # `in_` is spelt out anew each time it is asked


def write(connection: sa.Connection, rows: Iterable[tuple[int, int]], why: str, now: dt.datetime) -> None:
    """(subscriber, change) is owed from now on; what is owed already stays as it is."""
    values = [
        {"subscriber": reader, "change_id": change_id, "since": now, "why": why} for reader, change_id in rows
    ]
    if values:
        connection.execute(insert(connection, owed).on_conflict_do_nothing(), values)


def forget(connection: sa.Connection, subscriber_id: int) -> None:
    """Nothing is owed any more to somebody who is erased."""
    connection.execute(sa.delete(owed).where(owed.c.subscriber == subscriber_id, _OPEN))


# --- an issue is sealed, or taken back ------------------------------------------------------------------------------


def settle(connection: sa.Connection, number: int, placed: Sequence[tuple[int, Placement]], now: dt.datetime) -> None:
    """What an issue pays and passes, and what it could not pay: for the readers that are placed (id, placement)."""
    paid: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
    for reader, placement in placed:
        paid[True] += [(reader, change_id) for change_id in placement.told]
        paid[False] += [(reader, change_id) for change_id in placement.passed]
    skipped = [
        {"subscriber": reader, "change_id": change_id, "since": now, "why": _WAIVED, "settled_by": number,
         "told": False}
        for reader, placement in placed for change_id in sorted(placement.waived)
    ]
    if skipped:
        connection.execute(sa.insert(owed), skipped)
    for told, rows in paid.items():
        if rows:
            one = sa.update(owed).where(
                owed.c.subscriber == sa.bindparam("the_reader"), owed.c.change_id == sa.bindparam("the_change"), _OPEN,
            ).values(settled_by=number, told=told)
            connection.execute(one, [{"the_reader": reader, "the_change": change_id} for reader, change_id in rows])
    for why, paused in (("unrendered", False), ("paused", True)):
        write(
            connection,
            [
                (reader, change_id) for reader, placement in placed if _pauses(placement) is paused
                for change_id in sorted(placement.owes)
            ],
            why, now,
        )


def _pauses(placement: Placement) -> bool:
    return (placement.exclusion or "").startswith("paused")


def take_back(connection: sa.Connection, number: int) -> None:
    """Undo what a sealed issue settled, before its deliveries go: it is a draft again.

    Who turned to another cadence since, or left, may have been passed over there because this issue was to tell them:
    what it was to tell them is owed.
    """
    at = connection.execute(sa.select(_BEGUN_AT).where(issue.c.number == number)).scalar_one()
    again = sa.select(owed.c.subscriber, owed.c.change_id).where(owed.c.settled_by == number, owed.c.why != _WAIVED)
    reopened = [(row.subscriber, row.change_id) for row in connection.execute(again)]
    connection.execute(sa.delete(owed).where(owed.c.settled_by == number))
    changed = (
        _variant_items(delivery.c.subscriber, change.c.id)
        .join(subscriber, delivery.c.subscriber == subscriber.c.id)
        .where(delivery.c.issue == number, sa.or_(subscriber.c.chosen_at >= at, subscriber.c.unsubscribed_at >= at))
    )
    reopened += [(row.subscriber, row.id) for row in connection.execute(changed)]
    write(connection, dict.fromkeys(reopened), "taken_back", at)


# --- what a reader stands at ----------------------------------------------------------------------------------------


def standings(
    connection: sa.Connection, cadence: Cadence, change_ids: Collection[int], among: Range | None = None
) -> Standings:
    """How the readers of a cadence stand to these changes, by what the tables hold now; `among`: of these readers."""
    kinds = {
        row.id: row for row in connection.execute(
            sa.select(change.c.id, change.c.milestone_id, change.c.kind, change.c.detected_at)
            .where(one_of(change.c.id, sorted(change_ids)))
        )
    }
    news = {row.milestone_id for row in kinds.values() if row.kind in NEWS}
    rows = debts(connection, cadence, among=among)
    since = min((row.detected_at for row in kinds.values() if row.kind in NEWS), default=None)
    told = told_by(connection, cadence, news, since, among)
    mistaken = wrong(connection, [row.id for row in kinds.values() if row.kind in CORRECTIONS], among=among)
    right = _put_right(connection, [(row.subscriber, row.change_id) for row in rows if row.role == "correction"])
    open_: dict[int, dict[bool, set[int]]] = {}
    for row in rows:
        wanted = (
            (row.subscriber, row.change_id) not in right if row.role == "correction"
            else fits(row.milestone, row.topics)
        )
        open_.setdefault(row.subscriber, {True: set(), False: set()})[wanted].add(row.change_id)
    return Standings(readers={
        reader: Standing(
            told=told.get(reader, frozenset()),
            owed=frozenset(open_[reader][True]) if reader in open_ else frozenset(),
            passed=frozenset(open_[reader][False]) if reader in open_ else frozenset(),
            wrong=mistaken.get(reader, frozenset()),
        )
        for reader in {*told, *open_, *mistaken}
    })


def debts(
    connection: sa.Connection, cadence: Cadence, *, key: bytes | None = None, awake: dt.datetime | None = None,
    among: Range | None = None,
) -> list[Debt]:
    """The open rows of active readers of a cadence, or of those `among` them.

    With `key`, without those whose address is never to be mailed; with `awake`, without those who pause then.
    """
    query = (
        sa.select(
            owed.c.id, owed.c.subscriber, owed.c.change_id, owed.c.since, change.c.milestone_id, change.c.kind,
            milestone_version.c.record, subscriber.c.topics, subscriber.c.normalized,
        )
        .join_from(owed, subscriber, owed.c.subscriber == subscriber.c.id)
        .join(change, owed.c.change_id == change.c.id)
        .join(milestone, change.c.milestone_id == milestone.c.id)
        .join(milestone_version, sa.and_(
            milestone_version.c.milestone_id == milestone.c.id, milestone_version.c.number == milestone.c.version,
        ))
        .where(
            _OPEN, _ACTIVE, subscriber.c.cadence == cadence,
            *_within(owed.c.subscriber, among),
        )
        .order_by(owed.c.id)
    )
    if awake is not None:
        query = query.where(sa.or_(subscriber.c.paused_until.is_(None), subscriber.c.paused_until <= awake))
    rows = connection.execute(query).all()
    suppressed = set() if key is None else _suppressed(connection, {row.normalized for row in rows}, key)
    records: dict[int, Milestone] = {}
    for row in rows:
        if row.milestone_id not in records:
            records[row.milestone_id] = milestone_from_json(row.record)
    return [
        Debt(
            id=row.id, subscriber=row.subscriber, change_id=row.change_id, milestone_id=row.milestone_id,
            role="news" if row.kind in NEWS else "correction", milestone=records[row.milestone_id], since=row.since,
            topics=tuple(row.topics),
        )
        for row in rows if row.normalized not in suppressed
    ]


def told_by(
    connection: sa.Connection, cadence: Cadence, milestone_ids: Collection[int], since: dt.datetime | None,
    among: Range | None = None,
) -> dict[int, frozenset[int]]:
    """Reader of `cadence` → which of these milestones were told them as news, or are about to be.

    By another cadence they can only have been told by it after `since`, when the first of them was found, and then
    they chose anew since: nobody else is looked at.
    """
    if since is None or not milestone_ids:
        return {}
    changed = sa.select(subscriber.c.id).where(
        *_chose_anew(cadence, since), *_within(_UNINDEXED_ID, among)
    )
    return _told_news(connection, list(connection.execute(changed).scalars()), milestone_ids)


# By neither: whoever chose anew is few, and has an index; active readers, and those of a part of the list, are many.
_UNINDEXED_ID: sa.ColumnElement[int] = subscriber.c.id + 0
_ACTIVE = subscriber.c.state.concat("") == "active"


def _chose_anew(
    cadence: Cadence, since: dt.datetime | sa.ScalarSelect[Any]
) -> Sequence[sa.ColumnElement[bool]]:
    """Active readers of a cadence whose choice is not what it was at `since`."""
    return (
        _ACTIVE, subscriber.c.cadence == cadence, subscriber.c.chosen_at.is_not(None), subscriber.c.chosen_at >= since,
    )


def _told_news(
    connection: sa.Connection, readers: Sequence[int], milestone_ids: Collection[int]
) -> dict[int, frozenset[int]]:
    """Reader → which of these milestones a mail told them as news, or is about to, or a pause of theirs skipped."""
    if not readers or not milestone_ids:
        return {}
    found: dict[int, set[int]] = {}
    skipped = (
        sa.select(owed.c.subscriber, change.c.milestone_id)
        .join_from(owed, change, owed.c.change_id == change.c.id)
        .where(
            owed.c.settled_by.is_not(None), owed.c.why == _WAIVED,
            one_of(change.c.milestone_id, sorted(milestone_ids)), change.c.kind.in_(NEWS),
        )
    )
    concerned = set(readers)
    for reader, milestone_id in connection.execute(skipped):
        if reader in concerned:
            found.setdefault(reader, set()).add(milestone_id)
    telling = sa.select(change.c.id).where(
        one_of(change.c.milestone_id, sorted(milestone_ids)), change.c.kind.in_(NEWS)
    )
    # by issue and reader, which the ledger's own key answers
    where: dict[int, dict[str, set[int]]] = {}
    for row in connection.execute(
        sa.select(issue_variant_item.c.issue, issue_variant_item.c.variant, change.c.milestone_id)
        .join_from(issue_variant_item, change, issue_variant_item.c.change_id == change.c.id)
        .where(issue_variant_item.c.change_id.in_(telling))
    ):
        where.setdefault(row.issue, {}).setdefault(row.variant, set()).add(row.milestone_id)
    for number, variants in where.items():
        for start in range(0, len(readers), _CHUNK):
            rows = connection.execute(
                sa.select(delivery.c.subscriber, delivery.c.variant).where(
                    delivery.c.issue == number, delivery.c.subscriber.in_(readers[start : start + _CHUNK]),
                    delivery.c.state.in_(PROMISED),
                )
            )
            for reader, variant in rows:
                found.setdefault(reader, set()).update(variants.get(variant, ()))
    return {reader: frozenset(told) for reader, told in found.items() if told}


def _put_right(connection: sa.Connection, open_: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those of these (reader, correction) that are open and to be told no more: what they last read is right again."""
    by_reader = sorted({reader for reader, _ in open_})
    changes = {change_id for _, change_id in open_}
    still: set[tuple[int, int]] = set()
    for start in range(0, len(by_reader), _CHUNK):
        some = wrong(connection, changes, only=by_reader[start : start + _CHUNK], states=PROMISED)
        still |= {(reader, change_id) for reader, theirs in some.items() for change_id in theirs}
    return set(open_) - still


def wrong(
    connection: sa.Connection, corrections: Collection[int], *, only: Sequence[int] | None = None,
    among: Range | None = None, states: Collection[str] = HANDED,
) -> dict[int, frozenset[int]]:
    """Reader → those of these changes that correct what they were sent, and that no mail tells them.

    None of them for whom the last mail told what is shown today. `only`: these readers, `among`: those alone.
    `states`: what counts as sent, where it is the mistake.
    """
    if not corrections:
        return {}
    ids = sorted(corrections)
    concerned = sa.select(change.c.milestone_id).where(one_of(change.c.id, ids))
    carried = sa.union_all(*(
        sa.select(table.c.issue, table.c.change_id, table.c.milestone_id, table.c.version_id, table.c.role)
        .where(table.c.milestone_id.in_(concerned))
        for table in (issue_item, issue_owed_item)
    )).subquery("carried")
    query = (
        sa.select(delivery.c.subscriber, delivery.c.state, carried.c.milestone_id, carried.c.version_id,
                  carried.c.change_id, carried.c.role)
        .join_from(delivery, issue_variant_item, sa.and_(
            delivery.c.issue == issue_variant_item.c.issue, delivery.c.variant == issue_variant_item.c.variant,
        ))
        .join(carried, sa.and_(
            carried.c.issue == issue_variant_item.c.issue, carried.c.change_id == issue_variant_item.c.change_id,
        ))
        .where(delivery.c.state.in_(PROMISED), *_within(delivery.c.subscriber, among))
    )
    if only is not None:
        query = query.where(_OF_ANY_ISSUE, delivery.c.subscriber.in_(only))
    told = query.cte("told")
    right, other = told.alias("put_right"), told.alias("other")
    again = sa.exists().where(
        right.c.subscriber == told.c.subscriber, right.c.change_id == change.c.id, right.c.role == "correction",
    )
    last = sa.select(sa.func.max(other.c.version_id)).where(
        other.c.subscriber == told.c.subscriber, other.c.milestone_id == told.c.milestone_id,
    ).scalar_subquery()
    mistaken = (
        sa.select(told.c.subscriber, change.c.id, change.c.milestone_id, last.label("last"))
        .join_from(told, change, change.c.milestone_id == told.c.milestone_id)
        .where(
            one_of(change.c.id, ids), told.c.role == "news", told.c.state.in_(states),
            told.c.version_id < change.c.new_version_id, ~again,
        )
    )
    shown = visible_by_id(connection, list(connection.execute(concerned.distinct()).scalars()))
    prints = {
        row.id: row.fingerprint for row in connection.execute(
            sa.select(milestone_version.c.id, milestone_version.c.fingerprint)
            .where(milestone_version.c.milestone_id.in_(concerned))
        )
    }
    found: dict[int, set[int]] = {}
    for reader, change_id, milestone_id, version_id in connection.execute(mistaken):
        if prints[version_id] != shown[milestone_id].fingerprint:
            found.setdefault(reader, set()).add(change_id)
    return {reader: frozenset(changes) for reader, changes in found.items()}


def _within(column: sa.ColumnElement[Any], among: Range | None) -> Sequence[sa.ColumnElement[bool]]:
    return () if among is None else (column > among.after, column <= among.up_to)


def _variant_items(*columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Deliveries with the changes that their variants tell."""
    return (
        sa.select(*columns)
        .select_from(delivery)
        .join(issue_variant_item, sa.and_(
            delivery.c.issue == issue_variant_item.c.issue, delivery.c.variant == issue_variant_item.c.variant,
        ))
        .join(change, issue_variant_item.c.change_id == change.c.id)
    )


_OPEN_FOR_WHO_IS_HERE, _OPEN_FOR_WHO_LEFT = _open_changes(left=False), _open_changes(left=True)


def _ready(connection: sa.Connection, cadence: Cadence, change_ids: Collection[int]) -> set[int]:
    """Those that sealed issues of a cadence told, that are in no draft of it, and that may be shown."""
    if not change_ids:
        return set()
    ids = sorted(change_ids)
    told = sa.exists().where(
        issue_item.c.cadence == cadence, issue_item.c.change_id == change.c.id,
        issue_item.c.issue == issue.c.number, _SEALED,
    )
    of_milestone = sa.exists().where(
        issue_item.c.cadence == cadence, issue_item.c.milestone_id == change.c.milestone_id,
        issue_item.c.role == "news", issue_item.c.issue == issue.c.number, _SEALED,
    )
    drafted = sa.exists().where(
        issue_owed_item.c.change_id == change.c.id, issue_owed_item.c.issue == issue.c.number,
        issue.c.cadence == cadence, issue.c.state == "draft",
    )
    query = (
        sa.select(change.c.id)
        .join_from(change, milestone)
        .outerjoin(look, change.c.look_id == look.c.id)
        .where(
            one_of(change.c.id, ids), change.c.announce, ~HELD, milestone.c.state == "present", ~drafted,
            sa.case((change.c.kind.in_(NEWS), of_milestone), else_=told),
        )
    )
    return set(connection.execute(query).scalars())


def _suppressed(connection: sa.Connection, normalized: Collection[str], key: bytes) -> set[str]:
    hashes = {address_hash(key, each): each for each in normalized}
    found: set[str] = set()
    listed = list(hashes)
    for start in range(0, len(listed), _CHUNK):
        query = sa.select(suppression.c.address_hash).where(
            suppression.c.address_hash.in_(listed[start : start + _CHUNK])
        )
        found |= {hashes[each] for each in connection.execute(query).scalars()}
    return found
