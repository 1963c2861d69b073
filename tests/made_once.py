"""What all processes of one run of the tests share: a folder, what is made in it once, and locks to make it under.

    pytest (tests/conftest.py) ─▶ a folder, named in the environment ─▶ its workers: the first who asks makes, all use
"""

import atexit
import fcntl
import functools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

FOLDER = "PYTEST_MADE_ONCE_FOLDER"  # not of MILEPOST_…: those are settings, and this is told to be none

_KEPT = ExitStack()
atexit.register(_KEPT.close)


@functools.cache
def folder() -> Path:
    """The run's folder; one of this process where none is named."""
    named = os.environ.get(FOLDER)
    return Path(named or _KEPT.enter_context(tempfile.TemporaryDirectory(prefix="milepost-tests-")))


@contextmanager
def alone(name: str) -> Iterator[None]:
    """No other process of the run is in here under that name meanwhile; one that dies lets go."""
    lock = os.open(folder() / f"{name}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of that name, filled by `make` for whoever asks first; who died over it leaves nothing behind."""
    made = folder() / name
    with alone(name):
        if not made.exists():
            with tempfile.TemporaryDirectory(dir=folder(), prefix=f"{name}-") as fresh:
                (unfinished := Path(fresh) / name).mkdir()
                make(unfinished)
                unfinished.rename(made)
    return made
