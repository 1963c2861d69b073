"""What every room's tests share: how they are dealt out, statements compiled once a process, no wait for the disk."""

import contextlib
import gc
import importlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import sqlalchemy as sa

from tests import made_once

# A machine that is busy with something else makes no test fail: no example has a deadline.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")

_FAULTS = Path(__file__).parent / "chaos"
_LONG = ("browser", "prefect")  # the markers of tests that take a quarter of a minute each


def pytest_configure(config: pytest.Config) -> None:
    """The workers of this run find in the environment what they share (tests/made_once.py)."""
    if not hasattr(config, "workerinput"):
        os.environ[made_once.FOLDER] = config.stash.setdefault(_SHARED, ExitStack()).enter_context(
            tempfile.TemporaryDirectory(prefix="milepost-tests-")
        )


def pytest_unconfigure(config: pytest.Config) -> None:
    """What they shared goes."""
    config.stash.get(_SHARED, ExitStack()).close()


_SHARED = pytest.StashKey[ExitStack]()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A run without them doesn't import the tests that play every fault."""
    return True if collection_path == _FAULTS and config.option.markexpr == "not chaos" else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Three workers for two cores: tests wait for deadlines and for other processes about a third of their time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + (cores + 1) // 2


def pytest_collection(session: pytest.Session) -> None:
    """Import one share of the modules before all of them; no collection of garbage looks at what all stays.

    All workers collect the same modules in the same order; without this, each would rewrite each module's asserts
    itself: about 20 s of processor time in a new checkout. What fails here fails again, and is told, at its turn.
    """
    gc.disable()
    given: dict[str, Any] | None = getattr(session.config, "workerinput", None)
    if given is None:
        return
    modules = [
        found for arg in session.config.args for found in sorted(Path(arg).rglob("test_*.py"))
        if found.resolve().parent != _FAULTS
    ]
    first, count = int(given["workerid"].removeprefix("gw")), int(given["workercount"])
    root = session.config.rootpath
    for module in modules[len(modules) * first // count : len(modules) * (first + 1) // count]:
        with warnings.catch_warnings(), contextlib.suppress(Exception, pytest.skip.Exception):
            warnings.simplefilter("error")
            importlib.import_module(".".join(module.resolve().relative_to(root).with_suffix("").parts))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests come first, so that no worker begins one when the others are done.

    With them those that import Prefect, which takes two seconds: not every worker needs to.
    """
    items.sort(key=lambda item: not (
        any(item.get_closest_marker(name) for name in _LONG) or item.path.parent.name == "flows"
    ))


def pytest_collection_finish() -> None:
    """What is there now stays to the end: no collection of garbage looks at it again, and at the rest less often.

    As they come, they take a twentieth of the processor's time; what a test left open in a circle is told later.
    """
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 20)


class _Compiled(dict[Any, Any]):
    """Compiled statements by (kind of database, statement); SQLAlchemy's own keys would name the single database."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get((key[0].name, *key[1:]), default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        super().__setitem__((key[0].name, *key[1:]), compiled)


_COMPILED = _Compiled()


@sa.event.listens_for(sa.Engine, "engine_connect")
def _share_compiled(connection: sa.Connection) -> None:
    connection.execution_options(compiled_cache=_COMPILED)


_disk = {"waited for": False}


@pytest.fixture
def waits_for_the_disk() -> Iterator[None]:
    """SQLite is as durable in this test as the program asks it to be."""
    _disk["waited for"] = True
    yield
    _disk["waited for"] = False


@sa.event.listens_for(sa.pool.Pool, "checkout")
def _do_not_wait(driver: Any, record: Any, _: Any) -> None:
    """No commit waits for the disk: that takes milliseconds, and only a machine that loses its power knows better."""
    if _disk["waited for"] or "asked not to wait" in record.info or not hasattr(driver, "executescript"):
        return
    record.info["asked not to wait"] = True
    driver.execute("PRAGMA synchronous = OFF").close()
