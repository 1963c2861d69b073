"""What providers post: believed as far as it is signed and about a mail of ours, once however often it comes."""

import asyncio
import base64
import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from delivery.bounces.provider_events import ForgedError
from milepost.errors import FetchError
from milepost.settings import BounceSettings, Settings, load
from pipeline.bounces import suppress_worn_out
from pipeline.provider_reports import ProviderReports
from store.database import Database, connect
from store.operators.figures import read
from store.schema import tables
from store.subscribers.people import Subscribers
from store.subscribers.suppressions import Suppressions
from tests.pipeline import prepared
from tests.web.conftest import LIST_ID, NOW, MemoryIssues, MemorySubscribers, MemoryTopics, NoSignUps, keys
from tests.whole_tables import walked_through
from web.app import create_app
from web.hooks import LONGEST

TOPIC = "arn:aws:sns:eu-west-1:000000000000:bounces"
CERTIFICATE = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"
CONFIRM = f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=ab"
EC_KEY, RSA_KEY = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
MAILGUN, POSTMARK = "an-invented-signing-key", "an-invented-password"
MESSAGE = f"<{'a2' * 16}@clockwork.example>"
FIRST = "t-1"
NO_SUCH = "550 5.1.1 no such user here"


def _pem() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.example")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(RSA_KEY.public_key())
        .serial_number(1).not_valid_before(NOW - dt.timedelta(days=1)).not_valid_after(NOW + dt.timedelta(days=9))
        .sign(RSA_KEY, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


PEM = _pem()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "milepost.toml").write_text(
        prepared.SETTINGS.format(site="http://127.0.0.1:9", smtp=9), encoding="utf-8"
    )
    loaded = load(tmp_path / "milepost.toml")
    prepared.copy("issue", loaded)
    der = EC_KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    bounces = BounceSettings.model_validate({
        "ses_topics": [TOPIC], "sendgrid_key": base64.b64encode(der).decode(), "mailgun_key": MAILGUN,
        "postmark_password": POSTMARK,
    })
    return loaded.model_copy(update={"bounces": bounces})


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """The first delivery was handed over, and has a name of ours and one of the relay's."""
    with connect(settings.store.url) as opened:
        with opened.begin() as connection:
            first = sa.select(sa.func.min(tables.delivery.c.id)).scalar_subquery()
            connection.execute(sa.update(tables.delivery).where(tables.delivery.c.id == first).values(
                state="sent", message_id=MESSAGE, queue_id="queued-1",
            ))
        yield opened


class Amazon:
    """What would be asked of Amazon."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.down = False

    def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        if self.down:
            raise FetchError("no answer", where=url)
        return PEM


@pytest.fixture
def amazon() -> Amazon:
    return Amazon()


@pytest.fixture
def post(settings: Settings, database: Database, amazon: Amazon) -> Any:
    app: Any = create_app(
        issues=MemoryIssues(), own_page=MemorySubscribers(), topics=MemoryTopics(), signing_up=NoSignUps(),
        settings=settings, keys=keys, list_id=LIST_ID, now=lambda: NOW,
        reports=ProviderReports(settings, database, amazon),
    )

    def send(provider: str, body: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
        async def go() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://x.example") as client:
                return await client.post(f"/hooks/{provider}", content=body, headers=headers)

        return asyncio.run(go())

    return send


@pytest.fixture
def reader(database: Database) -> str:
    with database.connect() as connection:
        found: str = connection.execute(
            sa.select(tables.delivery.c.address).where(tables.delivery.c.message_id == MESSAGE)
        ).scalar_one()
        return found


# --- as each provider writes ----------------------------------------------------------------------------------------


def sns(notification: dict[str, Any] | None = None, *, version: str = "2", **changes: str) -> bytes:
    said = {
        "Type": "Notification", "MessageId": "m-1", "TopicArn": TOPIC, "Timestamp": "2026-11-23T09:00:00Z",
        "Message": json.dumps(notification or {}), "SignatureVersion": version, "SigningCertURL": CERTIFICATE,
    } | changes
    names = ("Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
    text = "".join(f"{name}\n{said[name]}\n" for name in names if name in said)
    algorithm = hashes.SHA256() if version == "2" else hashes.SHA1()  # noqa: S303
    said["Signature"] = base64.b64encode(RSA_KEY.sign(text.encode(), padding.PKCS1v15(), algorithm)).decode()
    return json.dumps(said).encode()


def of_ses(reader: str, *, kind: str = "Bounce", queue_id: str = "queued-1") -> dict[str, Any]:
    about: dict[str, Any] = (
        {"bouncedRecipients": [{"emailAddress": reader, "status": "5.1.1", "diagnosticCode": f"smtp; {NO_SUCH}"}]}
        if kind == "Bounce" else {"complainedRecipients": [{"emailAddress": reader}]}
    )
    return {"notificationType": kind, kind.lower(): about, "mail": {"source": "b@x.example", "messageId": queue_id}}


def sendgrid(*events: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    body, at = json.dumps(events).encode(), "1764000000"
    signature = base64.b64encode(EC_KEY.sign(at.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()
    return body, {
        "X-Twilio-Email-Event-Webhook-Signature": signature, "X-Twilio-Email-Event-Webhook-Timestamp": at,
    }


def mailgun(token: str = FIRST, **data: Any) -> bytes:
    signature = hmac.new(MAILGUN.encode(), f"1764000000{token}".encode(), hashlib.sha256).hexdigest()
    return json.dumps({
        "signature": {"timestamp": "1764000000", "token": token, "signature": signature}, "event-data": data,
    }).encode()


def basic(password: str = POSTMARK) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"any:{password}".encode()).decode()}


def request(provider: str, reader: str, *, complaint: bool = False) -> tuple[bytes, dict[str, str]]:
    match provider:
        case "ses":
            return sns(of_ses(reader, kind="Complaint" if complaint else "Bounce")), {}
        case "sendgrid":
            event = {"event": "spamreport"} if complaint else {"event": "bounce", "status": "5.1.1", "reason": NO_SUCH}
            return sendgrid(event | {"email": reader, "smtp-id": MESSAGE, "sg_event_id": "e-1"})
        case "mailgun":
            said: dict[str, Any] = {"event": "complained"} if complaint else {
                "event": "failed", "severity": "permanent", "delivery-status": {"code": 550, "message": NO_SUCH},
            }
            message = {"headers": {"message-id": MESSAGE.strip("<>")}}
            return mailgun(**said, recipient=reader, message=message), {}
        case _:
            kind = ("SpamComplaint", "SpamComplaint") if complaint else ("Bounce", "HardBounce")
            return json.dumps({
                "RecordType": kind[0], "Type": kind[1], "ID": 42, "MessageID": "queued-1", "Email": reader,
                "Details": NO_SUCH,
            }).encode(), basic()


EACH = pytest.mark.parametrize("provider", ["ses", "sendgrid", "mailgun", "postmark"])


@EACH
def test_a_dead_address_is_suppressed_and_told_again_it_is_only_seen(
    provider: str, post: Any, reader: str, database: Database
) -> None:
    body, headers = request(provider, reader)
    answer = post(provider, body, headers)
    assert (answer.status_code, answer.json()) == (200, {"suppressed": 1})
    assert Suppressions(database).find(reader) is not None
    assert post(provider, body, headers).json() == {"seen": 1}


@EACH
def test_who_complains_is_unsubscribed(provider: str, post: Any, reader: str, database: Database) -> None:
    assert post(provider, *request(provider, reader, complaint=True)).json() == {"unsubscribed": 1}
    found = Subscribers(database).find(reader)
    assert found is not None
    assert found.state == "unsubscribed"


@EACH
def test_a_body_that_was_changed_or_never_signed_does_nothing(
    provider: str, post: Any, reader: str, database: Database
) -> None:
    body, headers = request(provider, reader)
    if provider == "mailgun":  # the body is not signed: the token is
        body = body.replace(b"t-1", b"t-2")
    elif provider == "postmark":
        headers = basic("another-password-here")
    else:
        body = body.replace(reader.encode(), b"other@readers.example")
    assert post(provider, body, headers).status_code == 401
    assert post(provider, b"[]" if provider == "sendgrid" else b"{}").status_code == 401
    assert Suppressions(database).list() == []


@pytest.mark.parametrize("provider", ["sendgrid", "mailgun", "postmark"])
def test_while_a_provider_s_secret_is_changed_either_is_believed(
    provider: str, settings: Settings, database: Database, reader: str
) -> None:
    other = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    new = {"sendgrid_key": base64.b64encode(other).decode(), "mailgun_key": SecretStr("m" * 16),
           "postmark_password": SecretStr("p" * 16)}
    before = {f"previous_{name}": getattr(settings.bounces, name) for name in new}
    body, headers = request(provider, reader)

    def taken(**values: object) -> int:
        changed = settings.model_copy(update={"bounces": settings.bounces.model_copy(update=values)})
        heard = ProviderReports(changed, database)
        return sum(heard.take(provider, {name.lower(): value for name, value in headers.items()}, body, NOW).values())

    with pytest.raises(ForgedError):
        taken(**new)
    assert taken(**new, **before) == 1


@EACH
def test_what_is_about_no_mail_of_ours_is_counted_as_forged(
    provider: str, post: Any, reader: str, database: Database
) -> None:
    with database.begin() as connection:
        connection.execute(sa.update(tables.delivery).values(message_id=None, queue_id=None))
    assert post(provider, *request(provider, reader)).json() == {"forged": 1}
    assert Suppressions(database).list() == []


def test_a_token_of_mailgun_s_counts_once_whatever_comes_with_it(post: Any, reader: str, database: Database) -> None:
    post("mailgun", *request("mailgun", reader))
    headers = {"headers": {"message-id": MESSAGE.strip("<>")}}
    assert post("mailgun", mailgun(event="complained", recipient=reader, message=headers)).json() == {"seen": 1}
    found = Subscribers(database).find(reader)
    assert found is not None
    assert found.state == "active"


# --- Amazon's way ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", [
    "https://sns.eu-west-1.amazonaws.com.evil.example/SimpleNotificationService-0123456789abcdef.pem",
    "https://evil.example/SimpleNotificationService-0123456789abcdef.pem",
    "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
    "https://sns.eu-west-1.amazonaws.com@evil.example/SimpleNotificationService-0123456789abcdef.pem",
    "https://bucket.s3.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem", "",
])
def test_a_certificate_of_somebody_else_s_is_not_even_asked_for(
    url: str, post: Any, reader: str, amazon: Amazon
) -> None:
    assert post("ses", sns(of_ses(reader), SigningCertURL=url)).status_code == 401
    assert amazon.asked == []


def test_another_topic_is_not_ours_though_amazon_signed_it(post: Any, reader: str, amazon: Amazon) -> None:
    assert post("ses", sns(of_ses(reader), TopicArn=f"{TOPIC}-of-others")).status_code == 401
    assert amazon.asked == []


@pytest.mark.parametrize("version", ["1", "2"])
def test_either_version_of_the_signature_counts_and_the_certificate_is_asked_for_once(
    version: str, post: Any, reader: str, amazon: Amazon
) -> None:
    assert post("ses", sns(of_ses(reader), version=version)).json() == {"suppressed": 1}
    post("ses", sns(of_ses(reader), version=version))
    assert amazon.asked == [CERTIFICATE]


def test_a_subscription_is_confirmed_if_it_is_amazon_s_own(post: Any, amazon: Amazon) -> None:
    asks: Any = {"Type": "SubscriptionConfirmation", "Token": "ab", "Message": "Will you?"}
    assert post("ses", sns(**asks, SubscribeURL=CONFIRM)).status_code == 200
    assert amazon.asked == [CERTIFICATE, CONFIRM]
    post("ses", sns(**asks, SubscribeURL="https://evil.example/?Action=ConfirmSubscription&Token=ab"))
    assert amazon.asked == [CERTIFICATE, CONFIRM]


def test_amazon_that_can_t_be_asked_posts_again(post: Any, reader: str, amazon: Amazon) -> None:
    amazon.down = True
    answer = post("ses", sns(of_ses(reader)))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    amazon.down = False
    assert post("ses", sns(of_ses(reader))).json() == {"suppressed": 1}


# --- the door -------------------------------------------------------------------------------------------------------


def test_what_is_no_body_of_theirs_is_refused_in_a_word(post: Any) -> None:
    assert post("postmark", b"[[[", basic()).status_code == 400
    assert post("nobody", b"{}").status_code == 404
    assert post("mailgun", b"x" * (LONGEST + 1)).status_code == 413
    assert post("postmark", json.dumps({"RecordType": "Open", "ID": 1}).encode(), basic()).json() == {}


def test_what_nobody_signed_is_counted_for_all_to_see_and_written_once_a_minute(
    settings: Settings, database: Database
) -> None:
    reports = ProviderReports(settings, database)

    def forged(now: dt.datetime) -> int:
        with pytest.raises(ForgedError):
            reports.take("postmark", {}, b"{}", now)
        return read(database, [], looks=1, now=now).refused["postmark"]

    seconds = (0, 1, 59, 61, 62)
    assert [forged(NOW + dt.timedelta(seconds=after)) for after in seconds] == [1, 1, 1, 4, 4]


def test_what_mailgun_did_not_even_try_is_no_mailbox_s_word(post: Any, reader: str) -> None:
    said: dict[str, Any] = {
        "event": "failed", "severity": "permanent", "reason": "suppress-bounce", "delivery-status": {"code": 605},
    }
    headers = {"headers": {"message-id": MESSAGE}}
    assert post("mailgun", mailgun(**said, recipient=reader, message=headers)).json() == {}
    later = said | {"reason": "generic", "delivery-status": {"code": 605, "message": "too old"}}
    assert post("mailgun", mailgun("t-3", **later, recipient=reader, message=headers)).json() == {"counted": 1}


def test_a_mailbox_that_is_full_is_counted_and_a_refusal_of_us_is_no_reader_s_fault(post: Any, reader: str) -> None:
    event = {"event": "bounce", "email": reader, "smtp-id": MESSAGE}
    full = event | {"sg_event_id": "e-7", "status": "5.2.2", "reason": "552 5.2.2 mailbox full"}
    ours = event | {"sg_event_id": "e-8", "status": "5.7.1", "type": "blocked", "reason": "550 5.7.1 on a blocklist"}
    dropped = event | {"sg_event_id": "e-9", "event": "dropped", "reason": "Bounced Address"}
    assert post("sendgrid", *sendgrid(full, ours, dropped)).json() == {"counted": 1, "noted": 1}


# --- a storm of them ------------------------------------------------------------------------------------------------


def _full(message_id: str, reader: str, event: str) -> tuple[bytes, dict[str, str]]:
    return sendgrid({"event": "bounce", "email": reader, "smtp-id": message_id, "sg_event_id": event,
                     "status": "4.2.2", "reason": "452 4.2.2 mailbox full"})


def _full_before(database: Database, issues: int) -> list[str]:
    """As many issues, a month after another, that came back to every reader; returns their addresses.

    The last went out a day ago; that its mailbox was full nobody has told of it yet.
    """
    with database.begin() as connection:
        first = connection.execute(sa.select(tables.issue)).mappings().one()
        sent = connection.execute(sa.select(tables.delivery).order_by(tables.delivery.c.id)).mappings().all()
        variant = connection.execute(sa.select(tables.issue_variant)).mappings().first()
        assert variant is not None
        for ago in range(issues, 0, -1):
            number, at = first["number"] + ago, NOW - dt.timedelta(days=30 * ago)
            connection.execute(sa.insert(tables.issue).values(
                {**first, "number": number, "period": f"before-{ago}", "frozen_at": at, "handle": None,
                 "sequence": None, "state": "complete"}
            ))
            connection.execute(sa.insert(tables.issue_variant).values({**variant, "issue": number}))
            for one in sent:
                values = {name: one[name] for name in ("subscriber", "normalized", "address")}
                made = connection.execute(sa.insert(tables.delivery).values(
                    **values, issue=number, variant=variant["name"], state="sent", attempts=1, first_attempt_at=at,
                    updated_at=at,
                )).inserted_primary_key
                assert made is not None
                connection.execute(sa.insert(tables.bounce).values(
                    digest=f"before-{made[0]}", read_at=at, delivery_id=made[0], proof="message-id", grade="soft",
                    text="full",
                ))
        last, yesterday = first["number"], NOW - dt.timedelta(days=1)
        connection.execute(sa.update(tables.issue).where(tables.issue.c.number == last).values(
            frozen_at=yesterday
        ))
        connection.execute(sa.update(tables.delivery).where(tables.delivery.c.issue == last).values(
            first_attempt_at=yesterday
        ))
        return [one["address"] for one in sent]


def test_the_last_straw_is_heard_of_whom_it_is_about_and_the_rest_waits_for_the_next_sweep(
    post: Any, reader: str, database: Database
) -> None:
    """Five monthly issues came back to each; each post looks at its own readers alone, also when it is posted again."""
    readers = _full_before(database, 4)
    with database.begin() as connection:  # somebody else has had five, and no report is about them now
        other = tables.delivery.c.address == next(one for one in readers if one != reader)
        mine = sa.select(tables.delivery.c.id).where(tables.delivery.c.attempts == 1, other).order_by(
            tables.delivery.c.id.desc()).limit(1)
        fifth = sa.select(sa.func.min(tables.delivery.c.id)).where(other)
        connection.execute(sa.insert(tables.bounce).from_select(
            ["digest", "read_at", "delivery_id", "grade", "text"],
            sa.select(sa.literal("fifth"), tables.bounce.c.read_at, fifth.scalar_subquery(), sa.literal("soft"),
                      sa.literal("full")).where(tables.bounce.c.delivery_id.in_(mine)),
        ))
        connection.execute(sa.update(tables.delivery).where(tables.delivery.c.id == fifth.scalar_subquery()).values(
            state="sent"))
    assert post("sendgrid", *_full(MESSAGE, reader, "e-1")).json() == {"counted": 1}
    assert [one.reason for one in Suppressions(database).list()] == ["5 soft bounces"]
    assert [one.normalized for one in Suppressions(database).list()] == [reader]
    with database.begin() as connection:  # as if the program had died between the two
        connection.execute(sa.delete(tables.suppression))
    assert post("sendgrid", *_full(MESSAGE, reader, "e-1")).json() == {"seen": 1}
    assert [one.normalized for one in Suppressions(database).list()] == [reader]
    assert len(suppress_worn_out(database, now=NOW)) == 1


@pytest.mark.parametrize("about", ["ours", "another program's mail", "a letter"])
def test_no_post_walks_through_what_was_ever_sent_or_came_back(
    about: str, post: Any, reader: str, database: Database
) -> None:
    """Each of a hundred thousand that come at once is a post by itself."""
    _full_before(database, 2)
    name, whom = {
        "ours": (MESSAGE, reader), "another program's mail": ("<1@elsewhere.example>", "a@strangers.example"),
        "a letter": (f"<{'b3' * 16}@clockwork.example>", "a@strangers.example"),
    }[about]
    with walked_through(database) as whole:
        came_to = post("sendgrid", *_full(name, whom, "e-1")).json()
    assert came_to == ({"counted": 1} if about == "ours" else {"forged": 1})
    assert set(whole) & {"delivery", "attempt", "bounce", "letter", "subscriber", "suppression"} == set(), whole


def test_what_a_provider_says_of_a_forwarded_mail_names_whom_it_was_sent_to(post: Any, database: Database) -> None:
    """They know whom we handed it over for: a Message-ID of ours with another recipient is nobody's."""
    assert post("sendgrid", *_full(MESSAGE, "elsewhere@strangers.example", "e-1")).json() == {"forged": 1}
    assert Suppressions(database).list() == []
