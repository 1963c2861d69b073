"""Who asked to be mailed, as operators care for them: added, listed, taken in and handed out by the file, let go."""

import csv
import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

from milepost.errors import InputError
from milepost.records import Cadence, Subscriber, SubscriberState
from store.database import Database
from store.subscribers.people import COLUMNS, Imported, Subscribers, read_csv

__all__ = ["COLUMNS", "Imported", "add", "export", "import_file", "listed", "unsubscribe"]


def add(
    database: Database, address: str, *, cadence: Cadence, topics: Sequence[str] = (), now: dt.datetime
) -> tuple[Subscriber, bool]:
    """Add somebody who has confirmed to the operator that they want it; returns them and whether they are new.

    Raises InputError when `address` is none.
    """
    return Subscribers(database).add(address, state="active", cadence=cadence, topics=topics, now=now)


def listed(database: Database, state: SubscriberState | None = None) -> list[Subscriber]:
    """Those in one state, or all, in the order they came."""
    return Subscribers(database).list(state=state)


def import_file(database: Database, file: Path, *, cadence: Cadence, now: dt.datetime) -> Imported:
    """Take in a CSV file; a row that can't be used is reported and doesn't stop the rest.

    `cadence` stands in where a row names none. Raises InputError when the file can't be read or holds no address.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            imported = Subscribers(database).import_(read_csv(lines), now=now, cadence=cadence)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"can't be read: {reason}", where=str(file), hint="Give a UTF-8 CSV file.") from None
    if not imported.added + imported.known + len(imported.errors):
        raise InputError("holds no address", where=str(file), hint="Want one on each line, or CSV with a heading.")
    return imported


def export(database: Database) -> Iterator[dict[str, str]]:
    """Everybody, as rows with COLUMNS, a few in memory at a time; `import_file` reads them."""
    return Subscribers(database).export()


def unsubscribe(database: Database, address: str, *, now: dt.datetime) -> Subscriber:
    """No message begins for `address` after this; raises InputError when it is no subscriber's."""
    everybody = Subscribers(database)
    subscriber = everybody.find(address)
    if subscriber is None:
        raise InputError("is no subscriber", where=address, hint="See `milepost subscribers list`.")
    return everybody.set_state(subscriber.id, "unsubscribed", now)
