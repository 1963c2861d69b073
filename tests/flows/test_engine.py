"""Prefect's surroundings: a home that can be made, and a sentence when its server is not there."""

import os
from pathlib import Path

import pytest

from flows.engine import QUIET, prepare
from milepost.errors import DeliveryError, MilepostError, SourceDownError
from pipeline.several import UnfinishedError, down_to_json, sift, unsent_to_json

DOWN = SourceDownError("could not be reached", where="https://gone.example")


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `prepare` sets is taken back."""
    for name in (*QUIET, "PREFECT_HOME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_the_home_is_made_with_the_folders_above_it(tmp_path: Path) -> None:
    prepare(tmp_path / ".milepost" / "prefect")
    assert (tmp_path / ".milepost" / "prefect").is_dir()
    assert os.environ["PREFECT_HOME"] == str(tmp_path / ".milepost" / "prefect")


def test_a_home_that_can_not_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / ".milepost").write_text("a file", encoding="utf-8")
    with pytest.raises(MilepostError, match=r"Prefect's home can't be made: .*Make the folder writable"):
        prepare(tmp_path / ".milepost" / "prefect")


def test_what_was_done_stands_beside_what_was_not() -> None:
    with pytest.raises(UnfinishedError, match="could not be reached") as caught:
        sift([("gone", DOWN), ("there", {"source": "there"})], down_to_json)
    gone, there = caught.value.result
    assert (gone["source"], gone["error"], gone["failures"]) == ("gone", str(DOWN), [str(DOWN)])
    assert there == {"source": "there"}
    assert caught.value.errors == (DOWN,)


def test_an_issue_that_could_not_be_sent_says_why() -> None:
    refused = DeliveryError("nobody answers", where="127.0.0.1:9")
    with pytest.raises(UnfinishedError) as caught:
        sift([(7, refused)], unsent_to_json)
    assert caught.value.result == [{"issue": 7, "states": {}, "paused": None, "held": [], "error": str(refused)}]


def test_a_bug_is_not_taken_for_a_failure() -> None:
    with pytest.raises(ZeroDivisionError):
        sift([("gone", DOWN), ("there", ZeroDivisionError())], down_to_json)


def test_when_all_went_well_the_results_are_all() -> None:
    assert sift([("a", {"n": 1}), ("b", {"n": 2})], down_to_json) == [{"n": 1}, {"n": 2}]
