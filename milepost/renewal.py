"""Renews a lease in a thread of its own for as long as the work under it takes: that may wait for minutes."""

import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from milepost.errors import StoreError

LEASE_S = 120  # how long what somebody dead holds keeps others waiting
EVERY_S = 30.0  # three renewals may fail before a lease ends


class Renewal:
    """While it is open, `renew` is called every so many seconds."""

    def __init__(self, renew: Callable[[], object], *, every: float = EVERY_S) -> None:
        self._renew, self._every = renew, every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="milepost-renewal", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._every):
            with suppress(StoreError):  # a database in trouble: the next step of the work itself says so
                self._renew()
