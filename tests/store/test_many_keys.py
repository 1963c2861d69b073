"""Sets of any size are asked for in one parameter: a statement takes no more than 65,535 of them on PostgreSQL."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from milepost.changes import NEWS
from store.archive.snapshots import Snapshots
from store.database import Database
from store.dialects import one_of
from store.issues.editions import Editions
from store.issues.issues import Issues
from store.issues.pictures import Pictures
from store.ledger.letters import Letters
from store.ledger.owed import Owed
from store.milestones.milestones import Milestones
from store.milestones.timeline import Timeline
from store.schema.tables import change, source
from tests.store.conftest import World, make_milestone

MANY = range(1, 70_001)
KINDS = tuple(sorted(NEWS))


@pytest.mark.parametrize("asks", [
    lambda d: Snapshots(d).some(MANY), lambda d: Snapshots(d).taken(MANY),
    lambda d: Timeline(d).changes(KINDS, limit=9, milestone_ids=MANY), lambda d: Timeline(d).last_changed(KINDS, MANY),
    lambda d: Timeline(d).fetched(MANY), lambda d: Timeline(d).records(MANY),
    lambda d: Milestones(d).at_versions(MANY), lambda d: Milestones(d).count_changes(MANY),
    lambda d: Milestones(d).latest_changes(MANY, 2), lambda d: Issues(d).carried(MANY),
    lambda d: list(Owed(d).standings("weekly", MANY)), lambda d: Editions(d).owed(MANY),
    lambda d: Letters(d).queued_at([*MANY, 2**63 - 1, 2**64]),
    lambda d: Pictures(d).remove([f"https://site.example/{number}.jpg" for number in MANY]),
], ids=["some", "taken", "changes", "last_changed", "fetched", "records", "at_versions", "count_changes",
        "latest_changes", "carried", "standings", "owed", "queued_at", "pictures"])
def test_seventy_thousand_keys_are_no_trouble(database: Database, asks: Callable[[Database], object]) -> None:
    World(database).frozen(2)
    asks(database)  # raises nothing


def test_those_that_are_there_are_found(database: Database) -> None:
    World(database).look(*(make_milestone(f"m{number}") for number in range(3)))
    with database.connect() as connection:
        there = connection.execute(sa.select(change.c.id).order_by(change.c.id)).scalars().all()
        assert len(there) >= 3
        for wanted in ([], there[1:], [*there, *MANY]):
            got = connection.execute(sa.select(change.c.id).where(one_of(change.c.id, wanted))).scalars().all()
            assert sorted(got) == sorted(set(there) & set(wanted))
            rest = connection.execute(sa.select(change.c.id).where(~one_of(change.c.id, wanted))).scalars().all()
            assert sorted(rest) == sorted(set(there) - set(wanted))
        keys = sa.select(source.c.key).where(one_of(source.c.key, ["site", "it's", 'a "quote"', "ü"]))
        assert connection.execute(keys).scalars().all() == ["site"]
