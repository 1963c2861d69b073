"""New SQLite databases with all tables and nothing in them, migrated once a process and copied."""

import atexit
import functools
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from store.database import upgrade

_KEPT = ExitStack()
atexit.register(_KEPT.close)


@functools.cache
def _made() -> Path:
    file = Path(_KEPT.enter_context(tempfile.TemporaryDirectory(prefix="milepost-new-"))) / "milepost.db"
    upgrade(f"sqlite:///{file}")
    return file


def new_database(url: str) -> str:
    """Make the file that `url` names such a database, where there is none yet; returns `url`."""
    file = Path(url.removeprefix("sqlite:///"))
    if file.exists():
        raise FileExistsError(file)
    shutil.copy(_made(), file)
    return url
