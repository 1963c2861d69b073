"""Who asked to be mailed, as operators care for them: added, taken in by the file, let go, brought back, forgotten.

    a CSV file ─▶ subscriber_files (read, map) ─▶ Subscribers.import_ ─▶ who came in, who was held back and why
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from milepost.errors import HeldError, InputError, NotFoundError
from milepost.records import Cadence, Subscriber, SubscriberState
from pipeline.several import Progress
from pipeline.subscriber_files import columns, csv_reading
from pipeline.subscriber_files.address_cell import is_like_an_address
from pipeline.subscriber_files.columns import FIELDS, Choices, Column, Field
from pipeline.subscriber_files.consent import folded
from pipeline.subscriber_files.formulas import escape
from store.database import Database
from store.subscribers.addresses import parse
from store.subscribers.events import By, Event
from store.subscribers.importing import RESULTS, STANDINGS, Outcome, Result, Standing
from store.subscribers.people import COLUMNS, Subscribers
from store.subscribers.sign_ups import Consent, SignUp, SignUps
from store.subscribers.story import Moment, story
from store.subscribers.suppressions import Suppression, Suppressions

__all__ = [
    "COLUMNS", "ERASED", "RESULTS", "By", "Choices", "Column", "Consent", "Event", "Imported", "Outcome", "Result",
    "Shown", "Suppression", "add", "choices", "erase", "export", "export_csv", "histories", "import_file", "lift",
    "listed", "return_", "show", "show_reader", "suppress", "suppressed", "unsubscribe",
]

ERASED = "was erased"


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """How a file was read, and what became of the people in it."""

    encoding: str
    separated_by: str
    columns: tuple[Column, ...]
    outcomes: tuple[Outcome, ...]  # one for each person
    errors: tuple[tuple[int, str], ...]  # (line of the file, what is wrong with it)
    rows: int
    repeated: int  # rows with an address that an earlier one had
    cleaned: int  # addresses that something had to be taken off

    def count(self, result: Result) -> int:
        """How many people came to that."""
        return sum(outcome.result == result for outcome in self.outcomes)

    def of(self, *results: Result) -> list[Outcome]:
        """Those who came to one of these, in the order of the file."""
        return [outcome for outcome in self.outcomes if outcome.result in results]


def add(
    database: Database, address: str, *, cadence: Cadence, topics: Sequence[str] = (), by: By, now: dt.datetime
) -> tuple[Subscriber, bool]:
    """Add somebody who has confirmed to the operator that they want it; returns them and whether they are new.

    Raises InputError when `address` is none, HeldError for who is suppressed, left, or never confirmed: that takes
    another word of the operator.
    """
    everybody = Subscribers(database)
    found, listed = everybody.find(address), Suppressions(database).find(address)
    shown = found.address if found else address.strip()
    if listed is not None:
        raise HeldError(
            f"is suppressed since {listed.created_at:%Y-%m-%d} ({listed.reason}): nothing would ever be sent",
            where=shown, hint=f"If you know better, run `milepost suppressions lift {shown} --why …`.",
        )
    if found is not None and found.state != "active":
        what = "has left" if found.state == "unsubscribed" else "waits for its confirmation"
        raise HeldError(
            what, where=shown, hint=f"If they asked you again, run `milepost subscribers return {shown} --why …`.",
        )
    return everybody.add(address, state="active", cadence=cadence, topics=topics, now=now, by=by)


def listed(database: Database, state: SubscriberState | None = None) -> list[Subscriber]:
    """Those in one state, or all, in the order they came."""
    return Subscribers(database).list(state=state)


def more_readers_than(database: Database, count: int) -> bool:
    """Whether there are more subscribers than that, in whatever state; no more of them are counted."""
    return Subscribers(database).more_than(count)


def choices(
    fields: Sequence[str] = (), ignored: Sequence[str] = (), words: Sequence[str] = (), standing: str | None = None
) -> Choices:
    """What an operator typed (FIELD=HEADING, HEADING, WORD=STATE, STATE); raises InputError."""
    named: dict[Field, str] = {}
    for text in fields:
        what, _, heading = text.partition("=")
        for known in FIELDS:
            if what.strip() == known and heading.strip():
                named[known] = heading
                break
        else:
            raise InputError(f"{text!r} maps nothing", where="--map", hint=f"Want {'|'.join(FIELDS)}=HEADING.")
    meant: dict[str, Standing] = {}
    for text in words:
        word, _, state = text.rpartition("=")
        meant[folded(word)] = _standing(state, "--word", "WORD=")
    return Choices(
        fields=named, ignored=frozenset(map(folded, ignored)), words=meant,
        standing=_standing(standing, "--state") if standing else None,
    )


def _standing(word: str, where: str, before: str = "") -> Standing:
    for known in STANDINGS:
        if word.strip() == known:
            return known
    raise InputError(f"there is no state {word!r}", where=where, hint=f"Want {before}{'|'.join(STANDINGS)}.")


def import_file(
    database: Database, file: Path, *, cadence: Cadence, by: str, now: dt.datetime, chosen: Choices | None = None,
    dry_run: bool = False, progress: Progress | None = None,
) -> Imported:
    """Take in a CSV file, whatever program wrote it; a row that can't be used is reported and doesn't stop the rest.

    `cadence` stands in where a row names none; `dry_run` writes nothing; `progress` is told how many people are decided
    on, of how many. Raises InputError when the file can't be read
    or holds no address, HeldError when it may say who wants mail in words that nobody here knows.
    """
    given = chosen or Choices()
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", where=str(file), hint="Check its path and mode.") from None
    try:
        table = csv_reading.read(
            raw, is_heading=lambda cells: columns.is_heading(cells, given), is_address=is_like_an_address
        )
        mapped = columns.map_columns(table, file.name, given)
    except (InputError, HeldError) as error:
        raise type(error)(error.what, where=str(file), hint=error.hint) from None
    read = columns.read_people(table, mapped, given, cadence=cadence)
    if not read.entries and not read.errors:
        raise InputError("holds no address", where=str(file), hint="Want one on each line, or CSV with a heading.")
    outcomes = Subscribers(database).import_(
        read.entries, now=now, by=By(who=by, why=f"import of {file.name}"), dry_run=dry_run,
        progress=progress or (lambda _done, _total: None),
    )
    return Imported(
        encoding=table.encoding, separated_by=table.separated_by, columns=mapped.columns, outcomes=tuple(outcomes),
        errors=read.errors, rows=len(table.rows), repeated=len(read.entries) - len(outcomes), cleaned=read.cleaned,
    )


def export(database: Database) -> Iterator[dict[str, str]]:
    """Everybody, as rows with COLUMNS, a few in memory at a time."""
    return Subscribers(database).export()


def export_csv(database: Database) -> Iterator[dict[str, str]]:
    """The same with no cell that a spreadsheet would run; `import_file` reads what `export` had."""
    return ({name: escape(cell) for name, cell in row.items()} for row in export(database))


def unsubscribe(database: Database, address: str, *, by: By, now: dt.datetime) -> Subscriber:
    """No message begins for `address` after this; raises NotFoundError when it is no subscriber's."""
    return Subscribers(database).unsubscribe(address, by, now)


def return_(database: Database, address: str, *, by: By, now: dt.datetime) -> Subscriber:
    """Make somebody active who left or never confirmed, on an operator's word; see `Subscribers.return_`."""
    return Subscribers(database).return_(address, by, now)


def erase(database: Database, address: str, *, by: By, now: dt.datetime) -> bool:
    """Forget an address everywhere, and never mail it again; returns whether it was a subscriber's."""
    return Subscribers(database).erase(address, by, now)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """All that is known of one address."""

    address: str
    subscriber: Subscriber | None
    suppression: Suppression | None
    history: tuple[Event, ...]
    sign_up: SignUp | None  # that waits for its confirmation, or was confirmed this month
    consents: tuple[Consent, ...]  # what proves that they asked, oldest first
    story: tuple[Moment, ...]  # all that happened, oldest first


def show(database: Database, address: str) -> Shown:
    """All that is known of one address; raises InputError when it is none."""
    found, list_, sign_ups = Subscribers(database).find(address), Suppressions(database), SignUps(database)
    return Shown(
        address=found.address if found else address.strip(), subscriber=found, suppression=list_.find(address),
        history=tuple(list_.history(address)), sign_up=sign_ups.of(parse(address).normalized),
        consents=tuple(sign_ups.consents(found.id)) if found else (), story=tuple(story(database, address)),
    )


def show_reader(database: Database, number: int) -> Shown:
    """All that is known of one subscriber; raises NotFoundError, also for who was erased."""
    found = Subscribers(database).get(number)
    if not found.address:
        raise NotFoundError(ERASED, where=f"subscriber {number}", hint="What is left is a hash that names nobody.")
    return show(database, found.address)


def suppressed(database: Database) -> list[Suppression]:
    """The addresses that are never mailed, oldest first."""
    return Suppressions(database).list()


def suppress(database: Database, address: str, *, by: By, now: dt.datetime) -> bool:
    """Never mail an address again, on an operator's word; returns whether that is new."""
    return Suppressions(database).add(address, f"by {by.who}: {by.why}", now, by=by)


def lift(database: Database, address: str, *, by: By, now: dt.datetime) -> Suppression:
    """Let a suppressed address be mailed again; raises NotFoundError when it is not on the list."""
    return Suppressions(database).lift(address, by, now)


def histories(database: Database) -> Mapping[str, Sequence[Event]]:
    """By keyed hash of the address: what operators suppressed, lifted and erased."""
    return Suppressions(database).histories()
