"""A mail that asks to be taken off the list: the address it came to says whose, and nothing else does."""

import email
from email import policy
from typing import Any

import pytest

from delivery.bounces import leaving
from delivery.message import verp
from delivery.message.build import MessageTemplate
from tests.delivery.conftest import START

KEY = "an-invented-key-of-thirty-two-characters"
BASE = "bounces@bounce.timeline.example"
HANDLE = "0123456789abcdef0123"
OURS = verp.make_leave(KEY, base=BASE, handle=HANDLE)


def a_mail(**headers: str) -> bytes:
    given = {"From": "Anybody <anybody@elsewhere.example>", "To": OURS, "Subject": "unsubscribe"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return ("\n".join(f"{name}: {value}" for name, value in given.items()) + "\n\nPlease.\n").encode()


def whose(raw: bytes, key: str = KEY) -> str | None:
    asked = leaving.read(raw)
    return None if asked is None or asked.automatic else leaving.reader_of(key, asked)


@pytest.mark.parametrize("headers", [
    {}, {"Subject": ""}, {"Subject": "Fwd: Issue 7"}, {"To": f"Milestones <{OURS.upper()}>"},
    {"To": "undisclosed-recipients:;", "Delivered-To": OURS}, {"Auto_Submitted": "no"},
    {"To": f"news@timeline.example, {OURS}"}, {"X_Apple_Unsubscribe": "true"},
])
def test_a_mail_to_a_reader_s_own_address_is_enough(headers: Any) -> None:
    assert whose(a_mail(**headers)) == HANDLE


@pytest.mark.parametrize("headers", [
    {"Auto_Submitted": "auto-replied"}, {"Auto_Submitted": "auto-generated; why=away"}, {"Precedence": "auto_reply"},
    {"X_Autoreply": "yes"}, {"From": "MAILER-DAEMON@relay.example"}, {"Return_Path": "<>"},
    {"Content_Type": "multipart/report; report-type=delivery-status; boundary=b"},
])
def test_what_no_person_wrote_asks_for_nothing(headers: Any) -> None:
    assert whose(a_mail(**headers)) is None


@pytest.mark.parametrize("to", [
    OURS.replace("leave-", "leave-a"), OURS.replace("@bounce.", "@other."), "bounces+leave-x@bounce.timeline.example",
    "bounces+leave-@bounce.timeline.example", "bounces+leave-é-é@bounce.timeline.example", BASE,
    verp.make(KEY, base=BASE, delivery_id=4711), verp.make_letter(KEY, base=BASE, letter=12, queued="2026"),
])
def test_an_address_that_we_did_not_make_names_nobody(to: str) -> None:
    assert whose(a_mail(To=to)) is None
    assert whose(a_mail(), key="another-key-of-thirty-two-characters") is None


@pytest.mark.parametrize(("subject", "asks"), [
    ("Unsubscribe", True), ("RE: unsubscribe me please", True), ("Abmelden", True),
    ("=?utf-8?b?15TXodeo15Q=?=", True), ("=?no-such?b?15TXodeo15Q=?=", False),
    ("unsubscribed users of your site", False), ("About issue 7", False), ("", False),
])
def test_who_asks_without_an_address_is_listed(subject: str, asks: bool) -> None:
    asked = leaving.read(a_mail(To="news@timeline.example", Subject=subject))
    assert (asked is not None) is asks
    assert asked is None or asked.addresses == ()


def test_what_is_listed_steers_no_terminal() -> None:
    asked = leaving.read(b"From: \x1b[31mred@elsewhere.example\nSubject: unsubscribe \x1b]0;me\x07\n\n")
    assert asked is not None
    assert "\x1b" not in asked.author + asked.subject


def test_no_number_proves_another() -> None:
    letter = verp.make_letter(KEY, base=BASE, letter=12, queued="2026-11-23T09:00:00+00:00")
    assert verp.parse_letter(KEY, letter.upper(), lambda _: "2026-11-23T09:00:00+00:00") == 12
    assert verp.parse_letter(KEY, letter, lambda _: "2026-11-24T09:00:00+00:00") is None
    assert verp.parse_letter(KEY, letter, lambda _: None) is None
    assert verp.claimed(letter) is None  # no delivery's
    assert verp.claimed_letter(verp.make(KEY, base=BASE, delivery_id=12)) is None


def test_the_header_has_both_ways_the_one_click_first(variants: Any, letterheads: Any) -> None:
    link = "https://timeline.example/u/AQEqbWlsZXN0b25lcw"
    built = MessageTemplate.build(variants(), letterhead=letterheads(leave_by_mail=True), date=START)
    raw = built.bytes_for(
        address="r@readers.example", unsubscribe_url=link, message_id="<m@timeline.example>", leave_address=OURS
    )
    read = email.message_from_bytes(raw, policy=policy.SMTP)
    assert read["List-Unsubscribe"] == f"<{link}>, <mailto:{OURS}?subject=unsubscribe>"
    assert read["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    without = MessageTemplate.build(variants(), letterhead=letterheads(), date=START)
    assert without.content_hash != built.content_hash
    assert b"mailto" not in without.bytes_for(
        address="r@readers.example", unsubscribe_url=link, message_id="<m@timeline.example>"
    )
