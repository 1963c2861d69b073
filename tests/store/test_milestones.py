"""Versions and changes: numbered, written once, and silent where they have to be."""

import datetime as dt
from dataclasses import replace

import pytest

from milepost.errors import ConflictError, InputError, NotFoundError
from milepost.records import Card, Change, ChangeKind, FieldChange, Flap, Image, Milestone, Witness
from tests.store.conftest import NOW, World, added, make_milestone

LATER = NOW + dt.timedelta(days=1)


def corrected(record: Milestone, kind: ChangeKind = "corrected") -> Change:
    return Change(source="site", key=record.key, kind=kind, fields=(FieldChange("title", kind, "old", record.title),))


def test_a_whole_record_comes_back(world: World) -> None:
    record = make_milestone(
        "one", image=Image(url="https://site.example/i.png", alt="x"), related=(Card(key="two", title="Two"),),
        unknown=frozenset({"tags"}), evidence={"title": (Witness(witness="headings", where="h1", says="T"),)},
        impact=5, why_it_mattered="Ünïcode \u2028 😀 and \x00 too",
    )
    world.look(record)
    stored = world.milestones.get("site", "one")
    assert stored.milestone == record
    assert (stored.version, stored.first_seen_at) == (1, NOW)
    assert world.milestones.known("site") == {"one": stored}
    assert world.milestones.version(stored.version_id) == stored


def test_a_failure_is_kept_whatever_its_letters(world: World) -> None:
    look_id = world.looks.start("site", NOW)
    world.looks.finish(look_id, state="failed", now=NOW, failures=["half a sign: \ud83d", "nul: \0"])
    assert world.looks.get(look_id).failures == ("half a sign: \ud83d", "nul: \0")


def test_versions_are_numbered_and_told(world: World) -> None:
    record = make_milestone("one")
    world.look(record)
    look_id = world.looks.start("site", LATER)
    better = replace(record, title="A better title")
    change = corrected(better)
    applied = world.milestones.apply(look_id, "site", [(change, better, None)], announce=True, now=LATER)
    assert (applied.versions, len(applied.changes), applied.skipped) == (1, 1, 0)
    history = world.milestones.history("one")
    assert [(entry.number, entry.milestone.title) for entry in history] == [(1, record.title), (2, "A better title")]
    assert history[1].change is not None
    assert history[1].change.change == change
    assert history[1].change.old_version_id == history[0].id
    assert world.milestones.get("site", "one").first_seen_at == NOW


def test_what_differs_between_two_versions(world: World) -> None:
    old = make_milestone("one", people=("Ada Invented",))
    world.look(old)
    look_id = world.looks.start("site", LATER)
    new = replace(old, title="Better", people=("Ada Invented", "Bo Fictional"), related=(Card(key="x", title="X"),))
    world.milestones.apply(look_id, "site", [(corrected(new), new, None)], announce=True, now=LATER)
    assert world.milestones.diff("one", 1, 2) == [
        ("title", "Title of one", "Better"), ("people", ["Ada Invented"], ["Ada Invented", "Bo Fictional"]),
    ]
    assert world.milestones.diff("one", 2, 2) == []
    with pytest.raises(NotFoundError, match="version 3"):
        world.milestones.diff("one", 1, 3)


def test_applying_twice_is_applying_once(world: World) -> None:
    record = make_milestone("one")
    entries = [(added(record), record, None)]
    look_id = world.looks.start("site", NOW)
    world.milestones.apply(look_id, "site", entries, announce=True, now=NOW)
    again = world.looks.start("site", LATER)  # the first one died before it finished
    applied = world.milestones.apply(again, "site", entries, announce=True, now=LATER)
    assert (applied.versions, applied.changes, applied.skipped) == (0, (), 1)
    assert len(world.milestones.changes()) == 1


def test_all_or_nothing(world: World) -> None:
    look_id = world.looks.start("site", NOW)
    records = [make_milestone("one"), make_milestone("two", source="elsewhere")]
    with pytest.raises(ValueError, match="among those of"):
        world.milestones.apply(look_id, "site", [(added(r), r, None) for r in records], announce=True, now=NOW)
    assert world.milestones.known("site") == {}


def test_a_reading_without_a_change_is_a_version_that_nobody_hears_of(world: World) -> None:
    record = make_milestone("one", unknown=frozenset({"tags"}))
    world.look(record)
    look_id = world.looks.start("site", LATER)
    known = replace(record, unknown=frozenset())
    world.milestones.apply(look_id, "site", [(None, known, None)], announce=True, now=LATER)
    assert [entry.change is None for entry in world.milestones.history("one")] == [False, True]


def test_a_look_that_was_taken_over_writes_nothing(world: World) -> None:
    slow = world.looks.start("site", NOW)
    world.looks.start("site", LATER)
    record = make_milestone("one")
    with pytest.raises(ConflictError, match="it can't write any more"):
        world.milestones.apply(slow, "site", [(added(record), record, None)], announce=True, now=LATER)
    with pytest.raises(ConflictError):
        world.looks.finish(slow, state="complete", now=LATER)


def test_a_rename_keeps_the_history(world: World) -> None:
    old = make_milestone("one")
    world.look(old)
    new = replace(old, key="uno", url="https://site.example/m/uno")
    change = Change(
        source="site", key="uno", kind="renamed", fields=(FieldChange("key", "renamed", "one", "uno"),)
    )
    for moment in (NOW, LATER):
        look_id = world.looks.start("site", moment)
        world.milestones.apply(look_id, "site", [(change, new, None)], announce=True, now=moment)
    assert [entry.milestone.key for entry in world.milestones.history("uno")] == ["one", "uno"]
    assert world.milestones.known("site").keys() == {"uno"}


def test_withdrawn_and_restored(world: World) -> None:
    record = make_milestone("one")
    world.look(record)
    for kind, withdrawn in (("withdrawn", {"one"}), ("withdrawn", {"one"}), ("restored", set())):
        look_id = world.looks.start("site", NOW)
        change = Change(source="site", key="one", kind=kind)  # type: ignore[arg-type]
        world.milestones.apply(look_id, "site", [(change, record, None)], announce=True, now=NOW)
        assert world.milestones.withdrawn("site") == withdrawn
    assert [found.change.kind for found in world.milestones.changes()] == ["restored", "withdrawn", "added"]
    assert len(world.milestones.history("one")) == 1


def test_finding_by_key_alone(world: World) -> None:
    world.look(make_milestone("one"))
    look_id = world.looks.start("other", NOW)
    record = make_milestone("one", source="other")
    world.milestones.apply(look_id, "other", [(added(record), record, None)], announce=False, now=NOW)
    assert world.milestones.get("other", "one").milestone.source == "other"
    with pytest.raises(InputError, match=r"several sources.*other, site.*Name the source"):
        world.milestones.get(None, "one")
    with pytest.raises(NotFoundError, match="site/two: there is no such milestone"):
        world.milestones.get("site", "two")
    with pytest.raises(NotFoundError):
        world.milestones.version(99)


def test_iterate_many(world: World) -> None:
    keys = [f"m{index:04d}" for index in range(503)]
    world.look(*(make_milestone(key) for key in keys))
    assert [stored.milestone.key for stored in world.milestones.iterate()] == keys
    assert world.milestones.count("site") == 503


def test_changes_by_filter(world: World) -> None:
    first = world.look(make_milestone("one"), announce=False)
    second = world.look(make_milestone("two"), held="too many")
    changes = world.milestones.changes

    def keys(**filters: object) -> list[str]:
        return [found.change.key for found in changes(**filters)]  # type: ignore[arg-type]

    assert keys() == ["two", "one"]
    assert keys(look_id=first) == ["one"]
    assert keys(announce=True) == ["two"]
    assert keys(held=True) == ["two"]
    assert keys(held=False) == ["one"]
    assert keys(kinds=["corrected"]) == []
    assert keys(key="two", source="site") == ["two"]
    assert keys(since=LATER) == []
    assert keys(until=LATER, limit=1) == ["two"]
    assert second > first


# --- what may be announced --------------------------------------------------------------------------------------------


def test_a_backfill_can_not_announce(world: World) -> None:
    record = make_milestone("one")
    with pytest.raises(ValueError, match="never announces"):
        world.milestones.apply(None, "site", [(added(record), record, None)], announce=True, now=NOW)
    world.milestones.apply(None, "site", [(added(record), record, None)], announce=False, now=NOW)
    assert world.issues.unannounced("instant") == []


@pytest.mark.parametrize(
    ("state", "count", "expected"),
    [("complete", 1, True), ("complete", 0, False), ("incomplete", 1, False), ("failed", 1, False)],
)
def test_what_makes_a_baseline(world: World, state: str, count: int, expected: bool) -> None:
    look_id = world.looks.start("site", NOW)
    assert world.looks.get(look_id).baseline
    world.looks.finish(look_id, state=state, now=NOW, milestones=count)  # type: ignore[arg-type]
    assert world.looks.get(world.looks.start("site", LATER)).baseline is not expected


def test_a_page_that_the_baseline_could_not_read_is_no_news_later(world: World) -> None:
    late, fresh = make_milestone("late"), make_milestone("fresh")
    look_id = world.looks.start("site", NOW)
    world.snapshots.note_listed("site", [late.url], look_id)
    base = make_milestone("base")
    world.milestones.apply(look_id, "site", [(added(base), base, None)], announce=False, now=NOW)
    world.looks.finish(look_id, state="complete", now=NOW, milestones=1)
    second = world.looks.start("site", LATER)
    world.snapshots.note_listed("site", [late.url, fresh.url], second)
    assert world.looks.listed_at_baseline("site", late.url)
    assert not world.looks.listed_at_baseline("site", fresh.url)
    entries = [(added(record), record, None) for record in (late, fresh)]
    world.milestones.apply(second, "site", entries, announce=True, now=LATER)
    assert [change.change.key for change, _ in world.issues.unannounced("instant")] == ["fresh"]


def test_a_held_look_waits_until_it_is_released(world: World) -> None:
    look_id = world.look(make_milestone("one"), held="40 new at once")
    assert world.issues.unannounced("instant") == []
    assert [look.held for look in world.looks.list("site", waiting=True)] == ["40 new at once"]
    released = world.looks.release(look_id, "they are real", LATER)
    assert (released.waiting, released.released_why, released.released_at) == (False, "they are real", LATER)
    assert [change.change.key for change, _ in world.issues.unannounced("instant")] == ["one"]
    with pytest.raises(ConflictError, match="not held"):
        world.looks.release(look_id, "again", LATER)
    with pytest.raises(NotFoundError):
        world.looks.release(99, "what", LATER)


def test_a_look_is_held_at_its_end(world: World) -> None:
    look_id = world.looks.start("site", NOW)
    look = world.looks.finish(
        look_id, state="incomplete", now=LATER, requests=5, fetched=3, not_modified=1, failed=1, milestones=2,
        failures=["https://site.example/x: time-out"], held="half the pages failed",
    )
    assert look == world.looks.get(look_id)
    assert (look.failures, look.waiting, look.requests) == (("https://site.example/x: time-out",), True, 5)


def test_related_cards_are_kept_up_to_date_without_a_version(world: World) -> None:
    def shown() -> list[str]:
        return [card.title for card in world.milestones.get("site", "one").milestone.related]

    one = make_milestone("one", related=(Card(key="two", title="Two"),))
    world.look(one)
    assert shown() == ["Two"]
    other = replace(one, related=(Card(key="three", title="Three"),))
    look_id = world.looks.start("site", NOW)
    applied = world.milestones.apply(look_id, "site", [(None, other, None)], announce=True, now=NOW)
    assert (applied.versions, applied.changes, applied.skipped) == (0, (), 1)
    assert shown() == ["Three"]
    [version] = world.milestones.history("one")
    assert version.milestone.related == one.related
    edited = replace(other, title="Another", related=())
    world.milestones.apply(look_id, "site", [(None, edited, None)], announce=True, now=NOW)
    assert shown() == []
    assert world.milestones.known("site")["one"].milestone == edited


# --- what alternates --------------------------------------------------------------------------------------------------


def test_what_alternates_is_kept_until_a_look_says_otherwise(world: World) -> None:
    record = make_milestone("one")
    world.look(record, make_milestone("two"))
    look_id = world.looks.start("site", NOW)
    flaps = (Flap(field="image", value=None, looks=1), Flap(field="title", value="An old title", looks=2))
    for still in (flaps[:1], flaps, flaps):  # the last one counts, and twice is once
        world.milestones.apply(look_id, "site", [(None, record, None)], announce=False, now=NOW, flaps={"one": still})
    assert world.milestones.flaps("site") == {"one": {"image": flaps[0], "title": flaps[1]}}
    assert world.milestones.flaps("other") == {}
    world.milestones.apply(look_id, "site", [(None, record, None)], announce=False, now=NOW, flaps={"one": ()})
    assert world.milestones.flaps("site") == {}


def test_what_a_record_was_before_a_version(world: World) -> None:
    for number in range(1, 15):
        world.look(make_milestone("one", title=f"Title {number}"))
    world.look(make_milestone("two"))
    titles = [one.title for one in world.milestones.earlier("site", {"one": 13, "two": 1})["one"]]
    assert titles == [f"Title {number}" for number in range(4, 13)]  # the last ten versions, without the newest two
    assert world.milestones.earlier("site", {"two": 1}) == {}
