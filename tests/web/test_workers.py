"""Several web processes: one that is slow to start is waited for, one that hangs or has ended is replaced."""

import signal
from collections.abc import Iterator
from multiprocessing import Pipe
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.supervisors import multiprocess

from web import workers
from web.workers import HEALTH_S, START_S, Workers


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        self.now += 0.001
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Process:
    """A web process as its supervisor sees it; `answers` once it is up."""

    made = 0

    def __init__(self, *_: Any, answers: bool = False) -> None:
        Process.made += 1
        self.pid, self.exitcode, self.answers, self.killed = Process.made, None, answers, False
        self.parent_conn, self.child_conn = Pipe()
        self.process = SimpleNamespace(is_alive=lambda: not self.killed)

    def up(self) -> None:
        self.answers = True
        while self.child_conn.poll(0):
            self.child_conn.recv()
            self.child_conn.send(True)

    def is_alive(self, timeout: float) -> bool:
        return not self.killed and self.answers

    def kill(self) -> None:
        self.killed = True

    def start(self) -> None: ...

    def join(self) -> None: ...


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(workers, "time", clock)
    return clock


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    """A supervisor of two processes: one that is up, one that is starting."""
    before = {name: signal.getsignal(name) for name in multiprocess.SIGNALS}
    monkeypatch.setattr(multiprocess, "Process", Process)
    config = Config("web.app:nothing", workers=2, timeout_worker_healthcheck=HEALTH_S)
    supervisor = Workers(config, [])
    supervisor.init_processes()
    supervisor.keep_subprocess_alive()
    supervisor.processes[0].up()  # type: ignore[attr-defined]
    yield supervisor
    for name, handler in before.items():
        signal.signal(name, handler)


def test_one_that_starts_slowly_is_waited_for_and_not_for_ever(two: Workers, clock: Clock) -> None:
    begun = list(two.processes)
    clock.now += 5 * HEALTH_S
    two.keep_subprocess_alive()
    assert two.processes == begun
    clock.now += START_S
    two.keep_subprocess_alive()
    assert (two.processes[0] is begun[0], two.processes[1] is begun[1]) == (True, False)
    assert begun[1].killed  # type: ignore[attr-defined]


def test_one_that_came_up_and_hangs_is_replaced(two: Workers) -> None:
    begun = list(two.processes)
    begun[1].up()  # type: ignore[attr-defined]
    two.keep_subprocess_alive()
    assert two.processes == begun
    begun[1].answers = False  # type: ignore[attr-defined]
    two.keep_subprocess_alive()
    assert (two.processes[0] is begun[0], two.processes[1] is begun[1]) == (True, False)


def test_one_that_ended_is_replaced_though_another_starts(two: Workers) -> None:
    begun = list(two.processes)
    begun[0].kill()
    two.keep_subprocess_alive()
    assert two.processes[0] is not begun[0]
