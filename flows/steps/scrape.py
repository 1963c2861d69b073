"""One look at a source: crawl, archive, read, detect, record. It announces by recording, and has no way to mail.

    crawl ─▶ each page archived as it comes ─▶ pages not read yet ─▶ milestones ─▶ detect ─▶ guards ─▶ record
"""

import asyncio
import datetime as dt
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from crawler.crawl import crawl
from crawler.links import hrefs
from crawler.outcomes import CrawlPlan, CrawlReport, Fetched, Gone, NotModified, Outcome, user_agent
from extractors import registry
from extractors.base import SiteExtractor
from flows.steps.reading import Progress, page_of, read_stored
from milepost.dates import utc_now
from milepost.errors import MilepostError
from milepost.records import CHANGE_KINDS, Change, LookReport, StoredMilestone, Validators
from milepost.settings import GuardSettings, Settings, SourceSettings
from newsletter.detect import detect
from newsletter.guards import surge
from store.database import Database, connect
from store.looks import Looks
from store.milestones import Entry, Milestones
from store.snapshots import Snapshots

log = logging.getLogger("milepost.scrape")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Memory:
    """The crawler's view of the store."""

    snapshots: Snapshots
    source: str

    def validators(self, url: str) -> Validators | None:
        return self.snapshots.validators(self.source, url)


@dataclass(kw_only=True)
class _Archive:
    """Takes each outcome of the crawl into the store as it arrives, so that an interrupted look loses nothing."""

    snapshots: Snapshots
    site: SiteExtractor
    source: str
    now: Callable[[], dt.datetime]
    gone: dict[str, int] = field(default_factory=dict)  # URL → 404 or 410

    def __call__(self, outcome: Outcome) -> None:
        match outcome:
            case Fetched(snapshot=snapshot, kind=kind, validators=validators):
                self.snapshots.add(snapshot, kind, validators)
                if kind == "listing":
                    self.snapshots.replace_cards(self.source, snapshot.url, self.site.cards(page_of(snapshot)))
            case NotModified(url=url):
                self.snapshots.mark_not_modified(self.source, url, self.now())
            case Gone(url=url, status=status):
                self.snapshots.mark_gone(self.source, url, status, self.now())
                self.gone[url] = status


def scrape(
    settings: Settings, key: str, *, full: bool = False, now: Callable[[], dt.datetime] = utc_now,
    progress: Progress | None = None,
) -> LookReport:
    """Look at the source `key` and record what changed.

    Raises SourceDownError when it gave nothing to go on, StoreError when the database can't take what was read; what
    was known stays in every case, and the next look goes on from there.
    """
    source = settings.source(key)
    site = registry.get(source.extractor)
    with connect(settings.store.url) as database:
        looks = Looks(database)
        look_id = looks.start(key, now())
        try:
            report = _look(settings, source, site, database, look_id, full=full, now=now, progress=progress)
        except MilepostError as error:
            _give_up(looks, look_id, error, now())
            raise
    log.info("%s: %d requests, %d milestones, changes: %s", key, report.requests, report.milestones,
             ", ".join(f"{count} {kind}" for kind, count in report.changes.items() if count) or "none")
    return report


def _give_up(looks: Looks, look_id: int, error: MilepostError, now: dt.datetime) -> None:
    """Say in the store why the look failed, if it still can take that; else the next look finds this one running."""
    try:
        looks.finish(look_id, state="failed", now=now, failures=[str(error)])
    except MilepostError as second:
        log.warning("the look could not be marked as failed: %s", second)


def _look(
    settings: Settings, source: SourceSettings, site: SiteExtractor, database: Database, look_id: int, *,
    full: bool, now: Callable[[], dt.datetime], progress: Progress | None,
) -> LookReport:
    snapshots, milestones, looks = Snapshots(database), Milestones(database), Looks(database)
    archive = _Archive(snapshots=snapshots, site=site, source=source.key, now=now)
    crawled = asyncio.run(crawl(
        _plan(settings, source, site, snapshots, full=full),
        memory=_Memory(snapshots=snapshots, source=source.key), on_page=archive, now=now, progress=progress,
    ))
    snapshots.note_listed(source.key, crawled.listed, look_id)
    known = milestones.known(source.key)
    reading = read_stored(site, source.key, snapshots, _worklist(source.key, snapshots, known))
    detection = detect({key: stored.milestone for key, stored in known.items()}, reading.records)

    listed_but_gone = [f"{url}: listed, but it answers {status}" for url, status in archive.gone.items()
                       if url in crawled.listed]
    failures = [*crawled.reasons, *(str(failed.error) for failed in crawled.failures), *listed_but_gone,
                *reading.failures]
    failed = crawled.failed + len(listed_but_gone) + len(reading.failures)
    look = looks.get(look_id)
    hold = _hold(settings.guards, detection.changes, known=len(known), failed=failed, crawled=crawled)
    held = None if look.baseline else hold
    changes = {change.key: change for change in detection.changes}
    _record(
        milestones, looks, look_id, source.key,
        [(changes.get(key), record, reading.snapshots[key]) for key, record in detection.merged.items()],
        baseline=look.baseline, held=held, now=now(),
    )
    counted = Counter(change.kind for change in detection.changes)
    report = LookReport(
        source=source.key, requests=crawled.requests, fetched=crawled.fetched, not_modified=crawled.not_modified,
        failed=failed, milestones=milestones.count(source.key), baseline=look.baseline,
        changes={kind: counted[kind] for kind in CHANGE_KINDS}, held=held, look_id=look_id, failures=tuple(failures),
    )
    whole = crawled.complete and _failed_share(failed, crawled) <= settings.guards.max_failed_share
    looks.finish(
        look_id, state="complete" if whole else "incomplete", now=now(), requests=report.requests,
        fetched=report.fetched, not_modified=report.not_modified, failed=report.failed, milestones=report.milestones,
        failures=report.failures, held=held,
    )
    return report


def _plan(
    settings: Settings, source: SourceSettings, site: SiteExtractor, snapshots: Snapshots, *, full: bool
) -> CrawlPlan:
    return CrawlPlan(
        source=source.key, base_url=source.base_url, fetch_from=source.fetch_from,
        allow_hosts=frozenset(source.allow_hosts), seeds=site.seeds, classify=site.classify, limits=settings.fetch,
        user_agent=user_agent(settings.fetch.contact), max_pages=source.max_pages, full=full,
        known_urls=frozenset(page.url for page in snapshots.pages(source.key, kind="milestone")),
        links=hrefs, linked_before=lambda url: _links_of_stored(snapshots, source.key, url),
    )


def _links_of_stored(snapshots: Snapshots, source: str, url: str) -> Iterable[str]:
    """The links of a listing that answered 304: those of the snapshot it stands for."""
    latest = snapshots.latest(source, url)
    return () if latest is None else hrefs(latest[1])


def _worklist(source: str, snapshots: Snapshots, known: Mapping[str, StoredMilestone]) -> dict[str, int]:
    """Pages to read: those fetched and not read since (also by a look that died), and those whose cards changed."""
    work = dict(snapshots.unread(source))
    for key in snapshots.to_reread(source):
        stored = known.get(key)
        if stored is not None and stored.snapshot_id is not None:
            work.setdefault(stored.milestone.url, stored.snapshot_id)
    return work


def _failed_share(failed: int, crawled: CrawlReport) -> float:
    return failed / max(crawled.fetched + crawled.not_modified + crawled.failed, 1)


def _hold(
    guards: GuardSettings, changes: tuple[Change, ...], *, known: int, failed: int, crawled: CrawlReport
) -> str | None:
    """Why the changes should wait for an operator, or None."""
    share = _failed_share(failed, crawled)
    if share > guards.max_failed_share:
        return f"{failed} pages failed, {share:.0%} of those asked for: more than {guards.max_failed_share:.0%}"
    added = sum(change.kind == "added" for change in changes)
    return surge(added, known, minimum=guards.surge_min, share=guards.surge_share)


def _record(
    milestones: Milestones, looks: Looks, look_id: int, source: str, entries: list[Entry], *,
    baseline: bool, held: str | None, now: dt.datetime,
) -> None:
    """Write the look's records; what the baseline listed is no news, even where its page could be read only now."""
    silent: list[Entry] = []
    news: list[Entry] = []
    for entry in entries:
        change, record, _ = entry
        late = change is not None and change.kind == "added" and looks.listed_at_baseline(source, record.url)
        (silent if baseline or late else news).append(entry)
    for part, announce in ((silent, False), (news, True)):
        if part:
            milestones.apply(look_id, source, part, announce=announce, held=held or False, now=now)


def report_to_json(report: LookReport) -> dict[str, Any]:
    """The form of `scrape --json`."""
    return asdict(report) | {"changes": dict(report.changes), "failures": list(report.failures)}


def report_from_json(data: Mapping[str, Any]) -> LookReport:
    """The inverse of `report_to_json`."""
    return LookReport(**(dict(data) | {"failures": tuple(data["failures"])}))
