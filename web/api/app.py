"""`/api/v1`: an application of its own below the site's, so that every answer in it is JSON, the refusals too."""

import datetime as dt
import hashlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from milepost.errors import MilepostError, StoreError
from milepost.settings import Settings
from pipeline.operate.standing import LatelyStanding
from pipeline.operators.api_tokens import KnownTokens, Token
from pipeline.operators.care import Care
from pipeline.operators.decisions import Decisions
from pipeline.upkeep import Database
from web.api.acts import Acts
from web.api.endpoints import Call, Endpoint
from web.api.limits import Limit
from web.api.models import Sent
from web.api.openapi import document, starlette_path
from web.api.ports import Tokens
from web.api.problems import Problem, of_error, of_invalid
from web.api.reads import Reads
from web.public.forms import host_of, read_body
from web.writing import Writers

_log = logging.getLogger(__name__)
BASE = "/api/v1"
LONGEST = 64 * 1024  # bytes of a body
PER_MINUTE, GUESSES_PER_MINUTE = 600, 20  # requests of a token; tokens that are none, of a network
_PRIVATE = {
    "Cache-Control": "private, no-cache", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Vary": "Authorization",
}
_CHALLENGE = 'Bearer realm="milepost"'


def operators_api(
    settings: Settings, database: Database, *, writers: Writers, now: Callable[[], dt.datetime],
    clock: Callable[[], float] = time.monotonic, per_minute: int = PER_MINUTE, standing: LatelyStanding | None = None,
) -> Starlette:
    """The API over the open `database`, to be mounted at BASE; a token may ask so often `per_minute`.

    `standing`: what the desk shows too.
    """
    lately = standing or LatelyStanding(settings, database)
    reads = Reads(settings, database, lately)
    acts = Acts(database, reads, Decisions(settings, database, now=now), Care(database, now=now))
    return Api([*reads.endpoints(), *acts.endpoints()], KnownTokens(database), writers=writers, now=now, clock=clock,
               per_minute=per_minute, acted=lately.forget).application()


class _Number(Convertor[str]):
    """A row's key in an address; models say how large one may be."""

    regex = "[0-9]{1,20}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _Field(_Number):
    """A field's name in an address."""

    regex = "[a-z_]{1,40}"


register_url_convertor("number", _Number())
register_url_convertor("field", _Field())


class Api:
    """The application; `operators_api` makes it."""

    def __init__(
        self, endpoints: Sequence[Endpoint], tokens: Tokens, *, writers: Writers, now: Callable[[], dt.datetime],
        clock: Callable[[], float] = time.monotonic, per_minute: int = PER_MINUTE,
        acted: Callable[[], None] = lambda: None,
    ) -> None:
        self._tokens, self._writers, self._now, self._acted = tokens, writers, now, acted
        self._per_minute = per_minute
        self._asked, self._guessed = Limit(per_minute, 60.0, clock), Limit(GUESSES_PER_MINUTE, 60.0, clock)
        self.document = json.dumps(document(endpoints, BASE), ensure_ascii=False).encode()
        self._routes = [
            Route("/openapi.json", self._describe, methods=["GET"]),
            *(
                Route(starlette_path(one.path), partial(self._answer, one), methods=[one.verb], name=one.name)
                for one in endpoints
            ),
        ]

    def application(self) -> Starlette:
        """See `operators_api`."""
        app = Starlette(routes=self._routes, exception_handlers={
            Problem: _as_problem, MilepostError: _as_problem, HTTPException: self._refused, Exception: _broken,
        })
        app.router.redirect_slashes = False
        return app

    async def _describe(self, _: Request) -> Response:
        """For everybody: nothing in it is secret."""
        return Response(self.document, media_type="application/json", headers={"Cache-Control": "no-cache"})

    async def _answer(self, endpoint: Endpoint, request: Request) -> Response:
        token, now = await self._let_in(request), self._now()
        if endpoint.scope is not None and endpoint.scope not in token.scopes:
            challenge = f'{_CHALLENGE}, error="insufficient_scope", scope="{endpoint.scope}"'
            raise Problem(403, f"the token {token.name!r} has no scope {endpoint.scope}", where=endpoint.name,
                          hint="Make one that has it: `milepost tokens add NAME --scope …`.",
                          headers={"WWW-Authenticate": challenge})
        call = Call(
            token=token, now=now, path=_taken(endpoint.at, dict(request.path_params), "path"),
            query=_query(endpoint, request), body=await _body(endpoint, request),
        )
        if not endpoint.acts:
            return _found(request, _dumped(await run_in_threadpool(endpoint.run, call)))
        try:
            done = await self._writers.run(partial(_act, endpoint, call, request.headers.get("if-match")))
        finally:
            self._acted()
        return Response(done, media_type="application/json", headers=_PRIVATE | {"Cache-Control": "no-store"})

    async def _let_in(self, request: Request) -> Token:
        """Whose token it is; raises Problem 401 and 429."""
        if any(name in request.query_params for name in ("token", "access_token", "api_key")):
            raise Problem(401, "a token stands in the address, where every log keeps it",
                          hint="Revoke it, and show the next one in the Authorization header.",
                          headers={"WWW-Authenticate": _CHALLENGE})
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if not scheme:
            raise Problem(401, "there is no Authorization header",
                          hint="Authorization: Bearer TOKEN; `milepost tokens add NAME --scope read` makes one.",
                          headers={"WWW-Authenticate": _CHALLENGE})
        token = None
        if scheme.lower() == "bearer":
            token = await run_in_threadpool(self._tokens.known, shown.strip())
        why = "it is no token of ours" if token is None else token.why_not(self._now())
        if token is None or why is not None:
            # Those alone are counted: whoever shares a network with somebody who guesses is let in by a good one.
            if wait := self._guessed.take(host_of(request) or ""):
                raise Problem(429, "too many tokens that are none came from there", hint="Wait a minute.",
                              headers={"Retry-After": str(int(wait) + 1)})
            raise Problem(401, f"the token opens nothing: {why}", hint="`milepost tokens` lists those that do.",
                          headers={"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'})
        wait = self._asked.take(token.name)
        if wait:
            raise Problem(429, f"more than {self._per_minute} requests a minute", where=token.name,
                          hint="Ask more slowly.", headers={"Retry-After": str(int(wait) + 1)})
        try:
            await self._writers.run(partial(self._tokens.note_used, token, self._now()))
        except StoreError as error:  # nobody is kept from reading by what is only told of it
            _log.warning("that the token %s was used can't be kept: %s", token.name, error)
        return token

    def _refused(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 400
        headers = dict(getattr(error, "headers", None) or {})
        says = {404: "there is nothing at that address", 405: f"{request.method} is not among its methods",
                408: "the body did not come in time", 413: f"a body has {LONGEST} bytes at most"}
        if status == 405:
            headers["Allow"] = ", ".join(sorted({
                method for route in self._routes if route.matches(request.scope)[0] is not Match.NONE
                for method in route.methods or ()
            }))
        return Problem(status, says.get(status, "the request broke off"), headers=headers,
                       hint=f"See {BASE}/openapi.json for what there is.").response()


def _act(endpoint: Endpoint, call: Call, if_match: str | None) -> bytes:
    """In a writer's thread: the precondition (RFC 9110 §13.1.1), then the act."""
    if if_match is not None and endpoint.seen is None:
        raise Problem(412, "nothing there has an ETag that If-Match could be compared with", where=endpoint.name,
                      hint="Leave the header out.")
    if if_match is not None and endpoint.seen is not None and if_match.strip() != "*":
        today = _tag(_dumped(endpoint.seen(call)))
        if today not in (tag.strip() for tag in if_match.split(",")):
            raise Problem(412, "it is another by now than what you looked at", where=endpoint.name,
                          hint="Look at it again, then decide.", headers={"ETag": today})
    return _dumped(endpoint.run(call))


def _dumped(answer: BaseModel) -> bytes:
    return answer.model_dump_json().encode("utf-8", "backslashreplace")


def _tag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _found(request: Request, body: bytes) -> Response:
    tag = _tag(body)
    asked = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if request.method in ("GET", "HEAD"):
        if tag in asked or "*" in asked:
            return Response(status_code=304, headers=_PRIVATE | {"ETag": tag})
        return Response(body, media_type="application/json", headers=_PRIVATE | {"ETag": tag})
    return Response(body, media_type="application/json", headers=_PRIVATE | {"Cache-Control": "no-store"})


def _taken(model: type[Sent] | None, given: dict[str, str], place: str) -> BaseModel | None:
    if model is None:
        return None
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise of_invalid(error, place, 404 if place == "path" else 422) from None


def _query(endpoint: Endpoint, request: Request) -> BaseModel | None:
    pairs = request.query_params.multi_items()
    given = dict(pairs)
    if len(given) != len(pairs):
        raise Problem(422, "a parameter stands there twice", where="query", hint="Send each once.")
    if endpoint.query is None and given:
        raise Problem(422, f"there is no parameter {next(iter(given))[:40]!r}", where="query",
                      hint=f"See {BASE}/openapi.json for what there is.")
    return _taken(endpoint.query, given, "query")


async def _body(endpoint: Endpoint, request: Request) -> BaseModel | None:
    if endpoint.body is None:
        return None
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "the body has to be application/json", where="Content-Type")
    raw = await read_body(request, LONGEST)
    try:
        return endpoint.body.model_validate_json(raw, strict=True)
    except ValidationError as error:
        if any(one["type"] == "json_invalid" for one in error.errors(include_context=False, include_input=False)):
            raise Problem(400, "the body is no JSON", where="body") from None
        raise of_invalid(error, "body") from None


def _as_problem(_: Request, error: Exception) -> Response:
    problem = error if isinstance(error, Problem) else None
    if problem is None:
        assert isinstance(error, MilepostError)  # noqa: S101 (what it is registered for)
        problem = of_error(error)
        if problem.told.status >= 500:
            _log.error("the API can't answer: %s", error)
    return problem.response()


def _broken(_: Request, __: Exception) -> Response:
    """For a bug; the server logs it."""
    return Problem(500, "this can't be answered, and that is no fault of yours", hint="Look at the log.").response()
