"""A real server, what runs its schedules, and nobody at a terminal: all is decided in Prefect's own forms."""

import os
import signal
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.backends import Backend, Postgresql, Sqlite
from tests.chaos.service import EVERY_S, PATIENCE_S, Kind, Service, service, until
from tests.chaos.test_prefect_kills import done, verdict

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3_600)]

READERS = 12
OUTAGE_S = 150.0  # of Prefect's server: more than the two minutes of `lost_minutes` in tests.chaos.service
WITHIN_S = 130.0  # from SIGTERM to the end: the schedules 75, the pages 30, the server 20
SURGE = "\n[guards]\nsurge_min = 3\n"
SILENT_H = 0.02  # so that a source nobody looks at is missed within 72 s


def decided(here: Service, deployment: str, **parameters: Any) -> tuple[str, str]:
    """A form of Prefect's is filled in → the name and message of the state in which its run ends."""
    found = here.ask(f"/deployments/name/{deployment}/{deployment}", method="GET")
    run = here.ask(f"/deployments/{found['id']}/create_flow_run", {
        "parameters": parameters, "idempotency_key": uuid.uuid4().hex,  # it may be asked twice
    })

    def state() -> dict[str, Any]:
        asked: dict[str, Any] = here.ask(f"/flow_runs/{run['id']}", method="GET")["state"]
        return asked

    until(lambda: state()["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"), f"{deployment} ended", here.alive)
    return state()["name"], state()["message"]


def ended(here: Service, name: str) -> dict[str, Any] | None:
    """The latest run of the schedule that ended in the state of that name."""
    return next((run for run in here.runs(state={"name": {"any_": [name]}})), None)


def of(here: Service, flow: str) -> list[dict[str, Any]]:
    """Every run of a deployment of that flow, whatever its state."""
    wanted = {"flows": {"name": {"any_": [flow]}}, "flow_runs": {"deployment_id": {"is_null_": False}}}
    found: list[dict[str, Any]] = here.ask("/flow_runs/filter", wanted)
    return found


def fired(here: Service) -> list[str]:
    """The automations that were triggered so far, one entry for each event that did it.

    A busy server was seen to trigger twice, two seconds apart, for one and the same event: harmless, since `notify`
    tells each thing once.
    """
    wanted = {"filter": {"event": {"name": ["prefect.automation.triggered"]}}, "limit": 50}
    found = {
        (one["resource"]["prefect.resource.name"], (one["payload"].get("triggering_event") or one)["id"])
        for one in here.ask("/events/filter", wanted)["events"]
    }
    return [name.removeprefix("Milepost: ") for name, _ in found]


def automations(here: Service) -> list[str]:
    return sorted(one["name"] for one in here.ask("/automations/filter", {}))


@pytest.mark.parametrize("kind", ["up", "worker"])
def test_from_a_schedule_to_the_ledger_by_forms_alone(
    backend: Backend, kind: Kind, folder: Path, servers_database: Path
) -> None:
    servers = backend.empty() if isinstance(backend, Postgresql) else servers_database
    with service(
        folder / "it", backend.fresh(folder), kind, servers, readers=READERS, more=SURGE, approval=True,
        silent_hours=SILENT_H, lost_minutes=15.0,
    ) as here:
        here.start()
        until(lambda: here.looks() >= 1, "the schedule fires by itself", here.alive)
        here.site.tell(5)
        until(lambda: ended(here, "Held"), "a look is held", here.alive)
        assert here.issues() == {}

        # a run that a deployment began and that is not green wakes the notify flow, once
        name, says = decided(here, "scrape")
        assert (name, "more than a person can have written" in says or "new" in says) == ("Held", True)
        until(lambda: "runs that are not green" in fired(here), "the server notices", here.alive)
        until(lambda: of(here, "notify"), "operators are told", here.alive)
        assert fired(here).count("runs that are not green") == 1
        until(lambda: heard(here, "milepost.look.held"), "the event is there", here.alive)

        refused = httpx.post(f"{here.api}/deployments/{form(here, 'release-hold')}/create_flow_run",
                             json={"parameters": {"look": 0, "why": "so it is"}}, timeout=PATIENCE_S)
        assert refused.status_code == 409
        [held] = here.held()
        assert decided(here, "release-hold", look=held, why="so it is")[0] == "Completed"
        until(lambda: ended(here, "Waits for approval"), "a draft waits", here.alive)
        content_hash = here.hash_of(1)
        assert content_hash in artifact(here, "issue-1")
        assert decided(here, "approve", issue=1, content_hash="0" * 64)[0] == "Failed"
        assert here.issues() == {1: "draft"}
        assert decided(here, "approve", issue=1, content_hash=content_hash)[0] == "Completed"
        until(lambda: done(here, {}), "it is sent", here.alive)
        until(lambda: artifact(here, "ledger-issue-1"), "the ledger is shown", here.alive)
        assert f'"count": {READERS}' in artifact(here, "ledger-issue-1")
        assert "readers.example" not in artifact(here, "ledger-issue-1")
        result = verdict(here)
        assert (result.lost, result.duplicates, result.states) == (0, 0, {"sent": READERS})
        until(lambda: heard(here, "milepost.issue.sent"), "the event is there", here.alive)

        # nobody looks any more
        hourly = here.ask("/deployments/name/run/hourly", method="GET")
        here.ask(f"/deployments/{hourly['id']}/pause_deployment")
        until(lambda: "sources nobody looks at" in fired(here), "a source that nobody looks at is missed", here.alive)

        once = automations(here)
        assert len(once) == len(set(once)) == 5
        assert here.end() == 0
        here.start()  # sets them up again
        assert automations(here) == once


def form(here: Service, deployment: str) -> str:
    found: str = here.ask(f"/deployments/name/{deployment}/{deployment}", method="GET")["id"]
    return found


def artifact(here: Service, key: str) -> str:
    """The latest of that key; "" without one."""
    found = here.ask("/artifacts/latest/filter", {"artifacts": {"key": {"any_": [key]}}})
    return str(found[0]["data"]) if found else ""


def heard(here: Service, event: str) -> bool:
    """Whether the server has it by now."""
    return bool(here.ask("/events/filter", {"filter": {"event": {"name": [event]}}, "limit": 1})["events"])


def test_a_sigterm_lets_a_dispatch_in_hand_come_to_its_replies(
    sqlite: Sqlite, folder: Path, servers_database: Path
) -> None:
    with service(folder / "it", sqlite.fresh(folder), "up", servers_database, readers=60, gap_ms=900) as here:
        here.start()
        until(lambda: here.looks() >= 1, "the baseline", here.alive)
        here.site.tell()
        until(lambda: len(here.taken()) > 3, "a run is dispatching", here.alive)
        begun = time.monotonic()
        assert here.end() == 0
        assert time.monotonic() - begun < WITHIN_S
        assert not here.all_of_it()
        left = here.states()
        assert left.keys() <= {"sent", "pending"}, left  # nobody was left without the relay's reply
        assert left["sent"] == len(here.taken())
        here.start()
        until(lambda: done(here, {}), "the next start goes on with it", here.alive)
        result = verdict(here)
        assert (result.lost, result.duplicates, result.states) == (0, 0, {"sent": 60})


@pytest.mark.parametrize("how", [[signal.SIGTERM], [signal.SIGINT], [signal.SIGTERM, signal.SIGTERM, signal.SIGINT]])
def test_a_look_in_hand_keeps_nobody_from_ending(
    sqlite: Sqlite, folder: Path, servers_database: Path, how: list[signal.Signals]
) -> None:
    with service(folder / "it", sqlite.fresh(folder), "up", servers_database, readers=2) as here:
        here.start()
        until(lambda: here.looks() >= 1, "the baseline", here.alive)
        here.site.shut()
        here.site.tell()
        until(here.site.knocked.is_set, "a look is under way", here.alive)
        begun = time.monotonic()
        assert here.process is not None
        for one in how:
            os.kill(here.process.pid, one)
        assert here.process.wait(WITHIN_S) == 0
        assert time.monotonic() - begun < WITHIN_S
        assert not here.all_of_it()
        here.site.gate.set()
        here.start()
        until(lambda: done(here, {}), "the next start looks again, and sends", here.alive)


def test_a_run_that_outlives_an_outage_of_the_server_is_not_called_lost(
    sqlite: Sqlite, folder: Path, servers_database: Path
) -> None:
    """Longer than three heartbeats and than `lost_minutes`: all that the run says meanwhile goes nowhere."""
    with service(folder / "it", sqlite.fresh(folder), "up", servers_database, readers=60, gap_ms=7_000) as here:
        here.start()
        until(lambda: here.looks() >= 1, "the baseline", here.alive)
        here.site.tell()
        until(lambda: len(here.taken()) > 1, "a dispatch is under way, for some minutes", here.alive)
        running = here.in_state("RUNNING", deployment="hourly")
        assert running
        assert here.process is not None
        os.kill(here.process.pid, signal.SIGSTOP)  # nobody starts the server again, for now
        here.kill("server")
        time.sleep(OUTAGE_S)
        os.kill(here.process.pid, signal.SIGCONT)
        told = len(ended_runs(here, "notify"))
        until(lambda: len(ended_runs(here, "notify")) > told, "`notify` has asked who died", here.alive)
        until(lambda: done(here, {}), "it goes on to its end", here.alive)
        for run in running:
            states = here.ask(f"/flow_run_states/?flow_run_id={run['id']}", method="GET")
            assert "Lost" not in [state["name"] for state in states]
        result = verdict(here)
        assert (result.lost, result.duplicates, result.states) == (0, 0, {"sent": 60})


def ended_runs(here: Service, deployment: str) -> list[dict[str, Any]]:
    return here.runs(deployment, state={"type": {"any_": ["COMPLETED", "FAILED"]}})


def test_after_a_time_in_which_nothing_ran_one_run_makes_up_for_all(
    sqlite: Sqlite, folder: Path, servers_database: Path
) -> None:
    with service(folder / "it", sqlite.fresh(folder), "up", servers_database, readers=2, every=EVERY_S) as here:
        here.start()
        until(lambda: here.looks() >= 1, "the baseline", here.alive)
        here.kill_all()
        here.site.tell()
        time.sleep(4 * EVERY_S)
        here.start()
        until(lambda: done(here, {}), "what happened meanwhile is sent", here.alive)
        until(lambda: skipped(here), "the others are skipped", here.alive)
        missed = skipped(here)
        assert len(missed) >= 2
        assert all("could not; the run of" in run["state"]["message"] for run in missed)
        result = verdict(here)
        assert (result.lost, result.duplicates, result.states) == (0, 0, {"sent": 2})


def skipped(here: Service) -> list[dict[str, Any]]:
    return here.runs("hourly", state={"name": {"any_": ["Skipped"]}})
