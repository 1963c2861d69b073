"""An SMTP inbox on loopback for the demo: accepts every message and keeps it as an .eml file."""

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP

from milepost.errors import MilepostError


class _Keep:
    """aiosmtpd's handler; each message is written before its 250 is given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept = 0

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802, the name is aiosmtpd's
        to = re.sub(r"[^A-Za-z0-9@.+-]", "_", envelope.rcpt_tos[0])
        self.kept += 1
        content: bytes = envelope.content
        written = self.folder / f"{self.kept:02d}-{to}.part"
        written.write_bytes(content)
        written.rename(written.with_suffix(".eml"))  # whoever waits for a mail never reads half of one
        return f"250 2.0.0 kept as {self.kept:02d}"


@contextmanager
def serve_inbox(folder: Path) -> Iterator[int]:
    """Serve while open; yields the port. Raises MilepostError when loopback can't be listened on."""
    folder.mkdir(parents=True, exist_ok=True)
    keep = _Keep(folder)
    loop = asyncio.new_event_loop()
    try:
        # aiosmtpd's own Controller can't be given port 0: it connects to the number it was handed
        server = loop.run_until_complete(
            loop.create_server(lambda: SMTP(keep, hostname="inbox.example", loop=loop), "127.0.0.1", 0)
        )
    except OSError as error:
        loop.close()
        raise MilepostError(f"the demo's inbox can't listen: {error.strerror}", where="127.0.0.1",
                            hint="Run it again; it takes another port.") from None
    thread = threading.Thread(target=loop.run_forever, name="inbox", daemon=True)
    thread.start()
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()  # not before: a server that its own thread still uses is not to be touched from here
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
