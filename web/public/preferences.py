"""A reader's own choice: how often they hear, about what, in which language; behind the same link as the way out.

    GET /u/{token}/preferences ─▶ a form        POST ─▶ the choice, durable, and the form again
"""

import datetime as dt
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from milepost.errors import ConflictError, NotFoundError
from milepost.records import Cadence, KnownTopics, Subscriber
from newsletter.issue.corrections import slug_in_words
from newsletter.issue.known import Known
from newsletter.issue.view import PREFERENCES
from newsletter.words.languages import NAMES
from newsletter.words.phrases import Phrases
from pipeline.own_page import LONGEST_PAUSE, Reader, pauses
from web.pages import Pages
from web.ports import OwnPage, Topics
from web.public.forms import read_form
from web.public.readers import Readers, sentence
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
        _group(phrases, phrases.categories, known.categories, chosen, known.labels),
        _group(phrases, phrases.tags, [*tags, *strays], chosen, known.labels),
    )
    return {
        "cadences": [(value, sentence(phrases.rhythms[value]), value == cadence) for value in cadences],
        "groups": [group for group in groups if group.topics],
    }


def _group(
    phrases: Phrases, title: str, topics: Sequence[str], chosen: Collection[str], labels: Mapping[str, str]
) -> Group:
    shown = [topic for place, topic in enumerate(topics) if place < MOST or topic.casefold() in chosen]
    called = {topic: slug_in_words(topic, phrases, Known(labels=labels)) for topic in shown}
    return Group(title=title, topics=tuple(
        (topic, called[topic], topic.casefold() in chosen) for topic in sorted(shown, key=called.__getitem__)
    ))


class KeptTopics:
    """What can be asked for, looked up every few minutes; two threads may do so at once, to the same end."""

    def __init__(
        self, topics: Topics, *, labels: Mapping[str, str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`labels`: what the operator calls some, by slug. `clock`, in seconds, tells when it is time."""
        self._topics, self._labels, self._clock = topics, labels, clock
        self._kept: tuple[float, KnownTopics] | None = None

    def known(self) -> KnownTopics:
        """See `web.ports.Topics`."""
        now = self._clock()
        if self._kept is None or now - self._kept[0] >= _FRESH_FOR:
            known = self._topics.known()
            self._kept = (now, replace(known, labels={**known.labels, **self._labels}))
        return self._kept[1]


class Preferences:
    """Its routes, and the whole page for what else a reader does on it."""

    def __init__(
        self, pages: Pages, own_page: OwnPage, topics: Topics, *, readers: Readers, writers: Writers,
        cadences: Sequence[Cadence], now: Callable[[], dt.datetime],
        gone: Callable[[Request, Reader | None], Response], refused: Callable[[Request], Response],
    ) -> None:
        """`cadences`: those on offer; `gone`: the page for who left, or was erased; `refused`: for a link that is
        none of ours, or whose key has leaked."""
        self._now, self._gone, self._refused = now, gone, refused
        self._pages = pages
        self._own_page = own_page
        self._topics = topics
        self._readers = readers
        self._writers = writers
        self._cadences = tuple(cadences)

    def routes(self) -> list[Route]:
        place = f"/u/{{token}}{PREFERENCES}"
        return [Route(place, self.show, methods=["GET"]), Route(place, self._save, methods=["POST"])]

    def show(self, request: Request) -> Response:
        """GET and HEAD change nothing."""
        return self.acted(request, None)

    async def _save(self, request: Request) -> Response:
        form = await read_form(request)

        def save(reader: Reader) -> Said:
            self._choose(reader.subscriber, form)
            return Said(saved="saved")

        return await self._writers.run(partial(self.acted, request, save))

    def acted(
        self, request: Request, act: Callable[[Reader], "Said | Response"] | None, *, whoever: bool = False
    ) -> Response:
        """The page after `act` was done for whom the link names; None: only looked at.

        Nothing is done for a link of nobody's, nor for who left unless `whoever`: they get the page that says so.
        """
        link = self._readers.of(request)
        if link is None:
            return self._refused(request)
        reader, said = None, Said()
        try:
            reader = self._own_page.linked(link, self._now())
            if act is not None and (reader.subscriber.state == "active" or (whoever and not reader.erased)):
                answer = act(reader)
                if isinstance(answer, Response):
                    return answer
                said, reader = answer, self._own_page.linked(link, self._now())
        except (NotFoundError, ConflictError):  # erased, or gone this instant
            reader = None
        if reader is None or reader.subscriber.state != "active":
            return self._gone(request, reader)
        return self._page(request, reader.subscriber, said)

    def _page(self, request: Request, who: Subscriber, said: "Said") -> Response:
        pages, now = self._pages.spoken(who.language), self._now()
        phrases, today = pages.phrases, self._own_page.day_of(now)
        values = choice(
            phrases, self._topics.known(), cadences=self._offered(who), cadence=who.cadence, topics=who.topics
        )
        return pages.page(
            "choice.html.j2", status=400 if said.wrong else 200, private=True,
            saved=getattr(phrases, said.saved) if said.saved else "", wrong=said.wrong, typed=said.typed,
            own=f"/u/{request.path_params['token']}", address=_masked(who.address),
            languages=pages.languages(),
            paused=phrases.plain_day(self._own_page.day_of(who.paused_until))
            if who.paused_until is not None and who.paused(now) else "",
            skips=who.pause_skips,
            pauses=[
                (day.isoformat(), form.format(day=phrases.plain_day(day)))
                for day, form in zip(
                    pauses(today), (phrases.pause_weeks, phrases.pause_month, phrases.pause_months), strict=True
                )
            ],
            first=(today + dt.timedelta(days=1)).isoformat(), last=(today + LONGEST_PAUSE).isoformat(), **values,
        )

    def _choose(self, reader: Subscriber, form: dict[str, list[str]]) -> None:
        """Make the form's choice the reader's; HTTPException 400 for what was not on offer."""
        cadences, topics, languages = form.get("cadence", []), form.get("topic", []), form.get("language", [])
        common = self._topics.known()
        offered = {*common.categories, *common.tags, *reader.topics}
        if len(cadences) != 1 or cadences[0] not in self._offered(reader) or not set(topics) <= offered:
            raise HTTPException(400)
        if len(languages) > 1 or not {*languages} <= {*NAMES}:
            raise HTTPException(400)
        self._own_page.choose(
            reader.id, cadence=cadences[0], topics=tuple(dict.fromkeys(topics)),
            language=languages[0] if languages else None, now=self._now(),
        )

    def _offered(self, reader: Subscriber) -> tuple[Cadence, ...]:
        """Those of the settings, and the reader's own though it be no more among them."""
        return self._cadences if reader.cadence in self._cadences else (*self._cadences, reader.cadence)


def _masked(address: str) -> str:
    """Enough of an address for who has it: "a…@readers.example"; mails are forwarded, and their links with them."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What an act on the page came to."""

    saved: str = ""  # the name of the phrase that says so
    wrong: str = ""  # the form that could not be used: "pause" | "address" | "same"
    typed: str = ""  # what stood in it
