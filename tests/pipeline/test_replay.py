"""A site's whole history, with bad days and half-done deploys, through the real look: all the news, nothing else.

`make test` plays every day of a site half as large as the one that `make chaos` plays.
"""

import fcntl
import os
import pickle
from collections import Counter
from pathlib import Path

import pytest

from pipeline.look.renaming import pending_renames
from store.database import connect
from store.milestones.milestones import Milestones
from store.milestones.renamings import Renamings
from tests.pipeline.history import History, history, serving
from tests.pipeline.replaying import SOURCE, Player, ids, settings_for


@pytest.fixture(scope="module", params=[42, pytest.param(84, marks=pytest.mark.chaos)])
def stories(request: pytest.FixtureRequest) -> int:
    """How many the site begins with."""
    return int(request.param)


@pytest.fixture(scope="module")
def told(stories: int) -> History:
    return history(1, stories)


@pytest.fixture(scope="module")
def player(told: History, stories: int, tmp_path_factory: pytest.TempPathFactory) -> Player:
    """The history, played: once, by the first of pytest's workers that wants it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # that of all workers of this run
    folder /= f"replay-{stories}"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = folder / "player"
        if not made.exists():
            made.write_bytes(pickle.dumps(played(told, folder)))
        found: Player = pickle.loads(made.read_bytes())  # noqa: S301 (our own, a moment old)
        return found


def played(told: History, folder: Path) -> Player:
    with serving() as server:
        player = Player(settings=settings_for(server, folder), server=server)
        player.play(told.days[0])
        player.first_ids = dict(ids(player.settings))
        for day in told.days[1:]:
            player.play(day)
    return player


def test_the_baseline_is_large_and_silent(player: Player, stories: int) -> None:
    first = player.played[0]
    assert first.report is not None
    assert (first.report.baseline, first.report.milestones, first.announced) == (True, stories, ())


def test_every_piece_of_news_is_announced_once_and_nothing_else_is(player: Player, told: History) -> None:
    announced = Counter(key for played in player.played for key in played.announced)
    assert announced == Counter(told.added)


def test_news_are_announced_by_the_look_that_could_know(player: Player) -> None:
    late = {
        key for played in player.played for key in played.day.news
        if key not in {told for before in player.played[: player.played.index(played) + 1] for told in before.announced}
    }
    assert late == set()


def test_what_compares_bytes_would_have_cried_wolf(player: Player, told: History) -> None:
    assert sum(played.alarms for played in player.played) > 100 * len(told.added)


def test_a_rename_keeps_the_milestone_and_asks_nobody_in_the_end(player: Player, told: History) -> None:
    with connect(player.settings.store.url) as database:
        assert pending_renames(database) == []
        renamed = {found.old_key: found.new_key for found in Renamings(database).list(SOURCE)}
        assert renamed == told.renamed
        for old, new in told.renamed.items():
            history = Milestones(database).history(new, SOURCE)
            assert Milestones(database).get(SOURCE, new).id == player.first_ids[old]
            assert [version.milestone.key for version in history][:1] == [old]
            assert history[-1].milestone.key == new


def test_only_what_was_removed_for_good_is_withdrawn(player: Player, told: History) -> None:
    with connect(player.settings.store.url) as database:
        assert Milestones(database).withdrawn(SOURCE) == told.withdrawn
        kinds = Counter(change.change.kind for change in Milestones(database).changes(source=SOURCE))
    assert kinds["restored"] == 3  # one that was gone for two looks, and two that a rollback took away
    assert kinds["withdrawn"] == kinds["restored"] + len(told.withdrawn)


@pytest.mark.parametrize(
    ("day", "sentence"),
    [
        ("every story is a 404, though listed", "pages failed"),
        ("a listing is broken while news come", "incomplete"),
        ("a deploy that lost most stories", "fewer than before"),
    ],
)
def test_a_bad_day_is_held(player: Player, day: str, sentence: str) -> None:
    [played] = [played for played in player.played if played.day.name == day]
    assert played.report is not None
    assert played.report.held is not None
    assert sentence in played.report.held
    assert (played.announced, played.report.changes["withdrawn"]) == ((), 0)
