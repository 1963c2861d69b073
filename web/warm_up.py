"""What a web process does once, beside its first requests, so that none of them pays for it.

    started ─▶ (an operator exists) the desk's templates compiled, how everything stands asked ─▶ gc.freeze
"""

import gc
import logging

from milepost.background import Background
from milepost.errors import MilepostError
from web.desk.desk import Desk

_log = logging.getLogger(__name__)


class WarmUp(Background):
    """It ends by itself, or when the process does."""

    def __init__(self, desk: Desk) -> None:
        super().__init__("warm-up")
        self._desk = desk

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
