"""A site that changes its layout and not its facts: a note, no hold, no mail; and a hold that was released ends.

The pages are of our own words, in the two builds of a timeline: the second has a list of facts with labels in place of
links, dates at their true precision, and questions.
"""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from milepost.dates import PartialDate, utc_now
from milepost.records import LookReport
from milepost.settings import Settings, parse
from pipeline.backfill import backfill
from pipeline.holds import release
from pipeline.look.scrape import scrape
from store.database import connect
from store.milestones.looks import Looks
from store.milestones.milestones import Milestones
from store.milestones.source_labels import SourceLabels
from tests.new_database import new_database

SOURCE = "lamps"
THINGS = ("lamp", "bell", "kite", "loom", "mill", "oven", "pump", "raft")
DATES = {"lamp": "1820-11-24", "bell": "1831-05", "kite": "1842"}
CATEGORIES = {"research": "Research Breakthroughs", "product": "Product Launches"}


def facts(thing: str) -> tuple[str, str]:
    """(date, category slug)."""
    return DATES.get(thing, f"18{50 + THINGS.index(thing)}-0{1 + THINGS.index(thing)}"), (
        "research" if THINGS.index(thing) % 2 else "product"
    )


def first_build(thing: str, *, json_ld: bool = True, stars: bool = False) -> str:
    """JSON-LD with padded dates, the category as a link."""
    date, category = facts(thing)
    padded = f"{date}-01-01"[:10]
    data = (
        f'<script type="application/ld+json">{{"@type":"Article","headline":"The {thing}","datePublished":"{padded}",'
        f'"description":"A {thing} was made by the river.","author":{{"@type":"Organization","name":"Almanac"}},'
        f'"about":{{"@type":"Event","startDate":"{padded}","description":"Every town wanted a {thing}."}}}}</script>'
    )
    mark = '<span aria-label="Impact: 4 out of 5">★★★★☆</span>' if stars else ""
    return (
        f"<!doctype html><html><body><main>{data if json_ld else ''}<article><header>"
        f'<time datetime="{date[:4]}">{date[:4]}</time><h1>The {thing}</h1>{mark}'
        f'<a href="/category/{category}">{CATEGORIES[category]}</a><a href="/era/steam">The Steam Years</a></header>'
        f"<h2>What Happened</h2><p>A {thing} was made by the river.</p>"
        f"<h2>Why It Mattered</h2><p>Every town wanted a {thing}.</p></article></main></body></html>"
    )


def second_build(thing: str, *, linked: bool = True, category: str = "") -> str:
    """JSON-LD dates at their true precision; facts as labels; questions, whose answers are no sections."""
    date, slug = facts(thing)
    label = category or CATEGORIES[slug]
    link = f'<a href="/category/{slug}">{label}</a><a href="/era/steam">The Steam Years</a>' if linked else ""
    return (
        '<!doctype html><html><body><main><script type="application/ld+json">{"@type":"Article",'
        f'"headline":"The {thing}","datePublished":"{date}","dateModified":"1900-01-01",'
        f'"description":"A {thing} was made by the river.","publisher":{{"@id":"/#almanac"}},'
        f'"about":{{"@type":"Event","startDate":"{date}","description":"Every town wanted a {thing}."}}}}</script>'
        f'<article><header><time datetime="{date[:4]}">{date[:4]}</time><h1>The {thing}</h1>{link}</header>'
        f"<section><h2>At a glance</h2><dl><dt>Date</dt><dd><time datetime=\"{date}\">{date}</time></dd>"
        f"<dt>Era</dt><dd>The Steam Years (1800–1899)</dd><dt>Category</dt><dd>{label}</dd></dl></section>"
        f"<h2>What Happened</h2><p>A {thing} was made by the river.</p>"
        f"<h2>Why It Mattered</h2><p>Every town wanted a {thing}.</p></article>"
        "<section><h2>Frequently asked questions</h2><details><summary>What happened?</summary><p>An answer.</p>"
        "</details></section></main></body></html>"
    )


class Site:
    """A timeline on loopback, whose pages a test changes."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.cut = 99  # characters of the dates on its cards
        pages = self.pages

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = pages.get(self.path)
                self.send_response(404 if body is None else 200)
                data = (body or "").encode()
                kind = "application/xml" if "xml" in self.path else "text/html; charset=utf-8"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))

    def show(self, pages: dict[str, str], *, labels: str = "") -> None:
        """Serve these milestone pages, the listing of them and the sitemap; `labels` stand after a card's title."""
        cards = "".join(
            f'<a href="/timeline/{thing}"><time datetime="{facts(thing)[0][:self.cut]}">x</time>'
            f"<span>{CATEGORIES[facts(thing)[1]]}</span><h3>The {thing}</h3><p>A {thing} was made…</p>{labels}</a>"
            for thing in pages
        )
        locs = "".join(f"<url><loc>https://lamps.example/timeline/{thing}</loc></url>" for thing in pages)
        self.pages.clear()
        self.pages |= {f"/timeline/{thing}": page for thing, page in pages.items()} | {
            "/": f"<!doctype html><html><body><main>{cards}</main></body></html>",
            "/sitemap.xml": f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{locs}</urlset>',
        }


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    site.thread.start()
    yield site
    site.server.shutdown()
    site.thread.join()
    site.server.server_close()


@pytest.fixture
def settings(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = parse({
        "store": {"url": f"sqlite:///{tmp_path_factory.mktemp('layouts')}/milepost.db"},
        "sources": [{
            "key": SOURCE, "extractor": "aitimeline", "base_url": "https://lamps.example",
            "fetch_from": f"http://127.0.0.1:{site.server.server_port}", "allow_hosts": ["127.0.0.1"],
        }],
    })
    new_database(settings.store.url)
    return settings


def told(report: LookReport) -> dict[str, int]:
    return {kind: count for kind, count in report.changes.items() if count}


def dates(settings: Settings) -> dict[str, PartialDate | None]:
    with connect(settings.store.url) as database:
        return {one.milestone.key: one.milestone.date for one in Milestones(database).iterate(SOURCE)}


OLD = THINGS[:-1]


def test_a_first_look_at_labels_and_links_is_a_baseline_and_the_next_page_is_news(
    settings: Settings, site: Site
) -> None:
    site.show({thing: second_build(thing) for thing in OLD})
    first = scrape(settings, SOURCE)
    assert (first.baseline, first.state, first.failures, first.degraded) == (True, "complete", (), ())
    site.show({thing: second_build(thing) for thing in THINGS})
    second = scrape(settings, SOURCE)
    assert (second.held, told(second)) == (None, {"added": 1})


def test_another_layout_with_the_same_values_is_a_note(settings: Settings, site: Site) -> None:
    site.show({thing: first_build(thing) for thing in OLD})
    assert scrape(settings, SOURCE).baseline
    site.show({thing: second_build(thing) for thing in OLD})
    second = scrape(settings, SOURCE)
    assert (second.held, told(second), second.failures) == (None, {}, ())
    assert any("date comes from headings now" in note and "7 of 7 values are the same" in note for note in second.notes)
    assert scrape(settings, SOURCE).notes == ()  # said once
    site.show({thing: first_build(thing) for thing in OLD})
    back = scrape(settings, SOURCE)
    assert (back.held, told(back)) == (None, {})


def test_a_day_stays_when_only_its_month_is_told_any_more(settings: Settings, site: Site) -> None:
    site.show({thing: first_build(thing) for thing in OLD})
    scrape(settings, SOURCE)
    known = dates(settings)
    assert known["lamp"] == PartialDate(value="1820-11-24")
    site.cut = 7
    for json_ld in (False, True):
        site.show({thing: first_build(thing, json_ld=json_ld) for thing in OLD})
        looked = scrape(settings, SOURCE)
        assert (looked.held, told(looked), dates(settings)) == (None, {}, known)


def test_cards_without_names_and_with_stars_dispute_nothing(settings: Settings, site: Site) -> None:
    stars = '<span aria-label="Impact: 4 out of 5">★★★★☆</span>'
    site.show({thing: first_build(thing, stars=True) for thing in OLD}, labels=stars)
    first = scrape(settings, SOURCE)
    assert (first.baseline, first.degraded, first.failures) == (True, (), ())
    with connect(settings.store.url) as database:
        assert {one.milestone.organizations for one in Milestones(database).iterate(SOURCE)} == {()}


def test_years_alone_settle_no_padded_date(settings: Settings, site: Site) -> None:
    site.cut = 4
    site.show({thing: first_build(thing) for thing in OLD})
    scrape(settings, SOURCE)
    assert dates(settings)["kite"] == PartialDate(value="1842", confirmed=False)


def test_what_a_label_stands_for_is_remembered_when_the_links_are_gone(settings: Settings, site: Site) -> None:
    site.show({thing: second_build(thing) for thing in OLD})
    scrape(settings, SOURCE)
    site.show({thing: second_build(thing, linked=False) for thing in THINGS})
    second = scrape(settings, SOURCE)
    assert (second.held, told(second)) == (None, {"added": 1})
    with connect(settings.store.url) as database:
        categories = {one.milestone.key: one.milestone.category for one in Milestones(database).iterate(SOURCE)}
        assert ("category", "research-breakthroughs", "research") in SourceLabels(database).known(SOURCE)
    assert categories == {thing: facts(thing)[1] for thing in THINGS}


def test_a_dispute_makes_a_source_degraded_and_withholds_no_baseline(settings: Settings, site: Site) -> None:
    pages = {thing: second_build(thing).replace(f'"headline":"The {thing}"', f'"headline":"Buy a {thing}"')
             for thing in OLD}
    site.show(pages)
    first = scrape(settings, SOURCE)
    assert (first.baseline, first.state) == (True, "degraded")
    (sentence,) = first.degraded
    assert sentence.startswith("the witnesses of title differ on 7 of 7 milestones")
    assert sentence.count("json-ld (Article.headline) says “Buy a ") == 3
    assert scrape(settings, SOURCE).degraded == (sentence,)
    site.show({thing: second_build(thing) for thing in OLD})
    assert scrape(settings, SOURCE).state == "complete"


def test_a_first_look_that_saw_junk_is_no_baseline(settings: Settings, site: Site) -> None:
    site.show({thing: second_build(thing).replace(f"The {thing}", "Timeline") for thing in OLD})
    first = scrape(settings, SOURCE)
    assert (first.state, first.baseline) == ("no-baseline", False)
    site.show({thing: second_build(thing) for thing in OLD})
    assert scrape(settings, SOURCE).baseline


class TestAHold:
    """Every title is told otherwise by the page alone: held; what was released is not held again."""

    @pytest.fixture
    def held(self, settings: Settings, site: Site) -> LookReport:
        site.show({thing: first_build(thing) for thing in OLD})
        scrape(settings, SOURCE)
        self.turn(site)
        held = scrape(settings, SOURCE)
        assert held.held is not None
        assert "7 of 7 values are told otherwise" in held.held
        assert held.state == "held"
        return held

    @staticmethod
    def turn(site: Site, extra: str = "") -> None:
        pages = {thing: first_build(thing).replace(f"<h1>The {thing}</h1>", f"<h1>Our {thing}</h1>") + extra
                 for thing in OLD}
        site.show(pages)

    def let_go(self, settings: Settings, held: LookReport, *, once: bool = False) -> None:
        assert held.look_id is not None
        with connect(settings.store.url) as database:
            release(database, held.look_id, why="it is so", now=utc_now(), once=once)

    def test_ends_when_it_is_released(self, settings: Settings, site: Site, held: LookReport) -> None:
        self.let_go(settings, held)
        for extra in ("", "<!-- built again -->"):
            self.turn(site, extra)
            assert scrape(settings, SOURCE).held is None
        with connect(settings.store.url) as database:
            assert Looks(database).list(SOURCE, waiting=True) == []

    def test_that_was_not_released_goes_on(self, settings: Settings, site: Site, held: LookReport) -> None:
        del held
        self.turn(site, "<!-- built again -->")
        assert scrape(settings, SOURCE).held is not None

    def test_released_once_is_measured_again_when_the_site_was_as_before(
        self, settings: Settings, site: Site, held: LookReport
    ) -> None:
        self.let_go(settings, held, once=True)
        assert scrape(settings, SOURCE).held is None
        site.show({thing: first_build(thing) for thing in OLD})
        assert scrape(settings, SOURCE).held is None
        self.turn(site)
        assert scrape(settings, SOURCE).held is not None


def hidden(site: Site, things: tuple[str, ...], *, how: str = "") -> None:
    """Those pages are listed and can't be read: no milestone stands on them, or no answer comes."""
    for thing in things:
        if how == "gone":
            del site.pages[f"/timeline/{thing}"]
        else:
            site.pages[f"/timeline/{thing}"] = "<!doctype html><title>Busy</title><p>Come back later."


@pytest.mark.parametrize("how", ["gone", "unreadable"])
def test_what_was_missed_and_let_go_holds_no_later_look(settings: Settings, site: Site, how: str) -> None:
    pages = {thing: first_build(thing) for thing in THINGS}
    site.show(pages)
    assert scrape(settings, SOURCE).baseline

    def look(*, without: tuple[str, ...], extra: str = "") -> LookReport:
        site.show({thing: page + extra for thing, page in pages.items()})
        hidden(site, without, how=how)
        return scrape(settings, SOURCE)

    held = look(without=THINGS[:2])
    assert held.held is not None
    again = look(without=THINGS[:2], extra="<!-- built again -->")
    assert (again.held is not None, again.state) == (True, "held")
    with connect(settings.store.url) as database:
        (waiting,) = Looks(database).list(SOURCE, waiting=True)
        release(database, waiting.id, why="they are being written", now=utc_now())
    for extra in ("", "<!-- and again -->"):
        seen = look(without=THINGS[:2], extra=extra)
        assert (seen.held, len(seen.failures), seen.state) == (None, 2, "incomplete")
        assert any("went on without them: 2 pages failed" in note for note in seen.notes)
    assert look(without=THINGS[:4]).held is not None  # two more are another matter
    with connect(settings.store.url) as database:
        (waiting,) = Looks(database).list(SOURCE, waiting=True)
        release(database, waiting.id, why="only today", now=utc_now(), once=True)
    assert look(without=THINGS[:4]).held is None
    assert look(without=()).held is None
    assert look(without=THINGS[:2]).held is not None  # what answered in between is asked about anew


@pytest.mark.parametrize("how", ["gone", "unreadable"])
def test_a_first_look_that_missed_many_is_a_baseline_and_they_are_no_news_later(
    settings: Settings, site: Site, how: str
) -> None:
    pages = {thing: first_build(thing) for thing in OLD}
    site.show(pages)
    hidden(site, OLD[2:], how=how)
    first = scrape(settings, SOURCE)
    assert (first.baseline, first.milestones, len(first.failures), first.state) == (True, 2, 5, "incomplete")
    second = scrape(settings, SOURCE)
    assert (second.held, len(second.failures)) == (None, 5)
    site.show({**pages, "raft": first_build("raft")})
    third = scrape(settings, SOURCE)
    assert (third.held, third.milestones, third.failures, third.state) == (None, 8, (), "complete")
    with connect(settings.store.url) as database:
        assert [change.change.key for change in Milestones(database).changes(announce=True)] == ["raft"]


def test_a_first_look_that_read_nothing_is_no_baseline(settings: Settings, site: Site) -> None:
    site.show({thing: first_build(thing) for thing in OLD})
    hidden(site, OLD)
    first = scrape(settings, SOURCE)
    assert (first.state, first.baseline) == ("no-baseline", False)
    assert any("no milestone was found" in failure for failure in first.failures)
    assert first.notes == ()  # it did not go on


def test_a_backfill_renews_what_looks_are_measured_by(settings: Settings, site: Site) -> None:
    site.show({thing: first_build(thing) for thing in OLD})
    scrape(settings, SOURCE)
    with connect(settings.store.url) as database:
        milestones = Milestones(database)
        known = milestones.known(SOURCE)
        milestones.note_evidence(SOURCE, [
            type(one.milestone)(**{**{name: getattr(one.milestone, name) for name in one.milestone.__slots__},
                                   "evidence": {}}) for one in known.values()
        ])
        assert all(not one.milestone.evidence for one in milestones.known(SOURCE).values())
    backfill(settings, SOURCE, dry_run=False)
    with connect(settings.store.url) as database:
        assert all(one.milestone.evidence["title"] for one in Milestones(database).known(SOURCE).values())
