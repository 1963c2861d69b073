"""People come and go while an issue is frozen and while it is sent: no mail begins after they have left."""

import datetime as dt
import random
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from delivery.message import tokens
from milepost.dates import utc_now
from milepost.errors import NotFoundError
from milepost.records import Placement, ReaderLink, Standing, Subscriber
from store.database import connect, upgrade
from store.issues.issues import Issues
from store.ledger.ledger import Ledger
from store.schema.tables import delivery, exclusion, subscriber
from store.subscribers.people import Subscribers
from store.subscribers.suppressions import Suppressions
from store.upkeep.backup import backup, restore
from tests.chaos import runner
from tests.chaos.backends import Backend
from tests.chaos.conftest import Size, Told

pytestmark = pytest.mark.chaos
KEY = "an-invented-key-of-thirty-two-characters"


def leave(url: str, names: list[str]) -> dict[str, tuple[float, dt.datetime]]:
    """Each in turn unsubscribes, or bounces → by when that was on the disk, by both clocks."""
    gone = {}
    with connect(url) as database:
        people, suppressions = Subscribers(database), Suppressions(database)
        for index, name in enumerate(names):
            found = people.find(name)
            assert found is not None
            if index % 2:
                people.leave(found.id, utc_now())
            else:
                suppressions.add(name, "bounce 5.1.1", utc_now())
            gone[name] = (time.monotonic(), utc_now())
    return gone


@pytest.mark.parametrize("point", ["before-T3", "after-T3"])
def test_all_leave_at_the_last_moment(point: str, tmp_path: Path, backend: Backend, size: Size, told: Told) -> None:
    """Before T3: nobody is mailed. After it: whose message was begun by then, nobody else."""
    readers = 40
    (tmp_path / "hold").mkdir()
    with runner.world(tmp_path, backend, readers, seed=size.seed) as here:
        child = here.start(point=point, trap=f"hold {tmp_path / 'hold'}")
        while not (tmp_path / "hold" / "reached").exists():
            time.sleep(0.02)
        leave(here.url, runner.names(readers))
        (tmp_path / "hold" / "go").touch()
        child.end()
        here.finish()
        verdict = here.verdict()
        asked = len(here.lines("data"))
    told(f"F15 all leave {point}", backend, verdict)
    begun = 0 if point == "before-T3" else verdict.states.get("sent", 0)
    assert asked == begun <= size.connections
    assert set(verdict.states) <= {"sent", "cancelled", "suppressed"}


def test_some_leave_during_the_dispatch(tmp_path: Path, backend: Backend, size: Size, told: Told) -> None:
    readers = size.few * 4
    with runner.world(tmp_path, backend, readers, seed=size.seed, gap_ms=20) as here:
        names = runner.names(readers)
        random.Random(size.seed).shuffle(names)  # noqa: S311 (a seed is to be played again)
        child = here.start()
        here.until(10)
        gone = leave(here.url, names[: readers // 3])
        child.end()
        here.finish()
        verdict = here.verdict()
        asked = {line.who: line.at for line in here.lines("data")}
        with connect(here.url) as database:
            rows = {row.address: row for row in Ledger(database).rows(1)}
    told("F15 some leave meanwhile", backend, verdict)
    spared = {name for name in gone if rows[name].state in ("cancelled", "suppressed")}
    assert spared
    assert not spared & set(asked)
    for name in gone.keys() - spared:
        began = rows[name].first_attempt_at
        assert began is not None
        assert began <= gone[name][1], f"{name}: T3 came after they had left"


def test_people_come_and_go_while_it_is_frozen(tmp_path: Path, backend: Backend, size: Size) -> None:
    """Three issues, frozen while three programs write to the list: every candidate is a delivery or an exclusion."""
    url = backend.fresh(tmp_path)
    runner.fill(url, runner.names(size.readers))
    stop = threading.Event()
    trouble: list[BaseException] = []

    def come_and_go(mine: int) -> None:
        dice = random.Random(size.seed + mine)  # noqa: S311 (a seed is to be played again)
        try:
            with connect(url) as database:
                people = Subscribers(database)
                number = 0
                while not stop.is_set():
                    number += 1
                    people.add(f"late{mine}-{number}@readers.example", cadence="weekly", now=utc_now())
                    people.leave(dice.randrange(1, size.readers), utc_now())
        except BaseException as error:  # noqa: BLE001 (told below)
            trouble.append(error)

    writers = [threading.Thread(target=come_and_go, args=(mine,)) for mine in range(3)]
    for writer in writers:
        writer.start()

    def place(who: Subscriber, _suppressed: bool, _standing: Standing) -> Placement:
        return Placement(variant="all") if who.state == "active" else Placement(exclusion=who.state)

    try:
        with connect(url) as database:
            ledger, issues = Ledger(database), Issues(database)
            variants = list(issues.variants(1))
            seen = []
            for week in (48, 49, 50):
                issue = issues.draft(
                    "weekly", f"2026-W{week}", [], variants, subject="on", content_hash="0" * 64, now=utc_now()
                )
                counts = ledger.freeze(issue.number, content_hash="0" * 64, place=place, now=utc_now())
                seen.append(counts)
                time.sleep(0.3)  # they write between two freezes too: a SQLite writer is alone
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert not trouble
    with connect(url) as database, database.connect() as connection:
        for counts in seen:
            assert counts.candidates == counts.deliveries + sum(counts.exclusions.values())
            placed = [
                set(connection.execute(sa.select(table.c.subscriber).where(table.c.issue == counts.issue)).scalars())
                for table in (delivery, exclusion)
            ]
            assert not placed[0] & placed[1]
            # Ids are given in the order of sign-ups here: whoever came before the freeze is placed, nobody after it.
            first = sa.select(subscriber.c.id).order_by(subscriber.c.id).limit(counts.candidates)
            assert placed[0] | placed[1] == set(connection.execute(first).scalars())
        assert seen[0].candidates < seen[2].candidates, "nobody came meanwhile"
        assert seen[2].exclusions["unsubscribed"] > 0
    print(f"\nF19 {backend.name}: {[c.candidates for c in seen]} candidates in three freezes, all placed")  # noqa: T201


def test_a_backup_is_put_back_and_old_links_are_used(tmp_path: Path, size: Size) -> None:
    """F24: people come after the backup, are mailed, and are lost; others come: a link is its person's or nobody's."""
    dice = random.Random(size.seed)  # noqa: S311 (a seed is to be played again)
    url = f"sqlite:///{tmp_path}/0.db"
    mailed: dict[str, str] = {}  # token → to whom
    upgrade(url)
    for generation in range(1, 6):
        with connect(url) as database:
            for number in range(dice.randrange(1, 20)):
                Subscribers(database).add(f"g{generation}-{number}@readers.example", now=utc_now())
                if number == 5:
                    backup(database, tmp_path / f"{generation}.backup")
            with database.connect() as connection:
                rows = connection.execute(sa.select(subscriber.c.handle, subscriber.c.address)).all()
            mailed |= {tokens.make(KEY, handle=row.handle, list_id="l.example"): row.address for row in rows}
            if not (tmp_path / f"{generation}.backup").exists():
                backup(database, tmp_path / f"{generation}.backup")
        url = f"sqlite:///{tmp_path}/{generation}.db"
        restore(tmp_path / f"{generation}.backup", url)
    acted = 0
    with connect(url) as database:
        people = Subscribers(database)
        for number in range(200):
            people.add(f"last-{number}@readers.example", now=utc_now())
        for token, address in mailed.items():
            said = tokens.verify(KEY, token)
            assert said is not None
            try:
                who = people.linked(said.link)
            except NotFoundError:
                assert people.find(address) is None, "a link of somebody who is here does nothing"
                continue
            assert who.address == address
            acted += 1
        for old in range(1, 200):  # links of a release whose links named ids: this database never mailed one
            with pytest.raises(NotFoundError):
                people.linked(ReaderLink(subscriber_id=old))
    assert 0 < acted < len(mailed), "nobody was lost, or everybody"
