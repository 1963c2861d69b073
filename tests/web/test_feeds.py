"""The archive for programs: what a feed reader and a search engine parse is what was sealed."""

import datetime as dt
import json
from typing import Any

import pytest
from lxml import etree, html

from tests.html_page import strings, text_of
from web.public.feeds import ATOM, SITEMAP

NAMES = {"a": ATOM, "s": SITEMAP}
HOSTILE = '"]]><script>alert(1)</script>\x00\x0b{{7*7}} & \u202e'


def parsed(answer: Any) -> Any:
    return etree.fromstring(answer.content, etree.XMLParser(resolve_entities=False))


@pytest.fixture
def three(issues: Any, issue: Any, item: Any) -> None:
    issues.by_number[1] = issue(1)
    issues.by_number[2] = issue(2, state="draft")
    issues.by_number[3] = issue(3, items=(item(7), item(8)), state="sending")


@pytest.mark.usefixtures("three")
def test_atom(ask: Any) -> None:
    answer = ask("GET", "/feed.atom")
    feed = parsed(answer)

    assert answer.headers["content-type"] == "application/atom+xml; charset=utf-8"
    assert feed.tag == f"{{{ATOM}}}feed"
    for required in ("id", "title", "updated", "author/a:name"):  # RFC 4287 section 4.1.1
        assert len(feed.xpath(f"a:{required}", namespaces=NAMES)) == 1
    [self_link] = feed.xpath("a:link[@rel='self']/@href", namespaces=NAMES)
    assert self_link == "https://timeline.example/feed.atom"
    entries = feed.xpath("a:entry", namespaces=NAMES)
    assert [entry.findtext(f"{{{ATOM}}}title") for entry in entries] == ["Subject 3", "Subject 1"]
    assert [entry.xpath("string(a:link/@href)", namespaces=NAMES) for entry in entries] == [
        "https://timeline.example/issues/3", "https://timeline.example/issues/1",
    ]
    ids = [entry.findtext(f"{{{ATOM}}}id") for entry in entries]
    assert ids == ["tag:timeline.example,2026-11-23:issue/3", "tag:timeline.example,2026-11-23:issue/1"]
    for entry in entries:
        assert dt.datetime.fromisoformat(entry.findtext(f"{{{ATOM}}}updated")).tzinfo is not None
        content = entry.find(f"{{{ATOM}}}content")
        assert content.get("type") == "html"
        assert "It mattered." in text_of(html.fromstring(content.text))


@pytest.mark.usefixtures("three")
def test_json_feed(ask: Any) -> None:
    answer = ask("GET", "/feed.json")
    feed = json.loads(answer.content)

    assert answer.headers["content-type"] == "application/feed+json; charset=utf-8"
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert (feed["title"], feed["home_page_url"]) == ("Looms & Engines", "https://timeline.example/issues")
    assert [item["url"] for item in feed["items"]] == [
        "https://timeline.example/issues/3", "https://timeline.example/issues/1",
    ]
    assert all(set(item) >= {"id", "content_html", "date_published"} for item in feed["items"])


@pytest.mark.usefixtures("three")
def test_sitemap(ask: Any) -> None:
    pages = parsed(ask("GET", "/sitemap.xml")).xpath("s:url/s:loc/text()", namespaces=NAMES)

    assert pages == [f"https://timeline.example/issues{path}" for path in ("", "/3", "/1")]
    for page in pages:
        assert ask("GET", page.removeprefix("https://timeline.example")).status_code == 200


@pytest.mark.parametrize("path", ["/feed.atom", "/feed.json", "/sitemap.xml"])
@pytest.mark.usefixtures("three")
def test_a_feed_that_is_the_same_is_not_sent_again(
    path: str, ask: Any, issues: Any, issue: Any, item: Any
) -> None:
    first = ask("GET", path)
    again = ask("GET", path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    issues.by_number[4] = issue(4, items=(item(9),))
    assert ask("GET", path, headers={"If-None-Match": first.headers["etag"]}).status_code == 200


def test_without_issues_the_feeds_are_valid_and_empty(ask: Any) -> None:
    assert parsed(ask("GET", "/feed.atom")).xpath("a:entry", namespaces=NAMES) == []
    assert json.loads(ask("GET", "/feed.json").content)["items"] == []
    assert len(parsed(ask("GET", "/sitemap.xml")).xpath("s:url", namespaces=NAMES)) == 1


def test_scraped_text_is_text_in_feeds(ask: Any, issues: Any, issue: Any, item: Any) -> None:
    issues.by_number[3] = issue(3, subject=HOSTILE, items=(item(1, title=HOSTILE, what_happened=HOSTILE),))

    [atom] = parsed(ask("GET", "/feed.atom")).xpath("a:entry/a:content/text()", namespaces=NAMES)
    [entry] = json.loads(ask("GET", "/feed.json").content)["items"]

    for content in (atom, entry["content_html"]):
        page = html.fromstring(content)
        assert page.xpath("//script") == []
        assert "<script>alert(1)</script>{{7*7}} &" in text_of(page)


def test_pages_point_at_their_neighbours(ask: Any, issues: Any, issue: Any) -> None:
    for number in (1, 2, 3):
        issues.by_number[number] = issue(number)
    page = html.fromstring(ask("GET", "/issues/2").text)
    assert page.xpath("//a[@rel='prev']/@href|//a[@rel='next']/@href") == ["/issues/1", "/issues/3"]


def test_under_a_path_all_links_keep_to_it(ask: Any, make_app: Any, settings: Any, issues: Any, issue: Any) -> None:
    issues.by_number[3] = issue(3)
    web = settings.web.model_copy(update={"base_url": "https://timeline.example/news"})
    app = make_app(settings.model_copy(update={"web": web}))
    for path in ("/issues", "/issues/3"):
        links = strings(html.fromstring(ask("GET", path, app=app).text), "//@href")
        assert [link for link in links if link.startswith("/") and not link.startswith("/news/")] == []
