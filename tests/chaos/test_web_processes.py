"""Several web processes: one door, one limit, no letter twice; who ends by itself is replaced, and all end together."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from milepost.settings import load
from store.database import connect
from store.ledger.letters import Letters
from tests.pipeline.prepared import copy
from web.serve import free_port

PATIENCE_S = 120.0  # a process imports much, on a machine that does other things

SETTINGS = """
[store]
url = "{url}"
[mail]
url = "maildir:///{folder}/outbox"
from = "Clockwork <news@clockwork.example>"
postal_address = "1 Escapement Row, Exampletown"
[web]
base_url = "https://news.clockwork.example"
processes = 2
"""


class Server:
    """`milepost web` with two processes."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.parent = subprocess.Popen(
                [sys.executable, "-m", "milepost", "--config", "milepost.toml", "web", "--port", str(self.port)],
                cwd=folder, stdout=log, stderr=log,
            )

    def answered(self) -> bool:
        try:
            return self.ask("GET", "/u") == 200
        except OSError:
            return False

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> int:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            client.request(method, path, None if body is None else json.dumps(body), headers)
            return client.getresponse().status
        finally:
            client.close()

    def workers(self) -> list[int]:
        """The processes that serve: the parent's children that are no helper of `multiprocessing`."""
        found = Path(f"/proc/{self.parent.pid}/task/{self.parent.pid}/children").read_text().split()
        return [int(pid) for pid in found if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def until(so: Any) -> None:
    end = time.monotonic() + PATIENCE_S
    while not so():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "milepost.toml").write_text(
        SETTINGS.format(url="sqlite:///milepost.db", folder=tmp_path), encoding="utf-8"
    )
    copy("empty", load(tmp_path / "milepost.toml"))
    server = Server(tmp_path)
    try:
        until(server.answered)
        yield server
    finally:
        server.parent.kill()
        server.parent.wait()


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.chaos
def test_one_victim_gets_one_mail_and_who_dies_is_replaced_and_all_end_together(
    server: Server, tmp_path: Path
) -> None:
    until(lambda: len(server.workers()) == 2)
    answers: list[int] = []

    def flood(network: int) -> None:
        answers.extend(
            server.ask("POST", "/api/subscribe", {"email": f"{name}@readers.example"},
                       **{"X-Forwarded-For": f"10.{network}.{number}.1"})
            for number in range(12) for name in ("victim", "Victim")
        )

    floods = [threading.Thread(target=flood, args=(network,)) for network in range(4)]
    for each in floods:
        each.start()
    [killed, other] = server.workers()
    for each in floods:
        each.join()
    assert set(answers) <= {200, 503}
    assert answers.count(200) >= 90
    until(lambda: list((tmp_path / "outbox").rglob("*.eml")))

    os.kill(killed, signal.SIGKILL)
    until(lambda: len(server.workers()) == 2 and killed not in server.workers())
    assert other in server.workers()
    assert server.ask("POST", "/api/subscribe", {"email": "other@readers.example"}) == 200
    serving = server.workers()
    server.parent.send_signal(signal.SIGTERM)

    assert server.parent.wait(PATIENCE_S) == -signal.SIGTERM
    assert all(map(gone, serving))
    with connect(f"sqlite:///{tmp_path}/milepost.db") as database:
        letters = Letters(database).list(limit=10)
    assert [letter.address.casefold() for letter in letters].count("victim@readers.example") == 1
    mails = [message_from_bytes(file.read_bytes())["To"].casefold() for file in (tmp_path / "outbox").rglob("*.eml")]
    assert mails.count("victim@readers.example") == 1
    assert f"web process {killed} ended by itself" in server.log.read_text()


@pytest.mark.chaos
def test_no_process_is_left_when_the_first_is_killed(server: Server) -> None:
    until(lambda: len(server.workers()) == 2)
    serving = server.workers()
    server.parent.kill()
    until(lambda: all(map(gone, serving)))
