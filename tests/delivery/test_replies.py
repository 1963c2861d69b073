"""The table of replies, row by row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.smtp.replies import (
    GIVE_UP,
    NEGATIVE,
    REFUSED,
    Judge,
    Verdict,
    advice,
    backoff,
    classify,
    enhanced_code,
    queue_id,
    read,
)
from milepost.records import Reply


def said(phase: str, text: str) -> Reply:
    code = int(text[:3])
    return Reply(code=code, enhanced=enhanced_code(code, text[4:]), text=text[4:], phase=phase)


GO_ON = Verdict(outcome="accepted")
LATER, LATER_AND_CLOSED = Verdict(outcome="deferred"), Verdict(outcome="deferred", hang_up=True)
FAILED, PAUSED = Verdict(outcome="failed"), Verdict(outcome="refused", pause=True)
VAGUE, VAGUE_LATER = Verdict(outcome="failed", vague=True), Verdict(outcome="deferred", vague=True)
TABLE = [
    ("mail", "250 2.1.0 ok", GO_ON),
    ("rcpt", "250 2.1.5 ok", GO_ON),
    ("rcpt", "251 will forward", GO_ON),
    ("rcpt", "252 can't verify", GO_ON),
    ("data", "354 go on", GO_ON),
    ("data", "250 what?", LATER_AND_CLOSED),
    ("dot", "250 2.0.0 queued", Verdict(outcome="sent")),
    ("dot", "354 what?", Verdict(outcome="unknown", hang_up=True)),
    ("connect", "421 busy", LATER_AND_CLOSED),
    ("auth", "454 4.7.0 try later", LATER_AND_CLOSED),
    ("mail", "421 closing", LATER_AND_CLOSED),
    ("dot", "421 4.3.2 closing", LATER_AND_CLOSED),
    ("rcpt", "450 4.2.1 busy", LATER),
    ("rcpt", "451 4.7.1 greylisted", LATER),
    ("data", "451 4.3.0 error", LATER),
    ("dot", "452 4.3.1 disk", LATER),
    ("rcpt", "450 5.1.1 the code counts, not the text", LATER),
    ("rcpt", "550 5.1.1 unknown", Verdict(outcome="failed", suppress="550 5.1.1")),
    ("rcpt", "556 5.1.10 null mx", Verdict(outcome="failed", suppress="556 5.1.10")),
    ("rcpt", "550 5.2.1 disabled", Verdict(outcome="failed", suppress="550 5.2.1")),
    ("dot", "550 5.1.1 unknown", Verdict(outcome="failed", suppress="550 5.1.1")),
    ("rcpt", "556 takes no mail", Verdict(outcome="failed", suppress="556")),
    ("rcpt", "550 5.7.17 somebody else's now", Verdict(outcome="failed", suppress="550 5.7.17")),
    ("rcpt", "521 no", VAGUE),
    ("dot", "552 5.3.4 too big", PAUSED),
    ("rcpt", "503 5.5.1 bad sequence", PAUSED),
    ("mail", "555 5.5.4 unsupported parameter", PAUSED),
    ("data", "502 not implemented", PAUSED),
    ("rcpt", "550 5.5.3 too many recipients", LATER),
    ("rcpt", "550 5.1.100 not 5.1.10", FAILED),
    ("rcpt", "552 5.2.2 full", FAILED),
    ("dot", "552 full", FAILED),
    ("rcpt", "550 no such user here", Verdict(outcome="failed", suppress="550")),
    ("dot", "550 no such user here", FAILED),
    ("rcpt", "551 not local", VAGUE),
    ("rcpt", "553 5.1.3 syntax", FAILED),
    ("dot", "554 transaction failed", VAGUE),
    ("dot", "554 5.6.0 content", VAGUE),
    ("rcpt", "550 5.7.1 denied", VAGUE_LATER),
    ("dot", "550 5.7.1 denied", PAUSED),
    ("rcpt", "550 5.7.1 Unable to relay for r1", PAUSED),
    ("rcpt", "550 junk mail rejected: your host is on an RBL", PAUSED),
    ("rcpt", "550 requested action not taken: mailbox unavailable; no PTR record", PAUSED),
    ("rcpt", "550 5.5.0 mailbox unavailable: sender rejected", PAUSED),
    ("rcpt", "525 5.7.13 account disabled", PAUSED),
    ("rcpt", "550 blocked", PAUSED),
    ("rcpt", "525 5.7.13 Disabled recipient address", FAILED),
    ("rcpt", "550 5.1.1 the mailbox is full", FAILED),
    ("rcpt", "554 QuotaExceededException", FAILED),
    ("rcpt", "550 5.2.1 receiving mail at a rate that prevents more", LATER),
    ("rcpt", "550 5.1.1 user unknown, try again later", LATER),
    ("rcpt", "550 5.1.1 your IP is on our list", VAGUE_LATER),
    ("rcpt", "550 5.7.1 your IP is on our list", PAUSED),
    ("rcpt", "550 5.7.1 recipient address rejected: user unknown", Verdict(outcome="failed", suppress="550 5.7.1")),
    ("rcpt", "550 5.1.8 sender address", PAUSED),
    ("rcpt", "552 5.3.1 mail system full", VAGUE_LATER),
    ("rcpt", "501 no such domain", VAGUE),
    ("rcpt", "550 5.1.0 rejected", FAILED),
    ("rcpt", "550 the mailbox is blocked", FAILED),
    ("dot", "550 5.7.1 recipient address rejected: user r1 is locked", FAILED),
    ("mail", "550 5.5.0 mailbox unavailable", PAUSED),
    ("dot", "550 5.7.26 unauthenticated", PAUSED),
    ("dot", "521 5.7.1 no", PAUSED),
    ("rcpt", "530 authentication required", PAUSED),
    ("mail", "535 wrong", PAUSED),
    ("rcpt", "550 rejected by policy", PAUSED),
    ("dot", "554 message looks like SPAM", PAUSED),
    ("dot", "550 SPF check failed", PAUSED),
    ("rcpt", "554 relay access denied", PAUSED),
    ("mail", "553 sender address rejected", PAUSED),
    ("mail", "550 5.1.1 even so: nobody has been named yet", PAUSED),
    ("connect", "554 no service", Verdict(outcome="refused", pause=True, hang_up=True)),
    ("auth", "535 5.7.8 wrong", Verdict(outcome="refused", pause=True, hang_up=True)),
]


@pytest.mark.parametrize(("phase", "text", "verdict"), TABLE, ids=[f"{phase} {text[:18]}" for phase, text, _ in TABLE])
def test_table(phase: str, text: str, verdict: Verdict) -> None:
    assert classify(said(phase, text)) == verdict


@pytest.mark.parametrize("phase", ["connect", "ehlo", "tls", "auth", "mail", "rcpt", "data", "dot"])
def test_only_the_gap_after_the_dot_is_uncertain(phase: str) -> None:
    expected = "unknown" if phase == "dot" else "deferred"
    assert classify(Reply(code=None, text="lost", phase=phase)) == Verdict(outcome=expected, hang_up=True)  # type: ignore[arg-type]


@given(
    st.one_of(st.none(), st.integers(0, 999)), st.text(max_size=30),
    st.sampled_from(["connect", "ehlo", "tls", "auth", "mail", "rcpt", "data", "dot", "odd"]),
)
def test_total_and_never_sent_without_the_dot(code: int | None, text: str, phase: str) -> None:
    verdict = classify(Reply(code=code, enhanced=enhanced_code(code or 0, text), text=text, phase=phase))
    assert (verdict.outcome == "sent") == (phase == "dot" and code is not None and 200 <= code < 300)
    assert verdict.outcome != "unknown" or phase == "dot"
    assert not (verdict.pause and verdict.suppress)
    assert not (verdict.vague and (verdict.pause or verdict.suppress))
    assert verdict.pause == (verdict.outcome == "refused")


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (550, "5.1.1 gone", "5.1.1"), (250, "2.0.0", "2.0.0"), (550, "4.1.1 of another class", None),
        (550, "the 5.1.1 in the middle", None), (550, "5.1 short", None), (550, "5.1.1.1 long", None), (550, "", None),
        (550, " 5.1.1 gone", "5.1.1"),
    ],
)
def test_enhanced_codes(code: int, text: str, expected: str | None) -> None:
    assert enhanced_code(code, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2.0.0 Ok: queued as 4XkPqW1zB2z3", "4XkPqW1zB2z3"), ("OK id=1rB2c3-0001aB-2C", "1rB2c3-0001aB-2C"),
        ("2.0.0 Ok: queued as 7", "7"), ("2.0.0 queued as <ab1>.", "ab1"), ("OK id=x", "x"),
        ("2.6.0 <m@x> [InternalId=25, Hostname=ex.example] Queued mail for delivery", "25"),
        ("2.0.0 wANHx8Qd012345 Message accepted for delivery", "wANHx8Qd012345"), ("ok 1763888400 qp 4711", "4711"),
        ("2.0.0 OK  1763888400 5b1f17b1804b1-477a-2f3si1234567.89 - gsmtp", "5b1f17b1804b1-477a-2f3si1234567.89"),
        ("Ok 0100019ab2c3d4e5-01234567-89ab-cdef-0123-456789abcdef-000000",
         "0100019ab2c3d4e5-01234567-89ab-cdef-0123-456789abcdef-000000"),
        ("2.6.0 Queued mail for delivery", None), ("Ok", None), ("the id is gone", None),
    ],
)
def test_queue_ids(text: str, expected: str | None) -> None:
    assert queue_id(text) == expected


def test_waits_grow_and_differ_between_deliveries_but_not_between_calls() -> None:
    waits = [backoff(attempts, "7") for attempts in range(24)]
    assert waits == [backoff(attempts, "7") for attempts in range(24)]
    assert 240 <= waits[0] <= 360
    assert max(waits) <= 1.2 * 3 * 3600
    assert len({backoff(0, str(delivery)) for delivery in range(50)}) > 45


def test_waits_double_from_five_minutes_to_three_hours_each_a_fifth_more_or_less() -> None:
    for attempts, minutes in enumerate([5, 10, 20, 40, 80, 160, 180, 180, 180]):
        waits = [backoff(attempts, str(delivery)) / 60 for delivery in range(300)]
        assert 0.8 * minutes <= min(waits) <= 0.82 * minutes
        assert 1.18 * minutes <= max(waits) <= 1.2 * minutes
    assert 0.8 * 180 <= backoff(10_000, "7") / 60 <= 1.2 * 180


def test_a_reply_is_kept_as_one_line_without_controls_and_not_longer_than_500() -> None:
    kept = read(550, b"5.1.1 no\x07 such\r\n 5.1.1 \xff mailbox", "rcpt")
    assert kept == Reply(code=550, enhanced="5.1.1", text="5.1.1 no such 5.1.1 \ufffd mailbox", phase="rcpt")
    assert read(250, "x" * 501, "dot").text == "x" * 500
    assert read(250, "x" * 500, "dot").text == "x" * 500


def test_twenty_refusals_fit_into_the_time_given() -> None:
    for delivery in range(200):
        assert sum(backoff(attempts, str(delivery)) for attempts in range(20)) < GIVE_UP.total_seconds()


def test_the_table_is_whole_and_every_row_of_it_says_why() -> None:
    assert all(row.why for row in NEGATIVE)
    last = NEGATIVE[-1]
    assert (last.phases, last.codes, last.enhanced, last.means) == (frozenset(), frozenset(), None, ())


@pytest.mark.parametrize(
    ("phase", "text", "expected"),
    [
        ("auth", "535 5.7.8 wrong", "Check user and password"), ("rcpt", "530 log in first", "Check user and password"),
        ("dot", "550 5.7.26 unauthenticated", "Publish SPF, DKIM and DMARC"),
        ("dot", "550 SPF check failed", "Publish SPF, DKIM and DMARC"), ("dot", "550 5.7.25 no PTR", "a PTR record"),
        ("rcpt", "554 5.7.1 Relay access denied", "let it relay for this machine"),
        ("rcpt", "550 5.7.1 on our blocklist", "have it taken off"), ("dot", "552 5.3.4 too big", "smaller"),
        ("mail", "553 sender address rejected", "may send for mail.from"),
        ("connect", "554 go away", "ask whoever runs"),
        ("dot", "550 5.7.1 no", ""),
    ],
)
def test_what_to_do_about_a_refusal(phase: str, text: str, expected: str) -> None:
    assert classify(said(phase, text)).pause
    todo = advice(said(phase, text))
    assert expected in todo if expected else todo == ""


def test_advice_is_total() -> None:
    assert advice(Reply(code=None, phase="odd")) == ""


def test_all_that_is_vague_is_about_us_unless_a_mail_was_taken_before() -> None:
    judge = Judge()
    judge(said("rcpt", "550 no"))
    assert judge.on_all(taken_before=False) == REFUSED
    assert judge.on_all(taken_before=True) is None


def test_what_is_vague_is_in_doubt_until_a_mail_was_taken() -> None:
    judge = Judge()
    vague = judge(said("rcpt", "550 no"))
    assert judge.doubtful(vague)
    judge(said("dot", "250 2.0.0 queued"))
    assert not judge.doubtful(judge(said("rcpt", "550 no")))
    assert judge.on_all(taken_before=False) is None


def test_ten_refusals_of_the_message_itself_and_nobody_served_are_enough() -> None:
    judge = Judge()
    verdicts = [judge(said("dot", "554 no")).pause for _ in range(10)]
    assert verdicts == [False] * 9 + [True]


def test_a_code_that_smtp_does_not_know_is_tried_again_before_the_dot() -> None:
    assert classify(said("mail", "650 what is this")) == Verdict(outcome="deferred", hang_up=True)


def test_more_than_half_refused_by_name_are_too_many() -> None:
    judge = Judge()
    for _ in range(9):
        judge(said("dot", "250 2.0.0 queued"))
    verdicts = [judge(said("rcpt", "501 5.1.3 no such form of address")).pause for _ in range(10)]
    assert verdicts == [False] * 9 + [True]


def test_a_pause_says_what_to_do_about_it() -> None:
    assert Judge().why(said("mail", "530 5.7.0 log in first")) == (
        "The mail server refuses us, not a reader: 530 5.7.0 log in first (at MAIL)."
        " Check user and password, or the token, in the settings of [mail]. Then resume the issue."
    )
