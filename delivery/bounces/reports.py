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

from delivery.bounces import notifications, old_forms
from delivery.message import verp
from delivery.smtp import remote_words
from delivery.smtp.replies import classify
from milepost.records import Reply

Kind = Literal["failed", "delayed", "delivered", "complaint", "unclear"]
Grade = Literal["hard", "soft", "policy", "delayed", "delivered", "complaint", "unclear"]

LONGEST = 256 * 1024  # octets worth reading; what a report says is at its start
_MOST_PARTS = 20  # a report has three, and each multipart around a line makes it dearer to read
_STATUS = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b", re.ASCII)
_SMTP_CODE = re.compile(r"(?:^|;)\s*([245]\d\d)[ -]", re.ASCII)
_QUOTED_CODE = re.compile(r"\bsaid: ([245]\d\d)[ -]", re.ASCII)
_OWN_STATUS = re.compile(r"[245]\d\d[ -]+['#]?([245]\.\d{1,3}\.\d{1,3})\b", re.ASCII)
_MESSAGE_ID = re.compile(r"<[^<>\s]{3,250}>", re.ASCII)
_ACTIONS: dict[str, Kind] = {
    "failed": "failed", "delayed": "delayed", "delivered": "delivered", "relayed": "delivered", "expanded": "delivered",
}
_ORIGINALS = (
    "message/rfc822", "text/rfc822-headers", "message/rfc822-headers", "text/rfc822-header", "message/global",
)
# RFC 5965 §7.3 and the IANA registry; "auth-failure" (RFC 6591) is about a signature, "virus", "not-spam" ask nothing.
_COMPLAINTS = ("abuse", "fraud", "opt-out", "other", "complaint", "miscategorized")
# Names that mailers write under (RFC 5321 §4.5.1, RFC 2142); of an address, what is before the @.
_MACHINES = re.compile(
    r"(?:mailer|mail|smtp)?[-._]?daemon|post[-._]?master|mail(?:er|[-._]?(?:delivery[-._]?)?system)|mdaemon",
    re.IGNORECASE,
)
_OUTER_ADDRESSES = ("Delivered-To", "X-Original-To", "Envelope-To", "To")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounce:
    """One report. Only `addresses` can prove anything, and only through `delivery_of`."""

    kind: Kind
    status: str | None = None  # "5.1.1" (RFC 3463)
    code: int | None = None  # 550, where the remote server's words were quoted
    diagnostic: str = ""  # those words, on one line
    after_data: bool = False  # they answered the message itself, not the address
    recipient: str | None = None  # as the report says
    message_id: str | None = None  # of the message that came back, with angle brackets
    addresses: tuple[str, ...] = ()  # where our own envelope sender may stand, most trustworthy first

    @property
    def grade(self) -> Grade:
        """What it means for the address: the remote host's words first, then the table of replies at hand-over.

        "hard": no such mailbox, never ask again. "soft": this one could not be delivered (mailbox full, given up after
        days, an error without a reason): counted. "policy": they refuse us, which is no fault of the reader.
        """
        if self.kind != "failed":
            return self.kind
        if self.status is not None and self.status.startswith("4."):
            return "soft"  # given up after days of "later": some programs call that permanent
        if remote_words.meaning(self.diagnostic) == "ours":
            return "policy"
        if self.code is not None and self.code // 100 == 4:
            return "soft"
        code = self.code if self.code is not None and self.code // 100 == 5 else 550
        phase = "dot" if self.after_data else "report"
        verdict = classify(Reply(code=code, enhanced=self.status, text=self.diagnostic, phase=phase))
        if verdict.suppress is not None:
            return "hard"
        return "policy" if verdict.pause else "soft"

    @property
    def suppress(self) -> str | None:
        """Why the address is never to be mailed again; None when this report alone is no reason."""
        if self.kind == "complaint":
            return "complaint"
        return f"bounce {self.status or self.code or 'in words'}" if self.grade == "hard" else None


def of_words(status: str, said: str) -> Bounce:
    """A failure that somebody filed under `status`, with the remote host's words as they quoted them."""
    own, code = _OWN_STATUS.search(said), _QUOTED_CODE.search(said)
    return Bounce(
        kind="failed", status=own.group(1) if own else status, code=int(code.group(1)) if code else None,
        diagnostic=_printable(said), after_data=old_forms.after_data(said),
    )


def delivery_of(key: str | bytes, bounce: Bounce, name_of: verp.NameOf = verp.unnamed) -> int | None:
    """The delivery this is about, proven by an address that only we could make; None: it proves nothing, ignore it."""
    read = (verp.parse(key, one, name_of) for one in bounce.addresses)
    return next((found for found in read if found is not None), None)


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
            return _delivery_status(part, message, parts, outer)
        if part.get_content_type() == "message/feedback-report":
            return _feedback(part, parts, outer)
    if (told := _told_by_a_provider(message, parts, outer)) is not None:
        return told
    author = author_of(message)
    return None if author is None else _old_form(message, parts, outer, len(raw), by_machine=author == "machine")


def _old_form(
    message: Message, parts: Sequence[Message], outer: tuple[str, ...], size: int, *, by_machine: bool
) -> Bounce:
    """A server's own way to say it. The keyed address still tells which delivery it is about."""
    said = old_forms.read(message, size, by_machine=by_machine)
    original = _original(parts)
    return Bounce(
        kind=said.kind, status=said.status, code=said.code,
        diagnostic=_printable(said.diagnostic) or _words(message, "Subject"), after_data=said.after_data,
        recipient=said.recipient,
        message_id=_message_id(original) or said.message_id,
        addresses=(*outer, *_addresses(original, ("Return-Path",)), *said.senders),
    )


def _delivery_status(
    part: Message, message: Message, parts: Sequence[Message], outer: tuple[str, ...]
) -> Bounce:
    """RFC 3464 §2: a block about the message, then one about each recipient; ours have one, an alias may have more."""
    blocks = [block for block in _blocks(part) if "Final-Recipient" in block or "Action" in block or "Status" in block]
    told = [block for block in blocks if _action(block) == "failed"] or blocks[:1] or [Message()]
    original = _original(parts)
    letter = old_forms.words(message)
    bounces = [
        _of_block(
            block, letter=letter if len(blocks) < 2 else "", message_id=_message_id(original),
            addresses=(*outer, *_addresses(original, ("Return-Path",))),
        )
        for block in told
    ]
    return min(bounces, key=lambda one: one.grade == "hard")  # a reader whom one of their addresses reaches is alive


def _of_block(block: Message, *, letter: str, message_id: str | None, addresses: tuple[str, ...]) -> Bounce:
    """What one block says; `letter`: what the report says to people, asked where the block says nothing."""
    status = _STATUS.search(_words(block, "Status"))
    said = _words(block, "Diagnostic-Code")
    code = _SMTP_CODE.search(said)
    # The remote host's own word beats the reporter's: relays file "552 5.2.2 over quota" under 5.1.1.
    own = _OWN_STATUS.search(said)
    in_words = own or _STATUS.search(said)
    found = in_words if in_words and (own or status is None or status.group(1).endswith(".0.0")) else status
    told = old_forms.reason(letter)
    vague = found is None or found.group(1).endswith(".0.0")
    letter_tells = not said or (vague and not remote_words.says_why(said)) or remote_words.meaning(told) == "full"
    return Bounce(
        kind=_action(block) or _kind_of(found.group(1) if found else ""),
        status=found.group(1) if found else None,
        code=int(code.group(1)) if code else None,
        diagnostic=_printable(told if letter_tells and told else said),
        after_data=old_forms.after_data(letter),
        recipient=_after_type(_words(block, "Final-Recipient") or _words(block, "Original-Recipient")),
        message_id=message_id,
        addresses=addresses,
    )


def _feedback(part: Message, parts: Iterable[Message], outer: tuple[str, ...]) -> Bounce:
    """RFC 5965: one block."""
    block = next(_blocks(part), Message())
    kind = _words(block, "Feedback-Type").lower()
    original = _original(parts)
    return Bounce(
        kind="complaint" if kind in _COMPLAINTS else "unclear",
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


def _told_by_a_provider(message: Message, parts: Sequence[Message], outer: tuple[str, ...]) -> Bounce | None:
    """Complaints without a form of RFC 5965, and Amazon's notifications; whose they are is proven as ever."""
    original = _original(parts)
    proof = (*outer, *_addresses(original, ("Return-Path",)))
    # Outlook.com's junk reports: our message in a bare multipart, with a header of theirs that names the reader.
    recipient = _words(original, "X-HmXmrOriginalRecipient")
    if recipient or any(one.lower().startswith("staff@hotmail.") for one in _addresses(message, ("From",))):
        return Bounce(
            kind="complaint", diagnostic="junk report", recipient=recipient or None,
            message_id=_message_id(original), addresses=proof,
        )
    # iCloud's "unsubscribe": a mail in the reader's name, answering our message or its address.
    if _words(message, "X-Apple-Unsubscribe").lower() == "true":
        answered = _MESSAGE_ID.search(f"{_words(message, 'In-Reply-To')} {_words(message, 'References')}")
        return Bounce(
            kind="complaint", diagnostic="unsubscribe", message_id=answered.group(0) if answered else None,
            addresses=proof,
        )
    told = notifications.read(old_forms.words(message))
    if told is None:
        return None
    code, own = _SMTP_CODE.search(told.diagnostic), _OWN_STATUS.search(told.diagnostic)
    return Bounce(
        kind=told.kind, status=own.group(1) if own else told.status, code=int(code.group(1)) if code else None,
        diagnostic=_printable(told.diagnostic), recipient=told.recipient, message_id=told.message_id,
        addresses=(*outer, *told.senders),
    )



def author_of(message: Message) -> Literal["machine", "nobody"] | None:
    """Who wrote a letter without a form: a mailer, by its name or marks; nobody (the null sender); None: a person.

    RFC 3834 §5 has "auto-replied" on answers of both, so the word alone makes no holiday note of a mailer's letter.
    """
    authors = _addresses(message, ("From",))
    by_name = any(_MACHINES.fullmatch(one.partition("@")[0]) for one in authors)
    nameless = "From" in message and not authors  # "MAILER-DAEMON", "<>": an address that nobody could answer
    report = str(message.get_param("report-type", "")).lower() == "delivery-status"
    if by_name or nameless or report or "X-Failed-Recipients" in message:
        return "machine"
    if _words(message, "Auto-Submitted").lower().startswith("auto-replied"):
        return None
    return "nobody" if _words(message, "Return-Path").strip() == "<>" else None


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

