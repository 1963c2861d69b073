"""A page on which one witness changes its mind: what a look, a later look and a backfill make of it."""

from typing import Any

from milepost.records import LookReport
from milepost.settings import Settings
from pipeline.backfill import backfill
from pipeline.look.scrape import scrape
from store.database import Database
from store.milestones.milestones import Milestones
from tests.pipeline import prepared
from tests.pipeline.stage import BreakableSite

SOURCE = "clockwork"
KEY = "su-song-clock-tower"
PATH = f"/story/{KEY}"
HEADING = "<h1>Su Song&#39;s clock tower runs by water</h1>"


def saying(settings: Settings, **source: Any) -> Settings:
    """The settings, of which the source says more."""
    [only] = settings.sources
    return settings.model_copy(update={"sources": (only.model_copy(update=source),)})


def retitle(site: BreakableSite, *, everywhere: bool) -> None:
    page = site.story(KEY).replace(HEADING, "<h1>Buy our clocks</h1>")
    if everywhere:
        page = page.replace('"headline": "Su Song\'s clock tower runs by water"', '"headline": "Buy our clocks"')
    site.replaced[PATH] = page.encode()


def look(settings: Settings) -> tuple[LookReport, dict[str, int]]:
    report = scrape(settings, SOURCE)
    return report, {kind: count for kind, count in report.changes.items() if count}


def title(database: Database) -> str:
    return Milestones(database).get(SOURCE, KEY).milestone.title


def test_one_witness_against_the_others_changes_nothing_and_is_reported(
    settings: Settings, site: BreakableSite, database: Database
) -> None:
    prepared.copy("baseline", settings)
    retitle(site, everywhere=False)

    report, changes = look(settings)

    assert (changes, report.held, report.failed) == ({}, None, 0)
    assert title(database) == "Su Song's clock tower runs by water"
    [sentence] = report.failures
    assert sentence.startswith(f"https://clockwork.example{PATH}: title stays “Su Song's clock tower runs by water”")
    assert "only headings (h1) says “Buy our clocks”" in sentence

    reread = backfill(settings, SOURCE, dry_run=False)
    assert (reread.written, title(database)) == (0, "Su Song's clock tower runs by water")


def test_when_they_agree_it_is_a_correction(settings: Settings, site: BreakableSite, database: Database) -> None:
    prepared.copy("baseline", settings)
    retitle(site, everywhere=False)
    scrape(settings, SOURCE)
    retitle(site, everywhere=True)

    report, changes = look(settings)

    assert (changes, report.failures) == ({"corrected": 1}, ())
    assert title(database) == "Buy our clocks"


def test_a_source_that_believes_its_first_witness_is_followed(
    settings: Settings, site: BreakableSite, database: Database
) -> None:
    believing = saying(settings, believe_first=("title",))
    scrape(believing, SOURCE)
    retitle(site, everywhere=False)

    assert look(believing)[1] == {"corrected": 1}
    assert title(database) == "Buy our clocks"


def test_believing_it_later_is_a_backfill_away(settings: Settings, site: BreakableSite, database: Database) -> None:
    prepared.copy("baseline", settings)
    retitle(site, everywhere=False)
    scrape(settings, SOURCE)

    reread = backfill(saying(settings, believe_first=("title",)), SOURCE, dry_run=False)

    assert (reread.written, title(database)) == (1, "Buy our clocks")


class TestClasses:
    """What a source says that a difference in a field is worth."""

    def test_a_look_follows_them(self, settings: Settings, site: BreakableSite, database: Database) -> None:
        quiet = saying(settings, classes={"title": "cosmetic"})
        scrape(quiet, SOURCE)
        retitle(site, everywhere=True)
        assert look(quiet)[1] == {"cosmetic": 1}
        assert title(database) == "Buy our clocks"

    def test_ignored_is_no_change(self, settings: Settings, site: BreakableSite) -> None:
        deaf = saying(settings, classes={"title": "ignore"})
        scrape(deaf, SOURCE)
        retitle(site, everywhere=True)
        assert look(deaf)[1] == {}

    def test_a_backfill_follows_them(self, settings: Settings, site: BreakableSite) -> None:
        scrape(settings, SOURCE)
        retitle(site, everywhere=False)
        scrape(settings, SOURCE)
        chosen = saying(settings, classes={"title": "cosmetic"}, believe_first=("title",))
        assert [change.kind for change in backfill(chosen, SOURCE, dry_run=True).changes] == ["cosmetic"]
