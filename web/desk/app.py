"""The desk as an application: its parts, its navigation, and the pages for what can't be answered."""

import logging

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from milepost.errors import MilepostError
from web.api.app import BASE as API
from web.api.app import operators_api
from web.app import Headers, Modest
from web.desk.addresses import LetterPages, SuppressionPages
from web.desk.desk import Desk, Part
from web.desk.issues import IssuePages
from web.desk.milestones import MilestonePages
from web.desk.operators import OperatorPages
from web.desk.previews import Previews
from web.desk.readers import ReaderPages
from web.desk.sign_in import SignInPages
from web.desk.sources import SourcePages
from web.desk.system import HealthPages, LogPages, SettingsPages
from web.desk.trials import TrialPages
from web.desk.waiting import WaitingPages

_log = logging.getLogger(__name__)
_SENTENCES = {
    400: "What was sent can't be read.", 403: "This form was sent by another site's page, and nothing was done.",
    404: "There is no such page.", 405: "This page takes no such request.",
    408: "The form did not come in time, and nothing was done.", 413: "That is too long, and nothing was done.",
}


def desk_app(desk: Desk) -> ASGIApp:
    """All of the desk, in the order of its navigation; with the readers' protective headers around it."""
    parts: list[Part] = [
        WaitingPages(desk), IssuePages(desk), Previews(desk), SourcePages(desk), TrialPages(desk), MilestonePages(desk),
        ReaderPages(desk), SuppressionPages(desk), LetterPages(desk), LogPages(desk), HealthPages(desk),
        SettingsPages(desk), OperatorPages(desk), SignInPages(desk),
    ]
    desk.sections += [part.section for part in parts if part.section is not None]
    routes: list[BaseRoute] = [route for part in parts for route in part.routes()]

    async def home(_: Request) -> Response:
        return RedirectResponse(f"{desk.looks.root}/desk", 303)

    async def asset(request: Request) -> Response:
        return desk.looks.asset(request)

    routes += [
        Mount(API, app=operators_api(
            desk.settings, desk.database, writers=desk.writers, now=desk.now, standing=desk.standing)),
        Route("/", home, methods=["GET"]),
        Route("/desk/assets/{stamp}/{name}", asset, methods=["GET"]),
    ]

    def wrong(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 400
        page = desk.render("wrong.html.j2", visit=None, title="That can't be answered", status=status,
                           sentence=_SENTENCES.get(status, "That can't be answered."))
        if isinstance(error, HTTPException) and error.headers:
            page.headers.update(error.headers)
        return page

    def unable(_: Request, error: Exception) -> Response:
        assert isinstance(error, MilepostError)  # noqa: S101 (what it is registered for)
        return desk.refused(error, None)

    def broken(_: Request, __: Exception) -> Response:
        """For a bug; the server logs it."""
        return desk.render("wrong.html.j2", visit=None, title="Something broke", status=500,
                           sentence="Something broke on our side; the server's log says what. Nothing else was done.")

    app = Starlette(routes=routes, exception_handlers={HTTPException: wrong, MilepostError: unable, Exception: broken})
    app.router.redirect_slashes = False
    return Headers(Modest(app))
