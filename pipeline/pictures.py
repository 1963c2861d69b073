"""Pictures of sites that our own pages serve: fetched behind the guard, made small, taken down when the site does.

    address ─▶ robots.txt ─▶ fetch (guarded, bounded) ─▶ small ─▶ store ─▶ /i/HASH        a look ─▶ take_down
"""

import asyncio
import datetime as dt
import io
import logging
import random
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from PIL import Image

from crawler.client import Answer, Client
from crawler.discover import DisallowedError, RobotsCache, require_allowed
from crawler.fetch import Fetcher
from crawler.guard import check_url
from crawler.pace import Pace, WallTime
from milepost.errors import MilepostError
from milepost.printable import printable
from milepost.records import Milestone, Unpictured
from milepost.settings import Settings, SourceSettings
from newsletter.issue.known import Picture
from store.database import Database
from store.issues.pictures import Pictures

log = logging.getLogger("milepost.pictures")

LARGEST = 8 * 1024 * 1024  # bytes of a picture as the site has it
PIXELS = 40_000_000  # of a picture as the site has it: more is refused before a line of it is decoded
WIDTH = 1040  # pixels at the most: twice what a mail shows
_HEIGHT = 1600
_SMALLEST = 16  # pixels; less is no picture of anything
_LOOKED_AT = 100  # pictures of a source that a look asks for again
_LOOKING_S = 300.0  # and for so long at the most, as a host may want a pause between two requests
_FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp"}
_GONE = (404, 410)


class Small(NamedTuple):
    """A picture as it is served."""

    data: bytes
    media_type: str
    width: int
    height: int


class Hosted(NamedTuple):
    """What became of the pictures of some milestones."""

    pictures: dict[str, Picture]  # address at the site → what we serve of it
    missing: tuple[Unpictured, ...]  # what can't be had, each picture once


def hosted(settings: Settings, database: Database, milestones: Sequence[Milestone], now: dt.datetime) -> Hosted:
    """Serve the milestones' pictures; one that can't be had is told, and stops nothing."""
    if settings.newsletter.images != "hosted":
        return Hosted({}, ())
    kept = Pictures(database)
    found: dict[str, Picture] = {}
    missing: dict[str, Unpictured] = {}
    cache = RobotsCache()
    for milestone in milestones:
        url = milestone.image.url if milestone.image else None
        if url is None or url in found or url in missing:
            continue
        one = kept.at(url)
        if one is None:
            try:
                small = make_small(asyncio.run(_fetch(settings, milestone.source, url, cache, now)))
            except (MilepostError, ValueError) as error:
                why = printable(error.what if isinstance(error, MilepostError) else str(error))
                log.warning("no picture for %s: %s is not served: %s", milestone.key, printable(url), why,
                            extra={"source": milestone.source})
                missing[url] = Unpictured(key=milestone.key, title=milestone.title, url=url, why=why)
                continue
            one = kept.keep(source=milestone.source, url=url, now=now, **small._asdict())
        found[url] = Picture(name=one.file, width=one.width, height=one.height)
    return Hosted(found, tuple(missing.values()))


def make_small(answer: Answer) -> Small:
    """The picture of an answer as a mail shows it; raises ValueError with the reason when there is none."""
    if answer.status != 200:
        raise ValueError(f"the site answers {answer.status}")
    told = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(answer.body), formats=tuple(_FORMATS)) as opened:
                return _small(opened, told)
        except (OSError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ValueError(f"it is no picture that can be read ({type(error).__name__})") from None


def _small(opened: Image.Image, told: str) -> Small:
    really = _FORMATS[opened.format or ""]
    if told != really:
        raise ValueError(f"it says that it is {told or 'nothing'} and is {really}")
    if opened.width * opened.height > PIXELS:
        raise ValueError(f"it has {opened.width} × {opened.height} pixels, more than {PIXELS}")
    if getattr(opened, "n_frames", 1) > 1:
        raise ValueError("it is animated")
    if min(opened.size) < _SMALLEST:
        raise ValueError(f"it has {opened.width} × {opened.height} pixels: too small to be seen")
    opened.draft("RGB", (WIDTH, _HEIGHT))
    clear = opened.has_transparency_data
    made = opened.convert("RGBA" if clear else "RGB")
    made.thumbnail((WIDTH, _HEIGHT), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    if clear or really == "image/gif":  # drawings stay sharp
        made.save(out, "PNG", optimize=True)
    else:
        made.save(out, "JPEG", quality=82, optimize=True)
    return Small(out.getvalue(), "image/png" if clear or really == "image/gif" else "image/jpeg", *made.size)


def take_down(settings: Settings, database: Database, source: SourceSettings, now: dt.datetime) -> int:
    """Ask for the pictures of a source that are served; what its site has no more is served no more. How many.

    Neither is what a robots.txt forbids by now; a site in trouble takes nothing down.
    """
    if settings.newsletter.images != "hosted" or not settings.newsletter.images_follow:
        return 0
    kept = Pictures(database)
    gone = asyncio.run(_gone(settings, source, kept.addresses(source.key, _LOOKED_AT), now))
    if gone:
        kept.remove(gone)
        for url, why in gone.items():
            log.warning("%s: %s is not served any more: %s", source.key, printable(url), why,
                        extra={"source": source.key})
    return len(gone)


async def _gone(settings: Settings, source: SourceSettings, urls: Sequence[str], now: dt.datetime) -> dict[str, str]:
    """Address → why its picture goes."""
    gone: dict[str, str] = {}
    loop = asyncio.get_running_loop()
    end = loop.time() + _LOOKING_S
    async with _asking(settings, source.key, RobotsCache(), now) as ask:
        for place, url in enumerate(urls):
            if loop.time() > end:
                log.warning("%s: %d of %d pictures were not asked for again: the site wants pauses", source.key,
                            len(urls) - place, len(urls), extra={"source": source.key})
                break
            try:
                answer = await ask(url)
            except DisallowedError as error:
                gone[url] = error.what
            except MilepostError:
                continue  # perhaps only for now
            else:
                if answer.status in _GONE:
                    gone[url] = f"the site answers {answer.status}"
    return gone


async def _fetch(settings: Settings, source_key: str, url: str, cache: RobotsCache, now: dt.datetime) -> Answer:
    async with _asking(settings, source_key, cache, now) as ask:
        return await ask(url)


@asynccontextmanager
async def _asking(
    settings: Settings, source_key: str, cache: RobotsCache, now: dt.datetime
) -> AsyncIterator[Callable[[str], Awaitable[Answer]]]:
    """Asks for pictures as the crawler does for pages: robots.txt of each host first, redirects and all, in its pace.

    A site that is read from a mirror has its pictures there.
    """
    source = next((one for one in settings.sources if one.key == source_key), None)
    limits = settings.fetch.model_copy(update={"max_wire_bytes": LARGEST, "retries": 0})
    clock = WallTime()
    pace = Pace(clock, interval=limits.min_interval)
    async with Client(limits=limits, allow_hosts=source.allow_hosts if source else ()) as client:
        fetcher = Fetcher(client, limits=limits, pace=pace, clock=clock, now=lambda: now, dice=random.Random())  # noqa: S311

        async def allowed(url: str) -> str:
            rules = await require_allowed(url, fetcher, cache=cache, now=lambda: now)
            pace.slow(check_url(url).origin, rules.delay)
            return url

        async def ask(url: str) -> Answer:
            if source is not None and source.fetch_from and url.startswith(f"{source.base_url}/"):
                url = source.fetch_from + url.removeprefix(source.base_url)
            accept = {"Accept": "image/jpeg,image/png,image/*;q=0.5"}
            await allowed(url)
            return (await fetcher.get(url, headers=accept, follow=allowed, max_body=LARGEST)).answer

        yield ask
