"""The application over stores in memory, and a browser without a network."""

import asyncio
import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import pytest

from delivery.message import tokens
from milepost.dates import PartialDate
from milepost.errors import NotFoundError, StoreError
from milepost.records import (
    Amended,
    Cadence,
    Issue,
    IssueItem,
    IssueState,
    KnownTopics,
    Milestone,
    ReaderLink,
    Subscriber,
    SubscriberState,
    Told,
)
from milepost.settings import Settings, parse
from pipeline.link_keys import LinkKeys
from pipeline.own_page import AddressChange, Ended, Reader, Undone
from pipeline.sign_up import Asked, Confirmed, Doubt, SignUp, Turned
from tests.web import loop_guard
from web.app import create_app

NOW = dt.datetime(2026, 11, 23, 23, 30, tzinfo=dt.UTC)
KEY = "an-invented-key-of-thirty-two-characters"
OLD_KEY = "the-key-before-it-of-thirty-two-characters"
LIST_ID = "milestones.timeline.example"


def keys() -> LinkKeys:
    """Today's key and the one before it."""
    return LinkKeys(now=KEY.encode(), before=(OLD_KEY.encode(),))


class MemoryIssues:
    """Issues by number; `down` makes the store refuse."""

    def __init__(self) -> None:
        self.by_number: dict[int, Issue] = {}
        self.amendments: dict[int, dict[int, Amended]] = {}
        self.down = False

    def list(
        self, *, states: Sequence[IssueState] | None = None, limit: int | None = None, public: bool = False
    ) -> list[Issue]:
        self._check()
        found = [
            issue for issue in self.by_number.values()
            if (states is None or issue.state in states) and (issue.items or not public)
        ]
        return sorted(found, key=lambda issue: -issue.number)[:limit]

    def get(self, number: int) -> Issue:
        self._check()
        if number not in self.by_number:
            raise NotFoundError("there is no such issue", where=f"issue {number}")
        return self.by_number[number]

    def told(self, states: Sequence[IssueState]) -> dict[int, Told]:
        self._check()
        return {
            issue.number: frozenset(
                (item.role, item.milestone_id if item.role == "news" else item.change_id) for item in issue.items
            )
            for issue in self.by_number.values() if issue.state in states
        }

    def amended(
        self, states: Sequence[IssueState], number: int | None = None
    ) -> dict[int, dict[int, Amended]]:
        self._check()
        return {
            each: found for each, found in self.amendments.items()
            if self.by_number[each].state in states and number in (None, each)
        }

    def _check(self) -> None:
        if self.down:
            raise StoreError("the database is locked")


class MemoryTopics:
    """What can be asked for, and how often that was looked up."""

    def __init__(self) -> None:
        self.topics = KnownTopics(categories=("research", "products"), tags=("deep-learning", "chess"))
        self.asked = 0

    def known(self) -> KnownTopics:
        self.asked += 1
        return self.topics


class MemorySubscribers:
    """States and choices by subscriber id, and every change of a state that was asked for."""

    def __init__(self) -> None:
        self.states: dict[int, SubscriberState] = {7: "active", 8: "active"}
        self.choices: dict[int, tuple[Cadence, tuple[str, ...]]] = {7: ("weekly", ("chess",)), 8: ("instant", ())}
        self.languages: dict[int, str | None] = {}
        self.asked: list[tuple[int, SubscriberState, dt.datetime]] = []
        self.down = False

    def linked(self, link: ReaderLink, now: dt.datetime) -> Reader:
        if self.down:
            raise StoreError("the disk is full")
        return self._as(self._get(link.subscriber_id if link.handle is None else int(link.handle)), now)

    def _as(self, who: Subscriber, now: dt.datetime) -> Reader:
        left = who.state == "unsubscribed"
        return Reader(subscriber=who, erased=False, undo_until=now + dt.timedelta(days=30) if left else None)

    def _get(self, subscriber_id: int | None) -> Subscriber:
        if self.down:
            raise StoreError("the disk is full")
        if subscriber_id is None or subscriber_id not in self.states:
            raise NotFoundError("there is no such subscriber")
        cadence, topics = self.choices[subscriber_id]
        return Subscriber(
            id=subscriber_id, address="reader@readers.example", normalized="reader@readers.example",
            state=self.states[subscriber_id], cadence=cadence, topics=topics, created_at=NOW,
            language=self.languages.get(subscriber_id),
        )

    def day_of(self, moment: dt.datetime) -> dt.date:
        return moment.date()

    def choose(
        self, subscriber_id: int, *, cadence: Cadence, topics: Sequence[str], language: str | None, now: dt.datetime
    ) -> Subscriber:
        self._get(subscriber_id)
        self.choices[subscriber_id] = (cadence, tuple(topics))
        self.languages[subscriber_id] = language or self.languages.get(subscriber_id)
        return self._get(subscriber_id)

    def leave(self, subscriber_id: int, now: dt.datetime, *, seen: bool) -> Reader:
        self._get(subscriber_id)
        self.asked.append((subscriber_id, "unsubscribed", now))
        self.states[subscriber_id] = "unsubscribed"
        return self._as(self._get(subscriber_id), now)

    def come_back(self, subscriber_id: int, now: dt.datetime, *, cadence: Cadence | None = None) -> bool:
        raise NotImplementedError

    def pause(self, subscriber_id: int, until: dt.date, *, skips: bool, now: dt.datetime) -> Subscriber:
        raise NotImplementedError

    def resume(self, subscriber_id: int, now: dt.datetime) -> Subscriber:
        raise NotImplementedError

    def ask_move(self, subscriber_id: int, address: str, *, language: str, host: str | None, now: dt.datetime) -> None:
        raise NotImplementedError

    def find_move(self, name: str, now: dt.datetime) -> AddressChange | None:
        return None

    def move(self, name: str, now: dt.datetime) -> Ended:
        return "unknown"

    def find_undo(self, undo_name: str, now: dt.datetime) -> AddressChange | None:
        return None

    def undo_move(self, undo_name: str, now: dt.datetime) -> Undone:
        return "unknown"

    def kept(self, subscriber_id: int, now: dt.datetime) -> dict[str, Any]:
        raise NotImplementedError

    def erase(self, subscriber_id: int, now: dt.datetime) -> None:
        raise NotImplementedError


def an_item(number: int, **changes: Any) -> IssueItem:
    fields: dict[str, Any] = {
        "source": "timeline", "key": f"m{number}", "url": f"https://timeline.example/m{number}",
        "title": f"Milestone number {number}", "date": PartialDate.of(1950 + number), "category": "research",
        "what_happened": f"It happened, {number}.", "why_it_mattered": "It mattered.",
    }
    return IssueItem(
        change_id=number, milestone_id=number, version_id=number, role="news", first_seen_at=NOW,
        milestone=Milestone(**(fields | changes)),
    )


def an_issue(number: int, **changes: Any) -> Issue:
    fields: dict[str, Any] = {
        "number": number, "cadence": "weekly", "period": f"2026-W{number:02d}", "state": "complete",
        "subject": f"Subject {number}", "content_hash": "0" * 64, "created_at": NOW, "items": (an_item(1), an_item(2)),
    }
    return Issue(**(fields | changes))


@pytest.fixture
def settings() -> Settings:
    return parse({
        "mail": {"from": "Timeline <news@timeline.example>", "postal_address": "1 Example Street\nExampleton"},
        "newsletter": {"name": "Looms & Engines", "tagline": "What moved", "timezone": "Europe/Amsterdam",
                       "cadences": ["instant", "weekly"]},
        "web": {"base_url": "https://timeline.example"},
    })


@pytest.fixture
def issues() -> MemoryIssues:
    return MemoryIssues()


@pytest.fixture
def subscribers() -> MemorySubscribers:
    return MemorySubscribers()


@pytest.fixture
def topics() -> MemoryTopics:
    return MemoryTopics()


@pytest.fixture
def issue() -> Callable[..., Issue]:
    """Makes an issue; keywords change its fields."""
    return an_issue


@pytest.fixture(autouse=True)
def _free_loop() -> Iterator[None]:
    """No page renders, packs or asks the database in the event loop, whatever a test asks for."""
    with loop_guard.watched() as found:
        yield
    assert found == []


@pytest.fixture
def item() -> Callable[..., IssueItem]:
    """Makes an item; keywords change its milestone."""
    return an_item


@pytest.fixture
def token() -> Callable[..., str]:
    """The token of a subscriber."""

    def make(subscriber: int = 7, *, key: str = KEY, list_id: str = LIST_ID) -> str:
        return tokens.make(key, handle=f"{subscriber:020}", list_id=list_id)

    return make


class NoSignUps:
    """Nobody comes in."""

    def check(self, address: str) -> None:
        raise NotImplementedError

    def ask(self, asked: Asked, now: dt.datetime) -> bool:
        raise NotImplementedError

    def doubt(self, address: str) -> Doubt | None:
        raise NotImplementedError

    def turn_away(self, why: Turned, now: dt.datetime) -> None:
        raise NotImplementedError

    def find(self, name: str, now: dt.datetime) -> SignUp | None:
        return None

    def confirm(self, name: str, host: str | None, now: dt.datetime) -> Confirmed:
        return Confirmed(ended="unknown")


@pytest.fixture
def make_app(
    issues: MemoryIssues, subscribers: MemorySubscribers, topics: MemoryTopics
) -> Callable[[Settings], Any]:
    return lambda settings: create_app(
        issues=issues, own_page=subscribers, topics=topics, signing_up=NoSignUps(), settings=settings,
        keys=keys, list_id=LIST_ID, now=lambda: NOW,
    )


@pytest.fixture
def ask(make_app: Callable[[Settings], Any], settings: Settings) -> Callable[..., httpx.Response]:
    """Sends one request to the application: ask("GET", "/issues", …)."""

    def send(method: str, path: str, *, app: Any = None, **options: Any) -> httpx.Response:
        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(app or make_app(settings), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="https://timeline.example") as client:
                return await client.request(method, path, **options)

        return asyncio.run(go())

    return send
