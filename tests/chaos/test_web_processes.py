"""Several web processes on one SQLite file: one door, one limit, no letter twice, and nothing lost while all is asked.

Who ends by itself is replaced, and all end together.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from email import message_from_bytes
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import sqlalchemy as sa
from lxml import html

from bench.sinks import program, sink
from milepost.dates import utc_now
from milepost.settings import load
from pipeline.link_keys import signing_key
from pipeline.mail_identity import list_id, unsubscribe_url
from pipeline.operators.accounts import Accounts
from pipeline.operators.acts import Actor
from pipeline.operators.sign_in import SignIn
from pipeline.publish import publish
from store.database import connect
from store.issues.issues import Issues
from store.ledger.ledger import Ledger
from store.ledger.letters import Letters
from store.schema.tables import sign_up, subscriber
from tests.pipeline import prepared
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


# --- all at once ------------------------------------------------------------------------------------------------------

READERS = 2_000  # of the issue that is sent meanwhile
LEAVING, NEW, TAKEN_IN, GREEDY, LIMIT = 240, 160, 24, 60, 20


class Clients:
    """64 at a time, each with a list of its own; who is told to come again does. What none may hear is kept."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lock = threading.Lock()
        self.answers = Counter[tuple[str, int]]()  # (kind, status)
        self.wrong: list[str] = []
        self.watched = 0  # parts of pages that were streamed

    def ask(self, kind: str, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        """One answer that is no 503."""
        for _ in range(200):
            client = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=PATIENCE_S)
            try:
                client.request(method, path, body or None, headers)
                answer = client.getresponse()
                status, said = answer.status, answer.read()
            finally:
                client.close()
            with self._lock:
                self.answers[kind, status] += 1
                # an operator is told why, in a sentence of ours; a reader is only asked to come again
                odd = b"OperationalError" in said or (b"locked" in said and kind != "act")
                if status >= 500 and (status != 503 or not answer.headers["Retry-After"] or odd):
                    self.wrong.append(f"{kind} {status}: {said[:200]!r}")
            if status != 503:
                return status, said
            time.sleep(0.2)
        raise AssertionError(f"{kind}: told to come again, 200 times")

    def watch(self, path: str, cookie: str, over: threading.Event) -> None:
        """Read the parts of a page as they come."""
        while not over.is_set():
            client = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=PATIENCE_S)
            try:
                client.request("GET", path, headers={"Cookie": cookie})
                answer = client.getresponse()
                while not over.is_set() and (line := answer.readline()):
                    with self._lock:
                        self.watched += line.startswith(b"data: ") and len(line) > 10
                        if b"be read at this moment" in line:
                            self.wrong.append(line.decode())
            finally:
                client.close()


@pytest.mark.chaos
def test_nothing_is_lost_while_readers_operators_and_a_dispatch_write_one_sqlite_file(tmp_path: Path) -> None:
    if program("smtp-sink") is None:
        pytest.skip("postfix's smtp-sink is not installed (Debian: postfix)")
    with sink() as smtp:
        text = prepared.SETTINGS.format(site="http://127.0.0.1:9", smtp=smtp)
        (tmp_path / "milepost.toml").write_text(
            f"{text}processes = 2\nsignup_per_network = {LIMIT}\n", encoding="utf-8"
        )
        settings = load(tmp_path / "milepost.toml")
        copy("news", settings)
        with connect(settings.store.url) as database:
            with database.begin() as connection:
                connection.execute(sa.insert(subscriber), [
                    {"address": f"r{n}@readers.example", "normalized": f"r{n}@readers.example", "state": "active",
                     "cadence": "instant", "topics": [], "created_at": utc_now()} for n in range(READERS)
                ])
            publish(settings)
            Accounts(settings, database, now=utc_now).add(
                "root", "admin", by=Actor(who="root", role=None, door="console"))
            desk = SignIn(settings, database, now=utc_now)
            # of one operator, at several machines
            cookies = [f"__Host-milepost-desk={desk.by_proxy('root').token}" for _ in range(8)]
            with database.connect() as connection:
                handles = connection.execute(
                    sa.select(subscriber.c.handle).where(subscriber.c.address.like("r%")).order_by(subscriber.c.id.desc())
                    .limit(LEAVING)
                ).scalars().all()
            key, named = signing_key(settings, database), list_id(settings, database)
            ways_out = iter([urlsplit(unsubscribe_url(settings, key, named, one)).path for one in handles])
        server = Server(tmp_path)
        dispatch = None
        over = threading.Event()
        try:
            until(server.answered)
            until(lambda: len(server.workers()) == 2)
            clients = Clients(server)
            dispatch = subprocess.Popen(
                [sys.executable, "-m", "milepost", "--config", "milepost.toml", "dispatch", "1"], cwd=tmp_path,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            new, greedy, taken_in, lock = count(), count(), count(), threading.Lock()

            def leave() -> bool:
                with lock:
                    path = next(ways_out, None)
                if path is None:
                    return False
                assert clients.ask("leave", "POST", path, b"List-Unsubscribe=One-Click",
                                   **{"Content-Type": "application/x-www-form-urlencoded"})[0] == 200
                return True

            def subscribe(kind: str, numbers: Iterator[int], most: int, network: Callable[[int], str]) -> bool:
                with lock:
                    number = next(numbers)
                if number >= most:
                    return False
                body = json.dumps({"email": f"{kind}{number}@readers.example"}).encode()
                clients.ask(kind, "POST", "/api/subscribe", body, **{
                    "Content-Type": "application/json", "X-Forwarded-For": network(number)})
                return True

            def take_in(cookie: str) -> bool:
                with lock:
                    number = next(taken_in)
                if number >= TAKEN_IN:
                    return False
                _, page = clients.ask("desk", "GET", "/desk/readers", Cookie=cookie)
                csrf = html.fromstring(page).cssselect("input[name=csrf]")[0].get("value")
                form = {"csrf": csrf, "address": f"desk{number}@readers.example", "cadence": "instant", "why": "asked"}
                status, said = clients.ask("act", "POST", "/desk/readers", urlencode(form).encode(), Cookie=cookie,
                                           **{"Content-Type": "application/x-www-form-urlencoded"})
                assert status == 303, said
                return True

            def again_and_again(do: Callable[..., bool], *how: Any) -> None:
                try:
                    while do(*how):
                        pass
                except Exception as error:  # noqa: BLE001 (a thread has nobody else to tell)
                    clients.wrong.append(repr(error))

            threads = [
                *(threading.Thread(target=again_and_again, args=(leave,)) for _ in range(20)),
                *(threading.Thread(target=again_and_again,
                                   args=(subscribe, "new", new, NEW, lambda number: f"10.{number % 250}.7.1"))
                  for _ in range(20)),
                *(threading.Thread(target=again_and_again,
                                   args=(subscribe, "greedy", greedy, GREEDY, lambda number: f"10.251.7.{number}"))
                  for _ in range(8)),
                *(threading.Thread(target=again_and_again, args=(take_in, cookie)) for cookie in cookies),
            ]
            watchers = [
                threading.Thread(target=clients.watch, args=("/desk/issues/1/progress?state=sending", cookie, over))
                for cookie in cookies
            ]
            assert len(threads) + len(watchers) == 64
            for each in (*watchers, *threads):
                each.start()
            for each in threads:
                each.join()
            assert dispatch.wait(PATIENCE_S * 4) == 0
        finally:
            over.set()
            server.parent.kill()
            server.parent.wait()
            if dispatch is not None:
                dispatch.kill()
                dispatch.wait()
        for each in watchers:
            each.join()

    assert clients.wrong == []
    assert "Traceback" not in server.log.read_text()
    assert clients.watched >= len(watchers)
    with connect(settings.store.url) as database:
        counts = Ledger(database).counts(1)
        with database.connect() as connection:
            states = Counter(connection.execute(
                sa.select(subscriber.c.state).where(subscriber.c.handle.in_(handles))
            ).scalars())
            asked = list(connection.execute(sa.select(sign_up.c.normalized)).scalars())
            added = set(connection.execute(
                sa.select(subscriber.c.address).where(subscriber.c.address.like("desk%"))
            ).scalars())
        assert Issues(database).get(1).state == "complete"
    assert states == {"unsubscribed": LEAVING}
    assert {f"new{number}@readers.example" for number in range(NEW)} <= set(asked)
    assert len(asked) == len(set(asked)) == NEW + LIMIT
    assert added == {f"desk{number}@readers.example" for number in range(TAKEN_IN)}
    assert set(counts.states) <= {"sent", "cancelled"}  # who left before their mail began gets none
    assert sum(counts.states.values()) == counts.deliveries >= READERS
    assert counts.states["sent"] >= READERS - LEAVING
