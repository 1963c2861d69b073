"""Renews a lease in a thread of its own for as long as the work under it takes: that may wait for minutes."""

from collections.abc import Callable
from contextlib import suppress

from milepost.background import Background
from milepost.errors import StoreError

LEASE_S = 120  # how long what somebody dead holds keeps others waiting
EVERY_S = 30.0  # three renewals may fail before a lease ends


class Renewal(Background):
    """While it is open, `renew` is called every so many seconds."""

    def __init__(self, renew: Callable[[], object], *, every: float = EVERY_S) -> None:
        super().__init__("milepost-renewal")
        self._renew, self._every = renew, every

    def run(self) -> None:
        """Renew till it is over."""
        while not self._over.wait(self._every):
            with suppress(StoreError):  # a database in trouble: the next step of the work itself says so
                self._renew()
