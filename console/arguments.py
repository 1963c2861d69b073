"""What people type: arguments that several commands take, and words checked against the words we know."""

import os
import pwd
from typing import Annotated, Literal, TypeVar

import typer

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
Sources = Annotated[list[str] | None, typer.Argument(metavar="[SOURCE]...", help="Keys of sources; all when none.")]
OneSource = Annotated[str | None, typer.Option("--source", "-s", help="Only this source.")]
Number = Annotated[int, typer.Argument(metavar="ISSUE", help="The issue's number.", min=1)]
PrefectFlag = Annotated[bool, typer.Option("--prefect", help="Run it as a Prefect flow.")]
Why = Annotated[str, typer.Option("--why", help="Your reason; it is kept.")]

Who = Annotated[str | None, typer.Option("--by", help="Who you are; else the name this machine knows you by.")]


def operator(by: str | None) -> str:
    """Whose word it is: what they say, else the name of the user that runs this."""
    if by is not None:
        return by
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user has none
        return f"user {os.getuid()}"


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
