"""Reads whether a mail asks to be taken off the list: the address it came to tells whose, never who says they wrote it.

    mail ─▶ sent to an address of `verp.make_leave`, by a person ─▶ those addresses, which alone can prove something

Sources: RFC 2369 §3.2 (the address in List-Unsubscribe), RFC 3834 §5 (what answers by itself says so).
"""

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses

from delivery.bounces.reports import author_of
from delivery.message import verp
from milepost.printable import printable

_ADDRESSES = ("Delivered-To", "X-Original-To", "Envelope-To", "To", "Cc")
_SUBJECT = re.compile(r"(?:(?:re|aw)\s*:\s*)*(?:unsubscribe|abmelden|abbestellen|הסרה|להסרה)\b", re.IGNORECASE)
_AUTOMATIC = ("bulk", "junk", "auto_reply", "list")
_LONGEST = 64 * 1024  # octets: what is asked is in the headers


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaveRequest:
    """A mail that asks to be taken off the list."""

    addresses: tuple[str, ...]  # of ours that it came to, each of which may name a reader; (): it names nobody
    automatic: bool  # no person sent it: an answering machine asks for nothing
    author: str  # who says they wrote it, for an operator to read
    subject: str


def read(raw: bytes, *, envelope_to: Sequence[str] = ()) -> LeaveRequest | None:
    """What a mail asks; None for one that asks nothing of the kind, and for a report. Never raises."""
    message = message_from_bytes(raw[:_LONGEST], policy=policy.compat32)
    if message.get_content_type() == "multipart/report" or _words(message, "Return-Path") == "<>":
        return None  # of something that came back
    sent_to = (*envelope_to, *_addresses(message))
    ours = tuple(dict.fromkeys(one for one in sent_to if verp.is_leave(one)))
    subject = _words(message, "Subject")
    if not ours and not _SUBJECT.match(subject):
        return None
    return LeaveRequest(
        addresses=ours, automatic=_is_automatic(message), author=_words(message, "From"), subject=subject
    )


def reader_of(key: str | bytes, asked: LeaveRequest) -> str | None:
    """The handle of the reader who is asked for, proven by an address that only we could make."""
    read_ = (verp.parse_leave(key, one) for one in asked.addresses)
    return next((handle for handle in read_ if handle is not None), None)


def _is_automatic(message: Message) -> bool:
    submitted = _words(message, "Auto-Submitted").partition(";")[0].strip().lower()
    precedence = _words(message, "Precedence").lower()
    said = submitted not in ("", "no") or precedence in _AUTOMATIC or "X-Autoreply" in message
    return said or author_of(message) is not None


def _addresses(message: Message) -> list[str]:
    values = [_words(message, name) for name in _ADDRESSES if name in message]
    return [address for _, address in getaddresses(values) if "@" in address]


def _words(message: Message, name: str) -> str:
    """A header's value on one line, whatever was in it."""
    value = str(message.get(name, ""))
    with contextlib.suppress(LookupError, UnicodeError, HeaderParseError):  # a charset that is none: as it stands
        value = str(make_header(decode_header(value)))
    return printable(" ".join(value.split()))[:300].strip()
