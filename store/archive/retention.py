"""Care of the archive of pages: smaller with a trained dictionary, shorter by what is old and proves nothing."""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from itertools import count

import sqlalchemy as sa

from store.archive.blobs import Codec, train
from store.archive.pages import chunks
from store.engine import Database
from store.meta import Meta
from store.schema.tables import backfill_record, blob, dictionary, milestone_version, page, snapshot

ENOUGH = 64  # bodies without a dictionary, before training one pays
SAMPLES = 400  # bodies to train on: more make it no better
CHUNK = 50  # bodies in memory at once
_PRUNED = "pruned_at"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pruned:
    """What `prune` removed."""

    snapshots: int
    blobs: int
    bytes: int  # compressed


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How big the archive is."""

    snapshots: int
    blobs: int
    raw_bytes: int
    stored_bytes: int  # of the bodies, without the dictionaries they need
    dictionaries: int
    dictionary_bytes: int


class Archive:
    """Works on all sources at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def size(self) -> Size:
        """Counts and bytes."""
        with self._database.connect() as connection:
            blobs, raw, stored = connection.execute(sa.select(
                sa.func.count(), sa.func.coalesce(sa.func.sum(blob.c.raw_size), 0),
                sa.func.coalesce(sa.func.sum(sa.func.length(blob.c.data)), 0),
            )).one()
            learnt = connection.execute(sa.select(sa.func.coalesce(sa.func.sum(sa.func.length(dictionary.c.data)), 0)))
            return Size(
                snapshots=_count(connection, snapshot), blobs=blobs, raw_bytes=int(raw), stored_bytes=int(stored),
                dictionaries=_count(connection, dictionary), dictionary_bytes=int(learnt.scalar_one()),
            )

    def keep_small(self, now: dt.datetime) -> None:
        """Train a dictionary when that is due, and pack with it what there is."""
        if self.train_if_due(now) is not None:
            self.repack()

    def train_if_due(self, now: dt.datetime) -> int | None:
        """Train a dictionary once `ENOUGH` bodies are stored without one; returns its id, None when it isn't due."""
        query = sa.select(sa.func.count()).select_from(blob).where(blob.c.dictionary.is_(None))
        with self._database.connect() as connection:
            if _count(connection, dictionary) > 0 or connection.execute(query).scalar_one() < ENOUGH:
                return None
        return self.train(now)

    def train(self, now: dt.datetime) -> int | None:
        """Train a dictionary on the latest pages; what is stored from now on uses it, what is stored stays readable.

        Returns its id, None when there are too few pages, or they have too little in common.
        """
        latest = sa.select(snapshot.c.body_sha, sa.func.max(snapshot.c.id).label("id")).group_by(snapshot.c.body_sha)
        newest = latest.order_by(sa.desc("id")).limit(SAMPLES).subquery()
        query = sa.select(blob).join(newest, newest.c.body_sha == blob.c.sha256).order_by(blob.c.sha256)
        codec = Codec()
        with self._database.connect() as connection:
            samples = [codec.unpack(connection, row) for row in connection.execute(query).all()]
        data = train(samples)
        if data is None:
            return None
        with self._database.begin() as connection:
            made = connection.execute(
                sa.insert(dictionary)
                .values(trained_at=now, samples=len(samples), data=data)
                .returning(dictionary.c.id)
            )
            return int(made.scalar_one())

    def repack(self) -> int:
        """Pack every body again with the newest dictionary; returns how many changed. Can be stopped at any time."""
        codec, changed, last = Codec(), 0, ""
        for _ in self._database.in_turn(count()):
            with self._database.begin() as connection:
                newest = connection.execute(sa.select(sa.func.max(dictionary.c.id))).scalar()
                rows = connection.execute(
                    sa.select(blob)
                    .where(blob.c.sha256 > last, blob.c.dictionary.is_distinct_from(newest))
                    .order_by(blob.c.sha256)
                    .limit(CHUNK)
                ).all()
                packed = codec.pack(connection, (codec.unpack(connection, row) for row in rows))
                if rows:
                    connection.execute(_PACKED_ANEW, [
                        {"of_sha": row.sha256, **columns} for row, columns in zip(rows, packed, strict=True)
                    ])
            if not rows:
                break
            changed += len(rows)
            last = rows[-1].sha256
        return changed

    def prune_if_due(self, before: dt.datetime, now: dt.datetime) -> Pruned | None:
        """`prune`, once a day: it walks over all snapshots. None when it was done less than a day ago."""
        meta = Meta(self._database)
        last = meta.get(_PRUNED)
        if last is not None and now - dt.datetime.fromisoformat(last) < dt.timedelta(days=1):
            return None
        pruned = self.prune(before)
        meta.set(_PRUNED, now.isoformat())
        return pruned

    def prune(self, before: dt.datetime) -> Pruned:
        """Remove snapshots fetched before `before`, except those that are evidence.

        Evidence is what any version of a milestone was read from, each page's latest snapshot, and what a backfill
        that is not over has read.
        """
        evidence = sa.union(
            sa.select(milestone_version.c.snapshot_id).where(milestone_version.c.snapshot_id.is_not(None)),
            sa.select(page.c.last_snapshot_id).where(page.c.last_snapshot_id.is_not(None)),
            sa.select(page.c.read_snapshot_id).where(page.c.read_snapshot_id.is_not(None)),
            sa.select(backfill_record.c.snapshot_id),
        )
        with self._database.begin() as connection:
            removed = connection.execute(
                sa.delete(snapshot).where(snapshot.c.fetched_at < before, snapshot.c.id.not_in(evidence))
                .returning(snapshot.c.body_sha, snapshot.c.document_sha)
            ).all()
            freed = _free(connection, {sha for row in removed for sha in row if sha is not None})
        return Pruned(snapshots=len(removed), blobs=len(freed), bytes=sum(freed))


_PACKED_ANEW = sa.update(blob).where(blob.c.sha256 == sa.bindparam("of_sha")).values(
    {name: sa.bindparam(name) for name in ("encoding", "dictionary", "data")}
)


def _free(connection: sa.Connection, bodies: Collection[str]) -> list[int]:
    """Remove those of these bodies that no snapshot has any more; the bytes of each."""
    freed: list[int] = []
    used = (sa.select(snapshot.c.id).where(snapshot.c.body_sha == blob.c.sha256).exists()
            | sa.select(snapshot.c.id).where(snapshot.c.document_sha == blob.c.sha256).exists())
    for some in chunks(bodies):
        gone = sa.delete(blob).where(blob.c.sha256.in_(some), ~used).returning(sa.func.length(blob.c.data))
        freed += connection.execute(gone).scalars()
    return freed


def _count(connection: sa.Connection, table: sa.Table) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
