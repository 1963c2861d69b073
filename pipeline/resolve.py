"""Settles uncertain hand-overs (T8) by what the relay's log proves, or by an operator's word; never by a guess.

    unknown deliveries + the relay's log ─▶ evidence for each ─▶ sent | failed | pending | still unknown
"""

import datetime as dt
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from delivery.bounces import relay_log
from delivery.message.tokens import message_id
from milepost.errors import ConflictError, InputError, NotFoundError
from milepost.settings import Settings
from pipeline.link_keys import link_keys
from pipeline.mail_identity import seal, sender_domain
from store.database import Database
from store.ledger.ledger import DeliveryRow, Ledger
from store.ledger.resolve import Unknown, Unknowns
from store.subscribers.suppressions import Suppressions

log = logging.getLogger("milepost.ledger")

Outcome = Literal["sent", "failed", "pending"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """What became of the uncertain hand-overs of one issue."""

    issue: int
    unknown: int  # before
    results: Mapping[str, int]  # sent | failed | pending | unknown → how many
    evidence: Sequence[tuple[str, str, str]]  # (address, outcome, the line that proves it)


def message_ids(settings: Settings, database: Database, number: int | None = None) -> dict[str, int]:
    """Message-ID → delivery of each unknown hand-over; made anew where the dispatcher died before it could tell."""
    names = _Names(settings, database)
    return {name: one.id for one in Unknowns(database).list(number) for name in names.of(one)}


class _Names:
    """Message-IDs of deliveries: as the ledger was told, else made as the dispatcher makes them."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings, self._database = settings, database
        self._keys = link_keys(settings, database).every  # of our own mails, in our own relay's log
        self._domains: dict[int, str] = {}  # by issue: of its sender when it was rendered

    def of(self, one: Unknown) -> tuple[str, ...]:
        """One of these, by the key that was in use."""
        if one.message_id is not None:
            return (one.message_id,)
        if one.issue not in self._domains:
            self._domains[one.issue] = sender_domain(seal(self._settings, self._database, one.issue).settings)
        issue, reader = (one.issue, one.subscriber) if one.handle is None else (one.handle, one.reader)
        return tuple(
            message_id(key, issue=issue, reader=reader, domain=self._domains[one.issue]) for key in self._keys
        )


def resolve_by_log(
    settings: Settings, database: Database, number: int, files: Sequence[Path], *, now: dt.datetime,
    complete: bool = False,
) -> Resolved:
    """Settle the unknown hand-overs of issue `number` by a Postfix relay's log files (plain or gzip, in any order).

    `complete`: the operator's word that these files hold all that the relay wrote since the issue began; only then is
    a message that they never mention proven not to have arrived. Raises InputError for a file that can't be read, or
    that begins too late for that word.
    """
    Ledger(database).counts(number)  # raises NotFoundError
    unknown = Unknowns(database).list(number)
    if not unknown:
        return Resolved(issue=number, unknown=0, results={}, evidence=())
    names = _Names(settings, database)
    sought = {
        name: relay_log.Sought(
            address=one.address, since=one.since, attempts=one.attempts
        )
        for one in unknown for name in names.of(one)
    }
    found = relay_log.read(relay_log.lines(files, now=now), sought, now=now)
    if complete:  # of what may have gone by several names, all have to be missing
        never = {
            by[0]: sought[by[0]] for by in map(names.of, unknown) if not any(name in found.mentioned for name in by)
        }
        found = relay_log.with_absent(found, never, where=", ".join(map(str, files)))
    results: Counter[str] = Counter()
    evidence = []
    for one in unknown:
        proof = next((found.evidence[name] for name in names.of(one) if name in found.evidence), None)
        outcome = "unknown" if proof is None else _apply(database, one, proof, now)
        results[outcome] += 1
        if proof is not None and outcome != "unknown":
            evidence.append((one.address, outcome, proof.line))
    return Resolved(issue=number, unknown=len(unknown), results=dict(results), evidence=evidence)


def _apply(database: Database, one: Unknown, proof: relay_log.Evidence, now: dt.datetime) -> str:
    if proof.suppress is not None:
        Suppressions(database).add(one.address, proof.suppress, now)
    try:
        Ledger(database).resolve(one.id, proof.outcome, f"by the relay's log: {proof.line}")
    except ConflictError:  # settled by somebody else meanwhile
        return "unknown"
    return proof.outcome


def resolve_by_word(
    database: Database, number: int, address: str, outcome: Outcome, why: str, *, now: dt.datetime
) -> DeliveryRow:
    """Settle one hand-over on an operator's word, which is kept; `pending` sends it again.

    What was refused before the dot, and so taken by nobody, can be sent again or given up as well (`Ledger.resolve`).
    Raises NotFoundError when the issue has no delivery to that address, ConflictError when there is nothing to settle.
    """
    if not why.strip():
        raise InputError("a reason is missing", where="--why", hint="Say how you know; it is kept in the ledger.")
    ledger = Ledger(database)
    rows = ledger.rows(number, address=address)
    if not rows:
        ledger.counts(number)  # raises NotFoundError for the issue itself
        raise NotFoundError("the issue has no delivery to that address", where=address)
    one = rows[0]
    try:
        ledger.resolve(one.id, outcome, f"by an operator at {now:%Y-%m-%d %H:%M} UTC: {' '.join(why.split())[:500]}")
    except ConflictError:
        raise ConflictError(
            f"it is {one.state}, there is nothing to resolve as {outcome}", where=f"issue {number}, {one.address}",
            hint=f"What is unknown can be settled (`milepost ledger {number} --state unknown`), and what was refused"
                 f" before its message was sent can be made pending again.",
        ) from None
    log.info("issue %d: delivery %d is resolved as %s", number, one.id, outcome,
             extra={"issue": number, "delivery": one.id})
    return one
