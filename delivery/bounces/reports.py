"""What comes back: delivery reports and complaints, read without believing more of them than they can prove.

    mail to the envelope sender ─▶ parse ─▶ Bounce ─▶ delivery_of (the keyed address) ─▶ the ledger

Whose delivery it is comes from names only we can make (its envelope sender, its Message-ID); what the report says of
itself only grades it. Bounces are never answered. Sources: RFC 3464 (delivery status), RFC 6522 (reports), RFC 5965
(ARF complaints), RFC 3834 (automatic replies); older forms are read by `delivery.bounces.old_forms`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import Message
from email.utils import getaddresses
from itertools import islice
from typing import Literal

from delivery.bounces import old_forms
from delivery.message import verp
from delivery.smtp.replies import classify
from milepost.records import Reply

Kind = Literal["failed", "delayed", "delivered", "complaint", "unclear"]
Grade = Literal["hard", "soft", "policy", "delayed", "delivered", "complaint", "unclear"]

LONGEST = 256 * 1024  # octets worth reading; what a report says is at its start
_MOST_PARTS = 20  # a report has three, and each multipart around a line makes it dearer to read
_STATUS = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b", re.ASCII)
_SMTP_CODE = re.compile(r"(?:^|;)\s*([245]\d\d)[ -]", re.ASCII)
_MESSAGE_ID = re.compile(r"<[^<>\s]{3,250}>", re.ASCII)
_ACTIONS: dict[str, Kind] = {
    "failed": "failed", "delayed": "delayed", "delivered": "delivered", "relayed": "delivered", "expanded": "delivered",
}
_ORIGINALS = ("message/rfc822", "text/rfc822-headers", "message/rfc822-headers", "message/global")
_OUTER_ADDRESSES = ("Delivered-To", "X-Original-To", "Envelope-To", "To")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounce:
    """One report. Only `addresses` can prove anything, and only through `delivery_of`."""

    kind: Kind
    status: str | None = None  # "5.1.1" (RFC 3463)
    code: int | None = None  # 550, where the remote server's words were quoted
    diagnostic: str = ""  # those words, on one line
    recipient: str | None = None  # as the report says
    message_id: str | None = None  # of the message that came back, with angle brackets
    addresses: tuple[str, ...] = ()  # where our own envelope sender may stand, most trustworthy first

    @property
    def grade(self) -> Grade:
        """What it means for the address, by the same table as a reply at hand-over (`delivery.smtp.replies`).

        "hard": no such mailbox, never ask again. "soft": this one could not be delivered (mailbox full, given up after
        days, an error without a reason): counted. "policy": they refuse us, which is no fault of the reader.
        """
        if self.kind != "failed":
            return self.kind
        if self.status is not None and self.status.startswith("4."):
            return "soft"  # given up after days of "later": some programs call that permanent
        code = self.code if self.code is not None and self.code // 100 == 5 else 550
        verdict = classify(Reply(code=code, enhanced=self.status, text=self.diagnostic, phase="rcpt"))
        if verdict.suppress is not None:
            return "hard"
        return "policy" if verdict.pause else "soft"

    @property
    def suppress(self) -> str | None:
        """Why the address is never to be mailed again; None when this report alone is no reason."""
        if self.kind == "complaint":
            return "complaint"
        return f"bounce {self.status}" if self.grade == "hard" else None


def delivery_of(key: str | bytes, bounce: Bounce) -> int | None:
    """The delivery this is about, proven by an address that only we could make; None: it proves nothing, ignore it."""
    return next((found for found in (verp.parse(key, one) for one in bounce.addresses) if found is not None), None)


def parse(raw: bytes, *, envelope_to: Sequence[str] = ()) -> Bounce | None:
    """Read a mail that came to an envelope sender; None when it is no report (a vacation note). Never raises.

    `envelope_to`: where the receiving server says it was addressed, when it says so.
    """
    raw = raw[:LONGEST]
    if raw.lower().count(b"boundary=") > _MOST_PARTS:
        return None
    try:
        message = message_from_bytes(raw, policy=policy.compat32)
        parts = list(islice(message.walk(), _MOST_PARTS))
    except RecursionError:  # messages within messages, hundreds deep: nobody's bounce
        return None
    outer = (*envelope_to, *_addresses(message, _OUTER_ADDRESSES))
    for part in parts:
        if part.get_content_type() == "message/delivery-status":
            return _delivery_status(part, parts, outer)
        if part.get_content_type() == "message/feedback-report":
            return _feedback(part, parts, outer)
    return _old_form(message, parts, outer, len(raw)) if _is_from_nobody(message) else None


def _old_form(message: Message, parts: Sequence[Message], outer: tuple[str, ...], size: int) -> Bounce:
    """A server's own way to say it. The keyed address still tells which delivery it is about."""
    said = old_forms.read(message, size)
    original = _original(parts)
    return Bounce(
        kind=said.kind, status=said.status, code=said.code,
        diagnostic=_printable(said.diagnostic) or _words(message, "Subject"), recipient=said.recipient,
        message_id=_message_id(original) or said.message_id,
        addresses=(*outer, *_addresses(original, ("Return-Path",)), *said.senders),
    )


def _delivery_status(part: Message, parts: Iterable[Message], outer: tuple[str, ...]) -> Bounce:
    """RFC 3464 §2: a block about the message, then one about each recipient; ours have one."""
    blocks = [block for block in _blocks(part) if "Final-Recipient" in block or "Action" in block or "Status" in block]
    block = next((one for one in blocks if _action(one) == "failed"), blocks[0] if blocks else Message())
    status = _STATUS.search(_words(block, "Status"))
    said = _words(block, "Diagnostic-Code")
    code = _SMTP_CODE.search(said)
    in_words = _STATUS.search(said)
    # "5.0.0" says no more than "failed": the remote server's own words may say what it was.
    found = in_words if in_words and (status is None or status.group(1).endswith(".0.0")) else status
    original = _original(parts)
    return Bounce(
        kind=_action(block) or _kind_of(found.group(1) if found else ""),
        status=found.group(1) if found else None,
        code=int(code.group(1)) if code else None,
        diagnostic=said,
        recipient=_after_type(_words(block, "Final-Recipient") or _words(block, "Original-Recipient")),
        message_id=_message_id(original),
        addresses=(*outer, *_addresses(original, ("Return-Path",))),
    )


def _feedback(part: Message, parts: Iterable[Message], outer: tuple[str, ...]) -> Bounce:
    """RFC 5965: one block; "not-spam" takes back what another reader said, and asks nothing of us."""
    block = next(_blocks(part), Message())
    kind = _words(block, "Feedback-Type").lower()
    original = _original(parts)
    return Bounce(
        kind="unclear" if kind in ("", "not-spam") else "complaint",
        diagnostic=kind,
        recipient=_words(block, "Original-Rcpt-To").strip("<> ") or None,
        message_id=_message_id(original),
        addresses=(*outer, *_addresses(block, ("Original-Mail-From",)), *_addresses(original, ("Return-Path",))),
    )


def _blocks(part: Message) -> Iterator[Message]:
    """The header blocks of a report; a report that was encoded as a whole, or is no list of blocks, still reads."""
    payload = part.get_payload()
    pieces = [piece for piece in payload if isinstance(piece, Message)] if isinstance(payload, list) else [part]
    for piece in pieces:
        if piece is not part:
            yield piece
        inner = piece.get_payload()
        if isinstance(inner, str) and inner.strip():
            yield from _blocks_in(inner, str(part.get("Content-Transfer-Encoding", "")))


def _blocks_in(text: str, encoding: str) -> Iterator[Message]:
    encoded = Message()
    encoded["Content-Transfer-Encoding"] = encoding
    encoded.set_payload(text)
    raw = encoded.get_payload(decode=True)
    for block in re.split(rb"\r?\n[ \t]*\r?\n", raw if isinstance(raw, bytes) else b""):
        yield message_from_bytes(block.lstrip(), policy=policy.compat32)


def _original(parts: Iterable[Message]) -> Message:
    """The message that came back, or its headers."""
    for part in parts:
        if part.get_content_type() not in _ORIGINALS:
            continue
        payload = part.get_payload()
        if isinstance(payload, list) and payload and isinstance(payload[0], Message):
            return payload[0]
        raw = part.get_payload(decode=True)
        if isinstance(raw, bytes):
            return message_from_bytes(raw.lstrip(), policy=policy.compat32)
    return Message()


def _action(block: Message) -> Kind | None:
    words = _words(block, "Action").lower().split()
    return _ACTIONS.get(words[0]) if words else None


def _kind_of(status: str) -> Kind:
    return {"5": "failed", "4": "delayed", "2": "delivered"}.get(status[:1], "unclear")  # type: ignore[return-value]


def _is_from_nobody(message: Message) -> bool:
    """Sent by a machine about a delivery: the null sender, or a mailer's name (RFC 5321 §4.5.5), and no auto-reply."""
    if _words(message, "Auto-Submitted").lower().startswith("auto-replied"):
        return False
    if _words(message, "Return-Path").strip() == "<>":
        return True
    return any(
        address.lower().partition("@")[0] in ("mailer-daemon", "postmaster")
        for address in _addresses(message, ("From",))
    )


def _addresses(message: Message, names: Sequence[str]) -> tuple[str, ...]:
    found = getaddresses([_words(message, name) for name in names if name in message])
    return tuple(dict.fromkeys(address for _, address in found if "@" in address))


def _message_id(message: Message) -> str | None:
    match = _MESSAGE_ID.search(_words(message, "Message-ID"))
    return match.group(0) if match else None


def _after_type(value: str) -> str | None:
    """The address of "rfc822; reader@example.org"."""
    return value.rpartition(";")[2].strip().strip("<>") or None


def _words(message: Message, name: str) -> str:
    """A header's value on one line, whatever was in it."""
    return _printable(str(message.get(name, "")))


def _printable(text: str) -> str:
    return "".join(sign for sign in " ".join(text.split()) if sign.isprintable())[:1000]

