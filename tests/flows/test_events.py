"""What Prefect's automations hear: names that can be matched, of things of ours, and never an address."""

import re
from importlib import import_module
from typing import Any

import pytest

from flows import outcomes
from milepost.errors import MilepostError
from milepost.records import LookReport
from pipeline.look.scrape import report_to_json
from pipeline.several import down_to_json

pytestmark = pytest.mark.usefixtures("no_run")
LOOK = report_to_json(LookReport(
    source="bells", look_id=4, state="complete", requests=9, fetched=2, not_modified=7, failed=0, milestones=12,
    baseline=False, changes={"added": 2, "corrected": 0},
))


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    heard: list[dict[str, Any]] = []
    monkeypatch.setattr(import_module("flows.events"), "emit_event", lambda **event: heard.append(event))
    return heard


def test_a_look_that_ended_is_told_of_its_source_and_one_that_came_to_nothing_is_not(
    emitted: list[dict[str, Any]]
) -> None:
    from flows import events

    events.tell_looks([LOOK, down_to_json("dials", MilepostError("no answer"))])
    [event] = emitted
    assert event["event"] == "milepost.look.ended"
    assert event["resource"] == {"prefect.resource.id": "milepost.source.bells",
                                 "prefect.resource.name": "source bells"}
    assert event["payload"] == {"state": "complete", "milestones": 12, "changes": {"added": 2, "corrected": 0}}


def test_each_finding_is_told_under_its_own_name_without_an_address(emitted: list[dict[str, Any]]) -> None:
    from flows import events

    held = LOOK | {"held": "ask ada@readers.example", "degraded": ["title: two say so"]}
    events.tell_findings(outcomes.of_looks([held, down_to_json("dials", MilepostError("no answer"))]))
    assert [(one["event"], one["resource"]["prefect.resource.id"], one["payload"]["says"]) for one in emitted] == [
        ("milepost.look.held", "milepost.source.bells", "ask (address)"),
        ("milepost.look.disputed", "milepost.source.bells", "title: two say so"),
        ("milepost.source.down", "milepost.source.dials", "no answer"),
    ]


def test_only_an_issue_of_which_mails_were_taken_is_told_as_sent(emitted: list[dict[str, Any]]) -> None:
    from flows import events

    ledger = {"issue": 7, "state": "complete", "states": {"sent": 3}, "results": {"sent": 3}}
    events.tell_sent([ledger, ledger | {"issue": 8, "results": {"deferred": 3}}, {"issue": 9, "error": "gone"}])
    [event] = emitted
    assert (event["event"], event["resource"]["prefect.resource.id"]) == ("milepost.issue.sent", "milepost.issue.7")
    assert event["payload"] == {"sent": 3, "states": {"sent": 3}, "state": "complete"}


def test_every_event_has_a_name_of_the_same_form() -> None:
    from pathlib import Path

    said = re.findall(r'"(milepost\.[^"]*)"', "".join(
        Path(module.__file__ or "").read_text(encoding="utf-8") for module in map(import_module, (
            "flows.events", "flows.outcomes", "flows.automations"))
    ))
    names = {name for name in said if name.count(".") == 2 and "*" not in name}
    assert {"milepost.look.held", "milepost.look.ended", "milepost.issue.approval", "milepost.source.down"} <= names
    assert [name for name in names if not re.fullmatch(r"milepost\.[a-z]+\.[a-z-]+", name)] == []
