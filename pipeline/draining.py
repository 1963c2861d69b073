"""Sending an issue to its end: pass after pass, each when the next deferred delivery is due, until nothing waits."""

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import replace

from milepost.dates import utc_now
from milepost.settings import Settings
from pipeline.dispatch import Sent, find, one_pass, terminated, waiting_in
from pipeline.look.reading import Progress

LONGEST_S = 60.0  # between two looks: another dispatcher may have died, or an operator decided something
_SLICE_S = 0.5  # how soon a stop is obeyed while it waits


def drain(
    settings: Settings, number: int, *, now: Callable[[], dt.datetime] = utc_now, progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False, sleep: Callable[[float], None] = time.sleep,
) -> Sent:
    """Send issue `number` until nothing waits, it is paused, or SIGTERM or `stop` ends it (`report.stopped`).

    Returns what all passes did. Raises what `dispatch` raises; what was done by then is in the ledger.
    """
    total: Sent | None = None
    with terminated() as asked:

        def over() -> bool:
            return stop() or asked()

        while True:
            total = one_pass(settings, number, now=now, progress=progress, stop=over).after(total)
            report = total.report
            if report.stopped or report.paused or report.state != "sending" or not waiting_in(total.counts):
                return total
            if _wait(until_next(report.next_due, now()), over, sleep):
                return total.stop()
            issue = find(settings, number)
            if issue.state not in ("frozen", "sending"):  # an operator paused or stopped it meanwhile
                return replace(total, report=replace(report, state=issue.state, paused=issue.pause_reason))


def until_next(due: dt.datetime | None, now: dt.datetime) -> float:
    """Seconds to wait before another pass, from a slice to LONGEST_S; `due` None: others hold what is left. Pure."""
    wait = LONGEST_S if due is None else (due - now).total_seconds()
    return min(max(wait, _SLICE_S), LONGEST_S)


def _wait(seconds: float, over: Callable[[], bool], sleep: Callable[[float], None]) -> bool:
    """Sleep in slices; returns whether somebody wants it to end."""
    while seconds > 0 and not over():
        sleep(min(_SLICE_S, seconds))
        seconds -= _SLICE_S
    return over()
