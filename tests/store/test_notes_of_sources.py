"""What looks note of a source beside its archive."""

from array import array

from store.archive import lastmods, lost_entries
from store.archive.lastmods import Lastmods
from store.archive.pages import Pages
from store.database import Database, connect, upgrade
from store.milestones.looks import Looks
from tests.store.conftest import NOW

LONGEST = "a" * 40  # the key of a source has no more characters


def test_the_longest_key_of_a_source_has_its_notes_too(database: Database) -> None:
    looks, standing = Looks(database), Lastmods(pairs=array("Q", [7]))
    looks.note_asked_in_full(LONGEST, NOW)
    looks.note_disallowed(LONGEST, 3)
    lost_entries.note(database, LONGEST, {"https://kites.example/data": {"1"}})
    lastmods.note(database, LONGEST, standing)
    assert looks.asked_in_full(LONGEST) == NOW
    assert looks.disallowed(LONGEST) == 3
    assert lost_entries.noted(database, LONGEST) == {"https://kites.example/data": ("1",)}
    assert lastmods.noted(database, LONGEST) == standing
    assert Pages(database).stopped(LONGEST) == {}


def test_an_upgrade_makes_room_for_them(empty_url: str) -> None:
    upgrade(empty_url, to="0042")
    with Database(empty_url) as before:
        Looks(before).note_asked_in_full("site", NOW)
    upgrade(empty_url)
    with connect(empty_url) as database:
        Looks(database).note_asked_in_full(LONGEST, NOW)
        assert Looks(database).asked_in_full("site") == Looks(database).asked_in_full(LONGEST) == NOW
