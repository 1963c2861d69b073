"""Milepost with a real Prefect server and what runs its schedules, as processes of which any can be killed.

    a site that tells more ─▶ `milepost up`, or a server and a worker under the same supervisor ─▶ an oracle for a relay

Whoever dies is started again as a supervisor does it; nothing else is done by hand, and no run is asked for.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, cast

import httpx
import yaml

from milepost.dates import utc_now
from milepost.settings import load
from pipeline.setup import write_deployments
from store.database import connect
from store.holders import started
from store.issues.issues import Issues
from store.ledger.ledger import Ledger
from store.milestones.looks import Looks
from store.subscribers.people import Subscribers
from tests.chaos.runner import Line, names, program
from tests.interruptible import interruptible
from tests.pipeline import history
from web.serve import free_port

PATIENCE_S = 480.0  # on a machine that does other things
EVERY_S = 60  # the schedule's interval: longer than a run takes on a machine that does other things
SOURCE = "canals"
Kind = Literal["up", "worker"]
Victim = Literal["server", "runner", "flow", "machine"]

SETTINGS = """
[store]
url = "{url}"
[[sources]]
key = "canals"
extractor = "sample"
base_url = "https://canals.example"
fetch_from = "{site}"
allow_hosts = ["127.0.0.1"]
[fetch]
retries = 0
[mail]
url = "smtp://127.0.0.1:{smtp}"
from = "Canals <news@canals.example>"
postal_address = "1 Lock Lane, Exampletown"
connections = 1
[newsletter]
name = "Canals"
quiet_minutes = 0
undo_minutes = 0
approval = {approval}
[notify]
lost_minutes = {lost_minutes}
silent_hours = {silent_hours}
[web]
base_url = "https://news.canals.example"
"""

QUIET = {
    "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false", "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
    # The shortest heartbeats there are; whoever runs the schedules asks for work every two seconds.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    "PREFECT_RUNNER_POLL_FREQUENCY": "2", "PREFECT_WORKER_QUERY_SECONDS": "2",
    "PYTHONPATH": str(Path(__file__).parents[2]),
}


class _Gated(dict[str, history.Answer]):
    """The site's answers; while the gate is shut, a story is not answered."""

    gate: threading.Event
    knocked: threading.Event

    def get(self, path: str, default: Any = None) -> Any:
        if path.startswith("/story/"):
            self.knocked.set()
            self.gate.wait(PATIENCE_S)
        return super().get(path, default)


class Site:
    """A site that can tell one more story, and can keep a look waiting."""

    def __init__(self, server: history.Server) -> None:
        self._server, self._dice, self._builds = server, random.Random(11), 0  # noqa: S311 (to be played again)
        self._stories: list[Any] = []
        self.gate, self.knocked = threading.Event(), threading.Event()
        self.gate.set()
        self.tell(8)

    def shut(self) -> None:
        """No story is answered from now on; `knocked` is set when one was asked for."""
        self.gate.clear()
        self.knocked.clear()

    def tell(self, number: int = 1) -> None:
        """So many more stories are published."""
        for _ in range(number):
            self._stories.append(history.story(self._dice, len(self._stories)))
        self._builds += 1
        site = _Gated(history.site(tuple(self._stories), f"b{self._builds}"))
        site.gate, site.knocked = self.gate, self.knocked
        self._server.site = site

    @property
    def told(self) -> int:
        """Stories by now."""
        return len(self._stories)


class Service:
    """The whole of it, at work in `folder`."""

    def __init__(
        self, folder: Path, kind: Kind, site: Site, log: Path, *, environment: Mapping[str, str], ports: tuple[int, int]
    ) -> None:
        self.folder, self.kind, self.site, self.log = folder, kind, site, log
        self.url = load(folder / "milepost.toml").store.url
        (self.port, self._web) = ports
        self.api = f"http://127.0.0.1:{self.port}/api"
        self._environment = environment
        self.said = folder / "said"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin, and return when all of it is ready."""
        command = {
            "up": ["-m", "milepost", "--config", "milepost.toml", "up", "--port", str(self._web),
                   "--prefect-port", str(self.port)],
            "worker": [str(Path(__file__).with_name("worker_service.py")), str(self.port)],
        }[self.kind]
        with self.said.open("ab") as said, interruptible():
            before = said.tell()
            self.process = subprocess.Popen(
                [sys.executable, *command], cwd=self.folder, stdout=said, stderr=said,
                env={**os.environ, **self._environment}, start_new_session=True,
            )
        until(lambda: b"Ready. Stop with" in self.said.read_bytes()[before:], "it got ready", self.alive)

    def alive(self) -> str | None:
        """None, or why it is of no use to wait."""
        code = None if self.process is None else self.process.poll()
        return None if code is None else f"it ended with {code}:\n{self.said.read_text()[-3000:]}"

    def end(self, seconds: float = 150.0) -> int:
        """SIGTERM → its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(seconds)

    def kill_all(self) -> None:
        """Whatever of it lives."""
        for pid in self.all_of_it():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    # --- its processes ----------------------------------------------------------------------------------------------

    def all_of_it(self) -> list[int]:
        """Every process that has our folder as its own, or is of our port."""
        found = []
        for one in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                pid = int(one.name)
                environment = (one / "environ").read_bytes()
                if f"CHAOS_FOLDER={self.folder}".encode() in environment.split(b"\0") and started(pid):
                    found.append(pid)
        return sorted(found)

    def which(self, victim: Victim) -> list[int]:
        """The processes that are meant by it."""
        if victim == "machine":
            return self.all_of_it()
        words = {"server": (b"prefect\0server\0start",), "runner": (b"flows.serving", b"prefect\0worker\0start"),
                 "flow": (b"prefect.engine", b"prefect.flow_engine", b"flow-run\0execute")}[victim]
        return [pid for pid in self.all_of_it() if any(one in _command(pid) for one in words)]

    def runs_at_work(self) -> set[str]:
        """Prefect's ids of the runs that have a process, as its environment says."""
        found = set()
        for pid in self.which("flow"):
            with suppress(OSError):
                for word in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    if word.startswith(b"PREFECT__FLOW_RUN_ID="):
                        found.add(word.partition(b"=")[2].decode())
        return found

    def kill(self, victim: Victim) -> list[int]:
        """kill -9 → whom. A machine that lost its power is started again."""
        pids = self.which(victim)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if victim == "machine":
            assert self.process is not None
            self.process.wait()
            self.start()
        return pids

    # --- what Prefect says --------------------------------------------------------------------------------------------

    def ask(self, path: str, body: Any | None = None, method: str = "POST") -> Any:
        """Asked again while its own database is busy, as Prefect's client does."""
        end = time.monotonic() + PATIENCE_S
        while True:
            answer = httpx.request(method, f"{self.api}{path}", json=body, timeout=PATIENCE_S)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > end:
                answer.raise_for_status()
                return answer.json() if answer.content else None
            time.sleep(2)

    def runs(self, deployment: str | None = None, **filters: Any) -> list[dict[str, Any]]:
        """Runs of deployments, or of that one, the latest first; [] while nobody answers."""
        which = {"deployment_id": {"is_null_": False}, **filters}
        wanted: dict[str, Any] = {"flow_runs": which, "sort": "START_TIME_DESC", "limit": 100}
        if deployment is not None:
            wanted["deployments"] = {"name": {"any_": [deployment]}}
        with suppress(httpx.HTTPError):
            return cast("list[dict[str, Any]]", self.ask("/flow_runs/filter", wanted))
        return []

    def in_state(self, *types: str, deployment: str | None = None) -> list[dict[str, Any]]:
        return self.runs(deployment, state={"type": {"any_": list(types)}})

    # --- what our database says ---------------------------------------------------------------------------------------

    def looks(self) -> int:
        """The last look that is complete."""
        with connect(self.url) as database:
            return max((one.id for one in Looks(database).list(limit=None) if one.state == "complete"), default=0)

    def held(self) -> list[int]:
        """The looks that wait for an operator."""
        with connect(self.url) as database:
            return [one.id for one in Looks(database).list(waiting=True)]

    def hash_of(self, issue: int) -> str:
        """What an approval names."""
        with connect(self.url) as database:
            return Issues(database).get(issue).content_hash

    def issues(self) -> dict[int, str]:
        """Number → state."""
        with connect(self.url) as database:
            return {one.number: one.state for one in Issues(database).list()}

    def states(self) -> dict[str, int]:
        """Of the deliveries of all issues; the equation holds for each."""
        found: dict[str, int] = {}
        with connect(self.url) as database:
            for number in self.issues():
                counts = Ledger(database).counts(number)
                assert counts.balanced
                for state, count in counts.states.items():
                    found[state] = found.get(state, 0) + count
        return {state: count for state, count in found.items() if count}

    def taken(self) -> list[Line]:
        return [Line(float(at), *words) for at, *words in map(str.split, self.log.read_text().splitlines())
                if words[0] == "took"]


def _command(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def until(
    so: Callable[[], object], what: str, over: Callable[[], str | None] = lambda: None, seconds: float = PATIENCE_S
) -> None:
    """Wait until it is so; `over` says why it never will be."""
    end = time.monotonic() + seconds
    while not so():
        why = over()
        assert why is None, why
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)


@contextmanager
def service(
    folder: Path, url: str, kind: Kind, servers_database: Path | str, *, readers: int = 40, gap_ms: float = 0,
    every: int = EVERY_S, more: str = "", approval: bool = False, silent_hours: float = 26.0,
    lost_minutes: float = 2.0,
) -> Iterator[Service]:
    """A service that is not started yet; whatever of it lives at the end is killed. `url`: a database with tables.

    `servers_database`: what Prefect's server begins with, a file, or the URL of an empty PostgreSQL database.
    """
    (folder / ".milepost" / "prefect").mkdir(parents=True)
    surroundings = dict(QUIET)
    if isinstance(servers_database, Path):
        shutil.copy(servers_database, folder / ".milepost" / "prefect" / "prefect.db")
    else:
        surroundings["PREFECT_API_DATABASE_CONNECTION_URL"] = servers_database
        surroundings["PREFECT_SERVER_DATABASE_MIGRATE_ON_START"] = "true"
    plan, log = folder / "plan.json", folder / "oracle.log"
    plan.write_text(json.dumps({"seed": 1, "gap_ms": gap_ms}))
    log.touch()
    with history.serving() as server, program("oracle.py", str(plan), str(log)) as smtp:
        config = folder / "milepost.toml"
        text = SETTINGS.format(url=url, site=server.url, smtp=smtp, approval=str(approval).lower(),
                               silent_hours=silent_hours, lost_minutes=lost_minutes)
        config.write_text(text + more, encoding="utf-8")
        with connect(url) as database:
            for address in names(readers):
                Subscribers(database).add(address, now=utc_now())
        _hourly(config, every)
        home = folder / ".milepost" / "prefect"
        surroundings |= {"CHAOS_FOLDER": str(folder), "PREFECT_HOME": str(home)}
        one = Service(folder, kind, Site(server), log, environment=surroundings, ports=(free_port(), free_port()))
        try:
            yield one
        finally:
            one.site.gate.set()
            one.kill_all()


def _hourly(config: Path, every: int) -> None:
    """prefect.yaml as an operator edits it: the whole job every EVERY_S, `notify` now and then, no other."""
    file = write_deployments(config, force=False)
    edited = yaml.safe_load(file.read_text(encoding="utf-8"))
    for one in edited["deployments"]:
        seconds = {"hourly": every, "notify": 5 * every}.get(one["name"])
        one["schedules"] = [{"interval": seconds, "timezone": "UTC"}] if seconds else []
    file.write_text(yaml.safe_dump(edited, sort_keys=False), encoding="utf-8")
