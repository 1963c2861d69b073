"""The flow that reads what came back: an inbox that is down stops no other, and none is named by its address."""

from importlib import import_module
from mailbox import Maildir
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("no_run")


def play(config: Path, monkeypatch: pytest.MonkeyPatch, *inboxes: str) -> Any:
    """The state that the flow would end in, its tasks called as the functions that they are."""
    from prefect.client.schemas.objects import State

    from flows import outcomes
    from flows.states import state

    config.write_text(f"{config.read_text(encoding='utf-8')}\n[bounces]\nsources = {list(inboxes)}\n", encoding="utf-8")
    module = import_module("flows.bounces")
    task = module.read.fn

    def called(file: str, number: int, *, return_state: bool) -> Any:
        assert return_state
        came_to = task(file, number)
        return came_to if isinstance(came_to, State) else state(outcomes.end((), "read"), came_to)

    monkeypatch.setattr(module, "read", called)
    return module.bounces.fn(str(config))


def test_every_inbox_is_read_to_its_end(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        Maildir(tmp_path / name)
    Maildir(tmp_path / "one").add("Subject: Lunch?\n\nAt noon.\n")
    ended = play(config, monkeypatch, "maildir:///one", "maildir:///two")
    assert (ended.name, ended.message) == ("Completed", "1 reports read, 0 addresses suppressed for soft bounces")
    assert [one["read"] for one in ended.data["inboxes"]] == [1, 0]


def test_one_that_is_down_is_its_own_trouble(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Maildir(tmp_path / "there").add("Subject: Lunch?\n\nAt noon.\n")
    ended = play(config, monkeypatch, "maildir:///ada@readers.example", "maildir:///there")
    assert (ended.name, ended.type.name) == ("Failed", "FAILED")
    assert "readers.example" not in ended.message
    assert ended.data.result["inboxes"] == [{"read": 1, "results": ended.data.result["inboxes"][0]["results"],
                                             "left_for_you": 0}]
