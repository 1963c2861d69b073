"""What the labels of a source stand for, and how it writes them, as its own links taught; what is learnt stays."""

import datetime as dt
from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from milepost.records import LabelPair, SiteLabel
from store.dialects import insert
from store.engine import Database
from store.milestones.looks import ensure_source
from store.schema.tables import site_label, source_label

_MOST = 2_000  # spellings that one look can teach


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

    def words(self) -> dict[str, str]:
        """Slug → what most pages of the sources call it; of several the one that was met last."""
        columns = (site_label.c.slug, site_label.c.words)
        order = (sa.func.sum(site_label.c.pages), sa.func.max(site_label.c.met_at), site_label.c.words)
        with self._database.connect() as connection:
            rows = connection.execute(sa.select(*columns).group_by(*columns).order_by(*order)).all()
        return {row.slug: row.words for row in rows}  # the last one of a slug stands

    def learn(
        self, source: str, pairs: Iterable[LabelPair], spelt: Mapping[SiteLabel, int], now: dt.datetime
    ) -> None:
        """Keep the pairs that have a slug; those that are known already change nothing. `spelt`: label → pages that
        write it so, which are added to those known."""
        rows = [{"source": source, "field": field, "label": label, "slug": slug, "learnt_at": now}
                for field, label, slug in sorted({pair for pair in pairs if pair.slug is not None})]
        written = [{"source": source, "slug": slug, "words": words, "pages": pages, "met_at": now}
                   for (slug, words), pages in sorted(spelt.items())[:_MOST]]
        if not rows and not written:
            return
        with self._database.begin() as connection:
            ensure_source(connection, source)
            if rows:
                connection.execute(insert(connection, source_label).on_conflict_do_nothing(), rows)
            if written:
                upsert = insert(connection, site_label)
                connection.execute(upsert.on_conflict_do_update(
                    index_elements=[site_label.c.source, site_label.c.slug, site_label.c.words],
                    set_={"pages": site_label.c.pages + upsert.excluded.pages, "met_at": upsert.excluded.met_at},
                ), written)
