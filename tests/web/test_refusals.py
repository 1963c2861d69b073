"""What can't be answered is answered well: the right status, the right headers, and a page."""

import asyncio
from typing import Any

import pytest
from lxml import html

from tests.html_page import elements, strings, text_of

PROTECTIVE = {
    "referrer-policy": "no-referrer", "x-content-type-options": "nosniff", "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin",
}


def broken(*_: Any, **__: Any) -> None:
    raise RuntimeError("a bug, with a secret in it")


@pytest.mark.parametrize(
    ("status", "method", "path", "options"),
    [
        (400, "POST", "/u/{token}/preferences", {"content": b"cadence=hourly"}),
        (404, "GET", "/nothing", {}),
        (404, "GET", "/issues/" + "9" * 4301, {}),
        (405, "POST", "/issues", {}),
        (413, "POST", "/u/{token}/preferences", {"content": b"x" * 70_000}),
        (500, "GET", "/issues/3", {}),
        (500, "GET", "/feed.atom", {}),
        (503, "GET", "/issues", {}),
        (503, "POST", "/u/{token}", {}),
    ],
)
def test_every_refusal_is_a_page_with_the_same_headers(
    status: int, method: str, path: str, options: Any, ask: Any, token: Any, issues: Any, issue: Any,
    subscribers: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:
    issues.by_number[3] = issue(3)
    issues.down = subscribers.down = status == 503
    if status == 500:
        monkeypatch.setattr(issues, "get", broken)

    answer = ask(method, path.format(token=token()), **options)

    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in PROTECTIVE} == PROTECTIVE
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    page = html.fromstring(answer.text)
    assert page.get("lang") == "en"
    assert len(elements(page, "//h1")) == 1
    assert "secret" not in answer.text
    assert ("retry-after" in answer.headers) is (status == 503)


@pytest.mark.parametrize("number", ["9" * 4301, "9" * 10, "0" * 5000, "٣", "3\u00a0", "+3", "3.0"])
def test_what_is_no_number_of_an_issue_is_not_here(number: str, ask: Any, issues: Any, issue: Any) -> None:
    issues.by_number[3] = issue(3)
    assert ask("GET", f"/issues/{number}").status_code == 404
    assert ask("GET", "/issues/3").status_code == 200


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/issues", "GET, HEAD"), ("/issues/3", "GET, HEAD"), ("/feed.json", "GET, HEAD"), ("/u", "GET, HEAD"),
        ("/u/x", "GET, HEAD, POST"), ("/u/x/preferences", "GET, HEAD, POST"),
        ("/u/preferences", "GET, HEAD, POST"),  # also the place of a token
    ],
)
def test_allow_names_every_method_of_the_place(path: str, allowed: str, ask: Any) -> None:
    answer = ask("PUT", path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


def test_not_now_says_so_in_the_newsletters_language_and_leads_back(
    ask: Any, make_app: Any, settings: Any, token: Any, subscribers: Any
) -> None:
    subscribers.down = True
    german = settings.newsletter.model_copy(update={"language": "de"})
    web = settings.web.model_copy(update={"base_url": "https://timeline.example/news"})
    app = make_app(settings.model_copy(update={"newsletter": german, "web": web}))

    answer = ask("POST", f"/u/{token()}", app=app)

    page = html.fromstring(answer.text)
    assert (answer.status_code, page.get("lang")) == (503, "de")
    assert "es wurde nichts verändert" in text_of(page)
    assert f"/news/u/{token()}" in strings(page, "//main//a/@href")


def test_a_body_that_never_comes_is_a_page_and_ends_the_connection(
    make_app: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.public.forms.SECONDS", 0.01)
    told: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        told.append(message)

    scope = {"type": "http", "method": "POST", "path": "/subscribe", "raw_path": b"/subscribe", "query_string": b"",
             "headers": [(b"content-length", b"100")], "http_version": "1.1", "scheme": "http", "root_path": "",
             "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1)}

    asyncio.run(asyncio.wait_for(make_app(settings)(scope, receive, send), 30))

    assert told[0]["status"] == 408
    assert (b"connection", b"close") in told[0]["headers"]


@pytest.mark.parametrize(
    "headers", [{"X-Long": "a" * 17_000}, {f"X-{n}": "a" for n in range(101)}], ids=["long", "many"]
)
def test_a_head_that_is_too_long_is_refused(headers: dict[str, str], ask: Any) -> None:
    answer = ask("GET", "/issues", headers=headers)
    assert (answer.status_code, answer.headers["connection"]) == (431, "close")
    assert answer.headers["x-content-type-options"] == "nosniff"
