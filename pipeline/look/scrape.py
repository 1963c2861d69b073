"""One look at a source: crawl, archive, read, detect, record. It announces by recording, and has no way to mail.

    crawl ─▶ each page archived as it comes ─▶ pages not read yet ─▶ milestones ─▶ detect ─▶ guards ─▶ record
"""

import datetime as dt
import logging
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from typing import Any

from milepost.dates import utc_now
from milepost.errors import MilepostError, SourceEndedError
from milepost.log_lines import about
from milepost.records import LookReport
from milepost.renewal import Renewal
from milepost.settings import Settings
from pipeline.look.finish_look import conclude
from pipeline.look.page_archiver import archive_pages
from pipeline.look.read_ahead import ReadAhead
from pipeline.look.reading_guard import ReadBy, ReadingGuard, SiteReader
from pipeline.pictures import take_down
from pipeline.several import Progress, Stop
from pipeline.upkeep import open_or_make
from pipeline.workers import Crew
from store import holders
from store.archive.pages import Pages
from store.archive.retention import Archive
from store.database import Database
from store.milestones.looks import Looks
from store.milestones.source_labels import SourceLabels

log = logging.getLogger("milepost.scrape")

_READERS = 4  # processes that read for one look, where there are as many cores; there may be several looks


def scrape(
    settings: Settings, key: str, *, full: bool = False, now: Callable[[], dt.datetime] = utc_now,
    progress: Progress | None = None, stop: Stop | None = None,
) -> LookReport:
    """Look at the source `key` and record what changed; `stop` ends it early in whichever thread it runs.

    Raises SourceDownError when it gave nothing to go on, UnderWayError while somebody else looks at it, StoreError when
    the database can't take what was read; what was known stays in every case, and the next look goes on from there.
    """
    reader, stop = SiteReader(ReadBy.of(settings.source(key))), stop or Stop()
    with ExitStack() as around:
        around.enter_context(about(source=key))
        database = around.enter_context(open_or_make(settings))
        looks = Looks(database)
        careful = looks.running(key)  # or dead, perhaps over a page that waits to be read
        look_id = looks.start(key, now(), holder=holders.me())
        around.enter_context(about(look=look_id))
        try:
            with (Renewal(lambda: looks.renew(look_id)), Crew(settings.guards.max_read_seconds) as crew,
                  stop.waking(crew.end)):
                guard = ReadingGuard(
                    reader, crew, stopped=Pages(database).stopped(key), now=now, careful=careful, stop=stop,
                    processes=settings.fetch.reading_processes or min(_READERS, os.cpu_count() or 1),
                )
                labels = SourceLabels(database).known(key)
                guard.teach(labels)
                with ReadAhead(guard, labels) as ahead:
                    crawled = archive_pages(settings, database, looks.get(look_id), guard, ahead, full=full, now=now,
                                            progress=progress, stop=stop)
                    report = conclude(crawled)
        except MilepostError as error:
            _give_up(looks, look_id, error, now())
            raise
        except BaseException:  # Ctrl-C, or a bug: whoever looks next need not wait for us
            with suppress(MilepostError):
                looks.let_go(look_id)
            raise
        _keep_small(database, settings, now())
        _take_down(settings, database, key, now())
        log.info("%s: %d requests, %d milestones, changes: %s", key, report.requests, report.milestones,
                 ", ".join(f"{count} {kind}" for kind, count in report.changes.items() if count) or "none")
    return report


def _take_down(settings: Settings, database: Database, key: str, now: dt.datetime) -> None:
    """Serve no picture that the site has taken down; what goes wrong there is no fault of the look."""
    try:
        take_down(settings, database, settings.source(key), now)
    except MilepostError as error:
        log.warning("%s: nobody knows which pictures are gone: %s", key, error)


def _keep_small(database: Database, settings: Settings, now: dt.datetime) -> None:
    """Pack the archive with a dictionary once there is enough to learn from; forget what is old and proves nothing."""
    archive = Archive(database)
    archive.keep_small(now)
    if settings.store.keep_days is not None:
        archive.prune_if_due(now - dt.timedelta(days=settings.store.keep_days), now)


def _give_up(looks: Looks, look_id: int, error: MilepostError, now: dt.datetime) -> None:
    """Say in the store why the look failed, if it still can take that; else the next look finds this one running."""
    try:
        guard = "gone" if isinstance(error, SourceEndedError) else None
        looks.finish(look_id, state="failed", now=now, failures=[str(error)], guard=guard)
    except MilepostError as second:
        log.warning("the look could not be marked as failed: %s", second)


def report_to_json(report: LookReport) -> dict[str, Any]:
    """The form of `scrape --json`."""
    return asdict(report) | {
        "changes": dict(report.changes), "failures": list(report.failures), "notes": list(report.notes),
        "found_by": dict(report.found_by), "degraded": list(report.degraded),
        "unread_first": list(report.unread_first), "settings": dict(report.settings),
    }
