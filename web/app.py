"""The web application: a reader's way to read and to leave, and nothing that needs a login.

    GET /  /issues  /issues/{n}  /feed.atom  /feed.json  /sitemap.xml ─▶ archive
    GET, POST /u/{token} ─▶ unsubscribe        GET, POST /u/{token}/preferences ─▶ preferences
"""

import datetime as dt
import logging
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from milepost.errors import MilepostError
from milepost.settings import Settings
from web.pages import Pages
from web.ports import Issues, Subscribers, Topics
from web.public.archive import Archive
from web.public.preferences import Preferences
from web.public.readers import Readers
from web.public.unsubscribe import Unsubscribe

_log = logging.getLogger(__name__)
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
    subscribers: Subscribers,
    topics: Topics,
    settings: Settings,
    key: str | bytes,
    list_id: str,
    now: Callable[[], dt.datetime],
) -> Starlette:
    """The ASGI application. `key` signs the unsubscribe tokens, `list_id` is the list they must name.

    Raises SettingsError when the key is too short.
    """
    pages = Pages(settings.newsletter, settings.web)
    archive = Archive(pages, issues, settings)
    readers = Readers(key, list_id)
    leaving = Unsubscribe(pages, subscribers, readers=readers, now=now)
    choosing = Preferences(pages, subscribers, topics, readers=readers, cadences=settings.newsletter.cadences)

    def refused(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        page = pages.page("missing.html.j2" if status == 404 else "refused.html.j2", status=status)
        if isinstance(error, HTTPException) and error.headers:
            page.headers.update(error.headers)
        return page

    def unable(request: Request, error: Exception) -> Response:
        _log.error("%s can't be answered: %s", request.url.path.split("/")[1] or "/", error)
        page = pages.page("unable.html.j2", status=503)
        page.headers["Retry-After"] = "60"
        return page

    app = Starlette(
        routes=[*archive.routes(), *leaving.routes(), *choosing.routes()],
        middleware=[Middleware(_Headers)],
        exception_handlers={HTTPException: refused, MilepostError: unable},
    )
    app.router.redirect_slashes = False
    return app


class _Headers:
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
