"""The life of an issue: edited, tried on oneself, approved, stopped in time, and proven afterwards."""

import datetime as dt
import email
from email import policy
from pathlib import Path

import pytest
import sqlalchemy as sa

from milepost.dates import utc_now
from milepost.errors import ConflictError, HeldError, InputError
from milepost.records import Claim, Subscriber
from milepost.settings import Settings
from newsletter.issue.known import known_from, slugs_of
from newsletter.issue.view import nearest
from pipeline import dispatch as steps
from pipeline.dispatch import dispatch, waiting
from pipeline.edit import (
    approve,
    edit,
    replay,
    require_window_over,
    send_at_once,
    send_trial,
    stop,
    trial_mail,
)
from pipeline.publish import publish
from store.database import Database
from store.issues.issues import Issues
from store.ledger.ledger import Ledger
from store.schema.tables import issue as issue_table
from store.schema.tables import subscriber
from store.subscribers.people import Subscribers
from tests.pipeline import prepared
from tests.pipeline.stage import BreakableSite

INTRO = "Good **morning**,\n\nboth of today's stories are about [agreeing](https://clockwork.example/why)."


@pytest.fixture
def careful(settings: Settings, news: None) -> Settings:  # noqa: ARG001 (it comes first)
    """A newsletter whose issues want an approval, with a draft of two milestones waiting: issue 1."""
    letter = settings.newsletter.model_copy(update={"approval": True})
    settings = settings.model_copy(update={"newsletter": letter})
    [made] = publish(settings)
    assert made.waits == "waits for approval"
    return settings


def keys(database: Database, number: int = 1) -> list[str]:
    return [item.milestone.key for item in Issues(database).get(number).items]


def test_an_edit_shows_in_every_part_and_voids_the_approval(careful: Settings, database: Database) -> None:
    before = Issues(database).get(1)
    Issues(database).approve(1, before.content_hash, utc_now())

    after = edit(careful, database, 1, subject="Clocks that agree", intro=INTRO)

    assert (after.subject, after.edit.intro, after.approved_at) == ("Clocks that agree", INTRO, None)
    assert after.content_hash != before.content_hash
    [variant] = Issues(database).variants(1)
    assert variant.subject == "Clocks that agree"
    assert "Good morning," in variant.text
    assert "<strong>morning</strong>" in variant.html
    assert 'href="https://clockwork.example/why"' in variant.html
    assert "https://clockwork.example/why" in variant.text.split("\n")
    with pytest.raises(ConflictError, match="its content is"):
        Issues(database).approve(1, before.content_hash, utc_now())
    assert publish(careful)[0].waits == "waits for approval"


def test_an_edit_taken_back_is_the_issue_as_it_was(careful: Settings, database: Database) -> None:
    before = Issues(database).get(1)
    edit(careful, database, 1, subject="Clocks that agree", intro=INTRO)

    assert edit(careful, database, 1, subject="", intro="").content_hash == before.content_hash


def test_a_preheader_of_the_editors_stands_beside_the_subject(careful: Settings, database: Database) -> None:
    before = Issues(database).get(1)

    edit(careful, database, 1, preheader="Two ways  to agree")

    assert Issues(database).get(1).edit.preheader == "Two ways to agree"
    [variant] = Issues(database).variants(1)
    assert ">Two ways to agree&#847;" in variant.html
    assert replay(careful, database, 1).proven
    assert edit(careful, database, 1, preheader="").content_hash == before.content_hash


def test_what_was_known_of_the_site_is_sealed_with_an_issue(careful: Settings, database: Database) -> None:
    [source] = careful.sources
    items = Issues(database).get(1).items
    slug = next(item.milestone.category for item in items)
    letter = careful.newsletter.model_copy(update={"labels": {slug: "Whirring", "unmet": "Not shown"}})
    told = careful.model_copy(update={
        "newsletter": letter, "sources": (source.model_copy(update={"language": "en-GB"}),),
    })

    edit(told, database, 1, intro="Hi")

    issue = Issues(database).get(1)
    [variant] = Issues(database).variants(1)
    assert "Whirring" in variant.text
    assert '<h2 class="t lead-title" lang="en-GB" dir="ltr"' in variant.html
    known = known_from(issue.known)
    assert (known.labels, known.languages) == ({slug: "Whirring"}, {source.key: "en-GB"})
    assert slug not in known.site_labels
    assert set(known.site_labels) <= slugs_of(issue.items)
    beside = [card for item in issue.items for card in nearest(item.milestone) if card]
    linked = {page for page in known.pages.values() if f'href="{page}"' in variant.html and page in variant.text}
    assert len(linked) == len({card.key for card in beside}) > 0
    assert replay(careful, database, 1).proven  # whatever the settings say by then


def test_the_order_is_the_editors(careful: Settings, database: Database) -> None:
    first, second = keys(database)

    edit(careful, database, 1, order=[second])

    assert keys(database) == [second, first]
    [variant] = Issues(database).variants(1)
    titles = [item.milestone.title for item in Issues(database).get(1).items]
    assert variant.text.index(titles[0]) < variant.text.index(titles[1])
    assert variant.subject.startswith(titles[0])
    edit(careful, database, 1, intro="Hello")
    assert keys(database) == [second, first]


def test_what_is_left_out_is_free_for_the_next_issue(careful: Settings, database: Database) -> None:
    first, second = keys(database)

    edit(careful, database, 1, leave_out=[first])

    assert keys(database) == [second]
    assert [made.issue.number for made in publish(careful)] == [1, 2]
    assert keys(database, 2) == [first]


def test_an_edit_that_can_not_be(careful: Settings, database: Database) -> None:
    with pytest.raises(InputError, match="there is no sundial in it"):
        edit(careful, database, 1, order=["sundial"])
    with pytest.raises(InputError, match="nothing would be left"):
        edit(careful, database, 1, leave_out=keys(database))
    approve(careful, database, 1, content_hash=Issues(database).get(1).content_hash, now=utc_now())
    with pytest.raises(ConflictError, match="milepost issue stop 1"):
        edit(careful, database, 1, subject="Too late")


def test_a_test_mail_goes_to_one_address_and_into_no_ledger(
    careful: Settings, database: Database, mails: Path
) -> None:
    mail = trial_mail(careful, database, 1, "editor@press.example", now=utc_now())
    send_trial(careful, mail)

    [path] = mails.glob("*.eml")
    message = email.message_from_bytes(path.read_bytes(), policy=policy.SMTP)
    assert str(message["To"]) == "editor@press.example"
    assert str(message["Subject"]) == f"[Test] {Issues(database).get(1).subject}"
    assert str(message["List-Unsubscribe"]) == "<https://news.clockwork.example/u>"
    assert Ledger(database).counts(1).candidates == 0
    assert Issues(database).get(1).state == "draft"
    with pytest.raises(InputError, match="not an e-mail address"):
        trial_mail(careful, database, 1, "editor@press.example, other@press.example", now=utc_now())
    with pytest.raises(InputError, match="no variant 'few'"):
        trial_mail(careful, database, 1, "editor@press.example", now=utc_now(), variant="few")


def test_an_approval_can_be_undone_until_its_window_is_over(careful: Settings, database: Database) -> None:
    now = utc_now()
    approve(careful, database, 1, content_hash=Issues(database).get(1).content_hash, now=now)
    issue = Issues(database).get(1)
    assert issue.send_after == now + dt.timedelta(minutes=10)
    with pytest.raises(HeldError, match="`milepost issue send 1` sends now"):
        require_window_over(issue, now + dt.timedelta(minutes=9))
    require_window_over(issue, now + dt.timedelta(minutes=10))
    assert waiting(careful) == []
    assert waiting(careful, now=lambda: now + dt.timedelta(minutes=10)) == [1]
    with pytest.raises(HeldError):
        dispatch(careful, 1)

    stopped = stop(database, 1)

    assert stopped.undone
    assert (stopped.issue.state, stopped.issue.approved_at, stopped.counts.candidates) == ("draft", None, 0)
    edit(careful, database, 1, subject="Second thoughts")
    approve(careful, database, 1, content_hash=Issues(database).get(1).content_hash, now=now)
    assert waiting(careful) == []
    send_at_once(database, 1)
    assert waiting(careful) == [1]
    assert Ledger(database).counts(1).deliveries == 3


def test_what_was_approved_is_sent_whatever_is_set_since(careful: Settings, database: Database, mails: Path) -> None:
    """Every setting that shows in a mail or its headers is changed in the undo window; not a byte of it arrives."""
    before = careful.model_copy(update={"mail": careful.mail.model_copy(update={
        "reply_to": "editor@clockwork.example", "feedback_id": "issues:clockwork",
    })})
    edit(before, database, 1, intro=INTRO)
    approve(before, database, 1, content_hash=Issues(database).get(1).content_hash, now=utc_now())
    at = utc_now()  # of the hand-over, which Date and masthead tell
    sealed = {reader.address: as_sent(before, database, reader, at) for reader in Subscribers(database).list()}

    letter = careful.newsletter.model_copy(update={"name": "Renamed", "accent": "#0a7d4f", "language": "de",
                                                   "tagline": "Another", "images": True, "undo_minutes": 0})
    mail = careful.mail.model_copy(update={"sender": "Other <other@elsewhere.example>", "postal_address": "Elsewhere",
                                           "reply_to": None, "feedback_id": None})
    web = careful.web.model_copy(update={"base_url": "https://elsewhere.example"})
    later = careful.model_copy(update={"newsletter": letter, "mail": mail, "web": web})
    send_trial(later, trial_mail(later, database, 1, "editor@press.example", now=utc_now()))
    [trial] = [path.read_bytes() for path in mails.glob("*.eml")]
    send_at_once(database, 1)
    dispatch(later, 1, now=lambda: at)

    arrived = [path.read_bytes() for path in mails.glob("*.eml")]
    for address, message in sealed.items():
        assert message.startswith(b"From: Clockwork <news@clockwork.example>\r\n")
        assert b"Reply-To: editor@clockwork.example\r\n" in message
        assert b"Feedback-ID: issues:clockwork\r\n" in message
        assert sum(message in one for one in arrived) == 1, address
    assert b"elsewhere" not in b"".join(arrived).lower()
    assert b"Subject: [Test] " in trial


def as_sent(settings: Settings, database: Database, reader: Subscriber, at: dt.datetime) -> bytes:
    """The mail of issue 1 to a reader, made at that moment."""
    mailing = steps._mailing(settings, database, 1, now=at)
    with database.connect() as connection:
        handle = connection.execute(sa.select(subscriber.c.handle).where(subscriber.c.id == reader.id)).scalar_one()
    claim = Claim(
        delivery_id=1, issue=1, subscriber_id=reader.id, address=reader.address, variant="all", lease="", attempts=0,
        first_attempt_at=None, reader=handle,
    )
    return mailing.templates["all"].bytes_for(
        address=reader.address, unsubscribe_url=mailing.link(claim), message_id=mailing.message_id(claim)
    )


def test_an_issue_from_before_its_settings_were_kept_goes_out_with_those_of_today(
    careful: Settings, database: Database, mails: Path
) -> None:
    approve(careful, database, 1, content_hash=Issues(database).get(1).content_hash, now=utc_now())
    send_at_once(database, 1)
    with database.begin() as connection:
        connection.execute(sa.update(issue_table).values(rendered_with=None))
    mail = careful.mail.model_copy(update={"reply_to": "editor@clockwork.example"})

    dispatch(careful.model_copy(update={"mail": mail}), 1)

    assert len(list(mails.glob("*.eml"))) == 3
    assert all(b"Reply-To: editor@" in path.read_bytes() for path in mails.glob("*.eml"))


def test_a_window_of_no_minutes_is_none(careful: Settings, database: Database, mails: Path) -> None:
    letter = careful.newsletter.model_copy(update={"undo_minutes": 0})
    quick = careful.model_copy(update={"newsletter": letter})
    approve(quick, database, 1, content_hash=Issues(database).get(1).content_hash, now=utc_now())

    assert Issues(database).get(1).send_after is None
    dispatch(quick, 1)
    assert len(list(mails.glob("*.eml"))) == 3


def test_a_draft_that_was_stopped_waits_for_a_person_even_where_none_is_asked(
    settings: Settings, site: BreakableSite, database: Database
) -> None:
    prepared.copy("news", settings)
    site.publish()
    publish(settings)

    assert stop(database, 1, reason="a word is missing").undone
    assert [made.waits for made in publish(settings)] == ["a word is missing"]
    assert waiting(settings) == []
    approve(settings, database, 1, content_hash=Issues(database).get(1).content_hash, now=utc_now())
    assert Issues(database).get(1).pause_reason is None


def test_what_is_being_sent_is_paused_and_what_is_done_can_not_be_stopped(
    settings: Settings, site: BreakableSite, database: Database
) -> None:
    prepared.copy("news", settings)
    site.publish()
    publish(settings)
    asked = 0

    def after_some() -> bool:
        nonlocal asked
        asked += 1
        return Ledger(database).counts(1).states.get("sent", 0) > 0

    dispatch(settings, 1, stop=after_some)
    if Issues(database).get(1).state == "sending":
        stopped = stop(database, 1, reason="a word is wrong")
        assert (stopped.undone, stopped.issue.state, stopped.issue.pause_reason) == (False, "paused", "a word is wrong")
        Ledger(database).resume(1)
        dispatch(settings, 1)
    with pytest.raises(ConflictError, match="nothing to stop"):
        stop(database, 1)


def test_an_issue_is_rendered_again_from_its_records_byte_for_byte(
    careful: Settings, database: Database, tmp_path: Path
) -> None:
    Subscribers(database).add("some@readers.example", topics=("standards",), now=utc_now())
    Subscribers(database).add("few@readers.example", topics=("networks",), now=utc_now())
    edit(careful, database, 1, intro=INTRO)
    letter = careful.newsletter.model_copy(update={"name": "Renamed", "accent": "#0a7d4f", "language": "de"})
    later = careful.model_copy(update={"newsletter": letter})

    again = replay(later, database, 1)

    assert (again.proven, again.same_templates) == (True, True)
    assert again.variants == 1

    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "issue.txt.j2").write_text("{{ issue.name }}\n{{ issue.placeholder }}\n", encoding="utf-8")
    other = letter.model_copy(update={"templates": tmp_path / "own"})
    changed = replay(careful.model_copy(update={"newsletter": other}), database, 1)
    assert (changed.proven, changed.same_templates) == (False, False)
    assert {part.split(": ")[1] for part in changed.differing} == {"text"}


