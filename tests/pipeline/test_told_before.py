"""What a look told is told again from the database, the same."""

from typing import Any

import pytest

from milepost.errors import MilepostError
from milepost.settings import Settings
from pipeline.look.scrape import report_to_json, scrape
from pipeline.look.told_before import latest_look, told_of
from store.database import Database
from store.milestones.looks import Looks
from tests.pipeline import prepared
from tests.pipeline.stage import BreakableSite

NOT_KEPT = ("found_by", "unread_dates", "not_asked")


def same(settings: Settings, database: Database) -> dict[str, Any]:
    """One more look; what it told."""
    told = report_to_json(scrape(settings, "clockwork"))
    again = told_of(database, latest_look(database, "clockwork"))
    assert again.keys() == told.keys()
    assert {name: value for name, value in again.items() if name not in NOT_KEPT} == {
        name: value for name, value in told.items() if name not in NOT_KEPT}
    return told


def test_of_looks_that_find_much_or_nothing_or_are_held(
    settings: Settings, site: BreakableSite, database: Database
) -> None:
    assert latest_look(database, "clockwork") == 0
    assert same(settings, database)["baseline"]
    site.publish()
    assert same(settings, database)["changes"]["added"] == 2
    assert same(settings, database)["state"] == "complete"
    for story in site.stories[:3]:
        site.replaced[f"/story/{story.key}"] = b"<!doctype html><html><h1>Are you human?</h1></html>"
    assert same(settings, database)["failures"]


def test_of_a_look_that_failed_or_has_not_ended_its_sentence(database: Database) -> None:
    looks = Looks(database)
    look = looks.start("clockwork", prepared.utc_now())
    with pytest.raises(MilepostError, match="has not ended"):
        told_of(database, look)
    looks.finish(look, state="failed", now=prepared.utc_now(), failures=["nobody answers"])
    with pytest.raises(MilepostError, match="clockwork: nobody answers"):
        told_of(database, look)
