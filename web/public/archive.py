"""The archive: every issue that was sealed, each on a page of its own that leaves nothing out, and the feeds of them.

What several cadences told is listed once; what was corrected or withdrawn since is marked, beside the sealed words.

    GET /  /issues  /issues/{n}        GET /feed.atom  /feed.json  /sitemap.xml
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from milepost.dates import utc_now
from milepost.errors import NotFoundError
from milepost.records import Amended, Issue, IssueState
from milepost.settings import Settings
from newsletter.issue.compose import compose
from newsletter.issue.corrections import AmendmentView, amendment_view
from newsletter.issue.view import IssueView, Plan, day_in_words, issue_link, issue_view
from web.pages import Pages
from web.ports import Issues
from web.public.feeds import FEEDS, Entry, etag, published_at
from web.public.listing import Listing, listing

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
        self._kept: tuple[Sequence[Issue], Listing] | None = None  # two threads that make it at once make the same

    def routes(self) -> list[Route]:
        return [
            Route("/", self._index, methods=["GET"]),
            Route("/issues", self._index, methods=["GET"]),
            Route("/issues/{number}", self._issue, methods=["GET"]),
            *(Route(f"/{name}", self._feed(name), methods=["GET"]) for name in FEEDS),
        ]

    def numbers(self) -> list[int]:
        """The issues that have a page, the latest first; also those for a few readers alone: their mails lead there."""
        return [issue.number for issue in self._issues.list(states=SHOWN)]

    def latest(self) -> int | None:
        """The number of the last one that is shown."""
        found = self._issues.list(states=SHOWN, limit=1)
        return found[0].number if found else None

    def index(self) -> str:
        """The page of all entries."""
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
        entries = self._listing().entries
        amended = self._issues.amended(SHOWN)
        changed = {issue.number: self._changed(issue, amended.get(issue.number, {})) for issue in entries}
        full = [
            self._entry(self._shown(issue.number), amended.get(issue.number, {}), changed[issue.number])
            for issue in entries[:IN_FEEDS]
        ]
        return FEEDS[name].make(self._settings, [(issue, changed[issue.number]) for issue in entries], full)

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

    def _listing(self) -> Listing:
        """As the issues are now; what they tell is asked again only when one was sealed, sent or taken back since."""
        issues, kept = self._issues.list(states=SHOWN, public=True), self._kept
        if kept is None or kept[0] != issues:
            kept = self._kept = (issues, listing(issues, self._issues.told(SHOWN)))
        return kept[1]

    def _rows(self) -> list[dict[str, object]]:
        listed = self._listing()
        return [
            {
                "number": issue.number, "subject": issue.subject, "label": self._label(issue), "day": self._day(issue),
                "also": self._links(listed.repeats[issue.number]),
            }
            for issue in listed.entries[:LATEST]
        ]

    def _links(self, issues: Sequence[Issue]) -> list[tuple[int, str]]:
        return [(issue.number, self._label(issue)) for issue in issues]

    def _label(self, issue: Issue) -> str:
        return self._pages.phrases.numbered_issue(issue.number, issue.cadence, issue.sequence)

    def _shown(self, number: int) -> Issue:
        found = self._issues.get(number)
        if found.state not in SHOWN or not (found.items or found.owed):
            raise NotFoundError("it is not shown", where=f"issue {number}")
        return found

    def _values(self, issue: Issue) -> dict[str, Any]:
        listed = self._listing()
        earlier, later = listed.of_cadence.get(issue.number, (None, None))
        amended = self._issues.amended(SHOWN, issue.number).get(issue.number, {})
        return {
            "issue": self._view(issue), "subject": issue.subject, "amendments": self._amendments(amended),
            "earlier": earlier, "later": later, "also": self._links(listed.repeats.get(issue.number, ())),
            "canonical": issue_link(self._settings.web, listed.canonical.get(issue.number, issue.number)),
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
            number=issue.number, cadence=issue.cadence, sequence=issue.sequence, day=self._day(issue),
            plan=Plan.whole(items), placeholder="", newsletter=self._settings.newsletter, mail=self._settings.mail,
            web=self._settings.web, phrases=phrases,
        )

    def _amendments(self, amended: Mapping[int, Amended]) -> dict[int, AmendmentView]:
        """By milestone: what stands beside it, since the sealed words stay as they were."""
        views = {
            milestone_id: amendment_view(
                what, phrases=self._pages.phrases, timezone=self._settings.newsletter.timezone,
                issue_url=partial(issue_link, self._settings.web),
            )
            for milestone_id, what in amended.items()
        }
        return {milestone_id: view for milestone_id, view in views.items() if view is not None}

    def _changed(self, issue: Issue, amended: Mapping[int, Amended]) -> dt.datetime:
        """When what an entry shows was last another."""
        shown = self._amendments(amended)
        moments = [moment for milestone_id in shown
                   for moment in (amended[milestone_id].corrected_at, amended[milestone_id].withdrawn_at) if moment]
        return max([published_at(issue), *moments])

    def _entry(self, issue: Issue, amended: Mapping[int, Amended], changed: dt.datetime) -> Entry:
        view = self._view(issue)
        html = self._pages.html("content.html.j2", issue=view, amendments=self._amendments(amended))
        return Entry(issue=issue, url=view.issue_url, html=html, summary=view.preheader, changed=changed,
                     label=self._label(issue))

    def _day(self, issue: Issue) -> str:
        """The day of its hand-over: today's where that is to come, its draft's where it went out with that one."""
        to_come = issue.state in ("draft", "frozen")
        moment = issue.handed_over_at or (utc_now() if to_come else issue.created_at)
        return day_in_words(moment, self._settings.newsletter, self._pages.phrases)
