"""What an object of a line must be to be a milestone, as `export` writes them; a wrong one is a sentence."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from extractors.clean import URL_CAP, clean
from milepost.dates import PartialDate
from milepost.errors import InputError
from milepost.fields import FIELD, FIELDS, FieldType
from milepost.records import Milestone

_TEXT, _TEXTS, _OPTIONAL = (str,), (list,), (str, type(None))
_BY_TYPE: Mapping[FieldType, tuple[type, ...]] = {
    "line": _TEXT, "prose": _TEXT, "slug": _OPTIONAL, "level": (int, type(None)), "date": (dict, type(None)),
    "names": _TEXTS, "slugs": _TEXTS, "image": (dict, type(None)), "cards": (list,),
}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "source": _TEXT, "key": _TEXT, "url": _TEXT, **{name: _BY_TYPE[field.type] for name, field in FIELD.items()},
    "unknown": _TEXTS, "evidence": (dict,), "extractor": _TEXT,
}
_NAMED = {one.name for one in fields(Milestone)}
# What stands inside an object: its names that must be there, and those that may.
_Shape = tuple[Mapping[str, tuple[type, ...]], Mapping[str, tuple[type, ...]]]
_DATE: _Shape = {"value": _TEXT, "confirmed": (bool,)}, {"circa": (bool,), "until": _OPTIONAL}
_IMAGE: _Shape = {"url": _OPTIONAL, "alt": _OPTIONAL}, {}
_CARD: _Shape = (
    {"key": _OPTIONAL, "title": _TEXT, "category": _OPTIONAL, "date": _OPTIONAL, "summary": _TEXT, "people": _TEXTS,
     "organizations": _TEXTS},
    {"impact": (int, type(None)), "tags": (list, type(None)), "image": (dict, type(None)), "raw_names": _OPTIONAL,
     "confidence": (int, float, type(None))},
)
_WITNESS: _Shape = {"witness": _TEXT, "where": _TEXT}, {"url": _OPTIONAL, "says": _OPTIONAL}
_WORDS = {str: "a text", list: "a list", dict: "an object", int: "a number", type(None): "null"}


def check(data: Mapping[str, Any]) -> None:
    """Raises InputError with the first thing that is wrong with a line's object, naming the key.

    What a line may leave out must be filled in before.
    """
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
    _check_parts(data)


def _check_parts(data: Mapping[str, Any]) -> None:
    """What is inside the fields that are more than a text, a number or a list of texts."""
    if data["date"] is not None:
        _check_shape("date", data["date"], _DATE)
        _check_day("date", data["date"]["value"], data["date"].get("until"))
    if data["image"] is not None:
        _check_shape("image", data["image"], _IMAGE)
    for card in data["related"]:
        _check_shape("related", card, _CARD)
        named = [part for name in ("people", "organizations", "tags") for part in card.get(name) or ()]
        if not all(isinstance(part, str) for part in named):
            raise _unlike("related")
        if card["date"]:
            _check_day("related", card["date"])
        if card.get("image") is not None:
            _check_shape("related", card["image"], _IMAGE)
    for witnesses in data["evidence"].values():
        if not isinstance(witnesses, list):
            raise _unlike("evidence")
        for witness in witnesses:
            _check_shape("evidence", witness, _WITNESS)
            if unheard := sorted(set(witness) - {*_WITNESS[0], *_WITNESS[1]}):
                raise InputError(f"names {unheard[0]!r} in its 'evidence', which no witness has")


def _check_shape(field: str, part: object, shape: _Shape) -> None:
    needed, possible = shape
    if not isinstance(part, dict):
        raise _unlike(field)
    if missing := [name for name in needed if name not in part]:
        raise InputError(f"has no {missing[0]!r} in its {field!r}")
    for name, types in {**needed, **possible}.items():
        value = part.get(name)
        if name in part and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
            raise InputError(f"has {value!r:.60} as {name!r} in its {field!r}, which `milepost export` never writes")


def _check_day(field: str, value: str, until: str | None = None) -> None:
    try:
        PartialDate(value=value, until=until)
    except ValueError as error:
        raise InputError(f"has a {field!r} that can't be: {error}") from None


def _unlike(field: str) -> InputError:
    return InputError(f"has a part in its {field!r} that is not as `milepost export` writes it")
