"""Flows as plain functions: no server, no run; what a run's logger would say is thrown away."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from milepost.settings import Settings, load
from store.database import Database, connect
from tests.pipeline import prepared


@pytest.fixture
def no_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Prefect is imported with a home of the test's own, and asked for no server."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    import prefect.main  # sets up its logging, which would undo what is disabled here
    from prefect.logging import disable_run_logger

    assert prefect.main

    with disable_run_logger():
        yield


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings that ask for approval, with two milestones that no issue tells yet, and three readers."""
    path = tmp_path / "milepost.toml"
    text = prepared.SETTINGS.format(site="http://127.0.0.1:9", smtp=9)
    path.write_text(text.replace("[newsletter]", "[newsletter]\napproval = true"), encoding="utf-8")
    prepared.copy("news", load(path))
    return path


@pytest.fixture
def settings(config: Path) -> Settings:
    return load(config)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    with connect(settings.store.url) as opened:
        yield opened
