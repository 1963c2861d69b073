"""The demo, played whole without Prefect: what it promises is what it does; and what it goes on as."""

import email
import json
import os
import shlex
import sys
from contextlib import nullcontext
from email import policy
from pathlib import Path
from unittest import mock

import pytest

from console.demo.play import Stage, _keep, who_got_it
from console.demo.site.server import SampleSite
from flows.engine import end_own_server
from milepost.settings import load
from tests.console.terminal import milepost


def test_it_ends_with_a_newcomer_who_gets_the_next_issue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_RENDER__BROWSER", str(tmp_path / "none"))  # tests/pipeline/test_rendering.py has one
    done = milepost("demo", "--direct", "--json", "--folder", str(tmp_path / "demo"))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    mails = [
        email.message_from_bytes(Path(one).read_bytes(), policy=policy.default) for one in told["files"]["mails"]
    ]
    assert told["scripts"]["milestones"] == 0
    assert "it was not rendered: " in told["scripts"]["says"]  # and the demo went on
    theirs = [mail["Subject"] for mail in mails if mail["To"] == told["newcomer"]["address"]]
    assert theirs == ["Please confirm: Clockwork", "Welcome to Clockwork", told["issues"][1]["subject"]]
    assert [ledger["states"]["sent"] for ledger in told["ledgers"]] == [3, 4]
    shown = milepost(
        "--config", told["files"]["settings"], "subscribers", "show", told["newcomer"]["address"], "--json"
    )
    known = json.loads(shown.stdout)
    assert known["consents"][0]["source"] == "page"  # they signed up; nobody added them
    assert [(one["what"], one["state"]) for one in known["story"]] == [
        ("signed up", "confirmed"), ("letter confirm", "sent"), ("confirmed", None), ("letter welcome", "sent"),
        ("issue 2", "sent"),
    ]


def test_the_command_that_it_ends_with_is_one_in_a_folder_with_a_space_too() -> None:
    said = shlex.split(who_got_it(Path("/home/nora/a demo")))
    assert said == ["milepost", "--config", "/home/nora/a demo/milepost.toml", "ledger", "1", "--state", "sent"]


def test_a_folder_of_somebody_s_own_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    done = milepost("demo", "--direct", "--folder", str(tmp_path))
    assert done.returncode == 1
    assert "not a demo's" in done.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["mine.txt"]


def test_kept_open_it_goes_on_as_up_does_once_its_own_prefect_server_has_ended(tmp_path: Path) -> None:
    """Two servers would share one home, the second unknown to whoever ends the demo."""
    config = tmp_path / "milepost.toml"
    config.write_text('[web]\nbase_url = "http://127.0.0.1:49152"\n', encoding="utf-8")
    settings = load(config)
    done: list[tuple[str, object]] = []

    def up(of: Path, *, host: str, port: int, prefect_port: int) -> None:
        done.append(("up", (of, host, port, prefect_port != port)))

    with (
        SampleSite() as site,
        mock.patch("console.demo.play.leave", return_value=(settings, "https://desk.example/desk/link/x")),
        mock.patch("console.demo.play.sent_once_approved", return_value=nullcontext()),
        mock.patch("flows.engine.end_own_server", side_effect=lambda: done.append(("ended", None))),
        mock.patch("console.commands.up.serve_all", side_effect=up),
    ):
        _keep(Stage(settings=settings, config=config, direct=False), site, 2525, lambda _: None)
    assert done == [("ended", None), ("up", (config, "127.0.0.1", 49152, True))]


def test_a_server_that_runs_started_for_themselves_is_ended_and_an_operator_s_is_not() -> None:
    told, server = mock.Mock(), mock.Mock()
    modules = {"prefect.events.worker": told, "prefect.logging.handlers": told, "prefect.server.api.server": server}
    with (
        mock.patch.dict(sys.modules, modules),  # Prefect's own take seconds to import
        mock.patch.dict(os.environ, PREFECT_API_URL="http://127.0.0.1:9/api"),
    ):
        end_own_server()
        assert not server.mock_calls
        del os.environ["PREFECT_API_URL"]
        end_own_server()
    assert [told.EventsWorker.drain_all.call_count, told.APILogWorker.drain_all.call_count] == [1, 1]
    server.SubprocessASGIServer.return_value.stop.assert_called_once_with()
