"""What texts, addresses and dates become on their way into a field."""

import pytest

from extractors.clean import KEY_CAP, clean, is_void, key_after, slug_after, slugify, web_url

BASE = "https://site.example/timeline/x"


@pytest.mark.parametrize(("text", "line"), [
    ("  a \n b\t\u00a0c\u2028d\x85e ", "a b c d e"),
    ("a\x00b\x1bc\x7fd\x9fe", "abcde"),
    ("right\u202eleft\u202c\u2066x\u2069", "rightleftx"),
    ("zero\u200bwidth\ufeff soft\u00adhyphen", "zerowidth softhyphen"),
    ("e\u0301", "é"),
    ("family \U0001f468\u200d\U0001f469", "family \U0001f468\u200d\U0001f469"),
    ("lone \ud800 surrogate", "lone surrogate"),
    ("=?utf-8?q?=0D=0ABcc:x?=", "=?utf-8?q?=0D=0ABcc:x?="),
    (None, ""), ("", ""), ("\x00", ""),
], ids=repr)
def test_clean(text, line):
    assert clean(text) == line


def test_clean_cuts():
    assert clean("abc def", 5) == "abc…"
    assert len(clean("x" * 10_000_000, 500)) == 500


@pytest.mark.parametrize(("address", "whole"), [
    ("https://img.example/a.png", "https://img.example/a.png"), ("/a.png", "https://site.example/a.png"),
    ("a b.png", None), ("//evil.example/a", None), ("javascript:alert(1)", None), ("data:,x", None),
    ("java\nscript:x", None), ("https://u@evil.example/", None), ("http://127.0.0.1\\@evil.example/", None),
    ("https://[x/", None), ("https://", None), ("", None), (None, None), ("https://a.example:99999/", None),
    ("https://a.example/" + "x" * 3000, None),
], ids=repr)
def test_web_url(address, whole):
    assert web_url(address, BASE) == whole


@pytest.mark.parametrize(("address", "slug"), [
    ("/category/research", "research"), ("/category/research/", "research"), ("/category/research?x=1#y", "research"),
    ("https://other.example/category/research", "research"), ("/category/", None), ("/category/a/b", None),
    ("/era/x", None), ("//category/x", None), ("http://[x", None), (None, None), ("", None),
], ids=repr)
def test_slug_after(address, slug):
    assert slug_after(address, "/category/") == slug


@pytest.mark.parametrize(("length", "is_key"), [(300, True), (KEY_CAP, True), (KEY_CAP + 1, False)])
def test_a_key_may_be_as_long_as_a_path(length, is_key):
    slug = "x" * length
    assert key_after(f"/timeline/{slug}", "/timeline/") == (slug if is_key else None)
    assert key_after(f"/timeline/{slug[:-2]}.x?a#b", "/timeline/") == (f"{slug[:-2]}.x" if is_key else None)


def test_labels():
    assert slugify("Regulation & Policy") == "regulation-policy"
    assert slugify("Université") == "universite"
    assert slugify("日本") == ""
    assert is_void("undefined")
    assert not is_void("Undefined behaviour")
