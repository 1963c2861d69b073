"""What an operator decides in Prefect's forms: checked before it begins, bound to a hash, told in a sentence."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from milepost.dates import utc_now
from milepost.errors import MilepostError
from milepost.settings import Settings
from pipeline import edit
from pipeline.operators.acts import latest
from pipeline.operators.decisions import Decisions
from pipeline.publish import publish
from store.database import Database
from store.issues.issues import Issues
from store.milestones.looks import Looks

pytestmark = pytest.mark.usefixtures("no_run")
HASH = "0a" * 32


def flow(name: str) -> Any:
    module = "flows.backfill" if name == "backfill" else "flows.decisions"
    return getattr(import_module(module), name)


def decide(name: str, config: Path, **parameters: Any) -> tuple[str, str]:
    """→ the name of the state that the run would end in, and what it says."""
    state = flow(name).fn(**parameters, config=str(config))
    return state.name, state.message


@pytest.mark.parametrize(("name", "good", "bad"), [
    ("approve", {"issue": 1, "content_hash": HASH},
     [{"issue": 0}, {"issue": "first"}, {"content_hash": HASH[1:]}, {"content_hash": HASH.upper()}, {"config": ""}]),
    ("release_hold", {"look": 1, "why": "so it is"}, [{"look": 0}, {"why": "no"}, {"why": "x" * 501}]),
    ("refuse_hold", {"look": 1, "why": "a fault"}, [{"look": None}, {"why": "no"}]),
    ("resume_issue", {"issue": 1}, [{"issue": 0}, {"issue": None}]),
    ("stop_issue", {"issue": 1, "why": "a typo"}, [{"issue": -1}, {"why": ""}]),
    ("backfill", {"sources": ["a-key"]}, [{"sources": ["../etc"]}, {"sources": "a-key"}, {"sources": ["A"]}]),
])
def test_what_a_form_may_hold_is_checked_before_a_run_begins(
    name: str, good: dict[str, Any], bad: list[dict[str, Any]]
) -> None:
    from prefect.exceptions import ParameterTypeError

    assert flow(name).validate_parameters(good).items() >= good.items()
    for wrong in bad:
        with pytest.raises(ParameterTypeError):
            flow(name).validate_parameters(good | wrong)


@pytest.mark.parametrize("name", ["approve", "release_hold", "refuse_hold", "resume_issue", "stop_issue", "backfill"])
def test_a_form_says_of_each_field_what_belongs_there(name: str) -> None:
    fields = flow(name).parameters.properties
    assert fields
    assert [field for field, what in fields.items() if not what.get("description")] == []


def test_only_the_hash_that_was_read_is_approved(config: Path, settings: Settings, database: Database) -> None:
    publish(settings)
    draft = Issues(database).get(1)
    name, says = decide("approve", config, issue=1, content_hash=HASH)
    assert (name, Issues(database).get(1).state) == ("Failed", "draft")
    assert says.startswith("issue 1: ")
    assert draft.content_hash not in says
    name, says = decide("approve", config, issue=1, content_hash=draft.content_hash)
    assert (name, Issues(database).get(1).state) == ("Completed", "frozen")
    assert says.startswith("issue 1 is frozen for 3 readers; the first mail goes out in")
    assert decide("approve", config, issue=1, content_hash=draft.content_hash)[0] == "Failed"


def test_an_issue_that_there_is_not_is_a_sentence(config: Path) -> None:
    for name in ("approve", "resume_issue", "stop_issue"):
        more = {"approve": {"content_hash": HASH}, "stop_issue": {"why": "a typo"}}.get(name, {})
        ended, says = decide(name, config, issue=7, **more)
        assert (ended, "issue 7" in says) == ("Failed", True)


def test_a_hold_is_released_once_and_with_its_reason(config: Path, database: Database) -> None:
    looks = Looks(database)
    looks.hold(2, "too much at once")
    assert decide("release_hold", config, look=2, why="so it is") == (
        "Completed", "look 2 at clockwork is released: its changes count as news from now on",
    )
    assert looks.get(2).released_why == "so it is"
    assert decide("release_hold", config, look=2, why="again") == ("Failed", "look 2: that look is not held")
    assert [(one.who, one.door, one.what, one.about, one.why, one.outcome) for one in latest(database)] == [
        ("prefect", "flows", "hold.release", "look 2", "again", "refused"),
        ("prefect", "flows", "hold.release", "look 2", "so it is", "done"),
    ]


def test_a_hold_is_refused(config: Path, database: Database) -> None:
    Looks(database).hold(2, "too much at once")
    said = ("Completed", "look 2 at clockwork is refused: the record is as it was before it")
    assert decide("refuse_hold", config, look=2, why="a fault") == said
    assert Looks(database).get(2).refused_why == "a fault"
    assert decide("refuse_hold", config, look=2, why="again") == ("Failed", "look 2: that look is not held")


def test_an_issue_is_stopped_and_let_go_on(config: Path, settings: Settings, database: Database) -> None:
    publish(settings)
    edit.approve(settings, database, 1, content_hash=Issues(database).get(1).content_hash, now=utc_now())
    assert decide("stop_issue", config, issue=1, why="a typo") == (
        "Completed", "issue 1 is a draft again: nothing was sent",
    )
    edit.approve(settings, database, 1, content_hash=Issues(database).get(1).content_hash, now=utc_now())
    edit.pause(database, 1, "wait")
    name, says = decide("resume_issue", config, issue=1)
    assert (name, says) == ("Completed", "issue 1 may be sent again; the next dispatch goes on with it")
    assert Issues(database).get(1).state in ("frozen", "sending")


def test_a_reason_with_an_address_is_kept_from_prefect(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise MilepostError("ada@readers.example asked for it", where="issue 1")

    monkeypatch.setattr(Decisions, "stop", refuse)
    assert decide("stop_issue", config, issue=1, why="a typo")[1] == "issue 1: (address) asked for it"
