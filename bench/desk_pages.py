"""Draws what operators see at the desk: what waits, a hold, a draft, an issue that goes out, a reader, the sources.

    python -m bench.desk_pages [--out docs/pictures] [--only sources]

    sample site ─▶ two looks, a draft, a month of readings, a held look ─▶ the desk, in this process ─▶ desk-*.png

Wants Debian's `chromium`.
"""

import argparse
import asyncio
import datetime as dt
import html
import math
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import sqlalchemy as sa

from bench.browser import PICTURES, browser, save
from bench.screenshots import Shot, shoot
from console.demo.site.server import SampleSite
from milepost.dates import PartialDate
from milepost.records import Change, FieldChange, Milestone, Witness
from milepost.settings import Settings, parse
from pipeline import edit
from pipeline.look.scrape import scrape
from pipeline.operators.accounts import Accounts
from pipeline.operators.acts import Actor, at_the_console
from pipeline.operators.care import Care
from pipeline.operators.decisions import Decisions
from pipeline.operators.sign_in import SignIn
from pipeline.publish import draft_due
from store.database import Database, connect, upgrade
from store.milestones.looks import Looks
from store.milestones.milestones import Milestones
from store.schema import tables
from store.subscribers.people import Subscribers
from web.desk.app import desk_app
from web.desk.desk import Desk

NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
HOST, WIDE, TALL = "https://desk.clockwork.example", 1200, 1100
LOOKS, READERS = 29, 1240
PATHS = {
    "waits": "/desk", "hold": "/desk/holds/{hold}", "draft": "/desk/issues/2", "sending": "/desk/issues/1",
    "reader": "/desk/readers/3", "sources": "/desk/sources", "source": "/desk/sources/clockwork", "log": "/desk/log",
    "trial": "/desk/new-source",
}
SHOTS = (
    *(Shot(f"desk-{name}-{scheme}", name, WIDE, scheme, first=tall)
      for name, tall in (("waits", TALL), ("hold", TALL), ("draft", TALL), ("sending", 940), ("reader", 700),
                         ("source", TALL))
      for scheme in ("light", "dark")),
    Shot("desk-waits-375", "waits", 375, first=1900), Shot("desk-draft-375", "draft", 375, first=2040),
)


class DeskScenes:
    """The HTML of the desk's pages, their style within them, over a database with something of everything."""

    def __init__(self, folder: Path) -> None:
        """`folder` takes the database."""
        with SampleSite() as site:
            settings = _settings(folder, site)
            upgrade(settings.store.url)
            scrape(settings, "clockwork", now=lambda: NOW - dt.timedelta(days=40))
            site.publish()
            scrape(settings, "clockwork", now=lambda: NOW - dt.timedelta(days=1))
        with connect(settings.store.url) as database:
            self._paths = dict(PATHS) | {"hold": PATHS["hold"].format(hold=_fill(settings, database))}
            self._tokens = {"admin": SignIn(settings, database, now=lambda: NOW).by_proxy("nora").token}
        self._settings = settings

    def page(self, name: str, *, path: str | None = None) -> str:
        """One of them, as it is drawn: its style and its frames within it."""
        with self._desk() as ask:
            return _whole(ask, path or self._paths[name])

    @contextmanager
    def _desk(self) -> Iterator[Callable[[str], str]]:
        with connect(self._settings.store.url) as database:
            desk = Desk(self._settings, database, now=lambda: NOW)
            app = desk_app(desk)
            cookies = {desk.cookie: self._tokens["admin"]}

            async def get(path: str) -> str:
                transport = httpx.ASGITransport(app)
                async with httpx.AsyncClient(transport=transport, base_url=HOST, cookies=cookies) as client:
                    return (await client.get(path)).raise_for_status().text

            yield lambda path: asyncio.run(get(path))


def _whole(ask: Callable[[str], str], path: str) -> str:
    page = ask(path)
    page = re.sub(r'<link rel="stylesheet" href="([^"]+)">', lambda at: f"<style>{ask(_path(at[1]))}</style>", page)
    page = re.sub(r"<script[^>]*></script>", "", page)
    return re.sub(
        r'(<iframe[^>]*) src="([^"]+)"', lambda at: f'{at[1]} srcdoc="{html.escape(ask(_path(at[2])))}"', page)


def _path(address: str) -> str:
    return html.unescape(address).removeprefix(HOST)


def _settings(folder: Path, site: SampleSite) -> Settings:
    return parse({
        "store": {"url": f"sqlite:///{folder}/milepost.db", "keep_days": 3650},
        "sources": [{"key": "clockwork", "extractor": "sample", "base_url": site.base_url,
                     "fetch_from": site.url, "allow_hosts": ["127.0.0.1"]}],
        "mail": {"from": "Clockwork <news@clockwork.example>", "postal_address": "1 Escapement Row, Exampletown",
                 "per_second": 8},
        "newsletter": {"name": "Clockwork", "tagline": "The history of keeping time, as it is written.",
                       "accent": "#b5451f", "approval": True, "cadences": ["instant", "weekly"], "quiet_minutes": 0},
        "web": {"base_url": HOST},
    })


def _fill(settings: Settings, database: Database) -> int:
    """Readers, an issue that goes out, a draft, a month of looks, a question, a held look; returns the last's id."""
    for name, role in (("nora", "admin"), ("omar", "editor")):
        Accounts(settings, database, now=lambda: NOW).add(name, role, by=at_the_console("root"))  # type: ignore[arg-type]
    people = Subscribers(database)
    for number in range(READERS):
        people.add(f"reader{number}@readers.example", cadence="weekly" if number % 3 == 0 else "instant",
                   now=NOW - dt.timedelta(days=30, minutes=number))
    for day, act in ((19, "unsubscribe"), (12, "return_")):
        care = Care(database, now=lambda day=day: NOW - dt.timedelta(days=day))  # type: ignore[misc]
        why = "asked at the fair not to be mailed" if act == "unsubscribe" else "wrote that it was a mistake"
        getattr(care, act)(3, by=Actor(who="nora", role="admin", door="desk"), why=why)
    draft_due(settings, database, only="instant", early=True, now=lambda: NOW - dt.timedelta(hours=2))
    draft_due(settings, database, only="weekly", early=True, now=lambda: NOW - dt.timedelta(minutes=40))
    omar = Actor(who="omar", role="editor", door="desk")
    decisions = Decisions(settings, database, now=lambda: NOW - dt.timedelta(minutes=30))
    decisions.edit(2, by=omar, replaces=None, subject="Two clocks that nobody had heard of")
    decisions.approve(1, content_hash=edit.find(database, 1).content_hash, by=omar, why="read it twice")
    with database.begin() as connection:
        sent = sa.select(tables.delivery.c.id).where(tables.delivery.c.issue == 1).order_by(tables.delivery.c.id)
        ids = list(connection.execute(sent).scalars())
        for state, some, more in (
            ("sent", ids[:510], {"text": "250 2.0.0 Ok: queued", "first_attempt_at": NOW}),
            ("deferred", ids[510:522], {"text": "451 4.7.1 Too many messages from you at this moment", "code": 451,
                                        "next_attempt_at": NOW + dt.timedelta(minutes=9)}),
            ("claimed", ids[522:540], {}),
        ):
            connection.execute(
                sa.update(tables.delivery).where(tables.delivery.c.id.in_(some)).values(state=state, **more))
        connection.execute(sa.update(tables.issue).where(tables.issue.c.number == 1).values(
            state="sending", send_after=None, handed_over_at=NOW - dt.timedelta(seconds=70)))
    return _look(database)


def _look(database: Database) -> int:
    """A month of readings, and the look that is held at its end."""
    looks, milestones = Looks(database), Milestones(database)
    known = milestones.count("clockwork")
    for day in range(LOOKS, 0, -1):
        at, wave = NOW - dt.timedelta(days=day, hours=1), math.sin(day / 4) / 30
        looks.finish(looks.start("clockwork", at), state="complete", now=at + dt.timedelta(seconds=40),
                     requests=2 if day % 4 else 61, fetched=1, not_modified=1 if day % 4 else 60,
                     milestones=known - day // 6, reading={
                         "filled": {"title": 1.0, "date": 0.97 + wave, "what_happened": 0.94, "people": 0.4 - wave * 4,
                                    "image": 0.62 - day / 90}, "unread": 0,
                         "told": {"json-ld": 0.98 - wave, "headings": 1.0, "card": 0.9 + wave * 2},
                         "disputed": {"date": 0.06} if day < 4 else {}})
    at = NOW - dt.timedelta(minutes=12)
    look = looks.start("clockwork", at)
    entries = []
    for key, title, day, says in (
        ("a-clock-at-sea", "A clock that keeps time at sea", "1761-11-18", "1759"),
        ("a-second-by-an-atom", "The second is defined by an atom", "1967-10-13", "1967"),
        ("a-watch-of-quartz", "A wristwatch keeps time by a crystal", "1969-12-25", "1969-12-25"),
    ):
        entries.append((Change(source="clockwork", key=key, kind="added"), Milestone(
            source="clockwork", key=key, url=f"https://clockwork.example/story/{key}", title=title,
            date=PartialDate(value=day), category="instruments", what_happened="It loses less than a minute in a year.",
            extractor="sample/1", evidence={
                "title": (Witness(witness="headings", where="h1"), Witness(witness="json-ld", where="headline")),
                "date": (Witness(witness="json-ld", where="Article.datePublished"),
                         *([Witness(witness="card", where="/stories", says=says)] if says != day else [])),
            }), None))
    for stored in list(milestones.known("clockwork").values())[:2]:
        record = stored.milestone
        wrong = replace(record, title=f"{record.title} (archived)", date=PartialDate(value="1984"))
        told = Witness(witness="headings", where="h1")
        entries.append((Change(source="clockwork", key=record.key, kind="corrected", fields=(
            FieldChange("title", "corrected", record.title, wrong.title),
            FieldChange("date", "corrected", record.date and {"value": record.date.value}, {"value": "1984"}),
        )), replace(wrong, evidence={"title": (told,), "date": (replace(told, where="time"),)}), stored.snapshot_id))
    milestones.apply(look, "clockwork", entries, announce=True, guard="surge", now=at,
                     held=f"3 new milestones at once beside {known} known ones: more than 2, and more than 10%")
    looks.finish(look, state="complete", now=at + dt.timedelta(seconds=30), requests=64, fetched=5, not_modified=58,
                 milestones=milestones.count("clockwork"))
    return look


def main() -> None:
    """Draw them all, or some."""
    given = argparse.ArgumentParser(prog="python -m bench.desk_pages", description=__doc__)
    given.add_argument("--out", type=Path, default=PICTURES, help="the folder for the PNG files")
    given.add_argument("--only", default="", help="those with that in their name")
    arguments = given.parse_args()
    with tempfile.TemporaryDirectory(prefix="milepost-desk-") as folder:
        scenes = DeskScenes(Path(folder))
        pages = {name: scenes.page(name) for name in {shot.shows for shot in SHOTS if arguments.only in shot.name}}
        with browser() as opened:
            for shot in SHOTS:
                if shot.shows in pages:
                    path = arguments.out / f"{shot.name}.png"
                    save(shoot(opened, shot, pages[shot.shows]), path)
                    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
