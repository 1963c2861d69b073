"""One look at a source: crawl, archive, read, detect, record. It announces by recording, and has no way to mail.

    crawl ─▶ each page archived as it comes ─▶ pages not read yet ─▶ milestones ─▶ detect ─▶ guards ─▶ record
"""

import asyncio
import datetime as dt
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from crawler.crawl import crawl
from crawler.links import hrefs
from crawler.outcomes import CrawlPlan, CrawlReport
from extractors.base import SiteExtractor
from milepost.dates import utc_now
from milepost.errors import MilepostError
from milepost.records import CHANGE_KINDS, LookReport, Unread
from milepost.settings import Settings, SourceSettings
from pipeline.look.finish_look import Conclusion
from pipeline.look.page_archiver import CrawledLook, Intake, Recall
from pipeline.look.page_workers import Crew
from pipeline.look.reading_guard import ReadBy, ReadingGuard, SiteReader
from pipeline.look.renaming import open_questions
from pipeline.look.unread_entries import FIRST
from pipeline.several import Progress
from store.archive.pages import Pages
from store.archive.retention import Archive
from store.archive.snapshots import Snapshots
from store.database import Database, connect
from store.milestones.looks import Looks
from store.milestones.milestones import Milestones

log = logging.getLogger("milepost.scrape")


@dataclass(frozen=True, kw_only=True, slots=True)
class Poll:
    """The page that tells whether there is news, and the SHA-256 of its body as it was last seen."""

    path: str
    body_hash: str


def scrape(
    settings: Settings, key: str, *, full: bool = False, now: Callable[[], dt.datetime] = utc_now,
    progress: Progress | None = None,
) -> LookReport:
    """Look at the source `key` and record what changed.

    Raises SourceDownError when it gave nothing to go on, StoreError when the database can't take what was read; what
    was known stays in every case, and the next look goes on from there.
    """
    source = settings.source(key)
    reader = SiteReader(ReadBy.of(source))
    with connect(settings.store.url) as database:
        looks, pages = Looks(database), Pages(database)
        careful = looks.running(key)  # or dead, perhaps over a page that waits to be read
        look_id = looks.start(key, now())
        try:
            with Crew(settings.guards.max_read_seconds) as crew:
                guard = ReadingGuard(reader, crew, stopped=pages.stopped(key), now=now, careful=careful)
                intake = Intake(snapshots=Snapshots(database), pages=pages, guard=guard, now=now)
                report = _look(settings, source, intake, database, look_id, full=full, progress=progress)
        except MilepostError as error:
            _give_up(looks, look_id, error, now())
            raise
        _keep_small(database, settings, now())
        report = replace(report, questions=open_questions(database, key))
    log.info("%s: %d requests, %d milestones, changes: %s", key, report.requests, report.milestones,
             ", ".join(f"{count} {kind}" for kind, count in report.changes.items() if count) or "none")
    return report


def _keep_small(database: Database, settings: Settings, now: dt.datetime) -> None:
    """Pack the archive with a dictionary once there is enough to learn from; forget what is old and proves nothing."""
    archive = Archive(database)
    if archive.train_if_due(now) is not None:
        archive.repack()
    if settings.store.keep_days is not None:
        archive.prune_if_due(now - dt.timedelta(days=settings.store.keep_days), now)


def _give_up(looks: Looks, look_id: int, error: MilepostError, now: dt.datetime) -> None:
    """Say in the store why the look failed, if it still can take that; else the next look finds this one running."""
    try:
        looks.finish(look_id, state="failed", now=now, failures=[str(error)])
    except MilepostError as second:
        log.warning("the look could not be marked as failed: %s", second)


def _look(
    settings: Settings, source: SourceSettings, intake: Intake, database: Database, look_id: int, *,
    full: bool, progress: Progress | None,
) -> LookReport:
    snapshots, pages, looks = intake.snapshots, intake.pages, Looks(database)
    site, now = intake.guard.site, intake.now
    poll = None if full else _poll(source, database, now())
    asked_at = now()
    if poll is None:
        looks.note_asked_in_full(source.key, None)  # until this look is complete: a dead one counts for nothing
    crawled = asyncio.run(crawl(
        _plan(settings, source, site, snapshots, pages, poll=poll),
        memory=Recall(known=pages.validators(source.key)), on_page=intake, now=now, progress=progress,
    ))
    intake.flush()
    if crawled.unchanged:
        unread = pages.unread(source.key)
        return _unchanged(looks, Milestones(database), source.key, look_id, crawled, unread, now())
    at = CrawledLook(database, settings.guards, source, looks.get(look_id), intake, crawled, now=now)
    ended = Conclusion(at).end()
    looks.note_asked_in_full(source.key, asked_at if ended.whole else None)
    looks.note_disallowed(source.key, crawled.disallowed)
    return replace(ended.report, found_by=_found_by(source.key, crawled))


def _found_by(source: str, crawled: CrawlReport) -> dict[str, int]:
    """How many milestones the sitemap, the listings or both named; those that only one of them did are logged."""
    ways: Counter[str] = Counter()
    for url, finders in crawled.found_by.items():
        way = "+".join(sorted(finders & {"listing", "sitemap"}))
        if not way:
            continue
        ways[way] += 1
        if "+" not in way:
            log.info("%s: only the %s names %s", source, way, url)
    return dict(ways)


def _poll(source: SourceSettings, database: Database, now: dt.datetime) -> Poll | None:
    """What to ask first, so that an unchanged site costs two requests; None when this look must be a full one.

    It must be when the last look was anything but complete, when pages still wait to be read or for an operator's word
    on what can't be, and every so many hours: the poll page tells of new milestones, not of every edit.
    """
    snapshots, looks = Snapshots(database), Looks(database)
    asked = looks.asked_in_full(source.key)
    if source.poll is None or asked is None:
        return None
    if now - asked >= dt.timedelta(hours=source.full_every_hours):
        return None
    if any(look.guard == "unread" for look in looks.list(source.key, waiting=True)):
        return None
    latest = snapshots.latest(source.key, f"{source.base_url}{source.poll}")
    if latest is None or snapshots.unread(source.key) or snapshots.to_reread(source.key):
        return None
    return Poll(path=source.poll, body_hash=latest[1].body_hash)


def _unchanged(
    looks: Looks, milestones: Milestones, source: str, look_id: int, crawled: CrawlReport, unread: Sequence[Unread],
    now: dt.datetime,
) -> LookReport:
    """The report of a look that ended at the poll page."""
    degraded = looks.degraded(source)
    report = LookReport(
        source=source, requests=crawled.requests, fetched=crawled.fetched, not_modified=crawled.not_modified, failed=0,
        milestones=milestones.count(source), baseline=False, changes=dict.fromkeys(CHANGE_KINDS, 0), look_id=look_id,
        state="degraded" if degraded else "complete", degraded=degraded, unread=len(unread),
        unread_first=tuple(map(str, unread[:FIRST])),
    )
    looks.finish(
        look_id, state="complete", now=now, requests=report.requests, fetched=report.fetched,
        not_modified=report.not_modified, milestones=report.milestones, degraded=degraded,
    )
    return report


def _plan(
    settings: Settings, source: SourceSettings, site: SiteExtractor, snapshots: Snapshots, pages: Pages, *,
    poll: Poll | None,
) -> CrawlPlan:
    return CrawlPlan(
        source=source.key, base_url=source.base_url, fetch_from=source.fetch_from,
        allow_hosts=frozenset(source.allow_hosts), seeds=site.seeds, classify=site.classify, limits=settings.fetch,
        max_pages=source.max_pages,
        poll=poll.path if poll else None, poll_hash=poll.body_hash if poll else None,
        known_urls=frozenset(pages.urls(source.key, "milestone")),
        links=hrefs, linked_before=lambda url: _links_of_stored(snapshots, source.key, url),
    )


def _links_of_stored(snapshots: Snapshots, source: str, url: str) -> Iterable[str]:
    """The links of a listing that answered 304: those of the snapshot it stands for."""
    latest = snapshots.latest(source, url)
    return () if latest is None else hrefs(latest[1])


def report_to_json(report: LookReport) -> dict[str, Any]:
    """The form of `scrape --json`."""
    return asdict(report) | {
        "changes": dict(report.changes), "failures": list(report.failures), "notes": list(report.notes),
        "found_by": dict(report.found_by), "degraded": list(report.degraded),
        "unread_first": list(report.unread_first),
    }
