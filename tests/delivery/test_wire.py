"""A message on the wire: all of it in one write where the kernel takes it, and the dot never before the rest."""

import asyncio
import select
import socket
from collections.abc import Awaitable, Callable

import pytest

from delivery.smtp.session import Timeouts
from delivery.smtp.wire import Wire

REST = b".\r\nMAIL FROM:<b@bounces.example>\r\nRCPT TO:<ada@readers.example>\r\n"
PHASES = ("dot", "mail", "rcpt")


class Owner:
    """Notes what the wire tells."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []
        self.ends: list[str] = []

    def replied(self, phase: str, code: int, raw: bytes) -> None:
        self.heard.append((phase, code))

    def lost(self, text: str) -> None:
        self.ends.append(text)


def talk(scene: Callable[[Wire, Owner, socket.socket], Awaitable[None]], **options: int) -> None:
    """Play `scene` with a wire, its owner, and the server's end of the connection."""

    async def play() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            if "window" in options:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options["window"])
            client = socket.socket()
            if "window" in options:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, options["window"])
            client.connect(listening.getsockname())
            client.setblocking(False)
            server, _ = listening.accept()
            with server:
                server.setblocking(False)
                transport, wire = await loop.create_connection(lambda: Wire(Timeouts.within(5)), sock=client)
                owner = Owner()
                wire.own(owner)
                try:
                    await scene(wire, owner, server)
                finally:
                    transport.abort()
                    await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(play(), 20))


async def received(server: socket.socket, octets: int) -> bytes:
    loop, data = asyncio.get_running_loop(), b""
    while len(data) < octets:
        more = await loop.sock_recv(server, 65536)
        assert more, "it hung up"
        data += more
    return data


async def until(there: Callable[[], bool]) -> None:
    while not there():  # noqa: ASYNC110 (what is waited for happens in the kernel)
        await asyncio.sleep(0.001)


def test_a_small_message_goes_whole_and_its_replies_come_in_order() -> None:
    body = b"Subject: 7\r\n\r\n" + b"A line of news.\r\n" * 2000

    async def scene(wire: Wire, owner: Owner, server: socket.socket) -> None:
        assert wire.put_message(body, REST, *PHASES)
        assert wire.dot_is_out
        assert await received(server, len(body + REST)) == body + REST
        server.send(b"250 2.0.0 Ok\r\n250 2.1.0 Ok\r\n550 5.1.1 nobody\r\n")
        await until(lambda: len(owner.heard) == 3)
        assert owner.heard == [("dot", 250), ("mail", 250), ("rcpt", 550)]

    talk(scene)


@pytest.mark.parametrize("lines", [1, 100, 400, 700, 2000, 100_000])
@pytest.mark.parametrize("window", [4096, 20_000])
def test_wherever_the_kernel_stops_nothing_is_lost_or_doubled(lines: int, window: int) -> None:
    body = b"A line of news.\r\n" * lines

    async def scene(wire: Wire, owner: Owner, server: socket.socket) -> None:
        assert wire.put_message(body, REST, *PHASES)
        assert await received(server, len(body + REST)) == body + REST
        await until(lambda: wire.dot_is_out)
        server.send(b"250 2.0.0 Ok\r\n")
        await until(lambda: bool(owner.heard))
        assert owner.heard == [("dot", 250)]

    talk(scene, window=window)


def test_the_dot_waits_for_a_kernel_that_takes_no_more() -> None:
    async def scene(wire: Wire, owner: Owner, server: socket.socket) -> None:
        assert wire.put_message(b"A line of news.\r\n" * 1_000_000, REST, *PHASES)
        assert not wire.dot_is_out
        server.close()
        await until(lambda: bool(owner.ends))
        assert not wire.dot_is_out  # and so nobody can have taken it
        assert owner.heard == []

    talk(scene)


def test_a_server_that_spoke_first_gets_nothing_and_is_heard() -> None:
    async def scene(wire: Wire, owner: Owner, server: socket.socket) -> None:
        server.send(b"421 4.3.2 shutting down\r\n")
        sock = wire._transport.get_extra_info("socket")  # type: ignore[union-attr]
        assert select.select([sock.fileno()], [], [], 5)[0]  # it is there, and the loop has not turned since
        assert not wire.put_message(b"A line of news.\r\n", REST, *PHASES)
        await until(lambda: bool(owner.heard))
        assert owner.heard == [("data", 421)]
        with pytest.raises(BlockingIOError):
            server.recv(1)

    talk(scene)


def test_a_lost_connection_takes_no_message() -> None:
    async def scene(wire: Wire, owner: Owner, _server: socket.socket) -> None:
        wire.abort("enough")
        assert not wire.put_message(b"A line of news.\r\n", REST, *PHASES)
        assert owner.ends == ["enough"]

    talk(scene)
