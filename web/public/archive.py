"""The archive: every issue that was sealed, each on a page of its own that leaves nothing out, and the feeds of them.

What several cadences told is listed once; what was corrected or withdrawn since is marked, beside the sealed words.

    GET /  /issues  /issues/pages/{n}  /issues/{n}  /cards/…png
    GET /feed.atom  /feed.json  /sitemap.xml  /robots.txt  /favicon.svg
"""

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from milepost.dates import utc_now
from milepost.errors import NotFoundError
from milepost.records import Amended, Issue
from milepost.settings import Settings
from newsletter.issue.compose import compose
from newsletter.issue.corrections import AmendmentView, amendment_view
from newsletter.issue.known import Known, known_from
from newsletter.issue.safe import clip
from newsletter.issue.theme import theme_for
from newsletter.issue.view import IssueView, Plan, day_in_words, issue_link, issue_view
from pipeline.readers_pages import SHOWN
from web.pages import CHECKED, LASTING, About, Pages, described
from web.ports import Issues
from web.public.cards import card, icon
from web.public.feeds import FORMS, SITEMAP_TYPE, Channel, Entry, sitemap, tag_uri
from web.public.listing import Listing, listing
from web.public.timeline import TimelinePages

PER_PAGE = 100  # issues on a page of the index
IN_FEEDS = 20  # issues whose whole content is in a feed
_TITLE = 300  # characters of a subject in a head
# What only a reader's own link leads to, and what has no content of its own.
_ROBOTS = """User-agent: *
Disallow: {root}/u/
Disallow: {root}/c/
Disallow: {root}/a/
Disallow: {root}/timeline?

Sitemap: {base}/sitemap.xml
"""
_ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<rect width="32" height="32" rx="7" fill="{accent}"/>
<path d="M7 16h18" stroke="{on}" stroke-width="3" stroke-linecap="round"/>
<circle cx="11" cy="16" r="3" fill="{on}"/><circle cx="21" cy="16" r="5" fill="{on}"/>
</svg>
"""
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)  # that any database can be asked for; there is no issue 0


class Archive:
    """Its routes, and the same pages as text for those who write them into files."""

    def __init__(self, pages: Pages, issues: Issues, settings: Settings, timeline: TimelinePages | None = None) -> None:
        self._pages = pages
        self._issues = issues
        self._timeline = timeline
        self._base = settings.web.base_url
        self._settings = settings
        self._kept: tuple[Sequence[Issue], Listing] | None = None  # two threads that make it at once make the same

    def routes(self) -> list[Route]:
        return [
            Route("/", self._index, methods=["GET"]),
            Route("/issues", self._index, methods=["GET"]),
            Route("/issues/pages/{number}", self._later_index, methods=["GET"]),
            Route("/issues/{number}", self._issue, methods=["GET"]),
            Route("/cards/{name:path}.png", self._card, methods=["GET"]),
            *(Route(f"/{name}", self._document(name), methods=["GET"]) for name in self.documents),
        ]

    @property
    def documents(self) -> Mapping[str, tuple[str, str, Callable[[], bytes]]]:
        """What is neither page nor picture: name → media type, how long it may be kept, and how it is made."""
        feeds = {
            f"feed.{form}": (FORMS[form].media_type, CHECKED, partial(self.feed, form)) for form in FORMS
        }
        return feeds | {
            "sitemap.xml": (SITEMAP_TYPE, CHECKED, self.sitemap),
            "robots.txt": ("text/plain; charset=utf-8", LASTING, self.robots),
            "favicon.svg": ("image/svg+xml", LASTING, self.icon),
        }

    def numbers(self) -> list[int]:
        """The issues that have a page, the latest first; also those for a few readers alone: their mails lead there."""
        return [issue.number for issue in self._issues.list(states=SHOWN)]

    def latest(self) -> int | None:
        """The number of the last one that is shown."""
        found = self._issues.list(states=SHOWN, limit=1)
        return found[0].number if found else None

    def indexes(self) -> Iterator[tuple[str, str]]:
        """The pages of all entries, as (path, page): "issues", "issues/pages/2" …"""
        number = 1
        while (values := self._index_values(number)) is not None:
            yield "issues" if number == 1 else f"issues/pages/{number}", self._pages.html("issues.html.j2", **values)
            number += 1

    def issue(self, number: int) -> str:
        """The page of one; raises NotFoundError for one that isn't shown."""
        found = self._shown(number)
        return self._pages.html("issue.html.j2", **self._values(found))

    def proof(self, number: int) -> str:
        """The page of an issue that may still be a draft, for those who make it; raises NotFoundError."""
        return self._pages.html("issue.html.j2", **self._values(self._issues.get(number)))

    def feed(self, form: str) -> bytes:
        """The feed of issues, as "atom" or "json"."""
        channel = Channel(title=self._settings.newsletter.name, id=f"{self._base}/", name="feed",
                          home=f"{self._base}/issues")
        amended = self._issues.amended(SHOWN)
        return FORMS[form].make(self._settings, channel, [
            self._entry(self._shown(issue.number), amended.get(issue.number, {}))
            for issue in self._listing().entries[:IN_FEEDS]
        ])

    def sitemap(self) -> bytes:
        """Of every public page."""
        amended = self._issues.amended(SHOWN)
        changed = [(issue, self._changed(issue, amended.get(issue.number, {}))) for issue in self._listing().entries]
        pages = [(f"{self._base}/issues", max((moment for _, moment in changed), default=None))]
        pages += [(issue_link(self._settings.web, issue.number), moment) for issue, moment in changed]
        return sitemap([*pages, *(self._timeline.addresses() if self._timeline else [])])

    def robots(self) -> bytes:
        """What robots are asked to leave alone (RFC 9309)."""
        return _ROBOTS.format(root=urlsplit(self._base).path, base=self._base).encode()

    def icon(self) -> bytes:
        """The icon of all pages, as SVG."""
        palette = theme_for(self._settings.newsletter.accent).light
        return _ICON.format(accent=palette.accent, on=palette.on_accent).encode()

    def card(self, name: str) -> bytes:
        """A page's picture, as PNG: "site", "icon", "issue-3", "timeline/ADDRESS"; raises NotFoundError for none."""
        newsletter = self._settings.newsletter
        if name == "site":
            return card("", newsletter, line=newsletter.tagline)
        if name == "icon":
            return icon(newsletter.accent)
        if name.startswith("issue-") and _NUMBER.fullmatch(number := name.removeprefix("issue-")):
            found = self._shown(int(number))
            lead = self._view(found).lead
            return card(found.edit.subject or (lead.title if lead else "") or found.subject, newsletter,
                        line=f"{self._label(found)} · {self._day(found)}")
        address = name.removeprefix("timeline/")
        title = self._timeline.picture_title(address) if self._timeline and address != name else None
        if title is None:
            raise NotFoundError("no page has that picture", where=name)
        return card(title, newsletter, line=self._pages.phrases.timeline)

    def _index(self, _: Request) -> Response:
        return self._index_page(1)

    def _later_index(self, request: Request) -> Response:
        number: str = request.path_params["number"]
        return self._index_page(int(number) if _NUMBER.fullmatch(number) and number[0] != "0" else 0)

    def _index_page(self, number: int) -> Response:
        values = self._index_values(number)
        if values is None:
            return self._pages.page("missing.html.j2", status=404)
        return self._pages.page("issues.html.j2", **values)

    def _index_values(self, number: int) -> dict[str, Any] | None:
        """The values of a page of the index; None where there is no such page."""
        letter, phrases, entries = self._settings.newsletter, self._pages.phrases, self._listing().entries
        count = max(1, -(-len(entries) // PER_PAGE))
        if not 1 <= number <= count:
            return None
        return {
            "issues": self._rows(entries[(number - 1) * PER_PAGE : number * PER_PAGE]),
            "number": number, "count": count, "first": len(entries) - (number - 1) * PER_PAGE,
            "described": About(
                title=letter.name, description=described(letter.tagline, "" if letter.tagline else phrases.all_issues),
                canonical=f"{self._base}/issues" if number == 1 else f"{self._base}/issues/pages/{number}",
                card=f"{self._base}/cards/site.png",
            ),
        }

    def _issue(self, request: Request) -> Response:
        number: str = request.path_params["number"]
        try:
            found = self._shown(int(number) if _NUMBER.fullmatch(number) else 0)
        except NotFoundError:
            return self._pages.page("missing.html.j2", status=404)
        return self._pages.page("issue.html.j2", **self._values(found))

    def _card(self, request: Request) -> Response:
        try:
            return self._pages.document(self.card(request.path_params["name"]), "image/png", kept=LASTING)
        except NotFoundError:
            return self._pages.page("missing.html.j2", status=404)

    def _document(self, name: str) -> Callable[[Request], Response]:
        media_type, kept, make = self.documents[name]
        return lambda _: self._pages.document(make(), media_type, kept=kept)

    def _listing(self) -> Listing:
        """As the issues are now; what they tell is asked again only when one was sealed, sent or taken back since."""
        issues, kept = self._issues.list(states=SHOWN, public=True), self._kept
        if kept is None or kept[0] != issues:
            kept = self._kept = (issues, listing(issues, self._issues.told(SHOWN)))
        return kept[1]

    def _rows(self, entries: Sequence[Issue]) -> list[dict[str, object]]:
        listed = self._listing()
        return [
            {
                "number": issue.number, "subject": issue.subject, "label": self._label(issue), "day": self._day(issue),
                "also": self._links(listed.repeats[issue.number]),
            }
            for issue in entries
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
        view = self._view(issue)
        return {
            "issue": view, "subject": issue.subject, "amendments": self._amendments(amended),
            "earlier": earlier, "later": later, "also": self._links(listed.repeats.get(issue.number, ())),
            "stories": self._stories(issue),
            "described": About(
                title=clip(issue.subject, _TITLE), description=described(view.preheader or view.line), kind="article",
                canonical=issue_link(self._settings.web, listed.canonical.get(issue.number, issue.number)),
                card=f"{self._base}/cards/issue-{issue.number}.png",
                published=_published_at(issue), changed=self._changed(issue, amended),
            ),
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
            web=self._settings.web, phrases=phrases, known=self._known(issue),
        )

    def _known(self, issue: Issue) -> Known:
        """What was known of the sites when it was made, under what the settings say today: a page is no sealed mail."""
        kept, now = known_from(issue.known), self._known_now()
        return replace(
            kept, languages={**kept.languages, **now.languages}, labels={**kept.labels, **now.labels},
            site_labels={**kept.site_labels, **now.site_labels},
        )

    def _known_now(self) -> Known:
        languages = {source.key: source.language for source in self._settings.sources if source.language}
        return Known(languages=languages, labels=self._settings.newsletter.labels,
                     site_labels=self._timeline.site_labels() if self._timeline else {})

    def _amendments(self, amended: Mapping[int, Amended]) -> dict[int, AmendmentView]:
        """By milestone: what stands beside it, since the sealed words stay as they were."""
        known = self._known_now()
        views = {
            milestone_id: amendment_view(
                what, phrases=self._pages.phrases, timezone=self._settings.newsletter.timezone,
                issue_url=partial(issue_link, self._settings.web), known=known,
            )
            for milestone_id, what in amended.items()
        }
        return {milestone_id: view for milestone_id, view in views.items() if view is not None}

    def _changed(self, issue: Issue, amended: Mapping[int, Amended]) -> dt.datetime:
        """When what an entry shows was last another."""
        shown = self._amendments(amended)
        moments = [moment for milestone_id in shown
                   for moment in (amended[milestone_id].corrected_at, amended[milestone_id].withdrawn_at) if moment]
        return max([_published_at(issue), *moments])

    def _entry(self, issue: Issue, amended: Mapping[int, Amended]) -> Entry:
        view = self._view(issue)
        return Entry(
            id=tag_uri(self._settings, issue.created_at, f"issue/{issue.number}"), title=issue.subject,
            url=view.issue_url, summary=view.preheader, topics=((issue.cadence, self._label(issue)),),
            html=self._pages.html(
                "content.html.j2", issue=view, amendments=self._amendments(amended),
                stories=self._stories(issue, elsewhere=True),
            ),
            published=_published_at(issue), changed=self._changed(issue, amended),
        )

    def _stories(self, issue: Issue, *, elsewhere: bool = False) -> dict[int, str]:
        """The pages of the milestones that it tells of."""
        told = {item.milestone_id for item in issue.items or issue.owed}
        return self._timeline.story_urls(told, elsewhere=elsewhere) if self._timeline else {}

    def _day(self, issue: Issue) -> str:
        """The day of its hand-over: today's where that is to come, its draft's where it went out with that one."""
        to_come = issue.state in ("draft", "frozen")
        moment = issue.handed_over_at or (utc_now() if to_come else issue.created_at)
        return day_in_words(moment, self._settings.newsletter, self._pages.phrases)


def _published_at(issue: Issue) -> dt.datetime:
    """When readers first had it."""
    return issue.handed_over_at or issue.frozen_at or issue.created_at
