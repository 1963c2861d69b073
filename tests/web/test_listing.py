"""Each piece of news is one entry, whatever number of cadences told it."""

import datetime as dt
from typing import Any

import pytest
from lxml import html

from milepost.records import Amended, FieldChange
from tests.html_page import elements, strings, text_of
from web.pages import Pages
from web.public.archive import Archive
from web.public.listing import listing

CADENCES = ("instant", "daily", "weekly", "monthly")


@pytest.fixture
def four(issues: Any, issue: Any, item: Any) -> Any:
    """Five stories, each told by an issue of each cadence: twenty issues."""
    for story in range(5):
        for place, cadence in enumerate(CADENCES):
            number = 4 * story + place + 1
            issues.by_number[number] = issue(
                number, cadence=cadence, sequence=story + 1, items=(item(story + 1),), subject=f"Story {story + 1}",
                frozen_at=issue(1).created_at + dt.timedelta(hours=number),
            )
    return issues


def test_twenty_issues_of_five_stories_are_five_entries(ask: Any, four: Any) -> None:
    page = html.fromstring(ask("GET", "/issues").text)
    assert strings(page, "//*[@class='issues']/li/a/@href") == [f"/issues/{number}" for number in (17, 13, 9, 5, 1)]
    [first, *_] = elements(page, "//*[@class='issues']/li")
    assert "Instant no. 5 · " in text_of(first)
    assert [text_of(link) for link in elements(first, "./p[@class='also']/a")] == [
        "Daily no. 5", "Weekly no. 5", "Monthly no. 5",
    ]
    assert ask("GET", "/feed.atom").text.count("<entry>") == 5
    assert [one["tags"] for one in ask("GET", "/feed.json").json()["items"]] == [["instant"]] * 5
    assert ask("GET", "/sitemap.xml").text.count("<loc>") == 6
    assert len(four.by_number) == 20


@pytest.mark.usefixtures("four")
def test_every_old_address_goes_on_working_and_names_the_one_that_stands_for_it(ask: Any) -> None:
    for number in range(1, 21):
        answer = ask("GET", f"/issues/{number}")
        page = html.fromstring(answer.text)
        stands = number - (number - 1) % 4
        assert answer.status_code == 200
        assert strings(page, "//link[@rel='canonical']/@href") == [f"https://timeline.example/issues/{stands}"]
        others = [other for other in range(stands, stands + 4) if other != number]
        assert strings(page, "//main/p[@class='also']/a/@href") == [f"/issues/{other}" for other in others]


@pytest.mark.usefixtures("four")
def test_numbers_and_neighbours_are_those_of_the_cadence(ask: Any) -> None:
    page = html.fromstring(ask("GET", "/issues/11").text)
    assert "Weekly no. 3 · " in text_of(elements(page, "//p[@class='line']")[0])
    assert strings(page, "//a[@rel='prev' or @rel='next']/@href") == ["/issues/7", "/issues/15"]


def test_a_digest_of_what_was_told_is_no_entry_and_stands_for_itself(
    ask: Any, issues: Any, issue: Any, item: Any
) -> None:
    issues.by_number = {
        1: issue(1, cadence="instant", items=(item(1),)), 2: issue(2, cadence="instant", items=(item(2),)),
        3: issue(3, items=(item(1), item(2))), 4: issue(4, period="w2", items=(item(1), item(2), item(3))),
    }
    page = html.fromstring(ask("GET", "/issues").text)
    assert strings(page, "//*[@class='issues']/li/a/@href") == ["/issues/4", "/issues/2", "/issues/1"]  # 4 tells of 3
    digest = html.fromstring(ask("GET", "/issues/3").text)
    assert strings(digest, "//link[@rel='canonical']/@href") == ["https://timeline.example/issues/3"]
    assert "Issue 3 · " in text_of(digest)  # from before they were counted by cadence, as its mail says


def test_an_issue_for_a_few_readers_has_a_page_and_is_no_entry(
    ask: Any, issues: Any, issue: Any, item: Any, settings: Any
) -> None:
    issues.by_number = {1: issue(1, items=(item(1),)), 2: issue(2, items=(), owed=(item(1),))}
    archive = Archive(Pages(settings.newsletter, settings.web), issues, settings)
    assert archive.numbers() == [2, 1]  # of both a file is written: a mail leads to it
    assert "Milestone number 1" in archive.issue(2)
    page = html.fromstring(ask("GET", "/issues").text)
    assert strings(page, "//*[@class='issues']/li/a/@href") == ["/issues/1"]


def test_what_the_issues_tell_is_asked_again_when_they_are_others(
    ask: Any, make_app: Any, settings: Any, issues: Any, issue: Any, item: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    told = issues.told

    def counted(states: Any) -> Any:
        asked.append(states)
        return told(states)

    monkeypatch.setattr(issues, "told", counted)
    issues.by_number[1] = issue(1)
    app = make_app(settings)
    for _ in range(3):
        ask("GET", "/issues/1", app=app)
    assert len(asked) == 1
    issues.by_number[2] = issue(2, items=(item(9),))
    assert "/issues/2" in ask("GET", "/issues", app=app).text
    assert len(asked) == 2


def test_what_was_sealed_first_stays_the_entry(issue: Any, item: Any) -> None:
    weekly = issue(2, items=(item(1),), frozen_at=issue(1).created_at)
    told = {2: frozenset({("news", 1)})}
    assert listing([weekly], told).entries == (weekly,)
    late = issue(1, cadence="instant", items=(item(1),), frozen_at=issue(1).created_at + dt.timedelta(hours=1))
    both = listing([weekly, late], told | {1: told[2]})
    assert (both.entries, dict(both.canonical)) == ((weekly,), {1: 2})


def test_the_same_milestone_corrected_is_another_thing_to_tell(issue: Any) -> None:
    first, second = issue(1), issue(2, period="w2")
    found = listing([first, second], {1: frozenset({("news", 5)}), 2: frozenset({("correction", 5)})})
    assert found.entries == (second, first)
    assert found.repeats == {1: (), 2: ()}


# --- what became of it since ------------------------------------------------------------------------------------------

THE_13TH = dt.datetime(2027, 4, 12, 23, 0, tzinfo=dt.UTC)  # in Amsterdam
RETOLD = (FieldChange("people", "corrected", ["Nobody"], ["Ada Invented"]),)


@pytest.fixture
def corrected(issues: Any, issue: Any, item: Any) -> Any:
    issues.by_number = {3: issue(3, items=(item(1), item(2))), 9: issue(9, period="w9", items=(item(4),))}
    issues.amendments = {3: {2: Amended(fields=RETOLD, corrected_at=THE_13TH, issue=9)}}
    return issues


@pytest.mark.usefixtures("corrected")
def test_a_correction_stands_at_the_item_that_was_wrong(ask: Any) -> None:
    page = html.fromstring(ask("GET", "/issues/3").text)
    [mark] = elements(page, "//*[@class='amended']")
    assert text_of(elements(mark, "..//h2")[0]) == "Milestone number 2"
    assert "Corrected on 13 April 2027" in text_of(mark)
    assert (text_of(elements(mark, ".//del")[0]), text_of(elements(mark, ".//ins")[0])) == ("Nobody", "Ada Invented")
    assert strings(mark, ".//a/@href") == ["https://timeline.example/issues/9"]
    assert elements(html.fromstring(ask("GET", "/issues/9").text), "//*[@class='amended']") == []


@pytest.mark.usefixtures("corrected")
def test_feeds_say_when_an_entry_was_last_another(ask: Any) -> None:
    updated = "2027-04-12T23:00:00+00:00"
    assert ask("GET", "/feed.atom").text.count(f"<updated>{updated}</updated>") == 2  # the entry's and the feed's
    [_, third] = ask("GET", "/feed.json").json()["items"]
    assert (third["date_modified"], third["date_published"]) == (updated, "2026-11-23T23:30:00+00:00")
    assert "Ada Invented" in third["content_html"]
    assert ask("GET", "/sitemap.xml").text.count(f"<lastmod>{updated}</lastmod>") == 2


def test_what_is_again_as_it_was_told_is_marked_no_more(ask: Any, corrected: Any) -> None:
    back = FieldChange("people", "corrected", ["Ada Invented"], ["Nobody"])
    corrected.amendments = {3: {2: Amended(fields=(*RETOLD, back), corrected_at=THE_13TH)}}
    assert "amended\"" not in ask("GET", "/issues/3").text
    assert "2027-04-12" not in ask("GET", "/feed.atom").text


def test_a_withdrawn_milestone_says_so(ask: Any, corrected: Any) -> None:
    corrected.amendments = {3: {1: Amended(withdrawn_at=THE_13TH)}}
    page = html.fromstring(ask("GET", "/issues/3").text)
    assert [text_of(mark).strip() for mark in elements(page, "//*[@class='amended']")] == [
        "Withdrawn on 13 April 2027: its source no longer shows it"
    ]
