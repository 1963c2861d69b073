"""Every flow on a real Prefect: the same functions, with a flow run that has a name and a state."""

import contextlib
import datetime as dt
import logging
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import sqlalchemy as sa

from flows.engine import prepare
from milepost.dates import utc_now
from milepost.settings import Settings
from pipeline.several import UnfinishedError
from store import holders
from store.database import Database
from store.milestones.looks import Looks
from store.operators import waiting_runs
from store.run_leases import RunLeases
from store.schema.tables import run_lease
from tests.chaos import runner
from tests.console import terminal
from tests.pipeline import prepared
from tests.pipeline.stage import READERS, BreakableSite

pytestmark = pytest.mark.prefect

Play = Callable[..., Any]


@pytest.fixture(scope="session")
def servers_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The server's, in a folder of its own: making one takes Prefect longer than all flows, so pytest keeps it.

    A Prefect of another version makes its own.
    """
    import prefect

    file = tmp_path_factory.mktemp("server") / "prefect-test.db"
    cache: pytest.Cache | None = request.config.cache
    kept = None if cache is None else cache.mkdir(f"prefect-{prefect.__version__}") / file.name
    if kept is not None and kept.exists():
        _copy(kept, file)
    yield file
    if kept is not None and not kept.exists() and file.exists():
        made = kept.with_suffix(f".{os.getpid()}")
        _copy(file, made)
        made.replace(kept)


def _copy(source: Path, target: Path) -> None:
    with contextlib.closing(sqlite3.connect(source)) as read, contextlib.closing(sqlite3.connect(target)) as written:
        read.backup(written)


@pytest.fixture(scope="session")
def play(tmp_path_factory: pytest.TempPathFactory, servers_database: Path) -> Iterator[Play]:
    """Runs a flow by name on a server that the whole session shares."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        patch.setenv("PREFECT_LOGGING_LEVEL", "ERROR")
        prepare(tmp_path_factory.mktemp("unused"))
        from prefect.testing.utilities import prefect_test_harness

        from flows.engine import run_named

        patch.setattr("prefect.testing.utilities.mkdtemp", lambda: str(servers_database.parent))
        with prefect_test_harness(server_startup_timeout=120):
            yield run_named


@pytest.mark.usefixtures("play")
def test_the_server_plans_the_runs_of_a_schedule() -> None:
    """With an SQLAlchemy that the server can't plan with, all looks well and nothing ever runs."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import CronSchedule

    with get_client(sync_client=True) as client:
        made = client.create_deployment(
            flow_id=client.create_flow_from_name("planned"), name="hourly", entrypoint="flows.run:run",
            schedules=[DeploymentScheduleCreate(schedule=CronSchedule(cron="7 * * * *", timezone="UTC"), active=True)],
        )
        answer = client.request("POST", "/deployments/{id}/schedule", path_params={"id": made})
        assert answer.status_code == 200
        assert [run for run in client.read_flow_runs() if run.deployment_id == made]


def test_the_main_job_runs_through_flows(play: Play, config: Path, site: BreakableSite, mails: Path) -> None:
    [first], state, name = play("scrape", "baseline", config=str(config))
    assert (state, name) == ("Completed", "scrape/baseline")
    assert first["baseline"]
    site.publish()
    [second], _, _ = play("scrape", "second", config=str(config), sources=["clockwork"])
    assert second["changes"]["added"] == 2
    [issue], _, _ = play("publish", "publish", config=str(config))
    assert (issue["issue"], issue["items"], issue["state"]) == (1, 2, "frozen")
    [ledger], _, _ = play("dispatch", "dispatch", config=str(config))
    assert ledger["states"]["sent"] == 3
    assert len(list(mails.glob("*.eml"))) == 3


def test_run_does_all_of_it_and_a_second_run_sends_nothing_twice(
    play: Play, config: Path, site: BreakableSite, mails: Path
) -> None:
    play("run", "first", config=str(config))
    site.publish()
    result, state, _ = play("run", "second", config=str(config))
    assert state == "Completed"
    assert [ledger["states"]["sent"] for ledger in result["ledgers"]] == [3]
    again, _, _ = play("run", "third", config=str(config))
    assert again["issues"] == []
    assert again["ledgers"] == []
    assert len(list(mails.glob("*.eml"))) == 3

    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:  # what is left to be read: counts, and nobody's address
        artifacts = client.read_artifacts()
        kept = {one.key: str(one.data) for one in artifacts}
        assert {"looks", "found", "issue-1", "ledger-issue-1", "sending-issue-1"} <= kept.keys()
        assert [one for one in kept.values() if "readers.example" in one] == []
        assert "candidates" in kept["ledger-issue-1"]
        assert [run.name for run in client.read_flow_runs() if run.state and "readers.example" in str(run.state)] == []


def test_a_held_look_and_a_draft_that_waits_keep_each_run_from_being_green(
    play: Play, config: Path, settings: Settings, database: Database
) -> None:
    prepared.copy("news", settings)
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("[newsletter]", "[newsletter]\napproval = true"), encoding="utf-8")
    Looks(database).hold(2, "more is new than a person can have written")
    [look], state, _ = play("scrape", "another look", config=str(config))
    assert (state, look["held"], look["changes"]["added"]) == ("Held", None, 0)
    Looks(database).release(2, why="so it is", now=utc_now())
    [issue], state, _ = play("publish", "draft", config=str(config))
    assert (state, issue["state"]) == ("Waits for approval", "draft")
    result, state, _ = play("run", "reminder", config=str(config))
    assert (state, result["ledgers"]) == ("Waits for approval", [])


def test_a_run_killed_in_mid_dispatch_leaves_the_next_one_to_go_on_and_no_mail_goes_twice(
    play: Play, config: Path, settings: Settings, tmp_path: Path
) -> None:
    """A process of its own and kill -9, as the runner's have it; all of Prefect's are killed in tests/chaos."""
    from prefect.settings import PREFECT_API_URL

    prepared.copy("issue", settings)
    plan, log = tmp_path / "plan.json", tmp_path / "oracle.log"
    plan.write_text('{"seed": 3, "faults": [["dot", "never", 1.0, 1]]}', encoding="utf-8")  # it takes, and says nothing
    log.touch()
    with runner.program("oracle.py", str(plan), str(log)) as port:
        text = config.read_text(encoding="utf-8").replace("[mail]", "[mail]\nconnections = 1")
        config.write_text(re.sub(r"smtp://127.0.0.1:\d+", f"smtp://127.0.0.1:{port}", text), encoding="utf-8")
        code = f"from flows.engine import run; run('dispatch', config={str(config)!r})"
        with subprocess.Popen(
            [sys.executable, "-c", code], env={**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())},
        ) as first:
            while "silent" not in log.read_text(encoding="utf-8"):
                assert first.poll() is None
            first.kill()
        # Their leases are in force for two minutes more; the process that has them is proven dead.
        Path(f"{plan}.mended").touch()
        [ledger], state, _ = play("dispatch", "the next", config=str(config))
    assert (state, ledger["states"]["sent"], ledger["states"]["unknown"]) == ("Unknown hand-overs", 2, 1)
    took = [line.split()[2] for line in log.read_text(encoding="utf-8").splitlines() if " took " in line]
    assert sorted(took) == sorted(READERS)


@pytest.mark.usefixtures("play")
def test_a_run_whose_process_died_is_ended_and_one_that_may_live_is_not(database: Database) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import State, StateType
    from prefect.states import Scheduled

    from flows.dispatch import dispatch
    from flows.lost_runs import end_lost_runs

    leases, within = RunLeases(database), dt.timedelta(minutes=15)
    with get_client(sync_client=True) as client:
        runs = {
            name: client.create_flow_run(dispatch, name=name, parameters={}, state=State(type=kind)).id
            for name, kind in (("pending", StateType.PENDING), ("running", StateType.RUNNING),
                               ("at work", StateType.RUNNING), ("dead", StateType.RUNNING))
        }
        leases.take(str(runs["at work"]), holders.me())
        leases.take(str(runs["dead"]), replace(holders.me(), started="1"))  # another had that process id
        assert runs.keys() & set(end_lost_runs(database, utc_now(), within=within).lost) == {"dead"}
        later = utc_now() + dt.timedelta(minutes=16)  # of which the server was away
        late = end_lost_runs(database, later, within=within)
        noted = waiting_runs.noted(database, later)
        assert noted is not None
        assert noted.count == len(late.waiting)
        assert later - noted.since == max(waited for _, waited in late.waiting)
        assert runs.keys() & set(late.lost) == {"running"}
        assert [name for name, _ in late.waiting if name in runs] == ["pending"]  # as all the others: none has begun
        made = client.create_deployment(
            flow_id=client.create_flow(dispatch), name="overtaking", entrypoint="flows.dispatch:dispatch"
        )
        overtaking = client.create_flow_run_from_deployment(made, state=Scheduled(scheduled_time=later)).id
        client.set_flow_run_state(overtaking, State(type=StateType.RUNNING), force=True)
        assert runs.keys() & set(end_lost_runs(database, later, within=within).lost) == {"pending"}
        client.delete_flow_run(overtaking)
        states = {name: client.read_flow_run(run).state for name, run in runs.items()}
        client.set_flow_run_state(runs["at work"], State(type=StateType.COMPLETED))
    assert {name for name, state in states.items() if state and (state.name, state.type.value) == ("Lost", "CRASHED")} \
        == {"pending", "running", "dead"}


@pytest.mark.usefixtures("play")
def test_runs_of_a_schedule_that_nobody_takes_are_told_of_and_not_after_an_outage(database: Database) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import State, StateType
    from prefect.states import Scheduled

    from flows.dispatch import dispatch
    from flows.lost_runs import end_lost_runs

    began, within, minute = utc_now(), dt.timedelta(minutes=15), dt.timedelta(minutes=1)
    with get_client(sync_client=True) as client:
        flow = client.create_flow(dispatch)
        made = client.create_deployment(flow_id=flow, name="in another pool", entrypoint="flows.dispatch:dispatch")

        def planned(at: dt.datetime) -> Any:
            return client.create_flow_run_from_deployment(made, state=Scheduled(scheduled_time=at))

        def waiting(minutes: float) -> set[str]:
            return {name for name, _ in end_lost_runs(database, began + minutes * minute, within=within).waiting}

        with mock.patch("flows.missed_runs.by_itself", lambda run: str(run.deployment_id) == str(made)):
            late = planned(began - 60 * minute)
            assert late.name not in waiting(0)
            assert late.name not in waiting(600), "after an outage it has its time to begin"
            assert late.name in waiting(616)
            noted = waiting_runs.noted(database, began + 616 * minute)
            assert noted is not None
            assert late.name in noted.names
            another = planned(utc_now())
            client.set_flow_run_state(another.id, State(type=StateType.RUNNING), force=True)
            assert late.name not in waiting(617), "one of its deployment has begun since"
            client.set_flow_run_state(late.id, State(type=StateType.CANCELLED), force=True)
            assert waiting_runs.late(database)[1].keys() == {str(made)}
            waiting(618)
            assert str(made) not in waiting_runs.late(database)[1]
        client.delete_deployment(made)


def test_a_flow_at_work_has_a_lease_and_one_that_ended_has_none(play: Play, config: Path, database: Database) -> None:
    seen = []
    take = RunLeases.take

    def noted(self: RunLeases, run: str, holder: holders.Holder) -> None:
        take(self, run, holder)
        seen.append(self.lives([run], holders.me()).get(run))

    with mock.patch.object(RunLeases, "take", noted):
        play("letters", "letters", config=str(config))
    assert seen == ["alive"]
    with database.connect() as connection:
        assert connection.execute(sa.select(run_lease.c.run)).all() == []


def test_backfill_is_a_dry_run_unless_told_otherwise(play: Play, config: Path) -> None:
    play("scrape", "baseline", config=str(config))
    [reread], state, _ = play("backfill", "reread", config=str(config))
    assert state == "Completed"
    assert (reread["dry_run"], reread["written"], reread["changes"], reread["failures"]) == (True, 0, [], [])
    assert reread["read"] > 0


def test_a_flow_that_fails_says_why(play: Play, config: Path, site: BreakableSite) -> None:
    site.stop()
    with pytest.raises(UnfinishedError, match="could not be reached") as caught:
        play("scrape", "down", config=str(config))
    assert [look["source"] for look in caught.value.result] == ["clockwork"]


class Dripping(BreakableSite):
    """One that gives its first answer when others have been looked at to their end."""

    def __init__(self, others_are_done: Callable[[], bool]) -> None:
        super().__init__()
        self.others_are_done, self.gave_up = others_are_done, False

    def file(self, path: str) -> bytes | None:
        until = time.monotonic() + 60
        while not self.others_are_done():
            if time.monotonic() > until:
                self.gave_up = True
                break
            time.sleep(0.05)
        return super().file(path)


def test_a_source_that_drips_is_its_own_trouble(
    play: Play, config: Path, database: Database, site: BreakableSite
) -> None:
    def done() -> bool:
        return {one.source for one in Looks(database).list() if one.state == "complete"} >= {"clockwork", "third"}

    with Dripping(done) as dripping:
        text = config.read_text(encoding="utf-8").replace("[fetch]", "[fetch]\nsources_at_once = 2", 1)
        block = text[text.index("[[sources]]"):text.index("[fetch]")]
        dripper = block.replace("clockwork", "dripper", 1).replace(site.url, dripping.url)
        third = block.replace("clockwork", "third", 1)
        config.write_text(text.replace(block, f"{dripper}{block}{third}"), encoding="utf-8")
        looks, state, _ = play("scrape", "beside a dripper", config=str(config))
    assert (state, [one["source"] for one in looks]) == ("Completed", ["dripper", "clockwork", "third"])
    assert not dripping.gave_up


def test_a_run_whose_source_is_down_still_sends_what_waits(
    play: Play, config: Path, site: BreakableSite, mails: Path
) -> None:
    play("scrape", "baseline", config=str(config))
    site.publish()
    play("scrape", "second", config=str(config))
    site.stop()
    with pytest.raises(UnfinishedError, match="could not be reached") as caught:
        play("run", "down", config=str(config))
    result = caught.value.result
    assert [look["error"] for look in result["looks"]] == [str(error) for error in caught.value.errors]
    assert [ledger["states"]["sent"] for ledger in result["ledgers"]] == [3]
    assert len(list(mails.glob("*.eml"))) == 3


@pytest.mark.usefixtures("config")
def test_a_server_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    nowhere = "http://127.0.0.1:9/api"
    with (
        mock.patch.dict(os.environ, PREFECT_API_URL=nowhere),
        temporary_settings({PREFECT_API_URL: nowhere, PREFECT_CLIENT_MAX_RETRIES: 0}),
    ):
        done = terminal.milepost("run", cwd=tmp_path)
    assert done.returncode == 1
    assert f"{nowhere}: Prefect's server can't be reached. Start it" in done.stderr
    assert "Traceback" not in done.stderr


# --- the log lines of a run: its own, each once, and never a reader's address -----------------------------------------


def passed_on(text: str, *args: object) -> str | None:
    """What the handler makes of a line, None when it keeps it from Prefect."""
    from flows.logs import ToPrefect

    line = logging.LogRecord("milepost.dispatch", logging.INFO, "", 0, text, args, None)
    return line.getMessage() if ToPrefect().filter(line) else None


def test_a_line_that_no_run_said_stays_here() -> None:
    assert passed_on("anything") is None


def test_addresses_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows import logs

    monkeypatch.setattr(logs, "_within_a_run", lambda: True)
    assert passed_on("suppressed %s: too many", "ada@readers.example") == "suppressed (address): too many"


def test_of_two_that_are_at_work_at_once_each_line_is_said_once() -> None:
    from flows import logs

    logger = logging.getLogger("milepost")
    before = list(logger.handlers)
    with logs.to_prefect():
        with logs.to_prefect():
            [added] = [one for one in logger.handlers if one not in before]
        assert added in logger.handlers
    assert logger.handlers == before


def test_an_end_of_ours_leaves_no_traceback_and_a_bug_does() -> None:
    from flows.states import NotGreenError

    def kept(error: Exception) -> bool:
        line = logging.LogRecord("prefect.flow_runs", logging.ERROR, "", 0, "exited", (), (type(error), error, None))
        return bool(logging.getLogger("prefect.flow_runs").filter(line))

    ends = NotGreenError("held", []), UnfinishedError([], []), ZeroDivisionError()
    assert [kept(error) for error in ends] == [False, False, True]
