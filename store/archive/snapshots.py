"""The archive: every page as it was fetched, what may be asked of it next time, and the cards listings showed.

    add_all ─▶ blob (body, once) ─ snapshot ─ page (latest state of a URL)     many pages, one transaction
    replace_cards ─▶ listing_card, and reread: the keys to read again until Milestones.apply has
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import sqlalchemy as sa

from milepost.codec import card_from_json, card_to_json
from milepost.errors import NotFoundError
from milepost.records import Card, PageKind, Snapshot, Validators
from store.archive.blobs import Codec
from store.archive.pages import chunks
from store.dialects import insert, one_of
from store.engine import Database
from store.milestones.looks import ensure_source
from store.schema.tables import blob, listing_card, page, reread, snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredPage:
    """What is known of a URL of a source."""

    source: str
    url: str
    kind: PageKind
    last_status: int | None  # None: listed, never answered
    last_snapshot_id: int | None  # of its last 200
    read_snapshot_id: int | None  # the one its record was last read from
    first_listed_look: int | None
    last_listed_look: int | None
    asked_at: dt.datetime | None
    seen_at: dt.datetime | None  # last 200 or 304
    gone_since: dt.datetime | None  # first 404, 410 or redirect elsewhere since it was last seen
    moved_to: str | None  # the page of the site that it redirects to
    missing_look: int | None  # the first look that found it gone and listed nowhere, since it was either


class Arrived(NamedTuple):
    """A page as it came."""

    snapshot: Snapshot
    kind: PageKind
    validators: Validators | None = None
    document: bytes | None = None  # what a rendered page was rendered from


class Snapshots:
    """Pages and their snapshots, cards included."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._codec = Codec()

    def add(
        self, taken: Snapshot, kind: PageKind, validators: Validators | None, *, document: bytes | None = None
    ) -> int:
        """`add_all`, of one page; returns the snapshot's id."""
        return self.add_all([Arrived(taken, kind, validators, document)])[0]

    def add_all(self, arrived: Sequence["Arrived"]) -> list[int]:
        """Archive pages as fetched, whatever their status, in one transaction; returns their snapshots' ids.

        Only a 200 becomes its page's latest snapshot and leaves validators; a 404 or 410 marks the page gone.
        """
        if not arrived:
            return []
        with self._database.begin() as connection:
            for source in {one.snapshot.source for one in arrived}:
                ensure_source(connection, source)
            documents = [one.document for one in arrived if one.document is not None]
            shas = self._codec.put(connection, [*(one.snapshot.body for one in arrived), *documents])
            of_documents = iter(shas[len(arrived):])
            ids = list(connection.execute(_NEW, [
                {"source": taken.source, "url": taken.url, "final_url": taken.final_url, "status": taken.status,
                 "headers": dict(taken.headers), "body_sha": sha, "fetched_at": taken.fetched_at,
                 "rendered_by": taken.rendered_by,
                 "document_sha": None if document is None else next(of_documents)}
                for (taken, _, _, document), sha in zip(arrived, shas, strict=False)
            ]).scalars())
            for is_there, some in groupby(zip(arrived, ids, strict=True), lambda one: one[0].snapshot.status == 200):
                if is_there:
                    _put_there(connection, list(some))
                else:
                    for one, _ in some:
                        _put_answer(connection, one)
        return ids

    def get(self, snapshot_id: int) -> Snapshot:
        """The snapshot with its body; raises NotFoundError, or StoreError when the body is damaged."""
        with self._database.connect() as connection:
            row = connection.execute(_WITH_BODY.where(snapshot.c.id == snapshot_id)).first()
            if row is None:
                raise NotFoundError("there is no such snapshot", where=f"snapshot {snapshot_id}")
            return to_snapshot(row, self._codec.unpack(connection, row))

    def document(self, snapshot_id: int) -> bytes | None:
        """What a rendered page was rendered from; None for a page as it came. Raises StoreError when it is damaged."""
        query = sa.select(blob).join(snapshot, snapshot.c.document_sha == blob.c.sha256)
        with self._database.connect() as connection:
            row = connection.execute(query.where(snapshot.c.id == snapshot_id)).first()
            return None if row is None else self._codec.unpack(connection, row)

    def some(self, snapshot_ids: Sequence[int]) -> dict[int, Snapshot]:
        """Several at once, with their bodies; raises StoreError when one is damaged."""
        with self._database.connect() as connection:
            rows = connection.execute(_WITH_BODY.where(one_of(snapshot.c.id, snapshot_ids))).all()
            return {row.id: to_snapshot(row, self._codec.unpack(connection, row)) for row in rows}

    def taken(self, snapshot_ids: Collection[int]) -> dict[int, tuple[str, dt.datetime]]:
        """The address of each of these and when it was fetched, without the bodies."""
        query = sa.select(snapshot.c.id, snapshot.c.url, snapshot.c.fetched_at).where(
            one_of(snapshot.c.id, sorted(snapshot_ids))
        )
        with self._database.connect() as connection:
            return {row.id: (row.url, row.fetched_at) for row in connection.execute(query)}

    def latest(self, source: str, url: str) -> tuple[int, Snapshot] | None:
        """The page's last 200 with its id, None when it never answered so."""
        query = (
            _WITH_BODY
            .join(page, page.c.last_snapshot_id == snapshot.c.id)
            .where(page.c.source == source, page.c.url == url)
        )
        with self._database.connect() as connection:
            row = connection.execute(query).first()
            if row is None:
                return None
            return int(row.id), to_snapshot(row, self._codec.unpack(connection, row))

    def history(self, source: str, url: str) -> list[tuple[int, dt.datetime, int]]:
        """Every snapshot of a page, oldest first: (id, fetched at, status)."""
        query = (
            sa.select(snapshot.c.id, snapshot.c.fetched_at, snapshot.c.status)
            .where(snapshot.c.source == source, snapshot.c.url == url)
            .order_by(snapshot.c.id)
        )
        with self._database.connect() as connection:
            return [(row.id, row.fetched_at, row.status) for row in connection.execute(query)]

    def validators(self, source: str, url: str) -> Validators | None:
        """What to send to ask "has it changed?"; None when the last stored answer was no 200 or gave nothing."""
        query = sa.select(page.c.etag, page.c.last_modified).where(page.c.source == source, page.c.url == url)
        with self._database.connect() as connection:
            row = connection.execute(query.where(page.c.last_status == 200)).first()
        if row is None or (row.etag is None and row.last_modified is None):
            return None
        return Validators(etag=row.etag, last_modified=row.last_modified)

    def pages(self, source: str, *, kind: PageKind | None = None) -> list[StoredPage]:
        """Every page known of a source, in URL order."""
        query = sa.select(*_PAGE_COLUMNS).where(page.c.source == source).order_by(page.c.url)
        if kind is not None:
            query = query.where(page.c.kind == kind)
        with self._database.connect() as connection:
            return [StoredPage(**row) for row in connection.execute(query).mappings()]

    def mark_gone(self, source: str, gone: Mapping[str, int], at: dt.datetime) -> None:
        """The server answered 404 or 410 (URL → status) for these; what was read from the pages stands."""
        if not gone:
            return
        with self._database.begin() as connection:
            ensure_source(connection, source)
            new = insert(connection, page)
            connection.execute(
                new.on_conflict_do_update(index_elements=["source", "url"], set_={"asked_at": new.excluded.asked_at}),
                [{"source": source, "url": url, "kind": "milestone", "asked_at": at} for url in gone],
            )
            for url, status in gone.items():
                _mark_gone(connection, source, url, status, at)

    def note_listed(self, source: str, urls: Iterable[str], look_id: int, *, kind: PageKind = "milestone") -> None:
        """Record that a look found these pages listed; the first look to list a page is kept for ever.

        Some at a time, each in a transaction of its own: for a hundred thousand SQLite's other writers would wait.
        """
        listed = sa.update(page).where(page.c.source == source).values(
            first_listed_look=sa.func.coalesce(page.c.first_listed_look, look_id), last_listed_look=look_id,
        )
        new = {"source": source, "kind": kind, "first_listed_look": look_id, "last_listed_look": look_id}
        for some in self._database.in_turn(chunks(set(urls))):
            with self._database.begin() as connection:
                if connection.execute(listed.where(page.c.url.in_(some))).rowcount < len(some):
                    connection.execute(
                        insert(connection, page).on_conflict_do_nothing(), [{"url": url} | new for url in some]
                    )

    def unread(self, source: str) -> list[tuple[str, int]]:
        """Milestone pages whose latest snapshot has not been through `Milestones.apply`: (url, snapshot id).

        Not among them: those that are gone by now. When one comes back it has a new snapshot.
        """
        query = (
            sa.select(page.c.url, page.c.last_snapshot_id)
            .where(
                page.c.source == source, page.c.kind == "milestone", page.c.last_snapshot_id.is_not(None),
                page.c.gone_since.is_(None),
                page.c.read_snapshot_id.is_distinct_from(page.c.last_snapshot_id),
            )
            .order_by(page.c.url)
        )
        with self._database.connect() as connection:
            return [(row.url, row.last_snapshot_id) for row in connection.execute(query)]

    # --- cards ------------------------------------------------------------------------------------------------------

    def replace_cards(self, source: str, listing_url: str, cards: Sequence[Card]) -> set[str]:
        """Keep what a listing shows now; returns the keys whose card is new, different or no longer there.

        The same keys stay in `to_reread` until `Milestones.apply` has had their records: a crash loses none.
        """
        new: dict[str, dict[str, Any]] = {}
        for position, card in enumerate(cards):
            if card.key is not None and card.key not in new:
                new[card.key] = {"position": position, "card": card_to_json(card)}
        here = sa.and_(listing_card.c.source == source, listing_card.c.listing_url == listing_url)
        with self._database.begin() as connection:
            ensure_source(connection, source)
            old = {row.key: row.card for row in connection.execute(sa.select(listing_card).where(here))}
            changed = {key for key, entry in new.items() if old.get(key) != entry["card"]} | (old.keys() - new.keys())
            connection.execute(sa.delete(listing_card).where(here))
            if new:
                connection.execute(
                    sa.insert(listing_card),
                    [{"source": source, "listing_url": listing_url, "key": key, **entry} for key, entry in new.items()],
                )
            if changed:
                connection.execute(
                    insert(connection, reread).on_conflict_do_nothing(),
                    [{"source": source, "key": key} for key in sorted(changed)],
                )
        return changed

    def cards_for(self, source: str, key: str) -> list[tuple[str, Card]]:
        """What listings show of one milestone: (listing URL, card)."""
        query = (
            sa.select(listing_card.c.listing_url, listing_card.c.card)
            .where(listing_card.c.source == source, listing_card.c.key == key)
            .order_by(listing_card.c.listing_url)
        )
        with self._database.connect() as connection:
            return [(row.listing_url, card_from_json(row.card)) for row in connection.execute(query)]

    def cards(self, source: str) -> dict[str, list[tuple[str, Card]]]:
        """`cards_for` of every key of a source, in one query."""
        query = (
            sa.select(listing_card.c.key, listing_card.c.listing_url, listing_card.c.card)
            .where(listing_card.c.source == source)
            .order_by(listing_card.c.key, listing_card.c.listing_url)
        )
        found: dict[str, list[tuple[str, Card]]] = {}
        with self._database.connect() as connection:
            for row in connection.execute(query):
                found.setdefault(row.key, []).append((row.listing_url, card_from_json(row.card)))
        return found

    def to_reread(self, source: str) -> set[str]:
        """Keys whose cards changed since their record was last read."""
        with self._database.connect() as connection:
            return set(connection.execute(sa.select(reread.c.key).where(reread.c.source == source)).scalars())


_NEW = sa.insert(snapshot).returning(snapshot.c.id, sort_by_parameter_order=True)
_THERE = {"gone_since": None, "moved_to": None, "missing_look": None}  # of a page that was seen
_PAGE_COLUMNS = [page.c[name] for name in StoredPage.__dataclass_fields__]


_WITH_BODY: sa.Select[Any] = sa.select(snapshot, blob).join_from(
    snapshot, blob, snapshot.c.body_sha == blob.c.sha256
)


def to_snapshot(row: sa.Row[Any], body: bytes) -> Snapshot:
    """A row of the snapshot table and its unpacked body as a record."""
    return Snapshot(
        source=row.source, url=row.url, final_url=row.final_url, status=row.status,
        headers=row.headers, body=body,
        fetched_at=row.fetched_at, rendered_by=row.rendered_by,
    )


def _put_there(connection: sa.Connection, some: Sequence[tuple[Arrived, int]]) -> None:
    """The rows of pages that answered 200, with the ids of their snapshots."""
    rows = [
        {"source": taken.source, "url": taken.url, "kind": kind, "last_status": 200, "asked_at": taken.fetched_at,
         "seen_at": taken.fetched_at, "last_snapshot_id": number,
         "etag": validators and validators.etag, "last_modified": validators and validators.last_modified, **_THERE}
        for (taken, kind, validators, _), number in some
    ]
    put = insert(connection, page)
    new = {name: put.excluded[name] for name in rows[0] if name not in ("source", "url")}
    connection.execute(put.on_conflict_do_update(index_elements=["source", "url"], set_=new), rows)


def _put_answer(connection: sa.Connection, one: Arrived) -> None:
    """The row of a page that answered anything else."""
    taken = one.snapshot
    values = {"kind": one.kind, "last_status": taken.status, "asked_at": taken.fetched_at, "etag": None,
              "last_modified": None}
    put = insert(connection, page).values(source=taken.source, url=taken.url, **values)
    connection.execute(put.on_conflict_do_update(index_elements=["source", "url"], set_=values))
    if taken.status in (404, 410):
        _mark_gone(connection, taken.source, taken.url, taken.status, taken.fetched_at)


def _mark_gone(connection: sa.Connection, source: str, url: str, status: int, at: dt.datetime) -> None:
    connection.execute(
        sa.update(page)
        .where(page.c.source == source, page.c.url == url)
        .values(
            last_status=status, etag=None, last_modified=None,
            gone_since=sa.func.coalesce(page.c.gone_since, sa.bindparam("at", at, type_=page.c.gone_since.type)),
        )
    )
