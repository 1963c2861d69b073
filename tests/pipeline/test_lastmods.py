"""A look that believes when pages changed, as their sitemap says it: what it asks for, and when it believes no more."""

import datetime as dt
import re
from collections.abc import Iterable

import pytest

from milepost.fields import CONTENT_FIELDS
from milepost.records import Change, FieldClass, LookReport
from milepost.settings import Settings
from pipeline.look import lastmods
from pipeline.look.scrape import scrape
from store.archive.lastmods import noted
from store.archive.pages import Pages
from store.database import Database
from store.milestones.looks import Looks
from tests.pipeline.stage import BreakableSite

START = dt.datetime(2031, 5, 1, 8, 0, tzinfo=dt.UTC)
OLD, NEWER = "2031-02-01", "2031-04-02"
DAY = dt.timedelta(days=1)


class Stage:
    """The sample site with dates in its sitemap, and looks at it that believe them."""

    def __init__(self, site: BreakableSite, settings: Settings) -> None:
        self.site, self.settings, self.now = site, settings, START
        self.keys = [one.key for one in site.stories]
        self.dates = dict.fromkeys(self.keys, f"<lastmod>{OLD}</lastmod>")
        self.trust = True
        self.classes: dict[str, FieldClass] = {}
        self.left_out: set[str] = set()  # keys that the sitemap names no more

    def look(self, *, after: dt.timedelta = DAY, full: bool = False) -> LookReport:
        """One look, so long after the one before."""
        self.now += after
        self.site.replaced.pop("/sitemap.xml", None)
        whole = self.site.file("/sitemap.xml")
        assert whole is not None
        self.site.replaced["/sitemap.xml"] = re.sub(
            r"<url>\s*<loc>([^<]*/story/([^<]*))</loc>.*?</url>",
            lambda found: "" if found[2] in self.left_out else
            f"<url><loc>{found[1]}</loc>{self.dates.get(found[2], '')}</url>", whole.decode(), flags=re.DOTALL).encode()
        source = self.settings.source("clockwork").model_copy(
            update={"lastmod": "trust" if self.trust else "ignore", "feeds": (), "classes": self.classes})
        return scrape(self.settings.model_copy(update={"sources": (source,)}), "clockwork", now=lambda: self.now,
                      full=full)

    def trusted(
        self, database: Database, *, full: bool = False, alternating: Iterable[str] = ()
    ) -> lastmods.TrustedLastmods:
        """What a look after the last one would begin with."""
        source = self.settings.source("clockwork").model_copy(update={"lastmod": "trust"})
        last = Looks(database).list("clockwork", limit=1)[0]
        return lastmods.TrustedLastmods(source, database, last, full=full, alternating=alternating)

    def change(self, key: str) -> None:
        """The site tells another title of that story."""
        self.site.replaced[f"/story/{key}"] = self.site.story(key).replace("Clock", "Timepiece").replace(
            "clock", "timepiece").encode()


@pytest.fixture
def stage(site: BreakableSite, settings: Settings) -> Stage:
    return Stage(site, settings)


def said(report: LookReport) -> list[str]:
    return [note for note in report.notes if "lastmod" in note]


def silent(report: LookReport) -> list[str]:
    return [one for one in report.degraded if "lastmod" in one]


def changed(report: LookReport) -> int:
    return sum(report.changes[kind] for kind in ("enriched", "corrected"))


def a_story(stage: Stage) -> str:
    """One whose page tells something else once it is changed."""
    return next(key for key in stage.keys if "Clock" in stage.site.story(key))


def test_a_page_whose_lastmod_stands_is_not_asked_for_and_that_is_said(stage: Stage) -> None:
    first = stage.look()
    count = len(stage.keys)
    assert (first.not_asked, said(first), silent(first)) == (0, [], [])
    second = stage.look()
    assert (second.not_asked, said(second)) == (count, [f"{count} pages not asked for: their lastmod is unchanged"])
    assert (second.state, second.milestones, second.requests) == (first.state, count, first.requests - count)
    key = a_story(stage)
    stage.change(key)
    assert changed(stage.look()) == 0  # nobody asked: that is what the setting says
    stage.dates[key] = f"<lastmod>{NEWER}</lastmod>"
    third = stage.look()
    assert (third.not_asked, changed(third), silent(third)) == (count - 1, 1, [])
    assert stage.look().not_asked == count


@pytest.mark.parametrize(("date", "why"), [
    ("", None),
    ("<lastmod>yesterday</lastmod>",
     "1 lastmod of the sitemap can't be read, the first: yesterday; those pages are asked for"),
    (f"<lastmod>{START.date()}</lastmod>", None),  # of the days around the look: it may have changed again since
    ("<lastmod>2099-01-01</lastmod>", None),
], ids=["none", "unreadable", "young", "to-come"])
def test_a_page_of_which_nothing_sure_is_said_is_asked_for(stage: Stage, date: str, why: str | None) -> None:
    stage.dates[stage.keys[0]] = date
    stage.look(after=DAY / 24)
    report = stage.look(after=DAY / 24)
    assert report.not_asked == len(stage.keys) - 1
    assert [note for note in said(report) if "unchanged" not in note] == ([] if why is None else [why])


def test_a_young_lastmod_is_believed_once_the_page_was_had_long_enough_after_it(stage: Stage) -> None:
    stage.dates = dict.fromkeys(stage.keys, f"<lastmod>{START.isoformat()}</lastmod>")
    counts = [stage.look(after=dt.timedelta(hours=hours)).not_asked for hours in (1, 22, 2, 1)]
    assert counts == [0, 0, 0, len(stage.keys)]


def test_another_lastmod_is_asked_for_also_an_older_one(stage: Stage) -> None:
    stage.look()
    stage.dates[stage.keys[0]] = "<lastmod>2030-12-31</lastmod>"
    assert stage.look().not_asked == len(stage.keys) - 1


def test_a_lastmod_that_was_not_true_ends_it_until_the_setting_was_taken_out(stage: Stage, database: Database) -> None:
    count, key = len(stage.keys), a_story(stage)
    stage.look()
    stage.change(key)
    assert stage.look().not_asked == count
    caught = stage.look(after=30 * DAY)
    url = f"{stage.settings.source('clockwork').base_url}/story/{key}"
    assert (caught.not_asked, changed(caught), caught.state) == (0, 1, "degraded")
    [why] = silent(caught)
    assert f"look {caught.look_id} found that {url} had changed though its lastmod had not" in why
    for _ in range(2):
        later = stage.look()
        assert (later.not_asked, later.state, silent(later)) == (0, "degraded", [why])
    assert why in Looks(database).get(later.look_id or 0).silent
    stage.trust = False
    assert (stage.look().state, noted(database, "clockwork")) == ("complete", None)
    stage.trust = True
    assert [stage.look().not_asked, stage.look().not_asked] == [0, count]


def test_a_page_that_only_looks_otherwise_ends_nothing(stage: Stage) -> None:
    stage.look()
    for key in stage.keys:
        stage.site.replaced[f"/story/{key}"] = stage.site.story(key).encode() + b"<!-- built anew -->"
    report = stage.look(full=True)
    assert (report.not_asked, changed(report), silent(report)) == (0, 0, [])
    assert stage.look().not_asked == len(stage.keys)


def test_every_page_is_asked_for_within_its_days_and_not_all_of_them_at_once(stage: Stage) -> None:
    stage.look()
    counts = [stage.look(after=days * DAY).not_asked for days in (14, 8, 8)]
    count = len(stage.keys)
    assert counts[0] == count
    assert 0 < counts[1] < count
    assert counts[2] < count  # what was asked for 8 days ago is not, the others are by now
    with_their_time = count - counts[1]
    assert count - counts[2] == count - with_their_time


def test_a_page_that_is_gone_is_found_when_its_time_has_come_and_at_once_where_no_sitemap_names_it(
    stage: Stage
) -> None:
    stage.look()
    named, unnamed = stage.keys[:2]
    for key in (named, unnamed):
        stage.site.replaced[f"/story/{key}"] = None
    stage.left_out.add(unnamed)

    def gone(report: LookReport) -> list[bool]:
        told = [one for one in report.failures if "listed, but it answers 404" in one]
        return [any(key in one for one in told) for key in (named, unnamed)]

    assert gone(stage.look()) == [False, True]
    assert gone(stage.look(after=30 * DAY)) == [True, True]
    again = stage.look()  # it is asked for at every look from now on
    assert (gone(again), again.not_asked) == ([True, True], len(stage.keys) - 2)


def test_full_asks_for_every_page(stage: Stage) -> None:
    stage.look()
    assert [stage.look(full=full).not_asked for full in (True, False)] == [0, len(stage.keys)]


def test_a_page_that_was_not_had_or_not_read_is_asked_for(stage: Stage, database: Database) -> None:
    broken = f"/story/{stage.keys[0]}"
    stage.site.replaced[broken] = b"<!doctype html><html><body><main><p>To come.</p></main></body></html>"
    stage.look()
    assert len(Pages(database).unsettled("clockwork")) == 1
    assert stage.look().not_asked == len(stage.keys) - 1
    del stage.site.replaced[broken]
    assert stage.look().milestones == len(stage.keys)


def test_a_page_that_could_not_be_had_with_its_new_lastmod_is_asked_for_again(stage: Stage) -> None:
    key = a_story(stage)
    stage.look()
    stage.dates[key] = f"<lastmod>{NEWER}</lastmod>"
    stage.site.replaced[f"/story/{key}"] = b"<html><body>half a pa"
    assert stage.look().failed == 1
    stage.change(key)
    assert changed(stage.look()) == 1


def test_what_changes_with_its_lastmod_ends_nothing(stage: Stage) -> None:
    key = a_story(stage)
    stage.look()
    stage.change(key)
    stage.dates[key] = f"<lastmod>{NEWER}</lastmod>"
    report = stage.look(after=30 * DAY)  # when all others are asked for, too
    assert (report.not_asked, changed(report), silent(report)) == (0, 1, [])


def test_what_changes_too_little_to_tell_ends_nothing(stage: Stage) -> None:
    stage.classes = dict.fromkeys(CONTENT_FIELDS, "cosmetic")
    key = a_story(stage)
    stage.look()
    stage.change(key)
    report = stage.look(full=True)
    assert (report.changes["cosmetic"], silent(report)) == (1, [])


def test_what_reads_otherwise_from_the_same_bytes_ends_nothing(stage: Stage, database: Database) -> None:
    key = a_story(stage)
    url = f"{stage.settings.source('clockwork').base_url}/story/{key}"
    corrected = [Change(source="clockwork", key=key, kind="corrected")]

    def untrue() -> str | None:
        trusted = stage.trusted(database, full=True)
        assert not trusted.unchanged(url, OLD)
        return trusted.untrue(corrected, lambda _key: url)

    for _ in range(2):
        stage.look(full=True)
        assert untrue() is None
    stage.change(key)
    stage.trust = False  # so that the look itself finds nothing
    stage.look(full=True)
    stage.trust = True
    stage.look(full=True)
    assert untrue() == url


def test_what_is_counted_look_by_look_is_asked_for(stage: Stage, database: Database) -> None:
    stage.look()
    one, other = (f"{stage.settings.source('clockwork').base_url}/story/{key}" for key in stage.keys[:2])
    trusted = stage.trusted(database, alternating=[one])
    assert [trusted.unchanged(url, OLD) for url in (one, other)] == [False, True]


def test_a_sitemap_without_any_makes_the_setting_lead_to_nothing(stage: Stage) -> None:
    stage.dates.clear()
    [why] = silent(stage.look())
    assert why == 'the setting lastmod = "trust" leads to nothing: no sitemap of its pages names one'
    stage.dates = dict.fromkeys(stage.keys, "<lastmod>soon</lastmod>")
    assert silent(stage.look()) == ['the setting lastmod = "trust" leads to nothing: none of them can be read']
    stage.dates = dict.fromkeys(stage.keys, f"<lastmod>{OLD}</lastmod>")
    assert silent(stage.look()) == []


def test_without_the_setting_nothing_is_believed_or_kept(stage: Stage, database: Database) -> None:
    stage.trust = False
    stage.look()
    report = stage.look()
    assert (report.not_asked, said(report), noted(database, "clockwork")) == (0, [], None)


def test_pages_have_numbers_of_their_own() -> None:
    assert len({lastmods._mark(f"https://s.example/{number}\n{OLD}") for number in range(10_000)}) == 10_000
