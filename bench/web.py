"""The web server under load, quiet and while an issue is being sent, with one process and two, on both databases.

    python -m bench.web [--stores sqlite,postgresql] [--processes 1,2] [--rate 50] [--seconds 12] [--connections 10]
    python -m bench.web --victim 10000       that many sign-ups of one address besides

    open     visitors come at a rate, whether or not those before them were answered; each latency is counted from the
             moment at which they were to come, so that a server that stands still is not asked less (by this the aim is
             judged: unsubscribe and pages at p99 <= 50 ms)
    8, 64    so many clients, each of which asks again once it is answered: how much is answered at most, and no latency
             of anybody's, for with more clients than cores they wait for each other

What is asked is mixed: pages (the archive, an issue, the feed, a milestone), ways out (a mail program's one-click POST,
RFC 8058; the page behind a link, and its button) and ways in (a sign-up, a confirmation). Clients, server, database,
relay and dispatch share the machine, so the table says whose the CPU was. Each client keeps its connection, as a proxy
does.
"""

import argparse
import http.client
import itertools
import json
import multiprocessing
import os
import random
import re
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa

from bench.senders import NOW
from bench.servers import empty, server_cpu
from bench.sinks import sink, which
from milepost.dates import utc_now
from milepost.settings import Settings, load
from pipeline.link_keys import signing_key
from pipeline.mail_identity import list_id, unsubscribe_url
from pipeline.publish import publish
from store.database import Database, connect
from store.schema.tables import letter, subscriber
from store.schema.tables import sign_up as entries
from store.upkeep.copy import copy as copy_database
from store.upkeep.restore import confirm_restore
from tests.pipeline.prepared import SETTINGS, copy
from tests.store import postgresql
from web.serve import free_port

CLIENTS = 8
OPEN_CLIENTS = 64  # connections, of which a visitor who comes takes a free one
PATIENCE_S = 60.0
AIM_MS = 50.0
NOBODY = 0  # the status of a request without an answer
Ask = tuple[str, str, bytes, dict[str, str]]  # method, path, body, headers
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
# What visitors ask for: how many of a hundred, and the column that it is counted in.
MIXTURE = {
    "archive": (15, "pages"), "issue": (15, "pages"), "feed": (15, "pages"), "milestone": (15, "pages"),
    "one-click": (10, "unsubscribe"), "its page": (10, "unsubscribe"), "its button": (10, "unsubscribe"),
    "sign-up": (5, "sign-up"), "confirm": (5, "sign-up"),
}
COLUMNS = ("pages", "unsubscribe", "sign-up")


def sign_up(number: int, address: str | None = None) -> Ask:
    """A sign-up of somebody else each time, from another network."""
    body = json.dumps({"email": address or f"new{number}@readers.example"}).encode()
    return "POST", "/api/subscribe", body, JSON | {"X-Forwarded-For": f"10.{number // 250 % 250}.{number % 250}.1"}


def page(path: str) -> Ask:
    return "GET", path, b"", {}


def click(path: str) -> Ask:
    """What a mail program sends for its own button (RFC 8058)."""
    return "POST", path, b"List-Unsubscribe=One-Click", FORM | {"X-Forwarded-For": "203.0.113.9"}


def button(path: str) -> Ask:
    """What a browser sends for the button on our page, at which somebody looks."""
    return "POST", path, b"", FORM | {"X-Forwarded-For": "203.0.113.9", "Origin": "https://news.clockwork.example"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What came of a load."""

    took: dict[str, list[float]]  # kind → seconds of each, sorted
    statuses: Counter[int]
    seconds: float  # it went on for
    cpu: float  # seconds of the clients

    @property
    def answered(self) -> int:
        return sum(map(len, self.took.values()))

    def column(self, name: str) -> list[float]:
        """Seconds of each that is counted there, sorted."""
        return sorted(one for kind, took in self.took.items() if MIXTURE[kind][1] == name for one in took)


def quantile(took: list[float], share: float) -> float:
    """In milliseconds; `took` is sorted."""
    return took[min(int(len(took) * share), len(took) - 1)] * 1000


def load_with(
    port: int, asks: list[tuple[str, Ask]], seconds: float, clients: int, rate: float | None,
    pipe: "multiprocessing.connection.Connection",
) -> None:
    """Send `asks` for so long, at most `clients` at a time, in a process of its own; sends a `Load`."""
    took, statuses, lock, begun = dict[str, list[float]](), Counter[int](), threading.Lock(), time.monotonic()
    dice, source, end = random.Random(7), iter(asks), begun + seconds  # noqa: S311 (the same visitors each time)
    due = begun

    def following() -> tuple[str, Ask, float] | None:
        nonlocal due
        with lock:
            if rate is not None:
                due += dice.expovariate(rate)
            found = next(source, None)
            return None if found is None or due >= end else (*found, due)

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        while time.monotonic() < end and (one := following()) is not None:
            kind, (method, path, body, headers), moment = one
            if rate is None:
                moment = time.monotonic()
            else:
                time.sleep(max(0.0, moment - time.monotonic()))
            try:
                connection.request(method, path, body or None, headers)
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException):
                connection.close()
                status = NOBODY
            with lock:
                took.setdefault(kind, []).append(time.monotonic() - moment)
                statuses[status] += 1
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for times in took.values():
        times.sort()
    pipe.send(Load(took=took, statuses=statuses, seconds=time.monotonic() - begun, cpu=time.process_time()))


def loaded(
    port: int, asks: Iterable[tuple[str, Ask]], seconds: float, clients: int, rate: float | None = None
) -> Load:
    """What comes of `asks`; `rate`: so many come in a second, else each client asks again once it is answered."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    client = context.Process(target=load_with, args=(port, list(asks), seconds, clients, rate, theirs))
    client.start()
    theirs.close()
    found: Load = mine.recv()
    client.join()
    return found


def under_load(
    port: int, asks: list[Ask], seconds: float, clients: int = CLIENTS
) -> tuple[list[float], Counter[int], float]:
    """Seconds of each request of one kind, sorted; the statuses; and how long it went on."""
    found = loaded(port, (("issue", ask) for ask in asks), seconds, clients)
    took = found.took.get("issue", [])
    return took, found.statuses, sum(took) / clients


@contextmanager
def running(folder: Path, *arguments: str, nice: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """A command of ours, as long as the block lasts; `nice`: how much others go before it (nice(1))."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            ["/usr/bin/nice", "-n", str(nice), sys.executable, "-m", "milepost",
             "--config", str(folder / "milepost.toml"),
             *arguments],
            cwd=folder, stdout=log, stderr=log,
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
            sys.exit(f"web: what it started is not there: {''.join(said) or 'it said nothing'}")
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


def prepare(
    folder: Path, store: str | None, processes: int, smtp: int, readers: int, connections: int = 4
) -> Settings:
    """A database with an issue that waits to be sent to so many readers, by so many connections."""
    text = SETTINGS.format(site="http://127.0.0.1:9", smtp=smtp)
    text = text.replace("[newsletter]", f"connections = {connections}\n[newsletter]")
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
         "cadence": "instant", "topics": [], "created_at": NOW, "confirmed_at": NOW}  # as real ones: they may come back
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
    """At most so many requests of one kind: "sign-up", "issue", "feed" or "one-click"."""
    return {
        "sign-up": lambda: [sign_up(next(numbers)) for _ in range(most)],
        "issue": lambda: [page("/issues/1")] * most,
        "feed": lambda: [page("/feed.atom")] * most,
        "one-click": lambda: [click(path) for path in islice(ways_out, min(most, 1500))],
    }[kind]()


class Visitors:
    """Who comes, each with something else to ask for; never the same reader twice."""

    def __init__(self, settings: Settings, database: Database, port: int) -> None:
        self._numbers, self._ways_out = itertools.count(), links(settings, database)
        self._names = waiting_sign_ups(port, database)
        self._milestone, self._dice = a_milestone(port), random.Random(5)  # noqa: S311 (the same each time)

    def __iter__(self) -> Iterator[tuple[str, Ask]]:
        kinds, weights = list(MIXTURE), [weight for weight, _ in MIXTURE.values()]
        while True:
            [kind] = self._dice.choices(kinds, weights)
            yield kind, self._ask(kind)

    def _ask(self, kind: str) -> Ask:
        match kind:
            case "archive":
                return page("/issues")
            case "issue":
                return page("/issues/1")
            case "feed":
                return page("/feed.atom")
            case "milestone":
                return page(self._milestone)
            case "one-click":
                return click(next(self._ways_out))
            case "its page":
                return page(next(self._ways_out))
            case "its button":
                return button(next(self._ways_out))
            case "confirm":
                return "POST", f"/c/{next(self._names)}", b"", FORM
            case _:
                return sign_up(next(self._numbers))


def waiting_sign_ups(port: int, database: Database, many: int = 6000) -> Iterator[str]:
    """The names of sign-ups that wait for their confirmation: one that was asked for, and others like it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request(*sign_up(0, "first@readers.example"))
    assert connection.getresponse().status == 200
    connection.close()
    with database.begin() as writing:
        row = dict(writing.execute(sa.select(entries)).mappings().first() or {})
        del row["id"]
        rows = [
            row | {"name": secrets.token_urlsafe(18), "address": f"in{n}@readers.example",
                   "normalized": f"in{n}@readers.example", "address_hash": secrets.token_hex(32), "asked_at": utc_now()}
            for n in range(many)
        ]
        writing.execute(sa.insert(entries), rows)
    return iter([one["name"] for one in rows])


def a_milestone(port: int) -> str:
    """The path of one's page, as the sitemap has it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("GET", "/sitemap.xml")
    text = connection.getresponse().read().decode()
    connection.close()
    return next(str(urlsplit(url).path) for url in re.findall(r"<loc>([^<]+)", text) if "/timeline/" in url)


@contextmanager
def serving(folder: Path) -> Iterator[int]:
    """The port of a web server that answers, as long as the block lasts."""
    port = free_port()
    with running(folder, "web", "--port", str(port)) as server:
        until(lambda: answers(port), server, folder)
        yield port


def used() -> dict[str, float]:
    """CPU seconds so far of the programs that this one has started: the web server, the dispatch and the relay.

    Those of a process are of its children too that have ended (proc_pid_stat(5)).
    """
    parents, words, seconds = {}, {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            words[int(stat.parent.name)] = (stat.parent / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it ended meanwhile
        pid = int(stat.parent.name)
        parents[pid], seconds[pid] = int(fields[1]), sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    found = dict.fromkeys(("web", "dispatch", "relay"), 0.0)
    for pid in parents:
        at, line = pid, list[int]()
        while at in parents and at != os.getpid():
            line.append(at)
            at = parents[at]
        if at != os.getpid() or not line:
            continue
        first = words.get(line[-1], [])
        whose = "dispatch" if b"dispatch" in first else "web" if b"web" in first else "relay" if any(
            b"sink" in word for word in first) else None
        if whose:
            found[whose] += seconds[pid]
    return found


@dataclass(kw_only=True, slots=True)
class Table:
    """The rows, as they come, and where the aim was missed."""

    missed: list[str]

    def head(self, clients: list[int]) -> None:
        print(f"mail goes to {which()}; each at a rate is {', '.join(f'{k} {w} %' for k, (w, _) in MIXTURE.items())}")
        print(f"closed loops of {', '.join(map(str, clients))} clients; p50, p99 and longest in ms")
        print(f"{'store':<10} {'web':>3} {'beside':<10} {'load':>7} " + " ".join(f"{one:>17}" for one in COLUMNS)
              + f" {'answers/s':>9} {'not 200':<14} {'mails/s':>7}  CPU (100 % is a core)")

    def row(self, name: tuple[str, int, str, str], found: Load, cpu: dict[str, float], mails: float) -> None:
        store, processes, beside, load = name
        cells = []
        for column in COLUMNS:
            took = found.column(column)
            cells.append(f"{quantile(took, 0.5):>4.0f} {quantile(took, 0.99):>5.0f} {took[-1] * 1000:>6.0f}" if took
                         else f"{'-':>17}")
            if load.endswith("/s") and column != "sign-up" and (not took or quantile(took, 0.99) > AIM_MS):
                missed = f"p99 {quantile(took, 0.99):.0f} ms" if took else "nothing answered"
                self.missed.append(f"{column} on {store}, {processes} web, {beside}: {missed}")
        odd = ", ".join(f"{status or 'none'}: {n}" for status, n in sorted(found.statuses.items()) if status != 200)
        parts = {whose: share / found.seconds for whose, share in cpu.items()}
        shares = ", ".join(f"{whose} {part:.0%}" for whose, part in parts.items() if part >= 0.01)
        print(f"{store:<10} {processes:>3} {beside:<10} {load:>7} " + " ".join(f"{cell:>17}" for cell in cells)
              + f" {found.answered / found.seconds:>9.0f} {odd:<14} {mails:>7.0f}  {shares}", flush=True)


def measure(
    folder: Path, settings: Settings, options: argparse.Namespace, table: Table, store: str, processes: int
) -> None:
    """Print the rows of so many processes."""
    with ExitStack() as stack:
        database = stack.enter_context(connect(settings.store.url))
        port = stack.enter_context(serving(folder))
        visitors = iter(Visitors(settings, database, port))
        loads: list[tuple[str, float, int, float | None]] = [
            (f"{options.rate:g}/s", options.seconds, OPEN_CLIENTS, options.rate),
            *((str(clients), options.seconds / 3, clients, None) for clients in options.closed),
        ]
        loaded(port, islice(visitors, 100), 2, CLIENTS)  # statements are compiled, pages are kept
        for beside in ("nothing", "a dispatch"):
            if beside == "a dispatch":
                dispatch = stack.enter_context(running(folder, "dispatch", "1", nice=options.nice))
                until(lambda: sent(database) > 0, dispatch, folder)
            for load, seconds, clients, rate in loads:
                asks = list(islice(visitors, int(seconds * (rate or 500) * 1.5)))
                before, served, mails = used(), server_cpu(settings.store.url), sent(database)
                found = loaded(port, asks, seconds, clients, rate)
                cpu = {whose: spent - before[whose] for whose, spent in used().items()} | {"clients": found.cpu}
                if served is not None:
                    cpu["postgresql"] = (server_cpu(settings.store.url) or 0) - served
                ended = beside == "a dispatch" and dispatch.poll() is not None
                table.row((store, processes, beside + "!" * ended, load), found, cpu,
                          (sent(database) - mails) / found.seconds)
        if options.victim:
            asks = [("sign-up", sign_up(number, "victim@readers.example")) for number in range(options.victim)]
            found = loaded(port, asks, PATIENCE_S, CLIENTS)
            print(f"{processes:>9} {found.answered} sign-ups of one victim in {found.seconds:.0f} s, answered "
                  f"{', '.join(f'{status} ({count})' for status, count in sorted(found.statuses.items()))}: "
                  f"{letters_to(database, 'victim@readers.example')} mail", flush=True)
    waited = (folder / "log").read_text(encoding="utf-8", errors="replace").count("a write waited")
    if waited:
        print(f"{'':<10} the log tells of writes that waited a second or longer ({waited} lines)", flush=True)


def sent(database: Database) -> int:
    """How many of issue 1 are with the relay."""
    with database.connect() as connection:
        query = sa.text("SELECT count(*) FROM delivery WHERE state = 'sent'")
        return int(connection.execute(query).scalar_one())


def main() -> None:
    """Print the table."""
    def numbers(text: str) -> list[int]:
        return [int(number) for number in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stores", type=lambda text: text.split(","), default=["sqlite", "postgresql"])
    parser.add_argument("--processes", type=numbers, default=[1, 2])
    parser.add_argument("--rate", type=float, default=50.0, help="visitors a second")
    parser.add_argument("--closed", type=numbers, default=[8, 64], help="clients of the closed loops")
    parser.add_argument("--seconds", type=float, default=12.0, help="at the rate; a closed loop goes on for a third")
    parser.add_argument("--readers", type=int, default=60_000, help="of the issue that is sent beside")
    parser.add_argument("--connections", type=int, default=10, help="of the dispatch")
    parser.add_argument("--nice", type=int, default=0, help="of the dispatch: how much visitors go before it")
    parser.add_argument("--victim", type=int, default=0, help="sign-ups of one address; a minute at most")
    options = parser.parse_known_args()[0]
    table = Table(missed=[])
    table.head(options.closed)
    wanted = postgresql.server(postgresql.DURABLE) if "postgresql" in options.stores else nullcontext(None)
    with wanted as server:
        for store, processes in itertools.product(options.stores, options.processes):
            with tempfile.TemporaryDirectory() as name, sink() as smtp, empty(store, server) as url:
                given = url if store == "postgresql" else None
                settings = prepare(Path(name), given, processes, smtp, options.readers, options.connections)
                measure(Path(name), settings, options, table, store, processes)
    print("a dispatch!: it had ended before the load did")
    print(f"unsubscribe and pages at p99 <= {AIM_MS:g} ms with {options.rate:g} visitors a second: "
          + ("; ".join(["missed", *table.missed]) if table.missed else "held everywhere"))


if __name__ == "__main__":
    main()
