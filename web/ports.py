"""What the pages need of the store; its own classes fit, and so do fakes."""

import datetime as dt
from collections.abc import Sequence
from typing import Protocol

from milepost.records import Issue, IssueState, SubscriberState


class Issues(Protocol):
    """Called by the archive, from several threads at once; every method raises StoreError."""

    def list(self, *, states: Sequence[IssueState] | None = None, limit: int | None = None) -> Sequence[Issue]:
        """Issues in those states without their items, the latest first."""

    def get(self, number: int) -> Issue:
        """One issue with its items; raises NotFoundError."""


class Subscribers(Protocol):
    """Called by the unsubscribe page; every method raises StoreError."""

    def set_state(self, subscriber_id: int, state: SubscriberState, now: dt.datetime) -> object:
        """Make it so, durably, before returning; doing it twice changes nothing. Raises NotFoundError."""
