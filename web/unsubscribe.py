"""The way out: a page with one button, and the one-click POST that mail programs send (RFC 8058)."""

import contextlib
import datetime as dt
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from delivery import tokens
from milepost.errors import NotFoundError
from web.pages import Pages
from web.ports import Subscribers


class Unsubscribe:
    """Its routes; a token is all that is needed: no cookie, no login, no address typed."""

    def __init__(
        self, pages: Pages, subscribers: Subscribers, *, key: str | bytes, list_id: str, now: Callable[[], dt.datetime]
    ) -> None:
        self._pages = pages
        self._subscribers = subscribers
        self._key = tokens.key_bytes(key)
        self._list_id = list_id
        self._now = now

    def routes(self) -> list[Route]:
        return [
            Route("/u", self._about, methods=["GET"]),
            Route("/u/{token}", self._ask, methods=["GET"]),
            Route("/u/{token}", self._leave, methods=["POST"]),
        ]

    def _about(self, _: Request) -> Response:
        """Where a link without a token leads."""
        return self._pages.page("leave_about.html.j2", private=True)

    def _ask(self, request: Request) -> Response:
        """GET and HEAD change nothing: mail scanners follow every link."""
        if self._reader(request) is None:
            return self._unknown()
        return self._pages.page("leave.html.j2", private=True)

    def _leave(self, request: Request) -> Response:
        """Whatever the body's form, and whether or not it could be read: who posts to this address wants to leave."""
        reader = self._reader(request)
        if reader is None:
            return self._unknown()
        with contextlib.suppress(NotFoundError):  # erased meanwhile: gone is gone, nobody learns who was ever here
            self._subscribers.set_state(reader, "unsubscribed", self._now())
        return self._pages.page("left.html.j2", private=True)

    def _reader(self, request: Request) -> int | None:
        said = tokens.verify(self._key, request.path_params["token"])
        return said.subscriber_id if said is not None and said.list_id == self._list_id else None

    def _unknown(self) -> Response:
        return self._pages.page("leave_unknown.html.j2", status=404, private=True)
