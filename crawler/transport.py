"""HTTP/1.1 below httpx: one exchange at a time over a checked connection, which is kept only while it is clean.

    request ─ kept connection, or a new one (Connector) ─▶ h11, one state for each exchange ─▶ answer ─▶ kept or closed
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import NamedTuple

import h11
import httpx

from crawler.connect import Connector, Wire, words
from milepost.errors import RefusedError

MAX_HEADERS = 200
MAX_INTERIM = 20  # answers 1xx before the one that counts
KEEPALIVE = 4.0  # seconds, below the 5 s after which many servers hang up
_MAX_HEAD = 100 * 1024  # bytes of a status line with its headers
_CHUNK = 64 * 1024  # bytes read at once


class UnansweredError(httpx.RemoteProtocolError):
    """The server closed without a byte of an answer."""


class _Exchange:
    """One request and its answer. Its h11 state is its own: bytes left over can't become the next one's answer."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
        self._heard = False

    async def ask(self, request: httpx.Request) -> h11.Response:
        """Send `request` and wait for the head of its answer.

        Raises UnansweredError when not one byte came, httpx.ReadError, httpx.RemoteProtocolError.
        """
        head = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
        sent = self._http.send(head) or b""
        if body := request.read():
            sent += self._http.send(h11.Data(data=body)) or b""
        sent += self._http.send(h11.EndOfMessage()) or b""
        with contextlib.suppress(OSError):  # a server may have answered, and closed, before it took all of the request
            await self.wire.write(sent)
        for _ in range(MAX_INTERIM + 1):
            event = await self._event()
            if isinstance(event, h11.Response):
                return event
        raise httpx.RemoteProtocolError(f"more than {MAX_INTERIM} interim answers")

    async def body(self) -> AsyncIterator[bytes]:
        """The answer's bytes as they come; raises httpx.ReadError, httpx.RemoteProtocolError."""
        while isinstance(event := await self._event(), h11.Data):
            yield bytes(event.data)

    async def _event(self) -> h11.Event | type[h11.PAUSED]:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._read())
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error
        return event  # type: ignore[return-value]  # h11's sentinels are beyond mypy's narrowing

    async def _read(self) -> bytes:
        try:
            data = await self.wire.read(_CHUNK)
        except OSError as error:
            if self._heard:
                raise httpx.ReadError(words(error)) from error
            raise UnansweredError(words(error)) from error
        if not data and not self._heard:
            raise UnansweredError("the server disconnected without sending a response")
        self._heard = True
        return data

    @property
    def is_clean(self) -> bool:
        """Whether the answer was read to its end, both sides stay, and nothing came behind it."""
        done = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        return done and not self._http.trailing_data[0]


class _Origin(NamedTuple):
    scheme: str
    host: str  # without brackets
    port: int


class _Kept(NamedTuple):
    origin: _Origin
    wire: Wire
    until: float  # on the loop's clock


class _Connections:
    """The connections of one client: at most so many, one exchange at a time on each, idle ones kept for a while."""

    def __init__(self, connector: Connector, *, most: int, keepalive: float, tls: ssl.SSLContext | None) -> None:
        self._connector, self._most, self._keepalive, self._tls = connector, most, keepalive, tls
        self._turn = asyncio.Semaphore(most)
        self._busy = 0
        self._kept: list[_Kept] = []  # the newest last

    async def wait(self) -> None:
        """Wait until one more exchange may go on; `leave` must follow."""
        await self._turn.acquire()
        self._busy += 1

    def leave(self) -> None:
        """An exchange is over."""
        self._busy -= 1
        self._turn.release()

    async def kept(self, origin: _Origin) -> Wire | None:
        """An idle connection to `origin` that is still of use."""
        now = asyncio.get_running_loop().time()
        for kept in [kept for kept in self._kept if kept.until <= now]:
            self._kept.remove(kept)
            kept.wire.abort()
        while fitting := [kept for kept in self._kept if kept.origin == origin]:
            self._kept.remove(fitting[-1])
            wire = fitting[-1].wire
            if await wire.is_quiet():
                return wire
            wire.abort()
        return None

    async def fresh(self, origin: _Origin) -> Wire:
        """A new connection; raises as `Connector.connect` does."""
        while self._kept and len(self._kept) + self._busy > self._most:
            self._kept.pop(0).wire.abort()
        if origin.scheme == "https" and self._tls is None:
            self._tls = httpx.create_ssl_context(trust_env=False)  # takes as long as ten pages: only where it's needed
        tls = self._tls if origin.scheme == "https" else None
        if tls is not None:
            tls.set_alpn_protocols(["http/1.1"])
        return await self._connector.connect(origin.host, origin.port, tls=tls)

    def keep(self, origin: _Origin, wire: Wire) -> None:
        """Keep an idle connection for the next exchange."""
        self._kept.append(_Kept(origin, wire, asyncio.get_running_loop().time() + self._keepalive))

    def close(self) -> None:
        """Close what is idle."""
        while self._kept:
            self._kept.pop().wire.abort()


class _Body(httpx.AsyncByteStream):
    """An answer's bytes as they come off the wire; closing it decides whether its connection is kept."""

    def __init__(self, exchange: _Exchange, connections: _Connections, origin: _Origin) -> None:
        self._exchange, self._connections, self._origin = exchange, connections, origin
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._exchange.body():
            yield chunk

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._exchange.is_clean:
            self._connections.keep(self._origin, self._exchange.wire)
        else:
            self._exchange.wire.abort()
        self._connections.leave()


def _check_head(head: h11.Response, request: httpx.Request, *, again: bool) -> None:
    """Raises UnansweredError when a used connection (`again`) only says goodbye, RefusedError for too many headers."""
    if again and head.status_code == 408:  # how some servers close an idle connection (RFC 9110 §15.5.9)
        raise UnansweredError("the server timed the connection out")
    if len(head.headers) > MAX_HEADERS:
        raise RefusedError(f"refused: more than {MAX_HEADERS} headers", where=str(request.url))


class GuardedTransport(httpx.AsyncBaseTransport):
    """httpx's transport over checked connections: HTTP/1.1, requests without a body, few headers."""

    def __init__(
        self, connector: Connector, *, connections: int, keepalive: float = KEEPALIVE, tls: ssl.SSLContext | None = None
    ) -> None:
        """`connections`: open at a time; `keepalive`: seconds that an idle one is kept; `tls`: whom to trust instead of
        the usual authorities."""
        self._connections = _Connections(connector, most=connections, keepalive=keepalive, tls=tls)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises RefusedError, FetchError when there is no such host, and httpx's own errors.

        A kept connection may be closed by the server just as it is used again. When that is all that came, the request
        is sent once more on a new connection: it is idempotent, and nothing says that it was seen (RFC 9110 §9.2.2,
        RFC 9112 §9.3.1).
        """
        url = request.url
        if url.scheme not in ("http", "https"):
            raise httpx.UnsupportedProtocol(f"{url.scheme}:// is not spoken")
        origin = _Origin(url.scheme, url.raw_host.decode("ascii"), url.port or {"http": 80, "https": 443}[url.scheme])
        await self._connections.wait()
        try:
            wire = await self._connections.kept(origin)
            if wire is not None:
                with contextlib.suppress(UnansweredError):
                    return await self._exchange(wire, request, origin, again=True)
            return await self._exchange(await self._connections.fresh(origin), request, origin)
        except BaseException:
            self._connections.leave()
            raise

    async def _exchange(
        self, wire: Wire, request: httpx.Request, origin: _Origin, *, again: bool = False
    ) -> httpx.Response:
        exchange = _Exchange(wire)
        try:
            head = await exchange.ask(request)
            _check_head(head, request, again=again)
        except BaseException:
            wire.abort()
            raise
        return httpx.Response(
            head.status_code, headers=head.headers.raw_items(), stream=_Body(exchange, self._connections, origin)
        )

    async def aclose(self) -> None:
        self._connections.close()
