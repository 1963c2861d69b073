"""Entries whose fields are named by settings (JSON, CSV): values of any form into claims, by the type of their field.

    {"title": "Box kite", "date": "2031-02-03", "tags": ["Kites"]} ─▶ Entry(key, claims), or Unread
"""

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field

from extractors import pictures
from extractors.clean import LIST_CAP, NAME_CAP, TEXT_CAP, TITLE_CAP, clean, is_void, slugify, unescape, web_url
from extractors.document_blocks import document_blocks, shaped
from extractors.feed import entry_key
from extractors.feed_document import read_feed_date, shaped_text
from extractors.listpage import Entry, ListOptions, ListPage
from extractors.reconcile import Claim, Value, date_claim
from extractors.unread import unread
from extractors.written_dates import NOTHING, Reading
from milepost import text_shape
from milepost.errors import ExtractError
from milepost.fields import FIELD, FieldType
from milepost.records import Image, Page, Unread

OWN = ("key", "url")  # what an entry has beside the fields of a milestone
_APART = re.compile(r"\s*[;|]\s*")  # values of a list that is written as one text
_SECONDS = 10_000_000_000  # a number of seconds beyond this is one of milliseconds


def _of_fields(given: Mapping[str, str]) -> Mapping[str, str]:
    for name in given:
        if name not in OWN and (name not in FIELD or FIELD[name].type == "cards"):
            known = [one for one in FIELD if FIELD[one].type != "cards"]
            raise ValueError(f"there is no field {name!r}; there are {', '.join((*OWN, *known))}")
    if "title" not in given:
        raise ValueError("say where the title is: title = \"…\"")
    return given


FieldNames = Annotated[Mapping[str, str], AfterValidator(_of_fields)]


class NamedOptions(ListOptions):
    """[sources.options] that both have."""

    fields: FieldNames = Field(default_factory=dict)  # field → where it is: title = "name"
    text: Literal["plain", "html", "markdown"] = "plain"  # how texts are written; tags in a plain one are read too
    language: str = ""  # of dates in words
    unix_dates: bool = False  # dates are seconds or milliseconds since 1970
    whole: bool = False  # it holds all entries, on one page, so that one which is not in it any more is gone


class NamedEntries(ListPage):
    """A page of such entries."""

    a_window = True
    follows_anywhere = True
    witness: ClassVar[str]
    _options: NamedOptions

    def key(self, url: str) -> str:
        key = unquote(urlsplit(url).fragment)
        if not key:
            raise ExtractError("the address names no entry of the page (…#entry)", where=url)
        return key

    def named(self, values: Mapping[str, object], where: str, page: Page) -> Entry | Unread:
        """One entry; `values` by field, `where` it stands."""
        title = _line(values.get("title"), TITLE_CAP)
        own = web_url(_line(values.get("url"), 2_000), page.url) or ""
        key = entry_key(_line(values.get("key"), 2_000) or own, page.url) or slugify(title)
        if not title or not key:
            return unread("entry", title or key or where, "no title" if key else "no title and nothing to know it by")
        silent = tuple(one for one in OWN if one in values and not _line(values[one], 2_000))
        told = [Claim("title", title, self.witness, f"{where}: {self._options.fields['title']}")]
        for name, value in values.items():
            place = f"{where}: {self._options.fields[name]}"
            if name in OWN or name == "title" or value is None:
                continue
            if name == "date":
                told += date_claim(self._date(value), self.witness, place)
            elif (read := self._value(name, value, page.url)) not in ("", (), None):
                told.append(Claim(name, read, self.witness, place))
        return Entry(key, told, url=own, silent=silent)

    def _date(self, value: object) -> Reading:
        if self._options.unix_dates and (seconds := _number(value)) is not None:
            try:
                day = dt.datetime.fromtimestamp(seconds / 1000 if seconds > _SECONDS else seconds, dt.UTC).date()
            except (ValueError, OverflowError, OSError):
                return Reading(None, f"“{value}” is no time since 1970")
            return read_feed_date(day.isoformat()) if seconds else NOTHING
        return read_feed_date(_line(value), self._options.language)

    def _value(self, name: str, value: object, url: str) -> Value:
        kind = FIELD[name].type
        if kind == "prose":
            return self._text(value, url)
        return _READ[kind](value, url)

    def _text(self, value: object, url: str) -> str:
        if isinstance(value, list):
            value = "\n\n".join(one for one in value if isinstance(one, str))
        if not isinstance(value, str) or is_void(value.strip()):
            return ""
        if self._options.text == "markdown":
            return text_shape.written(shaped(document_blocks(value)[0]), TEXT_CAP)
        return shaped_text(value, url)


def _line(value: object, cap: int = NAME_CAP) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    line = clean(unescape(str(value)), cap)
    return "" if is_void(line) else line


def _number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    except ValueError:
        return None


def _several(value: object) -> Iterator[str]:
    given = value if isinstance(value, list) else _APART.split(value) if isinstance(value, str) else [value]
    for one in given[:LIST_CAP]:
        held = one.get("name") if isinstance(one, dict) else one
        if line := _line(held):
            yield line


def _image(value: object, url: str) -> Image | None:
    first: Any = next(iter(value), None) if isinstance(value, list) else value
    held = first if isinstance(first, dict) else {"url": first}
    written = held.get("url")
    address = pictures.address(_line(written, 2_000), url) if isinstance(written, str) else None
    return Image(url=address, alt=_line(held.get("alt"), TITLE_CAP)) if address else None


def _level(value: object, url: str) -> int | None:
    del url
    number = _number(value)
    return int(number) if number is not None and number == int(number) and 1 <= number <= 5 else None


_READ: Mapping[FieldType, Callable[[object, str], Value]] = MappingProxyType({
    "line": lambda value, _: _line(value, TITLE_CAP),
    "slug": lambda value, _: slugify(_line(value)) or None,
    "slugs": lambda value, _: tuple(dict.fromkeys(slug for one in _several(value) if (slug := slugify(one)))),
    "names": lambda value, _: tuple(dict.fromkeys(_several(value))),
    "level": _level,
    "image": _image,
})
