"""Readers change their minds while issues are sealed and sent: each hears each milestone once (F23)."""

import random
import threading
from pathlib import Path

import pytest

from milepost.records import Cadence
from pipeline.publish import publish
from store.database import connect
from store.subscribers.people import Subscribers
from tests.chaos.backends import Backend
from tests.chaos.conftest import Size
from tests.pipeline.town import DAY, Town

pytestmark = pytest.mark.chaos

CADENCES: tuple[Cadence, ...] = ("instant", "daily", "weekly")
READERS = 60


def test_minds_change_at_any_instant_between_detection_and_hand_over(
    tmp_path: Path, backend: Backend, size: Size
) -> None:
    """Three programs change readers' choices while a fourth finds, seals and sends; then all of it is paid."""
    url = backend.fresh(tmp_path)
    stop = threading.Event()
    trouble: list[BaseException] = []
    changes = [0, 0, 0]
    with connect(url) as database:
        town = Town(database)
        town.offers(*CADENCES)
        readers = [town.reader(f"r{number}", CADENCES[number % 3]) for number in range(READERS)]

        def change(mine: int) -> None:
            dice = random.Random(size.seed + mine)  # noqa: S311 (a seed is to be played again)
            try:
                with connect(url) as own:
                    people = Subscribers(own)
                    while not stop.is_set():
                        who = dice.choice(readers[mine::3])
                        people.set_choice(who.id, cadence=dice.choice(CADENCES), now=town.now)
                        if dice.random() < 0.2:
                            people.leave(who.id, town.now)
                            people.come_back(who.id, town.now)
                        changes[mine] += 1
                        stop.wait(0.005)  # a SQLite writer is alone: the others get their turn
            except BaseException as error:  # noqa: BLE001 (told below)
                trouble.append(error)

        changers = [threading.Thread(target=change, args=(mine,)) for mine in range(3)]
        for changer in changers:
            changer.start()
        found = []
        try:
            for day in range(6):
                found.append(f"m{day}")
                town.finds(found[-1])
                town.now += DAY
                town.publishes()
        finally:
            stop.set()
            for changer in changers:
                changer.join()
        assert not trouble
        for _ in range(3):
            town.now += 8 * DAY
            town.publishes()
        assert town.owed() == []
        assert publish(town.settings, now=lambda: town.now) == []
        for who in readers:
            assert sorted(town.keys(who)) == found, who
    print(f"\nF23 {backend.name}: {sum(changes)} changes of mind, {READERS} readers × {len(found)} each once")  # noqa: T201
