"""A pooler before PostgreSQL that hands a session on after each transaction, as PgBouncer's mode "transaction" does.

    clients ─▶ a Unix socket ─▶ whichever of a few sessions is free, until its transaction ends

Of the protocol (https://www.postgresql.org/docs/15/protocol-flow.html) it reads what frames and ends a transaction. It
expects clients that wait for the end of what they asked for, as all of ours do that may be behind one.
"""

import asyncio
import itertools
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

PORT = 6432  # of the socket's name
_NUMBERS = itertools.count(900_001)  # what clients are told is their backend


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """One with PostgreSQL, and what it said as it began."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    status: bytes


async def _frame(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """(type, all of the message)."""
    head = await reader.readexactly(5)
    return head[:1], head + await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


class Pooler:
    def __init__(self, server: Path, sessions: int) -> None:
        self._server, self._left = server, sessions
        self._free: asyncio.Queue[Session] = asyncio.Queue()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = None
        try:
            size = await reader.readexactly(4)
            asks = size + await reader.readexactly(struct.unpack("!I", size)[0] - 4)
            session = await self._session(asks)
            writer.write(struct.pack("!cII", b"R", 8, 0) + session.status)
            writer.write(struct.pack("!cIII", b"K", 12, next(_NUMBERS), 1) + b"Z\x00\x00\x00\x05I")
            self._free.put_nowait(session)
            session = None
            while True:
                kind, message = await _frame(reader)
                if kind == b"X":
                    return
                session = session or await self._session(asks)
                session.writer.write(message)
                if kind not in (b"Q", b"S"):
                    continue
                while (answer := await _frame(session.reader))[0] != b"Z":
                    writer.write(answer[1])
                writer.write(answer[1])
                if answer[1][-1:] == b"I":
                    self._free.put_nowait(session)
                    session = None
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            await _close(writer)
            if session is not None:  # in a transaction that nobody will end
                await _close(session.writer)
                self._left += 1

    async def close(self) -> None:
        """End the sessions that nobody has."""
        while not self._free.empty():
            await _close(self._free.get_nowait().writer)

    async def _session(self, asks: bytes) -> Session:
        if self._left and self._free.empty():
            self._left -= 1
            reader, writer = await asyncio.open_unix_connection(str(self._server))
            writer.write(asks)
            status = b""
            while (answer := await _frame(reader))[0] != b"Z":
                status += answer[1] if answer[0] == b"S" else b""
            return Session(reader=reader, writer=writer, status=status)
        return await self._free.get()


@contextmanager
def pooled(url: str, folder: Path, *, sessions: int) -> Iterator[str]:
    """The URL of the same database by so few sessions; the server's has to name a folder with its Unix socket."""
    parsed = sa.make_url(url)
    server = Path(str(parsed.query["host"])) / f".s.PGSQL.{parsed.query.get('port', 5432)}"
    ready, loop = threading.Event(), asyncio.new_event_loop()

    async def run() -> None:
        pooler = Pooler(server, sessions)
        listening = await asyncio.start_unix_server(pooler.serve, folder / f".s.PGSQL.{PORT}")
        ready.set()
        async with listening:
            await over.wait()
        clients = asyncio.all_tasks() - {asyncio.current_task()}
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        await pooler.close()

    def work() -> None:
        loop.run_until_complete(run())
        loop.close()

    over = asyncio.Event()
    thread = threading.Thread(target=work, name="pooler", daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield parsed.update_query_dict({"host": str(folder), "port": str(PORT)}).render_as_string(hide_password=False)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(30)
