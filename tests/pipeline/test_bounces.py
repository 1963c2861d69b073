"""What comes back, from the inbox to the ledger: proven, recorded, put away; and what a log or an operator settles."""

import datetime as dt
import functools
import json
from collections import Counter
from email import message_from_bytes
from pathlib import Path

import pytest
import sqlalchemy as sa

from delivery.bounces.reports import Bounce
from delivery.bounces.soft_bounce_limit import Rule
from delivery.message import verp
from delivery.ports import Arrival
from milepost.dates import utc_now
from milepost.errors import ConflictError, InputError, NotFoundError
from milepost.records import Reply
from milepost.settings import Settings
from pipeline import dispatch as sending
from pipeline.bounces import RESULTS, ReportReader, read_bounces, suppress_worn_out
from pipeline.link_keys import signing_key
from pipeline.publish import publish
from pipeline.resolve import message_ids, resolve_by_log, resolve_by_word
from store.database import Database
from store.ledger.bounces import Bounces
from store.ledger.ledger import Ledger
from store.schema import tables
from store.schema.tables import subscriber
from store.subscribers.people import Subscribers
from store.subscribers.suppressions import Suppressions
from tests.console import terminal
from tests.hand_over import begin, settle
from tests.pipeline.stage import READERS
from tests.whole_tables import walked_through

REPORT = """\
Return-Path: <>
From: MAILER-DAEMON@relay.example
To: {to}
Subject: Undelivered
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.example

Final-Recipient: rfc822; reader@readers.example
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {said}
--b
Content-Type: text/rfc822-headers

Message-ID: {message_id}
--b--
"""
COMPLAINT = """\
From: fbl@provider.example
To: fbl@clockwork.example
Content-Type: multipart/report; report-type=feedback-report; boundary=b

--b
Content-Type: message/feedback-report

Feedback-Type: abuse
Original-Mail-From: <{to}>
--b--
"""


class Stage:
    """An issue that was sent to three readers, and a Maildir that bounces arrive in."""

    def __init__(self, settings: Settings, database: Database, folder: Path, *, unknown: bool = False) -> None:
        self.settings, self.database, self.folder = settings, database, folder
        self.ledger = Ledger(database)
        [self.number] = sending.waiting(settings)
        if unknown:
            for claim in self.ledger.claim(self.number, limit=10, lease_seconds=60):
                assert begin(self.ledger, claim)
                settle(self.ledger, claim, "unknown", Reply(code=None, text="no answer in time", phase="dot"))
            self.ledger.finish(self.number)
        else:
            sending.dispatch(settings, self.number)
        for part in ("new", "cur", "tmp"):
            (folder / part).mkdir(parents=True)
        self.rows = self.ledger.rows(self.number)

    def sender(self, index: int) -> str:
        key = signing_key(self.settings, self.database)
        id_ = self.rows[index].id
        name = Bounces(self.database).names([id_])[id_]
        return verp.make(key, base="bounces@clockwork.example", delivery_id=id_, name=name)

    def report(self, name: str, *, to: str, action: str = "failed", status: str = "5.1.1", said: str = "550 gone",
               message_id: str = "<unknown@elsewhere.example>") -> None:
        text = REPORT.format(to=to, action=action, status=status, said=said, message_id=message_id)
        (self.folder / "new" / name).write_text(text)

    def gather(self) -> dict[str, int]:
        found = read_bounces(self.settings, self.database, "maildir:///in", now=utc_now(), folder=self.folder.parent)
        return {"read": found.read} | {result: count for result in RESULTS if (count := found.results.get(result, 0))}

    @property
    def waiting(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "new").iterdir())

    @property
    def states(self) -> list[str]:
        return [row.state for row in self.ledger.rows(self.number)]


@pytest.fixture
def stage(settings: Settings, database: Database, tmp_path: Path, issued: None) -> Stage:  # noqa: ARG001 (it comes first)
    return Stage(settings, database, tmp_path / "in")


@pytest.fixture
def uncertain(settings: Settings, database: Database, tmp_path: Path, issued: None) -> Stage:  # noqa: ARG001 (the same)
    return Stage(settings, database, tmp_path / "in", unknown=True)


def test_every_kind_of_arrival_has_its_effect_and_is_put_away(stage: Stage) -> None:
    stage.report("1.hard", to=stage.sender(0))
    stage.report("2.soft", to=stage.sender(1), status="5.2.2", said="552 full")
    (stage.folder / "new" / "3.complaint").write_text(COMPLAINT.format(to=stage.sender(2)))
    stage.report("4.forged", to="bounces+1-aaaaaaaaaaaaaaaa@clockwork.example")
    stage.report("5.by-id", to="bounces@clockwork.example", message_id=str(stage.rows[1].message_id), status="5.7.1")
    (stage.folder / "new" / "6.reply").write_text("From: reader@readers.example\nSubject: Thanks\n\nFine issue.\n")
    assert stage.gather() == {
        "read": 6, "suppressed": 1, "unsubscribed": 1, "counted": 1, "noted": 1, "forged": 1, "unrelated": 1,
    }
    assert stage.waiting == ["6.reply"]  # a person's letter waits for a person
    assert stage.states == ["sent"] * 3
    suppressed = {one.normalized: one.reason for one in Suppressions(stage.database).list()}
    assert suppressed == {stage.rows[0].address: "bounce 5.1.1", stage.rows[2].address: "complaint"}
    states = [subscriber.state for subscriber in Subscribers(stage.database).list()]
    assert states == ["active", "active", "unsubscribed"]
    assert [row.grade for row in Bounces(stage.database).of(stage.rows[1].id)] == ["soft", "policy"]


JUNK = """\
From: staff@hotmail.com
To: fbl@clockwork.example
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: message/rfc822

Message-ID: {message_id}

Words.
--b--
"""
NOTIFIED = """\
From: no-reply@sns.amazonaws.com
To: fbl@clockwork.example

{{"notificationType": "Complaint", "complaint": {{}}, "mail": {{"source": "{to}"}}}}
"""
HOLIDAY = "Return-Path: <>\nFrom: reader@readers.example\nTo: {to}\nSubject: Away\n\nFind me at\n550 Main Street\n"


def test_complaints_without_a_form_let_the_reader_go_and_a_holiday_note_counts_nothing(stage: Stage) -> None:
    into = stage.folder / "new"
    (into / "1").write_text(JUNK.format(message_id=stage.rows[0].message_id))
    (into / "2").write_text(NOTIFIED.format(to=stage.sender(1)))
    (into / "3").write_text(HOLIDAY.format(to=stage.sender(2)))
    (into / "4").write_text(JUNK.format(message_id="<made-up@clockwork.example>"))
    assert stage.gather() == {"read": 4, "unsubscribed": 2, "noted": 1, "forged": 1}
    assert [one.state for one in Subscribers(stage.database).list()] == ["unsubscribed", "unsubscribed", "active"]
    assert [row.grade for row in Bounces(stage.database).of(stage.rows[2].id)] == ["unclear"]


def test_what_comes_back_of_mails_in_our_name_is_looked_for_nowhere(stage: Stage) -> None:
    """Somebody mails the world with our address as the sender: what comes back is theirs, and comes by thousands."""
    for number, form in enumerate(("<20261129.{}@clockwork.example>", "<{}.abc@elsewhere.example>")):
        stage.report(str(number), to="bounces@clockwork.example", message_id=form.format(number))
    with walked_through(stage.database) as whole:
        assert stage.gather() == {"read": 2, "forged": 2}
    assert set(whole) & {"delivery", "attempt", "bounce", "letter", "subscriber"} == set(), whole
    stage.report("3", to="bounces@clockwork.example", message_id=str(stage.rows[1].message_id))  # it was forwarded
    assert stage.gather() == {"read": 1, "suppressed": 1}


def test_read_again_from_another_folder_it_counts_once(stage: Stage, tmp_path: Path) -> None:
    stage.report("1", to=stage.sender(0), status="5.2.2")
    raw = (stage.folder / "new" / "1").read_bytes()
    assert stage.gather() == {"read": 1, "counted": 1}
    (tmp_path / "in.mbox").write_bytes(b"From x Mon Nov 23 09:00:00 2026\n" + raw)
    for effect in ("seen", "seen"):
        again = read_bounces(stage.settings, stage.database, "mbox:///in.mbox", now=utc_now(), folder=tmp_path)
        assert again.results == {effect: 1}


def test_an_effect_that_was_not_recorded_leaves_the_report_where_it_is(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.report("1", to=stage.sender(0))
    with monkeypatch.context() as broken:
        broken.setattr(Bounces, "record", lambda *_: (_ for _ in ()).throw(ConflictError("the disk is full")))
        with pytest.raises(ConflictError):
            stage.gather()
    assert stage.waiting == ["1"]
    assert stage.gather() == {"read": 1, "suppressed": 1}


@pytest.mark.parametrize(
    ("action", "status", "expected"),
    [("failed", "5.1.1", "failed"), ("failed", "5.2.2", "failed"), ("delayed", "4.4.1", "sent"),
     ("delivered", "2.0.0", "sent")],
)
def test_a_report_settles_an_uncertain_hand_over(uncertain: Stage, action: str, status: str, expected: str) -> None:
    """By its envelope, and by a Message-ID that the ledger was never told."""
    ids = {delivery: name for name, delivery in message_ids(uncertain.settings, uncertain.database).items()}
    assert len(ids) == len(READERS)
    uncertain.report("1", to=uncertain.sender(0), action=action, status=status)
    uncertain.report("2", to="x@clockwork.example", action=action, status=status, message_id=ids[uncertain.rows[1].id])
    assert uncertain.gather()["resolved"] == 2
    assert uncertain.states == [expected, expected, "unknown"]
    last = uncertain.ledger.attempts(uncertain.rows[0].id)[-1]
    assert (last.outcome, last.phase) == (expected, "resolve")
    assert f"by a report that came back: {action} {status}" in last.text
    assert uncertain.ledger.counts(uncertain.number).balanced


def test_a_report_that_does_not_name_it_by_our_own_id_settles_nothing(uncertain: Stage) -> None:
    first, second, third = uncertain.rows
    ids = {delivery: name for name, delivery in message_ids(uncertain.settings, uncertain.database).items()}
    with uncertain.database.begin() as connection:  # as the relay's first answer named it
        connection.execute(sa.update(tables.delivery).values(queue_id="AAAA22E193"))
    reader, results = ReportReader(uncertain.settings, uncertain.database, utc_now()), Counter[str]()
    bounce = Bounce(kind="failed", status="5.1.1", recipient=first.address, message_id="<made-up@clockwork.example>")
    arrival = Arrival(name="posted", raw=b"posted")
    reader.record([(arrival, bounce)], results, queue_ids={"posted": "AAAA22E193"})
    assert results == {"unsettled": 1, "suppressed": 1}
    uncertain.report("1", to=uncertain.sender(1), message_id=ids[third.id])  # one mail's name, another's return address
    assert uncertain.gather()["unsettled"] == 1
    assert uncertain.states == ["unknown"] * 3
    assert [len(Bounces(uncertain.database).of(row.id)) for row in (first, second, third)] == [1, 1, 0]


def test_too_many_soft_ones_end_it(stage: Stage) -> None:
    now = utc_now()
    stage.report("1", to=stage.sender(0), status="5.2.2")
    stage.gather()
    assert suppress_worn_out(stage.database, now=now) == []
    bounces = Bounces(stage.database)
    [struck] = bounces.struck(issues=1, since=now - dt.timedelta(days=180))
    assert [issue for issue, _ in struck.strikes] == [stage.number]
    strict = Rule(issues=1, apart=dt.timedelta(0))
    assert suppress_worn_out(stage.database, now=now, rule=strict) == [stage.rows[0].address]
    assert suppress_worn_out(stage.database, now=now, rule=strict) == []


# --- the relay's log, and an operator's word ------------------------------------------------------------------------


def log_of(stage: Stage, tmp_path: Path) -> Path:
    """The first was sent, the second broke off, the third is not mentioned."""
    ids = {delivery: name for name, delivery in message_ids(stage.settings, stage.database).items()}
    before = (utc_now() - dt.timedelta(hours=1)).isoformat()
    at = (utc_now() + dt.timedelta(seconds=5)).isoformat()
    first, second, _ = stage.rows
    file = tmp_path / "mail.log"
    file.write_text(
        f"{before} relay postfix/master[1]: daemon started\n"
        f"{at} relay postfix/smtpd[7]: AAAA22E193: client=x\n"
        f"{at} relay postfix/cleanup[8]: AAAA22E193: message-id={ids[first.id]}\n"
        f"{at} relay postfix/smtp[9]: AAAA22E193: to=<{first.address}>, dsn=2.0.0, status=sent (250 ok)\n"
        f"{at} relay postfix/smtpd[7]: BBBB22E193: client=x\n"
        f"{at} relay postfix/cleanup[8]: BBBB22E193: message-id={ids[second.id]}\n"
        f"{at} relay postfix/smtpd[7]: lost connection after DATA (100 bytes) from x\n"
    )
    return file


def test_the_relays_log_settles_what_it_proves(uncertain: Stage, tmp_path: Path) -> None:
    file = log_of(uncertain, tmp_path)
    resolved = resolve_by_log(uncertain.settings, uncertain.database, uncertain.number, [file], now=utc_now())
    assert resolved.results == {"sent": 1, "pending": 1, "unknown": 1}
    assert uncertain.states == ["sent", "pending", "unknown"]
    assert "status=sent (250 ok)" in uncertain.ledger.attempts(uncertain.rows[0].id)[-1].text
    again = resolve_by_log(
        uncertain.settings, uncertain.database, uncertain.number, [file], now=utc_now(), complete=True
    )
    assert again.results == {"pending": 1}
    sent = sending.dispatch(uncertain.settings, uncertain.number)
    assert sent.report.results == {"sent": 2}
    assert sent.report.state == "complete"
    done = resolve_by_log(uncertain.settings, uncertain.database, uncertain.number, [file], now=utc_now())
    assert (done.unknown, done.results) == (0, {})


def test_a_log_that_begins_too_late_settles_nothing(uncertain: Stage, tmp_path: Path) -> None:
    file = tmp_path / "mail.log"
    file.write_text(f"{(utc_now() + dt.timedelta(hours=1)).isoformat()} relay postfix/master[1]: started\n")
    with pytest.raises(InputError, match="so it can't be complete"):
        resolve_by_log(uncertain.settings, uncertain.database, uncertain.number, [file], now=utc_now(), complete=True)
    assert uncertain.states == ["unknown"] * 3


def test_an_operators_word_is_kept(uncertain: Stage) -> None:
    database, number = uncertain.database, uncertain.number
    address = uncertain.rows[0].address
    resolve_by_word(database, number, address.upper(), "sent", "she wrote to say so", now=utc_now())
    assert uncertain.states == ["sent", "unknown", "unknown"]
    assert "she wrote to say so" in uncertain.ledger.attempts(uncertain.rows[0].id)[-1].text
    with pytest.raises(ConflictError, match="it is sent, there is nothing to resolve"):
        resolve_by_word(database, number, address, "sent", "again", now=utc_now())
    with pytest.raises(NotFoundError, match="has no delivery to that address"):
        resolve_by_word(database, number, "nobody@readers.example", "sent", "why", now=utc_now())
    with pytest.raises(NotFoundError, match="no such issue"):
        resolve_by_word(database, number + 1, address, "sent", "why", now=utc_now())
    with pytest.raises(InputError, match="a reason is missing"):
        resolve_by_word(database, number, uncertain.rows[1].address, "failed", " ", now=utc_now())


# --- at the door ----------------------------------------------------------------------------------------------------


def test_the_ledger_and_bounces_from_the_command_line(uncertain: Stage, config: Path, tmp_path: Path) -> None:
    milepost = functools.partial(terminal.milepost, "--config", str(config))
    number, address = str(uncertain.number), uncertain.rows[0].address
    shown = milepost("ledger", number)
    assert shown.stdout.startswith(
        f"Issue {number}: 3 candidates = 0 sent + 0 failed + 0 suppressed + 3 unknown + 0 cancelled + 0 waiting"
        " + 0 excluded"
    )
    assert "ledger resolve" in shown.stdout
    file = log_of(uncertain, tmp_path)
    held = milepost("ledger", "resolve", number, "--postfix-log", str(file), "--json")
    assert held.returncode == 3
    assert "1 of 3 are still unknown" in held.stderr
    assert json.loads(held.stdout)["results"] == {"sent": 1, "pending": 1, "unknown": 1}
    third = uncertain.rows[2].address
    assert milepost("ledger", "resolve", number, "--to", third, "--as", "odd", "--why", "x").returncode == 1
    word = milepost("ledger", "resolve", number, "--to", third, "--as", "failed", "--why", "she moved")
    assert (word.returncode, word.stdout.strip()) == (0, f"Issue {number}: {third} is failed now.")

    uncertain.report("1", to=uncertain.sender(0))
    source = f"maildir:///{uncertain.folder}"
    done = milepost("bounces", source, "maildir:////nowhere", "--json")
    assert done.returncode == 1
    assert "can't be read" in done.stderr
    [told] = json.loads(done.stdout)["sources"]
    assert (told["source"], told["read"], told["suppressed"]) == (source, 1, 1)
    story = json.loads(milepost("ledger", number, "--to", address, "--json").stdout)
    assert story["equation"] == {
        "sent": 1, "failed": 1, "suppressed": 0, "unknown": 0, "cancelled": 0, "waiting": 1, "excluded": 0,
        "owed": 0,
    }
    [row] = story["rows"]
    assert row["state"] == "sent"
    assert [attempt["outcome"] for attempt in row["attempts"]] == ["unknown", "sent"]
    assert [bounce["grade"] for bounce in row["bounces"]] == ["hard"]
    table = milepost("ledger", "show", number, "--to", address).stdout
    assert "The story of" in table
    assert "bounce: hard" in table


def test_without_an_inbox_or_a_log_it_says_what_to_do(config: Path) -> None:
    milepost = functools.partial(terminal.milepost, "--config", str(config))
    assert "Name one, or set bounces.sources" in milepost("bounces").stderr
    assert "Give --postfix-log FILE, or --to ADDRESS" in milepost("ledger", "resolve", "1").stderr


REQUEST = """\
From: Somebody Else <else@elsewhere.example>
To: {to}
Subject: {subject}
{more}
Please.
"""


class TestLeavingByMail:
    @pytest.fixture
    def address(self, stage: Stage) -> str:
        """The first reader's own, in the List-Unsubscribe of their mails."""
        key = signing_key(stage.settings, stage.database)
        with stage.database.connect() as connection:
            query = sa.select(subscriber.c.handle).where(subscriber.c.id == stage.rows[0].subscriber)
            return verp.make_leave(
                key, base="bounces@bounce.clockwork.example", handle=connection.execute(query).scalar_one()
            )

    @staticmethod
    def arrive(stage: Stage, name: str, to: str, *, subject: str = "unsubscribe", more: str = "") -> None:
        (stage.folder / "new" / name).write_text(REQUEST.format(to=to, subject=subject, more=more))

    @staticmethod
    def left(stage: Stage) -> list[str]:
        return [one.address for one in Subscribers(stage.database).list(state="unsubscribed")]

    def test_a_mail_to_it_lets_that_reader_go_and_no_other(self, stage: Stage, address: str) -> None:
        self.arrive(stage, "1.request", address)
        assert stage.gather() == {"read": 1, "unsubscribed": 1}
        assert self.left(stage) == [stage.rows[0].address]
        assert stage.waiting == []
        [event] = [one for one in Suppressions(stage.database).history(stage.rows[0].address)
                   if one.action == "unsubscribed"]
        assert "by a mail" in event.why

    def test_read_again_it_does_nothing_to_who_came_back(self, stage: Stage, address: str) -> None:
        self.arrive(stage, "1.request", address)
        stage.gather()
        Subscribers(stage.database).come_back(stage.rows[0].subscriber, utc_now())
        self.arrive(stage, "2.the same", address)
        assert stage.gather() == {"read": 1, "seen": 1}
        assert self.left(stage) == []

    def test_what_proves_nothing_is_counted_listed_and_kept_for_a_person(self, stage: Stage, address: str) -> None:
        self.arrive(stage, "1.wrong", address.replace("leave-", "leave-a"))
        self.arrive(stage, "2.none", "bounces@bounce.clockwork.example", more=f"X-From: {stage.rows[0].address}")
        self.arrive(stage, "3.away", address, more="Auto-Submitted: auto-replied")
        # Whoever can write a From can write a reader's.
        text = REQUEST.format(to="news@clockwork.example", subject="unsubscribe", more="")
        (stage.folder / "new" / "4.from").write_text(
            text.replace("else@elsewhere.example", stage.rows[0].address)
        )
        found = read_bounces(stage.settings, stage.database, "maildir:///in", now=utc_now(), folder=stage.folder.parent)
        assert found.results == {"unproven": 4}
        assert len(found.unproven) == 4
        assert "new/2.none (from Somebody Else <else@elsewhere.example>: unsubscribe)" in found.unproven
        assert "new/3.away (an automatic answer)" in found.unproven
        assert self.left(stage) == []
        assert stage.waiting == ["1.wrong", "2.none", "3.away", "4.from"]

    def test_the_command_says_what_to_do_about_it(self, stage: Stage, config: Path) -> None:
        self.arrive(stage, "1.none", "bounces@bounce.clockwork.example")
        done = terminal.milepost("--config", str(config), "bounces", f"maildir:///{stage.folder}")
        assert "1.none (from Somebody Else" in done.stdout
        assert "milepost subscribers unsubscribe" in done.stdout


def test_mails_say_where_to_write_and_those_sealed_before_say_what_they_said(
    settings: Settings, database: Database, mails: Path, issued: None  # noqa: ARG001 (it comes first)
) -> None:
    bouncing = settings.model_copy(update={
        "mail": settings.mail.model_copy(update={"bounce_domain": "bounce.clockwork.example"})
    })
    sending.dispatch(bouncing, 1)  # drafted while there was no such address
    assert len(list(mails.glob("*.eml"))) == 3
    assert not any(b"mailto:" in one.read_bytes().partition(b"\r\n\r\n")[0] for one in mails.glob("*.eml"))


def test_a_reader_leaves_by_the_address_that_their_own_mail_shows(
    settings: Settings, database: Database, mails: Path, news: None, tmp_path: Path  # noqa: ARG001 (it comes first)
) -> None:
    bouncing = settings.model_copy(update={
        "mail": settings.mail.model_copy(update={"bounce_domain": "bounce.clockwork.example"})
    })
    publish(bouncing)
    sending.dispatch(settings, 1)  # the address is the issue's own by now, whatever is set since
    arrived = [message_from_bytes(path.read_bytes()) for path in mails.glob("*.eml")]
    [mail] = [one for one in arrived if one["To"] == READERS[1]]
    https, mailto = mail["List-Unsubscribe"].split(",")
    assert https.startswith("<https://news.clockwork.example/u/")
    address = mailto.strip().removeprefix("<mailto:").partition("?")[0]
    for part in ("new", "cur", "tmp"):
        (tmp_path / "in" / part).mkdir(parents=True)
    (tmp_path / "in" / "new" / "1").write_text(REQUEST.format(to=address, subject="", more=""))
    read_bounces(settings, database, "maildir:///in", now=utc_now(), folder=tmp_path)
    assert [one.address for one in Subscribers(database).list(state="unsubscribed")] == [READERS[1]]
