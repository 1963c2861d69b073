"""A source that drips a byte at a time costs the others nothing, and ends by itself."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from milepost.settings import Settings
from pipeline.look.look_at_several import look_at_several
from pipeline.look.scrape import report_to_json, scrape
from pipeline.several import Stop, UnfinishedError
from tests.pipeline.stage import BreakableSite


class Dripping:
    """Answers with a byte now and then, until it is told to end."""

    def __init__(self) -> None:
        self.ended, self.asked = threading.Event(), threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", "100000")
                self.end_headers()
                site.asked.set()
                try:
                    while not site.ended.wait(0.1):
                        self.wfile.write(b" ")
                except OSError:
                    pass

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))


@pytest.fixture
def dripping() -> Iterator[Dripping]:
    site = Dripping()
    site.thread.start()
    yield site
    site.ended.set()
    site.server.shutdown()
    site.thread.join()
    site.server.server_close()


def test_the_others_are_looked_at_while_it_drips(
    settings: Settings, site: BreakableSite, dripping: Dripping
) -> None:
    slow = settings.sources[0].model_copy(update={
        "key": "slow", "fetch_from": f"http://127.0.0.1:{dripping.server.server_port}"})
    fetch = settings.fetch.model_copy(update={"timeout": 5.0, "retries": 0})
    settings = settings.model_copy(update={"sources": (slow, *settings.sources), "fetch": fetch})
    order: list[str] = []

    def look(key: str, stop: Stop) -> dict[str, Any]:
        if key == "clockwork":
            assert dripping.asked.wait(60)
        try:
            return report_to_json(scrape(settings, key, stop=stop))
        finally:
            order.append(key)

    with pytest.raises(UnfinishedError) as unfinished:
        look_at_several(settings, ["slow", "clockwork"], look)
    slow_one, other = unfinished.value.result
    assert (other["state"], other["milestones"]) == ("complete", len(site.stories))
    assert "not done within 5 s" in slow_one["error"]
    assert sorted(order) == ["clockwork", "slow"]
