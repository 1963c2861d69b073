"""What machines ask of the process: is it alive, can it work, and how does everything stand.

    GET /health ─▶ 200 while the process answers      GET /ready ─▶ 200, or 503 while the database can't be used
    GET /metrics ─▶ gauges, for who shows web.metrics_token, or asks on this machine with no proxy between
"""

import datetime as dt
import hmac
import ipaddress
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from milepost.settings import WebSettings
from web.ports import Health
from web.public.forms import host_of

KEPT_S = 10.0  # a scrape after a scrape costs the database nothing
_SHARE = 20  # … and one that took long is kept that many times as long
_BY_A_PROXY = ("x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "via")
Answer = TypeVar("Answer")
_FOR_NOBODY = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex"}


class HealthPages:
    """Its routes."""

    def __init__(self, health: Health, web: WebSettings, *, now: Callable[[], dt.datetime]) -> None:
        self._health, self._now = health, now
        given = (web.metrics_token, web.previous_metrics_token)
        self._tokens = [token.get_secret_value().encode() for token in given if token is not None]
        self._metrics = _Kept(lambda accept: health.metrics(accept, now()))
        self._readiness = _Kept(lambda _: health.ready())

    def routes(self) -> Sequence[Route]:
        """In the order they are tried."""
        return [
            Route("/health", self.alive, methods=["GET"]), Route("/ready", self.ready, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
        ]

    async def alive(self, _: Request) -> Response:
        """Touches nothing: a database that is down is no reason to kill the process."""
        return PlainTextResponse("alive\n", headers=_FOR_NOBODY)

    async def ready(self, request: Request) -> Response:
        """Asks the database itself; who may not know gets the answer without its reasons."""
        found = await run_in_threadpool(self._readiness, "")
        told: dict[str, object] = {"ready": found.why_not is None}
        if self._may_know(request):
            told |= {
                "why_not": found.why_not, "revision": found.revision, "restored": found.restored,
                "last_looks": {key: at and at.isoformat() for key, at in found.last_looks.items()},
            }
        return JSONResponse(told, 200 if found.why_not is None else 503, headers=_FOR_NOBODY)

    async def metrics(self, request: Request) -> Response:
        """The gauges."""
        if not self._may_know(request):
            said = "For this machine alone, or with web.metrics_token: Authorization: Bearer …\n"
            return PlainTextResponse(said, 401 if self._tokens else 403, headers=_FOR_NOBODY | (
                {"WWW-Authenticate": "Bearer"} if self._tokens else {}
            ))
        body, content_type = await run_in_threadpool(self._metrics, request.headers.get("accept", "")[:200])
        return Response(body, headers=_FOR_NOBODY | {"Content-Type": content_type})

    def _may_know(self, request: Request) -> bool:
        if self._tokens:
            scheme, _, shown = request.headers.get("authorization", "").partition(" ")
            same = [hmac.compare_digest(shown.strip().encode(), token) for token in self._tokens]
            return scheme.lower() == "bearer" and any(same)
        if any(name in request.headers for name in _BY_A_PROXY):
            return False  # it connects from here, and whoever asked may be anywhere
        asked = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        return _loopback(host_of(request) or "") and (asked == "localhost" or _loopback(asked))


class _Kept(Generic[Answer]):
    """One answer at a time, kept for a moment; those who ask meanwhile wait for it."""

    def __init__(self, ask: Callable[[str], Answer]) -> None:
        self._ask, self._lock = ask, threading.Lock()
        self._kept: tuple[float, str, Answer] | None = None

    def __call__(self, key: str) -> Answer:
        with self._lock:
            began = time.monotonic()
            if self._kept is not None and self._kept[1] == key and began < self._kept[0]:
                return self._kept[2]
            answer = self._ask(key)
            ended = time.monotonic()
            self._kept = (ended + max(KEPT_S, _SHARE * (ended - began)), key, answer)
            return answer


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
