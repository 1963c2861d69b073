"""Pictures of sites that our own pages serve: fetched behind the guard, made small, taken down when the site does.

    address ─▶ fetch (guarded, bounded) ─▶ small ─▶ store ─▶ /i/HASH        a look ─▶ take_down
"""

import asyncio
import datetime as dt
import io
import logging
import warnings
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urljoin

from PIL import Image

from crawler.client import Answer, Client
from milepost.errors import FetchError, MilepostError
from milepost.printable import printable
from milepost.records import Milestone
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
_FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp"}
_GONE = (404, 410)


class Small(NamedTuple):
    """A picture as it is served."""

    data: bytes
    media_type: str
    width: int
    height: int


def hosted(
    settings: Settings, database: Database, milestones: Sequence[Milestone], now: dt.datetime
) -> dict[str, Picture]:
    """Address at the site → what we serve of it, of the milestones' pictures; what can't be had is a warning."""
    if settings.newsletter.images != "hosted":
        return {}
    kept, found = Pictures(database), {}
    for milestone in milestones:
        url = milestone.image.url if milestone.image else None
        if url is None or url in found:
            continue
        one = kept.at(url)
        if one is None:
            try:
                small = make_small(asyncio.run(_fetch(settings, milestone.source, url)))
            except (MilepostError, ValueError) as error:
                why = error.what if isinstance(error, MilepostError) else str(error)
                log.warning("no picture for %s: %s is not served: %s", milestone.key, printable(url), printable(why))
                continue
            one = kept.keep(source=milestone.source, url=url, now=now, **small._asdict())
        found[url] = Picture(name=one.file, width=one.width, height=one.height)
    return found


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


def take_down(settings: Settings, database: Database, source: SourceSettings) -> int:
    """Ask for the pictures of a source that are served; what the site has no more is served no more. How many."""
    if settings.newsletter.images != "hosted" or not settings.newsletter.images_follow:
        return 0
    kept = Pictures(database)
    gone = asyncio.run(_gone(settings, source, kept.addresses(source.key, _LOOKED_AT)))
    if gone:
        kept.remove(gone)
        log.warning("%s: %d pictures that the site took down are not served any more", source.key, len(gone))
    return len(gone)


async def _gone(settings: Settings, source: SourceSettings, urls: Sequence[str]) -> list[str]:
    gone = []
    for url in urls:
        try:
            answer = await _fetch(settings, source.key, url)
        except MilepostError:
            continue  # perhaps only for now
        if answer.status in _GONE:
            gone.append(url)
    return gone


async def _fetch(settings: Settings, source_key: str, url: str) -> Answer:
    """Ask for a picture, redirects and all; a site that is read from a mirror has its pictures there."""
    source = next((one for one in settings.sources if one.key == source_key), None)
    limits = settings.fetch.model_copy(update={"max_wire_bytes": LARGEST})
    if source is not None and source.fetch_from and url.startswith(f"{source.base_url}/"):
        url = source.fetch_from + url.removeprefix(source.base_url)
    async with Client(limits=limits, allow_hosts=source.allow_hosts if source else ()) as client:
        for _ in range(limits.max_redirects + 1):
            answer = await client.get(url, headers={"Accept": "image/jpeg,image/png,image/*;q=0.5"}, max_body=LARGEST)
            place = answer.headers.get("location")
            if answer.status not in (301, 302, 303, 307, 308) or not place:
                return answer
            url = urljoin(url, place)
    raise FetchError("it redirects too often", where=url)
