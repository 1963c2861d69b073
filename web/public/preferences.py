"""A reader's own choice: how often they hear, and about what; behind the same signed link as the way out.

    GET /u/{token}/preferences ─▶ a form        POST ─▶ the choice, durable, and the form again
"""

import datetime as dt
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from milepost.errors import NotFoundError
from milepost.records import Cadence, KnownTopics, Subscriber
from newsletter.issue.view import PREFERENCES
from newsletter.words.phrases import Phrases
from web.pages import Pages
from web.ports import Subscribers, Topics
from web.public.forms import read_form
from web.public.readers import Readers
from web.writing import Writers

MOST = 32  # topics of a kind that are offered, the most common ones; whoever chose others keeps them on offer
_FRESH_FOR = 300.0  # seconds before the topics are asked for again


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Topics of one kind, as they are offered."""

    title: str
    topics: tuple[tuple[str, str, bool], ...]  # slug, words, whether it is chosen


def choice(
    phrases: Phrases, known: KnownTopics, *, cadences: Sequence[Cadence], cadence: Cadence, topics: Sequence[str]
) -> dict[str, Any]:
    """What the page shows: `cadences` as (value, words, chosen) and `groups`, with that cadence and topics chosen."""
    chosen = {topic.casefold() for topic in topics}
    common = {topic.casefold() for topic in (*known.categories, *known.tags)}
    tags = [tag for tag in known.tags if tag not in known.categories]
    strays = [topic for topic in topics if topic.casefold() not in common]
    groups = (
        _group(phrases, phrases.categories, known.categories, chosen),
        _group(phrases, phrases.tags, [*tags, *strays], chosen),
    )
    return {
        "cadences": [(value, sentence(phrases.rhythms[value]), value == cadence) for value in cadences],
        "groups": [group for group in groups if group.topics],
    }


def _group(phrases: Phrases, title: str, topics: Sequence[str], chosen: Collection[str]) -> Group:
    shown = [topic for place, topic in enumerate(topics) if place < MOST or topic.casefold() in chosen]
    return Group(title=title, topics=tuple(
        (topic, phrases.label(topic), topic.casefold() in chosen) for topic in sorted(shown, key=phrases.label)
    ))


def sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


class KeptTopics:
    """What can be asked for, looked up every few minutes; two threads may do so at once, to the same end."""

    def __init__(self, topics: Topics, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`, in seconds, tells when it is time."""
        self._topics, self._clock = topics, clock
        self._kept: tuple[float, KnownTopics] | None = None

    def known(self) -> KnownTopics:
        """See `web.ports.Topics`."""
        now = self._clock()
        if self._kept is None or now - self._kept[0] >= _FRESH_FOR:
            self._kept = (now, self._topics.known())
        return self._kept[1]


class Preferences:
    """Its routes."""

    def __init__(
        self, pages: Pages, subscribers: Subscribers, topics: Topics, *, readers: Readers, writers: Writers,
        cadences: Sequence[Cadence], now: Callable[[], dt.datetime],
    ) -> None:
        """`cadences`: those on offer."""
        self._now = now
        self._pages = pages
        self._subscribers = subscribers
        self._topics = topics
        self._readers = readers
        self._writers = writers
        self._cadences = tuple(cadences)

    def routes(self) -> list[Route]:
        place = f"/u/{{token}}{PREFERENCES}"
        return [Route(place, self._show, methods=["GET"]), Route(place, self._save, methods=["POST"])]

    def _show(self, request: Request) -> Response:
        """GET and HEAD change nothing."""
        return self._answer(request, None)

    async def _save(self, request: Request) -> Response:
        form = await read_form(request)
        return await self._writers.run(partial(self._answer, request, form))

    def _answer(self, request: Request, form: dict[str, list[str]] | None) -> Response:
        link = self._readers.of(request)
        if link is None:
            return self._pages.page("leave_unknown.html.j2", status=404, private=True)
        try:
            reader = self._subscribers.linked(link)
            if reader.state != "active":
                return self._gone()
            if form is not None:
                reader = self._chosen(reader, form)
        except NotFoundError:  # erased: the same page as for whoever left
            return self._gone()
        values = choice(
            self._pages.phrases, self._topics.known(), cadences=self._offered(reader), cadence=reader.cadence,
            topics=reader.topics,
        )
        leave = request.path_params["token"]
        return self._pages.page("choice.html.j2", private=True, saved=form is not None, leave=leave, **values)

    def _chosen(self, reader: Subscriber, form: dict[str, list[str]]) -> Subscriber:
        """Make the form's choice the reader's; HTTPException 400 for what was not on offer."""
        cadences, topics = form.get("cadence", []), form.get("topic", [])
        known = self._topics.known()
        offered = {*known.categories, *known.tags, *reader.topics}
        if len(cadences) != 1 or cadences[0] not in self._offered(reader) or not set(topics) <= offered:
            raise HTTPException(400)
        return self._subscribers.set_choice(
            reader.id, cadence=cadences[0], topics=tuple(dict.fromkeys(topics)), now=self._now()
        )

    def _offered(self, reader: Subscriber) -> tuple[Cadence, ...]:
        """Those of the settings, and the reader's own though it be no more among them."""
        return self._cadences if reader.cadence in self._cadences else (*self._cadences, reader.cadence)

    def _gone(self) -> Response:
        return self._pages.page("left.html.j2", private=True)
