"""The list of addresses that are never mailed, as a file: written out, and taken in, which can only add to it.

    a CSV file ─▶ its table ─▶ address, reason, since of each row ─▶ Suppressions.add_all ─▶ added | stricter | known
    suppressions ─▶ COLUMNS, no cell that a spreadsheet runs; who was erased is a hash, and in no file
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from milepost.errors import HeldError, InputError
from milepost.printable import without_addresses
from pipeline.several import Progress
from pipeline.subscriber_files import consent, csv_reading
from pipeline.subscriber_files.address_cell import address_in, is_like_an_address
from pipeline.subscriber_files.columns import Choices, address_column, is_heading, require_width
from pipeline.subscriber_files.consent import folded
from pipeline.subscriber_files.csv_reading import Row, Table
from pipeline.subscriber_files.formulas import escape, unescape
from store.database import Database
from store.subscribers.events import By
from store.subscribers.suppressions import TAKEN, Named, Suppressions, Taken, liftable

__all__ = ["COLUMNS", "TAKEN", "Listed", "Read", "Taken", "export_csv", "import_file"]

COLUMNS = ("address", "reason", "since")
# Folded; the plainer a name is about a reason the earlier. Beside our own those of what relays and newsletters export.
_REASONS = ("reason", "suppression reason", "suppressionreason", "suppressed", "why", "error", "code", "description")
_LONGEST = 200  # characters of a reason
_WANTED = ("active", "pending")  # what no address that is never to be mailed is called


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """An address of the file, and what became of it."""

    line: int
    address: str
    reason: str
    taken: Taken
    mailed: bool  # it was an active reader's until now


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """How a file was read, and what became of its addresses."""

    encoding: str
    separated_by: str
    address_in: str  # the heading; "" where there is none
    reason_in: str  # "" where no column tells one
    rows: int
    repeated: int  # rows with an address that an earlier one had
    cleaned: int  # addresses that something had to be taken off
    listed: tuple[Listed, ...]
    errors: tuple[tuple[int, str], ...]  # (line of the file, what is wrong with it)

    def count(self, taken: Taken) -> int:
        """How many addresses came to that."""
        return sum(one.taken == taken for one in self.listed)

    @property
    def readers(self) -> int:
        """How many active readers are mailed no more."""
        return sum(one.mailed for one in self.listed)


def export(database: Database) -> Iterator[dict[str, str]]:
    """Rows with COLUMNS, oldest first; an erased address is in none."""
    for one in Suppressions(database).list():
        if one.normalized is not None:
            yield {"address": one.normalized, "reason": one.reason, "since": one.created_at.isoformat()}


def export_csv(database: Database) -> Iterator[dict[str, str]]:
    """The same with no cell that a spreadsheet would run; `import_file` reads them."""
    return ({name: escape(cell) for name, cell in row.items()} for row in export(database))


def import_file(
    database: Database, raw: bytes, name: str, *, by: By, now: dt.datetime, dry_run: bool = False,
    progress: Progress | None = None,
) -> Read:
    """Never mail any address of a file again, whatever program wrote it; nobody is mailed, nobody comes off the list.

    A reason is kept as the file has it, and `by` stands in where it has none; what a reader's confirmation lifts here
    (a bounce) it lifts after an import too. A row that can't be used is reported and doesn't stop the rest. `dry_run`
    writes nothing; `progress` is told how many addresses are decided on. Raises InputError when the file can't be read
    or holds no address, HeldError when it says of some that they want mail: then it is a list of readers.
    """
    try:
        table = csv_reading.read(raw, is_heading=lambda cells: is_heading(cells, Choices()),
                                 is_address=is_like_an_address)
        at = address_column(table)
    except InputError as error:
        raise InputError(error.what, where=name, hint=error.hint) from None
    headings = [folded(heading) for heading in table.heading]
    _refuse_readers(table, headings, name)
    reason_at = next((headings.index(one) for one in _REASONS if one in headings and headings.index(one) != at), None)
    told = [place for place, one in enumerate(headings) if consent.is_known(one) and place not in (at, reason_at)]
    since_at = headings.index("since") if "since" in headings else None
    kept: dict[str, tuple[int, str, Named]] = {}
    errors: list[tuple[int, str]] = []
    rows = cleaned = 0
    for row in table.rows:
        try:
            require_width(row, max(len(headings), 1))
            address, changed = address_in(unescape(row.cells[at]))
            reason = _reason(row, reason_at, told, table.heading) or f"by {by.who}: {by.why}"
            named = Named(normalized=address.normalized, reason=reason, since=_since(row, since_at))
        except InputError as error:
            errors.append((row.line, str(error)))
            continue
        rows, cleaned = rows + 1, cleaned + changed
        before = kept.get(named.normalized)
        if before is None or (liftable(before[2].reason) and not liftable(reason)):  # of two the stricter counts
            kept[named.normalized] = (row.line, address.address, named)
    if not kept and not errors:
        raise InputError("holds no address", where=name, hint="Want one on each line, or CSV with a heading.")
    done = Suppressions(database).add_all(
        [named for _, _, named in kept.values()], by=by, now=now, dry_run=dry_run,
        progress=progress or (lambda _done, _total: None),
    )
    return Read(
        encoding=table.encoding, separated_by=table.separated_by, address_in=table.heading[at] if headings else "",
        reason_in=table.heading[reason_at] if reason_at is not None else ", ".join(table.heading[one] for one in told),
        rows=len(table.rows), repeated=rows - len(kept), cleaned=cleaned, errors=tuple(errors),
        listed=tuple(
            Listed(line=line, address=address, reason=named.reason, taken=taken, mailed=mailed)
            for (line, address, named), (taken, mailed) in zip(kept.values(), done, strict=True)
        ),
    )


def _refuse_readers(table: Table, headings: Sequence[str], name: str) -> None:
    """Raises HeldError for a file that says of some that they want mail: all in it would be lost as readers."""
    wanted: Counter[str] = Counter()
    for place, heading in enumerate(headings):
        if consent.is_known(heading):
            meant: Mapping[str, bool] = {
                word: (found := consent.meaning_of(heading, word)) is not None and found.says in _WANTED
                for word in {_cell(row, place) for row in table.rows}
            }
            wanted.update(f"{table.heading[place]} = {word or 'nothing'}" for row in table.rows
                          if meant[word := _cell(row, place)])
    if wanted:
        (words, count), = wanted.most_common(1)
        raise HeldError(
            f"says of {count} of {len(table.rows)} rows that they want mail ({words}): it is a list of readers",
            where=name, hint="Take those rows out; or take all of it in as readers, which suppresses who is blocked "
                             "there: `milepost subscribers import`.",
        )


def _cell(row: Row, place: int) -> str:
    return unescape(row.cells[place]).strip() if place < len(row.cells) else ""


def _reason(row: Row, at: int | None, told: Sequence[int], heading: Sequence[str]) -> str:
    """Why, in one line; what columns of states say where none tells a reason."""
    text = "" if at is None else _cell(row, at)
    if not text:
        text = ", ".join(f"{heading[place]} = {_cell(row, place)}" for place in told if _cell(row, place))
    return " ".join(without_addresses(text).split())[:_LONGEST]


def _since(row: Row, at: int | None) -> dt.datetime | None:
    """Since when, by ISO 8601; a day alone is its beginning in UTC. Raises InputError."""
    text = "" if at is None else _cell(row, at)
    if not text:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        hint = "Want 2026-03-02, or leave it empty."
        raise InputError(f"{text[:40]!r} is no date", where="since", hint=hint) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
