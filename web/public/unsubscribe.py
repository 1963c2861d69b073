"""The way out: a page with one button, and the one-click POST that mail programs send (RFC 8058); and the way back.

    POST /u/{token} ─▶ left, with a button        POST /u/{token}/back ─▶ a reader again, for thirty days

A link whose key has leaked lets its reader leave, and does nothing else.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from milepost.errors import NotFoundError, StoreError
from milepost.records import CADENCES, Cadence, ReaderLink
from newsletter.issue.view import BACK, PREFERENCES
from newsletter.letters import about
from pipeline.own_page import Reader
from web.pages import Pages
from web.ports import OwnPage
from web.public.forms import read_form
from web.public.readers import Readers, sentence
from web.writing import Writers


class Unsubscribe:
    """Its routes."""

    def __init__(
        self, pages: Pages, own_page: OwnPage, *, readers: Readers, writers: Writers, cadences: Sequence[Cadence],
        now: Callable[[], dt.datetime], wake: Callable[[], None], labels: Mapping[str, str],
    ) -> None:
        """`cadences`: those on offer; `wake`: there may be a letter to send; `labels`: of topics."""
        self._labels = labels
        self._wake = wake
        self._pages, self._own_page = pages, own_page
        self._readers, self._writers = readers, writers
        self._cadences, self._now = cadences, now

    def routes(self) -> list[Route]:
        return [
            Route("/u", self._about, methods=["GET"]),
            Route(f"/u{PREFERENCES}", self._about, methods=["GET"]),
            Route("/u/{token}", self._ask, methods=["GET"]),
            Route("/u/{token}", self._leave, methods=["POST"]),
            Route(f"/u/{{token}}{BACK}", self._ask, methods=["GET"]),
            Route(f"/u/{{token}}{BACK}", self._back, methods=["POST"]),
        ]

    def gone(self, request: Request, reader: Reader | None, *, status: int = 200) -> Response:
        """For who is no reader any more, with the way back while there is one; None: nobody here."""
        if reader is not None and reader.erased:
            return self._pages.for_visitor(request).page("erased.html.j2", status=410, private=True)
        until, choice, pages, whole = "", [], self._pages.for_visitor(request), False
        if reader is not None:
            whole = self._readers.of(request) is not None
            who, pages = reader.subscriber, self._pages.spoken(reader.subscriber.language)
            if reader.undo_until is not None and whole:
                until = pages.phrases.plain_day(self._own_page.day_of(reader.undo_until))
                seldom = CADENCES[CADENCES.index(who.cadence) + 1 :]
                choice = [(each, sentence(pages.phrases.rhythms[each])) for each in self._cadences if each in seldom]
        return pages.page(
            "left.html.j2", status=status, private=True, until=until, seldom=choice,
            own=f"/u/{request.path_params['token']}" if whole else "",
        )

    def unknown(self, request: Request) -> Response:
        """For a token that is none of ours; says nothing about who subscribes."""
        return self._pages.for_visitor(request).page("leave_unknown.html.j2", status=404, private=True)

    def refused(self, request: Request) -> Response:
        """For a link that proves too little for what it asks: a key that has leaked lets readers leave, no more."""
        if self._readers.leaving(request) is None:
            return self.unknown(request)
        return self._pages.for_visitor(request).page(
            "leave_only.html.j2", status=403, private=True, here=f"/u/{request.path_params['token']}"
        )

    def _about(self, request: Request) -> Response:
        """Where the links of a test mail lead: they have no token."""
        return self._pages.for_visitor(request).page("leave_about.html.j2", private=True)

    def _ask(self, request: Request) -> Response:
        """GET and HEAD change nothing: mail scanners follow every link."""
        link = self._readers.leaving(request)
        if link is None:
            return self.unknown(request)
        try:
            reader = self._own_page.linked(link, self._now())
        except NotFoundError:
            return self.gone(request, None, status=410)
        except StoreError:  # the question can be put all the same
            pages = self._pages.for_visitor(request)
        else:
            if reader.subscriber.state == "unsubscribed":
                return self.gone(request, reader)
            pages = self._pages.spoken(reader.subscriber.language)
        token = request.path_params["token"]
        choice = f"/u/{token}{PREFERENCES}" if self._readers.of(request) is not None else ""
        return pages.page("leave.html.j2", private=True, here=f"/u/{token}", choice=choice)

    async def _leave(self, request: Request) -> Response:
        """Whatever the body's form, and whether or not it could be read: who posts to this address wants to leave."""
        link = await run_in_threadpool(self._readers.leaving, request)
        if link is None:
            return await run_in_threadpool(self.unknown, request)
        return await self._writers.insist(partial(self._let_go, request, link))

    def _let_go(self, request: Request, link: ReaderLink) -> Response:
        try:
            reader = self._own_page.linked(link, self._now())
            if reader.erased:
                return self.gone(request, reader)
            seen = _by_browser(request)
            left = self._own_page.leave(reader.subscriber.id, self._now(), seen=seen)
            if not seen:
                self._wake()
            return self.gone(request, left)
        except NotFoundError:  # gone is gone
            return self.gone(request, None)

    async def _back(self, request: Request) -> Response:
        link = await run_in_threadpool(self._readers.of, request)
        if link is None:
            return await run_in_threadpool(self.refused, request)
        form = await read_form(request)
        return await self._writers.run(partial(self._return, request, link, form.get("cadence", [])))

    def _return(self, request: Request, link: ReaderLink, wanted: Sequence[str]) -> Response:
        cadence = next((each for each in self._cadences if [each] == list(wanted)), None)
        if wanted and cadence is None:
            raise HTTPException(400)
        try:
            reader = self._own_page.linked(link, self._now())
            if reader.erased:
                return self.gone(request, reader)
            came = self._own_page.come_back(reader.subscriber.id, self._now(), cadence=cadence)
            who = self._own_page.linked(link, self._now()).subscriber
        except NotFoundError:
            return self.gone(request, None, status=410)
        pages = self._pages.spoken(who.language)
        if not came:
            return pages.page("back_closed.html.j2", status=410, private=True)
        return pages.page(
            "back.html.j2", private=True, choice=f"/u/{request.path_params['token']}{PREFERENCES}",
            rhythm=pages.phrases.rhythms[who.cadence], about=about(pages.phrases, who.topics, self._labels),
        )


def _by_browser(request: Request) -> bool:
    """Whether somebody sees the answer: a browser names a POST's origin (Fetch §3.2), a mail program's button none."""
    return "origin" in request.headers
