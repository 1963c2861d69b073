"""Stored pages into records: what a look does with new pages, a backfill with old ones, `extract` with a file."""

import html
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from extractors import registry
from extractors.base import SiteExtractor
from extractors.charset import decode
from extractors.labels import Labels
from extractors.listpage import ListPage
from milepost.errors import ExtractError, InputError
from milepost.records import Card, KnownNames, LabelPair, Milestone, Page, SiteLabel, Unread
from pipeline.look.packed_records import PackedRecords, slices
from pipeline.look.read_ahead import ReadAhead
from pipeline.look.reading_guard import Entries, Read, ReadingGuard, Stored, damage
from pipeline.workers import in_order, processes_for
from store.archive.pages import Pages
from store.archive.snapshots import Snapshots

Answer = Entries | ExtractError
BATCH = 64  # pages loaded, and given to a worker, at a time
_HEAD = 50_000  # characters within which a page has its <head>
_LINK = re.compile(r"<link\b[^>]{1,2000}>", re.IGNORECASE)
_REL_CANONICAL = re.compile(r"""\brel\s*=\s*["']?canonical\b""", re.IGNORECASE)
_HREF = re.compile(r"""\bhref\s*=\s*["']?([^"'\s>]+)""", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What was read from stored pages."""

    records: MutableMapping[str, Milestone]  # by key
    snapshots: Mapping[str, int]  # key → the snapshot it was read from
    failures: tuple[str, ...]  # a sentence for each page that could not be read; what was known of it stands
    failed: frozenset[str] = frozenset()  # the addresses of those pages
    # address of a page → what was not, on it; (): nothing any more, where there was something when it was last read
    unread: Mapping[str, tuple[Unread, ...]] = field(default_factory=dict)
    labels: tuple[LabelPair, ...] = ()  # what these pages taught of the source's labels
    spelt: Mapping[SiteLabel, int] = field(default_factory=dict)  # how the source writes them → pages that do
    shared: frozenset[str] = frozenset()  # keys of records that share their page with others
    undated: frozenset[str] = frozenset()  # keys of records whose page has a date that could not be read


def spelt_on(records: Iterable[Milestone]) -> Counter[SiteLabel]:
    """How many pages write a label so."""
    return Counter(one for record in records for one in dict.fromkeys(record.spelt))


def whole(record: Milestone) -> Milestone:
    """The record; raises ExtractError when its page was damaged: half a page is no witness against what stands."""
    error = damage(record)
    if error is not None:
        raise error
    return record


def read_stored(
    guard: ReadingGuard, snapshots: Snapshots, pages: Pages, work: Mapping[str, int], *,
    labels: Sequence[LabelPair] = (), dry: bool = False, ahead: ReadAhead | None = None,
) -> Reading:
    """Read the snapshots in `work` (page URL → snapshot id) with today's extractor; a bad page stops no other.

    A page that stopped its reader is noted before the next pages are taken, unless `dry`: should the look die later, it
    is known. Very many pages are read by several processes, and their records are the same in the same order. `labels`:
    what the source's labels are known to stand for. A page whose label only a later one explains is read again, so
    that the order of pages changes nothing. `ahead`: what was read of these pages already; as long as it knew as much.
    """
    records = PackedRecords()
    light = _Light()
    failures: list[str] = []
    failed: set[str] = set()
    unread: dict[str, tuple[Unread, ...]] = {}
    puzzling = set[str]() if dry else pages.puzzling(guard.source)
    guard.teach(labels)
    learnt: dict[LabelPair, None] = {}
    puzzled: dict[str, set[LabelPair]] = {}  # page URL → labels that nothing explained
    if ahead is not None and ahead.labels != tuple(labels):
        ahead = None
    for (url, snapshot_id), answer in zip(
        work.items(), _answers(guard, snapshots, pages, work, dry=dry, ahead=ahead), strict=True
    ):
        try:
            found = _whole(answer)
        except ExtractError as error:
            failures.append(str(error))
            failed.add(url)
            continue
        if found.unread or url in puzzling:
            unread[url] = found.unread
        for read in found.records:
            records.put(read.key, read.record, snapshot_id)
            light.note(read)
            for pair in read.labels:
                if pair.slug is None:
                    puzzled.setdefault(url, set()).add(pair)
                else:
                    learnt[pair] = None
    after = Labels((*labels, *learnt))
    guard.teach((*labels, *learnt))
    again = {url: work[url] for url, pairs in puzzled.items()
             if url not in failed and any(after.slug(pair.field, pair.label) for pair in pairs)}
    for answer in _answers(guard, snapshots, pages, again, dry=dry):
        for read in _whole(answer).records:
            records.put(read.key, read.record)
            light.note(read)
    return Reading(
        records=records, snapshots=records.numbers, failures=tuple(failures), failed=frozenset(failed),
        labels=tuple(learnt),
        unread=unread, spelt=light.spelt, shared=frozenset(light.shared), undated=frozenset(light.undated),
    )


class _Light:
    """What is known of all records without having them at hand."""

    def __init__(self) -> None:
        self.shared: set[str] = set()
        self.undated: set[str] = set()
        self._pages: Counter[SiteLabel] = Counter()
        self._spelt: dict[str, tuple[SiteLabel, ...]] = {}  # key → what it was counted for
        # one object for all who write it: what other processes read comes with a copy of its own for each page
        self._labels: dict[SiteLabel, SiteLabel] = {}

    @property
    def spelt(self) -> Counter[SiteLabel]:
        """How many pages write a label so."""
        return +self._pages

    def note(self, read: Read) -> None:
        """A record, or what it is by now."""
        key = read.key
        spelt = tuple(self._labels.setdefault(label, label) for label in dict.fromkeys(read.spelt))
        self._pages.subtract(self._spelt.pop(key, ()))
        self._pages.update(spelt)
        if spelt:
            self._spelt[key] = spelt
        (self.shared.add if read.shares_its_page else self.shared.discard)(key)
        (self.undated.add if read.undated else self.undated.discard)(key)


def _answers(
    guard: ReadingGuard, snapshots: Snapshots, pages: Pages, work: Mapping[str, int], *, dry: bool,
    ahead: ReadAhead | None = None,
) -> Iterator[Answer]:
    """What each page holds, in the order of `work`; very many are read by several processes at once."""
    processes = (0 if ahead is None else ahead.processes) or processes_for(len(work), guard.processes)
    together = BATCH if processes else 1
    loads = (_load(guard, snapshots, pages, some, ahead) for some in slices(work.items(), BATCH))
    batches = (load[start : start + together] for load in loads for start in range(0, len(load), together))
    reading = in_order(
        batches, partial(_read, guard, apart=processes > 0), processes=processes, give_up=guard.give_up)
    for _, answers in reading:
        if not dry:
            pages.note_stopped(guard.source, guard.news())
        yield from answers


def _load(
    guard: ReadingGuard, snapshots: Snapshots, pages: Pages, work: Sequence[tuple[str, int]], ahead: ReadAhead | None
) -> Sequence[Stored | Answer]:
    """Each page, or what it holds where that was read already."""
    cards = cards_of(guard, pages, [url for url, _ in work])
    there = {number: answer for url, number in work
             if ahead is not None and (answer := ahead.take(number, cards(url))) is not None}
    taken = snapshots.some([number for _, number in work if number not in there])
    return [there[number] if number in there else Stored.of(taken[number], number, cards(url)) for url, number in work]


def cards_of(
    guard: ReadingGuard, pages: Pages, urls: Sequence[str]
) -> Callable[[str], Sequence[tuple[str, Card]]]:
    """What listings show of the milestones of these pages, by the page's address."""
    keys = {url: key_of(guard.site, url) for url in urls}
    cards = pages.cards(guard.source, {key for key in keys.values() if key is not None})
    return lambda url: cards.get(keys[url] or "", ())


def _read(guard: ReadingGuard, pages: Sequence[Stored | Answer], *, apart: bool) -> list[Answer]:
    answers = iter(guard.entries([page for page in pages if isinstance(page, Stored)], apart=apart))
    return [next(answers) if isinstance(page, Stored) else page for page in pages]


def _whole(answer: Answer) -> Entries:
    """The answer; raises ExtractError where there is none that may be taken."""
    if isinstance(answer, ExtractError):
        raise answer
    if answer.damaged is not None:
        raise answer.damaged
    return answer


def key_of(site: SiteExtractor, url: str) -> str | None:
    """The key of a page's milestone; None for a page that holds several, and for one that holds none."""
    try:
        return site.key(url)
    except ExtractError:
        return None


def read_file(
    file: Path, *, extractor: str, url: str | None = None, as_text: bool = False, listings: tuple[Path, ...] = (),
    known: KnownNames | None = None,
) -> Milestone:
    """Read one saved page; raises InputError when a file can't be used, ExtractError when it holds no milestone.

    `url` is the page's address; without it the page's own canonical link is, and for plain text the file's name stands
    for the last part of the path. The cards of `listings` (saved listing pages) that show this milestone join the
    witnesses.
    """
    site = registry.get(extractor)
    text = decode(_bytes(file))
    if as_text:
        return site.read_text(text, source=site.name, url=url or file.stem, known=known or KnownNames())
    address = url or _canonical(text)
    if address is None:
        raise InputError("the page doesn't tell its own address", where=str(file), hint="Give it with --url.")
    key = site.key(address)
    cards: list[tuple[str, Card]] = []
    for listing in listings:
        page = Page(url=listing.name, text=decode(_bytes(listing)))
        cards += [(page.url, card) for card in site.cards(page) if card.key == key]
    return site.read(Page(url=address, text=text), source=site.name, cards=cards)


def read_entries(
    file: Path, *, extractor: str, url: str | None = None
) -> tuple[tuple[Milestone, ...], tuple[Unread, ...]] | None:
    """(the milestones of a saved page that holds several, what looks like one and could not be read).

    None where an extractor's pages hold one each, or `url` names one entry of them ("…#entry"). Raises as `read_file`.
    """
    site = registry.get(extractor)
    if not isinstance(site, ListPage) or "#" in (url or ""):
        return None
    text = decode(_bytes(file))
    address = url or _canonical(text)
    if address is None:
        raise InputError("the page doesn't tell its own address", where=str(file), hint="Give it with --url.")
    page = Page(url=address, text=text)
    return site.read_many(page, source=site.name), site.unread(page)


def _canonical(text: str) -> str | None:
    """The address in <link rel="canonical">, whichever way round its attributes stand."""
    for tag in _LINK.findall(text[:_HEAD]):
        if _REL_CANONICAL.search(tag) and (found := _HREF.search(tag)):
            return html.unescape(found.group(1))
    return None


def _bytes(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", where=str(file), hint="Check the path.") from None
