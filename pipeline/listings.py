"""Long lists for operators, a part at a time, the same for the desk and for programs."""

from typing import get_args

from milepost.errors import NotFoundError
from store.database import Database
from store.ledger.letters import Letter, LetterKind, LetterState
from store.ledger.queries import DeliveryRow
from store.operators.listings import (
    Excluded,
    ListedChange,
    ListedMilestone,
    ListedSuppression,
    Listings,
    Slice,
)

__all__ = [
    "LETTER_KINDS", "LETTER_STATES",
    "DeliveryRow", "Excluded", "Letter", "ListedChange", "ListedMilestone", "ListedSuppression", "Listings", "Slice",
    "milestone",
]

LETTER_KINDS: tuple[LetterKind, ...] = get_args(LetterKind)
LETTER_STATES: tuple[LetterState, ...] = get_args(LetterState)


def milestone(database: Database, milestone_id: int) -> ListedMilestone:
    """One milestone by its number; raises NotFoundError."""
    found = Listings(database).milestones(only=milestone_id, limit=1).rows
    if not found:
        raise NotFoundError("there is no such milestone", where=f"milestone {milestone_id}")
    return found[0]
