"""The web application: a reader's way to read, to come and to leave, and nothing that needs a login.

    GET /  /issues  /issues/{n}  /feed.atom  /feed.json  /sitemap.xml … ─▶ archive      /timeline  /topics … ─▶ timeline
    GET /i/{name} ─▶ pictures
    GET, POST /u/{token} ─▶ unsubscribe        GET, POST /u/{token}/preferences ─▶ preferences
    GET, POST /u/{token}/pause, …/address, …/data, …/erase, /a/{name} ─▶ own_page
    GET, POST /subscribe, /c/{name} ─▶ subscribe        POST /api/subscribe ─▶ subscribe_api
    GET /health, /ready, /metrics ─▶ health        POST /hooks/{provider} ─▶ hooks

What can't be answered is a page too: 400, 404, 405, 408 and 413 for what was asked wrongly, 503 while the store can't
be had, 500 for a bug. All have the same protective headers.
"""

import datetime as dt
import logging
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from milepost.errors import MilepostError
from milepost.settings import Settings
from pipeline.link_keys import LinkKeys
from web.health import HealthPages
from web.hooks import Hooks
from web.kept import Kept
from web.pages import Pages
from web.ports import Freshness, Health, Issues, OwnPage, Pictures, Reports, SigningUp, Timeline, Topics
from web.public.archive import Archive
from web.public.own_page import OwnPages
from web.public.pictures import ServedPictures
from web.public.preferences import KeptTopics, Preferences
from web.public.proof_of_work import ProofOfWork
from web.public.readers import Readers
from web.public.subscribe import Subscribe
from web.public.subscribe_api import SubscribeApi
from web.public.timeline import TimelinePages
from web.public.unsubscribe import Unsubscribe
from web.writing import RETRY_SECONDS, Writers

_log = logging.getLogger(__name__)
MOST_HEADERS, LONGEST_HEAD = 100, 16 * 1024  # lines, bytes
_ALWAYS = {
    "Referrer-Policy": "no-referrer",  # the address of a way out is a key: no other site may see it
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def create_app(
    *,
    issues: Issues,
    own_page: OwnPage,
    topics: Topics,
    signing_up: SigningUp,
    settings: Settings,
    keys: Callable[[], LinkKeys],
    list_id: str,
    now: Callable[[], dt.datetime],
    pictures: Pictures | None = None,
    writers: Writers | None = None,
    wake: Callable[[], None] = lambda: None,
    lifespan: Callable[[Any], AbstractAsyncContextManager[None]] | None = None,
    timeline: Timeline | None = None,
    health: Health | None = None,
    reports: Reports | None = None,
    freshness: Freshness | None = None,
) -> ASGIApp:
    """The ASGI application. One of `keys` signed an unsubscribe token, `list_id` is the list it must name.

    `writers`: the threads of what writes, the usual ones unless told otherwise. `wake`: called after each
    sign-up, so that its letter goes out. `lifespan`: what is open while the server runs. `timeline`: without it there
    is none. `health`: without it no machine is told how it is. `reports`: without it no
    provider posts bounces. `freshness`: public pages are kept as long as it stays the same; without it each is made
    anew.

    Raises SettingsError when a key is too short.
    """
    if timeline is None:
        settings = settings.model_copy(update={"web": settings.web.model_copy(update={"timeline": "off"})})
    pages = Pages(settings.newsletter, settings.web)
    dated = TimelinePages(pages, timeline, settings) if timeline is not None else None
    archive = Archive(pages, issues, settings, dated)
    readers = Readers(keys, list_id)
    writers = writers or Writers()
    kept, cadences = KeptTopics(topics, labels=settings.newsletter.labels), settings.newsletter.cadences
    leaving = Unsubscribe(
        pages, own_page, readers=readers, writers=writers, cadences=cadences, now=now, wake=wake,
        labels=settings.newsletter.labels,
    )
    choosing = Preferences(
        pages, own_page, kept, readers=readers, writers=writers, cadences=cadences,
        now=now, gone=leaving.gone, refused=leaving.refused,
    )
    own = OwnPages(pages, own_page, choosing, readers=readers, writers=writers, now=now, wake=wake)
    proofs = ProofOfWork(readers.signing_key)
    coming = Subscribe(
        pages, signing_up, kept, readers=readers, writers=writers, settings=settings, key=readers.signing_key, now=now,
        wake=wake, latest=archive.latest, proofs=proofs,
    )
    posting = SubscribeApi(signing_up, writers=writers, web=settings.web, now=now, wake=wake, proofs=proofs)
    routes = [
        *archive.routes(), *(dated.routes() if dated else []), *leaving.routes(), *choosing.routes(), *own.routes(),
        *coming.routes(), *posting.routes(),
    ]
    if health is not None:
        routes += HealthPages(health, settings.web, now=now).routes()
    if reports is not None:
        routes += Hooks(reports, writers=writers, now=now).routes()
    if pictures is not None:
        routes += ServedPictures(pages, pictures).routes()

    def refused(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 400
        spoken = pages.for_visitor(request)
        page = spoken.page("missing.html.j2" if status == 404 else "refused.html.j2", status=status)
        if isinstance(error, HTTPException) and error.headers:
            page.headers.update(error.headers)
        if status == 405:
            page.headers["Allow"] = _allowed(routes, request)
        return page

    def unable(request: Request, error: Exception) -> Response:
        _log.error("%s can't be answered: %s", request.url.path.split("/")[1] or "/", error)
        spoken = pages.for_visitor(request)
        page = spoken.page("unable.html.j2", status=503, hint=spoken.phrases.unable_hint, again=quote(request.url.path))
        page.headers["Retry-After"] = str(RETRY_SECONDS)
        return page

    def broken(request: Request, _: Exception) -> Response:
        """For a bug; the server logs it."""
        spoken = pages.for_visitor(request)
        return spoken.page("unable.html.j2", status=500, hint=spoken.phrases.broken_hint, again="")

    app = Starlette(
        routes=routes, exception_handlers={HTTPException: refused, MilepostError: unable, Exception: broken},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    guarded = Headers(Modest(_Tidied(app)))  # around everything, so that an answer to a bug has them too
    return Kept(guarded, freshness, timezone=settings.newsletter.timezone, now=now)


class Modest:
    """Refuses heads that are too long (RFC 6585 §5): the parser bounds only those that come in pieces."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app: ASGIApp = self._app
        if scope["type"] == "http":
            headers = scope["headers"]
            length = sum(len(name) + len(value) for name, value in headers) + len(scope.get("raw_path") or b"")
            if len(headers) > MOST_HEADERS or length > LONGEST_HEAD:
                app = PlainTextResponse("The head of this request is too long.", 431, {
                    "Connection": "close", "Cache-Control": "no-store",
                })
        await app(scope, receive, send)


class _Tidied:
    """Takes off what programs put behind a reader's link: a slash, a full stop, a bracket, a quote."""

    _JUNK = re.compile(r"(?<=[A-Za-z0-9_-])[^A-Za-z0-9_-]+\Z")

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(("/u/", "/a/")):
            tidy = self._JUNK.sub("", scope["path"])
            if tidy not in ("/u", "/a"):
                scope = dict(scope, path=tidy)
        await self._app(scope, receive, send)


def _allowed(routes: Sequence[Route], request: Request) -> str:
    """The methods of every route at the request's path (RFC 9110 §15.5.6), not only of the first one."""
    found = {method for route in routes if route.matches(request.scope)[0] is not Match.NONE
             for method in route.methods or ()}
    return ", ".join(sorted(found))


class Headers:
    """Puts the same protective headers on every answer, errors too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, guarded if scope["type"] == "http" else send)
