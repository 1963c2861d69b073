"""Reports that come back name their delivery by an address only we can make, and are graded by what they say."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.bounces.reports import Bounce, delivery_of, parse
from delivery.message import verp
from milepost.errors import RenderError

KEY = "an-invented-key-of-thirty-two-characters"
BASE = "bounces@timeline.example"
SENDER = verp.make(KEY, base=BASE, delivery_id=4711)
MESSAGE_ID = "<abc234@timeline.example>"

ORIGINAL = f"""\
Return-Path: <{SENDER}>
From: Timeline <news@timeline.example>
To: reader@readers.example
Message-ID: {MESSAGE_ID}
Subject: Issue 7

Words.
"""

DSN = """\
Return-Path: <>
From: MAILER-DAEMON@relay.example (Mail Delivery System)
To: {to}
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b1"

This is a MIME-encapsulated message.

--b1
Content-Type: text/plain

I'm sorry. 4.4.1 is not the status, and neither is 5.1.1.

--b1
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.example
Arrival-Date: Mon, 23 Nov 2026 09:00:00 +0000

{block}

--b1
Content-Type: {kind}

{original}
--b1--
"""

ARF = """\
From: <fbl@provider.example>
To: {to}
Subject: FW: Issue 7
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b1"

--b1
Content-Type: text/plain

This is an abuse report.

--b1
Content-Type: message/feedback-report

{block}

--b1
Content-Type: message/rfc822

{original}
--b1--
"""


def dsn(block: str, *, to: str = SENDER, kind: str = "message/rfc822", original: str = ORIGINAL) -> bytes:
    return DSN.format(to=to, block=block, kind=kind, original=original).replace("\n", "\r\n").encode()


def read(raw: bytes) -> Bounce:
    bounce = parse(raw)
    assert bounce is not None
    return bounce


FAILED = """\
Final-Recipient: rfc822; reader@readers.example
Original-Recipient: rfc822;reader@readers.example
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.readers.example
Diagnostic-Code: smtp; 550 5.1.1 <reader@readers.example>: Recipient address
    rejected: User unknown"""


def test_a_report_of_a_missing_mailbox() -> None:
    bounce = read(dsn(FAILED))
    assert (bounce.kind, bounce.status, bounce.code) == ("failed", "5.1.1", 550)
    assert bounce.recipient == "reader@readers.example"
    assert bounce.message_id == MESSAGE_ID
    assert bounce.diagnostic.endswith("Recipient address rejected: User unknown")
    assert bounce.suppress == "bounce 5.1.1"
    assert delivery_of(KEY, bounce) == 4711


GRADES = [
    ("failed", "5.1.1", "", "failed", "bounce 5.1.1"), ("failed", "5.1.10", "", "failed", "bounce 5.1.10"),
    ("failed", "5.2.1 (disabled)", "", "failed", "bounce 5.2.1"), ("failed", "5.2.2", "", "failed", None),
    ("failed", "5.7.1", "smtp; 550 5.7.1 blocked", "failed", None), ("failed", "4.4.7", "", "failed", None),
    ("failed", "5.0.0", "smtp; 550 5.1.1 unknown", "failed", "bounce 5.1.1"),
    ("failed", "", "smtp; 550-5.1.1 unknown", "failed", "bounce 5.1.1"),
    ("failed", "5.0.0", "smtp; 550 no", "failed", None),
    ("delayed", "4.4.1", "smtp; 421 later", "delayed", None), ("delayed", "5.1.1", "", "delayed", None),
    ("delivered", "2.0.0", "", "delivered", None), ("relayed", "2.1.9", "", "delivered", None),
    ("expanded", "2.0.0", "", "delivered", None), ("", "5.1.1", "", "failed", "bounce 5.1.1"),
    ("", "4.2.2", "", "delayed", None), ("nonsense", "", "", "unclear", None),
    ("FAILED (permanently)", "5.1.1", "", "failed", "bounce 5.1.1"),
]


@pytest.mark.parametrize(
    ("action", "status", "said", "kind", "suppress"), GRADES, ids=[" ".join(row[:3]).strip() for row in GRADES]
)
def test_grades(action: str, status: str, said: str, kind: str, suppress: str | None) -> None:
    block = f"Final-Recipient: rfc822; r@readers.example\nAction: {action}\nStatus: {status}\nDiagnostic-Code: {said}"
    bounce = read(dsn(block))
    assert (bounce.kind, bounce.suppress) == (kind, suppress)
    assert delivery_of(KEY, bounce) == 4711


@pytest.mark.parametrize("kind", ["message/rfc822", "text/rfc822-headers", "message/rfc822-headers"])
def test_the_original_is_read_in_any_form(kind: str) -> None:
    assert read(dsn(FAILED, kind=kind)).message_id == MESSAGE_ID


@pytest.mark.parametrize("kind", ["base64", "quoted-printable"])
def test_a_status_part_that_was_encoded_is_read(kind: str) -> None:
    import base64
    import quopri

    text = f"Reporting-MTA: dns; relay.example\n\n{FAILED}\n".encode()
    encoded = (base64.encodebytes(text) if kind == "base64" else quopri.encodestring(text)).decode()
    raw = dsn("BLOCK").decode().replace("\r\n", "\n")
    before, _, after = raw.partition("Content-Type: message/delivery-status\n")
    after = after[after.index("\n--b1") :]
    raw = f"{before}Content-Type: message/delivery-status\nContent-Transfer-Encoding: {kind}\n\n{encoded}{after}"
    assert read(raw.encode()).status == "5.1.1"


def test_of_two_recipients_the_failed_one_counts() -> None:
    delivered = "Final-Recipient: rfc822; other@readers.example\nAction: relayed\nStatus: 2.1.5"
    bounce = read(dsn(f"{delivered}\n\n{FAILED}"))
    assert (bounce.kind, bounce.recipient) == ("failed", "reader@readers.example")


# --- whose it is ----------------------------------------------------------------------------------------------------


def test_without_the_addressee_the_returned_message_tells() -> None:
    assert delivery_of(KEY, read(dsn(FAILED, to="bounces@timeline.example"))) == 4711


def test_the_servers_word_comes_first() -> None:
    bounce = parse(dsn(FAILED, to="x@timeline.example", original="Subject: x"), envelope_to=(SENDER.upper(),))
    assert bounce is not None
    assert delivery_of(KEY, bounce) == 4711


FORGED = [
    BASE, SENDER.replace("3mv", "3mw"), SENDER.replace("+", "-"), verp.make(KEY[::-1], base=BASE, delivery_id=4711),
    SENDER.replace("timeline.example", "evil.example"), SENDER.replace("+3", "+4"), SENDER.replace("+", "+0"), "", "@",
    f"bounces+3mv-{'a' * 16}@timeline.example", f"x{SENDER.rpartition('@')[0][-1]}@timeline.example",
]


@pytest.mark.parametrize("address", FORGED)
def test_a_forged_one_proves_nothing(address: str) -> None:
    original = ORIGINAL.replace(SENDER, address)
    assert delivery_of(KEY, read(dsn(FAILED, to=address, original=original))) is None


def test_the_recipient_named_in_the_body_proves_nothing() -> None:
    bounce = read(dsn(FAILED.replace("reader@", "victim@"), to=BASE, original="Subject: made up"))
    assert bounce.recipient == "victim@readers.example"
    assert delivery_of(KEY, bounce) is None


# --- complaints and the rest ----------------------------------------------------------------------------------------


KINDS = [
    ("abuse", "complaint"), ("fraud", "complaint"), ("other", "complaint"), ("opt-out", "complaint"),
    ("not-spam", "unclear"), ("auth-failure", "unclear"), ("virus", "unclear"),
]


@pytest.mark.parametrize(("kind", "expected"), KINDS)
def test_complaints(kind: str, expected: str) -> None:
    block = f"Feedback-Type: {kind}\nVersion: 1\nOriginal-Mail-From: <{SENDER}>\nOriginal-Rcpt-To: <r@readers.example>"
    bounce = read(ARF.format(to="fbl@timeline.example", block=block, original="Subject: redacted").encode())
    assert bounce.kind == expected
    assert bounce.suppress == ("complaint" if expected == "complaint" else None)
    assert bounce.recipient == "r@readers.example"
    assert delivery_of(KEY, bounce) == 4711


JUNK = f"""\
From: {{sender}}
To: fbl@timeline.example
Subject: complaint about message from 192.0.2.7
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="b1"

--b1
Content-Type: message/rfc822

{{marked}}{ORIGINAL}
--b1--
"""
MARK = "X-HmXmrOriginalRecipient: r@readers.example\n"


@pytest.mark.parametrize(("sender", "marked"), [("staff@hotmail.com", ""), ("junk@provider.example", MARK)])
def test_outlooks_junk_reports_are_complaints_by_our_message_id(sender: str, marked: str) -> None:
    bounce = read(JUNK.format(sender=sender, marked=marked).replace(SENDER, "x@timeline.example").encode())
    assert (bounce.grade, bounce.suppress, bounce.message_id) == ("complaint", "complaint", MESSAGE_ID)


def test_a_reader_who_forwards_an_issue_does_not_complain() -> None:
    assert parse(JUNK.format(sender="reader@readers.example", marked="").encode()) is None


@pytest.mark.parametrize("value", ["true", "false"])
def test_iclouds_unsubscribe_is_a_complaint(value: str) -> None:
    raw = f"From: r@icloud.example\nTo: x@timeline.example\nIn-Reply-To: {MESSAGE_ID}\nX-Apple-Unsubscribe: {value}\n\n"
    bounce = parse(raw.encode())
    if value == "false":
        assert bounce is None
    else:
        assert bounce is not None
        assert (bounce.grade, bounce.message_id) == ("complaint", MESSAGE_ID)


def notified(
    kind: str, about: dict[str, object], *, wrapped: bool = False, mail: dict[str, object] | None = None
) -> bytes:
    said = json.dumps({"notificationType": kind, kind.lower(): about, "mail": mail or {"source": SENDER}})
    if wrapped:
        said = json.dumps({"Type": "Notification", "Message": said})
    return f"From: no-reply@sns.amazonaws.com\nTo: x@timeline.example\n\n{said}\n\n--\nTo stop these, click.\n".encode()


GONE: dict[str, object] = {"bouncedRecipients": [
    {"emailAddress": "r@readers.example", "status": "5.1.1", "diagnosticCode": "smtp; 550 5.1.1 user unknown"}
]}


@pytest.mark.parametrize("wrapped", [False, True])
def test_amazons_notifications_are_read(wrapped: bool) -> None:
    bounce = read(notified("Bounce", GONE, wrapped=wrapped))
    assert (bounce.grade, bounce.status, bounce.code, bounce.recipient) == ("hard", "5.1.1", 550, "r@readers.example")
    assert delivery_of(KEY, bounce) == 4711
    bounce = read(notified("Complaint", {}, wrapped=wrapped, mail={"commonHeaders": {"messageId": MESSAGE_ID}}))
    assert (bounce.grade, bounce.message_id, delivery_of(KEY, bounce)) == ("complaint", MESSAGE_ID, None)
    headers = [{"name": "Message-ID", "value": MESSAGE_ID}]
    assert read(notified("Complaint", {}, mail={"headers": headers})).message_id == MESSAGE_ID
    assert read(notified("Complaint", {"complaintFeedbackType": "not-spam"}, wrapped=wrapped)).grade == "unclear"
    assert read(notified("Delivery", {}, wrapped=wrapped)).grade == "delivered"


@pytest.mark.parametrize("text", [
    '{"notificationType": "Bounce"', '{"notificationType": ["Bounce"]}', '{"notificationType": "Received"}',
    '["notificationType"]', '{"Message": "{notificationType"}', "notificationType", "{" * 5000 + "notificationType",
    '{"eventType":' + "[" * 100_000,
])
def test_what_only_looks_like_a_notification_is_a_persons_letter(text: str) -> None:
    assert parse(f"From: reader@readers.example\n\n{text}".encode()) is None


@pytest.mark.parametrize("mail", ["x", [], {"source": 7, "headers": [7, {"name": 7}], "commonHeaders": []}])
def test_a_notification_with_odd_parts_proves_nothing(mail: object) -> None:
    said = json.dumps({"notificationType": "Bounce", "bounce": mail, "mail": mail})
    bounce = read(f"From: a@b.example\n\n{said}".encode())
    assert (bounce.recipient, bounce.message_id, delivery_of(KEY, bounce)) == (None, None, None)


def test_an_old_servers_letter_is_unclear_but_known() -> None:
    raw = f"Return-Path: <>\nFrom: postmaster@old.example\nTo: {SENDER}\nSubject: failure notice\n\nHi.\n".encode()
    bounce = read(raw)
    assert (bounce.kind, bounce.status, bounce.suppress, bounce.diagnostic) == ("unclear", None, None, "failure notice")
    assert delivery_of(KEY, bounce) == 4711


NO_BOUNCES = {
    "a vacation note":
        "Return-Path: <>\nFrom: r@readers.example\nAuto-Submitted: auto-replied\nSubject: away\n\nAway.",
    "a reply": "From: Reader <reader@readers.example>\nSubject: Re: Issue 7\n\nThank you.",
    "nothing": "", "no mail at all": "hello", "a name like it": "From: Postmaster <a@b.example>\n\nx",
}


@pytest.mark.parametrize("raw", NO_BOUNCES.values(), ids=NO_BOUNCES.keys())
def test_what_is_no_report(raw: str) -> None:
    assert parse(raw.encode()) is None


BROKEN = {
    "no block": dsn(""), "only the type": b"Content-Type: message/delivery-status\r\n\r\n",
    "text in it": dsn("just words"), "cut off": dsn(FAILED)[:900], "8 bit": dsn(FAILED).replace(b"User", b"\xff\xfe\0"),
    "deep": b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level) for level in range(3000)
    ),
    "long": dsn(FAILED) + b"x" * 5_000_000, "empty feedback": ARF.format(to="a@b", block="", original="").encode(),
    "odd charset": dsn(FAILED).replace(b"Status: 5.1.1", b"Status: =?nonsense?q?5.1.1?="),
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN.keys())
def test_broken_reports_do_no_harm(raw: bytes) -> None:
    bounce = parse(raw)
    assert bounce is None or (bounce.diagnostic.isprintable() and delivery_of(KEY, bounce) in (None, 4711))


PIECES = st.sampled_from([
    b"Content-Type: message/delivery-status\r\n", b"Content-Type: multipart/report; boundary=b\r\n", b"--b\r\n",
    b"--b--", b"\r\n", b"Action: failed\r\n", b"Status: 5.1.1\r\n", b"Content-Type: message/rfc822\r\n",
    b"Return-Path: <>\r\n", b"Content-Transfer-Encoding: base64\r\n", b"Content-Type: message/feedback-report\r\n",
    b"From: mailer-daemon@x\r\n",
])


@given(st.lists(st.one_of(PIECES, st.binary(max_size=20)), max_size=30).map(b"".join))
def test_no_bytes_make_it_fail(raw: bytes) -> None:
    bounce = parse(raw)
    assert bounce is None or bounce.suppress is None or bounce.kind in ("failed", "complaint")


# --- the addresses --------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**63 - 1))
def test_an_envelope_sender_says_which_delivery(number: int) -> None:
    address = verp.make(KEY, base=BASE, delivery_id=number)
    assert verp.parse(KEY, address) == number
    assert verp.parse(KEY, f"<{address.upper()}>") == number
    assert verp.parse(KEY[::-1], address) is None
    assert len(address.rpartition("@")[0]) <= 64


@given(st.text(max_size=80))
def test_no_text_is_taken_for_one(text: str) -> None:
    assert verp.parse(KEY, text) is None


@pytest.mark.parametrize("base", ["", "no address", "a@b@c", f"{'x' * 60}@timeline.example", "a@b.example\r\n"])
def test_a_base_that_wont_do(base: str) -> None:
    with pytest.raises(RenderError):
        verp.make(KEY, base=base, delivery_id=1)
