"""The real site as captured: one look gives every milestone, every field exact, each with its witness."""

import importlib.util
import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from milepost.codec import milestone_to_json
from milepost.fields import CONTENT_FIELDS
from milepost.records import LookReport
from milepost.settings import Settings, parse
from pipeline.look.scrape import scrape
from store.database import connect
from store.milestones.milestones import Milestones
from tests.new_database import new_database

SITES = Path(__file__).parents[2].parent / "shared" / "sites"

pytestmark = [
    pytest.mark.captured,
    pytest.mark.skipif(not (SITES / "serve.py").exists(), reason="the captured pages are not beside this checkout"),
]


@contextmanager
def serving(pages: Path) -> Iterator[str]:
    """The address at which a folder of captured pages is served."""
    spec = importlib.util.spec_from_file_location("serve", SITES / "serve.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = ThreadingHTTPServer(("127.0.0.1", 0), module.handler(pages.resolve()))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def watching(served: str, folder: Path) -> Settings:
    return parse({
        "store": {"url": f"sqlite:///{folder}/milepost.db"},
        "sources": [{
            "key": "aitimeline", "extractor": "aitimeline", "base_url": "https://aitimeline.world",
            "fetch_from": served, "allow_hosts": ["127.0.0.1"],
        }],
    })


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    with serving(SITES / "aitimeline" / "pages") as address:
        yield address


@pytest.fixture(scope="module")
def settings(served: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = watching(served, tmp_path_factory.mktemp("captured"))
    new_database(settings.store.url)
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


def truth() -> dict[str, dict[str, Any]]:
    return {entry["id"]: _expected(entry) for entry in json.loads((SITES / "aitimeline" / "truth.json").read_text())}


def as_told(records: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The fields that the truth knows of, dates by their values."""
    fields = next(iter(truth().values()))
    return {
        key: {name: record[name] for name in fields} | {"date": record["date"]["value"]}
        for key, record in records.items()
    }


def known(settings: Settings) -> dict[str, dict[str, Any]]:
    with connect(settings.store.url) as database:
        return {s.milestone.key: milestone_to_json(s.milestone) for s in Milestones(database).iterate("aitimeline")}


def test_one_look_gives_every_milestone_exact(records: dict[str, dict[str, Any]]) -> None:
    assert as_told(records) == truth()


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


NEWEST = SITES / "aitimeline-newer" / "pages"


def happened(report: LookReport) -> dict[str, int]:
    return {kind: count for kind, count in report.changes.items() if count}


def test_the_newest_layout_is_a_baseline_exact_and_what_comes_after_it_is_news(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    shutil.copytree(NEWEST, pages)
    late = pages / "timeline" / "alexnet-2012.html"
    page = late.read_bytes()
    late.unlink()
    sitemap = pages / "sitemap.xml"
    whole = sitemap.read_text()
    sitemap.write_text(re.sub(r"<url>\s*<loc>[^<]*/timeline/alexnet-2012</loc>.*?</url>", "", whole, flags=re.DOTALL))
    for file in pages.rglob("*.html"):
        text = file.read_text()
        file.write_text(text.replace("/timeline/alexnet-2012", "/timeline-later/alexnet-2012")
                        .replace("alexnet-2012-details", "later"))
    with serving(pages) as served:
        settings = watching(served, tmp_path)
        new_database(settings.store.url)
        first = scrape(settings, "aitimeline")
        assert (first.baseline, first.state, first.milestones, first.failures) == (True, "complete", 80, ())
        second = scrape(settings, "aitimeline")
        assert (second.fetched, second.held, happened(second)) == (0, None, {})
        sitemap.write_text(whole)
        shutil.copytree(NEWEST, pages, dirs_exist_ok=True)
        late.write_bytes(page)
        third = scrape(settings, "aitimeline")
        assert (third.held, third.failures, happened(third)) == (None, (), {"added": 1})
    told = as_told(known(settings))
    assert told == truth()
    assert sum(len(fields.keys() - {"location"}) for fields in told.values()) == 891


def test_from_the_captured_layout_to_the_newest_and_back_nothing_is_told(tmp_path: Path, served: str) -> None:
    captured = watching(served, tmp_path)
    new_database(captured.store.url)
    assert scrape(captured, "aitimeline").baseline
    with serving(NEWEST) as address:
        newest = watching(address, tmp_path)
        for settings, moved in ((newest, True), (newest, False), (captured, True)):
            looked = scrape(settings, "aitimeline")
            assert (looked.held, looked.state, happened(looked)) == (None, "complete", {})
            assert any("values are the same" in note for note in looked.notes) is moved
    assert as_told(known(captured)) == truth()
