"""Bounces and complaints as providers post them, believed only as far as their signature reaches; purely.

    headers, body ─▶ authentic? (else ForgedError) ─▶ events: what each says, whose it is, and by what it is known again

Amazon SES (by SNS)  RSA over the fields that are told; https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
SendGrid             ECDSA over timestamp and body; https://www.twilio.com/docs/sendgrid/for-developers/tracking-events
Mailgun              HMAC over timestamp and token, not over the body: so a token counts once, whatever it comes with;
                     https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
Postmark             a password in the address; https://postmarkapp.com/developer/webhooks/bounce-webhook
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from delivery.bounces import notifications
from delivery.bounces.reports import Bounce, Kind, of_words
from milepost.errors import MilepostError
from milepost.printable import printable

Provider = Literal["ses", "postmark", "sendgrid", "mailgun"]
PROVIDERS: tuple[Provider, ...] = get_args(Provider)

SNS_CERTIFICATE = re.compile(
    r"https://sns\.[a-z0-9-]{3,30}\.amazonaws\.com(?:\.cn)?/SimpleNotificationService-[0-9a-f]{8,64}\.pem", re.ASCII
)
_SNS_CONFIRM = re.compile(
    r"https://sns\.[a-z0-9-]{3,30}\.amazonaws\.com(?:\.cn)?/\?Action=ConfirmSubscription&[!-~]+", re.ASCII
)
_SNS_SIGNED: Mapping[str, tuple[str, ...]] = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_MESSAGE_ID = re.compile(r"^Message-ID:\s*(<[^<>\s]{3,250}>)", re.ASCII | re.IGNORECASE | re.MULTILINE)
_MOST = 1000  # events of one request


class ForgedError(MilepostError):
    """Nothing proves that the provider sent it; nothing is believed of it."""


class MalformedError(MilepostError):
    """The provider sent it, and it is nothing that can be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One event that a provider tells of."""

    known_as: str  # it counts once by this, which its signature binds
    bounce: Bounce
    queue_id: str | None = None  # the provider's own name of the message, as it was told at hand-over


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What a request comes to: events, or a subscription that wants to be confirmed."""

    events: tuple[Event, ...] = ()
    confirm: str | None = None  # an address of Amazon's to ask for


# --- Amazon SES, by SNS ---------------------------------------------------------------------------------------------


def sns_certificate(body: bytes, topics: tuple[str, ...]) -> str:
    """Where the certificate lies that is said to have signed a message of one of our topics; raises ForgedError.

    Nothing of it is proven yet; but for what doesn't even say that it is ours, Amazon is not asked.
    """
    said = _object(body)
    if said.get("TopicArn") not in topics:  # anybody can have a topic of their own, rightly signed
        raise ForgedError(f"it is of another topic than bounces.ses_topics names: {said.get('TopicArn')}")
    url = _text(said.get("SigningCertURL")) or ""
    if not SNS_CERTIFICATE.fullmatch(url):
        raise ForgedError("its certificate would come from somewhere else than Amazon SNS")
    return url


def from_sns(body: bytes, *, certificate: bytes) -> Told:
    """`certificate`: PEM, as it lay at `sns_certificate`, which asks for the topic. Raises ForgedError."""
    said = _object(body)
    kind, version = str(said.get("Type")), said.get("SignatureVersion")
    algorithm = {"1": hashes.SHA1(), "2": hashes.SHA256()}.get(str(version))  # noqa: S303 (version 1 is SNS's own)
    if kind not in _SNS_SIGNED or algorithm is None:
        raise ForgedError("it is no message of SNS")
    signed = "".join(
        f"{name}\n{value}\n" for name in _SNS_SIGNED[kind] if isinstance(value := said.get(name), str)
    )
    try:
        key = x509.load_pem_x509_certificate(certificate).public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise ForgedError("its certificate has another kind of key")
        key.verify(_base64(said.get("Signature")), signed.encode(), padding.PKCS1v15(), algorithm)
    except (InvalidSignature, ValueError) as error:
        raise ForgedError("its signature is wrong") from error
    if kind != "Notification":
        url = str(said.get("SubscribeURL"))
        if kind == "SubscriptionConfirmation" and _SNS_CONFIRM.fullmatch(url):
            return Told(confirm=url)
        return Told()
    told = notifications.read(str(said.get("Message")))
    if told is None or told.kind == "delivered":
        return Told()
    bounce = replace(
        _bounce(told.kind, told.status, told.diagnostic), recipient=told.recipient, message_id=told.message_id,
        addresses=told.senders,
    )
    return Told(events=(Event(known_as=f"ses:{said['MessageId']}", bounce=bounce, queue_id=told.queue_id),))


# --- SendGrid -------------------------------------------------------------------------------------------------------


def from_sendgrid(body: bytes, headers: Mapping[str, str], *, public_key: str) -> Told:
    """`public_key`: as SendGrid shows it, base64; `headers`: lower-case names. Raises ForgedError, MalformedError."""
    signature = headers.get("x-twilio-email-event-webhook-signature")
    timestamp = headers.get("x-twilio-email-event-webhook-timestamp", "")
    try:
        key = load_der_public_key(_base64(public_key))
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise ForgedError("bounces.sendgrid_key is no key of an elliptic curve")
        key.verify(_base64(signature), timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError) as error:
        raise ForgedError("its signature is wrong") from error
    return Told(events=tuple(_of_sendgrid(one) for one in _list(body) if one.get("event") in _SENDGRID))


_SENDGRID: Mapping[object, Kind] = {"bounce": "failed", "spamreport": "complaint"}


def _of_sendgrid(one: Mapping[str, object]) -> Event:
    kind = _SENDGRID[one.get("event")]  # not "dropped": that is SendGrid's own list, and no mailbox's word
    reason, status = _text(one.get("reason")) or "", _text(one.get("status"))
    message_id = _text(one.get("smtp-id"))
    return Event(
        known_as=f"sendgrid:{one.get('sg_event_id')}:{one.get('event')}",
        bounce=replace(
            _bounce(kind, status, reason), recipient=_text(one.get("email")), message_id=_bracketed(message_id)
        ),
        queue_id=(_text(one.get("sg_message_id")) or "").partition(".")[0] or None,
    )


# --- Mailgun --------------------------------------------------------------------------------------------------------


def from_mailgun(body: bytes, *, key: str) -> Told:
    """`key`: the account's HTTP webhook signing key. Raises ForgedError."""
    said = _object(body)
    signature = _mapping(said.get("signature"))
    token, timestamp = str(signature.get("token", "")), str(signature.get("timestamp", ""))
    right = hmac.new(key.encode(), f"{timestamp}{token}".encode(), hashlib.sha256).hexdigest()
    if not token or not hmac.compare_digest(right.encode(), str(signature.get("signature", "")).encode()):
        raise ForgedError("its signature is wrong")
    data = _mapping(said.get("event-data"))
    status = _mapping(data.get("delivery-status"))
    words = _text(status.get("message")) or _text(status.get("description")) or ""
    if str(data.get("reason", "")).startswith("suppress"):
        return Told()  # Mailgun's own list, and no mailbox's word
    match data.get("event"), data.get("severity"):
        case "complained", _:
            kind: Kind = "complaint"
        case "failed", "permanent":
            kind = "failed"
        case _:
            return Told()
    headers = _mapping(_mapping(data.get("message")).get("headers"))
    code = status.get("code")
    smtp = code if isinstance(code, int) and 400 <= code < 600 else None  # Mailgun has numbers of its own too: 605
    bounce = _bounce(kind, _text(status.get("enhanced-code")), words, smtp)
    return Told(events=(Event(
        known_as=f"mailgun:{token}",
        bounce=replace(
            bounce, recipient=_text(data.get("recipient")), message_id=_bracketed(_text(headers.get("message-id")))
        ),
    ),))


# --- Postmark -------------------------------------------------------------------------------------------------------

_POSTMARK: Mapping[object, tuple[Kind, str | None]] = {  # https://postmarkapp.com/developer/api/bounce-api#bounce-types
    "HardBounce": ("failed", "5.1.1"), "BadEmailAddress": ("failed", "5.1.1"), "SoftBounce": ("failed", "5.0.0"),
    "Transient": ("delayed", "4.0.0"), "DnsError": ("failed", "5.0.0"), "SpamNotification": ("failed", "5.7.1"),
    "Blocked": ("failed", "5.7.1"), "DMARCPolicy": ("failed", "5.7.1"), "SpamComplaint": ("complaint", None),
}


def from_postmark(body: bytes, headers: Mapping[str, str], *, password: str) -> Told:
    """`password`: as it stands in the webhook's address, for any user (RFC 7617). Raises ForgedError."""
    scheme, _, shown = headers.get("authorization", "").partition(" ")
    try:
        given = _base64(shown).partition(b":")[2]
    except ValueError:
        given = b""
    if scheme.lower() != "basic" or not hmac.compare_digest(given, password.encode()):
        raise ForgedError("it has not the password of bounces.postmark_password")
    said = _object(body)
    if said.get("RecordType") not in ("Bounce", "SpamComplaint") or said.get("Type") not in _POSTMARK:
        return Told()
    kind, status = _POSTMARK[said["Type"]]
    words = _text(said.get("Details")) or _text(said.get("Description")) or ""
    named = _MESSAGE_ID.search(_text(said.get("Content"), 64 * 1024) or "")
    return Told(events=(Event(
        known_as=f"postmark:{said.get('RecordType')}:{said.get('ID')}",
        bounce=replace(
            _bounce(kind, status, words), recipient=_text(said.get("Email")),
            message_id=named.group(1) if named else None,
        ),
        queue_id=_text(said.get("MessageID")),
    ),))


# --- what they have in common ---------------------------------------------------------------------------------------


def _bounce(kind: Kind, status: str | None, words: str, code: int | None = None) -> Bounce:
    """Graded by the remote host's own words, as a report by mail is."""
    if kind == "failed":
        found = of_words(status or "5.0.0", words)
        return found if found.code is not None or code is None else replace(found, code=code)
    return Bounce(kind=kind, status=status, diagnostic=printable(words)[:1000])


def _bracketed(message_id: str | None) -> str | None:
    return None if not message_id else message_id if message_id.startswith("<") else f"<{message_id}>"


def _object(body: bytes) -> Mapping[str, object]:
    return _mapping(_json(body))


def _list(body: bytes) -> Iterator[Mapping[str, object]]:
    found = _json(body)
    if not isinstance(found, list) or len(found) > _MOST:
        raise MalformedError("it is no list of events")
    return (one for one in found if isinstance(one, dict))


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedError("it is no JSON") from error


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _text(value: object, most: int = 1000) -> str | None:
    return value[:most] if isinstance(value, str) and value else None


def _base64(text: object) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except binascii.Error as error:
        raise ValueError("no base64") from error
