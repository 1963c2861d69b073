"""Forgetting a person: their address leaves every table, and a keyed hash keeps it from ever being mailed again."""

import datetime as dt

import sqlalchemy as sa

from store.ledger import letters, owed, transitions
from store.schema.tables import (
    address_change,
    attempt,
    bounce,
    consent,
    delivery,
    issue,
    letter,
    sign_up,
    spent_proof,
    subscriber,
    suppression,
)
from store.subscribers import events, mentions
from store.subscribers.addresses import address_hash
from store.subscribers.events import By
from store.subscribers.suppressions import suppress

REASON = "erased"


def erase(connection: sa.Connection, key: bytes, normalized: str, now: dt.datetime, by: By) -> bool:
    """See `Subscribers.erase`, which opens the transaction."""
    hash_ = address_hash(key, normalized)
    suppress(connection, key, normalized, REASON, now)
    connection.execute(
        sa.update(suppression).where(suppression.c.address_hash == hash_).values(normalized=None, reason=REASON)
    )
    events.forget_words(connection, hash_)
    events.log(connection, hash_, "erased", by, now)
    mentions.mask(connection, {normalized, *_former(connection, normalized)})
    earlier = connection.execute(
        sa.select(sa.func.count()).select_from(subscriber).where(subscriber.c.normalized.startswith(f"erased:{hash_}"))
    ).scalar_one()  # an operator lifted it since, and the same person came and went again
    gone = f"erased:{hash_}:{earlier}" if earlier else f"erased:{hash_}"
    found = connection.execute(
        sa.update(subscriber)
        .where(subscriber.c.normalized == normalized)
        .values(
            address="", normalized=gone, state="unsubscribed", topics=[],
            unsubscribed_at=now, language=None, paused_until=None, pause_skips=False,
        )
        .returning(subscriber.c.id)
    ).scalar()
    letters.empty(connection, letters.of_address(hash_))
    connection.execute(sa.delete(sign_up).where(sign_up.c.address_hash == hash_))
    connection.execute(sa.delete(spent_proof).where(spent_proof.c.address_hash == hash_))
    if found is None:
        return False
    owed.forget(connection, found)
    connection.execute(sa.delete(consent).where(consent.c.subscriber == found))
    _forget_former(connection, found)
    # Servers repeat the address in what they say.
    ours = _sent_to(found)
    theirs = sa.select(delivery.c.id).where(ours)
    connection.execute(sa.update(attempt).where(attempt.c.delivery_id.in_(theirs)).values(text=""))
    connection.execute(sa.update(bounce).where(bounce.c.delivery_id.in_(theirs)).values(text=""))
    connection.execute(
        sa.update(delivery)
        .where(ours)
        .values(address="", normalized=gone, text=None)
    )
    # What waits is never begun: it has nowhere to go.
    connection.execute(transitions.update(transitions.ERASE, transitions.Terms(connection.dialect.name), ours))
    return True


def _sent_to(subscriber_id: int | sa.ScalarSelect[int]) -> sa.ColumnElement[bool]:
    """Their deliveries, by the ledger's key, which begins with the issue: by the reader alone all would be read."""
    return sa.and_(delivery.c.issue.in_(sa.select(issue.c.number)), delivery.c.subscriber == subscriber_id)


def _former(connection: sa.Connection, normalized: str) -> set[str]:
    """The addresses that they had before, or wanted, as far as they are still known."""
    theirs = sa.select(subscriber.c.id).where(subscriber.c.normalized == normalized).scalar_subquery()
    change = address_change.c.subscriber == theirs
    return set(connection.execute(sa.union(
        sa.select(delivery.c.normalized).where(_sent_to(theirs)),
        sa.select(address_change.c.old_normalized).where(change),
        sa.select(address_change.c.new_normalized).where(change),
    )).scalars())


def _forget_former(connection: sa.Connection, subscriber_id: int) -> None:
    """The addresses that they had before: of letters, of changes, and where one was suppressed, but for its hash."""
    letters.empty(connection, letter.c.subscriber == subscriber_id)
    theirs = address_change.c.subscriber == subscriber_id
    letters.empty(connection, letter.c.address_change.in_(sa.select(address_change.c.id).where(theirs)))
    former = sa.union(
        sa.select(delivery.c.normalized).where(_sent_to(subscriber_id)),
        sa.select(address_change.c.old_normalized).where(theirs, address_change.c.confirmed_at.is_not(None)),
    )
    others = sa.select(subscriber.c.normalized).where(subscriber.c.id != subscriber_id)
    connection.execute(
        sa.update(suppression)
        .where(suppression.c.normalized.in_(former), suppression.c.normalized.not_in(others))
        .values(normalized=None)
    )
    connection.execute(sa.delete(address_change).where(theirs))
