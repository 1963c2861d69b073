"""An issue drafted days before it goes out bears the day on which its readers get it; nothing else of it moves."""

import datetime as dt
import email
import re
from dataclasses import replace
from email import policy
from pathlib import Path

import pytest
import sqlalchemy as sa

from milepost.dates import utc_now
from milepost.errors import DeliveryError
from milepost.records import Reply, Variant
from milepost.settings import Settings
from newsletter.issue.known import known_from
from newsletter.issue.render import Renderer, dated, has_day_slot
from newsletter.words.languages import phrases_for
from pipeline.dispatch import dispatch
from pipeline.edit import approve, edit, find, replay, send_at_once, stop, trial_mail, variants
from pipeline.publish import publish
from store.database import Database
from store.issues.editions import Editions
from store.issues.issues import Issues, variant_hash
from store.ledger.ledger import Ledger
from store.schema.tables import issue as issue_table
from store.schema.tables import issue_variant
from tests.hand_over import begin, settle
from tests.pipeline import prepared
from tests.pipeline.stage import READERS, BreakableSite
from web.export import build_archive

DRAFTED = utc_now().replace(hour=9, minute=30) + dt.timedelta(days=1)
APPROVED = DRAFTED.replace(hour=23, minute=55) + dt.timedelta(days=5)
HANDED_OVER = APPROVED + dt.timedelta(minutes=20)  # the next day: its undo window ends after midnight
LATER = HANDED_OVER + dt.timedelta(days=2)


@pytest.fixture
def careful(request: pytest.FixtureRequest, settings: Settings, site: BreakableSite) -> Settings:
    """A newsletter whose issues want an approval, in English unless asked otherwise; a draft of two waits."""
    letter = settings.newsletter.model_copy(update={"approval": True, "language": getattr(request, "param", "en")})
    settings = settings.model_copy(update={"newsletter": letter})
    prepared.copy("news", settings)
    site.publish()
    publish(settings, now=lambda: DRAFTED)
    return settings


def words(settings: Settings, moment: dt.datetime) -> str:
    return phrases_for(settings.newsletter.language).day(moment.date())


def days_of(raw: bytes, settings: Settings) -> tuple[dt.date, set[str]]:
    """The day of Date, and which of our days the two parts show."""
    message = email.message_from_bytes(raw, policy=policy.default)
    days = {words(settings, moment) for moment in (DRAFTED, APPROVED, HANDED_OVER, LATER)}
    shown = [part.get_content() for part in message.iter_parts()]  # type: ignore[attr-defined]
    assert len(shown) == 2
    found = [{day for day in days if day in _plain(content)} for content in shown]
    assert found[0] == found[1]
    return message["Date"].datetime.date(), found[0]


def _plain(content: str) -> str:
    return " ".join(re.sub(r"&#(\d+);", lambda found: chr(int(found[1])), content).split())


@pytest.mark.parametrize("careful", ["en", "de", "he"], indirect=True)
def test_masthead_and_date_are_of_the_day_on_which_it_is_handed_over(
    careful: Settings, database: Database, mails: Path, tmp_path: Path
) -> None:
    drafted = find(database, 1)
    approve(careful, database, 1, content_hash=drafted.content_hash, now=APPROVED)

    dispatch(careful, 1, now=lambda: HANDED_OVER)

    raws = [path.read_bytes() for path in mails.glob("*.eml")]
    assert len(raws) == len(READERS)
    for raw in raws:
        assert days_of(raw, careful) == (HANDED_OVER.date(), {words(careful, HANDED_OVER)})
        assert b"milepost-day-" not in raw
    issue = find(database, 1)
    assert (issue.content_hash, issue.handed_over_at) == (drafted.content_hash, HANDED_OVER)
    assert replay(careful, database, 1).proven
    [kept] = variants(careful, database, 1, now=LATER)
    assert words(careful, HANDED_OVER) in _plain(kept.text)
    trial = trial_mail(careful, database, 1, "me@readers.example", now=LATER).message
    assert days_of(trial, careful) == (LATER.date(), {words(careful, HANDED_OVER)})
    issues_alone = careful.model_copy(update={"web": careful.web.model_copy(update={"timeline": "off"})})
    build_archive(issues_alone, database, tmp_path / "archive")
    page = (tmp_path / "archive" / "issues" / "1" / "index.html").read_text(encoding="utf-8")
    assert words(careful, HANDED_OVER) in page
    assert words(careful, DRAFTED) not in page


def test_a_draft_shows_the_day_of_whoever_looks_at_it(careful: Settings, database: Database) -> None:
    before = find(database, 1).content_hash
    for moment in (DRAFTED, LATER):
        [shown] = variants(careful, database, 1, now=moment)
        assert words(careful, moment) in _plain(shown.text)
        assert days_of(trial_mail(careful, database, 1, "me@readers.example", now=moment).message, careful) == (
            moment.date(), {words(careful, moment)}
        )
    edited = edit(careful, database, 1, subject="Clocks")
    assert edited.content_hash != before
    assert edit(careful, database, 1, subject="").content_hash == before


def test_nobody_has_it_yet_so_its_day_moves(careful: Settings, database: Database, mails: Path) -> None:
    approve(careful, database, 1, content_hash=find(database, 1).content_hash, now=APPROVED)
    away = careful.mail.model_validate(careful.mail.model_dump(by_alias=True) | {"url": "smtp://127.0.0.1:9"})
    with pytest.raises(DeliveryError):
        dispatch(careful.model_copy(update={"mail": away}), 1, now=lambda: HANDED_OVER)

    dispatch(careful, 1, now=lambda: LATER)

    for path in mails.glob("*.eml"):
        assert days_of(path.read_bytes(), careful) == (LATER.date(), {words(careful, LATER)})


def test_the_rest_of_an_issue_bears_the_day_of_its_first_mail(
    careful: Settings, database: Database, mails: Path
) -> None:
    approve(careful, database, 1, content_hash=find(database, 1).content_hash, now=APPROVED)
    assert Editions(database).hand_over(1, HANDED_OVER) == HANDED_OVER
    ledger = Ledger(database)
    [claim] = ledger.claim(1, limit=1, lease_seconds=60)
    assert begin(ledger, claim)
    settle(ledger, claim, "sent", Reply(code=250))

    dispatch(careful, 1, now=lambda: LATER)

    raws = [path.read_bytes() for path in mails.glob("*.eml")]
    assert len(raws) == len(READERS) - 1
    assert {days_of(raw, careful)[0] for raw in raws} == {HANDED_OVER.date()}
    assert find(database, 1).handed_over_at == HANDED_OVER


def test_an_issue_taken_back_has_no_day(careful: Settings, database: Database) -> None:
    approve(careful, database, 1, content_hash=find(database, 1).content_hash, now=APPROVED)
    stop(database, 1)
    assert find(database, 1).handed_over_at is None


def test_an_issue_sealed_with_the_day_of_its_draft_keeps_it(
    careful: Settings, database: Database, mails: Path
) -> None:
    """As those of earlier releases are: not a byte of them changes, and replay proves it."""
    issue = find(database, 1)
    [new] = Issues(database).variants(1)
    assert has_day_slot(new)
    old = Renderer(
        careful.newsletter, careful.mail, careful.web, known=known_from(issue.known)
    ).render(
        1, issue.cadence, issue.items, issue.created_at, as_ordered=True
    )
    assert not has_day_slot(old)
    assert "Issue 1 ·" in old.text  # and the number, for issues were not counted by cadence then
    _store(database, old)
    with database.begin() as connection:
        connection.execute(sa.update(issue_table).values(sequence=None))

    assert replay(careful, database, 1).proven
    approve(careful, database, 1, content_hash=issue.content_hash, now=APPROVED)
    send_at_once(database, 1)
    dispatch(careful, 1, now=lambda: HANDED_OVER)
    for path in mails.glob("*.eml"):
        assert days_of(path.read_bytes(), careful) == (HANDED_OVER.date(), {words(careful, DRAFTED)})
    assert replay(careful, database, 1).proven
    _store(database, replace(old, text=old.text.replace(words(careful, DRAFTED), words(careful, LATER))))
    assert replay(careful, database, 1).differing == ("all: text",)


def _store(database: Database, variant: Variant) -> None:
    with database.begin() as connection:
        connection.execute(sa.update(issue_variant).values(
            html=variant.html, text=variant.text, placeholder=variant.placeholder, sha=variant_hash(variant),
        ))


@pytest.mark.parametrize("careful", ["en", "de", "he"], indirect=True)
def test_a_day_is_filled_in_as_it_would_have_been_rendered(careful: Settings, database: Database) -> None:
    issue = find(database, 1)
    [slotted] = Issues(database).variants(1)
    whole = Renderer(
        careful.newsletter, careful.mail, careful.web, known=known_from(issue.known)
    ).render(
        1, issue.cadence, issue.items, DRAFTED, as_ordered=True, sequence=issue.sequence
    )
    filled = dated(slotted, DRAFTED, careful.newsletter)
    assert filled.html == whole.html
    assert _plain(filled.text) == _plain(whole.text)
    assert dated(filled, LATER, careful.newsletter) == filled
