"""Looks by the processes of a Dask cluster, with a real Prefect server and worker on PostgreSQL."""

from pathlib import Path

import pytest

from store.database import connect
from store.milestones.looks import Looks
from tests.chaos.backends import Postgresql
from tests.chaos.service import Service, service, until

pytest.importorskip("prefect_dask", reason="the extra `dask` is not installed")
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3_600)]

MORE = """
[prefect]
fan_out = "dask"
begin_minutes = 0.5
"""


def _two_sources(here: Service, more: str = "") -> None:
    """The site is also a second one, by another name of this machine."""
    config = here.folder / "milepost.toml"
    text = config.read_text(encoding="utf-8")
    block = text[text.index("[[sources]]"):text.index("[fetch]")]
    second = block.replace('"canals"', '"locks"').replace("127.0.0.1:", "localhost:").replace(
        'allow_hosts = ["127.0.0.1"]', 'allow_hosts = ["localhost"]').replace("canals.example", "locks.example")
    config.write_text(text.replace(block, block + second) + more, encoding="utf-8")


def _run(here: Service) -> dict[str, str]:
    """The state in which a run of `scrape` for all sources ended."""
    found = here.ask("/deployments/name/scrape/scrape", method="GET")
    run = here.ask(f"/deployments/{found['id']}/create_flow_run", {"parameters": found["parameters"]})["id"]

    def state() -> dict[str, str]:
        told: dict[str, str] = here.ask(f"/flow_runs/{run}", method="GET")["state"]
        return told

    until(lambda: state()["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"), "it ended", here.alive)
    return state()


def test_each_source_is_looked_at_by_a_process_of_a_cluster_that_ends_with_the_run(
    own_postgresql: Postgresql, folder: Path
) -> None:
    database = own_postgresql.fresh(folder)
    with service(folder / "it", database, "worker", own_postgresql.empty(), readers=2, more=MORE, every=3_600) as here:
        _two_sources(here)
        here.start()
        ended = _run(here)
        assert (ended["type"], ended["message"].split(":")[0]) == ("COMPLETED", "2 sources"), ended["message"]
        with connect(database) as opened:
            assert sorted((one.source, one.state) for one in Looks(opened).list()) == [
                ("canals", "complete"), ("locks", "complete")]
        for source in ("canals", "locks"):
            [task] = here.ask("/task_runs/filter", {"task_runs": {"tags": {"all_": [f"source:{source}"]}}})
            assert task["state"]["type"] == "COMPLETED"


def test_a_scheduler_without_a_worker_or_none_at_all_is_said(own_postgresql: Postgresql, folder: Path) -> None:
    database = own_postgresql.fresh(folder)
    from distributed import LocalCluster

    with (
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None) as idle,
        service(folder / "it", database, "worker", own_postgresql.empty(), readers=2, more=MORE, every=3_600) as here,
    ):
        _two_sources(here, f'dask_address = "{idle.scheduler_address}"\n')
        here.start()
        ended = _run(here)
        assert (ended["type"], ended["name"]) == ("FAILED", "Failed"), ended["message"]
        assert ended["message"].count("no worker has taken its run for 0.5 minutes") == 2
        config = here.folder / "milepost.toml"
        config.write_text(config.read_text(encoding="utf-8").replace(idle.scheduler_address, "tcp://127.0.0.1:9"))
        ended = _run(here)
        assert (ended["type"], "no scheduler of Dask answers" in ended["message"]) == ("FAILED", True), ended["message"]
        with connect(database) as opened:
            assert Looks(opened).list() == []
