"""A locked database makes writers wait, a little, and readers not at all."""

import asyncio
import threading
from collections.abc import Iterable
from typing import Any

import httpx
import pytest

from milepost.errors import BusyError, StoreError
from tests.web.conftest import NoSignUps, keys
from web import writing
from web.app import create_app
from web.writing import Writers

CROWD = 45  # more than there are threads for anything


class Locked:
    """Subscribers that can be read, and not be written to until `released`."""

    def __init__(self, subscribers: Any) -> None:
        self._subscribers = subscribers
        self.released = threading.Event()

    def linked(self, *given: Any) -> Any:
        return self._subscribers.linked(*given)

    def day_of(self, *given: Any) -> Any:
        return self._subscribers.day_of(*given)

    def leave(self, *given: Any, **named: Any) -> Any:
        assert self.released.wait(60)
        return self._subscribers.leave(*given, **named)

    def choose(self, *given: Any, **named: Any) -> Any:
        assert self.released.wait(60)
        return self._subscribers.choose(*given, **named)


async def all_but_four(posts: Iterable[asyncio.Task[httpx.Response]]) -> None:
    """Until no more are under way than there are writers' threads: whoever came first to one."""
    under_way = set(posts)
    while len(under_way) > 4:
        _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)


@pytest.fixture
def crowd(
    issues: Any, issue: Any, subscribers: Any, topics: Any, settings: Any, token: Any
) -> Any:
    """Sends CROWD writes at a locked store, reads a page meanwhile, and tells what each got."""
    issues.by_number[3] = issue(3)
    subscribers.states |= dict.fromkeys(range(100, 100 + CROWD), "active")
    subscribers.choices |= dict.fromkeys(range(100, 100 + CROWD), ("weekly", ()))

    def send(path: str, *, wait_seconds: float, **body: Any) -> tuple[httpx.Response, int, list[httpx.Response]]:
        locked: Any = Locked(subscribers)
        app = create_app(
            issues=issues, own_page=locked, topics=topics, signing_up=NoSignUps(), settings=settings,
            now=lambda: issue(1).created_at,
            keys=keys, list_id="milestones.timeline.example",
            writers=Writers(threads=4, wait_seconds=wait_seconds),
        )

        async def go() -> tuple[httpx.Response, int, list[httpx.Response]]:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="https://timeline.example") as client:
                posts = [
                    asyncio.create_task(client.post(f"/u/{token(number)}{path}", **body))
                    for number in range(100, 100 + CROWD)
                ]
                await asyncio.sleep(0)
                try:
                    page = await asyncio.wait_for(client.get("/issues/3"), 60)
                    if path and not wait_seconds:  # the rest hears "not now" while the store is still locked
                        await asyncio.wait_for(all_but_four(posts), 60)
                    answered = sum(post.done() for post in posts)
                finally:
                    locked.released.set()
                return page, answered, [await post for post in posts]

        return asyncio.run(go())

    return send


@pytest.mark.parametrize(
    ("path", "body"),
    [("", {"data": {"List-Unsubscribe": "One-Click"}}), ("/preferences", {"data": {"cadence": "instant"}})],
    ids=["one click", "a choice"],
)
def test_an_issue_is_read_while_all_writers_wait(path: str, body: Any, crowd: Any, subscribers: Any) -> None:
    page, answered, posts = crowd(path, wait_seconds=60, **body)

    assert (page.status_code, answered) == (200, 0)
    assert {post.status_code for post in posts} == {200}
    crowds = range(100, 100 + CROWD)
    assert all(subscribers.states[number] == "unsubscribed" for number in crowds) is not bool(path)
    assert all(subscribers.choices[number][0] == "instant" for number in crowds) is bool(path)


def test_who_finds_no_thread_in_time_is_asked_to_come_again(crowd: Any, subscribers: Any) -> None:
    page, answered, posts = crowd("/preferences", wait_seconds=0, data={"cadence": "instant"})

    assert (page.status_code, answered) == (200, CROWD - 4)
    assert [post.status_code for post in posts].count(503) == CROWD - 4
    for number, post in zip(range(100, 100 + CROWD), posts, strict=True):
        done = subscribers.choices[number][0] == "instant"
        assert post.status_code == (200 if done else 503)  # nothing half done, and nobody told otherwise
        assert done or post.headers["retry-after"] == "60"
        assert done or "nothing was changed" in post.text


def test_who_wants_out_is_let_out_however_many_come_at_once(crowd: Any, subscribers: Any) -> None:
    """A mail program that hears 503 doesn't ask again."""
    page, _, posts = crowd("", wait_seconds=0)

    assert page.status_code == 200
    assert {post.status_code for post in posts} == {200}
    assert {subscribers.states[number] for number in range(100, 100 + CROWD)} == {"unsubscribed"}


def test_it_is_tried_again_while_others_are_in_the_way_and_for_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "AGAIN_SECONDS", 0)
    tried: list[str] = []

    def write(fails: int, error: StoreError) -> str:
        tried.append("")
        if len(tried) <= fails:
            raise error
        return "done"

    async def go() -> None:
        writers = Writers()
        assert await writers.insist(lambda: write(3, BusyError("locked")), seconds=60) == "done"
        assert len(tried) == 4
        with pytest.raises(StoreError, match="full"):
            await writers.insist(lambda: write(99, StoreError("full")), seconds=60)
        assert len(tried) == 5
        with pytest.raises(BusyError):
            await writers.insist(lambda: write(99, BusyError("locked")), seconds=0)
        assert len(tried) == 6

    asyncio.run(go())


def test_a_thread_is_free_again_after_an_error() -> None:
    def fail() -> None:
        raise StoreError("no")

    async def go() -> str:
        writers = Writers(threads=1, wait_seconds=0)
        for _ in range(3):
            with pytest.raises(StoreError, match="no"):
                await writers.run(fail)
        return await writers.run(lambda: "done")

    assert asyncio.run(go()) == "done"
