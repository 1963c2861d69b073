"""What may become of a delivery (T1 to T9): one row for each step, and every statement about it is made from its row.

    TRANSITIONS ─┬─ update ──▶ T1, T2, T8, T9 of the deliveries that a query names
                 ├─ update ──▶ T2 to T7 of one delivery, of which `store.ledger.batches` runs many at once
                 └─ why_not ─▶ which condition of T3 a delivery fails; the condition names its way out

A new step is a new row: the columns that it writes are named by the effects below, in the dialect of `Terms`.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from milepost.dates import SKEW
from milepost.records import Claim, DeliveryState, Reply, Settlement, check_aware
from store.dialects import moment, seconds
from store.meta import RESTORED_FROM
from store.schema.tables import attempt, delivery, issue, meta, subscriber, suppression

# What a statement is told of one delivery, by name.
GIVEN: Mapping[str, sa.types.TypeEngine[Any]] = {
    "the_delivery": sa.BigInteger(), "the_issue": sa.Integer(), "the_subscriber": sa.Integer(), "the_lease": sa.Text(),
    "the_seconds": sa.Integer(), "the_hash": sa.Text(),
    "the_code": sa.Integer(), "the_enhanced": sa.Text(), "the_text": sa.Text(), "the_phase": sa.Text(),
    "the_outcome": sa.Text(), "the_message": sa.Text(), "the_queue": sa.Text(),
    "the_retry": sa.DateTime(timezone=True), "the_holder": sa.Text(),
}

LONGEST_DEFERRAL = dt.timedelta(hours=4)  # that a delivery is ever put off for, by `delivery.smtp.replies.backoff`

Place = Callable[[str], sa.ColumnElement[Any]]


def parameter(name: str) -> sa.ColumnElement[Any]:
    """The value that GIVEN calls `name`, as a parameter of its own."""
    return sa.bindparam(name, type_=GIVEN[name])


class Terms:
    """What statements are written in: one database's clocks, and where the values of GIVEN stand.

    Where many are given at once, `every` is all values of a name as an array; None: one delivery is.
    """

    __slots__ = ("ahead", "every", "given", "now", "seconds")

    def __init__(self, dialect: str, given: Place = parameter, every: Place | None = None) -> None:
        self.now = moment(dialect)  # leases and records run by the database's clock, never by a client's
        self.ahead = moment(dialect, after_s=int((LONGEST_DEFERRAL + SKEW).total_seconds()))
        self.seconds = seconds(dialect)
        self.given, self.every = given, every

    def among(self, key: sa.Column[Any], name: str = "the_delivery") -> Sequence[sa.ColumnElement[bool]]:
        """Where many are given: that a row is one of them, so that a planner looks it up and walks no index."""
        return () if self.every is None else (key == sa.func.any(self.every(name)),)


# --- the words of a row ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Condition:
    """What must hold for a step, beside the state that it starts from."""

    name: str
    holds: Callable[[Terms], sa.ColumnElement[bool]]
    otherwise: "Transition | None" = None  # where a delivery goes that fails it; None: it stays as it is


Effect = Mapping[str, Callable[[Terms], Any]]  # column → its new value


@dataclass(frozen=True, eq=False, slots=True)
class Transition:
    """One step of the ledger."""

    step: str  # its name in docs/design.md
    from_: tuple[DeliveryState, ...]
    to: DeliveryState
    only_if: tuple[Condition, ...]
    writes: tuple[Effect, ...]
    logs: str | None = None  # the outcome of the attempt that is appended; None: nothing was tried


ENDED: tuple[DeliveryState, ...] = ("failed", "suppressed", "cancelled")  # otherwise than sent: ix_delivery_ended


def in_state(*states: DeliveryState) -> sa.ColumnElement[bool]:
    """The deliveries in these states, written out: no planner finds a partial index behind a parameter.

    As the schema has it (`_either`): SQLite finds an index by a condition of the very same form.
    """
    return _is(delivery.c.state, states)


def _is(column: sa.ColumnElement[str], states: Sequence[DeliveryState]) -> sa.ColumnElement[bool]:
    return sa.or_(*(column == _written(state) for state in states))


def taken(*states: DeliveryState) -> sa.ColumnElement[bool]:
    """The deliveries in these states, of what dispatchers hold (claimed, sending), found by their own index."""
    return sa.and_(delivery.c.lease_until.is_not(None), in_state(*states))


def _written(word: str) -> sa.ColumnElement[str]:
    assert word.isidentifier()  # noqa: S101 (one of ours, never from outside)
    return sa.literal_column(f"'{word}'", sa.String())


def _number(value: int) -> sa.ColumnElement[int]:
    return sa.literal_column(str(value), sa.Integer())


def _last_attempt(outcome: str, *, before_the_dot: bool = False) -> sa.ColumnElement[bool]:
    """The deliveries whose last attempt came to this; `before_the_dot`: at a point where nobody can have taken them."""
    later = attempt.alias("later")
    nothing_later = ~sa.exists().where(later.c.delivery_id == attempt.c.delivery_id, later.c.id > attempt.c.id)
    such = sa.select(attempt.c.id).where(
        attempt.c.delivery_id == delivery.c.id, attempt.c.outcome == _written(outcome), nothing_later
    ).correlate(delivery)
    if before_the_dot:
        such = such.where(attempt.c.phase.in_(["connect", "ehlo", "tls", "auth", "mail", "rcpt", "data"]))
    return such.exists()


def _state(column: sa.Column[str], which: sa.ColumnElement[bool]) -> sa.ColumnElement[str]:
    """The state of what belongs to a delivery. Looked up for each: of EXISTS a planner makes a join, and begins it at
    the other end where it knows nothing of the tables (all active readers of a small list, or all of an issue).
    """
    return sa.select(column).where(which).correlate(delivery).scalar_subquery()


def _kept_unless_told(column: sa.Column[Any], name: str) -> Callable[[Terms], Any]:
    return lambda terms: sa.func.coalesce(terms.given(name), column)


# The way out of a claim that may not begin; each is a row below.
HELD = Condition("lease_holds", lambda terms: delivery.c.lease == terms.given("the_lease"))
FREE: Effect = {
    "lease": lambda _: sa.null(), "lease_until": lambda _: sa.null(), "lease_holder": lambda _: sa.null(),
}

RELEASE = Transition("T2", ("claimed",), "pending", (HELD,), (FREE,))
LEAVE = Transition("T9", ("claimed",), "cancelled", (HELD,), (FREE,))
SUPPRESS = Transition("T9", ("claimed",), "suppressed", (HELD,), (FREE,))

# In the order in which they are asked where one fails: what is final comes before what passes.
READER_ACTIVE = Condition(
    "reader_active",
    lambda _: _state(subscriber.c.state, subscriber.c.id == delivery.c.subscriber) == _written("active"),
    otherwise=LEAVE,
)
NOT_SUPPRESSED = Condition(
    "not_suppressed",
    lambda terms: ~sa.exists().where(suppression.c.address_hash == terms.given("the_hash")),
    otherwise=SUPPRESS,
)
ISSUE_SENDING = Condition(
    "issue_sending",
    lambda _: _state(issue.c.state, issue.c.number == delivery.c.issue) == _written("sending"),
    otherwise=RELEASE,
)
NOT_RESTORED = Condition(
    "not_restored", lambda _: ~sa.exists().where(meta.c.key == _written(RESTORED_FROM))
)  # store.upkeep.restore.refuse says so aloud
DUE = Condition(  # what is put off for longer than ever meant is due too: a clock was ahead that wrote it
    "due", lambda terms: sa.or_(delivery.c.next_attempt_at <= terms.now, delivery.c.next_attempt_at > terms.ahead)
)
LEASE_OVER = Condition(  # one that ends later than it can is over too: the clock was set back since
    "lease_over",
    lambda terms: sa.or_(
        delivery.c.lease_until < terms.seconds,
        delivery.c.lease_until > terms.seconds + delivery.c.lease_seconds + _number(60),
    ),
)
HOLDER_DEAD = Condition(  # `the_holder` is one that `store.holders.life` proves dead
    "holder_dead", lambda terms: delivery.c.lease_holder == terms.given("the_holder")
)

NEVER_TAKEN = Condition("never_taken", lambda _: _last_attempt("failed", before_the_dot=True))
WAS_REFUSED = Condition("was_refused", lambda _: _last_attempt("refused"))

LEASE: Effect = {
    "lease": lambda terms: terms.given("the_lease"),
    "lease_seconds": lambda terms: terms.given("the_seconds"),
    "lease_until": lambda terms: terms.seconds + terms.given("the_seconds"),
    "lease_holder": lambda terms: terms.given("the_holder"),
}
RENEW: Effect = {"lease_until": lambda terms: terms.seconds + delivery.c.lease_seconds}
FIRST: Effect = {  # never after now: else the 72 h of a clock that was ahead would end next year
    "first_attempt_at": lambda terms: sa.case(
        (delivery.c.first_attempt_at <= terms.now, delivery.c.first_attempt_at), else_=terms.now
    ),
}
ANEW: Effect = {"first_attempt_at": lambda _: sa.null()}  # a refusal of us costs a reader none of their 72 h
TRIED: Effect = {  # what is unknown was counted when it became so
    "attempts": lambda _: delivery.c.attempts + sa.case((in_state("unknown"), _number(0)), else_=_number(1)),
}
NOT_DUE: Effect = {"next_attempt_at": lambda _: sa.null()}
REPLY: Effect = {
    "code": lambda terms: terms.given("the_code"), "enhanced": lambda terms: terms.given("the_enhanced"),
    "text": lambda terms: terms.given("the_text"), "next_attempt_at": lambda terms: terms.given("the_retry"),
    "message_id": _kept_unless_told(delivery.c.message_id, "the_message"),
    "queue_id": _kept_unless_told(delivery.c.queue_id, "the_queue"),
}
OUTCOME = (REPLY, TRIED, FIRST)

# --- the rows -------------------------------------------------------------------------------------------------------

CLAIM = Transition("T1", ("pending",), "claimed", (), (LEASE,))
CLAIM_DUE = Transition("T1", ("deferred",), "claimed", (DUE,), (LEASE,))
# A lease is short, so that nobody waits long for the dead, and renewed by whoever lives: a mail may be on the wire for
# longer. It is renewed even where it is over, as long as nobody has taken it.
KEEP = Transition("T1′", ("claimed",), "claimed", (HELD,), (RENEW,))
KEEP_SENDING = Transition("T1′", ("sending",), "sending", (HELD,), (RENEW,))
RENEWALS = (KEEP, KEEP_SENDING)
EXPIRE = Transition("T2", ("claimed",), "pending", (LEASE_OVER,), (FREE,))  # always safe: no DATA has begun
TAKE_OVER = Transition("T2", ("claimed",), "pending", (HOLDER_DEAD,), (FREE,))
BEGIN = Transition(
    "T3", ("claimed",), "sending", (HELD, READER_ACTIVE, NOT_SUPPRESSED, ISSUE_SENDING, NOT_RESTORED), (RENEW, FIRST)
)
# `unknown` is among the states where the holder was thought dead and nobody has decided since: the reply that it
# holds is evidence. So the token stays on what is unknown.
SENT = Transition("T4", ("sending", "unknown"), "sent", (HELD,), (*OUTCOME, FREE), "sent")
DEFER = Transition("T5", ("claimed", "sending", "unknown"), "deferred", (HELD,), (*OUTCOME, FREE), "deferred")
FAIL = Transition("T6", ("claimed", "sending", "unknown"), "failed", (HELD,), (*OUTCOME, FREE), "failed")
REFUSED = Transition("T6′", ("claimed", "sending"), "pending", (HELD,), (REPLY, TRIED, ANEW, FREE), "refused")
DOUBT = Transition("T7", ("sending",), "unknown", (HELD,), OUTCOME, "unknown")
ORPHAN = Transition("T7", ("sending",), "unknown", (LEASE_OVER,), (TRIED,), "unknown")
TAKE_OVER_SENDING = Transition("T7", ("sending",), "unknown", (HOLDER_DEAD,), (TRIED,), "unknown")
RESTORE = Transition("T7", ("pending", "claimed", "sending", "deferred"), "unknown", (), (TRIED, FREE), "unknown")
RESOLVE_SENT = Transition("T8", ("unknown",), "sent", (), (FREE, NOT_DUE), "sent")
RESOLVE_FAILED = Transition("T8", ("unknown",), "failed", (), (FREE, NOT_DUE), "failed")
RESOLVE_PENDING = Transition("T8", ("unknown",), "pending", (), (FREE, NOT_DUE), "pending")
# What was refused before the dot was never taken: an operator may have it tried again, or give up what waits for it.
RETRY = Transition("T8", ("failed",), "pending", (NEVER_TAKEN,), (FREE, ANEW), "pending")
GIVE_UP = Transition("T8", ("pending",), "failed", (WAS_REFUSED,), (FREE, NOT_DUE), "failed")
ERASE = Transition("T9", ("pending", "claimed", "deferred"), "cancelled", (), (FREE,))

TRANSITIONS: Mapping[str, Transition] = {
    "claim": CLAIM, "claim_due": CLAIM_DUE, "keep": KEEP, "keep_sending": KEEP_SENDING, "release": RELEASE,
    "expire": EXPIRE, "take_over": TAKE_OVER, "begin": BEGIN, "sent": SENT, "deferred": DEFER, "failed": FAIL,
    "refused": REFUSED, "unknown": DOUBT, "orphan": ORPHAN, "take_over_sending": TAKE_OVER_SENDING, "restore": RESTORE,
    "resolve_sent": RESOLVE_SENT, "resolve_failed": RESOLVE_FAILED, "resolve_pending": RESOLVE_PENDING,
    "retry": RETRY, "give_up": GIVE_UP, "leave": LEAVE, "suppress": SUPPRESS, "erase": ERASE,
}


# --- statements -----------------------------------------------------------------------------------------------------


def ready(
    row: Transition, terms: Terms, state: sa.ColumnElement[str] = delivery.c.state
) -> sa.ColumnElement[bool]:
    """The deliveries that may take a step. `state`: theirs."""
    return sa.and_(_is(state, row.from_), *(condition.holds(terms) for condition in row.only_if))


def update(row: Transition, terms: Terms, which: sa.ColumnElement[bool], *, by_key: bool = False) -> sa.Update:
    """The step, taken by those of the deliveries `which` that may take it. `by_key`: it names them by their ids, and
    their state is asked for in words that no index answers. PostgreSQL would walk that of what waits for each of them,
    where it knows nothing of what was written just now.
    """
    values = {column: new(terms) for effect in row.writes for column, new in effect.items()}
    may = ready(row, terms, delivery.c.state.concat("") if by_key else delivery.c.state)
    return (
        sa.update(delivery)
        .where(which, may)
        .values(state=_written(row.to), updated_at=terms.now, **values)
    )


def of_one(row: Transition, terms: Terms) -> sa.Update:
    """The step, taken by `the_delivery`."""
    return update(row, terms, sa.and_(delivery.c.id == terms.given("the_delivery"), *terms.among(delivery.c.id)))


def of_one_if_free(row: Transition, terms: Terms) -> sa.Update:
    """The same, unless somebody is writing to it at this very moment: of two who write to many rows neither is to wait
    for the other. A SQLite writer is alone already.
    """
    it = delivery.alias("it")
    free = sa.select(it.c.id).where(it.c.id == terms.given("the_delivery")).with_for_update(skip_locked=True, of=it)
    return of_one(row, terms).where(delivery.c.id.in_(free))


def why_not(row: Transition, terms: Terms) -> sa.Select[Any]:
    """Whether each condition holds that has another way out; no row when the step is not the delivery's to take."""
    asked: list[Any] = [one.holds(terms).label(one.name) for one in row.only_if if one.otherwise]
    firm = [one.holds(terms) for one in row.only_if if not one.otherwise]
    return sa.select(*asked).where(delivery.c.id == terms.given("the_delivery"), in_state(*row.from_), *firm)


def way_out(row: Transition, holds: Mapping[Any, Any]) -> Transition | None:
    """What becomes of a delivery that may not take a step, by the answers to `why_not`. Pure."""
    return next((one.otherwise for one in row.only_if if one.otherwise and not holds[one.name]), None)


def lock(terms: Terms) -> sa.Select[Any]:
    """What T3 looks at stays as it is until the transaction ends; PostgreSQL's alone, and to be run first in it. A
    SQLite writer is alone already.

    The issue comes first, everywhere, then its readers in the order of their keys, so that two never wait for each
    other: an unsubscribe, a suppression or a pause commits before these locks and is seen by the UPDATE after them, or
    it commits after T3. In one statement, since a statement costs more than its rows; PostgreSQL locks a row's tables
    in the order that FOR SHARE names them in, and its rows in theirs.
    """
    number, reader = issue.c.number, subscriber.c.id
    return (
        sa.select(number, reader).select_from(issue.join(subscriber, sa.true()))
        .where(*terms.among(number, "the_issue"), *terms.among(reader, "the_subscriber"))
        .order_by(number, reader).with_for_update(read=True, of=(issue, subscriber))
    )


_TRIED = {  # column of an attempt → what it is told
    "lease": "the_lease", "phase": "the_phase", "outcome": "the_outcome", "code": "the_code",
    "enhanced": "the_enhanced", "text": "the_text",
}


def log(terms: Terms) -> sa.Insert:
    """Append what was tried for `the_delivery`; to be run after the step, which has counted it."""
    return _log(
        sa.select(delivery.c.id, delivery.c.attempts, terms.now, *map(terms.given, _TRIED.values()))
        .where(delivery.c.id == terms.given("the_delivery"), *terms.among(delivery.c.id))
        .order_by(delivery.c.id)
    )


def of_one_with_log(row: Transition, terms: Terms) -> tuple[sa.CTE, Sequence[sa.CTE]]:
    """The step, taken by `the_delivery`, and the attempt that is appended, if any: both for one statement, PostgreSQL's
    alone. → the ids of those that took it, and what else belongs into the statement.
    """
    step = of_one(row, terms)
    if not row.logs:
        return step.returning(delivery.c.id).cte("taken"), ()
    taken = step.returning(delivery.c.id, delivery.c.attempts, *map(terms.given, _TRIED.values())).cte("taken")
    told = [taken.c[name] for name in _TRIED.values()]
    return taken, (_log(sa.select(taken.c.id, taken.c.attempts, terms.now, *told).order_by(taken.c.id)).cte("logged"),)


def _log(tried: sa.Select[Any]) -> sa.Insert:
    return sa.insert(attempt).from_select(["delivery_id", "number", "at", *_TRIED], tried)


# --- what they are told ---------------------------------------------------------------------------------------------

Row = Mapping[str, object]  # by the names of GIVEN


def of_claim(claim: Claim, address_hash: str | None = None) -> Row:
    """What names a claim, and for T3 the keyed hash of its address."""
    return {
        "the_delivery": claim.delivery_id, "the_issue": claim.issue, "the_subscriber": claim.subscriber_id,
        "the_lease": claim.lease, "the_hash": address_hash,
    }


def of_lease(token: str, lease_seconds: int, holder: str) -> Row:
    """The lease that T1 gives."""
    return {"the_lease": token, "the_seconds": lease_seconds, "the_holder": holder}


def of_settlement(done: Settlement) -> Row:
    """What came of a claim: written out, since it comes with every mail."""
    claim, reply, retry_at = done.claim, done.reply, done.retry_at
    return {
        "the_delivery": claim.delivery_id, "the_lease": claim.lease, "the_outcome": TRANSITIONS[done.state].logs,
        "the_phase": reply.phase, "the_code": reply.code, "the_enhanced": reply.enhanced, "the_text": text(reply),
        "the_message": done.message_id, "the_queue": done.queue_id,
        "the_retry": None if retry_at is None else stamp(retry_at),
    }


def of_attempt(delivery_id: int, lease: str | None, row: Transition, reply: Reply) -> dict[str, object]:
    """What `log` is told of a step."""
    return {
        "the_delivery": delivery_id, "the_lease": lease, "the_outcome": row.logs, "the_phase": reply.phase,
        "the_code": reply.code, "the_enhanced": reply.enhanced, "the_text": text(reply),
    }


def text(reply: Reply) -> str:
    """What the server said, without what a database can't keep (NUL on PostgreSQL, lone surrogates)."""
    said = reply.text
    if said.isascii() and "\0" not in said:
        return said
    return said.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")


def stamp(moment: dt.datetime) -> str:
    """A moment as `store.schema.columns.Moment` writes it."""
    return check_aware(moment).astimezone(dt.UTC).isoformat(timespec="microseconds")
