"""Many pages at once: what a look of a hundred thousand asks and notes."""

import datetime as dt
from dataclasses import replace

import pytest
import sqlalchemy as sa

from milepost.dates import SKEW, PartialDate
from milepost.records import Card, Unread, Validators
from store.archive.pages import CHUNK, LastRead, Pages
from tests.store.conftest import NOW, World, added, make_milestone, make_snapshot

LATER = NOW + dt.timedelta(days=1)
ONE, TWO = "https://site.example/m/one", "https://site.example/m/two"


@pytest.fixture
def pages(world: World) -> Pages:
    """Two pages of which the first was read."""
    taken = world.snapshots.add(make_snapshot(ONE), "milestone", Validators(etag='"one"'))
    world.snapshots.add(make_snapshot(TWO, b"two"), "milestone", None)
    look_id = world.looks.start("site", NOW)
    record = make_milestone("one", url=ONE)
    world.milestones.apply(look_id, "site", [(added(record), record, taken)], announce=False, now=NOW)
    return Pages(world.database)


def test_what_is_asked_before_a_crawl(pages: Pages) -> None:
    assert pages.urls("site", "milestone") == [ONE, TWO]
    assert pages.urls("site", "listing") == []
    assert pages.validators("site") == {ONE: Validators(etag='"one"')}


def test_pages_on_which_something_could_not_be_read(pages: Pages) -> None:
    assert pages.puzzling("site") == set()
    pages.note_unread("site", {ONE: [Unread(kind="entry", says="The 3rd", why="no date")], TWO: []})
    assert pages.puzzling("site") == {ONE}
    pages.note_unread("site", {ONE: []})
    assert pages.puzzling("site") == set()


def test_what_was_last_read(pages: Pages, world: World) -> None:
    assert pages.last_read("site", [ONE, TWO]) == {ONE: LastRead(1, gone=False)}
    world.snapshots.mark_gone("site", {ONE: 404}, NOW)
    assert pages.last_read("site", [ONE]) == {ONE: LastRead(1, gone=True)}
    assert world.snapshots.unread("site") == [(TWO, 2)]


def test_many_not_modified_at_once(world: World) -> None:
    urls = [f"https://site.example/m/{number:04d}" for number in range(CHUNK + 1)]
    look_id = world.looks.start("site", NOW)
    world.snapshots.note_listed("site", urls, look_id)
    Pages(world.database).note_not_modified("site", urls, LATER)
    assert {page.seen_at for page in world.snapshots.pages("site")} == {LATER}


def test_a_page_that_moved_is_away_until_it_answers(pages: Pages, world: World) -> None:
    def page() -> tuple[object, ...]:
        found = world.snapshots.pages("site")[0]
        return found.last_status, found.gone_since, found.moved_to, found.missing_look

    for moment in (NOW, LATER):
        pages.note_moved("site", {ONE: (TWO, 308)}, moment)
    assert page() == (308, NOW, TWO, None)
    assert pages.note_missing("site", [ONE], 1) == {ONE: 1}
    assert pages.validators("site") == {}
    pages.note_not_modified("site", [ONE], LATER)
    assert page()[1:] == (None, None, None)
    pages.note_moved("site", {"https://site.example/m/never-seen": (TWO, 301)}, NOW)
    assert len(pages.urls("site", "milestone")) == 3


def test_missing_is_counted_from_the_first_look_in_a_row(pages: Pages, world: World) -> None:
    second, third = world.looks.start("site", NOW), world.looks.start("site", NOW)
    assert pages.note_missing("site", [ONE, TWO], second) == {ONE: second, TWO: second}
    assert pages.note_missing("site", [ONE], third) == {ONE: second}
    assert pages.missing("site") == {ONE: second}
    fourth = world.looks.start("site", NOW)
    assert pages.note_missing("site", [ONE, TWO], fourth) == {ONE: second, TWO: fourth}


def test_one_of_several_on_a_page_can_be_missing(pages: Pages, world: World) -> None:
    look_id = world.looks.start("site", NOW)
    entry = f"{ONE}#entry"
    assert pages.note_missing("site", [entry], look_id) == {entry: look_id}
    assert entry not in pages.urls("site", "milestone")
    assert pages.note_missing("site", [], look_id) == {}


def test_what_fell_off_a_page_is_kept_until_it_is_told_otherwise(pages: Pages, world: World) -> None:
    old, older = f"{ONE}#old", f"{ONE}#older"
    look_id = world.looks.start("site", NOW)
    pages.note_missing("site", [old], look_id)
    pages.note_fallen("site", [old, older], NOW)
    assert (pages.fallen("site"), pages.missing("site"), pages.fallen("other")) == ({old, older}, {}, set())
    world.snapshots.mark_gone("site", {TWO: 404}, NOW)  # a page of its own that is gone is something else
    pages.note_fallen("site", [old], LATER)
    assert pages.fallen("site") == {old}
    pages.note_missing("site", [old], look_id)
    assert (pages.fallen("site"), pages.missing("site")) == (set(), {old: look_id})


def test_cards_of_some_keys(pages: Pages, world: World) -> None:
    card = Card(key="one", title="One", date=PartialDate(value="2012"))
    world.snapshots.replace_cards("site", "/", [card, Card(key="two", title="Two")])
    assert pages.cards("site", {"one"}) == {"one": [("/", card)]}
    pages.forget_rereads("site", {"one"})
    assert world.snapshots.to_reread("site") == {"two"}


def test_pages_seen_ahead_of_the_clock_are_counted_by_source(pages: Pages, world: World) -> None:
    world.snapshots.add(replace(make_snapshot("https://else.example/m/one"), source="else"), "milestone", None)
    assert (pages.seen_ahead("site", NOW), pages.seen_ahead("site", NOW - SKEW)) == (0, 0)  # clocks differ a little
    long_ago = NOW - dt.timedelta(days=9)
    assert (pages.seen_ahead("site", long_ago), pages.seen_ahead("else", long_ago)) == (2, 1)
    pages.note_not_modified("site", [ONE], long_ago)
    assert pages.seen_ahead("site", long_ago) == 1


def test_of_very_many_pages_few_are_written_in_one_transaction(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who else writes to SQLite waits for no more than these."""
    monkeypatch.setattr("store.archive.pages.CHUNK", 10)
    urls = [f"https://site.example/m/{number}" for number in range(35)]
    look_id, began = world.look(), list[int]()

    def begins(_connection: sa.Connection) -> None:
        began.append(0)

    sa.event.listen(world.database.engine, "begin", begins)
    try:
        world.snapshots.note_listed("site", urls, look_id)
        Pages(world.database).note_not_modified("site", urls, LATER)
    finally:
        sa.event.remove(world.database.engine, "begin", begins)
    assert len(began) == 8
    assert len([*Pages(world.database).seen_since("site", LATER)]) == len(urls)
