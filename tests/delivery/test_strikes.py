"""When soft bounces are too many."""

import datetime as dt

import pytest

from delivery.bounces.soft_bounce_limit import Strike, worn_out

NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)


def days_ago(*days: float) -> list[Strike]:
    """A strike for each, in issues of their own."""
    return [Strike(issue=number, at=NOW - dt.timedelta(days=ago)) for number, ago in enumerate(days, 1)]


CASES = {
    "none": ([], False),
    "five weekly issues": (days_ago(1, 8, 15, 22, 29), True),
    "four weekly issues": (days_ago(1, 8, 15, 22), False),
    "five monthly issues": (days_ago(1, 31, 61, 91, 121), True),
    "a full mailbox for a week of daily mails": (days_ago(0, 1, 2, 3, 4, 5, 6), False),
    "three weeks of daily mails": (days_ago(*range(21)), True),
    "a fifth that is forgiven": (days_ago(1, 8, 15, 22, 181), False),
    "one issue, bounced often": ([Strike(issue=1, at=NOW - dt.timedelta(days=ago)) for ago in range(40)], False),
    "sent tomorrow, says a broken clock": (days_ago(-1, 8, 15, 22, 29), False),
    "just fourteen days apart": (days_ago(0, 1, 2, 3, 14), True),
    "not quite": (days_ago(0, 1, 2, 3, 13.9), False),
}


@pytest.mark.parametrize(("strikes", "expected"), CASES.values(), ids=CASES.keys())
def test_rule(strikes: list[Strike], expected: bool) -> None:
    assert worn_out(strikes, NOW) is expected
