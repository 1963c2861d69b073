"""The pictures of sites that our own pages serve; one that its site took down keeps its row and loses its bytes."""

import datetime as dt
import hashlib
from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from store.dialects import insert, one_of
from store.engine import Database
from store.schema.tables import picture

_COLUMNS = ("name", "source", "url", "media_type", "width", "height", "data")
_ENDINGS = {"image/jpeg": "jpg", "image/png": "png"}


@dataclass(frozen=True, kw_only=True, slots=True)
class HostedPicture:
    """A picture as it is served."""

    name: str  # SHA-256 of its bytes, in hex
    source: str
    url: str  # at the site
    media_type: str  # "image/jpeg" | "image/png"
    width: int  # pixels
    height: int
    data: bytes

    @property
    def file(self) -> str:
        """What it is called in an address, so that any web server knows its type."""
        return f"{self.name}.{_ENDINGS[self.media_type]}"


class Pictures:
    """Each step is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(
        self, *, source: str, url: str, media_type: str, width: int, height: int, data: bytes, now: dt.datetime
    ) -> HostedPicture:
        """Keep one; the same bytes once more bring back what was taken down."""
        found = HostedPicture(
            name=hashlib.sha256(data).hexdigest(), source=source, url=url, media_type=media_type, width=width,
            height=height, data=data,
        )
        row = {name: getattr(found, name) for name in _COLUMNS}
        with self._database.begin() as connection:
            connection.execute(
                insert(connection, picture).on_conflict_do_nothing(), [row | {"fetched_at": now}]
            )
            connection.execute(sa.update(picture).where(picture.c.name == found.name).values(data=data))
        return found

    def get(self, name: str) -> HostedPicture | None:
        """The one of that name; None for one that is not there, or not any more."""
        return self._one(picture.c.name == name)

    def at(self, url: str) -> HostedPicture | None:
        """What was fetched last from that address of a site."""
        return self._one(picture.c.url == url)

    def addresses(self, source: str, most: int) -> list[str]:
        """Where the pictures of a source are from that are served, the latest first."""
        last = sa.func.max(picture.c.fetched_at)
        query = sa.select(picture.c.url).where(picture.c.source == source, picture.c.data.is_not(None))
        with self._database.connect() as connection:
            return list(connection.execute(query.group_by(picture.c.url).order_by(last.desc()).limit(most)).scalars())

    def remove(self, urls: Collection[str]) -> None:
        """Serve what is from there no longer."""
        with self._database.begin() as connection:
            connection.execute(sa.update(picture).where(one_of(picture.c.url, urls)).values(data=None))

    def _one(self, which: sa.ColumnElement[bool]) -> HostedPicture | None:
        columns = [picture.c[name] for name in _COLUMNS]
        query = sa.select(*columns).where(which, picture.c.data.is_not(None)).order_by(picture.c.fetched_at.desc())
        with self._database.connect() as connection:
            row = connection.execute(query.limit(1)).first()
        return None if row is None else HostedPicture(**row._mapping)  # noqa: SLF001 (SQLAlchemy's public name)
