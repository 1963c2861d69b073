"""Several processes behind one door: all accept from the same socket, and one that ended is replaced.

    serve ─▶ Workers (signals, who is alive) ─▶ web.processes × (web.serve.Site: pages, letters)

What they share is in the database: limits, and who sends which letter.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from socket import socket

from uvicorn import Config
from uvicorn.supervisors.multiprocess import Multiprocess

_log = logging.getLogger(__name__)
HEALTH_S = 30  # a process that answers more slowly is taken for stuck
START_S = 300.0  # so is one that takes longer to start: on a machine that is busy each kill would only begin it anew
_LONGEST_S = 30.0  # between two starts of processes that end at once
_SHORT_LIFE_S = 60.0


class Workers(Multiprocess):
    """uvicorn's supervisor, which replaces what ended without a word, and at once however often."""

    def __init__(self, config: Config, sockets: list[socket]) -> None:
        """`config.workers` of them; from here on signals are for us."""
        self._before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
        super().__init__(config, sockets)
        self._ended_by: signal.Signals | None = None
        self._started: dict[int | None, float] = {}
        self._asked, self._up = set[int | None](), set[int | None]()
        self._pause_s = 0.0

    def run(self) -> None:
        """Until SIGINT or SIGTERM, and until all have ended; then that signal, as whoever sent it expects."""
        try:
            super().run()
        finally:
            for name, handler in self._before.items():
                signal.signal(name, handler)
        if self._ended_by is not None:
            signal.raise_signal(self._ended_by)

    def handle_int(self) -> None:
        self._ended_by = signal.SIGINT
        super().handle_int()

    def handle_term(self) -> None:
        self._ended_by = signal.SIGTERM
        super().handle_term()

    def keep_subprocess_alive(self) -> None:
        """See the class; a process that lived shortly is a reason to wait before the next."""
        now = time.monotonic()
        before = [process.pid for process in self.processes]
        for pid in before:
            self._started.setdefault(pid, now)
        if self._waits_for_one(now):
            return
        super().keep_subprocess_alive()
        lives = []
        for gone, process in zip(before, self.processes, strict=True):
            if process.pid != gone:
                lives.append(now - self._started.pop(gone))
                self._asked.discard(gone)
                self._up.discard(gone)
                _log.warning("web process %d ended by itself; %d took its place", gone, process.pid)
        if lives:
            self._pause_s = min(max(2 * self._pause_s, 1.0), _LONGEST_S) if min(lives) < _SHORT_LIFE_S else 0.0
            end = now + self._pause_s
            while not self.signal_queue and time.monotonic() < end:
                time.sleep(0.05)

    def _waits_for_one(self, now: float) -> bool:
        """Whether one is on its way up, for START_S at most, and none has ended; never waits itself."""
        if not all(process.process.is_alive() for process in self.processes):
            return False
        starting = [
            process for process in self.processes
            if process.pid not in self._up and now - self._started[process.pid] < START_S
        ]
        for process in starting:
            with contextlib.suppress(OSError, EOFError):  # it ended this instant
                if process.pid not in self._asked:
                    self._asked.add(process.pid)
                    process.parent_conn.send(b"ping")
                if process.parent_conn.poll(0):  # the same answer as uvicorn's own question would get
                    process.parent_conn.recv()
                    self._up.add(process.pid)
        return any(process.pid not in self._up for process in starting)


def end_with_parent() -> None:
    """Make this process end, as by SIGTERM, when the one that started it is gone: nobody else would end it."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()
