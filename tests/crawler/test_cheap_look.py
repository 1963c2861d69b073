"""The cheap look: one page that tells of news, and at most three requests when there is none."""

import datetime as dt
import hashlib

import pytest

from crawler.crawl import Fetched, NotModified
from crawler.links import hrefs
from milepost.records import Snapshot, Validators

BASE = "https://timeline.example"


@pytest.fixture
def polled(web, memory):
    """A site whose home page knows that it has not changed."""
    web.milestones("a", "b")
    memory.known[f"{BASE}/"] = Validators(etag='"home"')
    full, short = web.html("home", ETag='"home"'), web.reply(304, ETag='"home"')
    web.pages["/"] = lambda asked: short if asked.headers.get("if-none-match") == '"home"' else full
    return web


def test_nothing_new_ends_the_look(polled, look):
    seen = look(poll="/", links=hrefs)
    assert seen.outcomes == [NotModified(url=f"{BASE}/", kind="listing")]
    report = seen.report
    assert (report.unchanged, report.requests, report.not_modified, report.fetched) == (True, 2, 1, 0)
    assert not report.complete  # nothing was listed: nobody may take that for absence
    assert report.listed == frozenset()
    assert polled.asked == ["/robots.txt", "/"]


@pytest.mark.usefixtures("polled")
def test_full_looks_at_everything(look):
    report = look(poll="/", full=True).report
    assert not report.unchanged
    assert report.complete
    assert report.listed == {f"{BASE}/timeline/a", f"{BASE}/timeline/b"}


def test_news_go_on_with_the_whole_look_and_ask_the_page_once(web, look):
    web.milestones("a")
    seen = look(poll="/")
    assert seen.report.complete
    assert not seen.report.unchanged
    assert web.times("/") == 1
    assert isinstance(seen.of("/timeline/a"), Fetched)


def test_the_links_of_a_changed_poll_page_count(web, look):
    web.milestones("a")
    web.pages["/"] = web.html('<a href="/timeline/new">')
    web.pages["/timeline/new"] = web.html("new")
    assert f"{BASE}/timeline/new" in look(poll="/", links=hrefs).report.listed


def test_a_server_without_etags_is_told_by_the_body(web, look):
    web.milestones("a")
    known = hashlib.sha256(web.pages["/"].body).hexdigest()
    assert look(poll="/", poll_hash=known).report.unchanged
    assert not look(poll="/", poll_hash="0" * 64).report.unchanged


@pytest.mark.parametrize("status", [404, 500], ids=str)
def test_a_poll_page_in_trouble_leads_to_the_whole_look(web, look, status):
    web.milestones("a")
    web.pages["/news"] = web.reply(status)
    seen = look(poll="/news")
    assert not seen.report.unchanged
    assert isinstance(seen.of("/timeline/a"), Fetched)


def test_hrefs():
    body = (
        b'<a href="/timeline/a">a</a><A HREF = \'/b?x=1&amp;y=2\'>b</A><link href="/c.css"><a data-href="no">'
        b'<a href="caf\xc3\xa9"><a href=bare><a href="two\nlines"><a href="&#106;avascript:x">{"href":"/json"}<a h'
    )
    snapshot = Snapshot(
        source="s", url=f"{BASE}/", final_url=f"{BASE}/", status=200, headers={}, body=body,
        fetched_at=dt.datetime(2026, 3, 2, tzinfo=dt.UTC),
    )
    assert list(hrefs(snapshot)) == [
        "/timeline/a", "/b?x=1&y=2", "/c.css", f"{BASE}/no", f"{BASE}/café", f"{BASE}/bare", f"{BASE}/twolines",
        "javascript:x",
    ]
