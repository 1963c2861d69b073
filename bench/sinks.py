"""Where a bench sends its mail: postfix's smtp-sink, and in front of it, when asked, a wire that is so and so long.

    sender ─▶ (delay process: replies wait) ─▶ smtp-sink
"""

import asyncio
import multiprocessing
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def program(name: str) -> str | None:
    """Where one of postfix's programs is."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


@contextmanager
def sink(latency_ms: float = 0.0) -> Iterator[int]:
    """The port of an smtp-sink on loopback, as long as the block lasts; each reply comes `latency_ms` late."""
    port = _free()
    # Started by root it wants to be told who to be; others can't become anybody else.
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    server = subprocess.Popen(
        [program("smtp-sink") or "smtp-sink", *user, f"127.0.0.1:{port}", "1000"], stdout=subprocess.DEVNULL
    )
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
