"""One look at a site: what there is, then page by page, each outcome handed on as it arrives.

    robots ─▶ (poll) ─▶ sitemaps ─▶ seeds and listings ─▶ milestones: listed ∪ linked ∪ known ─▶ report
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, KeysView, Mapping, Set
from contextlib import AsyncExitStack
from functools import partial

from crawler.client import Client
from crawler.connect import Resolver, system_resolver
from crawler.discover import Mapped, RobotsCache, read_sitemaps, rules_for
from crawler.fetch import Fetcher
from crawler.guard import check_url
from crawler.outcomes import (
    CrawlPlan,
    CrawlReport,
    Disallowed,
    Failed,
    Fetched,
    Gone,
    Memory,
    NotModified,
    Now,
    Outcome,
    Progress,
    Redirected,
)
from crawler.pace import Pace, Time, WallTime
from crawler.page import PageClient
from crawler.paths import Site
from crawler.render import Renderer
from milepost.errors import FetchError, MilepostError, SourceDownError, SourceEndedError
from milepost.printable import printable
from milepost.records import PageKind, Snapshot

__all__ = [
    "CrawlPlan", "CrawlReport", "Disallowed", "Failed", "Fetched", "Gone", "Memory", "NotModified", "Outcome",
    "Redirected", "RobotsCache", "crawl",
]

Handle = Callable[[str, PageKind], Awaitable[None]]

MAX_FAILURES = 1000  # kept whole in the report; all are counted
_FINDERS = {"sitemap": 1, "listing": 2, "known": 4, "redirect": 8}
_LISTED = _FINDERS["sitemap"] | _FINDERS["listing"]
_RANK = tuple(4 * bool(mask & 4) + 2 * bool(mask & 2) for mask in range(16))
_NAMES = tuple(frozenset(name for name, bit in _FINDERS.items() if mask & bit) for mask in range(16))
_HINT = "Open it in a browser; if it is up there, compare base_url and fetch_from in the settings."


async def crawl(
    plan: CrawlPlan, *, memory: Memory, on_page: Callable[[Outcome], None], now: Now,
    progress: Progress | None = None, robots: RobotsCache | None = None,
    resolver: Resolver = system_resolver, clock: Time | None = None, dice: random.Random | None = None,
) -> CrawlReport:
    """Look at the source once; `on_page` gets every outcome as it arrives, in no order to rely on, one at a time: a
    listing's in a thread, for it may take long.

    A page that fails never stops the rest. Raises SourceDownError when there was nothing to go on (no answer, robots
    trouble, no page listed or known, not one page to be had), SettingsError when pages are to be rendered and can't be,
    and whatever `on_page` raises, after stopping cleanly.
    """
    site = Site.of(plan.base_url, plan.fetch_from)
    clock = clock or WallTime()
    pace = Pace(clock, interval=plan.limits.min_interval)
    async with AsyncExitStack() as around:
        renderer = None if plan.render is None else await around.enter_async_context(
            Renderer(plan.render, wait=plan.render_wait, max_html=plan.limits.max_body_bytes))
        client = await around.enter_async_context(
            Client(limits=plan.limits, allow_hosts=plan.allow_hosts, resolver=resolver))
        fetcher = Fetcher(
            client, limits=plan.limits, pace=pace, clock=clock, now=now, dice=dice or random.Random()  # noqa: S311
        )
        look = _Look(plan, site, fetcher, pace, memory, on_page, now, progress, robots or RobotsCache(), renderer)
        return await look.run()


def ended(where: str) -> SourceEndedError:
    """What a source is whose only pages answer 410 (RFC 9110 §15.5.11): its site asks that nobody come again."""
    return SourceEndedError(
        "it is gone for good (410), so it is not asked for any more", where=where,
        hint="Take it out of the settings, give it its new address, or ask once more: milepost scrape KEY --full.",
    )


class _Look:
    """The state of one crawl: which paths are waiting, what they became, how each was found."""

    def __init__(
        self, plan: CrawlPlan, site: Site, fetcher: Fetcher, pace: Pace, memory: Memory,
        on_page: Callable[[Outcome], None], now: Now, progress: Progress | None, robots: RobotsCache,
        renderer: Renderer | None,
    ) -> None:
        self._plan, self._site, self._fetcher, self._pace = plan, site, fetcher, pace
        self._on_page, self._now, self._robots = on_page, now, robots
        self._telling = asyncio.Lock()
        self._client = PageClient(plan, site, fetcher, memory=memory, robots=robots, now=now, renderer=renderer)
        self._tally = Tally(site)
        self._followed = 0
        self._beside: set[str] = set()  # paths of feeds that were found on the way
        self._work = Work(plan.limits.concurrency, max_pages=plan.max_pages, progress=progress)

    async def run(self) -> CrawlReport:
        minutes = self._plan.limits.max_look_minutes
        try:
            async with asyncio.timeout(minutes * 60):
                return await self._all()
        except TimeoutError:  # a page that drips takes no longer than the others; a thousand of them might take days
            return self._too_late(f"the look ended after {minutes:g} minutes (fetch.max_look_minutes)")

    def _too_late(self, why: str) -> CrawlReport:
        """What came in time; raises SourceDownError when nothing did."""
        if not self._tally.had:
            raise SourceDownError(f"not one page could be had: {why}", where=self._site.fetch, hint=_HINT)
        self._tally.settle()
        self._tally.reasons.append(f"{self._site.fetch}: {why}; left to the next one: {self._work.left} pages")
        return self._tally.report(self._fetcher.requests, complete=False)

    async def _all(self) -> CrawlReport:
        plan, tally = self._plan, self._tally
        try:
            rules = await rules_for(self._site.fetch, self._fetcher, cache=self._robots, now=self._now)
        except FetchError as error:
            raise SourceDownError(error.what, where=error.where, hint=error.hint) from error
        if rules.forbidden is not None:
            raise SourceDownError(rules.forbidden, where=self._site.fetch, hint=rules.hint or _HINT)
        self._pace.slow(check_url(self._site.fetch).origin, rules.delay)
        if plan.poll is not None and not plan.full and await self._same_poll(plan.poll):
            return tally.report(self._fetcher.requests, complete=False, unchanged=True)
        mapped = await read_sitemaps(plan, self._site, rules, self._fetcher)
        tally.reasons += mapped.reasons
        tally.unread += mapped.unread
        await self._listings(mapped)
        await self._milestones(mapped)
        if plan.seeds and tally.ended == set(plan.seeds):
            raise ended(self._site.fetch)
        if not tally.had and not tally.spared and tally.failed:
            first = tally.failures[0].error
            raise SourceDownError(f"not one page could be had: {first.what}", where=first.where, hint=_HINT)
        if not tally.had and not tally.spared and tally.disallowed:
            raise SourceDownError(
                f"robots.txt forbids all {tally.disallowed} pages", where=self._site.fetch, hint=_HINT
            )
        if mapped.absent and plan.links is None:
            tally.reasons.append(f"{self._site.fetch}/sitemap.xml: there is no sitemap")
        if self._work.refused:
            tally.reasons.append(f"{self._work.refused} pages beyond max_pages = {plan.max_pages} were not asked for")
        return tally.report(self._fetcher.requests, complete=not tally.reasons)

    async def _same_poll(self, path: str) -> bool:
        """Ask for the poll page alone; whether it tells of no news."""
        self._work.add(path, "listing")
        outcomes: list[Outcome] = []

        async def keep(path: str, kind: PageKind) -> None:
            outcomes.append(await self._ask(path, kind, poll=True))

        await self._work.drain(keep)
        match outcomes[0]:
            case NotModified():
                return True
            case Fetched(snapshot=snapshot):
                return self._plan.poll_hash == snapshot.body_hash
        return False

    async def _listings(self, mapped: Mapped) -> None:
        for path in self._plan.seeds:
            if self._plan.classify(path) == "milestone":  # a site that keeps all of its milestones on one page
                self._tally.found(path, "listing")
            else:
                self._work.add(path, "listing")
        for path, kind in mapped.paths.items():
            if kind == "listing":
                self._work.add(path, "listing")
        for place in mapped.news:
            if self._plan.news_sitemap is not None and (feed := self._plan.news_sitemap(place)) is not None:
                self._add_beside(feed)
        await self._work.drain(self._one)

    async def _milestones(self, mapped: Mapped) -> None:
        for path, kind in mapped.paths.items():
            if kind == "milestone":
                self._tally.found(path, "sitemap")
        for url in sorted(self._plan.known_urls):
            known = self._site.path(url)
            if known is not None:
                self._tally.found(known, "known")
        mapped.paths.clear()  # a hundred thousand paths need not be kept twice
        if not self._tally.paths:
            reasons = [*self._tally.reasons, *(str(failure.error) for failure in self._tally.failures)]
            reason = reasons[0] if reasons else "no sitemap and no listing names a milestone"
            reason = reason.removeprefix(f"{self._site.fetch}: ")  # which the error says itself
            raise SourceDownError(f"nothing to go on: {reason}", where=self._site.fetch, hint=_HINT)
        self._tally.settle()
        self._tally.spared = mapped.unchanged
        for path in list(self._tally.paths):
            if path not in mapped.unchanged:
                self._work.add(path, "milestone")
        await self._work.drain(self._one)

    async def _one(self, path: str, kind: PageKind) -> None:
        await self._ask(path, kind)

    async def _ask(self, path: str, kind: PageKind, *, poll: bool = False) -> Outcome:
        outcome = await self._client.ask(path, kind, poll=poll)
        async with self._telling:  # one outcome at a time
            if isinstance(outcome, Fetched) and outcome.kind == "listing":
                # it is read at once, and one that hangs its reader costs no page that is on its way its time
                await asyncio.to_thread(self._on_page, outcome)
            else:
                self._on_page(outcome)
        if path in self._beside and isinstance(outcome, Failed | Disallowed):
            return outcome  # it is no page of the site's that is missing
        self._tally.count(outcome)
        if isinstance(outcome, Fetched | NotModified) and kind == "listing" and self._plan.feeds_on is not None:
            for feed in self._plan.feeds_on(outcome.url, outcome.snapshot if isinstance(outcome, Fetched) else None):
                self._add_beside(feed)
        match outcome:
            case Fetched(kind="listing", snapshot=snapshot):
                self._linked(snapshot)
            case Fetched(kind="milestone", snapshot=snapshot) if self._plan.following is not None:
                self._goes_on(snapshot.url, partial(self._plan.following, snapshot))
            case NotModified(kind="milestone", url=url) if self._plan.following_before is not None:
                self._goes_on(url, partial(self._plan.following_before, url))
            case NotModified(kind="listing", url=url) if self._plan.linked_before is not None:
                for link in self._plan.linked_before(url):
                    self._link(link)
            case Redirected(target=target):
                self._moved(target, kind)
            case Disallowed(kind="listing", url=url) if path in self._plan.seeds:
                self._tally.reasons.append(f"{url}: robots.txt forbids this page, which should list milestones")
            case Failed(kind="listing", error=error):
                self._tally.reasons.append(str(error))
            case Gone(kind="milestone", status=410) if path in self._plan.seeds:
                self._tally.ended.add(path)
            case Gone(kind="milestone"):
                for spelling in self._tally.recall(path):
                    self._work.add(spelling, "milestone")
            case Gone(kind="listing", url=url, status=status) if path in self._plan.seeds:
                self._tally.reasons.append(f"{url}: answered {status}, a page that should list milestones")
        return outcome

    def _add_beside(self, path: str) -> None:
        self._beside.add(path)
        self._work.add(path, "listing")

    def _linked(self, snapshot: Snapshot) -> None:
        if self._plan.links is None:
            return
        try:
            links = list(self._plan.links(snapshot))
        except MilepostError as error:  # the listing can't be read: what it lists is unknown, not nothing
            self._tally.reasons.append(str(error))
            return
        for link in links:
            self._link(link)

    def _goes_on(self, url: str, following: Callable[[], str | None]) -> None:
        """Ask for the page that follows the one at `url`, as long as there may be more."""
        try:
            address = following()
        except MilepostError:
            return  # who reads the page says what is wrong with it
        path = None if address is None else self._site.path_with_query(address)
        if path is None or path in self._tally.paths:
            if address is not None and path is None:
                self._tally.reasons.append(f"{url}: goes on at {address}, which is none of its pages")
            return
        if self._followed < self._plan.max_following:
            self._followed += 1
            self._tally.found(path, "listing")
            self._work.add(path, "milestone")

    def _link(self, link: str) -> None:
        path = self._site.path(link, own=True)
        if path is not None and self._plan.classify(path) == "milestone":
            self._tally.found(path, "listing")

    def _moved(self, target: str, kind: PageKind) -> None:
        path = self._site.path(target)
        if path is None:
            return
        there = self._plan.classify(path)
        if kind == "milestone" and there == "milestone":
            self._tally.found(path, "redirect")
            self._tally.spared.discard(path)
            self._work.add(path, "milestone")
        elif kind == "listing" and there != "milestone":
            self._work.add(path, "listing")


class Work:
    """The paths still to be asked for, each once, and a fixed crew of workers on them.

    No task per page, so a hundred thousand pages cost no more memory.
    """

    def __init__(self, workers: int, *, max_pages: int, progress: Progress | None = None) -> None:
        self._workers = workers
        self._max_pages = max_pages
        self._progress = progress
        self._queue: deque[tuple[str, PageKind]] = deque()
        self._added: set[str] = set()
        self._crew: set[asyncio.Task[None]] = set()
        self._done = 0
        self.refused = 0  # paths beyond max_pages

    @property
    def left(self) -> int:
        """Paths that were queued and not worked off."""
        return len(self._added) - self._done

    def add(self, path: str, kind: PageKind) -> None:
        """Queue a path that was not queued before."""
        if path in self._added:
            return
        if len(self._added) >= self._max_pages:
            self.refused += 1
            return
        self._added.add(path)
        self._queue.append((path, kind))

    async def drain(self, handle: Handle) -> None:
        """Work until the queue is empty; what a handler adds is worked off as well.

        The first exception of a handler stops all workers and is raised as it is.
        """
        self._crew = {asyncio.create_task(self._work(handle)) for _ in range(min(self._workers, len(self._queue)))}
        try:
            if self._crew:
                await asyncio.wait(self._crew)
        finally:
            for task in self._crew:
                task.cancel()
            await asyncio.gather(*self._crew, return_exceptions=True)
        for task in self._crew:
            if not task.cancelled():
                task.result()

    async def _work(self, handle: Handle) -> None:
        while self._queue:
            path, kind = self._queue.popleft()
            try:
                await handle(path, kind)
            except Exception:
                for task in self._crew - {asyncio.current_task()}:
                    task.cancel()  # at once: no colleague hands on another page after this
                raise
            self._done += 1
            if self._progress is not None:
                self._progress(self._done, len(self._added))


class _FoundBy(Mapping[str, frozenset[str]]):
    """Identity URL → finders, a view on the masks by path: a hundred thousand sets are sixteen."""

    def __init__(self, site: Site, masks: Mapping[str, int]) -> None:
        self._site, self._masks = site, masks

    def __getitem__(self, url: str) -> frozenset[str]:
        base = self._site.base
        if not url.startswith(base):
            raise KeyError(url)
        return _NAMES[self._masks[url[len(base):]]]

    def __iter__(self) -> Iterator[str]:
        return map(self._site.identity, self._masks)

    def __len__(self) -> int:
        return len(self._masks)


class _Listed(Set[str]):
    """The identity URLs of what a sitemap or listing named: a view on the masks as well, so none is kept twice."""

    def __init__(self, site: Site, masks: Mapping[str, int]) -> None:
        self._site, self._masks = site, masks
        self._count = sum(1 for mask in masks.values() if mask & _LISTED)

    @classmethod
    def _from_iterable(cls, it: Iterable[str]) -> frozenset[str]:  # type: ignore[override]
        return frozenset(it)  # of `listed - others` and the like

    def __contains__(self, url: object) -> bool:
        base = self._site.base
        return isinstance(url, str) and url.startswith(base) and bool(self._masks.get(url[len(base):], 0) & _LISTED)

    def __iter__(self) -> Iterator[str]:
        return (self._site.identity(path) for path, mask in self._masks.items() if mask & _LISTED)

    def __len__(self) -> int:
        return self._count


class Tally:
    """The growing facts of one crawl: two small ones a page, who named it and what became of it, never its body."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._masks: dict[str, int] = {}
        self._aside: dict[str, list[tuple[str, int]]] = {}
        self.fetched = self.not_modified = self.failed = self.gone = self.redirected = self.disallowed = 0
        self.failures: list[Failed] = []
        self.reasons: list[str] = []
        self.unread: list[str] = []
        self.spared: set[str] = set()  # paths that need not be asked for
        self.ended: set[str] = set()  # pages that are all there is of a source, and are gone for good

    @property
    def paths(self) -> KeysView[str]:
        """The milestones' paths in the order they were found."""
        return self._masks.keys()

    @property
    def had(self) -> int:
        """Pages that the site did answer for."""
        return self.fetched + self.not_modified + self.gone + self.redirected

    def found(self, path: str, finder: str) -> None:
        """`finder` names the milestone at `path`."""
        self._masks[path] = self._masks.get(path, 0) | _FINDERS[finder]

    def settle(self) -> None:
        """Of paths that differ in upper and lower case only, keep one: the known, else the linked, else the first."""
        chosen: dict[str, str] = {}
        for path, mask in self._masks.items():
            folded = path.casefold()
            rival = chosen.setdefault(path if folded == path else folded, path)
            if _RANK[mask] > _RANK[self._masks[rival]]:
                chosen[folded] = path
        if len(chosen) == len(self._masks):
            return
        for path in list(self._masks):
            keeper = chosen[path.casefold()]
            if keeper != path:
                self._aside.setdefault(keeper, []).append((path, self._masks[path]))
                self._masks[keeper] |= self._masks.pop(path)

    def recall(self, path: str) -> list[str]:
        """`path` is gone: the other spellings of it, taken up again."""
        spellings = self._aside.pop(path, [])
        self._masks |= dict(spellings)
        return [spelling for spelling, _ in spellings]

    def count(self, outcome: Outcome) -> None:
        match outcome:
            case Fetched():
                self.fetched += 1
            case NotModified():
                self.not_modified += 1
            case Gone():
                self.gone += 1
            case Redirected():
                self.redirected += 1
            case Disallowed():
                self.disallowed += 1
            case Failed():
                self.failed += 1
                if len(self.failures) < MAX_FAILURES:
                    self.failures.append(outcome)

    def report(self, requests: int, *, complete: bool, unchanged: bool = False) -> CrawlReport:
        return CrawlReport(
            requests=requests, fetched=self.fetched, not_modified=self.not_modified, failed=self.failed,
            listed=_Listed(self._site, self._masks), complete=complete, failures=tuple(self.failures), gone=self.gone,
            redirected=self.redirected, disallowed=self.disallowed, not_asked=len(self.spared),
            reasons=tuple(dict.fromkeys(map(printable, self.reasons))),
            unread=tuple(map(printable, self.unread)), unchanged=unchanged,
            found_by=_FoundBy(self._site, self._masks),
            aliases={
                self._site.identity(spelling): self._site.identity(path)
                for path, spellings in self._aside.items() for spelling, _ in spellings
            },
        )
