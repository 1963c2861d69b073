"""Dispatch: every delivery of one issue that is due, handed over once, each step recorded before the next.

    recover ─▶ claim (T1) ─▶ MAIL ─▶ RCPT ─▶ begin (T3, durable) ─▶ DATA … dot ─▶ sent T4 | deferred T5 | failed T6
       ▲          │ none left                     └ no: RSET, skip                └ no reply: unknown T7
    finish ◀──────┘        on every way out what is claimed and not begun is given back (T2)

Over a transport that can pipeline by `delivery.smtp.dispatcher` (many connections, shared commits), else by
`delivery.smtp.sequential`.
"""

import datetime as dt
import time
from collections.abc import Callable

from delivery.mailing import DispatchReport, Limits, Mailing, Progress, Result, quiet
from delivery.ports import Ledger, Transport
from delivery.smtp import dispatcher, sequential
from delivery.smtp.connect import PipelineTransport

_USUAL = Limits()

__all__ = ["DispatchReport", "Limits", "Mailing", "Progress", "Result", "dispatch"]


def dispatch(
    ledger: Ledger,
    transport: Transport,
    mailing: Mailing,
    *,
    now: Callable[[], dt.datetime],
    limits: Limits = _USUAL,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
    throttle: Callable[[], float | None] | None = None,
) -> DispatchReport:
    """Hand over all that is due of `mailing.issue`; returns when nothing is left to claim, on a pause, or on `stop`.

    A recipient that is refused never stops the others. Raises DeliveryError when the relay or a variant's message
    can't be had, StoreError when the ledger can't be written (nothing is sent that was not recorded first),
    ConflictError when the issue is neither frozen nor sending. Calling it again is always safe.
    `throttle` is asked about once a second how many messages may begin a second (None: no limit), in the ledger's
    thread; without it, and in lock-step, `limits` hold. `progress` and `stop` are called in the calling thread;
    `sleep` waits before another try to connect or to record.
    """
    show = progress or quiet
    if isinstance(transport, PipelineTransport):
        return dispatcher.run(
            ledger, transport, mailing, now=now, limits=limits, progress=show, stop=stop, sleep=sleep,
            throttle=throttle,
        )
    return sequential.run(ledger, transport, mailing, now=now, limits=limits, progress=show, stop=stop, sleep=sleep)
