"""A page that alternates between two texts is corrected once, said once, and followed when it has stayed."""

import re

import pytest

from milepost.dates import utc_now
from milepost.records import LookReport
from milepost.settings import Settings
from pipeline.backfill import backfill
from pipeline.dispatch import dispatch, waiting
from pipeline.look.scrape import report_to_json, scrape
from pipeline.publish import publish
from store.database import connect
from store.milestones.milestones import Milestones
from tests.pipeline import prepared
from tests.pipeline.stage import BreakableSite

SOURCE = "clockwork"


class Page:
    """One announced milestone's page, and the looks and mails that follow it."""

    def __init__(self, settings: Settings, site: BreakableSite) -> None:
        self.settings, self.site = settings, site
        known = {story.key for story in site.stories}
        prepared.copy("sent", settings)
        site.publish()
        assert self.mails() == 0
        self.key = next(story.key for story in site.stories if story.key not in known)
        title = next(story.title for story in site.stories if story.key == self.key)
        self.title, self.rest = " ".join(title.split()[:2]), " ".join(title.split()[2:])

    def say(self, title: str) -> LookReport:
        """The page's title begins so, and is looked at."""
        told = self.site.story(self.key).replace(self.title, title)
        self.site.replaced[f"/story/{self.key}"] = told.encode()
        return self.look()

    def lose(self) -> LookReport:
        """It has no JSON-LD any more and shows one tag less, and is looked at."""
        told = re.sub(r"(<dt>Tags</dt><dd><ul>)<li>[^<]*</li>", r"\1", self.site.story(self.key), count=1)
        told = re.sub(r'(?s)<script type="application/ld\+json">.*?</script>', "", told)
        self.site.replaced[f"/story/{self.key}"] = told.encode()
        return self.look()

    def look(self) -> LookReport:
        self.report = scrape(self.settings, SOURCE)
        assert (self.report.held, self.report.failures) == (None, ())
        return self.report

    def mails(self) -> int:
        """How many issues go out now."""
        publish(self.settings)
        numbers = waiting(self.settings)
        for number in numbers:
            dispatch(self.settings, number)
        return len(numbers)

    def kept(self) -> str:
        with connect(self.settings.store.url) as database:
            return Milestones(database).get(SOURCE, self.key).milestone.title.removesuffix(f" {self.rest}")

    def tags(self) -> tuple[str, ...]:
        with connect(self.settings.store.url) as database:
            return Milestones(database).get(SOURCE, self.key).milestone.tags

    def versions(self) -> int:
        with connect(self.settings.store.url) as database:
            return len(Milestones(database).history(self.key, SOURCE))

    def alternates(self) -> bool:
        with connect(self.settings.store.url) as database:
            return self.key in Milestones(database).flaps(SOURCE)


@pytest.fixture
def page(settings: Settings, site: BreakableSite) -> Page:
    return Page(settings, site)


OTHER = "Calculators start"


def test_a_page_that_alternates_is_corrected_once_and_said_once(page: Page) -> None:
    found = []
    for number in range(8):
        report = page.say(page.title if number % 2 else OTHER)
        found.append((page.mails(), report.changes["corrected"], len(report.notes)))
    assert found == [(1, 1, 0), (0, 0, 1)] + [(0, 0, 0)] * 6
    assert (page.kept(), page.versions()) == (OTHER, 2)


def test_what_is_said_names_the_page_and_both_values(page: Page) -> None:
    page.say(OTHER)
    [note] = page.say(page.title).notes
    url = f"https://clockwork.example/story/{page.key}"
    assert note.startswith(f"{url}: title alternates between “{OTHER} {page.rest}” and “{page.title}")
    assert report_to_json(page.report)["notes"] == [note]


def test_a_value_that_returned_is_mailed_when_it_has_stayed_for_three_looks(page: Page) -> None:
    page.say(OTHER)
    assert page.mails() == 1
    assert [(page.say(page.title).changes["corrected"], page.mails()) for _ in range(3)] == [(0, 0), (0, 0), (1, 1)]
    assert (page.kept(), page.alternates()) == (page.title, False)
    assert [(page.look().changes["corrected"], page.mails()) for _ in range(3)] == [(0, 0)] * 3


def test_an_unchanged_page_tells_the_same_once_more(page: Page) -> None:
    page.say(OTHER)
    page.say(page.title)
    assert page.look().changes["corrected"] == 0  # 304
    assert page.look().changes["corrected"] == 1


def test_a_look_that_did_not_see_the_page_counts_neither_way(page: Page) -> None:
    page.say(OTHER)
    page.say(page.title)
    page.say(page.title)
    path = f"/story/{page.key}"
    shown, page.site.replaced[path] = page.site.replaced[path], None
    assert scrape(page.settings, SOURCE).failures != ()  # it is listed, and answers 404
    assert (page.kept(), page.alternates()) == (OTHER, True)
    page.site.replaced[path] = shown
    assert page.look().changes["corrected"] == 1


def test_it_ends_too_when_what_is_on_record_stays(page: Page) -> None:
    page.say(OTHER)
    page.say(page.title)
    for _ in range(3):
        assert page.alternates()
        page.say(OTHER)
    assert (page.kept(), page.alternates(), page.mails()) == (OTHER, False, 1)
    assert len(page.say(page.title).notes) == 1  # it begins anew, and is said anew


def test_a_third_value_waits_while_it_alternates(page: Page) -> None:
    for title in (OTHER, page.title, "A third title", OTHER, "A third title", page.title):
        page.say(title)
    assert page.kept() == OTHER
    assert [page.say("A fourth title").changes["corrected"] for _ in range(3)] == [0, 0, 1]


def test_the_other_fields_are_followed_meanwhile(page: Page) -> None:
    page.say(OTHER)
    assert page.mails() == 1
    page.say(page.title)
    told = page.site.story(page.key)
    [story] = [one for one in page.site.stories if one.key == page.key]
    changed = told.replace(story.what_happened, f"{story.what_happened} It stopped on the second day.")
    assert changed != told
    page.site.replaced[f"/story/{page.key}"] = changed.encode()
    report = page.look()
    assert (report.changes["corrected"], page.mails()) == (1, 1)
    assert page.kept() == OTHER


def test_a_backfill_leaves_what_alternates_to_the_looks(page: Page) -> None:
    page.say(OTHER)
    page.say(page.title)
    assert backfill(page.settings, SOURCE, dry_run=False, now=utc_now).written == 0
    assert page.kept() == OTHER


def test_a_field_that_the_source_ignores_alternates_no_more(page: Page) -> None:
    page.say(OTHER)
    page.say(page.title)
    [source] = page.settings.sources
    page.settings = page.settings.model_copy(update={"sources": (source.model_copy(update={
        "classes": {"title": "ignore"},
    }),)})
    page.say(OTHER)
    assert not page.alternates()


def test_what_alternates_before_anybody_heard_of_it_is_not_mailed(page: Page) -> None:
    page.say(OTHER)
    page.say(page.title)
    assert page.mails() == 0
    for _ in range(3):
        page.say(OTHER)
    assert page.mails() == 1


def test_first_times_are_followed_at_once(page: Page) -> None:
    for number in range(3):
        assert page.say(f"Title number {number}").changes["corrected"] == 1
        assert page.mails() == 1


def test_what_came_as_a_witness_fell_silent_is_mailed_when_it_has_stayed_for_three_looks(page: Page) -> None:
    tags = page.tags()
    report = page.lose()
    assert (report.changes["corrected"], page.tags(), page.mails()) == (0, tags, 0)
    [note] = report.notes
    assert "tags stays" in note
    assert "json-ld (Article.keywords) fell silent" in note
    report = page.look()
    assert (report.changes["corrected"], report.notes, page.alternates()) == (0, (), True)
    report = page.look()
    assert (report.changes["corrected"], page.tags(), page.alternates()) == (1, tags[1:], False)
    assert page.mails() == 1


def test_damage_that_is_mended_in_time_was_never_told(page: Page) -> None:
    tags = page.tags()
    page.lose()
    for _ in range(3):
        assert page.say(page.title).changes["corrected"] == 0
    assert (page.tags(), page.alternates(), page.mails(), page.versions()) == (tags, False, 0, 1)
