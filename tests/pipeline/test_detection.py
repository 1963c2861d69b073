"""What a look makes of pages that go, move and come back, of listings that lie, and of what waits for an operator."""

import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from console.demo.site.pages import Story
from milepost.dates import PartialDate, utc_now
from milepost.errors import MilepostError
from milepost.records import FieldClass, LookReport
from milepost.settings import Settings
from pipeline.holds import refuse
from pipeline.look.renaming import pending_renames, resolve_rename
from pipeline.look.scrape import scrape
from store.database import connect
from store.issues.issues import Issues
from store.milestones.looks import Looks
from store.milestones.milestones import Milestones
from store.milestones.timeline import Timeline
from tests.pipeline import history, prepared
from tests.pipeline.history import BASE, Answer, Server, Site, serving
from tests.pipeline.replaying import SOURCE, announce, settings_for

COUNT = 12
NOTHING: dict[str, int] = {}


class Stage:
    """A site of a dozen stories, and the looks at it."""

    def __init__(self, server: Server, settings: Settings) -> None:
        self.server, self.settings = server, settings
        dice = random.Random(3)  # noqa: S311
        self.stories = [replace(history.story(dice, n), era="steam", category="works") for n in range(COUNT)]
        self.spare = [replace(history.story(dice, COUNT + n), era="steam", category="works") for n in range(6)]
        self.moved: dict[str, str] = {}
        self.builds = 0

    def serve(self, *, without: tuple[Story, ...] = (), answers: Site | None = None) -> None:
        """Deploy: all stories but those `without`, and other `answers` to some paths."""
        self.builds += 1
        shown = tuple(one for one in self.stories if one not in without)
        self.server.site = {
            **history.site(shown, f"b{self.builds}", moved=self.moved), **(answers or {}),
        }

    def look(self, **classes: FieldClass) -> dict[str, int]:
        """One look; what it found, by kind."""
        source = self.settings.source(SOURCE).model_copy(update={"classes": classes})
        self.report: LookReport = scrape(self.settings.model_copy(update={"sources": (source,)}), SOURCE)
        return {kind: count for kind, count in self.report.changes.items() if count}

    def told(self) -> list[str]:
        """The keys that would be news now."""
        with connect(self.settings.store.url) as database:
            return [stored.milestone.key for _, stored in Issues(database).unannounced("instant")]

    def withdrawn(self) -> set[str]:
        with connect(self.settings.store.url) as database:
            return Milestones(database).withdrawn(SOURCE)

    def identity(self, key: str) -> int:
        with connect(self.settings.store.url) as database:
            return Milestones(database).get(SOURCE, key).id

    def waiting(self) -> list[tuple[int, str | None]]:
        with connect(self.settings.store.url) as database:
            return [(look.id, look.guard) for look in Looks(database).list(SOURCE, waiting=True)]

    def release(self) -> None:
        with connect(self.settings.store.url) as database:
            for look in Looks(database).list(SOURCE, waiting=True):
                Looks(database).release(look.id, "I looked", utc_now())

    def refuse(self) -> None:
        with connect(self.settings.store.url) as database:
            for look in Looks(database).list(SOURCE, waiting=True):
                refuse(database, look.id, why="a fault", now=utc_now())

    def take_back_refusals(self) -> None:
        with connect(self.settings.store.url) as database:
            for look in Looks(database).list(SOURCE):
                if look.refused:
                    Looks(database).release(look.id, "it was right", utc_now(), refused=True)

    def shown(self) -> dict[str, str]:
        """Everybody's timeline: key → title."""
        with connect(self.settings.store.url) as database:
            timeline = Timeline(database)
            places = timeline.places()
            records = timeline.records([one.id for one in places])
        assert all(records[one.id].title == one.title for one in places)
        return {one.key: one.title for one in places if not one.withdrawn}

    def answer(self, *, as_rename: bool) -> None:
        with connect(self.settings.store.url) as database:
            [question] = pending_renames(database, SOURCE)
            resolve_rename(database, question.id, as_rename=as_rename, why="I looked", now=utc_now())


@pytest.fixture(scope="session")
def first_look(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database after the baseline, looked at once a process."""
    with serving() as server:
        stage = Stage(server, settings_for(server, tmp_path_factory.mktemp("baseline")))
        stage.serve()
        assert stage.look() == {"added": COUNT}
        return prepared.file_of(stage.settings)


@pytest.fixture
def stage(first_look: Path, tmp_path: Path) -> Iterator[Stage]:
    """After the baseline."""
    with serving() as server:
        stage = Stage(server, settings_for(server, tmp_path))
        stage.serve()
        prepared.copy_file(first_look, stage.settings)
        yield stage


def nervous(stage: Stage) -> None:
    """Guards for a small site: more than two of anything."""
    guards = stage.settings.guards.model_copy(update={
        "surge_min": 2, "removal_min": 2, "surge_share": 0.1, "max_failed_share": 0.5,
    })
    stage.settings = stage.settings.model_copy(update={"guards": guards})


def path(one: Story) -> str:
    return f"/story/{one.key}"


# --- pages that go ----------------------------------------------------------------------------------------------------


def test_gone_and_unlisted_at_two_looks_is_withdrawn_and_back_again_restored(stage: Stage) -> None:
    one = stage.stories[0]
    first = stage.identity(one.key)
    stage.serve(without=(one,))
    assert stage.look() == NOTHING
    assert stage.look() == {"withdrawn": 1}
    assert stage.look() == NOTHING
    assert stage.withdrawn() == {one.key}
    stage.serve()
    assert stage.look() == {"restored": 1}
    assert (stage.withdrawn(), stage.identity(one.key), stage.told()) == (set(), first, [])


def test_gone_for_one_look_is_nothing(stage: Stage) -> None:
    for _ in range(3):
        stage.serve(without=(stage.stories[0],))
        assert stage.look() == NOTHING
        stage.serve()
        assert stage.look() == NOTHING


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(404), id="gone-but-listed"),
        pytest.param(Answer(410), id="gone-for-good-but-listed"),
        pytest.param(Answer(503), id="in-trouble"),
        pytest.param(Answer(308, location="/"), id="leads-home-but-listed"),
        pytest.param(Answer(200, b"<html><h1>Are you human?</h1>"), id="a-captcha"),
    ],
)
def test_what_is_listed_is_not_withdrawn_whatever_its_page_says(stage: Stage, answer: Answer) -> None:
    stage.serve(answers={path(stage.stories[0]): answer})
    assert [stage.look() for _ in range(3)] == [NOTHING] * 3


def test_what_answers_is_not_withdrawn_though_nothing_lists_it(stage: Stage) -> None:
    one = stage.stories[0]
    page = stage.server.site[path(one)]
    stage.serve(without=(one,), answers={path(one): page})
    assert [stage.look() for _ in range(3)] == [NOTHING] * 3


def test_what_leads_elsewhere_and_is_listed_nowhere_is_withdrawn(stage: Stage) -> None:
    one, known = stage.stories[0], stage.stories[1]
    stage.serve(without=(one,), answers={path(one): Answer(301, location=path(known))})
    assert [stage.look() for _ in range(3)] == [NOTHING, {"withdrawn": 1}, NOTHING]
    assert stage.told() == []


def test_a_look_that_could_not_read_a_listing_does_not_count(stage: Stage) -> None:
    one = stage.stories[0]
    stage.serve(without=(one,), answers={"/age/steam": Answer(500)})
    assert [stage.look() for _ in range(3)] == [NOTHING] * 3
    stage.serve(without=(one,))
    assert [stage.look(), stage.look()] == [NOTHING, {"withdrawn": 1}]


def test_a_days_outage_takes_nothing(stage: Stage) -> None:
    whole = stage.server.site
    for status in (500, 503, 404):
        stage.server.site = {where: Answer(status) for where in whole}
        for _ in range(2):
            with suppress(MilepostError):
                stage.look()
    stage.server.site = whole
    stage.look()
    assert (stage.withdrawn(), stage.told()) == (set(), [])


# --- too many at once -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("among_others", "guard"), [(False, "shrunken"), (True, "removal")])
def test_a_mass_removal_waits_for_an_operator_and_asks_once(stage: Stage, among_others: bool, guard: str) -> None:
    nervous(stage)
    lost, others = tuple(stage.stories[:3]), tuple(stage.spare[:2]) if among_others else ()
    stage.stories += others  # then no fewer are listed than before
    stage.serve(without=lost)
    assert stage.look() == ({"added": 2} if among_others else NOTHING)
    for _ in range(2):
        assert stage.look() == NOTHING
        assert stage.report.held is not None
    assert [waits for _, waits in stage.waiting()] == [guard]
    assert stage.withdrawn() == set()
    stage.release()
    assert stage.look() == {"withdrawn": 3}
    assert (stage.withdrawn(), stage.waiting()) == ({one.key for one in lost}, [])


def test_listings_that_shrink_hold_the_look(stage: Stage) -> None:
    nervous(stage)
    pages = {path(one): stage.server.site[path(one)] for one in stage.stories[:4]}
    stage.serve(without=tuple(stage.stories[:4]), answers=pages)
    assert stage.look() == NOTHING
    assert stage.report.held is not None
    assert "8 milestones, 4 fewer than before" in stage.report.held
    assert [guard for _, guard in stage.waiting()] == ["shrunken"]
    stage.release()
    assert (stage.look(), stage.report.held) == (NOTHING, None)


def test_what_a_held_look_found_changes_nothing_that_readers_see(stage: Stage) -> None:
    nervous(stage)
    pending = stage.spare[0]
    stage.stories.append(pending)
    stage.serve()
    assert stage.look() == {"added": 1}
    stage.stories = [*stage.stories[:-1], replace(pending, title="Hacked"), *stage.spare[1:4]]
    stage.serve()
    assert stage.look() == {"added": 3, "corrected": 1}
    assert [guard for _, guard in stage.waiting()] == ["surge"]
    with connect(stage.settings.store.url) as database:
        [(_, shown)] = Issues(database).unannounced("instant")
    assert shown.milestone.title == pending.title
    stage.release()
    with connect(stage.settings.store.url) as database:
        titles = {stored.milestone.key: stored.milestone.title for _, stored in Issues(database).unannounced("instant")}
    assert titles[pending.key] == "Hacked"
    assert len(titles) == 4


def test_what_an_incomplete_look_found_waits_for_a_complete_one(stage: Stage) -> None:
    stage.stories.append(stage.spare[0])
    stage.serve(answers={"/age/steam": Answer(500)})
    assert stage.look() == {"added": 1}
    assert [guard for _, guard in stage.waiting()] == ["incomplete"]
    assert stage.told() == []
    stage.serve()
    assert stage.look() == NOTHING
    assert (stage.told(), stage.waiting()) == ([stage.spare[0].key], [])


def test_a_surge_in_an_incomplete_look_still_waits_for_an_operator(stage: Stage) -> None:
    nervous(stage)
    stage.stories += stage.spare[:4]
    stage.serve(answers={"/age/steam": Answer(500)})
    assert stage.look() == {"added": 4}
    stage.serve()
    stage.look()
    assert (stage.told(), [guard for _, guard in stage.waiting()]) == ([], ["incomplete"])


def test_corrections_are_no_surge(stage: Stage) -> None:
    nervous(stage)
    stage.stories = [replace(one, title=f"{one.title}, told anew") if number < 4 else one
                     for number, one in enumerate(stage.stories)]
    stage.serve()
    assert stage.look() == {"corrected": 4}
    assert (stage.report.held, stage.waiting()) == (None, [])


def test_what_the_first_look_listed_and_could_not_read_is_no_surge_when_it_comes(tmp_path: Path) -> None:
    with serving() as server:
        stage = Stage(server, settings_for(server, tmp_path))
        nervous(stage)
        stage.serve(answers={path(one): Answer(500) for one in stage.stories[:4]})
        assert stage.look() == {"added": COUNT - 4}
        stage.serve()
        assert stage.look() == {"added": 4}
        assert (stage.report.held, stage.waiting(), stage.told()) == (None, [], [])


# --- refused ----------------------------------------------------------------------------------------------------------


def test_a_surge_that_is_refused_is_as_if_it_had_not_been_and_holds_nothing_again(stage: Stage) -> None:
    nervous(stage)
    before = stage.shown()
    junk, title = stage.spare[:4], stage.stories[0].title
    stage.stories = [replace(stage.stories[0], title="Hacked"), *stage.stories[1:], *junk]
    stage.serve()
    assert stage.look() == {"added": 4, "corrected": 1}
    stage.refuse()
    assert (stage.waiting(), stage.shown(), stage.told()) == ([], before, [])
    stage.serve()  # all pages are others now, and say the same
    assert stage.look() == NOTHING
    assert any("5 milestones told as before an operator refused it" in note for note in stage.report.notes)
    assert (stage.waiting(), stage.shown()) == ([], before)
    stage.stories = [replace(stage.stories[0], title="Hacked"), *stage.stories[1:], stage.spare[4]]
    stage.serve()
    assert stage.look() == {"added": 1}  # that is news, and so is another title
    assert stage.told() == [stage.spare[4].key]
    stage.stories[0] = replace(stage.stories[0], title=f"{title}, told better")
    stage.serve()
    assert stage.look() == {"corrected": 1}
    assert stage.shown()[stage.stories[0].key] == f"{title}, told better"


def test_a_refusal_can_be_taken_back(stage: Stage) -> None:
    nervous(stage)
    stage.stories += stage.spare[:4]
    stage.serve()
    stage.look()
    stage.refuse()
    stage.take_back_refusals()
    assert len(stage.shown()) == COUNT
    assert stage.look() == {"added": 4}
    stage.release()
    assert set(stage.told()) == {one.key for one in stage.spare[:4]}
    assert len(stage.shown()) == COUNT + 4


def test_only_what_is_refused_of_two_held_looks_is_taken_back(stage: Stage) -> None:
    nervous(stage)
    first, *rest = stage.stories
    stage.stories = [replace(first, title="Once"), *rest, *stage.spare[:3]]
    stage.serve()
    stage.look()
    stage.stories = [replace(first, title="Once", why_it_mattered="For this."), *rest, *stage.spare]
    stage.serve()
    stage.look()
    (later, _), (earlier, _) = stage.waiting()
    with connect(stage.settings.store.url) as database:
        refuse(database, earlier, why="a fault", now=utc_now())
        assert Milestones(database).get(SOURCE, first.key).milestone.title == first.title
        assert Milestones(database).get(SOURCE, first.key).milestone.why_it_mattered == "For this."
        assert len(stage.shown()) == COUNT
        Looks(database).release(later, "I looked", utc_now())
        shown = Milestones(database).get(SOURCE, first.key).milestone
    assert (shown.title, shown.why_it_mattered) == (first.title, "For this.")
    assert set(stage.shown()) == {one.key for one in (first, *rest, *stage.spare[3:])}


@pytest.mark.parametrize("among_others", [False, True], ids=["shrunken", "removal"])
def test_a_removal_that_is_refused_takes_nothing_and_asks_no_more(stage: Stage, among_others: bool) -> None:
    nervous(stage)
    lost, others = tuple(stage.stories[:3]), tuple(stage.spare[:2]) if among_others else ()
    stage.stories += others
    stage.serve(without=lost)
    stage.look()
    stage.refuse()
    for _ in range(3):
        stage.look()
        assert stage.report.state in ("incomplete", "degraded")
    assert (stage.waiting(), stage.withdrawn()) == ([], set())
    # What was read is read again: only that so much was missing was wrong.
    assert set(stage.told()) == {one.key for one in others}
    stage.serve()
    stage.look()
    assert stage.report.state == "complete"
    stage.serve(without=lost)
    stage.look()
    assert len(stage.waiting()) == (0 if not among_others else 1)  # gone anew, it is asked anew


def test_an_incomplete_look_that_is_refused_takes_nothing_until_it_is_whole(stage: Stage) -> None:
    stage.stories.append(stage.spare[0])
    stage.serve(answers={"/age/steam": Answer(500)})
    assert stage.look() == {"added": 1}
    stage.refuse()
    for _ in range(2):
        assert stage.look() == NOTHING
        assert (stage.report.state, stage.report.held) == ("incomplete", None)
    assert (stage.waiting(), stage.told(), len(stage.shown())) == ([], [], COUNT)
    stage.serve()
    assert stage.look() == {"added": 1}
    assert (stage.report.state, stage.told()) == ("complete", [stage.spare[0].key])


def test_pages_that_lost_a_section_are_refused_once(stage: Stage) -> None:
    whole = stage.shown()
    kept = list(stage.stories)
    stage.stories = [replace(one, title="Clockwork") for one in stage.stories]
    stage.serve()
    stage.look()
    assert [guard for _, guard in stage.waiting()] == ["drift"]
    stage.refuse()
    assert (stage.waiting(), stage.shown()) == ([], whole)
    for _ in range(2):
        stage.serve()
        assert stage.look() == NOTHING
        assert stage.waiting() == []
    stage.stories = kept
    stage.serve()
    assert (stage.look(), stage.report.state, stage.shown()) == (NOTHING, "complete", whole)


# --- renames ----------------------------------------------------------------------------------------------------------


def rename(stage: Stage, **fields: object) -> tuple[Story, Story]:
    """The first story under a new key, with other fields; (old, new)."""
    old = stage.stories[0]
    new = replace(old, key=f"{old.key}-moved", **fields)  # type: ignore[arg-type]
    stage.stories[0] = new
    return old, new


GREY = {"title": "Of water, and what was done with it", "date": PartialDate(value="1999"), "tags": ("other",)}


@pytest.mark.parametrize("redirects", [True, False], ids=["with-a-redirect", "without"])
def test_a_rename_keeps_the_milestone_and_is_no_news(stage: Stage, redirects: bool) -> None:
    first = stage.identity(stage.stories[0].key)
    old, new = rename(stage, why_it_mattered=f"{stage.stories[0].why_it_mattered} So it is told.")
    stage.moved = {old.key: new.key} if redirects else {}
    stage.serve()
    assert stage.look() == {"renamed": 1}
    assert [stage.look() for _ in range(2)] == [NOTHING] * 2
    assert (stage.identity(new.key), stage.told(), stage.withdrawn()) == (first, [], set())


def test_a_redirect_is_believed_whatever_else_changed(stage: Stage) -> None:
    first = stage.identity(stage.stories[0].key)
    other = replace(stage.spare[0], key="something-else")
    old, stage.stories[0] = stage.stories[0], other
    stage.moved = {old.key: other.key}
    stage.serve()
    assert stage.look() == {"renamed": 1}
    assert stage.identity(other.key) == first


@pytest.mark.parametrize("as_rename", [True, False], ids=["the-same", "new"])
def test_what_is_only_alike_is_asked(stage: Stage, as_rename: bool) -> None:
    first = stage.identity(stage.stories[0].key)
    old, new = rename(stage, **GREY)
    stage.serve()
    assert stage.look() == {"added": 1}
    assert [stage.look() for _ in range(3)] == [NOTHING] * 3  # the old one is not withdrawn while that is open
    assert stage.told() == []
    stage.answer(as_rename=as_rename)
    assert stage.told() == ([] if as_rename else [new.key])
    assert (stage.identity(new.key) == first) == as_rename
    stage.look()
    stage.look()
    assert stage.withdrawn() == (set() if as_rename else {old.key})


def test_a_half_done_deploy_asks_and_the_rest_of_it_answers(stage: Stage) -> None:
    first = stage.identity(stage.stories[0].key)
    before = stage.server.site
    old, new = rename(stage)
    stage.serve()
    after = stage.server.site
    stage.server.site = {**before, path(new): after[path(new)], "/": after["/"]}  # both are there, both are listed
    assert stage.look() == {"added": 1}
    assert stage.told() == []
    stage.server.site = after
    stage.look()
    assert (stage.told(), stage.identity(new.key)) == ([], first)
    assert old.key not in stage.withdrawn()


def test_a_new_one_that_is_gone_again_answers_nothing(stage: Stage) -> None:
    before = stage.server.site
    _, new = rename(stage)
    stage.serve()
    after = stage.server.site
    stage.server.site = {**before, path(new): after[path(new)], "/": after["/"]}
    assert stage.look() == {"added": 1}
    stage.stories.pop(0)
    stage.serve()
    stage.look()
    with connect(stage.settings.store.url) as database:
        assert [question.new_key for question in pending_renames(database, SOURCE)] == [new.key]


def test_while_the_listings_name_far_fewer_nobody_is_taken_for_gone(stage: Stage) -> None:
    _, new = rename(stage)
    stage.stories = [new, *stage.stories[8:]]
    stage.serve()
    assert stage.look() == {"added": 1}
    assert "fewer than before" in (stage.report.held or "")


def test_a_page_that_moved_to_one_that_can_not_be_read_yet_waits(stage: Stage) -> None:
    first = stage.identity(stage.stories[0].key)
    old, new = rename(stage)
    stage.moved = {old.key: new.key}
    stage.serve(answers={path(new): Answer(503)})
    assert [stage.look() for _ in range(3)] == [NOTHING] * 3
    stage.serve()
    assert stage.look() == {"renamed": 1}
    assert stage.identity(new.key) == first


def test_an_old_address_that_comes_back_beside_the_new_one_is_asked_about(stage: Stage) -> None:
    old, new = rename(stage)
    stage.serve()
    assert stage.look() == {"renamed": 1}
    stage.stories.append(old)
    stage.serve()
    assert stage.look() == {"added": 1}
    assert stage.told() == []
    stage.answer(as_rename=False)
    assert stage.told() == [old.key]
    assert new.key != old.key


def test_there_and_back_again_is_one_milestone(stage: Stage) -> None:
    first = stage.identity(stage.stories[0].key)
    old, _ = rename(stage)
    stage.serve()
    stage.look()
    stage.stories[0] = old
    stage.serve()
    assert stage.look() == {"renamed": 1}
    assert (stage.identity(old.key), stage.told()) == (first, [])


# --- a source's own classes -------------------------------------------------------------------------------------------


def test_a_source_may_ignore_a_field(stage: Stage) -> None:
    stage.stories[0] = replace(stage.stories[0], impact=stage.stories[0].impact % 5 + 1)
    stage.serve()
    assert stage.look(impact="ignore") == NOTHING
    stage.serve()
    assert stage.look(impact="cosmetic") == {"cosmetic": 1}


# --- several milestones on one page -----------------------------------------------------------------------------------


class Changelog:
    """A page of releases."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        settings = settings_for(server, folder)
        [source] = settings.sources
        self.settings = settings.model_copy(update={"sources": (source.model_copy(update={
            "extractor": "keepachangelog", "options": {"path": "/changelog"}, "base_url": BASE,
        }),)})

    def look(self, *releases: tuple[str, str]) -> dict[str, int]:
        body = "".join(f"<h2>{version} - 2026-03-0{version[2]}</h2><h3>Fixed</h3><ul><li>{text}</li></ul>"
                       for version, text in releases)
        page = f"<!doctype html><html><title>Changes</title><body><h1>Changes</h1>{body}</body></html>"
        self.server.site = {"/changelog": Answer(200, page.encode()), "/robots.txt": Answer(200, b"")}
        report = scrape(self.settings, SOURCE)
        return {kind: count for kind, count in report.changes.items() if count}


@pytest.fixture
def changelog(tmp_path: Path) -> Iterator[Changelog]:
    with serving() as server:
        yield Changelog(server, tmp_path)


ONE, TWO = ("1.1.0", "A leak in the boiler that nobody had seen"), ("1.2.0", "The bell rings again when it is struck")
LIKE_TWO = ("1.3.0", "The bell rings again when it is struck")


def test_an_entry_of_a_page_is_news_withdrawn_and_restored_like_any_other(changelog: Changelog) -> None:
    assert changelog.look(ONE) == {"added": 1}
    assert changelog.look(ONE, TWO) == {"added": 1}
    assert announce(changelog.settings, utc_now()) == ("1-2-0",)
    assert changelog.look(ONE, TWO, LIKE_TWO) == {"added": 1}
    assert announce(changelog.settings, utc_now()) == ("1-3-0",)  # alike, but beside each other on one page
    assert changelog.look(ONE, LIKE_TWO) == NOTHING
    assert changelog.look(ONE, LIKE_TWO) == {"withdrawn": 1}
    assert changelog.look(ONE, TWO, LIKE_TWO) == {"restored": 1}
    assert announce(changelog.settings, utc_now()) == ()
