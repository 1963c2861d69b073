"""Bounces from before there was a form for them: qmail's, Exim's, Exchange's and others' own words.

    a machine's letter ─▶ its words before the copy of our message ─▶ status, code, diagnostic
                       └▶ flufl.bounce: who failed, for a while or for good

Another program's scanner is not trusted far: whatever it raises is logged and means "unclear", and "for good" in its
words never suppresses anybody by itself. Sources: https://cr.yp.to/proto/qsbmf.txt, RFC 3463 (status codes).
"""

import logging
import re
from dataclasses import dataclass
from email.message import Message
from email.utils import getaddresses
from typing import Literal

from flufl.bounce import all_failures

log = logging.getLogger("milepost.bounces")

_WORDS = 16 * 1024  # characters of a letter worth reading
_LETTER = 64 * 1024  # octets of one that is handed to the scanner: its patterns are tried on every line
_COPY = re.compile(
    r"^[ \t>*-]*(?:below this line is a copy of the message|this is a copy of (?:the|your) message|"
    r"original (?:message|headers?)|(?:the )?headers? of the (?:original )?message|copy of your message)\b",
    re.IGNORECASE | re.MULTILINE,
)
_CODES = re.compile(  # "550 5.1.1", "550-5.1.1", "550 #5.1.1"
    r"(?<![\d.])([45]\d\d)[ -]+#?([45]\.\d{1,3}\.\d{1,3})(?![\d.])", re.ASCII
)
_STATUS = re.compile(r"#([45]\.\d{1,3}\.\d{1,3})(?![\d.])", re.ASCII)  # qmail: "(#5.1.1)"
_CODE = re.compile(r"(?<![\d.#])([45]\d\d)[ -](?=[^\d\s])", re.ASCII)
_DELAYED = re.compile(
    r"\b(?:not yet been delivered|will continue|will keep (?:on )?trying|will be retried|still being retried)\b",
    re.IGNORECASE,
)
_MESSAGE_ID = re.compile(r"^Message-ID:[ \t]*(<[^<>\s]{3,250}>)", re.IGNORECASE | re.MULTILINE | re.ASCII)
_RETURN_PATH = re.compile(r"^Return-Path:[ \t]*<([^<>\s]{3,250})>", re.IGNORECASE | re.MULTILINE | re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What a letter without a form says; proves nothing."""

    kind: Literal["failed", "delayed", "unclear"]
    status: str | None = None
    code: int | None = None
    diagnostic: str = ""
    recipient: str | None = None
    message_id: str | None = None  # of the copy of our message, where there is one
    senders: tuple[str, ...] = ()  # and its Return-Path


def read(message: Message, size: int) -> Said:
    """Read a letter of `size` octets that a machine sent about a delivery; never raises."""
    text = _text(message)
    copy = _COPY.search(text)
    words, returned = (text[: copy.start()], text[copy.end() :]) if copy else (text, "")
    words = words[:_WORDS]
    status, code, diagnostic = _verdict(words)
    for_a_while, for_good = _scanned(message, size)
    failed = for_good or ({} if for_a_while else _failed_recipients(message))
    known = status is not None or code is not None
    kind: Literal["failed", "delayed", "unclear"] = "unclear"
    if (for_a_while and not failed) or _DELAYED.search(words):
        kind = "delayed"
    elif failed or (known and str(status or code).startswith("5")):
        kind = "failed"
    return Said(
        kind=kind, status=status, code=code, diagnostic=diagnostic,
        recipient=next(iter(sorted(failed or for_a_while)), None),
        message_id=match.group(1) if (match := _MESSAGE_ID.search(returned)) else None,
        senders=tuple(dict.fromkeys(_RETURN_PATH.findall(returned)[:3])),
    )


def _text(message: Message) -> str:
    """The first part that is text, decoded as it says or as well as can be."""
    for part in message.walk():
        if part.get_content_maintype() == "multipart":
            continue
        if part.get_content_type() != "text/plain":
            return ""
        raw = part.get_payload(decode=True)
        data = raw if isinstance(raw, bytes) else b""
        try:
            return data.decode(part.get_content_charset("utf-8"), "replace")
        except (LookupError, ValueError):  # a charset that nobody knows
            return data.decode("utf-8", "replace")
    return ""


def _verdict(words: str) -> tuple[str | None, int | None, str]:
    """(enhanced status, SMTP code, the line they stand in), as far as the words tell."""
    both, status, code = _CODES.search(words), _STATUS.search(words), _CODE.search(words)
    if both:
        return both.group(2), int(both.group(1)), _line(words, both.start())
    if status:
        return status.group(1), None, _line(words, status.start())
    if code:
        return None, int(code.group(1)), _line(words, code.start())
    return None, None, ""


def _line(words: str, at: int) -> str:
    start, end = words.rfind("\n", 0, at) + 1, words.find("\n", at)
    return words[start : end if end >= 0 else len(words)].strip()


def _failed_recipients(message: Message) -> dict[str, None]:
    """Exim names them in a header of its own."""
    found = getaddresses([str(message.get("X-Failed-Recipients", ""))[:1000]])
    return {address: None for _, address in found if "@" in address}


def _scanned(message: Message, size: int) -> tuple[dict[str, None], dict[str, None]]:
    """(failed for a while, failed for good) by flufl.bounce; it raises on letters that lack what it looks for."""
    if size > _LETTER:
        return {}, {}
    try:
        for_a_while, for_good = all_failures(message)
        return {_shown(one): None for one in for_a_while}, {_shown(one): None for one in for_good}
    except Exception as error:  # noqa: BLE001 (its faults are many, and none of them is ours to stop for)
        log.info("flufl.bounce can't read a bounce (%s: %s)", type(error).__name__, error)
        return {}, {}


def _shown(address: str | bytes) -> str:
    text = address.decode("ascii", "replace") if isinstance(address, bytes) else str(address)
    return text[:320]
