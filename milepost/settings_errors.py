"""Says what pydantic found wrong with the settings in one plain sentence: the key, what was given, what is wanted."""

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import UnionType
from typing import Any, Union, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from milepost import environment
from milepost.errors import SettingsError

_USERINFO = re.compile(r"://[^/\s]*@")  # a password stands there, if anywhere in an address
_QUERY = re.compile(r"\?[^\s\"]+")  # … or a token
_SECRET = (
    "signing_key", "password", "mail.url", "mail.fallback", "oauth2_token", "bounces.sources", "notify.urls",
    "metrics_token", "mailgun_key",  # and their previous_…, which end in the same
    "webhooks.",  # by the path of such an address many a service knows who may post there
)
_MASKED = "(masked)"
_COMPARE = "Compare with `milepost init --print`."

# pydantic's error types (https://docs.pydantic.dev/latest/errors/validation_errors/) → what is wanted
_WANTED = {
    "tuple_type": "a list, as in {example}",
    "model_type": "a section, as in {example}",
    "dict_type": "a table of keys and values, as in {{ key = \"value\" }}",
    "mapping_type": "a table of keys and values, as in {{ key = \"value\" }}",
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "path_type": "a path in quotes",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "less than {lt:g}",
    "less_than_equal": "{le:g} or less",
    "literal_error": "{expected}",
    "too_short": "at least {min_length} of them",
    "string_too_short": "at least {min_length} characters",
    "string_pattern_mismatch": "something of the form {pattern}",
}


def sentence(
    error: ValidationError, *, model: type[BaseModel], file: str, data: Mapping[str, Any], environ: Mapping[str, str]
) -> SettingsError:
    """The first problem; the rest are met on the next try. It blames the variable or the file that set the value."""
    problem = error.errors()[0]
    where, of_a_form = _without_form(model, problem["loc"])
    if of_a_form:  # its title says better what it takes than what keeps it from being the first of its forms
        problem = {**problem, "loc": where, "type": "string_pattern_mismatch"}
    variable = environment.origin(where, environ) if where else None
    key = _named(where, data if variable is None else {})
    blamed = variable or file
    match problem["type"]:
        case "extra_forbidden":
            near = _near(model, where)
            hint = f"Did you mean {near}?" if near else _COMPARE
            return SettingsError(f"{key} is not a setting", where=blamed, hint=hint)
        case "missing":
            return SettingsError(f"{key} is missing", where=blamed, hint=_COMPARE)
        case "value_error" if not where:
            return SettingsError(_message(problem), where=blamed, hint="Mend the one or the other.")
    return SettingsError(f"{key} = {_shown(problem)} is not allowed: {_wanted(problem, model)}", where=blamed)


def _named(where: Sequence[int | str], data: Mapping[str, Any]) -> str:
    """newsletter.hour, or allow_hosts of the source 'aitimeline', as people look for it in the file."""
    match list(where):
        case ["sources", int(position), *rest]:
            listed = data.get("sources")
            given = listed[position] if isinstance(listed, list | tuple) and position < len(listed) else None
            key = given.get("key") if isinstance(given, Mapping) else None
            source = f"source {key!r}" if isinstance(key, str) else f"source number {position + 1}"
            return f"{source}: {'.'.join(map(str, rest))}" if rest else f"the {source}"
        case parts:
            return ".".join(map(str, parts)) or "the settings"


def _without_form(model: type[BaseModel], where: tuple[int | str, ...]) -> tuple[tuple[int | str, ...], bool]:
    """The keys up to a field that takes one of several forms (`"auto"` or a list), without pydantic's name of the form;
    and whether there was one, and the field has a title that says what it takes.
    """
    for at in range(1, len(where)):
        inner = _section(model, where[: at - 1]).model_fields.get(str(where[at - 1]))
        if inner is not None and inner.title and get_origin(inner.annotation) in (Union, UnionType):
            return where[:at], True
    return where, False


def _section(model: type[BaseModel], above: Sequence[int | str]) -> type[BaseModel]:
    """The model of the section that the keys `above` lead to."""
    for part in above:
        if isinstance(part, int):
            continue
        if part not in model.model_fields:
            continue
        inner = model.model_fields[part].annotation
        kinds = (inner, *getattr(inner, "__args__", ()))
        model = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), model)
    return model


def _near(model: type[BaseModel], where: Sequence[int | str]) -> str | None:
    """The known key that is most like the unknown one at `where`."""
    *above, wrong = where
    known = [field.alias or name for name, field in _section(model, above).model_fields.items()]
    near = get_close_matches(str(wrong), known, n=1)
    return ".".join([*(str(part) for part in above if "sources" not in above), near[0]]) if near else None


def _described(model: type[BaseModel], where: Sequence[int | str]) -> str | None:
    """What a field's own title says it takes."""
    fields = _section(model, where[:-1]).model_fields
    return next((field.title for name, field in fields.items() if where[-1] in (name, field.alias)), None)


def _message(problem: ErrorDetails) -> str:
    return problem["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")


def _wanted(problem: ErrorDetails, model: type[BaseModel]) -> str:
    if problem["type"] == "string_pattern_mismatch" and (described := _described(model, problem["loc"])):
        return f"want {described}"
    form = _WANTED.get(problem["type"])
    if form is None:
        return _message(problem)
    given, name = problem.get("input"), problem["loc"][-1]
    if problem["type"] == "model_type":
        example = f"[{name}]" if isinstance(name, str) else f"[[{problem['loc'][0]}]]"
    elif isinstance(given, Mapping) or name == "sources":
        example = f"[[{name}]]"
    else:
        example = json.dumps([given if isinstance(given, str) and not _USERINFO.search(given) else "…"])
    return "want " + form.format(example=example, **problem.get("ctx", {}))


def _masked(key: str, value: object) -> object:
    """The value of `key`, a section's secrets masked one by one."""
    if any(word in key for word in _SECRET):
        return _MASKED
    if isinstance(value, Mapping):
        return {name: _masked(f"{key}.{name}", inner) for name, inner in value.items()}
    return value


def _shown(problem: ErrorDetails) -> str:
    """What was given, much as it stands in the file; never a secret."""
    given = _masked(".".join(str(part) for part in problem["loc"]), problem.get("input"))
    if given == _MASKED:
        return _MASKED
    text = _USERINFO.sub("://(masked)@", json.dumps(given, ensure_ascii=False, default=str))
    text = _QUERY.sub("?(masked)", text)
    return text if len(text) <= 80 else f"{text[:77]}…"
