"""What came back, beside the ledger: each report counts once, and its effect is on the disk before it is put away.

    Notice ─ trace ─▶ whose delivery it is ─ record ─▶ a row, and suppressed | unsubscribed | counted | noted
           └────────▶ which letter it is ─ record_letter ─▶ a row, and what it asked for ended | suppressed …
    a mail to a reader's own address ─ leave ─▶ a row, and unsubscribed

The delivery's own state never changes here: it was handed over, and that stays true.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import sqlalchemy as sa

from milepost.errors import InputError
from milepost.records import DeliveryState
from store.dialects import insert
from store.engine import Database
from store.ledger.letters import end_change
from store.meta import Meta
from store.schema.tables import bounce, delivery, issue, letter, sign_up, subscriber
from store.subscribers.addresses import parse
from store.subscribers.events import READER, By
from store.subscribers.people import let_go, locked, turn
from store.subscribers.suppressions import suppress

Grade = Literal["hard", "soft", "policy", "delayed", "delivered", "complaint", "unclear"]
Effect = Literal["suppressed", "unsubscribed", "ended", "counted", "noted", "seen", "forged"]
BY_MAIL = "by a mail to the address that was theirs alone"
_CHUNK = 500  # names asked for in one statement
_ISSUES = 100  # the last ones, of which a report is looked for first, and a relay's own name of a message only


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """One report, read and graded. `delivery_id` is proven; `message_id` is proof if the ledger knows it."""

    digest: str  # SHA-256 of its bytes, in hex
    grade: Grade
    delivery_id: int | None = None
    queued: bool = False  # by the relay's own name of it, which is not ours
    message_id: str | None = None
    recipient: str | None = None  # as the report says: by it a Message-ID is found without reading the whole ledger
    exact: bool = False  # the recipient is whom the mail was handed over for, never where it was forwarded to
    code: int | None = None
    enhanced: str | None = None
    text: str = ""  # printable
    suppress: str | None = None  # why the address is never to be mailed again


@dataclass(frozen=True, kw_only=True, slots=True)
class Traced:
    """The delivery that a report is about."""

    id: int
    issue: int
    subscriber: int
    address: str
    normalized: str
    state: DeliveryState
    proof: Literal["envelope", "message-id", "queue-id"]


@dataclass(frozen=True, kw_only=True, slots=True)
class BounceRow:
    """One report about one delivery, as it is kept."""

    grade: Grade
    code: int | None
    enhanced: str | None
    text: str
    read_at: dt.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Struck:
    """A subscriber and the sendings to them that came back for a reason that may pass."""

    subscriber: int
    address: str
    normalized: str
    strikes: Sequence[tuple[int, dt.datetime]] = field(default=())  # (issue, when it was sent)


def _recent() -> sa.Select[tuple[int]]:
    return sa.select(issue.c.number).order_by(issue.c.number.desc()).limit(_ISSUES)


def _named(connection: sa.Connection, notices: Sequence[Notice], known: Mapping[str, int]) -> dict[str, int]:
    """Message-ID → delivery: of the last issues, then of all, to whom their report names; then to anybody else.

    The last is for mail that was forwarded, and reads the whole ledger.
    """
    named = dict(known)

    def rest() -> list[Notice]:
        return [one for one in notices if one.message_id not in named]

    for issues in (_recent(), sa.select(issue.c.number)):
        named |= _sent_to(connection, rest(), issues)
    asked = [one.message_id for one in rest() if not one.exact]
    for at in range(0, len(asked), _CHUNK):
        query = sa.select(delivery.c.message_id, delivery.c.id).where(
            delivery.c.message_id.in_(asked[at : at + _CHUNK])
        )
        named |= {row.message_id: row.id for row in connection.execute(query)}
    return named


def _sent_to(
    connection: sa.Connection, notices: Sequence[Notice], issues: sa.Select[tuple[int]]
) -> dict[str, int]:
    """Message-ID → delivery, of those of these issues that were sent to whom their report names."""
    found: dict[str, int] = {}
    recipients = {one.message_id: reader for one in notices if (reader := normalized(one.recipient))}
    for at in range(0, len(recipients), _CHUNK):
        names = list(recipients)[at : at + _CHUNK]
        query = sa.select(delivery.c.message_id, delivery.c.id).where(
            delivery.c.issue.in_(issues),  # (issue, normalized) is indexed, a Message-ID is not
            delivery.c.normalized.in_({recipients[name] for name in names}), delivery.c.message_id.in_(names),
        )
        found |= {row.message_id: row.id for row in connection.execute(query)}
    return found


def normalized(address: str | None) -> str | None:
    """A report's recipient as the ledger has it; None where it is no address."""
    try:
        return None if address is None else parse(address).normalized
    except InputError:
        return None


def _proof(one: Notice) -> Literal["envelope", "message-id", "queue-id"]:
    return "queue-id" if one.queued else "message-id" if one.delivery_id is None else "envelope"


def delivery_name(issue_handle: str | None, reader: str) -> str:
    """The random name of a delivery; "" where its issue was drafted before there were any."""
    return f"{issue_handle}{reader}" if issue_handle else ""


class Bounces:
    """The reports that were read. Every method raises StoreError when the database can't."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _key(self) -> bytes:
        """The key of the hashes of suppressed addresses."""
        return Meta(self._database).address_key()

    def trace(self, notices: Sequence[Notice], unknown: Mapping[str, int]) -> dict[str, Traced]:
        """Whose each report is, by its digest; one that is missing proved nothing.

        `unknown`: Message-ID → delivery, for hand-overs whose Message-ID the ledger was never told.
        """
        by_name = [one for one in notices if one.message_id and one.delivery_id is None]
        with self._database.connect() as connection:
            named = _named(connection, by_name, unknown)
            ids = {
                one.digest: one.delivery_id if one.delivery_id is not None else named.get(one.message_id or "")
                for one in notices
            }
            rows: dict[int, sa.RowMapping] = {}
            wanted = sorted({id_ for id_ in ids.values() if id_ is not None and id_ < 2**63})
            for at in range(0, len(wanted), _CHUNK):
                query = sa.select(
                    delivery.c.id, delivery.c.issue, delivery.c.subscriber, delivery.c.address,
                    delivery.c.normalized, delivery.c.state,
                ).where(delivery.c.id.in_(wanted[at : at + _CHUNK]))
                rows |= {row["id"]: row for row in connection.execute(query).mappings()}
        return {
            one.digest: Traced(**row, proof=_proof(one))
            for one in notices if (row := rows.get(cast("int", ids[one.digest]))) is not None
        }

    def queued_as(self, address: str, queue_id: str) -> int | None:
        """The delivery to `address`, of the last issues, that the relay took under this name; None: there is none."""
        query = (
            sa.select(delivery.c.id)
            .where(
                delivery.c.issue.in_(_recent()), delivery.c.normalized == normalized(address),
                delivery.c.queue_id == queue_id,
            )
            .order_by(delivery.c.id.desc()).limit(1)
        )
        with self._database.connect() as connection:
            found: int | None = connection.execute(query).scalar()
            return found

    def names(self, deliveries: Collection[int]) -> dict[int, str]:
        """The random names of those of these deliveries that there are; "" for one whose issue had none."""
        found: dict[int, str] = {}
        wanted = sorted(id_ for id_ in deliveries if id_ < 2**63)
        with self._database.connect() as connection:
            for at in range(0, len(wanted), _CHUNK):
                query = (
                    sa.select(delivery.c.id, issue.c.handle, subscriber.c.handle.label("reader"))
                    .join(issue, issue.c.number == delivery.c.issue)
                    .join(subscriber, subscriber.c.id == delivery.c.subscriber)
                    .where(delivery.c.id.in_(wanted[at : at + _CHUNK]))
                )
                found |= {row.id: delivery_name(row.handle, row.reader) for row in connection.execute(query)}
        return found

    def record(self, notice: Notice, traced: Traced | None, now: dt.datetime) -> Effect:
        """Keep one report and do what it asks for, in one durable transaction; a second time does nothing ("seen")."""
        key = self._key()
        with self._database.begin() as connection:
            new = insert(connection, bounce).values(
                digest=notice.digest, read_at=now, delivery_id=traced.id if traced else None,
                proof=traced.proof if traced else None, grade=notice.grade, code=notice.code,
                enhanced=notice.enhanced, text=notice.text if traced else "",
            )
            if connection.execute(new.on_conflict_do_nothing().returning(bounce.c.id)).first() is None:
                return "seen"
            if traced is None:
                return "forged"
            if notice.suppress is not None and traced.address:  # an erased one is on the list for good
                suppress(connection, key, traced.normalized, notice.suppress, now)
            if notice.grade == "complaint":
                gone = {"state": "unsubscribed", "unsubscribed_at": now}
                turn(connection, locked(connection, traced.subscriber), gone, now)
                return "unsubscribed"
            if notice.suppress is not None:
                return "suppressed"
            return "counted" if notice.grade == "soft" else "noted"

    def record_letter(
        self, notice: Notice, letter_id: int, proof: Literal["envelope", "message-id"], now: dt.datetime
    ) -> Effect:
        """The same for a letter. A dead address ends the sign-up or the change of address that wrote to it; whoever is
        a subscriber with that address is suppressed, and whoever complains, reader or not, is never written to again.
        """
        key = self._key()
        with self._database.begin() as connection:
            new = insert(connection, bounce).values(
                digest=notice.digest, read_at=now, letter=letter_id, proof=proof, grade=notice.grade,
                code=notice.code, enhanced=notice.enhanced, text=notice.text,
            )
            if connection.execute(new.on_conflict_do_nothing().returning(bounce.c.id)).first() is None:
                return "seen"
            found = connection.execute(
                sa.select(letter.c.address, letter.c.sign_up).where(letter.c.id == letter_id)
            ).one()
            if notice.suppress is None or not found.address:
                return "counted" if notice.grade == "soft" else "noted"
            ended = connection.execute(
                sa.delete(sign_up).where(sign_up.c.id == found.sign_up, sign_up.c.confirmed_at.is_(None))
            ).rowcount
            if end_change(connection, letter_id, now):
                ended += 1
            address = parse(found.address).normalized
            reader = connection.execute(
                sa.select(subscriber.c.id, subscriber.c.state).where(subscriber.c.normalized == address)
            ).first()
            complains = notice.grade == "complaint"
            if reader is not None or complains:  # a stranger's typing error is nobody's address
                suppress(connection, key, address, notice.suppress, now)
            if reader is not None and complains:
                turn(connection, locked(connection, reader.id), {"state": "unsubscribed", "unsubscribed_at": now}, now)
            if complains:
                return "unsubscribed"
            return "suppressed" if reader is not None else "ended" if ended else "noted"

    def leave(self, digest: str, handle: str, now: dt.datetime, *, goodbye: bool = False) -> Effect | None:
        """The reader of that handle asks by a mail to be taken off the list; None: there is no such reader.

        The same mail read again does nothing ("seen"): they may have come back since. `goodbye`: a letter answers it.
        """
        key = self._key()
        with self._database.begin() as connection:
            reader = connection.execute(sa.select(subscriber.c.id).where(subscriber.c.handle == handle)).scalar()
            if reader is None:
                return None
            new = insert(connection, bounce).values(
                digest=digest, read_at=now, proof="envelope", grade="unclear", text="asks to leave"
            )
            if connection.execute(new.on_conflict_do_nothing().returning(bounce.c.id)).first() is None:
                return "seen"
            by = By(who=READER, why=BY_MAIL)
            return "unsubscribed" if let_go(connection, key, reader, by, now, goodbye=goodbye)[1] else "noted"

    def of(self, delivery_id: int) -> list[BounceRow]:
        """What came back for one delivery, in the order it was read."""
        query = (
            sa.select(*(bounce.c[name] for name in BounceRow.__dataclass_fields__))
            .where(bounce.c.delivery_id == delivery_id)
            .order_by(bounce.c.id)
        )
        with self._database.connect() as connection:
            return [BounceRow(**row) for row in connection.execute(query).mappings()]

    def struck(self, *, issues: int, since: dt.datetime, among: Collection[int] | None = None) -> list[Struck]:
        """Active subscribers with soft bounces of at least `issues` different issues that were sent since `since`.

        A mailbox that was full at hand-over, or a hand-over given up after days (T6), is one as much as a report is.
        `among`: only these subscribers are looked at; None: all, which reads every report since.
        """
        at = sa.func.coalesce(delivery.c.first_attempt_at, delivery.c.updated_at).label("at")
        recent = sa.select(issue.c.number).where(issue.c.frozen_at >= since)
        at_hand_over = sa.or_(
            delivery.c.enhanced == "5.2.2", delivery.c.code.between(400, 499),
            sa.and_(delivery.c.code == 552, delivery.c.enhanced.is_(None)),
        )
        theirs = () if among is None else (delivery.c.subscriber.in_(sorted(among)),)
        told = sa.union(
            sa.select(delivery.c.subscriber, delivery.c.issue, at)
            .join(bounce, bounce.c.delivery_id == delivery.c.id)
            .where(bounce.c.grade == "soft", delivery.c.issue.in_(recent), *theirs),
            sa.select(delivery.c.subscriber, delivery.c.issue, at)
            .where(delivery.c.state == "failed", at_hand_over, delivery.c.issue.in_(recent), *theirs),
        ).cte("told")
        often = (
            sa.select(told.c.subscriber)
            .group_by(told.c.subscriber)
            .having(sa.func.count(sa.distinct(told.c.issue)) >= issues)
        )
        query = (
            sa.select(subscriber.c.id, subscriber.c.address, subscriber.c.normalized, told.c.issue, told.c.at)
            .join(told, told.c.subscriber == subscriber.c.id)
            .where(subscriber.c.id.in_(often), subscriber.c.state == "active")
            .order_by(subscriber.c.id, told.c.issue)
        )
        found: dict[int, Struck] = {}
        with self._database.connect() as connection:
            for row in connection.execute(query):
                known = found.get(row.id)
                strikes = (*(known.strikes if known else ()), (row.issue, row.at))
                found[row.id] = Struck(
                    subscriber=row.id, address=row.address, normalized=row.normalized, strikes=strikes
                )
        return list(found.values())

    def wear_out(self, struck: Struck, reason: str, now: dt.datetime) -> bool:
        """Never mail that subscriber again; returns whether that is new."""
        key = self._key()
        with self._database.begin() as connection:
            return suppress(connection, key, struck.normalized, reason, now)
