"""The checklist for every message we send, read from the bytes that a real server received."""

import base64
import datetime as dt
import email
import quopri
import re
from collections import Counter
from email import policy
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from delivery.dispatch import Mailing, dispatch
from delivery.message import headers, quoted, tokens
from delivery.message.build import Letterhead, MessageTemplate, message_findings
from delivery.message.headers import Mailbox
from delivery.message.misread import Meant, misread_headers
from milepost.errors import RenderError
from milepost.records import Variant

KEY = "an-invented-key-of-thirty-two-characters"
DATE = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.timezone(dt.timedelta(hours=1)))
P = "MILEPOST-UNSUBSCRIBE-4f1d"
LINK = "https://timeline.example/u/AQEqbWlsZXN0b25lcw"
LIST_ID = "milestones.timeline.example"
NAMES = [
    "From", "To", "Reply-To", "Subject", "Date", "Message-ID", "MIME-Version", "List-Id", "List-Archive",
    "List-Unsubscribe", "List-Unsubscribe-Post", "Feedback-ID", "Content-Type",
]


def parse(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=policy.SMTP)
    assert isinstance(message, EmailMessage)
    return message


def of(template: MessageTemplate, link: str = LINK) -> bytes:
    return template.bytes_for(address="r@readers.example", unsubscribe_url=link, message_id="<m@timeline.example>")


def decoded(raw: bytes, name: str) -> str:
    """A header of words, as programs show it: unfolded, its one quoted string unquoted, its encoded words decoded.

    Ours, by RFC 2047 §6: the standard library of Python 3.11 shows spaces between the encoded words of a name.
    """
    [line] = re.findall(rf"(?m)^{name}: (.*?)\r\n(?! )", raw.decode("ascii"), re.DOTALL)
    line = re.sub(r"\?=\s+=\?", "?==?", line.replace("\r\n ", " "))
    if line.endswith(">"):
        line = re.sub(r'"((?:[^"\\]|\\.)*)"', lambda found: re.sub(r"\\(.)", r"\1", found[1]), line)

    def one(found: re.Match[str]) -> str:
        if found[1].lower() == "b":
            return base64.b64decode(found[2]).decode()
        return quopri.decodestring(found[2].encode(), header=True).decode()

    return re.sub(r"=\?utf-8\?([qQbB])\?([^?]*)\?=", one, line)


def parts(raw: bytes) -> list[str]:
    """The text and the HTML, as a mail program decodes them."""
    return [part.get_content().replace("\r\n", "\n") for part in parse(raw).iter_parts()]


@pytest.fixture
def received(
    relay: Any, transport: Any, ledgers: Any, clock: Any, variants: Any, letterheads: Any, mailings: Any
) -> bytes:
    """What a server got: with every optional header, umlauts and a long subject."""
    usual = variants()
    variant = variants(
        subject="Größte Maschine der Welt — und A & B < C, sagt „die Presse“: " + "ein langer Titel " * 8,
        text=usual.text + "From the archive\n.\n..dots\nŽivjo ✓ " + "x" * 3000 + "\n",
        html=usual.html.replace("</body>", f"<p>{'y' * 3000}</p>.\r\n<a href='{P}'>&#381;</a></body>"),
    )
    letterhead = letterheads(
        sender=Mailbox("Müller, Timeline", "news@timeline.example"), reply_to=Mailbox("Desk", "desk@timeline.example"),
        feedback_id="7:milestones:news:timeline",
    )
    mailing: Mailing = mailings(
        templates={"all": MessageTemplate.build(variant, letterhead=letterhead, date=DATE)},
        link=lambda claim: f"https://timeline.example/list/u/{'t' * 60}{claim.subscriber_id}?a=1&b=2",
    )
    assert dispatch(ledgers(1), transport, mailing, now=clock).results == {"sent": 1}
    content = relay.taken[0].content
    assert isinstance(content, bytes)
    return content


class TestTheChecklist:
    def test_1_exactly_one_of_each_and_one_sender(self, received: bytes) -> None:
        counts = Counter(parse(received).keys())
        assert [counts[name] for name in headers.ONCE] == [1] * 6
        assert len(parse(received)["From"].addresses) == 1
        assert len(parse(received)["To"].addresses) == 1
        assert parse(received)["From"].addresses[0].display_name == "Müller, Timeline"

    def test_2_the_headers_we_mean_and_no_other(self, received: bytes) -> None:
        first = parse(received)
        assert first.keys() == NAMES
        assert parse(first.as_bytes()).keys() == NAMES
        assert re.search(rb"(?<!\r)\n|\r(?!\n)|[\x00\x80-\xff]", received) is None

    def test_3_lines_and_sizes(self, received: bytes) -> None:
        head, _, body = received.partition(b"\r\n\r\n")
        assert len(head) < 16 * 1024
        assert max(map(len, received.split(b"\r\n"))) <= 998
        assert max(map(len, body.split(b"\r\n"))) <= 76
        encoded = [line for line in head.split(b"\r\n") if b"=?" in line]
        assert len(encoded) > 2
        assert max(map(len, encoded)) <= 76

    def test_4_one_click(self, received: bytes) -> None:
        lines = received.split(b"\r\n")
        link = f"https://timeline.example/list/u/{'t' * 60}1?a=1&b=2"
        assert f"List-Unsubscribe: <{link}>".encode() in lines
        assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click" in lines

    def test_6_the_list_headers(self, received: bytes) -> None:
        message = parse(received)
        assert message["List-Id"] == "Milestones <milestones.timeline.example>"
        assert message["List-Archive"] == "<https://timeline.example/issues>"
        assert message["Feedback-ID"] == "7:milestones:news:timeline"
        assert "Auto-Submitted" not in message

    def test_7_what_a_signature_will_cover_is_there(self, received: bytes) -> None:
        signed = {
            "From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "List-Id",
            "List-Unsubscribe", "List-Unsubscribe-Post",
        }
        assert signed <= set(parse(received).keys())

    def test_10_one_recipient(self, relay: Any, received: bytes) -> None:
        assert relay.taken[0].recipients == [parse(received)["To"]]

    def test_11_the_link_in_both_parts(self, received: bytes) -> None:
        text, html = parts(received)
        link = f"https://timeline.example/list/u/{'t' * 60}1?a=1&b=2"
        assert f"Leave: {link}\n" in text
        assert html.count(link.replace("&", "&amp;")) == 2
        assert P not in received.decode("ascii")

    def test_12_nothing_but_what_the_variant_says(self, received: bytes) -> None:
        text, html = parts(received)
        assert text.startswith("Issue 7\n\nA loom that plays chess.\n")
        assert "From the archive\n.\n..dots\nŽivjo ✓ xxx" in text
        assert re.findall(r"https?://[^\"'/]+", html) == ["https://timeline.example"] * 2

    def test_the_subject_arrives_whole_on_one_line(self, received: bytes) -> None:
        expected = ("Größte Maschine der Welt — und A & B < C, sagt „die Presse“: " + "ein langer Titel " * 8).strip()
        assert parse(received)["Subject"] == expected

    def test_the_date_is_the_issues(self, received: bytes) -> None:
        assert b"Date: Mon, 23 Nov 2026 08:00:00 +0000\r\n" in received


def test_the_same_bytes_on_every_attempt(templates: Any) -> None:
    assert of(templates()) == of(templates())
    assert templates().content_hash == templates().content_hash
    assert templates().content_hash != templates(subject="Another").content_hash


def test_readers_differ_only_where_they_must(templates: Any) -> None:
    template: MessageTemplate = templates()
    one, two = (
        template.bytes_for(
            address=f"r{reader}@readers.example",
            unsubscribe_url=f"https://timeline.example/u/{tokens.make(KEY, handle=f'{reader:020}', list_id='l.eu')}",
            message_id=tokens.message_id(KEY, issue=1, reader=reader, domain="timeline.example"),
        ).split(b"\r\n")
        for reader in (1, 2)
    )
    assert len(one) == len(two)
    assert sum(a != b for a, b in zip(one, two, strict=True)) == 5  # To, Message-ID, List-Unsubscribe, and both parts


LINKS = [
    "https://t.example/u/A=B==", "https://t.example/u/" + "=" * 200, "https://t.example/u/" + "a" * 800, "http://[::1]:8/u",
]


@pytest.mark.parametrize("link", LINKS, ids=["padded", "all equals signs", "very long", "short"])
def test_any_link_survives_the_encoding(link: str, templates: Any) -> None:
    raw = of(templates(), link)
    assert max(map(len, raw.partition(b"\r\n\r\n")[2].split(b"\r\n"))) <= 76
    text, html = parts(raw)
    assert f"Leave: {link}\n" in text
    assert f'<a href="{link}">' in html
    assert f"List-Unsubscribe: <{link}>\r\n".encode() in raw


BAD = [
    {"address": "a@b.example, c@d.example"}, {"address": "a@b.example\r\nBcc: c@d.example"}, {"address": "ä@b.example"},
    {"address": ""}, {"unsubscribe_url": "https://t.example/u\r\nX: y"},
    {"unsubscribe_url": "https://t.example/>,<mailto:x"},
    {"unsubscribe_url": "javascript:alert(1)"}, {"unsubscribe_url": "https://t.example/ü"},
    {"unsubscribe_url": "https://t.example/" + "a" * 1000}, {"message_id": "no brackets"},
    {"message_id": "<a@b>\r\nX: y"}, {"message_id": "<a b@c>"},
]


@pytest.mark.parametrize("values", BAD, ids=[ascii(next(iter(bad.values())))[:30] for bad in BAD])
def test_values_that_would_be_more_than_one_are_refused(values: dict[str, str], templates: Any) -> None:
    good = {"address": "r@readers.example", "unsubscribe_url": LINK, "message_id": "<m@timeline.example>"}
    with pytest.raises(RenderError):
        templates().bytes_for(**(good | values))


HOSTILE = [
    ("a\r\nBcc: x@victims.example", "a Bcc: x@victims.example"),
    ("a\nb\vc\fd\x85e\u2028f\u2029g\x1ch", "a b c d e f g h"),
    ("=?utf-8?q?a=0D=0ABcc:_x@victims.example?=", "= ?utf-8?q?a=0D=0ABcc:_x@victims.example?="),
    ("=?utf-8?b?YQ==?= ü", "= ?utf-8?b?YQ== ?= ü"), ("nul\0 and bell\a", "nul and bell"), ("\ud800lone", "lone"),
    ("\u202egnp.exe", "gnp.exe"), ("  a \t b  ", "a b"), ("A" * 1_000_000, "A" * 249 + "…"), ("👩‍💻" * 100, None),
]


@pytest.mark.parametrize(("subject", "expected"), HOSTILE, ids=[ascii(subject)[:24] for subject, _ in HOSTILE])
def test_hostile_subjects_are_one_harmless_line(subject: str, expected: str | None, templates: Any) -> None:
    message = parse(of(templates(subject=subject)))
    assert "Bcc" not in message
    assert "\n" not in message["Subject"]
    if expected is not None:
        assert message["Subject"] == expected


@pytest.mark.parametrize("subject", ["", " \r\n", "\0"])
def test_an_empty_subject_is_refused(subject: str, templates: Any) -> None:
    with pytest.raises(RenderError, match="the subject is empty"):
        templates(subject=subject)


@pytest.mark.parametrize("part", ["html", "text"])
def test_a_part_without_a_way_out_is_refused(part: str, templates: Any) -> None:
    with pytest.raises(RenderError, match="no place for the unsubscribe link"):
        templates(**{part: "nothing to click"})


@pytest.mark.parametrize(
    "changes",
    [
        {"sender": Mailbox("", "no address")}, {"sender": Mailbox("", "a@b.example, c@d.example")},
        {"reply_to": Mailbox("", "x@y.example\r\nBcc: a@b.example")},
        {"list_id": "has space.example"}, {"list_id": "x>\r\nBcc: y"}, {"archive": "ftp://t.example/"},
    ],
    ids=lambda changes: ascii(next(iter(changes.values())))[:30],
)
def test_a_letterhead_that_makes_more_headers_is_refused(
    changes: dict[str, Any], variants: Any, letterheads: Any
) -> None:
    with pytest.raises(RenderError):
        MessageTemplate.build(variants(), letterhead=letterheads(**changes), date=DATE)


def test_a_naive_date_is_refused(variants: Any, letterheads: Any) -> None:
    with pytest.raises(ValueError, match="naive"):
        MessageTemplate.build(variants(), letterhead=letterheads(), date=dt.datetime(2026, 1, 1))  # noqa: DTZ001


NAMES_OF_PEOPLE = [
    "Timeline", "Zeitreise für KI", "Müller, Timeline", 'The "Loom" & friends', "C:\\timeline (daily)", "ציר הזמן",
    "الخط الزمني, اليوم", "👩‍💻 Looms ⏳", "時の流れ", "ﬁn d’été – “x”", "a, b; c: <d> @ e", "Ünïcode" * 30, "x" * 200,
    "y z " * 50,
    "'single' , .", "trailing\\", "e\u0301te\u0301", "Name =E2=9C=93 _underscored_", "% 100 ?= yes",
]


@pytest.mark.parametrize("name", NAMES_OF_PEOPLE, ids=lambda name: ascii(name)[:24])
def test_a_name_is_read_as_it_was_typed_in_every_header_that_carries_it(
    name: str, variants: Any, letterheads: Any
) -> None:
    letterhead = letterheads(
        sender=Mailbox(name, "news@timeline.example"), reply_to=Mailbox(name, "desk@timeline.example"), list_name=name
    )
    raw = of(MessageTemplate.build(variants(subject=name), letterhead=letterhead, date=DATE))

    message = parse(raw)
    words = " ".join(name.split())
    bare = {"From": "news@timeline.example", "Reply-To": "desk@timeline.example", "List-Id": LIST_ID}
    for header in bare:
        assert decoded(raw, header) == f"{words} <{bare[header]}>"
    assert decoded(raw, "Subject") == words
    assert [who.addr_spec for who in message["From"].addresses] == ["news@timeline.example"]
    assert max(map(len, raw.split(b"\r\n"))) <= 76 + 25


@pytest.mark.parametrize("header", ["From", "Reply-To", "List-Id"])
@pytest.mark.parametrize(
    "name", ["=?utf-8?q?Zeitreise_f=C3=BCr_KI?=", "=?utf-8?b?8J+Yig==?= looms", "long " * 60],
    ids=["encoded before", "encoded in part", "too long to be shown"],
)
def test_a_name_that_readers_would_see_otherwise_is_refused(
    name: str, header: str, variants: Any, letterheads: Any
) -> None:
    letterhead = {
        "From": letterheads(sender=Mailbox(name, "news@timeline.example")),
        "Reply-To": letterheads(reply_to=Mailbox(name, "desk@timeline.example")),
        "List-Id": letterheads(list_name=name),
    }[header]
    found = message_findings(variants(), letterhead=letterhead, date=DATE)
    assert len(found) == 1
    assert re.search(f"^{header} reads “.*” ?.*, and (mail.from|mail.reply_to|newsletter.name) says “", found[0])


MISREAD = [
    ("From", b"From: =?utf-8?q?M=C3=BCller?= <news@timeline.example>", "From reads “Müller <news@timeline.example>”"),
    ("From", b"From: Timeline <news@timeline.example>\r\nFrom: x@y.example", "”, “<x@y.example>”, and mail.from"),
    ("From", b"X: y", "From reads nothing, and mail.from says “Timeline <news@timeline.example>”"),
    ("From", b"From: Timeline <x@y.example>", "From reads “Timeline <x@y.example>”"),
    ("From", b"From: Time line, <news@timeline.example>", "From reads “Time line, <news@timeline.example>”"),
    ("Subject", b"Subject: =?utf-8?q?=3D=3Futf-8=3Fq=3FA=3F=3D?=", "Subject reads “=?utf-8?q?A?=”"),
    ("Subject", b"Subject: =?no-such?q?A?=", "Subject reads “=?no-such?q?A?=”"),
    ("Subject", b"Subject: =?utf-8?b?YWJjZ?=", "Subject reads “=?utf-8?b?YWJjZ?="),
    ("Subject", b"Subject: =?utf-8?q?=FF=FE?=", "Subject reads “"),
    ("List-Id", b"List-Id: Other <milestones.timeline.example>", "List-Id reads “Other <milestones"),
]


@pytest.mark.parametrize(("header", "line", "says"), MISREAD, ids=[ascii(line)[:40] for _, line, _ in MISREAD])
def test_what_a_program_would_read_otherwise_is_told(header: str, line: bytes, says: str) -> None:
    meant = {
        "From": Meant(words="Timeline", bare="news@timeline.example", setting="mail.from"),
        "Subject": Meant(words="A loom that plays chess", setting="the issue's subject"),
        "List-Id": Meant(words="Milestones", bare=LIST_ID, setting="newsletter.name"),
    }
    [found] = misread_headers(line + b"\r\n\r\nbody", {header: meant[header]})
    assert says in found


def test_what_is_read_as_meant_is_no_finding() -> None:
    raw = b"From: =?utf-8?q?M=C3=BCller=2C?=\r\n =?utf-8?q?_Timeline?=\r\n <news@timeline.example>\r\n\r\n"
    meant = {"From": Meant(words="Müller, Timeline", bare="news@timeline.example", setting="mail.from")}
    assert misread_headers(raw, meant) == []


@pytest.mark.parametrize("name", ["Bcc", "X-Mailer", "Subject\r\nBcc", ""])
def test_only_our_headers_can_be_made(name: str) -> None:
    with pytest.raises(RenderError):
        headers.line(name, "value")


@pytest.mark.parametrize("value", ["a\r\nBcc: b", "a\nb", "a\rb", "a\0b", "ü", "a\r\n \r\nb", "a" * 1000])
def test_only_folded_ascii_lines_can_be_made(value: str) -> None:
    with pytest.raises(RenderError):
        headers.line("Subject", value)


ANY = st.text(st.characters(exclude_categories=()), max_size=200)
PIECES = ("=?utf-8?q?", "=0D=0A", "?=", "\r\n", "Bcc: x@victims.example", "\0", " ", "ü", '"', "<", ">", ",")
NASTY = st.one_of(ANY, st.lists(st.sampled_from(PIECES)).map("".join))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(NASTY, NASTY, NASTY, NASTY, NASTY)
def test_any_text_in_any_field_gives_a_mail_with_our_headers(
    subject: str, text: str, html: str, name: str, display: str
) -> None:
    variant = Variant(
        name="all", subject=f"s{subject}", text=f"{text}{P}{text}", html=f"{html}\n{P}", placeholder=P,
    )
    letterhead = Letterhead(
        sender=Mailbox(display, "news@timeline.example"), list_id="l.timeline.example", list_name=name
    )
    if "=?" in headers.legible(display) + "\n" + headers.legible(name):
        with pytest.raises(RenderError, match=" reads "):  # a name that programs would decode is no name
            MessageTemplate.build(variant, letterhead=letterhead, date=DATE)
        return
    raw = of(MessageTemplate.build(variant, letterhead=letterhead, date=DATE))
    message = parse(raw)
    expected = [one for one in NAMES if one not in ("Reply-To", "List-Archive", "Feedback-ID")]
    assert message.keys() == expected
    assert parse(message.as_bytes()).keys() == expected
    assert re.search(rb"(?<!\r)\n|\r(?!\n)|[\x00\x80-\xff]", raw) is None
    assert max(map(len, raw.split(b"\r\n"))) <= 76 + 25
    assert message["Subject"] == headers.one_line(f"s{subject}")
    plain = next(iter(message.iter_parts()))
    clean = text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode()
    assert plain.get_payload(decode=True) == f"{clean}{LINK}{clean}".replace("\n", "\r\n").encode()


@given(st.text(alphabet="aF.=/-%3D", min_size=60, max_size=240))
def test_a_long_link_is_cut_as_the_body_is_encoded(path: str) -> None:
    url = f"https://news.example/{path}"
    assert quoted.value(url) == quoted.encode(url)


def octet_by_octet(text: str) -> bytes:
    """Quoted-printable as RFC 2045 §6.7 says it, and as it has been sent: a retry sends the same bytes."""
    lines: list[bytes] = []
    for row in re.split(rb"\r\n|\r|\n", text.encode("utf-8", "replace")):
        short = [b""]
        for at, octet in enumerate(row):
            plain = (33 <= octet <= 126 and octet != 61) or (octet == 32 and at < len(row) - 1)
            token = bytes([octet]) if plain else b"=%02X" % octet
            if len(short[-1]) + len(token) > 75:
                short.append(b"")
            short[-1] += token if short[-1] or octet not in b".F" else b"=%02X" % octet
        lines.append(b"=\r\n".join(short))
    return b"\r\n".join(lines)


@settings(max_examples=400, deadline=None)
@given(st.text(
    st.one_of(st.sampled_from(" \t\n\r=.Faé漢🦉~\x0b\x85"), st.characters(exclude_categories=())), max_size=300
))
def test_a_body_is_written_as_it_always_was(text: str) -> None:
    assert quoted.encode(text) == octet_by_octet(text)


@pytest.mark.parametrize("before", range(68, 78))
@pytest.mark.parametrize("then", ["=", "é", ".", "F", " ", " \n", "漢.", "= .", "\t"])
def test_a_line_is_cut_in_the_same_places(before: int, then: str) -> None:
    for text in ("x" * before + then, "x" * before + then + "y" * 80 + then):
        assert quoted.encode(text) == octet_by_octet(text)


@pytest.mark.parametrize(("old", "new", "said"), [
    (b"\r\nMIME-Version", b"\nMIME-Version", "a bare line end or something beyond ASCII"),
    (b"\r\nMIME-Version", b"\r\rMIME-Version", "a bare line end"),
    (b"quoted-printable\r\n\r\n", b"quoted-printable\r\n\r\na\0", "something beyond ASCII"),
    (b"quoted-printable\r\n\r\n", b"quoted-printable\r\n\r\n\xe9", "something beyond ASCII"),
    (b"quoted-printable\r\n\r\n", b"quoted-printable\r\n\r\n.\r\n", "a line begins with a dot"),
    (b"From: ", b".From: ", "a line begins with a dot"),
    (b"quoted-printable\r\n\r\n", b"quoted-printable\r\n\r\n" + b"x" * 80, "a line of the body is longer"),
    (b"MIME-Version", b"X-Pad: " + b"\r\n ".join([b"x" * 60] * 2000) + b"\r\nMIME-Version", "the headers take"),
    (b"MIME-Version: 1.0", b"X-Other: 1\r\nMIME-Version: 1.0", "the headers are not the ones we send"),
    (b"MIME-Version: 1.0", b"MIME-Version: 1.0\r\nMIME-Version: 1.0", "the headers are not the ones we send"),
    (b"MIME-Version: 1.0\r\n", b"", "the headers are not the ones we send"),
    pytest.param(
        b"MIME-Version: 1.0", b"MIME-Version: 1.0\x0bX-Other: 1", "would see other headers than we wrote",
        marks=pytest.mark.skipif(
            parse(parse(b"MIME-Version: 1.0\x0bX-Other: 1\r\n\r\n").as_bytes()).keys() == ["MIME-Version"],
            reason="to this email package a vertical tab ends no line",
        ),
    ),
    (b"Subject: ", b"Subject: Not ", "Subject reads"),
    (b"text/plain", b"text/other", "does not parse into its two parts"),
])
def test_a_message_that_was_not_written_as_it_was_meant_is_none(
    variants: Any, letterheads: Any, old: bytes, new: bytes, said: str
) -> None:
    variant, letterhead = variants(), letterheads()
    good = MessageTemplate.build(variant, letterhead=letterhead, date=DATE)
    good.verify(variant, letterhead, DATE)
    at, piece = next(
        (at, one) for at, one in enumerate(good._pieces) if isinstance(one, bytes) and old in one
    )
    broken = [*good._pieces[:at], piece.replace(old, new, 1), *good._pieces[at + 1:]]
    with pytest.raises(RenderError, match=said):
        MessageTemplate("all", tuple(broken)).verify(variant, letterhead, DATE)
