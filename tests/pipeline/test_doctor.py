"""The doctor: every finding is a sentence with what to do, whatever is wrong, and only a test mail is ever sent."""

from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from pydantic import SecretStr

from delivery.ports import LookupFailedError, RecordKind
from milepost.dates import utc_now
from milepost.records import CADENCES
from milepost.settings import Settings
from pipeline.doctor import Finding, examine
from store.database import connect
from store.subscribers.people import Subscribers
from store.upkeep.restore import confirm_restore, mark


class Zone:
    """Records in memory; None: nobody answers."""

    def __init__(self, records: dict[tuple[str, str], list[str]] | None) -> None:
        self.records = records

    def lookup(self, name: str, kind: RecordKind) -> list[str]:
        if self.records is None:
            raise LookupFailedError("no name server answers in time", where=f"{name} {kind}")
        return self.records.get((name, kind), [])


def found(settings: Settings, records: dict[tuple[str, str], list[str]] | None = None, *, to: str | None = None,
          **mail: object) -> dict[str, Finding]:
    changed = settings.model_copy(update={"mail": settings.mail.model_copy(update=mail)})
    return {finding.check: finding for finding in examine(changed, to=to, resolver=Zone(records))}


def test_a_relay_that_takes_mail_and_a_domain_for_examples(settings: Settings, mails: Path) -> None:
    findings = found(settings)
    assert findings["mail relay"].ok is True
    assert "takes mail (no TLS" in findings["mail relay"].says
    assert findings["dns"].ok is None
    assert "is a name for examples" in findings["dns"].says
    assert list(mails.rglob("*.eml")) == []


def test_without_a_network_it_says_so_and_fails_nothing(settings: Settings) -> None:
    findings = found(settings, None, sender="Timeline <news@timeline.tld>", bounce_domain="bounce.timeline.tld")
    assert {name: findings[name].ok for name in ("SPF", "DMARC", "bounces", "PTR")} == dict.fromkeys(
        ("SPF", "DMARC", "bounces", "PTR")
    )
    assert "run it again where the DNS answers" in findings["SPF"].says
    assert findings["leaving by mail"].ok is None
    assert "bounces+…@bounce.timeline.tld" in findings["leaving by mail"].says
    assert findings["sign-ups"].ok is None or "on this machine alone" in findings["sign-ups"].says
    assert "proof of work: off" in findings["sign-ups"].says


def test_an_inbox_that_is_read_needs_no_word_about_leaving(settings: Settings) -> None:
    read = settings.model_copy(update={"bounces": settings.bounces.model_copy(update={"sources": ("mbox:///in",)})})
    assert "leaving by mail" not in found(read, None, sender="Timeline <news@timeline.tld>", bounce_domain="b.tld")


def test_the_records_to_publish_are_given(settings: Settings, tmp_path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "dkim.pem").write_bytes(key)
    findings = found(
        settings, {}, sender="Timeline <news@timeline.tld>", dkim_key_file=tmp_path / "dkim.pem", dkim_selector="s1",
        bounce_domain="bounce.timeline.tld",
    )
    assert findings["SPF"].publish == 'bounce.timeline.tld. TXT "v=spf1 mx a ~all"'
    assert str(findings["DKIM"].publish).startswith('s1._domainkey.timeline.tld. TXT "v=DKIM1; k=ed25519; p=')
    assert findings["DMARC"].publish == (
        '_dmarc.timeline.tld. TXT "v=DMARC1; p=none; rua=mailto:postmaster@timeline.tld"'
    )
    assert [findings[name].ok for name in ("SPF", "DKIM", "DMARC", "bounces")] == [False] * 4


def test_a_test_mail_arrives_signed_and_whole(settings: Settings, mails: Path, tmp_path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "dkim.pem").write_bytes(key)
    findings = found(settings, to="me@readers.example", dkim_key_file=tmp_path / "dkim.pem")
    assert findings["test mail"].ok is True
    assert "me@readers.example: the relay says 250" in findings["test mail"].says
    [arrived] = mails.rglob("*.eml")
    message = message_from_bytes(arrived.read_bytes(), policy=policy.default)
    assert message["To"] == "me@readers.example"
    assert message["Subject"] == "[Test] Clockwork: a mail from milepost doctor"
    assert message["DKIM-Signature"]
    assert message["List-Unsubscribe"]


@pytest.mark.parametrize(
    ("mail", "check", "sentence"),
    [
        ({"url": SecretStr("smtp://127.0.0.1:9")}, "mail relay", "can't be reached"),
        ({"url": SecretStr("smtp+starttls://{host}")}, "mail relay", "offers no STARTTLS"),
        ({"url": SecretStr("smtp://user:hush@{host}")}, "mail relay", "offers no login we know"),
        ({"url": SecretStr("smtp://user:hush@relay.tld?plaintext=1")}, "mail relay", "the password in plain text"),
        ({"url": SecretStr("ses://eu-west-1/odd")}, "dns", "names no region"),
        ({"dkim_key_file": Path("/nowhere.pem")}, "dns", "can't be read"),
        ({"postal_address": " "}, "sender", "postal_address is empty"),
        ({"oauth2_command": ("/nowhere/token",), "url": SecretStr("smtp://user@{host}")}, "mail relay",
         "we want XOAUTH2"),
    ],
)
def test_trouble_is_a_sentence(settings: Settings, mail: dict[str, Any], check: str, sentence: str) -> None:
    host = settings.mail.url.get_secret_value().removeprefix("smtp://")
    if isinstance(url := mail.get("url"), SecretStr):
        mail = mail | {"url": SecretStr(url.get_secret_value().format(host=host))}
    finding = found(settings, {}, **mail)[check]
    assert finding.ok is False
    assert sentence in finding.says
    assert "hush" not in finding.says


def test_a_test_mail_to_no_address_is_told(settings: Settings) -> None:
    finding = found(settings, to="nobody at all")["test mail"]
    assert (finding.ok, "not an e-mail address" in finding.says) == (False, True)


def test_mails_that_stay_in_a_folder_need_no_dns(settings: Settings, tmp_path: Path) -> None:
    findings = found(settings, {}, url=SecretStr(f"maildir:///{tmp_path}/out"), sender="a@timeline.tld")
    assert not {"SPF", "DKIM", "DMARC", "PTR", "dns"} & set(findings)
    assert findings["mail relay"].ok is True


def test_who_asked_for_a_cadence_that_is_not_made_is_told(settings: Settings) -> None:
    made = settings.newsletter.cadences
    other = next(name for name in reversed(CADENCES) if name not in made)
    with connect(settings.store.url) as database:
        Subscribers(database).add("ann@readers.example", state="active", cadence=made[0], topics=(), now=utc_now())
        assert found(settings)["readers"].ok is True
        Subscribers(database).add("eve@readers.example", state="active", cadence=other, topics=(), now=utc_now())

    finding = found(settings)["readers"]

    assert finding.ok is False
    assert f"1 asked for {other}" in finding.says


def test_a_restored_database_is_not_well_until_somebody_looked(settings: Settings) -> None:
    assert found(settings)["database"].ok is True
    with connect(settings.store.url) as database:
        with database.begin() as connection:
            mark(connection, "backup.db")
        finding = found(settings)["database"]
        assert finding.ok is False
        assert "restored from backup.db" in finding.says
        assert "milepost db confirm-restore" in finding.says
        confirm_restore(database, "nothing went out since", utc_now())
    assert found(settings)["database"].ok is True


def test_who_waits_for_ever_is_told(settings: Settings) -> None:
    with connect(settings.store.url) as database:
        Subscribers(database).add("waits@readers.example", state="pending", now=utc_now())
    told = [one for one in examine(settings, resolver=Zone({})) if one.check == "readers"]
    assert [one.ok for one in told] == [True, None]
    assert "1 are pending" in told[1].says


def test_before_the_first_look_the_database_is_missed_once(settings: Settings, tmp_path: Path) -> None:
    none = settings.model_copy(update={"store": settings.store.model_copy(update={"url": f"sqlite:///{tmp_path}/x.db"})})
    missed = [name for name, finding in found(none).items() if "db upgrade" in finding.says]
    assert missed == ["database"]
