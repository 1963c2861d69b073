"""Every page of the desk and every reading call of the API, over many readers and milestones: p50 and p99.

    python -m bench.desk [--readers 100000] [--milestones 10000] [--times 60] [--store URL] [--explain] [--keep FILE]

    rows as a year of looks, issues and letters leaves them ─▶ the application, in this process ─▶ ms of each address

`--store`: an empty PostgreSQL database; SQLite unless told otherwise. `--explain`: how each statement of what took
longer than the limit is carried out. `--keep`: the SQLite file, made where it is not there.
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

from bench.scale import BASE as SITE
from bench.scale import NOW, SOURCE, fill
from milepost.dates import utc_now
from milepost.settings import Settings, parse
from pipeline.operators import api_tokens
from pipeline.operators.accounts import Accounts
from pipeline.operators.acts import at_the_console
from pipeline.operators.sign_in import SignIn
from store.database import Database, connect, upgrade
from store.meta import Meta
from store.schema import tables
from store.subscribers.addresses import address_hash
from store.upkeep.copy import copy as copy_database
from web.desk.app import desk_app
from web.desk.desk import Desk

LIMIT_MS = 100.0
ISSUES, LOOKS, HELD, SUPPRESSED, LETTERS, BOUNCES = 3, 2_000, 200, 5_000, 50_000, 5_000
HOST = "https://desk.example"
PAGES = (
    "/desk", "/desk/sources", f"/desk/sources/{SOURCE}", "/desk/milestones", "/desk/milestones?q=clock",
    "/desk/milestones?q=salisbury+9", "/desk/milestones/7", "/desk/milestones/7/title", "/desk/issues",
    "/desk/issues/1", "/desk/readers", "/desk/readers?before=90000", "/desk/readers?q=er77", "/desk/readers?q=nobody",
    "/desk/readers?state=pending", "/desk/readers/77", "/desk/suppressions", "/desk/suppressions?q=er77",
    "/desk/letters", "/desk/letters?state=failed", "/desk/log", "/desk/settings", "/desk/health",
)
CALLS = (
    "/me", "/status", "/holds", "/sources", "/looks", "/looks?waiting=true", "/looks/9", "/looks/1/changes",
    "/milestones", "/milestones/search?q=clock", "/milestones/search?q=salisbury", "/milestones/7",
    "/milestones/7/history", "/milestones/7/fields/title", "/changes", "/issues", "/issues/1", "/issues/1/ledger",
    "/issues/1/deliveries", "/issues/1/deliveries?state=failed", "/issues/1/deliveries?state=suppressed",
    "/issues/1/exclusions", "/issues/1/exclusions?reason=no_match", "/readers", "/readers?state=unsubscribed",
    "/readers/77", "/suppressions", "/letters", "/letters?state=failed",
)


def settings_for(url: str) -> Settings:
    return parse({
        "store": {"url": url, "keep_days": 3650}, "web": {"base_url": HOST},
        "mail": {"from": "Clockwork <news@clockwork.example>"},
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
            put(tables.issue_variant, iter([{
                "issue": number, "name": "all", "subject": "Clocks", "html": "<p>x</p>" * 2000, "text": "x",
                "placeholder": "p", "sha": "0" * 64,
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
        if database.dialect == "sqlite":
            connection.exec_driver_sql("PRAGMA optimize=0x10002")
        else:
            connection.exec_driver_sql("ANALYZE")


def _address(number: int) -> str:
    return f"reader{number}@readers.example"


class Watched:
    """The statements of one request, with what they were asked with."""

    def __init__(self, database: Database) -> None:
        self.asked: list[tuple[str, Any]] = []
        self._database = database
        for engine in (database.engine, database._readers):  # noqa: SLF001 (a bench looks inside)
            sa.event.listen(engine, "before_cursor_execute", self._saw)

    def _saw(self, _: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            self.asked.append((statement, parameters))

    def explain(self) -> None:
        """Print how each was carried out."""
        for statement, parameters in dict.fromkeys((text, repr(with_)) for text, with_ in self.asked):
            given = next(with_ for text, with_ in self.asked if text == statement and repr(with_) == parameters)
            with self._database.connect() as connection:
                how = "EXPLAIN QUERY PLAN" if self._database.dialect == "sqlite" else "EXPLAIN ANALYZE"
                rows = connection.exec_driver_sql(f"{how} {statement}", given).all()
            print("   ", " ".join(statement.split())[:160])
            for row in rows:
                print("        ", row[-1])


async def measure(database: Database, settings: Settings, times: int, *, explain: bool) -> bool:
    """Print the table; returns whether all kept the limit."""
    who = at_the_console("bench")
    desk = Desk(settings, database, now=utc_now)
    if not desk.accounts.any():
        Accounts(settings, database).add("ada", "admin", by=who)
    session = SignIn(settings, database).by_proxy("ada").token
    name = f"bench {time.time():.0f}"
    token, _ = api_tokens.add(database, name, api_tokens.SCOPES, days=1, by="bench", now=utc_now())
    transport = httpx.ASGITransport(desk_app(desk))
    watched, kept = Watched(database), True
    async with httpx.AsyncClient(transport=transport, base_url=HOST, cookies={desk.cookie: session}) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        print(f"{'address':<46} {'p50 ms':>8} {'p99 ms':>8} {'bytes':>9}")
        for path in (*PAGES, *(f"/api/v1{call}" for call in CALLS)):
            took: list[float] = []
            for _ in range(times):
                watched.asked.clear()
                begun = time.perf_counter()
                answer = await client.get(path)
                took.append((time.perf_counter() - begun) * 1000)
                if answer.status_code == 429:
                    raise RuntimeError("more than the API's limit: fewer --times")
            took.sort()
            slowest = took[min(int(len(took) * 0.99), len(took) - 1)]
            odd = "" if answer.status_code == 200 else f"  {answer.status_code}"
            print(f"{path:<46} {took[len(took) // 2]:>8.1f} {slowest:>8.1f} {len(answer.content):>9}{odd}", flush=True)
            if took[len(took) // 2] > LIMIT_MS / 2 or slowest > LIMIT_MS:
                kept = kept and slowest <= LIMIT_MS
                if explain:
                    watched.explain()
    return kept


def main() -> None:
    """Fill a database, then ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", type=int, default=100_000)
    parser.add_argument("--milestones", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--store", help="an empty PostgreSQL database")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--explain", action="store_true")
    options = parser.parse_known_args()[0]
    with tempfile.TemporaryDirectory() as folder:
        file = options.keep or Path(folder) / "milepost.db"
        url = f"sqlite:///{file}"
        if not file.exists():
            upgrade(url)
            with connect(url) as database:
                prepare(database, options.readers, options.milestones)
        if options.store:
            copy_database(url, options.store)
            url = options.store
        with connect(url) as database:
            if options.store:
                with database.begin() as connection:
                    connection.exec_driver_sql("ANALYZE")
            kept = asyncio.run(measure(database, settings_for(url), options.times, explain=options.explain))
    print(f"{'all' if kept else 'not all'} within {LIMIT_MS:g} ms (p99 of {options.times})")


if __name__ == "__main__":
    main()
