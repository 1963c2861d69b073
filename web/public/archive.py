"""The archive: every issue that was sealed, each on a page of its own that leaves nothing out, and the feeds of them.

    GET /  /issues  /issues/{n}        GET /feed.atom  /feed.json  /sitemap.xml
"""

import re
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from milepost.dates import utc_now
from milepost.errors import NotFoundError
from milepost.records import Issue, IssueState
from milepost.settings import Settings
from newsletter.issue.compose import compose
from newsletter.issue.view import IssueView, Plan, day_in_words, issue_view
from web.pages import Pages
from web.ports import Issues
from web.public.feeds import FEEDS, Entry, etag

# A draft is nobody's business yet, a cancelled one no more; from the seal on a mail may point here.
SHOWN: tuple[IssueState, ...] = ("frozen", "sending", "paused", "complete", "needs_review")
LATEST = 200  # issues on the index
IN_FEEDS = 20  # issues whose whole content is in a feed
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)  # that any database can be asked for; there is no issue 0


class Archive:
    """Its routes, and the same pages as text for those who write them into files."""

    def __init__(self, pages: Pages, issues: Issues, settings: Settings) -> None:
        self._pages = pages
        self._issues = issues
        self._settings = settings

    def routes(self) -> list[Route]:
        return [
            Route("/", self._index, methods=["GET"]),
            Route("/issues", self._index, methods=["GET"]),
            Route("/issues/{number}", self._issue, methods=["GET"]),
            *(Route(f"/{name}", self._feed(name), methods=["GET"]) for name in FEEDS),
        ]

    def numbers(self) -> list[int]:
        """The issues that are shown, the latest first."""
        return [issue.number for issue in self._issues.list(states=SHOWN, public=True)]

    def index(self) -> str:
        """The page of all issues."""
        return self._pages.html("issues.html.j2", issues=self._rows())

    def issue(self, number: int) -> str:
        """The page of one; raises NotFoundError for one that isn't shown."""
        found = self._shown(number)
        return self._pages.html("issue.html.j2", **self._values(found))

    def proof(self, number: int) -> str:
        """The page of an issue that may still be a draft, for those who make it; raises NotFoundError."""
        return self._pages.html("issue.html.j2", **self._values(self._issues.get(number)))

    def feed(self, name: str) -> bytes:
        """A feed or the sitemap, by its file's name (web.feeds.FEEDS)."""
        listed = self._issues.list(states=SHOWN, public=True)
        entries = [self._entry(self._shown(issue.number)) for issue in listed[:IN_FEEDS]]
        return FEEDS[name].make(self._settings, listed, entries)

    def _index(self, _: Request) -> Response:
        return self._pages.page("issues.html.j2", issues=self._rows())

    def _issue(self, request: Request) -> Response:
        number: str = request.path_params["number"]
        try:
            found = self._shown(int(number) if _NUMBER.fullmatch(number) else 0)
        except NotFoundError:
            return self._pages.page("missing.html.j2", status=404)
        return self._pages.page("issue.html.j2", **self._values(found))

    def _feed(self, name: str) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            content = self.feed(name)
            headers = {"ETag": etag(content), "Cache-Control": "public, max-age=300"}
            if headers["ETag"] in request.headers.get("if-none-match", ""):
                return Response(status_code=304, headers=headers)
            headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
            return Response(content, media_type=FEEDS[name].media_type, headers=headers)

        return answer

    def _rows(self) -> list[dict[str, object]]:
        return [
            {"number": issue.number, "subject": issue.subject, "day": self._day(issue)}
            for issue in self._issues.list(states=SHOWN, limit=LATEST, public=True)
        ]

    def _shown(self, number: int) -> Issue:
        found = self._issues.get(number)
        if found.state not in SHOWN or not (found.items or found.owed):
            raise NotFoundError("it is not shown", where=f"issue {number}")
        return found

    def _values(self, issue: Issue) -> dict[str, Any]:
        numbers = self.numbers()
        place = numbers.index(issue.number) if issue.number in numbers else -1
        return {
            "issue": self._view(issue), "subject": issue.subject,
            "earlier": numbers[place + 1] if 0 <= place < len(numbers) - 1 else None,
            "later": numbers[place - 1] if place > 0 else None,
        }

    def _view(self, issue: Issue) -> IssueView:
        """Made from the records, not from the mail: what a long mail leaves out is here.

        What an issue carries of earlier ones stands on their pages; on its own only where it carries nothing else, for
        then a mail of it leads here.
        """
        phrases = self._pages.phrases
        items = issue.items or issue.owed
        return issue_view(
            compose(items, phrases=phrases, edit=issue.edit, as_ordered=True),
            number=issue.number, cadence=issue.cadence, day=self._day(issue), plan=Plan.whole(items),
            placeholder="", newsletter=self._settings.newsletter, mail=self._settings.mail, web=self._settings.web,
            phrases=phrases,
        )

    def _entry(self, issue: Issue) -> Entry:
        view = self._view(issue)
        return Entry(
            issue=issue, url=view.issue_url, html=self._pages.html("content.html.j2", issue=view),
            summary=view.preheader,
        )

    def _day(self, issue: Issue) -> str:
        """The day of its hand-over: today's where that is to come, its draft's where it went out with that one."""
        to_come = issue.state in ("draft", "frozen")
        moment = issue.handed_over_at or (utc_now() if to_come else issue.created_at)
        return day_in_words(moment, self._settings.newsletter, self._pages.phrases)
