"""The names that MILEPOST_* variables may have, read off the settings' own shape, and who set a key: they or the file.

    model ─▶ {"MILEPOST_MAIL__URL": text, "MILEPOST_SOURCES": JSON, …} ─▶ unknown names, values that are no JSON, blame
"""

import json
import logging
import types
import typing
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from pydantic import BaseModel

from milepost.errors import SettingsError

log = logging.getLogger("milepost.settings")

PREFIX = "MILEPOST_"
OTHERS = frozenset({"MILEPOST_CONFIG", "MILEPOST_HOME"})  # not settings: which file, and where prefect.yaml finds it
_NEAR = 0.8  # likeness from which a name is taken for a misspelt one


def names(model: type[BaseModel]) -> dict[str, str | None]:
    """Each variable's name → an example of the JSON it wants, None where it is taken as it stands."""
    found: dict[str, str | None] = {}
    for section, field in model.model_fields.items():
        name = f"{PREFIX}{section.upper()}"
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found[name] = '{"key": "value"}'
            for key, part in inner.model_fields.items():
                found[f"{name}__{(part.alias or key).upper()}"] = _example(part.annotation)
        else:
            found[name] = '[{"key": "value"}]'
    return found


def _example(annotation: object) -> str | None:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return next(filter(None, map(_example, typing.get_args(annotation))), None)
    if origin is tuple:
        return '["one", "two"]'
    return '{"key": "value"}' if isinstance(origin, type) and issubclass(origin, Mapping) else None


def check(model: type[BaseModel], environ: Mapping[str, str]) -> None:
    """Raises SettingsError for a variable that looks like a setting and is none, or is not the JSON it must be.

    A misspelt guard must not be a missing guard. A name that is like no setting is only logged: other programs may
    have set it (a service called `milepost` gets MILEPOST_PORT from Kubernetes).
    """
    known = names(model)
    strangers: list[str] = []
    for given in sorted(environ):
        name = given.upper()
        if not name.startswith(PREFIX) or name in OTHERS:
            continue
        if name in known:
            _check_json(given, environ[given], known[name])
            continue
        bare = [one.removeprefix(PREFIX) for one in known]
        near = get_close_matches(name.removeprefix(PREFIX), bare, n=1, cutoff=0.0 if "__" in name else _NEAR)
        if not near:
            strangers.append(given)
            continue
        raise SettingsError(
            "is not a setting", where=given, hint=f"The nearest is {PREFIX}{near[0]}; rename or unset it."
        )
    if strangers:
        verb = "are no settings, and are" if len(strangers) > 1 else "is no setting, and is"
        log.warning("%s %s ignored; `milepost init --print` names those there are", ", ".join(strangers), verb)


def _check_json(name: str, value: str, example: str | None) -> None:
    if example is None:
        return
    try:
        json.loads(value)
    except ValueError as error:
        raise SettingsError(
            f"is not JSON ({error})", where=name, hint=f"Want JSON in one line, as in {name}='{example}'."
        ) from None


def origin(where: Sequence[int | str], environ: Mapping[str, str]) -> str | None:
    """The variable that set the value at `where` (("newsletter", "hour")), None when it came from the file."""
    given = {name.upper(): name for name in environ}
    section = f"{PREFIX}{where[0]}".upper() if where else PREFIX
    if len(where) > 1 and (name := f"{section}__{where[1]}".upper()) in given:
        return given[name]
    if section not in given:
        return None
    value = json.loads(environ[given[section]])
    part_of_it = len(where) < 2 or not isinstance(value, dict) or where[1] in value
    return given[section] if part_of_it else None
