"""Work in a thread of its own beside the work that it serves, which takes it along when it ends."""

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Background(ABC):
    """A thread, while it is open; use it in `with`."""

    def __init__(self, name: str, *, end_s: float | None = None) -> None:
        """`end_s`: how many seconds what is in hand may take when it is closed; None: as long as it takes."""
        self._over, self._end_s = threading.Event(), end_s
        self._thread = threading.Thread(target=self.run, name=name, daemon=True)

    @abstractmethod
    def run(self) -> None:
        """The work; it is over as soon as `_over` is set."""

    def _end(self) -> None:
        """Say that it is over."""
        self._over.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._thread.join(self._end_s)
