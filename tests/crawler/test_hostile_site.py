"""Hostile and broken sites: sitemaps, pages and robots.txt that are not what they should be, over the wire."""

import gzip

import pytest

from crawler.crawl import Disallowed, Fetched
from milepost.errors import FetchError, SourceDownError

BASE = "https://timeline.example"
MIB = 1024 * 1024
PAGE = b"<!DOCTYPE html><html><body><article><h1>x</h1></article></body></html>"


# --- 7: sitemaps, over the wire (the parser's own cases: test_sitemap.py) --------------------------------------------


def test_7_sitemaps_that_name_themselves_and_each_other(site, look):
    site.sitemap("/sitemap.xml", "/a.xml", "/b.xml", index=True)
    site.sitemap("/b.xml", "/sitemap.xml", at="/a.xml", index=True)
    site.sitemap(f"{BASE}/timeline/good", at="/b.xml")
    report = look().report
    assert report.complete
    assert report.listed == {f"{BASE}/timeline/good"}
    assert [site.times(path) for path in ("/sitemap.xml", "/a.xml", "/b.xml")] == [1, 1, 1]


def test_7_twelve_levels(site, look):
    for level in range(12):
        site.sitemap(f"/s{level + 1}.xml", at=f"/s{level}.xml" if level else "/sitemap.xml", index=True)
    site.sitemap(f"{BASE}/timeline/good", at="/s12.xml")
    report = look(known_urls=frozenset({f"{BASE}/timeline/good"})).report
    assert not report.complete
    assert "deeper than 3" in report.reasons[0]
    assert site.times("/s2.xml") == 1
    assert site.times("/s3.xml") == 0


def test_7_a_thousand_sitemaps(site, look):
    site.sitemap(*(f"/s{number}.xml" for number in range(1000)), index=True)
    for number in range(1000):
        site.sitemap(f"/timeline/{'good' if number == 7 else f'n{number}'}", at=f"/s{number}.xml")
    report = look(max_pages=5).report
    assert not report.complete
    assert len([path for path in site.asked if path.startswith("/s")]) <= 200


def test_7_sitemaps_that_all_fail_are_given_up(site, look):
    site.sitemap(*(f"/s{number}.xml" for number in range(100)), index=True)
    report = look(known_urls=frozenset({f"{BASE}/timeline/good"})).report
    assert not report.complete
    assert len([path for path in site.asked if path.startswith("/s")]) == 6


@pytest.mark.parametrize("packed", [False, True], ids=["7-plain", "7-gz"])
def test_a_sitemap_larger_than_allowed_gives_what_fits(site, look, packed):
    whole = site.pages["/sitemap.xml"].body.replace(b"</urlset>", b" " * (2 * MIB) + b"</urlset>")
    site.pages["/sitemap.xml"] = site.reply(200, gzip.compress(whole) if packed else whole)
    report = look(max_body_bytes=MIB, max_wire_bytes=MIB).report
    assert report.fetched == 3
    assert not report.complete


# --- 8: pages that are none ------------------------------------------------------------------------------------------

NO_PAGES = {
    "truncated": (PAGE[:-8], "cut short"),
    "empty": (b"", "empty"),
    "blank": (b" \n\t ", "empty"),
    "soft-404": (b"<html><title>404: Page not found</title><h1>404</h1></html>", "not found"),
    "captcha": (b"<html><title>Just a moment...</title><body></body></html>", "challenge"),
    "recaptcha": (b'<html><body><div class="g-recaptcha"></div></body></html>', "challenge"),
    "login": (b"<html><form><input name=p type='password'></form></html>", "login"),
}


@pytest.mark.parametrize(("body", "why"), NO_PAGES.values(), ids=[f"8-{name}" for name in NO_PAGES])
def test_a_page_that_is_none(site, look, body, why, memory):
    site.pages["/timeline/bad"] = site.reply(200, body, Content_Type="text/html", ETag='"bad"')
    seen = look()
    assert why in seen.why("/timeline/bad")
    assert f"{BASE}/timeline/bad" not in memory.known  # never asked "has it changed?" of what was no page
    assert isinstance(seen.of("/timeline/good"), Fetched)


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "image/png"], ids=lambda kind: f"8-{kind}")
def test_a_page_of_another_kind(site, look, kind):
    site.pages["/timeline/bad"] = site.reply(200, PAGE, Content_Type=kind)
    assert kind in look().why("/timeline/bad")


def test_8_a_page_with_a_sign_in_form_in_its_header_is_still_a_page(site, look):
    body = PAGE.replace(b"<body>", b"<body><form><input type=password></form><div class='g-recaptcha'></div>")
    site.pages["/timeline/bad"] = site.reply(200, body, Content_Type="text/html")
    assert isinstance(look().of("/timeline/bad"), Fetched)


# --- 9: odd charsets (reading them is the extractors' part) ----------------------------------------------------------


@pytest.mark.parametrize(
    "charset", ["utf-7", "klingon", "", "utf-8; charset=latin-1", "é"],
    ids=["9-utf7", "9-unknown", "9-none", "9-two", "9-odd"],
)
def test_a_body_is_kept_byte_for_byte_whatever_its_charset(site, look, charset):
    body = PAGE.replace(b"x", b"\xff\0\xed\xa0\x80+ADw-")
    kind = f"text/html; charset={charset}".encode().decode("latin-1")
    site.pages["/timeline/bad"] = site.reply(200, body, Content_Type=kind)
    assert look().body("/timeline/bad") == body


# --- 17: one page, many addresses ------------------------------------------------------------------------------------


def test_17_slashes_queries_and_tracking_are_one_page(site, look):
    site.sitemap(*(f"{BASE}/timeline/good{tail}" for tail in ("", "/", "?utm_source=x", "#top", "/?a=1&b=2#c")))
    assert look(known_urls=frozenset({f"{BASE}/timeline/good/"})).report.listed == {f"{BASE}/timeline/good"}
    assert site.times("/timeline/good") == 1


@pytest.mark.parametrize("spelled_first", ["GOOD", "good"], ids=["17-capitals-first", "17-capitals-last"])
def test_other_case_is_one_page_by_the_spelling_that_is_known(site, look, spelled_first):
    other = "good" if spelled_first == "GOOD" else "GOOD"
    site.pages["/timeline/GOOD"] = site.html("good")
    site.sitemap(*(f"{BASE}/timeline/{slug}" for slug in (spelled_first, other)))
    report = look(known_urls=frozenset({f"{BASE}/timeline/good"})).report
    assert report.listed == {f"{BASE}/timeline/good"}
    assert report.aliases == {f"{BASE}/timeline/GOOD": f"{BASE}/timeline/good"}
    assert site.times("/timeline/GOOD") == 0


def test_17_a_spelling_that_is_gone_gives_way_to_the_other(site, look):
    site.sitemap(f"{BASE}/timeline/Good", f"{BASE}/timeline/good")
    seen = look()
    assert seen.of("/timeline/Good").status == 404
    assert isinstance(seen.of("/timeline/good"), Fetched)
    assert seen.report.aliases == {}


def test_17_gone_for_a_day_and_back(site, look):
    site.pages["/timeline/good"] = [site.html("good", ETag='"1"'), site.reply(404), site.html("good", ETag='"1"')]
    known = frozenset({f"{BASE}/timeline/good"})
    outcomes = [look(known_urls=known).of("/timeline/good") for _ in range(3)]
    assert [type(outcome).__name__ for outcome in outcomes] == ["Fetched", "Gone", "Fetched"]
    assert outcomes[0].url == outcomes[2].url


# --- 18: what a site asks of us --------------------------------------------------------------------------------------

ROBOTS_TROUBLE = {
    "18-500": lambda web: web.reply(500),
    "18-503": lambda web: web.reply(503, Retry_After="1"),
    "18-429": lambda web: web.reply(429),
}


@pytest.mark.parametrize("reply", ROBOTS_TROUBLE.values(), ids=ROBOTS_TROUBLE.keys())
def test_robots_in_trouble_forbids_everything(site, look, reply):
    site.pages["/robots.txt"] = reply(site)
    with pytest.raises(SourceDownError, match=r"robots\.txt answered"):
        look()
    assert set(site.asked) == {"/robots.txt"}


@pytest.mark.parametrize(
    "body",
    [b"", b"<!DOCTYPE html><html>no robots here</html>", bytes(range(256)) * 99, b"\xff\xfe\0D", b"Disallow: /\n" * 9],
    ids=["18-empty", "18-html", "18-garbage", "18-utf16", "18-nobody-named"],
)
def test_a_robots_txt_of_nonsense_forbids_nothing(site, look, body):
    site.pages["/robots.txt"] = site.reply(200, body)
    assert look().report.fetched == 3


def test_18_a_huge_robots_txt_is_read_to_500_kib(site, look):
    filler = "# x\n" * (2 * MIB // 4)
    site.robots(f"User-agent: *\nDisallow: /timeline/bad\n{filler}Disallow: /timeline/good\n")
    seen = look()
    assert seen.of("/timeline/bad") == Disallowed(url=f"{BASE}/timeline/bad", kind="milestone")
    assert isinstance(seen.of("/timeline/good"), Fetched)


def test_18_robots_that_redirect_forever_are_no_robots(site, look):
    site.pages["/robots.txt"] = site.reply(302, Location="/robots.txt?1")
    site.pages["/robots.txt?1"] = site.reply(302, Location="/robots.txt")
    assert look().report.fetched == 3


def test_18_disallow_all(site, look):
    site.robots("User-agent: *\nDisallow: /")
    with pytest.raises(SourceDownError, match=r"robots\.txt forbids"):
        look(known_urls=frozenset({f"{BASE}/timeline/good"}))
    assert set(site.asked) == {"/robots.txt"}


def test_18_crawl_delay_is_kept_and_capped(site, look, clock):
    site.robots("User-agent: *\nCrawl-delay: 3")
    look()
    assert clock.at - 1000.0 == 3 * 3  # sitemap at once, then home and two milestones
    site.robots("User-agent: *\nCrawl-delay: 86400")
    before = clock.at
    look()
    assert clock.at - before == 3 * 10


def test_18_a_429_slows_every_worker_down(site, look, clock):
    site.pages["/timeline/bad"] = [site.reply(429, Retry_After="30"), site.html("bad")]
    moments = []

    def good(_):
        moments.append(clock.at)
        return site.html("good")

    site.pages["/timeline/good"] = good
    assert look(concurrency=1).report.fetched == 4 - 1
    assert moments[0] >= 1030.0


def test_errors_name_the_page_and_are_one_sentence(site, look):
    site.pages["/timeline/bad"] = site.reply(403)
    error = look().of("/timeline/bad").error
    assert isinstance(error, FetchError)
    assert (error.status, error.where) == (403, f"{BASE}/timeline/bad")
    assert str(error) == f"{BASE}/timeline/bad: answered 403"
