"""The settings' names in the headers of real mails: as they were typed, in every language of ours."""

from pathlib import Path

import pytest

from milepost.dates import utc_now
from milepost.errors import LintError, SettingsError
from milepost.settings import Settings
from pipeline.dispatch import dispatch
from pipeline.edit import approve, edit, find, send_at_once, trial_mail
from pipeline.mail_identity import bounce_address, letterhead, sender
from pipeline.publish import publish
from store.database import Database
from tests.delivery.test_message import decoded
from tests.pipeline import prepared
from tests.pipeline.stage import BreakableSite

NAMES = ["Zeitreise für KI", "Müller, Clockwork", "ציר הזמן, שלנו", "⏳ Clocks 👩‍💻", "Der „lange“ Name " * 12]


@pytest.fixture
def careful(settings: Settings, site: BreakableSite) -> Settings:
    """A newsletter whose issues want an approval, with two milestones waiting for one."""
    prepared.copy("news", settings)
    site.publish()
    return settings.model_copy(update={"newsletter": settings.newsletter.model_copy(update={"approval": True})})


def called(settings: Settings, name: str, language: str = "en", **mail: object) -> Settings:
    quoted = '"' + name.strip().replace('"', '\\"') + '"'
    return settings.model_copy(update={
        "mail": settings.mail.model_validate({
            **settings.mail.model_dump(by_alias=True), "from": f"{quoted} <news@clockwork.example>",
            "reply_to": f"{quoted} <desk@uhrwörk.example>", **mail,
        }),
        "newsletter": settings.newsletter.model_copy(update={"name": name, "language": language}),
    })


@pytest.mark.parametrize("language", ["en", "de", "he"])
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_of_the_settings_is_what_a_reader_sees(
    careful: Settings, database: Database, mails: Path, name: str, language: str
) -> None:
    settings = called(careful, name, language)
    [made] = publish(settings)
    approve(settings, database, 1, content_hash=made.issue.content_hash, now=utc_now())
    send_at_once(database, 1)
    dispatch(settings, 1)

    raws = [path.read_bytes() for path in mails.glob("*.eml")]
    raws.append(trial_mail(settings, database, 1, "me@readers.example", now=utc_now()).message)
    assert len(raws) == 4
    words = " ".join(name.split())
    for raw in raws:
        assert decoded(raw, "From") == f"{words} <news@clockwork.example>"
        assert decoded(raw, "Reply-To") == f"{words} <desk@xn--uhrwrk-zxa.example>"
        assert decoded(raw, "List-Id") == f"{words} <news.clockwork.example>"
        assert decoded(raw, "Subject").endswith(find(database, 1).subject)


def test_a_name_that_was_encoded_by_hand_makes_no_draft(careful: Settings, database: Database) -> None:
    settings = called(careful, "=?utf-8?q?Zeitreise_f=C3=BCr_KI?=")
    with pytest.raises(LintError, match=r"From reads “= [?]utf-8"):
        publish(settings)
    assert publish(careful)[0].issue.number == 1  # nothing was drafted then
    with pytest.raises(LintError, match="From reads "):
        edit(settings, database, 1, subject="Clocks that agree")
    assert find(database, 1).subject != "Clocks that agree"


def test_the_sender_of_the_envelope_is_an_address_alone(careful: Settings) -> None:
    assert bounce_address(careful) == sender(careful).address
    named = called(careful, "Clocks", return_path="Bounces <back@clockwork.example>")
    assert bounce_address(named) == "back@clockwork.example"


def test_settings_without_a_sender_have_no_letterhead(careful: Settings) -> None:
    nobody = careful.model_copy(update={"mail": careful.mail.model_copy(update={"sender": ""})})
    with pytest.raises(SettingsError, match=r"mail\.from is missing"):
        letterhead(nobody, "list.example")
    dotted = careful.model_copy(update={"mail": careful.mail.model_copy(update={"sender": "x@a..b"})})
    with pytest.raises(SettingsError, match=r"mail\.from = 'x@a\.\.b' has no domain to mail from"):
        sender(dotted)
