"""Makes the client's connections: a name is resolved and checked once, and only what was checked is connected to."""

import asyncio
import ipaddress
import os
import select
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence

import httpx

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


class Wire(asyncio.Protocol):
    """One connection's bytes, buffered until they are read. No time-outs of its own: one deadline rules each page."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._buffer = bytearray()
        self._over = False  # the other side has closed
        self._error: Exception | None = None
        self._paused = self._full = False
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport if isinstance(transport, asyncio.Transport) else None
        self._socket = transport.get_extra_info("socket")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if _QUICKACK is not None and self._socket is not None:
            # A server that writes headers and body apart, with Nagle on, waits 40 ms for this acknowledgement.
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        if len(self._buffer) > _BUFFER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._over = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._over, self._error = True, exc
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
        while not self._buffer and not self._over:
            self._readable = asyncio.get_running_loop().create_future()
            await self._readable
        if not self._buffer:
            if self._error is not None:
                raise self._error
            return b""
        data = bytes(self._buffer[:most])
        del self._buffer[:most]
        if self._paused and self._transport is not None and not self._over:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Hand `data` to the network; raises OSError."""
        if self._over or self._transport is None:
            raise self._error or ConnectionResetError("the connection is closed")
        self._transport.write(data)
        if self._full:
            self._writable = asyncio.get_running_loop().create_future()
            await self._writable

    async def is_quiet(self) -> bool:
        """Whether the idle connection is open and nothing came on it that nobody asked for."""
        if not self._over and not self._buffer and self._stirs():
            # The loop knows what it is only after it has read it: its end, a TLS ticket or stray bytes.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return not self._over and not self._buffer

    def _stirs(self) -> bool:
        if self._socket is None or not hasattr(select, "poll"):
            return True
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def abort(self) -> None:
        """Close at once: nothing is left to say, and no server is waited for that won't say goodbye."""
        if self._transport is not None:
            self._transport.abort()


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


class Connector:
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

    async def connect(self, host: str, port: int, *, tls: ssl.SSLContext | None) -> Wire:
        """A new connection to `host`; TLS goes by its name, whatever the address.

        Raises RefusedError, FetchError when there is no such host, httpx.ConnectError.
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
                _, wire = await loop.create_connection(
                    Wire, address, port, ssl=tls, server_hostname=host if tls is not None else None
                )
            except ssl.SSLError as error:  # it answered; another address of the same host won't be more trusted
                raise httpx.ConnectError(words(error)) from error
            except OSError as error:
                failed = error
            else:
                return wire
        raise httpx.ConnectError(words(failed) if failed else "no address answered") from failed
