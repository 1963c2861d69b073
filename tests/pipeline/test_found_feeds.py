"""Feeds that a look finds by itself: what they bring, what is left out, and what nobody hears of."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from milepost.dates import utc_now
from milepost.records import LookReport
from milepost.settings import Settings, parse
from pipeline.doctor import Finding, _feeds
from pipeline.look.scrape import scrape
from pipeline.operate.standing import stand, standing_to_json
from pipeline.sources import check_source
from store.archive import source_feeds
from store.archive.snapshots import Snapshots
from store.archive.source_feeds import SourceFeeds
from store.database import Database, connect
from store.milestones.milestones import Milestones
from tests.pipeline import prepared
from tests.pipeline.file_server import Answer, FileServer, serving
from tests.pipeline.replaying import announce
from tests.pipeline.test_feed import NEWS, THINGS, item, rss
from tests.store.conftest import _empty, postgresql_server, postgresql_shared  # noqa: F401

FEED = "https://harbour.example/feed.xml"
Look = Callable[..., tuple[dict[str, int], LookReport, tuple[str, ...]]]


def page(thing: str, *, dated: str = "") -> str:
    when = f"<time datetime={dated}>{dated}</time>" if dated else ""
    return (f"<!doctype html><html><body><main><article><h1>The {thing} of the harbour</h1>{when}"
            f"<p>The {thing} points to the quay, where it was bought by those who know the tides.</p></article></main>"
            "</body></html>")


def front(*things: str, feeds: str = "<link rel=alternate type=application/rss+xml href=/feed.xml>") -> str:
    links = "".join(f"<li><a href=/log/{thing}>The {thing}</a>" for thing in things)
    return f"<!doctype html><html><head>{feeds}</head><body><main><ul>{links}</ul></main></body></html>"


def feed(*numbers: int) -> str:
    return rss([item(number, link="https://harbour.example/log/{}",
                     title=f"The {THINGS[number]} of the harbour") for number in numbers])


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as server:
        for thing in THINGS[:8]:
            server.put(f"/log/{thing}", page(thing), "text/html")
        server.put("/", front(*THINGS[:3]), "text/html")
        server.put("/feed.xml", feed(2, 1, 0), "application/rss+xml")
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database with all tables and nothing in them, on either engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'milepost.db'}"
    shared: Database = request.getfixturevalue("postgresql_shared")
    _empty(shared)
    return shared.url.render_as_string(hide_password=False)


@pytest.fixture
def look(server: FileServer, store: str) -> Any:
    """Look with these `feeds`, and tell (what changed, the look, what is announced)."""
    made: list[Settings] = []

    def look(feeds: Any = None, **source: Any) -> tuple[dict[str, int], LookReport, tuple[str, ...]]:
        settings = parse({
            "store": {"url": store}, "fetch": {"retries": 0, "min_interval": 0},
            "sources": [{
                "key": "harbour", "extractor": "generic", "options": {"milestones": "/log/", "listings": ["/"]},
                "base_url": "https://harbour.example", "fetch_from": server.url, "allow_hosts": ["127.0.0.1"],
            } | ({} if feeds is None else {"feeds": feeds}) | source],
        })
        if not made and store.startswith("sqlite:"):
            prepared.copy("empty", settings)
        made.append(settings)
        look.settings = settings  # type: ignore[attr-defined]
        report = scrape(settings, "harbour")
        told = {kind: count for kind, count in report.changes.items() if count}
        return told, report, () if report.baseline else announce(settings, utc_now())

    return look


def known(look: Any) -> dict[str, Any]:
    with connect(look.settings.store.url) as database:
        return {key: one.milestone for key, one in Milestones(database).known("harbour").items()}


def noted(look: Any) -> SourceFeeds | None:
    with connect(look.settings.store.url) as database:
        return source_feeds.noted(database, "harbour")


def shown_by(look: Any) -> set[str]:
    """The listings with cards."""
    with connect(look.settings.store.url) as database:
        return {place for cards in Snapshots(database).cards("harbour").values() for place, _ in cards}


def doctor(look: Any) -> list[Finding]:
    return [one for one in _feeds(look.settings) if one.check == "source harbour"]


@pytest.mark.parametrize(("place", "tag", "body", "served"), [
    ("/feed.xml", "<link rel=alternate type=application/rss+xml href=/feed.xml>", feed(3, 2), "text/xml"),
    ("/?feed=atom", '<link rel="alternate" type="application/atom+xml" href="?feed=atom">',
     '<feed xmlns="http://www.w3.org/2005/Atom"><title>Harbour</title>' + "".join(
         f"<entry><id>{n}</id><title>The {THINGS[n]} of the harbour</title><link href='/log/{THINGS[n]}'/>"
         f"<published>2031-03-0{n + 1}T10:00:00Z</published></entry>" for n in (3, 2)) + "</feed>",
     "application/atom+xml"),
    ("/f.json", "<link rel='feed alternate' type='application/feed+json' href='/f.json'>",
     '{"version": "https://jsonfeed.org/version/1.1", "title": "Harbour", "items": [' + ", ".join(
         f'{{"id": "{n}", "title": "The {THINGS[n]} of the harbour", "url": "https://harbour.example/log/{THINGS[n]}",'
         f' "date_published": "2031-03-0{n + 1}T10:00:00Z"}}' for n in (3, 2)) + "]}", "application/feed+json"),
])
def test_a_feed_that_a_listing_advertises_dates_pages_and_leads_to_new_ones(
    server: FileServer, look: Any, place: str, tag: str, body: str, served: str
) -> None:
    server.put("/", front(*THINGS[:3], feeds=tag), "text/html", ETag='"one"')
    server.put(place, body, served, ETag='"one"')
    _, report, _ = look("auto")
    assert (report.milestones, report.state, report.failures) == (4, "complete", ())
    assert {key: record.date and record.date.value for key, record in known(look).items()} == {
        "anchor": None, "buoy": None, "compass": "2031-03-03", "dredge": "2031-03-04"}
    assert [one.witness for one in known(look)["dredge"].evidence["title"]] == ["headings", "card"]
    assert noted(look) == SourceFeeds(used={f"https://harbour.example{place.replace('?', '%3F')}": 2})
    told, report, _ = look("auto")
    assert (told, report.state, server.asked.count(f"{place} 304")) == ({}, "complete", 1)
    assert doctor(look)[0].ok is True
    assert "which names 2 pages" in doctor(look)[0].says
    assert any("which names 2 pages" in one for one in check_source(look.settings, "harbour").feeds)
    [source] = standing_to_json(stand(look.settings, now=utc_now()), look.settings)["figures"]["sources"]
    assert source["feeds"] == {"used": 1, "ignored": 0, "lost": 0, "unused": 0}


def test_a_news_sitemap_is_a_feed_too(server: FileServer, look: Any) -> None:
    server.put("/sitemap.xml", NEWS.format(3, "compass"), "application/xml")
    server.put("/", front(*THINGS[:3], feeds=""), "text/html")
    look()
    assert known(look)["compass"].date is None
    told, report, news = look("auto")
    assert (told, news, report.state) == ({"enriched": 1}, (), "complete")
    assert known(look)["compass"].date.value == "2031-03-03"
    assert noted(look).used == {"https://harbour.example/sitemap.xml": 1}  # type: ignore[union-attr]


def test_without_the_setting_nothing_is_asked_and_a_hint_says_what_there_is(server: FileServer, look: Any) -> None:
    look()
    before = known(look)
    told, report, news = look()
    assert (told, news, report.state, report.notes) == ({}, (), "complete", ())
    assert known(look) == before
    assert "/feed.xml" not in server.asked
    [finding] = doctor(look)
    assert finding.ok is None
    assert f"it advertises {FEED}, which nobody uses" in finding.says
    assert stand(look.settings, now=utc_now()).conditions == ()
    look([])  # asked for none, by name: that is no setting
    look(["/feed.xml"])
    assert doctor(look)[0].ok is True


@pytest.mark.parametrize("setting", ["auto", ["/feed.xml"]])
def test_what_a_feed_named_before_it_was_asked_for_is_no_news(
    server: FileServer, look: Any, setting: Any
) -> None:
    look()
    server.put("/feed.xml", feed(5, 4, 3, 2, 1, 0), "application/rss+xml")
    told, report, news = look(setting)
    assert (told["added"], news, report.held) == (3, (), None)
    assert any("stood in a feed when that was first read" in note and "dredge" in note for note in report.notes)
    server.put("/feed.xml", feed(6, 5, 4, 3, 2, 1), "application/rss+xml")
    told, report, news = look(setting)
    assert (told, news) == ({"added": 1}, ("gangway",))
    server.put("/", front("islet", *THINGS[:3]), "text/html")  # and what its listing names is, as ever
    server.put("/log/islet", page("islet"), "text/html")
    assert look(setting)[2] == ("islet",)


def test_what_each_of_two_new_feeds_named_is_no_news(server: FileServer, look: Any) -> None:
    look()
    server.put("/", front(*THINGS[:3], feeds="".join(
        f"<link rel=alternate type=application/rss+xml href=/{name}.xml>" for name in ("feed", "other"))), "text/html")
    server.put("/feed.xml", feed(3, 2), "application/rss+xml")
    server.put("/other.xml", feed(4, 1), "application/rss+xml")
    told, _, news = look("auto")
    assert (told["added"], news) == (2, ())
    assert sorted(known(look)) == ["anchor", "buoy", "compass", "dredge", "ensign"]


def test_what_came_out_since_the_look_before_is_news_also_when_the_feed_is_new(server: FileServer, look: Any) -> None:
    look()
    today = utc_now().strftime("%d %b %Y %H:%M:%S GMT")
    late = re.sub(r"(?<=<pubDate>)04 Mar 2031 10:00:00 GMT", today, feed(3)).removeprefix('<?xml version="1.0"?>')
    old = re.sub(r"(?<=<pubDate>)05 Mar 2031", "05 Mar 2021", feed(4))
    server.put("/feed.xml", old.replace("</channel>", late[late.index("<item>"):late.index("</channel>")] +
                                        "</channel>"), "application/rss+xml")
    told, _, news = look("auto")
    assert (told["added"], news) == (2, ("dredge",))


def test_what_could_not_be_had_at_first_is_no_news_later(server: FileServer, look: Any) -> None:
    look()
    server.put("/feed.xml", feed(3, 2, 1, 0), "application/rss+xml")
    server.answers["/log/dredge"] = Answer(status=503)
    look("auto")
    server.put("/log/dredge", page("dredge"), "text/html")
    told, _, news = look("auto")
    assert (told, news) == ({"added": 1}, ())
    assert noted(look).stood == ()  # type: ignore[union-attr]


def test_what_is_left_out_is_told_with_the_reason(server: FileServer, look: Any) -> None:
    tags = "".join(f"<link rel=alternate type=application/rss+xml href={place}>" for place in (
        "/feed.xml", "/comments/feed.xml", "https://elsewhere.example/feed", "/dead.xml", "/page.xml", "/fourth.xml"))
    server.put("/", front(*THINGS[:3], feeds=tags), "text/html")
    server.put("/page.xml", page("halyard"), "text/html")
    _, report, _ = look("auto")
    assert (report.state, report.failures, report.failed) == ("complete", (), 0)
    assert noted(look) == SourceFeeds(used={FEED: 3}, ignored={
        "https://harbour.example/comments/feed.xml": "it is of comments",
        "https://elsewhere.example/feed": "it is on another host",
        "https://harbour.example/dead.xml": "it answers 404",
        "https://harbour.example/page.xml": "it is neither a feed nor a sitemap",
        "https://harbour.example/fourth.xml": "3 are asked for already",
    })
    assert "/fourth.xml" not in server.asked


@pytest.mark.parametrize(("answer", "why"), [
    (Answer(status=404), "it answers 404"), (Answer(status=503), "503"),
    (Answer(b"<!doctype html><html><p>For sale.</p></html>", "text/html"), "neither a feed"),
])
def test_a_feed_that_dies_is_told_until_it_is_back_or_advertised_no_more(
    server: FileServer, look: Any, answer: Answer, why: str
) -> None:
    look("auto")
    kept, server.answers["/feed.xml"] = server.answers["/feed.xml"], answer
    for _ in range(2):
        told, report, _ = look("auto")
        assert (told, report.state) == ({}, "degraded")
        assert why in " ".join(report.degraded)
        [condition] = stand(look.settings, now=utc_now()).conditions
        assert condition.kind == "setting-silent"
    assert known(look)["compass"].date.value == "2031-03-03"
    server.answers["/feed.xml"] = kept
    told, report, _ = look("auto")
    assert (told, report.state) == ({}, "complete")
    server.answers["/feed.xml"] = answer
    look("auto")
    server.put("/", front(*THINGS[:3], feeds="<link rel=alternate type=application/rss+xml href=/new.xml>"),
               "text/html")
    server.put("/new.xml", feed(2, 1, 0), "application/rss+xml")
    told, report, _ = look("auto")
    assert (told, report.state) == ({}, "complete")
    assert any(f"{FEED} is advertised no more" in note for note in report.notes)
    assert noted(look).used == {"https://harbour.example/new.xml": 3}  # type: ignore[union-attr]


def test_what_a_feed_told_stands_when_it_is_switched_off_and_on(server: FileServer, look: Any) -> None:
    look("auto")
    assert shown_by(look) == {FEED}
    told, report, _ = look()
    assert (told, report.state) == ({}, "complete")
    assert known(look)["compass"].date.value == "2031-03-03"
    assert shown_by(look) == set()  # what nobody asks any more is no witness
    assert noted(look) == SourceFeeds(unused=(FEED,))
    server.put("/feed.xml", feed(4, 3, 2), "application/rss+xml")
    told, _, news = look("auto")
    assert (told["added"], news) == (2, ())


@pytest.mark.parametrize(("source", "why"), [
    ({"extractor": "feed", "options": {"path": "/feed.xml"}}, "no pages of their own"),
    ({"options": {"milestones": "/log/", "listings": ["/plain"]}}, "its listings advertise none"),
])
def test_a_setting_that_finds_no_feed_says_so(server: FileServer, look: Any, source: Any, why: str) -> None:
    server.put("/plain", front(*THINGS[:3], feeds=""), "text/html")
    _, report, _ = look("auto", **source)
    assert report.state == "degraded"
    assert why in " ".join(report.degraded)
    look(None, **source)
    assert stand(look.settings, now=utc_now()).conditions == ()
