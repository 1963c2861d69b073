"""What every part of the desk stands on: who asks, whether they may, and how they are answered.

    GET  ─▶ session? ─ no ─▶ sign in        ─▶ role? ─ no ─▶ 403 in a sentence  ─▶ a page
    POST ─▶ from our own page? ─▶ session? ─▶ its token? ─▶ (role? kept) ─▶ 303 to a page that says it
"""

import asyncio
import datetime as dt
import hmac
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from milepost.errors import (
    ForbiddenError,
    InputError,
    MilepostError,
)
from milepost.records import ROLES, Role
from milepost.settings import Settings
from pipeline.operate.standing import LatelyStanding
from pipeline.operators import acts
from pipeline.operators.accounts import Accounts, desk_url
from pipeline.operators.care import Care
from pipeline.operators.decisions import Decisions
from pipeline.operators.sign_in import SignedIn, SignIn
from pipeline.several import Progress
from pipeline.upkeep import Database
from web.desk import long_work
from web.desk.looks import HEADERS, Looks
from web.desk.visits import Form, Visit
from web.proxies import BY_OURS
from web.public.forms import LONGEST, read_form
from web.refusals import Statuses, status_of
from web.writing import RETRY_SECONDS, Writers

_log = logging.getLogger(__name__)
Answer = TypeVar("Answer")
Page = Callable[[Visit], Response]
Streamed = Callable[[Visit], Awaitable[Response]]
Done = Callable[[Visit, Form], str | tuple[str, SignedIn]]  # the path to go on to, and perhaps a new session

_OWN: Statuses = ((InputError, 400),)


class Part(Protocol):
    """A part of the desk: an entry of the navigation, or none, and its routes."""

    @property
    def section(self) -> "Section | None": ...

    def routes(self) -> Sequence[Route]:
        """In the order they are tried."""


class Section:
    """An entry of the navigation."""

    def __init__(self, words: str, path: str, *, role: Role = "viewer") -> None:
        self.words, self.path, self.role = words, path, role


class Desk:
    """Built once; the parts of the desk share it."""

    def __init__(
        self, settings: Settings, database: Database, *, now: Callable[[], dt.datetime], writers: Writers | None = None,
        sign_in: SignIn | None = None,
    ) -> None:
        self.settings, self.database, self.now = settings, database, now
        self.looks = Looks(settings)
        self.writers = writers or Writers()
        self.accounts = Accounts(settings, database, now=now)
        self.decisions = Decisions(settings, database, now=now)
        self.care = Care(database, now=now)
        self.standing = LatelyStanding(settings, database)
        self.sign_in = sign_in or SignIn(settings, database, now=now)
        self.sections: list[Section] = []
        self.pages: list[tuple[str, Page]] = []  # what answers at each address, for who makes them ready
        own = urlsplit(desk_url(settings))
        self._origin = f"{own.scheme}://{own.netloc}"
        self._secure = own.scheme == "https"
        # a name that begins like this is taken from https alone, for this host alone (RFC 6265bis §4.1.3.2)
        self.cookie = "__Host-milepost-desk" if self._secure else "milepost-desk"

    # --- routes -----------------------------------------------------------------------------------------------------

    def page(self, path: str, read: Page, *, role: Role = "viewer") -> Route:
        """A page that whoever has that role may see."""
        self.pages.append((path, read))

        async def streamed(visit: Visit) -> Response:
            return await run_in_threadpool(read, visit)

        return self.streamed(path, streamed, role=role)

    def streamed(self, path: str, answer: Streamed, *, role: Role = "viewer") -> Route:
        """The same for an answer that the event loop makes."""

        async def get(request: Request) -> Response:
            found = await self._visit(request)
            if isinstance(found, Response):
                return found
            try:
                if ROLES.index(found.role) < ROLES.index(role):
                    raise ForbiddenError(f"{found.session.operator.name} is {found.role}, and this page is for {role}s",
                                         hint="Ask an admin; `milepost operators role` changes it.")
                return await answer(found)
            except MilepostError as error:
                return await run_in_threadpool(self.refused, error, found)

        return Route(path, get, methods=["GET"])

    def act(self, path: str, what: str, do: Done, *, longest: int = LONGEST) -> Route:
        """Something to be done by a form; `what`: its name in `pipeline.operators.acts.NEEDS`."""

        async def go(visit: Visit, done: str | tuple[str, SignedIn]) -> Response:
            to, signed_in = (done, None) if isinstance(done, str) else done
            if visit.kept:  # the page tells of it
                to += f"{'&' if '?' in to else '?'}did={visit.kept[-1]}"
            return self.go(to, signed_in=signed_in)

        return self._post(path, what, self._thread(do), go, longest=longest)

    def shown(
        self, path: str, what: str, do: Callable[[Visit, Form], Response], *, longest: int = LONGEST,
        threads: Writers | None = None,
    ) -> Route:
        """The same, where what came of it can be shown only once, by the very answer; `threads`: for what takes long.
        """

        async def show(_: Visit, done: Response) -> Response:
            return done

        return self._post(path, what, self._thread(do, threads), show, longest=longest)

    def shown_as_it_goes(
        self, path: str, what: str, do: Callable[[Visit, Form, Progress], Response], *, title: str, says: str,
        longest: int = LONGEST,
    ) -> Route:
        """The same for what may take long, and says how far it is; see `web.desk.long_work`."""

        async def run(visit: Visit, form: Form) -> Response:
            steps = long_work.Steps()
            doing = asyncio.ensure_future(self.writers.run(lambda: do(visit, form, steps.note)))
            doing.add_done_callback(lambda _: self.standing.forget())
            return await long_work.answer(
                doing, steps, refused=lambda error: self.refused(error, visit),
                begun=lambda: bytes(self.render("working.html.j2", visit=visit, title=title, says=says).body).decode(),
            )

        async def show(_: Visit, done: Response) -> Response:
            return done

        return self._post(path, what, run, show, longest=longest)

    def _thread(
        self, do: Callable[[Visit, Form], Answer], threads: Writers | None = None
    ) -> Callable[[Visit, Form], Awaitable[Answer]]:
        return lambda visit, form: (threads or self.writers).run(lambda: do(visit, form))

    def _post(
        self, path: str, what: str, run: Callable[[Visit, Form], Awaitable[Answer]],
        answer: Callable[[Visit, Answer], Awaitable[Response]], *, longest: int,
    ) -> Route:
        if what not in acts.NEEDS:
            raise ValueError(f"nobody may do {what}")

        async def post(request: Request) -> Response:
            self.require_own(request)
            found = await self._visit(request)
            if isinstance(found, Response):  # nobody's form is read: some may be long
                return await run_in_threadpool(self.signed_out, request)
            try:
                acts.require(found.actor, what)
            except ForbiddenError as error:
                return await run_in_threadpool(self.refused, error, found)
            form = Form(await read_form(request, longest))
            if not hmac.compare_digest(form.text("csrf").encode("utf-8", "replace"), found.csrf.encode()):
                return await run_in_threadpool(self.refused, ForbiddenError(
                    "this page was opened before you signed in, and nothing was done",
                    hint="Go back, reload the page and do it again.",
                ), found)
            try:
                done = await run(found, form)
            except MilepostError as error:
                return await run_in_threadpool(self.refused, error, found)
            finally:
                self.standing.forget()
            return await answer(found, done)

        return Route(path, post, methods=["POST"])

    # --- answers ----------------------------------------------------------------------------------------------------

    def render(self, template: str, *, visit: Visit | None, title: str, status: int = 200, **values: Any) -> Response:
        """A page; to who is not signed in one without navigation."""
        shown = [one for one in self.sections if visit and ROLES.index(visit.role) >= ROLES.index(one.role)]
        return self.looks.page(
            template, status=status, visit=visit, title=title, sections=shown,
            did=self._did(visit) if visit else None, **values,
        )

    def refused(self, error: MilepostError, visit: Visit | None) -> Response:
        """What can't be done, in its own words."""
        status = status_of(error, _OWN, 500)
        if status >= 500:
            _log.warning("the desk can't do it: %s", error)
        page = self.render("refused.html.j2", visit=visit, title=_TITLES.get(status, "That can't be done"),
                           status=status, error=error)
        if status == 503:
            page.headers["Retry-After"] = str(RETRY_SECONDS)
        return page

    def go(self, path: str, *, signed_in: SignedIn | None = None) -> Response:
        """On to a page of the desk (RFC 9110 §15.4.4), perhaps with a new session."""
        answer = RedirectResponse(f"{self.looks.root}{path}", status_code=303, headers=HEADERS)
        if signed_in is not None:
            self._keep(answer, signed_in.token)
        return answer

    def forget(self, answer: Response) -> Response:
        """The same, and the browser's cookie is gone."""
        answer.delete_cookie(self.cookie, path="/", secure=self._secure, httponly=True, samesite="strict")
        return answer

    def _keep(self, answer: Response, token: str) -> None:
        answer.set_cookie(self.cookie, token, path="/", secure=self._secure, httponly=True, samesite="strict")

    def _did(self, visit: Visit) -> acts.Act | None:
        """The act that brought them here, if it was theirs."""
        text = visit.asked("did")
        if not text.isascii() or not text.isdigit() or len(text) > 15:
            return None
        found = acts.latest(self.database, who=visit.session.operator.name, before=int(text) + 1, limit=1)
        return found[0] if found and found[0].id == int(text) else None

    # --- who asks ---------------------------------------------------------------------------------------------------

    def require_own(self, request: Request) -> None:
        """Raises HTTPException 403 for what another site's page sent (Fetch Metadata; RFC 6454)."""
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        if site not in (None, "same-origin", "none"):
            raise HTTPException(403)
        if origin is not None and origin != self._origin:
            named = urlsplit(origin)
            if named.scheme not in ("http", "https") or named.netloc != request.headers.get("host"):
                raise HTTPException(403)

    def token(self, request: Request) -> str | None:
        """What their cookie says."""
        return request.cookies.get(self.cookie) or None

    async def _visit(self, request: Request) -> Visit | Response:
        """Whose visit it is, or the way to sign in."""
        header = self.settings.desk.trusted_header
        if header is not None:
            return await self._by_proxy(request, header)
        token = self.token(request)
        session = await run_in_threadpool(self.sign_in.session, token) if token else None
        if session is not None and token is not None:
            return Visit(desk=self, request=request, session=session, token=token)
        if token is None and request.headers.get("sec-fetch-site") == "cross-site" and request.method == "GET":
            # A link in a mail: the cookie is strict and stays away from that first request; it comes with the next one.
            return await run_in_threadpool(self.looks.page, "again.html.j2", to=_path(request))
        to = "" if request.url.path in ("/desk", "/desk/") else f"?next={quote(_path(request))}"
        return self.go(f"/desk/sign-in{to}")

    async def _by_proxy(self, request: Request, header: str) -> Visit | Response:
        """Whom our proxy has signed in; their session only holds what forms have to show."""
        name = request.headers.get(header, "").strip()
        if not request.scope.get(BY_OURS) or not name or len(request.headers.getlist(header)) != 1:
            return await run_in_threadpool(self.refused, ForbiddenError(
                "nobody is signed in: the desk believes the proxy that web.trusted_proxies names, and its header alone",
                where=header, hint="Come by the proxy's address, and let it set the header.",
            ), None)
        token = self.token(request)
        session = await run_in_threadpool(self.sign_in.session, token) if token else None
        if session is not None and token is not None and session.operator.name == name.lower():
            return Visit(desk=self, request=request, session=session, token=token)
        try:
            made = await self.writers.run(lambda: self.sign_in.by_proxy(name, instead_of=token))
        except MilepostError as error:
            return await run_in_threadpool(self.refused, error, None)
        if request.method != "GET":
            return await run_in_threadpool(self.signed_out, request)
        return self.go(_path(request), signed_in=made)

    def signed_out(self, request: Request) -> Response:
        """What a form gets whose session is over."""
        return self.render("signed_out.html.j2", visit=None, title="You are signed out", status=401,
                           to=request.headers.get("referer", ""))


_TITLES = {
    400: "That is not right yet", 403: "You may not do that", 404: "There is no such thing here",
    409: "That changed meanwhile", 422: "It can't be done with what there is", 502: "The relay said no",
    503: "Not now",
}


def _path(request: Request) -> str:
    """The path and query that were asked for, without the part that a proxy put in front."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")

