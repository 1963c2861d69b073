"""Freezing an issue: every subscriber becomes a delivery or a listed exclusion, a slice of them in one transaction.

    subscribers by id, a slice at a time ─┬▶ those alike ─▶ place, once for each kind ─▶ INSERT … SELECT ┬▶ delivery |
                                          └▶ those apart, and how each stands ─▶ place, one by one ──────┘  exclusion
    candidates = deliveries + exclusions, those among the latter that are owed among them ─▶ frozen

Whoever is there at the first slice is a candidate, placed by what they chose at the moment of their own slice. In
between an issue is a draft that can be taken back and goes on where it stood, and of which nothing is changed or sent.
"""

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from milepost.errors import ConflictError, StoreError
from milepost.records import NOBODY, Freezing, Issue, LedgerCounts, Placement, Standing, Subscriber
from store.clock import ahead
from store.dialects import given, stop_writers
from store.issues.issues import FREEZING, load, require_content, write_variants
from store.ledger import owed
from store.ledger.queries import reason_of
from store.schema.columns import Moment
from store.schema.tables import address_change, delivery, exclusion, issue, issue_variant, subscriber, suppression
from store.subscribers.addresses import address_hash
from store.subscribers.people import SELECT, to_subscriber

Place = Callable[[Subscriber, bool, Standing], Placement]
CHUNK = 500  # subscribers in memory at once


# How many subscribers are placed in one transaction; a list that is no longer is frozen in one, as a whole. Whoever
# signs up or changes a choice waits for no more than that. On SQLite each slice costs a pause.
SLICE = {"sqlite": 10_000, "postgresql": 10_000}


def begin_or_go_on(
    connection: sa.Connection, number: int, *, content_hash: str, require_approval: bool
) -> Issue | None:
    """The issue as it is before its next slice, kept from others; None: it is frozen. Raises ConflictError."""
    found = load(connection, number, lock=True)
    require_content(found, content_hash)
    if found.state == "cancelled":
        raise ConflictError("it was cancelled", where=f"issue {number}")
    if found.state != "draft":
        return None  # frozen before, by us or by somebody quicker: nobody is placed twice
    if require_approval and found.approved_at is None:
        raise ConflictError(
            "nobody approved it", where=f"issue {number}",
            hint=f"Look at it, then run `milepost issue approve {number}`.",
        )
    return found


def freeze_slice(
    connection: sa.Connection, found: Issue, key: bytes, *, place: Place, now: dt.datetime, size: int
) -> Freezing | None:
    """Place the next subscribers of `found` (at most `size`) by what they chose by now; None: those were the last.

    Who is placed stays so, whatever they choose afterwards. Nobody's choice changes while a slice is written: a switch
    before it is seen here, one after it sees that they are placed (`store.ledger.owed.keep`).
    """
    stop_writers(connection, subscriber)
    began = found.freezing or _begin(connection, now)
    after, number = began.through, found.number
    reached = connection.execute(
        sa.select(subscriber.c.id).where(subscriber.c.id > after, subscriber.c.id <= began.up_to)
        .order_by(subscriber.c.id).offset(size - 1).limit(1)
    ).scalar()
    among = owed.Range(after=after, up_to=began.up_to if reached is None else reached)
    variants = set(connection.execute(
        sa.select(issue_variant.c.name).where(issue_variant.c.issue == number)
    ).scalars())
    stands = _standings(connection, found, among)
    moved = _addresses_placed(connection, number, among, began) if after else frozenset()
    suppressed = _listed(connection, among) | _suppressed_without_address(connection, key, among)
    apart = {*stands.readers, *moved, *suppressed}
    alike, left = _place_alike(connection, found, among, apart, place=place, variants=variants, now=now)
    apart |= left
    for chunk in _chunks(connection, apart):
        _write(connection, number, [
            (who, place(who, who.id in suppressed, stands.of(who.id)) if who.id not in moved else _PLACED)
            for who in chunk
        ], variants, now)
    placed = began.placed + alike + len(apart)
    if among.up_to >= began.up_to:
        _balance(connection, number, began, now)
        return None
    step = replace(began, moved_at=now, through=among.up_to, placed=placed)
    connection.execute(sa.update(issue).where(issue.c.number == number).values(
        frozen_through=step.through, freeze_up_to=step.up_to, freeze_placed=step.placed,
        freeze_candidates=step.candidates, freeze_began_at=step.began_at, freeze_moved_at=step.moved_at,
    ))
    return step


# Who goes by an address now that another subscriber was placed with, who has changed theirs since: one mail goes there.
_PLACED = Placement(exclusion="address_placed")


def _begin(connection: sa.Connection, now: dt.datetime) -> Freezing:
    """Who is there now is a candidate. Whoever signs up later has a higher id: ids are given in order, never twice."""
    count, last = connection.execute(sa.select(sa.func.count(), sa.func.max(subscriber.c.id))).one()
    return Freezing(began_at=now, moved_at=now, through=0, up_to=last or 0, placed=0, candidates=count)


def _addresses_placed(
    connection: sa.Connection, number: int, among: owed.Range, began: Freezing
) -> frozenset[int]:
    """Subscribers whose address was another's when that one was placed, of those who changed theirs since."""
    changed = sa.select(address_change.c.subscriber).where(sa.or_(
        address_change.c.confirmed_at >= began.began_at, address_change.c.undone_at >= began.began_at,
    ))
    query = (
        sa.select(subscriber.c.id)
        .join(delivery, sa.and_(delivery.c.issue == number, delivery.c.normalized == subscriber.c.normalized))
        .where(
            subscriber.c.id > among.after, subscriber.c.id <= among.up_to, subscriber.c.id.in_(changed),
        )
    )
    return frozenset(connection.execute(query).scalars())


def foresee(connection: sa.Connection, found: Issue, key: bytes, *, place: Place, now: dt.datetime) -> LedgerCounts:
    """See `Ledger.foresee`."""
    variants, reasons = Counter[str](), Counter[str]()

    def count(who: Subscriber, suppressed: bool, standing: Standing, times: int) -> None:
        placement = place(who, suppressed, standing)
        if placement.exclusion is None:
            variants[placement.variant or ""] += times
        else:
            reasons[reason_of(placement.exclusion)] += times

    for who, suppressed, times in _alike(connection, found.created_at, now):
        count(who, suppressed, NOBODY, times)
    # Who is not as they were counted just now is counted there no more.
    for among in owed.parts(connection, found.cadence, _held(found)):
        stands, gone = _standings(connection, found, among), _suppressed_without_address(connection, key, among)
        for who, suppressed in _by_id(connection, gone | set(stands.readers)):
            count(who, suppressed, NOBODY, -1)
            count(who, suppressed or who.id in gone, stands.of(who.id), 1)
    total = variants.total()
    return LedgerCounts(
        issue=found.number, candidates=total + reasons.total(), deliveries=total, exclusions=dict(+reasons),
        states={"pending": total} if total else {},
    )


_OF_A_PLACE = tuple(  # all that it depends on, beside whether they came after the draft; as an index of SQLite's has it
    subscriber.c[name] for name in ("state", "cadence", "topics", "language", "paused_until", "pause_skips")
)
_LISTED = subscriber.c.normalized.in_(
    sa.select(suppression.c.normalized).where(suppression.c.normalized.is_not(None))
)
_LATER = dt.timedelta(microseconds=1)


def _alike(
    connection: sa.Connection, drafted_at: dt.datetime, now: dt.datetime
) -> list[tuple[Subscriber, bool, int]]:
    """Somebody like each kind of subscribers that a freeze places alike, whether they are suppressed, and how many.

    Not seen here: who is suppressed by a hash that no address stands beside, and how anybody stands to the issue.
    """
    joined = subscriber.c.created_at
    late = sa.func.count().filter(sa.and_(joined > drafted_at, sa.not_(ahead(joined, now))))
    kinds = sa.select(*_OF_A_PLACE, sa.func.count().label("all"), late.label("late")).group_by(*_OF_A_PLACE)
    counted = Counter[tuple[Subscriber, bool]]()
    for query, listed in ((kinds, False), (kinds.where(_LISTED), True)):
        for row in connection.execute(query):
            for after, times in ((dt.timedelta(0), row.all - row.late), (_LATER, row.late)):
                counted[_like(row, drafted_at + after), listed] += times
    for (who, listed), times in list(counted.items()):
        if listed:  # counted among all as well
            counted[who, False] -= times
    return [(*kind, times) for kind, times in counted.items() if times]


def _like(row: sa.Row[Any], created_at: dt.datetime) -> Subscriber:
    """Nobody, who is placed as those of a row of kinds are."""
    return Subscriber(
        id=0, address="", normalized="", state=row.state, cadence=row.cadence, topics=tuple(row.topics),
        created_at=created_at, language=row.language, paused_until=row.paused_until, pause_skips=row.pause_skips,
    )


def _by_id(connection: sa.Connection, ids: Collection[int]) -> Iterator[tuple[Subscriber, bool]]:
    """These, each with whether their address is on the list of the suppressed."""
    wanted = sorted(ids)
    query = sa.select(subscriber, _LISTED.label("listed"))
    for start in range(0, len(wanted), CHUNK):
        for row in connection.execute(query.where(subscriber.c.id.in_(wanted[start : start + CHUNK]))):
            yield to_subscriber(row), bool(row.listed)


def _listed(connection: sa.Connection, among: owed.Range) -> set[int]:
    """Whose address is on the list of the suppressed."""
    return set(connection.execute(sa.select(subscriber.c.id).where(*_within(among), _LISTED)).scalars())


def _suppressed_without_address(connection: sa.Connection, key: bytes, among: owed.Range) -> set[int]:
    """Whose hash is on the list of the suppressed, where an erase left nothing but the hash."""
    erased = set(connection.execute(
        sa.select(suppression.c.address_hash).where(suppression.c.normalized.is_(None))
    ).scalars())
    if not erased:
        return set()
    people = sa.select(subscriber.c.id, subscriber.c.normalized).where(*_within(among))
    with connection.execute(people, execution_options={"yield_per": 1000}) as rows:
        return {row[0] for row in rows if address_hash(key, row[1]) in erased}


def _within(among: owed.Range) -> tuple[sa.ColumnElement[bool], ...]:
    return subscriber.c.id > among.after, subscriber.c.id <= among.up_to


def _standings(connection: sa.Connection, found: Issue, among: owed.Range) -> owed.Standings:
    """What each of these readers was told, is owed and read wrongly of what the issue holds."""
    return owed.standings(connection, found.cadence, _held(found), among)


def _held(found: Issue) -> set[int]:
    return {item.change_id for item in (*found.items, *found.owed)}


def _chunks(connection: sa.Connection, ids: Collection[int]) -> Iterator[list[Subscriber]]:
    """These subscribers, in the order of their ids, some at a time."""
    wanted = sorted(ids)
    for start in range(0, len(wanted), CHUNK):
        query = SELECT.where(subscriber.c.id.in_(wanted[start : start + CHUNK])).order_by(subscriber.c.id)
        yield [to_subscriber(row) for row in connection.execute(query)]


# --- writing --------------------------------------------------------------------------------------------------------

_KIND: dict[str, sa.types.TypeEngine[Any]] = {
    "state": sa.Text(), "cadence": sa.Text(), "topics": sa.Text(), "language": sa.Text(), "late": sa.Boolean(),
}
_PUT: dict[str, sa.types.TypeEngine[Any]] = {"variant": sa.Text(), "reason": sa.Text()}


def _place_alike(
    connection: sa.Connection, found: Issue, among: owed.Range, apart: Collection[int], *, place: Place,
    variants: set[str], now: dt.datetime,
) -> tuple[int, set[int]]:
    """Place those of a slice whom nothing tells apart but who they are, without the `apart`: the database writes them.

    Returns how many it wrote, and whom it did not: those who pause, which ends for each at a moment of their own, and
    those for whom the issue settles something or leaves something open.
    """
    joined = subscriber.c.created_at
    traits: dict[str, sa.ColumnElement[Any]] = {
        name: sa.type_coerce(subscriber.c[name], _KIND[name]) for name in ("state", "cadence", "topics", "language")
    }
    traits["late"] = sa.and_(joined > found.created_at, sa.not_(ahead(joined, now)))
    one_by_one = given(connection, "apart", {"id": sa.Integer()}, [{"id": one} for one in sorted(apart)])
    others = *_within(among), subscriber.c.id.not_in(sa.select(one_by_one.c.id))
    awake = subscriber.c.paused_until.is_(None)
    left = set(connection.execute(sa.select(subscriber.c.id).where(*others, ~awake)).scalars())
    kinds = connection.execute(
        sa.select(*(trait.label(name) for name, trait in traits.items()), sa.func.count().label("readers"))
        .where(*others, awake).group_by(*traits)
    ).mappings().all()
    put = [
        place(Subscriber(
            id=0, address="", normalized="", state=kind["state"], cadence=kind["cadence"], language=kind["language"],
            topics=tuple(json.loads(kind["topics"])),
            created_at=found.created_at + (_LATER if kind["late"] else dt.timedelta(0)),
        ), False, NOBODY)
        for kind in kinds
    ]
    _write_renderings(connection, found.number, put, variants)
    rows = [
        {**kind, "variant": where.variant, "reason": where.exclusion, "open": _opens(where)}
        for kind, where in zip(kinds, put, strict=True)
    ]
    kind = given(connection, "kind", _KIND | _PUT | {"open": sa.Boolean()}, rows)
    who = sa.join(subscriber, kind, sa.and_(*(
        _unindexed(connection, trait).is_not_distinct_from(kind.c[name]) if name == "language"
        else _unindexed(connection, trait) == kind.c[name]
        for name, trait in traits.items()
    )))
    if any(row["open"] for row in rows):
        left |= set(connection.execute(
            sa.select(subscriber.c.id).select_from(who).where(*others, awake, kind.c.open)
        ).scalars())
    _insert(connection, found.number, who, kind, [*others, awake, ~kind.c.open], now)
    return sum(row["readers"] for row in rows if not row["open"]), left


def _unindexed(connection: sa.Connection, trait: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """A trait that SQLite finds a reader's kind by, not a kind's readers: it would look for those once a kind."""
    return trait.concat("") if connection.dialect.name == "sqlite" and isinstance(trait.type, sa.Text) else trait


def _opens(placement: Placement) -> bool:
    """Whether it changes what is owed to somebody."""
    return bool(placement.told or placement.passed or placement.owes or placement.waived)


def _write(
    connection: sa.Connection, number: int, placed: list[tuple[Subscriber, Placement]], variants: set[str],
    now: dt.datetime,
) -> None:
    """Place these, one by one."""
    _write_renderings(connection, number, [one for _, one in placed], variants)
    each = given(connection, "placed", {"id": sa.Integer()} | _PUT, [
        {"id": who.id, "variant": one.variant, "reason": one.exclusion} for who, one in placed
    ])
    _insert(connection, number, sa.join(subscriber, each, subscriber.c.id == each.c.id), each, [], now)
    owed.settle(connection, number, [(who.id, one) for who, one in placed if _opens(one)], now)


def _write_renderings(
    connection: sa.Connection, number: int, placements: list[Placement], variants: set[str]
) -> None:
    """Those that the draft held not, before who gets them; raises ConflictError for one that there isn't."""
    new = {made.name: made for one in placements if (made := one.rendering) is not None and made.name not in variants}
    write_variants(connection, number, list(new.values()))
    variants |= new.keys()
    for placement in placements:
        if (placement.variant is None) == (placement.exclusion is None):
            raise ValueError(f"a placement names a variant or an exclusion, not both or neither: {placement}")
        if placement.variant is not None and placement.variant not in variants:
            raise ConflictError(f"it has no variant {placement.variant!r}", where=f"issue {number}")


def _insert(
    connection: sa.Connection, number: int, who: sa.Join, where: sa.CTE, which: Sequence[sa.ColumnElement[bool]],
    now: dt.datetime,
) -> None:
    """A delivery or an exclusion for each of these subscribers, as the row says that stands beside them in `who`."""
    deliveries = sa.select(
        sa.literal(number), subscriber.c.id, subscriber.c.normalized, subscriber.c.address, where.c.variant,
        sa.literal("pending"), sa.literal(now, Moment()),
    ).select_from(who).where(*which, where.c.reason.is_(None)).order_by(subscriber.c.id)
    connection.execute(sa.insert(delivery).from_select(
        ["issue", "subscriber", "normalized", "address", "variant", "state", "updated_at"], deliveries,
    ))
    excluded = (
        sa.select(sa.literal(number), subscriber.c.id, where.c.reason).select_from(who)
        .where(*which, where.c.reason.is_not(None)).order_by(subscriber.c.id)
    )
    connection.execute(sa.insert(exclusion).from_select(["issue", "subscriber", "reason"], excluded))


def _balance(connection: sa.Connection, number: int, began: Freezing, now: dt.datetime) -> None:
    """Assert the equation by what the tables hold, not by what we counted on the way, and seal it."""
    candidates, deliveries, exclusions = connection.execute(sa.select(
        sa.select(sa.func.count()).where(subscriber.c.id <= began.up_to).scalar_subquery(),
        sa.select(sa.func.count()).where(delivery.c.issue == number).scalar_subquery(),
        sa.select(sa.func.count()).where(exclusion.c.issue == number).scalar_subquery(),
    )).one()
    if candidates != deliveries + exclusions:
        raise StoreError(
            f"{candidates} candidates are not {deliveries} deliveries and {exclusions} exclusions; it was not frozen",
            where=f"issue {number}", hint="Freeze it again; if that fails too, run `milepost db check`.",
        )
    connection.execute(sa.update(issue).where(issue.c.number == number).values(
        state="frozen", frozen_at=now, pause_reason=None,
        candidates=candidates, deliveries=deliveries, exclusions=exclusions,
        **(dict.fromkeys(FREEZING) | {"freeze_began_at": began.began_at if began.placed else None}),
    ))
