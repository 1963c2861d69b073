"""JSON, of a file or an API: JMESPath says where the entries are, and in an entry each field (jmespath.org).

    entries = "releases[?!draft]"    fields = { key = "id", title = "name", date = "published_at" }
    next = "links.next"              pages = 10
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Self

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter
from pydantic import AfterValidator, Field, model_validator

from extractors.clean import web_url
from extractors.listpage import Entry
from extractors.named_values import FieldNames, NamedEntries, NamedOptions
from extractors.reconcile import PRECEDENCE
from extractors.unread import unread
from milepost.errors import ExtractError
from milepost.records import Page, Unread

_TYPES = frozenset({"application/json", "text/json", "text/plain", "application/x-ndjson", "application/jsonl",
                    "application/octet-stream", "text/javascript", "application/javascript", ""})
_ENTRIES_CAP = 20_000
_KEPT_CAP = 2_000_000  # characters of pages whose values are kept


def _expression(written: str) -> str:
    try:
        jmespath.compile(written)
    except (JMESPathError, ValueError) as error:
        raise ValueError(f"{written!r} is no JMESPath: {str(error).splitlines()[0]}") from None
    return written


Expression = Annotated[str, AfterValidator(_expression)]


def _expressions(given: Mapping[str, str]) -> Mapping[str, str]:
    for written in given.values():
        _expression(written)
    return given


class JsonOptions(NamedOptions):
    """[sources.options] of JSON."""

    path: str = "/data.json"
    entries: Expression = "@"  # the list of them; of an object its values count where none is a list
    fields: Annotated[FieldNames, AfterValidator(_expressions)] = Field(default_factory=lambda: {"title": "title"})
    next: Expression | None = None  # the address of the page that follows
    pages: Annotated[int, Field(ge=1, le=100)] = 10  # that are asked for at most

    @model_validator(mode="after")
    def _on_one_page(self) -> Self:
        if self.whole and self.next:
            raise ValueError("`whole` wants a list on one page, without `next`")
        return self


class Json(NamedEntries):
    """A page of JSON."""

    name = "json"
    version = 1
    witness = settings_witness = "json"
    precedence: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(dict.fromkeys(PRECEDENCE, ("json",)))

    def __init__(self, options: JsonOptions | None = None) -> None:
        self._options: JsonOptions = options or JsonOptions()
        super().__init__(self._options)
        self.settings = {**self._options.fields, **({"next": self._options.next} if self._options.next else {})}
        self.pages = self._options.pages if self._options.next else 1
        self.lists_all = self._options.whole
        self._entries = jmespath.compile(self._options.entries)
        self._fields = {name: jmespath.compile(written) for name, written in self._options.fields.items()}
        self._next = jmespath.compile(self._options.next) if self._options.next else None
        self._kept: dict[Page, Any] = {}  # values of pages that the crawl asked for what follows, until they are read

    @classmethod
    def configured(cls, options: Mapping[str, object]) -> Self:
        return cls(JsonOptions.taken(options, cls.name))

    def takes(self, content_type: str, path: str) -> bool:
        del path
        return content_type in _TYPES or content_type.endswith("+json")

    def following(self, page: Page) -> str | None:
        if self._next is None:
            return None
        try:
            value = read_json(page)
            address = self._next.search(value)
        except JMESPathError:
            return None
        if sum(len(one.text) for one in self._kept) + len(page.text) <= _KEPT_CAP:
            self._kept[page] = value
        return web_url(address, page.url.replace("%3F", "?", 1)) if isinstance(address, str) else None

    def entries(self, page: Page) -> Sequence[Entry | Unread]:
        value = self._kept.pop(page) if page in self._kept else read_json(page)
        try:
            found = self._entries.search(value)
        except JMESPathError as error:
            raise ExtractError(f"`entries` can't be searched for: {error}", where=page.url) from None
        if isinstance(found, dict):
            found = list(found.values())
        if not isinstance(found, list):
            raise ExtractError(f"there is no list at {self._options.entries!r}", where=page.url,
                               hint="Say in sources.options where the entries are: entries = \"…\" (JMESPath).")
        vain = self._next is not None and _in_vain(self._next, value)
        return [one._replace(silent=(*one.silent, "next")) if vain and isinstance(one, Entry) else one
                for one in self._each(found, page)]

    def _each(self, found: list[Any], page: Page) -> Iterator[Entry | Unread]:
        for number, one in enumerate(found[:_ENTRIES_CAP]):
            where = f"entry {number + 1}"
            if not isinstance(one, dict | list):
                yield unread("entry", f"{where}: {one}", "no object")
                continue
            try:
                values = {name: expression.search(one) for name, expression in self._fields.items()}
            except JMESPathError as error:
                yield unread("entry", where, str(error))
                continue
            yield self.named(values, "entry", page)
        if len(found) > _ENTRIES_CAP:
            yield unread("entry", f"{len(found) - _ENTRIES_CAP} entries", f"more than {_ENTRIES_CAP} on a page")


def _in_vain(expression: Any, value: Any) -> bool:
    """Whether what leads to the next page leads to nothing where a page may follow.

    A page that is the last of several, or the only one, names none: what it says there is null, or the object around it
    says nothing of it, and neither does any place where APIs usually say it. Of an expression that is no plain path
    ("links.next") nothing can be told.
    """
    path = expression.parsed
    if path["type"] == "subexpression" and path["children"][1]["type"] == "field":
        holder = TreeInterpreter().visit(path["children"][0], value)
    elif path["type"] == "field":
        holder = value
    else:
        return False
    found = expression.search(value)
    return not isinstance(found, str) if found else not isinstance(holder, dict) or bool(next_place(value))


def next_place(value: Any) -> str:
    """The path to the address of the page that follows, where APIs usually have it; "" where none is told."""
    for path in ("next", "links.next", "next_url", "paging.next", "meta.next", "pagination.next"):
        found = value
        for step in path.split("."):
            found = found.get(step) if isinstance(found, dict) else None
        if isinstance(found, str) and ("/" in found or found.startswith("?")):
            return path
    return ""


def read_json(page: Page) -> Any:
    """The value of a page, or the list of a page of JSON Lines. Raises ExtractError."""
    text = page.text.lstrip("\ufeff \t\r\n")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            if len(lines) > 1:
                return [json.loads(line) for line in lines]
        except (ValueError, RecursionError):
            pass
        raise ExtractError(f"it is no JSON: {error}", where=page.url) from None
