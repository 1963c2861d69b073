"""What a page that is being rendered may ask for: each request is answered by our own fetcher, filled in or refused.

    request ─ verdict (pure) ─▶ ask: robots, guard, pace, caps ─▶ its answer, and whether the page can do without
                            ├─▶ fill: a picture, a style sheet: an empty one, nobody is asked
                            └─▶ refuse: counted under what it was
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple
from urllib.parse import urldefrag, urlsplit

from crawler.client import Answer
from crawler.discover import DisallowedError
from milepost.errors import FetchError, RefusedError
from milepost.settings import RenderSettings

Ask = Callable[[str, int], Awaitable[Answer]]  # address, the longest body in bytes; raises FetchError
Act = Literal["document", "ask", "fill", "leave", "refuse"]

KEPT_SCRIPTS = 32 * 1024 * 1024  # bytes of scripts that are asked for once in a look, not once a page
_ASKED = frozenset({"script", "xhr", "fetch"})
_PIXEL = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")  # GIF
_FILLED: Mapping[str, tuple[str, bytes]] = {"image": ("image/gif", _PIXEL), "stylesheet": ("text/css", b"")}
_PASSED_ON = ("content-type", "access-control-allow-origin", "access-control-allow-credentials",
              "access-control-expose-headers")
_RELOADS = 2  # of the document: a page may set a cookie and come again, and go on doing so


class Verdict(NamedTuple):
    """What is done with a request, and of a refused one in a few words what it was."""

    act: Act
    what: str = ""


def verdict(kind: str, method: str, url: str, *, main: bool, document: str) -> Verdict:
    """Judge a request; `kind` as browsers have it ("script", "xhr"), `main`: for the whole page, not a part of it.

    `document`: the address of the page, which is had already.
    """
    if not url.lower().startswith(("http://", "https://")):
        return Verdict("refuse", "of another scheme than http and https")
    if kind == "document":
        if not main:
            return Verdict("refuse", "for a page within the page")
        return Verdict("document" if method == "GET" and urldefrag(url).url == urldefrag(document).url else "leave")
    if kind in _FILLED:
        return Verdict("fill")
    if kind not in _ASKED:
        named = kind in ("font", "media", "eventsource", "manifest", "ping")
        return Verdict("refuse", f"for a {kind}" if named else "of no use to its text")
    return Verdict("ask") if method == "GET" else Verdict("refuse", "that would send something (no GET)")


class Reply(NamedTuple):
    """What the browser is answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(kw_only=True, slots=True)
class Scripts:
    """The scripts that pages of one look have asked for: files that all of them share, so that a site serves them once.

    What a script asks for, its data, is asked for anew by each page.
    """

    kept: dict[str, Answer] = field(default_factory=dict)
    size: int = 0  # bytes

    def keep(self, url: str, answer: Answer) -> None:
        """Keep it, as long as there is room."""
        if answer.status == 200 and self.size + len(answer.body) <= KEPT_SCRIPTS and url not in self.kept:
            self.kept[url] = answer
            self.size += len(answer.body)


class PageRequests:
    """The requests of one page, within its limits."""

    def __init__(self, document: Answer, ask: Ask, limits: RenderSettings, scripts: Scripts) -> None:
        self._document, self._ask, self._limits, self._scripts = document, ask, limits, scripts
        self._own = _site(document.url)
        self._documents = self._bytes = 0
        self._had: set[str] = set()
        self._waiting: dict[str, str] = {}  # address → kind
        self._tasks: set[asyncio.Task[Answer]] = set()
        self.asked = 0
        self.refused: Counter[str] = Counter()
        self.unfit: asyncio.Future[str] = asyncio.get_running_loop().create_future()  # why the page is not to be read

    @property
    def unanswered(self) -> str | None:
        """A script, or data not had before, that the page still waits for; None when there is none."""
        return next((url for url, kind in self._waiting.items() if kind == "script" or url not in self._had), None)

    async def reply(self, kind: str, method: str, url: str, *, main: bool) -> Reply | None:
        """What to answer, None for a refusal; never raises."""
        act, what = verdict(kind, method, url, main=main, document=self._document.url)
        match act:
            case "document" if self._documents <= _RELOADS:
                self._documents += 1
                return _passed(self._document)
            case "document":
                self.end("it loads itself again and again")
            case "leave":
                self.end(f"its scripts lead to another page: {url[:500]}")
            case "fill":
                content_type, body = _FILLED[kind]
                return Reply(200, {"content-type": content_type}, body)
            case "ask":
                return await self._answered(kind, url)
            case _:
                self.refused[what] += 1
        return None

    def end(self, why: str) -> None:
        """The page is not to be read; the first reason stands."""
        if not self.unfit.done():
            self.unfit.set_result(why)

    async def close(self) -> None:
        """Ask for nothing more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answered(self, kind: str, url: str) -> Reply | None:
        url = urldefrag(url).url
        try:
            answer = await self._had_of(kind, url)
        except DisallowedError:
            self.refused["that robots.txt forbids"] += 1
        except FetchError as error:
            self.refused["that our guard refused" if isinstance(error, RefusedError) else "that nobody answered"] += 1
            if _site(url) == self._own:
                self.end(f"it was rendered in part, as not all that it asks for can be had: {error}")
        else:
            if answer is not None:
                self._had.add(url)
                return _passed(answer)
        return None

    async def _had_of(self, kind: str, url: str) -> Answer | None:
        """None when the page is over meanwhile. Raises FetchError."""
        kept = self._scripts.kept.get(url) if kind == "script" else None
        left = self._limits.max_bytes - self._bytes
        if left <= 0 or (kept is None and self.asked >= self._limits.max_requests):
            addresses = f"{self._limits.max_requests} addresses (render.max_requests)"
            bound = addresses if left > 0 else f"{self._limits.max_bytes} bytes (render.max_bytes)"
            self.end(f"it was rendered in part, as it asks for more than {bound}")
            raise RefusedError("refused: the page has had enough", where=url)
        if kept is None:
            self.asked += 1
            self._waiting[url] = kind
            task = asyncio.ensure_future(self._ask(url, left))
            self._tasks.add(task)
            try:
                await asyncio.wait({task})
            finally:
                self._tasks.discard(task)
                self._waiting.pop(url, None)
            if task.cancelled():
                return None
            kept = task.result()
            if kind == "script":
                self._scripts.keep(url, kept)
        self._bytes += len(kept.body)
        return kept


def _passed(answer: Answer) -> Reply:
    """Without cookies, policies and everything else that a page's text does without."""
    headers = {name: answer.headers[name] for name in _PASSED_ON if name in answer.headers}
    return Reply(answer.status, headers, answer.body)


def _site(url: str) -> str:
    """What a host shares with its neighbours, roughly: who takes two sites for one only asks for more care."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return host if host.replace(".", "").isdecimal() or ":" in host else ".".join(host.split(".")[-2:])
