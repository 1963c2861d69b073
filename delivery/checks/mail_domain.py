"""Whether a domain takes mail, as far as the DNS says: an MX, or an address of its own; a null MX is a no.

Sources: RFC 5321 §5.1 (no MX: the address counts), RFC 7505 (the null MX), RFC 6761 (names that are nobody's).
"""

import time
from collections.abc import Callable
from difflib import get_close_matches

from delivery.checks.dns_records import is_reserved
from delivery.checks.nameserver import DnsResolver
from delivery.ports import LookupFailedError, RecordKind, Resolver

SECONDS = 1.0  # for each of at most three questions
_REMEMBERED, _REMEMBERED_S = 1000, 3600.0
_ADDRESSES: tuple[RecordKind, ...] = ("A", "AAAA")
# Where most readers have their mailbox; only what is nearly one of these is asked about by name.
COMMON = (
    "gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "yahoo.com", "icloud.com", "me.com",
    "aol.com", "proton.me", "protonmail.com", "fastmail.com", "gmx.de", "gmx.net", "gmx.at", "web.de", "t-online.de",
    "freenet.de", "posteo.de", "mailbox.org", "yahoo.de", "hotmail.de", "walla.co.il", "netvision.net.il",
    "bezeqint.net", "yahoo.co.uk", "btinternet.com", "orange.fr", "free.fr", "ziggo.nl", "xs4all.nl",
)


def takes_mail(resolver: Resolver, domain: str) -> bool | None:
    """Whether mail for `domain` (ASCII) can be delivered anywhere; None where the DNS could not be asked."""
    if is_reserved(domain):
        return None
    try:
        exchanges = resolver.lookup(domain, "MX")
        if exchanges:
            return any(one.split(" ", 1)[-1] != "." for one in exchanges)
        return any(resolver.lookup(domain, kind) for kind in _ADDRESSES)
    except LookupFailedError:
        return None


def nearly(domain: str) -> str | None:
    """The common domain that `domain` is nearly, None where it is like none. Pure."""
    found = get_close_matches(domain, COMMON, n=1, cutoff=0.85)
    return found[0] if found and found[0] != domain else None


class MailDomains:
    """Asks, and remembers an answer for an hour; several threads may use it at once."""

    def __init__(
        self, resolver: Callable[[], Resolver] = lambda: DnsResolver(seconds=SECONDS),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`resolver`: made for each question, since what one remembers is for ever."""
        self._resolver, self._clock = resolver, clock
        self._known: dict[str, tuple[bool, float]] = {}

    def takes_mail(self, address: str) -> bool | None:
        """As `takes_mail`, of the domain of an address."""
        domain = address.rpartition("@")[2]
        known = self._known.get(domain)
        if known is not None and self._clock() - known[1] < _REMEMBERED_S:
            return known[0]
        found = takes_mail(self._resolver(), domain)
        if found is not None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[domain] = (found, self._clock())
        return found
