"""`milepost up`: what it starts, and where that is kept."""

import json
import os
from pathlib import Path
from unittest import mock

from console.commands.up import LOOPBACK, _parts
from milepost.log_lines import start_logging
from tests.console.terminal import milepost
from tests.pipeline import prepared


def test_with_prefect_s_home_elsewhere_its_own_folder_is_made_all_the_same(tmp_path: Path) -> None:
    """The schedules say there that they have begun."""
    (tmp_path / "site").mkdir()
    with mock.patch.dict(os.environ, PREFECT_HOME=str(tmp_path / "home"), PREFECT_API_URL="http://127.0.0.1:9/api"):
        parts = _parts(tmp_path / "site" / "milepost.toml", host=LOOPBACK, port=8025, prefect_port=4200)
    assert [part.name for part in parts] == ["the schedules", "the readers' pages"]
    begun = Path(parts[0].command[4])
    begun.touch()
    assert parts[0].ready()


def test_with_log_json_all_that_is_said_on_standard_error_is_an_object_a_line(tmp_path: Path) -> None:
    """Also the sentence at the end, progress, and what the parts of `milepost up` say."""
    (tmp_path / "milepost.toml").write_text(prepared.SETTINGS.format(site="http://127.0.0.1:9", smtp=9), "utf-8")
    for command in (["db", "upgrade"], ["scrape"], ["scrape", "nowhere"], ["status"], ["issue", "send", "7"]):
        done = milepost("--log", "json", "--verbose", *command, cwd=tmp_path)
        lines = [json.loads(line) for line in done.stderr.splitlines()]
        assert all({"at", "level", "logger", "says"} <= line.keys() for line in lines)
        assert (done.returncode != 0) == any(line["level"] == "error" for line in lines)
    with mock.patch.dict(os.environ, PREFECT_API_URL="http://127.0.0.1:9/api"):
        start_logging(json_lines=True)
        try:
            parts = _parts(tmp_path / "milepost.toml", host=LOOPBACK, port=8025, prefect_port=4200)
        finally:
            start_logging()
    assert all("--log json" in " ".join(part.command) for part in parts)
