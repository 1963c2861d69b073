"""Hands our log lines to the run they belong to, so that an operator reads them in Prefect's own place."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.handlers import APILogHandler

from milepost.printable import PrintableFilter, without_addresses

_lock = threading.Lock()
_open = 0  # how many tasks of this process are at work
_before = logging.NOTSET


def _within_a_run() -> bool:
    return TaskRunContext.get() is not None or FlowRunContext.get() is not None


class _OfARun(logging.Filter):
    """Lets pass what is said within a run, and takes readers' addresses out: they belong in our database alone."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the line; one of a thread that no run is known in stays out."""
        if not _within_a_run():
            return False
        record.msg, record.args = without_addresses(record.getMessage()), ()
        return True


class ToPrefect(APILogHandler):
    """The one handler, however many tasks are at work at once: each line goes to the run of the thread that said it."""

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(PrintableFilter())
        self.addFilter(_OfARun())


_handler = ToPrefect()


@contextmanager
def to_prefect() -> Iterator[None]:
    """While open, what the `milepost` logger says in this task is kept with its run."""
    global _open, _before
    logger = logging.getLogger("milepost")
    with _lock:
        if _open == 0:
            _before = logger.level
            logger.addHandler(_handler)
            logger.setLevel(logging.INFO)
        _open += 1
    try:
        yield
    finally:
        with _lock:
            _open -= 1
            if _open == 0:
                logger.removeHandler(_handler)
                logger.setLevel(_before)
