"""The OpenAPI 3.1 document, made from the rows that answer; nothing stands in it that isn't there."""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from milepost import __version__
from web.api.endpoints import Endpoint
from web.api.problems import MEDIA_TYPE, ProblemDetails

_REF = "#/components/schemas/{model}"
_COMMON = {
    401: "No token, or one that opens nothing (any more)", 403: "The token lacks the scope",
    429: "Too many requests; Retry-After says when", 503: "The database is locked or down; nothing was begun",
}
_TAGS = {
    "status": "How everything stands.", "looks": "Sources, looks at them, and what waits for a decision.",
    "milestones": "What is on record, and where each value comes from.", "issues": "Newsletters and their ledgers.",
    "readers": "People: their own scope, and their addresses in no page's address.",
}


def document(endpoints: Sequence[Endpoint], base: str) -> dict[str, Any]:
    """The document as JSON knows it; `base`: where the API is, "/api/v1". Pure."""
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(ProblemDetails, "serialization")]
    for one in endpoints:
        wanted.append((one.answer, "serialization"))
        if one.body is not None:
            wanted.append((one.body, "validation"))
    refs, schemas = _schemas(tuple(dict.fromkeys(wanted)))
    paths: dict[str, dict[str, Any]] = {}
    for one in endpoints:
        paths.setdefault(one.path, {})[one.verb.lower()] = _operation(one, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Milepost", "version": __version__, "license": {"name": "MIT", "identifier": "MIT"},
            "description": "Ask and decide as the command line does. Make a token with `milepost tokens add NAME"
                           " --scope read`; it goes in the Authorization header and nowhere else.",
        },
        "servers": [{"url": base}],
        "tags": [{"name": name, "description": says} for name, says in _TAGS.items()],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


@functools.cache
def _schemas(models: tuple[tuple[type[BaseModel], JsonSchemaMode], ...]) -> tuple[Any, Mapping[str, Any]]:
    """What refers to each model, and the schemas by name; a fifth of a second, and a process's models stay."""
    refs, schemas = models_json_schema(models, ref_template=_REF)
    return refs, schemas["$defs"]


# What can't be taken apart as HTTP is answered by the server in a line, before anybody knows whom it was for.
_BY_THE_SERVER = {"text/plain": {"schema": {"type": "string"}}}


def _operation(one: Endpoint, refs: Any) -> dict[str, Any]:
    said = {400: "It is no HTTP that can be read"} | _COMMON
    if one.at is not None:
        said[404] = "There is none of that number or name"
    if one.query is not None or one.body is not None:
        said[422] = "What was sent can't be used; `faults` says where"
    if one.body is not None:
        said |= {400: "The body is no JSON", 408: "The body did not come in time", 413: "The body is too long",
                 415: "The body is not application/json"}
    if one.acts:
        said[409] = "Its state forbids that"
    if one.seen is not None:
        said[412] = "If-Match names another state than today's"
    said |= one.says or {}
    told: dict[str, Any] = {
        "operationId": one.name, "tags": [one.tag], "summary": one.about,
        "description": f"Scope: `{one.scope}`." if one.scope else "Any token.",
        "parameters": [*_parameters(one)],
        "responses": {"200": {
            "description": "Done" if one.acts else "Found",
            "headers": {} if one.acts else {"ETag": {"schema": {"type": "string"}}},
            "content": {"application/json": {"schema": refs[one.answer, "serialization"]}},
        }} | {
            str(status): {"description": why, "content": {MEDIA_TYPE: {"schema": {
                "$ref": _REF.format(model="ProblemDetails")
            }}} | (_BY_THE_SERVER if status == 400 else {})} for status, why in sorted(said.items())
        },
    }
    if one.verb == "GET":
        told["responses"]["304"] = {"description": "What If-None-Match names is what there is"}
    if one.body is not None:
        told["requestBody"] = {
            "required": True, "content": {"application/json": {"schema": refs[one.body, "validation"]}},
        }
    return told


def _parameters(one: Endpoint) -> Iterator[dict[str, Any]]:
    for model, where in ((one.at, "path"), (one.query, "query")):
        if model is None:
            continue
        schema = _schema(model)
        for name, about in schema["properties"].items():
            yield {
                "name": name, "in": where, "required": name in schema.get("required", ()),
                "schema": _without_null(about),
            } | ({"description": about["description"]} if about.get("description") else {})
    if one.seen is not None:
        yield {"name": "If-Match", "in": "header", "required": False, "schema": {"type": "string"},
               "description": "The ETag of what was looked at: 412 where it is another by now"}


@functools.cache
def _schema(model: type[BaseModel]) -> Mapping[str, Any]:
    return model.model_json_schema()


def _without_null(about: Mapping[str, Any]) -> dict[str, Any]:
    """A query has no null: what may be left out is left out."""
    kinds = [kind for kind in about.get("anyOf", ()) if kind != {"type": "null"}]
    kept = {name: value for name, value in about.items() if name not in ("anyOf", "title", "default", "description")}
    if about.get("default") is not None:
        kept["default"] = about["default"]
    return kept | (kinds[0] if kinds else {})


def starlette_path(path: str) -> str:
    """An address of OpenAPI's as Starlette writes it. Pure."""
    return re.sub(r"{(number|field)}", r"{\1:\1}", path)
