"""What the looks at a source came to know of its feeds: a note beside the archive, as the last look left it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import sqlalchemy as sa

from store.engine import Database
from store.meta import Meta
from store.schema.tables import meta

_KEY = "feeds.{source}"


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFeeds:
    """The feeds of one source, by their addresses."""

    used: Mapping[str, int] = field(default_factory=dict)  # → how many of the source's pages it names
    ignored: Mapping[str, str] = field(default_factory=dict)  # → why
    lost: Mapping[str, str] = field(default_factory=dict)  # was used, and is still advertised → why it can't be had
    nothing: str = ""  # why the settings ask for feeds, and there is none
    unused: tuple[str, ...] = ()  # advertised where the settings ask for none
    # pages that a feed named when it was first read: what of them is older than the look before is no news
    stood: tuple[str, ...] = ()
    stood_since: str | None = None  # the day on which that look began: "2031-03-04"


def noted(database: Database, source: str) -> SourceFeeds | None:
    """The note of the last look; None before there was one."""
    with database.connect() as connection:
        return of(connection, source)


def of(connection: sa.Connection, source: str) -> SourceFeeds | None:
    """The same, in somebody's transaction."""
    kept = connection.execute(sa.select(meta.c.value).where(meta.c.key == _KEY.format(source=source))).scalar()
    if kept is None:
        return None
    data = json.loads(kept)
    return SourceFeeds(**data | {name: tuple(data[name]) for name in ("unused", "stood")})


def note(database: Database, source: str, feeds: SourceFeeds) -> None:
    """Keep this instead."""
    Meta(database).set(_KEY.format(source=source), json.dumps(asdict(feeds), ensure_ascii=False))
