"""Finds the pages of a site: its robots.txt, then the sitemaps that names, then theirs, three levels deep at most."""

import datetime as dt
from collections import deque
from dataclasses import dataclass, field

from crawler import robots
from crawler.fetch import Fetcher
from crawler.guard import check_url
from crawler.outcomes import CrawlPlan, Now
from crawler.paths import Site
from crawler.robots import Rules
from crawler.sitemap import MAX_SEEN, Sitemap, parse
from milepost.errors import FetchError, RefusedError
from milepost.records import PageKind

MAX_DEPTH = 3
MAX_FILES = 200  # sitemaps of one look
_TELLS_TITLES = b"http://www.google.com/schemas/sitemap-news/"  # the namespace of news sitemaps
_MAX_TROUBLE = 5  # sitemaps in a row that fail before the rest are given up
ROBOTS_AGE = dt.timedelta(hours=24)  # RFC 9309 §2.4
_TROUBLE_AGE = dt.timedelta(minutes=1)  # a host in trouble is asked again at the next look


class RobotsCache:
    """Rules by origin with the moment they were had; keep one between looks and robots.txt is asked for daily."""

    def __init__(self) -> None:
        self._rules: dict[str, tuple[Rules, dt.datetime]] = {}

    def get(self, origin: str, now: dt.datetime) -> Rules | None:
        """The rules of an origin, or None when they are not known or too old."""
        rules, at = self._rules.get(origin, (None, now))
        age = ROBOTS_AGE if rules is not None and rules.forbidden is None else _TROUBLE_AGE
        return rules if now - at < age else None

    def put(self, origin: str, rules: Rules, now: dt.datetime) -> None:
        """Remember."""
        self._rules[origin] = (rules, now)


async def rules_for(url: str, fetcher: Fetcher, *, cache: RobotsCache, now: Now) -> Rules:
    """The robots rules of the URL's host: trouble forbids everything, absence nothing.

    Raises RefusedError for an URL that may not be asked.
    """
    origin = check_url(url).origin
    known = cache.get(origin, now())
    if known is not None:
        return known
    try:
        got = await fetcher.get(f"{origin}/robots.txt", max_body=robots.MAX_BYTES, cut=True)
    except FetchError as error:
        # endless redirects are "unavailable" (RFC 9309 §2.3.1.2), as a 404 is
        rules = robots.from_status(error.status) if error.status else robots.unreachable(error.what, error.hint)
    else:
        answer = got.answer
        rules = robots.parse(answer.body) if answer.status == 200 else robots.from_status(answer.status)
    cache.put(origin, rules, now())
    return rules


class DisallowedError(RefusedError):
    """A rule of a host's robots.txt, where that could be read."""


async def require_allowed(url: str, fetcher: Fetcher, *, cache: RobotsCache, now: Now) -> Rules:
    """The rules of the URL's host, which let us ask for it.

    Raises DisallowedError where one of them forbids it, RefusedError where they could not be had.
    """
    rules = await rules_for(url, fetcher, cache=cache, now=now)
    if not rules.allows(url):
        if rules.forbidden is None:
            raise DisallowedError("robots.txt forbids us to ask for it", where=url)
        raise RefusedError(rules.forbidden, where=url, hint=rules.hint)
    return rules


@dataclass(kw_only=True, slots=True)
class Mapped:
    """What the sitemaps name: paths in their order, and a sentence for each reason why that may not be all."""

    paths: dict[str, PageKind] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)  # a sentence for each sitemap that names what is no address
    news: list[str] = field(default_factory=list)  # the URLs of sitemaps that tell titles
    absent: bool = False  # nobody names a sitemap and there is none in the usual place
    seen: int = 0
    unchanged: set[str] = field(default_factory=set)  # of the paths, those that need not be asked for


async def read_sitemaps(plan: CrawlPlan, site: Site, rules: Rules, fetcher: Fetcher) -> Mapped:
    """Walk the sitemaps; a broken one gives what it has and a reason, and never stops the rest."""
    mapped = Mapped()
    if plan.seeds and all(plan.classify(seed) == "milestone" for seed in plan.seeds):
        return mapped  # the site keeps all of its milestones on pages that we know
    named = [place for place in map(site.asset, rules.sitemaps) if place is not None]
    queue = deque((place, 1) for place in dict.fromkeys(named or [site.fetch_url("/sitemap.xml")]))
    visited = {place for place, _ in queue}
    trouble = files = 0
    while queue:
        place, depth = queue.popleft()
        if files >= MAX_FILES or trouble >= _MAX_TROUBLE:
            mapped.reasons.append(f"{place}: {len(queue) + 1} sitemaps were left unread")
            break
        files += 1
        try:
            found = await _read(place, plan, site, rules, fetcher, mapped, invited=bool(named))
        except FetchError as error:
            if depth == 1 and not named and error.status in (404, 410):
                mapped.absent = True
            else:
                mapped.reasons.append(str(error))
                trouble += 1
            continue
        trouble = 0
        if found.partial is not None:
            mapped.reasons.append(f"{place}: the sitemap was read in part: {found.partial}")
        if found.unread:
            # the pages that a sitemap names which can't be read are missed, an entry that is no address is all there is
            told = mapped.reasons if found.kind == "index" else mapped.unread
            told.append(
                f"{place}: entries of the sitemap that name no address that can be read: {found.unread}, "
                f"the first: {found.example}"
            )
        following = None if found.following is None else site.asset(found.following)
        if following is not None and following not in visited:  # bounded by MAX_FILES
            visited.add(following)
            queue.append((following, depth))
        if found.kind != "index":
            continue
        for location in found.locations:
            child = site.asset(location)
            if child is None or child in visited:
                continue
            if depth >= MAX_DEPTH:
                mapped.reasons.append(f"{place}: sitemaps nested deeper than {MAX_DEPTH} are not read")
                break
            visited.add(child)
            queue.append((child, depth + 1))
    if not mapped.paths and not mapped.absent and not mapped.reasons:
        mapped.reasons.append(f"{site.fetch}: the sitemap names no page that we know how to read")
    return mapped


async def _read(
    place: str, plan: CrawlPlan, site: Site, rules: Rules, fetcher: Fetcher, mapped: Mapped, *, invited: bool
) -> Sitemap:
    if not invited and not rules.allows(place):
        raise FetchError("robots.txt forbids the sitemap", where=place)
    answer = (await fetcher.get(place, cut=True)).answer
    if answer.status != 200:
        raise FetchError(f"the sitemap answered {answer.status}", where=place, status=answer.status)

    def keep(location: str) -> str | None:
        path = site.path(location)
        if path in mapped.paths:
            mapped.unchanged.discard(path)  # of two sitemaps that name it nobody knows which one to believe
            return None
        return None if path is None or plan.classify(path) == "other" else path

    found = parse(
        answer.body, max_body=plan.limits.max_body_bytes, keep=keep, place=place, dates=plan.unchanged is not None,
        max_kept=plan.max_pages - len(mapped.paths), max_seen=MAX_SEEN - mapped.seen,
    )
    mapped.seen += found.seen
    if found.kind == "urlset" and _TELLS_TITLES in answer.body:
        mapped.news.append(place)
    if found.kind == "urlset":
        mapped.paths |= {path: plan.classify(path) for path in found.locations}
        if plan.unchanged is not None:
            mapped.unchanged |= {
                path for path in found.locations
                if mapped.paths[path] == "milestone"
                and plan.unchanged(site.identity(path), found.modified.get(path, ""))
            }
    if answer.cut and found.partial is None:
        mapped.reasons.append(f"{place}: the sitemap is larger than {plan.limits.max_body_bytes} bytes, read in part")
    return found
