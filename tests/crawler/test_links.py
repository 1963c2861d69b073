"""The addresses a page links to, however they are written there."""

import datetime as dt

import pytest

from crawler.links import hrefs
from milepost.records import Snapshot


def links(body, final_url="https://site.example/timeline/"):
    return list(hrefs(Snapshot(
        source="s", url="https://site.example/timeline", final_url=final_url, status=200, headers={}, body=body,
        fetched_at=dt.datetime(2026, 3, 2, tzinfo=dt.UTC),
    )))


@pytest.mark.parametrize(("written", "leads_to"), [
    (b'href="alpha"', "https://site.example/timeline/alpha"),
    (b"href='./beta'", "https://site.example/timeline/beta"),
    (b'href="gamma/"', "https://site.example/timeline/gamma/"),
    (b'href="../timeline/delta?x=1"', "https://site.example/timeline/delta?x=1"),
    (b"href=/timeline/eps", "/timeline/eps"),
    (b"HREF = zeta", "https://site.example/timeline/zeta"),
    (b'href=" eta "', "https://site.example/timeline/eta"),
    (b'href="https://site.example/timeline/theta"', "https://site.example/timeline/theta"),
    (b'href="/a?b=1&amp;c=2"', "/a?b=1&c=2"),
])
def test_one(written, leads_to):
    assert links(b"<a class=x " + written + b">x</a>") == [leads_to]


def test_a_base_says_where_they_start():
    body = b"<head><base target=_top href='/timeline/'></head><a href=alpha>x</a><a href=/other>y</a>"
    assert links(body, "https://site.example/")[1:] == ["https://site.example/timeline/alpha", "https://site.example/other"]


def test_the_slash_that_our_spelling_leaves_out_is_thought_of():
    assert links(b'<a href="alpha">', "https://site.example/timeline") == [
        "https://site.example/alpha", "https://site.example/timeline/alpha",
    ]


def test_what_is_no_address_is_passed_over():
    assert links(b'<a href="//[bad"><a href=""><a href="x<y">') == ["//[bad"]


def test_a_crawl_finds_all_of_them(web, look):
    web.milestones("a", "b", "c", "d", "e", "f")
    web.pages["/sitemap.xml"] = web.reply(404, "no")
    web.pages["/"] = web.html(
        '<a href="timeline/a">a</a><a href="./timeline/b">b</a><a href="timeline/c/">c</a><a href=/timeline/d>d</a>'
        "<a href='../timeline/e'>e</a><a href=\"https://timeline.example/timeline/f\">f</a>"
    )
    assert {url.rpartition("/")[2] for url in look(links=hrefs).report.listed} == set("abcdef")
