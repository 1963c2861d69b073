"""Hostile and broken servers: each gets its clear error on that page, and the look goes on."""

import gzip
import resource
import tracemalloc
import zlib

import pytest

from crawler.crawl import Fetched
from milepost.errors import FetchError, RefusedError, SourceDownError

BASE = "https://timeline.example"
MIB = 1024 * 1024
PAGE = b"<!DOCTYPE html><html><body><article><h1>x</h1></article></body></html>"


def head(status=200, **headers):
    lines = [f"HTTP/1.1 {status} X", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


@pytest.fixture
def site(web):
    """Two milestones: "bad", which a test makes hostile, and "good", which must always be had."""
    web.milestones("bad", "good")
    return web


def resolving(*answers):
    """A resolver that says these addresses, one list per question, the last again and again; and what it was asked."""
    asked = []
    rest = list(answers)

    async def resolve(host, port):
        asked.append(host)
        return rest.pop(0) if len(rest) > 1 else rest[0]

    return resolve, asked


# --- 1: where a redirect may not lead --------------------------------------------------------------------------------

PLACES = {
    "loopback": "http://127.0.0.2:{port}/timeline/bad",
    "private": "http://10.0.0.1/timeline/bad",
    "link-local": "http://169.254.7.7/timeline/bad",
    "metadata-aws": "http://169.254.169.254/timeline/bad",
    "metadata-azure": "http://168.63.129.16/timeline/bad",
    "cgnat": "http://100.64.0.1/timeline/bad",
    "multicast": "http://224.0.0.1/timeline/bad",
    "unspecified": "http://0.0.0.0:{port}/timeline/bad",
    "nat64": "http://[64:ff9b::7f00:1]:{port}/timeline/bad",
    "6to4": "http://[2002:7f00:1::]:{port}/timeline/bad",
    "teredo": "http://[2001:0:53aa:64c::80ff:fffe]:{port}/timeline/bad",
    "v4-mapped": "http://[::ffff:127.0.0.1]:{port}/timeline/bad",
    "loopback-v6": "http://[::1]:{port}/timeline/bad",
    "named-host-name": "http://localhost:{port}/timeline/bad",
}


@pytest.mark.parametrize("place", PLACES.values(), ids=[f"1-{name}" for name in PLACES])
def test_a_redirect_into_the_dark(site, look, place):
    site.pages["/timeline/bad"] = site.reply(302, Location=place.format(port=site.port))
    seen = look()
    assert "is not a public address" in seen.why("/timeline/bad")
    assert isinstance(seen.of("/timeline/bad").error, RefusedError)
    assert isinstance(seen.of("/timeline/good"), Fetched)
    assert site.times("/timeline/bad") == 1  # refused, so not retried


@pytest.mark.parametrize("name", ["::1", "[::1]"], ids=["1-named", "1-named-bracketed"])
def test_naming_one_private_host_names_no_other(site, look, name):
    site.pages["/timeline/bad"] = site.reply(302, Location=f"http://127.0.0.9:{site.port}/timeline/bad")
    assert "127.0.0.9" in look(allow_hosts=frozenset({"127.0.0.1", name})).why("/timeline/bad")


def test_the_second_hop_is_checked_as_well(site, other_web, look):
    site.pages["/timeline/bad"] = site.reply(302, Location=f"{other_web.url}/timeline/bad")
    other_web.pages["/timeline/bad"] = site.reply(302, Location="http://169.254.169.254/timeline/bad")
    assert "169.254.169.254" in look().why("/timeline/bad")
    assert other_web.times("/timeline/bad") == 1


@pytest.mark.parametrize("where", ["/robots.txt", "/sitemap.xml"], ids=["1-robots", "1-sitemap"])
def test_robots_and_sitemaps_lead_nowhere_dark_either(site, look, where):
    site.pages[where] = site.reply(302, Location="http://169.254.169.254/latest/meta-data/")
    if where == "/robots.txt":
        with pytest.raises(SourceDownError, match=r"169\.254\.169\.254 is not a public address"):
            look()
    else:
        assert "169.254.169.254" in look(known_urls=frozenset({f"{BASE}/timeline/good"})).report.reasons[0]


# --- 2: names that change their address ------------------------------------------------------------------------------


def test_2_a_rebinding_name_is_checked_at_every_connection(site, look):
    resolver, asked = resolving(["127.0.0.1"], ["169.254.169.254"])
    site.pages["/robots.txt"] = site.reply(404, Connection="close")
    site.raw["/sitemap.xml"] = lambda _, wire: wire.write(head(500, Content_Length=0, Connection="close"))
    with pytest.raises(SourceDownError, match=r"169\.254\.169\.254"):
        look(
            fetch_from=f"http://rebind.example:{site.port}", allow_hosts=frozenset({"rebind.example"}), retries=0,
            resolver=resolver,
        )
    assert asked[0] == "rebind.example"
    assert len(asked) > 1


def test_2_the_name_is_asked_once_for_each_connection_and_never_in_between(site, look):
    resolver, asked = resolving(["127.0.0.1"])
    look(
        fetch_from=f"http://once.example:{site.port}", allow_hosts=frozenset({"once.example"}), resolver=resolver,
        concurrency=1,
    )
    assert asked == ["once.example"]  # one connection, kept alive
    assert site.log[0].headers["host"] == f"once.example:{site.port}"


def test_2_of_mixed_records_only_the_good_are_used(site, look):
    resolver, _ = resolving(["169.254.169.254", "127.0.0.1", "::"])
    seen = look(fetch_from=f"http://mixed.example:{site.port}", allow_hosts=frozenset({"mixed.example"}), resolver=resolver)
    assert seen.report.fetched == 3


def test_2_a_public_name_with_a_private_address_is_refused(site, look):
    resolver, _ = resolving(["127.0.0.1", "10.0.0.1"])
    with pytest.raises(SourceDownError, match=r"127\.0\.0\.1 is not a public address"):
        look(fetch_from=f"http://inside.example:{site.port}", resolver=resolver)
    assert site.log == []


def test_2_a_name_nobody_knows_is_an_error_of_the_source(site, look):
    async def unknown(host, port):
        raise OSError(-2, "Name or service not known")

    with pytest.raises(SourceDownError, match=r"no address for .*Name or service not known"):
        look(fetch_from="http://unknown.example", resolver=unknown)


# --- 3, 4: odd spellings and other schemes ---------------------------------------------------------------------------

ODD = {
    "3-short": "http://127.1:{port}/timeline/bad",
    "3-decimal": "http://2130706433:{port}/timeline/bad",
    "3-hex": "http://0x7f000001:{port}/timeline/bad",
    "3-full-width-dots": "http://127\u30020\u30020\u30021:{port}/timeline/bad",
    "3-trailing-dot": "http://localhost.:{port}/timeline/bad",
    "3-backslash": "http://127.0.0.1\\@example.com/timeline/bad",
    "4-file": "file:///etc/passwd",
    "4-ftp": "ftp://127.0.0.1/timeline/bad",
    "4-data": "data:text/html,<h1>x</h1></html>",
    "4-userinfo": "http://user:pass@127.0.0.1:{port}/timeline/bad",
    "4-nonsense": "http://[::1/timeline/bad",
}


@pytest.mark.parametrize("place", ODD.values(), ids=ODD.keys())
def test_a_redirect_to_an_odd_address(site, look, place):
    location = place.format(port=site.port).encode().decode("latin-1")
    site.pages["/timeline/bad"] = site.reply(302, Location=location)
    seen = look()
    assert "refused" in seen.why("/timeline/bad")
    assert isinstance(seen.of("/timeline/bad").error, RefusedError)
    assert isinstance(seen.of("/timeline/good"), Fetched)


@pytest.mark.parametrize("key", ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"], ids=lambda key: f"4-{key}")
def test_a_proxy_from_the_environment_is_not_used(site, other_web, look, monkeypatch, key):
    monkeypatch.setenv(key, other_web.url)
    assert look().report.fetched == 3
    assert other_web.log == []


# --- 5: bodies that are too big, or lie about it ---------------------------------------------------------------------


def deflate(data, raw=False):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15 if raw else 15)
    return packer.compress(data) + packer.flush()


BOMBS = {
    "gzip": ("gzip", gzip.compress(bytes(64 * MIB))),
    "gzip-members": ("gzip", gzip.compress(bytes(MIB)) * 64),
    "deflate": ("deflate", deflate(bytes(64 * MIB))),
    "deflate-raw": ("deflate", deflate(bytes(64 * MIB), raw=True)),
}


@pytest.mark.parametrize("status", [200, 404, 500], ids=str)
@pytest.mark.parametrize(("coding", "bomb"), BOMBS.values(), ids=[f"5-{name}-bomb" for name in BOMBS])
def test_a_bomb(site, look, coding, bomb, status):
    site.pages["/timeline/bad"] = site.reply(status, bomb, Content_Encoding=coding, Content_Type="text/html")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seen = look(max_body_bytes=2 * MIB, retries=0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
    assert isinstance(seen.of("/timeline/good"), Fetched)
    if status == 200:
        assert f"more than {2 * MIB} bytes once decoded" in seen.why("/timeline/bad")
    else:
        assert seen.report.gone + seen.report.failed == 1


def test_5_a_bomb_is_never_unpacked_into_memory(site, look):
    site.pages["/timeline/bad"] = site.reply(200, BOMBS["gzip"][1], Content_Encoding="gzip", Content_Type="text/html")
    tracemalloc.start()
    try:
        look(max_body_bytes=MIB)
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


def endless(asked, wire):
    wire.write(head(Transfer_Encoding="chunked", Content_Type="text/html"))
    while not wire.closing.is_set():
        wire.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")


BODIES = {
    "5-nested-codings": (dict(Content_Encoding="gzip, gzip"), gzip.compress(gzip.compress(PAGE)), "nested"),
    "5-br-unasked": (dict(Content_Encoding="br"), b"\x0b\x02\x80", "not asked for"),
    "5-unknown-coding": (dict(Content_Encoding="zorp"), PAGE, "not asked for"),
    "5-not-gzip": (dict(Content_Encoding="gzip"), PAGE, "gzip body is broken"),
    "5-gzip-cut": (dict(Content_Encoding="gzip"), gzip.compress(PAGE * 99)[:-20], "gzip body broke off"),
    "5-too-big-said": ({}, b"x" * (2 * MIB), "on the wire"),
}


@pytest.mark.parametrize(("headers", "body", "why"), BODIES.values(), ids=BODIES.keys())
def test_a_body_that_is_not_what_was_asked_for(site, look, headers, body, why):
    site.pages["/timeline/bad"] = site.reply(200, body, Content_Type="text/html", **headers)
    seen = look(max_wire_bytes=MIB, retries=0)
    assert why in seen.why("/timeline/bad")
    assert isinstance(seen.of("/timeline/good"), Fetched)


RAW = {
    "5-endless-chunks": (endless, "bytes on the wire"),
    "5-length-too-long": (lambda _, wire: wire.write(head(Content_Length=99999, Content_Type="text/html") + PAGE), "whole HTTP"),
    "5-length-too-short": (
        lambda _, wire: wire.write(head(Content_Length=len(PAGE) - 9, Content_Type="text/html") + PAGE), "cut short",
    ),
    "5-length-is-a-word": (lambda _, wire: wire.write(head(Content_Length="many") + PAGE), "whole HTTP"),
    "5-two-lengths": (
        lambda _, wire: wire.write(head(Content_Length=5, content_length=7, Content_Type="text/html") + PAGE), "whole HTTP",
    ),
    "5-chunk-size-lies": (
        lambda _, wire: wire.write(head(Transfer_Encoding="chunked", Content_Type="text/html") + b"zz\r\n" + PAGE), "whole HTTP",
    ),
    "5-chunks-break-off": (
        lambda _, wire: wire.write(head(Transfer_Encoding="chunked", Content_Type="text/html") + b"ff\r\n" + PAGE), "whole HTTP",
    ),
    "6-slow-body": (
        lambda _, wire: (wire.write(head(Content_Length=len(PAGE), Content_Type="text/html")), wire.drip(PAGE)), "not done within",
    ),
    "6-slow-headers": (lambda _, wire: wire.drip(head(Content_Length=2) * 9), "not done within"),
    "6-silence": (lambda _, wire: wire.closing.wait(9), "not done within"),
    "6-10000-headers": (
        lambda _, wire: wire.write(head(Content_Length=0, **{f"h{number}": 1 for number in range(10_000)})), "",
    ),
    "6-300-headers": (
        lambda _, wire: wire.write(head(Content_Length=0, **{f"h{number}": 1 for number in range(300)})), "more than 200 headers",
    ),
    "6-endless-header": (lambda _, wire: wire.write(b"HTTP/1.1 200 X\r\nA: " + b"a" * (4 * MIB)), "whole HTTP"),
    "6-endless-informational": (lambda _, wire: [wire.write(b"HTTP/1.1 103 Early\r\n\r\n") for _ in iter(wire.closing.is_set, True)], "not done within"),
    "6-no-answer": (lambda _, wire: None, "disconnected"),
    "6-not-http": (lambda _, wire: wire.write(b"220 mail.example ESMTP\r\n" * 9), "whole HTTP"),
    "6-a-header-of-control-signs": (lambda _, wire: wire.write(b"HTTP/1.1 200 X\r\nA: \0\x01\r\n\r\n"), "whole HTTP"),
}


@pytest.mark.parametrize(("raw", "why"), RAW.values(), ids=RAW.keys())
def test_a_server_that_misbehaves_on_the_wire(site, look, raw, why):
    site.raw["/timeline/bad"] = raw
    slow = "not done" in why
    seen = look(timeout=0.4 if slow else 20.0, retries=0, max_wire_bytes=MIB, concurrency=1)
    assert why in seen.why("/timeline/bad")
    assert isinstance(seen.of("/timeline/good"), Fetched)


LOOPS = {
    "6-to-itself": ["/timeline/bad"],
    "6-in-a-circle": ["/timeline/bad?1", "/timeline/bad?2", "/timeline/bad"],
    "6-on-and-on": [f"/timeline/bad?{number}" for number in range(50)],
    "6-nowhere": [""],
}


@pytest.mark.parametrize("stations", LOOPS.values(), ids=LOOPS.keys())
def test_a_redirect_loop(site, look, stations):
    at = "/timeline/bad"
    for station in stations:
        site.pages[at] = site.reply(302, Location=station)
        at = station
    seen = look()
    assert "redirects" in seen.why("/timeline/bad") or "where to" in seen.why("/timeline/bad")
    assert len([path for path in site.asked if path.startswith("/timeline/bad")]) <= 6
    assert isinstance(seen.of("/timeline/good"), Fetched)


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


# --- 17: one page, many addresses ------------------------------------------------------------------------------------


def test_17_slashes_queries_and_tracking_are_one_page(site, look):
    site.sitemap(*(f"{BASE}/timeline/good{tail}" for tail in ("", "/", "?utm_source=x", "#top", "/?a=1&b=2#c")))
    assert look(known_urls=frozenset({f"{BASE}/timeline/good/"})).report.listed == {f"{BASE}/timeline/good"}
    assert site.times("/timeline/good") == 1


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
    site.robots("User-agent: *\nDisallow: /timeline/bad\n" + "# x\n" * (2 * MIB // 4) + "Disallow: /timeline/good\n")
    seen = look()
    assert "robots.txt forbids" in seen.why("/timeline/bad")
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
    site.pages["/timeline/good"] = lambda _: (moments.append(clock.at), site.html("good"))[1]
    assert look(concurrency=1).report.fetched == 4 - 1
    assert moments[0] >= 1030.0


def test_errors_name_the_page_and_are_one_sentence(site, look):
    site.pages["/timeline/bad"] = site.reply(403)
    error = look().of("/timeline/bad").error
    assert isinstance(error, FetchError)
    assert (error.status, error.where, str(error)) == (403, f"{BASE}/timeline/bad", f"{BASE}/timeline/bad: answered 403")
