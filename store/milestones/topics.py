"""What a reader can ask for: the categories and tags that the records have, the most common first."""

from collections import Counter

from milepost.records import KnownTopics
from store.engine import Database
from store.milestones.milestone_queries import visible
from store.milestones.source_labels import SourceLabels
from store.schema.tables import milestone


class Topics:
    """The topics of every source."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self) -> KnownTopics:
        """Those of the milestones that are present, without what waits for an operator; raises StoreError."""
        categories: Counter[str] = Counter()
        tags: Counter[str] = Counter()
        query = visible().where(milestone.c.state == "present")
        with self._database.connect() as connection:
            for row in connection.execute(query, execution_options={"yield_per": 500}):
                if row.record["category"]:
                    categories[row.record["category"]] += 1
                tags.update(row.record["tags"])
        return KnownTopics(categories=_by_count(categories), tags=_by_count(tags),
                           labels=SourceLabels(self._database).words())


def _by_count(counted: Counter[str]) -> tuple[str, ...]:
    return tuple(sorted(counted, key=lambda topic: (-counted[topic], topic)))
