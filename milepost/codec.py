"""The JSON forms of records: what scripts rely on, what the store keeps, what hashes are taken of."""

import hashlib
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, cast

from milepost.dates import PartialDate
from milepost.fields import FIELD, FIELDS, FieldType
from milepost.records import Card, Image, Milestone, Witness

Json = dict[str, Any]


def date_to_json(date: PartialDate | None) -> Json | None:
    if date is None:
        return None
    # Marks appear only where they are: what was hashed before there were any keeps its hash.
    marks = {"circa": date.circa or None, "until": date.until}
    return {"value": date.value, "precision": date.precision, "confirmed": date.confirmed} | {
        name: mark for name, mark in marks.items() if mark is not None
    }


def date_from_json(data: Mapping[str, Any] | None) -> PartialDate | None:
    return None if data is None else PartialDate(
        value=data["value"], confirmed=data["confirmed"], circa=data.get("circa", False), until=data.get("until"),
    )


def _image_to_json(image: Image | None) -> Json | None:
    return None if image is None else {"url": image.url, "alt": image.alt}


def _image_from_json(data: Mapping[str, Any] | None) -> Image | None:
    return None if data is None else Image(url=data["url"], alt=data["alt"])


def card_to_json(card: Card) -> Json:
    """A card as scripts see it; the extras of a listing or of plain text appear only where they are."""
    data: Json = {
        "key": card.key,
        "title": card.title,
        "category": card.category,
        "date": card.date.value if card.date else None,
        "summary": card.summary,
        "people": list(card.people),
        "organizations": list(card.organizations),
    }
    extras: Json = {
        "date_confirmed": None if card.date is None or card.date.confirmed else False,
        "impact": card.impact,
        "tags": list(card.tags) or None,
        "image": _image_to_json(card.image),
        "raw_names": card.raw_names,
        "silent": list(card.silent) or None,
        "confidence": card.confidence,
    }
    return data | {name: value for name, value in extras.items() if value is not None}


def card_from_json(data: Mapping[str, Any]) -> Card:
    return Card(
        key=data["key"],
        title=data["title"],
        category=data["category"],
        date=PartialDate(value=data["date"], confirmed=data.get("date_confirmed", True)) if data["date"] else None,
        summary=data["summary"],
        people=tuple(data["people"]),
        organizations=tuple(data["organizations"]),
        impact=data.get("impact"),
        tags=tuple(data.get("tags") or ()),
        image=_image_from_json(data.get("image")),
        raw_names=data.get("raw_names"),
        confidence=data.get("confidence"),
        silent=tuple(data.get("silent") or ()),
    )


def _witness_to_json(witness: Witness) -> Json:
    data: Json = {"witness": witness.witness, "where": witness.where}  # two dozen a page: no loop
    if witness.url is not None:
        data["url"] = witness.url
    if witness.says is not None:
        data["says"] = witness.says
    return data


def _plain(value: Any) -> Any:
    return value


# type of a field → its JSON form, and back; the values of an empty field are those of milepost.fields.EMPTY
_FORMS: Mapping[FieldType, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = MappingProxyType({
    "line": (_plain, _plain), "prose": (_plain, _plain), "slug": (_plain, _plain), "level": (_plain, _plain),
    "date": (date_to_json, date_from_json), "names": (list, tuple), "slugs": (list, tuple),
    "image": (_image_to_json, _image_from_json),
    "cards": (lambda cards: list(map(card_to_json, cards)), lambda data: tuple(map(card_from_json, data))),
})


def field_to_json(milestone: Milestone, name: str) -> object:
    """The JSON form of one field of a milestone."""
    return _FORMS[FIELD[name].type][0](getattr(milestone, name))


def empty_to_json(name: str) -> object:
    """The JSON form of a field that is empty."""
    field = FIELD[name]
    return _FORMS[field.type][0](field.empty)


def evidence_to_json(milestone: Milestone) -> Json:
    """Who told each field, and who told it otherwise."""
    return {
        name: [_witness_to_json(witness) for witness in witnesses] for name, witnesses in milestone.evidence.items()
    }


def milestone_to_json(milestone: Milestone) -> Json:
    """The whole record: the form of `extract --json` and of each line of `milestones --format jsonl`."""
    data: Json = {"source": milestone.source, "key": milestone.key, "url": milestone.url}
    data |= {name: field_to_json(milestone, name) for name in FIELDS}
    data["unknown"] = sorted(milestone.unknown)
    data["evidence"] = evidence_to_json(milestone)
    data["extractor"] = milestone.extractor
    return data | {"found_on": milestone.found_on} if milestone.found_on else data


def milestone_from_json(data: Mapping[str, Any]) -> Milestone:
    """The inverse of `milestone_to_json`; raises KeyError or ValueError on data that is none.

    A field that came after the data was written is unknown.
    """
    later = [name for name in FIELDS if name not in data and not FIELD[name].hashes_empty]
    values = {name: _FORMS[FIELD[name].type][1](data[name]) for name in FIELDS if name not in later}
    return Milestone(
        source=data["source"],
        key=data["key"],
        url=data["url"],
        **values,
        unknown=frozenset((*data["unknown"], *later)),
        evidence={
            name: tuple(Witness(**witness) for witness in witnesses) for name, witnesses in data["evidence"].items()
        },
        extractor=data.get("extractor", ""),
        found_on=data.get("found_on", ""),
    )


def canonical_json(value: object) -> bytes:
    """One byte string for equal values: sorted keys, no spaces, UTF-8 (after RFC 8785, without its number rules)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def json_hash(value: object) -> str:
    """SHA-256 of `canonical_json`, in hex."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def loads(data: str | bytes) -> Json:
    """Read a JSON object."""
    return cast("Json", json.loads(data))
