"""What a source shows and nobody can read: counted over its pages as they were last read, not over one look's alone."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from extractors.reconcile import UNREAD
from milepost.dates import PartialDate
from milepost.records import Milestone, Unread
from pipeline.look.page_archiver import CrawledLook
from pipeline.look.reading import Reading
from store.database import Database
from store.milestones.profiles import Profiles

FIRST = 5  # that are shown


@dataclass(frozen=True, kw_only=True, slots=True)
class UnreadEntries:
    """Of one look."""

    all: tuple[Unread, ...] = ()  # each once
    lost: tuple[Unread, ...] = ()  # of those: what no page of its own tells either
    waiting: tuple[Unread, ...] = ()  # of those: what no operator let pass
    entries: int = 0  # milestones on record or read now, and those that are lost
    newest: str | None = None  # the words of one that waits and stands where the newest does
    newest_read: str = ""  # a title


def unread_entries(at: CrawledLook, reading: Reading) -> UnreadEntries:
    """Keep what the pages of this look were not read for, and count what there is by now."""
    at.pages.note_unread(at.source, reading.unread)
    since = at.look.started_at if at.crawled.complete else None
    found = at.pages.unread(at.source, since)
    if not found:
        return UnreadEntries()
    keys = set(reading.records)

    def records() -> Iterator[Milestone]:
        yield from reading.records.values()
        for stored in at.milestones.each(at.source):
            if stored.milestone.key not in keys:
                keys.add(stored.milestone.key)
                yield stored.milestone

    latest = newest_of(records())
    lost, waiting = lost_and_waiting(at.database, at.source, found, keys)
    date = latest.date.value if latest is not None and latest.date is not None else ""
    return UnreadEntries(
        all=found, lost=lost, waiting=waiting, entries=len(keys) + len(lost),
        newest=next((one.says for one in waiting if one.newest and _reaches(one, date)), None),
        newest_read=latest.title if latest is not None else "",
    )


def lost_and_waiting(
    database: Database, source: str, found: Iterable[Unread], known: Collection[str]
) -> tuple[tuple[Unread, ...], tuple[Unread, ...]]:
    """Of what could not be read: what no record of these keys tells either, and of that what no operator let pass."""
    released = Profiles(database, "unread").every_accepted(source)
    accepted = {mark for one in released for mark in one.data["marks"]}
    lost = tuple(one for one in found if one.key not in known)
    return lost, tuple(one for one in lost if one.mark not in accepted)


def newest_of(records: Iterable[Milestone]) -> Milestone | None:
    """The newest by its date; the first of them, also where none has a date."""
    return max(records, key=lambda record: _sort_key(record.date), default=None)


def unread_dates(records: Iterable[Milestone]) -> int:
    """How many have a date on their page that could not be read."""
    return sum(UNREAD in record.evidence for record in records)


def _sort_key(date: PartialDate | None) -> tuple[int, int, int]:
    return date.sort_key if date is not None else (0, 0, 0)


def _reaches(one: Unread, newest: str) -> bool:
    """Whether the newest of its page is as new as the source's: a listing of the past has a newest end as well."""
    return one.beyond is None or one.beyond[: len(newest)] >= newest[: len(one.beyond)]
