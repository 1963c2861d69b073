"""Bad input: one clear sentence each, what was known stays, nobody is mailed, and the next look goes on from there."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Engine, event

from milepost.errors import SourceDownError, StoreError
from milepost.records import LookReport
from milepost.settings import Settings
from pipeline.look import finish_look
from pipeline.look.scrape import scrape
from pipeline.publish import publish
from store.database import Database
from store.milestones.looks import Looks
from store.milestones.milestones import Milestones
from tests.console.terminal import milepost
from tests.pipeline import prepared
from tests.pipeline.stage import BreakableSite

Break = Callable[[str], bytes]


def look(settings: Settings) -> LookReport:
    return scrape(settings, "clockwork")


def _untitled(page: str) -> bytes:
    page = re.sub(r"<h1.*?</h1>", "", page, flags=re.DOTALL)
    return re.sub(r'"headline":\s*"[^"]*",?', "", page).encode()


PAGES: list[tuple[str, Break, str]] = [
    ("no-title", _untitled, "no title"),
    ("broken-json-ld", lambda page: page.replace('"@context"', '"@context', 1).encode(), "the page is damaged"),
    ("truncated", lambda page: page[: len(page) // 2].encode(), "</html>"),
    ("empty", lambda _page: b"", "empty"),
    ("undefined", lambda page: re.sub(r"(<h1.*?>).*?</h1>", r"\1undefined</h1>", page, flags=re.DOTALL).encode(), ""),
    ("soft-404", lambda _page: b"<!doctype html><html><title>Oh</title><h1>Page not found</h1></html>", ""),
    ("captcha", lambda _page: b"<!doctype html><html><h1>Are you human?</h1><form action=/captcha>"
                              b"<input type=password></form></html>", ""),
]


@pytest.mark.parametrize(("break_page", "sentence"), [row[1:] for row in PAGES], ids=[row[0] for row in PAGES])
def test_a_bad_page_is_a_sentence_and_its_record_stands(
    settings: Settings, site: BreakableSite, database: Database, break_page: Break, sentence: str
) -> None:
    prepared.copy("baseline", settings)
    key = site.stories[3].key
    known = Milestones(database).get("clockwork", key)
    site.publish()
    site.replaced[f"/story/{key}"] = break_page(site.story(key))
    report = look(settings)
    [failure] = report.failures
    assert f"/story/{key}" in failure
    assert sentence in failure
    assert "\n" not in failure
    assert (report.failed, report.changes["added"], report.changes["corrected"]) == (1, 2, 0)
    assert Milestones(database).get("clockwork", key) == known

    site.replaced.clear()
    again = look(settings)
    assert (again.failures, sum(again.changes.values())) == ((), 0)


def test_a_site_that_is_down_leaves_everything_as_it_was(
    settings: Settings, site: BreakableSite, database: Database
) -> None:
    first = look(settings)
    site.stop()
    with pytest.raises(SourceDownError, match="could not be reached"):
        look(settings)
    assert Milestones(database).count("clockwork") == first.milestones
    assert publish(settings) == []


@pytest.mark.parametrize(
    "sitemap",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"></urlset>', id="no-urls"),
        pytest.param(b"<html><body>Busy</body></html>", id="a-page"),
    ],
)
def test_an_empty_sitemap_is_said_and_takes_nothing_away(
    settings: Settings, site: BreakableSite, database: Database, sitemap: bytes
) -> None:
    first = look(settings)
    site.replaced["/sitemap.xml"] = sitemap
    report = look(settings)
    assert len([failure for failure in report.failures if "sitemap" in failure]) == 1
    assert Milestones(database).count("clockwork") == first.milestones
    assert sum(report.changes.values()) == 0


def test_a_first_look_at_an_empty_site_is_no_baseline(settings: Settings, site: BreakableSite) -> None:
    site.replaced |= {"/sitemap.xml": b"", "/": b"<!doctype html><html><title>Soon</title></html>"}
    try:
        report = look(settings)
    except SourceDownError:
        pass
    else:
        assert report.failures
    site.replaced.clear()
    assert look(settings).baseline


def _everywhere(site: BreakableSite, change: Callable[[str], str]) -> None:
    """Serve every story changed so, as after a redesign."""
    site.replaced |= {f"/story/{story.key}": change(site.story(story.key)).encode() for story in site.stories}


def test_a_redesign_that_loses_a_section_holds_the_look(settings: Settings, site: BreakableSite) -> None:
    prepared.copy("baseline", settings)
    _everywhere(site, lambda page: re.sub(r'"description":\s*"(?:[^"\\]|\\.)*",?', "", page)
                .replace("What happened", "The story so far"))
    report = look(settings)
    assert report.held is not None
    assert publish(settings) == []


def test_pages_made_without_their_data_are_no_baseline(settings: Settings, site: BreakableSite) -> None:
    _everywhere(site, lambda page: re.sub(r"(<h1.*?>).*?(</h1>)", r"\1Clockwork\2", page, flags=re.DOTALL)
                .replace('"headline": ', '"x": '))
    first = look(settings)
    assert [failure for failure in first.failures if "no baseline yet" in failure]
    assert (first.state, first.baseline) == ("no-baseline", False)
    assert look(settings).state == "no-baseline"
    site.replaced.clear()
    look(settings)
    assert not look(settings).baseline


def test_a_full_disk_is_a_sentence_and_the_next_look_goes_on(settings: Settings, site: BreakableSite) -> None:
    first = look(settings)
    site.publish()

    def leave_no_room(connection: Any, _record: object) -> None:
        [[pages]] = connection.execute("PRAGMA page_count")
        connection.execute(f"PRAGMA max_page_count = {pages}")

    event.listen(Engine, "connect", leave_no_room)
    try:
        with pytest.raises(StoreError, match="full") as caught:
            look(settings)
    finally:
        event.remove(Engine, "connect", leave_no_room)
    assert "\n" not in str(caught.value)
    second = look(settings)
    assert (second.milestones, second.changes["added"]) == (first.milestones + 2, 2)


def test_one_source_that_is_down_does_not_keep_the_other_from_its_look(config: Path, tmp_path: Path) -> None:
    two = config.read_text().replace("[[sources]]", (
        '[[sources]]\nkey = "gone"\nextractor = "sample"\nbase_url = "https://gone.example"\n'
        'fetch_from = "http://127.0.0.1:9"\nallow_hosts = ["127.0.0.1"]\n[[sources]]'
    ), 1)
    config.write_text(two)
    done = milepost("scrape", "--json", cwd=tmp_path)
    assert done.returncode == 1
    gone, looked = map(json.loads, done.stdout.splitlines())
    assert (gone["source"], looked["source"]) == ("gone", "clockwork")
    assert "127.0.0.1:9" in gone["error"]
    assert (looked["baseline"], "error" in looked) == (True, False)
    assert "127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr


class TestADriftThatPasses:
    """All pages lose their titles, and get them back."""

    @staticmethod
    def strip_titles(site: BreakableSite) -> None:
        for story in site.stories:
            site.replaced[f"/story/{story.key}"] = _untitled(site.story(story.key))

    @staticmethod
    def waiting(database: Database) -> list[str | None]:
        return [look.guard for look in Looks(database).list("clockwork", waiting=True)]

    def test_is_one_hold_however_many_looks_see_it(
        self, settings: Settings, site: BreakableSite, database: Database
    ) -> None:
        look(settings)
        self.strip_titles(site)
        assert [look(settings).held is not None for _ in range(2)] == [True, True]
        assert self.waiting(database) == ["drift"]

    def test_is_over_when_every_page_can_be_read_again(
        self, settings: Settings, site: BreakableSite, database: Database
    ) -> None:
        look(settings)
        self.strip_titles(site)
        held = look(settings)
        site.replaced.clear()
        report = look(settings)
        assert (report.held, report.failures, self.waiting(database)) == (None, (), [])
        assert held.look_id is not None
        assert Looks(database).get(held.look_id).released_why == (
            f"it kept no change back, and look {report.look_id} saw every page and could read it"
        )

    def test_goes_on_while_a_page_is_still_bad(
        self, settings: Settings, site: BreakableSite, database: Database
    ) -> None:
        look(settings)
        self.strip_titles(site)
        look(settings)
        for story in site.stories[1:]:
            del site.replaced[f"/story/{story.key}"]
        look(settings)
        assert self.waiting(database) == ["drift"]

    def test_goes_on_while_a_witness_says_otherwise(
        self, settings: Settings, site: BreakableSite, database: Database
    ) -> None:
        """Every page is there again and can be read, and of one the title is in dispute."""
        look(settings)
        self.strip_titles(site)
        look(settings)
        site.replaced.clear()
        one = site.stories[0].key
        page = re.sub(r"<h1.*?</h1>", "<h1>Buy our clocks</h1>", site.story(one), flags=re.DOTALL)
        site.replaced[f"/story/{one}"] = page.encode()
        report = look(settings)
        assert (report.held, report.failed, len(report.failures)) == (None, 0, 1)
        assert self.waiting(database) == ["drift"]
        site.replaced.clear()
        look(settings)
        assert self.waiting(database) == []

    def test_is_not_over_because_its_pages_stand_still(
        self, settings: Settings, site: BreakableSite, database: Database
    ) -> None:
        """One witness of every title turns: nothing is recorded of it, and it is seen again until it is repaired."""
        look(settings)
        for story in site.stories:
            page = re.sub(r"<h1.*?</h1>", f"<h1>Buy {story.key}</h1>", site.story(story.key), flags=re.DOTALL)
            site.replaced[f"/story/{story.key}"] = page.encode()
        for _ in range(2):
            assert "title differ on 100% of the pages, and 17 of 17 values" in str(look(settings).held)
        assert self.waiting(database) == ["drift"]
        site.replaced.clear()
        assert look(settings).held is None
        assert self.waiting(database) == []

    def test_that_kept_changes_back_waits_for_an_operator(
        self, settings: Settings, site: BreakableSite, database: Database
    ) -> None:
        look(settings)
        for story in site.stories:
            page = re.sub(r"<h1.*?</h1>", "<h1>Buy our clocks</h1>", site.story(story.key), flags=re.DOTALL)
            page = re.sub(r'"headline": "[^"]*"', '"headline": "Buy our clocks"', page)
            site.replaced[f"/story/{story.key}"] = page.encode()
        assert "one and the same title" in str(look(settings).held)
        site.replaced.clear()
        look(settings)
        assert self.waiting(database) == ["drift"]


def test_a_site_of_which_everything_fails_fills_no_disk(
    settings: Settings, site: BreakableSite, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared.copy("baseline", settings)
    monkeypatch.setattr(finish_look, "MOST_TOLD", 2)
    site.replaced = {urlsplit(found.milestone.url).path: None for found in Milestones(database).iterate("clockwork")}
    report = scrape(settings, "clockwork", full=True)
    assert report.look_id is not None
    kept = Looks(database).get(report.look_id).failures
    assert report.failed == len(site.replaced) > 4
    assert kept == report.failures
    assert len([one for one in kept if one.startswith("http")]) == 2
    assert f"{report.failed - 2} more failed like those that are told" in kept
