"""What writes has threads of its own: while the database is locked the writers wait, and whoever reads doesn't notice.

    a request that writes ─▶ a free thread, within SLOT_SECONDS ─▶ the store, within STORE_SECONDS ─▶ an answer, or 503
    a way out ─▶ the same, again and again for LEAVE_SECONDS: a mail program that hears 503 asks no second time, and its
                 reader gets the next issue
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from milepost.errors import BusyError

THREADS = 16  # below the connections that a pool of store.engine gives
SLOT_SECONDS = 1.0  # for a free one of them
RETRY_SECONDS = 60  # what the pages say in words ("in a minute"), said to programs
LEAVE_SECONDS = 10.0  # for a reader's way out; who asked may take minutes, and their connection's deadline is longer
AGAIN_SECONDS = 0.05  # between two tries of it
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

    async def insist(self, write: Callable[[], Answer], *, seconds: float = LEAVE_SECONDS) -> Answer:
        """The same for what may be begun twice: while others are in the way it is tried again, for so many seconds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            try:
                return await self.run(write)
            except BusyError:
                if loop.time() >= end:
                    raise
            await asyncio.sleep(AGAIN_SECONDS)
