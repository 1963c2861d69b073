"""What left the lists of a source and is on record: a note beside the archive, as its looks left it.

    {"https://kites.example/data": ("3", "7")}        the page of a list → keys of the entries that it shows no more
"""

import json
from collections.abc import Collection, Mapping

import sqlalchemy as sa

from store.engine import Database
from store.meta import Meta
from store.schema.tables import meta

_KEY = "lost_entries.{source}"


def noted(database: Database, source: str) -> Mapping[str, tuple[str, ...]]:
    """By page, the keys in their order; raises StoreError."""
    with database.connect() as connection:
        return of(connection, source)


def of(connection: sa.Connection, source: str) -> Mapping[str, tuple[str, ...]]:
    """The same, in somebody's transaction."""
    kept = connection.execute(sa.select(meta.c.value).where(meta.c.key == _KEY.format(source=source))).scalar()
    return {} if kept is None else {page: tuple(keys) for page, keys in json.loads(kept).items()}


def note(database: Database, source: str, lost: Mapping[str, Collection[str]]) -> None:
    """Keep this instead; nothing of a source that lost none. Raises StoreError."""
    kept = {page: sorted(keys) for page, keys in sorted(lost.items()) if keys}
    Meta(database).set(_KEY.format(source=source), json.dumps(kept, ensure_ascii=False) if kept else None)
