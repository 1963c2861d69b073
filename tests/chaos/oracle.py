"""An SMTP server with PIPELINING that notes each message it takes before it says so, and misbehaves by a seeded plan.

    python oracle.py PLAN.json LOG     prints its port; a line of LOG is "SECONDS WHAT ADDRESS [MESSAGE-ID]"

WHAT: data (it was asked to take one), took, silent (took it and gave no reply); with a `host` also from (the address
that a message came from, before it is told as taken). SECONDS: the machine's monotonic clock.
The plan: {"seed": 1, "gap_ms": 0, "window": null, "faults": [[VERB, WHAT, SHARE, TIMES], …]}. A fault strikes that
share of the readers (chosen by a hash of seed, verb and reader, so that a run can be repeated), TIMES times each; it is
a reply, "drop", or after the dot "late SECONDS" and "never". `window`: octets that the kernel keeps for us, unread.
`host`: the address it listens on, where that isn't the loopback's; `tls`: the files of its certificate and key.
`session`: [N, WHAT], the answer to the MAIL after N messages of a connection, which ends with it. No fault strikes any
more once PLAN.json.mended is there.
"""

import asyncio
import hashlib
import json
import os
import re
import socket
import ssl
import sys
import time
from collections import Counter
from pathlib import Path


class Oracle:
    def __init__(self, plan: dict[str, object], log: int, mended: Path = Path("/nowhere")) -> None:
        self.mended = mended
        self.session: tuple[int, str] | None = plan.get("session")  # type: ignore[assignment]
        self.seed = plan["seed"]
        self.gap = float(str(plan.get("gap_ms", 0))) / 1000
        self.faults: list[tuple[str, str, float, int]] = [tuple(fault) for fault in plan.get("faults", [])]  # type: ignore[attr-defined]
        self.struck: Counter[tuple[int, str]] = Counter()
        self.met = 0
        self.log = log
        self.tells_from = "host" in plan

    def chance(self, *what: object) -> float:
        said = "/".join(map(str, (self.seed, *what)))
        return int.from_bytes(hashlib.sha256(said.encode()).digest()[:4], "big") / 2**32

    def strike(self, verb: str, reader: str) -> str | None:
        if self.mended.exists():
            return None
        for index, (at, what, share, times) in enumerate(self.faults):
            if at == verb and self.struck[index, reader] < times and self.chance(index, verb, reader) < share:
                self.struck[index, reader] += 1
                return what
        return None

    def note(self, line: str) -> None:
        # one write to a file opened for appending: whole or not at all
        os.write(self.log, f"{time.monotonic():.6f} {line}\n".encode())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _say(self, writer: asyncio.StreamWriter, verb: str, who: str, usual: str) -> bool:
        """Answer; whether it was the usual answer."""
        what = self.strike(verb, who)
        if what == "drop":
            writer.transport.abort()
            raise ConnectionResetError
        writer.write(f"{what or usual}\r\n".encode())
        if what is not None and what.startswith("421"):
            await writer.drain()
            raise ConnectionResetError
        return what is None

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.met += 1
        visitor, who, mails = f"visitor{self.met}", "", 0
        if not await self._say(writer, "connect", visitor, "220 oracle.example ESMTP"):
            return
        named = False
        while line := await reader.readline():
            word = line[:4].upper()
            address = re.search(rb"<(.*)>", line)
            if word in (b"EHLO", b"HELO"):
                offers = "250-PIPELINING\r\n250 ENHANCEDSTATUSCODES"
                usual = f"250-oracle.example\r\n{offers}" if word == b"EHLO" else "250 oracle.example"
                await self._say(writer, "ehlo", visitor, usual)
            elif word == b"MAIL":
                mails += 1
                if self.session is not None and mails > self.session[0]:
                    await self._end(writer, self.session[1])
                sender = address.group(1).decode() if address else ""
                named = await self._say(writer, "mail", sender, "250 2.1.0 Ok")
            elif word == b"RCPT":
                who = address.group(1).decode() if address else ""
                if not named:
                    writer.write(b"503 5.5.1 no sender\r\n")
                else:
                    named = await self._say(writer, "rcpt", who, "250 2.1.5 Ok")
            elif word == b"DATA":
                self.note(f"data {who}")
                what = self.strike("body", who)
                if what is not None:
                    await self._leave_midway(writer)
                if await self._say(writer, "data", who, "354 go on"):
                    await self._take(reader, writer, who)
            elif word == b"QUIT":
                await self._say(writer, "quit", visitor, "221 2.0.0 Bye")
                return
            else:
                writer.write(b"250 2.0.0 Ok\r\n")

    async def _end(self, writer: asyncio.StreamWriter, what: str) -> None:
        """The session is over: with 421, or without a word."""
        if what != "drop":
            writer.write(f"{what}\r\n".encode())
            await writer.drain()
        raise ConnectionResetError

    async def _leave_midway(self, writer: asyncio.StreamWriter) -> None:
        """Ask for the message, let as much of it come as the kernel takes, and be gone."""
        transport = writer.transport
        assert isinstance(transport, asyncio.ReadTransport)
        transport.pause_reading()
        writer.write(b"354 go on\r\n")
        await writer.drain()
        await asyncio.sleep(0.03)
        transport.abort()  # type: ignore[attr-defined]
        raise ConnectionResetError

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: str) -> None:
        content = await reader.readuntil(b"\r\n.\r\n")
        found = re.search(rb"^Message-ID: (\S+)", content, re.MULTILINE)
        what = self.strike("dot", who) or ""
        kind, _, seconds = what.partition(" ")
        if what and kind not in ("drop", "late", "never"):
            writer.write(f"{what}\r\n".encode())
            if kind == "421":
                await writer.drain()
                raise ConnectionResetError
            return
        if self.tells_from:
            self.note(f"from {writer.get_extra_info('peername')[0]}")
        self.note(f"took {who} {found.group(1).decode() if found else '-'}")
        if self.gap:
            await asyncio.sleep(self.gap * self.chance("gap", who))
        if kind == "late":
            await asyncio.sleep(float(seconds))
        if kind == "never":
            self.note(f"silent {who}")
            await reader.read()  # until they hang up
            raise ConnectionResetError
        if kind == "drop":
            self.note(f"silent {who}")
            writer.transport.abort()
            raise ConnectionResetError
        writer.write(f"250 2.0.0 Ok: queued as {hashlib.sha256(who.encode()).hexdigest()[:10]}\r\n".encode())


async def main(plan: dict[str, object], log: str, mended: Path) -> None:
    oracle = Oracle(plan, os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), mended)
    listener = socket.create_server((str(plan.get("host", "127.0.0.1")), 0), backlog=200)
    if plan.get("window"):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, int(str(plan["window"])))
    context = None
    if plan.get("tls"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*plan["tls"])  # type: ignore[misc]
    server = await asyncio.start_server(oracle.serve, sock=listener, limit=1 << 25, ssl=context)
    print(listener.getsockname()[1], flush=True)  # noqa: T201 (to whoever started it)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2], Path(f"{sys.argv[1]}.mended")))
