"""A crash anywhere between a look's commit and an issue's freeze: each milestone is announced once per cadence."""

from collections import Counter
from pathlib import Path
from typing import Literal

import pytest
import sqlalchemy as sa

from milepost.dates import utc_now
from milepost.settings import load
from pipeline import backfill as rereading
from pipeline.look.scrape import scrape
from pipeline.publish import publish
from store.database import connect
from store.schema.tables import issue, issue_item
from store.subscribers.people import Subscribers
from tests.chaos.backends import Backend
from tests.chaos.publisher import Errand, later, run
from tests.chaos.runner import Child
from tests.pipeline.stage import READERS, BreakableSite

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1_800)]  # each of some thirty deaths is a look and two backfills
SETTINGS = """
[store]
url = "{url}"
[[sources]]
key = "clockwork"
extractor = "sample"
base_url = "https://clockwork.example"
fetch_from = "{site}"
allow_hosts = ["127.0.0.1"]
[fetch]
retries = 0
[mail]
url = "smtp://127.0.0.1:9"
from = "Clockwork <news@clockwork.example>"
postal_address = "1 Escapement Row, Exampletown"
[newsletter]
name = "Clockwork"
cadences = ["instant", "daily"]
[web]
base_url = "https://news.clockwork.example"
"""


def _announced(url: str) -> Counter[tuple[str, int]]:
    """(cadence, milestone) → in how many issues it is news."""
    with connect(url) as database, database.connect() as connection:
        rows = connection.execute(sa.select(issue_item.c.cadence, issue_item.c.milestone_id).where(
            issue_item.c.role == "news"
        ))
        return Counter((row.cadence, row.milestone_id) for row in rows)


def _states(url: str) -> list[str]:
    with connect(url) as database, database.connect() as connection:
        return list(connection.execute(sa.select(issue.c.state).order_by(issue.c.number)).scalars())


def test_a_crash_between_the_look_and_the_freeze(tmp_path: Path, backend: Backend) -> None:
    """Each run dies at another commit; the next one, by a schedule, and a backfill after it announce nothing twice."""

    def settings_for(url: str, name: str) -> Path:
        file = tmp_path / f"{name}.toml"
        file.write_text(SETTINGS.format(url=url, site=site.url))
        return file

    deaths = 0
    with BreakableSite() as site:
        base = backend.fresh(tmp_path)
        with connect(base) as database:
            for index, reader in enumerate(READERS):
                Subscribers(database).add(reader, cadence="daily" if index else "instant", now=utc_now())
        scrape(load(settings_for(base, "base")), "clockwork")
        site.publish()

        def play(name: str, when: Literal["before", "after", ""] = "", commit: int = 0) -> str:
            nonlocal deaths
            url = backend.fresh(tmp_path, like=base)
            settings = settings_for(url, name)
            first = Errand(settings=settings, source="clockwork", when=when, commit=commit)
            said = Child(run, first).started().end()
            deaths += not said
            Child(run, Errand(settings=settings, source="clockwork")).started().end()
            loaded = load(settings)
            for _ in range(2):
                rereading.backfill(loaded, "clockwork", dry_run=False, processes=1)
                publish(loaded, now=later)
            announced = _announced(url)
            assert len(announced) == 4, f"{name}: {announced}"  # two milestones, two cadences
            assert set(announced.values()) == {1}, f"{name}: {announced}"
            assert _states(url) == ["frozen", "frozen"], name
            return said

        looked, total = (int(number) for number in play("whole").split())
        points = [(when, commit) for commit in range(max(1, looked - 2), total + 1) for when in ("before", "after")]
        for when, commit in points:
            play(f"{when}-{commit}", when, commit)  # type: ignore[arg-type]
    assert deaths == len(points) > 4
    print(f"\nF18 {backend.name}: died at {deaths} commits; each milestone in one issue per cadence")  # noqa: T201
