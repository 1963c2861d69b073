"""The schedules of `milepost up`: ours, or as an operator edited prefect.yaml; and how runs in hand are ended."""

import datetime as dt
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from milepost.errors import InputError
from pipeline.setup import write_deployments

pytestmark = pytest.mark.usefixtures("no_run")


def planned(config: Path) -> dict[str, Any]:
    """Name → schedules."""
    from flows import serving

    return {one["name"]: one["schedules"] for one in serving.planned(config)}


def test_without_a_file_of_the_operator_s_the_schedules_are_ours(tmp_path: Path) -> None:
    assert planned(tmp_path / "milepost.toml")["hourly"] == [{"cron": "7 * * * *", "timezone": "UTC", "active": True}]


def test_the_operator_says_when_and_not_what(tmp_path: Path) -> None:
    config = tmp_path / "milepost.toml"
    file = write_deployments(config, force=False)
    assert planned(config) == planned(tmp_path / "elsewhere" / "milepost.toml")
    edited = yaml.safe_load(file.read_text(encoding="utf-8"))
    deployments = {one["name"]: one for one in edited["deployments"]}
    deployments["hourly"] |= {"schedules": [{"interval": 600}], "entrypoint": "evil:run"}
    del deployments["publish"]["schedules"]
    edited["deployments"] = [one for one in deployments.values() if one["name"] != "dispatch"]
    file.write_text(yaml.safe_dump(edited), encoding="utf-8")
    found = planned(config)
    assert (found["hourly"], found["publish"]) == ([{"interval": 600}], [])
    assert found["dispatch"] == planned(tmp_path / "elsewhere" / "milepost.toml")["dispatch"]  # a file of before

    from flows import serving

    assert {one["entrypoint"] for one in serving.planned(config)} & {"evil:run", "flows.run:run"} == {"flows.run:run"}


@pytest.mark.parametrize(
    "text", ["deployments: [", "[]", "deployments: 7", "deployments: [7]", "", "deployments: [{}]"]
)
def test_a_file_that_can_t_be_read_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "prefect.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"prefect\.yaml: its deployments can't be read: .*milepost prefect init"):
        planned(tmp_path / "milepost.toml")


def test_a_schedule_is_one_of_three_kinds() -> None:
    from flows.serving import schedule

    assert schedule({"interval": 90, "timezone": "UTC"}).interval == dt.timedelta(seconds=90)
    assert schedule({"cron": "7 * * * *", "active": False}).active is False
    assert schedule({"rrule": "FREQ=DAILY", "timezone": None}).rrule == "FREQ=DAILY"
    for wrong in ({"cron": "soon"}, {"cron": "7 * * * *", "interval": 90}, {"every": "day"}, {"rrule": "x"}):
        with pytest.raises(InputError, match=r"prefect\.yaml, .*: no schedule: .*Give one of cron"):
            schedule(wrong)


class Clock:
    """Seconds that pass only as somebody sleeps; then, what happens meanwhile."""

    def __init__(self, *meanwhile: set[int]) -> None:
        self.seconds, self.meanwhile = 0.0, list(meanwhile)
        self.living: set[int] = self.meanwhile.pop(0)
        self.asked: list[int] = []

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        if self.meanwhile:
            self.living = self.meanwhile.pop(0)


def test_each_run_in_hand_is_asked_to_end_once_and_waited_for() -> None:
    from flows.serving import drain

    clock = Clock({7, 8}, {7, 8}, {8}, {8, 9}, set(), {10})
    left = drain(lambda: clock.living, seconds=50, ask=clock.asked.append, now=lambda: clock.seconds, sleep=clock.sleep)
    assert (sorted(clock.asked), left) == ([7, 8, 9], set())


def test_a_run_that_does_not_end_is_waited_for_so_long_and_no_longer() -> None:
    from flows.serving import drain

    clock = Clock({7})
    left = drain(lambda: clock.living, seconds=5, ask=clock.asked.append, now=lambda: clock.seconds, sleep=clock.sleep)
    assert (clock.asked, left) == ([7], {7})
    assert 5 <= clock.seconds < 5.2


def test_one_that_is_gone_as_it_is_asked_is_none_to_wait_for() -> None:
    from flows.serving import drain

    clock = Clock({7}, set())

    def ask(pid: int) -> None:
        clock.asked.append(pid)
        raise ProcessLookupError

    drain(lambda: clock.living, seconds=5, ask=ask, now=lambda: clock.seconds, sleep=clock.sleep)
    assert clock.asked == [7]


def test_the_runs_in_hand_are_this_process_s_children_that_live() -> None:
    from flows.serving import children

    before = children()
    with subprocess.Popen([sys.executable, "-S", "-E", "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert children() - before == {child.pid}
        os.kill(child.pid, signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and not waited for: a zombie
        assert children() == before
