"""`milepost up`: what it starts, and where that is kept."""

import os
from pathlib import Path
from unittest import mock

from console.commands.up import LOOPBACK, _parts


def test_with_prefect_s_home_elsewhere_its_own_folder_is_made_all_the_same(tmp_path: Path) -> None:
    """The schedules say there that they have begun."""
    (tmp_path / "site").mkdir()
    with mock.patch.dict(os.environ, PREFECT_HOME=str(tmp_path / "home"), PREFECT_API_URL="http://127.0.0.1:9/api"):
        parts = _parts(tmp_path / "site" / "milepost.toml", host=LOOPBACK, port=8025, prefect_port=4200)
    assert [part.name for part in parts] == ["the schedules", "the readers' pages"]
    begun = Path(parts[0].command[-1])
    begun.touch()
    assert parts[0].ready()
