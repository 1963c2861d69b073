"""Databases as releases left them: `<revision>.json` holds the rows that the program of that revision wrote.

They were made by looking at the site of `site.toml` three times (a baseline, a story published, that story corrected)
and sending both issues. Each stays as it is: what it guards is that no later program hashes, reads or renders it anew.
"""

import base64
import datetime as dt
import json
import tomllib
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from console.demo.site.pages import Content, Story
from milepost.dates import PartialDate
from store.database import Database, upgrade
from store.milestones import search
from store.schema import tables

HERE = Path(__file__).parent
RELEASES = tuple(sorted(path.stem for path in HERE.glob("*.json")))


def site() -> Content:
    """What the site tells, all stories published and corrected."""
    data = tomllib.loads((HERE / "site.toml").read_text(encoding="utf-8"))
    stories = tuple(
        Story(**{
            **story, "date": PartialDate(value=story["date"]),
            **{name: tuple(story[name]) for name in ("people", "organizations", "tags")},
        })
        for story in data["milestones"]
    )
    content = Content(**data["site"], eras=data["eras"], categories=data["categories"], stories=stories,
                      edits=tuple(data["edits"]))
    return content.published().edited()


def restore(url: str, revision: str, *, marked: bool = False) -> None:
    """Make an empty database the one that the release of `revision` left, and upgrade it; `marked`: it is a backup."""
    upgrade(url, to=revision)
    rows: dict[str, list[dict[str, Any]]] = json.loads((HERE / f"{revision}.json").read_text(encoding="utf-8"))
    with Database(url) as database, database.begin() as connection:
        for table in tables.metadata.sorted_tables:
            if table.name in rows:  # by the columns it had then, with the types they have
                then = sa.table(table.name, *(sa.column(name, table.c[name].type) for name in rows[table.name][0]))
                connection.execute(sa.insert(then), [_values(row) for row in rows[table.name]])
                _continue_numbering(connection, table)
        if marked:
            connection.execute(sa.insert(tables.meta).values(key="restored_from", value="backup.db"))
    upgrade(url)
    with Database(url) as database, database.begin() as connection:
        search.reindex(connection)


def _values(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    match value:
        case {"base64": text}:
            return base64.b64decode(text)
        case {"moment": text}:
            return dt.datetime.fromisoformat(text)
    return value


def _continue_numbering(connection: sa.Connection, table: sa.Table) -> None:
    key = table.autoincrement_column
    if connection.dialect.name == "postgresql" and key is not None:
        highest = connection.execute(sa.select(sa.func.max(key))).scalar_one()
        sequence = sa.func.pg_get_serial_sequence(table.name, key.name)
        connection.execute(sa.select(sa.func.setval(sequence, highest)))
