"""Milestones on their way in, from JSON Lines as `export` writes them: silently, and twice is as good as once.

    lines ─▶ parse_line (a wrong one is a sentence with its number) ─▶ merge with what is known ─▶ versions, no news
"""

import datetime as dt
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from extractors.clean import LIST_CAP, NAME_CAP, TITLE_CAP, URL_CAP, clean, web_url
from milepost.codec import milestone_from_json, milestone_to_json
from milepost.errors import InputError
from milepost.fingerprint import fingerprint
from milepost.records import FIELDS, Image, Milestone
from newsletter.detect import compare, merge
from store.database import Database
from store.milestones import Entry, Milestones

TOGETHER = 500  # records in one transaction
MAX_FAILURES = 1000  # sentences that are kept

_TEXT, _TEXTS, _OPTIONAL = (str,), (list,), (str, type(None))
_TYPES: Mapping[str, tuple[type, ...]] = {
    "source": _TEXT, "key": _TEXT, "url": _TEXT, "title": _TEXT, "date": (dict, type(None)), "category": _OPTIONAL,
    "era": _OPTIONAL, "impact": (int, type(None)), "what_happened": _TEXT, "why_it_mattered": _TEXT, "people": _TEXTS,
    "organizations": _TEXTS, "tags": _TEXTS, "image": (dict, type(None)), "related": (list,), "unknown": _TEXTS,
    "evidence": (dict,), "extractor": _TEXT,
}
_EMPTY: Mapping[str, Any] = {  # what a line may leave out: then it is unknown
    "date": None, "category": None, "era": None, "impact": None, "what_happened": "", "why_it_mattered": "",
    "people": [], "organizations": [], "tags": [], "image": None, "related": [],
}
_NAMED = {one.name for one in fields(Milestone)}


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
    _check(data)
    try:
        record = milestone_from_json(data)
        milestone_to_json(record)  # what is inside a card or a witness shows here
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"has a part that is not as `milepost export` writes it ({error!r})") from None
    return _cleaned(replace(record, unknown=record.unknown | set(left_out)))


def _cleaned(record: Milestone) -> Milestone:
    """The record with its texts as an extractor would have left them: no unseen signs, no odd addresses, capped."""

    def names(values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(filter(None, (clean(value, NAME_CAP) for value in values[:LIST_CAP])))

    image = record.image
    return replace(
        record, title=clean(record.title, TITLE_CAP), what_happened=clean(record.what_happened),
        why_it_mattered=clean(record.why_it_mattered), people=names(record.people),
        organizations=names(record.organizations), tags=names(record.tags),
        category=clean(record.category, NAME_CAP) or None, era=clean(record.era, NAME_CAP) or None,
        image=None if image is None else Image(url=web_url(image.url, record.url), alt=clean(image.alt)),
        related=tuple(replace(card, title=clean(card.title, TITLE_CAP), summary=clean(card.summary))
                      for card in record.related[:LIST_CAP]),
    )


def _check(data: Mapping[str, Any]) -> None:
    unheard = sorted(set(data) - _NAMED)
    if unheard:
        raise InputError(f"names {unheard[0]!r}, which is no field of a milestone")
    for name, types in _TYPES.items():
        if name not in data:
            raise InputError(f"has no {name!r}")
        value = data[name]
        if not isinstance(value, types) or isinstance(value, bool):
            raise InputError(f"has {value!r:.60} as {name!r}, want {' or '.join(_WORDS[kind] for kind in types)}")
        if types is _TEXTS and not all(isinstance(part, str) for part in data[name]):
            raise InputError(f"has something in {name!r} that is no text")
    for name in ("source", "key", "url", "title"):
        if not clean(data[name]):
            raise InputError(f"has an empty {name!r}")
        if name != "title" and (not data[name].isprintable() or len(data[name]) > URL_CAP):
            raise InputError(f"has a {name!r} that can't be one")
    if not data["url"].startswith(("https://", "http://")):
        raise InputError("has a url that is no http address")
    if data["impact"] is not None and not 1 <= data["impact"] <= 5:
        raise InputError(f"has the impact {data['impact']}, want 1 to 5")
    if strange := sorted(set(data["unknown"]) - set(FIELDS)):
        raise InputError(f"says that {strange[0]!r} is unknown, which is no field")


_WORDS = {str: "a text", list: "a list", dict: "an object", int: "a number", type(None): "null"}


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
                kept = merge(known[key].milestone, record)
                if fingerprint(kept) != known[key].fingerprint:
                    entries.append((compare(known[key].milestone, kept), kept, None))
            self._milestones.apply(None, source, entries, announce=False, now=self._now)
            added = len(records.keys() - known.keys())
            self._added += added
            self._changed += len(entries) - added
            self._unchanged += len(records) - len(entries)
        self._waiting.clear()
