"""Who asks is the visitor where our own proxy says so, and the machine that connects where anybody else does."""

import asyncio
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from milepost.errors import SettingsError
from milepost.settings import parse
from web.proxies import Proxies


async def who(scope: Any, receive: Any, send: Any) -> None:
    request = Request(scope)
    await PlainTextResponse(request.client.host if request.client else "nobody")(scope, receive, send)


def asked(peer: str, *forwarded: str, method: str = "GET", path: str = "/", **web: Any) -> str:
    """Whom the application takes for the one who asks."""
    settings = parse({"web": {"base_url": "https://timeline.example"} | web}).web

    async def go() -> str:
        transport = httpx.ASGITransport(Proxies(who, settings), client=(peer, 4321))
        async with httpx.AsyncClient(transport=transport, base_url="https://timeline.example") as client:
            headers = [("X-Forwarded-For", each) for each in forwarded]
            return (await client.request(method, path, headers=headers)).text

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("peer", "forwarded", "visitor"),
    [
        ("127.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("::1", ["2001:db8::7"], "2001:db8::7"),
        ("::ffff:127.0.0.1", ["203.0.113.9"], "203.0.113.9"),  # a socket for both families
        ("127.0.0.1", ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),  # the first is the visitor's own word
        ("127.0.0.1", ["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", ["203.0.113.9, 127.0.0.1"], "203.0.113.9"),  # two proxies of ours
        ("127.0.0.1", [], "127.0.0.1"),
        ("203.0.113.9", [], "203.0.113.9"),
    ],
)
def test_a_trusted_proxy_names_the_visitor(
    peer: str, forwarded: list[str], visitor: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert asked(peer, *forwarded) == visitor
    assert caplog.records == []


def test_nobody_else_can_say_who_they_are_and_that_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert asked("203.0.113.9", "198.51.100.1") == "203.0.113.9"
    assert "X-Forwarded-For of 203.0.113.9 is not believed" in caplog.text
    assert "web.trusted_proxies" in caplog.text


def test_what_is_trusted_is_set() -> None:
    assert asked("10.1.2.3", "203.0.113.9", trusted_proxies=["10.0.0.0/8"]) == "203.0.113.9"
    assert asked("127.0.0.1", "203.0.113.9", trusted_proxies=["10.0.0.0/8"]) == "127.0.0.1"
    assert asked("127.0.0.1", "203.0.113.9", trusted_proxies=[]) == "127.0.0.1"


@pytest.mark.parametrize("wrong", ["*", "proxy.example", "10.0.0.1/8", ""])
def test_only_networks_can_be_trusted(wrong: str) -> None:
    with pytest.raises(SettingsError, match="trusted_proxies"):
        parse({"web": {"trusted_proxies": [wrong]}})


def test_a_proxy_that_names_nobody_is_told_of_where_it_matters(caplog: pytest.LogCaptureFixture) -> None:
    asked("127.0.0.1", path="/issues")
    asked("127.0.0.1", method="POST", path="/api/subscribe", base_url="http://127.0.0.1:8025")  # no proxy at all
    assert caplog.records == []
    asked("127.0.0.1", method="POST", path="/api/subscribe")
    assert "names no visitor" in caplog.text
