"""Sign-ups: an address that somebody typed waits for its confirmation, and only that makes a subscriber of it.

    ask ─▶ entry, letter "confirm" queued        the same statements whoever it is: nothing here tells who is known
    confirm ─▶ subscriber active, consent kept, letter "welcome" queued
    remind, forget ─▶ after a day a second letter, after a month nothing
"""

import datetime as dt
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from milepost.records import Cadence
from store.clock import within
from store.dialects import insert, serialize
from store.engine import Database
from store.ledger.letters import SITE, answer, empty, enqueue
from store.meta import Meta
from store.schema.tables import (
    consent,
    letter,
    meta,
    sign_up,
    sign_up_count,
    spent_proof,
    subscriber,
    suppression,
)
from store.subscribers import events, suppressions
from store.subscribers.addresses import Address, address_hash
from store.subscribers.events import READER, By
from store.subscribers.people import locked, turn

HOUR, REMIND_AFTER, FORGET_AFTER = dt.timedelta(hours=1), dt.timedelta(hours=24), dt.timedelta(days=30)
Refusal = Literal["network", "backlog", "used_proof"]
Ended = Literal["confirmed", "again", "used", "kept_out", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How many sign-ups are taken."""

    per_network: int  # different addresses an hour
    backlog: int  # letters that wait to be sent


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """A proof of work that was found right and pays for one address."""

    challenge: str  # SHA-256 in hex, whatever else of it is spelt otherwise
    expires_at: dt.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What somebody asked for, checked."""

    address: Address
    cadence: Cadence
    topics: tuple[str, ...] = ()
    language: str  # of the page they read; the newsletter's where that was another site's
    language_taken: bool = False  # they took it there; else their browser prefers it
    form: str  # the version of the words they read; `SITE`: another site's
    source: str | None = None
    variant: str | None = None
    path: str | None = None
    network: str  # a keyed hash
    proof: Proof | None = None  # None: nobody asked for one


@dataclass(frozen=True, kw_only=True, slots=True)
class SignUp:
    """An entry."""

    id: int
    name: str
    address: str
    cadence: Cadence
    topics: tuple[str, ...]
    language: str
    form: str
    source: str | None
    variant: str | None
    path: str | None
    network: str
    asked: int
    asked_at: dt.datetime
    reminded_at: dt.datetime | None
    confirmed_at: dt.datetime | None
    language_taken: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Consent:
    """What proves that a subscriber asked."""

    asked_at: dt.datetime
    form: str
    language: str
    source: str | None
    variant: str | None
    path: str | None
    network: str
    cadence: Cadence
    topics: tuple[str, ...]
    confirmed_at: dt.datetime
    confirmed_network: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Confirmed:
    """What came of a press on the button; `subscriber`: whose page may be shown."""

    ended: Ended
    subscriber: int | None = None
    handle: str | None = None  # theirs, in their links


@dataclass(frozen=True, kw_only=True, slots=True)
class Tended:
    """What a round through the entries did."""

    reminded: int
    forgotten: int


class SignUps:
    """All entries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, request: Request, limits: Limits, now: dt.datetime) -> Refusal | None:
        """Take a sign-up in and queue its letter; which limit kept it out, None when none did.

        An entry that waits keeps its link and takes the last choice; one that was confirmed begins anew.
        """
        hash_ = self._hash(request.address.normalized)
        with self._database.begin() as connection:
            serialize(connection, "sign_up")  # what is counted must not change before it is written
            refusal: Refusal | None
            if request.proof is not None and not _spend(connection, request.proof, hash_):
                refusal = "used_proof"
            else:
                refusal = _refusal(connection, request, limits, now)
            if refusal is not None:
                count(connection, refusal, now)
                return refusal
            count(connection, "taken", now)
            entry = _write(connection, request, hash_, now)
            enqueue(connection, "confirm", request.address.address, hash_, now, entry=entry)
            return None

    def count(self, what: str, now: dt.datetime, number: int = 1) -> None:
        """Count those that were turned away before they came here."""
        with self._database.begin() as connection:
            count(connection, what, now, number)

    def counts(self, since: dt.datetime) -> dict[str, int]:
        """What was taken and what was refused since the hour of `since`, those of nought left out."""
        query = (
            sa.select(sign_up_count.c.what, sa.func.sum(sign_up_count.c.count))
            .where(sign_up_count.c.hour >= _hour(since)).group_by(sign_up_count.c.what)
        )
        with self._database.connect() as connection:
            return {row[0]: int(row[1]) for row in connection.execute(query.order_by(sign_up_count.c.what))}

    def find(self, name: str, now: dt.datetime) -> SignUp | None:
        """The entry whose link that is, None for one that is none, or forgotten."""
        asked = sa.and_(sign_up.c.name == name, sign_up.c.asked_at > now - FORGET_AFTER)
        with self._database.questions() as connection:
            found = _one(connection, asked)
        return None if found is None else found[0]

    def of(self, normalized: str) -> SignUp | None:
        """The entry of an address."""
        with self._database.questions() as connection:
            found = _one(connection, sign_up.c.normalized == normalized)
        return None if found is None else found[0]

    def confirm(
        self, name: str, network: str, now: dt.datetime, *, newsletter_language: str = "en", welcome: bool = True
    ) -> Confirmed:
        """The reader pressed the button: make them a subscriber with their choice, and keep the proof.

        Whoever left comes back, whoever was suppressed for bounces is suppressed no more; other reasons stay.
        A second press changes nothing: a link is used once, and who left since then signs up anew. The language of our
        own page is part of the choice and kept where it is not `newsletter_language`; where it is only what the browser
        prefers, a language that they chose before stays.
        """
        with self._database.begin() as connection:
            asked = sa.and_(sign_up.c.name == name, sign_up.c.asked_at > now - FORGET_AFTER)
            found = _one(connection, asked, locked=True)
            if found is None:
                return Confirmed(ended="unknown")
            entry, normalized = found
            key = Meta(self._database).address_key()
            hash_ = address_hash(key, normalized)
            known = _known(connection, normalized).first()
            listed = suppressions.find(connection, hash_)
            if entry.confirmed_at is not None:
                if known is not None and known.state == "active" and listed is None:
                    return Confirmed(ended="again", subscriber=known.id, handle=known.handle)
                return Confirmed(ended="used")
            if listed is not None and not suppressions.liftable(listed.reason):
                return Confirmed(ended="kept_out")
            if listed is not None:
                connection.execute(sa.delete(suppression).where(suppression.c.address_hash == hash_))
                why = f"confirmed a sign-up (was suppressed {listed.created_at:%Y-%m-%d}: {listed.reason})"
                events.log(connection, hash_, "lifted", By(who=READER, why=why), now)
            reader, handle = _make_active(connection, entry, normalized, known, newsletter_language, now)
            connection.execute(sa.insert(consent).values(
                subscriber=reader, asked_at=entry.asked_at, form=entry.form, language=entry.language,
                source=entry.source, variant=entry.variant, path=entry.path, network=entry.network,
                cadence=entry.cadence, topics=list(entry.topics), confirmed_at=now, confirmed_network=network,
            ))
            connection.execute(sa.update(sign_up).where(sign_up.c.id == entry.id).values(confirmed_at=now))
            answer(connection, hash_)
            before = "new" if known is None else f"was {known.state}"
            events.log(connection, hash_, "confirmed", By(who=READER, why=f"a sign-up ({before})"), now)
            if welcome:
                enqueue(connection, "welcome", entry.address, hash_, now, entry=entry.id, subscriber=reader)
            return Confirmed(ended="confirmed", subscriber=reader, handle=handle)

    def consents(self, subscriber_id: int) -> list[Consent]:
        """What proves that they asked, oldest first."""
        columns = [consent.c[name] for name in Consent.__dataclass_fields__]
        query = sa.select(*columns).where(consent.c.subscriber == subscriber_id).order_by(consent.c.id)
        with self._database.connect() as connection:
            return [
                Consent(**(dict(row) | {"topics": tuple(row["topics"])}))
                for row in connection.execute(query).mappings()
            ]

    def tend(self, now: dt.datetime) -> Tended:
        """Remind whoever was written to a day ago and did not confirm, once; forget what is a month old."""
        old, named = now - FORGET_AFTER, letter.c.address != ""
        spent = spent_proof.c.expires_at <= now - HOUR  # refused as expired by every process, should its clock be late
        waiting = (
            sa.select(sign_up.c.id, sign_up.c.address, sign_up.c.address_hash)
            .where(
                sign_up.c.confirmed_at.is_(None), sign_up.c.reminded_at.is_(None),
                sa.exists().where(
                    letter.c.sign_up == sign_up.c.id, letter.c.kind == "confirm", letter.c.state == "sent",
                    sa.not_(within(letter.c.sent_at, now, REMIND_AFTER)),
                ),
            )
        )
        with self._database.questions() as connection:  # mostly there is nothing: no writer waits for us then
            month_old = (
                sa.select(sign_up.c.id).where(sign_up.c.asked_at <= old),
                sa.select(letter.c.id).where(named, letter.c.queued_at <= old),
                sa.select(sign_up_count.c.hour).where(sign_up_count.c.hour <= old),
            )
            proofs = sa.select(spent_proof.c.challenge).where(spent)
            if all(connection.execute(query.limit(1)).first() is None for query in (waiting, *month_old, proofs)):
                return Tended(reminded=0, forgotten=0)
        with self._database.begin() as connection:
            serialize(connection, "sign_up")
            due = connection.execute(waiting).all()
            for entry in due:
                enqueue(connection, "remind", entry.address, entry.address_hash, now, entry=entry.id)
                connection.execute(sa.update(sign_up).where(sign_up.c.id == entry.id).values(reminded_at=now))
            theirs = letter.c.sign_up.in_(sa.select(sign_up.c.id).where(sign_up.c.asked_at <= old))
            empty(connection, sa.and_(named, sa.or_(letter.c.queued_at <= old, theirs)))
            gone = connection.execute(sa.delete(sign_up).where(sign_up.c.asked_at <= old)).rowcount
            connection.execute(sa.delete(sign_up_count).where(sign_up_count.c.hour <= old))
            connection.execute(sa.delete(spent_proof).where(spent))
            return Tended(reminded=len(due), forgotten=gone)

    def network_hash(self, prefix: str) -> str:
        """The keyed hash under which a network's sign-ups are counted and kept."""
        return address_hash(Meta(self._database).address_key(), f"network {prefix}")

    def keep_words(self, form: str, words: str) -> None:
        """Keep the words of a form under their version, so that a consent of years ago can be read."""
        with self._database.begin() as connection:
            new = insert(connection, meta).values(key=f"form.{form}"[:40], value=words)
            connection.execute(new.on_conflict_do_nothing())

    def words(self, form: str) -> str | None:
        """The words of that version."""
        return Meta(self._database).get(f"form.{form}"[:40])

    def _hash(self, normalized: str) -> str:
        return address_hash(Meta(self._database).address_key(), normalized)


_COLUMNS = [sign_up.c[name] for name in SignUp.__dataclass_fields__]


def to_sign_up(row: Mapping[str, Any]) -> SignUp:
    """A row of the table as a record."""
    return SignUp(**(dict(row) | {"topics": tuple(row["topics"])}))


def _one(
    connection: sa.Connection, clause: sa.ColumnElement[bool], *, locked: bool = False
) -> tuple[SignUp, str] | None:
    """An entry and its normalized address; `locked`: nobody else changes it before this transaction ends."""
    query = sa.select(*_COLUMNS, sign_up.c.normalized).where(clause)
    row = connection.execute(query.with_for_update() if locked else query).mappings().first()
    if row is None:
        return None
    return to_sign_up({name: row[name] for name in SignUp.__dataclass_fields__}), row["normalized"]


def _known(connection: sa.Connection, normalized: str) -> sa.CursorResult[Any]:
    """The subscriber of an address, if there is one."""
    query = sa.select(subscriber.c.id, subscriber.c.state, subscriber.c.handle, subscriber.c.language)
    return connection.execute(query.where(subscriber.c.normalized == normalized))


def _spend(connection: sa.Connection, proof: Proof, hash_: str) -> bool:
    """Whether it pays for this address: whoever presses the button twice sends the same proof twice."""
    new = insert(connection, spent_proof).values(
        challenge=proof.challenge, address_hash=hash_, expires_at=proof.expires_at
    )
    connection.execute(new.on_conflict_do_nothing())
    query = sa.select(spent_proof.c.address_hash).where(spent_proof.c.challenge == proof.challenge)
    return bool(connection.execute(query).scalar_one() == hash_)


def _refusal(connection: sa.Connection, request: Request, limits: Limits, now: dt.datetime) -> Refusal | None:
    others = connection.execute(
        sa.select(sa.func.count()).select_from(sign_up).where(
            sign_up.c.network == request.network, within(sign_up.c.asked_at, now, HOUR),
            sign_up.c.normalized != request.address.normalized,
        )
    ).scalar_one()
    if others >= limits.per_network:
        return "network"
    waiting = connection.execute(
        sa.select(sa.func.count()).select_from(letter).where(letter.c.state == "queued")
    ).scalar_one()
    return "backlog" if waiting >= limits.backlog else None


def _write(connection: sa.Connection, request: Request, hash_: str, now: dt.datetime) -> int:
    asked: dict[str, Any] = {
        "address": request.address.address, "cadence": request.cadence, "topics": list(request.topics),
        "language": request.language, "language_taken": request.language_taken,
        "form": request.form, "source": request.source, "variant": request.variant,
        "path": request.path, "network": request.network, "asked_at": now,
    }
    name = secrets.token_urlsafe(18)
    anew = sign_up.c.confirmed_at.is_not(None)
    new = insert(connection, sign_up).values(
        **asked, normalized=request.address.normalized, address_hash=hash_, name=name,
    )
    done = connection.execute(new.on_conflict_do_update(index_elements=["normalized"], set_={
        **asked, "asked": sign_up.c.asked + 1, "confirmed_at": None,
        "name": sa.case((anew, name), else_=sign_up.c.name),
        "reminded_at": sa.case((anew, sa.null()), else_=sign_up.c.reminded_at),
    }).returning(sign_up.c.id))
    return int(done.scalar_one())


def _make_active(
    connection: sa.Connection, entry: SignUp, normalized: str, known: sa.Row[Any] | None, newsletter_language: str,
    now: dt.datetime,
) -> tuple[int, str]:
    """A subscriber's id and handle; `known`: who it is, None for nobody until now."""
    spoken = None if known is None else known.language
    chosen: dict[str, Any] = {"cadence": entry.cadence, "topics": list(entry.topics)}
    if entry.form != SITE and (spoken is None or entry.language_taken):  # another site's form chose none
        chosen["language"] = None if entry.language == newsletter_language else entry.language
    if known is None:
        new = insert(connection, subscriber).values(
            address=entry.address, normalized=normalized, state="active", created_at=now, confirmed_at=now, **chosen
        )
        ours = new.on_conflict_do_nothing().returning(subscriber.c.id, subscriber.c.handle)
        if (made := connection.execute(ours).first()) is not None:
            return made.id, made.handle
        known = _known(connection, normalized).one()  # an operator or an import added them this instant
    awake = {"paused_until": None, "pause_skips": False}  # who asks to be written to pauses no more
    back = {"state": "active", "confirmed_at": now, "unsubscribed_at": None, **chosen, **awake}
    turn(connection, locked(connection, known.id), back, now)
    return known.id, known.handle


def count(connection: sa.Connection, what: str, now: dt.datetime, number: int = 1) -> None:
    """So many more of that in this hour."""
    new = insert(connection, sign_up_count).values(hour=_hour(now), what=what, count=number)
    connection.execute(new.on_conflict_do_update(
        index_elements=["hour", "what"], set_={"count": sign_up_count.c.count + number}
    ))


def _hour(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)
