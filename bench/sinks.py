"""Where a bench sends its mail: a sink, and in front of it, when asked, a wire that is so and so long.

    sender ─▶ (delay process: replies wait) ─▶ postfix's smtp-sink, or where that is missing one of ours

Ours costs the machine more for each mail than smtp-sink does, so a table says which it was.
"""

import asyncio
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def program(name: str) -> str | None:
    """Where one of postfix's programs is."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def which() -> str:
    """The sink that `sink` starts, for a table's head."""
    return "postfix's smtp-sink" if program("smtp-sink") else "a sink of ours (no smtp-sink of postfix's here)"


@contextmanager
def sink(latency_ms: float = 0.0) -> Iterator[int]:
    """The port of a sink on loopback, as long as the block lasts; each reply comes `latency_ms` late."""
    port = _free()
    # Started by root it wants to be told who to be; others can't become anybody else.
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    given = program("smtp-sink")
    command = [given, *user, f"127.0.0.1:{port}", "1000"] if given else [sys.executable, "-m", "bench.sinks", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=Path(__file__).parent.parent)
    wire = None
    try:
        _listening(port)
        if latency_ms:
            front = _free()
            wire = multiprocessing.get_context("spawn").Process(target=_delay, args=(front, port, latency_ms / 1000))
            wire.start()
            _listening(front)
            port = front
        yield port
    finally:
        if wire is not None:
            wire.kill()
            wire.join()
        server.kill()
        server.wait()


def _free() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _listening(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


# --- ours -----------------------------------------------------------------------------------------------------------


class Taking(asyncio.Protocol):
    """Takes every mail and forgets it (RFC 5321, with PIPELINING: RFC 2920)."""

    def __init__(self) -> None:
        self.rest, self.in_mail = b"", False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(b"220 sink.example ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self.rest += data
        replies = []
        while True:
            before, ended, after = self.rest.partition(b"\r\n.\r\n" if self.in_mail else b"\r\n")
            if not ended:
                break
            self.rest = after
            if self.in_mail:
                self.in_mail = False
                replies.append(b"250 2.0.0 taken")
            else:
                replies.append(self._reply(before.upper()))
        if self.in_mail:
            self.rest = self.rest[-4:]  # as much as may begin the end of the mail
        self.transport.write(b"".join(reply + b"\r\n" for reply in replies))
        if replies and replies[-1].startswith(b"221"):
            self.transport.close()

    def _reply(self, command: bytes) -> bytes:
        match command[:4]:
            case b"EHLO":
                return b"250-sink.example\r\n250-PIPELINING\r\n250 8BITMIME"
            case b"HELO" | b"MAIL" | b"RCPT" | b"RSET" | b"NOOP":
                return b"250 2.0.0 ok"
            case b"DATA":
                self.in_mail, self.rest = True, b"\r\n" + self.rest  # an empty mail is a dot alone
                return b"354 go on"
            case b"QUIT":
                return b"221 2.0.0 bye"
            case _:
                return b"502 5.5.1 not known here"


async def _take(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Taking, "127.0.0.1", port, backlog=1000)
    await server.serve_forever()


# --- the long wire --------------------------------------------------------------------------------------------------


def _delay(front: int, behind: int, seconds: float) -> None:
    """Run the wire, in a process of its own, until it is killed."""
    asyncio.run(_serve(front, behind, seconds))


async def _serve(front: int, behind: int, seconds: float) -> None:
    async def through(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        replies, commands = await asyncio.open_connection("127.0.0.1", behind)
        with suppress(ConnectionError):
            await asyncio.gather(_forward(reader, commands), _late(replies, writer, seconds))

    server = await asyncio.start_server(through, "127.0.0.1", front, limit=1 << 18, backlog=1000)
    await server.serve_forever()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 18):
        writer.write(data)
        await writer.drain()
    writer.close()


async def _late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Pass on what comes, each piece `seconds` after it came: what came together arrives together."""
    clock = asyncio.get_running_loop().time
    coming: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def arrive() -> None:
        while True:
            due, data = await coming.get()
            await asyncio.sleep(due - clock())
            if not data:
                writer.close()
                return
            writer.write(data)

    arriving = asyncio.create_task(arrive())
    data = b"-"
    while data:
        data = await reader.read(1 << 16)
        coming.put_nowait((clock() + seconds, data))
    await arriving


if __name__ == "__main__":
    asyncio.run(_take(int(sys.argv[1])))
