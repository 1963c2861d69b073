"""Makes the client's connections: a name is resolved and checked once, and only what was checked is connected to."""

import asyncio
import ipaddress
import os
import select
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence

import httpcore

from crawler.guard import AllowedHosts, refusal
from milepost.errors import FetchError, RefusedError

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]  # host, port → addresses; raises OSError

_TRIES = 4  # addresses of one host
_BUFFER = 256 * 1024  # bytes read ahead of the reader
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)


def words(error: BaseException) -> str:
    """What an error says; of the system's errors only what they mean, not their numbers and calls."""
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and (error.errno or 0) > 0:
        return os.strerror(error.errno or 0).lower()
    return str(error)


class _Wire(asyncio.Protocol):
    """One connection's bytes, buffered until they are read."""

    def __init__(self, *, tls_over: socket.socket | None = None) -> None:
        self.transport: asyncio.Transport | None = None
        self._socket, self._tls = tls_over, tls_over is not None
        self.buffer = bytearray()
        self.over = False  # the other side has closed
        self.error: Exception | None = None
        self._paused = self._full = False
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport if isinstance(transport, asyncio.Transport) else None
        self._socket = transport.get_extra_info("socket")

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if _QUICKACK is not None and self._socket is not None:
            # A server that writes headers and body apart, with Nagle on, waits 40 ms for this acknowledgement.
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        if len(self.buffer) > _BUFFER and not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()
        self._wake()

    def stirs(self) -> bool:
        """Whether the idle connection has something to read, most likely its end, that the loop has not come to."""
        if self._tls or self._socket is None or not hasattr(select, "poll"):
            return False  # TLS sends tickets of its own accord
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def eof_received(self) -> None:
        self.over = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.over, self.error = True, exc
        self._wake()
        self.resume_writing()

    def _wake(self) -> None:
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    async def read(self, most: int) -> bytes:
        """At least one byte, or b"" at the end; raises OSError."""
        while not self.buffer and not self.over:
            self._readable = asyncio.get_running_loop().create_future()
            await self._readable
        if not self.buffer:
            if self.error is not None:
                raise self.error
            return b""
        data = bytes(self.buffer[:most])
        del self.buffer[:most]
        if self._paused and self.transport is not None and not self.over:
            self._paused = False
            self.transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Hand `data` to the network; raises OSError."""
        if self.over or self.transport is None:
            raise self.error or ConnectionResetError("the connection is closed")
        self.transport.write(data)
        if self._full:
            self._writable = asyncio.get_running_loop().create_future()
            await self._writable


class WireStream(httpcore.AsyncNetworkStream):
    """httpcore's view of a connection. It has no time-outs of its own: one deadline rules each page."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109
        try:
            return await self._wire.read(max_bytes)
        except OSError as error:
            raise httpcore.ReadError(words(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109
        try:
            await self._wire.write(buffer)
        except OSError as error:
            raise httpcore.WriteError(words(error)) from error

    async def aclose(self) -> None:
        if self._wire.transport is not None:
            self._wire.transport.abort()  # nothing is left to say; no waiting on a server that won't say goodbye

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None,  # noqa: ARG002, ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        assert self._wire.transport is not None  # noqa: S101 - for the type checker: it is connected
        wire = _Wire(tls_over=self._wire.transport.get_extra_info("socket"))
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._wire.transport, wire, ssl_context, server_hostname=server_hostname
            )
        except OSError as error:  # ssl.SSLError is one
            await self.aclose()
            raise httpcore.ConnectError(str(error)) from error
        assert transport is not None  # noqa: S101 - only None when closing
        wire.connection_made(transport)
        return WireStream(wire)

    def get_extra_info(self, info: str) -> object:
        """What httpcore asks for: "is_readable" means that an idle connection is of no more use."""
        if info == "is_readable":
            return self._wire.over or bool(self._wire.buffer) or self._wire.stirs()
        transport = self._wire.transport
        names = {"ssl_object": "ssl_object", "socket": "socket", "server_addr": "peername", "client_addr": "sockname"}
        return None if transport is None or info not in names else transport.get_extra_info(names[info])


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """What the operating system says; raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects only to addresses that it has resolved and checked itself, so a second look-up can't change them."""

    def __init__(self, *, allowed: AllowedHosts, resolver: Resolver) -> None:
        self._allowed = allowed
        self._resolver = resolver

    async def _addresses(self, host: str, port: int) -> list[str]:
        found = (host,) if _is_address(host) else await self._resolver(host, port)
        named = self._allowed.name(host, port)
        reasons = [refusal(address, named=named) for address in found]
        good = [address for address, reason in zip(found, reasons, strict=True) if reason is None]
        if not good:
            reason = next((reason for reason in reasons if reason), "it has no address")
            raise RefusedError(
                f"refused: {reason}", where=host,
                hint="If this host is meant to be read, name it in the source's allow_hosts.",
            )
        return good[:_TRIES]

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,  # noqa: ARG002, ASYNC109
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        """httpcore's door to the network; TLS and Host still go by the name in the URL.

        Raises RefusedError, FetchError when there is no such host, httpcore.ConnectError.
        """
        try:
            addresses = await self._addresses(host, port)
        except OSError as error:
            reason = error.strerror or str(error)
            raise FetchError(f"no address for {host}: {reason}", where=host, retryable=True) from error
        loop = asyncio.get_running_loop()
        failed: OSError | None = None
        for address in addresses:
            try:
                _, wire = await loop.create_connection(_Wire, address, port)
            except OSError as error:
                failed = error
            else:
                return WireStream(wire)
        raise httpcore.ConnectError(words(failed) if failed else "no address answered") from failed

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None,  # noqa: ARG002, ASYNC109
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        raise RefusedError("refused: a socket file is no site", where=path)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
