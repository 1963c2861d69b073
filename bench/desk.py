"""Every page of the desk and every reading call of the API, over many readers and milestones: p50 and p99.

    python -m bench.desk [--readers 100000] [--milestones 10000] [--times 100] [--store URL] [--explain] [--keep FILE]
                         [--only TEXT]

    rows as a year of looks, issues and letters leaves them ─▶ the application, in this process, as it stands after its
    start ─▶ each address: statements, CPU ms (the application's; a PostgreSQL server's beside it), ms on the clock

The first answer of an address, whose statements nobody has asked yet, stands by itself. The p99 is of --times more.

`--store`: a PostgreSQL database, empty or filled by this bench; SQLite unless told otherwise. `--explain`: how each
statement of what took longer than a quarter of the limit is carried out. `--keep`: the SQLite file, made where it is
not there. `--only`: addresses with that text.
"""

import argparse
import asyncio
import datetime as dt
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from bench.big_store import BASE as SITE
from bench.big_store import NOW, SOURCE, fill
from milepost.dates import utc_now
from milepost.records import Variant
from milepost.settings import Settings, parse
from pipeline.operators import api_tokens
from pipeline.operators.accounts import Accounts
from pipeline.operators.acts import at_the_console
from pipeline.operators.sign_in import SignIn
from pipeline.publish import draft_due
from store.database import Database, connect, upgrade
from store.issues.issues import variant_hash
from store.meta import Meta
from store.schema import tables
from store.subscribers.addresses import address_hash
from store.upkeep.copy import copy as copy_database
from web.desk.app import desk_app
from web.desk.desk import Desk
from web.warm_up import WarmUp

LIMIT_MS = 100.0
A_TOKENS = 50  # calls with one token: the API has a limit for each
ISSUES, LOOKS, HELD, KEPT_BACK, SUPPRESSED, LETTERS, BOUNCES = 3, 2_000, 200, 30, 5_000, 50_000, 5_000
DRAFT = ISSUES + 1
HOST = "https://desk.example"
PAGES = (
    "/desk", "/desk?before=150", "/desk/holds/1", "/desk/sources", f"/desk/sources/{SOURCE}", "/desk/milestones",
    "/desk/milestones?q=clock", "/desk/milestones?q=salisbury+9", "/desk/milestones/7", "/desk/milestones/7/title",
    "/desk/issues", "/desk/issues/1", f"/desk/issues/{DRAFT}", f"/desk/issues/{DRAFT}/edit",
    f"/desk/issues/{DRAFT}/audience", "/desk/issues/1/mail.html", "/desk/issues/1/ledger",
    "/desk/issues/1/ledger?state=sent", "/desk/issues/1/ledger?state=sent&from=60000",
    "/desk/issues/1/ledger?state=failed", "/desk/issues/1/ledger?out=1", "/desk/issues/1/ledger?reason=other_cadence",
    "/desk/issues/1/ledger?reason=no_match", "/desk/issues/1/ledger?address=reader77@readers.example",
    "/desk/issues/1/ledger?address=reader78@readers.example", "/desk/readers", "/desk/readers?before=90000",
    "/desk/readers?q=er77", "/desk/readers?q=reader7712", "/desk/readers?q=nobody", "/desk/readers?state=pending",
    "/desk/readers?state=unsubscribed&cadence=daily", "/desk/readers/77", "/desk/readers/77/erase",
    "/desk/readers/import", "/desk/suppressions", "/desk/suppressions?q=er77", "/desk/suppressions?q=nobody",
    "/desk/letters", "/desk/letters?state=failed", "/desk/letters?kind=confirm&state=dropped", "/desk/log",
    "/desk/log?who=operator+3", "/desk/log?about=look+9", "/desk/settings", "/desk/health", "/desk/operators",
    "/desk/me",
)
CALLS = (
    "/me", "/status", "/holds", "/sources", "/looks", "/looks?waiting=true", f"/looks?source={SOURCE}", "/looks/9",
    "/looks/1/changes", "/milestones", f"/milestones?source={SOURCE}&state=withdrawn", "/milestones/search?q=clock",
    "/milestones/search?q=salisbury", "/milestones/7", "/milestones/7/history", "/milestones/7/fields/title",
    "/changes", "/changes?announced=true", "/changes?kind=corrected", "/issues", "/issues?state=paused", "/issues/1",
    f"/issues/{DRAFT}", "/issues/1/variants", f"/issues/{DRAFT}/variants", "/issues/1/ledger", "/issues/1/deliveries",
    "/issues/1/deliveries?state=failed", "/issues/1/deliveries?state=suppressed", "/issues/1/deliveries?state=deferred",
    "/issues/1/exclusions", "/issues/1/exclusions?reason=no_match", "/issues/1/exclusions?reason=paused", "/readers",
    "/readers?state=unsubscribed", "/readers?state=pending&cadence=monthly", "/readers/77", "/suppressions",
    "/letters", "/letters?state=failed", "/letters?kind=goodbye",
)
FOUND = ("er77", "reader7712", "nobody")  # texts that readers are looked for by; a form's, no address's


def settings_for(url: str) -> Settings:
    return parse({
        "store": {"url": url, "keep_days": 3650}, "web": {"base_url": HOST},
        "mail": {"from": "Clockwork <news@clockwork.example>", "postal_address": "1 Clock Street, Clockwork"},
        "sources": [{"key": SOURCE, "extractor": "sample", "base_url": SITE}],
    })


def prepare(database: Database, readers: int, milestones: int) -> None:
    """Fill an empty database."""
    fill(database, milestones, milestones)
    key = Meta(database).address_key()

    def hash_of(number: int) -> str:
        return address_hash(key, _address(number))

    with database.begin() as connection:
        def put(table: sa.Table, rows: Iterator[dict[str, Any]]) -> None:
            part: list[dict[str, Any]] = []
            for row in rows:
                part.append(row)
                if len(part) == 10_000:
                    connection.execute(sa.insert(table), part)
                    part = []
            if part:
                connection.execute(sa.insert(table), part)

        rates = {"filled": {"title": 1.0, "date": 0.97}, "told": {"json-ld": 1.0, "cards": 0.9}, "disputed": {},
                 "unread": 0}
        put(tables.look, ({
            "source": SOURCE, "started_at": NOW + dt.timedelta(hours=at), "finished_at": NOW + dt.timedelta(hours=at),
            "state": "complete", "baseline": False, "milestones": milestones, "failures": [], "reading": rates,
            "held": "surge: more than usual" if at < HELD else None,
        } for at in range(LOOKS)))
        put(tables.subscriber, ({
            "id": at, "address": _address(at), "normalized": _address(at), "topics": [], "created_at": NOW,
            "state": "unsubscribed" if at % 1000 == 0 else "pending" if at % 5000 == 1 else "active",
            "cadence": "weekly" if at % 3 else "daily",
        } for at in range(1, readers + 1)))
        for number in range(1, ISSUES + 1):
            put(tables.issue, iter([{
                "number": number, "cadence": "weekly", "period": f"2026-W{number:02}", "state": "complete",
                "subject": "Clocks", "content_hash": "0" * 64, "created_at": NOW, "frozen_at": NOW,
                "approved_at": NOW, "finished_at": NOW, "sequence": number, "candidates": readers,
                "deliveries": readers - readers // 3, "exclusions": readers // 3,
            }]))
            put(tables.issue_item, ({
                "issue": number, "position": at, "role": "news", "change_id": number * 10 + at,
                "milestone_id": number * 10 + at, "version_id": number * 10 + at, "cadence": "weekly",
            } for at in range(10)))
            letter = Variant(name="all", subject="Clocks", html="<p>x</p>" * 2000, text="x", placeholder="p",
                             change_ids=())
            put(tables.issue_variant, iter([{
                "issue": number, "name": "all", "subject": "Clocks", "html": letter.html, "text": "x",
                "placeholder": "p", "sha": variant_hash(letter),
            }]))
            put(tables.delivery, ({
                "issue": number, "subscriber": at, "normalized": _address(at), "address": _address(at),
                "variant": "all", "state": "failed" if at % 20_000 == 1 else "sent", "attempts": 1, "code": 250,
                "updated_at": NOW,
            } for at in range(1, readers + 1) if at % 3))
            put(tables.exclusion, ({
                "issue": number, "subscriber": at, "reason": "no_match" if at % 30_000 == 0 else "other_cadence",
            } for at in range(1, readers + 1) if not at % 3))
        put(tables.suppression, ({
            "address_hash": hash_of(at), "normalized": _address(at), "reason": "550 5.1.1", "created_at": NOW,
        } for at in range(1, SUPPRESSED)))
        put(tables.letter, ({
            "kind": "confirm", "address": _address(at), "address_hash": hash_of(at), "day": "2026-03-02",
            "state": "failed" if at % 10_000 == 0 else "sent", "queued_at": NOW, "next_attempt_at": NOW,
            "why": "",
        } for at in range(1, LETTERS)))
        put(tables.subscriber_event, ({
            "address_hash": hash_of(at), "at": NOW, "action": "confirmed", "by": "the reader", "why": "x",
        } for at in range(1, readers)))
        put(tables.bounce, ({
            "digest": f"{at:064}", "read_at": NOW, "delivery_id": at, "grade": "soft", "text": "452 full",
        } for at in range(1, BOUNCES)))
        put(tables.act, ({
            "at": NOW, "who": f"operator {at % 7}", "role": "editor", "door": "desk", "what": "hold.release",
            "about": f"look {at}", "why": "seen", "outcome": "done", "said": f"look {at} is released",
        } for at in range(1, LOOKS)))
        # What the held looks keep back, and what a draft tells.
        put(tables.change, ({
            "look_id": 2 + at // KEPT_BACK, "milestone_id": at % milestones + 1, "kind": "added", "fields": [],
            "new_version_id": at % milestones + 1, "detected_at": NOW, "announce": True,
        } for at in range(HELD * KEPT_BACK)))
        put(tables.change, ({
            "look_id": LOOKS, "milestone_id": at, "kind": "added", "fields": [], "new_version_id": at,
            "detected_at": NOW, "announce": True,
        } for at in range(milestones - 5, milestones)))
    settings = settings_for(str(database.url))
    drafted = draft_due(settings, database, only="weekly", early=True, now=lambda: NOW + dt.timedelta(days=90))
    assert [one.number for one in drafted] == [DRAFT]
    with database.begin() as connection:
        if database.dialect == "sqlite":
            connection.exec_driver_sql("PRAGMA optimize=0x10002")
        else:
            connection.exec_driver_sql("ANALYZE")


def _address(number: int) -> str:
    return f"reader{number}@readers.example"


class Watched:
    """The statements of one request, with what they were asked with, and the CPU time of all of it."""

    def __init__(self, database: Database) -> None:
        self.asked: list[tuple[str, Any]] = []
        self._database = database
        for engine in (database.engine, database._readers):  # noqa: SLF001 (a bench looks inside)
            sa.event.listen(engine, "before_cursor_execute", self._saw)

    def _saw(self, _: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        self.asked.append((statement, parameters))

    def servers_ms(self) -> float:
        """What a PostgreSQL server of this machine has calculated for us so far; 0 for SQLite, or where none can tell.

        Linux: /proc/PID/schedstat begins with the nanoseconds that a process had a processor.
        """
        if self._database.dialect != "postgresql":
            return 0.0
        with self._database.connect() as connection:
            here = sa.text("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
            pids = list(connection.execute(here).scalars())
        files = (Path(f"/proc/{pid}/schedstat") for pid in pids)
        return sum(int(file.read_text(encoding="ascii").split()[0]) for file in files if file.exists()) / 1e6

    def explain(self) -> None:
        """Print how each was carried out."""
        seen: set[str] = set()
        for statement, parameters in self.asked:
            asks = statement.lstrip().upper().startswith(("SELECT", "WITH"))
            if not asks or (key := f"{statement} {parameters!r}") in seen:
                continue
            seen.add(key)
            with self._database.connect() as connection:
                how = "EXPLAIN QUERY PLAN" if self._database.dialect == "sqlite" else "EXPLAIN ANALYZE"
                rows = connection.exec_driver_sql(f"{how} {statement}", parameters).all()
            print("   ", " ".join(statement.split())[:160])
            for row in rows:
                print("        ", row[-1])


async def measure(database: Database, settings: Settings, times: int, *, explain: bool, only: str = "") -> bool:
    """Print the table; returns whether all kept the limit."""
    who = at_the_console("bench")
    desk = Desk(settings, database, now=utc_now)
    if not desk.accounts.any():
        Accounts(settings, database).add("ada", "admin", by=who)
    session = SignIn(settings, database).by_proxy("ada").token
    transport = httpx.ASGITransport(desk_app(desk))
    WarmUp(desk).run()
    watched, kept = Watched(database), True
    print(f"{'address':<58} {'stmts':>5} {'CPU p50':>8} {'CPU p99':>8} {'server':>7} {'first ms':>8} {'p50 ms':>8} "
          f"{'p99 ms':>8} {'bytes':>9}")
    async with httpx.AsyncClient(transport=transport, base_url=HOST, cookies={desk.cookie: session}) as client:
        asked: list[tuple[str, dict[str, str] | None]] = [
            *((path, None) for path in (*PAGES, *(f"/api/v1{call}" for call in CALLS))),
            *(("/api/v1/readers/search", {"text": text}) for text in FOUND),
        ]
        for path, sent in asked:
            if only not in path:
                continue
            took: list[tuple[float, float]] = []
            servers = 0.0
            for at in range(times + 1):
                if at % A_TOKENS == 0:
                    name = f"bench {path[:40]} {time.time():.3f}"
                    token, _ = api_tokens.add(database, name, api_tokens.SCOPES, days=1, by="bench", now=utc_now())
                    client.headers["Authorization"] = f"Bearer {token}"
                if at == 1:
                    servers = watched.servers_ms()
                watched.asked.clear()
                begun, counted = time.perf_counter(), time.process_time()
                answer = await (client.get(path) if sent is None else client.post(path, json=sent))
                took.append(((time.process_time() - counted) * 1000, (time.perf_counter() - begun) * 1000))
                if answer.status_code == 429:
                    raise RuntimeError("more than the API's limit for a token")
            (_, first), *took = took
            statements = len(watched.asked)
            servers = (watched.servers_ms() - servers) / times
            (cpu, slow_cpu), (wall, slowest) = (
                (one[times // 2], one[min(int(times * 0.99), times - 1)])
                for one in map(sorted, zip(*took, strict=True))
            )
            if answer.status_code != 200:
                raise RuntimeError(f"{path} is answered with {answer.status_code}, which is no page to measure")
            path = f"{path} {' '.join((sent or {}).values())}".strip()
            print(f"{path:<58} {statements:>5} {cpu:>8.1f} {slow_cpu:>8.1f} {servers:>7.1f} {first:>8.1f} {wall:>8.1f} "
                  f"{slowest:>8.1f} {len(answer.content):>9}", flush=True)
            kept = kept and slowest <= LIMIT_MS
            if explain and wall > LIMIT_MS / 4:
                watched.explain()
    return kept


def _is_empty(url: str) -> bool:
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)
    return not sa.inspect(engine).has_table("meta")


def main() -> None:
    """Fill a database, then ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", type=int, default=100_000)
    parser.add_argument("--milestones", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--store", help="a PostgreSQL database, empty or filled by this bench")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--explain", action="store_true")
    parser.add_argument("--only", default="", help="addresses with that text")
    options = parser.parse_known_args()[0]
    with tempfile.TemporaryDirectory() as folder:
        file = options.keep or Path(folder) / "milepost.db"
        url = options.store or f"sqlite:///{file}"
        if options.store is None or _is_empty(options.store):
            made = f"sqlite:///{file}"
            if not file.exists():
                upgrade(made)
                with connect(made) as database:
                    prepare(database, options.readers, options.milestones)
            if options.store is not None:
                copy_database(made, options.store)
        with connect(url) as database:
            if options.store:
                with database.begin() as connection:
                    connection.exec_driver_sql("ANALYZE")
            kept = asyncio.run(measure(
                database, settings_for(url), options.times, explain=options.explain, only=options.only))
    print(f"{'all' if kept else 'not all'} within {LIMIT_MS:g} ms (p99 of {options.times})")


if __name__ == "__main__":
    main()
