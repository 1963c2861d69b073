"""Letters: mails that are no issue, in a queue of their own beside the ledger; at least once each.

    enqueue ─▶ queued ─claim─▶ sending ─settle─▶ sent | failed | dropped | queued again, later
                  ▲────lease over────┘

At most one of a kind for an address and day, whoever asks and however often: the table's own rule, not a habit. One
that was answered counts no more: whoever came, left and comes again on one day gets another.
"""

import datetime as dt
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import sqlalchemy as sa

from milepost.records import SubscriberState
from store.clock import due, within
from store.dialects import insert, one_of, seconds, serialize
from store.engine import Database
from store.meta import Meta
from store.schema.tables import address_change, bounce, letter, sign_up, subscriber, suppression
from store.subscribers.addresses import address_hash
from store.upkeep import restore

LetterKind = Literal["confirm", "remind", "welcome", "move", "moved", "goodbye"]
LetterState = Literal["queued", "sending", "sent", "failed", "dropped"]
LEASE_SECONDS = 120
LONGEST_WAIT = dt.timedelta(days=1)  # that a letter is ever put off for
AGAIN = 3  # attempts in a day after which who asks for a letter that was refused gets no other one
SITE = "site"  # the form of a sign-up that is another site's: in which language it was read, nobody knows
_CHANGE_ENDED = "the change of address is ended"
_ANSWERED = "#"  # and its id, in place of the day of a letter that was answered


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """One letter as it is listed."""

    id: int
    kind: LetterKind
    address: str  # "" a month later, and after an erase
    state: LetterState
    attempts: int
    queued_at: dt.datetime
    next_attempt_at: dt.datetime
    sent_at: dt.datetime | None
    why: str
    came_back: str  # what a report said of it, "" when none came


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """How many letters of a kind may go out, all processes together."""

    kind: LetterKind
    most: int
    since: dt.datetime  # those that went out since count, and those that are on their way
    again_at: dt.datetime  # when one beyond it is looked at again
    why: str  # it waits


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """What a process may send now, and how many that were due a quota has put off."""

    taken: "list[Taken]"
    put_off: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """A letter that this process holds a lease on, and all that decides about it."""

    id: int
    kind: LetterKind
    address: str
    lease: str  # token
    attempts: int  # made before this one
    queued_at: dt.datetime
    name: str | None  # of the sign-up's link; None: it was forgotten
    confirmed: bool  # the sign-up
    form: str | None  # the version of the words its form had; `SITE`: another site's
    cadence: str | None  # its choice
    topics: tuple[str, ...]
    reader: str | None  # the subscriber's handle, in their links
    state: SubscriberState | None  # the subscriber's of that address; None: it is none
    suppressed: str | None  # why
    sent_before: int  # letters of the kind that went to the address in the last month, and were not answered
    language: str | None = None  # that it is to be written in; None: the newsletter's
    change: str | None = None  # the name of the change of address in the link of a "move"; None: it is forgotten
    undo: str | None = None  # … and in that of a "moved"
    change_open: bool = False  # the change waits for its confirmation
    others_address: bool = False  # another subscriber has the address that the change would give
    left_at: dt.datetime | None = None  # when the reader left, who may come back; None: they can't, or are here


def enqueue(
    connection: sa.Connection, kind: LetterKind, address: str, hash_: str, now: dt.datetime, *,
    entry: int | None = None, subscriber: int | None = None, change: int | None = None,
) -> None:
    """Queue a letter in the transaction that makes it due; nothing where the address has one of the day.

    One of the day that nobody got, refused or dropped, is queued again, `AGAIN` times at most.
    """
    new = insert(connection, letter).values(
        kind=kind, address=address, address_hash=hash_, day=f"{now.astimezone(dt.UTC):%Y-%m-%d}", sign_up=entry,
        subscriber=subscriber, address_change=change, state="queued", queued_at=now, next_attempt_at=now, why="",
    )
    anew = {name: new.excluded[name] for name in (
        "address", "sign_up", "subscriber", "address_change", "state", "queued_at", "next_attempt_at", "why"
    )}
    connection.execute(new.on_conflict_do_update(
        index_elements=["kind", "address_hash", "day"], set_=anew,
        where=sa.and_(letter.c.state.in_(("failed", "dropped")), letter.c.attempts < AGAIN),
    ))


def answer(connection: sa.Connection, hash_: str) -> None:
    """Whoever confirmed has answered what asked them: it counts for no day any more, and they can come back today."""
    asked = sa.and_(letter.c.address_hash == hash_, letter.c.kind.in_(("confirm", "remind")))
    answered = sa.literal(_ANSWERED).concat(sa.cast(letter.c.id, sa.String(9)))
    connection.execute(sa.update(letter).where(asked, letter.c.day.not_like(f"{_ANSWERED}%")).values(day=answered))


def end_change(connection: sa.Connection, letter_id: int, now: dt.datetime) -> bool:
    """The change that a letter could not ask for waits no more, and the letter says so; whether it waited until now."""
    asks = sa.select(letter.c.address_change).where(letter.c.id == letter_id, letter.c.kind == "move")
    ended = connection.execute(
        sa.update(address_change).where(
            address_change.c.id.in_(asks), address_change.c.confirmed_at.is_(None), address_change.c.undone_at.is_(None)
        ).values(undone_at=now)
    ).rowcount == 1
    if ended:
        said = sa.case((letter.c.why == "", _CHANGE_ENDED), else_=letter.c.why.concat(f"; {_CHANGE_ENDED}"))
        connection.execute(sa.update(letter).where(letter.c.id == letter_id).values(why=said))
    return ended


def of_address(hash_: str) -> sa.ColumnElement[bool]:
    """Letters to the address of that keyed hash, by the key that begins with their kind: no other letter is read."""
    return sa.and_(letter.c.kind.in_(get_args(LetterKind)), letter.c.address_hash == hash_)


def empty(connection: sa.Connection, which: sa.ColumnElement[bool]) -> None:
    """Take the addresses out of letters, and of what servers said of them; those that wait have nowhere to go."""
    theirs = bounce.c.letter.in_(sa.select(letter.c.id).where(which))
    connection.execute(sa.update(bounce).where(theirs).values(text=""))
    state = sa.case((letter.c.state == "queued", "dropped"), else_=letter.c.state)
    connection.execute(sa.update(letter).where(which).values(address="", why="", state=state))


class Letters:
    """The queue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, now: dt.datetime, *, limit: int, memory: dt.timedelta, quota: Quota | None = None) -> Claim:
        """Take letters that are due, and those of a process that died, oldest first.

        `memory`: how far back `Taken.sent_before` counts. `quota` is kept here, where each process sees what the others
        took. Raises HeldError in a restored database.
        """
        clock = seconds(self._database.dialect)
        query = (
            sa.select(letter.c.id, letter.c.kind)
            .where(sa.or_(
                sa.and_(letter.c.state == "queued", due(letter.c.next_attempt_at, now, LONGEST_WAIT)),
                sa.and_(letter.c.state == "sending", ~_leased(clock)),
            ))
            .order_by(letter.c.next_attempt_at, letter.c.id).limit(limit)
        )
        with self._database.questions() as connection:  # who finds nothing keeps no writer waiting
            if connection.execute(query).first() is None:
                return Claim(taken=[])
        with self._database.begin() as connection:
            if quota is not None:
                serialize(connection, "letters")  # what is counted must not change before it is written
            rows = connection.execute(query.with_for_update(skip_locked=True)).all()
            beyond = [] if quota is None else _beyond(connection, quota, rows, clock, now)
            if quota is not None and beyond:
                connection.execute(sa.update(letter).where(letter.c.id.in_(beyond)).values(
                    state="queued", lease=None, lease_until=None, next_attempt_at=quota.again_at, why=quota.why
                ))
            chosen = [row.id for row in rows if row.id not in beyond]
            if not chosen:
                return Claim(taken=[], put_off=len(beyond))
            restore.refuse(connection)
            lease = secrets.token_hex(16)
            connection.execute(
                sa.update(letter).where(letter.c.id.in_(chosen))
                .values(state="sending", lease=lease, lease_until=clock + LEASE_SECONDS)
            )
            return Claim(taken=_facts(connection, chosen, lease, now - memory), put_off=len(beyond))

    def settle(
        self, taken: Taken, state: LetterState, now: dt.datetime, *, why: str = "", again_at: dt.datetime | None = None,
        tried: bool = True,
    ) -> bool:
        """What became of a claimed one; False when its lease was over and somebody else has it.

        `again_at`: when it is tried again (state "queued"); `tried`: whether that was an attempt.
        """
        values: dict[str, Any] = {"state": state, "lease": None, "lease_until": None, "why": why[:500]}
        if tried:
            values["attempts"] = letter.c.attempts + 1
        if state == "sent":
            values["sent_at"] = now
        if again_at is not None:
            values["next_attempt_at"] = again_at
        mine = sa.and_(letter.c.id == taken.id, letter.c.lease == taken.lease)
        with self._database.begin() as connection:
            if connection.execute(sa.update(letter).where(mine).values(**values)).rowcount != 1:
                return False
            if state == "failed":  # nobody can press its button
                end_change(connection, taken.id, now)
            return True

    def of(self, hash_: str) -> list[Letter]:
        """The letters of an address, oldest first."""
        query = sa.select(*COLUMNS).where(letter.c.address_hash == hash_).order_by(letter.c.id)
        with self._database.connect() as connection:
            return listed(connection, query)

    def list(self, *, limit: int, waiting: bool = False) -> list[Letter]:
        """Letters, the latest first; `waiting`: those alone that are not settled."""
        query = sa.select(*COLUMNS).order_by(letter.c.id.desc()).limit(limit)
        if waiting:
            query = query.where(letter.c.state.in_(("queued", "sending")))
        with self._database.connect() as connection:
            return listed(connection, query)

    def queued_at(self, ids: Collection[int]) -> dict[int, str]:
        """When those of these letters that there are were queued: it is part of their names."""
        wanted = one_of(letter.c.id, [id_ for id_ in ids if id_ < 2**63])
        query = sa.select(letter.c.id, letter.c.queued_at).where(wanted)
        with self._database.connect() as connection:
            return {row.id: row.queued_at.isoformat() for row in connection.execute(query)}

    def sent(self, since: dt.datetime, *, to: str | None = None) -> dict[int, str]:
        """The same of all that went out since; `to`: to this normalized address alone, which reads no other's."""
        query = sa.select(letter.c.id, letter.c.queued_at, letter.c.sent_at)
        if to is None:
            query = query.where(letter.c.state == "sent", letter.c.sent_at > since)
        else:  # by its key alone: SQLite would sooner walk through all that were sent
            query = query.where(of_address(address_hash(Meta(self._database).address_key(), to)))
        with self._database.connect() as connection:
            rows = connection.execute(query).all()
        return {row.id: row.queued_at.isoformat() for row in rows if row.sent_at is not None and row.sent_at > since}

    def counts(self) -> Mapping[LetterState, int]:
        """How many there are in each state that has any."""
        query = sa.select(letter.c.state, sa.func.count()).group_by(letter.c.state)
        with self._database.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def next_due(self) -> dt.datetime | None:
        """When the earliest one that waits is due."""
        query = sa.select(sa.func.min(letter.c.next_attempt_at)).where(letter.c.state == "queued")
        with self._database.questions() as connection:
            found: dt.datetime | None = connection.execute(query).scalar()
            return found


COLUMNS = [letter.c[name] for name in Letter.__dataclass_fields__ if name != "came_back"]


def _leased(clock: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Whether somebody holds it; a lease that ends later than it can is over: the clock was set back since."""
    return letter.c.lease_until.between(clock, clock + LEASE_SECONDS + 60)


def _beyond(
    connection: sa.Connection, quota: Quota, rows: Sequence[Any], clock: sa.ColumnElement[Any], now: dt.datetime
) -> list[int]:
    """Those due that the quota has no room for; one that another process holds may go out any moment, so it counts."""
    gone = sa.or_(
        sa.and_(letter.c.state == "sent", within(letter.c.sent_at, now, now - quota.since)),
        sa.and_(letter.c.state == "sending", _leased(clock)),
    )
    used = connection.execute(
        sa.select(sa.func.count()).select_from(letter).where(letter.c.kind == quota.kind, gone)
    ).scalar_one()
    return [row.id for row in rows if row.kind == quota.kind][max(quota.most - used, 0):]


def listed(connection: sa.Connection, query: sa.Select[Any]) -> list[Letter]:
    rows = connection.execute(query).mappings().all()
    reports = sa.select(bounce.c.letter, bounce.c.grade, bounce.c.enhanced, bounce.c.code, bounce.c.text).where(
        one_of(bounce.c.letter, [row["id"] for row in rows])
    )
    told = {
        row.letter: " ".join(str(part) for part in (row.grade, row.enhanced or row.code, row.text) if part)
        for row in connection.execute(reports.order_by(bounce.c.id))
    }
    for row in rows:
        if row["id"] in told and row["why"].endswith(_CHANGE_ENDED):
            told[row["id"]] += f"; {_CHANGE_ENDED}"
    return [Letter(**row, came_back=told.get(row["id"], "")) for row in rows]


# What asks is written as the page was that it answers; what a reader is told, in their own.
_LANGUAGE = sa.case(
    (letter.c.address_change.is_not(None), address_change.c.language),
    (sa.and_(letter.c.kind.in_(("confirm", "remind")), sign_up.c.form != SITE), sign_up.c.language),
    else_=subscriber.c.language,
)


def _facts(connection: sa.Connection, ids: Sequence[int], lease: str, since: dt.datetime) -> list[Taken]:
    earlier = letter.alias("earlier")
    before = (
        sa.select(sa.func.count()).select_from(earlier)
        .where(
            earlier.c.address_hash == letter.c.address_hash, earlier.c.kind == letter.c.kind,
            earlier.c.state == "sent", earlier.c.sent_at > since, earlier.c.day.not_like(f"{_ANSWERED}%"),
        )
        .correlate(letter).scalar_subquery()
    )
    person = sa.or_(subscriber.c.id == letter.c.subscriber, subscriber.c.normalized == sign_up.c.normalized)
    other = subscriber.alias("other")
    others = sa.exists().where(
        other.c.normalized == address_change.c.new_normalized, other.c.id != address_change.c.subscriber
    ).correlate(address_change)
    query = (
        sa.select(
            letter.c.id, letter.c.kind, letter.c.address, letter.c.attempts, letter.c.queued_at, sign_up.c.name,
            address_change.c.name.label("change"), address_change.c.undo_name, others.label("others"),
            sa.and_(
                address_change.c.confirmed_at.is_(None), address_change.c.undone_at.is_(None)
            ).label("change_open"),
            _LANGUAGE.label("language"),
            sign_up.c.confirmed_at, sign_up.c.form, sign_up.c.cadence, sign_up.c.topics, subscriber.c.handle,
            subscriber.c.state, subscriber.c.unsubscribed_at, subscriber.c.confirmed_at.label("was_reader"),
            suppression.c.reason, before.label("sent_before"),
        )
        .select_from(letter)
        .outerjoin(sign_up, sign_up.c.id == letter.c.sign_up)
        .outerjoin(subscriber, person)
        .outerjoin(address_change, address_change.c.id == letter.c.address_change)
        .outerjoin(suppression, suppression.c.address_hash == letter.c.address_hash)
        .where(letter.c.id.in_(ids)).order_by(letter.c.next_attempt_at, letter.c.id)
    )
    return [
        Taken(
            id=row.id, kind=row.kind, address=row.address, lease=lease, attempts=row.attempts, queued_at=row.queued_at,
            name=row.name, confirmed=row.confirmed_at is not None, form=row.form, cadence=row.cadence,
            topics=tuple(row.topics or ()), reader=row.handle, state=row.state, suppressed=row.reason,
            sent_before=row.sent_before, language=row.language, change=row.change, undo=row.undo_name,
            change_open=row.change is not None and bool(row.change_open),
            others_address=row.change is not None and bool(row.others),
            left_at=row.unsubscribed_at if row.was_reader is not None else None,
        )
        for row in connection.execute(query)
    ]
