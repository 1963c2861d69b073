"""What a run's state is called: by the worst that it found, with the reason, and never with an address."""

import datetime as dt
from typing import Any

import pytest

from flows import outcomes
from milepost.errors import DeliveryError, HeldError
from milepost.records import LookReport
from pipeline.holds import WaitKind, Waits
from pipeline.look.scrape import report_to_json
from pipeline.several import down_to_json, unsent_to_json

FINE = report_to_json(LookReport(
    source="bells", look_id=4, state="complete", requests=9, fetched=2, not_modified=7, failed=0, milestones=12,
    baseline=False, changes={"added": 2, "corrected": 0},
))
SENT: dict[str, Any] = {"issue": 7, "state": "complete", "states": {"sent": 3}, "paused": None, "held": []}
SINCE = dt.datetime(2026, 11, 3, tzinfo=dt.UTC)


def waits(kind: WaitKind, about: str) -> Waits:
    return Waits(kind=kind, about=about, why="for a reason.", since=SINCE, command="milepost do 4")


def test_a_run_that_found_nothing_to_tell_is_green_and_says_what_it_did() -> None:
    end = outcomes.end(outcomes.of_looks([FINE, FINE | {"source": "dials"}]), outcomes.told_looks([FINE, FINE]))
    assert (end.name, end.kind, end.says) == ("Completed", "COMPLETED", "2 sources: 4 added")


@pytest.mark.parametrize(("look", "name", "says"), [
    (FINE | {"held": "eleven are new at once", "state": "held"}, "Held", "source bells: eleven are new at once"),
    (FINE | {"state": "no-baseline"}, "No baseline", "source bells: nothing was found"),
    (FINE | {"failures": ["a.", "b", "c", "d", "e"]}, "Incomplete", "source bells: a; b; c; 2 more"),
    (FINE | {"state": "incomplete"}, "Incomplete", "source bells: not all could be read"),
    (FINE | {"degraded": ["title: two say so"]}, "Disputed", "source bells: title: two say so"),
    (down_to_json("bells", DeliveryError("no answer")), "Failed", "source bells: no answer"),
])
def test_a_look_that_is_not_as_it_should_be_names_its_state_and_its_source(
    look: dict[str, Any], name: str, says: str
) -> None:
    end = outcomes.end(outcomes.of_looks([FINE | {"source": "dials"}, look]), "never said")
    assert (end.name, end.kind, end.says) == (name, "FAILED", says)


@pytest.mark.parametrize(("kind", "about", "name"), [
    ("held", "source bells", "Held"), ("rename", "source bells", "Asks about a rename"),
    ("approval", "issue 7", "Waits for approval"), ("paused", "issue 7", "Paused"),
    ("unknown", "issue 7", "Unknown hand-overs"),
])
def test_what_waits_is_in_each_later_run_that_finds_nothing_itself(kind: WaitKind, about: str, name: str) -> None:
    end = outcomes.end(outcomes.of_looks([FINE], [waits(kind, about)]), "never said")
    assert (end.name, end.kind) == (name, "FAILED")
    assert end.says == f"{about}: for a reason (`milepost do 4`)"


def test_a_hold_that_waits_is_told_once_with_the_look_that_waits() -> None:
    end = outcomes.end(outcomes.of_looks([FINE | {"held": "again"}], [waits("held", "source bells")]), "")
    assert len(end.findings) == 1
    assert "milepost do 4" in end.says


def test_an_issue_that_the_relay_paused_just_now_is_told_once() -> None:
    ledger = SENT | {"state": "paused", "paused": "The mail server refuses us."}
    end = outcomes.end(outcomes.of_ledgers([ledger], [waits("paused", "issue 7"), waits("paused", "issue 6")]), "")
    assert (end.name, [one.about for one in end.findings]) == ("Paused by relay", ["issue 7", "issue 6"])


def test_a_rest_that_others_hold_is_not_green_and_nobody_s_to_mend() -> None:
    held = [{"deliveries": 5, "until": "2026-11-03T10:00:00+00:00"}, {"deliveries": 2, "until": "2026-11-03T09:00"}]
    end = outcomes.end(outcomes.of_ledgers([SENT | {"state": "sending", "held": held}]), "")
    assert (end.name, end.kind) == ("Held by another", "CANCELLED")
    assert "7 deliveries, the last until 2026-11-03T10:00:00+00:00" in end.says


def test_the_worst_gives_its_name_and_the_others_are_told_after_it() -> None:
    findings = [
        *outcomes.of_letters({"why": "later", "sent": 0}), *outcomes.of_looks([FINE | {"degraded": ["dates"]}]),
        *outcomes.of_ledgers([unsent_to_json(7, DeliveryError("nobody answers"))]),
    ]
    end = outcomes.end(findings, "")
    assert end.name == "Failed"
    assert end.says == "issue 7: nobody answers; source bells: dates; letters: later"


def test_no_reader_s_address_reaches_a_state() -> None:
    ledger = SENT | {"state": "paused", "paused": "550 <grace@readers.example>: nobody, see https://x.example/@help"}
    assert outcomes.end(outcomes.of_ledgers([ledger]), "").says == (
        "issue 7: 550 <(address)>: nobody, see https://x.example/@help"
    )
    assert outcomes.failed(DeliveryError("ada@readers.example is refused")).says == "(address) is refused"


def test_what_an_operator_must_decide_first_is_no_failure_of_ours() -> None:
    assert [outcomes.failed(error).name for error in (HeldError("wait"), DeliveryError("gone"))] == ["Held", "Failed"]


def test_a_message_has_an_end() -> None:
    end = outcomes.end(outcomes.of_looks([FINE | {"degraded": ["x" * 9_000]}]), "")
    assert len(end.says) < 4_100
