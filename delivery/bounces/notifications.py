"""Amazon SES's notifications of bounces and complaints, as SNS mails them: JSON in the text of a letter.

    {"notificationType": "Complaint", "mail": {"source": our keyed address, …}, "complaint": {…}}

Sources: https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html, and SNS's own wrapper around it
(https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["failed", "delivered", "complaint", "unclear"]

_LONGEST = 256 * 1024  # characters; SNS's limit


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What a notification says; proves nothing."""

    kind: Kind
    status: str | None = None
    diagnostic: str = ""
    recipient: str | None = None
    message_id: str | None = None  # of our message, where its headers are told
    senders: tuple[str, ...] = ()  # its envelope sender
    queue_id: str | None = None  # SES's own name of our message


def read(text: str) -> Told | None:
    """Read the text of a letter; None when it holds no such notification. Never raises."""
    start = text[:_LONGEST].find("{")
    if start < 0 or ("otificationType" not in text and "eventType" not in text):
        return None
    said = _object(text[start:_LONGEST])
    if isinstance(wrapped := said.get("Message"), str):  # SNS's wrapper
        said = _object(wrapped)
    kind, mail = said.get("notificationType") or said.get("eventType"), _mapping(said.get("mail"))
    if kind not in ("Bounce", "Complaint", "Delivery"):
        return None
    about = _mapping(said.get(str(kind).lower()))
    reader = next(_mappings(about.get("bouncedRecipients") or about.get("complainedRecipients")), {})
    headers = {str(one.get("name", "")).lower(): one.get("value") for one in _mappings(mail.get("headers"))}
    named = headers.get("message-id") or _mapping(mail.get("commonHeaders")).get("messageId")
    source = mail.get("source")
    return Told(
        kind=_kind(kind, about), status=_text(reader.get("status")),
        diagnostic=_text(reader.get("diagnosticCode")) or "",
        recipient=_text(reader.get("emailAddress")), message_id=_text(named),
        senders=(source,) if isinstance(source, str) else (), queue_id=_text(mail.get("messageId")),
    )


def _kind(kind: object, about: Mapping[str, object]) -> Kind:
    if kind == "Complaint":  # "not-spam" takes back what a reader said; the others are about a signature or a file
        return "unclear" if about.get("complaintFeedbackType") in ("not-spam", "auth-failure", "virus") else "complaint"
    return "failed" if kind == "Bounce" else "delivered"


def _object(text: str) -> dict[str, object]:
    try:
        found, _ = json.JSONDecoder(strict=False).raw_decode(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _mappings(value: object) -> Iterator[Mapping[str, object]]:
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else iter(())


def _text(value: object) -> str | None:
    return value[:1000] if isinstance(value, str) else None
