"""Hands our log lines to the flow run they belong to, so that an operator reads them in Prefect's own place."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.logging.handlers import APILogHandler

from milepost.printable import PrintableFilter


@contextmanager
def to_prefect() -> Iterator[None]:
    """While open, what the `milepost` logger says is kept with the current task run."""
    handler = APILogHandler()
    handler.addFilter(PrintableFilter())
    logger = logging.getLogger("milepost")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
