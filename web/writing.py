"""What writes has threads of its own: while the database is locked the writers wait, and whoever reads doesn't notice.

    a request that writes ─▶ a free thread, within SLOT_SECONDS ─▶ the store, within STORE_SECONDS ─▶ an answer, or 503
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from milepost.errors import BusyError

THREADS = 16  # below the connections that a pool of store.engine gives
SLOT_SECONDS = 1.0  # for a free one of them
RETRY_SECONDS = 60  # what the pages say in words ("in a minute"), said to programs
STORE_SECONDS = 2.0  # for another writer to finish: with the above no reader waits more than 3 s for "not now"

Answer = TypeVar("Answer")


class Writers:
    """Runs what writes; make one for an application."""

    def __init__(self, *, threads: int = THREADS, wait_seconds: float = SLOT_SECONDS) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="writer")
        self._free = asyncio.Semaphore(threads)
        self._wait_seconds = wait_seconds

    async def run(self, write: Callable[[], Answer]) -> Answer:
        """What `write` returns or raises; BusyError, and nothing was begun, when no thread came free in time."""
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise BusyError("too many writers wait already", hint="Try again in a minute.") from None
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, write)
        finally:
            self._free.release()
