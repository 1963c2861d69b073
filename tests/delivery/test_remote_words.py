"""What remote hosts' own words mean: mercy first, and never by a name that stands in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.bounces.reports import Bounce
from delivery.smtp.remote_words import TABLE, meaning

SAID = [
    ("dead", [
        "550 <r@readers.example>: Recipient address rejected: User unknown in local recipient table",
        "550 5.1.1 The account you try to reach does not exist", "550 r@readers.example... No such user",
        "sorry, no mailbox here by that name",
        "554 delivery error: dd This user doesn't have a provider.example account",
        "550 5.4.1 [r@readers.example]: Recipient address rejected: Access denied", "550 #5.1.0 Address rejected.",
        "550 5.1.351 Remote server returned unknown recipient or mailbox unavailable -> 550 gone",
        "550 5.5.0 Requested action not taken: mailbox unavailable",
        "User R (r@readers.example) not listed in Directory",
        "550 5.5.0 Adresse destinataire invalide. Invalid recipient. LPN007_416",
        "550 5.1.6 recipient no longer on server: r@readers.example", "551 not our customer", "550 Host unknown",
        "Host or domain name not found. Name service error for name=readers.example type=AAAA: Host not found",
        "Sorry, I couldn't find any host named readers.example.", "all relevant MX records point to non-existent hosts",
        "The domain readers.example doesn't receive email", "Unrouteable address", "Invalid final delivery userid: r",
        "501 5.1.3 Bad destination mailbox address syntax", "an MX or SRV record indicated no SMTP service",
    ]),
    ("full", [
        "552 5.2.2 Over quota", "550 5.1.1 user unknown: mailbox is full",
        "552 sorry, mailbox r@x.example is over quota",
        "550 The mailbox of the user is full", "Disk quota exceeded", "552 the inbox is out of storage space",
        "550 r@x.example exceeded its storage limit", "554 QuotaExceededException",
    ]),
    ("rate", [
        "550-5.2.1 The user is receiving mail at a rate that prevents more", "450 User is receiving mail too quickly",
        "550 5.1.1 <r@x.example> - 192.0.2.2 has sent to too many recipients this hour",
        "550 5.2.1 rate limit, hourly quota",
    ]),
    ("ours", [
        "550 5.7.1 your IP is on our list", "550 5.1.1 IP address blacklisted by recipient", "554 Client host rejected",
        "550 no such user, or sender rejected", "553 Domain of sender address does not exist", "550 HELO: no such host",
        "550 user unknown to our spam filter", "554 5.7.1 Relay access denied", "550 DMARC: invalid address",
        "554 blocked using dnsbl.example: no such user",
    ]),
    ("later", [
        "550 <r@x.example>: Recipient address rejected: User unknown, temporary locked",
        "550 no such user, try again later",
        "Host not found, try again", "550 it takes no mail at this time: no such user",
        "procmail: Couldn't create /mail/r: No such user",
        "The account or domain may not exist, or it is blacklisted", "501 no such domain; it was in the queue too long",
    ]),
    ("shut", [
        "550 : User unknown", "550 5.1.1 RCP-P2 Refused due to recipient preferences",
        "525 5.7.13 Disabled recipient address", "550 no such user: the account is suspended",
    ]),
    ("mailbox", [
        "550 Requested action not taken: mailbox unavailable", "550 the mailbox is blocked",
        "550 <r@x.example>: Recipient address rejected: it is so", "550 recipient r@x.example is locked",
    ]),
    ("ours", ["550 blocked"]),
    (None, [
        "", "550", "550 no", "550 5.1.1", "It did not arrive.", "552 5.3.4", "Find me at 550 Main Street",
        "5.2.1 disabled",
    ]),
]


@pytest.mark.parametrize(("expected", "text"), [(expected, text) for expected, texts in SAID for text in texts])
def test_what_is_said(expected: str | None, text: str) -> None:
    assert meaning(text) == expected


def test_names_and_links_say_nothing() -> None:
    link = "https://blacklist.example/full?mailbox=over-quota"
    assert meaning(f"550 no such user <spam@policy.example>, see {link}") == "dead"
    assert meaning("550 no. <no.such.user@unknown.example> https://x.example/unknown-host?unknown.user") is None


def test_what_a_reporter_puts_before_the_words_is_not_the_hosts() -> None:
    assert meaning("smtp; 5.1.0 - Unknown address error 550-'5.7.1 <a@x.example>... Access denied'") is None
    assert meaning("smtp; 5.1.0 - Unknown address error 550-'5.2.2 <a@x.example>... Mailbox Full'") == "full"
    assert meaning("X-Unknown-User; no") is None


def test_every_row_says_who_says_so() -> None:
    assert all(len(row.source) > 20 for row in TABLE)
    dead = [place for place, row in enumerate(TABLE) if row.meaning == "dead"]
    assert dead == list(range(dead[0], dead[-1] + 1))
    assert {row.meaning for row in TABLE[: dead[0]]} == {"ours", "full", "rate", "later", "shut"}  # mercy first


@given(st.text(max_size=200))
def test_total(text: str) -> None:
    assert meaning(text) in (None, "dead", "full", "rate", "later", "shut", "mailbox", "ours")


@pytest.mark.timeout(10)
def test_hostile_words_cost_little() -> None:
    for piece in ("user ", "a@", "<", "mailbox is ", "domain ", "exceed ", "quota ", "5.1.1 - "):
        meaning(piece * 100_000)


GRADED = [
    ("5.1.1", 552, "552 5.2.2 Over quota", "soft"), ("5.1.1", 550, "550 5.7.1 your IP is on our list", "policy"),
    ("5.2.1", 550, "550-5.2.1 receiving mail at a rate", "soft"), ("5.2.1", 550, "550 5.2.1 disabled", "hard"),
    ("5.1.1", None, "", "hard"), ("5.1.2", None, "", "hard"), ("5.1.6", 551, "", "hard"), ("5.1.351", 550, "", "hard"),
    ("5.4.4", None, "Host not found", "hard"), ("5.4.4", None, "", "soft"), (None, 550, "User unknown", "hard"),
    ("5.7.1", 550, "Recipient address rejected: User unknown", "hard"), ("5.7.1", 550, "no", "policy"),
    ("4.1.1", 450, "User unknown", "soft"), (None, 450, "User unknown", "soft"),
    ("5.1.7", 550, "No such domain", "policy"), ("5.1.8", 553, "Domain does not exist", "policy"),
    ("5.7.27", 550, "Host does not accept mail", "policy"), ("5.0.0", 501, "Invalid domain name", "soft"),
    ("5.1.3", 501, "Bad destination mailbox address syntax", "hard"),
]


@pytest.mark.parametrize(("status", "code", "text", "grade"), GRADED, ids=[f"{row[0]} {row[2]}" for row in GRADED])
def test_words_and_codes_together(status: str | None, code: int | None, text: str, grade: str) -> None:
    bounce = Bounce(kind="failed", status=status, code=code, diagnostic=text)
    assert bounce.grade == grade
    assert (bounce.suppress is not None) == (grade == "hard")
