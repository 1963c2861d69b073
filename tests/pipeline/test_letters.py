"""Letters on their way: who gets one, what it says, and that none is lost or sent twice while the relay has trouble."""

import datetime as dt
import email
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import dkim
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from delivery.checks.mail_domain import MailDomains
from delivery.smtp.replies import GIVE_UP, backoff
from milepost.errors import StoreError
from milepost.settings import Settings, parse
from newsletter.words.languages import CATALOGUES
from pipeline.bounces import read_bounces
from pipeline.letters import TRIES, decide, send_letters, standing, work_off
from pipeline.own_page import OwnPage
from pipeline.sign_up import Asked, Repeats, SigningUp
from pipeline.subscribers import show
from store.database import Database, connect
from store.ledger.letters import Letters, Taken
from store.meta import Meta
from store.subscribers.address_changes import AddressChanges
from store.subscribers.events import By
from store.subscribers.people import Subscribers
from store.subscribers.sign_ups import SignUps
from store.subscribers.suppressions import Suppressions
from tests.delivery.misbehaving_relay import DROP, Relay
from tests.new_database import new_database

NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)
ADA = "ada@readers.example"
US = By(who="an operator", why="they asked")


@pytest.fixture
def relay() -> Iterator[Relay]:
    running = Relay()
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def make_settings(relay: Relay, tmp_path: Path) -> Callable[..., Settings]:
    def make(**more: Any) -> Settings:
        sections: dict[str, Any] = {
            "store": {"url": f"sqlite:///{tmp_path}/milepost.db"},
            "mail": {"url": f"smtp://127.0.0.1:{relay.port}", "from": "Clockwork <news@clockwork.example>",
                     "postal_address": "1 Escapement Row, Exampletown"},
            "newsletter": {"name": "Clockwork", "cadences": ["instant", "weekly"]},
            "web": {"base_url": "https://news.clockwork.example"},
        }
        return parse({name: section | more.get(name, {}) for name, section in sections.items()})

    return make


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings()


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    with connect(new_database(settings.store.url)) as opened:
        yield opened


def ask(settings: Settings, database: Database, address: str = ADA, now: dt.datetime = NOW, **more: Any) -> None:
    SigningUp(settings, database).ask(Asked(address=address, cadence="weekly", host="192.0.2.7", **more), now)


def send(settings: Settings, database: Database, now: dt.datetime = NOW) -> Any:
    return send_letters(settings, database, now=lambda: now)


def mails(relay: Relay) -> list[EmailMessage]:
    return [cast("EmailMessage", email.message_from_bytes(one.content, policy=policy.SMTP)) for one in relay.taken]


def text(mail: EmailMessage, kind: str = "plain") -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def entry(database: Database, address: str = ADA) -> Any:
    return SignUps(database).of(address)


def confirm(settings: Settings, database: Database, now: dt.datetime = NOW) -> Any:
    return SigningUp(settings, database).confirm(entry(database).name, "192.0.2.9", now)


def test_the_mail_asks_and_its_link_is_the_sign_up_s(settings: Settings, database: Database, relay: Relay) -> None:
    ask(settings, database)
    assert send(settings, database).sent == 1
    [mail] = mails(relay)
    link = f"https://news.clockwork.example/c/{entry(database).name}"
    assert (mail["To"], mail["Subject"], mail["Auto-Submitted"]) == (ADA, "Please confirm: Clockwork", "auto-generated")
    assert "List-Unsubscribe" not in mail  # no program may press the button
    assert mail["List-Id"] == "Clockwork <news.clockwork.example>"
    assert text(mail).count(link) == 1
    assert f'href="{link}"' in text(mail, "html")
    assert "every week" in text(mail)
    linked = set(re.findall(r'(?:href|src|background)="([^"]*)"', text(mail, "html")))
    assert linked == {link}  # nothing is loaded, nothing else is linked


def test_nothing_that_a_stranger_typed_is_in_it(settings: Settings, database: Database, relay: Relay) -> None:
    ask(settings, database, source="BUY-GOLD https://evil.example", variant="BUY-GOLD", path="/BUY-GOLD")
    send(settings, database)
    raw = relay.taken[0].content
    assert b"GOLD" not in raw
    assert b"evil" not in raw
    [mail] = mails(relay)
    assert "GOLD" not in text(mail) + text(mail, "html")


@pytest.mark.parametrize("kept", [None, "he"])
def test_what_asks_is_in_the_language_of_its_form_and_a_welcome_in_the_reader_s(
    settings: Settings, database: Database, relay: Relay, kept: str | None
) -> None:
    if kept:
        people = Subscribers(database)
        people.set_choice(people.add(ADA, state="unsubscribed", now=NOW)[0].id, language=kept, now=NOW)
    ask(settings, database, own_form=True, language="de")
    send(settings, database)
    work_off(settings, database, now=lambda: NOW + DAY)
    confirm(settings, database, NOW + DAY)
    ask(settings, database, own_form=True, language="he", now=NOW + DAY)  # not confirmed: it counts for nothing yet
    send(settings, database, NOW + DAY)
    subjects = [one["Subject"] for one in mails(relay)]
    german, hebrew = CATALOGUES["de"], CATALOGUES["he"]
    assert subjects == [words.format(name="Clockwork") for words in (
        german.letter_confirm, german.letter_remind, CATALOGUES[kept or "de"].letter_welcome, hebrew.letter_confirm
    )]


def test_who_comes_by_another_site_s_form_is_asked_in_their_own(
    settings: Settings, database: Database, relay: Relay
) -> None:
    people = Subscribers(database)
    people.set_choice(people.add(ADA, state="unsubscribed", now=NOW)[0].id, language="he", now=NOW)
    ask(settings, database)
    ask(settings, database, "ben@readers.example")
    send(settings, database)
    assert [one["Subject"] for one in mails(relay)] == [
        CATALOGUES[tag].letter_confirm.format(name="Clockwork") for tag in ("he", "en")
    ]


@pytest.mark.parametrize("language", ["en", "de", "he"])
def test_every_letter_is_written_in_every_language_and_signed(
    make_settings: Callable[..., Settings], database: Database, relay: Relay, tmp_path: Path, language: str
) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (tmp_path / "dkim.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))
    settings = make_settings(newsletter={"language": language}, mail={"dkim_key_file": str(tmp_path / "dkim.pem")})
    ask(settings, database)
    send(settings, database)
    work_off(settings, database, now=lambda: NOW + DAY)
    confirm(settings, database, NOW + DAY)
    send(settings, database, NOW + DAY)
    words = CATALOGUES[language]
    assert [mail["Subject"] for mail in mails(relay)] == [
        form.format(name="Clockwork") for form in (words.letter_confirm, words.letter_remind, words.letter_welcome)
    ]
    record = b"v=DKIM1; k=rsa; p=" + b"".join(key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).splitlines()[1:-1])
    for one in relay.taken:
        assert dkim.verify(one.content.rstrip(b"\r\n") + b"\r\n", dnsfunc=lambda *_, **__: record)
    for mail in mails(relay):
        assert f'lang="{language}"' in text(mail, "html")


def test_the_welcome_has_the_way_out(settings: Settings, database: Database, relay: Relay) -> None:
    ask(settings, database)
    send(settings, database)
    confirm(settings, database)
    send(settings, database)
    welcome = mails(relay)[1]
    link = welcome["List-Unsubscribe"].strip("<>")
    assert link.startswith("https://news.clockwork.example/u/")
    assert welcome["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "Auto-Submitted" not in welcome
    assert f"{link}/preferences" in text(welcome)
    assert link in text(welcome).splitlines()


def test_a_welcome_can_be_left_out(
    make_settings: Callable[..., Settings], database: Database
) -> None:
    settings = make_settings(web={"welcome": False})
    ask(settings, database)
    confirm(settings, database)
    assert send(settings, database).sent == 0


class TestWhoGetsOne:
    @pytest.mark.parametrize(("state", "reason", "goes"), [
        ("new", None, True), ("pending", None, True), ("active", None, True), ("unsubscribed", None, True),
        ("active", "550 5.1.1", True), ("unsubscribed", "3 soft bounces", True), ("unsubscribed", "complaint", False),
        ("new", "by an operator: no", False), ("new", "erased", False),
    ])
    def test_whoever_may_come_back_by_it(
        self, settings: Settings, database: Database, relay: Relay, state: Any, reason: str | None, goes: bool
    ) -> None:
        if state != "new":
            Subscribers(database).add(ADA, state=state, now=NOW)
        if reason is not None:
            Suppressions(database).add(ADA, reason, NOW)
        ask(settings, database)
        done = send(settings, database)
        assert (done.sent, done.dropped) == ((1, 0) if goes else (0, 1))
        assert len(relay.taken) == done.sent

    def test_a_victim_who_answers_nothing_is_left_in_peace(
        self, settings: Settings, database: Database, relay: Relay
    ) -> None:
        for day in range(20):
            for _ in range(5):
                ask(settings, database, now=NOW + day * DAY)
            send(settings, database, NOW + day * DAY)
        assert len(relay.taken) == TRIES
        assert standing(database, NOW, limit=1).letters[0].why == f"{TRIES} in a month went unanswered"
        ask(settings, database, now=NOW + 40 * DAY)  # a month is over: they may have changed their mind
        assert send(settings, database, NOW + 40 * DAY).sent == 1

    def test_whoever_answered_is_reminded_however_often_they_come(
        self, settings: Settings, database: Database, relay: Relay
    ) -> None:
        for again in range(TRIES + 1):
            asked = NOW + 2 * again * DAY
            ask(settings, database, now=asked)
            send(settings, database, asked)
            assert work_off(settings, database, now=lambda: asked + DAY).sent == 1, again  # noqa: B023 (asked at once)
            Subscribers(database).leave(confirm(settings, database, asked + DAY).subscriber, asked + DAY)
            send(settings, database, asked + DAY)  # the welcome, to nobody
        reminders = [mail for mail in mails(relay) if mail["Subject"].startswith("Still waiting")]
        assert len(reminders) == TRIES + 1

    def test_the_same_person_in_another_spelling_is_one(
        self, settings: Settings, database: Database, relay: Relay
    ) -> None:
        for address in ("ada@bücher.example", "ADA@xn--bcher-kva.example", "Ada@BÜCHER.example"):
            ask(settings, database, address)
        assert send(settings, database).sent == 1
        assert relay.taken[0].recipients[0].lower() == "ada@xn--bcher-kva.example"

    def test_a_letter_that_came_too_late_says_why(self) -> None:
        letter = Taken(
            id=1, kind="confirm", address=ADA, lease="l", attempts=0, queued_at=NOW, name="n", confirmed=True,
            form="site", cadence="weekly", topics=(), reader="00" * 10, state="active", suppressed=None, sent_before=0,
        )
        assert decide(letter, NOW) == "is confirmed already"
        move = replace(letter, kind="move", change="n", change_open=True)
        assert decide(replace(move, sent_before=TRIES - 1), NOW) is None
        assert decide(replace(move, sent_before=TRIES), NOW) == f"{TRIES} in a month went unanswered"
        goodbye = replace(letter, kind="goodbye", state="unsubscribed", left_at=NOW)
        assert decide(goodbye, NOW) is None
        assert decide(replace(goodbye, left_at=None), NOW) == "never was a reader"  # no link brings them back

    @pytest.mark.parametrize(("own_form", "sent"), [(False, 0), (True, 1)])
    def test_a_domain_without_mail_gets_none_unless_our_own_page_has_asked_back(
        self, settings: Settings, database: Database, relay: Relay, own_form: bool, sent: int
    ) -> None:
        class Nothing:
            def lookup(self, name: str, kind: str) -> list[str]:
                return []

        ask(settings, database, "ada@looms.tld", own_form=own_form)
        domains = MailDomains(Nothing)
        done = send_letters(settings, database, now=lambda: NOW, domains=domains)
        assert (done.sent, done.dropped) == (sent, 1 - sent)
        assert sent or "takes no mail" in standing(database, NOW, limit=1).letters[0].why


    def test_whoever_answers_may_leave_and_come_back_as_often_as_they_like(
        self, settings: Settings, database: Database, relay: Relay
    ) -> None:
        for again in range(TRIES + 2):  # all on one day
            now = NOW + again * MINUTE
            ask(settings, database, now=now)
            assert send(settings, database, now).sent >= 1
            done = confirm(settings, database, now)
            assert done.ended == "confirmed"
            Subscribers(database).leave(done.subscriber, now)
        ask(settings, database, now=NOW + 10 * MINUTE)
        ask(settings, database, now=NOW + 11 * MINUTE)  # a stranger can't have more than one sent
        send(settings, database, NOW + 12 * MINUTE)
        asks = [mail for mail in mails(relay) if mail["Subject"].startswith("Please confirm")]
        assert len(asks) == TRIES + 3


class TestTrouble:
    def test_a_relay_that_is_not_there_costs_no_sign_up(
        self, settings: Settings, database: Database, relay: Relay, make_settings: Callable[..., Settings]
    ) -> None:
        nowhere = make_settings(mail={"url": "smtp://127.0.0.1:9"})
        for name in ("ada", "grace", "zoe"):
            ask(nowhere, database, f"{name}@readers.example")
        away = send(nowhere, database)
        assert (away.sent, away.waiting) == (0, 3)
        assert "127.0.0.1:9" in away.why
        assert [one.attempts for one in standing(database, NOW, limit=9).letters] == [0, 0, 1]  # one of them was tried
        assert send(settings, database).sent == 0  # not yet
        assert send(settings, database, NOW + 6 * MINUTE).sent == 3

    @pytest.mark.parametrize("verb", ["connect", "mail", "rcpt", "data", "dot"])
    def test_a_refusal_that_may_pass_is_tried_again(
        self, settings: Settings, database: Database, relay: Relay, verb: str
    ) -> None:
        ask(settings, database)
        relay.fault(verb, None, "451 4.3.0 not now")
        assert send(settings, database).waiting == 1
        assert send(settings, database, NOW + 10 * MINUTE).sent == 1
        assert len(relay.taken) == 1

    def test_it_is_tried_again_soon_then_as_an_issue_is_and_given_up_after_72_hours(
        self, settings: Settings, database: Database, relay: Relay
    ) -> None:
        ask(settings, database)
        waits, now = list[float](), NOW
        while len(waits) < 4:
            relay.fault("rcpt", None, "451 4.3.0 not now")
            done = send(settings, database, now)
            waits.append((done.next_due - now).total_seconds())
            now = done.next_due
        issues = [backoff(attempts, f"letter {standing(database, now, limit=1).letters[0].id}")
                  for attempts in range(4)]
        assert max(waits[:2]) < 3 * MINUTE.total_seconds()  # somebody waits for it
        assert waits[2:] == pytest.approx(issues[2:])
        relay.fault("rcpt", None, "451 4.3.0 not now")
        assert send(settings, database, NOW + GIVE_UP - MINUTE).waiting == 1
        relay.fault("rcpt", None, "451 4.3.0 not now")
        assert send(settings, database, NOW + GIVE_UP + 4 * HOUR).failed == 1
        assert standing(database, now, limit=1).letters[0].why.startswith("given up after 72 h; the last answer: 451")

    def test_an_answer_that_was_lost_brings_the_same_mail_again(
        self, settings: Settings, database: Database, relay: Relay
    ) -> None:
        ask(settings, database)
        relay.fault("dot", None, DROP)
        assert send(settings, database).waiting == 1
        assert send(settings, database, NOW + 10 * MINUTE).sent == 1
        assert len({one.content for one in relay.taken}) == 1  # byte for byte, Message-ID and all

    def test_one_address_that_is_none_stops_nobody(
        self, settings: Settings, database: Database, relay: Relay
    ) -> None:
        ask(settings, database, "gone@readers.example")
        ask(settings, database)
        relay.fault("rcpt", None, "550 5.1.1 no such user")
        done = send(settings, database)
        assert (done.sent, done.failed) == (1, 1)
        assert Suppressions(database).list() == []  # a stranger typed it: it proves nothing about a reader

    def test_a_refusal_of_us_ends_the_round_and_costs_nobody(
        self, settings: Settings, database: Database, relay: Relay
    ) -> None:
        for name in ("ada", "grace", "zoe"):
            ask(settings, database, f"{name}@readers.example")
        relay.fault("mail", None, "530 5.7.0 authentication required")
        done = send(settings, database)
        assert (done.sent, done.failed, done.waiting) == (0, 0, 3)
        assert "refuses us" in done.why
        assert send(settings, database, NOW + 10 * MINUTE).sent == 3

    def test_two_senders_at_once_send_each_once(self, settings: Settings, database: Database, relay: Relay) -> None:
        ask(settings, database)
        relay.before_answer = lambda _: send(settings, database)  # another process, while this one waits for its 250
        assert send(settings, database).sent == 1
        assert len(relay.taken) == 1

    def test_more_than_an_hour_may_send_wait_their_turn(
        self, make_settings: Callable[..., Settings], database: Database, relay: Relay, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings = make_settings(web={"signup_per_hour": 2})
        for name in ("ada", "grace", "zoe"):
            ask(settings, database, f"{name}@readers.example")
        assert send(settings, database).sent == 2
        assert "web.signup_per_hour" in caplog.text
        assert confirm(settings, database, NOW + MINUTE).ended == "confirmed"
        assert send(settings, database, NOW + 6 * MINUTE).sent == 1  # a welcome, which that number is not about
        assert send(settings, database, NOW + 30 * MINUTE).sent == 0
        assert send(settings, database, NOW + 61 * MINUTE).sent == 1

    def test_what_is_refused_is_counted_and_told(
        self, make_settings: Callable[..., Settings], database: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings = make_settings(web={"signup_per_network": 1})
        door = SigningUp(settings, database)
        for name in ("ada", "grace", "zoe"):
            door.ask(Asked(address=f"{name}@readers.example", host="192.0.2.7"), NOW)
        assert standing(database, NOW, limit=9).sign_ups == {"network": 2, "taken": 1}
        assert caplog.text.count("web.signup_per_network") == 1  # not a line for each


@pytest.mark.parametrize("there", ["nobody", "active", "unsubscribed", "complained", "erased"])
def test_a_flood_on_one_address_is_a_few_writes_and_one_mail_whoever_s_it_is(
    settings: Settings, database: Database, relay: Relay, there: str
) -> None:
    if there in ("active", "unsubscribed", "erased"):
        Subscribers(database).add(ADA, state="unsubscribed" if there == "unsubscribed" else "active", now=NOW)
    if there == "complained":
        Suppressions(database).add(ADA, "complaint", NOW)
    if there == "erased":
        Subscribers(database).erase(ADA, US, NOW)
    Meta(database).address_key()  # made once
    door, writes = SigningUp(settings, database), list[int]()
    sa.event.listen(database.engine, "commit", lambda _: writes.append(1))
    told = []
    for second in range(50):
        before = len(writes)
        now = NOW + second * dt.timedelta(seconds=1)
        assert door.ask(Asked(address=ADA.title() if second % 2 else ADA, host=f"192.0.{second}.7"), now)
        told.append(len(writes) - before)
    assert (told[: Repeats.MOST], sum(told[Repeats.MOST :])) == ([1] * Repeats.MOST, 5)  # those are counted together
    assert door.ask(Asked(address=ADA), NOW + MINUTE)
    assert entry(database).asked == Repeats.MOST + 1
    assert standing(database, NOW, limit=1).sign_ups == {"repeated": 45, "taken": Repeats.MOST + 1}
    send(settings, database, NOW + MINUTE)
    assert len(relay.taken) == (there not in ("complained", "erased"))


def test_who_was_told_to_come_again_is_heard_then(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    door, take_in = SigningUp(settings, database), SignUps.ask
    monkeypatch.setattr(SignUps, "ask", Mock(side_effect=StoreError("the database is locked by another program")))
    for _ in range(2 * Repeats.MOST):
        with pytest.raises(StoreError):
            door.ask(Asked(address=ADA), NOW)
    monkeypatch.setattr(SignUps, "ask", take_in)
    assert door.ask(Asked(address=ADA), NOW)
    assert entry(database).asked == 1


def test_what_a_limit_keeps_out_keeps_nobody_else_out(
    make_settings: Callable[..., Settings], database: Database
) -> None:
    door = SigningUp(make_settings(web={"signup_per_network": 1}), database)
    door.ask(Asked(address="grace@readers.example", host="192.0.2.7"), NOW)
    for _ in range(2 * Repeats.MOST):
        door.ask(Asked(address=ADA, host="192.0.2.7"), NOW)
    door.ask(Asked(address=ADA, host="198.51.100.7"), NOW)
    assert entry(database).asked == 1


def test_whom_a_flood_is_about_is_remembered_for_a_minute_and_never_more_than_so_many() -> None:
    repeats = Repeats()
    assert [repeats.too_many("ada", NOW) for _ in range(Repeats.MOST + 1)][-2:] == [False, True]
    assert not repeats.too_many("ben", NOW)
    assert not repeats.too_many("ada", NOW + Repeats.MINUTE)
    for number in range(20_000):
        repeats.too_many(str(number), NOW)
    assert len(repeats) == 10_000


def test_whoever_left_returns_by_the_mail_and_erasing_stays(
    settings: Settings, database: Database, relay: Relay
) -> None:
    ask(settings, database)
    send(settings, database)
    reader = confirm(settings, database).subscriber
    Subscribers(database).leave(reader, NOW)
    ask(settings, database, now=NOW + DAY)
    send(settings, database, NOW + DAY)
    assert confirm(settings, database, NOW + DAY).ended == "confirmed"
    assert Subscribers(database).get(reader).state == "active"
    Subscribers(database).erase(ADA, US, NOW + DAY)
    ask(settings, database, now=NOW + 2 * DAY)
    before = len(relay.taken)
    send(settings, database, NOW + 2 * DAY)
    assert len(relay.taken) == before
    assert ADA not in {one.address for one in Letters(database).list(limit=99) if one.state != "dropped"}


REPORT = """\
From: MAILER-DAEMON@relay.example
To: {to}
Content-Type: multipart/report; report-type={kind}; boundary=b

--b
Content-Type: message/{kind}

{said}
--b
Content-Type: text/rfc822-headers

Message-ID: {message_id}
--b--
"""
GONE = """\
Reporting-MTA: dns; relay.example

Final-Recipient: rfc822; x@y.example
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user
"""
ABUSE = "Feedback-Type: abuse\n"


class TestWhatComesBack:
    @pytest.fixture
    def bouncing(self, make_settings: Callable[..., Settings]) -> Settings:
        return make_settings(mail={"bounce_domain": "bounce.clockwork.example"})

    @staticmethod
    def comes_back(
        settings: Settings, database: Database, folder: Path, *, to: str = "bounces@clockwork.example",
        message_id: str = "<x@elsewhere.example>", said: str = GONE, kind: str = "delivery-status",
    ) -> dict[str, int]:
        for part in ("new", "cur", "tmp"):
            (folder / "in" / part).mkdir(parents=True, exist_ok=True)
        text = REPORT.format(to=to, kind=kind, said=said, message_id=message_id)
        (folder / "in" / "new" / "1").write_text(text)
        return dict(read_bounces(settings, database, "maildir:///in", now=NOW + MINUTE, folder=folder).results)

    def test_a_dead_address_ends_its_sign_up_and_the_list_says_why(
        self, bouncing: Settings, database: Database, relay: Relay, tmp_path: Path
    ) -> None:
        ask(bouncing, database)
        send(bouncing, database)
        sender = relay.taken[0].sender
        assert sender.startswith("bounces+letter-")
        assert sender.endswith("@bounce.clockwork.example")
        assert self.comes_back(bouncing, database, tmp_path, to=sender) == {"ended": 1}
        assert entry(database) is None
        [letter] = standing(database, NOW, limit=9).letters
        assert (letter.state, letter.came_back) == ("sent", "hard 5.1.1 smtp; 550 5.1.1 no such user")
        assert Suppressions(database).list() == []  # a stranger typed it, and it is nobody's
        assert self.comes_back(bouncing, database, tmp_path, to=sender) == {"seen": 1}
        assert work_off(bouncing, database, now=lambda: NOW + DAY).sent == 0  # nothing is left to be reminded of

    @pytest.mark.parametrize("said", [GONE, GONE.replace("5.1.1", "4.2.2").replace("550", "452")])
    def test_a_change_of_address_ends_with_the_letter_that_reached_nobody(
        self, bouncing: Settings, database: Database, relay: Relay, tmp_path: Path, said: str
    ) -> None:
        page, who = OwnPage(bouncing, database), Subscribers(database).add(ADA, now=NOW)[0]
        page.ask_move(who.id, "ada@looms.example", language="en", host=None, now=NOW)
        send(bouncing, database)
        [change] = AddressChanges(database).of(who.id)
        done = self.comes_back(bouncing, database, tmp_path, to=relay.taken[0].sender, said=said)
        [letter] = standing(database, NOW, limit=9).letters
        gone = said == GONE
        assert done == ({"ended": 1} if gone else {"counted": 1})
        assert letter.came_back.endswith("the change of address is ended") == gone
        assert page.move(change.name, NOW + MINUTE) == ("unknown" if gone else "moved")
        assert [one.action for one in Suppressions(database).history(ADA)] == ([] if gone else ["moved_away"])

    def test_a_report_that_comes_after_its_answer_ends_no_change_of_address(
        self, bouncing: Settings, database: Database, relay: Relay, tmp_path: Path
    ) -> None:
        page, who = OwnPage(bouncing, database), Subscribers(database).add(ADA, now=NOW)[0]
        page.ask_move(who.id, "ada@looms.example", language="en", host=None, now=NOW)
        send(bouncing, database)
        [change] = AddressChanges(database).of(who.id)
        assert page.move(change.name, NOW) == "moved"
        self.comes_back(bouncing, database, tmp_path, to=relay.taken[0].sender)
        assert [one.undone_at for one in AddressChanges(database).of(who.id)] == [None]
        assert page.move(change.name, NOW + MINUTE) == "again"

    def test_one_that_its_server_refuses_for_good_ends_it_too(
        self, settings: Settings, database: Database, relay: Relay
    ) -> None:
        relay.fault("rcpt", None, "550 5.1.1 no such user")
        page, who = OwnPage(settings, database), Subscribers(database).add(ADA, now=NOW)[0]
        page.ask_move(who.id, "ada@looms.example", language="en", host=None, now=NOW)
        assert send(settings, database).failed == 1
        [letter] = standing(database, NOW, limit=9).letters
        assert letter.why == "550 5.1.1 no such user; the change of address is ended"
        [change] = AddressChanges(database).of(who.id)
        assert page.move(change.name, NOW) == "unknown"

    def test_it_is_known_by_its_message_id_where_bounces_have_no_domain(
        self, settings: Settings, database: Database, relay: Relay, tmp_path: Path
    ) -> None:
        ask(settings, database)
        send(settings, database)
        [mail] = mails(relay)
        assert self.comes_back(settings, database, tmp_path, message_id=mail["Message-ID"]) == {"ended": 1}

    def test_of_many_letters_the_one_to_that_address_is_looked_up_alone(
        self, settings: Settings, database: Database, relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Robots sign up thousands of addresses that don't exist: each comes back, and names none of the others."""
        ask(settings, database)
        send(settings, database)
        [mail] = mails(relay)
        asked: list[str | None] = []
        sent = Letters.sent

        def watched(self: Letters, since: dt.datetime, *, to: str | None = None) -> dict[int, str]:
            asked.append(to)
            return sent(self, since, to=to)

        monkeypatch.setattr(Letters, "sent", watched)
        said = GONE.replace("x@y.example", ADA)
        came_to = self.comes_back(settings, database, tmp_path, message_id=mail["Message-ID"], said=said)
        assert came_to == {"ended": 1}
        assert asked == [ADA]

    def test_a_forged_one_ends_nothing(
        self, bouncing: Settings, database: Database, relay: Relay, tmp_path: Path
    ) -> None:
        ask(bouncing, database)
        send(bouncing, database)
        forged = relay.taken[0].sender.replace("letter-", "letter-1")
        assert self.comes_back(bouncing, database, tmp_path, to=forged) == {"forged": 1}
        assert entry(database) is not None

    def test_a_welcome_that_came_back_counts_for_the_reader(
        self, bouncing: Settings, database: Database, relay: Relay, tmp_path: Path
    ) -> None:
        ask(bouncing, database)
        send(bouncing, database)
        confirm(bouncing, database)
        send(bouncing, database)
        welcome = mails(relay)[1]
        assert "mailto:bounces+leave-" in welcome["List-Unsubscribe"]
        assert self.comes_back(bouncing, database, tmp_path, to=relay.taken[1].sender) == {"suppressed": 1}
        [listed] = Suppressions(database).list()
        assert (listed.normalized, listed.reason) == (ADA, "bounce 5.1.1")

    def test_whoever_complains_about_a_confirmation_never_gets_another(
        self, bouncing: Settings, database: Database, relay: Relay, tmp_path: Path
    ) -> None:
        ask(bouncing, database)
        send(bouncing, database)
        sender = relay.taken[0].sender
        told = self.comes_back(bouncing, database, tmp_path, to=sender, said=ABUSE, kind="feedback-report")
        assert told == {"unsubscribed": 1}
        assert entry(database) is None
        ask(bouncing, database, now=NOW + DAY)
        assert send(bouncing, database, NOW + DAY).dropped == 1

    def test_an_erase_takes_what_servers_said(
        self, bouncing: Settings, database: Database, relay: Relay, tmp_path: Path
    ) -> None:
        ask(bouncing, database)
        send(bouncing, database)
        self.comes_back(bouncing, database, tmp_path, to=relay.taken[0].sender)
        Subscribers(database).erase(ADA, US, NOW + DAY)
        [letter] = standing(database, NOW, limit=9).letters
        assert (letter.address, letter.came_back) == ("", "hard 5.1.1")

    def test_the_story_of_an_address_is_told_in_the_order_of_time(
        self, bouncing: Settings, database: Database, relay: Relay, tmp_path: Path
    ) -> None:
        def told() -> list[tuple[str, str, str]]:
            return [(one.what, one.state, one.who) for one in show(database, ADA).story]

        ask(bouncing, database, source="page", path="/issues/7")
        assert told()[0] == ("signed up", "waits", "the reader")
        send(bouncing, database, NOW + MINUTE)
        confirm(bouncing, database, NOW + 2 * MINUTE)
        send(bouncing, database, NOW + 3 * MINUTE)
        welcome = relay.taken[1].sender
        reader = Subscribers(database).find(ADA)
        assert reader is not None
        Subscribers(database).set_choice(reader.id, cadence="instant", now=NOW + 10 * MINUTE)
        for part in ("new", "cur", "tmp"):
            (tmp_path / "in" / part).mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / "new" / "1").write_text(
            REPORT.format(to=welcome, kind="delivery-status", said=GONE, message_id="<x@y.example>")
        )
        read_bounces(bouncing, database, "maildir:///in", now=NOW + 20 * MINUTE, folder=tmp_path)
        Subscribers(database).unsubscribe(ADA, US, NOW + DAY)
        story = [
            ("signed up", "confirmed", "the reader"), ("letter confirm", "sent", ""), ("confirmed", "", "the reader"),
            ("letter welcome", "sent", ""), ("chose", "", ""), ("letter welcome came back", "hard", ""),
            ("never mailed again", "", ""), ("unsubscribed", "", "an operator"),
        ]
        assert told() == story
        [first, *_] = show(database, ADA).story
        assert first.said.startswith("on page /issues/7, words site, network ")
        Subscribers(database).erase(ADA, US, NOW + 2 * DAY)
        said = " ".join(one.said for one in show(database, ADA).story)
        assert "page" not in said
        assert "no such user" not in said
        assert ("erased", "", "an operator") in told()
