"""One run a source with a real Prefect server and worker on PostgreSQL, and what is said when no worker takes it."""

from pathlib import Path

import pytest

from store.database import connect
from store.milestones.looks import Looks
from tests.chaos.backends import Postgresql
from tests.chaos.service import service, until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3_600)]

MORE = """
[prefect]
fan_out = "deployment"
begin_minutes = 1.5
"""


def test_each_source_has_a_run_of_its_own_and_one_that_no_worker_takes_is_said(
    own_postgresql: Postgresql, folder: Path
) -> None:
    database = own_postgresql.fresh(folder)
    with service(folder / "it", database, "worker", own_postgresql.empty(), readers=2, more=MORE, every=3_600) as here:
        config = here.folder / "milepost.toml"
        text = config.read_text(encoding="utf-8")
        block = text[text.index("[[sources]]"):text.index("[fetch]")]
        second = block.replace('"canals"', '"locks"').replace("127.0.0.1:", "localhost:").replace(
            'allow_hosts = ["127.0.0.1"]', 'allow_hosts = ["localhost"]').replace("canals.example", "locks.example")
        config.write_text(text.replace(block, block + second), encoding="utf-8")
        here.start()
        found = here.ask("/deployments/name/scrape/scrape", method="GET")

        def asked() -> str:
            """A run of `scrape` for all sources → its id."""
            path = f"/deployments/{found['id']}/create_flow_run"
            return str(here.ask(path, {"parameters": found["parameters"]})["id"])

        def end(run: str) -> dict[str, str]:
            def state() -> dict[str, str]:
                told: dict[str, str] = here.ask(f"/flow_runs/{run}", method="GET")["state"]
                return told

            until(lambda: state()["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"), "it ended", here.alive)
            return state()

        first = end(asked())
        assert (first["type"], first["message"].split(":")[0]) == ("COMPLETED", "2 sources"), first["message"]
        with connect(database) as opened:
            assert sorted((one.source, one.state) for one in Looks(opened).list()) == [
                ("canals", "complete"), ("locks", "complete")]
        children = [tag for run in here.runs("scrape") for tag in run["tags"] if tag.startswith("source:")]
        assert sorted(children) == ["source:canals", "source:locks"]

        # A worker with a single place, which the run that asks has: its own runs never begin.
        here.ask("/work_pools/milepost", {"concurrency_limit": 1}, method="PATCH")
        last = end(asked())
        assert (last["type"], last["name"]) == ("FAILED", "Failed"), last["message"]
        assert last["message"].count("no worker has taken its run for 1.5 minutes") == 2
        off = [run["state"]["name"] for run in here.runs("scrape") if any("source:" in tag for tag in run["tags"])]
        assert sorted(off) == ["Completed", "Completed", "Skipped", "Skipped"]
