"""Where another site's own form posts to: JSON in, JSON out, the same answer for whoever it is about.

    POST /api/subscribe {email, source, variant, path, website} ─▶ {success, source, variant, path} | {error}
    OPTIONS ─▶ the browser's question whether that site may (web.allow_origins; Fetch standard §3.2)
"""

import datetime as dt
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from milepost.errors import BusyError, InputError
from milepost.settings import WebSettings
from pipeline.sign_up import Asked, Proof
from web.ports import SigningUp
from web.public.forms import host_of, read_body
from web.public.proof_of_work import FIELD, ProofOfWork
from web.writing import RETRY_SECONDS, Writers

_log = logging.getLogger(__name__)
PATH = "/api/subscribe"
_LONGEST = 16 * 1024  # bytes of a body
_NO_JSON, _NO_EMAIL = "A valid JSON body is required", "Email is required"
_NO_ADDRESS, _CLOSED = "A valid email is required", "Newsletter is not configured"
_NO_PROOF = "A valid proof of work is required"
_FAILED, _FOREIGN = "Failed to subscribe", "This origin is not allowed"
_PREFLIGHT_S = 600


def _origins(web: WebSettings) -> set[str]:
    """The sites whose pages may ask: ours, and those of the settings."""
    own = urlsplit(web.base_url)
    return {*web.allow_origins, f"{own.scheme}://{own.netloc}".lower()}


def cors(web: WebSettings, method: str) -> Middleware:
    """Lets pages of those sites use a route by `method`."""
    return Middleware(
        CORSMiddleware, allow_origins=sorted(_origins(web)), allow_methods=[method], allow_headers=["Content-Type"],
        max_age=_PREFLIGHT_S,
    )


class SubscribeApi:
    """Its route."""

    def __init__(
        self, signing_up: SigningUp, *, writers: Writers, web: WebSettings, now: Callable[[], dt.datetime],
        wake: Callable[[], None], proofs: ProofOfWork,
    ) -> None:
        self._proofs = proofs if web.proof_of_work == "everywhere" else None
        self._signing_up, self._writers, self._now, self._wake = signing_up, writers, now, wake
        self._open = web.signup
        self._web, self._origins = web, _origins(web)

    def routes(self) -> list[Route]:
        return [Route(PATH, self._answer, methods=["POST", "OPTIONS"], middleware=[cors(self._web, "POST")])]

    async def _answer(self, request: Request) -> Response:
        if request.method == "OPTIONS":  # no preflight: that one is answered before it comes here
            return Response(status_code=204, headers={"Allow": "OPTIONS, POST"})
        try:
            origin = request.headers.get("origin")
            if origin is not None and origin not in self._origins:  # a browser can post without a preflight, too
                return _say(403, error=_FOREIGN)
            return await self._subscribe(request)
        except HTTPException as error:
            answer = _say(error.status_code, error=_NO_JSON)
            answer.headers.update(error.headers or {})
            return answer
        except BusyError as error:
            _log.error("a sign-up can't be taken now: %s", error)
            answer = _say(503, error=_FAILED)
            answer.headers["Retry-After"] = str(RETRY_SECONDS)
            return answer
        except Exception:  # noqa: BLE001 (whatever it is, the site's form has a word for it)
            _log.exception("a sign-up failed")
            return _say(500, error=_FAILED)

    async def _subscribe(self, request: Request) -> Response:
        try:
            body = json.loads((await read_body(request, _LONGEST)).decode("utf-8"))
        except (ValueError, RecursionError):
            return _say(400, error=_NO_JSON)
        fields: Mapping[str, Any] = body if isinstance(body, dict) else {}
        email, website = _text(fields, "email"), _text(fields, "website")
        if email is None:
            return _say(400, error=_NO_EMAIL)
        if website is not None:  # a field that no reader sees
            return _say(200, success=True)
        said = {"source": _text(fields, "source") or "site"} | {
            name: text for name in ("variant", "path") if (text := _text(fields, name)) is not None
        }
        asked = Asked(
            address=email, source=said["source"], variant=said.get("variant"), path=said.get("path"),
            host=host_of(request),
        )
        try:
            if not self._open:
                self._signing_up.check(asked.address)
                return _say(503, error=_CLOSED)
            if self._proofs is not None:
                self._signing_up.check(asked.address)
                proof = self._proofs.check(_text(fields, FIELD) or "", self._now())
                if not isinstance(proof, Proof):
                    await self._writers.run(partial(self._signing_up.turn_away, proof, self._now()))
                    return _say(400, error=_NO_PROOF)
                asked = replace(asked, proof=proof)
            taken = await self._writers.run(partial(self._signing_up.ask, asked, self._now()))
        except InputError:
            return _say(400, error=_NO_ADDRESS)
        if not taken:
            return _say(400, error=_NO_PROOF)
        self._wake()
        return _say(200, success=True, **said)


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    """A field's text without the space around it; None for a blank one, and for what is no text."""
    value = fields.get(name)
    return (value.strip() or None) if isinstance(value, str) else None


def _say(status: int, **said: object) -> Response:
    """In ASCII: what came in as half a surrogate pair can go out again."""
    return Response(
        json.dumps(said), status_code=status, media_type="application/json",
        headers={"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"},
    )
