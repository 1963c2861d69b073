"""What a page that is rendered may ask for, decided and answered without a browser."""

import asyncio
from collections.abc import Callable

import pytest

from crawler.client import Answer
from crawler.discover import DisallowedError
from crawler.page_requests import PageRequests, Reply, Scripts, verdict
from milepost.errors import FetchError, RefusedError
from milepost.settings import RenderSettings

PAGE = "https://kites.example/list"


def answered(url: str, body: bytes = b"x", status: int = 200) -> Answer:
    headers = {"content-type": "text/javascript", "set-cookie": "a=1", "location": "/", "refresh": "0;/elsewhere"}
    return Answer(url=url, status=status, headers=headers, body=body)


class Asking:
    """What is asked for, and what it comes to."""

    def __init__(self, come_to: Callable[[str], Answer] = answered) -> None:
        self.urls: list[str] = []
        self._come_to = come_to

    async def __call__(self, url: str, most: int) -> Answer:
        self.urls.append(url)
        return self._come_to(url)


def told(requests: PageRequests) -> str | None:
    """Why the page is not to be read."""
    return requests.unfit.result() if requests.unfit.done() else None


def asked(
    ask: Asking, *wanted: tuple[str, str], scripts: Scripts | None = None, limits: RenderSettings | None = None
) -> tuple[list[Reply | None], PageRequests]:
    """What a page gets that asks for each (kind, address), one after the other."""
    async def each() -> tuple[list[Reply | None], PageRequests]:
        page = PageRequests(answered(PAGE, b"<html></html>"), ask, limits or RenderSettings(), scripts or Scripts())
        return [await page.reply(kind, "GET", url, main=kind == "document") for kind, url in wanted], page

    return asyncio.run(each())


def fails(error: Exception) -> Callable[[str], Answer]:
    def fail(_url: str) -> Answer:
        raise error
    return fail


@pytest.mark.parametrize(("kind", "method", "url", "main", "act"), [
    ("document", "GET", f"{PAGE}#top", True, "document"),
    ("document", "POST", PAGE, True, "leave"),
    ("document", "GET", "https://kites.example/login", True, "leave"),
    ("document", "GET", PAGE, False, "refuse"),
    ("script", "GET", "https://cdn.example/a.js", False, "ask"),
    ("fetch", "GET", "https://kites.example/api", False, "ask"),
    ("xhr", "POST", "https://kites.example/api", False, "refuse"),
    ("fetch", "GET", "file:///etc/passwd", False, "refuse"),
    ("document", "GET", "file:///etc/passwd", True, "refuse"),
    ("script", "GET", "ftp://kites.example/a.js", False, "refuse"),
    ("image", "GET", "https://kites.example/a.png", False, "fill"),
    ("stylesheet", "GET", "https://kites.example/a.css", False, "fill"),
    ("font", "GET", "https://kites.example/a.woff2", False, "refuse"),
    ("media", "GET", "https://kites.example/a.mp4", False, "refuse"),
    ("eventsource", "GET", "https://kites.example/news", False, "refuse"),
    ("ping", "POST", "https://kites.example/seen", False, "refuse"),
    ("other", "GET", "https://kites.example/favicon.ico", False, "refuse"),
])
def test_what_is_done_with_a_request(kind: str, method: str, url: str, main: bool, act: str) -> None:
    assert verdict(kind, method, url, main=main, document=PAGE).act == act


def test_an_answer_passes_on_no_cookie_and_leads_nowhere() -> None:
    ask = Asking()
    [reply], _ = asked(ask, ("fetch", "https://kites.example/api#x"))
    assert reply == Reply(200, {"content-type": "text/javascript"}, b"x")
    assert ask.urls == ["https://kites.example/api"]


def test_pictures_and_style_sheets_are_there_and_nobody_is_asked() -> None:
    ask = Asking()
    replies, _ = asked(ask, ("image", "https://kites.example/a"), ("stylesheet", "https://kites.example/b"))
    assert [reply and reply.status for reply in replies] == [200, 200]
    assert ask.urls == []


@pytest.mark.parametrize(("error", "url", "unfit"), [
    (FetchError("answered 503"), "https://kites.example/api", True),
    (FetchError("answered 503"), "https://api.kites.example/list", True),  # a neighbour is one of its own
    (RefusedError("refused: more than 9 bytes"), "https://kites.example/api", True),
    (DisallowedError("robots.txt forbids us to ask for it"), "https://kites.example/api", False),
    (FetchError("answered 503"), "https://counter.example/hit.js", False),
    (RefusedError("refused: 10.0.0.1 is not a public address"), "https://inside.example/", False),
])
def test_a_page_whose_own_data_is_not_to_be_had_is_not_whole(error: Exception, url: str, unfit: bool) -> None:
    [reply], page = asked(Asking(fails(error)), ("fetch", url))
    assert reply is None
    assert (told(page) is not None) == unfit
    assert page.refused.total() == 1


@pytest.mark.parametrize(("limits", "why"), [
    (RenderSettings(max_requests=2), "more than 2 addresses (render.max_requests)"),
    (RenderSettings(max_bytes=2048), "more than 2048 bytes (render.max_bytes)"),
])
def test_a_page_has_had_enough(limits: RenderSettings, why: str) -> None:
    ask = Asking(lambda url: answered(url, b"x" * 1024))
    replies, page = asked(ask, *(("fetch", f"https://kites.example/{n}") for n in range(3)), limits=limits)
    assert [reply is None for reply in replies] == [False, False, True]
    assert len(ask.urls) == 2
    assert why in (told(page) or "")


def test_scripts_are_asked_for_once_in_a_look_and_data_by_each_page() -> None:
    ask, scripts = Asking(), Scripts()
    for _ in range(2):
        asked(ask, ("script", "https://kites.example/a.js"), ("fetch", "https://kites.example/a.json"), scripts=scripts)
    assert [url.rpartition("/")[2] for url in ask.urls] == ["a.js", "a.json", "a.json"]


def test_a_page_may_come_again_and_not_for_ever() -> None:
    replies, page = asked(Asking(), *[("document", PAGE)] * 4)
    assert [reply is not None for reply in replies] == [True, True, True, False]
    assert told(page) == "it loads itself again and again"


def test_a_page_that_leads_elsewhere_says_where() -> None:
    [reply], page = asked(Asking(), ("document", "http://169.254.169.254/latest"))
    assert reply is None
    assert told(page) == "its scripts lead to another page: http://169.254.169.254/latest"


def test_nothing_is_asked_for_once_the_page_is_over() -> None:
    async def over() -> Reply | None:
        sent = asyncio.Event()

        async def never(_url: str, _most: int) -> Answer:
            sent.set()
            await asyncio.Event().wait()
            raise AssertionError

        requests = PageRequests(answered(PAGE), never, RenderSettings(), Scripts())
        waiting = asyncio.create_task(requests.reply("script", "GET", "https://kites.example/a.js", main=False))
        await sent.wait()
        assert requests.unanswered == "https://kites.example/a.js"
        await requests.close()
        return await waiting

    assert asyncio.run(over()) is None
