"""From the bytes of a CSV file to its heading and rows, whatever program wrote it.

    bytes ─▶ text (BOM, UTF-8, Windows-1252) ─▶ separator (sep=, or tried) ─▶ heading ─▶ rows with their lines
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from milepost.errors import InputError

_BOMS = (
    (b"\xef\xbb\xbf", "utf-8", "UTF-8"), (b"\xff\xfe", "utf-16-le", "UTF-16"), (b"\xfe\xff", "utf-16-be", "UTF-16"),
)
_SEPARATORS = (",", ";", "\t", "|")
_NAMES = {"\t": "a tab"}
_SEP_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # the first line of files that Excel is to open
_LOOKED_AT = 50  # rows, to tell a heading and a separator by
_LONGEST = 100  # lines of one row: more, and a quote was never closed
_SAVE = "Save it as CSV in UTF-8."


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row that isn't blank."""

    line: int  # of the file, on which it ends
    cells: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A CSV file, read."""

    encoding: str
    separator: str
    heading: tuple[str, ...]  # () where there is none: each row is then one address
    rows: tuple[Row, ...]

    @property
    def separated_by(self) -> str:
        """The separator for people."""
        return shown(self.separator)


def shown(separator: str) -> str:
    """A separator for people."""
    return _NAMES.get(separator, f"“{separator}”")


def decode(raw: bytes) -> tuple[str, str]:
    """The text of a file and the encoding it was read in; raises InputError when it is no text."""
    if raw.startswith(b"PK\x03\x04"):
        raise InputError("is a ZIP archive or an Excel workbook, not CSV", hint=_SAVE)
    for bom, codec, name in _BOMS:
        if raw.startswith(bom):
            try:
                return raw[len(bom) :].decode(codec), name
            except UnicodeDecodeError:
                raise InputError(f"begins as {name} and is none", hint=_SAVE) from None
    if b"\0" in raw:
        raise InputError("is not text, or UTF-16 without a mark that says so", hint=_SAVE)
    try:
        return raw.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError:
        pass
    try:
        return raw.decode("cp1252"), "Windows-1252"
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(f"line {line} is neither UTF-8 nor Windows-1252", hint=_SAVE) from None


def read(raw: bytes, *, is_heading: Callable[[Sequence[str]], bool], is_address: Callable[[str], bool]) -> Table:
    """The file's table. `is_heading`: whether cells name a column of addresses; `is_address`: whether one holds one.

    Without a heading every line is an address. Raises InputError, in one sentence, for a file that is neither.
    """
    text, encoding = decode(raw)
    sep = _SEP_LINE.fullmatch(text.split("\n", 1)[0])
    body, before = (text.partition("\n")[2], 1) if sep else (text, 0)
    tried = {separator: list(islice(_rows(body, separator, before), _LOOKED_AT))
             for separator in ([sep[1]] if sep else _SEPARATORS)}
    separator = max(tried, key=lambda one: _fitness(tried[one], is_heading))
    head = tried[separator][0].cells if tried[separator] else ()
    rows = _rows(body, separator, before)
    if is_heading(head):
        next(rows, None)
        heading = tuple(cell.strip() for cell in head)
        while heading and not heading[-1]:
            heading = heading[:-1]
        return Table(
            encoding=encoding, separator=separator, heading=heading, rows=tuple(_fitted(rows, len(heading), separator)),
        )
    if head and not any(map(is_address, head)):
        raise InputError(
            f"no heading names a column of addresses: separated by {shown(separator)}, the headings are "
            f"{', '.join(f'“{cell.strip()}”' for cell in head if cell.strip())}",
            hint="Name it: --map address=HEADING.",
        )
    if any(len([cell for cell in row.cells if cell.strip()]) > 1 for row in tried[separator]):
        raise InputError(
            f"has no heading line and more than one column (separated by {shown(separator)})",
            hint="Write a line with the names of the columns above it, one of them “address”.",
        )
    return Table(encoding=encoding, separator=separator, heading=(), rows=tuple(_fitted(rows, 1, separator)))


def _fitness(rows: Sequence[Row], is_heading: Callable[[Sequence[str]], bool]) -> tuple[bool, int]:
    return (is_heading(rows[0].cells), len(rows[0].cells)) if rows else (False, 0)


def _rows(text: str, separator: str, before: int) -> Iterator[Row]:
    """Rows that aren't blank; `before` is how many lines stand above `text`."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    began = 0
    try:
        for cells in reader:
            if reader.line_num - began > _LONGEST:
                raise InputError(f"a quote on line {before + began + 1} is never closed")
            began = reader.line_num
            if any(cell.strip(" \t\r\n\xa0\ufeff\u200b") for cell in cells):
                yield Row(line=before + reader.line_num, cells=tuple(cells))
    except csv.Error as error:
        raise InputError(f"line {before + reader.line_num} can't be read: {error}") from None


def _fitted(rows: Iterator[Row], width: int, separator: str) -> Iterator[Row]:
    """Rows as wide as the heading; in a file of one column a separator is part of the text."""
    for row in rows:
        if len(row.cells) == width:
            yield row
        elif width == 1 and len(row.cells) > 1:
            yield Row(line=row.line, cells=(separator.join(row.cells),))
        else:
            filled = row.cells + ("",) * (width - len(row.cells))
            while len(filled) > width and not filled[-1].strip():
                filled = filled[:-1]
            yield Row(line=row.line, cells=filled)
