"""Words that people type, checked against the words we know; a wrong one is told what is allowed."""

from typing import Literal, TypeVar

from milepost.errors import InputError
from milepost.records import (
    CADENCES,
    DELIVERY_STATES,
    SUBSCRIBER_STATES,
    Cadence,
    DeliveryState,
    SubscriberState,
)

Word = TypeVar("Word", bound=str)


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: "1 delivery", "2 deliveries"; `many` is the noun with an s where nothing is given."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def _one_of(what: str, word: str, known: tuple[Word, ...]) -> Word:
    for candidate in known:
        if word == candidate:
            return candidate
    raise InputError(f"there is no {what} {word!r}", hint=f"Choose from {', '.join(known)}.")


def cadence_of(word: str) -> Cadence:
    """Raises InputError."""
    return _one_of("cadence", word, CADENCES)


def subscriber_state_of(word: str) -> SubscriberState:
    """Raises InputError."""
    return _one_of("state", word, SUBSCRIBER_STATES)


def delivery_state_of(word: str) -> DeliveryState:
    """Raises InputError."""
    return _one_of("state", word, DELIVERY_STATES)


def outcome_of(word: str) -> Literal["sent", "failed", "pending"]:
    """Raises InputError."""
    return _one_of("outcome", word, ("sent", "failed", "pending"))
