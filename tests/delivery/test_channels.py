"""Operators' channels, by Apprise itself: what arrives, what is refused, and what never stands in a sentence."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from delivery.channels import ChannelAddress, tell


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append(json.loads(body))  # type: ignore[attr-defined]
        self.send_response(500 if "refuse" in self.path else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), _Hook) as server:
        server.heard = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.chaos  # Apprise loads a hundred plugins first
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Apprise's many plugins, which it loads all
def test_a_channel_is_told_or_says_why_not_without_its_secrets(
    hook: HTTPServer, capfd: pytest.CaptureFixture[str]
) -> None:
    where = f"json://ops:hunter22@127.0.0.1:{hook.server_port}"
    assert tell(ChannelAddress(where, 1), "Held", "a ‹b› line\nanother") is None
    heard = hook.heard[0]  # type: ignore[attr-defined]
    assert (heard["title"], heard["message"]) == ("Held", "a ‹b› line\nanother")
    refused = tell(ChannelAddress(f"{where}/refuse/s3cret", 2), "Held", "body")
    assert refused is not None
    unknown = tell(ChannelAddress("nosuch://hunter22", 3), "Held", "body")
    assert unknown == "it is no address that Apprise knows"
    said = f"{refused}{capfd.readouterr()}{ChannelAddress(where, 1)!r}"
    assert "hunter22" not in said
    assert "s3cret" not in said


def test_a_channel_that_never_answers_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr("delivery.channels._tell", lambda *_: over.wait(60))
    assert tell(ChannelAddress("json://x.example", 1), "t", "b", deadline=0.01) == "no answer within 0.01 s"
    over.set()


def test_a_plugin_that_breaks_breaks_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("x@y.example")

    monkeypatch.setattr("delivery.channels._tell", broken)
    assert tell(ChannelAddress("json://x.example", 1), "t", "b") == "its plugin failed: KeyError"
