"""Databases that many tests begin with, made once a run and copied by each: fewer migrations, fewer looks."""

import functools
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from console.demo.inbox import serve_inbox
from milepost.dates import utc_now
from milepost.settings import Settings, load
from pipeline.dispatch import dispatch
from pipeline.look.scrape import scrape
from pipeline.publish import publish
from store.database import connect
from store.subscribers.people import Subscribers
from tests.made_once import made_once
from tests.new_database import new_database
from tests.pipeline.stage import READERS, BreakableSite

SETTINGS = """
[store]
url = "sqlite:///milepost.db"
[[sources]]
key = "clockwork"
extractor = "sample"
base_url = "https://clockwork.example"
fetch_from = "{site}"
allow_hosts = ["127.0.0.1"]
[fetch]
retries = 0
timeout = 300
[mail]
url = "smtp://127.0.0.1:{smtp}"
from = "Clockwork <news@clockwork.example>"
postal_address = "1 Escapement Row, Exampletown"
[newsletter]
name = "Clockwork"
quiet_minutes = 0
[web]
base_url = "https://news.clockwork.example"
"""

Stage = Literal["empty", "readers", "baseline", "news", "issue", "sent"]  # each holds what those before it hold


@functools.cache
def _made(stage: Stage) -> Path:
    return made_once(stage, functools.partial(_make, stage)) / "milepost.db"


def _make(stage: Stage, folder: Path) -> None:
    with BreakableSite() as site:
        (folder / "milepost.toml").write_text(SETTINGS.format(site=site.url, smtp=9), encoding="utf-8")
        settings = load(folder / "milepost.toml")
        match stage:
            case "empty":
                new_database(settings.store.url)
            case "readers":
                copy("empty", settings)
                with connect(settings.store.url) as database:
                    for address in READERS:
                        Subscribers(database).add(address, now=utc_now())
            case "baseline":
                copy("readers", settings)
                scrape(settings, "clockwork")
            case "news":
                copy("baseline", settings)
                site.publish()
                scrape(settings, "clockwork")
            case "issue":
                copy("news", settings)
                publish(settings)
            case "sent":
                copy("issue", settings)
                with serve_inbox(folder) as port:
                    mail = settings.mail.model_copy(update={"url": SecretStr(f"smtp://127.0.0.1:{port}")})
                    dispatch(settings.model_copy(update={"mail": mail}), 1)


def copy(stage: Stage, settings: Settings) -> None:
    """Make the SQLite database that `settings` name what it is at `stage`, also while it is open."""
    copy_file(_made(stage), settings)


def copy_file(made: Path, settings: Settings) -> None:
    """The same with any SQLite file."""
    with closing(sqlite3.connect(made)) as source, closing(sqlite3.connect(file_of(settings))) as target:
        target.execute("PRAGMA synchronous = OFF")
        source.backup(target)


def file_of(settings: Settings) -> Path:
    """The file of the SQLite database that `settings` name."""
    return Path(settings.store.url.removeprefix("sqlite:///"))
