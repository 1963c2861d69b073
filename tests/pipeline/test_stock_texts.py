"""What is news on a page whose entries read alike: windows on its last few, stock texts, candidates and releases."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from milepost.dates import utc_now
from pipeline.look.renaming import pending_renames, resolve_rename
from pipeline.look.scrape import scrape
from store.database import connect
from store.milestones.milestones import Milestones
from tests.pipeline.history import Answer, Server, serving
from tests.pipeline.replaying import SOURCE, announce, settings_for

STOCK = "Bug fixes and performance improvements."
NOTHING: dict[str, int] = {}


class Entry(NamedTuple):
    """One entry of a page."""

    anchor: str
    title: str
    day: str  # "" for none
    text: str


class Watched:
    """A page of entries, and the looks at it."""

    def __init__(self, server: Server, folder: Path, extractor: str) -> None:
        self.server, self.extractor = server, extractor
        settings = settings_for(server, folder)
        [source] = settings.sources
        self.settings = settings.model_copy(update={"sources": (source.model_copy(update={
            "extractor": extractor, "options": {"path": "/page"},
        }),)})

    def look(self, *entries: Entry) -> dict[str, int]:
        """The page shows these, and is looked at; what that found, by kind."""
        shown = "".join(map(self._html, entries))
        page = f"<!doctype html><html><title>Page</title><body><main><h1>Page</h1>{shown}</main></body></html>"
        self.server.site = {"/page": Answer(200, page.encode()), "/robots.txt": Answer(200, b"")}
        report = scrape(self.settings, SOURCE)
        assert report.held is None
        self.asked = [(one.old, one.new) for one in report.questions]
        return {kind: count for kind, count in report.changes.items() if count}

    def _html(self, one: Entry) -> str:
        if self.extractor == "keepachangelog":
            heading = f"[{one.title}] - {one.day}" if one.day else f"[{one.title}]"
            return f"<h2>{heading}</h2><h3>Fixed</h3><ul><li>{one.text}</li></ul>"
        time = f'<time datetime="{one.day}">{one.day}</time>'
        return f'<section id="{one.anchor}">{time}<h2>{one.title}</h2><p>{one.text}</p></section>'

    def mailed(self) -> tuple[str, ...]:
        """What readers are told now, and not again."""
        return announce(self.settings, utc_now())

    def questions(self) -> list[tuple[str, str]]:
        with connect(self.settings.store.url) as database:
            return [(one.old_key, one.new_key) for one in pending_renames(database, SOURCE)]

    def answer_new(self) -> None:
        """An operator says that they are two."""
        with connect(self.settings.store.url) as database:
            [question] = pending_renames(database, SOURCE)
            resolve_rename(database, question.id, as_rename=False, why="another bridge", now=utc_now())

    def withdrawn(self) -> set[str]:
        with connect(self.settings.store.url) as database:
            return Milestones(database).withdrawn(SOURCE)


@pytest.fixture
def changelog(tmp_path: Path) -> Iterator[Watched]:
    with serving() as server:
        yield Watched(server, tmp_path, "keepachangelog")


@pytest.fixture
def timeline(tmp_path: Path) -> Iterator[Watched]:
    with serving() as server:
        yield Watched(server, tmp_path, "timelinelist")


def release(number: int, text: str = STOCK) -> Entry:
    return Entry("", f"4.{number}.0", f"2026-03-{number:02d}", text)


def station(number: int, street: str) -> Entry:
    return Entry(f"{street.lower()}-street", f"{street} Street station opens", f"{1900 + number}-05-01",
                 "Trains call here from today.")


@pytest.mark.parametrize("text", [STOCK, "Maintenance release.", "Bug fixes. Performance improvements. Stability."])
def test_each_release_of_a_changelog_that_shows_its_last_five_is_news(changelog: Watched, text: str) -> None:
    releases = [release(number, text) for number in range(1, 12)]
    assert changelog.look(*releases[4::-1]) == {"added": 5}
    for last in range(5, 11):
        assert changelog.look(*releases[last : last - 5 : -1]) == {"added": 1}
        assert changelog.mailed() == (f"4-{last + 1}-0",)
    assert changelog.look(*releases[10:5:-1]) == NOTHING
    assert (changelog.questions(), changelog.withdrawn()) == ([], set())


def test_one_stock_text_among_others_is_no_likeness_either(changelog: Watched) -> None:
    told = ["The boiler's valve no longer sticks", "A bell that rang twice rings once", STOCK,
            "The whistle is louder by a third", "Coal is counted in sacks"]
    releases = [release(number + 1, text) for number, text in enumerate([STOCK, *told])]
    changelog.look(*releases[4::-1])
    newer = [*releases[1:], release(9)]
    assert changelog.look(*newer[4::-1]) == {"added": 1}
    assert changelog.look(*newer[5:0:-1]) == {"added": 1}
    assert (changelog.mailed(), changelog.questions()) == (("4-6-0", "4-9-0"), [])


def test_releases_without_a_text_hold_nothing(changelog: Watched) -> None:
    """Candidates are announced bare, and their text moves to what is released in the end."""
    releases = [release(number, f"Part {number} of the boiler was made anew") for number in range(1, 9)]
    bare = [one._replace(text="") if one.title in {"4.2.0", "4.5.0"} else one for one in releases]
    assert changelog.look(*bare[:7][::-1]) == {"added": 7}
    assert changelog.look(*bare[::-1]) == {"added": 1}
    taken = [one._replace(text="") if one.title == "4.7.0" else one for one in bare]
    assert changelog.look(*taken[::-1], release(9, "")).get("added") == 1


def test_each_station_of_a_line_is_news(timeline: Watched) -> None:
    line = [station(number, street) for number, street in enumerate(
        ["Oak", "Elm", "Ash", "Birch", "Cedar", "Linden", "Maple", "Rowan", "Willow"]
    )]
    assert timeline.look(*line[:5]) == {"added": 5}
    for last in range(5, 9):
        assert timeline.look(*line[last - 4 : last + 1]) == {"added": 1}
        assert timeline.mailed() == (line[last].anchor,)
    assert (timeline.questions(), timeline.withdrawn()) == ([], set())


def test_without_days_a_stock_text_is_still_no_likeness(timeline: Watched) -> None:
    weeks = [Entry(f"week-{number}", f"Week {number}", "", STOCK) for number in range(1, 9)]
    timeline.look(*weeks[4::-1])
    for last in range(5, 8):
        assert timeline.look(*weeks[last : last - 5 : -1])["added"] == 1
        assert timeline.mailed() == (f"week-{last + 1}",)
    assert timeline.questions() == []


def test_another_key_and_another_day_is_a_question_at_the_most(timeline: Watched) -> None:
    others = [station(number, street) for number, street in enumerate(["Oak", "Elm", "Ash"])]
    text = "The swing bridge at the old harbour was turned by hand for the last time."
    timeline.look(*others, Entry("swing-bridge", "The swing bridge rests", "1950-03-01", text))
    moved = Entry("bridge", "The swing bridge rests", "1951-03-01", text)
    assert timeline.look(*others, moved) == {"added": 1}
    assert (timeline.mailed(), timeline.questions()) == ((), [("swing-bridge", "bridge")])
    assert timeline.asked == timeline.questions()
    assert timeline.look(*others, moved) == NOTHING
    assert timeline.asked == timeline.questions()  # said at every look, until it is answered
    timeline.answer_new()
    assert (timeline.mailed(), timeline.questions()) == (("bridge",), [])


def test_another_key_alone_is_a_rename(timeline: Watched) -> None:
    others = [station(number, street) for number, street in enumerate(["Oak", "Elm", "Ash"])]
    text = "The swing bridge at the old harbour was turned by hand for the last time."
    timeline.look(*others, Entry("swing-bridge", "The swing bridge rests", "1950-03-01", text))
    assert timeline.look(*others, Entry("bridge", "The swing bridge rests", "1950-03-01", text)) == {"renamed": 1}
    assert (timeline.mailed(), timeline.questions()) == ((), [])


@pytest.mark.parametrize("day", ["2026-04-01", "2026-04-09", ""])
def test_a_release_is_news_though_its_candidate_said_the_same(changelog: Watched, day: str) -> None:
    text = "The signal box keeps a diary of every train that passed, and prints it at midnight."
    before = [release(number) for number in range(1, 4)]
    changelog.look(*before)
    candidate, final = Entry("", "5.0.0-rc.1", "2026-04-01", text), Entry("", "5.0.0", day, text)
    assert changelog.look(candidate, *before) == {"added": 1}
    assert changelog.mailed() == ("5-0-0-rc-1",)
    assert changelog.look(final, *before) == {"added": 1}
    assert (changelog.mailed(), changelog.questions()) == (("5-0-0",), [])
    assert changelog.look(final, *before) == {"withdrawn": 1}
    assert changelog.withdrawn() == {"5-0-0-rc-1"}
    assert changelog.look(Entry("", "5.0.1", day, text), *before)["added"] == 1
    assert (changelog.mailed(), changelog.questions()) == (("5-0-1",), [])


def test_a_version_that_is_only_spelled_otherwise_is_no_news(changelog: Watched) -> None:
    text = "The signal box keeps a diary of every train that passed, and prints it at midnight."
    before = [release(number) for number in range(1, 4)]
    changelog.look(Entry("", "5.0", "2026-04-01", text), *before)
    assert changelog.look(Entry("", "5.0.0", "2026-04-01", text), *before) == {"renamed": 1}


def test_what_falls_off_a_page_without_anything_new_is_withdrawn(changelog: Watched) -> None:
    releases = [release(number) for number in range(1, 7)]
    changelog.look(*releases[4::-1])
    assert changelog.look(*releases[5:0:-1]) == {"added": 1}
    assert changelog.look(*releases[5:1:-1]) == NOTHING
    assert changelog.look(*releases[5:1:-1]) == {"withdrawn": 1}
    assert changelog.withdrawn() == {"4-2-0"}  # 4.1.0 only made room for a newer one


def test_what_fell_off_and_is_shown_again_is_as_it_was(changelog: Watched) -> None:
    releases = [release(number) for number in range(1, 7)]
    changelog.look(*releases[4::-1])
    changelog.look(*releases[5:0:-1])
    assert changelog.look(*releases[::-1]) == NOTHING
    assert changelog.look(*releases[5:0:-1]) == NOTHING
    assert changelog.look(*releases[5:0:-1]) == {"withdrawn": 1}  # this time nothing came in its place
