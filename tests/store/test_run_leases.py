"""Which runs are at work: by a lease of the database's clock, and by what this machine knows of its processes."""

import pytest
import sqlalchemy as sa

from milepost.renewal import LEASE_S
from store.dialects import seconds
from store.run_leases import KEPT_S, RunLeases
from store.schema.tables import run_lease
from tests.store.conftest import World
from tests.store.test_look_leases import ME, OTHER, gone, lives

ELSEWHERE = OTHER.__class__.parse(str(ME).replace("here", "there"))


@pytest.fixture
def leases(world: World) -> RunLeases:
    return RunLeases(world.database)


def move(world: World, run: str, by: float) -> None:
    """Its lease ends so many seconds from now."""
    with world.database.begin() as connection:
        until = seconds(connection.dialect.name) + by
        connection.execute(sa.update(run_lease).where(run_lease.c.run == run).values(lease_until=until))


def test_a_run_is_at_work_until_it_is_let_go(leases: RunLeases) -> None:
    leases.take("one", OTHER)
    leases.take("one", OTHER)
    leases.take("two", OTHER)
    assert leases.lives(["one", "three"], ME, started=lives) == {"one": "alive"}
    leases.let_go("one")
    assert leases.lives(["one", "two"], ME, started=lives) == {"two": "alive"}


def test_a_process_that_is_proven_dead_has_no_lease_and_one_that_lives_needs_none(
    world: World, leases: RunLeases
) -> None:
    leases.take("one", OTHER)
    assert leases.lives(["one"], ME, started=gone) == {"one": "dead"}
    move(world, "one", -LEASE_S)
    assert leases.lives(["one"], ME, started=lives) == {"one": "alive"}


@pytest.mark.parametrize(("by", "life"), [(1.0, "alive"), (-1.0, "elsewhere"), (LEASE_S + 3600.0, "elsewhere")])
def test_of_another_machine_only_the_lease_speaks(world: World, leases: RunLeases, by: float, life: str) -> None:
    assert ELSEWHERE is not None
    leases.take("one", ELSEWHERE)
    move(world, "one", by)
    assert leases.lives(["one"], ME, started=gone) == {"one": life}
    leases.renew("one")
    assert leases.lives(["one"], ME, started=gone) == {"one": "alive"}


def test_what_nobody_asked_for_is_forgotten_in_the_end(world: World, leases: RunLeases) -> None:
    leases.take("kept", OTHER)
    leases.take("old", OTHER)
    move(world, "kept", 10 - KEPT_S)
    move(world, "old", -10 - KEPT_S)
    leases.take("new", OTHER)
    assert leases.lives(["kept", "old", "new"], ME, started=gone).keys() == {"kept", "new"}
