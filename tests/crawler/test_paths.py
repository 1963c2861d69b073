"""One identity however an address was spelled."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.paths import Site, normal

PLAIN = Site.of("https://timeline.example", "http://127.0.0.1:8100/")
BELOW = Site.of("https://example.org/ai/", "http://127.0.0.1:8100")


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/timeline/x", "/timeline/x"),
        ("/timeline/x/", "/timeline/x"),
        ("/timeline/x?utm_source=a#b", "/timeline/x"),
        ("https://elsewhere.example/timeline/x", "/timeline/x"),
        ("HTTPS://timeline.example", "/"),
        ("//timeline.example/timeline/x", "/timeline/x"),
        ("timeline/x", "/timeline/x"),
        ("", "/"),
        ("///", "/"),
        ("/a//b", "/a/b"),
        ("/a/./b/../c", "/a/c"),
        ("/../../etc/passwd", "/etc/passwd"),
        ("/%61%2d%c3%a9", "/a-%C3%A9"),
        ("/é", "/%C3%A9"),
        ("/a b", "/a%20b"),
        ("/a;v=1", "/a;v=1"),
        ("/100%", "/100%"),
        ("/%2e%2e/x", "/x"),
        ("  /x\n", "/x"),
        ("/a\nb", None),
        ("/a\\b", None),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("mailto:a@example.org", None),
        ("https:///x", None),
        ("http://[::1/x", None),
        ("/" + "a" * 3000, None),
    ],
)
def test_a_site_at_the_root(location, path):
    assert PLAIN.path(location) == path


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("https://example.org/ai/x", "/x"),
        ("https://example.org/ai", "/"),
        ("/ai/x", "/x"),
        ("/x", "/x"),
        ("http://127.0.0.1:8100/x", "/x"),
        ("https://example.org/other/x", None),
        ("https://example.org/aix", None),
    ],
)
def test_a_site_below_a_path(location, path):
    assert BELOW.path(location) == path


def test_addresses():
    assert PLAIN.identity("/x") == "https://timeline.example/x"
    assert PLAIN.fetch_url("/x") == "http://127.0.0.1:8100/x"
    assert BELOW.identity("/") == "https://example.org/ai/"


@pytest.mark.parametrize(
    ("location", "own"),
    [("/x", "/x"), ("https://timeline.example/x", "/x"), ("http://127.0.0.1:8100/x", "/x"), ("//evil.example/x", None)],
)
def test_links_stay_on_the_site(location, own):
    assert PLAIN.path(location, own=True) == own


@pytest.mark.parametrize(
    ("site", "location", "place"),
    [
        (PLAIN, "https://timeline.example/sitemap.xml", "http://127.0.0.1:8100/sitemap.xml"),
        (PLAIN, "https://x.example/sitemap.xml?page=2&t=a b", "http://127.0.0.1:8100/sitemap.xml?page=2&t=a%20b"),
        (BELOW, "https://example.org/ai/sitemap.xml", "http://127.0.0.1:8100/sitemap.xml"),
        (BELOW, "https://example.org/sitemap.xml", "http://127.0.0.1:8100/sitemap.xml"),
        (PLAIN, "ftp://x.example/s.xml", None),
        (PLAIN, "/a\x01", None),
    ],
)
def test_sitemaps_come_from_the_mirror(site, location, place):
    assert site.asset(location) == place


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text(alphabet="/.%2eE?#:\\ a\n", max_size=40)))
def test_any_text_has_one_path_or_none(text):
    path = PLAIN.path(text)
    if path is not None:
        assert path.startswith("/")
        assert not path.startswith("//")
        assert path == "/" or not path.endswith("/")
        assert path.isascii()
        assert normal(path) == path
