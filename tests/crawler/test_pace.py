"""When to ask again."""

import asyncio
import datetime as dt
import random

import pytest

from crawler.pace import MAX_BACKOFF, MAX_CRAWL_DELAY, Pace, backoff, retry_after

NOW = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)
HOST = "https://timeline.example"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None), ("", None), ("5", 5.0), (" 5 ", 5.0), ("9" * 400, 60.0), ("٣", None), ("5.5", None),
        ("Mon, 02 Mar 2026 09:00:20 GMT", 20.0), ("Mon, 02 Mar 2026 09:00:20 -0000", 20.0),
        ("Mon, 02 Mar 2026 08:00:00 GMT", 0.0), ("Fri, 31 Dec 9999 23:59:59 GMT", 60.0), ("x" * 1000, None),
    ],
)
def test_retry_after(header, seconds):
    assert retry_after(header, now=NOW, cap=60.0) == seconds


def test_backoff_doubles_within_its_bounds():
    dice = random.Random(3)  # noqa: S311
    waits = [backoff(attempt, dice) for attempt in range(12)]
    for attempt, wait in enumerate(waits):
        top = min(0.5 * 2**attempt, MAX_BACKOFF)
        assert top / 2 <= wait <= top


def turns(pace, clock, count, workers=1):
    moments = []

    async def worker():
        for _ in range(count // workers):
            await pace.turn(HOST)
            moments.append(clock.monotonic())

    async def run():
        await asyncio.gather(*(worker() for _ in range(workers)))

    asyncio.run(run())
    return [moment - 1000.0 for moment in moments]


def test_no_interval_no_waiting(clock):
    assert turns(Pace(clock), clock, 3) == [0.0, 0.0, 0.0]
    assert clock.slept == []


def test_requests_are_spaced(clock):
    pace = Pace(clock, interval=0.5)
    assert turns(pace, clock, 3) == [0.0, 0.5, 1.0]


def test_crawl_delay_rules_up_to_the_cap_and_never_below_our_own(clock):
    pace = Pace(clock, interval=1.0)
    pace.slow(HOST, 0.1)
    assert turns(pace, clock, 2) == [0.0, 1.0]
    pace.slow(HOST, 3600.0)
    assert turns(pace, clock, 2)[-1] - 2.0 == MAX_CRAWL_DELAY


def test_a_hold_stops_every_worker(clock):
    pace = Pace(clock)
    pace.hold(HOST, 30.0)
    pace.hold(HOST, 5.0)
    assert min(turns(pace, clock, 4, workers=4)) == 30.0
    pace.hold("https://other.example", 99.0)
    assert turns(pace, clock, 1)[0] < 99.0
