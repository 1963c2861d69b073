"""The end of a connection: QUIT is said, and its answer is waited for beside everything else."""

import asyncio

from delivery.smtp.wire import Wire


class Leaving:
    """A connection that was told QUIT; what the server answers does not matter."""

    def __init__(self, wire: Wire, others: set["Leaving"]) -> None:
        self.wire = wire
        self.gone = asyncio.get_running_loop().create_future()
        self._others = others
        wire.own(self)
        wire.put(b"QUIT\r\n", "quit")

    def replied(self, phase: str, code: int, raw: bytes) -> None:  # noqa: ARG002 (the form of delivery.wire.Owner)
        self.wire.abort("goodbye")

    def lost(self, text: str) -> None:  # noqa: ARG002
        self._others.discard(self)
        if not self.gone.done():
            self.gone.set_result(None)
