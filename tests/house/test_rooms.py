"""Rooms have everyday names: a package of somebody else's that bears one is told of, or is not even looked at."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from milepost.errors import SettingsError
from milepost.rooms import HOME, ROOMS, require_rooms


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


@pytest.mark.parametrize("form", [
    ["-m", "milepost"], ["-c", "from milepost.__main__ import main; main()"],  # the script is the second
])
@pytest.mark.parametrize("room", ["console", "store"])
def test_the_command_tells_of_one_that_stands_there_by_the_python_path(
    form: list[str], room: str, tmp_path: Path
) -> None:
    (tmp_path / f"{room}.py").write_text("raise RuntimeError('somebody else')", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, *form, "--version"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(HOME)])},
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"milepost: {tmp_path / f'{room}.py'}: it stands where")
    assert "Traceback" not in done.stderr


def test_the_script_is_the_module_form() -> None:
    project = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"milepost": "milepost.__main__:main"}


def test_the_module_form_of_the_command_looks_past_the_folder_it_is_run_in(tmp_path: Path) -> None:
    for room in ROOMS:
        if room != "milepost":
            (tmp_path / f"{room}.py").write_text("raise RuntimeError('somebody else')", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "milepost", "--version"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("milepost ")
