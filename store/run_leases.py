"""Which runs of the schedules are at work: each has a lease by the database's clock, whatever Prefect's server knows.

    a run begins ─▶ take ─▶ renew … ─▶ let_go        killed: its lease stays, and is over ─▶ life() == "dead"
"""

from collections.abc import Collection, Mapping

import sqlalchemy as sa

from milepost.renewal import LEASE_S
from store import holders
from store.dialects import insert, seconds
from store.engine import Database
from store.holders import Holder, Life
from store.schema.tables import run_lease

KEPT_S = 7 * 24 * 3600  # the lease of a run that died is known for so long: till somebody has asked for it


class RunLeases:
    """The leases of all runs, by Prefect's ids of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, run: str, holder: Holder) -> None:
        """A run is at work in that process, for LEASE_S unless it is renewed; twice is as good as once."""
        with self._database.begin() as connection:
            until = seconds(connection.dialect.name) + LEASE_S
            connection.execute(sa.delete(run_lease).where(run_lease.c.lease_until < until - LEASE_S - KEPT_S))
            values = {"lease_holder": str(holder), "lease_until": until}
            connection.execute(
                insert(connection, run_lease).values(run=run, **values)
                .on_conflict_do_update(index_elements=["run"], set_=values)
            )

    def renew(self, run: str) -> None:
        """It is still at work."""
        with self._database.begin() as connection:
            until = seconds(connection.dialect.name) + LEASE_S
            connection.execute(sa.update(run_lease).where(run_lease.c.run == run).values(lease_until=until))

    def let_go(self, run: str) -> None:
        """It came to its end, or was ended: nobody is to ask for it any more."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(run_lease).where(run_lease.c.run == run))

    def lives(
        self, runs: Collection[str], me: Holder, *, started: holders.Started = holders.started
    ) -> Mapping[str, Life]:
        """What is known of those of these runs that have a lease.

        alive: the lease is in force and nobody proves the process dead; dead: that is proven; elsewhere: the lease is
        over, and whether its process lives can't be told from here.
        """
        with self._database.connect() as connection:
            now = seconds(connection.dialect.name)
            in_force = run_lease.c.lease_until.between(now, now + LEASE_S + 60)  # later: the clock was set
            rows = connection.execute(
                sa.select(run_lease.c.run, run_lease.c.lease_holder, in_force.label("in_force"))
                .where(run_lease.c.run.in_(list(runs)))
            ).all()
        found: dict[str, Life] = {}
        for row in rows:
            life = holders.life(Holder.parse(row.lease_holder), me, started)
            found[row.run] = "alive" if life == "elsewhere" and row.in_force else life
        return found
