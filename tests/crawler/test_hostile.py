"""Hostile addresses, wires and bodies: each gets its clear error on that page, and the look goes on."""

import functools
import gzip
import resource
import tracemalloc
import zlib

import pytest

from crawler.crawl import Fetched
from milepost.errors import RefusedError, SourceDownError

BASE = "https://timeline.example"
MIB = 1024 * 1024
PAGE = b"<!DOCTYPE html><html><body><article><h1>x</h1></article></body></html>"


def head(status=200, **headers):
    lines = [f"HTTP/1.1 {status} X", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def resolving(*answers):
    """A resolver that says these addresses, one list per question, the last again and again; and what it was asked."""
    asked = []
    rest = list(answers)

    async def resolve(host, _port):
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
    mirror = {"fetch_from": f"http://mixed.example:{site.port}", "allow_hosts": frozenset({"mixed.example"})}
    seen = look(resolver=resolver, **mirror)
    assert seen.report.fetched == 3


def test_2_a_public_name_with_a_private_address_is_refused(site, look):
    resolver, _ = resolving(["127.0.0.1", "10.0.0.1"])
    with pytest.raises(SourceDownError, match=r"127\.0\.0\.1 is not a public address"):
        look(fetch_from=f"http://inside.example:{site.port}", resolver=resolver)
    assert site.log == []


def test_2_a_name_nobody_knows_is_an_error_of_the_source(look):
    async def unknown(_host, _port):
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
    assert site.log


# --- 5: bodies that are too big, or lie about it ---------------------------------------------------------------------


BOMBS = {  # the coding, and zlib's window for it
    "gzip": ("gzip", 31), "gzip-members": ("gzip", None), "deflate": ("deflate", 15), "deflate-raw": ("deflate", -15),
}


@functools.cache
def bomb(name):
    """64 MiB, packed when a test first wants it, without ever being in memory as a whole."""
    window = BOMBS[name][1]
    if window is None:
        return gzip.compress(bytes(MIB)) * 64
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    return b"".join([*(packer.compress(bytes(MIB)) for _ in range(64)), packer.flush()])


@pytest.mark.parametrize("status", [200, 404, 500], ids=str)
@pytest.mark.parametrize("name", BOMBS, ids=[f"5-{name}-bomb" for name in BOMBS])
def test_a_bomb(site, look, name, status):
    coding, _ = BOMBS[name]
    site.pages["/timeline/bad"] = site.reply(status, bomb(name), Content_Encoding=coding, Content_Type="text/html")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seen = look(max_body_bytes=2 * MIB, retries=0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
    assert isinstance(seen.of("/timeline/good"), Fetched)
    if status == 200:
        assert f"more than {2 * MIB} bytes once decoded" in seen.why("/timeline/bad")
    else:
        assert seen.report.gone + seen.report.failed == 1


def test_5_a_bomb_is_never_unpacked_into_memory(site, look):
    site.pages["/timeline/bad"] = site.reply(200, bomb("gzip"), Content_Encoding="gzip", Content_Type="text/html")
    tracemalloc.start()
    try:
        look(max_body_bytes=MIB)
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


def endless(_asked, wire):
    wire.write(head(Transfer_Encoding="chunked", Content_Type="text/html"))
    while not wire.closing.is_set():
        wire.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")


BODIES = {
    "5-nested-codings": ({"Content_Encoding": "gzip, gzip"}, gzip.compress(gzip.compress(PAGE)), "nested"),
    "5-br-unasked": ({"Content_Encoding": "br"}, b"\x0b\x02\x80", "not asked for"),
    "5-unknown-coding": ({"Content_Encoding": "zorp"}, PAGE, "not asked for"),
    "5-not-gzip": ({"Content_Encoding": "gzip"}, PAGE, "gzip body is broken"),
    "5-gzip-cut": ({"Content_Encoding": "gzip"}, gzip.compress(PAGE * 99)[:-20], "gzip body broke off"),
    "5-too-big-said": ({}, b"x" * (2 * MIB), "on the wire"),
}


@pytest.mark.parametrize(("headers", "body", "why"), BODIES.values(), ids=BODIES.keys())
def test_a_body_that_is_not_what_was_asked_for(site, look, headers, body, why):
    site.pages["/timeline/bad"] = site.reply(200, body, Content_Type="text/html", **headers)
    seen = look(max_wire_bytes=MIB, retries=0)
    assert why in seen.why("/timeline/bad")
    assert isinstance(seen.of("/timeline/good"), Fetched)


def answering(*parts):
    """A page that writes these bytes and hangs up."""
    return lambda _asked, wire: [wire.write(part) for part in parts]


def dripping(before, after):
    """A page that writes the first bytes at once and the rest one by one."""

    def page(_asked, wire):
        wire.write(before)
        wire.drip(after)

    return page


def silent(_asked, wire):
    wire.leap(25)
    wire.closing.wait()


def early_hints(_asked, wire):
    while not wire.closing.is_set():
        wire.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")


HTML = {"Content_Type": "text/html"}
CHUNKED = head(Transfer_Encoding="chunked", **HTML)
SLOW = "not done within"
RAW = {
    "5-endless-chunks": (endless, "bytes on the wire"),
    "5-length-too-long": (answering(head(Content_Length=99999, **HTML), PAGE), "whole HTTP"),
    "5-length-too-short": (answering(head(Content_Length=len(PAGE) - 9, **HTML), PAGE), "cut short"),
    "5-length-is-a-word": (answering(head(Content_Length="many"), PAGE), "whole HTTP"),
    "5-two-lengths": (answering(head(Content_Length=5, content_length=7, **HTML), PAGE), "whole HTTP"),
    "5-chunk-size-lies": (answering(CHUNKED, b"zz\r\n", PAGE), "whole HTTP"),
    "5-chunks-break-off": (answering(CHUNKED, b"ff\r\n", PAGE), "whole HTTP"),
    "6-slow-body": (dripping(head(Content_Length=len(PAGE), **HTML), PAGE), SLOW),
    "6-slow-headers": (dripping(b"", head(Content_Length=2) * 9), SLOW),
    "6-silence": (silent, SLOW),
    "6-10000-headers": (answering(head(Content_Length=0, **{f"h{n}": 1 for n in range(10_000)})), ""),
    "6-300-headers": (answering(head(Content_Length=0, **{f"h{n}": 1 for n in range(300)})), "more than 200 headers"),
    "6-endless-header": (answering(b"HTTP/1.1 200 X\r\nA: ", b"a" * (4 * MIB)), "whole HTTP"),
    "6-endless-early-hints": (early_hints, "interim answers"),
    "6-no-answer": (answering(), "disconnected"),
    "6-not-http": (answering(b"220 mail.example ESMTP\r\n" * 9), "whole HTTP"),
    "6-control-signs-in-a-header": (answering(b"HTTP/1.1 200 X\r\nA: \0\x01\r\n\r\n"), "whole HTTP"),
}


@pytest.mark.parametrize(("raw", "why"), RAW.values(), ids=RAW.keys())
def test_a_server_that_misbehaves_on_the_wire(site, look, raw, why):
    site.raw["/timeline/bad"] = raw
    seen = look(timeout=20.0, retries=0, max_wire_bytes=MIB, concurrency=1)
    assert why in seen.why("/timeline/bad")
    assert isinstance(seen.of("/timeline/good"), Fetched)


STEERING = {
    "content-type": {"Content_Type": "text/\x1b]0;X\x07"},
    "nested-coding": {"Content_Type": "text/html", "Content_Encoding": "gzip, \x9b31m\xe2\x80\xae"},
    "unasked-coding": {"Content_Type": "text/html", "Content_Encoding": "\x1b[2Jbr"},
    "location-elsewhere": {"status": 302, "Location": "https://other.example/\x9b31m\xe2\x80\xae"},
    "location-nonsense": {"status": 302, "Location": "http://\x1b[2J\xe2\x80\xae/"},
}


@pytest.mark.parametrize("headers", STEERING.values(), ids=STEERING.keys())
def test_what_a_header_says_is_told_without_its_steering_signs(site, look, headers):
    given = dict(headers)
    site.pages["/timeline/bad"] = site.reply(given.pop("status", 200), PAGE, **given)
    seen = look(retries=0)
    told = [seen.why("/timeline/bad"), *seen.report.reasons]
    assert "\\x" in told[0] or "\\u" in told[0] or "%" in told[0]
    assert [text for text in told if not text.isprintable()] == []


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
