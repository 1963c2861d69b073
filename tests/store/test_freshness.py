"""A stamp stays while nothing that pages show is written, and differs as soon as it is, on either database."""

from milepost.records import IssueState, SiteLabel
from store.database import connect
from store.freshness import Freshness
from store.milestones.source_labels import SourceLabels
from store.milestones.timeline import Timeline
from tests.store.conftest import NOW, World, make_milestone

SHOWN: tuple[IssueState, ...] = ("frozen", "sending", "complete")


def test_what_is_written_to_what_pages_show_is_another_stamp_and_nothing_else_is(world: World) -> None:
    freshness = Freshness(world.database, SHOWN)
    stamps = [freshness.stamp()]
    assert freshness.stamp() == stamps[0]
    world.subscribers.add("reader@example.org", now=NOW)  # whom no page shows
    assert freshness.stamp() == stamps[0]
    with connect(world.database.url.render_as_string(hide_password=False)) as elsewhere:  # another program's look
        World(elsewhere).look(make_milestone("one"))
    stamps.append(freshness.stamp())
    held = world.look(make_milestone("two"), held="many are new")
    stamps.append(freshness.stamp())
    world.looks.release(held, "they are true", NOW)
    stamps.append(freshness.stamp())
    number = world.frozen()
    stamps.append(freshness.stamp())
    assert number == 1
    assert len(set(stamps)) == len(stamps)
    assert freshness.stamp() == stamps[-1]


def test_nobody_waits_for_a_stamp_that_is_known(world: World) -> None:
    freshness = Freshness(world.database, SHOWN)
    known = freshness.stamp()
    at_once = world.database.dialect == "sqlite"  # a server is asked each time, off the loop
    assert freshness.at_once() == (known if at_once else None)
    world.look(make_milestone("one"))
    assert freshness.at_once() is None
    assert freshness.stamp() != known


def test_the_timeline_is_what_nobody_has_to_decide_on_any_more(world: World) -> None:
    world.look(make_milestone("one", title="One", era="first", tags=("a", "b")), announce=False)
    held = world.look(make_milestone("two"), held="many are new")
    timeline = Timeline(world.database)
    assert [(place.key, place.era, place.tags, place.withdrawn) for place in timeline.places()] == [
        ("one", "first", ("a", "b"), False)
    ]
    world.looks.release(held, "they are true", NOW)
    places = timeline.places()
    assert [place.key for place in places] == ["one", "two"]
    assert [record.title for record in timeline.records([place.id for place in places]).values()] == [
        "One", "Title of two"
    ]
    assert timeline.changes(["added"], limit=1)[0].change.key == "two"
    assert timeline.last_changed(["added"], [places[0].id]) == {places[0].id: NOW}
    world.frozen()
    told = [timeline.told_in(place.id, SHOWN) for place in timeline.places()]
    assert [[(one.number, one.correction) for one in each] for each in told] == [[], [(1, False)], [], [(1, False)]]


def test_of_a_label_s_spellings_that_of_most_pages_stands(world: World) -> None:
    labels = SourceLabels(world.database)
    labels.learn("site", (), {SiteLabel("gps", "GPS"): 2, SiteLabel("gps", "G.P.S."): 1}, NOW)
    labels.learn("other", (), {SiteLabel("gps", "G.P.S."): 2, SiteLabel("tv", "TV"): 1}, NOW)
    assert labels.words() == {"gps": "G.P.S.", "tv": "TV"}
    labels.learn("site", (), {SiteLabel("gps", "GPS"): 2}, NOW)
    assert labels.words() == {"gps": "GPS", "tv": "TV"}
