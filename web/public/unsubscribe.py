"""The way out: a page with one button, and the one-click POST that mail programs send (RFC 8058)."""

import contextlib
import datetime as dt
from collections.abc import Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from milepost.errors import NotFoundError
from milepost.records import ReaderLink
from newsletter.issue.view import PREFERENCES
from web.pages import Pages
from web.ports import Subscribers
from web.public.readers import Readers
from web.writing import Writers


class Unsubscribe:
    """Its routes."""

    def __init__(
        self, pages: Pages, subscribers: Subscribers, *, readers: Readers, writers: Writers,
        now: Callable[[], dt.datetime],
    ) -> None:
        self._pages = pages
        self._subscribers = subscribers
        self._readers = readers
        self._writers = writers
        self._now = now

    def routes(self) -> list[Route]:
        return [
            Route("/u", self._about, methods=["GET"]),
            Route(f"/u{PREFERENCES}", self._about, methods=["GET"]),
            Route("/u/{token}", self._ask, methods=["GET"]),
            Route("/u/{token}", self._leave, methods=["POST"]),
        ]

    def _about(self, _: Request) -> Response:
        """Where the links of a test mail lead: they have no token."""
        return self._pages.page("leave_about.html.j2", private=True)

    def _ask(self, request: Request) -> Response:
        """GET and HEAD change nothing: mail scanners follow every link."""
        if self._readers.of(request) is None:
            return self._unknown()
        return self._pages.page("leave.html.j2", private=True, choice=f"{request.path_params['token']}{PREFERENCES}")

    async def _leave(self, request: Request) -> Response:
        """Whatever the body's form, and whether or not it could be read: who posts to this address wants to leave."""
        link = self._readers.of(request)
        if link is None:
            return self._unknown()
        with contextlib.suppress(NotFoundError):  # erased meanwhile: gone is gone, nobody learns who was ever here
            await self._writers.run(partial(self._let_go, link))
        return self._pages.page("left.html.j2", private=True)

    def _let_go(self, link: ReaderLink) -> None:
        self._subscribers.set_state(self._subscribers.linked(link).id, "unsubscribed", self._now())

    def _unknown(self) -> Response:
        return self._pages.page("leave_unknown.html.j2", status=404, private=True)
