"""Four ways to send the same 30 KB to many readers: Milepost's, smtp-source's, smtplib's and aiosmtplib's.

Each takes (port, connections, messages) and returns a `Spent`; each is to run in a process of its own.
"""

import asyncio
import datetime as dt
import json
import queue
import resource
import smtplib
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bench.sinks import program
from delivery.dispatch import Limits, Mailing, dispatch
from delivery.message import tokens, verp
from delivery.message.build import Letterhead, MessageTemplate
from delivery.message.headers import Mailbox
from delivery.smtp.connect import PipelineTransport
from milepost.records import Placement, Variant
from store.database import Database, connect, upgrade
from store.issues.issues import Issues
from store.ledger.ledger import Ledger
from store.schema.tables import subscriber

NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
KEY = "an-invented-key-of-thirty-two-characters"
SIZE = 30_000  # octets of a message, about
MARK = "MILEPOST-UNSUBSCRIBE-4f1d"
ENVELOPE = "b@bounces.example"
CONTENT = "0" * 64
FEW = 1500  # messages are enough to see how slow a commit for each is


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What one run took: seconds, CPU seconds and peak resident MiB of the sending process."""

    messages: int
    seconds: float
    cpu: float
    rss: float

    @property
    def rate(self) -> float:
        return self.messages / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU microseconds for each message."""
        return self.cpu / self.messages * 1e6

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def spent(messages: int, work: Callable[[], object], who: int = resource.RUSAGE_SELF) -> Spent:
    """Run `work` and say what it took; peak memory is that of the whole process."""
    before, start = resource.getrusage(who), time.perf_counter()
    work()
    seconds, after = time.perf_counter() - start, resource.getrusage(who)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(messages=messages, seconds=seconds, cpu=cpu, rss=after.ru_maxrss / 1024)


# --- the message, and who gets it -----------------------------------------------------------------------------------


def template(*, by_mail: bool = False) -> tuple[Variant, MessageTemplate]:
    """A message of SIZE octets; `by_mail`: with an address to leave by, as a newsletter that reads its bounces has."""
    line = "A loom that plays chess, and what came of it in the years after. " * 2
    text = f"Issue 7\n\n{line * 40}\n\nLeave: {MARK}\n"
    html = f'<html lang="en"><body>{f"<p>{line}</p>" * 155}<a href="{MARK}">Leave</a></body></html>'
    variant = Variant(name="all", subject="Issue 7: a loom that plays chess", html=html, text=text, placeholder=MARK)
    letterhead = Letterhead(
        sender=Mailbox("Timeline", "news@timeline.example"), list_id="milestones.timeline.example",
        leave_by_mail=by_mail,
    )
    return variant, MessageTemplate.build(variant, letterhead=letterhead, date=NOW)


def mailing(*, by_mail: bool = False) -> Mailing:
    """Each reader has a link, a Message-ID and an envelope of their own; `by_mail`: and an address to leave by."""
    return Mailing(
        issue=1, templates={"all": template(by_mail=by_mail)[1]},
        leave=(lambda claim: verp.make_leave(KEY, base=ENVELOPE, handle=claim.reader)) if by_mail else None,
        link=lambda claim: link(claim.reader), message_id=lambda claim: name(claim.reader),
        envelope=lambda claim: f"b{claim.subscriber_id}@bounces.example",
    )


def link(handle: str) -> str:
    """A reader's own way out."""
    return f"https://timeline.example/u/{tokens.make(KEY, handle=handle, list_id='m.t.example')}"


def name(handle: str) -> str:
    """The Message-ID of a reader's mail."""
    return tokens.message_id(KEY, issue="1" * 20, reader=handle, domain="timeline.example")


def letters(messages: int) -> Iterator[tuple[int, str, bytes]]:
    """(number, address, message) for everybody who has no ledger of ours; each made when it is asked for."""
    prepared = mailing()
    built = prepared.templates["all"]
    for who in range(messages):
        address = f"r{who}@readers.example"
        yield who, address, built.bytes_for(
            address=address, unsubscribe_url=link(f"{who:020}"), message_id=name(f"{who:020}")
        )


def enrol(url: str, readers: int) -> None:
    """A new database with so many readers and the draft of issue 1."""
    upgrade(url)
    rows: Iterator[dict[str, Any]] = (
        {"address": f"r{n}@readers.example", "normalized": f"r{n}@readers.example", "state": "active",
         "cadence": "weekly", "topics": [], "created_at": NOW}
        for n in range(readers)
    )
    with connect(url) as database:
        while part := list(islice(rows, 10_000)):
            with database.begin() as connection:
                connection.execute(sa.insert(subscriber), part)
        Issues(database).draft("weekly", "2026-W47", [], [template()[0]], subject="7", content_hash=CONTENT, now=NOW)


def freeze(database: Database) -> None:
    """Issue 1 goes to everybody."""
    Ledger(database).freeze(1, content_hash=CONTENT, place=lambda *_: Placement(variant="all"), now=NOW)


# --- the senders ----------------------------------------------------------------------------------------------------


def send(database: Database, port: int, connections: int, messages: int, *, by_mail: bool = False) -> None:
    """Milepost's dispatch of a frozen issue, with all that it remembers."""
    relay = PipelineTransport(host="127.0.0.1", port=port, security="plain")
    report = dispatch(
        Ledger(database), relay, mailing(by_mail=by_mail), now=lambda: dt.datetime.now(dt.UTC),
        limits=Limits(connections=connections, per_connection=1000),
    )
    assert report.results == {"sent": messages}, report


def with_milepost(port: int, connections: int, messages: int, *, by_mail: bool = False) -> Spent:
    """The whole ledger on SQLite, synchronous = FULL."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/milepost.db"
        enrol(url, messages)
        with connect(url) as database:
            freeze(database)
            return spent(messages, lambda: send(database, port, connections, messages, by_mail=by_mail))


def with_both_ways_out(port: int, connections: int, messages: int) -> Spent:
    """The same of mails that can be left by mail too: what most newsletters pay."""
    return with_milepost(port, connections, messages, by_mail=True)


def with_smtp_source(port: int, connections: int, messages: int) -> Spent:
    """Postfix's own load generator: C, no ledger, the same bytes for everybody."""
    command = [program("smtp-source") or "smtp-source", "-d", "-s", str(connections), "-l", str(SIZE), "-m",
               str(messages), "-f", ENVELOPE, "-t", "r@readers.example", f"127.0.0.1:{port}"]
    return spent(messages, lambda: subprocess.run(command, check=True), resource.RUSAGE_CHILDREN)


def with_smtplib(port: int, connections: int, messages: int) -> Spent:
    """smtplib in a thread for each connection, with one durable commit before and one after each message."""
    messages = min(messages, FEW * (1 if connections == 1 else 2))
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        ledger = sqlite3.connect(Path(folder, "ledger.db"), isolation_level=None, check_same_thread=False)
        stack.callback(ledger.close)
        ledger.execute("PRAGMA journal_mode = WAL")
        ledger.execute("PRAGMA synchronous = FULL")
        ledger.execute("CREATE TABLE delivery (id INTEGER PRIMARY KEY, state TEXT)")
        writing, source = threading.Lock(), letters(messages)

        def commit(statement: str, who: int) -> None:
            with writing:
                ledger.execute(statement, (who,))

        def carry() -> None:
            client = smtplib.SMTP("127.0.0.1", port)
            while True:
                with writing:
                    letter = next(source, None)
                if letter is None:
                    break
                who, address, message = letter
                commit("INSERT INTO delivery VALUES (?, 'sending')", who)
                client.sendmail(ENVELOPE, [address], message)
                commit("UPDATE delivery SET state = 'sent' WHERE id = ?", who)
                waiting.put(who)
            client.quit()

        def work() -> None:
            threads = [threading.Thread(target=carry) for _ in range(connections)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        took = spent(messages, work)
    assert waiting.qsize() == messages
    return took


def with_aiosmtplib(port: int, connections: int, messages: int) -> Spent:
    """aiosmtplib, a task for each connection; no ledger at all."""
    import aiosmtplib

    async def work() -> None:
        source, done = letters(messages), count()

        async def carry() -> None:
            client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False)
            await client.connect()
            for _, address, message in source:
                await client.sendmail(ENVELOPE, [address], message)
                next(done)
            await client.quit()

        await asyncio.gather(*(carry() for _ in range(connections)))
        assert next(done) == messages

    return spent(messages, lambda: asyncio.run(work()))


SENDERS: dict[str, Callable[[int, int, int], Spent]] = {
    "smtp-source -d": with_smtp_source, "milepost": with_milepost, "milepost, left by mail too": with_both_ways_out,
    "aiosmtplib, no ledger": with_aiosmtplib,
    "smtplib, commit each": with_smtplib,
}
