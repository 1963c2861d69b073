"""How many soft bounces are too many: one pure rule, so that a full mailbox is forgiven and a dead one is not.

    the sendings to one subscriber that came back ─▶ worn_out ─▶ never mailed again, or not yet
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Strike:
    """One issue that could not be delivered to one subscriber, for a reason that may pass."""

    issue: int
    at: dt.datetime  # when we sent it: not when its bounce was written or read, which others decide


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """Suppress after soft bounces of `issues` different issues, sent over at least `apart` and all within `within`.

    Older ones are forgiven. A mailbox that is full for a week of daily mails stays on the list; one that bounced five
    weekly issues, or five monthly ones, does not.
    """

    issues: int = 5
    within: dt.timedelta = dt.timedelta(days=180)
    apart: dt.timedelta = dt.timedelta(days=14)


RULE = Rule()


def worn_out(strikes: Iterable[Strike], now: dt.datetime, rule: Rule = RULE) -> bool:
    """Whether an address with these strikes is to be suppressed at `now` (aware)."""
    latest: dict[int, dt.datetime] = {}
    for strike in strikes:
        if now - rule.within <= strike.at <= now:
            latest[strike.issue] = max(strike.at, latest.get(strike.issue, strike.at))
    return len(latest) >= rule.issues and max(latest.values()) - min(latest.values()) >= rule.apart
