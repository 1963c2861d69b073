"""Reads stored snapshots again with today's extractors: offline, silent, and with no way to delivery."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from extractors import registry
from flows.steps.reading import Progress, read_stored
from milepost.dates import utc_now
from milepost.records import Change
from milepost.settings import Settings
from newsletter.detect import detect
from store.database import connect
from store.milestones import Milestones
from store.pages import Pages
from store.snapshots import Snapshots


@dataclass(frozen=True, kw_only=True, slots=True)
class Reread:
    """What reading a source's snapshots again came to."""

    source: str
    dry_run: bool
    read: int  # snapshots
    changes: tuple[Change, ...]
    written: int  # new versions
    failures: tuple[str, ...]  # a sentence a page


def backfill(
    settings: Settings, key: str, *, dry_run: bool, now: Callable[[], dt.datetime] = utc_now,
    progress: Progress | None = None,
) -> Reread:
    """Read the latest snapshot of every milestone of the source `key` again; nothing is fetched or announced.

    With `dry_run` nothing is written either. Raises StoreError.
    """
    source = settings.source(key)
    site = registry.get(source.extractor, source.options)
    with connect(settings.store.url) as database:
        snapshots, milestones = Snapshots(database), Milestones(database)
        work = {page.url: page.last_snapshot_id for page in snapshots.pages(key, kind="milestone")
                if page.last_snapshot_id is not None}
        reading = read_stored(site, key, snapshots, Pages(database), work, progress)
        known = {name: stored.milestone for name, stored in milestones.known(key).items()}
        # a page that no look has read yet is left to the next look: here it could never become news
        records = {name: record for name, record in reading.records.items() if name in known}
        detection = detect(known, records)
        changes = {change.key: change for change in detection.changes}
        written = 0
        if not dry_run:
            written = milestones.apply(
                None, key, [(changes.get(name), record, reading.snapshots[name])
                            for name, record in detection.merged.items()],
                announce=False, now=now(),
            ).versions
    return Reread(source=key, dry_run=dry_run, read=len(work), changes=detection.changes, written=written,
                  failures=reading.failures)


def reread_to_json(reread: Reread) -> dict[str, Any]:
    """The form of `backfill --json`."""
    return {
        "source": reread.source, "dry_run": reread.dry_run, "read": reread.read, "written": reread.written,
        "changes": [{"key": change.key, "kind": change.kind, "fields": [field._asdict() for field in change.fields]}
                    for change in reread.changes],
        "failures": list(reread.failures),
    }
