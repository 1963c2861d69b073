"""What the pages need of the store; its own classes fit, and so do fakes."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Protocol

from milepost.records import (
    Amended,
    Cadence,
    Issue,
    IssueState,
    KnownTopics,
    ReaderLink,
    Subscriber,
    SubscriberState,
    Told,
)
from pipeline.sign_up import Asked, Confirmed, Doubt, SignUp, Turned


class Issues(Protocol):
    """Called by the archive, from several threads at once; every method raises StoreError."""

    def list(
        self, *, states: Sequence[IssueState] | None = None, limit: int | None = None, public: bool = False
    ) -> Sequence[Issue]:
        """Issues in those states without their items, the latest first; `public`: only those that tell news."""

    def get(self, number: int) -> Issue:
        """One issue with its items; raises NotFoundError."""

    def told(self, states: Sequence[IssueState]) -> Mapping[int, Told]:
        """Issue → what it tells, of those in these states."""

    def amended(
        self, states: Sequence[IssueState], number: int | None = None
    ) -> Mapping[int, Mapping[int, Amended]]:
        """Issue → milestone's id → what became of it since, of those in these states, or of one."""


class Topics(Protocol):
    """Called by the page of a reader's choice; raises StoreError."""

    def known(self) -> KnownTopics:
        """What can be asked for."""


class Subscribers(Protocol):
    """Called by the pages that a reader's own link leads to; every method raises StoreError."""

    def linked(self, link: ReaderLink) -> Subscriber:
        """Whom a link was mailed to; raises NotFoundError."""

    def set_choice(
        self, subscriber_id: int, *, cadence: Cadence, topics: Sequence[str], now: dt.datetime
    ) -> Subscriber:
        """Make it so, durably, before returning; () is everything. Raises NotFoundError."""

    def set_state(self, subscriber_id: int, state: SubscriberState, now: dt.datetime) -> object:
        """Make it so, durably, before returning; doing it twice changes nothing. Raises NotFoundError."""


class SigningUp(Protocol):
    """Called by the ways in, from several threads at once; every method raises StoreError."""

    def ask(self, asked: Asked, now: dt.datetime) -> None:
        """Take it in, durably, before returning; the same for every address. Raises InputError for none."""

    def check(self, address: str) -> None:
        """Raises InputError for what is no address; asks nobody."""

    def doubt(self, address: str) -> Doubt | None:
        """Why an address may be misspelt, within seconds; None where nothing says so. Raises InputError for none."""

    def turn_away(self, why: Turned, now: dt.datetime) -> None:
        """Count what is answered as if it had been taken."""

    def find(self, name: str, now: dt.datetime) -> SignUp | None:
        """The sign-up whose link that is; None for a wrong, an old or a foreign one."""

    def confirm(self, name: str, host: str | None, now: dt.datetime) -> Confirmed:
        """Make a reader of it, durably, before returning; a second time changes nothing."""
