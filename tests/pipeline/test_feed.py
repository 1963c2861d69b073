"""A feed that is watched: what its entries become, and what its site's own trouble does not make of them."""

import datetime as dt
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.commands.operate import _print_status
from extractors import registry
from milepost.dates import utc_now
from milepost.errors import SettingsError, SourceDownError
from milepost.records import LookReport
from milepost.settings import Settings, parse
from pipeline.look.scrape import scrape
from pipeline.operate.standing import stand, standing_to_json
from store.database import connect
from store.milestones.milestones import Milestones
from tests.pipeline import prepared
from tests.pipeline.file_server import Answer, FileServer, serving
from tests.pipeline.replaying import announce

PATH = "/news/feed.xml"
THINGS = ("anchor", "buoy", "compass", "dredge", "ensign", "fender", "gangway", "halyard", "islet", "jetty", "keel",
          "lantern", "mooring", "narrows", "oar", "pilot", "quay", "rudder", "sextant", "tiller")


def item(number: int, *, guid: str = "https://harbour.example/?p={}", link: str = "https://harbour.example/{}/",
         title: str = "", text: str = "") -> str:
    thing = THINGS[number]
    return (
        f"<item><title>{title or f'The {thing} of the harbour is new'}</title><link>{link.format(thing)}</link>"
        f"<guid>{guid.format(number)}</guid><pubDate>{number + 1:02} Mar 2031 10:00:00 GMT</pubDate>"
        f"<description>{text or f'A {thing} was bought, since the old {thing} sank with number {number}.'}"
        "</description></item>"
    )


def rss(items: list[str]) -> str:
    return f'<?xml version="1.0"?><rss version="2.0"><channel><title>Harbour</title>{"".join(items)}</channel></rss>'


def window(newest: int, of: int = 8, **how: str) -> str:
    return rss([item(number, **how) for number in range(newest, newest - of, -1)])


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as server:
        server.put(PATH, window(7), "application/rss+xml")
        yield server


@pytest.fixture
def settings(server: FileServer, tmp_path: Path) -> Settings:
    settings = parse({
        "store": {"url": f"sqlite:///{tmp_path / 'milepost.db'}"}, "fetch": {"retries": 0, "min_interval": 0},
        "sources": [{
            "key": "harbour", "extractor": "feed", "options": {"path": PATH}, "base_url": "https://harbour.example",
            "allow_hosts": ["127.0.0.1"], "fetch_from": server.url,
        }],
    })
    prepared.copy("empty", settings)
    return settings


def look(settings: Settings, *, full: bool = False) -> LookReport:
    return scrape(settings, "harbour", full=full)


def told(report: LookReport) -> dict[str, int]:
    return {kind: count for kind, count in report.changes.items() if count}


def lost(settings: Settings) -> dict[str, int]:
    """What `status` tells of entries that left the list."""
    [source] = standing_to_json(stand(settings, now=utc_now()), settings)["figures"]["sources"]
    return dict(source["lost_entries"])


def test_an_entry_is_a_milestone_that_links_to_its_own_page(server: FileServer, settings: Settings) -> None:
    first = look(settings)
    assert (first.baseline, first.held, first.failures, first.milestones) == (True, None, (), 8)
    server.put(PATH, window(8), "text/html")  # as many are served
    assert told(look(settings)) == {"added": 1}
    assert announce(settings, utc_now()) == ("p=8",)
    with connect(settings.store.url) as database:
        record = Milestones(database).known("harbour")["p=8"].milestone
    assert (record.url, record.page) == ("https://harbour.example/islet/", f"https://harbour.example{PATH}")
    assert record.date is not None
    assert record.date.value == "2031-03-09"


@pytest.mark.parametrize("link", ["https://harbour.example/{}/", ""])
def test_what_falls_out_of_a_feed_is_never_withdrawn(server: FileServer, settings: Settings, link: str) -> None:
    server.put(PATH, window(7, link=link, guid="urn:{}"), "application/rss+xml")
    look(settings)
    server.put(PATH, window(15, link=link, guid="urn:{}"), "application/rss+xml")
    assert told(look(settings)) == {"added": 8}
    server.put(PATH, window(15, of=1, link=link, guid="urn:{}"), "application/rss+xml")
    for _ in range(2):
        report = look(settings)
        assert (told(report), report.held, report.milestones) == ({}, None, 16)


def test_an_unchanged_feed_costs_a_304(server: FileServer, settings: Settings) -> None:
    server.put(PATH, window(7), "application/rss+xml", ETag='"one"')
    look(settings)
    report = look(settings)
    assert (server.asked[-1], report.not_modified, told(report), report.state) == (f"{PATH} 304", 1, {}, "complete")


def test_a_feed_is_asked_for_with_its_query(server: FileServer, settings: Settings) -> None:
    [source] = settings.sources
    queried = settings.model_copy(update={
        "sources": (source.model_copy(update={"options": {"path": "/?feed=rss2&n=8"}}),),
    })
    server.put("/?feed=rss2&n=8", window(7), "text/xml")
    assert look(queried).milestones == 8
    assert server.asked[-1] == "/?feed=rss2&n=8"
    assert look(queried).state == "complete"


def test_a_feed_that_moved_is_followed(server: FileServer, settings: Settings) -> None:
    look(settings)
    server.answers[PATH] = Answer(status=301, headers={"Location": f"{server.url}/moved?as=rss"})
    server.put("/moved?as=rss", window(8), "application/xml")
    report = look(settings)
    assert (told(report), report.state) == ({"added": 1}, "complete")
    assert f"is had from {server.url}/moved?as=rss by now" in " ".join(report.notes)


@pytest.mark.parametrize("other", [
    {"guid": "http://harbour.example/?p={}"}, {"guid": "https://www.harbour.example/?p={}"},
    {"guid": "https://harbour.example/?p={}&amp;utm_source=rss"},
])
def test_ids_that_only_moved_to_https_are_the_same(
    server: FileServer, settings: Settings, other: dict[str, Any]
) -> None:
    look(settings)
    server.put(PATH, window(7, **other), "application/rss+xml")
    report = look(settings)
    assert (told(report), report.questions) == ({}, ())


def test_new_ids_of_the_same_pages_are_no_news(server: FileServer, settings: Settings) -> None:
    """A site that changes the program which writes its feed."""
    look(settings)
    server.put(PATH, window(7, guid="urn:harbour:{}"), "application/rss+xml")
    report = look(settings)
    assert (told(report), report.held) == ({"renamed": 8}, None)
    assert announce(settings, utc_now()) == ()
    with connect(settings.store.url) as database:
        assert set(Milestones(database).known("harbour")) == {f"urn:harbour:{number}" for number in range(8)}


@pytest.mark.parametrize("of", [8, 18])
def test_a_feed_of_new_ids_and_new_pages_is_not_mailed(server: FileServer, settings: Settings, of: int) -> None:
    """A site that moved, and shows its whole archive as new."""
    server.put(PATH, window(17, of=of), "application/rss+xml")
    look(settings)
    moved = window(17, of, guid="tag:quay.example,2031:{}", link="https://quay.example/log/{}")
    server.put(PATH, moved, "application/rss+xml")
    report = look(settings)
    assert report.held is not None or len(report.questions) == of
    assert announce(settings, utc_now()) == ()


def test_a_feed_whose_entries_flood_in_is_held(server: FileServer, settings: Settings) -> None:
    """It showed three, and shows all since it is built otherwise."""
    server.put(PATH, window(19, of=3), "application/rss+xml")
    look(settings)
    server.put(PATH, window(19, of=19), "application/rss+xml")
    report = look(settings)
    assert report.held is not None
    assert announce(settings, utc_now()) == ()


def test_gone_for_good_ends_a_source_until_somebody_asks_again(server: FileServer, settings: Settings) -> None:
    look(settings)
    server.answers[PATH] = Answer(status=410)
    with pytest.raises(SourceDownError, match=r"gone for good \(410\)"):
        look(settings)
    server.put(PATH, window(8), "application/rss+xml")
    before = len(server.asked)
    with pytest.raises(SourceDownError, match="--full"):
        look(settings)
    assert len(server.asked) == before
    [condition] = [one for one in stand(settings, now=utc_now()).conditions if one.kind == "source-down"]
    assert ("gone for good" in condition.says, "--full" in condition.do) == (True, True)
    assert told(look(settings, full=True)) == {"added": 1}
    assert look(settings).state == "complete"


@pytest.mark.parametrize(("body", "why"), [
    ("<html><body>Sign in <input type=password></body></html>", "it is a login page"),
    ("<!doctype html><html><title>Parked</title><p>For sale.</p></html>", "there is no feed here"),
    ('<!DOCTYPE rss [<!ENTITY a "b"><!ENTITY c "&a;&a;">]><rss><channel><item>&c;</item></channel></rss>',
     "declares entities"),
])
def test_what_is_no_feed_leaves_all_as_it_was(server: FileServer, settings: Settings, body: str, why: str) -> None:
    look(settings)
    server.put(PATH, body, "text/html")
    if why == "it is a login page":  # what looks like it is not even kept
        with pytest.raises(SourceDownError, match=why):
            look(settings)
    else:
        report = look(settings)
        assert report.state != "complete"
        assert why in " ".join(report.failures)
    with connect(settings.store.url) as database:
        assert Milestones(database).count("harbour") == 8


def test_an_api_is_read_page_by_page_as_far_as_its_settings_say(server: FileServer, settings: Settings) -> None:
    def page(number: int) -> str:
        entries = ", ".join(f'{{"id": {n}, "title": "The {THINGS[n]} is new"}}' for n in (2 * number, 2 * number + 1))
        return f'{{"data": [{entries}], "next": "/api?after={number + 1}&n=2"}}'

    [source] = settings.sources
    options = {"path": "/api?n=2", "entries": "data", "fields": {"key": "id", "title": "title"}, "next": "next",
               "pages": 3}
    api = settings.model_copy(update={
        "sources": (source.model_copy(update={"extractor": "json", "options": options}),),
    })
    server.put("/api?n=2", page(0), "application/json")
    for number in range(1, 6):
        server.put(f"/api?after={number}&n=2", page(number), "application/vnd.api+json")
    first = look(api)
    assert (first.milestones, first.state, first.failures) == (6, "complete", ())
    asked = [path for path in server.asked if path.startswith("/api")]
    assert asked == ["/api?n=2", "/api?after=1&n=2", "/api?after=2&n=2"]
    server.put("/api?n=2", page(0).replace("anchor is", "anchor is not"), "application/json")
    assert told(look(api)) == {"corrected": 1}


@pytest.mark.parametrize("how", [
    {"guid": "https://harbour.example/n/{}", "link": "https://harbour.example/n/{}"},  # its addresses are built anew
    {"guid": "", "link": "https://harbour.example/{}?x=2"},  # no ids, and links that are others each time
])
def test_entries_that_look_like_known_ones_are_asked_about(
    server: FileServer, settings: Settings, how: dict[str, Any]
) -> None:
    look(settings)
    server.put(PATH, window(7, **how).replace("<guid></guid>", ""), "application/rss+xml")
    report = look(settings)
    assert (len(report.questions), announce(settings, utc_now())) == (8, ())


def test_a_feed_that_dates_all_its_entries_anew_is_held(server: FileServer, settings: Settings) -> None:
    look(settings)
    again = re.sub(r"<pubDate>[^<]+", "<pubDate>05 May 2031 08:00:00 GMT", window(7))
    server.put(PATH, again, "application/rss+xml")
    assert look(settings).held is not None
    assert announce(settings, utc_now()) == ()


NEWS = """<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"
xmlns:news="http://www.google.com/schemas/sitemap-news/0.9"><url><loc>https://harbour.example/log/{1}</loc><news:news>
<news:publication><news:name>Log</news:name></news:publication>
<news:publication_date>2031-03-{0:02}T08:00:00Z</news:publication_date>
<news:title>The {1} of the harbour</news:title></news:news></url></urlset>"""


@pytest.mark.parametrize(("path", "feed"), [
    ("/log.xml", rss([item(2, link="https://harbour.example/log/{}?utm_source=x", title="The compass of the harbour")
                      ])),
    ("/news.xml?kind=news", NEWS.format(3, "compass")),
])
def test_a_feed_leads_to_pages_and_is_a_witness_beside_them(
    server: FileServer, settings: Settings, path: str, feed: str
) -> None:
    [source] = settings.sources
    options = {"milestones": "/log/", "listings": ["/"]}
    pages = settings.model_copy(update={
        "sources": (source.model_copy(update={"extractor": "generic", "options": options, "feeds": (path,)}),),
    })
    server.put("/", "<!doctype html><html><body><main><p>Nothing is listed here.</p></main></body></html>", "text/html")
    server.put("/log/compass", "<!doctype html><html><body><main><article><h1>The compass of the harbour</h1>"
               "<h2>What happened</h2><p>It points to the quay.</p></article></main></body></html>", "text/html")
    server.put(path, feed, "application/rss+xml", ETag='"one"')
    report = look(pages)
    assert (report.milestones, report.failures) == (1, ())
    with connect(settings.store.url) as database:
        record = Milestones(database).known("harbour")["compass"].milestone
    assert record.date is not None
    assert record.date.value == "2031-03-03"
    assert [one.witness for one in record.evidence["title"]] == ["headings", "card"]
    assert (look(pages).state, server.asked.count(f"{path} 304")) == ("complete", 1)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_feed_that_has_moved_is_read_where_it_is_by_now(
    server: FileServer, settings: Settings, elsewhere: bool
) -> None:
    """Also to another host: its titles are about this site's pages all the same."""
    [source] = settings.sources
    options = {"milestones": "/log/", "listings": ["/"]}
    pages = settings.model_copy(update={
        "sources": (source.model_copy(update={"extractor": "generic", "options": options, "feeds": ("/log.xml",)}),),
    })
    server.put("/", "<!doctype html><html><body><main><p>Nothing is listed here.</p></main></body></html>", "text/html")
    server.put("/log/compass", "<!doctype html><html><body><main><article><h1>The compass of the harbour</h1>"
               "<h2>What happened</h2><p>It points to the quay.</p></article></main></body></html>", "text/html")
    feed = rss([item(2, link="https://harbour.example/log/{}", title="The compass of the harbour")])
    with serving() as other:
        there = (other if elsewhere else server).url + "/feeds/log"
        (other if elsewhere else server).put("/feeds/log", feed, "application/rss+xml")
        server.answers["/log.xml"] = Answer(status=308, headers={"Location": there})
        report = look(pages)
    assert (report.milestones, report.failures, report.state) == (1, (), "complete")
    with connect(settings.store.url) as database:
        record = Milestones(database).known("harbour")["compass"].milestone
    assert [one.witness for one in record.evidence["title"]] == ["headings", "card"]


@pytest.mark.parametrize(("whole", "changes"), [(True, [{}, {"withdrawn": 1}, {"restored": 1}]), (False, [{}, {}, {}])])
@pytest.mark.parametrize("own_pages", [True, False])
@pytest.mark.parametrize("kind", ["json", "csv"])
def test_what_left_a_list_is_gone_where_its_settings_say_that_it_holds_all(
    server: FileServer, settings: Settings, kind: str, own_pages: bool, whole: bool, changes: list[dict[str, int]]
) -> None:
    """At the second look in a row that reads the list without it, unchanged or not; a list that can't be had tells
    nothing."""
    def listed(numbers: range) -> str:
        rows = [{"id": str(n), "title": f"The {THINGS[n]} is new", "page": f"/kites/{n}"} for n in numbers]
        if kind == "json":
            return json.dumps(rows)
        return "id,title,page\n" + "".join(",".join(row.values()) + "\n" for row in rows)

    fields = {"key": "id", "title": "title"} | ({"url": "page"} if own_pages else {})
    [source] = settings.sources
    data = settings.model_copy(update={"sources": (source.model_copy(update={
        "extractor": kind, "options": {"path": "/data", "fields": fields} | ({"whole": True} if whole else {})}),)})
    server.put("/data", listed(range(6)), "text/plain", ETag='"all"')
    assert look(data).milestones == 6
    server.put("/data", listed(range(1, 6)), "text/plain", ETag='"fewer"')
    fewer = look(data)
    assert told(fewer) == changes[0]
    said = [note for note in fewer.notes if "has 1 entry fewer than before, and no new one (0)" in note]
    assert bool(said) is not whole  # where it holds all, the entry is on its way to be withdrawn
    assert lost(data) == ({} if whole else {"https://harbour.example/data": 1})
    kept = server.answers["/data"]
    server.answers["/data"] = Answer(status=403)
    with pytest.raises(SourceDownError):
        look(data)
    server.answers["/data"] = kept
    assert told(look(data)) == changes[1]
    assert server.asked[-1] == "/data 304"
    assert lost(data) == ({} if whole else {"https://harbour.example/data": 1})
    server.put("/data", listed(range(6)), "text/plain", ETag='"all"')
    assert told(look(data)) == changes[2]
    assert lost(data) == {}


def test_the_status_shows_what_left_a_list_until_it_has_a_new_entry(
    server: FileServer, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    def moves_to(newest: int, of: int) -> tuple[str, ...]:
        server.put(PATH, window(newest, of), "application/rss+xml")
        return tuple(note for note in look(settings).notes if "fewer than before" in note)

    place = f"https://harbour.example{PATH}"
    look(settings)
    assert moves_to(8, 8) == ()  # a window that moves on loses none
    assert lost(settings) == {}
    assert [len(moves_to(8, 7)), lost(settings)] == [1, {place: 1}]
    [note] = moves_to(8, 5)
    assert "2 entries fewer" in note
    assert lost(settings) == {place: 3}
    _print_status(standing_to_json(stand(settings, now=utc_now()), settings))
    assert f"List of harbour: 3 entries left {place}, and none came since" in " ".join(capsys.readouterr().out.split())
    assert moves_to(9, 4) == ()
    assert lost(settings) == {}


def test_whoever_says_that_a_list_holds_all_is_told_of_what_is_withdrawn_instead(
    server: FileServer, settings: Settings
) -> None:
    [source] = settings.sources
    options: dict[str, Any] = {"path": "/data", "fields": {"key": "id", "title": "title"}}

    def shows(count: int, **more: Any) -> dict[str, int]:
        server.put("/data", json.dumps([{"id": f"{n}", "title": f"The {THINGS[n]} is new"} for n in range(count)]),
                   "application/json", ETag=f'"{count}"')
        data = settings.model_copy(update={"sources": (source.model_copy(update={
            "extractor": "json", "options": options | more}),)})
        look(data)
        return lost(data)

    assert [shows(6), shows(5)] == [{}, {"https://harbour.example/data": 1}]
    assert shows(5, whole=True) == {}


def test_pages_that_were_seen_by_a_clock_that_was_ahead_are_told(server: FileServer, settings: Settings) -> None:
    [source] = settings.sources
    options = {"milestones": "/log/", "listings": ["/"]}
    pages = settings.model_copy(update={"sources": (source.model_copy(update={
        "extractor": "generic", "options": options}),)})
    links = "".join(f"<a href=/log/{thing}>{thing}</a>" for thing in THINGS[:2])
    server.put("/", f"<!doctype html><html><body>{links}</body></html>", "text/html")
    for thing in THINGS[:2]:
        server.put(f"/log/{thing}", f"<!doctype html><html><body><main><article><h1>The {thing}</h1>"
                   "<h2>What happened</h2><p>It came.</p></article></main></body></html>", "text/html")
    scrape(pages, "harbour", now=lambda: utc_now() + dt.timedelta(days=9))
    server.answers["/log/buoy"] = Answer(status=503)
    look(pages, full=True)
    [condition] = [one for one in stand(pages, now=utc_now()).conditions if one.kind == "clock-ahead"]
    assert "pages of harbour (1)" in condition.says


def test_a_list_that_goes_on_elsewhere_does_not_hold_all() -> None:
    with pytest.raises(SettingsError, match="`whole` wants a list on one page"):
        registry.get("json", {"whole": True, "next": "links.next"})
