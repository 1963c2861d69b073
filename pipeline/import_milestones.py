"""Milestones on their way in, from JSON Lines as `export` writes them: silently, and twice is as good as once.

    lines ─▶ parse_line (a wrong one is a sentence with its number) ─▶ merge with what is known ─▶ versions, no news
"""

import datetime as dt
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from extractors.clean import LIST_CAP, NAME_CAP, TITLE_CAP, clean, web_url
from milepost.codec import empty_to_json, field_to_json, milestone_from_json
from milepost.errors import InputError
from milepost.fields import FIELD, FIELDS, FieldType
from milepost.fingerprint import fingerprint
from milepost.records import Card, Image, Milestone, Witness
from newsletter.news.detect import compare, merge
from pipeline.importable import check
from store.database import Database
from store.milestones.milestones import Entry, Milestones

TOGETHER = 500  # records in one transaction
MAX_FAILURES = 1000  # sentences that are kept

# what a line may leave out: then it is unknown
_EMPTY: Mapping[str, Any] = {name: empty_to_json(name) for name in FIELDS if name != "title"}
_IMPORT = (Witness(witness="import", where="JSON Lines"),)


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """What a file came to."""

    lines: int
    added: int
    changed: int
    unchanged: int
    failed: int
    failures: tuple[str, ...]  # a sentence a line, the first MAX_FAILURES


def parse_line(text: str, *, source: str | None = None) -> Milestone:
    """One line as a record; `source` is the source it is to belong to, else the one it names.

    Raises InputError with what is wrong with it.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("is no JSON") from None
    if not isinstance(data, dict):
        raise InputError("is no JSON object")
    if source is not None:
        data["source"] = source
    left_out = sorted(name for name in _EMPTY if name not in data)
    data = {**_EMPTY, "unknown": left_out, "evidence": {}, "extractor": "", **data}
    check(data)
    record = _cleaned(milestone_from_json(data))
    # A picture of which nothing could be kept says nothing, least of all that there is none.
    refused = {"image"} if data["image"] is not None and record.image is None else set()
    return replace(record, unknown=record.unknown | {*left_out, *refused})


def as_imported(known: Milestone, record: Milestone) -> Milestone:
    """The record to keep of a known milestone that a line tells of; pure.

    What the line tells otherwise has the import for its only witness: no page said so. The rest keeps its own.
    """
    kept = merge(known, record)
    evidence = dict(known.evidence)
    for name in FIELDS:
        learnt = name in known.unknown and name not in kept.unknown
        if learnt or field_to_json(kept, name) != field_to_json(known, name):
            evidence[name] = _IMPORT
    return replace(kept, evidence=evidence, extractor=known.extractor)


def _cleaned(record: Milestone) -> Milestone:
    """The record with its texts as an extractor would have left them: no unseen signs, no odd addresses, capped."""

    return replace(record, **{name: _CLEANED[FIELD[name].type](getattr(record, name), record.url) for name in FIELDS})


def _cleaned_names(values: tuple[str, ...], _: str) -> tuple[str, ...]:
    return tuple(filter(None, (clean(value, NAME_CAP) for value in values[:LIST_CAP])))


def _cleaned_cards(cards: tuple[Card, ...], page: str) -> tuple[Card, ...]:
    return tuple(
        replace(card, title=clean(card.title, TITLE_CAP), summary=clean(card.summary),
                image=_cleaned_image(card.image, page))
        for card in cards[:LIST_CAP]
    )


def _cleaned_image(image: Image | None, page: str) -> Image | None:
    """None when neither an address nor a description is left: an empty picture is none."""
    if image is None:
        return None
    url, alt = web_url(image.url, page), clean(image.alt)
    return Image(url=url, alt=alt) if url or alt else None


_CLEANED: Mapping[FieldType, Callable[[Any, str], Any]] = {  # value, address of the page ─▶ value
    "line": lambda text, _: clean(text, TITLE_CAP), "prose": lambda text, _: clean(text),
    "slug": lambda slug, _: clean(slug, NAME_CAP) or None, "level": lambda level, _: level,
    "date": lambda date, _: date, "names": _cleaned_names, "slugs": _cleaned_names, "image": _cleaned_image,
    "cards": _cleaned_cards,
}


class Importer:
    """Takes lines in, some at a time."""

    def __init__(self, database: Database, *, sources: Collection[str], now: dt.datetime) -> None:
        """`sources`: the keys of sources that there are."""
        self._milestones, self._sources, self._now = Milestones(database), frozenset(sources), now
        self._waiting: dict[str, dict[str, Milestone]] = {}  # source → key → record
        self._count = self._added = self._changed = self._unchanged = self._failed = 0
        self._failures: list[str] = []

    def take(self, lines: Iterable[str], *, source: str | None = None) -> Imported:
        """All lines; one that can't be used is told with its number, and the others go on. Raises StoreError."""
        for self._count, text in enumerate(lines, 1):
            if not text.strip():
                continue
            try:
                self._add(parse_line(text, source=source))
            except InputError as error:
                self._failed += 1
                if len(self._failures) < MAX_FAILURES:
                    self._failures.append(f"line {self._count} {error.what}")
        self._write()
        return Imported(
            lines=self._count, added=self._added, changed=self._changed, unchanged=self._unchanged,
            failed=self._failed, failures=tuple(self._failures),
        )

    def _add(self, record: Milestone) -> None:
        if record.source not in self._sources:
            raise InputError(f"is of the source {record.source!r}, which the settings don't name")
        waiting = self._waiting.setdefault(record.source, {})
        if record.key in waiting or sum(map(len, self._waiting.values())) >= TOGETHER:
            self._write()
            waiting = self._waiting.setdefault(record.source, {})
        waiting[record.key] = record

    def _write(self) -> None:
        for source, records in self._waiting.items():
            known = self._milestones.some(source, records)
            entries: list[Entry] = []
            for key, record in records.items():
                if key not in known:
                    entries.append((None, record, None))
                    continue
                kept = as_imported(known[key].milestone, record)
                if fingerprint(kept) != known[key].fingerprint:
                    entries.append((compare(known[key].milestone, kept), kept, None))
            self._milestones.apply(None, source, entries, announce=False, now=self._now)
            added = len(records.keys() - known.keys())
            self._added += added
            self._changed += len(entries) - added
            self._unchanged += len(records) - len(entries)
        self._waiting.clear()
