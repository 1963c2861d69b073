"""The archive: every issue that was sealed, each on a page of its own that leaves nothing out."""

from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from milepost.errors import NotFoundError
from milepost.records import Issue, IssueState
from milepost.settings import Settings
from newsletter.compose import compose
from newsletter.phrases import ENGLISH, Phrases
from newsletter.view import Plan, issue_view
from web.pages import Pages
from web.ports import Issues

# A draft is nobody's business yet, a cancelled one no more; from the seal on a mail may point here.
SHOWN: tuple[IssueState, ...] = ("frozen", "sending", "paused", "complete", "needs_review")
_LATEST = 200  # issues on the index
_HIGHEST = 2**31 - 1  # a number that any database can be asked for


class Archive:
    """Its routes."""

    def __init__(self, pages: Pages, issues: Issues, settings: Settings, *, phrases: Phrases = ENGLISH) -> None:
        self._pages = pages
        self._issues = issues
        self._settings = settings
        self._phrases = phrases

    def routes(self) -> list[Route]:
        return [
            Route("/", self._index, methods=["GET"]),
            Route("/issues", self._index, methods=["GET"]),
            Route("/issues/{number:int}", self._issue, methods=["GET"]),
        ]

    def _index(self, _: Request) -> Response:
        rows = [
            {"number": issue.number, "subject": issue.subject, "day": self._day(issue)}
            for issue in self._issues.list(states=SHOWN, limit=_LATEST)
        ]
        return self._pages.page("issues.html.j2", issues=rows)

    def _issue(self, request: Request) -> Response:
        """Rendered from the records, not from the mail: what a long mail leaves out is here."""
        number: int = request.path_params["number"]
        try:
            issue = self._issues.get(min(number, _HIGHEST))
        except NotFoundError:
            return self._missing()
        if issue.state not in SHOWN or not issue.items:
            return self._missing()
        view = issue_view(
            compose(issue.items, phrases=self._phrases), number=issue.number, cadence=issue.cadence,
            now=issue.created_at, plan=Plan(full=len(issue.items), brief=0), placeholder="",
            newsletter=self._settings.newsletter, mail=self._settings.mail, web=self._settings.web,
            phrases=self._phrases,
        )
        return self._pages.page("issue.html.j2", issue=view, subject=issue.subject)

    def _missing(self) -> Response:
        return self._pages.page("missing.html.j2", status=404)

    def _day(self, issue: Issue) -> str:
        zone = ZoneInfo(self._settings.newsletter.timezone)
        return self._phrases.day(issue.created_at.astimezone(zone).date())
