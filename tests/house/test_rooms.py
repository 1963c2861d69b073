"""Rooms have everyday names: a package of somebody else's that bears one is told of, or is not even looked at."""

import subprocess
import sys
from pathlib import Path

import pytest

from milepost.errors import SettingsError
from milepost.rooms import ROOMS, require_rooms


def test_every_room_is_where_it_belongs() -> None:
    require_rooms()


@pytest.mark.parametrize("room", ["store", "web", "templates"])
def test_a_package_of_somebody_else_s_in_a_room_s_place_is_told_of(
    room: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{room}.py").write_text("raise RuntimeError('somebody else')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, room, raising=False)
    with pytest.raises(SettingsError, match=room) as caught:
        require_rooms()
    assert str(tmp_path / f"{room}.py") in str(caught.value)


def test_the_module_form_of_the_command_looks_past_the_folder_it_is_run_in(tmp_path: Path) -> None:
    for room in ROOMS:
        if room != "milepost":
            (tmp_path / f"{room}.py").write_text("raise RuntimeError('somebody else')", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "milepost", "--version"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("milepost ")
