"""Gets one URL through pauses, redirects and retries, each hop of a redirect checked before it is taken.

    turn (pace) ─▶ one GET ─▶ redirect? follow(next) says where, or stops ─▶ trouble? wait and try again ─▶ Answer
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urldefrag, urljoin

from crawler.client import Answer, Client
from crawler.guard import check_url
from crawler.outcomes import Now
from crawler.pace import Pace, Time, backoff, retry_after
from milepost.errors import FetchError
from milepost.settings import FetchSettings

Follow = Callable[[str], Awaitable[str | None]]  # a redirect's URL → the URL to ask, or None to stop there

REDIRECTS = frozenset({301, 302, 303, 307, 308})
TROUBLE = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})


async def anywhere(url: str) -> str | None:
    """Follow every redirect that the guard lets through: for robots.txt and sitemaps."""
    return url


@dataclass(frozen=True, kw_only=True, slots=True)
class Got:
    """An answer, and where it points on when `follow` stopped at a redirect."""

    answer: Answer
    elsewhere: str | None = None


class Fetcher:
    """Shares one client, one pace and one count of requests among the workers of a crawl."""

    def __init__(
        self, client: Client, *, limits: FetchSettings, pace: Pace, clock: Time, now: Now, dice: random.Random
    ) -> None:
        self._client, self._limits, self._pace = client, limits, pace
        self._clock, self._now, self._dice = clock, now, dice
        self.requests = 0

    async def get(
        self, url: str, *, headers: Mapping[str, str] | None = None, follow: Follow = anywhere,
        max_body: int | None = None, cut: bool = False,
    ) -> Got:
        """The answer to `url`, any status but the troubled ones.

        Raises RefusedError at once, FetchError after `limits.retries` further tries where trying again may help.
        """
        for attempt in range(self._limits.retries + 1):
            last = attempt == self._limits.retries
            try:
                got = await self._hops(url, headers, follow, max_body, cut=cut)
            except FetchError as error:
                if last or not error.retryable:
                    raise
                await self._clock.sleep(backoff(attempt, self._dice))
                continue
            answer = got.answer
            if answer.status not in TROUBLE:
                return got
            pause = retry_after(answer.headers.get("retry-after"), now=self._now(), cap=self._limits.max_retry_after)
            if pause is not None and answer.status in (429, 503):
                self._pace.hold(check_url(answer.url).origin, pause)  # the whole host asked for it
            if last:
                break
            await self._clock.sleep(max(backoff(attempt, self._dice), pause or 0.0))
        tries = "" if self._limits.retries == 0 else f", {self._limits.retries + 1} times"
        raise FetchError(f"answered {answer.status}{tries}", where=url, status=answer.status, retryable=True)

    async def _hops(
        self, url: str, headers: Mapping[str, str] | None, follow: Follow, max_body: int | None, *, cut: bool
    ) -> Got:
        loop = asyncio.get_running_loop()
        left = self._limits.timeout  # for the page in all; waiting for our turn is not the page's fault
        visited = {url}
        for _ in range(self._limits.max_redirects + 1):
            await self._pace.turn(check_url(url).origin)
            started = loop.time()
            self.requests += 1
            answer = await self._client.get(url, headers=headers, max_body=max_body, cut=cut, within=max(left, 0.0))
            left -= loop.time() - started
            location = answer.headers.get("location", "").strip()
            if answer.status not in REDIRECTS:
                return Got(answer=answer)
            if not location:
                raise FetchError(f"answered {answer.status} without saying where to", where=url, status=answer.status)
            wanted = _resolve(url, location)
            goes_on = await follow(wanted)
            if goes_on is None:
                return Got(answer=answer, elsewhere=wanted)
            if goes_on in visited:
                raise FetchError("redirects in a circle", where=url, status=answer.status)
            visited.add(goes_on)
            url = goes_on
        raise FetchError(f"redirects more than {self._limits.max_redirects} times", where=url, status=answer.status)


def _resolve(url: str, location: str) -> str:
    """The absolute URL of a Location header; raises RefusedError when it is none that may be asked."""
    try:
        absolute = urldefrag(urljoin(url, location.replace(" ", "%20"))).url
    except ValueError:
        absolute = location
    return check_url(absolute).url
