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
from milepost.records import Milestone

Form = Literal["jsonl", "csv", "jsonld"]

CSV_COLUMNS = ("source", "key", "url", "title", "date", "category", "era", "impact", "what_happened",
               "why_it_mattered", "people", "organizations", "tags", "image_url", "image_alt", "unknown")
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
        image = data["image"] or {"url": None, "alt": None}
        data |= {"date": record.date.value if record.date else None, "image_url": image["url"],
                 "image_alt": image["alt"]}
        yield (_cell(data[name]) for name in CSV_COLUMNS)


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
    page = {"@type": "Article", "url": record.url, "headline": record.title, "abstract": record.why_it_mattered,
            "articleSection": record.category}
    date = record.date
    image = {"@type": "ImageObject", "url": record.image.url, "caption": record.image.alt} if record.image else {}
    data: dict[str, Any] = {
        "@type": "Event", "@id": record.url, "identifier": record.key, "url": record.url, "name": record.title,
        "startDate": None if date is None else date.value if date.confirmed else str(date.year),
        "endDate": None if date is None or date.until == ".." else date.until,
        "description": record.what_happened, "superEvent": record.era and {"@type": "Event", "identifier": record.era},
        "contributor": [{"@type": "Person", "name": name} for name in record.people],
        "organizer": [{"@type": "Organization", "name": name} for name in record.organizations],
        "keywords": list(record.tags), "image": _told(image) if image.get("url") else None, "subjectOf": _told(page),
    }
    return _told({name: value for name, value in data.items() if name not in _unknown(record)})


_NAMES: Mapping[str, str] = MappingProxyType({  # field → what it is called there
    "title": "name", "date": "startDate", "what_happened": "description", "era": "superEvent", "people": "contributor",
    "organizations": "organizer", "tags": "keywords", "image": "image",
})


def _unknown(record: Milestone) -> set[str]:
    return {_NAMES[name] for name in record.unknown if name in _NAMES}


def _told(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if value not in (None, "", [], {})}


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


FORMS: Mapping[Form, Callable[[Iterable[Milestone]], Iterator[str]]] = MappingProxyType(
    {"jsonl": _jsonl, "csv": _csv, "jsonld": _jsonld}
)
