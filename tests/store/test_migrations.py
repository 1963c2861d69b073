"""From the first revision to the last with data in it, and again after a kill in the middle."""

import os
import signal
import subprocess
import sys

import pytest
import sqlalchemy as sa

from milepost.codec import milestone_to_json
from milepost.fingerprint import fingerprint
from store.archive.blobs import Codec
from store.database import Database, check, connect, upgrade
from store.milestones.search import Search
from store.schema import tables
from tests.store.conftest import NOW, World, make_milestone

REVISIONS = [f"{number:04d}" for number in range(1, tables.HEAD + 1)]


@pytest.fixture
def old_url(empty_url: str) -> str:
    """A database of the first revision, with a milestone, its page and its history."""
    assert upgrade(empty_url, to="0001") == "0001"
    record = make_milestone("old", title="Something of the past")
    packed = Codec()._packers[None].compress(b"<html>old</html>")
    with Database(empty_url) as database, database.begin() as connection:
        def put(table: sa.Table, **values: object) -> None:
            connection.execute(sa.insert(table).values(**values))

        sha = "46fcaa484adfbdba175dfa5bdcfdb143b9d3a30252879ee31f77d986b3d897bc"
        put(tables.source, key="site")
        put(tables.look, source="site", started_at=NOW, state="complete", baseline=True, milestones=1, failures=[])
        put(tables.blob, sha256=sha, encoding="zstd", raw_size=16, data=packed)
        put(tables.snapshot, source="site", url=record.url, final_url=record.url, status=200, headers={},
            body_sha=sha, fetched_at=NOW)
        put(tables.milestone, source="site", key="old", first_seen_at=NOW, first_look_id=1, version=1, state="present")
        put(tables.milestone_version, milestone_id=1, number=1, record=milestone_to_json(record),
            fingerprint=fingerprint(record), snapshot_id=1, extractor="site/1", look_id=1, created_at=NOW)
        put(tables.change, look_id=1, milestone_id=1, kind="added", fields=[], new_version_id=1, detected_at=NOW,
            announce=False)
        names = ("address", "normalized", "state", "cadence", "topics", "created_at")  # a handle came later
        then = sa.table("subscriber", *(sa.column(name, tables.subscriber.c[name].type) for name in names))
        connection.execute(sa.insert(then).values(
            address="a@example.org", normalized="a@example.org", state="active", cadence="instant", topics=[],
            created_at=NOW,
        ))
    return empty_url


def look_inside(url: str) -> None:
    """Everything that was there is there, and the new things know of it."""
    with connect(url) as database:
        world = World(database)
        assert world.milestones.get("site", "old").milestone == make_milestone("old", title="Something of the past")
        assert [found.stored.milestone.key for found in Search(database).search("past")] == ["old"]
        assert [who.address for who in world.subscribers.list()] == ["a@example.org"]
        assert world.snapshots.get(1).body == b"<html>old</html>"
        assert not world.looks.get(world.look(make_milestone("new"))).baseline  # the look that was there is one
        assert check(database) == []


def test_one_revision_after_the_other(old_url: str) -> None:
    assert [upgrade(old_url, to=revision) for revision in REVISIONS] == REVISIONS
    assert upgrade(old_url) == REVISIONS[-1]
    look_inside(old_url)


def test_all_at_once(old_url: str) -> None:
    assert upgrade(old_url) == REVISIONS[-1]
    look_inside(old_url)


KILLED = """
import os, signal, sys
import sqlalchemy as sa
from store.database import upgrade

def kill(connection, cursor, statement, parameters, context, executemany):
    if sys.argv[2] in statement:
        os.kill(os.getpid(), signal.SIGKILL)

sa.event.listen(sa.Engine, "after_cursor_execute", kill)
upgrade(sys.argv[1])
"""


@pytest.mark.parametrize("at", ["ALTER TABLE blob", "milestone_search"], ids=["in the first", "in a later one"])
def test_killed_in_the_middle(old_url: str, at: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, old_url, at], check=False, timeout=60, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    with Database(old_url) as database, database.connect() as connection:
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one() == "0001"
    assert upgrade(old_url) == REVISIONS[-1]
    look_inside(old_url)


def test_addresses_in_what_was_kept_of_acts_are_masked_by_an_upgrade(empty_url: str) -> None:
    """Older releases kept reasons and refusals as they were typed."""
    upgrade(empty_url, to="0034")
    said = {"about": "reader ada@readers.example", "why": "(Ada@Readers.example) asked; @home", "said": "done"}
    with Database(empty_url) as database, database.begin() as connection:
        connection.execute(sa.insert(tables.act), [
            said | {"at": NOW, "who": "grace@desk.example", "door": "desk", "what": "reader.return", "outcome": "done"},
            said | {"at": NOW, "who": "grace", "door": "desk", "what": "hold.release", "outcome": "done",
                    "about": "look 1", "why": "read twice"},
        ])
    upgrade(empty_url)
    with connect(empty_url) as database, database.connect() as connection:
        kept = connection.execute(sa.select(tables.act).order_by(tables.act.c.id)).all()
    assert [(one.who, one.about, one.why, one.said) for one in kept] == [
        ("grace@desk.example", "reader (address)", "((address)) asked; @home", "done"),
        ("grace", "look 1", "read twice", "done"),
    ]
