"""What the settings of [mail] do to what is sent: signatures, envelopes that name their delivery, connections."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from delivery.message import verp
from delivery.message.tokens import message_id
from milepost.dates import utc_now
from milepost.errors import SettingsError
from milepost.settings import Settings
from pipeline import dispatch as steps
from pipeline.link_keys import signing_key
from pipeline.publish import publish
from store.database import Database
from store.ledger.bounces import Bounces
from store.ledger.ledger import Ledger
from store.schema.tables import issue
from tests.pipeline import prepared
from tests.pipeline.stage import READERS, BreakableSite


def with_mail(settings: Settings, **values: object) -> Settings:
    return settings.model_copy(update={"mail": settings.mail.model_copy(update=values)})


def news(settings: Settings, site: BreakableSite) -> None:
    prepared.copy("news", settings)
    site.publish()
    publish(settings)


def test_mail_is_signed_where_there_is_a_key(
    settings: Settings, site: BreakableSite, mails: Path, tmp_path: Path
) -> None:
    key = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "dkim.pem").write_bytes(key)
    news(settings, site)
    [number] = steps.waiting(settings)
    sent = steps.dispatch(with_mail(settings, dkim_key_file=tmp_path / "dkim.pem", dkim_selector="s1"), number)
    assert sent.report.results == {"sent": len(READERS)}
    letters = [path.read_bytes() for path in mails.rglob("*.eml")]
    assert len(letters) == len(READERS)
    for letter in letters:
        head = letter.partition(b"\r\n\r\n")[0] if b"\r\n\r\n" in letter else letter.partition(b"\n\n")[0]
        assert head.count(b"DKIM-Signature:") == 1
        assert b"d=clockwork.example" in head
        assert b"s=s1" in head


def test_a_key_that_is_not_there_sends_nothing(settings: Settings, site: BreakableSite, mails: Path) -> None:
    news(settings, site)
    [number] = steps.waiting(settings)
    with pytest.raises(SettingsError, match=r"nowhere\.pem can't be read"):
        steps.dispatch(with_mail(settings, dkim_key_file=Path("nowhere.pem")), number)
    assert not list(mails.rglob("*.eml"))


def test_an_envelope_names_its_delivery_where_bounces_have_a_domain(
    settings: Settings, site: BreakableSite, database: Database
) -> None:
    news(settings, site)
    [number] = steps.waiting(settings)
    bouncing = with_mail(settings, bounce_domain="bounce.clockwork.example")
    mailing = steps._mailing(bouncing, database, number, now=utc_now())
    claims = Ledger(database).claim(number, limit=10, lease_seconds=60)
    senders = [mailing.envelope(claim) for claim in claims]
    assert len(set(senders)) == len(READERS)
    key = signing_key(bouncing, database)
    ids = [claim.delivery_id for claim in claims]
    names = Bounces(database).names(ids)
    assert [verp.parse(key, sender, names.get) for sender in senders] == [verp.claimed(one) for one in senders] == ids
    strangers = dict.fromkeys(ids, "f" * 40)  # who got these numbers from a database that was put back
    assert [verp.parse(key, sender, strangers.get) for sender in senders] == [None] * len(ids)
    assert verp.parse(key, senders[0]) is None
    assert all(sender.endswith("@bounce.clockwork.example") for sender in senders)


def test_an_issue_from_before_mails_had_handles_keeps_the_names_of_its_mails(
    settings: Settings, site: BreakableSite, database: Database
) -> None:
    news(settings, site)
    [number] = steps.waiting(settings)
    with database.begin() as connection:
        connection.execute(sa.update(issue).values(handle=None))
    bouncing = with_mail(settings, bounce_domain="bounce.clockwork.example")
    mailing = steps._mailing(bouncing, database, number, now=utc_now())
    [claim, *_] = Ledger(database).claim(number, limit=10, lease_seconds=60)
    key = signing_key(bouncing, database)
    assert mailing.message_id(claim) == message_id(
        key, issue=number, reader=claim.subscriber_id, domain="clockwork.example"
    )
    sender = verp.make(key, base="bounces@bounce.clockwork.example", delivery_id=claim.delivery_id)
    assert mailing.envelope(claim) == sender
    assert verp.parse(key, sender, Bounces(database).names([claim.delivery_id]).get) == claim.delivery_id


def test_the_settings_set_the_limits(settings: Settings) -> None:
    limits = steps._limits(with_mail(settings, connections=7, messages_per_connection=5, per_second=2.5))
    assert (limits.connections, limits.per_connection, limits.per_second) == (7, 5, 2.5)
