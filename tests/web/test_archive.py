"""The archive shows what was sealed, whole and harmless, and nothing else."""

import base64
import dataclasses
import hashlib
import re
import socket
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from lxml import html

from milepost.settings import Settings
from tests.html_page import elements, strings, text_of
from web.pages import Pages
from web.public.archive import Archive
from web.public.cards import card

SHOWN = ["frozen", "sending", "paused", "complete", "needs_review"]


def test_the_index_lists_the_latest_first(ask: Any, issues: Any, issue: Any, item: Any) -> None:
    issues.by_number = {number: issue(number, items=(item(number),)) for number in (1, 2, 12)}
    issues.by_number[13] = issue(13, items=(), owed=issue(1).items)  # for a few readers alone
    for path in ("/", "/issues"):
        page = html.fromstring(ask("GET", path).text)
        assert page.xpath("//*[@class='issues']//a/@href") == ["/issues/12", "/issues/2", "/issues/1"]
    # 23:30 in UTC is the next day in the newsletter's own time zone
    assert "Issue 12 · Tuesday, 24 November 2026" in text_of(page)


def test_a_long_archive_is_told_in_pages(
    ask: Any, issues: Any, issue: Any, item: Any, settings: Settings
) -> None:
    issues.by_number = {number: issue(number, items=(item(number),)) for number in range(1, 202)}
    paths = ["/issues", "/issues/pages/2", "/issues/pages/3"]
    pages = [html.fromstring(ask("GET", path).text) for path in paths]
    listed = [link for page in pages for link in strings(page, "//*[@class='issues']/li/a/@href")]
    assert listed == [f"/issues/{number}" for number in range(201, 0, -1)]
    assert [strings(page, "//a[@rel='prev']/@href") for page in pages] == [[], ["/issues"], ["/issues/pages/2"]]
    assert [strings(page, "//a[@rel='next']/@href") for page in pages] == [paths[1:2], paths[2:], []]
    assert [strings(page, "//ol[@reversed]/@start") for page in pages] == [["201"], ["101"], ["1"]]
    assert [strings(page, "//link[@rel='canonical']/@href") for page in pages] == [
        [f"{settings.web.base_url}{path}"] for path in paths
    ]
    assert {ask("GET", f"/issues/pages/{wrong}").status_code for wrong in ("0", "4", "02", "x", "9" * 30)} == {404}
    written = dict(Archive(Pages(settings.newsletter, settings.web), issues, settings).indexes())
    assert list(written) == [path.removeprefix("/") for path in paths]


def test_an_empty_archive_says_so(ask: Any) -> None:
    assert "The first one is still to come." in ask("GET", "/issues").text


def test_an_issue_leaves_nothing_out(ask: Any, issues: Any, issue: Any, item: Any) -> None:
    issues.by_number[3] = issue(3, items=tuple(item(number) for number in range(1, 61)))
    answer = ask("GET", "/issues/3")
    page = html.fromstring(answer.text)
    titles = [text_of(title) for title in elements(page, "//article/h2")]
    assert sorted(titles) == sorted(f"Milestone number {number}" for number in range(1, 61))
    assert answer.text.count("It mattered.") == 60
    assert [text_of(title) for title in elements(page, "//h1")] == ["Subject 3"]
    assert "1 Example Street" in answer.text


def test_pages_and_feeds_tell_where_it_happened(ask: Any, issues: Any, issue: Any, item: Any) -> None:
    issues.by_number[3] = issue(3, items=(item(1, location="Gull Rock, Exampletown"), item(2)))
    page = html.fromstring(ask("GET", "/issues/3").text)
    rows = {text_of(term): text_of(term.getnext()) for term in elements(page, "//dt")}
    assert rows["Location"] == "Gull Rock, Exampletown"
    assert len(elements(page, "//dt[.='Location']")) == 1
    for name in ("feed.atom", "feed.json"):
        assert ask("GET", f"/{name}").text.count("Gull Rock, Exampletown") == 1


def test_a_page_knows_no_recipient(ask: Any, issues: Any, issue: Any) -> None:
    issues.by_number[3] = issue(3)
    text = ask("GET", "/issues/3").text
    assert "milepost-link" not in text
    assert "/u/" not in text


@pytest.mark.parametrize("state", [*SHOWN, "draft", "cancelled"])
def test_only_sealed_issues_are_shown(state: str, ask: Any, issues: Any, issue: Any) -> None:
    issues.by_number[3] = issue(3, state=state)
    assert ask("GET", "/issues/3").status_code == (200 if state in SHOWN else 404)
    assert ("/issues/3" in ask("GET", "/issues").text) is (state in SHOWN)


@pytest.mark.parametrize(
    "path",
    ["/issues/4", "/issues/0", "/issues/x", "/issues/3/", "/issues/-1", "/issues/" + "9" * 40, "/issues/3%00",
     "/nothing", "/favicon.ico", "/../etc/passwd"],
)
def test_nothing_here(path: str, ask: Any, issues: Any, issue: Any) -> None:
    issues.by_number[3] = issue(3)
    answer = ask("GET", path)
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text


@pytest.mark.parametrize(("method", "path"), [("POST", "/issues"), ("DELETE", "/issues/3"), ("PUT", "/u/x")])
def test_other_methods_are_refused(method: str, path: str, ask: Any) -> None:
    answer = ask(method, path)
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]
    assert "not possible" in answer.text


def test_a_store_that_is_down_is_a_calm_page(ask: Any, issues: Any) -> None:
    issues.down = True
    answer = ask("GET", "/issues")
    assert answer.status_code == 503
    assert "locked" not in answer.text


HOSTILE = '"><script>alert(1)</script>{{7*7}}{% for x in y %}<img src=x onerror=alert(1)>'


def test_scraped_text_is_text(ask: Any, issues: Any, issue: Any, item: Any) -> None:
    bad = item(
        1, title=HOSTILE, what_happened=HOSTILE, why_it_mattered=HOSTILE, people=(HOSTILE,), organizations=(HOSTILE,),
        category=HOSTILE, url="javascript:alert(1)",
    )
    issues.by_number[3] = issue(3, subject=HOSTILE, items=(bad,))
    for path in ("/issues", "/issues/3"):
        page = html.fromstring(ask("GET", path).text)
        assert page.xpath("//script|//img|//@onerror|//iframe") == []
        known = re.compile(r"/issues|/subscribe$|/feed\.|/favicon\.svg$|#m1$|https?:")
        assert [href for href in strings(page, "//@href") if not known.match(href)] == []
        assert "{{7*7}}{% for x in y %}" in text_of(page)


def test_every_answer_is_kept_to_itself(ask: Any, token: Any, issues: Any, issue: Any) -> None:
    issues.by_number[3] = issue(3)
    for path in ("/", "/issues", "/issues/3", "/issues/4", "/u", f"/u/{token()}", "/u/x"):
        answer = ask("GET", path)
        policy = answer.headers["content-security-policy"]
        style = elements(html.fromstring(answer.text), "//style")
        assert len(style) == 1
        digest = base64.b64encode(hashlib.sha256((style[0].text or "").encode()).digest()).decode()
        assert f"style-src 'sha256-{digest}'" in policy
        assert policy.startswith("default-src 'none';")
        assert "script" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "style=" not in answer.text
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("shown", [True, False])
def test_pictures_only_where_configured(
    shown: bool, ask: Any, make_app: Any, settings: Any, issues: Any, issue: Any, item: Any
) -> None:
    from milepost.records import Image

    picture = Image(url="https://timeline.example/loom.jpg", alt="A loom")
    issues.by_number[3] = issue(3, items=(item(1, image=picture),))
    newsletter = settings.newsletter.model_copy(update={"images": shown})
    answer = ask("GET", "/issues/3", app=make_app(settings.model_copy(update={"newsletter": newsletter})))
    pictures = elements(html.fromstring(answer.text), "//img")
    assert [picture.get("alt") for picture in pictures] == (["A loom"] if shown else [])
    assert ("https:" in answer.headers["content-security-policy"]) is shown


def test_it_speaks_the_newsletters_language_and_fits_a_telephone(ask: Any, issues: Any, issue: Any) -> None:
    issues.by_number[3] = issue(3)
    page = html.fromstring(ask("GET", "/issues/3").text)
    assert page.get("lang") == "en"
    assert strings(page, "//meta[@name='viewport']/@content") == ["width=device-width, initial-scale=1"]
    assert "prefers-color-scheme: dark" in text_of(elements(page, "//style")[0])
    assert len(elements(page, "//h1")) == 1


def test_a_real_server_answers(make_app: Any, settings: Any, issues: Any, issue: Any, token: Any) -> None:
    issues.by_number[3] = dataclasses.replace(issue(3), subject="Grüße")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(make_app(settings), log_level="warning", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            assert "Grüße" in client.get("/issues/3").text
            assert client.post(f"/u/{token()}", content=b"x" * 3_000_000).status_code == 200
            assert client.head(f"/u/{token()}").status_code == 200
        server.should_exit = True
        thread.join(10)


def test_a_template_of_ones_own_is_compiled_anew_when_it_was_changed(settings: Settings, tmp_path: Path) -> None:
    letter = settings.newsletter.model_copy(update={"templates": tmp_path})
    (tmp_path / "web").mkdir()
    for words in ("first words", "other words", "first words"):
        (tmp_path / "web/base.html.j2").write_text(words, encoding="utf-8")
        assert Pages(letter, settings.web).html("missing.html.j2") == words


def test_a_picture_is_drawn_once_and_shows_what_its_newsletter_says_now(settings: Settings) -> None:
    letter = settings.newsletter
    shown = [
        card("Looms", letter), card("Looms", letter, line="1785"), card("Engines", letter),
        card("Looms", letter.model_copy(update={"name": "Mills"})),
        card("Looms", letter.model_copy(update={"accent": "#0a7d4f"})),
    ]
    assert len(set(shown)) == len(shown)
    assert card("Looms", letter) is shown[0]
