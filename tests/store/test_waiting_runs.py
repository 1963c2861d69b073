"""Runs that wait for a process: the last round's word, on both databases, and for a day at most."""

import datetime as dt

from store.operators import waiting_runs
from tests.store.conftest import NOW, World

MINUTE, DAY = dt.timedelta(minutes=1), dt.timedelta(days=1)


def test_the_last_round_counts_and_none_is_none(world: World) -> None:
    database = world.database
    waiting_runs.note(database, NOW, [])
    assert waiting_runs.noted(database, NOW) is None
    waiting_runs.note(database, NOW, [("late", 16 * MINUTE), ("later", 90 * MINUTE)])
    assert waiting_runs.noted(database, NOW + MINUTE) == waiting_runs.WaitingRuns(
        count=2, since=NOW - 90 * MINUTE, names=("later", "late")
    )
    waiting_runs.note(database, NOW, [(str(number), number * MINUTE) for number in range(100, 300)])
    assert waiting_runs.noted(database, NOW) == waiting_runs.WaitingRuns(
        count=200, since=NOW - 299 * MINUTE, names=("299", "298", "297")
    )
    waiting_runs.note(database, NOW, [])
    assert waiting_runs.noted(database, NOW) is None


def test_late_deployments_are_kept_from_round_to_round_and_forgotten_when_none_is(world: World) -> None:
    late = waiting_runs.Late
    found = {"a": late(since=NOW - DAY, waited=16.5 * MINUTE), "b": late(since=NOW, waited=0 * DAY)}
    assert waiting_runs.late(world.database) == (None, {})
    waiting_runs.note_late(world.database, NOW, found)
    assert waiting_runs.late(world.database) == (NOW, found)
    waiting_runs.note_late(world.database, NOW, {})
    assert waiting_runs.late(world.database) == (None, {})


def test_what_no_round_says_again_ends_by_itself_and_no_moment_to_come_is_believed(world: World) -> None:
    waiting_runs.note(world.database, NOW, [("late", 16 * MINUTE)])
    assert waiting_runs.noted(world.database, NOW + DAY - MINUTE) is not None
    assert waiting_runs.noted(world.database, NOW + DAY) is None
    assert waiting_runs.noted(world.database, NOW - DAY) is None
