"""Markup that libxml2 takes minutes over is refused before it is parsed, whatever quotes and comments are around it."""

import random

import pytest
from lxml import etree

from extractors import dom, markup, registry
from milepost.errors import ExtractError
from milepost.records import Page

FEW = b" ".join(b"a%d=1" % number for number in range(markup.MAX_ATTRIBUTES))
MANY = FEW + b" one-more=1"


@pytest.fixture(autouse=True)
def _look_at_small_ones(monkeypatch):
    monkeypatch.setattr(markup, "SMALL", 0)


def refused(data):
    try:
        markup.check(data)
    except ExtractError:
        return True
    return False


@pytest.mark.parametrize("tag", [
    b"<p %b>", b"<P\t%b>", b"<p/%b>", b"</p %b>", b"<p a='>' %b>", b'<p a=">" %b>', b"<p a=x>y' <i %b>", b"<x:y %b",
    b"<p a\"b %b>", b"<p =\"> <i %b>", b"<script %b></script>", b"<plaintext %b>", b"<p \x0b %b>", b"<p a=\n\"'\" %b>",
])
@pytest.mark.parametrize("before", [
    b"", b"<!-- ' -->", b"<!-->", b"<!--->", b"<!-- --!>", b"<script>if (a<b) x = '\"</p>'</script>",
    b"<script><!-- <script> </script> ' --></script>", b"<script><!-- ' </script>", b"<style>p > a[b=\"'] {}</style>",
    b"<title>it's <p a=\"</title>", b"<textarea><p a='</textarea>", b"<!doctype html \">", b"<? ' ?>", b"</ '>",
    b"<![CDATA[ ' ]]>", b"<p title=\"[&>svg]\" x='\"'>", b"1 < 2 <3", b"<iframe><!-- </iframe>",
])
def test_a_tag_with_too_many_attributes_is_found(before, tag):
    assert refused(b"<html><body>" + before + tag % MANY)
    if tag.count(b"%b") == 1 and b"=" not in tag.replace(b"=1", b"") and b"b %b" not in tag and b"\x0b" not in tag:
        assert not refused(b"<html><body>" + before + tag % FEW)


@pytest.mark.parametrize("text", [
    b"<!-- <p %b> -->", b"<script>x = '<p %b>'</script>", b"<style><p %b></style>", b"<title><p %b></title>",
    b"<textarea><p %b></textarea>", b"<p title='<p %b>'>", b"<p title=\"<p %b>\">", b"<!doctype %b>", b"< p %b>",
    b"<script><!-- <script> </script> <p %b> --></script>", b"<plaintext><p %b>",
])
def test_what_only_looks_like_such_a_tag_is_none(text):
    assert not refused(b"<html><body>" + text % MANY + b"</body></html>")


def test_too_many_tags():
    assert refused(b"<i>" * (markup.MAX_TAGS + 1))
    assert not refused(b"<i>" * 1000)


def test_pages_of_the_site_pass(aitimeline):
    for page in aitimeline.pages.values():
        assert not refused(page.text.encode())


def test_no_soup_of_signs_hides_a_tag_from_it(monkeypatch):
    """Whatever stands around it: where lxml finds a tag with more attributes than allowed, we found one before."""
    monkeypatch.setattr(markup, "MAX_ATTRIBUTES", 3)
    monkeypatch.setattr(markup, "_SHORT", 6)
    signs = [
        b"<", b">", b'"', b"'", b"=", b" ", b"/", b"a", b"<p ", b"<!--", b"-->", b"--!>", b"<script", b"</script",
        b"<style>", b"</style>", b"<title>", b"</title>", b"<textarea>", b"</textarea>", b"<noscript>", b"<iframe>",
        b"</iframe>", b"<xmp>", b"</xmp>", b"<![CDATA[", b"]]>", b"<?x", b"?>", b"<svg>", b"\n", b"-", b"!",
        b"<!doctype ", b"\x0c", b"\x01", b"</p ", b'=">" ', b"='>' ",
    ]
    dice = random.Random(7)  # noqa: S311
    found = 0
    for _ in range(4000):
        data = b"<html><body>" + b"".join(dice.choices(signs, k=12)) + b"<p " + b" ".join(
            b"z%d=1" % number for number in range(8)
        ) + dice.choice([b">", b'">', b"'>", b" -->"])
        root = etree.fromstring(data, dom._PARSER)
        most = max((len(node.attrib) for node in root.iter(etree.Element)), default=0)
        if most > 3:
            found += 1
            assert refused(data), data
    assert found > 500


@pytest.mark.parametrize("build", [b"<main><p %b>x</p></main>", b"<div><p %b>x</p></div>"], ids=["cut", "whole"])
def test_both_ways_of_parsing_look_first(build):
    text = b"<html><body>" + build % MANY + b"<h1>x</h1></body></html>"
    with pytest.raises(ExtractError, match="more than 256 attributes"):
        (dom.cut(text.decode()) if b"<main" in text else dom.whole(text.decode()))


def test_pieces_of_text_between_comments_are_one_text():
    parts = dom.whole("<html><body>" + "<!-- -->x" * 5 + "<i>y</i>" + "z<!-- -->" * 3 + "</body></html>")
    assert (parts.root.text, parts.root[0].tail) == ("xxxxx", "zzz")


def test_a_page_that_speaks_of_json_ld_all_the_time_is_not_cut():
    assert dom.cut("<main>" + "application/ld+json " * 300 + "</main>") is None


@pytest.mark.parametrize(("head", "url"), [
    ("", "https://a.example/timeline"), ("", "https://a.example/timeline/"),
    ("<base href='/timeline/'>", "https://a.example/"),
])
def test_cards_are_found_behind_relative_links(head, url):
    links = ["alpha", "./beta", "gamma/", "../timeline/delta", "/timeline/eps", "https://a.example/timeline/zeta"]
    cards = "".join(f"<li><a href={link}><h3>T</h3></a></li>" for link in links)
    text = f"<html><head>{head}</head><body><main><ul>{cards}</ul></main></body></html>"
    found = registry.get("generic").cards(Page(url=url, text=text))
    assert [card.key for card in found] == ["alpha", "beta", "gamma", "delta", "eps", "zeta"]
