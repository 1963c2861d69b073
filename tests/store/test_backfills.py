"""Backfills in the store: gone on with, written at once, told apart, taken back; on either engine."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from milepost.errors import ConflictError, NotFoundError
from milepost.records import Milestone, StoredMilestone
from store.archive.retention import Archive
from store.milestones.apply_look import Entry
from store.milestones.backfills import Backfills, ReadAgain
from tests.store.conftest import NOW, World, added, make_milestone, make_snapshot

LATER = NOW + dt.timedelta(days=1)
KEYS = ("one", "three", "two")


@pytest.fixture
def store(world: World) -> Backfills:
    """Three milestones, each read from a snapshot of its own."""
    look_id = world.looks.start("site", NOW)
    entries: list[Entry] = []
    for number, key in enumerate(KEYS):
        record = make_milestone(key)
        at = NOW + dt.timedelta(hours=number)
        snapshot_id = world.snapshots.add(make_snapshot(record.url, key.encode(), fetched_at=at), "milestone", None)
        entries.append((added(record), record, snapshot_id))
    world.milestones.apply(look_id, "site", entries, announce=False, now=NOW)
    world.looks.finish(look_id, state="complete", now=NOW, milestones=3)
    return Backfills(world.database)


def write_all(known: Mapping[str, StoredMilestone], read: Sequence[ReadAgain]) -> list[Entry]:
    return [(None, one.record, one.snapshot_id) for one in read if one.record.key in known]


def put_back(before: Milestone, written: Milestone, now: StoredMilestone) -> Entry:
    assert written == now.milestone
    return None, before, now.snapshot_id


def retold(key: str, snapshot_id: int = 1) -> ReadAgain:
    return ReadAgain(record=replace(make_milestone(key), title=f"{key} retold", extractor="site/2"),
                     snapshot_id=snapshot_id)


def test_pages_by_when_they_were_fetched(store: Backfills) -> None:
    urls = [f"https://site.example/m/{key}" for key in KEYS]
    assert store.selected("site") == [(urls[0], 1), (urls[1], 2), (urls[2], 3)]
    assert store.selected("site", since=NOW + dt.timedelta(hours=1)) == [(urls[1], 2), (urls[2], 3)]
    assert store.selected("site", until=NOW + dt.timedelta(hours=1)) == [(urls[0], 1)]
    assert store.selected("elsewhere") == []


def test_from_the_first_batch_to_its_undoing(store: Backfills, world: World) -> None:
    run = store.open("site", "site/2", {"keys": []}, NOW)
    store.stage(run.id, [retold("one")], read_to="https://site.example/m/one", read=1, failures=[])
    again = store.open("site", "site/2", {"keys": []}, LATER)
    assert (again.id, again.read_to, again.read) == (run.id, "https://site.example/m/one", 1)
    store.stage(run.id, [retold("one")], read_to="https://site.example/m/one", read=1, failures=[])  # had before
    store.stage(run.id, [retold("two", 3)], read_to="https://site.example/m/two", read=2, failures=["three: damaged"])
    assert world.milestones.get("site", "one").version == 1

    done = store.finish(run.id, write_all, LATER)
    assert (done.versions, done.read, done.failed, done.failures) == (2, 3, 1, ("three: damaged",))
    assert done.finished_at == LATER
    assert store.finish(run.id, write_all, LATER) == done
    assert {key: world.milestones.get("site", key).version for key in KEYS} == {"one": 2, "three": 1, "two": 2}
    assert world.milestones.changes(announce=True) == []

    assert store.undo(run.id, put_back, why="no", now=LATER) == 2
    assert world.milestones.get("site", "one").milestone == make_milestone("one")
    assert world.milestones.get("site", "one").version == 3
    assert [(one.id, one.undone_why) for one in store.list("site")] == [(run.id, "no")]
    with pytest.raises(ConflictError, match="undone"):
        store.finish(run.id, write_all, LATER)
    assert store.open("site", "site/2", {"keys": []}, LATER).id != run.id


def test_another_selection_is_another_backfill(store: Backfills) -> None:
    first = store.open("site", "site/2", {"keys": ["one"]}, NOW)
    assert store.open("site", "site/2", {"keys": ["two"]}, NOW).id != first.id
    assert store.open("site", "site/3", {"keys": ["one"]}, NOW).id != first.id


def test_undoing_one_that_died_leaves_nothing_of_it(store: Backfills, world: World) -> None:
    run = store.open("site", "site/2", {}, NOW)
    store.stage(run.id, [retold("one")], read_to="a", read=1, failures=[])
    assert store.undo(run.id, put_back, why="no", now=LATER) == 0
    with pytest.raises(ConflictError, match="it is over"):
        store.stage(run.id, [retold("two")], read_to="b", read=1, failures=[])
    assert world.milestones.get("site", "one").version == 1


def test_what_it_has_read_is_not_pruned_before_it_is_over(store: Backfills, world: World) -> None:
    run = store.open("site", "site/2", {}, NOW)
    at = world.snapshots.add(make_snapshot(body=b"again"), "milestone", None)
    world.snapshots.add(make_snapshot(body=b"newer"), "milestone", None)
    store.stage(run.id, [retold("one", at)], read_to="https://site.example/m/one", read=1, failures=[])
    Archive(world.database).prune(LATER)
    assert world.snapshots.get(at).body == b"again"
    store.finish(run.id, write_all, LATER)
    assert world.milestones.get("site", "one").snapshot_id == at


def test_what_there_is_not(store: Backfills) -> None:
    with pytest.raises(NotFoundError, match="backfill 9"):
        store.get(9)
    with pytest.raises(NotFoundError):
        store.finish(9, write_all, NOW)


def test_issues_that_told_of_milestones(store: Backfills, world: World) -> None:
    number = world.frozen()
    assert [(told.issue, told.state, told.keys) for told in store.told("site", {"news", "one"})] == [
        (number, "frozen", ("news",))
    ]
    assert store.told("site", set()) == []
