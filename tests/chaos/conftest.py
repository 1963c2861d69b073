"""Both backends, the size of a run, and the one table that all faults end up in."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos import runner
from tests.chaos.backends import Backend, Postgresql, Sqlite, postgres
from tests.chaos.runner import Verdict
from tests.store import postgresql

_ROWS: list[tuple[str, str, Verdict]] = []
Told = Callable[..., Verdict]


class Size:
    """How much is played; CHAOS=full (the whole of it) or CHAOS=KILLSxREADERS, CHAOS_SEED=N for another run."""

    seed = int(os.environ.get("CHAOS_SEED", "1"))
    _asked = os.environ.get("CHAOS", "20x2000").replace("full", "200x10000")
    kills, readers = (int(part) for part in _asked.split("x"))
    few = max(60, readers // 20)
    connections = 4


@pytest.fixture(scope="session")
def size() -> Size:
    return Size()


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Sqlite:
    return Sqlite(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgresql_backend() -> Iterator[Postgresql]:
    pytest.importorskip("psycopg")
    try:
        with postgres() as backend:
            yield backend
    except postgresql.NoServerError as error:
        pytest.skip(f"no PostgreSQL: {error}")


@pytest.fixture
def own_postgresql(postgresql_backend: Postgresql) -> Postgresql:
    """One that may be restarted."""
    if postgresql_backend.socket is None:
        pytest.skip("the PostgreSQL server is somebody else's: unset MILEPOST_TEST_POSTGRESQL")
    return postgresql_backend


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> Backend:
    found: Backend = request.getfixturevalue({"postgresql": "postgresql_backend"}.get(request.param, request.param))
    return found


@pytest.fixture
def told() -> Told:
    """Put a verdict into the table, and insist on what must hold whatever happened."""

    def tell(fault: str, backend: Backend | str, verdict: Verdict, *, at_most: int = 0) -> Verdict:
        _ROWS.append((fault, backend if isinstance(backend, str) else backend.name, verdict))
        sys.stderr.write(f"\n{runner.table(_ROWS[-1:])}\n")  # a run of hours is watched
        assert verdict.lost == 0
        assert verdict.duplicates == 0
        assert verdict.unknown <= at_most
        assert verdict.listed
        return verdict

    return tell


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table is what a run is for."""
    if _ROWS:
        terminalreporter.write_line(f"\nseed {Size.seed}, {Size.kills} kills, {Size.readers} readers")
        terminalreporter.write_line(runner.table(_ROWS))


@pytest.fixture(scope="session")
def servers_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Prefect server's, with all its tables and nothing in them: making one takes it a minute."""
    home = tmp_path_factory.mktemp("prefect")
    subprocess.run(
        [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"], check=True, capture_output=True,
        env={**os.environ, "PREFECT_HOME": str(home), "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
    )
    return home / "prefect.db"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount") or "/bin/mount"
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no small disk to fill, mounting one needs root: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run([shutil.which("umount") or "/bin/umount", "--lazy", str(disk)], check=True)
