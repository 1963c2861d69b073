"""What a web process does once, beside its first requests, so that none of them pays for it.

    started ─▶ (an operator exists) the desk's templates compiled, how everything stands asked ─▶ gc.freeze
"""

import gc
import logging
import threading
from types import TracebackType
from typing import Self

from milepost.errors import MilepostError
from web.desk.desk import Desk

_log = logging.getLogger(__name__)


class WarmUp:
    """A thread that ends by itself; use it in `with`, which takes it along when the process ends before."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._over = desk, threading.Event()
        self._thread = threading.Thread(target=self.run, name="warm-up", daemon=True)

    def run(self) -> None:
        """See the module."""
        try:
            self._desk_made_ready()
        except MilepostError as error:  # the pages say it to whoever asks for them
            _log.info("the desk is not made ready: %s", error)
        # Modules, templates and statements stay as long as the process: without them a full collection, which stops
        # every request, looks at a tenth of what it did (https://docs.python.org/3.11/library/gc.html#gc.freeze).
        gc.collect()
        gc.freeze()

    def _desk_made_ready(self) -> None:
        if not self._desk.accounts.any():
            return
        for _ in self._desk.looks.compile():
            if self._over.is_set():
                return
        self._desk.standing.at(self._desk.now())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
