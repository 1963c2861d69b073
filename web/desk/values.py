"""A field's value as operators read it: its JSON form in words. Pure."""

from collections.abc import Mapping

from milepost.fields import FIELD
from milepost.printable import printable

LONGEST = 400  # characters of one that stands in a list


def told(value: object, longest: int = LONGEST) -> str:
    """Any value of `milepost.codec.field_to_json`; "–" for none."""
    text = _told(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def label(field: str) -> str:
    """What a field is called."""
    return FIELD[field].labels["en"] if field in FIELD else field.replace("_", " ").capitalize()


def _told(value: object) -> str:
    match value:
        case None | "" | []:
            return "–"
        case str():
            return printable(value)
        case list():
            return ", ".join(map(_told, value))
        case Mapping():
            for name in ("title", "url", "value"):
                if name in value:
                    return _told(value[name])
            return "; ".join(f"{name}: {_told(one)}" for name, one in value.items() if one not in (None, "", []))
        case _:
            return str(value)
