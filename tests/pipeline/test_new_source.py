"""A site that nobody follows yet is tried, and added: six kinds of it, and what is none."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from milepost.settings import load
from tests.console.terminal import milepost
from tests.pipeline.file_server import FileServer, serving
from tests.pipeline.test_feed import window

SETTINGS = """# Ours.
[store]
url = "sqlite:///milepost.db"  # beside this file

[[sources]]
key = "other"  # the first
extractor = "sample"
base_url = "https://clockwork.example"

[fetch]
retries = 0  # be quick
min_interval = 0
"""
ARTICLE = """<!doctype html><html lang="en"><head><title>Iron Span – Bridges</title>
<link rel="alternate" type="application/rss+xml" title="Comments" href="/comments.xml">
<link rel=alternate type=application/atom+xml href="feed.xml">
<script type="application/ld+json">{"@context": "https://schema.org", "@type": "Article", "headline": "Iron Span opens",
"startDate": "1931-03-01", "description": "The iron span carries the first tram."}</script></head>
<body><main><article><h1>Iron Span opens</h1><time datetime="1931-03-04">4 March 1931</time>
<h2>What happened</h2><p>The iron span carries the first tram.</p></article></main></body></html>"""
LIST = "<!doctype html><html><body><main><ul>" + "".join(
    f'<li id="u{n}"><time datetime="2031-03-0{n}">then</time><h3>Umbrella {n}</h3><p>It opens {n} ways.</p></li>'
    for n in range(1, 6)
) + "</ul></main></body></html>"
EMPTY = ('<!doctype html><html><head><title>App</title></head><body><div id="root"></div>'
         '<script src="/app.js"></script></body></html>')


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "milepost.toml").write_text(SETTINGS, encoding="utf-8")
    return tmp_path


def tried(server: FileServer, folder: Path, path: str, *more: str) -> tuple[int, dict[str, Any]]:
    done = milepost("source", "try", server.url + path, "--allow-host", "127.0.0.1", "--json", *more, cwd=folder)
    return done.returncode, json.loads(done.stdout) if done.stdout else {"error": done.stderr}


def changelog(releases: int) -> str:
    return "# Kiln\n\n" + "\n".join(
        f"## [1.{n}.0] - 2031-03-0{n}\n\n- Brick {n} is laid.\n" for n in range(releases, 0, -1))


@pytest.mark.parametrize(("path", "body", "content_type", "extractor", "newest"), [
    ("/news/feed?as=rss", window(7), "text/html", "feed", ("2031-03-08", "The halyard of the harbour is new")),
    ("/CHANGELOG.md", changelog(4), "text/plain", "changelog", ("2031-03-04", "1.4.0")),
    ("/umbrellas", LIST, "text/html", "list", ("2031-03-05", "Umbrella 5")),
    ("/api?n=5", json.dumps({"meta": {}, "data": {"items": [
        {"uuid": f"k{n}", "name": f"Kite {n}", "publishedAt": f"2031-02-0{n}T00:00:00Z", "html_url": f"/kites/{n}",
         "body": f"It flew {n} times."} for n in range(1, 5)], }, "next": "/api?n=5&page=2"}),
     "application/json", "json", ("2031-02-04", "Kite 4")),
    ("/bridges.csv", "Nr;Name;Opened\n1;Iron Span;1931-03-04\n2;Rope Walk;1930\n", "text/csv", "csv",
     ("1931-03-04", "Iron Span")),
    ("/bridges/iron-span", ARTICLE, "text/html", "generic", ("1931-03-04", "Iron Span opens")),
])
def test_what_an_address_is_and_how_it_would_read(
    server: FileServer, folder: Path, path: str, body: str, content_type: str, extractor: str, newest: tuple[str, str],
) -> None:
    server.put(path, body, f"{content_type}; charset=utf-8")
    code, told = tried(server, folder, path)
    best = told["best"]
    assert isinstance(best, dict), told
    assert (code, best["source"]["extractor"]) == (0, extractor)
    assert (best["entries"][0]["date"], best["entries"][0]["title"]) == newest
    assert not (folder / "milepost.db").exists()
    done = milepost("source", "add", server.url + path, "--allow-host", "127.0.0.1", "--key", "new", cwd=folder)
    assert done.returncode == 0, done.stderr
    written = (folder / "milepost.toml").read_text(encoding="utf-8")
    for line in SETTINGS.splitlines():
        assert line in written
    [_, source] = load(folder / "milepost.toml").sources
    assert (source.key, source.extractor) == ("new", extractor)
    if extractor == "feed":  # as a look reads it
        look = milepost("scrape", "new", "--json", "--dry-run", cwd=folder)
        assert json.loads(look.stdout)["found"] == best["found"], look.stderr


def test_of_the_feeds_that_a_page_links_to_those_left_out_are_told(server: FileServer, folder: Path) -> None:
    """A feed of comments is read, and is no witness of the site's own pages."""
    server.put("/bridges/iron-span", ARTICLE, "text/html")
    server.put("/bridges/feed.xml", window(7), "application/rss+xml")
    server.put("/comments.xml", window(7, title="A comment"), "application/rss+xml")
    _, told = tried(server, folder, "/bridges/iron-span", "--extractor", "generic")
    assert told["best"]["source"]["extractor"] == "generic"
    assert told["best"]["source"]["feeds"] == ["/bridges/feed.xml"]
    [sentence] = told["unused_feeds"]
    assert "/comments.xml" in sentence
    assert sentence.endswith("it is of comments.")


def test_an_article_s_site_may_have_a_feed_and_its_witnesses_may_differ(server: FileServer, folder: Path) -> None:
    server.put("/bridges/iron-span", ARTICLE, "text/html")
    server.put("/bridges/feed.xml", window(7), "application/rss+xml")
    _, told = tried(server, folder, "/bridges/iron-span")
    assert told["feeds"] == [f"{server.url}/bridges/feed.xml", f"{server.url}/comments.xml"]
    best, others = told["best"], told["others"]
    assert isinstance(best, dict)
    assert isinstance(others, list)
    assert (best["source"]["extractor"], best["found"]) == ("feed", 8)
    assert [(one["source"]["extractor"], bool(one["problem"])) for one in others] == [
        ("generic", False), ("feed", True)]
    assert "date" in others[0]["disputed"]
    assert others[0]["source"]["feeds"] == ["/bridges/feed.xml"]
    _, told = tried(server, folder, "/bridges/iron-span", "--extractor", "generic")
    best = told["best"]
    assert isinstance(best, dict)
    assert best["source"]["options"] == {"milestones": "/bridges/", "listings": ["/"]}
    assert best["source"]["feeds"] == ["/bridges/feed.xml"]


def test_what_stands_around_an_article_is_no_list_of_its_own(server: FileServer, folder: Path) -> None:
    related = LIST[LIST.index("<ul>"):LIST.index("</main>")]
    server.put("/bridges/iron-span", ARTICLE.replace("</main>", f"<h2>Related</h2>{related}</main>"), "text/html")
    _, told = tried(server, folder, "/bridges/iron-span")
    best = told["best"]
    assert isinstance(best, dict)
    assert (best["source"]["extractor"], best["entries"][0]["title"]) == ("generic", "Iron Span opens")


@pytest.mark.parametrize(("path", "body", "content_type", "why"), [
    ("/app", EMPTY, "text/html", "It seems to need its scripts"),
    ("/none", "<!doctype html><html><body><p>Welcome.</p></body></html>", "text/html", "nothing that could be"),
    ("/pdf", "%PDF-1.7", "application/pdf", "nothing that could be followed"),
    ("/private/x", "", "", "robots.txt forbids us"), ("/gone", "", "", "it answers 404"),
])
def test_where_nothing_can_be_read_says_why_and_adds_nothing(
    server: FileServer, folder: Path, path: str, body: str, content_type: str, why: str
) -> None:
    server.put("/robots.txt", "User-agent: *\nDisallow: /private/\n", "text/plain")
    if path != "/gone":
        server.put(path, body, content_type)
    for command in ("try", "add"):
        done = milepost("source", command, server.url + path, "--allow-host", "127.0.0.1", cwd=folder)
        assert done.returncode == 1
        assert why in done.stderr
    assert (folder / "milepost.toml").read_text(encoding="utf-8") == SETTINGS
    assert "/private/x" not in server.asked


def test_a_private_host_is_refused(server: FileServer, folder: Path) -> None:
    server.put("/feed", window(3), "text/xml")
    done = milepost("source", "try", f"{server.url}/feed", cwd=folder)
    assert (done.returncode, server.asked) == (1, [])
    assert "--allow-host 127.0.0.1" in done.stderr


def test_what_a_first_look_would_be_held_for_ends_in_3(server: FileServer, folder: Path) -> None:
    server.put("/CHANGELOG.md", "## 2.0 then what\n\n- x\n\n" + changelog(4), "text/markdown")
    done = milepost("source", "try", f"{server.url}/CHANGELOG.md", "--allow-host", "127.0.0.1", cwd=folder)
    assert done.returncode == 3
    assert "could not be read" in done.stdout


def test_a_feed_whose_ids_are_none_goes_by_its_links(server: FileServer, folder: Path) -> None:
    server.put("/feed", window(7, guid="https://harbour.example/"), "text/xml")
    _, told = tried(server, folder, "/feed")
    best = told["best"]
    assert isinstance(best, dict)
    assert (best["source"]["options"], best["found"]) == ({"path": "/feed", "key": "link"}, 8)


def test_a_source_is_added_once(server: FileServer, folder: Path) -> None:
    server.put("/feed", window(3), "text/xml")
    add = ("source", "add", f"{server.url}/feed", "--allow-host", "127.0.0.1")
    assert milepost(*add, "--key", "other", cwd=folder).returncode == 1
    assert milepost(*add, cwd=folder).returncode == 0
    again = milepost(*add, "--key", "again", cwd=folder)
    assert (again.returncode, "followed already" in again.stderr) == (1, True)
