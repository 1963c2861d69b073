"""Who got an issue, who did not, and why: the ledger as operators ask it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from milepost.records import DeliveryState, LedgerCounts
from store.database import Database
from store.ledger.bounces import BounceRow, Bounces
from store.ledger.ledger import AttemptRow, DeliveryRow, Holding, Ledger

SETTLED: tuple[DeliveryState, ...] = ("sent", "failed", "suppressed", "unknown", "cancelled")


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """One delivery; with what was tried for it and what came back, where its recipient was asked for by address."""

    row: DeliveryRow
    attempts: tuple[AttemptRow, ...] = ()
    bounces: tuple[BounceRow, ...] = ()


def ask(
    database: Database, number: int, *, state: DeliveryState | None = None, address: str | None = None
) -> tuple[LedgerCounts, list[Told]]:
    """How an issue stands, and its deliveries in one state or to one address; none are listed when neither is given.

    Raises NotFoundError when there is no such issue.
    """
    book, reports = Ledger(database), Bounces(database)
    counts = book.counts(number)
    if state is None and address is None:
        return counts, []
    rows = book.rows(number, state, address)
    if address is None:
        return counts, [Told(row=row) for row in rows]
    return counts, [
        Told(row=row, attempts=tuple(book.attempts(row.id)), bounces=tuple(reports.of(row.id))) for row in rows
    ]


def equation(counts: LedgerCounts) -> Mapping[str, int]:
    """The terms whose sum is the number of candidates; whoever may still get it is waiting. Pure."""
    terms: dict[str, int] = {state: counts.states.get(state, 0) for state in SETTLED}
    terms["waiting"] = sum(count for state, count in counts.states.items() if state not in SETTLED)
    return terms | {"excluded": sum(counts.exclusions.values())}


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
