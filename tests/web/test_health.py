"""What machines are told: the truth of the database, and figures that nobody outside gets and that name nobody."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from milepost.settings import Settings, load
from pipeline.operate.metrics import Health
from store.database import connect
from store.schema import tables
from tests.pipeline import prepared
from tests.web.conftest import LIST_ID, NOW, MemoryIssues, MemorySubscribers, MemoryTopics, NoSignUps, keys
from web.app import create_app

TOKEN = "an-invented-token-of-metrics"
BEFORE = "the token of last year"


class Client:
    """Asks the application over the store, from a peer and by a name."""

    def __init__(self, app: Any, peer: str, host: str) -> None:
        self._transport, self._base = httpx.ASGITransport(app, client=(peer, 4711)), f"http://{host}"

    def get(self, path: str, headers: Any = None) -> httpx.Response:
        async def go() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url=self._base) as opened:
                return await opened.get(path, headers=headers)

        return asyncio.run(go())


def client(settings: Settings, peer: str = "127.0.0.1", host: str = "localhost:8025") -> Client:
    app: Any = create_app(
        issues=MemoryIssues(), own_page=MemorySubscribers(), topics=MemoryTopics(), signing_up=NoSignUps(),
        settings=settings, keys=keys, list_id=LIST_ID, now=lambda: NOW, health=Health(settings),
    )
    return Client(app, peer, host)


def _settings(folder: Path, more: str = "") -> Settings:
    (folder / "milepost.toml").write_text(
        prepared.SETTINGS.format(site="http://127.0.0.1:9", smtp=9) + more + "[notify]\ndisk_free_mb = 0\n",
        encoding="utf-8",
    )
    return load(folder / "milepost.toml")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = _settings(tmp_path)
    prepared.copy("issue", settings)
    return settings


def test_alive_is_alive_and_ready_asks_the_database(settings: Settings) -> None:
    here = client(settings)
    assert here.get("/health").text == "alive\n"
    ready = here.get("/ready")
    assert ready.status_code == 200
    told = ready.json()
    assert (told["ready"], told["why_not"], told["restored"]) == (True, None, False)
    assert told["last_looks"]["clockwork"] is not None
    assert ready.headers["cache-control"] == "no-store"


def test_a_database_that_is_lost_under_a_process_is_not_ready_though_it_lives(settings: Settings) -> None:
    with connect(settings.store.url) as database, database.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0003'"))
    here = client(settings)
    assert here.get("/health").status_code == 200
    assert (here.get("/ready").status_code, "revision 0003" in here.get("/ready").json()["why_not"]) == (503, True)
    assert "milepost_up 0.0" in here.get("/metrics").text
    assert 'milepost_conditions{kind="migration"} 1.0' in here.get("/metrics").text
    assert client(settings, "198.51.100.7").get("/ready").json() == {"ready": False}


def test_the_figures_stand_in_gauges_and_name_nobody(settings: Settings) -> None:
    text = client(settings).get("/metrics").text
    for line in (
        'milepost_deliveries{issue="1",state="pending"} 3.0', 'milepost_subscribers{state="active"} 3.0',
        'milepost_conditions{kind="look-held"} 0.0', "milepost_up 1.0", 'milepost_look_held{source="clockwork"} 0.0',
    ):
        assert line in text.splitlines()
    assert "@" not in text
    with connect(settings.store.url) as database, database.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.subscriber)).scalar_one() == 3


@pytest.mark.parametrize(("peer", "host", "headers"), [
    pytest.param("198.51.100.7", "localhost", {}, id="another machine"),
    pytest.param("127.0.0.1", "news.example", {}, id="by a public name"),
    pytest.param("127.0.0.1", "localhost", {"X-Forwarded-For": "198.51.100.7"}, id="by a proxy"),
    pytest.param("127.0.0.1", "localhost", {"Via": "1.1 front"}, id="by a proxy that names nobody"),
])
def test_nobody_else_gets_the_figures(settings: Settings, peer: str, host: str, headers: dict[str, str]) -> None:
    outside = client(settings, peer, host)
    assert outside.get("/metrics", headers=headers).status_code == 403
    assert outside.get("/ready", headers=headers).json() == {"ready": True}


def test_a_token_opens_them_from_anywhere_and_nothing_else_does(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    settings = settings.model_copy(update={"web": type(settings.web)(
        metrics_token=SecretStr(TOKEN), previous_metrics_token=SecretStr(BEFORE),
    )})
    prepared.copy("empty", settings)
    outside = client(settings, "198.51.100.7", "news.example")
    for shown in (TOKEN, BEFORE):
        assert outside.get("/metrics", headers={"Authorization": f"Bearer {shown}"}).status_code == 200
    for shown in ("", "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer é"):
        refused = client(settings).get("/metrics", headers={"Authorization": shown.encode()})
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")


def test_the_form_is_the_one_that_a_scraper_asks_for(settings: Settings) -> None:
    asked = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = client(settings).get("/metrics", headers=asked)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    assert json.dumps(client(settings).get("/ready").json())
