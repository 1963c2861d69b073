"""Taking in many at once: what becomes of each is decided by what is known of them, and nobody who left comes back.

    entries of a file ─▶ those of one address as one ─▶ admit (pure) ─▶ added | pending | left | suppressed
                                                                      | known | held_back | contradicted | skipped
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import sqlalchemy as sa

from milepost.records import Cadence, SubscriberState
from store.dialects import by_keys, given, insert
from store.schema.tables import subscriber, subscriber_event, suppression
from store.subscribers import events
from store.subscribers.addresses import Address

# From the mildest to the strictest: of two rows with one address the stricter one counts.
Standing = Literal["active", "pending", "never_asked", "unsubscribed", "blocked", "bounced", "complained"]
STANDINGS: tuple[Standing, ...] = (
    "active", "pending", "never_asked", "unsubscribed", "blocked", "bounced", "complained",
)
Result = Literal["added", "pending", "left", "suppressed", "known", "held_back", "contradicted", "skipped"]
RESULTS: tuple[Result, ...] = (
    "added", "pending", "left", "suppressed", "known", "held_back", "contradicted", "skipped",
)
TOGETHER = 500  # people of one transaction: others who write wait for no more than these
_KEPT_OUT = ("blocked", "bounced", "complained")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One person as a file has them."""

    line: int  # of the file
    address: Address
    standing: Standing
    said: str = ""  # the file's own words for it: "status = blocklisted"
    suppressed: str | None = None  # the reason for which they are never to be mailed, whatever their standing
    cadence: Cadence
    topics: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What the list has of an address already."""

    state: SubscriberState | None = None  # None: no subscriber
    since: dt.datetime | None = None  # that they have left, or wait
    suppressed: str | None = None  # why
    suppressed_at: dt.datetime | None = None
    moved_at: dt.datetime | None = None  # that its reader took another address, and nothing was done about it since


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What becomes of one entry, and why where it isn't what the file asked for."""

    entry: Entry
    result: Result
    why: str = ""


def admit(entry: Entry, known: Known) -> Outcome:
    """Pure. Whoever left, bounced, complained or was erased stays so; what an active reader is never taken away."""
    if entry.standing == "never_asked":
        return Outcome(entry=entry, result="skipped", why=f"never asked for mail ({entry.said})")
    out = entry.standing in _KEPT_OUT or entry.suppressed is not None
    if known.state in ("active", "pending") and known.suppressed is None and (out or entry.standing == "unsubscribed"):
        verb = "suppressed" if out else "gone"
        return Outcome(entry=entry, result="contradicted", why=f"{verb} in the file ({entry.said}), {known.state} here")
    if out:
        if known.suppressed is not None:
            return Outcome(entry=entry, result="known")
        return Outcome(entry=entry, result="suppressed", why=entry.suppressed or entry.said)
    if entry.standing == "unsubscribed":
        return Outcome(entry=entry, result="known" if known.state or known.suppressed else "left")
    if known.suppressed is not None:
        why = _since(f"suppressed: {known.suppressed}", known.suppressed_at)
        return Outcome(entry=entry, result="held_back", why=why)
    if known.state == "unsubscribed":
        return Outcome(entry=entry, result="held_back", why=_since("has left", known.since))
    if known.state == "pending" and entry.standing == "active":
        return Outcome(entry=entry, result="held_back", why=_since("waits for confirmation", known.since))
    if known.state is not None:
        return Outcome(entry=entry, result="known")
    if known.moved_at is not None:
        why = _since("its reader took another address", known.moved_at)
        return Outcome(entry=entry, result="held_back", why=why)
    return Outcome(entry=entry, result="added" if entry.standing == "active" else "pending")


def _since(what: str, when: dt.datetime | None) -> str:
    return what if when is None else f"{what} (since {when:%Y-%m-%d})"


def strictest(entries: Iterable[Entry]) -> list[Entry]:
    """One entry for each person, in the order of their first: the strictest standing that any of theirs has. Pure."""
    kept: dict[str, Entry] = {}
    for entry in entries:
        before = kept.get(entry.address.normalized)
        if before is None:
            kept[entry.address.normalized] = entry
            continue
        stricter = max(before, entry, key=lambda one: STANDINGS.index(one.standing))
        kept[entry.address.normalized] = replace(
            stricter, address=before.address, suppressed=before.suppressed or entry.suppressed
        )
    return list(kept.values())


def take_in(
    connection: sa.Connection, hashes: Mapping[str, str], entries: Sequence[Entry], *, now: dt.datetime, by: str,
    why: str, dry_run: bool = False,
) -> list[Outcome]:
    """What becomes of some of a file's people, one entry each; see `Subscribers.import_`, which opens the transaction.

    `hashes`: of their addresses, by what is normalized.
    """
    known = _known(connection, hashes)
    decided = [admit(entry, known[entry.address.normalized]) for entry in entries]
    if not dry_run:
        _write(connection, hashes, decided, now, by, why)
    return decided


def _known(connection: sa.Connection, hashes: Mapping[str, str]) -> dict[str, Known]:
    by_keys(connection)
    asked = given(connection, "asked", {"value": sa.Text()}, [{"value": normalized} for normalized in hashes])
    people = connection.execute(
        sa.select(
            subscriber.c.normalized, subscriber.c.state, subscriber.c.created_at, subscriber.c.unsubscribed_at
        ).where(subscriber.c.normalized.in_(sa.select(asked.c.value)))
    )
    states = {row.normalized: row for row in people}
    hashed = given(connection, "hashed", {"value": sa.Text()}, [{"value": hash_} for hash_ in hashes.values()])
    listed = connection.execute(
        sa.select(suppression.c.address_hash, suppression.c.reason, suppression.c.created_at)
        .where(suppression.c.address_hash.in_(sa.select(hashed.c.value)))
    )
    reasons = {row.address_hash: row for row in listed}
    away = events.moved_away(connection, hashes.values())
    found = {}
    for normalized, hash_ in hashes.items():
        person, reason = states.get(normalized), reasons.get(hash_)
        found[normalized] = Known(
            state=person.state if person else None,
            since=(person.unsubscribed_at or person.created_at) if person else None,
            suppressed=reason.reason if reason else None, suppressed_at=reason.created_at if reason else None,
            moved_at=away.get(hash_),
        )
    return found


def _write(
    connection: sa.Connection, hashes: Mapping[str, str], decided: Sequence[Outcome], now: dt.datetime, by: str,
    why: str,
) -> None:
    people = [values(outcome.entry, now) for outcome in decided if _becomes_subscriber(outcome)]
    if people:
        connection.execute(insert(connection, subscriber).on_conflict_do_nothing(), people)
    kept_out = [
        {"address_hash": hashes[one.entry.address.normalized], "normalized": one.entry.address.normalized,
         "reason": one.why, "created_at": now}
        for one in decided if one.result == "suppressed"
    ]
    if kept_out:
        connection.execute(insert(connection, suppression).on_conflict_do_nothing(), kept_out)
    done = [
        {"address_hash": hashes[one.entry.address.normalized], "at": now, "action": "imported", "by": by,
         "why": f"{why}, line {one.entry.line}: {one.result}{f' ({one.entry.said})' if one.entry.said else ''}"}
        for one in decided if one.result in ("added", "pending", "left", "suppressed")
    ]
    if done:
        connection.execute(sa.insert(subscriber_event), done)


def _becomes_subscriber(outcome: Outcome) -> bool:
    """Also whoever is suppressed by a list of ours: they had a choice, which an export keeps."""
    return outcome.result in ("added", "pending", "left") or (
        outcome.result == "suppressed" and outcome.entry.standing not in _KEPT_OUT
    )


def values(entry: Entry, now: dt.datetime) -> dict[str, Any]:
    """A row of the subscriber table."""
    state: SubscriberState = entry.standing if entry.standing in ("active", "pending") else "unsubscribed"
    return {
        "address": entry.address.address, "normalized": entry.address.normalized, "state": state,
        "cadence": entry.cadence, "topics": list(entry.topics), "created_at": now,
        "confirmed_at": now if state == "active" else None,
        "unsubscribed_at": now if state == "unsubscribed" else None,
    }


def counted(outcomes: Iterable[Outcome]) -> Iterator[tuple[Result, int]]:
    """How many came to each result, those that nobody came to left out."""
    results = [outcome.result for outcome in outcomes]
    yield from ((result, results.count(result)) for result in RESULTS if result in results)
