"""May an address send for a domain? SPF as receivers check it, as far as a sender has to know.

    domain + address ─▶ check ─▶ pass | fail | softfail | neutral | none | permerror | unclear

Source: RFC 7208 (§4.6.4: ten lookups at most; §5: mechanisms; §6.1: redirect). Macros, `exists` and `ptr` depend on
more than we know here: they make it "unclear".
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal

from delivery.ports import Resolver

Result = Literal["pass", "fail", "softfail", "neutral", "none", "permerror", "unclear"]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_MOST_LOOKUPS = 10
_QUALIFIERS: dict[str, Result] = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
_TERM = re.compile(r"([+\-~?]?)([a-z0-9]+)(?::([^/\s]*(?:/[^\s]*)?)|(/[\d/]+))?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spf:
    """What a domain says about an address."""

    result: Result
    record: str | None = None  # the domain's own
    why: str = ""  # of a permerror or an unclear one
    lookups: int = 0  # that a receiver has to make


def is_spf(text: str) -> bool:
    """Whether a TXT record is one of SPF (§4.5)."""
    return text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")


def check(resolver: Resolver, domain: str, address: Address | None) -> Spf:
    """Evaluate the record of `domain` for `address` (None: only whether it can be evaluated at all).

    Raises LookupFailedError when the DNS can't be asked.
    """
    count = _Count()
    try:
        result, record = _evaluate(resolver, domain, address, count)
    except _BrokenError as error:
        own = next((text for text in resolver.lookup(domain, "TXT") if is_spf(text)), None)
        return Spf(result="permerror", record=own, why=str(error), lookups=count.lookups)
    if count.unclear and result != "pass":
        return Spf(result="unclear", record=record, why=count.unclear, lookups=count.lookups)
    return Spf(result=result, record=record, lookups=count.lookups)


class _BrokenError(Exception):
    """The record can't be evaluated by anybody."""


@dataclass(slots=True)
class _Count:
    lookups: int = 0
    unclear: str = ""

    def one(self) -> None:
        self.lookups += 1
        if self.lookups > _MOST_LOOKUPS:
            raise _BrokenError(f"it takes more than {_MOST_LOOKUPS} lookups")


def _evaluate(resolver: Resolver, domain: str, address: Address | None, count: _Count) -> tuple[Result, str | None]:
    records = [text for text in resolver.lookup(domain, "TXT") if is_spf(text)]
    if not records:
        return "none", None
    if len(records) > 1:
        raise _BrokenError(f"{domain} has {len(records)} SPF records, and only one is allowed")
    redirect = None
    for word in records[0].split()[1:]:
        if re.match(r"[a-z][a-z0-9_.-]*=", word, re.IGNORECASE):
            name, _, value = word.partition("=")
            redirect = value if name.lower() == "redirect" else redirect
            continue
        term = _TERM.fullmatch(word)
        if term is None:
            raise _BrokenError(f"{domain} has {word[:60]!r} in it, which is no mechanism")
        qualifier, kind, value, mask = term[1] or "+", term[2].lower(), term[3] or "", term[4] or ""
        if _matches(resolver, domain, kind, value or mask, address, count):
            return _QUALIFIERS[qualifier], records[0]
    if redirect is not None:
        count.one()
        result, found = _evaluate(resolver, redirect, address, count)
        if found is None:
            raise _BrokenError(f"{domain} redirects to {redirect}, which has no SPF record")
        return result, records[0]
    return "neutral", records[0]


def _matches(
    resolver: Resolver, domain: str, kind: str, value: str, address: Address | None, count: _Count
) -> bool:
    if kind == "all":
        return True
    if kind in ("ip4", "ip6"):
        try:
            network = ipaddress.ip_network(value, strict=False)
        except ValueError:
            raise _BrokenError(f"{domain} has {kind}:{value[:60]} in it, which is no network") from None
        return address is not None and address.version == network.version and address in network
    if kind not in ("include", "a", "mx", "exists", "ptr"):
        raise _BrokenError(f"{domain} has {kind!r} in it, which is no mechanism")
    count.one()
    if "%" in value or kind in ("exists", "ptr"):
        count.unclear = count.unclear or f"{kind} depends on more than the address"
        return False
    target, _, masks = value.partition("/")
    if kind == "include":
        result, found = _evaluate(resolver, target, address, count)
        if found is None:
            raise _BrokenError(f"{domain} includes {target or 'nothing'}, which has no SPF record")
        return result == "pass"
    hosts = [target or domain]
    if kind == "mx":
        hosts = [host.split()[-1] for host in resolver.lookup(target or domain, "MX")][:10]
    return address is not None and any(_is_at(resolver, host, address, masks) for host in hosts)


def _is_at(resolver: Resolver, host: str, address: Address, masks: str) -> bool:
    four, _, six = masks.partition("//") if not masks.startswith("/") else ("", "", masks.removeprefix("/"))
    size = (four or "32") if address.version == 4 else (six or "128")
    try:
        return any(
            address in ipaddress.ip_network(f"{found}/{size}", strict=False)
            for found in resolver.lookup(host, "A" if address.version == 4 else "AAAA")
        )
    except ValueError:
        raise _BrokenError(f"/{masks[:20]} is no network") from None
