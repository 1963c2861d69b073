"""Reading sitemaps: whole, broken and hostile ones."""

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.paths import Site
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
    ],
    ids=["gzip", "blank-first", "bom", "utf-16", "prefix", "cdata", "spaces", "image-loc"],
)
def test_forms_in_the_wild(body):
    found = read(body)
    assert (found.locations, found.partial) == (("/x",), None)


def feed(*entries, **attributes):
    told = " ".join(f'{name.replace("_", ":")}="{value}"' for name, value in attributes.items())
    inside = "".join(f"<entry>{entry}</entry>" for entry in entries)
    return f'<feed xmlns="http://www.w3.org/2005/Atom" {told}><link href="/" rel="alternate"/>{inside}</feed>'.encode()


def rss(*items):
    inside = "".join(f"<item>{item}</item>" for item in items)
    return f"<rss version='2.0'><channel><link>https://a.example/</link>{inside}</channel></rss>".encode()


@pytest.mark.parametrize(
    "body",
    [
        b"https://a.example/x\nhttps://a.example/y",
        b"\xef\xbb\xbfhttps://a.example/x\r\n\r\n  https://a.example/y  \r\n",
        b"# what we have\nhttps://a.example/x\n\nhttps://a.example/y\n",
        gzip.compress(b"https://a.example/x\nhttps://a.example/y\n"),
        "https://a.example/x\nhttps://a.example/y\n".encode("utf-16"),
        rss("<title>X</title><link>https://a.example/x</link>", "<link>https://a.example/y</link>"),
        rss("<link>https://a.example/x</link>", "<guid>https://a.example/y</guid>"),
        rss("<link>https://a.example/x</link><guid>https://a.example/other</guid>",
            '<guid isPermaLink="false">7</guid><link>https://a.example/y</link>'),
        (b"<r:RDF xmlns:r='r'><channel><link>/</link></channel><item><link>https://a.example/x</link></item>"
        b"<item><link>https://a.example/y</link></item></r:RDF>"),
        feed('<link rel="self" href="/no"/><link href="https://a.example/x"/><link href="/no"/>',
             '<link rel="alternate" href="https://a.example/y"/>'),
        feed('<link href="x"/>', '<link href="./y"/>', xml_base="https://a.example/"),
        feed('<link href="x"/>', '<link href="?y"/><link href="y"/>').replace(b'<link href="?y"/>', b""),
    ],
    ids=["text", "text-dos-bom", "text-comment", "text-gzip", "text-utf-16", "rss", "rss-guid", "rss-link-first",
         "rss-1", "atom", "atom-base", "atom-relative"],
)
def test_a_sitemap_may_be_a_text_or_a_feed(body):
    found = read(body, place="https://a.example/feed.xml")
    assert (found.kind, found.locations) == ("urlset", ("https://a.example/x", "https://a.example/y"))
    assert (found.partial, found.unread, found.following) == (None, 0, None)


@pytest.mark.parametrize(
    "body",
    [
        "<sitemapindex><sitemap>\n https://a.example/1.xml\n</sitemap></sitemapindex>",
        "<sitemapindex><sitemap><loc><url>https://a.example/1.xml</url></loc></sitemap></sitemapindex>",
        "<sitemapindex><sitemap><lastmod>x</lastmod>https://a.example/1.xml</sitemap></sitemapindex>",
    ],
    ids=["no-loc", "within-loc", "behind"],
)
def test_an_address_is_taken_where_it_stands(body):
    found = read(body.encode())
    assert (found.kind, found.locations, found.unread) == ("index", ("https://a.example/1.xml",), 0)


def test_a_path_in_a_feed_stays_one():
    """A mirror's pages are known by their paths, whatever the feed's own address is."""
    body = feed('<link href="/x"/>', xml_base="https://b.example/news/")
    assert read(body, place="https://a.example/feed.xml").locations == ("/x",)


def test_a_base_counts_before_the_feed_s_own_address():
    body = feed('<link href="x"/>', xml_base="https://b.example/news/")
    assert read(body, place="https://a.example/feed.xml").locations == ("https://b.example/news/x",)


def test_an_address_that_is_cut_is_none():
    body = b"<urlset><url><loc>/x&amp;</loc></url>&<url><loc>/long-na"
    assert (read(body).locations, read(body).unread) == (("/x&",), 0)


def test_a_feed_goes_on_at_its_next_page():
    body = feed('<link href="/x"/>').replace(b"<entry>", b'<link rel="next" href="older?page=2"/><entry>')
    found = read(body, place="https://a.example/news/feed")
    assert found.following == "https://a.example/news/older?page=2"


WHOLE = "<urlset><url><loc>/x</loc></url><url><loc>/y</loc></url></urlset>"


@pytest.mark.parametrize(
    ("body", "locations"),
    [
        (WHOLE.replace("/x", "/r&d-x?a=1&b=2"), ("/r&d-x?a=1&b=2", "/y")),
        (WHOLE.replace("/x", "/x&y;z"), ("/x&y;z", "/y")),
        (WHOLE.replace("/x", "/caf&eacute;"), ("/café", "/y")),
        (WHOLE.replace("/x", "/x&amp;z").replace("/y", "/y&"), ("/x&z", "/y&")),
        (WHOLE.replace("/x", "<![CDATA[/x&z]]>").replace("/y", "/y&"), ("/x&z", "/y&")),
        (WHOLE.replace("<url>", "<!-- <url><loc>/no</loc></url> a & b --><url>", 1), ("/x", "/y")),
        (WHOLE.replace("</loc>", "</loc><priority>0.5</Priority>"), ("/x", "/y")),
        (WHOLE.replace("</loc></url>", "</url>"), ("/x", "/y")),
        (WHOLE.replace("</loc>", "</loc><i:image><i:loc>/no</i:loc></i:image><title>a & b</title>"), ("/x", "/y")),
        (WHOLE.replace("</loc>", "</loc><title>\x01\x1b</title>"), ("/x", "/y")),
        (f"Notice: undefined index\n{WHOLE}", ("/x", "/y")),
        (f"<br />\n<b>Warning</b>: a & b<br />\n<?xml version='1.0'?>{WHOLE}", ("/x", "/y")),
        (f"{WHOLE}\n<!-- made in 0.1 s -->\n-- served by web2 & web3", ("/x", "/y")),
        (f"<?xml version='1.0' encoding='no-such'?>{WHOLE}", ("/x", "/y")),
        (f"<?xml version='1.0' encoding='punycode'?>{WHOLE}", ("/x", "/y")),
        (feed('<link href="/x?a&b"/>', '<link href="/y"/>').decode(), ("/x?a&b", "/y")),
        (rss("<title>Q & A</title><link>/x</link>", "<title>&nbsp;</title><link>/y</link>").decode(), ("/x", "/y")),
    ],
    ids=["ampersand", "unknown-entity", "html-entity", "whole-and-bare", "cdata", "comment", "other-case", "no-end",
         "image", "control", "words-before", "markup-before", "words-behind", "no-such-encoding", "no-alphabet",
         "atom", "rss"],
)
def test_what_is_broken_and_can_be_mended_is_whole(body, locations):
    found = read(body.encode())
    assert (found.locations, found.partial, found.unread) == (locations, None, 0)


def test_one_in_an_old_alphabet_is_mended_in_it():
    body = f'<?xml version="1.0" encoding="windows-1251"?>{WHOLE.replace("/x", "/век&x")}'.encode("cp1251")
    assert read(body).locations == ("/век&x", "/y")


def test_entries_that_are_lost_are_counted():
    broken = WHOLE.replace("<url>", "<url n=1>", 1).replace("</urlset>", "<url><loc>/z</loc></url></urlset>")
    found = read(broken.encode())
    assert found.partial.startswith("2 of its 3 entries can't be read: its XML breaks off: ")
    assert found.locations == ("/x",)


@pytest.mark.parametrize(
    ("body", "unread", "example"),
    [
        (urlset("/x", "/" + "a" * 3000), 1, "/" + "a" * 79),
        (urlset("/x", "/" + "ä" * 400), 1, "/" + "ä" * 79),
        (urlset("/x", "", "mailto:a@a.example"), 2, "an empty one"),
        (b"<urlset><url><loc>/x</loc></url><url><lastmod>2026</lastmod></url></urlset>", 1, "<url>"),
        (WHOLE.replace("/y", "/y<b").encode(), 1, "/y"),
        (WHOLE.replace("/y", "/y\x02z&").encode(), 1, "/y\ufffdz&"),
        (WHOLE.encode().replace(b"/y", b"/\xe9&"), 1, "/\ufffd&"),
        (b"https://a.example/x\n/y\nsee also\n", 2, "/y"),
        (rss("<link>https://a.example/x</link>", "<title>T</title>"), 1, "<item>"),
        (rss("<link>https://a.example/x</link>", '<guid isPermaLink="false">7</guid>'), 1, "<item>"),
        (feed('<link href="https://a.example/x"/>', '<link rel="self" href="/y"/>'), 1, "<entry>"),
    ],
    ids=["endless", "endless-as-written-in-addresses", "empty-and-scheme", "no-loc", "element-within", "control",
         "not-utf-8", "lines", "no-link", "no-permalink", "no-alternate"],
)
def test_what_names_no_address_is_counted_and_shown(body, unread, example):
    found = read(body, keep=Site.of("https://a.example").path)
    assert found.locations == ("/x",)
    assert (found.partial, found.unread) == (None, unread)
    assert found.example == example


BROKEN = {
    "truncated": (urlset("/x", "/long-name").split(b"ong-name")[0], ("/x",), "breaks off"),
    "gzip-truncated": (gzip.compress(urlset("/x", *(f"/{n * n * 7919}" for n in range(900))))[:2000], None, "gzip"),
    "unclosed": (urlset("/x").replace(b"</urlset>", b""), ("/x",), "breaks off"),
    "html": (b"<!DOCTYPE html><html><body>404</body></html>", (), "DTD"),
    "html-plain": (b"<html><body>404</body></html>", (), "no sitemap"),
    "empty": (b"", (), "empty"),
    "mended-and-cut": (urlset("/a?b&c", "/x", "/long-name").split(b"ong-name")[0], ("/a?b&c", "/x"), "breaks off"),
    "mended-and-unclosed": (urlset("/a?b&c", "/x").replace(b"</urlset>", b""), ("/a?b&c", "/x"), "breaks off"),
    "json": (b'{"pages": ["https://a.example/x"]}', (), "neither XML nor"),
    "words": (b"not found\n", (), "neither XML nor"),
    "binary": (bytes(range(256)), (), "neither XML nor"),
    "comment-without-end": (urlset("/x", "/y&").replace(b"<lastmod>", b"<!--", 1), ("/x",), "breaks off"),
    "dtd-and-ampersand": (b"<!DOCTYPE urlset><urlset><url><loc>/x?a&b</loc></url></urlset>", (), "DTD"),
    "dtd-behind": (b'<urlset><url><loc>/x?a&b</loc></url><!DOCTYPE u [<!ENTITY x "y">]></urlset>', (), "breaks off"),
    "nested-and-broken": (b"<urlset>&" + b"<a>" * 100_000 + b"</a>", (), "nested"),
    "billion-laughs": (
        b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><urlset><url><loc>&b;</loc></url></urlset>', (), "DTD",
    ),
    "external-entity": (
        b'<!DOCTYPE u [<!ENTITY x SYSTEM "file:///etc/passwd">]><urlset><url><loc>&x;</loc></url></urlset>', (), "DTD",
    ),
    "external-dtd": (b'<!DOCTYPE urlset SYSTEM "http://127.0.0.1/x.dtd"><urlset/>', (), "DTD"),
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
        st.text("<>&/!-[]?urlset oc\n:;\x00\ufffd", max_size=200).map(lambda text: f"<urlset>{text}</urlset>".encode()),
        st.text("<>&/ https:exampl.\n", max_size=200).map(str.encode),
        st.tuples(st.integers(0, 400), st.binary(max_size=8)).map(
            lambda cut: urlset("/a", "/b", "/c")[: cut[0]] + cut[1] + urlset("/a", "/b", "/c")[cut[0] :]
        ),
    )
)
def test_no_bytes_break_it(body):
    found = read(body, max_kept=5)
    assert len(found.locations) <= 5
    assert found.partial is not None or found.kind is not None


def dated(*entries, outer="urlset"):
    """A sitemap whose entries hold just that."""
    return f"<{outer}>{''.join(f'<url>{entry}</url>' for entry in entries)}</{outer}>".encode()


A, B = "<loc>https://t.example/a</loc>", "<loc>https://t.example/b</loc>"
MAY, JUNE = "<lastmod>2031-05-01</lastmod>", "<lastmod>2031-06-01</lastmod>"


class TestWhenPagesWereLastChanged:
    @pytest.mark.parametrize(("body", "modified"), [
        (dated(A + MAY, JUNE + B), ["2031-05-01", "2031-06-01"]),  # on either side of the address
        (dated(A + "<lastmod>\n 2031-05-01\n</lastmod>", B), ["2031-05-01", ""]),
        (dated(A, B + JUNE), ["", "2031-06-01"]),
        (dated(A + MAY, A + MAY, B + JUNE), ["2031-05-01", "2031-06-01"]),
        (dated(A + MAY, A + JUNE, B + JUNE), ["", "2031-06-01"]),  # of two nobody knows which one to believe
        (dated(A + MAY, A, B + JUNE), ["", "2031-06-01"]),
        (dated(A, A + MAY, B + JUNE), ["", "2031-06-01"]),
        (dated(A + MAY + JUNE, B + JUNE + JUNE), ["", "2031-06-01"]),
        (dated(A + f"<x>{MAY}</x>", B + JUNE), ["", "2031-06-01"]),  # not the page's own
        (dated(A + "<lastmod><![CDATA[2031-05-01]]></lastmod>", B + JUNE), ["2031-05-01", "2031-06-01"]),
        (dated(A + "<lastmod>" + "9" * 500 + "</lastmod>", B + JUNE), ["9" * 64, "2031-06-01"]),
        # the first one's end is missing
        (dated(A + MAY, B + JUNE).replace(b"</url><url>", b"<url>", 1), ["2031-05-01", "2031-06-01"]),
        (dated(A + MAY, B + JUNE).partition(b"06-01")[0], ["2031-05-01", ""]),  # cut
    ])
    def test_each_entry_says_its_own(self, body, modified):
        found = parse(body, max_body=10_000, dates=True)
        assert found.locations == ("https://t.example/a", "https://t.example/b")
        assert [found.modified.get(location, "") for location in found.locations] == modified

    def test_nobody_keeps_what_nobody_asked_for(self):
        assert parse(dated(A + MAY, B + JUNE), max_body=10_000).modified == {}

    def test_a_feed_says_nothing_of_that(self):
        feed = b"<rss><channel><item><link>https://t.example/a</link><pubDate>2031-05-01</pubDate></item></channel></rss>"
        found = parse(feed, max_body=10_000, dates=True)
        assert (found.locations, found.modified) == (("https://t.example/a",), {"https://t.example/a": ""})
