"""Records kept aside: the same as a dict of them, however few are in memory; those of a look are recorded in parts."""

import errno
import os
import random
import tracemalloc
from dataclasses import replace

import pytest

from extractors import drift
from milepost.errors import StoreError
from milepost.records import Change, FieldChange, Milestone
from milepost.settings import Settings
from pipeline.look import finish_look
from pipeline.look.judging import Entries
from pipeline.look.packed_records import Aside, Chosen, PackedRecords, slices
from pipeline.look.scrape import scrape
from store.database import Database
from store.milestones.milestones import Milestones
from tests.pipeline.stage import BreakableSite, Dying


def record(number: int, title: str = "") -> Milestone:
    return Milestone(source="s", key=f"k{number}", url=f"https://s.example/k{number}", title=title or f"T {number}")


def test_they_are_the_same_as_a_dict_of_them() -> None:
    dice, packed, plain = random.Random(7), PackedRecords(in_memory=3), dict[str, Milestone]()  # noqa: S311
    for turn in range(300):
        one = record(dice.randrange(20), title=f"é {turn}")
        if one.key in plain and dice.random() < 0.3:
            del packed[one.key], plain[one.key]
        else:
            packed[one.key] = plain[one.key] = one
        assert (list(packed.items()), len(packed), "k3" in packed) == (list(plain.items()), len(plain), "k3" in plain)
    with pytest.raises(KeyError):
        packed["nobody"]
    some = Chosen(packed, [key for key in plain if key > "k3"])
    assert dict(some) == {key: one for key, one in plain.items() if key > "k3"}
    with pytest.raises(KeyError):
        some["k1"]


def test_no_more_than_so_many_are_in_memory() -> None:
    packed = PackedRecords(in_memory=3)
    for number in range(10):
        packed[f"k{number}"] = record(number)
    assert [packed["k2"] is packed["k2"], packed["k3"] is packed["k3"]] == [True, False]
    assert packed["k3"] == record(3)


def test_slices_are_all_of_them_in_order() -> None:
    assert list(slices(range(5), 2)) == [[0, 1], [2, 3], [4]]


def test_the_most_frequent_value_of_very_many_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many others there are, which are forgotten one by one."""
    records = [record(number, title="Same" if number % 3 else "") for number in range(3000)]
    whole = drift.profile(records).fields["title"].one
    monkeypatch.setattr(drift, "_VALUES", 50)
    few = drift.profile(records).fields["title"].one
    assert whole == pytest.approx(2 / 3)
    assert whole - 1 / 50 <= few <= whole
    assert drift.profile(replace(one, title="") for one in records).fields["title"].one == 0


def test_a_first_look_that_dies_between_two_parts_is_gone_on_with(
    settings: Settings, site: BreakableSite, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finish_look, "TOGETHER", 5)
    dying = Dying(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        scrape(settings, "clockwork")
    assert (dying.calls, Milestones(database).count("clockwork")) == ([5, 5], 5)
    report = scrape(settings, "clockwork")
    assert (report.baseline, report.state, report.milestones) == (True, "complete", len(site.stories))
    changes = Milestones(database).changes(source="clockwork")
    assert len(changes) == len(site.stories)
    assert not any(change.announce for change in changes)


def test_what_the_disk_takes_in_parts_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a part without a word where its room ends in the middle."""
    write, most = os.pwrite, [3]

    def some(file: int, data: bytes, at: int) -> int:
        if not most[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[: most[0]], at)

    monkeypatch.setattr(os, "pwrite", some)
    aside = Aside()
    places = [aside.put(one) for one in (b"a whole record", b"and another")]
    assert [aside.get(places[0], 14), aside.get(places[1], 11)] == [b"a whole record", b"and another"]
    most[0] = 0
    with pytest.raises(StoreError, match="No space left"):
        aside.put(b"one more")


def test_a_number_goes_with_each_record() -> None:
    packed = PackedRecords(in_memory=1)
    for number in (1, 2, 3):
        packed.put(f"k{number}", record(number), 70 + number)
    packed["k4"] = record(4)
    packed["k2"] = record(2, title="another")  # as it is told by now: it was read from the same page
    assert dict(packed.numbers) == {"k1": 71, "k2": 72, "k3": 73, "k4": 0}
    del packed["k2"]
    packed.put("k2", record(2), 92)
    assert [(key, packed.numbers[key]) for key in packed] == [("k1", 71), ("k3", 73), ("k4", 0), ("k2", 92)]


def test_entries_are_as_they_were_given_and_what_is_new_takes_no_change_each() -> None:
    numbers = {f"k{number}": number for number in range(5000)}
    entries, keys = Entries("s", numbers), list(numbers)
    corrected = Change(source="s", key="k2", kind="corrected", fields=(FieldChange("title", "corrected", "A", "B"),))
    tracemalloc.start()
    try:
        for key in keys:
            entries.add(key, {"k1": None, "k2": corrected}.get(key, Change(source="s", key=key, kind="added")))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 32 * len(keys)
    new = Change(source="s", key="k3", kind="added")
    assert [entries[0].change, *entries[1:4]] == [
        Change(source="s", key="k0", kind="added"), (None, "k1", 1), (corrected, "k2", 2), (new, "k3", 3)]
    assert list(entries)[3] == entries[3] == (new, "k3", 3)
    assert sum(1 for _ in entries.changes) == len(entries) - 1 == 4999
