"""Milestones on their way in, from JSON Lines as `export` writes them: silently, and twice is as good as once.

    lines ─▶ parse_line (a wrong one is a sentence with its number) ─▶ merge with what is known ─▶ versions, no news
"""

import datetime as dt
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    create_model,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from extractors.clean import LIST_CAP, NAME_CAP, TEXT_CAP, TITLE_CAP, URL_CAP, clean, web_url
from milepost.codec import empty_to_json, field_to_json, milestone_from_json
from milepost.dates import PartialDate
from milepost.errors import InputError
from milepost.fields import FIELD, FIELDS, FieldType
from milepost.fingerprint import fingerprint
from milepost.printable import UNSEEN
from milepost.records import Card, Image, Milestone, Witness
from milepost.text_shape import blocks_of, is_shaped, written
from newsletter.news.detect import compare, merge
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
    _check(data)
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


def _cleaned_prose(text: str) -> str:
    if not is_shaped(text):
        return clean(text)
    return written([
        block._replace(text="\n".join(UNSEEN.sub("", line) for line in block.text.split("\n")) if block.kind == "code"
                       else clean(block.text)) for block in blocks_of(text)
    ], TEXT_CAP)


def _cleaned_cards(cards: tuple[Card, ...], page: str) -> tuple[Card, ...]:
    return tuple(
        card._replace(title=clean(card.title, TITLE_CAP), summary=clean(card.summary),
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
    "line": lambda text, _: clean(text, TITLE_CAP), "prose": lambda text, _: _cleaned_prose(text),
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


# --- what an object of a line must be, as `export` writes them ---


def _sentence(text: str) -> PydanticCustomError:
    return PydanticCustomError("sentence", "{text}", {"text": text})  # its braces are not ours to fill


def _filled(text: str, info: ValidationInfo) -> str:
    if not clean(text):
        raise _sentence(f"has an empty {info.field_name!r}")
    return text


def _plain(text: str, info: ValidationInfo) -> str:
    if not text.isprintable() or len(text) > URL_CAP:
        raise _sentence(f"has a {info.field_name!r} that can't be one")
    return text


def _http(url: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise _sentence("has a url that is no http address")
    return url


def _level(level: int) -> int:
    if not 1 <= level <= 5:
        raise _sentence(f"has the impact {level}, want 1 to 5")
    return level


def _fields(names: list[str]) -> list[str]:
    if strange := sorted(set(names) - set(FIELDS)):
        raise _sentence(f"says that {strange[0]!r} is unknown, which is no field")
    return names


def _date_that_can_be(field: str, value: str, until: str | None = None) -> None:
    try:
        PartialDate(value=value, until=until)
    except ValueError as error:
        raise _sentence(f"has a {field!r} that can't be: {error}") from None


def _card_date(value: str) -> str:
    if value:
        _date_that_can_be("related", value)
    return value


class _Part(BaseModel):
    """A part that says more than it must is not refused for that: an export of a later release may."""

    model_config = ConfigDict(strict=True)


class _DateForm(_Part):
    value: str
    confirmed: bool
    circa: bool = False
    until: str | None = None

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        _date_that_can_be("date", self.value, self.until)
        return self


class _ImageForm(_Part):
    url: str | None
    alt: str | None


class _CardForm(_Part):
    key: str | None
    title: str
    category: str | None
    date: Annotated[str, AfterValidator(_card_date)] | None
    summary: str
    people: list[str]
    organizations: list[str]
    impact: int | None = None
    tags: list[str] | None = None
    image: _ImageForm | None = None
    raw_names: str | None = None
    confidence: float | None = None


class _WitnessForm(_Part):
    model_config = ConfigDict(strict=True, extra="forbid")
    witness: str
    where: str
    url: str | None = None
    says: str | None = None


_Named = Annotated[str, AfterValidator(_filled), AfterValidator(_plain)]
_BY_TYPE: Mapping[FieldType, Any] = {
    "line": str, "prose": str, "slug": str | None, "level": Annotated[int, AfterValidator(_level)] | None,
    "date": _DateForm | None, "names": list[str], "slugs": list[str], "image": _ImageForm | None,
    "cards": list[_CardForm],
}
_FORMS: dict[str, Any] = {name: (_BY_TYPE[field.type], ...) for name, field in FIELD.items()} | {
    "title": (Annotated[str, AfterValidator(_filled)], ...),
}
_LineForm = create_model(
    "_LineForm", __config__=ConfigDict(strict=True, extra="forbid"),
    source=(_Named, ...), key=(_Named, ...), url=(Annotated[_Named, AfterValidator(_http)], ...), **_FORMS,
    unknown=(Annotated[list[str], AfterValidator(_fields)], ...), evidence=(dict[str, list[_WitnessForm]], ...),
    extractor=(str, ...),
)
_WANT: Mapping[str, str] = {  # pydantic's error types → what is wanted, in the order in which they are told
    "string_type": "a text", "list_type": "a list", "dict_type": "an object", "model_type": "an object",
    "int_type": "a number", "float_type": "a number", "bool_type": "true or false",
}


def _check(data: Mapping[str, Any]) -> None:
    """Raises InputError with the first thing that is wrong with a line's object, naming the key."""
    try:
        _LineForm.model_validate(data)
    except ValidationError as error:
        raise InputError(_told(error.errors(include_url=False)[0])) from None


def _told(problem: ErrorDetails) -> str:
    """One of pydantic's findings as a sentence about the line."""
    kind, (field, *inside) = problem["type"], problem["loc"]
    named = next((part for part in reversed(inside) if isinstance(part, str)), None)
    if kind == "sentence":
        return problem["msg"]
    if kind == "extra_forbidden":
        return (f"names {field!r}, which is no field of a milestone" if not inside
                else f"names {named!r} in its {field!r}, which no witness has")
    if kind == "missing":
        return f"has no {field!r}" if not inside else f"has no {named!r} in its {field!r}"
    given = f"has {problem['input']!r:.60} as"
    if not inside:
        return f"{given} {field!r}, want {_WANT.get(kind, problem['msg'])}"
    if kind == "string_type" and not isinstance(inside[-1], str) and len(inside) == 1:
        return f"has something in {field!r} that is no text"
    if kind in ("model_type", "list_type") and (field == "evidence" or not isinstance(inside[-1], str)):
        return f"has a part in its {field!r} that is not as `milepost export` writes it"
    return f"{given} {named!r} in its {field!r}, which `milepost export` never writes"
