"""For those who add or repair a site: a skeleton with its first saved page, and how a source's pages read now."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from crawler.client import Client
from extractors.charset import decode
from extractors.drift import dispute
from extractors.generic import Generic, GenericOptions
from extractors.silent_settings import counted, counts_to_json, silent
from milepost.codec import milestone_to_json
from milepost.dates import utc_now
from milepost.errors import ExtractError, FetchError, InputError, RefusedError
from milepost.fields import FIELDS
from milepost.records import LookReport, Page, each_once
from milepost.settings import FetchSettings, Settings
from pipeline.look.found_feeds import hint, told, wanting
from pipeline.look.reading import read_stored
from pipeline.look.reading_guard import ReadBy, ReadingGuard, SiteReader, Stored
from pipeline.look.scrape import scrape
from pipeline.look.unread_entries import FIRST, newest_of, unread_dates
from pipeline.several import Progress, Stop
from pipeline.workers import Crew
from store.archive import source_feeds
from store.archive.pages import Pages
from store.archive.snapshots import Snapshots
from store.database import connect, upgrade
from store.milestones.looks import Looks
from store.milestones.source_labels import SourceLabels

_SKELETON = '''"""{key}: say in a sentence what this site tells, and how its pages are built."""

from collections.abc import Mapping
from typing import Self

from extractors.generic import Generic, GenericOptions

OPTIONS = GenericOptions(
    milestones=("{prefix}",),  # path prefixes or patterns of milestones' pages
    listings=("/",),  # pages that show cards; "/archive/*" for all below
    sections={{}},  # heading → field, where the usual words don't fit: "How it began": "what_happened"
    facts={{}},  # <dt> → field
    links={{}},  # field → path prefix of its links: "category": "/theme/"
)


class {name}(Generic):
    """{base}"""

    name = "{key}"
    version = 1  # raise it when pages read differently than before

    def __init__(self, options: GenericOptions | None = None) -> None:
        super().__init__(options or OPTIONS)

    @classmethod
    def configured(cls, options: Mapping[str, object]) -> Self:
        return cls(GenericOptions.taken(options, cls.name)) if options else cls()
'''


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """What `start_site` wrote."""

    files: tuple[Path, ...]
    base_url: str
    problem: str | None  # why the first page can't be read as a milestone yet


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldCheck:
    """How one field reads over a source's pages."""

    field: str
    filled: int
    empty: int
    unknown: int
    witnesses: Mapping[str, int]  # witness → pages on which it spoke
    disputed: int  # pages on which witnesses differ
    examples: tuple[str, ...]  # the first three of those: who says what


@dataclass(frozen=True, kw_only=True, slots=True)
class Newest:
    """The newest milestone, by its date."""

    key: str
    title: str
    date: str | None  # as in records: "2012-09"


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceCheck:
    """How a source's stored pages read with today's extractor."""

    source: str
    pages: int
    found: int  # milestones
    newest: Newest | None
    unread: int  # what looks like a milestone on those pages and listings, and could not be read
    unread_first: tuple[str, ...]  # the first five of those
    unread_dates: int  # milestones on whose page a date stands that could not be read
    fields: tuple[FieldCheck, ...]
    failures: tuple[str, ...]
    disallowed: int  # pages that robots.txt kept from the last look that asked for all
    silent: tuple[str, ...] = ()  # a sentence for each setting (a selector, an expression, a column) that finds nothing
    feeds: tuple[str, ...] = ()  # what the last look came to know of the site's feeds, a sentence each
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)  # how often each was asked, and found


def start_site(key: str, url: str, root: Path, *, fetch: FetchSettings, allow_hosts: tuple[str, ...] = ()) -> Started:
    """Save the page at `url` and write an extractor's skeleton into the checkout at `root`; overwrites nothing.

    Raises InputError when `root` is no checkout or the site is there already, FetchError when the page can't be had.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path in ("", "/"):
        raise InputError("is not a milestone page's address", where=url, hint="Give one page, not the site.")
    if not (root / "extractors" / "__init__.py").exists():
        raise InputError("is no checkout of Milepost", where=str(root), hint="Run it where extractors/ and tests/ are.")
    module = root / "extractors" / f"{key.replace('-', '_')}.py"
    folder = root / "tests" / "sites" / key
    for path in (module, folder):
        if path.exists():
            raise InputError("is there already", where=str(path), hint="Choose another key.")
    try:
        text = asyncio.run(_fetch(url, fetch, allow_hosts))
    except RefusedError as error:
        hint = f"If it is meant to be read, give --allow-host {parts.hostname}."
        raise RefusedError(error.what, where=url, hint=hint) from error
    base = f"{parts.scheme}://{parts.netloc}"
    prefix = f"{parts.path.rstrip('/').rpartition('/')[0]}/"
    page = folder / f"{parts.path.strip('/').replace('/', '.', 1).replace('/', '-')}.html"
    folder.mkdir(parents=True)
    page.write_text(text, encoding="utf-8")
    name = "".join(word.capitalize() for word in key.split("-"))
    module.write_text(_SKELETON.format(key=key, prefix=prefix, base=base, name=name), encoding="utf-8")
    files = [module, page]
    problem: str | None = None
    try:
        site = Generic(GenericOptions(milestones=(prefix,)))
        record = site.read(Page(url=f"https://{key}.example{parts.path}", text=text), source=key)
        expected = page.with_suffix(".json")
        data = milestone_to_json(record) | {"extractor": f"{key}/1"}
        expected.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        files.append(expected)
    except ExtractError as error:
        problem = str(error)
    return Started(files=tuple(files), base_url=base, problem=problem)


async def _fetch(url: str, fetch: FetchSettings, allow_hosts: tuple[str, ...]) -> str:
    async with Client(limits=fetch, allow_hosts=allow_hosts) as client:
        answer = await client.get(url)
    if answer.status != 200:
        raise FetchError(f"it answers {answer.status}", where=url, status=answer.status,
                         hint="Give the address of a page that a browser shows.")
    return decode(answer.body, answer.headers.get("content-type", ""))


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """What a first look at a source would come to."""

    report: LookReport
    check: SourceCheck


def try_source(
    settings: Settings, key: str, *, progress: Progress | None = None, stop: Stop | None = None
) -> Tried:
    """Look at the source as if for the first time, and forget all of it; the store is not even opened.

    Raises SourceDownError when it gave nothing to go on.
    """
    with TemporaryDirectory(prefix="milepost-") as folder:
        store = settings.store.model_copy(update={"url": f"sqlite:///{folder}/first-look.db"})
        apart = settings.model_copy(update={"store": store})
        upgrade(apart.store.url)
        report = scrape(apart, key, progress=progress, stop=stop)
        return Tried(report=report, check=check_source(apart, key))


def tried_to_json(tried: Tried) -> dict[str, Any]:
    """The form of `scrape --dry-run --json`."""
    report, check = tried.report, tried.check
    return asdict(check) | {
        "dry_run": True, "state": report.state, "held": report.held, "degraded": list(report.degraded),
        "requests": report.requests, "failed": report.failed, "failures": list(report.failures),
        "disallowed": report.disallowed, "found_by": dict(report.found_by),
    }


def check_source(settings: Settings, key: str) -> SourceCheck:
    """Read a source's latest stored pages with today's extractor and count; fetches and writes nothing."""
    reader = SiteReader(ReadBy.of(settings.source(key)))
    with connect(settings.store.url) as database, Crew(settings.guards.max_read_seconds) as crew:
        snapshots, pages = Snapshots(database), Pages(database)
        guard = ReadingGuard(reader, crew, stopped=pages.stopped(key), now=utc_now)
        work = {page.url: page.last_snapshot_id for page in snapshots.pages(key, kind="milestone")
                if page.last_snapshot_id is not None}
        labels = SourceLabels(database).known(key)
        disallowed, feeds = Looks(database).disallowed(key), source_feeds.noted(database, key)
        reading = read_stored(guard, snapshots, pages, work, labels=labels, dry=True)
        unread, failures = dict(reading.unread), list(reading.failures)
        for listing in snapshots.pages(key, kind="listing"):
            if listing.last_snapshot_id is not None:
                stored = Stored.of(snapshots.get(listing.last_snapshot_id), listing.last_snapshot_id)
                try:
                    unread[listing.url] = guard.unread(stored)
                except ExtractError as error:
                    failures.append(str(error))
    records = list(reading.records.values())
    fields: list[FieldCheck] = []
    for name in FIELDS:
        witnesses: Counter[str] = Counter()
        for record in records:
            witnesses.update({witness.witness for witness in record.evidence.get(name, ())})
        unknown = sum(name in record.unknown for record in records)
        filled = sum(bool(getattr(record, name)) for record in records)
        disputed, examples = dispute(name, records)
        fields.append(FieldCheck(
            field=name, filled=filled, unknown=unknown, empty=len(records) - filled - unknown,
            witnesses=dict(witnesses),
            disputed=disputed, examples=examples,
        ))
    asked = counted(reader.site.settings, records)
    newest, puzzling = newest_of(records), each_once(one for found in unread.values() for one in found)
    return SourceCheck(
        source=key, pages=len(work), fields=tuple(fields), failures=tuple(failures), disallowed=disallowed,
        silent=(*silent(reader.site.settings, [asked]), *wanting(feeds)), settings=counts_to_json(asked),
        feeds=(*told(feeds), *hint(feeds)),
        found=len(records), unread=len(puzzling), unread_first=tuple(map(str, puzzling[:FIRST])),
        unread_dates=unread_dates(records), newest=None if newest is None else Newest(
            key=newest.key, title=newest.title, date=None if newest.date is None else newest.date.value,
        ),
    )
