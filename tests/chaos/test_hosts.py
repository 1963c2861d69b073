"""Several hosts send one issue: a wire is cut, a host stops or dies, clocks differ, the database's host restarts."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import sqlalchemy as sa

from store.database import connect
from store.ledger.ledger import Ledger
from tests.certificate import self_signed
from tests.chaos import hosts, runner
from tests.chaos.backends import Postgresql
from tests.chaos.conftest import Size, Told
from tests.chaos.hosts import Database, Host
from tests.chaos.runner import Verdict, World

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

LEASE = 20  # seconds; 120 in life
CONNECTIONS = 4
READERS = 1200
SETTINGS = """
[store]
url = "{url}"
[mail]
url = "smtps://{relay}:{port}?cafile={cafile}"
from = "Canals <news@canals.example>"
postal_address = "1 Lock Lane, Exampletown"
connections = {connections}
[newsletter]
name = "Canals"
[web]
base_url = "https://news.canals.example"
"""


# A host that others take over from: what becomes of it, and how it comes back.
AWAY: dict[str, tuple[Callable[[Host], object], Callable[[Host], object]]] = {
    "one loses its power": (Host.lose_power, lambda _: None),  # no FIN and no RST
    "a worker's wire is cut": (Host.cut, Host.mend),  # it hears neither database nor relay till its leases are over
    "one is stopped and woken": (
        lambda host: host.signal(signal.SIGSTOP), lambda host: host.signal(signal.SIGCONT),
    ),
}
LOST_CLIENT_S = 30  # the locks of a session whose host is gone: store.engine
# Leases are looked for as often as they are renewed; 3 s for a machine with much else to do.
TAKEN_OVER_S = max(LEASE, LOST_CLIENT_S) + LEASE / 4 + 3


class Hosts:
    """A database host, a relay host, two workers, and an issue for them."""

    def __init__(self, folder: Path, world: World, database: Database, machines: list[Host]) -> None:
        self.folder, self.world, self.database = folder, world, database
        self.database_host, self.relay, self.one, self.two = machines
        self._before: Counter[str] = Counter()

    def dispatch(self, host: Host, clock: str | None = None) -> None:
        """`milepost dispatch 1 --drain` on it."""
        self.world.runs += 1
        with (self.folder / f"said-{host.name}").open("a") as said:
            host.run(
                sys.executable, str(hosts.HERE / "host_command.py"), str(LEASE), "--config",
                str(self.folder / "milepost.toml"), "dispatch", "1", "--drain", clock=clock, said=said,
            )

    def session(self, host: Host) -> subprocess.Popen[str]:
        """One that has locked the issues, from there."""
        child = host.run(
            sys.executable, str(hosts.HERE / "database_session.py"), str(self.folder / "milepost.toml"),
            said=subprocess.PIPE,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "locked\n"
        return child

    def both(self, clock: str | None = None) -> None:
        """Both have begun to send; `clock`: of the second."""
        self.dispatch(self.one)
        self.dispatch(self.two, clock)
        self.until(lambda: all(self.shares()[host.address] for host in (self.one, self.two)), "both send")
        self._before = self.shares()

    def holding(self) -> dict[str, int]:
        """Host → how many deliveries it has taken and not settled."""
        with connect(self.world.url) as database:
            return {one.holder.host: one.deliveries for one in Ledger(database).held(1) if one.holder}

    def until(self, so: Callable[[], object], what: str, seconds: float = 120) -> None:
        give_up = time.monotonic() + seconds
        while not so():
            assert time.monotonic() < give_up, f"not within {seconds:g} s: {what}; {self.told()}"
            time.sleep(0.05)

    def told(self) -> str:
        """What the workers said, and how the ledger stands."""
        said = [f"{file.name}: {file.read_text()[-1500:]}" for file in sorted(self.folder.glob("said-*"))]
        return "\n".join((str(self.world.states()), str(self.holding()), *said))

    def nothing_waits(self) -> bool:
        return not self.world.states().keys() & {"pending", "claimed", "sending", "deferred"}

    def ended(self, host: Host, seconds: float = 90) -> int:
        """Its dispatch's exit code."""
        return host.started[-1].wait(seconds)

    def shares(self) -> Counter[str]:
        """A worker's address → mails the oracle took from it."""
        return Counter(line.who for line in self.world.lines("from"))

    def evenly(self) -> str:
        """The shares of both in per cent, since both were at work; each has its part, whatever else runs."""
        since = self.shares() - self._before
        percent = [round(100 * since[host.address] / since.total()) for host in (self.one, self.two)]
        assert min(percent) >= 20, f"{percent} of {since.total()}"
        return ":".join(map(str, percent))

    def taken_over_from(self, host: Host) -> float:
        """Wait until nobody waits for it any more → seconds."""
        began, name = time.monotonic(), f"host-{host.name}"
        assert self.holding().get(name), f"{name} held nothing any more"
        self.until(lambda: name not in self.holding(), f"what {name} had is taken over", TAKEN_OVER_S)
        return time.monotonic() - began

    def verdict(self) -> Verdict:
        assert self.nothing_waits(), self.told()
        return self.world.verdict()


@contextmanager
def hosts_with_an_issue(folder: Path, readers: int, *, seed: int, gap_ms: float = 100) -> Iterator[Hosts]:
    try:
        with hosts.hosts("database", "relay", "one", "two") as machines:
            database_host, relay = machines[:2]
            database = Database(database_host)
            local = Postgresql(database.local).fresh(folder)
            runner.fill(local, runner.names(readers), size=5)
            plan, log = folder / "plan.json", folder / "oracle.log"
            tls = [str(file) for file in self_signed(folder, address=relay.address)]
            plan.write_text(json.dumps({"seed": seed, "gap_ms": gap_ms, "host": relay.address, "tls": tls}))
            log.touch()
            oracle = relay.run(sys.executable, str(hosts.HERE / "oracle.py"), str(plan), str(log), said=subprocess.PIPE)
            assert oracle.stdout is not None
            port = int(oracle.stdout.readline())
            url = sa.make_url(database.url).set(database=sa.make_url(local).database)
            (folder / "milepost.toml").write_text(SETTINGS.format(
                url=url.render_as_string(), relay=relay.address, port=port, cafile=tls[0],
                connections=CONNECTIONS,
            ))
            yield Hosts(folder, World(local, port, log, readers), database, machines)
            database.end()
    except hosts.NoHostsError as error:
        pytest.skip(f"no hosts of their own: {error}")


def test_two_hosts_share_an_issue(tmp_path: Path, size: Size, told: Told) -> None:
    with hosts_with_an_issue(tmp_path, READERS, seed=size.seed) as here:
        here.both()
        assert here.ended(here.one) == here.ended(here.two) == 0, here.told()
        verdict = here.verdict()
    told(f"hosts: two share, {here.evenly()} %", "postgresql", verdict)
    assert verdict.states == {"sent": READERS}


@pytest.mark.parametrize("clock", ["+3600", "-3600"])
def test_the_clock_of_a_host_is_an_hour_off(clock: str, tmp_path: Path, size: Size, told: Told) -> None:
    """Leases go by the database's clock alone: nobody takes over from the living, and who dies is taken over from."""
    if hosts.wrong_clocks() is None:
        pytest.skip("no wrong clock for a host, faketime is not installed: apt-get install faketime")
    with hosts_with_an_issue(tmp_path, READERS, seed=size.seed) as here:
        here.both(clock)
        here.world.until(READERS // 2, seconds=120)
        shares = here.evenly()
        here.two.lose_power()
        took = here.taken_over_from(here.two)
        assert here.ended(here.one) in (0, 3), here.told()
        verdict = here.verdict()
    told(f"hosts: clock {clock} s, {shares} %, dies", "postgresql", replace(verdict, seconds=took),
         at_most=CONNECTIONS)


@pytest.mark.parametrize("fault", AWAY)
def test_a_host_is_gone_and_another_takes_over(fault: str, tmp_path: Path, size: Size, told: Told) -> None:
    """What it had taken is sent by the other, what was on its wire is listed as unknown; if it comes back it sends
    nothing of those.
    """
    leaves, returns = AWAY[fault]
    with hosts_with_an_issue(tmp_path, READERS, seed=size.seed) as here:
        here.both()
        here.world.until(READERS // 4, seconds=120)
        leaves(here.two)
        took = here.taken_over_from(here.two)
        returns(here.two)
        assert here.ended(here.one) in (0, 3), here.told()
        here.ended(here.two)
        verdict = here.verdict()
    told(f"hosts: {fault}", "postgresql", replace(verdict, seconds=took), at_most=CONNECTIONS)


def test_neither_end_waits_for_a_host_that_is_gone(tmp_path: Path) -> None:
    """A session that held locks lets go of them, and whoever waits for the database hears that it is lost: within
    seconds, not after the hours of tcp(7).
    """
    with hosts_with_an_issue(tmp_path, 10, seed=1) as here:
        here.session(here.two)
        here.two.lose_power()
        began = time.monotonic()
        with connect(here.world.url, wait_seconds=90) as database, database.begin() as connection:
            connection.execute(sa.text("SELECT number FROM issue FOR UPDATE"))
        freed, began = time.monotonic() - began, time.monotonic()
        child = here.session(here.one)
        here.database_host.cut()
        assert "the database can't be reached" in child.communicate("\n", timeout=90)[0]
        heard = time.monotonic() - began
        here.database_host.mend()
    sys.stderr.write(f"\nlocks of a host that is gone: free after {freed:.0f} s; a database that is: {heard:.0f} s\n")


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_the_databases_host_restarts_it(
    how: Literal["fast", "immediate"], tmp_path: Path, size: Size, told: Told
) -> None:
    """Whoever loses it ends with a sentence; started again by its supervisor it goes on."""
    with hosts_with_an_issue(tmp_path, READERS, seed=size.seed) as here:
        here.both()
        here.world.until(READERS // 4, seconds=120)
        here.database.restart(how)
        for host in (here.one, here.two):
            if here.ended(host) == 1:
                here.dispatch(host)
        for host in (here.one, here.two):
            assert here.ended(host) in (0, 3), here.told()
        verdict = here.verdict()
    told(f"hosts: PostgreSQL restarted, {how}", "postgresql", verdict, at_most=2 * CONNECTIONS)


def test_the_relays_wire_is_cut_for_a_while(tmp_path: Path, size: Size, told: Told) -> None:
    """Leases are renewed meanwhile, and TCP carries on what was under way: nothing is in doubt."""
    with hosts_with_an_issue(tmp_path, READERS, seed=size.seed) as here:
        here.both()
        here.world.until(READERS // 4, seconds=120)
        here.relay.cut()
        stood = time.monotonic()
        here.until(lambda: time.monotonic() > stood + LEASE, "a lease's time")
        here.relay.mend()
        for host in (here.one, here.two):
            assert here.ended(host) == 0, here.told()
        verdict = here.verdict()
    told("hosts: the relay's wire is cut", "postgresql", verdict)
    assert verdict.states == {"sent": READERS}
