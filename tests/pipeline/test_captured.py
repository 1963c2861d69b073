"""The real site as captured: one look gives every milestone, every field exact, each with its witness."""

import importlib.util
import json
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from milepost.codec import milestone_to_json
from milepost.fields import CONTENT_FIELDS
from milepost.records import LookReport
from milepost.settings import Settings, parse
from pipeline.look.scrape import scrape
from store.database import connect, upgrade
from store.milestones.milestones import Milestones

SITES = Path(__file__).parents[2].parent / "shared" / "sites"

pytestmark = [
    pytest.mark.captured,
    pytest.mark.skipif(not (SITES / "serve.py").exists(), reason="the captured pages are not beside this checkout"),
]


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    spec = importlib.util.spec_from_file_location("serve", SITES / "serve.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = ThreadingHTTPServer(("127.0.0.1", 0), module.handler((SITES / "aitimeline" / "pages").resolve()))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def settings(served: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = parse({
        "store": {"url": f"sqlite:///{tmp_path_factory.mktemp('captured')}/milepost.db"},
        "sources": [{
            "key": "aitimeline", "extractor": "aitimeline", "base_url": "https://aitimeline.world",
            "fetch_from": served, "allow_hosts": ["127.0.0.1"],
        }],
    })
    upgrade(settings.store.url)
    return settings


@pytest.fixture(scope="module")
def first(settings: Settings) -> LookReport:
    return scrape(settings, "aitimeline")


@pytest.fixture(scope="module")
def records(settings: Settings, first: LookReport) -> dict[str, dict[str, Any]]:
    assert first.failures == ()
    with connect(settings.store.url) as database:
        return {s.milestone.key: milestone_to_json(s.milestone) for s in Milestones(database).iterate("aitimeline")}


def _expected(truth: dict[str, Any]) -> dict[str, Any]:
    date = f"{truth['year']:04d}" + "".join(f"-{truth[part]:02d}" for part in ("month", "day") if truth.get(part))
    image = {"url": truth["imageUrl"], "alt": truth["imageAlt"]} if "imageUrl" in truth else None
    return {
        "title": truth["title"], "date": date, "category": truth["category"], "era": truth["era"],
        "impact": truth["impactLevel"], "what_happened": truth["description"], "why_it_mattered": truth["impact"],
        "people": truth["people"], "organizations": truth["organizations"], "tags": truth["tags"], "image": image,
        "location": "",  # the site tells no place
    }


def test_one_look_gives_every_milestone_exact(records: dict[str, dict[str, Any]]) -> None:
    truth = {entry["id"]: _expected(entry) for entry in json.loads((SITES / "aitimeline" / "truth.json").read_text())}
    read = {
        key: {name: record[name] for name in CONTENT_FIELDS} | {"date": record["date"]["value"]}
        for key, record in records.items()
    }
    assert read == truth


def test_each_field_has_its_witnesses(records: dict[str, dict[str, Any]]) -> None:
    lonely = {
        (key, name) for key, record in records.items() for name in CONTENT_FIELDS
        if record[name] not in (None, "", []) and not record["evidence"].get(name)
    }
    assert lonely == set()


def test_nothing_but_the_place_is_unknown_and_every_date_is_settled(records: dict[str, dict[str, Any]]) -> None:
    assert {key for key, record in records.items() if record["unknown"] != ["location"]} == set()
    assert {key for key, record in records.items() if not record["date"]["confirmed"]} == set()


def test_a_second_look_fetches_no_page_again(settings: Settings, first: LookReport) -> None:
    second = scrape(settings, "aitimeline")
    assert (second.fetched, second.not_modified) == (0, first.fetched)
    assert set(second.changes.values()) == {0}
