"""Freezing an issue: every subscriber becomes a delivery or a listed exclusion, in one transaction.

    subscribers, a chunk at a time, and how each stands ─▶ place ─▶ delivery | exclusion
    candidates = deliveries + exclusions, those among the latter that are owed among them
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import Any

import sqlalchemy as sa

from milepost.errors import ConflictError, StoreError
from milepost.records import NOBODY, Issue, LedgerCounts, Placement, Standing, Subscriber, Variant
from store.clock import ahead
from store.dialects import stop_writers
from store.issues.issues import load, load_variants, require_content, write_variants
from store.ledger import owed
from store.ledger.queries import reason_of
from store.schema.tables import delivery, exclusion, issue, subscriber, suppression
from store.subscribers.addresses import address_hash
from store.subscribers.people import to_subscriber

Place = Callable[[Subscriber, bool, Standing], Placement]
CHUNK = 500  # subscribers in memory at once


def freeze(
    connection: sa.Connection,
    number: int,
    key: bytes,
    *,
    content_hash: str,
    place: Place,
    now: dt.datetime,
    require_approval: bool,
) -> None:
    """See `Ledger.freeze`, which opens the transaction; `key` is the one that suppressed addresses are hashed with."""
    found = load(connection, number, lock=True)
    require_content(found, content_hash)
    if found.state not in ("draft", "cancelled"):
        return  # frozen before, by us or by somebody quicker: nobody is placed twice
    if found.state == "cancelled":
        raise ConflictError("it was cancelled", where=f"issue {number}")
    approved = connection.execute(sa.select(issue.c.approved_at).where(issue.c.number == number)).scalar()
    if require_approval and approved is None:
        raise ConflictError(
            "nobody approved it", where=f"issue {number}",
            hint=f"Look at it, then run `milepost issue approve {number}`.",
        )
    stop_writers(connection, subscriber)  # else a sign-up in between would be in one count and not in the other
    variants = {variant.name: variant for variant in load_variants(connection, number)}
    # Read here, where nobody can change a choice: a switch before this is seen, one after it sees this issue sealed.
    stands = _standings(connection, found)
    for chunk in _subscribers(connection, key):
        placed = [(who, place(who, suppressed, stands.of(who.id))) for who, suppressed in chunk]
        _write(connection, number, placed, variants, now)
    _balance(connection, number, now)


def foresee(connection: sa.Connection, number: int, key: bytes, *, place: Place, now: dt.datetime) -> LedgerCounts:
    """See `Ledger.foresee`."""
    found = load(connection, number)
    stands = _standings(connection, found)
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
    erased = _suppressed_without_address(connection, key)
    for who, suppressed in _by_id(connection, erased | set(stands.readers)):
        count(who, suppressed, NOBODY, -1)
        count(who, suppressed or who.id in erased, stands.of(who.id), 1)
    total = variants.total()
    return LedgerCounts(
        issue=number, candidates=total + reasons.total(), deliveries=total, exclusions=dict(+reasons),
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


def _suppressed_without_address(connection: sa.Connection, key: bytes) -> set[int]:
    """Whose hash is on the list of the suppressed, where an erase left nothing but the hash."""
    erased = set(connection.execute(
        sa.select(suppression.c.address_hash).where(suppression.c.normalized.is_(None))
    ).scalars())
    if not erased:
        return set()
    rows = connection.execute(sa.select(subscriber.c.id, subscriber.c.normalized))
    return {row[0] for row in rows if address_hash(key, row[1]) in erased}


def _standings(connection: sa.Connection, found: Issue) -> owed.Standings:
    """What each reader was told, is owed and read wrongly of what the issue holds."""
    return owed.standings(connection, found.cadence, {item.change_id for item in (*found.items, *found.owed)})


def _subscribers(connection: sa.Connection, key: bytes) -> Iterator[list[tuple[Subscriber, bool]]]:
    """All subscribers, each with whether they are suppressed."""
    last = 0
    query = sa.select(subscriber).order_by(subscriber.c.id).limit(CHUNK)
    while rows := connection.execute(query.where(subscriber.c.id > last)).all():
        hashes = {row.id: address_hash(key, row.normalized) for row in rows}
        listed = sa.select(suppression.c.address_hash).where(suppression.c.address_hash.in_(hashes.values()))
        suppressed = set(connection.execute(listed).scalars())
        yield [(to_subscriber(row), hashes[row.id] in suppressed) for row in rows]
        last = rows[-1].id


def _write(
    connection: sa.Connection, number: int, placed: list[tuple[Subscriber, Placement]], variants: dict[str, Variant],
    now: dt.datetime,
) -> None:
    new = {made.name: made for _, one in placed if (made := one.rendering) is not None and made.name not in variants}
    write_variants(connection, number, list(new.values()))
    variants |= new
    deliveries: list[dict[str, Any]] = []
    exclusions: list[dict[str, Any]] = []
    for who, placement in placed:
        if placement.variant is not None and placement.exclusion is None:
            if placement.variant not in variants:
                raise ConflictError(f"it has no variant {placement.variant!r}", where=f"issue {number}")
            deliveries.append({
                "issue": number, "subscriber": who.id, "normalized": who.normalized, "address": who.address,
                "variant": placement.variant, "state": "pending", "updated_at": now,
            })
        elif placement.exclusion is not None and placement.variant is None:
            exclusions.append({"issue": number, "subscriber": who.id, "reason": placement.exclusion})
        else:
            raise ValueError(f"a placement names a variant or an exclusion, not both or neither: {placement}")
    if deliveries:
        connection.execute(sa.insert(delivery), deliveries)
    if exclusions:
        connection.execute(sa.insert(exclusion), exclusions)
    owed.settle(connection, number, [
        (who.id, one) for who, one in placed if one.told or one.passed or one.owes or one.waived
    ], now)


def _balance(connection: sa.Connection, number: int, now: dt.datetime) -> None:
    """Assert the equation by what the tables hold, not by what we counted on the way, and seal it."""
    candidates, deliveries, exclusions = connection.execute(sa.select(
        sa.select(sa.func.count()).select_from(subscriber).scalar_subquery(),
        sa.select(sa.func.count()).where(delivery.c.issue == number).scalar_subquery(),
        sa.select(sa.func.count()).where(exclusion.c.issue == number).scalar_subquery(),
    )).one()
    if candidates != deliveries + exclusions:
        raise StoreError(
            f"{candidates} candidates are not {deliveries} deliveries and {exclusions} exclusions; nothing was frozen",
            where=f"issue {number}", hint="Freeze it again; if that fails too, run `milepost db check`.",
        )
    connection.execute(sa.update(issue).where(issue.c.number == number).values(
        state="frozen", frozen_at=now, pause_reason=None,
        candidates=candidates, deliveries=deliveries, exclusions=exclusions,
    ))
