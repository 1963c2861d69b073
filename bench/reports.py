"""What a report costs that a provider posts, as the storm before it, the ledger and the letters of a month grow.

    python -m bench.reports [--deliveries 100000] [--before 0,10000,100000] [--posts 200] [--store sqlite,postgresql]
                            [--server own|URL]

    an issue that was sent, reports that are kept (made by SQL) ─▶ posts, one report each ─▶ CPU ms, rows read a post

Each post is one report, as Postmark, Amazon SES and Mailgun post them. `soft`, `hard`: of a mail of the issue; `other`:
of a mail that another program sent by the same account; `letter`: of a letter to somebody who signed up. Before the
first, `before` soft bounces of the issue are kept, and as many letters were sent. The server's CPU and the rows that it
read are told where they can be (SQLite does all in the program's own).
"""

import argparse
import base64
import datetime as dt
import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import sqlalchemy as sa
from pydantic import SecretStr

from bench import readers
from bench.dispatchers import read
from bench.readers import NOW, Step
from bench.servers import empty
from milepost.settings import Settings
from pipeline.provider_reports import ProviderReports
from store.database import Database, connect
from store.schema.columns import Moment
from tests.store import postgresql

LATER = NOW + dt.timedelta(hours=1)
PASSWORD = "bench-of-reports-1"  # noqa: S105 (nobody's)
DOMAIN = "readers.example"
_FORM = str.maketrans("0189", "efgh")
KINDS = ("soft", "hard", "other", "letter")
# As ours are: 32 signs of base32, which has no 0, 1, 8 and 9.
_SENT = (
    "'<' || replace(replace(replace(replace("
    "substr('00000000000000000000000000000000' || id, length('' || id) + 1), "
    f"'0', 'a'), '1', 'b'), '8', 'c'), '9', 'd') || '@{DOMAIN}>'"
)
_LETTERS = """
    INSERT INTO letter (kind, address, address_hash, day, state, queued_at, next_attempt_at, sent_at, why)
    SELECT 'confirm', name || '@strangers.example', 'hash-' || numbers.n, '2026-04-06', 'sent', :at, :at, :at, ''
    FROM ({numbers}) AS numbers
"""
_KEPT = """
    INSERT INTO bounce (digest, read_at, delivery_id, proof, grade, code, enhanced, text)
    SELECT 'kept-' || id, :at, id, 'message-id', 'soft', 452, '4.2.2', 'full' FROM delivery ORDER BY id LIMIT :kept
"""


# --- the store ------------------------------------------------------------------------------------------------------


def settings_for(url: str) -> Settings:
    known = readers.settings_for(url)
    return known.model_copy(update={
        "bounces": known.bounces.model_copy(update={"postmark_password": SecretStr(PASSWORD)})
    })


def fill(url: str, deliveries: int) -> None:
    """An issue that was sent to so many, an hour ago."""
    readers.fill(url, deliveries * 25 // 24 + 1, 1)  # one in fifty left, one in fifty wants another cadence
    readers.draft(url)
    readers.freeze(url, None)
    with connect(url) as database:
        with database.begin() as connection:
            connection.execute(sa.text(
                f"UPDATE delivery SET state = 'sent', attempts = 1, message_id = {_SENT}, "  # noqa: S608
                "first_attempt_at = :at"
            ).bindparams(sa.bindparam("at", type_=Moment())), {"at": NOW})
        _analyze(database)


def before(url: str, kept: int) -> None:
    """So many soft bounces are known already, and so many letters were sent."""
    with connect(url) as database:
        with database.begin() as connection:
            connection.execute(sa.text("DELETE FROM bounce"))
            connection.execute(sa.text("DELETE FROM letter"))
            at = sa.bindparam("at", type_=Moment())
            connection.execute(sa.text(_KEPT).bindparams(at), {"at": NOW, "kept": kept})
            if kept:
                numbers = readers.NUMBERS[database.dialect]
                connection.execute(
                    sa.text(_LETTERS.format(numbers=numbers)).bindparams(at), {"at": NOW, "size": kept}
                )
        _analyze(database)


def _analyze(database: Database) -> None:
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE" if database.dialect == "sqlite" else "VACUUM ANALYZE")


# --- the posts ------------------------------------------------------------------------------------------------------


def _bodies(database: Database, kind: str, posts: int) -> Iterator[bytes]:
    """As Postmark posts them, of the last mails of the issue: nothing is known of those yet."""
    query = "SELECT normalized, message_id FROM delivery ORDER BY id DESC LIMIT :posts"
    with database.connect() as connection:
        ours = connection.execute(sa.text(query), {"posts": posts}).all()
    for number, (address, name) in enumerate(ours):
        letter = f"<{number:a>32}@{DOMAIN}>".translate(_FORM)
        of = {"other": f"<{number}.elsewhere@pm.example>", "letter": letter}.get(kind, name)
        said = {
            "RecordType": "Bounce", "ID": f"{kind}-{number}", "Type": "HardBounce" if kind == "hard" else "SoftBounce",
            "Email": address if kind in ("soft", "hard") else f"somebody-{number}@strangers.example",
            "Details": "smtp;550 5.1.1 no such user" if kind == "hard" else "smtp;452 4.2.2 mailbox full",
            "Content": f"Message-ID: {of}\r\n",
        }
        yield json.dumps(said).encode()


def post(url: str, kind: str, posts: int) -> dict[str, int]:
    """So many posts, one after the other; what they came to."""
    headers = {"authorization": f"Basic {base64.b64encode(f'milepost:{PASSWORD}'.encode()).decode()}"}
    came_to: dict[str, int] = {}
    with connect(url) as database:
        reports = ProviderReports(settings_for(url), database)
        for body in _bodies(database, kind, posts):
            for name, count in reports.take("postmark", headers, body, LATER).items():
                came_to[name] = came_to.get(name, 0) + count
    return came_to


def measure(url: str, kind: str, posts: int) -> tuple[Step, int | None]:
    """What so many posts took, and the rows that the server read for them."""
    asked: Callable[[str], Any] = read if url.startswith("postgresql") else lambda _: (None, None)
    then = asked(url)[0]
    step = readers.run(url, post, kind, posts)
    if then is None:
        return step, None
    return step, asked(url)[0] - then


def main() -> None:
    """Print the table."""
    def numbers(text: str) -> list[int]:
        return [int(number) for number in text.split(",")]

    def words(text: str) -> list[str]:
        return text.split(",")

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deliveries", type=int, default=100_000)
    parser.add_argument("--before", type=numbers, default=[0, 10_000, 100_000])
    parser.add_argument("--kinds", type=words, default=list(KINDS))
    parser.add_argument("--posts", type=int, default=200)
    parser.add_argument("--store", type=words, default=["sqlite", "postgresql"])
    parser.add_argument("--server", default="own", metavar="own|URL")
    chosen = parser.parse_args()
    wants = "postgresql" in chosen.store and chosen.server == "own"
    print(f"{'store':<10} {'deliveries':>10} {'before':>8} {'kind':<7} {'CPU ms a post':>13} {'server':>7}"
          f" {'rows':>9} {'MiB':>5}")
    with postgresql.server(postgresql.DURABLE) if wants else nullcontext(chosen.server) as server:
        for store in chosen.store:
            with empty(store, server) as url:
                fill(url, chosen.deliveries)
                for kept in chosen.before:
                    for kind in chosen.kinds:
                        before(url, kept)
                        step, rows = measure(url, kind, chosen.posts)
                        theirs = "" if step.server is None else f"{1000 * step.server / chosen.posts:.2f}"
                        told = "" if rows is None else f"{rows / chosen.posts:.0f}"
                        print(f"{store:<10} {chosen.deliveries:>10} {kept:>8} {kind:<7}"
                              f" {1000 * step.took.cpu / chosen.posts:>13.2f} {theirs:>7} {told:>9}"
                              f" {step.took.peak_mb:>5}  {step.took.result}", flush=True)


if __name__ == "__main__":
    main()
