"""Asks for a few addresses outside a look: the same guard, limits, robots.txt and pauses, and no more than a few."""

import datetime as dt
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from crawler.client import Answer, Client
from crawler.connect import Resolver, system_resolver
from crawler.discover import RobotsCache, require_allowed
from crawler.fetch import Fetcher
from crawler.guard import check_url
from crawler.pace import Pace, WallTime
from crawler.render import Renderer, rendered_answer
from milepost.errors import FetchError, RefusedError
from milepost.settings import FetchSettings, RenderSettings

Now = Callable[[], dt.datetime]

MOST = 6  # addresses


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A page as it was had, and what the robots.txt of its host says of it."""

    url: str  # where it was had, after redirects
    content_type: str  # as the server wrote it
    body: bytes
    robots: str  # "allowed", or "allowed, with 5 s between requests"


class Asker:
    """Asks, until it has asked enough."""

    def __init__(self, fetcher: Fetcher, pace: Pace, now: Now, limits: FetchSettings) -> None:
        self._fetcher, self._pace, self._now, self._robots = fetcher, pace, now, RobotsCache()
        self._limits = limits
        self._asked = 0

    @property
    def requests(self) -> int:
        """Sent, with robots.txt and redirects."""
        return self._fetcher.requests

    async def ask(self, url: str) -> Asked:
        """The page at `url`, wherever it redirects to. Raises RefusedError and FetchError."""
        if self._asked >= MOST:
            raise RefusedError(f"not asked for: {MOST} addresses are enough for one look", where=url)
        self._asked += 1

        rules = await require_allowed(url, self._fetcher, cache=self._robots, now=self._now)
        self._pace.slow(check_url(url).origin, rules.delay)
        answer: Answer = (await self._fetcher.get(url, follow=self._permit)).answer
        if answer.status != 200:
            raise FetchError(f"it answers {answer.status}", where=url, status=answer.status,
                             hint="Give an address that a browser shows.")
        if not answer.body.strip():
            raise FetchError("the page is empty", where=url, status=200)
        slow = f"allowed, with {rules.delay:g} s between requests" if rules.delay else "allowed"
        return Asked(url=answer.url, content_type=answer.headers.get("content-type", ""), body=answer.body, robots=slow)


    async def render(self, asked: Asked, settings: RenderSettings) -> Asked:
        """A page that was had, as a browser shows it once its scripts have run. Raises SettingsError, FetchError."""
        document = Answer(url=asked.url, status=200, headers={"content-type": asked.content_type}, body=asked.body)
        async with Renderer(settings, max_html=self._limits.max_body_bytes) as renderer:
            answer, _ = await rendered_answer(renderer, document, self._fetcher, self._permit, self._limits)
        return replace(asked, content_type=answer.headers["content-type"], body=answer.body)

    async def _permit(self, url: str) -> str:
        await require_allowed(url, self._fetcher, cache=self._robots, now=self._now)
        return url


@asynccontextmanager
async def asking(
    *, limits: FetchSettings, allow_hosts: Iterable[str] = (), now: Now, resolver: Resolver = system_resolver
) -> AsyncIterator[Asker]:
    """Connections for a few questions; `allow_hosts`: private hosts that may be asked."""
    clock = WallTime()
    pace = Pace(clock, interval=limits.min_interval)
    async with Client(limits=limits, allow_hosts=allow_hosts, resolver=resolver) as client:
        yield Asker(Fetcher(
            client, limits=limits, pace=pace, clock=clock, now=now, dice=random.Random(),  # noqa: S311
        ), pace, now, limits)
