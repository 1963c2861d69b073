"""The way to the desk and the API: at an address of their own, or beside the readers' pages; none before an operator.

    desk.listen ─▶ there the desk alone, elsewhere the readers' pages alone        left out ─▶ by the path
"""

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from milepost.errors import StoreError

_PATHS = ("/desk", "/api/v1")
_NOBODY = PlainTextResponse("There is no desk before `milepost operators add NAME --role admin`.\n", 404, {
    "Cache-Control": "no-store", "X-Robots-Tag": "noindex",
})


class DeskDoor:
    """Stands before both applications."""

    def __init__(
        self, public: ASGIApp, desk: ASGIApp, *, exists: Callable[[], bool], listen: tuple[str, int] | None = None
    ) -> None:
        """`exists`: whether there is an operator; once there is one there always is. `listen`: the desk's address."""
        self._public, self._desk, self._exists, self._listen = public, desk, exists, listen
        self._open = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._public
        if scope["type"] == "http":
            asked = scope["path"].startswith(tuple(f"{path}/" for path in _PATHS)) or scope["path"] in _PATHS
            if self._listen is not None:
                if (scope.get("server") or ("", None))[1] == self._listen[1]:
                    app = self._desk if await self._is_open() else _NOBODY
            elif asked and await self._is_open():
                app = self._desk
        await app(scope, receive, send)

    async def _is_open(self) -> bool:
        if not self._open:
            try:
                self._open = await run_in_threadpool(self._exists)
            except StoreError:
                return False  # whoever has nothing to hide is told why by the pages they ask for
        return self._open


def own_address(listen: str | None) -> tuple[str, int] | None:
    """desk.listen in its parts. Pure."""
    if listen is None:
        return None
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)
