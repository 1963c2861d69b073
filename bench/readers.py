"""What an issue costs as its readers grow: drafted and frozen, and sent; and how long a sign-up waits for the freeze.

    python -m bench.readers [--readers 10000,100000,1000000] [--topics 10] [--send]
                            [--store sqlite,postgresql] [--server own|URL] [--size SLICE]

    readers (made by SQL), milestones ─▶ each step in a process of its own ─▶ seconds, CPU, memory

Readers have addresses at random, one of so many choices of topics (each a rendering of its own), and one in fifty left
or asked for another cadence. `waited`: the longest of all sign-ups that another process tried without a pause. The
server's CPU is told where it was started here: that of all its processes.
"""

import argparse
import datetime as dt
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from typing import Any

import sqlalchemy as sa

from bench.apart import Took, measured
from bench.servers import empty, server_cpu, server_for, stored, wal
from bench.sinks import sink
from milepost.records import Change, Freezing
from milepost.settings import Settings, parse
from pipeline.dispatch import dispatch
from pipeline.publish import draft_due
from pipeline.publish import freeze as freeze_issue
from store.database import connect, upgrade
from store.issues.issues import Issues
from store.schema.columns import Moment
from store.schema.tables import issue_variant
from store.subscribers.people import Subscribers
from tests.store.conftest import World, make_milestone

NOW = dt.datetime(2026, 4, 6, 9, 0, tzinfo=dt.UTC)
BEFORE = NOW - dt.timedelta(days=30)
CONNECTIONS = 10
_START = multiprocessing.get_context("spawn")
# What sign-ups would have written. A number's bits say which of the topics were chosen.
NUMBERS = {
    "postgresql": "SELECT n, md5(n::text) AS name FROM generate_series(1, :size) n",
    "sqlite": """WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < :size)
                 SELECT n, lower(hex(randomblob(8))) || n AS name FROM number""",
}
_FILL = """
    INSERT INTO subscriber (address, normalized, state, cadence, topics, created_at, handle)
    SELECT name || '@readers.example', name || '@readers.example',
           CASE WHEN numbers.n % 50 = 7 THEN 'unsubscribed' ELSE 'active' END,
           CASE WHEN numbers.n % 50 = 9 THEN 'daily' ELSE 'weekly' END,
           choice.topics, :since, substr('00000000000000000000' || numbers.n, length('' || numbers.n) + 1)
    FROM ({numbers}) AS numbers JOIN choice ON choice.n = numbers.n % :topics
    ORDER BY numbers.n
"""


# --- the store ------------------------------------------------------------------------------------------------------


def settings_for(url: str, port: int | None = None) -> Settings:
    """`port`: the relay's."""
    relay = {} if port is None else {"url": f"smtp://127.0.0.1:{port}", "connections": CONNECTIONS}
    return parse({
        "store": {"url": url},
        "sources": [{"key": "site", "extractor": "sample", "base_url": "https://site.example"}],
        "mail": {"from": "Readers <news@readers.example>", "postal_address": "1 Example Row", **relay},
        "newsletter": {"name": "Readers", "quiet_minutes": 0, "hour": 9, "weekday": "monday", "timezone": "UTC",
                       "cadences": ["daily", "weekly"]},
        "web": {"base_url": "https://news.readers.example"},
    })


def fill(url: str, readers: int, topics: int) -> None:
    """So many readers with so many choices of topics, and what an issue tells them."""
    upgrade(url)
    bits = max(topics - 1, 1).bit_length() + 1
    with connect(url) as database:
        world = World(database)
        world.baseline()
        look = world.looks.start("site", NOW - dt.timedelta(days=1))
        records = [make_milestone(f"m{n}", category=f"topic-{n}") for n in range(bits)]
        world.milestones.apply(
            look, "site", [(Change(source="site", key=one.key, kind="added"), one, None) for one in records],
            announce=True, now=NOW - dt.timedelta(days=1),
        )
        world.looks.finish(look, state="complete", now=NOW, milestones=bits + 1)
        dialect = database.dialect
        with database.begin() as connection:
            connection.execute(sa.text("CREATE TEMPORARY TABLE choice (n integer, topics text)"))
            connection.execute(sa.text("INSERT INTO choice VALUES (:n, :topics)"), [
                {"n": n, "topics": json.dumps([f"topic-{bit}" for bit in range(bits) if n >> bit & 1])}
                for n in range(topics)
            ])
            filling = sa.text(_FILL.format(numbers=NUMBERS[dialect])).bindparams(sa.bindparam("since", type_=Moment()))
            connection.execute(filling, {"size": readers, "topics": topics, "since": BEFORE})
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE" if dialect == "sqlite" else "VACUUM ANALYZE")


# --- the steps ------------------------------------------------------------------------------------------------------


def draft(url: str) -> int:
    """Variants of an issue that is drafted."""
    settings = settings_for(url)
    with connect(url) as database:
        [issue] = draft_due(settings, database, only="weekly", early=True, now=lambda: NOW)
        with database.connect() as connection:
            made = sa.select(sa.func.count()).where(issue_variant.c.issue == issue.number)
            return int(connection.execute(made).scalar_one())


def freeze(url: str, size: int | None) -> tuple[int, float]:
    """(deliveries, the longest slice in seconds)."""
    longest, at = 0.0, time.monotonic()

    def step(_: Freezing) -> None:
        nonlocal longest, at
        longest, at = max(longest, time.monotonic() - at), time.monotonic()

    settings = settings_for(url)
    with connect(url) as database:
        [issue] = Issues(database).list(states=["draft"])
        counts = freeze_issue(settings, database, issue.number, content_hash=issue.content_hash, now=NOW, size=size,
                              progress=step)
        assert counts.balanced
        return counts.deliveries, longest


def send(url: str, port: int) -> int:
    """Mails that the relay took."""
    settings = settings_for(url, port)
    with connect(url) as database:
        [issue] = Issues(database).list(states=["frozen"])
    sent = dispatch(settings, issue.number, now=lambda: NOW + dt.timedelta(hours=1))
    assert sent.report.state == "complete", sent
    return sent.counts.states["sent"]


# --- beside them ----------------------------------------------------------------------------------------------------


@contextmanager
def signing_up(url: str) -> Iterator[Callable[[], tuple[int, float]]]:
    """Another process signs readers up; what is yielded ends it: (how many, the longest wait in seconds)."""
    ours, theirs = _START.Pipe(duplex=False)
    over = _START.Event()
    process = _START.Process(target=_sign_up, args=(url, theirs, over))
    process.start()
    ours.recv()  # it has begun

    def end() -> tuple[int, float]:
        over.set()
        told: tuple[int, float] = ours.recv()
        return told

    try:
        yield end
    finally:
        over.set()
        process.join()


def _sign_up(url: str, pipe: Any, over: Event) -> None:
    count, longest = 0, 0.0
    with connect(url) as database:
        people = Subscribers(database)
        while not over.is_set():
            began = time.monotonic()
            people.add(f"later-{count}@readers.example", cadence="weekly", now=NOW + dt.timedelta(hours=1))
            longest = max(longest, time.monotonic() - began)
            if not count:
                pipe.send("begun")
                longest = 0.0  # that one opened the connection
            count += 1
            time.sleep(0.02)
    pipe.send((count, longest))


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a step took; the server's CPU seconds and the bytes it wrote ahead, where they can be told; the longest that
    a sign-up waited, in seconds, where any was tried."""

    took: Took
    server: float | None
    wal: int | None
    waited: float | None


def run(url: str, step: Callable[..., Any], *arguments: Any, beside: bool = False) -> Step:
    """A step in a process of its own; `beside`: while another signs readers up."""
    cpu, written = server_cpu(url), wal(url)
    with signing_up(url) if beside else nullcontext() as end:
        took = measured(step, url, *arguments)
        waited = None if end is None else end()[1]
    after, ahead = server_cpu(url), wal(url)
    return Step(
        took=took, waited=waited, server=None if cpu is None or after is None else after - cpu,
        wal=None if written is None or ahead is None else ahead - written,
    )


def measure(
    store: str, server: str | None, readers: int, topics: int, size: int | None = None, *, sending: bool = False
) -> tuple[dict[str, Step], int, int]:
    """Draft and freeze an issue for so many in a database of its own, and send it where it is `sending`: the steps, and
    its bytes before and after the freeze.
    """
    with empty(store, server) as url:
        fill(url, readers, topics)
        before = stored(url)
        steps = {"draft": run(url, draft), "freeze": run(url, freeze, size, beside=True)}
        after = stored(url)
        if sending:
            with sink() as port:
                steps["send"] = run(url, send, port)
        return steps, before, after


def main() -> None:
    """Print the table."""
    def numbers(text: str) -> list[int]:
        return [int(number) for number in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", type=numbers, default=[10_000, 100_000])
    parser.add_argument("--topics", type=numbers, default=[10])
    parser.add_argument("--send", action="store_true", help=f"send it too, over {CONNECTIONS} connections to smtp-sink")
    parser.add_argument("--store", type=lambda text: text.split(","), default=["sqlite", "postgresql"])
    parser.add_argument("--server", default="own", metavar="own|URL")
    parser.add_argument("--size", type=int, help="readers in a slice")
    chosen = parser.parse_known_args()[0]
    print(f"{'store':<10} {'readers':>9} {'topics':>6} {'step':<7} {'s':>7} {'CPU s':>7} {'server':>7} {'MiB':>5}"
          f" {'waited':>7}")
    with server_for(chosen.server, wanted="postgresql" in chosen.store) as server:
        for store in chosen.store:
            for size in chosen.readers:
                for topics in chosen.topics:
                    steps = measure(store, server, size, topics, chosen.size, sending=chosen.send)[0]
                    for name, step in steps.items():
                        took = step.took
                        cpu = "" if step.server is None else f"{step.server:.1f}"
                        waited = "" if step.waited is None else f"{step.waited:.2f}"
                        print(f"{store:<10} {size:>9} {topics:>6} {name:<7} {took.seconds:>7.1f} {took.cpu:>7.1f}"
                              f" {cpu:>7} {took.peak_mb:>5} {waited:>7}  {took.result}", flush=True)


if __name__ == "__main__":
    main()
