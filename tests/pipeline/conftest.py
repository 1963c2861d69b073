"""A sample site that can be broken, an inbox, and settings that lead from the one to the other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from console.demo.inbox import serve_inbox
from milepost.dates import utc_now
from milepost.settings import Settings, load
from store.database import Database, connect, upgrade
from store.subscribers.people import Subscribers
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


@pytest.fixture
def site() -> Iterator[BreakableSite]:
    with BreakableSite() as running:
        yield running


@pytest.fixture
def mails(tmp_path: Path) -> Path:
    """The folder that the inbox keeps its messages in."""
    return tmp_path / "inbox"


@pytest.fixture
def config(site: BreakableSite, mails: Path, tmp_path: Path) -> Iterator[Path]:
    """A settings file with a database that has three subscribers."""
    with serve_inbox(mails) as port:
        path = tmp_path / "milepost.toml"
        path.write_text(SETTINGS.format(site=site.url, smtp=port), encoding="utf-8")
        url = load(path).store.url
        upgrade(url)
        with connect(url) as database:
            for address in READERS:
                Subscribers(database).add(address, now=utc_now())
        yield path


@pytest.fixture
def settings(config: Path) -> Settings:
    return load(config)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    with connect(settings.store.url) as opened:
        yield opened
