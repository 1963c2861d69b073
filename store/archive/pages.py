"""What is known of many pages at once: what a look of a hundred thousand unchanged pages asks, in few statements.

    urls, validators ─▶ the crawl ─▶ note_not_modified, note_moved, note_missing, note_fallen
"""

import datetime as dt
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import NamedTuple

import sqlalchemy as sa

from milepost.codec import card_from_json
from milepost.records import Card, PageKind, StoppedPage, Unread, Validators, each_once
from store.clock import ahead
from store.dialects import insert
from store.engine import Database
from store.meta import Meta
from store.milestones.looks import ensure_source
from store.schema.tables import listing_card, page, reread

CHUNK = 500  # values named in one statement
_STOPPED = "stopped_readers.{source}"


class LastRead(NamedTuple):
    """From which snapshot a page was last read, and whether it is gone by now."""

    snapshot_id: int
    gone: bool


class Pages:
    """The pages of every source, by the set."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def urls(self, source: str, kind: PageKind) -> list[str]:
        """Every URL of that kind, in order."""
        query = sa.select(page.c.url).where(page.c.source == source, page.c.kind == kind).order_by(page.c.url)
        with self._database.connect() as connection:
            return list(connection.execute(query).scalars())

    def validators(self, source: str) -> dict[str, Validators]:
        """What to send to ask "has it changed?", of every page whose last stored answer was a 200 with some."""
        query = sa.select(page.c.url, page.c.etag, page.c.last_modified).where(
            page.c.source == source, page.c.last_status == 200,
            sa.or_(page.c.etag.is_not(None), page.c.last_modified.is_not(None)),
        )
        with self._database.connect() as connection:
            return {url: Validators(etag=etag, last_modified=modified)
                    for url, etag, modified in connection.execute(query)}

    def gone_for_good(self, source: str, urls: Sequence[str]) -> bool:
        """Whether all of these pages answered 410 when they were last asked for."""
        query = sa.select(sa.func.count()).select_from(page).where(
            page.c.source == source, page.c.url.in_(urls), page.c.last_status == 410,
        )
        with self._database.connect() as connection:
            return connection.execute(query).scalar_one() == len(urls)

    def note_unread(self, source: str, unread: Mapping[str, Sequence[Unread]]) -> None:
        """What looked like a milestone on these pages, as they were just read, and could not be read."""
        rows = [{"of_url": url, "found": [asdict(one) for one in found]} for url, found in unread.items() if found]
        none = [url for url, found in unread.items() if not found]
        with self._database.begin() as connection:
            for some in chunks(none):
                connection.execute(
                    sa.update(page).where(page.c.source == source, page.c.url.in_(some), page.c.unread.is_not(None))
                    .values(unread=sa.null())
                )
            if rows:
                connection.execute(
                    sa.update(page).where(page.c.source == source, page.c.url == sa.bindparam("of_url"))
                    .values(unread=sa.bindparam("found", type_=page.c.unread.type)), rows,
                )

    def puzzling(self, source: str) -> set[str]:
        """The pages on which something could not be read when they were last read."""
        query = sa.select(page.c.url).where(page.c.source == source, page.c.unread.is_not(None))
        with self._database.connect() as connection:
            return set(connection.execute(query).scalars())

    def unread(self, source: str, since: dt.datetime | None = None) -> tuple[Unread, ...]:
        """What could not be read on the pages that are there, each once; on those seen since then, if it is given."""
        query = sa.select(page.c.url, page.c.unread).where(
            page.c.source == source, page.c.unread.is_not(None), page.c.gone_since.is_(None)
        ).order_by(page.c.url)
        if since is not None:
            query = query.where(page.c.seen_at >= since)
        with self._database.connect() as connection:
            return each_once(Unread(**one) for row in connection.execute(query) for one in row.unread)

    def stopped(self, source: str) -> dict[str, StoppedPage]:
        """The pages that stopped their reader, by address: few, or a site is not worth following."""
        kept = json.loads(Meta(self._database).get(_STOPPED.format(source=source)) or "{}")
        return {url: StoppedPage(**one) for url, one in kept.items()}

    def note_stopped(self, source: str, news: Mapping[str, StoppedPage | None]) -> None:
        """Remember pages that stopped their reader; None: it has been read since."""
        if news:
            now: dict[str, StoppedPage | None] = {**self.stopped(source), **news}
            kept = {url: asdict(one) for url, one in sorted(now.items()) if one is not None}
            Meta(self._database).set(_STOPPED.format(source=source), json.dumps(kept) if kept else None)

    def last_read(self, source: str, urls: Collection[str]) -> dict[str, LastRead]:
        """Of these pages those that were ever read."""
        query = sa.select(page.c.url, page.c.read_snapshot_id, page.c.gone_since)
        found: dict[str, LastRead] = {}
        with self._database.connect() as connection:
            for some in chunks(urls):
                here = (page.c.source == source, page.c.url.in_(some), page.c.read_snapshot_id.is_not(None))
                found |= {row.url: LastRead(row.read_snapshot_id, row.gone_since is not None)
                          for row in connection.execute(query.where(*here))}
        return found

    def seen(self, source: str, urls: Collection[str], since: dt.datetime) -> dict[str, int]:
        """Of these pages those that answered 200 or 304 since then, with their latest snapshot."""
        query = sa.select(page.c.url, page.c.last_snapshot_id)
        found: dict[str, int] = {}
        with self._database.connect() as connection:
            for some in chunks(urls):
                here = (page.c.source == source, page.c.url.in_(some), page.c.seen_at >= since,
                        page.c.gone_since.is_(None), page.c.last_snapshot_id.is_not(None))
                found |= {row.url: row.last_snapshot_id for row in connection.execute(query.where(*here))}
        return found

    def seen_since(self, source: str, since: dt.datetime) -> Iterator[str]:
        """The milestones' pages that answered 200 or 304 since then, and are there."""
        query = sa.select(page.c.url).where(page.c.source == source, page.c.kind == "milestone",
                                            page.c.seen_at >= since, page.c.gone_since.is_(None))
        with self._database.connect() as connection:
            yield from connection.execute(query).scalars()

    def seen_before(self, source: str, before: dt.datetime) -> Iterator[tuple[str, dt.datetime]]:
        """The milestones' pages that last answered before that, and when."""
        query = sa.select(page.c.url, page.c.seen_at).where(
            page.c.source == source, page.c.kind == "milestone", page.c.seen_at < before)
        with self._database.connect() as connection:
            for row in connection.execute(query):
                yield row.url, row.seen_at

    def unsettled(self, source: str) -> set[str]:
        """The milestones' pages of which something is open: gone, moved, not read, or not whole when they were read."""
        query = sa.select(page.c.url).where(
            page.c.source == source, page.c.kind == "milestone",
            sa.or_(page.c.last_status.is_distinct_from(200), page.c.gone_since.is_not(None),
                   page.c.missing_look.is_not(None), page.c.unread.is_not(None),
                   page.c.read_snapshot_id.is_distinct_from(page.c.last_snapshot_id)))
        with self._database.connect() as connection:
            return set(connection.execute(query).scalars())

    def seen_ahead(self, source: str, now: dt.datetime) -> int:
        """How many pages were last seen at a moment that is yet to come: a clock was ahead, or is behind now."""
        query = sa.select(sa.func.count()).where(page.c.source == source, ahead(page.c.seen_at, now))
        with self._database.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def note_not_modified(self, source: str, urls: Iterable[str], at: dt.datetime) -> None:
        """The server answered 304 for all of these: their latest snapshots still stand."""
        unchanged = sa.update(page).values(
            asked_at=at, seen_at=at, gone_since=None, moved_to=None, missing_look=None
        ).where(page.c.source == source)
        for some in self._database.in_turn(chunks(urls)):
            with self._database.begin() as connection:
                connection.execute(unchanged.where(page.c.url.in_(some)))

    def note_read(self, source: str, read: Mapping[str, int]) -> None:
        """Nothing more is to be read of these pages (URL → snapshot id)."""
        rows = [{"of_url": url, "of_snapshot": at} for url, at in read.items()]
        if rows:
            with self._database.begin() as connection:
                connection.execute(
                    sa.update(page).where(page.c.source == source, page.c.url == sa.bindparam("of_url"))
                    .values(read_snapshot_id=sa.bindparam("of_snapshot")), rows,
                )

    def note_moved(self, source: str, moved: Mapping[str, tuple[str, int]], at: dt.datetime) -> None:
        """These redirect to another page of the site (URL → its URL, status); what was read from them stands."""
        if not moved:
            return
        rows = [
            {"source": source, "url": url, "kind": "milestone", "gone_since": at, "asked_at": at, "last_status": status,
             "etag": None, "last_modified": None, "moved_to": target} for url, (target, status) in moved.items()
        ]
        with self._database.begin() as connection:
            ensure_source(connection, source)
            put = insert(connection, page)
            values = {name: put.excluded[name] for name in
                      ("asked_at", "last_status", "etag", "last_modified", "moved_to")}
            kept = sa.func.coalesce(page.c.gone_since, put.excluded.gone_since)
            connection.execute(put.on_conflict_do_update(
                index_elements=["source", "url"], set_=values | {"gone_since": kept}
            ), rows)

    def note_missing(self, source: str, missing: Collection[str], look_id: int) -> dict[str, int]:
        """A look saw all listings, and these are gone and in none of them; every other one is not missing.

        One of several milestones on a page goes by the page's URL and a fragment of its own. Returns, for each of
        `missing`, the first look in a row to find it so.
        """
        with self._database.begin() as connection:
            before = _missing(connection, source)
            for some in chunks(before.keys() - set(missing)):
                connection.execute(
                    sa.update(page).where(page.c.source == source, page.c.url.in_(some)).values(missing_look=None)
                )
            rows = [{"source": source, "url": url, "kind": "other", "missing_look": look_id}
                    for url in sorted(set(missing) - before.keys())]
            if rows:
                new = insert(connection, page)
                connection.execute(new.on_conflict_do_update(
                    index_elements=["source", "url"], set_={"missing_look": new.excluded.missing_look}
                ), rows)
        return {url: before.get(url, look_id) for url in missing}

    def missing(self, source: str) -> dict[str, int]:
        """What the last look that saw all listings found missing: URL → the first look in a row to find it so."""
        with self._database.connect() as connection:
            return _missing(connection, source)

    def note_fallen(self, source: str, fallen: Collection[str], at: dt.datetime) -> None:
        """These entries of pages (their URLs with a fragment) fell off the end of a page that shows its last few."""
        with self._database.begin() as connection:
            before = set(_fallen(connection, source))
            for some in chunks(before - set(fallen)):
                connection.execute(
                    sa.update(page).where(page.c.source == source, page.c.url.in_(some)).values(gone_since=None)
                )
            rows = [{"source": source, "url": url, "kind": "other", "gone_since": at}
                    for url in sorted(set(fallen) - before)]
            if rows:
                new = insert(connection, page)
                connection.execute(new.on_conflict_do_update(
                    index_elements=["source", "url"], set_={"gone_since": new.excluded.gone_since, "missing_look": None}
                ), rows)

    def fallen(self, source: str) -> set[str]:
        """What `note_fallen` was last told."""
        with self._database.connect() as connection:
            return set(_fallen(connection, source))

    def cards(self, source: str, keys: Iterable[str]) -> dict[str, list[tuple[str, Card]]]:
        """What listings show of some milestones: key → (listing URL, card)."""
        query = sa.select(listing_card.c.key, listing_card.c.listing_url, listing_card.c.card)
        found: dict[str, list[tuple[str, Card]]] = {}
        with self._database.connect() as connection:
            for some in chunks(keys):
                here = query.where(listing_card.c.source == source, listing_card.c.key.in_(some))
                for row in connection.execute(here.order_by(listing_card.c.key, listing_card.c.listing_url)):
                    found.setdefault(row.key, []).append((row.listing_url, card_from_json(row.card)))
        return found

    def forget_rereads(self, source: str, keys: Collection[str]) -> None:
        """There is no page to read again for these keys: should one come, it is read as new."""
        if keys:
            with self._database.begin() as connection:
                for some in chunks(keys):
                    connection.execute(sa.delete(reread).where(reread.c.source == source, reread.c.key.in_(some)))


def chunks(values: Iterable[str]) -> Iterator[Sequence[str]]:
    """The values in order, CHUNK at a time."""
    listed = sorted(values)
    for start in range(0, len(listed), CHUNK):
        yield listed[start : start + CHUNK]


def _missing(connection: sa.Connection, source: str) -> dict[str, int]:
    query = sa.select(page.c.url, page.c.missing_look).where(
        page.c.source == source, page.c.missing_look.is_not(None)
    )
    return {row.url: row.missing_look for row in connection.execute(query)}


def _fallen(connection: sa.Connection, source: str) -> list[str]:
    """An entry has no page of its own that could be gone: so much is left to say of its row."""
    query = sa.select(page.c.url).where(
        page.c.source == source, page.c.url.contains("#"), page.c.gone_since.is_not(None), page.c.missing_look.is_(None)
    )
    return list(connection.execute(query).scalars())
