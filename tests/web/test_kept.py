"""What is answered alike is made once, never after what it was made of became another, and never without bound."""

import asyncio
import datetime as dt
import gzip

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from milepost.errors import StoreError
from web.kept import Kept

NIGHT = dt.datetime(2026, 11, 23, 22, 30, tzinfo=dt.UTC)
ASKED_ALIKE = ["/", "/issues", "/issues/3", "/timeline", "/timeline/a/b", "/topics/x", "/cards/site.png", "/feed.atom"]


class Stamps:
    """What the database is at; `known`: whether that can be told without waiting."""

    def __init__(self) -> None:
        self.now, self.known, self.down = "one", True, False

    def at_once(self) -> str | None:
        return self.now if self.known else None

    def stamp(self) -> str:
        if self.down:
            raise StoreError("the disk is gone")
        return self.now


class Site:
    """Answers every path with a page that says how often one was made."""

    def __init__(self) -> None:
        self.made, self.headers, self.status = 0, {"Cache-Control": "public, max-age=0", "ETag": '"e"'}, 200
        self.stamps, self.now, self.body = Stamps(), NIGHT, "page " * 400
        self.gate: asyncio.Event | None = None
        self.asked: asyncio.Event | None = None
        inner = Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "POST"])])
        self.app = Kept(inner, self.stamps, timezone="Europe/Amsterdam", now=lambda: self.now, most_bytes=20_000)

    async def _answer(self, _: Request) -> Response:
        self.made += 1
        if self.gate is not None and self.asked is not None:
            self.asked.set()
            await self.gate.wait()
        return PlainTextResponse(f"{self.made} {self.body}", status_code=self.status, headers=self.headers)

    async def ask(self, path: str, method: str = "GET", **headers: str) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with httpx.AsyncClient(transport=transport, base_url="https://timeline.example") as client:
            return await client.request(method, path, headers=named)

    def __call__(self, path: str, method: str = "GET", **headers: str) -> httpx.Response:
        return asyncio.run(self.ask(path, method, **headers))


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("path", ASKED_ALIKE)
def test_it_is_made_once(site: Site, path: str, known: bool) -> None:
    site.stamps.known = known
    assert site(path).text == site(path).text == site(f"{path}{'' if path == '/timeline' else '?from=mail'}").text
    assert site.made == 1


def test_what_it_was_made_of_became_another(site: Site) -> None:
    site("/issues/3")
    site.stamps.now = "two"
    assert site("/issues/3").text.startswith("2 ")
    site.now += dt.timedelta(hours=1)  # past midnight in the newsletter's zone, not in UTC: pages tell today's date
    assert site("/issues/3").text.startswith("3 ")


@pytest.mark.parametrize("path", ["/u/token", "/c/name", "/subscribe", "/timeline?q=clock", "/issues/x/y"])
def test_what_is_somebody_s_own_or_may_be_anything_is_made_each_time(site: Site, path: str) -> None:
    site(path)
    site(path)
    assert site.made == 2


@pytest.mark.parametrize(("status", "headers"), [
    (404, {"ETag": '"e"', "Cache-Control": "public"}), (200, {"ETag": '"e"', "Cache-Control": "no-store"}),
    (200, {"Cache-Control": "public"}),
])
def test_what_says_that_it_can_not_be_kept(site: Site, status: int, headers: dict[str, str]) -> None:
    site.status, site.headers = status, headers
    assert (site("/issues").status_code, site("/issues").status_code, site.made) == (status, status, 2)


@pytest.mark.parametrize("known", [True, False])
def test_many_who_ask_at_once_are_one_to_the_application(site: Site, known: bool) -> None:
    """Also when each has to wait for a word of the database: two made it then, and the second had no answer."""
    site.stamps.known = known

    async def play() -> list[httpx.Response]:
        site.gate, site.asked = asyncio.Event(), asyncio.Event()
        asking = [asyncio.create_task(site.ask("/issues")) for _ in range(20)]
        await site.asked.wait()
        site.gate.set()
        return await asyncio.gather(*asking)

    assert {answer.text for answer in asyncio.run(play())} == {f"1 {site.body}"}
    assert site.made == 1


def test_it_is_packed_for_who_can_unpack_it(site: Site) -> None:
    plain, packed = site("/issues", accept_encoding="br"), site("/issues", accept_encoding="br, gzip;q=0.5")
    assert plain.text == packed.text
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) == len(gzip.compress(plain.content, 9, mtime=0))
    assert plain.headers["etag"] != packed.headers["etag"]
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    for refused in ("gzip;q=0", "gzip; q=0.0, br", "identity"):
        assert "content-encoding" not in site("/issues", accept_encoding=refused).headers
    assert site.made == 1


@pytest.mark.parametrize(("asked", "status"), [
    ('"e"', 304), ('W/"e"', 304), ('"x", "e-gz"', 304), ("*", 304), ('"x"', 200), ('"e', 200), ("", 200),
])
def test_who_has_it_already_is_told_so(site: Site, asked: str, status: int) -> None:
    answer = site("/issues", if_none_match=asked)
    assert answer.status_code == status
    assert (answer.content == b"") is (status == 304)
    assert answer.headers["etag"] == '"e-gz"'


def test_a_head_is_the_same_without_the_page(site: Site) -> None:
    whole, head = site("/issues", accept_encoding=""), site("/issues", "HEAD", accept_encoding="")
    assert (head.content, head.headers) == (b"", whole.headers)


def test_it_grows_no_further_than_it_may(site: Site) -> None:
    for number in range(1, 40):
        site(f"/issues/{number}")
    kept = site.app._answers
    assert sum(answer.size for answer in kept.values()) <= 20_000
    assert "/issues/39" in kept
    assert "/issues/1" not in kept


def test_without_the_store_the_application_answers(site: Site) -> None:
    site("/issues")
    site.stamps.known, site.stamps.down, site.status = False, True, 503
    assert site("/issues").status_code == 503
