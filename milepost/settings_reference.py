"""Writes docs/settings.md from the settings' own model: `python -m milepost.settings_reference > docs/settings.md`."""

import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from milepost.settings import Settings

_HEAD = """\
# Settings

`milepost init` writes a `milepost.toml` with comments; `milepost doctor` checks one and what it points at. Every key
can come from the environment too: `MILEPOST_MAIL__URL` is `url` in `[mail]`; lists and `[[sources]]` want JSON there.

This page is written from the settings' own model (`make docs`), and a test holds it to that.
"""
_KINDS: Mapping[object, str] = {
    str: "text", int: "whole number", float: "number", bool: "true or false", SecretStr: "text, secret", Path: "path",
}


def reference() -> str:
    """The whole page, in Markdown."""
    return "\n".join([_HEAD, *_sections()])


def _sections() -> Iterator[str]:
    for name, section in Settings.model_fields.items():
        model = _model(section.annotation)
        yield f"## `{model.__doc__}`\n\n| key | takes | default | |\n|---|---|---|---|"
        for key, field in model.model_fields.items():
            if not field.description:
                raise ValueError(f"{name}.{key} says nothing of itself")
            yield f"| `{field.alias or key}` | {_takes(field)} | {_default(field)} | {_cell(field.description)} |"
        yield ""


def _model(annotation: Any) -> type[BaseModel]:
    """The section's model, alone or in a tuple."""
    return next(kind for kind in (annotation, *get_args(annotation))
                if isinstance(kind, type) and issubclass(kind, BaseModel))


def _takes(field: FieldInfo) -> str:
    return _cell(" ".join([field.title or _kind(field.annotation), *_bounds([*field.metadata, *_inner(field)])]))


def _inner(field: FieldInfo) -> Iterator[Any]:
    """The bounds inside `Annotated[int, Field(ge=1)] | None`."""
    for part in get_args(field.annotation):
        for told in getattr(part, "__metadata__", ()):
            yield from getattr(told, "metadata", ())


def _bounds(metadata: Iterable[Any]) -> Iterator[str]:
    for part in metadata:
        match part:
            case Ge(ge=bound):
                yield f"from {bound}"
            case Gt(gt=bound):
                yield f"above {bound}"
            case Le(le=bound):
                yield f"to {bound}"
            case Lt(lt=bound):
                yield f"below {bound}"


def _kind(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(inner[0])
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in inner)
    if origin in (Union, types.UnionType):
        return _kind(next(part for part in inner if part is not type(None)))
    if origin is tuple:
        return f"list of {_kind(inner[0])}"
    if origin is not None and issubclass(origin, Mapping):
        return "table"
    return _KINDS[annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value in ("", (), {}):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return "`[" + ", ".join(f'"{part}"' for part in value) + "]`"
    return f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    sys.stdout.write(reference())
