"""One look at a site, told as scenarios against a real server on loopback."""

import asyncio
import datetime as dt
import threading

import pytest

from crawler.crawl import Disallowed, Fetched, Gone, NotModified, Redirected
from milepost.errors import SourceDownError, StoreError
from milepost.records import Validators

BASE = "https://timeline.example"


def test_a_first_look_hands_on_every_page_under_its_identity(web, look):
    web.milestones("perceptron", "alexnet")
    seen = look()
    assert {outcome.url for outcome in seen.outcomes} == {
        f"{BASE}/", f"{BASE}/timeline/perceptron", f"{BASE}/timeline/alexnet",
    }
    snapshot = seen.of("/timeline/alexnet").snapshot
    assert snapshot.final_url == f"{web.url}/timeline/alexnet"
    assert b"alexnet" in snapshot.body
    assert snapshot.headers == {"content-type": "text/html; charset=utf-8"}
    assert snapshot.fetched_at == look.start
    report = seen.report
    assert (report.requests, report.fetched, report.failed, report.complete) == (5, 3, 0, True)
    assert report.listed == {f"{BASE}/timeline/perceptron", f"{BASE}/timeline/alexnet"}
    assert web.asked[:3] == ["/robots.txt", "/sitemap.xml", "/"]


def test_a_listing_is_read_while_others_are_on_their_way_and_one_outcome_at_a_time(web, look):
    web.milestones("a")
    asked, telling, kinds = threading.Event(), threading.Lock(), {}

    def other(_):
        asked.set()
        return web.html("")

    def on_page(outcome):
        assert telling.acquire(blocking=False)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            assert outcome.kind == "listing"
            assert asked.wait(60)
            for _ in range(20):
                web.leap(0.0)  # the loop turns meanwhile
        else:
            assert outcome.kind == "milestone"
        kinds[outcome.url] = outcome.kind
        telling.release()

    web.pages["/era/x"] = other
    assert look(on_page=on_page, seeds=("/", "/era/x")).report.complete
    assert kinds == {f"{BASE}/": "listing", f"{BASE}/era/x": "listing", f"{BASE}/timeline/a": "milestone"}


def test_it_introduces_itself_and_keeps_no_cookies(web, look):
    web.milestones("a")
    web.pages["/"] = web.html("home", Set_Cookie="session=1; Path=/")
    look()
    assert {asked.headers["user-agent"] for asked in web.log} == {"Milepost/0.1.0 (+https://milepost.example)"}
    assert not [asked for asked in web.log if "cookie" in asked.headers]
    assert {asked.headers["accept-encoding"] for asked in web.log} == {"gzip, deflate"}


class TestASecondLook:
    def test_it_sends_what_the_first_200_came_with(self, web, look):
        web.milestones("a")

        def page(asked):
            if asked.headers.get("if-none-match") == '"v1"':
                return web.reply(304, ETag='"v1"')
            return web.html("a", ETag='"v1"')

        web.pages["/timeline/a"] = page
        first, second = look(), look()
        assert first.of("/timeline/a").validators == Validators(etag='"v1"')
        assert second.of("/timeline/a") == NotModified(url=f"{BASE}/timeline/a", kind="milestone")
        assert second.report.not_modified == 1

    def test_last_modified_serves_as_well(self, web, look, memory):
        moment = "Mon, 02 Feb 2026 10:00:00 GMT"
        memory.known[f"{BASE}/timeline/a"] = Validators(last_modified=moment)
        web.milestones("a")
        look()
        assert web.log[-1].headers["if-modified-since"] == moment

    def test_a_304_that_nobody_asked_for_is_a_failure(self, web, look):
        web.milestones("a")
        web.pages["/timeline/a"] = web.reply(304, ETag='"x"')
        assert "304" in look().why("/timeline/a")

    def test_a_404_gives_no_validators(self, web, look, memory):
        web.milestones("a")
        web.pages["/timeline/a"] = web.reply(404, "no", ETag='"v9"')
        assert look().of("/timeline/a") == Gone(url=f"{BASE}/timeline/a", kind="milestone", status=404)
        assert memory.known == {}

    def test_validators_that_no_header_can_hold_are_not_sent(self, web, look, memory):
        memory.known[f"{BASE}/timeline/a"] = Validators(etag='"a"\r\nX-Evil: 1', last_modified="día")
        web.milestones("a")
        assert look().report.failed == 0
        assert "x-evil" not in web.log[-1].headers
        assert "if-none-match" not in web.log[-1].headers

    def test_known_milestones_are_asked_for_though_no_longer_listed(self, web, look):
        web.milestones("a")
        web.pages["/timeline/old"] = web.html("old")
        seen = look(known_urls=frozenset({"https://former.example/timeline/old"}))
        assert b"old" in seen.body("/timeline/old")
        assert seen.report.listed == {f"{BASE}/timeline/a"}
        assert seen.report.found_by[f"{BASE}/timeline/old"] == {"known"}


class TestLinksOnListings:
    def test_a_milestone_that_only_a_listing_names_is_found(self, web, look):
        web.milestones("a")
        web.pages["/"] = web.html(
            '<a href="/timeline/a">a</a><a href="/timeline/new?utm=1">n</a><a href="//evil.example/timeline/e">e</a>'
            '<a href="javascript:alert(1)">j</a><a href="/about">x</a>'
        )
        web.pages["/timeline/new"] = web.html("new")
        report = look(links=look.links).report
        assert report.found_by == {
            f"{BASE}/timeline/a": {"sitemap", "listing"}, f"{BASE}/timeline/new": {"listing"},
        }
        assert report.listed == set(report.found_by)

    def test_listings_are_asked_whole_where_a_304_would_hide_their_links(self, web, look, memory):
        memory.known[f"{BASE}/"] = Validators(etag='"home"')
        web.milestones("a")
        look(links=look.links)
        assert "if-none-match" not in web.log[web.asked.index("/")].headers

    def test_an_unchanged_listing_lists_what_it_listed_before(self, web, look, memory):
        memory.known[f"{BASE}/"] = Validators(etag='"home"')
        web.milestones("a")
        web.pages["/"] = web.reply(304, ETag='"home"')
        web.pages["/timeline/b"] = web.html("b")
        report = look(links=look.links, linked_before={f"{BASE}/": ["/timeline/b"]}.__getitem__).report
        assert report.complete
        assert report.found_by[f"{BASE}/timeline/b"] == {"listing"}

    def test_a_failed_listing_makes_the_look_incomplete(self, web, look):
        web.milestones("a")
        web.sitemap(f"{BASE}/timeline/a", f"{BASE}/era/origins")
        web.pages["/era/origins"] = web.reply(500)
        report = look().report
        assert not report.complete
        assert "era/origins: answered 500" in report.reasons[0]
        assert report.fetched == 2


class TestRedirects:
    def test_another_path_is_recorded_and_fetched_once(self, web, look):
        web.milestones("old", "new")
        web.pages["/timeline/old"] = web.reply(301, Location="/timeline/new")
        seen = look()
        assert seen.of("/timeline/old") == Redirected(
            url=f"{BASE}/timeline/old", kind="milestone", target=f"{BASE}/timeline/new", status=301
        )
        assert web.times("/timeline/new") == 1
        assert isinstance(seen.of("/timeline/new"), Fetched)

    def test_a_target_that_nobody_listed_is_fetched_too(self, web, look):
        web.milestones("old")
        web.pages["/timeline/old"] = web.reply(308, Location="/timeline/new")
        web.pages["/timeline/new"] = web.html("new")
        seen = look()
        assert b"new" in seen.body("/timeline/new")
        assert seen.report.found_by[f"{BASE}/timeline/new"] == {"redirect"}
        assert f"{BASE}/timeline/new" not in seen.report.listed

    @pytest.mark.parametrize(
        "location", ["/timeline/a/", "/timeline/a?v=2", f"{BASE}/timeline/a#x"], ids=["slash", "query", "own-host"]
    )
    def test_the_same_path_is_followed(self, web, look, location):
        web.milestones("a")
        moved = web.reply(308, Location=location)
        web.pages["/timeline/a"] = [moved, web.html("a")] if location.startswith("http") else moved
        web.pages["/timeline/a/"] = web.pages["/timeline/a?v=2"] = web.html("a")
        seen = look()
        if location.startswith("http"):  # the mirror names its original: that would ask itself again
            assert "circle" in seen.why("/timeline/a")
        else:
            assert b"a" in seen.body("/timeline/a")

    def test_home_is_no_milestone(self, web, look):
        web.milestones("a")
        web.pages["/timeline/a"] = web.reply(302, Location="/")
        assert look().of("/timeline/a").target == f"{BASE}/"
        assert web.times("/") == 1

    def test_another_site_is_a_failure(self, web, look):
        web.milestones("a")
        web.pages["/timeline/a"] = web.reply(302, Location="https://login.example/?next=x")
        assert "another site" in look().why("/timeline/a")


class TestTrouble:
    @pytest.mark.parametrize("status", [429, 500, 503], ids=str)
    def test_a_passing_trouble_is_retried(self, web, look, status):
        web.milestones("a")
        web.pages["/timeline/a"] = [web.reply(status), web.html("a")]
        assert look().report.failed == 0
        assert web.times("/timeline/a") == 2

    def test_a_lasting_one_fails_that_page_only(self, web, look):
        web.milestones("a", "b")
        web.pages["/timeline/a"] = web.reply(503)
        seen = look()
        assert seen.why("/timeline/a") == f"{web.url}/timeline/a: answered 503, 3 times"
        assert isinstance(seen.of("/timeline/b"), Fetched)
        assert seen.report.failures == (seen.of("/timeline/a"),)
        assert seen.report.complete  # the listings are whole: the page is known, only not had

    @pytest.mark.parametrize(
        ("header", "pause"),
        [("7", 7.0), ("Mon, 02 Mar 2026 09:00:30 GMT", 30.0), ("86400", 45.0), ("Tue, 03 Mar 2026 09:00:00 GMT", 45.0)],
        ids=["seconds", "date", "seconds-capped", "date-capped"],
    )
    def test_retry_after_is_obeyed_up_to_the_cap(self, web, look, clock, header, pause):
        web.milestones("a")
        web.pages["/timeline/a"] = [web.reply(429, Retry_After=header), web.html("a")]
        look(max_retry_after=45.0)
        assert max(clock.slept) == pause

    @pytest.mark.parametrize("header", ["soon", "-3", "Mon, 99 Foo", "1e9"], ids=str)
    def test_a_retry_after_that_says_nothing_leaves_the_backoff(self, web, look, clock, header):
        web.milestones("a")
        web.pages["/timeline/a"] = [web.reply(503, Retry_After=header), web.html("a")]
        assert look().report.failed == 0
        assert 0.25 <= max(clock.slept) <= 0.5

    def test_a_site_that_dies_half_way_is_left_alone(self, web, look):
        web.milestones(*(f"m{number:02d}" for number in range(40)))
        for number in range(5, 40):
            web.pages[f"/timeline/m{number:02d}"] = web.reply(503)
        seen = look(retries=0)
        assert seen.report.failed == 35
        assert len([path for path in web.asked if path.startswith("/timeline/")]) < 20
        assert "not asked for" in seen.why("/timeline/m39")

    def test_nothing_reachable_is_one_clear_sentence(self, look):
        with pytest.raises(SourceDownError, match=r"robots.txt could not be had: .*could not be reached") as caught:
            look(fetch_from="http://127.0.0.1:1")
        assert caught.value.where == "http://127.0.0.1:1"
        assert caught.value.hint

    def test_no_sitemap_and_no_milestone_anywhere(self, web, look):
        web.pages["/"] = web.html("home")
        with pytest.raises(SourceDownError, match="nothing to go on"):
            look(links=look.links)

    def test_not_one_page_to_be_had(self, web, look):
        web.milestones("a")
        web.pages["/"] = web.pages["/timeline/a"] = web.reply(200, "")
        with pytest.raises(SourceDownError, match="not one page could be had: the page is empty"):
            look()

    def test_a_private_mirror_must_be_named(self, look):
        with pytest.raises(SourceDownError, match=r"127\.0\.0\.1 is not a public address") as caught:
            look(allow_hosts=frozenset())
        assert "allow_hosts" in str(caught.value)


class TestSitemapsThatFail:
    def test_a_broken_one_is_salvaged_and_the_look_incomplete(self, web, look):
        web.milestones("a", "b")
        whole = web.pages["/sitemap.xml"]
        web.pages["/sitemap.xml"] = web.reply(200, whole.body[:-40], Content_Type="application/xml")
        seen = look()
        assert isinstance(seen.of("/timeline/a"), Fetched)
        assert not seen.report.complete
        assert "read in part" in seen.report.reasons[0]

    def test_one_that_can_be_mended_is_whole(self, web, look):
        web.milestones("a", "b")
        whole = web.pages["/sitemap.xml"]
        web.pages["/sitemap.xml"] = web.reply(200, whole.body.replace(b"/b<", b"/b?c=1&d=2<"))
        seen = look()
        assert isinstance(seen.of("/timeline/b"), Fetched)
        assert (seen.report.complete, seen.report.reasons, seen.report.unread) == (True, (), ())

    @pytest.mark.parametrize("body", [
        "https://timeline.example/timeline/a\nhttps://timeline.example/timeline/b\n",
        ("<rss version='2.0'><channel><item><link>https://timeline.example/timeline/a</link></item>"
        "<item><link>https://timeline.example/timeline/b</link></item></channel></rss>"),
        ("<feed xmlns='http://www.w3.org/2005/Atom'><entry><link href='timeline/a'/></entry>"
        "<entry><link href='/timeline/b'/></entry></feed>"),
    ], ids=["text", "rss", "atom"])
    def test_robots_txt_may_name_one_of_another_form(self, web, look, body):
        web.milestones("a", "b")
        del web.pages["/sitemap.xml"]
        web.robots("Sitemap: https://timeline.example/d.txt")
        web.pages["/d.txt"] = web.reply(200, body)
        seen = look()
        assert seen.report.listed == {f"{BASE}/timeline/a", f"{BASE}/timeline/b"}
        assert (seen.report.complete, seen.report.reasons) == (True, ())

    def test_a_feed_is_followed_through_its_pages(self, web, look):
        web.milestones("a", "b")
        web.robots("Sitemap: /feed.xml")
        for at, slug, following in (("/feed.xml", "a", "?page=2"), ("/feed.xml?page=2", "b", "/feed.xml")):
            web.pages[at] = web.reply(
                200, f"<feed><link rel='next' href='{following}'/><entry><link href='/timeline/{slug}'/></entry></feed>"
            )
        seen = look()
        assert seen.report.listed == {f"{BASE}/timeline/a", f"{BASE}/timeline/b"}
        assert (web.times("/feed.xml"), web.times("/feed.xml?page=2")) == (1, 1)

    def test_what_no_look_can_read_is_told_and_stops_nothing(self, web, look):
        web.milestones("a")
        web.sitemap(f"{BASE}/timeline/a", f"{BASE}/timeline/{'x' * 2100}", "")
        seen = look()
        assert seen.report.complete
        (told,) = seen.report.unread
        assert "/sitemap.xml: entries of the sitemap that name no address that can be read: 2, the first: " in told
        assert f"{BASE}/timeline/xxx" in told

    def test_a_sitemap_that_an_index_fails_to_name_leaves_the_look_incomplete(self, web, look):
        web.milestones("a")
        web.sitemap(f"{web.url}/one.xml", "", at="/sitemap.xml", index=True)
        web.sitemap(f"{BASE}/timeline/a", at="/one.xml")
        seen = look()
        assert not seen.report.complete
        assert "name no address that can be read: 1, the first: an empty one" in seen.report.reasons[0]

    def test_a_missing_one_leaves_known_pages(self, web, look):
        web.milestones("a")
        web.robots("Sitemap: https://timeline.example/sitemap.xml")
        web.pages["/sitemap.xml"] = web.reply(404)
        seen = look(known_urls=frozenset({f"{BASE}/timeline/a"}))
        assert isinstance(seen.of("/timeline/a"), Fetched)
        assert not seen.report.complete
        assert seen.report.listed == frozenset()

    def test_a_site_without_one_can_be_complete_through_its_listings(self, web, look):
        web.pages["/"] = web.html('<a href="/timeline/a">')
        web.pages["/timeline/a"] = web.html("a")
        report = look(links=look.links).report
        assert report.complete
        assert report.listed == {f"{BASE}/timeline/a"}

    def test_more_pages_than_allowed(self, web, look):
        web.milestones(*(f"m{number}" for number in range(30)))
        report = look(max_pages=10).report
        assert report.fetched == 10
        assert not report.complete


class TestTheCaller:
    def test_an_error_in_on_page_stops_the_crawl_and_comes_through(self, web, look):
        web.milestones(*(f"m{number}" for number in range(50)))
        calls = []

        def full_disk(outcome):
            calls.append(outcome)
            if len(calls) == 3:
                raise StoreError("the disk is full")

        with pytest.raises(StoreError, match="the disk is full"):
            look(on_page=full_disk)
        assert len(calls) == 3
        assert len(web.log) < 10

    def test_progress_counts_up_to_the_pages_known(self, web, look):
        web.milestones("a", "b", "c")
        steps = []
        look(progress=lambda done, total: steps.append((done, total)), concurrency=1)
        assert steps == [(1, 1), (2, 4), (3, 4), (4, 4)]

    def test_outcomes_arrive_before_the_end(self, web, look):
        web.milestones(*(f"m{number}" for number in range(20)))
        asked_by_then = []
        look(on_page=lambda _: asked_by_then.append(len(web.log)), concurrency=1)
        assert asked_by_then == list(range(3, 24))


def test_identity_is_the_path_on_the_base_whatever_the_sitemap_says(web, look):
    web.milestones("a")
    web.sitemap(
        "https://former.example/timeline/a", f"{BASE}/timeline/a/", "http://timeline.example/timeline/a?ref=x#y",
        "/timeline/%61", " https://x.example/timeline/./a ",
    )
    report = look().report
    assert report.listed == {f"{BASE}/timeline/a"}
    assert web.times("/timeline/a") == 1


def test_what_robots_txt_forbids_is_counted_apart_and_no_fault(web, look):
    web.milestones("a", "b")
    web.robots("User-agent: *\nAllow: /\nDisallow: /timeline/b\nCrawl-delay: 0")
    seen = look()
    assert isinstance(seen.of("/timeline/a"), Fetched)
    assert seen.of("/timeline/b") == Disallowed(url=f"{BASE}/timeline/b", kind="milestone")
    assert (seen.report.disallowed, seen.report.failed, seen.report.complete) == (1, 0, True)
    assert f"{BASE}/timeline/b" in seen.report.listed
    assert web.times("/timeline/b") == 0


def test_snapshots_are_dated_with_the_given_clock(web, look):
    web.milestones("a")
    assert look().of("/").snapshot.fetched_at == dt.datetime(2026, 3, 2, 9, tzinfo=dt.UTC)


class TestTooLong:
    """A source has its time: what it does not give by then is left to the next look, and others need not wait."""

    def test_what_came_in_time_is_kept_and_the_rest_is_told_of(self, web, look):
        web.milestones("a", "b", "c")
        page = web.html("b")

        def for_hours(_asked):
            web.leap(3600.0)
            return page

        web.pages["/timeline/b"] = for_hours
        seen = look(concurrency=1, retries=0, max_look_minutes=60, timeout=600)
        assert [outcome.url for outcome in seen.outcomes][:2] == [f"{BASE}/", f"{BASE}/timeline/a"]
        assert (seen.report.fetched, seen.report.complete) == (2, False)
        [why] = seen.report.reasons
        assert "the look ended after 60 minutes (fetch.max_look_minutes); left to the next one: 1 pages" in why
        assert len(seen.report.listed) == 3

    def test_a_source_that_gave_nothing_in_its_time_is_down(self, web, look):
        def for_hours(_asked):
            web.leap(3600.0)
            return web.reply(404)

        web.pages["/robots.txt"] = for_hours
        with pytest.raises(SourceDownError, match="not one page could be had: the look ended after 30 minutes"):
            look(max_look_minutes=30, timeout=600)
