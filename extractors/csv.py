"""CSV: a row is a milestone, settings say which column is which field (RFC 4180, with whatever separates its columns).

    fields = { key = "No", title = "Name", date = "Opened", people = "Built by" }     lists within a cell: "a; b"
"""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Self

from pydantic import Field

from extractors.clean import clean
from extractors.listpage import Entry
from extractors.named_values import FieldNames, NamedEntries, NamedOptions
from extractors.reconcile import PRECEDENCE
from extractors.unread import unread
from milepost.errors import ExtractError
from milepost.records import Page, Unread

_TYPES = frozenset({"text/csv", "application/csv", "text/x-csv", "application/vnd.ms-excel", "text/plain",
                    "text/tab-separated-values", "application/octet-stream", ""})
_SEPARATORS = ",;\t|"
_ROWS_CAP = 20_000


class CsvOptions(NamedOptions):
    """[sources.options] of CSV."""

    path: str = "/data.csv"
    fields: FieldNames = Field(default_factory=lambda: {"title": "title"})  # field → the head of its column


class Csv(NamedEntries):
    """A page of rows."""

    name = "csv"
    version = 1
    witness = settings_witness = "csv"
    precedence: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(dict.fromkeys(PRECEDENCE, ("csv",)))

    def __init__(self, options: CsvOptions | None = None) -> None:
        self._options: CsvOptions = options or CsvOptions()
        self.lists_all = self._options.whole
        super().__init__(self._options)
        self.settings = dict(self._options.fields)

    @classmethod
    def configured(cls, options: Mapping[str, object]) -> Self:
        return cls(CsvOptions.taken(options, cls.name))

    def takes(self, content_type: str, path: str) -> bool:
        del path
        return content_type in _TYPES

    def entries(self, page: Page) -> Sequence[Entry | Unread]:
        head, rows = read_table(page)
        columns = {column.casefold(): at for at, column in reversed(list(enumerate(head)))}
        places = {name: columns.get(column.casefold()) for name, column in self._options.fields.items()}
        if missing := [self._options.fields[name] for name, at in places.items() if at is None]:
            raise ExtractError(f"there is no column {missing[0]!r}", where=page.url,
                               hint=f"There are {', '.join(map(repr, head[:30]))}.")
        found: list[Entry | Unread] = []
        cut = not page.text.endswith(("\n", "\r"))
        for number, row in enumerate(rows, start=1):
            if cut and number == len(rows) and len(row) < len(head):
                found.append(unread("entry", " ".join(row), "the file ends in it: it may be cut off"))
                continue
            if len(row) > len(head):
                found.append(unread("entry", " ".join(row), f"{len(row)} cells in {len(head)} columns"))
                continue
            values = {name: row[at].strip() or None for name, at in places.items() if at is not None and at < len(row)}
            found.append(self.named(values, "row", page))
        return found


def read_table(page: Page) -> tuple[list[str], list[list[str]]]:
    """(the heads of the columns, the rows that hold anything). Raises ExtractError."""
    text = page.text.lstrip("\ufeff")
    first = text.lstrip().partition("\n")[0]
    if first.lstrip().startswith("<"):
        raise ExtractError("it is markup, no CSV", where=page.url)
    counted = Counter(sign for sign in first if sign in _SEPARATORS)
    separator = counted.most_common(1)[0][0] if counted else ","
    try:
        table = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator,
                                               strict=True, skipinitialspace=True)
                 if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ExtractError(f"it is no CSV: {error}", where=page.url) from None
    if len(table) < 2:
        raise ExtractError("it has no rows below its head", where=page.url)
    if len(table) > _ROWS_CAP:
        raise ExtractError(f"it has {len(table):,} rows, the limit is {_ROWS_CAP:,}", where=page.url)
    return [clean(cell) for cell in table[0]], table[1:]
