"""Whose a lease is, and whether its holder still lives: proven by this machine's own processes, never guessed.

    me() ─▶ delivery.lease_holder ─▶ life(holder, me, started) ─▶ alive | dead | elsewhere

A wrong proof would cost no reader a second mail (T3 re-checks the token, and what was `sending` becomes `unknown`); it
would list doubts that need not be. So whatever can't be told from here is `elsewhere`, and its lease is waited for.
"""

import hashlib
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

Life = Literal["alive", "dead", "elsewhere"]
Started = Callable[[int], str | None]  # see `started`

_NONE = "-"  # this machine does not tell


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """A process that takes deliveries, as the ledger names it: six words. What a machine does not tell is "-"."""

    host: str
    machine: str  # a hash of machine-id(5), the same after a reboot
    boot: str  # random_boot_id of random(4): the same until a reboot, in all containers of a machine
    namespace: str  # pid_namespaces(7): process ids mean nothing outside it
    pid: int
    started: str  # clock ticks from the boot to its start, proc_pid_stat(5): ids are used again, not both of these

    def __str__(self) -> str:
        return " ".join(map(str, astuple(self)))

    @classmethod
    def parse(cls, text: str | None) -> Self | None:
        """What `str` wrote; None for anything else, such as the nothing of an older release."""
        words = (text or "").split(" ")
        if len(words) != len(cls.__slots__) or not words[4].isdecimal():
            return None
        host, machine, boot, namespace, pid, started = words
        return cls(host=host, machine=machine, boot=boot, namespace=namespace, pid=int(pid), started=started)


def life(holder: Holder | None, me: Holder, started: Started) -> Life:
    """Whether `holder` can be proven dead by what `me` may look at; pure but for `started`, which see."""
    if holder is None or holder.host != me.host:
        return "elsewhere"
    if holder.boot != me.boot:  # that machine was started anew since, if it is this one: no process outlives that
        known = _NONE not in (holder.machine, holder.boot, me.boot)
        return "dead" if known and holder.machine == me.machine else "elsewhere"
    if _NONE in (me.boot, me.namespace, holder.started) or holder.namespace != me.namespace:
        return "elsewhere"
    now = started(holder.pid)
    if now is None:
        return "elsewhere"
    return "alive" if now == holder.started else "dead"


def me() -> Holder:
    """This process."""
    return _of(os.getpid())  # asked each time: a fork is somebody else


@lru_cache(maxsize=1)
def _of(pid: int) -> Holder:
    return Holder(
        host="".join(socket.gethostname().split())[:64] or _NONE,
        machine=_machine(), boot=_words("/proc/sys/kernel/random/boot_id"), namespace=_namespace(), pid=pid,
        started=started(pid) or _NONE,
    )


def started(pid: int) -> str | None:
    """When the living process `pid` was started, as /proc says it; "" when none lives, None when nobody can tell.

    One that died and was not waited for yet (a zombie) lives no more, unless some thread of it does.
    """
    try:
        os.kill(pid, 0)  # asks the kernel, whatever of /proc is hidden from us (hidepid of proc(5))
    except ProcessLookupError:
        return ""
    except (PermissionError, OverflowError):
        pass
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        state, threads, since = fields[0], fields[17], fields[19]
    except (OSError, IndexError):
        return None
    return "" if state in "ZX" and threads in "01" else since


def _machine() -> str:
    for file in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        if (found := _words(file)) != _NONE:
            return hashlib.sha256(b"milepost " + found.encode()).hexdigest()[:16]  # machine-id(5): not to be shown
    return _NONE


def _namespace() -> str:
    with suppress(OSError):
        return "".join(str(Path("/proc/self/ns/pid").readlink()).split())
    return _NONE


def _words(file: str) -> str:
    with suppress(OSError):
        return "".join(Path(file).read_text(encoding="ascii", errors="replace").split())[:64] or _NONE
    return _NONE
