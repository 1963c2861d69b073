"""A sample site that can be broken, an inbox, and settings that lead from the one to the other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from console.demo.inbox import serve_inbox
from milepost.settings import Settings, load
from store.database import Database, connect
from tests.pipeline import prepared
from tests.pipeline.stage import BreakableSite


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
        path.write_text(prepared.SETTINGS.format(site=site.url, smtp=port), encoding="utf-8")
        prepared.copy("readers", load(path))
        yield path


@pytest.fixture
def settings(config: Path) -> Settings:
    return load(config)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    with connect(settings.store.url) as opened:
        yield opened


@pytest.fixture
def baseline(settings: Settings) -> None:
    """The sample site has been looked at for the first time."""
    prepared.copy("baseline", settings)


@pytest.fixture
def news(settings: Settings, site: BreakableSite) -> None:
    """It has published since, and a second look has found its two new milestones."""
    prepared.copy("news", settings)
    site.publish()


@pytest.fixture
def issued(settings: Settings, site: BreakableSite) -> None:
    """They stand in issue 1, frozen for three readers."""
    prepared.copy("issue", settings)
    site.publish()
