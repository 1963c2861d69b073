"""What the DNS has to say about a sender before mailbox providers believe in them, and the exact records to publish.

    sender, envelope domain, key, relay + a resolver ─▶ findings: SPF, DKIM, DMARC, MX of the bounces, PTR of the relay

Sources: RFC 7208 (SPF), RFC 6376 §3.6 (DKIM keys), RFC 7489 (DMARC: §6.3 tags, §3.1 alignment), RFC 5321 §5.1 (MX),
RFC 1912 §2.1 (PTR), RFC 2606 and 6761 (names that are never in the DNS).
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from delivery.checks import spf
from delivery.ports import LookupFailedError, Resolver

_RESERVED = re.compile(r"(?:.*\.)?(?:example|test|invalid|localhost|example\.(?:com|net|org))")
_TAGS = re.compile(r"\s*([a-z]+)\s*=\s*([^;]*?)\s*(?:;|$)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sender:
    """Who sends, and by whom."""

    address: str  # of From, its domain in ASCII
    envelope_domain: str  # of the address that bounces go to
    bounce_domain: str | None = None  # of the settings: bounces have to arrive there
    dkim_name: str | None = None  # where the public key belongs; None: we sign nothing
    dkim_record: str = ""
    dkim_before: tuple[str, ...] = ()  # the same of keys that signed before
    relay: str | None = None  # the host that mails are handed to, None where that tells nothing (an API, a folder)

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2].lower()


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A record to publish."""

    name: str
    kind: str
    value: str

    def __str__(self) -> str:
        """As a line of a zone file; a TXT longer than 255 octets in several strings (RFC 1035 §3.3.14)."""
        if self.kind != "TXT":
            return f"{self.name}. {self.kind} {self.value}"
        parts = [self.value[at : at + 255] for at in range(0, len(self.value), 255)]
        return f"{self.name}. TXT " + " ".join(f'"{part}"' for part in parts)


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """One finding. `ok` None: it could not be told, or is a matter of taste."""

    check: str
    ok: bool | None
    says: str
    publish: Record | None = None


def is_reserved(domain: str) -> bool:
    """Whether `domain` is made up for examples and tests, so that there is nothing to look up."""
    return _RESERVED.fullmatch(domain.lower()) is not None


def examine(resolver: Resolver, sender: Sender) -> Iterator[Published]:
    """Every check; one that the DNS does not answer doesn't stop the rest."""
    if is_reserved(sender.domain):
        yield Published(
            check="dns", ok=None, says=f"{sender.domain} is a name for examples: set mail.from to a domain of yours"
        )
        return
    checks: list[tuple[str, Callable[[Resolver, Sender], Published]]] = [
        ("SPF", _spf), ("DKIM", _dkim), *(("DKIM before", partial(_dkim_before, name)) for name in sender.dkim_before),
        ("DMARC", _dmarc),
    ]
    if sender.bounce_domain is not None:
        checks.append(("bounces", _bounces))
    if sender.relay is not None:
        checks.append(("PTR", _ptr))
    for name, check in checks:
        try:
            yield check(resolver, sender)
        except LookupFailedError as error:
            said = f"{error.where}: {error.what}; run it again where the DNS answers"
            yield Published(check=name, ok=None, says=said)


def _addresses(resolver: Resolver, host: str) -> list[spf.Address]:
    try:
        return [ipaddress.ip_address(host)]
    except ValueError:
        found = [*resolver.lookup(host, "A"), *resolver.lookup(host, "AAAA")]
    return [ipaddress.ip_address(each) for each in found]


def _public(resolver: Resolver, sender: Sender) -> list[spf.Address]:
    """The relay's addresses as the world sees them; [] where it is this machine or in a private network."""
    if sender.relay is None or sender.relay.lower() == "localhost":
        return []
    return [each for each in _addresses(resolver, sender.relay) if each.is_global]


def _spf(resolver: Resolver, sender: Sender) -> Published:
    domain, addresses = sender.envelope_domain, _public(resolver, sender)
    asked: list[spf.Address | None] = [*addresses] or [None]
    found = [(each, spf.check(resolver, domain, each)) for each in asked]
    record = found[0][1].record
    wanted = " ".join(f"ip{each.version}:{each}" for each in addresses) or "mx a"
    if record is None and found[0][1].result == "none":
        return Published(
            check="SPF", ok=False, publish=Record(name=domain, kind="TXT", value=f"v=spf1 {wanted} ~all"),
            says=f"{domain} has no SPF record; publish this one, with what your relay's operator tells you to include",
        )
    broken = next((one for _, one in found if one.result == "permerror"), None)
    if broken is not None:
        return Published(check="SPF", ok=False, says=f"receivers can't read the SPF record of {domain}: {broken.why}")
    missing = [each for each, one in found if each is not None and one.result not in ("pass", "unclear")]
    if missing and record is not None:
        mechanisms = " ".join(f"ip{each.version}:{each}" for each in missing)
        mended = re.sub(r"^v=spf1", f"v=spf1 {mechanisms}", record, flags=re.IGNORECASE)
        return Published(
            check="SPF", ok=False,
            publish=Record(name=domain, kind="TXT", value=mended),
            says=f"{domain} does not let {', '.join(map(str, missing))} ({sender.relay}) send for it; mend its record,"
                 " unless the relay sends from other addresses",
        )
    if not addresses:
        return Published(
            check="SPF", ok=None,
            says=f"{domain} has “{record}”; whether it covers this machine's public address can't be told from here",
        )
    return Published(check="SPF", ok=True, says=f"{domain} lets {sender.relay} send for it")


def _dkim(resolver: Resolver, sender: Sender) -> Published:
    if sender.dkim_name is None:
        return Published(
            check="DKIM", ok=None,
            says="mails are not signed here; unless the relay signs, make a key (openssl genrsa -out dkim.pem 2048)"
                 " and set mail.dkim_key_file",
        )
    wanted = Record(name=sender.dkim_name, kind="TXT", value=sender.dkim_record)
    records = resolver.lookup(sender.dkim_name, "TXT")
    key = re.sub(r"\s", "", _tags(sender.dkim_record).get("p", ""))
    if not records:
        said = f"{sender.dkim_name} has no record: publish this one"
        return Published(check="DKIM", ok=False, publish=wanted, says=said)
    if any(re.sub(r"\s", "", _tags(record).get("p", "")) == key for record in records):
        return Published(check="DKIM", ok=True, says=f"{sender.dkim_name} holds the key that signs")
    return Published(
        check="DKIM", ok=False, publish=wanted,
        says=f"{sender.dkim_name} holds another key than the one that signs: publish this one, or sign with that",
    )


def _dkim_before(name: str, resolver: Resolver, _: Sender) -> Published:
    """A record without a key says that it was revoked (RFC 6376 §3.6.1, p=)."""
    if any(_tags(record).get("p") for record in resolver.lookup(name, "TXT")):
        says = f"{name} still holds the key that signed before, for mails on their way"
        return Published(check="DKIM before", ok=True, says=says)
    return Published(check="DKIM before", ok=None, says=(
        f"{name} holds no key any more: mails that were signed with it can't be verified; take its selector out of "
        "mail.previous_dkim_selectors"
    ))


def _dmarc(resolver: Resolver, sender: Sender) -> Published:
    record = None
    for domain in _upwards(sender.domain):
        found = [text for text in resolver.lookup(f"_dmarc.{domain}", "TXT") if _is_dmarc(text)]
        if len(found) > 1:
            said = f"_dmarc.{domain} has {len(found)} records, so receivers ignore them: keep one"
            return Published(check="DMARC", ok=False, says=said)
        if found:
            record = found[0]
            break
    if record is None:
        value = f"v=DMARC1; p=none; rua=mailto:postmaster@{sender.domain}"
        return Published(
            check="DMARC", ok=False, publish=Record(name=f"_dmarc.{sender.domain}", kind="TXT", value=value),
            says=f"{sender.domain} has no DMARC record; mailbox providers ask for one: publish this, read its reports",
        )
    policy = _tags(record).get("p", "").lower()
    if policy not in ("none", "quarantine", "reject"):
        said = f"the DMARC record of {domain} has no p= of none, quarantine or reject; mend it: “{record[:100]}”"
        return Published(check="DMARC", ok=False, says=said)
    if policy != "none" and sender.dkim_name is None and not _aligned(sender.domain, sender.envelope_domain):
        return Published(
            check="DMARC", ok=False,
            says=f"{domain} asks to {policy} what proves nothing, and nothing proves our mails: not signed here,"
                 f" and bounces go to {sender.envelope_domain}; set mail.dkim_key_file",
        )
    return Published(check="DMARC", ok=True, says=f"{domain} has a policy of “{policy}”")


def _bounces(resolver: Resolver, sender: Sender) -> Published:
    domain = str(sender.bounce_domain)
    exchangers = [each.split()[-1] for each in resolver.lookup(domain, "MX")]
    if exchangers and exchangers != ["."] and exchangers != [""]:
        return Published(check="bounces", ok=True, says=f"mail for {domain} goes to {', '.join(exchangers)}")
    if not exchangers and (resolver.lookup(domain, "A") or resolver.lookup(domain, "AAAA")):
        return Published(check="bounces", ok=True, says=f"mail for {domain} goes to that host itself")
    return Published(
        check="bounces", ok=False, publish=Record(name=domain, kind="MX", value="10 YOUR-MAIL-SERVER."),
        says=f"{domain} takes no mail, so no bounce would ever arrive; name the server that does",
    )


def _ptr(resolver: Resolver, sender: Sender) -> Published:
    addresses = _public(resolver, sender)
    if not addresses:
        return Published(
            check="PTR", ok=None,
            says=f"{sender.relay} has no public address; the one that it sends from wants a PTR record",
        )
    for address in addresses:
        names = resolver.lookup(str(address), "PTR")
        if not names:
            return Published(
                check="PTR", ok=False,
                says=f"{address} ({sender.relay}) has no name; have whoever gave the address out publish this",
                publish=Record(name=address.reverse_pointer, kind="PTR", value=f"{sender.relay}."),
            )
        if not any(address in _addresses(resolver, name) for name in names):
            return Published(
                check="PTR", ok=False,
                says=f"{address} is called {', '.join(names)}, which does not lead back to it; mend one of the two",
            )
    return Published(check="PTR", ok=True, says=f"{', '.join(map(str, addresses))} and their names agree")


def _upwards(domain: str) -> Iterator[str]:
    """The domain and those above it that may speak for it, without the last label."""
    labels = domain.split(".")
    for at in range(max(1, len(labels) - 1)):
        yield ".".join(labels[at:])


def _aligned(one: str, other: str) -> bool:
    """Relaxed alignment, as far as it can be told without a list of public suffixes."""
    one, other = one.lower(), other.lower()
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def _is_dmarc(text: str) -> bool:
    return re.match(r"v\s*=\s*DMARC1\s*(?:;|$)", text) is not None


def _tags(record: str) -> dict[str, str]:
    return {name.lower(): value for name, value in _TAGS.findall(record)}
