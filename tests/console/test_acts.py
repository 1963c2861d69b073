"""What is decided by a command stands in the log of acts, in the name of who typed it; what was refused as well."""

import json
from pathlib import Path

import pytest

from milepost.settings import Settings, load
from pipeline.upkeep import open_database
from store.milestones.looks import Looks
from tests.console.terminal import milepost
from tests.pipeline import prepared

ADDRESS = "cogwheel@readers.example"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (tmp_path / "milepost.toml").write_text(
        prepared.SETTINGS.format(site="http://127.0.0.1:9", smtp=9), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found = load(tmp_path / "milepost.toml")
    prepared.copy("news", found)
    return found


def kept() -> list[tuple[str, str, str]]:
    """what, about, outcome: the oldest first."""
    found = json.loads(milepost("operators", "log", "--json").stdout)
    assert {(one["door"], one["role"]) for one in found} <= {("console", None)}
    assert all(one["who"] for one in found)
    return [(one["what"], one["about"], one["outcome"]) for one in reversed(found)]


@pytest.mark.usefixtures("settings")
def test_what_is_done_to_an_issue() -> None:
    assert milepost("issue", "draft").returncode == 0
    for command in (
        "edit 1 --subject Clocks", "approve 1 --hash 0a0a", "approve 1", "throttle 1 5", "stop 1", "discard 1",
    ):
        milepost("issue", *command.split())
    assert kept() == [
        ("issue.edit", "issue 1", "done"), ("issue.approve", "issue 1", "refused"),
        ("issue.approve", "issue 1", "done"), ("issue.throttle", "issue 1", "done"), ("issue.stop", "issue 1", "done"),
        ("issue.discard", "issue 1", "done"),
    ]


def test_a_release(settings: Settings) -> None:
    with open_database(settings) as database:
        Looks(database).hold(2, "too much at once")
    assert milepost("holds", "release", "2", "--why", "so it is").returncode == 0
    assert milepost("holds", "release", "2", "--why", "again").returncode == 1
    assert kept() == [("hold.release", "look 2", "done"), ("hold.release", "look 2", "refused")]
    assert json.loads(milepost("operators", "log", "--json").stdout)[1]["why"] == "so it is"


@pytest.mark.usefixtures("settings")
def test_what_is_done_for_a_reader_names_no_address_and_the_answer_does() -> None:
    def say(*words: str) -> str:
        answer = milepost(*words, "--by", "ada")
        return answer.stdout + answer.stderr

    say("subscribers", "add", ADDRESS)
    say("subscribers", "unsubscribe", ADDRESS)
    assert "subscribers return cogwheel@readers.example --why" in say("subscribers", "add", ADDRESS)
    say("subscribers", "return", ADDRESS, "--why", "asked")
    say("subscribers", "erase", ADDRESS, "--why", "asked")
    assert "never mailed from now on" in say("subscribers", "erase", "nobody@readers.example", "--why", "asked")
    say("suppressions", "add", "other@readers.example", "--why", "asked")
    say("suppressions", "lift", "other@readers.example", "--why", "asked")
    log = milepost("operators", "log", "--json").stdout
    assert "@" not in log
    assert {one["who"] for one in json.loads(log)} == {"ada"}
    [number] = {about for what, about, _ in kept() if what == "reader.unsubscribe"}
    assert kept() == [
        ("reader.add", "a reader", "done"), ("reader.unsubscribe", number, "done"),
        ("reader.add", "a reader", "refused"),
        ("reader.return", number, "done"), ("reader.erase", number, "done"), ("reader.erase", "an address", "done"),
        ("address.suppress", "an address", "done"), ("address.lift", "an address", "done"),
    ]


@pytest.mark.usefixtures("settings")
def test_the_keys_of_readers_links() -> None:
    before = milepost("keys", "--json")
    [old] = [one["name"] for one in json.loads(before.stdout)["keys"]]
    assert milepost("keys", "rotate", "--leaked", "--why", "a backup was stolen").returncode == 0
    new, again = json.loads(milepost("keys", "--json").stdout)["keys"]
    assert (new["signs"], again["name"], again["leaked_at"] is not None) == (True, old, True)
    assert milepost("keys", "leaked", new["name"], "--why", "lost").returncode == 1
    told = milepost("keys").stdout
    assert "its links only unsubscribe" in " ".join(told.split())
    assert "No old secret is accepted." in told
    assert [(what, outcome) for what, _, outcome in kept()] == [("key.rotate", "done"), ("key.leaked", "refused")]


@pytest.mark.parametrize("form", [(), ("--json",)])
@pytest.mark.usefixtures("settings")
def test_who_takes_the_list_away(form: tuple[str, ...]) -> None:
    milepost("subscribers", "add", ADDRESS, "--by", "ada")
    handed_out = milepost("subscribers", "export", "--by", "ada", "--why", "for the books", *form)
    assert ADDRESS in handed_out.stdout
    [act, *_] = json.loads(milepost("operators", "log", "--json").stdout)
    readers = handed_out.stdout.count("@")
    assert (act["what"], act["who"], act["why"], act["after"]) == (
        "reader.export", "ada", "for the books", {"readers": readers})
