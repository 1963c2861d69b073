"""A disk that is full in the middle of a look, a backup or an export: the sentence names it, and nothing is lost."""

import os
from pathlib import Path

import pytest

from milepost.dates import utc_now
from milepost.errors import InputError, StoreError
from milepost.settings import Settings, parse
from pipeline.look.scrape import scrape
from pipeline.upkeep import backup, check, export_warc
from store.database import connect
from store.schema import tables
from tests.pipeline import prepared
from tests.pipeline.stage import BreakableSite

pytestmark = pytest.mark.chaos


def rows(settings: Settings) -> dict[str, int]:
    with connect(settings.store.url) as database, database.connect() as connection:
        return {
            name: len(connection.execute(table.select()).all()) for name, table in tables.metadata.tables.items()
            if name in ("milestone", "milestone_version", "change", "snapshot")
        }


def look(settings: Settings) -> None:
    scrape(settings, "clockwork")


@pytest.mark.parametrize("left", [0, 4096, 40_000, 150_000, 400_000])
def test_a_full_disk_in_the_middle_of_anything(left: int, small_disk: Path, tmp_path: Path) -> None:
    with BreakableSite() as site:
        source = {"key": "clockwork", "extractor": "sample", "base_url": site.url, "allow_hosts": ["127.0.0.1"]}
        full, roomy = (
            parse({"store": {"url": f"sqlite:///{folder}/milepost.db"}, "sources": [source]})
            for folder in (small_disk, tmp_path)
        )
        for settings in (full, roomy):
            prepared.copy("baseline", settings)
        site.publish()
        disk = os.statvfs(small_disk)
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(disk.f_bavail * disk.f_frsize - left))
        with pytest.raises(StoreError, match=r"milepost\.db: the disk is full"):
            look(full)
        with (
            pytest.raises(StoreError, match=r"(milepost|copy)\.db: the disk is full"),
            connect(full.store.url) as database,
        ):
            backup(database, small_disk / "copy.db")
        with (
            pytest.raises((StoreError, InputError), match=r"the disk is full|No space left on device"),
            connect(full.store.url) as database,
        ):
            export_warc(database, small_disk / "pages.warc.gz", source=None, now=utc_now())
        assert not [file.name for file in small_disk.iterdir() if "copy" in file.name or "warc" in file.name]
        ballast.unlink()
        with connect(full.store.url) as database:
            assert check(database) == []
        look(full)
        look(roomy)
        assert rows(full) == rows(roomy)
