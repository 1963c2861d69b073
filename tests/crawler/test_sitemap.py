"""Reading sitemaps: whole, broken and hostile ones."""

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.sitemap import parse

MIB = 1024 * 1024
NS = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'


def urlset(*locations):
    items = "".join(f"<url><loc>{location}</loc><lastmod>2026-03-11</lastmod></url>" for location in locations)
    return f'<?xml version="1.0" encoding="UTF-8"?><urlset {NS}>{items}</urlset>'.encode()


def read(body, **given):
    return parse(body, **({"max_body": MIB} | given))


def test_an_urlset():
    found = read(urlset("https://a.example/x", "https://a.example/y", "https://a.example/x"))
    assert (found.kind, found.locations, found.seen, found.partial) == (
        "urlset", ("https://a.example/x", "https://a.example/y"), 3, None
    )


def test_an_index():
    body = f"<sitemapindex {NS}><sitemap><loc>/s1.xml</loc></sitemap></sitemapindex>".encode()
    found = read(body, keep=lambda _: None)
    assert (found.kind, found.locations, found.partial) == ("index", ("/s1.xml",), None)


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(urlset("/x")),
        b"\n  " + urlset("/x"),
        b"\xef\xbb\xbf" + urlset("/x"),
        urlset("/x").decode().replace("UTF-8", "UTF-16").encode("utf-16"),
        b'<s:urlset xmlns:s="u"><s:url><s:loc>/x</s:loc></s:url></s:urlset>',
        b"<urlset><url><loc><![CDATA[/x]]></loc></url></urlset>",
        b"<urlset><url><loc>\n /x \n</loc></url></urlset>",
        b'<urlset xmlns:i="i"><url><loc>/x</loc><i:image><i:loc>/i.png</i:loc></i:image></url></urlset>',
        urlset("/x", "", "/" + "a" * 3000),
    ],
    ids=["gzip", "blank-first", "bom", "utf-16", "prefix", "cdata", "spaces", "image-loc", "empty-and-endless"],
)
def test_forms_in_the_wild(body):
    found = read(body)
    assert (found.locations, found.partial) == (("/x",), None)


BROKEN = {
    "truncated": (urlset("/x", "/long-name").split(b"ong-name")[0], ("/x",), "breaks off"),
    "gzip-truncated": (gzip.compress(urlset("/x", *(f"/{n * n * 7919}" for n in range(900))))[:2000], None, "gzip"),
    "unclosed": (urlset("/x").replace(b"</urlset>", b""), ("/x",), "breaks off"),
    "bare-ampersand": (urlset("/x", "/a?b&c"), ("/x",), "breaks off"),
    "html": (b"<!DOCTYPE html><html><body>404</body></html>", (), "DTD"),
    "html-plain": (b"<html><body>404</body></html>", (), "no sitemap"),
    "rss": (b"<rss><channel><item><link>/x</link></item></channel></rss>", (), "no sitemap"),
    "empty": (b"", (), "empty"),
    "text": (b"https://a.example/x\n", (), "breaks off"),
    "binary": (bytes(range(256)), (), "breaks off"),
    "bad-encoding": (urlset("/x").replace(b"UTF-8", b"KLINGON"), (), "breaks off"),
    "billion-laughs": (
        b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><urlset><url><loc>&b;</loc></url></urlset>', (), "DTD",
    ),
    "external-entity": (
        b'<!DOCTYPE u [<!ENTITY x SYSTEM "file:///etc/passwd">]><urlset><url><loc>&x;</loc></url></urlset>', (), "DTD",
    ),
    "external-dtd": (b'<!DOCTYPE urlset SYSTEM "http://127.0.0.1/x.dtd"><urlset/>', (), "DTD"),
    "undeclared-entity": (b"<urlset><url><loc>&x;</loc></url></urlset>", (), "breaks off"),
    "nested": (b"<urlset>" + b"<a>" * 100_000, (), "nested"),
    "gzip-bomb": (gzip.compress(b"<urlset>" + b" " * (3 * MIB) + b"</urlset>"), (), "gzip"),
}


@pytest.mark.parametrize(("body", "locations", "why"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_one_is_partial_and_gives_what_it_has(body, locations, why):
    found = read(body)
    assert why in found.partial
    if locations is None:
        assert "/x" in found.locations
    else:
        assert found.locations == locations


def test_only_what_is_kept_is_kept():
    found = read(urlset("/a", "/b", "/ab"), keep=lambda text: text.upper() if "a" in text else None)
    assert (found.locations, found.seen) == (("/A", "/AB"), 3)


def test_caps():
    many = urlset(*(f"/{number}" for number in range(100)))
    assert read(many, max_kept=10).locations == tuple(f"/{number}" for number in range(10))
    assert "more than 10 pages" in read(many, max_kept=10).partial
    assert read(many, max_kept=100).partial is None
    assert "more than 50 addresses" in read(many, max_seen=50).partial


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=400),
        st.binary(max_size=200).map(gzip.compress),
        st.tuples(st.integers(0, 400), st.binary(max_size=8)).map(
            lambda cut: urlset("/a", "/b", "/c")[: cut[0]] + cut[1] + urlset("/a", "/b", "/c")[cut[0] :]
        ),
    )
)
def test_no_bytes_break_it(body):
    found = read(body, max_kept=5)
    assert len(found.locations) <= 5
    assert found.partial is not None or found.kind is not None
