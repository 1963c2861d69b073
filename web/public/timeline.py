"""The timeline: every milestone on record by era, a page for each with its history and sources, and feeds of them.

    GET /timeline  /timeline?q=…  /timeline/pages/{n}  /timeline/{address}        GET /topics/{topic}  …/pages/{n}
    GET /milestones.atom|json  /changes.atom|json  /topics/{topic}/milestones.atom|json  …/changes.atom|json
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from milepost.errors import NotFoundError
from milepost.settings import Settings
from pipeline.timeline import Changed, Place, Record
from web.pages import About, Pages, described
from web.ports import Timeline
from web.public.feeds import FORMS, Channel, Entry, tag_uri
from web.public.timeline_views import Views, groups

PER_PAGE = 100  # milestones on a page
FOUND = 50  # of a search
IN_FEEDS = 50
TOPICS = 40  # named on the timeline's first page
LONGEST = 200  # characters of a search that are looked at
_BELOW = re.compile(
    r"(?P<topic>.+?)(?:/pages/(?P<page>[1-9][0-9]{0,5})|/(?P<feed>milestones|changes)\.(?P<form>atom|json))?", re.DOTALL
)
_NUMBER = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)


class TimelinePages:
    """Its routes, and the same pages as bytes for those who write them into files."""

    def __init__(self, pages: Pages, timeline: Timeline, settings: Settings, *, searchable: bool = True) -> None:
        """`searchable`: whether somebody answers a search."""
        self._pages, self._timeline, self._settings = pages, timeline, settings
        self._base = settings.web.base_url
        self._views = Views(settings, pages.phrases, base=urlsplit(self._base).path)
        self._elsewhere = Views(settings, pages.phrases, base=self._base)  # for heads, feeds and what is sent on
        self._searchable = searchable

    def routes(self) -> list[Route]:
        if self._settings.web.timeline == "off":
            return []
        return [
            Route("/timeline", self._index, methods=["GET"]),
            Route("/timeline/pages/{number}", self._page, methods=["GET"]),
            Route("/timeline/{address:path}", self._story, methods=["GET"]),
            Route("/{name}.{form}", self._feed, methods=["GET"]),
            Route("/topics/{below:path}", self._topic, methods=["GET"]),
        ]

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Every page and feed as (name, content); what is pointed at comes before what points at it."""
        if self._settings.web.timeline == "off":
            return
        record = self._timeline.record()
        for address, milestone_id in record.by_address.items():
            yield f"timeline/{address}/index.html", self._pages.html(
                "milestone.html.j2", **self._told(record, record.by_id[milestone_id])
            ).encode()
        for topic, address in record.topic_address.items():
            yield from self._listed(f"topics/{address}", record, topic)
        yield from self._listed("timeline", record, None)

    def addresses(self) -> list[tuple[str, Any]]:
        """For the sitemap: every page's address, and when it was last another where that is known cheaply."""
        if self._settings.web.timeline == "off":
            return []
        record = self._timeline.record()
        pages: list[tuple[str, Any]] = [(f"{self._base}/timeline", None)]
        pages += [(self._elsewhere.url(place, record), None) for place in record.present]
        return pages + [(f"{self._base}/topics/{quote(name)}", None) for name in record.topic_address.values()]

    def story_urls(self, milestone_ids: Iterable[int], *, elsewhere: bool = False) -> dict[int, str]:
        """The pages of these milestones, of those that have one; `elsewhere`: for what is read on other sites."""
        if self._settings.web.timeline == "off":
            return {}
        record = self._timeline.record()
        views = self._elsewhere if elsewhere else self._views
        return {one: views.url(record.by_id[one], record) for one in milestone_ids if one in record.by_id}

    def site_labels(self) -> Mapping[str, str]:
        """What the sites' own links call categories, eras and tags, by slug."""
        return self._timeline.record().labels

    def picture_title(self, address: str) -> str | None:
        """What stands on the picture of a milestone's page; None where there is no such page."""
        if self._settings.web.timeline == "off":
            return None
        record = self._timeline.record()
        found = record.by_address.get(address)
        return None if found is None else self._views.title(record.by_id[found]).text

    # --- answers -----------------------------------------------------------------------------------------------------

    def _index(self, request: Request) -> Response:
        words = request.query_params.get("q", "")
        if not words.strip():
            return self._list(None, 1)
        record = self._timeline.record()
        words = " ".join(words[:LONGEST].replace("\0", " ").split())
        found = self._timeline.find(record, words, FOUND)
        records = self._timeline.milestones(found)
        return self._pages.page(
            "search.html.j2", private=True, words=words, searchable=True,
            lines=[self._views.line(place, record, records.get(place.id)) for place in found],
        )

    def _page(self, request: Request) -> Response:
        number: str = request.path_params["number"]
        return self._list(None, int(number) if _NUMBER.fullmatch(number) else 0)

    def _story(self, request: Request) -> Response:
        record, address = self._timeline.record(), request.path_params["address"]
        found = record.by_address.get(address)
        if found is None:
            return self._missing()
        place = record.by_id[found]
        if record.address[found] != address:
            return RedirectResponse(self._views.url(place, record), status_code=301)
        try:
            return self._pages.page("milestone.html.j2", **self._told(record, place))
        except NotFoundError:  # it took another key since the record was read
            return self._missing()

    def _topic(self, request: Request) -> Response:
        record, parts = self._timeline.record(), _BELOW.fullmatch(request.path_params["below"])
        topic = record.by_topic_address.get(parts["topic"]) if parts else None
        if parts is None or topic is None:
            return self._missing()
        if parts["feed"]:
            return self._fed(parts["feed"], parts["form"], topic)
        return self._list(topic, int(parts["page"] or 1))

    def _feed(self, request: Request) -> Response:
        name, form = request.path_params["name"], request.path_params["form"]
        if name not in ("milestones", "changes") or form not in FORMS:
            return self._pages.page("missing.html.j2", status=404)
        return self._fed(name, form, None)

    def _fed(self, name: str, form: str, topic: str | None) -> Response:
        content = self.feed(name, form, self._timeline.record(), topic)
        return self._pages.document(content, FORMS[form].media_type)

    def _list(self, topic: str | None, number: int) -> Response:
        record = self._timeline.record()
        values = self._listing(record, topic, number)
        return self._missing() if values is None else self._pages.page("timeline.html.j2", **values)

    def _missing(self) -> Response:
        return self._pages.page("missing_milestone.html.j2", status=404, searchable=self._searchable)

    # --- what they say -----------------------------------------------------------------------------------------------

    def _listing(self, record: Record, topic: str | None, number: int) -> dict[str, Any] | None:
        """The values of a page of a list; None where there is no such page."""
        order = self._in_order(record, topic)
        count = max(1, -(-len(order) // PER_PAGE))
        if not 1 <= number <= count:
            return None
        phrases = self._pages.phrases
        shown = order[(number - 1) * PER_PAGE : number * PER_PAGE]
        home = self._home(self._views, topic, record)
        heading = phrases.timeline if topic is None else self._views.label(topic, record)
        eras: dict[tuple[str, str], int] = {}
        for at, place in enumerate(order):
            if place.era:
                eras.setdefault(self._views.group_of(place, record), at // PER_PAGE + 1)
        description = phrases.timeline_counted.format(count=len(order))
        return {
            "heading": heading, "counted": description if order else phrases.timeline_empty,
            "searchable": self._searchable and topic is None, "number": number, "count": count, "home": home,
            "groups": groups(self._views, shown, record, self._timeline.milestones(shown)),
            "eras": [] if len(eras) < 2 else [
                (title, f"{_page_url(home, page)}#{anchor}") for (anchor, title), page in eras.items()
            ],
            "topics": [] if topic is not None or number > 1 else [
                (self._views.label(one, record), self._views.topic_url(one, record), many)
                for one, many in list(record.topics.items())[:TOPICS]
            ],
            "feeds": self._feeds(topic, record),
            "described": About(
                title=heading, description=described(description, self._settings.newsletter.tagline),
                canonical=_page_url(self._home(self._elsewhere, topic, record), number),
                card=f"{self._base}/cards/site.png",
            ),
        }

    def _in_order(self, record: Record, topic: str | None) -> list[Place]:
        """By era, an era where its first milestone stands, by date in it; what has no date last."""
        places = record.present if topic is None else record.about(topic)
        first: dict[tuple[str, str], int] = {}
        for at, place in enumerate(places):
            first.setdefault(self._views.group_of(place, record), at)
        return sorted(places, key=lambda place: first[self._views.group_of(place, record)])

    def _told(self, record: Record, place: Place) -> dict[str, Any]:
        """The values of a milestone's page."""
        story = self._timeline.story(record, place)
        view = self._views.story(story, record)
        address = quote(record.address[place.id])
        return {
            "story": view, "phrases": self._pages.phrases,
            "described": About(
                title=self._views.title(place).text, description=described(view.summary),
                canonical=self._elsewhere.url(place, record), card=f"{self._base}/cards/timeline/{address}.png",
                kind="article", published=place.first_seen_at, changed=story.changed,
            ),
        }

    @staticmethod
    def _home(views: Views, topic: str | None, record: Record) -> str:
        """The address of a list's first page."""
        return views.timeline if topic is None else views.topic_url(topic, record) or views.timeline

    def _feeds(self, topic: str | None, record: Record) -> list[tuple[str, str, str]]:
        """(title, address, media type) of the feeds that tell what a list shows."""
        phrases = self._pages.phrases
        home = self._views.base if topic is None else self._views.topic_url(topic, record)
        about = "" if topic is None else f" · {self._views.label(topic, record)}"
        return [
            (f"{title}{about} · {words}", f"{home}/{name}.{form}", kind)
            for name, title in (("milestones", phrases.milestones_feed), ("changes", phrases.changes_feed))
            for form, words, kind in (("atom", "Atom", "application/atom+xml"),
                                      ("json", "JSON Feed", "application/feed+json"))
        ]

    # --- feeds -------------------------------------------------------------------------------------------------------

    def feed(self, name: str, form: str, record: Record, topic: str | None) -> bytes:
        """The feed "milestones" or "changes", of all or of one topic."""
        phrases, letter = self._pages.phrases, self._settings.newsletter
        below = name if topic is None else f"topics/{quote(record.topic_address[topic])}/{name}"
        about = () if topic is None else (self._views.label(topic, record),)
        channel = Channel(
            title=" · ".join((letter.name, phrases.milestones_feed if name == "milestones" else phrases.changes_feed,
                              *about)),
            id=f"{self._base}/{below}", name=below,
            home=self._home(self._elsewhere, topic, record),
        )
        entries = self._milestones(record, topic) if name == "milestones" else self._changes(record, topic)
        return FORMS[form].make(self._settings, channel, entries)

    def _milestones(self, record: Record, topic: str | None) -> list[Entry]:
        places = record.latest(topic)[:IN_FEEDS]
        records, changed = self._timeline.milestones(places), self._timeline.changed(places)
        return [
            Entry(
                id=tag_uri(self._settings, place.first_seen_at, f"milestone/{place.id}"),
                title=self._views.title(place).text, url=self._elsewhere.url(place, record),
                summary=line.summary.text if line.summary else line.when,
                html=self._pages.html(
                    "milestone_entry.html.j2", **self._elsewhere.entry(place, record, records[place.id])
                ),
                published=place.first_seen_at, changed=changed[place.id], topics=self._topics(place, record),
                language=self._views.language(place),
            )
            for place in places if place.id in records
            for line in (self._views.line(place, record, records[place.id]),)
        ]

    def _changes(self, record: Record, topic: str | None) -> list[Entry]:
        told = [(one, self._views.fields(one, record)) for one in self._timeline.changes(record, IN_FEEDS, topic)]
        return [
            self._changed(one, record, fields)
            for one, fields in told if fields or one.kind in ("withdrawn", "restored")
        ]

    def _changed(self, one: Changed, record: Record, fields: Sequence[Any]) -> Entry:
        title, line = self._views.title(one.place), self._views.happened(one.kind, one.at)
        return Entry(
            id=tag_uri(self._settings, one.at, f"change/{one.id}"), title=f"{line}: {title.text}",
            url=self._elsewhere.url(one.place, record), summary=line,
            html=self._pages.html("change_entry.html.j2", line=line, title=title, fields=fields,
                                  url=self._elsewhere.url(one.place, record)),
            published=one.at, changed=one.at, topics=self._topics(one.place, record),
        )

    def _topics(self, place: Place, record: Record) -> tuple[tuple[str, str], ...]:
        found = dict.fromkeys(topic for topic in (place.category, *place.tags) if topic)
        return tuple((topic, self._views.label(topic, record)) for topic in found)

    def _listed(self, folder: str, record: Record, topic: str | None) -> Iterator[tuple[str, bytes]]:
        """A list's pages and feeds as files."""
        number = 1
        while (values := self._listing(record, topic, number)) is not None:
            name = f"{folder}/index.html" if number == 1 else f"{folder}/pages/{number}/index.html"
            yield name, self._pages.html("timeline.html.j2", **values).encode()
            number += 1
        for name in ("milestones", "changes"):
            for form in FORMS:
                below = f"{name}.{form}" if topic is None else f"{folder}/{name}.{form}"
                yield below, self.feed(name, form, record, topic)


def _page_url(home: str, number: int) -> str:
    return home if number == 1 else f"{home}/pages/{number}"
