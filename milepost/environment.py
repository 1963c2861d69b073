"""The names that MILEPOST_* variables and secret files may have, read off the settings' own shape, and who set a key.

    $CREDENTIALS_DIRECTORY, $MILEPOST_SECRETS ─▶ files named like variables ─▶ variables
    model ─▶ {"MILEPOST_MAIL__URL": text, "MILEPOST_SOURCES": JSON, …} ─▶ unknown names, values that are no JSON, blame
"""

import json
import logging
import types
import typing
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from pydantic import BaseModel

from milepost.errors import SettingsError

log = logging.getLogger("milepost.settings")

PREFIX = "MILEPOST_"
SECRETS = "MILEPOST_SECRETS"
# not settings: which file, where prefect.yaml finds it, and which folder of secret files
OTHERS = frozenset({"MILEPOST_CONFIG", "MILEPOST_HOME", SECRETS})
FOLDERS = ("CREDENTIALS_DIRECTORY", SECRETS)  # the first is what systemd sets for LoadCredential=
LARGEST = 65_536  # bytes of a secret file
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


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with the secret files of its FOLDERS: a file MILEPOST_MAIL__URL is read as the variable of that name.

    A line end after the value is none of it: editors and `echo` write one, and no relay takes it for a password's.
    Files of other names are other programs'. Raises SettingsError for a folder or file that can't be read, is empty,
    or sets what is set already.
    """
    found = dict(environ)
    taken = {name.upper(): name for name in environ}
    for folder in (Path(environ[name]) for name in FOLDERS if environ.get(name)):
        try:
            files = sorted(file for file in folder.iterdir() if file.name.upper().startswith(PREFIX))
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise SettingsError(f"the secret files can't be listed: {why}", where=str(folder),
                                hint=f"Mend or unset {SECRETS}.") from None
        for file in files:
            if (by := taken.get(file.name.upper())) is not None:
                raise SettingsError(f"sets what {by} sets already", where=str(file), hint="Keep one of them.")
            taken[file.name.upper()] = str(file)
            found[file.name] = _secret(file)
    return found


def _secret(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            value = opened.read(LARGEST + 1)
        text = value.decode("utf-8").rstrip("\r\n")
    except IsADirectoryError:  # what Docker puts there when the file to be mounted is missing
        raise SettingsError("is a folder, and should be a secret file", where=str(file),
                            hint="Was the file there when it was to be mounted?") from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise SettingsError(f"can't be read: {why}", where=str(file), hint="Check its owner and mode.") from None
    except UnicodeDecodeError:
        raise SettingsError("is not UTF-8 text", where=str(file), hint="Write the secret itself into it.") from None
    if not text.strip() or len(value) > LARGEST:
        what = "is empty" if not text.strip() else "is too long for a secret"
        raise SettingsError(what, where=str(file), hint="Write the secret itself into it, or remove it.")
    return text


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
