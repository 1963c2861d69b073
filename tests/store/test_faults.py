"""What a driver raises becomes the sentence that tells an operator what to do."""

import re
import sqlite3
from pathlib import Path

import pytest

from store.faults import free_bytes, translate

ROOM = 10**9


def raised(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("as the driver says it")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(("code", "free", "words"), [
    (sqlite3.SQLITE_FULL, 0, r"the disk is full\. Free some space"),
    (sqlite3.SQLITE_FULL, None, r"the disk is full\. Free some space"),
    (sqlite3.SQLITE_IOERR_SHMSIZE, 4096, r"the disk is full\. Free some space"),  # no room for the -shm beside it
    (sqlite3.SQLITE_IOERR_SHMSIZE, ROOM, "the disk failed while reading or writing"),
    (sqlite3.SQLITE_IOERR_READ, None, "the disk failed while reading or writing"),
    (sqlite3.SQLITE_FULL, ROOM, r"There is room where the database lies.*temporary files.*/scratch"),
])
def test_what_is_full_is_said(code: int, free: int | None, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLITE_TMPDIR", "/scratch")
    found = translate(raised(code), "/data/milepost.db", room=lambda _: free)
    assert found is not None
    assert str(found).startswith("/data/milepost.db: ")
    assert re.search(words, str(found))


def test_room_is_that_of_the_file_s_disk(tmp_path: Path) -> None:
    assert (free_bytes(str(tmp_path / "not there yet.db")) or 0) > 0
    assert free_bytes("/nowhere/at/all/milepost.db") is None
