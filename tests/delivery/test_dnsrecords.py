"""What the DNS says about a sender: each gap is named, with the record that closes it; from a server on loopback."""

import ipaddress
import socket
import threading
from collections.abc import Iterator
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest

from delivery.checks import spf
from delivery.checks.dns_records import Published, Record, Sender, examine, is_reserved
from delivery.checks.nameserver import DnsResolver
from delivery.ports import LookupFailedError, RecordKind

KEY = "MIIBIjANBgkqhkiG9w0BAQ" + "A" * 380
SENDER = Sender(
    address="news@timeline.tld", envelope_domain="bounce.timeline.tld", bounce_domain="bounce.timeline.tld",
    dkim_name="milepost._domainkey.timeline.tld", dkim_record=f"v=DKIM1; k=rsa; p={KEY}", relay="relay.tld",
)
GOOD: dict[tuple[str, str], list[str]] = {
    ("relay.tld", "A"): ["8.8.4.4"], ("8.8.4.4", "PTR"): ["relay.tld"],
    ("bounce.timeline.tld", "TXT"): ["hello", "v=spf1 include:relay.tld -all"],
    ("relay.tld", "TXT"): ["v=spf1 a -all"], ("bounce.timeline.tld", "MX"): ["10 mx.timeline.tld"],
    ("milepost._domainkey.timeline.tld", "TXT"): [f"v=DKIM1; k=rsa; p={KEY[:200]} {KEY[200:]}"],
    ("_dmarc.timeline.tld", "TXT"): ["v=DMARC1; p=quarantine; rua=mailto:x@timeline.tld"],
}


class Zone:
    """Records in memory; `silent` are names that nobody answers for."""

    def __init__(self, records: dict[tuple[str, str], list[str]], silent: tuple[str, ...] = ()) -> None:
        self.records, self.silent, self.asked = records, silent, 0

    def lookup(self, name: str, kind: RecordKind) -> list[str]:
        self.asked += 1
        if name in self.silent:
            raise LookupFailedError("no name server answers in time", where=f"{name} {kind}")
        return self.records.get((name, kind), [])


def found(changes: dict[tuple[str, str], list[str]] | None = None, **sender: Any) -> dict[str, Published]:
    fields = {name: getattr(SENDER, name) for name in Sender.__dataclass_fields__} | sender
    return {one.check: one for one in examine(Zone(GOOD | (changes or {})), Sender(**fields))}


def test_everything_in_order() -> None:
    checks = found()
    assert {name: one.ok for name, one in checks.items()} == {
        "SPF": True, "DKIM": True, "DMARC": True, "bounces": True, "PTR": True,
    }
    assert not any(one.publish for one in checks.values())


GAPS = [
    ("SPF", {("bounce.timeline.tld", "TXT"): []}, "has no SPF record",
     'bounce.timeline.tld. TXT "v=spf1 ip4:8.8.4.4 ~all"'),
    ("SPF", {("relay.tld", "TXT"): ["v=spf1 ip4:192.0.2.1 -all"]}, "does not let 8.8.4.4",
     'bounce.timeline.tld. TXT "v=spf1 ip4:8.8.4.4 include:relay.tld -all"'),
    ("SPF", {("bounce.timeline.tld", "TXT"): ["v=spf1 -all", "v=spf1 mx"]}, "has 2 SPF records", None),
    ("SPF", {("bounce.timeline.tld", "TXT"): ["v=spf1 include:gone.tld -all"]}, "includes gone.tld", None),
    ("DKIM", {("milepost._domainkey.timeline.tld", "TXT"): []}, "has no record",
     f'milepost._domainkey.timeline.tld. TXT "v=DKIM1; k=rsa; p={KEY[:237]}" "{KEY[237:]}"'),
    ("DKIM", {("milepost._domainkey.timeline.tld", "TXT"): ["v=DKIM1; p=OTHER"]}, "holds another key", "p=MIIB"),
    ("DMARC", {("_dmarc.timeline.tld", "TXT"): []}, "has no DMARC record",
     '_dmarc.timeline.tld. TXT "v=DMARC1; p=none; rua=mailto:postmaster@timeline.tld"'),
    ("DMARC", {("_dmarc.timeline.tld", "TXT"): ["v=DMARC1; p=none", "v=DMARC1; p=reject"]}, "has 2 records", None),
    ("DMARC", {("_dmarc.timeline.tld", "TXT"): ["v=DMARC1; sp=none"]}, "no p= of none", None),
    ("bounces", {("bounce.timeline.tld", "MX"): []}, "takes no mail", "bounce.timeline.tld. MX 10 YOUR-MAIL-SERVER."),
    ("bounces", {("bounce.timeline.tld", "MX"): ["0 ."]}, "takes no mail", "MX"),
    ("PTR", {("8.8.4.4", "PTR"): []}, "has no name", "4.4.8.8.in-addr.arpa. PTR relay.tld."),
    ("PTR", {("8.8.4.4", "PTR"): ["other.tld"]}, "is called other.tld, which does not lead back", None),
]


@pytest.mark.parametrize(("check", "changes", "says", "publish"), GAPS, ids=[f"{row[0]} {row[2]}" for row in GAPS])
def test_each_gap_is_named_with_its_record(check: str, changes: Any, says: str, publish: str | None) -> None:
    checks = found(changes)
    assert checks[check].ok is False
    assert says in checks[check].says
    assert publish in str(checks[check].publish) if publish else checks[check].publish is None
    assert [name for name, one in checks.items() if not one.ok] == [check]


def test_what_can_not_be_told_is_no_failure() -> None:
    assert found(relay="127.0.0.1")["SPF"].ok is None
    assert found(relay="10.0.0.1")["PTR"].ok is None
    assert found(dkim_name=None)["DKIM"].ok is None
    assert "PTR" not in found(relay=None)


def test_a_policy_that_would_reject_our_own_mail_is_told() -> None:
    checks = found({("bounces.tld", "TXT"): ["v=spf1 a:relay.tld -all"]}, dkim_name=None, envelope_domain="bounces.tld")
    assert checks["DMARC"].ok is False
    assert "asks to quarantine what proves nothing" in checks["DMARC"].says


def test_a_policy_of_the_domain_above_counts() -> None:
    checks = found(address="news@list.timeline.tld")
    assert checks["DMARC"].ok is True


def test_a_dns_that_is_silent_stops_no_other_check() -> None:
    zone = Zone(GOOD, silent=("bounce.timeline.tld",))
    checks = {one.check: one.ok for one in examine(zone, SENDER)}
    assert checks == {"SPF": None, "DKIM": True, "DMARC": True, "bounces": None, "PTR": True}


@pytest.mark.parametrize("domain", ["example.org", "news.example.com", "timeline.example", "a.test", "localhost"])
def test_names_for_examples_are_not_looked_up(domain: str) -> None:
    zone = Zone({})
    [only] = examine(zone, Sender(address=f"a@{domain}", envelope_domain=domain))
    assert (only.ok, zone.asked) == (None, 0)
    assert not is_reserved("example.tld")


# --- SPF ------------------------------------------------------------------------------------------------------------

SPF = [
    ("v=spf1 ip4:192.0.2.0/24 -all", "192.0.2.7", "pass"), ("v=spf1 ip4:192.0.2.0/24 -all", "198.51.100.1", "fail"),
    ("v=spf1 ip4:192.0.2.7 ~all", "192.0.2.8", "softfail"), ("v=spf1 ?all", "192.0.2.8", "neutral"),
    ("v=spf1", "192.0.2.8", "neutral"), ("V=SPF1 IP6:2001:db8::/32 -ALL", "2001:db8::1", "pass"),
    ("v=spf1 -ip4:192.0.2.7 +all", "192.0.2.7", "fail"), ("v=spf1 a:host.tld/24 -all", "203.0.113.99", "pass"),
    ("v=spf1 a:host.tld -all", "203.0.113.99", "fail"), ("v=spf1 mx -all", "203.0.113.5", "pass"),
    ("v=spf1 a:host.tld//64 -all", "203.0.113.5", "pass"), ("v=spf1 redirect=other.tld", "192.0.2.200", "pass"),
    ("v=spf1 include:other.tld -all", "192.0.2.1", "fail"), ("v=spf1 exists:%{i}.tld -all", "192.0.2.1", "unclear"),
    ("v=spf1 exists:%{i}.tld ip4:192.0.2.1 -all", "192.0.2.1", "pass"), ("v=spf1 ptr -all", "192.0.2.1", "unclear"),
    ("v=spf1 include:loop.tld -all", "192.0.2.1", "permerror"), ("v=spf1 nonsense:x -all", "192.0.2.1", "permerror"),
    ("v=spf1 ip4:300.1.1.1 -all", "192.0.2.1", "permerror"), ("v=spf1 ip4 192.0.2.1!", "192.0.2.1", "permerror"),
    ("v=spf1 redirect=gone.tld", "192.0.2.1", "permerror"), ("v=spf1 a:host.tld/99 -all", "192.0.2.1", "permerror"),
    ("v=spf10 -all", "192.0.2.1", "none"), ("v=spf1 exp=why.tld -all", "192.0.2.1", "fail"),
]


@pytest.mark.parametrize(("record", "address", "expected"), SPF, ids=[f"{row[0]} {row[1]}" for row in SPF])
def test_spf(record: str, address: str, expected: str) -> None:
    zone = Zone({
        ("own.tld", "TXT"): [record], ("host.tld", "A"): ["203.0.113.5"], ("own.tld", "MX"): ["10 host.tld"],
        ("other.tld", "TXT"): ["v=spf1 ip4:192.0.2.200 -all"], ("loop.tld", "TXT"): ["v=spf1 include:loop.tld -all"],
    })
    assert spf.check(zone, "own.tld", ipaddress.ip_address(address)).result == expected


def test_spf_of_the_ten_lookups() -> None:
    zone = Zone({("own.tld", "TXT"): ["v=spf1 " + "a:host.tld " * 10 + "-all"]})
    assert spf.check(zone, "own.tld", None).lookups == 10
    zone.records["own.tld", "TXT"] = ["v=spf1 " + "a:host.tld " * 11 + "-all"]
    broken = spf.check(zone, "own.tld", None)
    assert (broken.result, broken.why) == ("permerror", "it takes more than 10 lookups")


# --- a real resolver ------------------------------------------------------------------------------------------------


@pytest.fixture
def name_server() -> Iterator[tuple[int, dict[str, Any]]]:
    """A DNS server on loopback: name and type → texts of records, or a response code."""
    zone: dict[str, Any] = {}
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            data, peer = sock.recvfrom(4096)
            if data == b"stop":
                return
            query = dns.message.from_wire(data)
            question = query.question[0]
            name, kind = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
            answer = dns.message.make_response(query)
            answer.flags |= dns.flags.RA
            records = zone.get(f"{name} {kind}", dns.rcode.NXDOMAIN)
            if records == "silence":
                continue
            if isinstance(records, list):
                if records:
                    answer.answer.append(dns.rrset.from_text_list(question.name, 60, "IN", kind, records))
            else:
                answer.set_rcode(records)
            sock.sendto(answer.to_wire(), peer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    port = sock.getsockname()[1]
    yield port, zone
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.sendto(b"stop", ("127.0.0.1", port))
    thread.join(5)
    sock.close()


def test_the_resolver_reads_each_kind(name_server: Any) -> None:
    port, zone = name_server
    zone |= {
        "timeline.tld. TXT": ['"v=spf1 " "mx -all"', '"other"'], "timeline.tld. MX": ["10 mx.timeline.tld."],
        "null.tld. MX": ["0 ."], "mx.timeline.tld. A": ["192.0.2.7"], "mx.timeline.tld. AAAA": [],
        "7.2.0.192.in-addr.arpa. PTR": ["mx.timeline.tld."],
    }
    resolver = DnsResolver(server="127.0.0.1", port=port, seconds=2)
    assert sorted(resolver.lookup("timeline.tld", "TXT")) == ["other", "v=spf1 mx -all"]
    assert resolver.lookup("timeline.tld", "MX") == ["10 mx.timeline.tld"]
    assert resolver.lookup("null.tld", "MX") == ["0 ."]
    assert resolver.lookup("mx.timeline.tld", "A") == ["192.0.2.7"]
    assert resolver.lookup("mx.timeline.tld", "AAAA") == []
    assert resolver.lookup("192.0.2.7", "PTR") == ["mx.timeline.tld"]
    assert resolver.lookup("nowhere.tld", "TXT") == []
    assert spf.check(resolver, "timeline.tld", ipaddress.ip_address("192.0.2.7")).result == "pass"


@pytest.mark.parametrize("what", ["silence", dns.rcode.SERVFAIL, dns.rcode.REFUSED], ids=str)
def test_a_server_in_trouble_is_one_sentence(name_server: Any, what: Any) -> None:
    port, zone = name_server
    zone["timeline.tld. TXT"] = what
    with pytest.raises(LookupFailedError, match=r"timeline\.tld TXT: "):
        DnsResolver(server="127.0.0.1", port=port, seconds=0.5).lookup("timeline.tld", "TXT")


@pytest.mark.parametrize("name", ["a" * 70 + ".tld", "a..tld", "ä" * 80])
def test_a_name_that_is_none_is_one_sentence(name_server: Any, name: str) -> None:
    with pytest.raises(LookupFailedError):
        DnsResolver(server="127.0.0.1", port=name_server[0], seconds=0.5).lookup(name, "TXT")


def test_a_record_is_a_line_of_a_zone_file() -> None:
    assert str(Record(name="x.tld", kind="MX", value="10 y.tld.")) == "x.tld. MX 10 y.tld."
