"""Whether a domain takes mail: a clear no is a no, everything else keeps nobody out."""

from collections.abc import Mapping

import pytest

from delivery.checks.mail_domain import COMMON, MailDomains, nearly, takes_mail
from delivery.ports import LookupFailedError, RecordKind


class Zone:
    """What the DNS says; None: it does not answer."""

    def __init__(self, records: Mapping[str, list[str] | None]) -> None:
        self._records, self.asked = records, 0

    def lookup(self, name: str, kind: RecordKind) -> list[str]:
        self.asked += 1
        found = self._records.get(kind, [])
        if found is None:
            raise LookupFailedError("no name server answers in time", where=name)
        return found


@pytest.mark.parametrize(("records", "answer"), [
    ({"MX": ["10 mx.mail.tld"]}, True), ({"MX": ["0 ."]}, False), ({"MX": ["0 ."], "A": ["192.0.2.1"]}, False),
    ({"A": ["192.0.2.1"]}, True), ({"AAAA": ["2001:db8::1"]}, True), ({}, False),
    ({"MX": None, "A": ["192.0.2.1"]}, None), ({"A": None}, None), ({"AAAA": None}, None),
])
def test_what_the_dns_says(records: dict[str, list[str] | None], answer: bool | None) -> None:
    assert takes_mail(Zone(records), "mail.tld") is answer


def test_names_for_examples_are_asked_about_by_nobody() -> None:
    zone = Zone({})
    assert takes_mail(zone, "readers.example") is None
    assert zone.asked == 0


@pytest.mark.parametrize(("typed", "meant"), [
    ("gmial.com", "gmail.com"), ("gmail.con", "gmail.com"), ("hotmial.com", "hotmail.com"),
    ("t-onlin.de", "t-online.de"), ("gmail.com", None), ("museum-of-looms.org", None), ("x.de", None), ("", None),
])
def test_only_what_is_nearly_a_common_domain_is_asked_about_by_name(typed: str, meant: str | None) -> None:
    assert nearly(typed) == meant
    assert all(nearly(one) is None for one in COMMON)


def test_an_answer_is_remembered_for_an_hour_and_silence_is_not() -> None:
    clock, zone = [0.0], Zone({})
    domains = MailDomains(lambda: zone, lambda: clock[0])
    assert domains.takes_mail("ada@mail.tld") is domains.takes_mail("bo@mail.tld") is False
    assert zone.asked == 3
    clock[0] = 3601.0
    domains.takes_mail("ada@mail.tld")
    assert zone.asked == 6
    silent = Zone({"MX": None})
    asked = MailDomains(lambda: silent)
    assert asked.takes_mail("ada@mail.tld") is asked.takes_mail("ada@mail.tld") is None
    assert silent.asked == 2
