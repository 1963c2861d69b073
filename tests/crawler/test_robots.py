"""What robots.txt lets us ask."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.discover import RobotsCache
from crawler.robots import MAX_BYTES, Rules, from_status, parse

BASE = "https://timeline.example"


@pytest.mark.parametrize(
    ("text", "allowed", "forbidden"),
    [
        ("User-agent: *\nAllow: /\nDisallow: /api/", "/x", "/api/x"),
        ("User-agent: *\nDisallow: /\nAllow: /timeline/", "/timeline/x", "/x"),
        ("User-agent: *\nDisallow: /a*z$", "/abc", "/abcz"),
        ("User-agent: *\nDisallow: /\nUser-agent: Milepost\nDisallow: /b", "/x", "/b"),
        ("User-agent: milepost\nDisallow: /a\n\nUser-agent: *\nDisallow: /", "/x", "/a"),
        ("User-agent: GPTBot\nUser-agent: *\nDisallow: /x # why not", "/y", "/x"),
        ("\ufeffUser-agent: *\nDisallow: /x", "/y", "/x"),
        ("Disallow: /z\nUser-agent: *\nDisallow: /x", "/z", "/x"),
        ("User-agent: *\rDisallow: /x\r\n\0", "/y", "/x"),
    ],
    ids=["longest-match", "allow-inside", "wildcard", "our-group-last", "our-group-first", "shared-group", "bom",
         "orphan-rule", "odd-line-ends"],
)
def test_rules(text, allowed, forbidden):
    rules = parse(text.encode())
    assert rules.allows(BASE + allowed)
    assert not rules.allows(BASE + forbidden)


@pytest.mark.parametrize(
    ("status", "open_"), [(404, True), (410, True), (401, True), (403, True), (429, False), (500, False), (503, False)]
)
def test_no_robots_txt(status, open_):
    assert from_status(status).allows(f"{BASE}/x") is open_


@pytest.mark.parametrize(
    ("line", "delay"), [("2.5", 2.5), ("-1", 0.0), ("nan", 0.0), ("inf", 0.0), ("soon", 0.0)],
)
def test_crawl_delay(line, delay):
    assert parse(f"User-agent: *\nCrawl-delay: {line}".encode()).delay == delay


def test_only_the_first_500_kib_are_read():
    filler = b"# " + b"x" * MAX_BYTES + b"\n"
    assert parse(filler + b"User-agent: *\nDisallow: /").allows(f"{BASE}/x")


def test_a_wildcard_storm_is_no_storm():
    rules = parse(b"User-agent: *\n" + b"Disallow: /" + b"*a" * 200 + b"b$\n" * 1)
    assert rules.allows(f"{BASE}/" + "a" * 1800)


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(st.binary(max_size=300), st.text(alphabet="UserAgntDisalow:-*$/%\n \r#é", max_size=200).map(str.encode))
)
def test_no_bytes_break_it(body):
    assert isinstance(parse(body).allows(f"{BASE}/timeline/x"), bool)


def test_rules_are_kept_for_a_day_trouble_for_a_minute():
    cache, start = RobotsCache(), dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
    good, bad = Rules(), Rules(forbidden="503")
    cache.put("https://a.example", good, start)
    cache.put("https://b.example", bad, start)
    assert cache.get("https://a.example", start + dt.timedelta(hours=23)) is good
    assert cache.get("https://a.example", start + dt.timedelta(hours=25)) is None
    assert cache.get("https://b.example", start + dt.timedelta(seconds=30)) is bad
    assert cache.get("https://b.example", start + dt.timedelta(minutes=2)) is None
    assert cache.get("https://c.example", start) is None


def test_a_kept_cache_saves_the_request(web, look):
    web.milestones("a")
    cache = RobotsCache()
    look(robots=cache)
    look(robots=cache)
    assert web.times("/robots.txt") == 1
