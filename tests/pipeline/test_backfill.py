"""Reading stored pages again: what it shows and writes, how it is resumed and undone; and that nobody hears of it."""

import datetime as dt
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from milepost.dates import utc_now
from milepost.errors import ConflictError, NotFoundError
from milepost.records import Change, IssueItem, Variant
from milepost.settings import Settings
from pipeline.backfill import Reread, Selection, backfill, reread_to_json, resume, undo
from pipeline.look.scrape import scrape
from store.database import Database
from store.issues.issues import Issues
from store.milestones.backfills import Backfills
from store.milestones.milestones import Milestones
from tests.pipeline.stage import BreakableSite

SOURCE = "clockwork"
LATER = utc_now() + dt.timedelta(days=1)


class Killed(BaseException):
    """What a test throws where a process would have died."""


@pytest.fixture
def wrong(site: BreakableSite, database: Database, news: None) -> list[str]:  # noqa: ARG001 (it comes first)
    """Keys whose records an earlier extractor got wrong; one of them is told in issue 1."""
    milestones, issues = Milestones(database), Issues(database)
    items = [
        IssueItem(change_id=change.id, milestone_id=stored.id, version_id=stored.version_id, role="news",
                  milestone=stored.milestone, first_seen_at=stored.first_seen_at)
        for change, stored in issues.unannounced("instant")
    ]
    variant = Variant(name="all", subject="s", html="@", text="@", placeholder="@")
    issues.draft("instant", "c1", items, [variant], subject="s", content_hash="c0ffee", now=utc_now())
    issues.approve(1, "c0ffee", utc_now())
    keys = [site.stories[0].key, site.stories[5].key, items[0].milestone.key]
    for key in keys:
        record = milestones.get(SOURCE, key).milestone
        milestones.apply(None, SOURCE, [(None, replace(record, title=f"Wrong {key}", extractor="sample/0"), None)],
                         announce=False, now=utc_now())
    return sorted(keys)


def titles(database: Database, keys: list[str]) -> list[bool]:
    """Whether each record is still wrong."""
    return [Milestones(database).get(SOURCE, key).milestone.title.startswith("Wrong") for key in keys]


def run(settings: Settings, **selection: Any) -> Reread:
    return backfill(settings, SOURCE, dry_run=False, selection=Selection(**selection))


def test_a_dry_run_shows_every_difference_and_who_was_told(
    settings: Settings, database: Database, wrong: list[str]
) -> None:
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE issue SET state = 'complete'")
    shown = backfill(settings, SOURCE, dry_run=True)
    assert sorted(change.key for change in shown.changes) == wrong
    assert {(field.field, field.old) for change in shown.changes for field in change.fields} == {
        ("title", f"Wrong {key}") for key in wrong
    }
    [told] = shown.told
    assert (told.issue, told.state) == (1, "complete")
    assert set(told.keys) <= set(wrong)
    assert (shown.differ, shown.written, shown.backfill_id) == (3, 0, None)
    assert titles(database, wrong) == [True, True, True]
    assert reread_to_json(shown)["issues"] == [{"issue": 1, "state": "complete", "keys": list(told.keys)}]
    assert Backfills(database).list() == []


def test_it_writes_all_at_once_and_silently(settings: Settings, database: Database, wrong: list[str]) -> None:
    waiting = [change.id for change, _ in Issues(database).unannounced("weekly")]
    done = run(settings)
    assert (done.written, done.differ, done.failures) == (3, 3, ())
    assert titles(database, wrong) == [False, False, False]
    assert [change.id for change, _ in Issues(database).unannounced("weekly")] == waiting
    assert run(settings).written == 0
    [second, first] = Backfills(database).list(SOURCE)
    assert (first.id, first.versions, second.versions) == (done.backfill_id, 3, 0)


@pytest.mark.parametrize(
    ("selection", "repaired"),
    [
        pytest.param(lambda keys: {"keys": (keys[1],)}, 1, id="a-key"),
        pytest.param(lambda _: {"extractor": "sample/0"}, 3, id="who-read-it"),
        pytest.param(lambda _: {"extractor": "sample/9"}, 0, id="nobody-read-it"),
        pytest.param(lambda _: {"since": LATER}, 0, id="fetched-since"),
        pytest.param(lambda _: {"until": LATER}, 3, id="fetched-until"),
    ],
)
def test_it_reads_what_is_selected(
    settings: Settings, database: Database, wrong: list[str], selection: Callable[[list[str]], dict[str, Any]],
    repaired: int,
) -> None:
    assert run(settings, **selection(wrong)).written == repaired
    assert titles(database, wrong).count(False) == repaired


def test_killed_while_it_reads_it_has_written_nothing_and_goes_on_from_there(
    settings: Settings, database: Database, wrong: list[str]
) -> None:
    read: list[int] = []

    def die(done: int, _total: int) -> None:
        read.append(done)
        if len(read) == 2:
            raise Killed

    with pytest.raises(Killed):
        backfill(settings, SOURCE, dry_run=False, progress=die, batch=4)
    assert titles(database, wrong) == [True, True, True]
    done = run(settings)
    assert (done.resumed, done.written) == (True, 3)
    assert done.read == len(Milestones(database).keys(SOURCE))
    assert len(Backfills(database).list()) == 1


def test_killed_while_it_writes_it_has_written_nothing(
    settings: Settings, database: Database, wrong: list[str]
) -> None:
    def die(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("DELETE FROM backfill_record"):
            raise Killed

    event.listen(Engine, "before_cursor_execute", die)
    try:
        with pytest.raises(Killed):
            run(settings)
    finally:
        event.remove(Engine, "before_cursor_execute", die)
    assert titles(database, wrong) == [True, True, True]
    assert run(settings).written == 3


KILLED = """
import os, signal, sys
from pathlib import Path
import sqlalchemy as sa
from pipeline.backfill import backfill
from milepost.settings import load

times = int(sys.argv[3])

def kill(connection, cursor, statement, parameters, context, executemany):
    global times
    times -= sys.argv[2] in statement
    if times == 0:
        os.kill(os.getpid(), signal.SIGKILL)

sa.event.listen(sa.Engine, "after_cursor_execute", kill)
backfill(load(Path(sys.argv[1])), "clockwork", dry_run=False, batch=4)
"""


@pytest.mark.parametrize(
    ("statement", "times"),
    [
        pytest.param("INSERT INTO backfill_record", 2, id="while-it-reads"),
        pytest.param("INSERT INTO milestone_version", 2, id="while-it-writes"),
        pytest.param("SET finished_at", 1, id="before-it-is-over"),
    ],
)
def test_after_kill_9_nothing_is_half_written_and_it_is_resumed(
    config: Path, settings: Settings, database: Database, wrong: list[str], statement: str, times: int
) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(config), statement, str(times)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert titles(database, wrong) == [True, True, True]
    [died] = Backfills(database).list()
    assert died.state == "unfinished"
    again = resume(settings, died.id)
    assert (again.backfill_id, again.written) == (died.id, 3)
    assert titles(database, wrong) == [False, False, False]
    assert Backfills(database).get(died.id).state == "finished"


def test_undone_every_record_is_as_it_was_and_nothing_is_forgotten(
    settings: Settings, database: Database, wrong: list[str]
) -> None:
    before = {key: stored.milestone for key, stored in Milestones(database).known(SOURCE).items()}
    done = run(settings)
    assert done.backfill_id is not None
    assert undo(database, done.backfill_id, why="it was right before", now=utc_now()) == 3
    assert {key: stored.milestone for key, stored in Milestones(database).known(SOURCE).items()} == before
    assert titles(database, wrong) == [True, True, True]
    assert [version.milestone.title.startswith("Wrong") for version in Milestones(database).history(wrong[0])] == [
        False, True, False, True
    ]
    assert Issues(database).unannounced("instant") == []
    with pytest.raises(ConflictError, match="undone already"):
        undo(database, done.backfill_id, why="again", now=utc_now())
    with pytest.raises(NotFoundError):
        undo(database, 99, why="what", now=utc_now())
    assert run(settings).written == 3  # done again by another


def test_undoing_leaves_alone_what_a_look_has_read_since(
    settings: Settings, site: BreakableSite, database: Database, wrong: list[str]
) -> None:
    done = run(settings)
    key = site.stories[0].key
    assert key in wrong
    told = Milestones(database).get(SOURCE, key).milestone.why_it_mattered
    site.replaced[f"/story/{key}"] = site.story(key).replace(told.split(".")[0], "It mattered anew").encode()
    scrape(settings, SOURCE)
    assert done.backfill_id is not None
    undo(database, done.backfill_id, why="no", now=utc_now())
    record = Milestones(database).get(SOURCE, key).milestone
    assert record.title == f"Wrong {key}"
    assert record.why_it_mattered.startswith("It mattered anew")


@pytest.mark.usefixtures("wrong")
def test_what_a_look_read_from_a_newer_page_meanwhile_stays(
    settings: Settings, site: BreakableSite, database: Database
) -> None:
    key = site.stories[0].key

    def look_and_die(_done: int, _total: int) -> None:
        told = Milestones(database).get(SOURCE, key).milestone.why_it_mattered
        site.replaced[f"/story/{key}"] = site.story(key).replace(told.split(".")[0], "It mattered anew").encode()
        scrape(settings, SOURCE)
        raise Killed

    with pytest.raises(Killed):
        backfill(settings, SOURCE, dry_run=False, progress=look_and_die)
    run(settings)
    assert Milestones(database).get(SOURCE, key).milestone.why_it_mattered.startswith("It mattered anew")


@pytest.mark.usefixtures("wrong")
def test_other_processes_read_the_same(settings: Settings) -> None:
    alone = backfill(settings, SOURCE, dry_run=True, processes=0)
    assert backfill(settings, SOURCE, dry_run=True, processes=2) == alone


def test_what_no_look_has_read_is_left_to_the_next(settings: Settings, database: Database, wrong: list[str]) -> None:
    gone = Milestones(database).get(SOURCE, wrong[0])
    change = Change(source=SOURCE, key=wrong[0], kind="withdrawn")
    Milestones(database).apply(None, SOURCE, [(change, gone.milestone, None)], announce=False, now=utc_now())
    run(settings)
    assert Milestones(database).withdrawn(SOURCE) == {wrong[0]}  # read again, not brought back
