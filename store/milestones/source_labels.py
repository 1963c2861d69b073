"""What the labels of a source stand for, as its own links taught; what is learnt stays learnt."""

import datetime as dt
from collections.abc import Iterable

import sqlalchemy as sa

from milepost.records import LabelPair
from store.dialects import insert
from store.engine import Database
from store.milestones.looks import ensure_source
from store.schema.tables import source_label


class SourceLabels:
    """The labels of every source."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self, source: str) -> tuple[LabelPair, ...]:
        """Every pair of a label and a slug, in order."""
        columns = (source_label.c.field, source_label.c.label, source_label.c.slug)
        query = sa.select(*columns).where(source_label.c.source == source).order_by(*columns)
        with self._database.connect() as connection:
            return tuple(LabelPair(*row) for row in connection.execute(query))

    def learn(self, source: str, pairs: Iterable[LabelPair], now: dt.datetime) -> None:
        """Keep the pairs that have a slug; those that are known already change nothing."""
        rows = [{"source": source, "field": field, "label": label, "slug": slug, "learnt_at": now}
                for field, label, slug in sorted({pair for pair in pairs if pair.slug is not None})]
        if not rows:
            return
        with self._database.begin() as connection:
            ensure_source(connection, source)
            connection.execute(insert(connection, source_label).on_conflict_do_nothing(), rows)
