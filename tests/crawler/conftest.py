"""A small web that does as it is told, on loopback: pages, headers and raw bytes by path, every request logged."""

import asyncio
import contextlib
import datetime as dt
import random
import re
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from crawler.connect import system_resolver
from crawler.crawl import CrawlPlan, CrawlReport, Failed, Fetched, Outcome, crawl
from milepost.records import PageKind, Validators
from milepost.settings import FetchSettings

START = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)
BASE = "https://timeline.example"


@dataclass(frozen=True)
class Asked:
    """A request as the server saw it."""

    path: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Reply:
    """An answer; its Content-Length is true unless `headers` says otherwise."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def wire(self) -> bytes:
        headers = {"Content-Length": str(len(self.body))} | self.headers
        lines = [f"HTTP/1.1 {self.status} X", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (b"" if self.status == 304 else self.body)


class Wire:
    """The connection, for pages that answer byte by byte."""

    def __init__(self, write: Callable[[bytes], int], closing: threading.Event, leap: Callable[[float], None]) -> None:
        self.write = write
        self.closing = closing  # set when the test is over
        self.leap = leap  # so many seconds pass for the client, at once

    def drip(self, data: bytes) -> None:
        """A byte every five seconds of the client's time, then silence until the test is over."""
        for byte in data:
            self.write(bytes([byte]))
            self.leap(5)
        self.closing.wait()


Answer = Reply | Callable[[Asked], Reply] | list[Reply]  # a list: one after the other, the last one again and again
Raw = Callable[[Asked, Wire], None]


class Web:
    """The pages of the test's site, and what was asked of it."""

    def __init__(self) -> None:
        self.pages: dict[str, Answer] = {"/robots.txt": Reply(404)}
        self.raw: dict[str, Raw] = {}
        self.log: list[Asked] = []
        self.closing = threading.Event()
        self.leap: Callable[[float], None] = lambda _seconds: None
        self.port = 0
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def asked(self) -> list[str]:
        return [asked.path for asked in self.log]

    def times(self, path: str) -> int:
        return self.asked.count(path)

    def reply(self, status: int = 200, body: bytes | str = b"", **headers: str) -> Reply:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return Reply(status, body.encode() if isinstance(body, str) else body, names)

    def html(self, text: str = "", **headers: str) -> Reply:
        """A whole page."""
        body = f"<!DOCTYPE html><html><body><article><h1>{text}</h1></article></body></html>"
        return self.reply(200, body, Content_Type="text/html; charset=utf-8", **headers)

    def robots(self, text: str) -> None:
        self.pages["/robots.txt"] = self.reply(200, text, Content_Type="text/plain")

    def sitemap(self, *locations: str, at: str = "/sitemap.xml", index: bool = False) -> None:
        outer, inner = ("sitemapindex", "sitemap") if index else ("urlset", "url")
        items = "".join(f"<{inner}><loc>{location}</loc></{inner}>" for location in locations)
        xml = f'<?xml version="1.0"?><{outer} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{items}</{outer}>'
        self.pages[at] = self.reply(200, xml, Content_Type="application/xml")

    def milestones(self, *slugs: str, **headers: str) -> None:
        """A site with a home page, these milestones and a sitemap that names them under its public host."""
        self.pages["/"] = self.html("home")
        for slug in slugs:
            self.pages[f"/timeline/{slug}"] = self.html(slug, **headers)
        self.sitemap(*(f"{BASE}/timeline/{slug}" for slug in slugs))

    def answer(self, asked: Asked) -> Reply:
        with self._lock:
            self.log.append(asked)
            page = self.pages.get(asked.path, Reply(404))
            if isinstance(page, list):
                page = page.pop(0) if len(page) > 1 else page[0]
        return page if isinstance(page, Reply) else page(asked)


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        web: Web = self.server.web  # type: ignore[attr-defined]
        try:
            while (line := self.rfile.readline(65536)).strip():
                headers = {}
                while (header := self.rfile.readline(65536)).strip():
                    name, _, value = header.decode("latin-1").partition(":")
                    headers[name.strip().lower()] = value.strip()
                asked = Asked(line.split()[1].decode("latin-1"), headers)
                if asked.path in web.raw:
                    web.log.append(asked)
                    web.raw[asked.path](asked, Wire(self.wfile.write, web.closing, web.leap))
                    return
                self.wfile.write(web.answer(asked).wire())
        except (ConnectionError, TimeoutError):
            return


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64


def _serve() -> Iterator[Web]:
    web = Web()
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.web = web  # type: ignore[attr-defined]
        web.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield web
        finally:
            web.closing.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def web() -> Iterator[Web]:
    yield from _serve()


@pytest.fixture
def other_web() -> Iterator[Web]:
    """A second site on another port."""
    yield from _serve()


@pytest.fixture
def site(web: Web) -> Web:
    """Two milestones: "bad", which a test makes hostile, and "good", which must always be had."""
    web.milestones("bad", "good")
    return web


class FakeTime:
    """Sleeping takes no time and moves the clock."""

    def __init__(self) -> None:
        self.at = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()


class Remembered:
    """What the store would remember."""

    def __init__(self) -> None:
        self.known: dict[str, Validators] = {}

    def validators(self, url: str) -> Validators | None:
        return self.known.get(url)


@pytest.fixture
def memory() -> Remembered:
    return Remembered()


def classify(path: str) -> PageKind:
    if path.startswith("/timeline/"):
        return "milestone"
    return "listing" if path == "/" or path.startswith("/era/") else "other"


def links(snapshot: Any) -> list[str]:
    return re.findall(r'href="([^"]*)"', snapshot.body.decode())


@dataclass
class Seen:
    """A finished look."""

    report: CrawlReport
    outcomes: list[Outcome]

    def of(self, path: str) -> Outcome:
        """The one outcome of a path."""
        found = [outcome for outcome in self.outcomes if outcome.url == BASE + path]
        assert len(found) == 1, (path, found)
        return found[0]

    def body(self, path: str) -> bytes:
        outcome = self.of(path)
        assert isinstance(outcome, Fetched), outcome
        return outcome.snapshot.body

    def why(self, path: str) -> str:
        outcome = self.of(path)
        assert isinstance(outcome, Failed), outcome
        return str(outcome.error)


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time a test moves on, so that a deadline comes as soon as what should outlast it is there."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead

    def _move(self, seconds: float, moved: threading.Event) -> None:
        self.ahead += seconds
        moved.set()

    def leap(self, seconds: float) -> None:
        """Move on, and wait until it is done; from another thread, and in vain after the loop is over."""
        moved = threading.Event()
        with contextlib.suppress(RuntimeError):
            self.call_soon_threadsafe(self._move, seconds, moved)
            while not moved.wait(0.1) and not self.is_closed():
                pass


class Looking:
    """Looks at the test's site, with what a test wants different."""

    def __init__(self, web: Web, clock: FakeTime, memory: Remembered) -> None:
        self.web, self.clock, self.memory = web, clock, memory
        self.outcomes: list[Outcome] = []
        self.links = links
        self.base = BASE
        self.start = START

    def on_page(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        if isinstance(outcome, Fetched) and outcome.validators:
            self.memory.known[outcome.url] = outcome.validators

    def plan(self, **changed: Any) -> CrawlPlan:
        limits: dict[str, Any] = {
            "concurrency": 2, "retries": 2, "timeout": 20.0, "contact": "https://milepost.example",
        }
        limits |= {name: changed.pop(name) for name in list(changed) if name in FetchSettings.model_fields}
        given: dict[str, Any] = {
            "source": "timeline", "base_url": BASE, "fetch_from": self.web.url,
            "allow_hosts": frozenset({"127.0.0.1"}), "seeds": ("/",), "classify": classify,
            "limits": FetchSettings(**limits), "max_pages": 1000,
        }
        return CrawlPlan(**(given | changed))

    def __call__(self, *, on_page: Callable[[Outcome], None] | None = None, **changed: Any) -> Seen:
        own = [name for name in ("resolver", "progress", "robots") if name in changed]
        extra: dict[str, Any] = {name: changed.pop(name) for name in own}
        self.outcomes = []
        loop = LeapingLoop()
        self.web.leap = loop.leap
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            report = runner.run(
                crawl(
                    self.plan(**changed), memory=self.memory, on_page=on_page or self.on_page, now=lambda: START,
                    clock=self.clock, dice=random.Random(1),  # noqa: S311 - chance that repeats
                    **({"resolver": system_resolver} | extra),
                )
            )
        return Seen(report, self.outcomes)


@pytest.fixture
def look(web: Web, clock: FakeTime, memory: Remembered) -> Looking:
    return Looking(web, clock, memory)
