"""One issue shared by several dispatchers on PostgreSQL, out of ever larger ledgers: rate, shares, what is read.

    python -m bench.dispatchers [--readers 10000,100000,1000000] [--processes 1,2,4] [--mails 6000] [--server own|URL]

    ledger of so many deliveries (made by SQL) ─▶ N processes send MAILS of them ─▶ a line

The dispatchers, the server and the sink share this machine. `tuples`: what the server returned and fetched (rows and
index entries, pg_stat_database) for each mail, `pages`: of its shared buffers; neither is to grow with the ledger.
`twice`: deliveries with more than one attempt.
"""

import argparse
import datetime as dt
import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from typing import Any

import sqlalchemy as sa

from bench.senders import enrol, mailing
from bench.servers import empty, server_cpu, server_for, wal
from bench.sinks import sink, which
from delivery.dispatch import Limits, dispatch
from delivery.smtp.connect import PipelineTransport
from store.database import connect
from store.ledger.ledger import Ledger

CONNECTIONS = 10
_START = multiprocessing.get_context("spawn")
# What enrolling and freezing would have written.
_FILL = [
    """INSERT INTO subscriber (address, normalized, state, cadence, topics, created_at, handle)
       SELECT a, a, 'active', 'weekly', '[]', now(), lpad(n::text, 20, '0')
       FROM (SELECT n, 'r' || n || '@readers.example' AS a FROM generate_series(1, :size) n) readers""",
    """INSERT INTO delivery (issue, subscriber, normalized, address, variant, state, updated_at)
       SELECT 1, id, normalized, address, 'all', 'pending', now() FROM subscriber ORDER BY id""",
    "UPDATE issue SET state = 'frozen', candidates = :size, deliveries = :size, exclusions = 0 WHERE number = 1",
]
_READ = """SELECT tup_returned + tup_fetched, blks_hit + blks_read FROM pg_stat_database
           WHERE datname = current_database()"""


def fill(url: str, size: int) -> None:
    """A frozen issue for so many."""
    enrol(url, 0)
    with connect(url) as database:
        with database.begin() as connection:
            for statement in _FILL:
                connection.execute(sa.text(statement), {"size": size} if ":size" in statement else {})
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("VACUUM ANALYZE"))


def _send(url: str, port: int, mails: int, sent: Any, ready: Barrier, shares: Any, cpu: Any, me: int) -> None:
    """A dispatcher, until all of them have sent so many."""
    def count(_claim: object, result: str, _reply: object) -> None:
        if result == "sent":
            with sent.get_lock():
                sent.value += 1
            shares[me] += 1

    relay = PipelineTransport(host="127.0.0.1", port=port, security="plain")
    with connect(url) as database:
        letters = mailing()
        ready.wait()
        began = time.process_time()
        dispatch(
            Ledger(database), relay, letters, now=lambda: dt.datetime.now(dt.UTC), progress=count,
            limits=Limits(connections=CONNECTIONS, per_connection=1000), stop=lambda: sent.value >= mails,
        )
        cpu[me] = time.process_time() - began


def read(url: str) -> tuple[int, int]:
    """(tuples, pages) that the server has read in this database."""
    with connect(url) as database, database.connect() as connection:
        tuples, pages = connection.execute(sa.text(_READ)).one()
        return tuples, pages


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What so many processes sent of one issue, and what that took."""

    seconds: float
    shares: list[int]  # mails of each process
    cpu: float  # seconds of all of them together
    server: float | None  # CPU seconds of the database's server, where they can be told
    tuples: int  # that the server returned and fetched
    pages: int  # of its shared buffers
    wal: int  # bytes
    twice: int  # deliveries with more than one attempt

    @property
    def mails(self) -> int:
        return sum(self.shares)


def measure(url: str, processes: int, mails: int) -> Sent:
    """Send so many of what waits, by so many processes."""
    sent, shares, ready = _START.Value("i", 0), _START.Array("i", processes), _START.Barrier(processes + 1)
    cpu = _START.Array("d", processes)
    with sink() as port:
        senders = [
            _START.Process(target=_send, args=(url, port, mails, sent, ready, shares, cpu, me))
            for me in range(processes)
        ]
        for sender in senders:
            sender.start()
        before, theirs, written = read(url), server_cpu(url), wal(url)
        ready.wait()
        began = time.monotonic()
        for sender in senders:
            sender.join()
        seconds = time.monotonic() - began
        spent, ahead = server_cpu(url), wal(url)
    time.sleep(1.5)  # a backend tells its figures at most once a second
    tuples, pages = (after - then for after, then in zip(read(url), before, strict=True))
    with connect(url) as database, database.connect() as connection:
        twice = connection.execute(sa.text("SELECT count(*) FROM delivery WHERE attempts > 1")).scalar_one()
    assert written is not None
    assert ahead is not None
    return Sent(
        seconds=seconds, shares=list(shares), cpu=sum(cpu), tuples=tuples, pages=pages, twice=twice,
        wal=ahead - written, server=None if theirs is None or spent is None else spent - theirs,
    )


def line(sent: Sent) -> str:
    """The table's from the fourth column on."""
    share = ":".join(f"{100 * one / sent.mails:.0f}" for one in sent.shares)
    return (f"{sent.mails / sent.seconds:>8.0f} {share:>12} {sent.tuples / sent.mails:>8.0f} "
            f"{sent.pages / sent.mails:>8.0f} {sent.twice:>6}")


def main() -> None:
    """Print the table."""
    def numbers(text: str) -> list[int]:
        return [int(number) for number in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", type=numbers, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--processes", type=numbers, default=[1, 2, 4])
    parser.add_argument("--mails", type=int, default=6000)
    parser.add_argument("--server", default="own", metavar="own|URL")
    chosen = parser.parse_args()
    print(f"mail goes to {which()}")
    with server_for(chosen.server, wanted=True) as server:
        print(f"{'readers':>9} {'processes':>9} {'fill s':>7} {'mails/s':>8} {'shares %':>12} {'tuples':>8}"
              f" {'pages':>8} {'twice':>6}")
        for size in chosen.readers:
            for processes in chosen.processes:
                with empty("postgresql", server) as url:
                    began = time.monotonic()
                    fill(url, size)
                    took = time.monotonic() - began
                    sent = measure(url, processes, min(chosen.mails, size))
                print(f"{size:>9} {processes:>9} {took:>7.1f} {line(sent)}", flush=True)


if __name__ == "__main__":
    main()
