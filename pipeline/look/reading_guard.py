"""Reads pages so that one which hangs, or takes its reader along, harms nobody but itself.

    page ─▶ stopped a reader before, and is the same? ─▶ refused, by name
         ├▶ ordinary ─▶ read here
         └▶ large, read by another package's extractor, or a look died meanwhile ─▶ read by a worker that can be ended

Where a page is read was decided by measuring: the slowest page of ORDINARY bytes that we could build takes 3 seconds
(most take 2 milliseconds), a worker takes half a second to start. So a look with ordinary news starts none.
"""

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from extractors import registry
from extractors.base import SiteExtractor
from extractors.labels import Labels
from milepost import __version__
from milepost.errors import ExtractError
from milepost.records import Card, LabelPair, Milestone, Unread, body_hash
from pipeline.look.page_workers import Crew, Ended
from pipeline.look.stored_page import Reader, Stored, read_cards, read_records, read_unread
from store.meta import Meta

ORDINARY = 160 * 1024  # bytes; formatting elements that are never closed take the parser a square of them

_KEPT = "stopped_readers.{source}"
_HINT = "It is not read again until it changes; look at what the site serves there."


@dataclass(frozen=True, kw_only=True, slots=True)
class Stopped:
    """A page whose reading had to be ended, by what it held and by whom it was read."""

    body_hash: str
    by: str  # extractor and release: a newer one may try once
    why: str
    at: str  # ISO 8601, with its zone

    def error(self, url: str) -> ExtractError:
        return ExtractError(f"{self.why} ({self.at[:16]}), so what is known of it stands", where=url, hint=_HINT)


class StoppedPages:
    """The pages of a source that stopped a reader, kept in the store: few, or a site is not worth following."""

    def __init__(self, meta: Meta, source: str) -> None:
        self._meta, self._name = meta, _KEPT.format(source=source)

    def known(self) -> dict[str, Stopped]:
        """By address."""
        return {url: Stopped(**kept) for url, kept in json.loads(self._meta.get(self._name) or "{}").items()}

    def note(self, url: str, stopped: Stopped | None) -> None:
        """Remember one; None: it has been read since."""
        all_of_them = self.known()
        if stopped is None:
            all_of_them.pop(url, None)
        else:
            all_of_them[url] = stopped
        kept = {url: asdict(one) for url, one in sorted(all_of_them.items())}
        self._meta.set(self._name, json.dumps(kept) if kept else None)


class ReadingGuard:
    """Reads the pages of one source; may be shared by threads, but `note` is for the one that owns the store."""

    def __init__(
        self, reader: Reader, crew: Crew, *, known: Mapping[str, Stopped], now: Callable[[], dt.datetime],
        careful: bool = False,
    ) -> None:
        """`careful`: a look died over these pages perhaps, so each is read by a worker."""
        self._reader, self._crew, self._known, self._now = reader, crew, dict(known), now
        self._site: SiteExtractor = registry.get(reader.extractor, reader.options)
        self._apart = careful or not registry.is_ours(reader.extractor)
        self._by = f"{self._site.signature}, Milepost {__version__}"
        self._news: dict[str, Stopped | None] = {}
        self._labels = Labels(reader.labels)

    def teach(self, labels: Sequence[LabelPair]) -> None:
        """What the source's labels stand for, from now on."""
        self._reader, self._labels = replace(self._reader, labels=tuple(labels)), Labels(labels)

    def records(self, pages: Sequence[Stored], *, apart: bool = False) -> list[tuple[Milestone, ...] | ExtractError]:
        """An answer a page, in order; `apart`: all by a worker, so that other threads go on meanwhile."""
        return self._read(partial(read_records, self._reader), self._records_here, pages, apart=apart)

    def cards(self, listing: Stored) -> tuple[Card, ...]:
        """The cards of a listing; raises ExtractError when it can't be read."""
        answer: Any = self._read(partial(read_cards, self._reader), self._cards_here, [listing], apart=False)[0]
        if isinstance(answer, ExtractError):
            raise answer
        cards: tuple[Card, ...] = answer
        return cards

    def unread(self, page: Stored) -> tuple[Unread, ...]:
        """What looks like a milestone on a page or listing and could not be read; raises ExtractError as `cards`."""
        answer: Any = self._read(partial(read_unread, self._reader), self._unread_here, [page], apart=False)[0]
        if isinstance(answer, ExtractError):
            raise answer
        unread: tuple[Unread, ...] = answer
        return unread

    def note(self, kept: StoppedPages) -> None:
        """Write down which pages stopped a reader, and which have been read since."""
        while self._news:
            url, stopped = self._news.popitem()
            kept.note(url, stopped)

    def _read(
        self, there: Callable[[Stored], Any], here: Callable[[Stored], Any], pages: Sequence[Stored], *, apart: bool
    ) -> list[Any]:
        answers: dict[int, Any] = {}
        left: list[tuple[int, Stored]] = []
        for number, stored in enumerate(pages):
            refused = self._refused(stored)
            if refused is not None:
                answers[number] = refused
            elif apart or self._apart or len(stored.body) > ORDINARY:
                left.append((number, stored))
            else:
                answers[number] = _tried(here, stored)
        if left:
            told = self._crew.read(there, [stored for _, stored in left])
            for (number, stored), answer in zip(left, told, strict=True):
                answers[number] = self._stopped(stored, answer.why) if isinstance(answer, Ended) else answer
        for number, stored in enumerate(pages):
            if stored.url in self._known and not isinstance(answers[number], ExtractError):
                self._news[stored.url] = None
        return [answers[number] for number in range(len(pages))]

    def _records_here(self, stored: Stored) -> tuple[Milestone, ...]:
        return self._site.read_many(
            stored.page, source=self._reader.source, cards=stored.cards, labels=self._labels
        )

    def _cards_here(self, stored: Stored) -> tuple[Card, ...]:
        return self._site.cards(stored.page)

    def _unread_here(self, stored: Stored) -> tuple[Unread, ...]:
        return self._site.unread(stored.page)

    def _refused(self, stored: Stored) -> ExtractError | None:
        before = self._known.get(stored.url)
        if before is None or before.by != self._by or before.body_hash != body_hash(stored.body):
            return None
        return before.error(stored.url)

    def _stopped(self, stored: Stored, why: str) -> ExtractError:
        stopped = Stopped(
            body_hash=body_hash(stored.body), by=self._by, why=why, at=self._now().isoformat(timespec="seconds")
        )
        self._known[stored.url] = self._news[stored.url] = stopped
        return stopped.error(stored.url)


def _tried(function: Callable[[Stored], Any], stored: Stored) -> Any:
    try:
        return function(stored)
    except ExtractError as error:
        return error
