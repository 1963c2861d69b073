"""What was ever done about one address, from every table that knows of it, in the order of time.

    sign-up, consents ─┐
    events, suppression┼─▶ moments, oldest first
    letters, deliveries, what came back ─┘
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from store.engine import Database
from store.meta import Meta
from store.schema.tables import (
    LETTER_KINDS,
    bounce,
    consent,
    delivery,
    exclusion,
    issue,
    letter,
    sign_up,
    subscriber,
    subscriber_event,
    suppression,
)
from store.subscribers.addresses import address_hash, parse

_SAME = dt.timedelta(seconds=5)  # a state and the event that tells of it are written together
# What needs more than its own name.
_DONE = {"paused": "paused their mails", "resumed": "ended their pause", "moved": "changed their address",
         "language": "chose a language", "moved_away": "took another address"}
_LETTERS = {"move": "letter asking to confirm the new address", "moved": "letter telling the former address",
            "goodbye": "letter saying that they have left"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """One thing that happened."""

    at: dt.datetime
    what: str  # "signed up", "letter confirm", "issue 3", "issue 3 came back", or what an event did
    state: str  # what it came to: "sent", "failed", "hard" …; "" where there is nothing to say
    who: str  # did it: an operator, "the reader"; "" for the program itself
    said: str  # the reason, or a server's words


def story(database: Database, address: str) -> list[Moment]:
    """All of it, oldest first; raises InputError when `address` is none."""
    normalized = parse(address).normalized
    hash_ = address_hash(Meta(database).address_key(), normalized)
    with database.connect() as connection:
        reader = connection.execute(sa.select(subscriber).where(subscriber.c.normalized == normalized)).first()
        found = [
            *_signing_up(connection, normalized, None if reader is None else reader.id),
            *_events(connection, hash_), *_letters(connection, hash_), *_suppressed(connection, hash_),
        ]
        if reader is not None:
            found += _issues(connection, reader.id)
            found += _state(reader, found)
    return sorted(found, key=lambda one: one.at)


def _signing_up(connection: sa.Connection, normalized: str, reader: int | None) -> Iterator[Moment]:
    waiting = connection.execute(
        sa.select(sign_up).where(sign_up.c.normalized == normalized, sign_up.c.confirmed_at.is_(None))
    )
    proofs = connection.execute(sa.select(consent).where(consent.c.subscriber == reader)) if reader else ()
    for row in (*waiting, *proofs):
        where = " ".join(filter(None, (row.source or "source unknown", row.path)))
        wants = f"{row.cadence}, {', '.join(row.topics) or 'everything'}, in {row.language}"
        yield Moment(
            at=row.asked_at, what="signed up", state="waits" if row.confirmed_at is None else "confirmed",
            who="the reader", said=f"on {where}, words {row.form}, network {row.network[:12]}: {wants}",
        )


def _events(connection: sa.Connection, hash_: str) -> Iterator[Moment]:
    for row in connection.execute(sa.select(subscriber_event).where(subscriber_event.c.address_hash == hash_)):
        yield Moment(at=row.at, what=_DONE.get(row.action, row.action), state="", who=row.by, said=row.why)


def _suppressed(connection: sa.Connection, hash_: str) -> Iterator[Moment]:
    for row in connection.execute(sa.select(suppression).where(suppression.c.address_hash == hash_)):
        yield Moment(at=row.created_at, what="never mailed again", state="", who="", said=row.reason)


def _letters(connection: sa.Connection, hash_: str) -> Iterator[Moment]:
    by_kind = letter.c.kind.in_(LETTER_KINDS)  # all there are: their index begins with it
    rows = connection.execute(sa.select(letter).where(by_kind, letter.c.address_hash == hash_)).all()
    for row in rows:
        yield Moment(
            at=row.sent_at or row.queued_at, what=_letter(row.kind), state=row.state, who="", said=row.why
        )
    kinds = {row.id: row.kind for row in rows}
    reports = sa.select(bounce).where(bounce.c.letter.in_(list(kinds)))
    for row in connection.execute(reports):
        yield _came_back(row, _letter(kinds[row.letter]))


def _letter(kind: str) -> str:
    return _LETTERS.get(kind, f"letter {kind}")


def _issues(connection: sa.Connection, reader: int) -> Iterator[Moment]:
    # Found by issue and reader, issue by issue: of a reader alone there is no index, and a scan is of every mail ever.
    numbers = list(connection.execute(sa.select(issue.c.number)).scalars())
    theirs = connection.execute(
        sa.select(delivery, issue.c.subject)
        .join(issue, issue.c.number == delivery.c.issue)
        .where(delivery.c.issue.in_(numbers), delivery.c.subscriber == reader)
    ).all()
    for row in theirs:
        said = " ".join(str(part) for part in (row.code, row.enhanced, row.text) if part)
        yield Moment(at=row.updated_at, what=f"issue {row.issue}", state=row.state, who="", said=said or row.subject)
    of = {row.id: row.issue for row in theirs}
    for row in connection.execute(sa.select(bounce).where(bounce.c.delivery_id.in_(list(of)))):
        yield _came_back(row, f"issue {of[row.delivery_id]}")
    left_out = (
        sa.select(exclusion.c.issue, exclusion.c.reason, issue.c.frozen_at)
        .join(issue, issue.c.number == exclusion.c.issue)
        .where(exclusion.c.issue.in_(numbers), exclusion.c.subscriber == reader, issue.c.frozen_at.is_not(None))
    )
    for row in connection.execute(left_out):
        yield Moment(at=row.frozen_at, what=f"issue {row.issue}", state="not sent", who="", said=row.reason)


def _came_back(row: sa.Row[tuple[object, ...]], what: str) -> Moment:
    said = " ".join(str(part) for part in (row.code, row.enhanced, row.text) if part)
    return Moment(at=row.read_at, what=f"{what} came back", state=row.grade, who="", said=said)


def _state(reader: sa.Row[tuple[object, ...]], told: list[Moment]) -> Iterator[Moment]:
    """What the reader's own row remembers and no event tells."""
    for at, what, said in (
        (reader.created_at, "subscriber", ""), (reader.unsubscribed_at, "left", ""),
        (reader.chosen_at, "chose", f"{reader.cadence}, {', '.join(reader.topics) or 'everything'}"),
    ):
        if at is not None and not any(one.who and abs(one.at - at) <= _SAME for one in told):
            yield Moment(at=at, what=what, state="", who="", said=said)
