"""A flood says itself once, with a count, and not once for each drop: a log is read, and it has room to keep.

    the same line again within PERIOD_S ─▶ counted ─▶ "… (the last of 1234 more like it in 60 s)"
"""

import copy
import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from milepost.log_lines import TEXT_LINES, JsonLines
from milepost.printable import PrintableFilter

PERIOD_S = 60.0
_MOST = 1000  # different lines that are remembered at once


@dataclass(slots=True)
class _Seen:
    """A line, and how often it was held back."""

    until: float
    last: logging.LogRecord
    more: int = 0


class Throttle(logging.Handler):
    """Passes lines on to another handler; put it in that one's place. Lines are the same by what they say but for the
    values in it, and by where an exception was raised."""

    def __init__(
        self, inner: logging.Handler, *, period: float = PERIOD_S, clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(inner.level)
        self.formatter = inner.formatter
        self.inner, self._period, self._clock = inner, period, clock
        self._seen: dict[object, _Seen] = {}
        self._timer: threading.Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Say the line, or count it; the handler's own lock is held."""
        now, key = self._clock(), _kind(record)
        seen = self._seen.get(key)
        if seen is not None and now < seen.until:
            seen.more, seen.last = seen.more + 1, record
            if self._timer is None:  # the count is said though nothing comes after it
                self._timer = threading.Timer(self._period, self.tell)
                self._timer.daemon = True
                self._timer.start()
            return
        if seen is not None or len(self._seen) >= _MOST:
            self._forget(now)
        self._seen[key] = _Seen(until=now + self._period, last=record)
        self.inner.handle(record)

    def tell(self) -> None:
        """Say how many were held back, of those whose time is over."""
        with self.lock or threading.RLock():
            self._timer = None
            self._forget(self._clock())
            if any(seen.more for seen in self._seen.values()):
                self._timer = threading.Timer(self._period, self.tell)
                self._timer.daemon = True
                self._timer.start()

    def close(self) -> None:
        """Say what is left; called by logging when the process ends."""
        if self._timer is not None:
            self._timer.cancel()
        with self.lock or threading.RLock():
            self._forget(float("inf"))
        super().close()

    def _forget(self, now: float) -> None:
        full = len(self._seen) >= _MOST
        for key, seen in list(self._seen.items()):
            if now < seen.until and not full:
                continue
            del self._seen[key]
            if seen.more:
                last = copy.copy(seen.last)
                said = last.getMessage().rstrip()
                last.msg = f"{said} (the last of {seen.more} more like it in {self._period:.0f} s)"
                last.args, last.exc_info, last.exc_text = (), None, None
                self.inner.handle(last)


def _kind(record: logging.LogRecord) -> object:
    trace = record.exc_info[2] if record.exc_info else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = None if trace is None else (trace.tb_frame.f_code, trace.tb_lineno)
    return record.name, record.levelno, str(record.msg), where


def throttle(level: int = logging.WARNING, *, json_lines: bool = False) -> None:
    """Throttle what this process says on standard error, other packages' lines too; to do it twice changes nothing.

    `level`, `json_lines`: of a process that has no handlers yet.
    """
    root, ours = logging.getLogger(), logging.getLogger("milepost")
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonLines() if json_lines else logging.Formatter(TEXT_LINES))
        handler.addFilter(PrintableFilter())
        handler.setLevel(level)
        root.addHandler(handler)
        if not ours.handlers:
            ours.setLevel(logging.INFO)
    for logger in (root, ours):
        logger.handlers[:] = [each if isinstance(each, Throttle) else Throttle(each) for each in logger.handlers]
