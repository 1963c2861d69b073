"""A TCP proxy that cuts connections at a word: python proxy.py PLAN.json LOG     prints its port.

The plan: {"to": PORT or "/a/unix/socket", "seed": 1, "word": "COMMIT", "from": "client" | "server", "when": "before" |
"after", "share": 0.1, "times": 20}. Both ends are cut at that share of the chunks that hold the word, TIMES in all.
before: the word does not get through. after (client): it does, and the answer does not. LOG gets a line a cut.
"""

import asyncio
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any


class Pair:
    """The two ends of one connection."""

    def __init__(self, *ends: asyncio.StreamWriter) -> None:
        self.ends, self.mute = ends, False

    def abort(self) -> None:
        for end in self.ends:
            end.transport.abort()


class Proxy:
    def __init__(self, plan: dict[str, Any], log: int) -> None:
        self.plan, self.log = plan, log
        self.met = self.cuts = 0

    def cut(self, chunk: bytes, side: str) -> bool:
        if side != self.plan["from"] or self.plan["word"].encode() not in chunk or self.cuts >= self.plan["times"]:
            return False
        self.met += 1
        digest = hashlib.sha256(f"{self.plan['seed']}/{self.met}".encode()).digest()
        if int.from_bytes(digest[:4], "big") / 2**32 >= self.plan["share"]:
            return False
        self.cuts += 1
        os.write(self.log, f"{side} {self.met}\n".encode())
        return True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to = self.plan["to"]
        if isinstance(to, str):
            there, away = await asyncio.open_unix_connection(to)
        else:
            there, away = await asyncio.open_connection("127.0.0.1", to)
        pair = Pair(writer, away)
        ways = [
            asyncio.create_task(self._carry(reader, away, pair, "client")),
            asyncio.create_task(self._carry(there, writer, pair, "server")),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, away):
            end.close()

    async def _carry(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, pair: "Pair", side: str
    ) -> None:
        while chunk := await source.read(65536):
            if pair.mute:  # the answer to the word
                pair.abort()
                return
            if self.cut(chunk, side):
                if self.plan["when"] == "before":
                    pair.abort()
                    return
                pair.mute = True
            target.write(chunk)
            await target.drain()


async def main(plan: dict[str, Any], log: str) -> None:
    proxy = Proxy(plan, os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 (to whoever started it)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2]))
