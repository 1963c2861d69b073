"""Forgetting a person: their address leaves every table, and a keyed hash keeps it from ever being mailed again."""

import datetime as dt

import sqlalchemy as sa

from store.ledger import letters, owed, transitions
from store.schema.tables import attempt, bounce, consent, delivery, letter, sign_up, subscriber, suppression
from store.subscribers import events
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
    earlier = connection.execute(
        sa.select(sa.func.count()).select_from(subscriber).where(subscriber.c.normalized.startswith(f"erased:{hash_}"))
    ).scalar_one()  # an operator lifted it since, and the same person came and went again
    gone = f"erased:{hash_}:{earlier}" if earlier else f"erased:{hash_}"
    found = connection.execute(
        sa.update(subscriber)
        .where(subscriber.c.normalized == normalized)
        .values(
            address="", normalized=gone, state="unsubscribed", topics=[],
            unsubscribed_at=now,
        )
        .returning(subscriber.c.id)
    ).scalar()
    letters.empty(connection, letter.c.address_hash == hash_)
    connection.execute(sa.delete(sign_up).where(sign_up.c.address_hash == hash_))
    if found is None:
        return False
    owed.forget(connection, found)
    connection.execute(sa.delete(consent).where(consent.c.subscriber == found))
    # Servers repeat the address in what they say.
    theirs = sa.select(delivery.c.id).where(delivery.c.subscriber == found)
    connection.execute(sa.update(attempt).where(attempt.c.delivery_id.in_(theirs)).values(text=""))
    connection.execute(sa.update(bounce).where(bounce.c.delivery_id.in_(theirs)).values(text=""))
    connection.execute(
        sa.update(delivery)
        .where(delivery.c.subscriber == found)
        .values(address="", normalized=gone, text=None)
    )
    # What waits is never begun: it has nowhere to go.
    ours = delivery.c.subscriber == found
    connection.execute(transitions.update(transitions.ERASE, transitions.Terms(connection.dialect.name), ours))
    return True
