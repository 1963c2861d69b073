"""Care of what is kept: the database made, checked, backed up and moved; the archive of pages packed and shortened."""

import datetime as dt
import logging
from pathlib import Path
from typing import Literal

from milepost.errors import InputError
from milepost.settings import Settings
from store.archive.retention import Archive, Pruned, Size
from store.archive.warc import archive_warc
from store.database import Database, connect, has_tables, make
from store.database import upgrade as migrate
from store.engine import WAIT_SECONDS, parse
from store.upkeep import backup as backups
from store.upkeep import check as soundness
from store.upkeep import copy as copies
from store.upkeep.restore import confirm_restore, require_sqlite

__all__ = [
    "Database", "archive_size", "backup", "check", "confirm", "copy", "export_warc", "open_database", "open_or_make",
    "prune", "restore", "train", "upgrade",
]
log = logging.getLogger("milepost.upkeep")


def open_database(settings: Settings, *, wait_seconds: float = WAIT_SECONDS) -> Database:
    """The database that the settings name, whose steps wait for others so long; raises StoreError, SchemaError."""
    return connect(settings.store.url, wait_seconds=wait_seconds)


def open_or_make(settings: Settings) -> Database:
    """As `open_database`; one that has no tables yet is made, and that is said. An older one is never migrated."""
    url = settings.store.url
    if not has_tables(url) and make(url):
        log.warning("there was no database yet: made %s", parse(url).render_as_string())
    return open_database(settings)


def upgrade(settings: Settings) -> str:
    """Make the database, or bring an older one up to this version; returns its revision."""
    return migrate(settings.store.url)


def check(database: Database, *, every: bool = False) -> list[str]:
    """One sentence for each thing that is wrong; `every` archived page is read, else a sample of them."""
    return soundness.check(database, sample=None if every else soundness.SAMPLE)


def backup(database: Database, target: Path) -> int:
    """Write a SQLite database as it is now into the new file `target`; returns its size in bytes."""
    return backups.backup(database, target)


def restore(settings: Settings, source: Path, *, replace: bool) -> None:
    """Put a backup in the place that the settings name; it sends nothing before `confirm`."""
    require_sqlite(source)
    backups.restore(source, settings.store.url, replace=replace)


def confirm(database: Database, why: str, *, waiting: Literal["pending", "unknown"], now: dt.datetime) -> int:
    """Let a restored or copied database send again; returns how many deliveries are listed as unknown."""
    return confirm_restore(database, why, now, waiting=waiting)


def copy(settings: Settings, to: str) -> list[copies.Copied]:
    """Everything into the other, empty database at the url `to`, compared table by table."""
    return copies.copy(settings.store.url, to)


def archive_size(database: Database) -> Size:
    """How many pages are stored, and how small."""
    return Archive(database).size()


def export_warc(database: Database, file: Path, *, source: str | None, now: dt.datetime) -> int:
    """Write the stored pages, or one source's, as a WARC file, whole or not at all; returns the number of records.

    Raises InputError when it can't be written.
    """
    partial = file.with_name(f"{file.name}.part")
    try:
        with partial.open("wb") as out:
            records = archive_warc(database, out, now=now, source=source)
        partial.replace(file)
    except OSError as error:
        hint = "Free some space, or choose another place."
        raise InputError(f"can't be written: {error.strerror}", where=str(file), hint=hint) from None
    finally:
        partial.unlink(missing_ok=True)  # half of it would only fill the disk
    return records


def train(database: Database, now: dt.datetime) -> int:
    """A new dictionary, and all bodies packed again with it; returns how many. Raises InputError for too few pages."""
    archive = Archive(database)
    if archive.train(now) is None:
        raise InputError("there are too few pages to learn from", hint="Try again after some more looks.")
    return archive.repack()


def prune(database: Database, before: dt.datetime) -> Pruned:
    """Forget older snapshots; what is evidence for a record, or a page's latest, always stays."""
    return Archive(database).prune(before)
