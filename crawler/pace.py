"""When to ask again: the pace each host is asked at, Retry-After (RFC 9110 §10.2.3), and backoff with jitter."""

import asyncio
import datetime as dt
import random
import time
from email.utils import parsedate_to_datetime
from typing import Protocol

MAX_CRAWL_DELAY = 10.0  # seconds; a robots.txt that asks for more gets this
BACKOFF = 0.5  # seconds before the first retry, doubled each time
MAX_BACKOFF = 30.0


class Time(Protocol):
    """The clock that waiting goes by; tests bring their own."""

    def monotonic(self) -> float:
        """Seconds since some moment, never going back."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class WallTime:
    """The real one."""

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def retry_after(header: str | None, *, now: dt.datetime, cap: float) -> float | None:
    """Seconds to wait as a Retry-After header asks (a number or an HTTP date), at most `cap`; None when it does not."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), cap)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return min(max((moment - now).total_seconds(), 0.0), cap)


def backoff(attempt: int, dice: random.Random) -> float:
    """Seconds before retry number `attempt` (0, 1, …): doubling, with half of it left to chance."""
    return float(min(BACKOFF * 2**attempt, MAX_BACKOFF) * (0.5 + dice.random() / 2))


class Pace:
    """Spaces the requests to each host, and holds all of them back while a host asks for a pause."""

    def __init__(self, clock: Time, *, interval: float = 0.0) -> None:
        """`interval`: the least seconds between two requests to a host."""
        self._clock = clock
        self._interval = interval
        self._intervals: dict[str, float] = {}
        self._next: dict[str, float] = {}
        self._held: dict[str, float] = {}

    def slow(self, host: str, interval: float) -> None:
        """Ask `host` no faster than this (its Crawl-delay), capped at MAX_CRAWL_DELAY."""
        self._intervals[host] = max(self._interval, min(interval, MAX_CRAWL_DELAY))

    def hold(self, host: str, seconds: float) -> None:
        """Ask `host` nothing for so long (its Retry-After)."""
        self._held[host] = max(self._held.get(host, 0.0), self._clock.monotonic() + seconds)

    async def turn(self, host: str) -> None:
        """Wait until `host` may be asked."""
        interval = self._intervals.get(host, self._interval)
        if interval:
            now = self._clock.monotonic()
            at = max(now, self._next.get(host, now))
            self._next[host] = at + interval
            if at > now:
                await self._clock.sleep(at - now)
        while (rest := self._held.get(host, 0.0) - self._clock.monotonic()) > 0 and host in self._held:
            await self._clock.sleep(rest)
