"""Reads pages so that one which hangs, or takes its reader along, harms nobody but itself.

    page ─▶ stopped a reader before, and is the same? ─▶ refused, by name
         ├▶ ordinary ─▶ read here
         └▶ large, one of very many, read by another package's extractor, or a look died meanwhile
                    ─▶ read by a worker that can be ended

Where a page is read was decided by measuring: the slowest page of ORDINARY bytes that we could build takes 3 seconds
(most take 2 milliseconds), a worker takes half a second to start. So a look with ordinary news starts none.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import urlsplit

from extractors import registry
from extractors.charset import decode
from extractors.labels import Labels
from extractors.reconcile import UNREAD
from milepost import __version__
from milepost.errors import ExtractError
from milepost.pickling import pickled_by_values
from milepost.records import (
    Card,
    LabelPair,
    Milestone,
    Page,
    SiteLabel,
    Snapshot,
    StoppedPage,
    Unread,
    body_hash,
)
from pipeline.look.packed_records import Packer
from pipeline.several import Stop
from pipeline.workers import Crew, Ended

if TYPE_CHECKING:
    from milepost.settings import SourceSettings  # a worker starts without, in half the time

T = TypeVar("T")

ORDINARY = 160 * 1024  # bytes; formatting elements that are never closed take the parser a square of them

_HINT = "It is not read again until it changes; look at what the site serves there."


@pickled_by_values
@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A stored page as a reader gets it."""

    url: str
    snapshot_id: int
    body: bytes
    content_type: str
    cards: tuple[tuple[str, Card], ...] = ()  # what listings show of its milestone: (address of the listing, card)

    @classmethod
    def of(cls, snapshot: Snapshot, snapshot_id: int, cards: Sequence[tuple[str, Card]] = ()) -> "Stored":
        """A snapshot, with what listings show of its milestone."""
        return cls(
            url=snapshot.url, snapshot_id=snapshot_id, body=snapshot.body,
            content_type=snapshot.headers.get("content-type", ""), cards=tuple(cards),
        )

    @property
    def page(self) -> Page:
        """Its text, as extractors get it."""
        return Page(url=self.url, text=decode(self.body, self.content_type))


def page_of(snapshot: Snapshot) -> Page:
    """A snapshot as extractors get it."""
    return Page(url=snapshot.url, text=decode(snapshot.body, snapshot.headers.get("content-type", "")))


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadBy:
    """Which extractor reads for which source; small enough to be sent to another process with every batch."""

    source: str
    extractor: str
    options: Mapping[str, object]
    feeds: tuple[str, ...] = ()  # paths of feeds that lead to its pages, "%3F" for the "?" of a query
    finds_feeds: bool = False  # any listing may be one

    @classmethod
    def of(cls, source: "SourceSettings") -> "ReadBy":
        """As the settings tell it."""
        named = () if source.feeds == "auto" else source.feeds
        return cls(source=source.key, extractor=source.extractor, options=dict(source.options),
                   feeds=tuple(path.replace("?", "%3F", 1) for path in named), finds_feeds=source.feeds == "auto")


class Read(NamedTuple):
    """A record, and what is asked of each as it comes: one that another process read is not unpacked for that."""

    key: str
    record: Milestone | bytes  # packed
    labels: tuple[LabelPair, ...]
    spelt: tuple[SiteLabel, ...]
    shares_its_page: bool
    undated: bool  # its page has a date that could not be read

    @classmethod
    def of(cls, record: Milestone, pack: Callable[[Milestone], bytes] | None = None) -> "Read":
        """The record, packed with `pack` if there is one."""
        return cls(
            key=record.key, record=record if pack is None else pack(record), labels=record.labels, spelt=record.spelt,
            shares_its_page=record.shares_its_page, undated=UNREAD in record.evidence,
        )


def damage(record: Milestone) -> ExtractError | None:
    """What was wrong with the page of the record, as an error that says so; None where it was whole."""
    problems = record.evidence.get("page", ())
    if not problems:
        return None
    told = "; ".join(f"{problem.where}: {problem.says}" for problem in problems)
    return ExtractError(
        f"the page is damaged ({told}), so its record stays as it was", where=record.url,
        hint="It is read again when it changes.",
    )


@pickled_by_values
@dataclass(frozen=True, kw_only=True, slots=True)
class Entries:
    """What a page holds."""

    records: tuple["Read", ...]
    unread: tuple[Unread, ...]  # what looks like a milestone and could not be read
    damaged: ExtractError | None = None  # half a page is no witness against what stands: none of them is taken


class SiteReader:
    """Reads stored pages, in whichever process; each of its methods raises ExtractError for a page it can't read."""

    def __init__(self, by: ReadBy, labels: Sequence[LabelPair] = ()) -> None:
        """`labels`: what the source's labels stand for. Raises SettingsError for an extractor that can't be had."""
        self.by, self.site, self._packer = by, registry.get(by.extractor, by.options), Packer()
        self.teach(labels)

    def teach(self, labels: Sequence[LabelPair]) -> None:
        """What the source's labels stand for, from now on."""
        self.labels, self._meanings = tuple(labels), Labels(labels)

    def records(self, stored: Stored) -> tuple[Milestone, ...]:
        """The milestones of a page."""
        return self.site.read_many(stored.page, source=self.by.source, cards=stored.cards, labels=self._meanings)

    def cards(self, listing: Stored) -> tuple[Card, ...]:
        """The cards of a listing."""
        if self._is_feed(listing):
            from extractors.feed_cards import feed_cards  # a worker of a source without feeds starts without

            return feed_cards(listing.page, self._key)
        return self.site.cards(listing.page)

    def _key(self, address: str) -> str | None:
        try:
            return self.site.key(address) if self.site.classify(urlsplit(address).path) == "milestone" else None
        except ExtractError:
            return None

    def entries(self, stored: Stored) -> Entries:
        """What a page holds, decoded once."""
        return self._entries(stored)

    def packed_entries(self, stored: Stored) -> Entries:
        """The same with its records packed."""
        return self._entries(stored, self._packer.pack)

    def _entries(self, stored: Stored, pack: Callable[[Milestone], bytes] | None = None) -> Entries:
        page = stored.page
        found = self.site.read_many(page, source=self.by.source, cards=stored.cards, labels=self._meanings)
        return Entries(
            records=tuple(Read.of(record, pack) for record in found),
            unread=() if self._is_feed(stored) else self.site.unread(page),
            damaged=next(filter(None, map(damage, found)), None),
        )

    def unread(self, stored: Stored) -> tuple[Unread, ...]:
        """What looks like a milestone on a page or a listing and could not be read."""
        return () if self._is_feed(stored) else self.site.unread(stored.page)

    def _is_feed(self, stored: Stored) -> bool:
        path = urlsplit(stored.url).path
        if path.endswith(self.by.feeds or ("\n",)):
            return True
        if not self.by.finds_feeds or self.site.classify(path) == "milestone":
            return False
        from extractors.feed_cards import is_told

        return is_told(stored.page.text)


def _reader_apart(
    by: ReadBy, labels: Sequence[LabelPair], read: Callable[[SiteReader, Stored], T]
) -> Callable[[Stored], T]:
    """What a worker calls: loads the extractor, and returns what reads a page."""
    return partial(read, SiteReader(by, labels))


class ReadingGuard:
    """Reads the pages of one source; may be shared by threads."""

    def __init__(
        self, reader: SiteReader, crew: Crew, *, stopped: Mapping[str, StoppedPage], now: Callable[[], dt.datetime],
        careful: bool = False, stop: Stop | None = None, processes: int | None = None,
    ) -> None:
        """`stopped`: the pages known to have stopped a reader, by address. `careful`: a look died over these pages
        perhaps, so each is read by a worker. `stop` is asked before each reading. `processes`: how many may read at
        once where there are many pages, by default one a core."""
        self._reader, self._crew, self._known, self._now = reader, crew, dict(stopped), now
        self.source, self.site, self.feeds = reader.by.source, reader.site, reader.by.feeds
        self._stop, self.processes = stop or Stop(), processes
        self._apart = careful or not registry.is_ours(reader.by.extractor)
        self._signed = f"{self.site.signature}, Milepost {__version__}"
        self._news: dict[str, StoppedPage | None] = {}

    def teach(self, labels: Sequence[LabelPair]) -> None:
        """What the source's labels stand for, from now on."""
        self._reader.teach(labels)

    def records(self, pages: Sequence[Stored], *, apart: bool = False) -> list[tuple[Milestone, ...] | ExtractError]:
        """An answer a page, in order; `apart`: all by a worker, so that other threads go on meanwhile."""
        return self._read(SiteReader.records, pages, apart=apart)

    def entries(self, pages: Sequence[Stored], *, apart: bool = False) -> list[Entries | ExtractError]:
        """What each page holds, in order; `apart` as of `records`, and then the records are packed."""
        return self._read(SiteReader.packed_entries if apart else SiteReader.entries, pages, apart=apart)

    def cards(self, listing: Stored) -> tuple[Card, ...]:
        """The cards of a listing; raises ExtractError when it can't be read."""
        return self._one(SiteReader.cards, listing)

    def unread(self, page: Stored) -> tuple[Unread, ...]:
        """What looks like a milestone on a page or listing and could not be read; raises ExtractError as `cards`."""
        return self._one(SiteReader.unread, page)

    def news(self) -> dict[str, StoppedPage | None]:
        """Which pages stopped a reader and which (None) have been read since, by address: what `Pages` is to note.

        Each is told once.
        """
        told: dict[str, StoppedPage | None] = {}
        with suppress(KeyError):  # that there is no more: several threads ask
            while True:
                url, stopped = self._news.popitem()
                told[url] = stopped
        return told

    def give_up(self) -> None:
        """End what is being read by workers, also a page that hangs: whoever waits for it gets KeyboardInterrupt."""
        self._crew.end()

    def _one(self, read: Callable[[SiteReader, Stored], T], page: Stored) -> T:
        answer = self._read(read, [page], apart=False)[0]
        if isinstance(answer, ExtractError):
            raise answer
        return answer

    def _read(
        self, read: Callable[[SiteReader, Stored], T], pages: Sequence[Stored], *, apart: bool
    ) -> list[T | ExtractError]:
        self._stop.check()
        answers: dict[int, T | ExtractError] = {}
        left: list[tuple[int, Stored]] = []
        for number, stored in enumerate(pages):
            refused = self._refused(stored)
            if refused is not None:
                answers[number] = refused
            elif apart or self._apart or len(stored.body) > ORDINARY:
                left.append((number, stored))
            else:
                answers[number] = _tried(partial(read, self._reader), stored)
        if left:
            there = partial(_reader_apart, self._reader.by, self._reader.labels, read)
            told = self._crew.read(there, [stored for _, stored in left])
            for (number, stored), answer in zip(left, told, strict=True):
                answers[number] = self._stopped(stored, answer.why) if isinstance(answer, Ended) else answer
        for number, stored in enumerate(pages):
            if stored.url in self._known and not isinstance(answers[number], ExtractError):
                self._news[stored.url] = None
        return [answers[number] for number in range(len(pages))]

    def _refused(self, stored: Stored) -> ExtractError | None:
        before = self._known.get(stored.url)
        if before is None or before.by != self._signed or before.body_hash != body_hash(stored.body):
            return None
        return _refusal(before, stored.url)

    def _stopped(self, stored: Stored, why: str) -> ExtractError:
        stopped = StoppedPage(
            body_hash=body_hash(stored.body), by=self._signed, why=why, at=self._now().isoformat(timespec="seconds")
        )
        self._known[stored.url] = self._news[stored.url] = stopped
        return _refusal(stopped, stored.url)


def _refusal(stopped: StoppedPage, url: str) -> ExtractError:
    return ExtractError(f"{stopped.why} ({stopped.at[:16]}), so what is known of it stands", where=url, hint=_HINT)


def _tried(read: Callable[[Stored], T], stored: Stored) -> T | ExtractError:
    try:
        return read(stored)
    except ExtractError as error:
        return error
