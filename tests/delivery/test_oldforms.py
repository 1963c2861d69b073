"""Bounces in the forms that servers really use, in our own words: whose they are, and what they mean."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delivery.bounces import old_forms
from delivery.bounces.reports import Bounce, delivery_of, parse
from delivery.message import verp

KEY = "an-invented-key-of-thirty-two-characters"
SENDER = verp.make(KEY, base="bounces@timeline.example", delivery_id=4711)
MESSAGE_ID = "<abc234@timeline.example>"
ORIGINAL = f"""\
Return-Path: <{SENDER}>
Received: from relay.example (relay.example [192.0.2.7])
From: Timeline <news@timeline.example>
To: reader@readers.example
Message-ID: {MESSAGE_ID}
Subject: Issue 7: the 550 loom, 5.1.1

Words. 550 5.1.1 is what a loom once said.
"""


def report(status: str, *, sender: str = "MAILER-DAEMON@relay.example", said: str = "It did not arrive.",
           original: str = ORIGINAL, more: str = "") -> str:
    """A report of RFC 3464."""
    return f"""\
Return-Path: <>
From: Mail System <{sender}>
To: {SENDER}
Subject: Undelivered mail
{more}MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="=_b/1"

This is in several parts.
--=_b/1
Content-Type: text/plain; charset=us-ascii

{said}
--=_b/1
Content-Type: message/delivery-status

{status}
--=_b/1
Content-Type: message/rfc822

{original}
--=_b/1--
"""


def letter(text: str, *, sender: str = "MAILER-DAEMON@old.example", subject: str = "failure notice",
           more: str = "") -> str:
    return f"Return-Path: <>\nFrom: {sender}\nTo: {SENDER}\nSubject: {subject}\n{more}\n{text}\n"


POSTFIX = report("""\
Reporting-MTA: dns; relay.example
X-Postfix-Queue-ID: 955CE22E193
X-Postfix-Sender: rfc822; bounces@timeline.example
Arrival-Date: Mon, 23 Nov 2026 09:28:37 +0000 (UTC)

Final-Recipient: rfc822; reader@readers.example
Original-Recipient: rfc822;reader@readers.example
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.readers.example
Diagnostic-Code: smtp; 550 5.1.1 no such user""")

POSTFIX_GIVEN_UP = report("""\
Reporting-MTA: dns; relay.example

Final-Recipient: rfc822; reader@readers.example
Action: failed
Status: 4.4.1
Diagnostic-Code: X-Postfix; connect to mx.readers.example[192.0.2.9]:25:
    Connection timed out""")

EXCHANGE = report("""\
Reporting-MTA: dns;EX01.readers.example
Received-From-MTA: dns;relay.example

Original-Recipient: rfc822;reader@readers.example
Final-Recipient: rfc822;reader@readers.example
Action: failed
Status: 5.1.10
Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; no such recipient by address lookup
X-Display-Name: Reader""", sender="postmaster@readers.example", more="X-MS-Exchange-Message-Is-Ndr:\n")

EXCHANGE_FULL = report("""\
Reporting-MTA: dns;EX01.readers.example

Final-Recipient: rfc822;reader@readers.example
Action: failed
Status: 5.2.2
Diagnostic-Code: smtp;554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException""")

GMAIL = report("""\
Reporting-MTA: dns; mail.provider.example
Arrival-Date: Mon, 23 Nov 2026 01:02:03 -0800 (PST)
X-Original-Message-ID: <abc234@timeline.example>

Final-Recipient: rfc822; reader@provider.example
Action: failed
Status: 5.1.1
Remote-MTA: dns; inbound.provider.example. (192.0.2.26, the server for the domain.)
Diagnostic-Code: smtp; 550-5.1.1 The account that you tried to reach does not exist. Please look
 550-5.1.1 for a typing error. 550 5.1.1 a1b2c3 - gsmtp
Last-Attempt-Date: Mon, 23 Nov 2026 01:02:04 -0800 (PST)""", sender="mailer-daemon@provider.example")

GMAIL_POLICY = report("""\
Reporting-MTA: dns; mail.provider.example

Final-Recipient: rfc822; reader@provider.example
Action: failed
Status: 5.7.26
Diagnostic-Code: smtp; 550-5.7.26 This mail has been blocked because the sender is unauthenticated.""")

EXIM = report("""\
Reporting-MTA: dns; mx.readers.example

Action: failed
Final-Recipient: rfc822;reader@readers.example
Status: 5.0.0
Remote-MTA: dns; inner.readers.example
Diagnostic-Code: smtp; 550 5.1.1 unknown user""", more="X-Failed-Recipients: reader@readers.example\n")

OLD_EXIM = letter(f"""\
This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  reader@readers.example
    SMTP error from remote mail server after RCPT TO:<reader@readers.example>:
    host mx.readers.example [192.0.2.9]: 550 5.1.1 unknown user

------ This is a copy of the message, including all the headers. ------

{ORIGINAL}""", sender="Mail Delivery System <Mailer-Daemon@old.example>",
    subject="Mail delivery failed: returning message to sender", more="X-Failed-Recipients: reader@readers.example\n")

OLD_EXIM_WARNING = letter("""\
This message was created automatically by mail delivery software.
A message that you sent has not yet been delivered to one or more of its
recipients after more than 24 hours on the queue on old.example.

The address to which the message has not yet been delivered is:

  reader@readers.example

No action is required on your part. Delivery attempts will continue for
some time, and this warning may be repeated at intervals.
""", sender="Mail Delivery System <Mailer-Daemon@old.example>",
    subject="Warning: message 1tF0 delayed 24 hours", more="X-Failed-Recipients: reader@readers.example\n")

QMAIL = letter(f"""\
Hi. This is the qmail-send program at old.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<reader@readers.example>:
Sorry, no mailbox here by that name. (#5.1.1)

--- Below this line is a copy of the message.

{ORIGINAL}""")

QMAIL_REMOTE = letter(f"""\
Hi. This is the qmail-send program at old.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<reader@readers.example>:
192.0.2.9 does not like recipient.
Remote host said: 550 5.1.1 <reader@readers.example>: user unknown
Giving up on 192.0.2.9.

--- Below this line is a copy of the message.

{ORIGINAL}""")

QMAIL_GIVEN_UP = letter(f"""\
Hi. This is the qmail-send program at old.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<reader@readers.example>:
I'm not going to try again; this message has been in the queue too long. (#4.4.1)

--- Below this line is a copy of the message.

{ORIGINAL}""")

WORDS_ONLY = letter("""\
Your message to <reader@readers.example> was returned by our host. The person
who had this mailbox has left.
""", sender="postmaster@old.example")

ODD_CHARSET = POSTFIX.replace("charset=us-ascii", "charset=x-nobody-knows-1")

FORMS = {
    "Postfix": (POSTFIX, "hard", "5.1.1"), "Postfix, given up": (POSTFIX_GIVEN_UP, "soft", "4.4.1"),
    "Exchange": (EXCHANGE, "hard", "5.1.10"), "Exchange, mailbox full": (EXCHANGE_FULL, "soft", "5.2.2"),
    "Gmail": (GMAIL, "hard", "5.1.1"), "Gmail, policy": (GMAIL_POLICY, "policy", "5.7.26"),
    "Exim": (EXIM, "hard", "5.1.1"), "Exim of old": (OLD_EXIM, "hard", "5.1.1"),
    "Exim of old, a warning": (OLD_EXIM_WARNING, "delayed", None),
    "qmail": (QMAIL, "hard", "5.1.1"), "qmail, remote": (QMAIL_REMOTE, "hard", "5.1.1"),
    "qmail, given up": (QMAIL_GIVEN_UP, "soft", "4.4.1"),
    "only words": (WORDS_ONLY, "unclear", None), "a charset of nobody": (ODD_CHARSET, "hard", "5.1.1"),
}


def read(text: str) -> Bounce:
    bounce = parse(text.encode())
    assert bounce is not None
    return bounce


@pytest.mark.parametrize(("text", "grade", "status"), FORMS.values(), ids=FORMS.keys())
def test_each_form_is_graded_and_finds_its_delivery(text: str, grade: str, status: str | None) -> None:
    bounce = read(text)
    assert (bounce.grade, bounce.status) == (grade, status)
    assert delivery_of(KEY, bounce) == 4711


@pytest.mark.parametrize("text", [OLD_EXIM, QMAIL, QMAIL_REMOTE], ids=["Exim", "qmail", "qmail, remote"])
def test_the_copy_in_a_letter_tells_which_message_it_was(text: str) -> None:
    bounce = read(text.replace(f"To: {SENDER}\nSubject", "To: bounces@timeline.example\nSubject"))
    assert bounce.message_id == MESSAGE_ID
    assert delivery_of(KEY, bounce) == 4711  # by the Return-Path of the copy
    assert bounce.recipient == "reader@readers.example"


def test_codes_in_our_own_words_that_came_back_mean_nothing() -> None:
    said = "Sorry, it was not delivered.\n\n--- Below this line is a copy of the message.\n"
    bounce = read(letter(f"Hi. This is the qmail-send program at old.example.\n{said}\n{ORIGINAL}"))
    assert (bounce.status, bounce.code, bounce.suppress) == (None, None, None)


def test_for_good_in_another_programs_words_suppresses_nobody() -> None:
    text = QMAIL_GIVEN_UP.replace(" (#4.4.1)", "").replace("this message has been in the queue too long", "so it is")
    bounce = read(text)
    assert (bounce.kind, bounce.grade, bounce.suppress) == ("failed", "soft", None)


AUTO = "Auto-Submitted: auto-replied\n"
BY_MACHINES = {
    "Exim": OLD_EXIM.replace("X-Failed", f"{AUTO}X-Failed"),
    "without the null sender": OLD_EXIM.removeprefix("Return-Path: <>\n").replace("X-Failed", f"{AUTO}X-Failed"),
    "named by X-Failed-Recipients": OLD_EXIM.replace("Mailer-Daemon@", "robot@").replace("X-Failed", f"{AUTO}X-Failed"),
    "from an empty address": letter("550 5.1.1 unknown user", sender="<>", more=AUTO),
    "from a name": letter("550 5.1.1 unknown user", sender="MAILER-DAEMON", more=AUTO),
    "from a post.master": letter("550 5.1.1 unknown user", sender="post.master@old.example", more=AUTO),
    "by its form": letter(
        "--b\nContent-Type: text/plain\n\n550 5.1.1 unknown user\n--b--", sender="desk@old.example",
        more=f"{AUTO}Content-Type: multipart/report; report-type=delivery-status; boundary=b\n",
    ),
}


@pytest.mark.parametrize("text", BY_MACHINES.values(), ids=BY_MACHINES.keys())
def test_a_mailers_letter_is_a_bounce_though_it_calls_itself_an_automatic_reply(text: str) -> None:
    bounce = read(text)
    assert (bounce.grade, bounce.status) == ("hard", "5.1.1")
    assert delivery_of(KEY, bounce) == 4711


HOLIDAYS = {
    "a street": "I am away until Monday. Find me at 550 Main Street.",
    "a street on a line of its own": "Away.\n\n500 Fifth Avenue\nNew York",
    "after a colon": "My address: 550 Main Street. My mailbox is full, and user unknown to you.",
    "a telephone": "Call +1 550 5551234 or 451-555 0101.", "a version": "Our 5.1.1 release is out; #5.1.1 in the list.",
    "what it quotes": "Away.\n> no such user here; mailbox unavailable",
}


@pytest.mark.parametrize("text", HOLIDAYS.values(), ids=HOLIDAYS.keys())
def test_a_holiday_note_is_noted_whatever_numbers_stand_in_it(text: str) -> None:
    bounce = read(letter(text, sender="Reader <reader@readers.example>", subject="Automatic reply: Issue 7"))
    assert (bounce.grade, bounce.suppress) == ("unclear", None)
    assert parse(letter(text, sender="reader@readers.example", more=AUTO).encode()) is None  # it says so: a person's


def test_a_whole_reply_counts_whoever_wrote_the_letter() -> None:
    assert read(letter("Your letter was refused:\n550 5.1.1 unknown user", sender="desk@old.example")).grade == "hard"


NUMBERS = [
    ("550 User unknown", "hard", 550), ("<<< 550 no such user", "hard", 550),
    ("host mx said: 550 no such user", "hard", 550), ("It is at 550 Main Street.", "unclear", None),
    ("999 of them", "unclear", None),
    ("500 no such command, says the host", "policy", 500), ("error: 552 mailbox full", "soft", 552),
]


@pytest.mark.parametrize(("text", "grade", "code"), NUMBERS, ids=[text for text, _, _ in NUMBERS])
def test_a_number_is_a_code_only_where_a_reply_can_stand(text: str, grade: str, code: int | None) -> None:
    bounce = read(letter(text))
    assert (bounce.grade, bounce.code) == (grade, code)


AFTER_DATA = [
    ("host mx said: 550 user unknown (in reply to end of DATA command)", "soft"),
    ("host mx said: 550 user unknown (in reply to RCPT TO command)", "hard"),
    ("host mx said: 550 5.1.1 user unknown (in reply to end of DATA command)", "hard"),
    (">>> DATA\n<<< 550 user unknown", "soft"),
    (">>> DATA\n<<< 550 user unknown\n<<< 503 need RCPT", "hard"),  # pipelining: the address was what was refused
]


@pytest.mark.parametrize(("text", "grade"), AFTER_DATA, ids=[text for text, _ in AFTER_DATA])
def test_a_missing_mailbox_is_told_before_the_message(text: str, grade: str) -> None:
    """Some hosts say so after DATA when a reader's filter refuses; a code of a mailbox leaves no doubt."""
    assert read(letter(text)).grade == grade


def test_a_transcript_is_read_reply_by_reply() -> None:
    text = "<<< 550 no such user\n421 readers.example deferred: try later"
    assert read(letter(text)).grade == "hard"


def test_a_letter_in_html_is_read() -> None:
    html = "<html><head><title>550</title></head><p>Oh.</p><p>A host <b>said</b>:<br>550 5.1.1 no&nbsp;such user</p>"
    bounce = read(letter(html, more="MIME-Version: 1.0\nContent-Type: text/html\n"))
    assert (bounce.grade, bounce.code, bounce.status) == ("hard", 550, "5.1.1")


def test_a_failure_without_a_reason_is_counted() -> None:
    assert read(letter("Your message could not be delivered.")).grade == "soft"
    assert read(letter("554 4.4.7 expired: unable to deliver in 840 minutes")).grade == "soft"


def test_a_report_that_gives_no_reason_in_its_block_is_read_by_its_words() -> None:
    block = "Final-Recipient: rfc822; reader@readers.example\nAction: failed\nStatus: {}"
    unknown = "It did not arrive.\n\nreader@readers.example: no such user"
    assert read(report(block.format("5.0.0"), said=unknown)).grade == "hard"
    assert read(report(block.format("5.0.0"))).grade == "soft"
    assert read(report(block.format("5.1.1"), said="The mailbox is full.")).grade == "soft"
    told = block.format("5.7.1") + "\nDiagnostic-Code: smtp; 550 5.7.1 go away"
    assert read(report(told, said=unknown)).grade == "policy"  # the host's own word, not the mailer's guess


def test_of_several_addresses_behind_one_any_that_lives_spares_it() -> None:
    dead = "Final-Recipient: rfc822; a@x.example\nAction: failed\nStatus: 5.1.1"
    full = "Final-Recipient: rfc822; b@x.example\nAction: failed\nStatus: 5.2.2"
    assert read(report(f"{dead}\n\n{full}")).grade == "soft"
    assert read(report(f"{full}\n\n{dead}")).grade == "soft"
    assert read(report(f"{dead}\n\n{dead}")).grade == "hard"


@pytest.mark.parametrize("size", [100, 70_000], ids=["short", "longer than the scanner gets"])
def test_a_scanner_that_fails_is_told_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    def broken(_message: object) -> None:
        raise AttributeError("'NoneType' object has no attribute 'lower'")

    monkeypatch.setattr(old_forms, "all_failures", broken)
    monkeypatch.setattr(logging.getLogger("milepost"), "propagate", True)
    caplog.set_level("INFO", "milepost.bounces")
    bounce = read(letter("<reader@readers.example>:\nno mailbox (#5.1.1)\n" + "x" * size))
    assert bounce.grade == "hard"
    assert ("flufl.bounce can't read a bounce (AttributeError" in caplog.text) is (size < 1000)


def test_a_letter_without_a_sender_is_read() -> None:
    """flufl.bounce 6.0 raises on these."""
    assert parse(b"Return-Path: <>\nSubject: failure notice\n\n<r@x.example>:\nno mailbox (#5.1.1)\n") is not None


HOSTILE = {
    "a bomb of parts": b"Return-Path: <>\nContent-Type: multipart/mixed; boundary=a\n\n" + b"--a\n\n" * 50_000,
    "boundaries within boundaries": b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (level, level) for level in range(2000)
    ),
    "messages within messages": b"Return-Path: <>\nContent-Type: message/rfc822\n\n" * 3000,
    "one endless line": b"Return-Path: <>\nFrom: mailer-daemon@x\n\n" + b"5" * 500_000,
    "many codes": b"Return-Path: <>\nFrom: mailer-daemon@x\n\n" + b"550 550 550-5.1.1.1.1 " * 20_000,
    "many copies": b"Return-Path: <>\nFrom: mailer-daemon@x\n\n" + b"--- original message\nReturn-Path: <a@b>\n" * 9000,
    "many recipients": b"Return-Path: <>\nFrom: mailer-daemon@x\nX-Failed-Recipients: " + b"a@b.example, " * 20_000,
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_letters_cost_little_and_prove_nothing(raw: bytes) -> None:
    bounce = parse(raw)
    assert bounce is None or delivery_of(KEY, bounce) is None


@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_no_letter_makes_it_fail(body: bytes) -> None:
    bounce = parse(b"Return-Path: <>\nFrom: mailer-daemon@x\n\n" + body)
    assert bounce is not None
    assert bounce.diagnostic.isprintable()
