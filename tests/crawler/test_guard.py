"""Which addresses and URLs may be asked."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.guard import AllowedHosts, check_url, judge, refusal
from milepost.errors import RefusedError

FORBIDDEN = [
    "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1",  # noqa: S104
    "168.63.129.16", "100.100.100.200", "192.0.0.192",
    "192.0.2.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "100::1", "2001:db8::1", "fd00:ec2::254", "fd20:ce::254",
    "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::169.254.169.254", "2001:10::1", "4000::1",
    "2001:0:53aa:64c:0:0:5601:5601",  # Teredo of 169.254.169.254
]
PRIVATE = [
    "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
    "100.127.255.255", "198.18.0.1", "::1", "fc00::1", "fd12:3456::1", "::ffff:127.0.0.1", "::ffff:10.1.2.3",
    "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::", "::127.0.0.1", "::ffff:0:127.0.0.1",
    "2001:0:53aa:64c:0:0:80ff:fffe",  # Teredo of 127.0.0.1
    "64:ff9b::808:808", "2002:808:808::1", "::ffff:8.8.8.8", "2606:4700:0:0:0:5efe:7f00:1",
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_forbidden_whoever_names_it(address):
    assert refusal(address, named=True)
    assert refusal(address, named=False)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_only_where_it_is_named(address):
    assert refusal(address, named=False)
    assert refusal(address, named=True) is None


@pytest.mark.parametrize("sign", ["\0", "\t", "\x1f", " ", "\x7f", "\\"])
def test_a_sign_that_an_address_never_holds_is_refused_wherever_it_stands(sign):
    for url in (f"https://example.org/a{sign}b", f"https://example.org/?{sign}", f"https://example.org/a{sign}"):
        with pytest.raises(RefusedError, match="spaces, control characters or backslashes"):
            check_url(url)


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address):
    assert refusal(address, named=False) is None


@pytest.mark.parametrize("text", ["", "localhost", "1.2.3", "256.1.1.1", "::g"])
def test_what_is_no_address_is_refused(text):
    assert "no IP address" in (refusal(text, named=True) or "")


@settings(max_examples=300, deadline=None)
@given(st.ip_addresses())
def test_never_more_generous_than_the_standard_library(address):
    standing, _ = judge(address)
    if standing == "public":
        assert address.is_global
        assert not address.is_multicast


@pytest.mark.parametrize(
    ("names", "host", "port", "allowed"),
    [
        (["127.0.0.1"], "127.0.0.1", 8100, True),
        (["127.0.0.1:8100"], "127.0.0.1", 8100, True),
        (["127.0.0.1:8100"], "127.0.0.1", 8101, False),
        (["LocalHost"], "localhost", 80, True),
        (["::1"], "::1", 80, True),
        (["[::1]:8100"], "::1", 8100, True),
        (["example.org"], "sub.example.org", 80, False),
        ([], "127.0.0.1", 80, False),
    ],
)
def test_naming_a_host(names, host, port, allowed):
    assert AllowedHosts.of(names).name(host, port) is allowed


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("http://example.org", "http://example.org/"),
        ("HTTPS://Example.ORG:443/A?b=c", "https://example.org/A?b=c"),
        ("http://example.org:8080/x", "http://example.org:8080/x"),
        ("http://example.org?q", "http://example.org/?q"),
        ("http://127.0.0.1:8100/", "http://127.0.0.1:8100/"),
        ("http://[2606:4700:0:0::1111]/", "http://[2606:4700::1111]/"),
        ("http://münchen.example/", "http://xn--mnchen-3ya.example/"),
        ("http://my_host.example/", "http://my_host.example/"),
    ],
)
def test_a_good_url_gets_its_plain_form(url, plain):
    assert check_url(url).url == plain


BAD_URLS = {
    "short-dotted": "http://127.1/",
    "decimal": "http://2130706433/",
    "hex": "http://0x7f000001/",
    "hex-part": "http://127.0.0.0x1/",
    "octal": "http://0177.0.0.1/",
    "leading-zero": "http://127.0.0.01/",
    "full-width-dots": "http://127。0。0。1/",
    "full-width-digits": "http://１２７.0.0.1/",
    "circled": "http://①②⑦.0.0.1/",
    "trailing-dot": "http://localhost./",
    "trailing-dot-ip": "http://127.0.0.1./",
    "backslash-at": "http://127.0.0.1\\@example.com/",
    "backslash": "http:\\\\example.org\\",
    "userinfo": "http://user:pass@example.org/",
    "at-only": "http://@example.org/",
    "file": "file:///etc/passwd",
    "ftp": "ftp://example.org/",
    "data": "data:text/html,x",
    "javascript": "javascript:alert(1)",
    "gopher": "gopher://127.0.0.1:70/_x",
    "no-host": "http:///x",
    "relative": "/x",
    "protocol-relative": "//example.org/",
    "tab-in-scheme": "ht\ttp://example.org/",
    "newline-in-host": "http://exa\nmple.org/",
    "space": "http://example.org /",
    "nul": "http://example.org\0.evil.example/",
    "percent-host": "http://%6c%6fcalhost/",
    "zone": "http://[fe80::1%25eth0]/",
    "bad-v6": "http://[::1/",
    "port-zero": "http://example.org:0/",
    "port-high": "http://example.org:65536/",
    "port-word": "http://example.org:x/",
    "empty-label": "http://a..b/",
    "hyphen": "http://-a.example/",
    "long": "http://example.org/" + "a" * 2048,
    "long-host": "http://" + "a." * 130 + "example/",
    "empty": "",
}


@pytest.mark.parametrize("url", BAD_URLS.values(), ids=BAD_URLS.keys())
def test_an_odd_url_is_refused(url):
    with pytest.raises(RefusedError, match="refused"):
        check_url(url)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(), st.text(alphabet="htps:/@\\[].0127xaf%。 \n#?", max_size=40).map("http://".__add__)))
def test_no_text_breaks_it_or_slips_through(url):
    try:
        target = check_url(url)
    except RefusedError:
        return
    assert target.scheme in ("http", "https")
    assert "@" not in target.origin
    try:
        ipaddress.ip_address(target.host)
    except ValueError:
        assert not target.host.rsplit(".", 1)[-1].isdigit()
    assert check_url(target.url) == target
