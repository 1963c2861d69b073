"""Keeps a few processes running as one service: started in order, told of when ready, started again, ended in order.

    parts ─▶ start, wait until ready ─▶ READY=1 ─▶ (one ends: again, after a while) ─▶ SIGTERM: the last first, drained

Speaks sd_notify(3) where systemd listens.
"""

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from milepost.errors import MilepostError
from milepost.printable import printable

log = logging.getLogger("milepost.up")

READY_S = 300.0  # for a part to be ready: Prefect's server migrates an empty home first
SLICE_S = 0.2
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0  # before a part that ended is started again; doubles
STEADY_S = 60.0  # a part that ran so long has recovered: its next end is the first again
_PR_SET_PDEATHSIG = 1  # prctl(2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One process of the service."""

    name: str  # "the readers' pages"
    command: Sequence[str]
    environment: Mapping[str, str]
    ready: Callable[[], bool]  # asked again and again until it is true
    grace_s: float = 20.0  # after SIGTERM, before SIGKILL
    prints_to: Path | None = None  # its standard output, where that greets people at a terminal; its log goes to ours

    @property
    def last_words(self) -> str:
        """The last of what it printed there, in brackets; "" for nothing."""
        if self.prints_to is None:
            return ""
        with suppress(OSError):
            printed = self.prints_to.read_bytes()[-2000:].decode("utf-8", "replace")
            lines = [line for line in map(str.strip, printed.splitlines()) if line]
            return f" ({printable(lines[-1])[:300]})" if lines else ""
        return ""


@dataclass(kw_only=True)
class _Running:
    part: Part
    process: "subprocess.Popen[bytes]"
    since: float
    wait_s: float = FIRST_WAIT_S
    again_at: float | None = None


@dataclass(kw_only=True)
class Watchdog:
    """When systemd is to hear that we live: twice in the time after which it would end us, sd_watchdog_enabled(3)."""

    every_s: float
    next_at: float = 0.0

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self | None:
        """That of WATCHDOG_USEC; None where nobody watches us."""
        within, whom = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(os.getpid()))
        if not within.isdecimal() or int(within) == 0 or whom != str(os.getpid()):
            return None
        return cls(every_s=int(within) / 2_000_000)

    def due(self, now: float) -> bool:
        """Whether it is time again; `now` in seconds of a clock that never goes back."""
        if now < self.next_at:
            return False
        self.next_at = now + self.every_s
        return True


@dataclass(kw_only=True)
class Supervisor:
    """The parts in the order in which they start; `say` hears of all that an operator wants to know."""

    parts: Sequence[Part]
    say: Callable[[str], None]
    stop: threading.Event = field(default_factory=threading.Event)
    _running: list[_Running] = field(default_factory=list)

    def run(self) -> None:
        """Until SIGTERM or SIGINT, or `stop` is set. Raises MilepostError when a part does not get ready at first."""
        before = {number: signal.signal(number, self._asked) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            for part in self.parts:
                if self.stop.is_set():
                    return
                self._running.append(_Running(part=part, process=_start(part), since=time.monotonic()))
                self._await(self._running[-1])
            notify("READY=1", "STATUS=all parts are ready")
            self.say("Ready. Stop with Ctrl-C or SIGTERM.")
            watchdog = Watchdog.of(os.environ)
            while not self.stop.wait(SLICE_S):
                for one in self._running:
                    self._look_after(one)
                if watchdog is not None and watchdog.due(time.monotonic()):
                    notify("WATCHDOG=1")
        finally:
            notify("STOPPING=1", "STATUS=the runs and requests in hand are finished")
            for one in reversed(self._running):
                _end(one, self.say)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _asked(self, _number: int, _frame: object) -> None:
        self.stop.set()

    def _await(self, one: _Running) -> None:
        until = time.monotonic() + READY_S
        while not one.part.ready():
            code = one.process.poll()
            if code is not None or time.monotonic() > until:
                ended = f"it ended with code {code}{one.part.last_words}"
                why = "it did not get ready" if code is None else ended
                raise MilepostError(why, where=one.part.name, hint="See what it said above; then start again.")
            if self.stop.wait(SLICE_S):
                return
        self.say(f"Ready: {one.part.name}.")

    def _look_after(self, one: _Running) -> None:
        now = time.monotonic()
        if one.again_at is not None:
            if now >= one.again_at:
                one.process, one.since, one.again_at = _start(one.part), now, None
            return
        code = one.process.poll()
        if code is None:
            return
        one.wait_s = FIRST_WAIT_S if now - one.since > STEADY_S else min(2 * one.wait_s, LONGEST_WAIT_S)
        one.again_at = now + one.wait_s
        ended = f"{one.part.name} ended with code {code}{one.part.last_words}"
        self.say(f"{ended}; it is started again in {one.wait_s:g} s.")


def _start(part: Part) -> "subprocess.Popen[bytes]":
    # A session of its own: Ctrl-C in a terminal is for us, and we end the parts in their order.
    with nullcontext(sys.stderr) if part.prints_to is None else part.prints_to.open("wb") as out:
        return subprocess.Popen(  # noqa: S603 (our own commands)
            part.command, env={**os.environ, **part.environment}, stdin=subprocess.DEVNULL, stdout=out.fileno(),
            start_new_session=True, preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )


def _end_with_parent() -> None:
    """In the child: SIGTERM when the supervisor is gone, even killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(one: _Running, say: Callable[[str], None]) -> None:
    if one.process.poll() is not None:
        return
    one.process.terminate()
    try:
        one.process.wait(one.part.grace_s)
    except subprocess.TimeoutExpired:
        say(f"{one.part.name} did not end in {one.part.grace_s:g} s and is killed.")
        with suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.wait()


def notify(*lines: str) -> None:
    """Tell systemd, where it listens (NOTIFY_SOCKET of sd_notify(3)); nobody is told elsewhere."""
    where = os.environ.get("NOTIFY_SOCKET")
    if not where:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect(f"\0{where[1:]}" if where.startswith("@") else where)
        client.sendall("\n".join(lines).encode())


def listens(host: str, port: int) -> Callable[[], bool]:
    """Whether something takes connections there by now."""

    def asked() -> bool:
        with suppress(OSError), socket.create_connection((host, port), timeout=1):
            return True
        return False

    return asked
