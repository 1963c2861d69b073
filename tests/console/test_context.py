"""What a command was given and what it opened: all of it is closed when the command ends, however it ends."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from console.app import root
from milepost.errors import InputError
from store.database import Database, upgrade
from tests.console.test_cli import SETTINGS


@pytest.mark.parametrize("error", [None, InputError("a word too many")])
def test_a_command_closes_the_database_it_opened(error: Exception | None, tmp_path: Path) -> None:
    (tmp_path / "milepost.toml").write_text(SETTINGS, encoding="utf-8")
    upgrade(f"sqlite:///{tmp_path}/milepost.db")
    log = tmp_path / "milepost.db-wal"  # SQLite keeps it as long as somebody has the file open
    app, kept = typer.Typer(), list[Database]()  # kept, so that nothing is closed merely for being forgotten
    app.callback()(root)

    @app.command()
    def read(context: typer.Context) -> None:
        kept.append(context.obj.database)
        with context.obj.database.connect():
            pass
        assert log.exists()
        if error is not None:
            raise error

    done = CliRunner().invoke(app, ["--config", str(tmp_path / "milepost.toml"), "read"])
    assert done.exception is error
    assert kept
    assert not log.exists()
