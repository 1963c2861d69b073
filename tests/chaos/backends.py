"""The databases that the faults are played on: a SQLite file, and a PostgreSQL server that can be restarted.

    tables made once ─▶ a template ─▶ a copy for each world
"""

import copy
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

import sqlalchemy as sa

from store.database import upgrade
from tests.store import postgresql


class Backend(Protocol):
    """Where new databases come from."""

    name: str

    def fresh(self, folder: Path, like: str | None = None) -> str:
        """The URL of a new database: empty tables, or all that is in `like`, which nobody uses at the moment."""


class Sqlite:
    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._template = folder / "template.db"
        upgrade(f"sqlite:///{self._template}")

    def fresh(self, folder: Path, like: str | None = None) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"milepost-{uuid.uuid4().hex[:8]}.db"
        shutil.copy(like.removeprefix("sqlite:///") if like else self._template, file)
        return f"sqlite:///{file}"


FAR = "chaos_far_"  # what a database is called that dispatchers are to take for one that is a journey away


class Postgresql:
    name = "postgresql"
    _prefix = "chaos_"

    def __init__(self, server: str) -> None:
        self._server = sa.make_url(server)
        self._made: list[str] = []
        self._template = self.fresh(Path())
        upgrade(self._template)

    def far(self) -> "Postgresql":
        """The same server, as one that is a journey away: a dispatch has several writers there."""
        it = copy.copy(self)
        it.name, it._prefix = "postgresql, far", FAR
        return it

    def fresh(self, folder: Path, like: str | None = None) -> str:
        name = f"{self._prefix}{uuid.uuid4().hex[:12]}"
        template = sa.make_url(like or self._template).database if self._made else "template1"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template}")
        self._made.append(name)
        return self._server.set(database=name).render_as_string(hide_password=False)

    def empty(self) -> str:
        """The URL of a new database with nothing in it, for Prefect's server."""
        name = f"chaos_{uuid.uuid4().hex[:12]}"
        self._run(f"CREATE DATABASE {name}")
        self._made.append(name)
        return self._server.set(database=name, drivername="postgresql+asyncpg").render_as_string(hide_password=False)

    def drop(self) -> None:
        """Leave a server that is not ours as we found it."""
        for name in self._made:
            self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        engine = sa.create_engine(self._server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()

    # --- only for a server of our own -------------------------------------------------------------------------------

    @property
    def socket(self) -> Path | None:
        """The Unix socket it listens on; None when somebody else runs the server."""
        folder = self._server.query.get("host")
        found = Path(str(folder)) / ".s.PGSQL.5432"
        return found if folder and found.exists() else None

    def restart(self, how: Literal["fast", "immediate"]) -> None:
        """Stop it (fast: sessions are ended; immediate: as if it had crashed), start it, return when it answers."""
        assert self.socket is not None
        data = self.socket.parent / "data"
        pg_ctl = Path((data / "postmaster.opts").read_text().split()[0]).with_name("pg_ctl")
        owner = data.stat()
        subprocess.run(
            [pg_ctl, "-D", data, "-w", "-l", data.parent / "log", "-m", how, "restart"],
            check=True, capture_output=True, timeout=60, cwd=data, user=owner.st_uid, group=owner.st_gid,
            extra_groups=[],
        )


@contextmanager
def postgres() -> Iterator[Postgresql]:
    """A PostgreSQL; raises postgresql.NoServerError."""
    with postgresql.server() as url:
        backend = Postgresql(url)
        try:
            yield backend
        finally:
            if backend.socket is None:
                backend.drop()
