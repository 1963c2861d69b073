"""Random walks of readers who change their minds at any instant between detection and hand-over.

    join, leave, return, other cadence, other topics ─────────────────────┐
    detect, correct, draft, seal, seal some slices, take back, dispatch ┴─▶ each (reader, milestone that fits) once

Slices are of one to three readers; what is broken off after some of them goes on later, or is taken back, and whatever
happens in between happens to issues of several cadences at once.

The walk keeps a book of its own: what each reader must still hear, by rules that know neither rows nor queries.
More walks, other ones each time: `pytest -m chaos tests/pipeline/test_choice_walk.py` (WALKS=60).
"""

import datetime as dt
import os
from collections import Counter
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from milepost.records import Cadence, Freezing, Settlement
from milepost.records import Reply as SmtpReply
from pipeline.edit import stop
from pipeline.publish import draft_due, foreseen, freeze
from store.database import Database
from store.issues.issues import Issues
from store.ledger.ledger import Ledger
from store.ledger.owed import PROMISED, Owed
from store.schema.tables import delivery, exclusion
from store.subscribers.people import Subscribers
from tests.comings import come_or_go
from tests.pipeline.town import DAY, Town
from tests.store.conftest import _empty, postgresql_server, postgresql_shared, sqlite_shared  # noqa: F401

CADENCES: tuple[Cadence, ...] = ("instant", "daily", "weekly")
TOPICS = ("research", "ships")
FEW = {"sqlite": 4, "postgresql": 1}
MANY = int(os.environ.get("WALKS", "60"))

places = st.integers(0, 99)
cadences = st.sampled_from(CADENCES)
topics = st.sampled_from([(), ("research",), ("ships",)])
outcomes = st.sampled_from(["sent", "sent", "sent", "unknown", "failed"])


class _Crash(Exception):  # noqa: N818 (it is played)
    """The program dies here."""


@dataclass
class Known:
    """A reader, as the walk knows them."""

    id: int
    cadence: Cadence
    topics: tuple[str, ...]
    active: bool = True
    paused: bool = False
    must: set[str] = field(default_factory=set)  # milestones they have to hear of, while nothing else is noted
    failed: set[str] = field(default_factory=set)  # … that a mail told them which the ledger lists as failed


class Walk(RuleBasedStateMachine):
    """One town and its readers; `database` is set by the test."""

    database: Database

    def __init__(self) -> None:
        super().__init__()
        _empty(self.database)
        self.town = Town(self.database)
        self.town.offers(*CADENCES)
        self.readers: list[Known] = []
        self.topic: dict[str, str] = {}
        self.titles: dict[str, str] = {}
        self.sealed: dict[Cadence, set[str]] = {cadence: set() for cadence in CADENCES}
        self.asked: dict[int, set[int]] = {}  # issue that is being sealed → who was there when that began
        for cadence in CADENCES:
            self.joins(cadence, ())

    def _tick(self) -> dt.datetime:
        self.town.now += dt.timedelta(minutes=7)
        return self.town.now

    def _reader(self, place: int) -> Known:
        return self.readers[place % len(self.readers)]

    # --- readers ----------------------------------------------------------------------------------------------------

    @rule(cadence=cadences, wanted=topics)
    def joins(self, cadence: Cadence, wanted: tuple[str, ...]) -> None:
        if len(self.readers) < 6:
            self._tick()
            found = self.town.reader(f"r{len(self.readers)}", cadence, wanted)
            self.readers.append(Known(id=found.id, cadence=cadence, topics=wanted))

    @rule(place=places, cadence=cadences)
    def turns_to(self, place: int, cadence: Cadence) -> None:
        who = self._reader(place)
        Subscribers(self.database).set_choice(who.id, cadence=cadence, now=self._tick())
        who.cadence = cadence

    @rule(place=places, wanted=topics)
    def wants(self, place: int, wanted: tuple[str, ...]) -> None:
        who = self._reader(place)
        Subscribers(self.database).set_choice(who.id, topics=wanted, now=self._tick())
        who.topics = wanted

    @rule(place=places)
    def leaves_or_returns(self, place: int) -> None:
        who = self._reader(place)
        who.active = not who.active
        who.paused = False
        come_or_go(Subscribers(self.database), who.id, here=who.active, now=self._tick())

    @rule(place=places)
    def pauses_or_resumes(self, place: int) -> None:
        """A pause without end, so that the walk says when it is over; what was missed is told afterwards."""
        who = self._reader(place)
        if who.active:
            who.paused = not who.paused
            self._rest(who)

    def _rest(self, who: Known) -> None:
        people, now = Subscribers(self.database), self._tick()
        if who.paused:
            people.pause(who.id, now + 9000 * DAY, skips=False, now=now)
        else:
            people.resume(who.id, now)

    # --- news -------------------------------------------------------------------------------------------------------

    @rule(topic=st.sampled_from(TOPICS))
    def is_found(self, topic: str) -> None:
        key = f"m{len(self.topic)}"
        self._tick()
        self.topic[key], self.titles[key] = topic, f"Title of {key}"
        self.town.finds(key, category=topic)
        for who in self.readers:
            if who.active:
                who.must.add(key)

    @rule(place=places)
    def is_corrected(self, place: int) -> None:
        if self.topic:
            key = sorted(self.topic)[place % len(self.topic)]
            now = self._tick()
            self.titles[key] = f"Title of {key}, as of {now:%d %H:%M}"
            self.town.finds(key, category=self.topic[key], title=self.titles[key])

    # --- issues -----------------------------------------------------------------------------------------------------

    @rule(hours=st.sampled_from([1, 5, 24, 24 * 7]))
    def time_passes(self, hours: int) -> None:
        self.town.now += dt.timedelta(hours=hours)

    @rule(cadence=cadences, early=st.booleans(), seal=st.booleans())
    def is_drafted(self, cadence: Cadence, early: bool, seal: bool) -> None:
        now = self._tick()
        for draft in draft_due(self.town.settings, self.database, only=cadence, early=early, now=lambda: now):
            if seal:
                self._seal(draft.number)

    @rule(place=places)
    def is_sealed(self, place: int) -> None:
        drafts = Issues(self.database).list(states=["draft"])
        if drafts:
            self._seal(drafts[place % len(drafts)].number)

    @rule(place=places, size=st.integers(1, 3), slices=st.integers(1, 3))
    def is_sealed_in_part(self, place: int, size: int, slices: int) -> None:
        """Some slices of a draft, or some more; then the program dies."""
        drafts = Issues(self.database).list(states=["draft"])
        if drafts:
            self._seal(drafts[place % len(drafts)].number, size, slices)

    def _seal(self, number: int, size: int | None = None, slices: int = 1000) -> None:
        issue = Issues(self.database).get(number)
        now = self._tick()
        whole = size is None and issue.freezing is None
        expected = foreseen(self.town.settings, self.database, issue, now=now) if whole else None
        asked = self.asked.setdefault(number, {who.id for who in self.readers})
        own = {item.milestone.key for item in issue.items if item.role == "news"}
        self.sealed[issue.cadence] |= own
        placed = [self._placed(number)]
        told = self._told()

        def account() -> None:
            placed.append(self._placed(number))
            for who in self.readers:
                if who.id not in placed[-1] - placed[-2] or not who.active or who.cadence != issue.cadence:
                    continue
                passed = {key for key in who.must & self.sealed[issue.cadence] if not self._fits(who, key)}
                who.must -= passed - told[who.id].keys()

        def step(freezing: Freezing) -> None:
            account()
            assert len(placed[-1]) == freezing.placed
            if len(placed) > slices:
                raise _Crash

        try:
            counts = freeze(
                self.town.settings, self.database, number, content_hash=issue.content_hash, now=now, size=size,
                progress=step, clock=self._tick,
            )
        except _Crash:
            assert Issues(self.database).get(number).freezing is not None
            return
        account()
        assert expected in (None, counts)
        assert counts.balanced
        assert placed[-1] == asked
        del self.asked[number]
        # Nothing changed that would keep a variant from being made: who waits is owed what this draft never held.
        held = {item.milestone.key for item in (*issue.items, *issue.owed)}
        if whole:
            paused = {who.id for who in self.readers if who.paused}
            assert not paused & {row.subscriber for row in Ledger(self.database).rows(number)}
            waiting = {row.subscriber for row in Owed(self.database).list() if row.key not in held}
            assert counts.exclusions.get("owed", 0) <= len(waiting)

    def _placed(self, number: int) -> set[int]:
        """Who has a place in an issue; the tables let nobody have two of a kind."""
        with self.database.connect() as connection:
            found = [
                set(connection.execute(sa.select(table.c.subscriber).where(table.c.issue == number)).scalars())
                for table in (delivery, exclusion)
            ]
        assert not found[0] & found[1]
        return found[0] | found[1]

    def _fits(self, who: Known, key: str) -> bool:
        return not who.topics or self.topic[key] in who.topics

    @rule(place=places)
    def is_taken_back(self, place: int) -> None:
        sealed = Issues(self.database).list(states=["frozen"])
        sealed += [one for one in Issues(self.database).list(states=["draft"]) if one.freezing is not None]
        if sealed:
            issue = Issues(self.database).get(sealed[place % len(sealed)].number)
            if stop(self.database, issue.number, reason="thought better of it").undone:
                self.asked.pop(issue.number, None)
                self.sealed[issue.cadence] -= {item.milestone.key for item in issue.items if item.role == "news"}

    @rule(place=places, share=st.integers(1, 4), outcome=outcomes)
    def is_sent(self, place: int, share: int, outcome: str) -> None:
        waiting = Issues(self.database).list(states=["frozen", "sending"])
        if waiting:
            self._send(waiting[place % len(waiting)].number, share, outcome)

    def _send(self, number: int, limit: int, outcome: str) -> None:
        ledger = Ledger(self.database)
        claims = ledger.claim(number, limit=limit, lease_seconds=60)
        begun = ledger.advance([], claims).begun
        reply = SmtpReply(code={"sent": 250, "failed": 554}.get(outcome), text="x", phase="dot")
        ledger.advance([
            Settlement(claim=claim, state=outcome, reply=reply)  # type: ignore[arg-type]
            for claim in claims if claim.delivery_id in begun
        ], [])
        if outcome == "failed":
            shown = self._shown(number)
            for row in ledger.rows(number, "failed"):
                who = next(one for one in self.readers if one.id == row.subscriber)
                who.failed |= {key for key, *_ in shown[row.variant]}
        ledger.finish(number)

    @rule(place=places, topic=st.sampled_from(TOPICS), cadence=cadences)
    def hears_and_turns(self, place: int, topic: str, cadence: Cadence) -> None:
        """The way to hear a thing twice that chance alone seldom takes: told by one cadence, then in another."""
        self.is_found(topic)
        self.is_drafted(self._reader(place).cadence, early=True, seal=True)
        for issue in Issues(self.database).list(states=["frozen", "sending"]):
            self._send(issue.number, 50, "sent")
        self.turns_to(place, cadence)

    # --- what always holds ------------------------------------------------------------------------------------------

    def _shown(self, number: int) -> dict[str, list[tuple[str, int, str, str]]]:
        """Variant → (key, change, role, title) of what it shows."""
        issue = Issues(self.database).get(number)
        items = {item.change_id: item for item in (*issue.items, *issue.owed)}
        return {
            variant.name: [
                (items[one].milestone.key, one, items[one].role, items[one].milestone.title)
                for one in variant.change_ids
            ]
            for variant in Issues(self.database).variants(number)
        }

    def _told(self, states: tuple[str, ...] = PROMISED) -> dict[int, dict[str, list[tuple[int, str, str]]]]:
        """Reader → milestone → (change, role, title) of each telling, oldest first."""
        found: dict[int, dict[str, list[tuple[int, str, str]]]] = {who.id: {} for who in self.readers}
        for issue in reversed(Issues(self.database).list()):
            shown = self._shown(issue.number)
            for row in Ledger(self.database).rows(issue.number):
                if row.subscriber in found and row.state in states:
                    for key, *telling in shown[row.variant]:
                        found[row.subscriber].setdefault(key, []).append(tuple(telling))  # type: ignore[arg-type]
        return found

    @invariant()
    def nothing_is_told_twice(self) -> None:
        told = self._told()
        for who in self.readers:
            for key, tellings in told[who.id].items():
                assert Counter(role for _, role, _ in tellings)["news"] <= 1, (who, key, tellings)
                assert len({change for change, *_ in tellings}) == len(tellings), (who, key, tellings)

    def teardown(self) -> None:
        """Everything is drafted, sealed and sent: then everybody has heard what they have to hear, or is on a list."""
        for who in self.readers:
            if who.paused:
                who.paused = False
                self._rest(who)
        for _ in range(4):
            self.town.now += 8 * DAY
            for draft in reversed(Issues(self.database).list(states=["draft"])):
                self._seal(draft.number)
            self._tick()
            for draft in draft_due(self.town.settings, self.database, now=lambda: self.town.now):
                self._seal(draft.number)
            for issue in Issues(self.database).list(states=["frozen", "sending"]):
                self._send(issue.number, 50, "sent")
        self.nothing_is_told_twice()
        owed = {(row.subscriber, row.key) for row in Owed(self.database).list()}
        heard = self._told(("sent", "unknown"))
        for who in self.readers:
            if not who.active:
                continue
            told = heard[who.id]
            wanted = {key for key in who.must if self._fits(who, key)} - who.failed
            assert wanted <= told.keys(), (who, wanted - told.keys(), owed)
            assert not {key for reader, key in owed if reader == who.id and self._fits(who, key)}, (who, owed)
            for key, tellings in told.items():
                if any(role == "news" for _, role, _ in tellings) and key not in who.failed:
                    assert tellings[-1][2] == self.titles[key], (who, key, tellings)


def _walks_on(database: Database) -> type[Walk]:
    return type("OnThis", (Walk,), {"database": database})


def play(database: Database, walks: int, *, derandomize: bool) -> None:
    run_state_machine_as_test(_walks_on(database), settings=settings(  # type: ignore[no-untyped-call]
        max_examples=walks, stateful_step_count=30, deadline=None, derandomize=derandomize, database=None,
        print_blob=True, phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
    ))


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_every_reader_hears_each_milestone_that_fits_once(engine: str, request: pytest.FixtureRequest) -> None:
    play(request.getfixturevalue(f"{engine}_shared"), FEW[engine], derandomize=True)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_the_ways_that_chance_seldom_takes(engine: str, request: pytest.FixtureRequest) -> None:
    """Told by each cadence and then in another; and a pause while issues of each cadence are sealed."""
    walk = _walks_on(request.getfixturevalue(f"{engine}_shared"))()
    for place, cadence in ((0, "daily"), (1, "weekly"), (2, "instant")):
        walk.hears_and_turns(place, "research", cadence)
        walk.nothing_is_told_twice()
    for place in range(3):
        walk.pauses_or_resumes(place)
    walk.is_found("ships")
    for cadence in CADENCES:
        walk.is_drafted(cadence, early=True, seal=True)
    walk.nothing_is_told_twice()
    walk.teardown()


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_many_walks(engine: str, request: pytest.FixtureRequest) -> None:
    play(request.getfixturevalue(f"{engine}_shared"), MANY, derandomize=False)
