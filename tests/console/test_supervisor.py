"""One service of a few processes: begun in order, started again when one ends, ended in order and drained."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from console.supervisor import Part, Supervisor, Watchdog
from milepost.errors import MilepostError

WORKS = "import pathlib, signal, sys, time; pathlib.Path(sys.argv[1]).open('a').write('begun\\n'); "
WAITS = WORKS + "signal.sigwait({signal.SIGTERM}); pathlib.Path(sys.argv[1]).open('a').write('ended\\n')"
BLOCKED = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}); "


def part(log: Path, code: str = BLOCKED + WAITS, *, grace_s: float = 20.0) -> Part:
    return Part(
        name=log.name, command=[sys.executable, "-S", "-E", "-c", code, str(log)], environment={}, ready=log.exists,
        grace_s=grace_s,
    )


def lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8").split() if log.exists() else []


class Service:
    """A supervisor that a test speaks to when it says something."""

    def __init__(self, *parts: Part) -> None:
        self.said: list[str] = []
        self.then: dict[str, Callable[[], None]] = {}
        self.supervisor = Supervisor(parts=parts, say=self.hear)

    def hear(self, sentence: str) -> None:
        self.said.append(sentence)
        for words, do in list(self.then.items()):
            if words in sentence:
                del self.then[words]
                do()

    def run(self) -> None:
        watch = threading.Timer(60, self.supervisor.stop.set)  # a test that hangs ends red, not never
        watch.start()
        self.supervisor.run()
        watch.cancel()


def test_parts_begin_in_order_and_a_sigterm_ends_them_the_last_first(tmp_path: Path) -> None:
    service = Service(part(tmp_path / "one"), part(tmp_path / "two"))
    service.then["Ready. Stop"] = lambda: os.kill(os.getpid(), signal.SIGTERM)
    before = signal.getsignal(signal.SIGTERM)
    service.run()
    assert service.said == ["Ready: one.", "Ready: two.", "Ready. Stop with Ctrl-C or SIGTERM."]
    assert (lines(tmp_path / "one"), lines(tmp_path / "two")) == (["begun", "ended"], ["begun", "ended"])
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_part_that_dies_is_started_again_and_told_of(tmp_path: Path) -> None:
    log = tmp_path / "one"
    service = Service(part(log))
    service.then["Ready. Stop"] = lambda: service.supervisor._running[0].process.kill()
    ready = threading.Thread(target=lambda: _wait_for(lambda: lines(log).count("begun") == 2, service))
    ready.start()
    service.run()
    ready.join()
    assert "one ended with code -9; it is started again in 2 s." in service.said
    assert lines(log) == ["begun", "begun", "ended"]


def _wait_for(true: Callable[[], bool], service: Service) -> None:
    while not true() and not service.supervisor.stop.wait(0.02):
        pass
    service.supervisor.stop.set()


def test_a_part_that_ends_before_it_is_ready_ends_the_service_with_its_name(tmp_path: Path) -> None:
    service = Service(part(tmp_path / "one"), part(tmp_path / "two", "raise SystemExit(3)"))
    with pytest.raises(MilepostError, match="two: it ended with code 3"):
        service.run()
    assert lines(tmp_path / "one") == ["begun", "ended"]


def test_who_does_not_end_in_time_is_killed(tmp_path: Path) -> None:
    code = BLOCKED + WORKS + "time.sleep(600)"
    service = Service(part(tmp_path / "one", code, grace_s=0.1))
    service.then["Ready. Stop"] = service.supervisor.stop.set
    service.run()
    assert service.said[-1] == "one did not end in 0.1 s and is killed."


def test_systemd_is_told_when_it_is_ready_and_when_it_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        service = Service(part(tmp_path / "one"))
        service.then["Ready. Stop"] = service.supervisor.stop.set
        service.run()
        assert [heard.recv(200).split(b"\n")[0] for _ in range(2)] == [b"READY=1", b"STOPPING=1"]


def test_systemd_hears_that_we_live_twice_in_the_time_that_it_waits() -> None:
    watchdog = Watchdog.of({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": str(os.getpid())})
    assert watchdog is not None
    assert [watchdog.due(now) for now in (1_000.0, 1_000.2, 1_059.9, 1_060.0, 1_060.2, 1_121.0)] == [
        True, False, False, True, False, True,
    ]


@pytest.mark.parametrize("environment", [
    {}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "1"},
])
def test_where_no_watchdog_waits_for_us_none_is_told(environment: dict[str, str]) -> None:
    assert Watchdog.of(environment) is None


def test_what_greets_a_terminal_is_kept_aside_and_its_last_words_are_told(tmp_path: Path) -> None:
    log, aside = tmp_path / "greeter", tmp_path / "greeting.txt"
    code = "print('  _  _  welcome'); print('Port 4200 is already in use.'); raise SystemExit(1)"
    greeter = Part(name="greeter", command=[sys.executable, "-S", "-E", "-c", code], environment={}, ready=log.exists,
                   prints_to=aside)
    with pytest.raises(MilepostError, match=r"ended with code 1 \(Port 4200 is already in use\.\)"):
        Supervisor(parts=[greeter], say=lambda _: None).run()
    assert "welcome" in aside.read_text(encoding="utf-8")
