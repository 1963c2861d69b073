"""One look at a source at a time: under a lease by the database's clock, and not beyond a process proven dead."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from milepost.errors import ConflictError, UnderWayError
from milepost.renewal import LEASE_S
from store.dialects import seconds
from store.holders import Holder
from store.schema.tables import look
from tests.store.conftest import NOW, World

ME = Holder(host="here", machine="m1", boot="b1", namespace="pid:[1]", pid=4711, started="99")
OTHER = replace(ME, pid=4712)


def lives(_pid: int) -> str:
    return "99"


def gone(_pid: int) -> str:
    return ""


def move(world: World, look_id: int, by: float) -> None:
    """Its lease ends so many seconds from now."""
    with world.database.begin() as connection:
        until = seconds(connection.dialect.name) + by
        connection.execute(sa.update(look).where(look.c.id == look_id).values(lease_until=until))


def test_a_second_look_at_a_source_is_refused_in_words_while_the_first_may_live(world: World) -> None:
    first = world.looks.start("site", NOW, holder=OTHER)
    with pytest.raises(UnderWayError, match=r"site: another look .* \(process 4712 on here\)\. It goes on"):
        world.looks.start("site", NOW, holder=ME, started=lives)
    elsewhere = replace(ME, host="there")
    with pytest.raises(UnderWayError, match=r"If that one is dead, its lease ends at \d\d:\d\d:\d\d UTC"):
        world.looks.start("site", NOW, holder=elsewhere, started=gone)
    assert world.looks.get(first).state == "running"
    assert world.looks.start("another", NOW, holder=ME, started=lives) > first


@pytest.mark.parametrize("by", [-1.0, LEASE_S + 3600.0])  # over; longer than it can be: the clock was set back
def test_a_lease_that_is_over_holds_nobody(world: World, by: float) -> None:
    first = world.looks.start("site", NOW, holder=OTHER)
    move(world, first, by)
    second = world.looks.start("site", NOW, holder=ME, started=lives)
    assert (world.looks.get(first).state, world.looks.get(second).state) == ("failed", "running")
    assert world.looks.renew(second)
    assert not world.looks.renew(first)
    with pytest.raises(ConflictError, match="it can't write any more"):
        world.looks.finish(first, state="complete", now=NOW)


def test_who_is_proven_dead_is_not_waited_for(world: World) -> None:
    first = world.looks.start("site", NOW, holder=OTHER)
    world.looks.start("site", NOW, holder=ME, started=gone)
    assert world.looks.get(first).state == "failed"


def test_a_lease_is_renewed_by_the_database_s_clock_and_let_go(world: World) -> None:
    first = world.looks.start("site", NOW, holder=OTHER)
    move(world, first, 1.0)
    assert world.looks.renew(first)
    with world.database.begin() as connection:
        left = sa.select(look.c.lease_until - seconds(connection.dialect.name)).where(look.c.id == first)
        assert LEASE_S - 60 < connection.execute(left).scalar_one() <= LEASE_S
    assert world.looks.let_go(first)
    world.looks.start("site", NOW, holder=ME, started=lives)
    assert not world.looks.let_go(first)


def test_a_look_of_an_older_release_has_no_lease(world: World) -> None:
    first = world.looks.start("site", NOW)
    world.looks.start("site", NOW, holder=ME, started=lives)
    assert world.looks.get(first).state == "failed"
