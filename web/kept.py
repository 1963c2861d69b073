"""What everybody is answered alike is made once and kept as bytes, until what it was made of is another.

    a request ─▶ the stamp of the database ─ the same ─▶ kept bytes, gzip, or 304: no template, no query
                                            └ another ─▶ the application, once, however many ask for it at the time
"""

import asyncio
import datetime as dt
import gzip
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from milepost.errors import StoreError
from web.ports import Freshness

MOST_BYTES = 32 * 1024 * 1024  # of all that is kept
LONGEST = 4 * 1024 * 1024  # of one answer; a longer one is made each time
_PUBLIC = re.compile(
    r"/(?:issues(?:(?:/pages)?/[0-9]{1,9})?|timeline(?:/.+)?|topics/.+|cards/.+\.png|[a-z]+\.(?:atom|json|xml|txt|svg))?",
    re.DOTALL,
)
_SMALL = 512  # bytes, below which packing gains nothing
_PACKED = re.compile(rb"text/|json|xml|svg")  # types that get smaller
_GZIP = re.compile(rb"(?:\A|[,\s])(?:gzip|\*)\s*(?:;\s*q\s*=\s*(?P<q>[0-9.]+))?\s*(?=,|\Z)")
_OF_BODY = frozenset({b"content-length", b"content-encoding", b"etag", b"vary"})
_OF_304 = frozenset({b"cache-control", b"content-location", b"date", b"expires"})  # RFC 9110 §15.4.5

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class _Form:
    """One form of an answer, as it is sent."""

    body: bytes
    headers: list[Header]
    unchanged: list[Header]  # of the 304


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer in its forms, and the stamp of what it was made of."""

    stamp: object
    plain: _Form
    packed: _Form
    tags: frozenset[bytes]  # either is as good in a question

    @property
    def size(self) -> int:
        return len(self.plain.body) + len(self.packed.body)


class Kept:
    """Stands before the application; it runs in one event loop."""

    def __init__(
        self, app: ASGIApp, freshness: Freshness | None, *, timezone: str, now: Callable[[], dt.datetime],
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """`freshness`: None, and each answer is made anew; `timezone`: whose days stand on pages."""
        self._app, self._freshness = app, freshness
        self._zone, self._now, self._most_bytes = ZoneInfo(timezone), now, most_bytes
        self._answers: OrderedDict[str, _Answer] = OrderedDict()  # what was asked for last is last
        self._bytes = 0
        self._making: dict[str, asyncio.Event] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD") or not _is_public(scope):
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        if self._freshness is None:
            if (made := await self._make(scope, receive, send, None)) is not None:
                await _send(made, scope, send)
            return
        try:
            stamp = await self._stamp()
            while (found := self._find(path, stamp)) is None and path in self._making:  # somebody makes it already
                await self._making[path].wait()
                stamp = await self._stamp()
        except StoreError:  # which the application can say better
            await self._app(scope, receive, send)
            return
        if found is None:
            done = self._making[path] = asyncio.Event()
            try:
                found = await self._make(scope, receive, send, stamp)
            finally:
                del self._making[path]
                done.set()
        if found is not None:
            await _send(found, scope, send)

    def _find(self, path: str, stamp: object) -> _Answer | None:
        """It awaits nothing: whoever finds none and nobody at it has to be the one who makes it."""
        found = self._answers.get(path)
        if found is None or found.stamp != stamp:
            return None
        self._answers.move_to_end(path)
        return found

    async def _stamp(self) -> object:
        freshness = self._freshness
        if freshness is None:
            return None
        stamp = freshness.at_once()
        if stamp is None:
            stamp = await run_in_threadpool(freshness.stamp)
        return stamp, self._now().astimezone(self._zone).date()

    async def _make(self, scope: Scope, receive: Receive, send: Send, stamp: object) -> _Answer | None:
        """Ask the application; what can't be kept is sent on as it is, and None returned."""
        messages: list[Message] = []

        async def take(message: Message) -> None:
            messages.append(message)

        try:
            await self._app(dict(scope, method="GET"), receive, take)
        except BaseException:
            for message in messages:
                await send(message)
            raise
        answer = await run_in_threadpool(_answer, messages, stamp)  # a long page takes long to pack
        if answer is None:
            for message in messages:
                await send(message)
        elif stamp is not None and answer.size <= LONGEST:
            self._keep(scope["path"], answer)
        return answer

    def _keep(self, path: str, answer: _Answer) -> None:
        if (old := self._answers.pop(path, None)) is not None:
            self._bytes -= old.size
        self._answers[path] = answer
        self._bytes += answer.size
        while self._bytes > self._most_bytes:
            self._bytes -= self._answers.popitem(last=False)[1].size


def _is_public(scope: Scope) -> bool:
    """Whether everybody is answered alike; what follows a "?" says nothing but to a search."""
    path: str = scope["path"]
    return _PUBLIC.fullmatch(path) is not None and not (path == "/timeline" and scope["query_string"])


def _answer(messages: Iterable[Message], stamp: object) -> _Answer | None:
    """What the application answered, in every form of it; None for what is not to be kept."""
    status, headers, body = 0, list[Header](), b""
    for message in messages:
        if message["type"] == "http.response.start":
            status, headers = message["status"], list(message["headers"])
        elif message["type"] == "http.response.body":
            body += message.get("body", b"")
    told = dict(headers)
    tag = told.get(b"etag", b"").strip(b'"')
    if status != 200 or not tag or not told.get(b"cache-control", b"").startswith(b"public"):
        return None
    rest = [(name, value) for name, value in headers if name not in _OF_BODY]
    packable = len(body) > _SMALL and _PACKED.search(told.get(b"content-type", b"")) is not None
    smaller = gzip.compress(body, 9, mtime=0) if packable else body
    tags = (b'"%s"' % tag, b'"%s-gz"' % tag if packable else b'"%s"' % tag)
    vary = [(b"vary", b"Accept-Encoding")] if packable else []
    kept = [header for header in rest if header[0] in _OF_304]
    plain, packed = (
        _Form(
            body=content,
            headers=[*rest, *vary, *encoding, (b"etag", one), (b"content-length", b"%d" % len(content))],
            unchanged=[*kept, *vary, (b"etag", one)],
        )
        for content, one, encoding in (
            (body, tags[0], []), (smaller, tags[1], [(b"content-encoding", b"gzip")] if packable else [])
        )
    )
    return _Answer(stamp, plain, packed, frozenset(tags))


async def _send(answer: _Answer, scope: Scope, send: Send) -> None:
    asked = encodings = b""
    for name, value in scope["headers"]:
        if name == b"if-none-match":
            asked += b"," + value
        elif name == b"accept-encoding":
            encodings += b"," + value
    form = answer.packed if _takes_gzip(encodings) else answer.plain
    if asked and _names(asked, answer.tags):
        await send({"type": "http.response.start", "status": 304, "headers": form.unchanged})
        await send({"type": "http.response.body", "body": b""})
        return
    await send({"type": "http.response.start", "status": 200, "headers": form.headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else form.body})


def _takes_gzip(encodings: bytes) -> bool:
    """Whether an Accept-Encoding has gzip, and not with q=0 (RFC 9110 §12.5.3)."""
    found = _GZIP.search(encodings.lower())
    return found is not None and (found["q"] is None or found["q"].strip(b"0.") != b"")


def _names(asked: bytes, tags: frozenset[bytes]) -> bool:
    """Whether an If-None-Match names one of these, by the weak comparison (RFC 9110 §13.1.2)."""
    given = {one.strip().removeprefix(b"W/") for one in asked.split(b",")}
    return b"*" in given or not given.isdisjoint(tags)
