"""Freezing an issue: every subscriber becomes a delivery or a listed exclusion, in one transaction.

    subscribers, a chunk at a time, and how each stands ─▶ place ─▶ delivery | exclusion
    candidates = deliveries + exclusions, those among the latter that are owed among them
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa

from milepost.errors import ConflictError, StoreError
from milepost.records import Issue, LedgerCounts, Placement, Standing, Subscriber, Variant
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


def foresee(connection: sa.Connection, number: int, key: bytes, *, place: Place) -> LedgerCounts:
    """See `Ledger.foresee`."""
    found = load(connection, number)
    stands = _standings(connection, found)
    variants, reasons = Counter[str](), Counter[str]()
    for chunk in _subscribers(connection, key):
        for who, suppressed in chunk:
            placement = place(who, suppressed, stands.of(who.id))
            if placement.exclusion is None:
                variants[placement.variant or ""] += 1
            else:
                reasons[reason_of(placement.exclusion)] += 1
    total = variants.total()
    return LedgerCounts(
        issue=number, candidates=total + reasons.total(), deliveries=total, exclusions=dict(reasons),
        states={"pending": total},
    )


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
