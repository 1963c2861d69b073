"""The web server under load: 8 clients at a time, quiet and while an issue is being sent, with one process and two.

    python -m bench.web [--processes 1,2] [--seconds 3] [--readers 60000] [--victim 10000]
    python -m bench.web --store postgresql://USER@HOST/NAME     an empty database; SQLite unless told otherwise

Clients, server and dispatch share the machine; each client keeps its connection, as a proxy does.
"""

import argparse
import http.client
import itertools
import json
import multiprocessing
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa

from bench.senders import NOW
from bench.sinks import sink, which
from milepost.settings import Settings, load
from pipeline.link_keys import signing_key
from pipeline.mail_identity import list_id, unsubscribe_url
from pipeline.publish import publish
from store.database import Database, connect
from store.schema.tables import letter, subscriber
from store.upkeep.copy import copy as copy_database
from store.upkeep.restore import confirm_restore
from tests.pipeline.prepared import SETTINGS, copy
from web.serve import free_port

CLIENTS = 8
PATIENCE_S = 60.0
Ask = tuple[str, str, bytes, dict[str, str]]  # method, path, body, headers
JSON = {"Content-Type": "application/json"}


def sign_up(number: int, address: str | None = None) -> Ask:
    """A sign-up of somebody else each time, from another network."""
    body = json.dumps({"email": address or f"new{number}@readers.example"}).encode()
    return "POST", "/api/subscribe", body, JSON | {"X-Forwarded-For": f"10.{number // 250 % 250}.{number % 250}.1"}


def page(path: str) -> Ask:
    return "GET", path, b"", {}


def click(path: str) -> Ask:
    """What a mail program sends for its own button (RFC 8058)."""
    form = {"Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-For": "203.0.113.9"}
    return "POST", path, b"List-Unsubscribe=One-Click", form


def load_with(
    port: int, asks: list[Ask], seconds: float, clients: int, pipe: "multiprocessing.connection.Connection"
) -> None:
    """Send `asks` for so long, `clients` at a time, in a process of its own; sends (seconds each, statuses)."""
    source, took, statuses = iter(asks), list[float](), Counter[int]()
    lock, end = threading.Lock(), time.monotonic() + seconds

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        while time.monotonic() < end:
            with lock:
                ask = next(source, None)
            if ask is None:
                break
            method, path, body, headers = ask
            begun = time.perf_counter()
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            answer.read()
            with lock:
                took.append(time.perf_counter() - begun)
                statuses[answer.status] += 1
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.send((took, statuses))


def under_load(
    port: int, asks: list[Ask], seconds: float, clients: int = CLIENTS
) -> tuple[list[float], Counter[int], float]:
    """Seconds of each request, sorted; the statuses; and how long it went on."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    client = context.Process(target=load_with, args=(port, asks, seconds, clients, theirs))
    client.start()
    theirs.close()
    took, statuses = mine.recv()
    client.join()
    return sorted(took), statuses, sum(took) / clients


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command of ours, as long as the block lasts."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "milepost", "--config", str(folder / "milepost.toml"), *arguments], cwd=folder,
            stdout=log, stderr=log,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def until(so: Callable[[], bool], process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait for it; ends the bench with the last words of `process` when that ended, or takes too long."""
    end = time.monotonic() + PATIENCE_S
    while not so():
        if process.poll() is not None or time.monotonic() > end:
            said = (folder / "log").read_text(encoding="utf-8", errors="replace").splitlines()[-1:]
            sys.exit(f"web: {process.args[5]} did not start: {''.join(said) or 'it said nothing'}")
        time.sleep(0.05)


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/issues/1")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def prepare(folder: Path, store: str | None, processes: int, smtp: int, readers: int) -> Settings:
    """A database with an issue that waits to be sent to so many readers."""
    text = SETTINGS.format(site="http://127.0.0.1:9", smtp=smtp)
    text += f"processes = {processes}\nsignup_per_hour = 1000000\n"
    (folder / "milepost.toml").write_text(text, encoding="utf-8")
    settings = load(folder / "milepost.toml")
    copy("news", settings)
    if store is not None:
        copy_database(settings.store.url, store)
        with connect(store) as database:  # a copy sends nothing before somebody says so
            confirm_restore(database, "a bench", NOW, waiting="pending")
        (folder / "milepost.toml").write_text(text.replace("sqlite:///milepost.db", store), encoding="utf-8")
        settings = load(folder / "milepost.toml")
    rows = (
        {"address": f"r{n}@readers.example", "normalized": f"r{n}@readers.example", "state": "active",
         "cadence": "instant", "topics": [], "created_at": NOW}
        for n in range(readers)
    )
    with connect(settings.store.url) as database:
        while part := list(islice(rows, 10_000)):
            with database.begin() as connection:
                connection.execute(sa.insert(subscriber), part)
    publish(settings)
    return settings


def links(settings: Settings, database: Database) -> Iterator[str]:
    """The path of every reader's own way out."""
    with database.connect() as connection:
        handles = connection.execute(sa.select(subscriber.c.handle).order_by(subscriber.c.id.desc())).scalars().all()
    key, named = signing_key(settings, database), list_id(settings, database)
    for handle in handles:
        yield urlsplit(unsubscribe_url(settings, key, named, handle)).path


def letters_to(database: Database, address: str) -> int:
    with database.connect() as connection:
        query = sa.select(sa.func.count()).select_from(letter).where(letter.c.address == address)
        return int(connection.execute(query).scalar_one())


def asks_of(kind: str, most: int, numbers: Iterator[int], ways_out: Iterator[str]) -> list[Ask]:
    """At most so many requests of a kind: "sign-up", "issue", "feed" or "one-click"."""
    return {
        "sign-up": lambda: [sign_up(next(numbers)) for _ in range(most)],
        "issue": lambda: [page("/issues/1")] * most,
        "feed": lambda: [page("/feed.atom")] * most,
        "one-click": lambda: [click(path) for path in islice(ways_out, min(most, 1500))],
    }[kind]()


@contextmanager
def serving(folder: Path) -> Iterator[int]:
    """The port of a web server that answers, as long as the block lasts."""
    port = free_port()
    with running(folder, "web", "--port", str(port)) as server:
        until(lambda: answers(port), server, folder)
        yield port


def measure(folder: Path, settings: Settings, options: argparse.Namespace, processes: int) -> None:
    """Print the rows of so many processes."""
    numbers = itertools.count()
    with ExitStack() as stack:
        database = stack.enter_context(connect(settings.store.url))
        port = stack.enter_context(serving(folder))
        ways_out = links(settings, database)
        for beside in ("nothing else", "a dispatch"):
            if beside == "a dispatch":
                dispatch = stack.enter_context(running(folder, "dispatch", "1"))
                until(lambda: sent(database) > 0, dispatch, folder)
            cells = []
            for kind in ("sign-up", "issue", "feed", "one-click"):
                asks = asks_of(kind, int(options.seconds * 2000), numbers, ways_out)
                took, statuses, seconds = under_load(port, asks, options.seconds)
                if not took:  # fewer readers than clicks that went before
                    cells.append(f"{'nobody left to ask':>24}")
                    continue
                odd = sum(count for status, count in statuses.items() if status != 200)
                cells.append(f"{len(took) / seconds:>7.0f}/s {took[len(took) // 2] * 1000:>5.0f} "
                             f"{took[int(len(took) * 0.99)] * 1000:>5.0f} {odd or '':>4}")
            ended = beside == "a dispatch" and dispatch.poll() is not None
            print(f"{processes:>9} {beside + (' (ended)' if ended else ''):<18} " + " ".join(cells), flush=True)
        if options.victim:
            asks = [sign_up(number, "victim@readers.example") for number in range(options.victim)]
            took, statuses, seconds = under_load(port, asks, PATIENCE_S)
            print(f"{processes:>9} {len(took)} sign-ups of one victim in {seconds:.0f} s, answered "
                  f"{', '.join(f'{status} ({count})' for status, count in sorted(statuses.items()))}: "
                  f"{letters_to(database, 'victim@readers.example')} mail", flush=True)


def sent(database: Database) -> int:
    """How many of issue 1 are with the relay."""
    with database.connect() as connection:
        query = sa.text("SELECT count(*) FROM delivery WHERE state = 'sent'")
        return int(connection.execute(query).scalar_one())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=lambda text: [int(number) for number in text.split(",")], default=[1, 2])
    parser.add_argument("--seconds", type=float, default=3.0, help="for each number of the table")
    parser.add_argument("--readers", type=int, default=60_000, help="of the issue that is sent beside")
    parser.add_argument("--victim", type=int, default=10_000, help="sign-ups of one address; a minute at most")
    parser.add_argument("--store", help="measure on this database, which has to be empty; with one number of processes")
    options = parser.parse_known_args()[0]
    print(f"mail goes to {which()}")
    names = " ".join(f"{f'{kind}: p50 p99 ms not 200':>24}" for kind in ("sign-ups", "issue", "feed", "one-click"))
    print(f"{'processes':>9} {'beside':<18} {names}")
    for processes in options.processes:
        with tempfile.TemporaryDirectory() as folder, sink() as smtp:
            settings = prepare(Path(folder), options.store, processes, smtp, options.readers)
            measure(Path(folder), settings, options, processes)


if __name__ == "__main__":
    main()
