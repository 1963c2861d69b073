"""A fixed crew of workers on one deque of paths: no task per page, so a hundred thousand pages cost no more memory."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from crawler.outcomes import Progress
from milepost.records import PageKind

Handle = Callable[[str, PageKind], Awaitable[None]]


class Work:
    """The paths still to be asked for, each once."""

    def __init__(self, workers: int, *, max_pages: int, progress: Progress | None = None) -> None:
        self._workers = workers
        self._max_pages = max_pages
        self._progress = progress
        self._queue: deque[tuple[str, PageKind]] = deque()
        self._added: set[str] = set()
        self._crew: set[asyncio.Task[None]] = set()
        self._done = 0
        self.refused = 0  # paths beyond max_pages

    def add(self, path: str, kind: PageKind) -> None:
        """Queue a path that was not queued before."""
        if path in self._added:
            return
        if len(self._added) >= self._max_pages:
            self.refused += 1
            return
        self._added.add(path)
        self._queue.append((path, kind))

    async def drain(self, handle: Handle) -> None:
        """Work until the queue is empty; what a handler adds is worked off as well.

        The first exception of a handler stops all workers and is raised as it is.
        """
        self._crew = {asyncio.create_task(self._work(handle)) for _ in range(min(self._workers, len(self._queue)))}
        try:
            if self._crew:
                await asyncio.wait(self._crew)
        finally:
            for task in self._crew:
                task.cancel()
            await asyncio.gather(*self._crew, return_exceptions=True)
        for task in self._crew:
            if not task.cancelled():
                task.result()

    async def _work(self, handle: Handle) -> None:
        while self._queue:
            path, kind = self._queue.popleft()
            try:
                await handle(path, kind)
            except Exception:
                for task in self._crew - {asyncio.current_task()}:
                    task.cancel()  # at once: no colleague hands on another page after this
                raise
            self._done += 1
            if self._progress is not None:
                self._progress(self._done, len(self._added))
