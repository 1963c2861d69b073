"""Signing in and out, the link for the first time, and what one changes of one's own: password, codes, sessions."""

import hmac
import secrets
from collections.abc import Callable, Sequence

import segno
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from milepost.errors import ForbiddenError, InputError, MilepostError
from pipeline.operators.passwords import SHORTEST, enrolment, new_secret
from pipeline.operators.sign_in import SignedIn
from web.desk.desk import Desk, Section
from web.desk.visits import Form, Visit
from web.public.forms import host_of, read_form

_BEFORE = "milepost-desk-form"  # the cookie of a form that is sent before anybody is signed in


class SignInPages:
    """Their routes."""

    section: Section | None = None

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._cookie = f"__Host-{_BEFORE}" if desk.cookie.startswith("__Host-") else _BEFORE

    def routes(self) -> Sequence[Route]:
        """In the order they are tried."""
        desk = self._desk
        return [
            Route("/desk/sign-in", self.ask, methods=["GET"]), Route("/desk/sign-in", self.sign_in, methods=["POST"]),
            Route("/desk/link/{link}", self.ask_password, methods=["GET"]),
            Route("/desk/link/{link}", self.set_password, methods=["POST"]),
            Route("/desk/sign-out", self.sign_out, methods=["POST"]),
            desk.page("/desk/me", self.own),
            desk.act("/desk/me/password", "self.password", self.change_password),
            desk.act("/desk/me/codes", "self.totp", self.codes),
            desk.act("/desk/me/elsewhere", "self.sign-out", self.elsewhere),
        ]

    # --- before ------------------------------------------------------------------------------------------------------

    async def ask(self, request: Request) -> Response:
        """The form."""
        if self._desk.settings.desk.trusted_header is not None:
            return self._desk.go("/desk")
        return await self._form(request, to=_inside(request.query_params.get("next", "")))

    async def sign_in(self, request: Request) -> Response:
        """Check what it says."""
        form = await self._own_form(request)
        if form is None or self._desk.settings.desk.trusted_header is not None:
            return await self._form(request, said="The page was too old. Try again.", status=403)
        to = _inside(form.text("next"))
        try:
            made = await self._made(lambda: self._desk.sign_in.by_password(
                form.text("name"), form["password"][0] if "password" in form else "", form.text("code"),
                host=host_of(request), instead_of=self._desk.token(request),
            ))
        except (InputError, ForbiddenError) as error:
            status = 429 if isinstance(error, ForbiddenError) else 403
            return await self._form(request, said=_sentence(error), status=status, to=to, name=form.text("name"))
        except MilepostError as error:
            return await run_in_threadpool(self._desk.refused, error, None)
        return self._desk.go(to or "/desk", signed_in=made)

    async def ask_password(self, request: Request) -> Response:
        """The page of a link; looking at it uses nothing up."""
        link = str(request.path_params["link"])
        who = await run_in_threadpool(self._desk.sign_in.linked, link)
        if who is None:
            return await self._nowhere()
        return await self._form(request, template="link.html.j2", title="Your password", name=who.name, link=link)

    async def set_password(self, request: Request) -> Response:
        """Use it."""
        form, link = await self._own_form(request), str(request.path_params["link"])
        who = await run_in_threadpool(self._desk.sign_in.linked, link)
        if who is None:
            return await self._nowhere()
        if form is None:
            return await self._form(request, template="link.html.j2", title="Your password", name=who.name, link=link,
                              said="The page was too old. Try again.", status=403)
        try:
            made = await self._made(lambda: self._desk.sign_in.by_link(
                link, _twice(form), instead_of=self._desk.token(request)))
        except InputError as error:
            return await self._form(request, template="link.html.j2", title="Your password", name=who.name, link=link,
                              said=_sentence(error), status=400)
        except MilepostError as error:
            return await run_in_threadpool(self._desk.refused, error, None)
        return self._desk.go("/desk", signed_in=made)

    # --- after -------------------------------------------------------------------------------------------------------

    async def sign_out(self, request: Request) -> Response:
        """End the session; a page of ours asks for it, no proof is needed to lose a right."""
        self._desk.require_own(request)
        token = self._desk.token(request)
        if token is not None:
            await self._desk.writers.run(lambda: self._desk.sign_in.sign_out(token))
        return self._desk.forget(self._desk.go("/desk/sign-in"))

    def own(self, visit: Visit) -> Response:
        """What is one's own."""
        secret, who = new_secret(), visit.session.operator
        address = enrolment(secret, who.name, f"{self._desk.settings.newsletter.name} desk")
        picture = segno.make(address, error="m").svg_data_uri(scale=4, border=3, dark="#000", light="#fff")
        return visit.page(
            "me.html.j2", title=who.name, who=who, secret=secret, address=address, picture=picture, shortest=SHORTEST,
            elsewhere=self._desk.sign_in.sessions(who) - 1,
            by_proxy=self._desk.settings.desk.trusted_header is not None,
        )

    def change_password(self, visit: Visit, form: Form) -> tuple[str, SignedIn]:
        """Another password; the session that asked goes on under a new cookie, all others end."""
        old = form["old"][0] if "old" in form else ""
        return "/desk/me", self._desk.sign_in.change_password(
            visit.session, old, _twice(form), by=visit.actor, host=visit.host)

    def codes(self, visit: Visit, form: Form) -> str:
        """Ask for codes from now on, or for none."""
        password = form["password"][0] if "password" in form else ""
        if form.text("secret"):
            self._desk.sign_in.ask_for_codes(
                visit.session, form.text("secret"), form.text("code"), password, by=visit.actor, host=visit.host)
        else:
            self._desk.sign_in.ask_for_no_codes(visit.session, password, by=visit.actor, host=visit.host)
        return "/desk/me"

    def elsewhere(self, visit: Visit, _: Form) -> str:
        """Sign out everywhere else."""
        self._desk.sign_in.sign_out_elsewhere(visit.session, visit.token, by=visit.actor)
        return "/desk/me"

    # -----------------------------------------------------------------------------------------------------------------

    async def _made(self, do: Callable[[], SignedIn]) -> SignedIn:
        return await self._desk.writers.run(do)

    async def _form(
        self, request: Request, *, template: str = "sign_in.html.j2", title: str = "Sign in", said: str = "",
        status: int = 200, to: str = "", name: str = "", link: str = "",
    ) -> Response:
        """A form that only this browser can send: it shows what its cookie says (a “double submit”)."""
        shown = request.cookies.get(self._cookie) or secrets.token_urlsafe(24)
        page = await run_in_threadpool(
            self._desk.render, template, visit=None, title=title, status=status, csrf=shown, said=said, to=to,
            name=name, link=link, shortest=SHORTEST,
        )
        page.set_cookie(self._cookie, shown, path="/", httponly=True, samesite="strict",
                        secure=self._cookie != _BEFORE)
        return page

    async def _nowhere(self) -> Response:
        return await run_in_threadpool(
            self._desk.render, "link_unknown.html.j2", visit=None, title="This link leads nowhere", status=404
        )

    async def _own_form(self, request: Request) -> Form | None:
        """What our own form sent; None where it was not this browser's. Raises HTTPException."""
        self._desk.require_own(request)
        form, kept = Form(await read_form(request)), request.cookies.get(self._cookie, "")
        same = hmac.compare_digest(form.text("csrf").encode("utf-8", "replace"), kept.encode("utf-8", "replace"))
        return form if kept and same else None


def _twice(form: Form) -> str:
    """A new password, typed twice; raises InputError."""
    first, second = (form[name][0] if name in form else "" for name in ("password", "again"))
    if first != second:
        raise InputError("the two passwords differ", hint="Type the same one twice.")
    return first


def _inside(path: str) -> str:
    """A page of the desk to go on to; "" for anything else."""
    fits = path == "/desk" or path.startswith("/desk/")
    return path if fits and path.isprintable() and "\\" not in path and len(path) < 500 else ""


def _sentence(error: MilepostError) -> str:
    text = f"{error.what[:1].upper()}{error.what[1:]}."
    return f"{text} {error.hint}" if error.hint else text
