"""Milestones on their way out, as lines of text: JSON Lines, CSV for spreadsheets, JSON-LD for search engines.

    records, one at a time ─▶ lines(form) ─▶ a file or standard output
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

from milepost.codec import milestone_to_json
from milepost.fields import FIELD, Field
from milepost.records import Milestone
from milepost.text_shape import in_plain

Form = Literal["jsonl", "csv", "jsonld"]

CSV_COLUMNS = ("source", "key", "url", *(column for field in FIELD.values() for column in field.columns), "unknown")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would calculate instead of showing it


def lines(form: Form, records: Iterable[Milestone]) -> Iterator[str]:
    """The lines of an export without their ends; nothing is held but the record at hand."""
    return FORMS[form](records)


def _jsonl(records: Iterable[Milestone]) -> Iterator[str]:
    for record in records:
        yield _dumps(milestone_to_json(record))


def _csv(records: Iterable[Milestone]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="")
    for row in _rows(records):
        writer.writerow(row)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _rows(records: Iterable[Milestone]) -> Iterator[Iterable[object]]:
    yield CSV_COLUMNS
    for record in records:
        data = milestone_to_json(record)
        told = [value for name, field in FIELD.items() if field.columns for value in _in_columns(field, data[name])]
        yield map(_cell, (record.source, record.key, record.url, *told, data["unknown"]))


def _in_columns(field: Field, value: Any) -> tuple[object, ...]:
    """The JSON form of a field as its columns hold it."""
    match field.type:
        case "date":
            return (value and value["value"],)
        case "image":
            return (value["url"], value["alt"]) if value else (None, None)
        case "prose":
            return (value and in_plain(value),)
    return (value,)


def _cell(value: object) -> object:
    """A site's text stays text: an apostrophe keeps a spreadsheet from taking it for a formula."""
    text = "; ".join(map(str, value)) if isinstance(value, list) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(_FORMULA) else text


def _jsonld(records: Iterable[Milestone]) -> Iterator[str]:
    yield '{"@context": "https://schema.org", "@graph": ['
    before = None
    for record in records:
        if before is not None:
            yield f"{before},"
        before = _dumps(to_jsonld(record)).replace("</", "<\\/")  # it may be put into a <script>
    if before is not None:
        yield before
    yield "]}"


def to_jsonld(record: Milestone) -> dict[str, Any]:
    """A milestone as a schema.org Event (https://schema.org/Event): empty and unknown fields are left out.

    `startDate` has the precision that is confirmed (ISO 8601); why it mattered is the abstract of the page about it.
    """
    page: dict[str, Any] = {"@type": "Article", "url": record.url, "headline": record.title}
    data: dict[str, Any] = {"@type": "Event", "@id": record.url, "identifier": record.key, "url": record.url}
    for name, field in FIELD.items():
        if field.jsonld is not None and name not in record.unknown:
            holder, _, below = field.jsonld.path.partition(".")
            value = _as_jsonld(field, getattr(record, name))
            if below:
                page[below] = value
            else:
                data[holder] = value
    date = record.date
    data["endDate"] = None if date is None or date.until == ".." else date.until
    return _told(data | {"subjectOf": _told(page)})


def _as_jsonld(field: Field, value: Any) -> object:
    """A field's value in schema.org's words; what is the name of a thing becomes a thing of that name."""
    thing = field.jsonld.type if field.jsonld else ""
    match field.type:
        case "date":
            return value and (value.value if value.confirmed else str(value.year))
        case "image":
            if not value or not value.url:
                return None
            return _told({"@type": "ImageObject", "url": value.url, "caption": value.alt})
        case "names" | "slugs":
            return [{"@type": thing, "name": name} for name in value] if thing else list(value)
        case "slug":
            return value and ({"@type": thing, "identifier": value} if thing else value)
        case "prose":
            value = in_plain(value)
    return value and ({"@type": thing, "name": value} if thing else value)


def _told(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if value not in (None, "", [], {})}


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


FORMS: Mapping[Form, Callable[[Iterable[Milestone]], Iterator[str]]] = MappingProxyType(
    {"jsonl": _jsonl, "csv": _csv, "jsonld": _jsonld}
)
