"""A source is given another extractor or other options: what was on its page at the first look is told to nobody."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from milepost.dates import utc_now
from milepost.records import LookReport
from milepost.settings import Settings, parse
from pipeline.look.scrape import scrape
from store.database import connect
from store.milestones.milestones import Milestones
from tests.pipeline import prepared
from tests.pipeline.file_server import FileServer, serving
from tests.pipeline.replaying import announce

CHANGES = """# Kiln

## [1.3.0] - 2031-03-04

- Brick c laid in the wall.

## Kiln 1.2.0 (March 3, 2031)

- Brick b glazed blue.

## [1.1.0] - 2031-03-02

- A chimney of clay.

## [1.0.0] - 2031-03-01

- First fire.
"""
KITES = [{"id": number, "name": f"The {what} is tied", "day": f"2031-01-0{number}", "at": f"/kites/{number}"}
         for number, what in enumerate(("box", "reel", "tail"), start=1)]
ROWS = "".join(
    f"<article><h2>The {thing} is set</h2><time datetime=1931-03-0{day}>{day} March 1931</time><h3>{other}</h3>"
    f"<p>Words about the {thing}.</p></article>"
    for day, thing, other in ((1, "lens", "A crystal eye"), (2, "door", "Way in"), (3, "lamp", "Let it burn"))
)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as server:
        yield server


@pytest.fixture
def read(server: FileServer, tmp_path: Path) -> Any:
    """Look with these settings, and tell (what changed, the look, what is announced)."""
    made: list[Settings] = []

    def look(extractor: str, options: Mapping[str, Any]) -> tuple[dict[str, int], LookReport, tuple[str, ...]]:
        settings = parse({
            "store": {"url": f"sqlite:///{tmp_path / 'milepost.db'}"}, "fetch": {"retries": 0, "min_interval": 0},
            "sources": [{"key": "kiln", "extractor": extractor, "options": options, "allow_hosts": ["127.0.0.1"],
                         "base_url": "https://kiln.example", "fetch_from": server.url}],
        })
        if not made:
            prepared.copy("empty", settings)
        made.append(settings)
        report = scrape(settings, "kiln")
        told = {kind: count for kind, count in report.changes.items() if count}
        return told, report, () if report.baseline else announce(settings, utc_now())

    def known() -> set[str]:
        with connect(made[0].store.url) as database:
            return set(Milestones(database).keys("kiln"))

    look.known = known  # type: ignore[attr-defined]
    return look


def test_what_another_extractor_reads_of_the_first_look_is_on_record_and_no_news(server: FileServer, read: Any) -> None:
    server.put("/C.md", CHANGES, "text/markdown")
    read("keepachangelog", {"path": "/C.md", "project": "Kiln"})
    assert read.known() == {"1-3-0", "1-1-0", "1-0-0"}
    later = CHANGES.replace("# Kiln\n", "# Kiln\n\n## [1.4.0] - 2031-04-04\n\n- A door.\n", 1)
    server.put("/C.md", later, "text/markdown")
    changed, report, news = read("changelog", {"path": "/C.md", "project": "Kiln"})
    assert (report.held, changed["added"], news) == (None, 2, ("1-4-0",))
    assert any("stood there at the first look" in note and "1-2-0" in note for note in report.notes)
    assert read.known() == {"1-4-0", "1-3-0", "1-2-0", "1-1-0", "1-0-0"}


def test_what_came_since_and_could_not_be_read_is_news_when_it_can(server: FileServer, read: Any) -> None:
    before = CHANGES.replace("## Kiln 1.2.0 (March 3, 2031)", "## [1.2.0] - 2031-03-03")
    server.put("/C.md", before, "text/markdown")
    read("keepachangelog", {"path": "/C.md", "project": "Kiln"})
    server.put("/C.md", before.replace("# Kiln\n", "# Kiln\n\n## Kiln 1.4.0 (April 4, 2031)\n\n- A door.\n", 1),
               "text/markdown")
    assert read("keepachangelog", {"path": "/C.md", "project": "Kiln"})[2] == ()
    changed, report, news = read("changelog", {"path": "/C.md", "project": "Kiln"})
    assert (report.held, changed["added"], news) == (None, 1, ("1-4-0",))


def test_entries_under_other_keys_are_the_known_ones_where_title_and_date_are(server: FileServer, read: Any) -> None:
    server.put("/kites.json", json.dumps(KITES), "application/json")
    named = {"title": "name", "date": "day"}
    read("json", {"path": "/kites.json", "fields": named | {"key": "id"}})
    late = {"id": 4, "name": "The line is cut", "day": "2031-02-01", "at": "/kites/4"}
    server.put("/kites.json", json.dumps([late, *KITES]), "application/json")
    assert read("json", {"path": "/kites.json", "fields": named | {"key": "id"}})[2] == ("4",)
    server.put("/kites.json", json.dumps([late, *KITES]) + "\n", "application/json")
    changed, report, news = read("json", {"path": "/kites.json", "fields": named | {"url": "at"}})
    assert (report.held, changed, news) == (None, {"renamed": 4}, ())


def test_what_stays_unclear_is_held(server: FileServer, read: Any) -> None:
    server.put("/", f"<!doctype html><html><body>{ROWS}</body></html>", "text/html")
    read("list", {"path": "/"})
    more = ROWS + ROWS.replace("1931", "1932").replace("lens", "arch").replace("door", "roof").replace("lamp", "wick")
    server.put("/", f"<!doctype html><html><body>{more}</body></html>", "text/html")
    assert len(read("list", {"path": "/"})[2]) == 3
    server.put("/", f"<!doctype html><html><body>{more}\n</body></html>", "text/html")
    select = {"entry": "article", "title": "h3", "date": "time"}
    _, report, news = read("list", {"path": "/", "select": select})
    assert report.held is not None
    assert "stood on their page when it was last read" in report.held
    assert news == ()


def test_a_page_that_is_read_under_another_key_is_the_same(server: FileServer, read: Any) -> None:
    links = "".join(f"<a href=/news/2031/{name}>{name}</a>" for name in ("lens", "door"))
    server.put("/", f"<!doctype html><html><body>{links}</body></html>", "text/html")

    def put(end: str) -> None:
        for day, name in enumerate(("lens", "door"), start=1):
            told = f"Long words about the {name}, which somebody wrote who saw it set in the wall of the house."
            server.put(f"/news/2031/{name}", f"<!doctype html><html><body><article><h1>The {name} is set</h1>"
                       f"<time datetime=2031-03-0{day}>{day} March 2031</time><p>{told}</p><p>And {told}</p>"
                       f"</article></body>{end}</html>", "text/html")

    put("")
    read("generic", {"milestones": "/news/*/:slug"})
    put("\n")
    changed, _, news = read("generic", {"milestones": "/news/:slug/:slug"})
    assert (changed, news) == ({"renamed": 2}, ())
