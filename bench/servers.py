"""The databases of a bench: a server, new databases, and what their server did for them."""

import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from store.database import connect
from tests.store import postgresql

# Nothing is ever written to the pipe: it ends with whoever holds its other end, however that one ended. A server that
# was stopped has taken its file away.
_WATCHER = """
import os, shutil, signal, sys, time
os.read(0, 1)
place = sys.argv[1]
try:
    with open(f"{place}/data/postmaster.pid") as file:
        pid = int(file.readline())
    os.kill(pid, signal.SIGQUIT)
    for _ in range(500):
        os.kill(pid, 0)
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
except (FileNotFoundError, ProcessLookupError):
    pass
shutil.rmtree(place, ignore_errors=True)
"""


@contextmanager
def server_for(server: str, *, wanted: bool) -> Iterator[str | None]:
    """The URL of the server that a bench was told to use, "own": one started here, where it is `wanted`; else None.

    SIGTERM ends the bench as Ctrl-C does, and with it all that it made; a server of ours is ended even where the bench
    is killed. Raises tests.store.postgresql.NoServerError.
    """
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        if not wanted:
            yield None
        elif server != "own":
            yield server
        else:
            with postgresql.server(postgresql.DURABLE) as url, _watched(url):
                yield url
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _watched(url: str) -> Iterator[None]:
    place = sa.make_url(url).query.get("host")
    if place is None:  # the one of MILEPOST_TEST_POSTGRESQL: not ours to end
        yield
        return
    watcher = subprocess.Popen(
        [sys.executable, "-ISc", _WATCHER, str(place)], stdin=subprocess.PIPE, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        watcher.kill()  # the server is stopped by who started it
        watcher.wait()
        if watcher.stdin is not None:
            watcher.stdin.close()


@contextmanager
def empty(store: str, server: str | None) -> Iterator[str]:
    """The URL of a new database, which is thrown away afterwards."""
    if store == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/milepost.db"
        return
    assert server is not None
    name = f"bench_{uuid.uuid4().hex[:12]}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        try:
            yield sa.make_url(server).set(database=name).render_as_string(hide_password=False)
        finally:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()


def server_cpu(url: str) -> float | None:
    """CPU seconds of a server that was started here, of all its processes, dead or alive; None: it can't be told."""
    place = sa.make_url(url).query.get("host")
    file = Path(str(place)) / "data" / "postmaster.pid"
    if not url.startswith("postgresql") or not file.is_file():
        return None
    first, tick = int(file.read_text().split()[0]), os.sysconf("SC_CLK_TCK")
    used = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, _, rest = stat.read_text().partition(" (")
        except OSError:
            continue  # it ended meanwhile, and its first process counts it
        fields = rest.rpartition(") ")[2].split()
        if int(pid) == first:
            used += sum(map(int, fields[11:15]))
        elif int(fields[1]) == first:
            used += sum(map(int, fields[11:13]))
    return used / tick


def wal(url: str) -> int | None:
    """Bytes that the server has ever written ahead (WAL), for all its databases; None: SQLite's are not counted."""
    return _asked(url, "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')")


def stored(url: str) -> int:
    """Bytes that the database takes: its file, or its tables and indexes on the server."""
    size = _asked(url, "SELECT pg_database_size(current_database())")
    return Path(str(sa.make_url(url).database)).stat().st_size if size is None else size


def _asked(url: str, question: str) -> int | None:
    if not url.startswith("postgresql"):
        return None
    with connect(url) as database, database.connect() as connection:
        return int(connection.exec_driver_sql(question).scalar_one())
