"""Connections: what is kept, what is closed, and what is asked once more; every server here is scripted."""

import asyncio
import contextlib
import socket
import struct

import httpx
import pytest

from crawler.client import Client
from crawler.connect import Connector
from crawler.guard import AllowedHosts
from crawler.transport import GuardedTransport
from milepost.errors import FetchError, RefusedError
from milepost.settings import FetchSettings


def answer(body, status=200, **headers):
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Peer:
    """A server whose n-th connection follows the n-th script, the last one again and again."""

    def __init__(self, *scripts):
        self.scripts = scripts
        self.asked = []  # (connection, path), connections from 1
        self.open = self.most_open = self.connections = 0
        self.handling = []

    async def request(self, reader, number):
        """The path of the next request, or None at the end."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        path = head.split(b" ", 2)[1].decode()
        self.asked.append((number, path))
        return path

    async def handle(self, reader, writer):
        self.handling.append(asyncio.current_task())
        self.connections += 1
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        number = self.connections
        script = self.scripts[min(number, len(self.scripts)) - 1]
        try:
            for step in script:
                path = await self.request(reader, number)
                if path is None:
                    return
                written = step(path) if callable(step) else step
                if written is RESET:
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    writer.transport.abort()
                    return
                writer.write(written)
                await writer.drain()
        finally:
            self.open -= 1
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    @contextlib.asynccontextmanager
    async def serving(self):
        server = await asyncio.start_server(self.handle, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]
            await asyncio.gather(*self.handling)

    def get(self, *paths, resolver=None, **given):
        """Ask for these one after the other: each body, status or error."""

        async def run():
            async with self.serving() as port, client(resolver, **given) as asking:
                return [await tried(asking, f"http://peer.example:{port}{path}") for path in paths]

        return asyncio.run(run())


RESET = object()


async def loopback(_host, _port):
    return ["127.0.0.1"]


def client(resolver=None, **given):
    limits = FetchSettings(**({"concurrency": 1, "timeout": 60.0, "retries": 0} | given))
    return Client(limits=limits, allow_hosts=("peer.example",), resolver=resolver or loopback)


async def tried(asking, url):
    try:
        got = await asking.get(url)
    except FetchError as error:
        return error
    return got.body if got.status == 200 else got.status


def page(path):
    return answer(path.encode())


FOREVER = [page] * 99
EVIL = answer(b"evil")
BEHIND = {
    "behind-its-length": answer(b"/a") + EVIL,
    "behind-the-last-chunk": b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n/a\r\n0\r\n\r\n" + EVIL,
    "one-byte": answer(b"/a") + b"\n",
    "garbage": answer(b"/a") + b"</html>\n<!-- cached -->",
}


@pytest.mark.parametrize("written", BEHIND.values(), ids=BEHIND.keys())
def test_bytes_behind_an_answer_close_the_connection_and_are_nobodys(written):
    peer = Peer([written, page], FOREVER)
    assert peer.get("/a", "/b", "/c") == [b"/a", b"/b", b"/c"]
    assert peer.asked == [(1, "/a"), (2, "/b"), (2, "/c")]


def test_a_304_with_a_body_closes_the_connection():
    peer = Peer([b"HTTP/1.1 304 X\r\n\r\n" + EVIL], FOREVER)
    assert peer.get("/a", "/b") == [304, b"/b"]
    assert peer.asked == [(1, "/a"), (2, "/b")]


def test_bytes_that_come_while_the_connection_is_idle_are_nobodys():
    class Late(Peer):
        async def request(self, reader, number):
            if number == 1 and self.asked:  # answered: wait until the client has it, then go on speaking
                await had.wait()
                self.writer.write(EVIL)
                said.set()
            return await super().request(reader, number)

        async def handle(self, reader, writer):
            self.writer = writer
            await super().handle(reader, writer)

    async def run():
        async with peer.serving() as port, client() as asking:
            first = await tried(asking, f"http://peer.example:{port}/a")
            had.set()
            await said.wait()
            return first, await tried(asking, f"http://peer.example:{port}/b")

    had, said, peer = asyncio.Event(), asyncio.Event(), Late(FOREVER)
    assert asyncio.run(run()) == (b"/a", b"/b")
    assert peer.asked == [(1, "/a"), (2, "/b")]


@pytest.mark.parametrize("goodbye", [b"", RESET, answer(b"", 408, Connection="close")], ids=["end", "reset", "408"])
def test_a_kept_connection_that_ends_unheard_is_asked_once_more_on_a_new_one(goodbye):
    peer = Peer([page, goodbye], FOREVER)
    assert peer.get("/a", "/b", "/c") == [b"/a", b"/b", b"/c"]
    assert peer.asked == [(1, "/a"), (1, "/b"), (2, "/b"), (2, "/c")]


def test_it_is_asked_once_more_and_not_again():
    peer = Peer([page, b""], [b""])
    first, second = peer.get("/a", "/b")
    assert first == b"/a"
    assert "disconnected without sending a response" in str(second)
    assert second.retryable
    assert peer.asked == [(1, "/a"), (1, "/b"), (2, "/b")]


@pytest.mark.parametrize("goodbye", [b"", RESET], ids=["end", "reset"])
def test_a_new_connection_that_ends_unheard_is_an_error(goodbye):
    peer = Peer([goodbye], FOREVER)
    assert peer.get("/a")[0].retryable
    assert peer.asked == [(1, "/a")]


def test_a_408_on_a_new_connection_is_the_answer():
    peer = Peer([answer(b"", 408)], FOREVER)
    assert peer.get("/a") == [408]
    assert peer.connections == 1


def test_one_byte_of_an_answer_was_an_answer():
    peer = Peer([page, b"H"], FOREVER)
    first, second = peer.get("/a", "/b")
    assert first == b"/a"
    assert "not whole HTTP" in str(second)
    assert peer.asked == [(1, "/a"), (1, "/b")]


def test_the_new_connection_is_checked_like_any_other():
    addresses = iter(["127.0.0.1", "169.254.169.254"])

    async def rebinding(_host, _port):
        return [next(addresses)]

    peer = Peer([page, b""], FOREVER)
    first, second = peer.get("/a", "/b", resolver=rebinding)
    assert first == b"/a"
    assert isinstance(second, RefusedError)
    assert "169.254.169.254 is not a public address" in str(second)


def test_a_server_that_says_close_is_not_asked_on_that_connection_again():
    peer = Peer([answer(b"/a", Connection="close"), page], FOREVER)
    assert peer.get("/a", "/b") == [b"/a", b"/b"]
    assert peer.asked == [(1, "/a"), (2, "/b")]


def test_an_answer_that_is_not_wanted_to_its_end_costs_the_connection():
    peer = Peer([lambda _path: answer(bytes(3_000_000)), page], FOREVER)
    first, second = peer.get("/a", "/b", max_body_bytes=1_048_576, max_wire_bytes=1_048_576)
    assert isinstance(first, RefusedError)
    assert second == b"/b"
    assert peer.asked == [(1, "/a"), (2, "/b")]


def test_an_exchange_that_is_broken_off_costs_the_connection_and_gives_its_place_back():
    async def run():
        half = asyncio.Event()

        def half_of_it(_path):
            half.set()
            return answer(b"/a")[:-1]

        peer = Peer([half_of_it, page], FOREVER)
        async with peer.serving() as port, client(concurrency=1) as asking:
            waiting = asyncio.create_task(asking.get(f"http://peer.example:{port}/a"))
            await half.wait()
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
            return await tried(asking, f"http://peer.example:{port}/b"), peer.asked

    assert asyncio.run(run()) == (b"/b", [(1, "/a"), (2, "/b")])


def test_no_more_connections_than_agreed_whatever_is_asked():
    async def run():
        one, other = Peer(FOREVER), Peer(FOREVER)
        async with one.serving() as first, other.serving() as second, client(concurrency=2) as asking:
            for port in (first, second, first):
                got = await asyncio.gather(*(tried(asking, f"http://peer.example:{port}/{n}") for n in range(4)))
                assert got == [b"/0", b"/1", b"/2", b"/3"]
                assert len(asking._transport._connections._kept) <= 2
        return one, other

    one, other = asyncio.run(run())
    assert max(one.most_open, other.most_open) <= 2
    assert (one.connections, other.connections) == (4, 2)


def test_an_idle_connection_is_kept_for_so_long_only():
    async def run():
        peer = Peer(FOREVER)
        transport = GuardedTransport(
            Connector(allowed=AllowedHosts.of(["peer.example"]), resolver=loopback), connections=1, keepalive=0.0
        )
        async with peer.serving() as port:
            for path in ("/a", "/b"):
                request = httpx.Request("GET", f"http://peer.example:{port}{path}")
                got = await transport.handle_async_request(request)
                assert await got.aread() == path.encode()
                await got.aclose()
            await transport.aclose()
        return peer.asked

    assert asyncio.run(run()) == [(1, "/a"), (2, "/b")]


def test_a_server_that_hangs_up_after_each_answer_fails_no_page(site, look):
    paths = [f"p{number}" for number in range(10)]
    site.milestones(*paths)
    for path in paths:
        site.raw[f"/timeline/{path}"] = lambda asked, wire: wire.write(site.pages[asked.path].wire())
    seen = look(retries=0, concurrency=1)
    assert seen.report.failed == 0
    assert seen.report.fetched == 11


def test_a_page_with_another_answer_behind_it_is_archived_as_it_is(site, look):
    good = site.pages["/timeline/good"].wire()
    injected = site.html("injected").wire()
    site.milestones("bad", "good")
    site.raw["/timeline/bad"] = lambda _asked, wire: wire.write(site.html("bad").wire() + injected)
    seen = look(retries=0, concurrency=1)
    assert b"<h1>bad</h1>" in seen.body("/timeline/bad")
    assert seen.body("/timeline/good") in good
    assert not any(b"injected" in outcome.snapshot.body for outcome in seen.outcomes)
