"""Who got an issue, who did not, and why: the ledger as operators ask it."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from milepost.records import DeliveryState, Issue, LedgerCounts, OwedRow, Subscriber
from store.database import Database
from store.issues.issues import Issues
from store.ledger.bounces import BounceRow, Bounces
from store.ledger.ledger import AttemptRow, DeliveryRow, Holding, Ledger
from store.ledger.owed import Owed
from store.operators.listings import Listings, Slice
from store.subscribers.people import Subscribers

SETTLED: tuple[DeliveryState, ...] = ("sent", "failed", "suppressed", "unknown", "cancelled")


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """One delivery; with what was tried for it and what came back, where its recipient was asked for by address."""

    row: DeliveryRow
    attempts: tuple[AttemptRow, ...] = ()
    bounces: tuple[BounceRow, ...] = ()


def ask(
    database: Database, number: int, *, state: DeliveryState | None = None, address: str | None = None
) -> tuple[LedgerCounts, Iterable[Told]]:
    """How an issue stands, and its deliveries in one state or to one address; none are listed when neither is given.

    Those to an address are a list; those in a state are read as they are asked for, once, however many they are.
    Raises NotFoundError when there is no such issue.
    """
    book, reports = Ledger(database), Bounces(database)
    counts = book.counts(number)
    if state is None and address is None:
        return counts, []
    if address is None:
        return counts, (Told(row=row) for row in book.each(number, state))
    return counts, [
        Told(row=row, attempts=tuple(book.attempts(row.id)), bounces=tuple(reports.of(row.id)))
        for row in book.rows(number, state, address)
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Absent:
    """Somebody who has no delivery of an issue."""

    address: str
    reason: str  # as the exclusion has it; "draft": nobody is placed yet; "unknown": never heard of; "later": see below
    why: str  # a sentence
    owed: tuple[OwedRow, ...] = ()  # what they are owed today, and by the next issue of which cadence


def absent(database: Database, number: int, address: str) -> Absent:
    """Why `address` has no delivery of an issue, and what they are owed; raises InputError when it is no address.

    Raises NotFoundError when there is no such issue.
    """
    issue, who = Issues(database).get(number), Subscribers(database).find(address)
    if who is None:
        return Absent(address=address, reason="unknown", why="no subscriber has that address")
    found = Ledger(database).exclusion_of(number, who.id)
    reason = found or ("draft" if issue.frozen_at is None else "later")
    return Absent(
        address=who.address, reason=reason, why=why_absent(reason, who, issue.created_at, issue.frozen_at),
        owed=tuple(Owed(database).list(subscriber_id=who.id)),
    )


def why_absent(reason: str, who: Subscriber, drafted: dt.datetime, sealed: dt.datetime | None) -> str:
    """The sentence on one exclusion's reason, without its subject. Pure."""
    changed = who.chosen_at is not None and who.chosen_at > drafted
    match reason:
        case "owed":
            since = f" (changed {_at(who.chosen_at)}, draft {_at(drafted)})" if changed and who.chosen_at else ""
            return f"topics{since}: no variant of what was drafted could be made for them"
        case "other_cadence":
            return "other_cadence" + (f" (today they read the {who.cadence} issue)")
        case "joined_later":
            return f"joined_later (signed up {_at(who.created_at)}, draft {_at(drafted)})"
        case "no_match":
            return "no_match: nothing in it was of their topics"
        case "nothing_new":
            return "nothing_new: they had been told all of it that they wanted"
        case "draft":
            return "nobody is placed yet: it is a draft"
        case "later":
            return f"signed up {_at(who.created_at)}, when it was sealed ({_at(sealed or drafted)})"
        case _:
            return reason


def owed_words(rows: Sequence[OwedRow]) -> str:
    """What is owed to one reader in words: by which issue, and which milestones; "" for nothing. Pure."""
    if not rows:
        return ""
    return f"owed in the next {rows[0].cadence} issue: {', '.join(sorted({row.key for row in rows}))}"


def owed(database: Database) -> Iterator[OwedRow]:
    """What active readers are owed today, the oldest debts first, read as they are asked for."""
    return Owed(database).each()


def _at(moment: dt.datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"


def equation(counts: LedgerCounts) -> Mapping[str, int]:
    """The terms whose sum is the number of candidates; whoever may still get it is waiting.

    Whoever is owed all of it was left out, and the next issue of their cadence pays. Pure.
    """
    terms: dict[str, int] = {state: counts.states.get(state, 0) for state in SETTLED}
    terms["waiting"] = sum(count for state, count in counts.states.items() if state not in SETTLED)
    owing = counts.exclusions.get("owed", 0)
    return terms | {"owed": owing, "excluded": sum(counts.exclusions.values()) - owing}


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """Somebody who has no delivery of an issue."""

    subscriber: int
    address: str  # "" after an erase
    reason: str
    why: str  # a sentence


def left_out(
    database: Database, issue: Issue, *, reason: str | None = None, after: int | None = None, limit: int
) -> Slice[LeftOut]:
    """Who did not get an issue and why, by their ids; `after`: whose is higher."""
    part = Listings(database).excluded(issue.number, reason=reason, after=after, limit=limit)
    return Slice(after=part.after, rows=tuple(
        LeftOut(subscriber=one.who.id, address=one.who.address, reason=one.reason,
                why=why_absent(one.reason, one.who, issue.created_at, issue.frozen_at))
        for one in part.rows
    ))


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How fast an issue goes out."""

    done: int
    total: int
    per_second: float | None  # None: not known yet
    left_seconds: float | None  # None: nobody can say


def pace(
    counts: LedgerCounts, earlier: Sequence[tuple[dt.datetime, int]], *, begun: dt.datetime | None, now: dt.datetime
) -> Pace:
    """How fast, by what was settled at `earlier` moments, oldest first, or else since it was `begun`. Pure."""
    waiting = sum(count for state, count in counts.states.items() if state not in SETTLED)
    done = counts.deliveries - waiting
    since, before = earlier[0] if earlier else (begun, 0)
    seconds = (now - since).total_seconds() if since is not None else 0.0
    rate = (done - before) / seconds if seconds >= 1 else None
    left = waiting / rate if rate else (0.0 if not waiting else None)
    return Pace(done=done, total=counts.deliveries, per_second=rate, left_seconds=left)


def last_words(database: Database, number: int) -> tuple[LedgerCounts, Sequence[tuple[str, int]]]:
    """How an issue stands, and what the relay said of what it did not take, each with how often."""
    book = Ledger(database)
    return book.counts(number), book.words(number)


def held_by_others(database: Database, counts: LedgerCounts) -> tuple[Holding, ...]:
    """Who has taken deliveries of an issue and not settled them; to be asked by who holds none."""
    if not counts.states.get("claimed") and not counts.states.get("sending"):
        return ()  # the usual case looks through no issue
    return tuple(Ledger(database).held(counts.issue))


def held_to_json(holding: Holding) -> dict[str, Any]:
    """The form of one of `held` in `dispatch --json` and `ledger --json`."""
    who = holding.holder
    return {
        "deliveries": holding.deliveries, "until": holding.until.isoformat(), "life": holding.life,
        "host": who and who.host, "pid": who and who.pid,
    }
