"""Dispatch against postfix's smtp-sink: our whole way (ledger on SQLite FULL, a letter for each reader) and others'.

    python -m bench.dispatch [--messages N] [--connections 1,10,40] [--profile]
"""

import argparse
import cProfile
import datetime as dt
import pstats
import resource
import shutil
import smtplib
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from delivery import tokens
from delivery.dispatch import Limits, Mailing, dispatch
from delivery.message import Letterhead, MessageTemplate
from delivery.pipeline import PipelineTransport
from milepost.records import Placement, Variant
from store.database import connect, upgrade
from store.issues import Issues
from store.ledger import Ledger
from store.schema import subscriber

NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
KEY = "an-invented-key-of-thirty-two-characters"
SIZE = 30_000  # octets of a message, about
MARK = "MILEPOST-UNSUBSCRIBE-4f1d"


def program(name: str) -> str | None:
    """Where one of postfix's programs is."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


@contextmanager
def sink() -> Iterator[int]:
    """An smtp-sink on a free port of loopback, as long as the block lasts."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = int(sock.getsockname()[1])
    server = subprocess.Popen([program("smtp-sink") or "smtp-sink", "-u", "nobody", "-c", f"127.0.0.1:{port}", "1000"],
                              stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        server.kill()
        server.wait()


def template() -> tuple[Variant, MessageTemplate]:
    """A message of SIZE octets."""
    line = "A loom that plays chess, and what came of it in the years after. " * 2
    text = f"Issue 7\n\n{line * 40}\n\nLeave: {MARK}\n"
    html = f'<html lang="en"><body>{f"<p>{line}</p>" * 155}<a href="{MARK}">Leave</a></body></html>'
    variant = Variant(name="all", subject="Issue 7: a loom that plays chess", html=html, text=text, placeholder=MARK)
    letterhead = Letterhead(sender="Timeline <news@timeline.example>", list_id="milestones.timeline.example")
    return variant, MessageTemplate.build(variant, letterhead=letterhead, date=NOW)


def mailing(built: MessageTemplate) -> Mailing:
    """Each reader has a link, a Message-ID and an envelope of their own."""
    return Mailing(
        issue=1, templates={"all": built},
        link=lambda who: f"https://timeline.example/u/{tokens.make(KEY, subscriber_id=who, list_id='m.t.example')}",
        message_id=lambda who: tokens.message_id(KEY, issue=1, subscriber_id=who, domain="timeline.example"),
        envelope=lambda claim: f"b{claim.subscriber_id}@bounces.example",
    )


def store(folder: Path, readers: int, variant: Variant) -> str:
    """A database with issue 1, frozen for so many readers."""
    url = f"sqlite:///{folder}/milepost.db"
    upgrade(url)
    with connect(url) as database:
        with database.begin() as connection:
            connection.execute(sa.insert(subscriber), [
                {"address": f"r{n}@readers.example", "normalized": f"r{n}@readers.example", "state": "active",
                 "cadence": "weekly", "topics": [], "created_at": NOW}
                for n in range(readers)
            ])
        Issues(database).draft("weekly", "2026-W47", [], [variant], subject="7", content_hash="0" * 64, now=NOW)
        Ledger(database).freeze(1, content_hash="0" * 64, place=lambda *_: Placement(variant="all"), now=NOW)
    return url


def ours(port: int, connections: int, messages: int, *, profile: bool = False) -> None:
    """Milepost's dispatch, with all that it remembers."""
    variant, built = template()
    with tempfile.TemporaryDirectory() as folder, connect(store(Path(folder), messages, variant)) as database:
        relay = PipelineTransport(host="127.0.0.1", port=port, security="plain")
        limits = Limits(connections=connections, per_connection=1000)
        prepared = mailing(built)

        def work() -> None:
            report = dispatch(Ledger(database), relay, prepared, now=lambda: dt.datetime.now(dt.UTC), limits=limits)
            assert report.results == {"sent": messages}, report

        if profile:
            profiler = cProfile.Profile()
            profiler.runcall(work)
            pstats.Stats(profiler).sort_stats("tottime").print_stats(35)
        else:
            measured("milepost", messages, connections, work)


def with_smtplib(port: int, messages: int) -> None:
    """smtplib, and one durable commit before and one after each message."""
    _, built = template()
    prepared = mailing(built)
    with tempfile.TemporaryDirectory() as folder:
        ledger = sqlite3.connect(f"{folder}/ledger.db", isolation_level=None)
        ledger.execute("PRAGMA journal_mode = WAL")
        ledger.execute("PRAGMA synchronous = FULL")
        ledger.execute("CREATE TABLE delivery (id INTEGER PRIMARY KEY, state TEXT)")

        def work() -> None:
            client = smtplib.SMTP("127.0.0.1", port)
            for who in range(messages):
                letter = built.bytes_for(
                    address=f"r{who}@readers.example", unsubscribe_url=prepared.link(who),
                    message_id=prepared.message_id(who),
                )
                ledger.execute("INSERT INTO delivery VALUES (?, 'sending')", (who,))
                client.sendmail("b@bounces.example", [f"r{who}@readers.example"], letter)
                ledger.execute("UPDATE delivery SET state = 'sent' WHERE id = ?", (who,))
            client.quit()

        measured("smtplib, commit each", messages, 1, work)
        ledger.close()


def with_smtp_source(port: int, connections: int, messages: int) -> None:
    """Postfix's own load generator: C, no ledger, the same bytes for everybody."""
    command = [program("smtp-source") or "smtp-source", "-d", "-s", str(connections), "-l", str(SIZE), "-m",
               str(messages), "-f", "b@bounces.example", "-t", "r@readers.example", f"127.0.0.1:{port}"]
    measured("smtp-source -d", messages, connections, lambda: subprocess.run(command, check=True),
             resource.RUSAGE_CHILDREN)


def measured(
    name: str, messages: int, connections: int, work: Callable[[], object], who: int = resource.RUSAGE_SELF
) -> None:
    """Run it and print one line."""
    before, start = resource.getrusage(who), time.perf_counter()
    work()
    seconds, after = time.perf_counter() - start, resource.getrusage(who)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{name:<24} {connections:>4} {messages / seconds:>10.0f} {cpu / messages * 1e6:>12.0f}", flush=True)


def one(arguments: argparse.Namespace) -> None:
    """One measurement, in this process."""
    with sink() as port:
        if arguments.only == "milepost":
            ours(port, arguments.connections[0], arguments.messages, profile=arguments.profile)
        elif arguments.only == "smtplib":
            with_smtplib(port, min(arguments.messages, 1500))
        else:
            with_smtp_source(port, arguments.connections[0], arguments.messages)


def main() -> None:
    """Print the table; each row is measured in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--messages", type=int, default=6000)
    parser.add_argument("--connections", type=lambda text: [int(n) for n in text.split(",")], default=[1, 10, 40])
    parser.add_argument("--only", choices=["milepost", "smtplib", "smtp-source"])
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    if program("smtp-sink") is None or program("smtp-source") is None:
        print("dispatch: not measured, postfix's smtp-sink and smtp-source are not installed (Debian: postfix)")
        return
    if arguments.only:
        one(arguments)
        return
    print(f"{'30 KB messages':<24} {'conn':>4} {'messages/s':>10} {'CPU µs/message':>12}", flush=True)
    runs = [("smtplib", 1)]
    runs += [(name, count) for count in arguments.connections for name in ("smtp-source", "milepost")]
    for name, count in runs:
        subprocess.run(
            [sys.executable, "-m", "bench.dispatch", "--only", name, "--connections", str(count), "--messages",
             str(arguments.messages)],
            check=True,
        )


if __name__ == "__main__":
    main()
