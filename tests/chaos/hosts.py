"""Several hosts on one machine: network namespaces with addresses, names and processes of their own, on one bridge.

    bridge ─┬─ database   PostgreSQL, listening on its own address
            ├─ one, two   `milepost dispatch` of the same issue
            └─ relay      the oracle

A host's wire can be cut, its processes stopped, all of it killed. Nothing of this machine's own network is touched.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Literal

HERE = Path(__file__).parent
NETWORK = "10.213.77"
# Its own name, process numbers and /proc; what it starts ends with it. `ip` has entered the network before.
_ALONE = ("unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
_NAMED = ("sh", "-c", 'echo "$0" > /proc/sys/kernel/hostname; exec "$@"')


def wrong_clocks() -> Path | None:
    """libfaketime for programs with threads; None where it is not installed."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


class NoHostsError(Exception):
    """Namespaces can't be made here; says why."""


class Host:
    """One of them: what runs on it, and its wire."""

    def __init__(self, network: str, name: str, address: str) -> None:
        self._network, self.name, self.address = network, name, address
        self.space, self._wire = f"{network}-{name}", f"to-{name}"
        self.started: list[subprocess.Popen[str]] = []

    def run(self, *command: str, clock: str | None = None, said: IO[str] | int | None = None) -> subprocess.Popen[str]:
        """Start a program on it; `clock`: how wrong its clock is ("+3600"), by libfaketime."""
        wrong = () if clock is None else ("env", f"LD_PRELOAD={wrong_clocks()}", f"FAKETIME={clock}s")
        child = subprocess.Popen(
            [_program("ip"), "netns", "exec", self.space, *_ALONE, *_NAMED, f"host-{self.name}", *wrong, *command],
            stdin=subprocess.PIPE, stdout=said, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "PYTHONPATH": str(HERE.parents[1]), "FAKETIME_DONT_FAKE_MONOTONIC": "1"},
        )
        self.started.append(child)
        return child

    def pids(self) -> list[int]:
        """Everything that runs on it."""
        ours = Path("/run/netns", self.space).stat().st_ino
        found = []
        for one in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                if (one / "ns" / "net").stat().st_ino == ours:
                    found.append(int(one.name))
        return found

    def signal(self, number: int) -> int:
        """To all of it at once; → how many got it."""
        pids = self.pids()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return len(pids)

    def cut(self) -> None:
        """Pull its cable: nobody is told, packets are just gone."""
        _ip("-n", f"{self._network}-bridge", "link", "set", self._wire, "down")

    def mend(self) -> None:
        _ip("-n", f"{self._network}-bridge", "link", "set", self._wire, "up")

    def lose_power(self) -> None:
        """No FIN, no RST: the wire is dead before its processes are."""
        self.cut()
        self.signal(signal.SIGKILL)


class Database:
    """The PostgreSQL of a host."""

    def __init__(self, host: Host) -> None:
        self._process = host.run(
            sys.executable, str(HERE / "database_host.py"), host.address, f"{NETWORK}.0/24", said=subprocess.PIPE
        )
        self.local = self._answer()  # by its Unix socket, which is no network's
        self.url = f"postgresql+psycopg://postgres@{host.address}/postgres"

    def restart(self, how: Literal["fast", "immediate"]) -> None:
        """As `Postgresql.restart`."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{how}\n")
        self._process.stdin.flush()
        assert self._answer() == self.local

    def end(self) -> None:
        self._process.communicate(timeout=60)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line.startswith("postgresql"):
            raise NoHostsError(f"no PostgreSQL on a host of its own: {line} {self._process.stdout.read()[-500:]}")
        return line


@contextmanager
def hosts(*names: str) -> Iterator[list[Host]]:
    """Hosts of these names on one bridge; all that runs on them ends with the block. Raises NoHostsError."""
    if os.geteuid() != 0:
        raise NoHostsError("making network namespaces needs root")
    network = f"mp{os.getpid()}"
    with ExitStack() as stack:
        def space(name: str) -> None:
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "delete", name)

        bridge = f"{network}-bridge"
        space(bridge)
        _ip("-n", bridge, "link", "add", "bridge", "type", "bridge")
        _ip("-n", bridge, "link", "set", "bridge", "up")
        made = []
        for number, name in enumerate(names, start=10):
            host = Host(network, name, f"{NETWORK}.{number}")
            space(host.space)
            _ip("-n", host.space, "link", "add", "wire", "type", "veth", "peer", "name", f"to-{name}", "netns", bridge)
            _ip("-n", host.space, "address", "add", f"{host.address}/24", "dev", "wire")
            for end in ("lo", "wire"):
                _ip("-n", host.space, "link", "set", end, "up")
            _ip("-n", bridge, "link", "set", f"to-{name}", "master", "bridge", "up")
            stack.callback(_end, host)
            made.append(host)
        yield made


def _end(host: Host) -> None:
    host.signal(signal.SIGKILL)
    for child in host.started:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
    give_up = time.monotonic() + 10
    while host.pids() and time.monotonic() < give_up:
        threading.Event().wait(0.02)


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise NoHostsError(f"there is no program {name} (Debian: iproute2)")
    return found


def _ip(*words: str) -> None:
    done = subprocess.run([_program("ip"), *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoHostsError(f"ip {' '.join(words)}: {done.stderr.strip()}")
