"""New SQLite databases with all tables and nothing in them, migrated once a run of the tests and copied."""

import functools
import shutil
from pathlib import Path

from store.database import upgrade
from tests.made_once import made_once


@functools.cache
def _made() -> Path:
    return made_once("new", _make) / "milepost.db"


def _make(folder: Path) -> None:
    upgrade(f"sqlite:///{folder}/milepost.db")


def new_database(url: str) -> str:
    """Make the file that `url` names such a database, where there is none yet; returns `url`."""
    file = Path(url.removeprefix("sqlite:///"))
    if file.exists():
        raise FileExistsError(file)
    shutil.copy(_made(), file)
    return url
