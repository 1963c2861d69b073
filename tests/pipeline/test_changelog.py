"""A changelog that lies as Markdown on a server: asked for, read, followed, and its links lead to its headings."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from milepost.dates import utc_now
from milepost.errors import SourceDownError
from milepost.records import LookReport
from milepost.settings import Settings, parse
from pipeline.look.scrape import scrape
from store.database import connect
from store.milestones.milestones import Milestones
from tests.pipeline import prepared
from tests.pipeline.replaying import announce

PATH = "/kiln/CHANGELOG.md"
RELEASES = {
    f"1.{number}.0":
        f"## [1.{number}.0] - 2031-03-{number:02}\n\n### Added\n\n- Brick {number} of the `chimney` walls.\n"
    for number in range(1, 9)
}


class Server:
    """One file on loopback."""

    def __init__(self) -> None:
        self.releases, self.content_type, self.status = dict(RELEASES), "text/markdown; charset=utf-8", 200
        self.head = "<h1 align=center>Kiln</h1>\n\n## Unreleased\n\n- Not yet.\n\n"
        self.body: bytes | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                data = outer.file()
                found = self.path == PATH
                self.send_response(outer.status if found else 404)
                if outer.content_type:
                    self.send_header("Content-Type", outer.content_type)
                self.send_header("Content-Length", str(len(data) if found else 0))
                self.end_headers()
                self.wfile.write(data if found else b"")

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})

    def file(self) -> bytes:
        text = self.head + "\n".join(reversed(self.releases.values()))
        return text.encode() if self.body is None else self.body


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    server.thread.start()
    yield server
    server.http.shutdown()
    server.thread.join()
    server.http.server_close()


@pytest.fixture
def settings(server: Server, tmp_path: Path) -> Settings:
    settings = parse({
        "store": {"url": f"sqlite:///{tmp_path / 'milepost.db'}"}, "fetch": {"retries": 0, "min_interval": 0},
        "sources": [{
            "key": "kiln", "extractor": "changelog", "options": {"path": PATH, "project": "Kiln"},
            "base_url": "https://forge.example", "allow_hosts": ["127.0.0.1"],
            "fetch_from": f"http://127.0.0.1:{server.http.server_port}",
        }],
    })
    prepared.copy("empty", settings)
    return settings


def look(settings: Settings) -> LookReport:
    return scrape(settings, "kiln")


def told(report: LookReport) -> dict[str, int]:
    return {kind: count for kind, count in report.changes.items() if count}


@pytest.mark.parametrize("content_type", [
    "text/markdown; charset=utf-8", "text/plain; charset=utf-8", "application/octet-stream", "",
])
def test_markdown_is_read_however_it_is_served(server: Server, settings: Settings, content_type: str) -> None:
    server.content_type = content_type
    first = look(settings)
    assert (first.baseline, first.held, first.failures, first.milestones) == (True, None, (), 8)
    with connect(settings.store.url) as database:
        known = Milestones(database).known("kiln")
    assert known["1-8-0"].milestone.url == f"https://forge.example{PATH}#180---2031-03-08"
    assert known["1-8-0"].milestone.what_happened == "Added:\n- Brick 8 of the `chimney` walls.\n"


@pytest.mark.parametrize(("content_type", "body", "why"), [
    ("application/pdf", None, "it is nothing that is read there"), ("text/plain", b"## 1.0.0\n\0\0", "it is no text"),
    ("text/plain", b"<!doctype html><html><title>Just a moment...</title><input type=password>", "cut short"),
    ("text/markdown", b" \n", "the page is empty"),
])
def test_what_is_no_text_is_refused(
    server: Server, settings: Settings, content_type: str, body: bytes | None, why: str
) -> None:
    server.content_type, server.body = content_type, body
    with pytest.raises(SourceDownError, match=why):
        look(settings)


def test_a_release_that_is_yanked_is_a_correction_for_those_who_read_of_it(server: Server, settings: Settings) -> None:
    look(settings)
    server.releases["1.9.0"] = "## [1.9.0] - 2031-03-09\n\n- A door of iron.\n"
    assert told(look(settings)) == {"added": 1}
    assert announce(settings, utc_now()) == ("1-9-0",)
    server.releases["1.9.0"] = server.releases["1.9.0"].replace("03-09\n", "03-09 [YANKED]\n")
    assert told(look(settings)) == {"corrected": 1}
    with connect(settings.store.url) as database:
        record = Milestones(database).known("kiln")["1-9-0"].milestone
    assert (record.title, "yanked" in record.tags) == ("Kiln 1.9.0 [YANKED]", True)


def test_one_that_leaves_the_middle_is_withdrawn_though_the_page_fails_between(
    server: Server, settings: Settings
) -> None:
    look(settings)
    gone = server.releases.pop("1.4.0")
    assert told(look(settings)) == {}
    server.status = 500
    with pytest.raises(SourceDownError):
        look(settings)
    server.status = 200
    assert told(look(settings)) == {"withdrawn": 1}
    server.releases = {"1.4.0": gone} | server.releases
    assert told(look(settings)) == {"restored": 1}


def test_a_source_of_keepachangelog_moves_over_and_nobody_is_told(server: Server, settings: Settings) -> None:
    server.head = "# Kiln\n\n"  # the old reader takes what begins with a tag for HTML
    [source] = settings.sources
    before = settings.model_copy(update={"sources": (source.model_copy(update={"extractor": "keepachangelog"}),)})
    first = look(before)
    assert (first.baseline, first.milestones) == (True, 8)
    server.releases["1.1.0"] += "\n"  # the page is another, and no release is
    moved = look(settings)
    assert (moved.held, told(moved)) == (None, {"cosmetic": 8})
    assert announce(settings, utc_now()) == ()
    with connect(settings.store.url) as database:
        assert Milestones(database).known("kiln")["1-1-0"].milestone.what_happened.startswith("Added:\n- Brick 1 of")
