"""Random schedules of what editors, machines and operators do: no milestone is missed, and none is announced twice.

The full number of schedules: `pytest -m chaos tests/pipeline/test_schedules.py` (SCHEDULES=500).
"""

import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from sqlalchemy import Engine, event

from console.demo.site.pages import Story
from milepost.dates import utc_now
from milepost.errors import ConflictError, MilepostError
from pipeline.backfill import backfill, undo
from pipeline.look.renaming import pending_renames, resolve_rename
from pipeline.look.scrape import scrape
from store.database import Database, connect
from store.issues.issues import Issues
from store.milestones.looks import Looks
from store.milestones.milestones import Milestones
from store.milestones.renamings import Renaming
from tests.pipeline import history
from tests.pipeline.history import serving
from tests.pipeline.replaying import SOURCE, announce, settings_for

FEW, STEPS = 12, 14
MANY = int(os.environ.get("SCHEDULES", "500"))


class Killed(Exception):  # noqa: N818 (no error, an end)
    """What is thrown where a process would have died; nothing in the program expects it."""


@contextmanager
def killed_at(statement: int) -> Iterator[None]:
    """Die at the so-manyeth statement that the database is asked; survive when there are fewer."""
    left = [statement]

    def count(*_: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    event.listen(Engine, "before_cursor_execute", count)
    try:
        with suppress(Killed):
            yield
    finally:
        event.remove(Engine, "before_cursor_execute", count)


@cache
def template() -> Path:
    """A database with all tables, to copy from."""
    folder = Path(tempfile.mkdtemp(prefix="schedules-"))
    with serving() as server:
        settings_for(server, folder)
    return folder / "replay.db"


class Schedule(RuleBasedStateMachine):
    """A site of a few stories, its editors, and all who work on this side. Stories are known here by a number."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.dice = random.Random(7)  # noqa: S311
        self.server = self.stack.enter_context(serving())
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        shutil.copy(template(), self.folder / "replay.db")
        self.settings = settings_for(self.server, self.folder)
        self.live: dict[int, Story] = {}  # what the site shows
        self.away: dict[int, Story] = {}  # what it showed once
        self.moved: dict[str, str] = {}  # redirects, old key → new key
        self.whose: dict[str, int] = {}  # key → story
        self.before: frozenset[int] = frozenset()  # the baseline's
        self.told: Counter[int] = Counter()
        self.builds = self.made = 0

    # --- the site -----------------------------------------------------------------------------------------------------

    def _write(self) -> int:
        """A story that never was."""
        self.made += 1
        one = history.story(self.dice, self.made)
        self.live[self.made] = replace(one, era="steam", category="works")
        self.whose[one.key] = self.made
        return self.made

    def _deploy(self) -> None:
        self.builds += 1
        shown = {one.key for one in self.live.values()}
        self.server.site = history.site(
            tuple(self.live.values()), f"b{self.builds}",
            moved={old: new for old, new in self.moved.items() if old not in shown},
        )

    @initialize()
    def baseline(self) -> None:
        for _ in range(4):
            self._write()
        self._deploy()
        assert scrape(self.settings, SOURCE).baseline
        self.before = frozenset(self.live)

    @precondition(lambda self: len(self.live) < 8)
    @rule()
    def add(self) -> None:
        self._write()
        self._deploy()

    @rule(which=st.integers(0, 7))
    def edit(self, which: int) -> None:
        number = self._choose(which)
        one = self.live[number]
        if "edited" not in one.tags and "great" not in one.title and len(one.why_it_mattered) < 400:
            self.live[number] = history.edited(self.dice, one)
            self._deploy()

    @rule(which=st.integers(0, 7), redirects=st.booleans())
    def rename(self, which: int, redirects: bool) -> None:
        number = self._choose(which)
        one = self.live[number]
        self.live[number] = replace(one, key=f"{one.key}-{self.builds}")
        self.whose[self.live[number].key] = number
        if redirects:
            self.moved[one.key] = self.live[number].key
        self._deploy()

    @precondition(lambda self: len(self.live) > 3)
    @rule(which=st.integers(0, 7))
    def remove(self, which: int) -> None:
        number = self._choose(which)
        self.away[number] = self.live.pop(number)
        self._deploy()

    @precondition(lambda self: self.away)
    @rule(which=st.integers(0, 7))
    def bring_back(self, which: int) -> None:
        number = sorted(self.away)[which % len(self.away)]
        self.live[number] = self.away.pop(number)
        self._deploy()

    @rule()
    def deploy(self) -> None:
        self._deploy()

    def _choose(self, which: int) -> int:
        return sorted(self.live)[which % len(self.live)]

    # --- this side ----------------------------------------------------------------------------------------------------

    @rule()
    def look(self) -> None:
        scrape(self.settings, SOURCE)

    @rule(statement=st.integers(1, 260))
    def die_while_looking(self, statement: int) -> None:
        with killed_at(statement):
            scrape(self.settings, SOURCE)

    @rule()
    def look_at_half_a_deploy(self) -> None:
        whole = self.server.site
        self._deploy()
        self.server.site = history.mixed(whole, self.server.site, self.dice)
        scrape(self.settings, SOURCE)
        self._deploy()

    @rule()
    def look_while_it_is_down(self) -> None:
        whole = self.server.site
        self.server.site = {path: history.Answer(503) for path in whole}
        with suppress(MilepostError):
            scrape(self.settings, SOURCE)
        self.server.site = whole

    @rule(statement=st.integers(0, 40))
    def read_again(self, statement: int) -> None:
        with killed_at(statement):
            backfill(self.settings, SOURCE, dry_run=False)

    @rule()
    def read_again_and_take_it_back(self) -> None:
        done = backfill(self.settings, SOURCE, dry_run=False)
        assert done.backfill_id is not None
        with connect(self.settings.store.url) as database:
            undo(database, done.backfill_id, why="no", now=utc_now())

    @rule()
    def release(self) -> None:
        """A site of four stories drifts when one of them changes: an operator lets it."""
        with connect(self.settings.store.url) as database:
            for look in Looks(database).list(waiting=True):
                Looks(database).release(look.id, "I looked", utc_now())

    @rule(statement=st.integers(0, 25))
    def answer(self, statement: int) -> None:
        """The operator knows which story is which; an answer that comes too late is refused and left to the end."""
        with killed_at(statement), connect(self.settings.store.url) as database:
            for question in pending_renames(database):
                with suppress(ConflictError):
                    self._answer(database, question)

    def _answer(self, database: Database, question: Renaming) -> None:
        same = self.whose[question.old_key] == self.whose[question.new_key]
        resolve_rename(database, question.id, as_rename=same, why="looked at it", now=utc_now())

    @rule(statement=st.integers(0, 15))
    def publish(self, statement: int) -> None:
        keys: tuple[str, ...] = ()
        with killed_at(statement):
            keys = announce(self.settings, utc_now())
        self._hear(keys)

    def _hear(self, keys: tuple[str, ...]) -> None:
        self.told.update(self.whose[key] for key in keys)
        assert {number: count for number, count in self.told.items() if count > 1} == {}
        assert self.told.keys() & self.before == set()

    def teardown(self) -> None:
        """Let things settle: then everything that is there and was not at the baseline is announced, once."""
        try:
            if self.before:
                self._settle()
        finally:
            self.stack.close()

    def _settle(self) -> None:
        self._deploy()
        for _ in range(4):
            scrape(self.settings, SOURCE)
            self.release()
        with connect(self.settings.store.url) as database:
            for question in pending_renames(database):
                self._answer(database, question)
        self._hear(announce(self.settings, utc_now()))
        assert set(self.live) - self.before <= self.told.keys()
        with connect(self.settings.store.url) as database:
            present = Milestones(database).keys(SOURCE)
            issues = Issues(database)
            items = [item.milestone_id for number in issues.list() for item in issues.get(number.number).items]
        assert present == {one.key for one in self.live.values()}
        assert len(items) == len(set(items))


def play(schedules: int, *, derandomize: bool) -> None:
    run_state_machine_as_test(Schedule, settings=settings(
        max_examples=schedules, stateful_step_count=STEPS, deadline=None, derandomize=derandomize, database=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate] if schedules > FEW else list(Phase),
    ))


def test_a_few_schedules() -> None:
    play(FEW, derandomize=True)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_many_schedules() -> None:
    play(MANY, derandomize=False)
