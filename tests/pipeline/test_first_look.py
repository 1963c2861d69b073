"""The first look makes the database, and says so; an older one is never migrated by a look."""

import logging
from pathlib import Path

import pytest
import sqlalchemy as sa

from milepost.errors import SchemaError
from milepost.settings import load
from pipeline.look.scrape import scrape
from pipeline.operate.standing import stand
from store.database import connect
from tests.pipeline import prepared
from tests.pipeline.stage import BreakableSite


def test_the_first_look_makes_the_database_and_says_so(
    site: BreakableSite, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("milepost"), "propagate", True)
    (tmp_path / "milepost.toml").write_text(prepared.SETTINGS.format(site=site.url, smtp=9), encoding="utf-8")
    settings = load(tmp_path / "milepost.toml")
    assert scrape(settings, "clockwork").baseline
    assert f"made sqlite:///{tmp_path}/milepost.db" in caplog.text
    caplog.clear()
    scrape(settings, "clockwork")
    assert "made" not in caplog.text
    with connect(settings.store.url) as database, database.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0003'"))
    with pytest.raises(SchemaError, match="revision 0003"):
        scrape(settings, "clockwork")
    assert {one.kind for one in stand(settings, now=prepared.utc_now()).conditions} >= {"migration"}
