"""The timeline shows what is on record, says what became of it, and shows at once what it is now."""

import asyncio
import datetime as dt
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import jsonschema
import pytest
import sqlalchemy as sa
from lxml import etree, html
from PIL import Image

from milepost.dates import PartialDate, utc_now
from milepost.records import SiteLabel
from milepost.settings import Settings, load
from pipeline.look.scrape import scrape
from pipeline.readers_pages import behind
from pipeline.timeline import Place, record_of
from store.database import Database, connect
from store.milestones.milestones import Milestones
from store.milestones.source_labels import SourceLabels
from store.schema.tables import change, look, milestone
from tests.html_page import elements, strings, text_of
from tests.pipeline import prepared
from tests.pipeline.stage import BreakableSite
from web.app import create_app
from web.public.feeds import ATOM


class Browser:
    """Asks the application, follows nothing."""

    def __init__(self, app: Any, base_url: str) -> None:
        self._app, self._base_url = app, base_url

    def get(self, path: str, **options: Any) -> httpx.Response:
        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url=self._base_url) as client:
                return await client.get(path, **options)

        return asyncio.run(go())


@pytest.fixture
def plain(tmp_path: Path) -> Settings:
    """Settings of the sample site and a database with issue 1; nobody serves the site."""
    (tmp_path / "milepost.toml").write_text(prepared.SETTINGS.format(site="http://127.0.0.1:9", smtp=9))
    settings = load(tmp_path / "milepost.toml")
    prepared.copy("issue", settings)
    return settings


def reader(settings: Settings, database: Database, **web: Any) -> Browser:
    """A browser before the application, whose pages are kept."""
    settings = settings.model_copy(update={"web": settings.web.model_copy(update=web)})
    kept = behind(settings, database)
    app = create_app(
        issues=kept.issues, timeline=kept.timeline, freshness=kept.freshness, own_page=kept.own_page,
        topics=kept.topics, signing_up=kept.signing_up, settings=settings, keys=kept.keys, list_id=kept.list_id,
        now=utc_now,
    )
    return Browser(app, settings.web.base_url)


@pytest.fixture
def database(plain: Settings) -> Any:
    with connect(plain.store.url) as opened:
        yield opened


def page_of(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    return html.fromstring(answer.text)


def withdraw(database: Database, key: str, *, held: bool = False) -> None:
    """As a look does that finds it gone; `held`: and that waits for an operator."""
    with database.begin() as connection:
        row = connection.execute(sa.select(milestone).where(milestone.c.key == key)).one()
        made = connection.execute(sa.insert(look).values(
            source=row.source, started_at=utc_now(), finished_at=utc_now(), state="complete", baseline=False,
            held="many are gone" if held else None,
        ).returning(look.c.id)).scalar_one()
        last = connection.execute(
            sa.select(sa.func.max(change.c.new_version_id)).where(change.c.milestone_id == row.id)
        ).scalar_one()
        connection.execute(sa.insert(change).values(
            look_id=made, milestone_id=row.id, kind="withdrawn", fields=[], old_version_id=last, new_version_id=last,
            detected_at=utc_now(), announce=False,
        ))
        connection.execute(sa.update(milestone).where(milestone.c.id == row.id).values(state="withdrawn"))


def mend(database: Database) -> None:
    """A look ends that found nothing new."""
    with database.begin() as connection:
        connection.execute(sa.insert(look).values(
            source="clockwork", started_at=utc_now(), finished_at=utc_now(), state="complete", baseline=False,
        ))


def test_every_milestone_is_listed_and_has_a_page_that_says_where_it_was_read(
    plain: Settings, database: Database
) -> None:
    browser = reader(plain, database)
    listed = page_of(browser.get("/timeline"))
    stored = {one.milestone.key: one.milestone for one in Milestones(database).iterate()}
    links = strings(listed, "//ol[@class='times']//a/@href")
    assert sorted(links) == sorted(f"/timeline/{key}" for key in stored)
    dates = [stored[link.removeprefix("/timeline/")].date for link in links]
    assert [date.sort_key for date in dates if date] == sorted(date.sort_key for date in dates if date)
    for key, record in stored.items():
        page = page_of(browser.get(f"/timeline/{key}"))
        assert text_of(elements(page, "//h1")[0]) == record.title
        assert record.url in strings(page, "//dl[@class='read']//a/@href")
        assert "the page's data for programs" in text_of(elements(page, "//dl[@class='read']")[0])
        assert strings(page, "//link[@rel='canonical']/@href") == [f"{plain.web.base_url}/timeline/{key}"]
        assert record.what_happened not in text_of(page) or record.what_happened.count(".") == 1
        assert record.why_it_mattered not in text_of(page)


def test_all_of_it_is_shown_of_one_s_own_site_and_none_where_there_is_no_timeline(
    plain: Settings, database: Database
) -> None:
    record = next(iter(Milestones(database).iterate())).milestone
    assert record.why_it_mattered in text_of(
        page_of(reader(plain, database, timeline="full").get(f"/timeline/{record.key}"))
    )
    off = reader(plain, database, timeline="off")
    for path in ("/timeline", f"/timeline/{record.key}", "/milestones.atom", f"/cards/timeline/{record.key}.png"):
        assert off.get(path).status_code == 404
    for path in ("/issues", "/issues/1", "/sitemap.xml", "/feed.atom"):
        assert "/timeline" not in off.get(path).text


def test_a_correction_shows_at_once_where_pages_are_kept(
    settings: Settings, site: BreakableSite, issued: None  # noqa: ARG001 (it comes first)
) -> None:
    with connect(settings.store.url) as database:
        browser = reader(settings, database)
        key = site.stories[-1].key
        paths = (f"/timeline/{key}", "/timeline", "/issues/1", "/changes.atom", "/milestones.json", "/sitemap.xml")
        before = {path: browser.get(path) for path in paths}
        for path in paths:
            assert browser.get(path, headers={"If-None-Match": before[path].headers["etag"]}).status_code == 304
        told, title = site.story(key), site.stories[-1].title
        site.replaced[f"/story/{key}"] = told.replace(title, "Another title, put right").encode()
        assert scrape(settings, "clockwork").changes["corrected"] == 1
        for path in paths:
            assert browser.get(path, headers={"If-None-Match": before[path].headers["etag"]}).status_code == 200, path
        page = page_of(browser.get(f"/timeline/{key}"))
        assert text_of(elements(page, "//h1")[0]) == "Another title, put right"
        [step] = elements(page, "//li[@class='corrected']")
        assert "Corrected on" in text_of(step)
        assert [text_of(one) for one in elements(step, ".//del|.//ins")] == [title, "Another title, put right"]
        assert strings(page, "//section//ul//a/@href") == ["/issues/1"]
        assert "Corrected on" in browser.get("/issues/1").text
        [entry] = etree.fromstring(browser.get("/changes.atom").content).findall(f"{{{ATOM}}}entry")
        assert "Another title, put right" in str(entry.findtext(f"{{{ATOM}}}title"))


def test_what_was_withdrawn_says_so_on_its_page_and_is_listed_no_more(plain: Settings, database: Database) -> None:
    browser, key = reader(plain, database), "longitude-act"
    assert f"/timeline/{key}" in browser.get("/timeline").text
    withdraw(database, key)
    page = page_of(browser.get(f"/timeline/{key}"))
    assert "Withdrawn on" in text_of(elements(page, "//*[@class='amended']")[0])
    for path in ("/timeline", "/timeline?q=longitude", "/milestones.json", "/sitemap.xml"):
        assert f"/timeline/{key}" not in browser.get(path).text
    assert f"/timeline/{key}" in browser.get("/changes.json").text


def test_what_waits_for_an_operator_is_not_shown(plain: Settings, database: Database) -> None:
    browser, key = reader(plain, database), "longitude-act"
    withdraw(database, key, held=True)
    assert f"/timeline/{key}" in browser.get("/timeline").text
    assert "Withdrawn" not in browser.get(f"/timeline/{key}").text
    with database.begin() as connection:
        connection.execute(sa.update(look).where(look.c.held.is_not(None)).values(released_at=utc_now()))
    assert f"/timeline/{key}" not in browser.get("/timeline").text
    with database.begin() as connection:  # every version of all of them waits
        connection.execute(sa.update(look).values(held="odd", released_at=None))
        connection.execute(sa.update(look).where(look.c.id == 1).values(notes=["seen"]))
        connection.execute(sa.insert(look).values(source="clockwork", started_at=utc_now(), finished_at=utc_now(),
                                                  state="complete", baseline=False))
    assert strings(page_of(browser.get("/timeline")), "//ol[@class='times']//a/@href") == []
    assert browser.get(f"/timeline/{key}").status_code == 404


@pytest.mark.parametrize("words", [
    "", " ", "\0", '"(*^:', "x" * 50_000, "NEAR(a b)", "'; DROP TABLE milestone; --", "\u202e\U0001f600", "AND OR NOT",
    "%", "clock\0clock", "zzzz",
])
def test_a_search_of_anything_is_a_page(words: str, plain: Settings, database: Database) -> None:
    answer = reader(plain, database).get(f"/timeline?q={quote(words)}")
    assert answer.status_code == 200
    assert len(answer.content) < 60_000
    assert answer.headers["cache-control"] == ("no-store" if words.strip() else "public, max-age=0, must-revalidate")


def test_a_search_finds_what_the_store_finds(plain: Settings, database: Database) -> None:
    browser = reader(plain, database)
    assert "/timeline/longitude-act" in browser.get("/timeline?q=parliament+longit").text
    page = page_of(browser.get('/timeline?q=%22%3E%3Cscript%3E'))
    assert elements(page, "//script") == []
    assert strings(page, "//input[@name='q']/@value") == ['"><script>']


@pytest.mark.parametrize("path", [
    "/timeline/no-such", "/timeline/x/../../y", "/timeline/pages/0", "/timeline/pages/2", "/timeline/pages/" + "9" * 30,
    "/topics/no-such", "/topics/standards/pages/2", "/topics/no/milestones.atom", "/timeline/%00", "/timeline/\u05d0",
])
def test_an_address_of_nothing_has_a_way_on(path: str, plain: Settings, database: Database) -> None:
    answer = reader(plain, database).get(path)
    assert answer.status_code == 404
    assert "/timeline" in strings(html.fromstring(answer.text), "//main//a/@href")


def a_place(number: int, **changes: Any) -> Place:
    """One that became known as the numberth."""
    fields: dict[str, Any] = {
        "id": number, "source": "clockwork", "key": f"m{number}", "version": 1, "title": f"Number {number}",
        "date": PartialDate.of(1900 + number), "category": None, "era": None, "tags": (), "withdrawn": False,
        "first_seen_at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    }
    return Place(**(fields | changes))


def test_an_address_stays_whatever_comes_later() -> None:
    first = [a_place(1, key="same"), a_place(2, key="a/b"), a_place(3, key="../etc"), a_place(4, key="x" * 400)]
    before = record_of(first, {})
    after = record_of([*first, a_place(5, key="same", source="other"), a_place(6, key="pages/2")],
                      {("clockwork", "old"): 1, ("clockwork", "a/b"): 1})
    assert {one.id: after.address[one.id] for one in first} == dict(before.address)
    assert (after.address[1], after.address[2], after.address[5]) == ("same", "a/b", "other/same")
    assert len(set(after.address.values())) == 6
    assert after.by_address["old"] == 1
    assert after.by_address["a/b"] == 2
    for name in after.address.values():
        assert ".." not in name
        assert len(name) < 200
        assert not name.startswith("pages/")


def test_topics_and_eras_are_called_as_the_operator_says_else_as_most_pages_of_the_site_do(
    plain: Settings, database: Database
) -> None:
    labels = SourceLabels(database)
    labels.learn("clockwork", (), {SiteLabel("utc", "UTC"): 2, SiteLabel("utc", "Utc time"): 1}, utc_now())
    labels.learn("clockwork", (), {SiteLabel("utc", "Utc time"): 1, SiteLabel("greenwich", "GREENWICH"): 1}, utc_now())
    letter = plain.newsletter.model_copy(update={"labels": {"greenwich": "Royal Greenwich"}})
    browser = reader(plain.model_copy(update={"newsletter": letter}), database)
    listed = page_of(browser.get("/timeline"))
    topics = strings(listed, "//nav[@class='topics']//a/text()")
    assert {"Utc time", "Royal Greenwich"} <= set(topics)  # as often as "UTC", and since
    labels.learn("clockwork", (), {SiteLabel("utc", "UTC"): 1}, utc_now())
    mend(database)  # a look ended
    assert "Time that is shared" in strings(page_of(browser.get("/timeline")), "//h2[@class='era']//text()")
    assert text_of(elements(page_of(browser.get("/topics/utc")), "//h1")[0]) == "UTC"
    for path in ("/topics/utc/milestones.atom", "/topics/utc/milestones.json", "/subscribe"):
        assert "UTC" in browser.get(path).text
        assert "Utc" not in browser.get(path).text
    story = strings(listed, "//ol[@class='times']//a/@href")
    told = next(page for path in story if "Royal Greenwich" in (page := browser.get(path).text))
    assert "time that is shared era" not in told.casefold()


def test_a_former_address_leads_to_the_present_one(plain: Settings, database: Database) -> None:
    from store.schema.tables import renaming

    with database.begin() as connection:
        row = connection.execute(sa.select(milestone).where(milestone.c.key == "longitude-act")).one()
        connection.execute(sa.insert(renaming).values(
            source="clockwork", milestone_id=row.id, old_key="an-older-name", new_key="longitude-act", proof="redirect",
            detected_at=utc_now(), decision="rename", decided_at=utc_now(),
        ))
    answer = reader(plain, database).get("/timeline/an-older-name")
    assert (answer.status_code, answer.headers["location"]) == (301, "/timeline/longitude-act")


def test_feeds_name_each_thing_for_good_and_its_time_moves_with_what_it_tells(
    plain: Settings, database: Database
) -> None:
    browser = reader(plain, database)

    def told() -> dict[str, tuple[str, str]]:
        items = json.loads(browser.get("/milestones.json").content)["items"]
        return {item["id"]: (item["date_modified"], item["url"]) for item in items}

    before = told()
    assert len(before) == Milestones(database).count("clockwork")
    with database.begin() as connection:  # another look that finds nothing
        connection.execute(sa.insert(look).values(source="clockwork", started_at=utc_now(), finished_at=utc_now(),
                                                  state="complete", baseline=False))
    assert told() == before
    withdraw(database, "longitude-act")
    after = told()
    assert after == {name: one for name, one in before.items() if not one[1].endswith("/longitude-act")}
    feed = etree.fromstring(browser.get("/topics/standards/milestones.atom").content)
    titles = [entry.findtext(f"{{{ATOM}}}title") for entry in feed.findall(f"{{{ATOM}}}entry")]
    about = [one.milestone.title for one in Milestones(database).iterate()
             if "standards" in (one.milestone.category, *one.milestone.tags)]
    assert sorted(map(str, titles)) == sorted(about)
    assert 0 < len(about) < len(after)
    names = {feed.findtext(f"{{{ATOM}}}id") for feed in (
        etree.fromstring(browser.get(path).content)
        for path in ("/feed.atom", "/milestones.atom", "/changes.atom", "/topics/standards/changes.atom")
    )}
    assert len(names) == 4


MOMENT = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$"}  # RFC 3339
ADDRESS = {"type": "string", "pattern": "^https?://[^/]+/"}
TEXT = {"type": "string", "minLength": 1}
JSON_FEED_1_1 = {  # jsonfeed.org/version/1.1: what must be there, and the types of what may
    "type": "object",
    "required": ["version", "title", "items"],
    "properties": {
        "version": {"const": "https://jsonfeed.org/version/1.1"}, "title": TEXT, "description": TEXT, "language": TEXT,
        "home_page_url": ADDRESS, "feed_url": ADDRESS, "icon": ADDRESS, "favicon": ADDRESS,
        "authors": {"type": "array", "minItems": 1, "items": {"type": "object", "minProperties": 1}},
        "items": {"type": "array", "minItems": 1, "items": {
            "type": "object",
            "required": ["id", "content_html"],
            "properties": {
                "id": TEXT, "url": ADDRESS, "title": TEXT, "summary": {"type": "string"}, "content_html": TEXT,
                "date_published": MOMENT, "date_modified": MOMENT, "language": TEXT,
                "tags": {"type": "array", "items": TEXT},
            },
            "additionalProperties": False,
        }},
    },
    "additionalProperties": False,
}


def weigh_atom(feed: Any, address: str) -> list[str]:
    """Hold a feed to RFC 4287, sections 4.1.1, 4.1.2 and 4.2; returns the names of its entries."""
    def text(of: Any, path: str) -> str:
        [found] = of.findall(path.replace("a:", f"{{{ATOM}}}"))
        return str(found.text)

    assert feed.tag == f"{{{ATOM}}}feed"
    [itself] = feed.xpath("a:link[@rel='self']/@href", namespaces={"a": ATOM})
    assert itself == address
    assert text(feed, "a:author/a:name")
    for one in (feed, *feed.findall(f"{{{ATOM}}}entry")):
        assert text(one, "a:title")
        assert urlsplit(text(one, "a:id")).scheme
        assert dt.datetime.fromisoformat(text(one, "a:updated")).tzinfo is not None
        [page] = one.xpath("a:link[@rel='alternate']/@href", namespaces={"a": ATOM})
        assert page.startswith("https://")
    assert max(map(dt.datetime.fromisoformat, feed.xpath("a:entry/a:updated/text()", namespaces={"a": ATOM}))) == (
        dt.datetime.fromisoformat(text(feed, "a:updated"))
    )
    return [text(entry, "a:id") for entry in feed.findall(f"{{{ATOM}}}entry")]


def test_every_feed_is_what_its_format_says_and_needs_no_base_address(plain: Settings, database: Database) -> None:
    withdraw(database, "longitude-act")
    browser = reader(plain, database)
    topic = next(one for one in strings(page_of(browser.get("/timeline")), "//*[@class='topics']//@href")
                 if browser.get(f"{one}/changes.json").json()["items"])
    for name in ("/feed", "/milestones", "/changes", f"{topic}/milestones", f"{topic}/changes"):
        told = browser.get(f"{name}.json").json()
        jsonschema.validate(told, JSON_FEED_1_1)
        feed = etree.fromstring(browser.get(f"{name}.atom").content)
        names = weigh_atom(feed, f"{plain.web.base_url}{name}.atom")
        assert names == [one["id"] for one in told["items"]]
        assert len(set(names)) == len(names)
        for one in told["items"]:  # a feed reader has no base address
            links = strings(html.fromstring(one["content_html"]), "//@href|//@src")
            assert [link for link in links if not link.startswith(("https://", "#"))] == []
    icon = Image.open(io.BytesIO(browser.get(urlsplit(told["icon"]).path).content))
    assert icon.size == (512, 512)  # square, as JSON Feed 1.1 wants it


@pytest.mark.parametrize(
    "title", ["", "x" * 1000, "שעון המטוטלת של הויגנס", "\U0001f570\ufe0f\U0001f525", "<b>&\"'", "鐘"]
)
def test_any_title_is_a_place_a_page_a_feed_and_a_picture(title: str, plain: Settings, database: Database) -> None:
    with database.begin() as connection:
        connection.execute(sa.text(
            "UPDATE milestone_version SET record = json_set(record, '$.title', :title) WHERE milestone_id = 4"
        ), {"title": title})
    browser = reader(plain, database)
    [place] = [place for place in behind(plain, database).timeline.record().present if place.id == 4]
    page = page_of(browser.get(f"/timeline/{place.key}"))
    shown = text_of(elements(page, "//h1")[0])
    assert shown == (title or "First leap second")
    if title.startswith("ש"):
        assert strings(page, "//h1/@dir") == ["rtl"]
    assert strings(page, "//meta[@property='og:image']/@content") == [
        f"{plain.web.base_url}/cards/timeline/{place.key}.png"
    ]
    assert max(map(len, strings(page, "//head//@content"))) < 400
    assert etree.fromstring(browser.get("/milestones.atom").content) is not None
    assert shown[:200] in text_of(page_of(browser.get("/timeline")))
    picture = browser.get(f"/cards/timeline/{place.key}.png")
    assert picture.content[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(picture.content[16:20]), int.from_bytes(picture.content[20:24])) == (1200, 630)


def test_a_long_timeline_is_told_in_parts(plain: Settings, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.public.timeline.PER_PAGE", 7)
    browser = reader(plain, database)
    seen: list[str] = []
    path = "/timeline"
    while path:
        page = page_of(browser.get(path))
        seen += strings(page, "//ol[@class='times']//a/@href")
        path = next(iter(strings(page, "//a[@rel='next']/@href")), "")
    assert len(seen) == len(set(seen)) == Milestones(database).count("clockwork")
    assert browser.get("/timeline/pages/1").text == browser.get("/timeline").text


@pytest.mark.parametrize("language", ["en", "de", "he"])
def test_each_page_speaks_the_newsletter_s_language_and_says_which_the_site_s_words_are_in(
    language: str, plain: Settings, database: Database
) -> None:
    sources = tuple(replace_language(source) for source in plain.sources)
    letter = plain.newsletter.model_copy(update={"language": language})
    browser = reader(plain.model_copy(update={"newsletter": letter, "sources": sources}), database)
    for path in ("/timeline", "/timeline/longitude-act", "/topics/standards", "/timeline?q=clock"):
        page = page_of(browser.get(path))
        assert (page.get("lang"), page.get("dir")) == (language, "rtl" if language == "he" else "ltr")
    page = page_of(browser.get("/timeline/longitude-act"))
    assert strings(page, "//h1/@lang|//h1/@dir") == ["en", "ltr"]


def replace_language(source: Any) -> Any:
    return source.model_copy(update={"language": "en"})


def test_neighbours_are_those_by_date() -> None:
    places = [a_place(1), a_place(2, withdrawn=True), a_place(3), a_place(4, date=None)]
    record = record_of(places, {})
    assert [one.id for one in record.present] == [1, 3, 4]
    assert record.neighbours(places[2]) == (places[0], None)
    assert record.neighbours(replace(places[1])) == (None, None)
