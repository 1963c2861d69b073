"""Decides which addresses and URLs may be asked at all; pure, no look-ups.

`ipaddress`'s own flags miss several special ranges (cloud metadata, NAT64, site-local), so the tables are spelled out
after the IANA special-purpose registries (RFC 6890) and the cloud vendors' documents.
"""

import functools
import ipaddress
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import httpx

from milepost.errors import RefusedError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Standing = Literal["public", "private", "forbidden"]  # private: only where the configuration names the host

MAX_URL = 2048
_PORTS = {"http": 80, "https": 443}


def _table(*rows: tuple[str, str]) -> tuple[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, str], ...]:
    return tuple((ipaddress.ip_network(network), why) for network, why in rows)


_FORBIDDEN = _table(
    ("0.0.0.0/8", "“this network”"),
    ("169.254.0.0/16", "link-local, where cloud metadata lives"),
    ("168.63.129.16/32", "Azure's metadata service"),
    ("100.100.100.200/32", "Alibaba's metadata service"),
    ("192.0.0.0/24", "IETF protocol assignments, Oracle's metadata service"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "the 6to4 relay"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved or broadcast"),
    ("::/128", "the unspecified address"),
    ("100::/64", "discard-only"),
    ("2001:db8::/32", "documentation"),
    ("3fff::/20", "documentation"),
    ("5f00::/16", "segment routing"),
    ("fd00:ec2::254/128", "Amazon's metadata service"),
    ("fd20:ce::254/128", "Google's metadata service"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
)
_PRIVATE = _table(
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "carrier-grade NAT"),
    ("127.0.0.0/8", "loopback"),
    ("172.16.0.0/12", "private"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarking"),
    ("::1/128", "loopback"),
    ("fc00::/7", "unique-local"),
)
# IPv6 forms that carry an IPv4 address: network, bits to the right of it, name. The carried one is judged as well.
_CARRIERS = tuple(
    (ipaddress.IPv6Network(network), shift, invert, why)
    for network, shift, invert, why in (
        ("::ffff:0:0/96", 0, False, "IPv4-mapped"),
        ("::ffff:0:0:0/96", 0, False, "IPv4-translated"),
        ("64:ff9b::/96", 0, False, "NAT64"),
        ("64:ff9b:1::/48", 0, False, "local NAT64"),
        ("2002::/16", 80, False, "6to4"),
        ("2001::/32", 0, True, "Teredo"),
        ("::/96", 0, False, "IPv4-compatible"),
    )
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_IETF = ipaddress.IPv6Network("2001::/23")
_ISATAP = (0x00005EFE, 0x02005EFE)


def _carried(address: ipaddress.IPv6Address) -> tuple[ipaddress.IPv4Address, str] | None:
    number = int(address)
    for network, shift, invert, why in _CARRIERS:
        if address in network:
            low = (number >> shift) & 0xFFFFFFFF
            return ipaddress.IPv4Address(low ^ 0xFFFFFFFF if invert else low), why
    if (number >> 32) & 0xFFFFFFFF in _ISATAP:
        return ipaddress.IPv4Address(number & 0xFFFFFFFF), "ISATAP"
    return None


def judge(address: Address) -> tuple[Standing, str]:
    """Where an address stands, and in one or two words why."""
    for table, standing in ((_FORBIDDEN, "forbidden"), (_PRIVATE, "private")):
        for network, why in table:
            if address.version == network.version and address in network:
                return ("forbidden" if standing == "forbidden" else "private"), why
    if isinstance(address, ipaddress.IPv6Address):
        carried = _carried(address)
        if carried is not None:
            standing, why = judge(carried[0])
            return ("forbidden" if standing == "forbidden" else "private"), f"{carried[1]} of {carried[0]}, {why}"
        if address not in _GLOBAL_UNICAST or address in _IETF:
            return "forbidden", "not global unicast"
    if not address.is_global:
        return "forbidden", "not a public address"
    return "public", "public"


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowedHosts:
    """The hosts that the configuration names: "host" for every port of it, "host:port" for one."""

    names: frozenset[str]

    @classmethod
    def of(cls, names: Iterable[str]) -> "AllowedHosts":
        return cls(names=frozenset(name.strip().lower() for name in names))

    def name(self, host: str, port: int) -> bool:
        """Whether `host` (as in a URL, without brackets) is named."""
        bare = host.lower().strip("[]")
        spelled = f"[{bare}]" if ":" in bare else bare
        return not self.names.isdisjoint({bare, spelled, f"{spelled}:{port}"})


def refusal(address: str, *, named: bool) -> str | None:
    """Why this resolved address must not be connected to, or None. `named`: the configuration names its host."""
    try:
        parsed = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return f"{address!r} is no IP address"
    standing, why = judge(parsed)
    if standing == "public" or (standing == "private" and named):
        return None
    return f"{parsed} is not a public address ({why})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """An URL that was found well-formed: what will be asked, of whom."""

    url: str  # in its plain form: ASCII, lower-case host
    scheme: str
    host: str  # without brackets
    port: int

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")


_UNPLAIN = re.compile(r"[\x00-\x20\x7f\\]")  # spaces, control characters, backslashes
_URL = re.compile(r"(https?)://([^/?#]*)([/?#].*)?", re.IGNORECASE | re.DOTALL)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?")
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_DOTTED = re.compile(r"(0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,2})){3}")
_NUMBERISH = re.compile(r"(0x[0-9a-f]*|[0-9]+)")  # a last label that some parsers read as an IPv4 number


def _shown(url: str) -> str:
    text = url.encode("ascii", "backslashreplace").decode("ascii")
    return text if len(text) <= 120 else f"{text[:117]}..."


def _host(raw: str) -> str:
    """A host in its one plain spelling; raises ValueError with the reason."""
    if raw.startswith("["):
        return ipaddress.IPv6Address(raw[1:-1]).compressed
    if unicodedata.normalize("NFKC", raw) != raw or "\u3002" in raw:  # IDNA reads the ideographic stop as a dot
        raise ValueError("its host uses look-alike characters")
    name = raw.lower()
    if not name.isascii():
        name = httpx.URL(f"http://{name}/").raw_host.decode("ascii")  # IDNA 2008
    if _DOTTED.fullmatch(name):
        return str(ipaddress.IPv4Address(name))
    if name.endswith("."):
        raise ValueError("its host ends in a dot")
    if _NUMBERISH.fullmatch(name.rsplit(".", 1)[-1]):
        raise ValueError("its host is a number in disguise")
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise ValueError("its host is not a host name")
    return name


@functools.lru_cache(maxsize=256)  # a page's address is checked at the door, at the pace and at the wire
def check_url(url: str) -> Target:
    """Take an absolute URL apart, strictly: http(s), no user, one plain spelling of the host; raises RefusedError."""

    def refuse(why: str) -> RefusedError:
        return RefusedError(f"refused: {why}", where=_shown(url), hint="Only plain http(s) addresses are fetched.")

    if len(url) > MAX_URL:
        raise refuse(f"it is longer than {MAX_URL} characters")
    if _UNPLAIN.search(url):
        raise refuse("it holds spaces, control characters or backslashes")
    match = _URL.fullmatch(url)
    if match is None:
        raise refuse("it is not http:// or https://")
    scheme, authority, rest = match[1].lower(), match[2], match[3] or "/"
    if "@" in authority:
        raise refuse("it carries a user name")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise refuse("its host can't be read")
    try:
        host = _host(parts[1])
        port = int(parts[2] or _PORTS[scheme])
    except (ValueError, httpx.InvalidURL) as error:
        raise refuse(str(error)) from None
    if not 0 < port < 65536:
        raise refuse("its port is out of range")
    target = Target(url="", scheme=scheme, host=host, port=port)
    plain = f"{target.origin}{rest if rest.startswith('/') else '/' + rest}"
    return Target(url=plain, scheme=scheme, host=host, port=port)
