"""What a run leaves to be read: nothing where there is nothing, and of sending how far it is, told when it changed."""

from importlib import import_module
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.usefixtures("no_run")


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What Prefect is asked to keep, in order."""
    asked: list[dict[str, Any]] = []

    def keep(**artifact: Any) -> str:
        asked.append(artifact)
        return "the first"

    module = import_module("flows.artifacts")
    for name in ("create_table_artifact", "create_markdown_artifact", "create_progress_artifact",
                 "update_progress_artifact"):
        monkeypatch.setattr(module, name, keep)
    return asked


def test_an_empty_table_is_not_kept(kept: list[dict[str, Any]]) -> None:
    from flows.artifacts import keep_table

    keep_table("looks", [], "One row a source")
    assert kept == []
    keep_table("looks", [{"source": "bells"}], "One row a source")
    assert kept == [{"key": "looks", "table": [{"source": "bells"}], "description": "One row a source"}]


def test_how_far_sending_is_is_told_at_its_end_and_not_twice_the_same(kept: list[dict[str, Any]]) -> None:
    from flows.artifacts import Progress

    with Progress("sending-issue-7", "How much") as progress:
        progress(1, 4)
        progress._tell()
        progress._tell()
        progress(3, 4)
    assert kept == [
        {"progress": 25.0, "key": "sending-issue-7", "description": "How much"},
        {"artifact_id": "the first", "progress": 75.0},
    ]


def test_nobody_to_send_to_is_all_of_it(kept: list[dict[str, Any]]) -> None:
    from flows.artifacts import Progress

    with Progress("sending-issue-7", "How much") as progress:
        progress(0, 0)
    assert [one["progress"] for one in kept] == [100.0]


def test_a_server_that_is_gone_stops_no_sending(monkeypatch: pytest.MonkeyPatch, kept: list[dict[str, Any]]) -> None:
    from flows import artifacts

    def gone(**_: Any) -> str:
        raise httpx.ConnectError("nobody answers")

    monkeypatch.setattr(artifacts, "create_progress_artifact", gone)
    with artifacts.Progress("sending-issue-7", "How much") as progress:
        progress(1, 2)
    assert kept == []
