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
from html import unescape
from typing import Literal

from flufl.bounce import all_failures

from delivery.smtp import remote_words

log = logging.getLogger("milepost.bounces")

_WORDS = 16 * 1024  # characters of a letter worth reading
_LETTER = 64 * 1024  # octets of one that is handed to the scanner: its patterns are tried on every line
_COPY = re.compile(
    r"^[ \t>*-]*(?:below this line is a copy of the message|this is a copy of (?:the|your) message|"
    r"original (?:message|headers?)|(?:the )?headers? of the (?:original )?message|copy of your message|"
    r"(?:the )?header of the original message|message headers? follow|included is a copy of)\b|"
    r"^(?:Received: (?:from|by)|Return-Path:) ",  # its first lines, without a word before them
    re.IGNORECASE | re.MULTILINE,
)
_CODES = re.compile(  # "550 5.1.1", "550-5.1.1", "550 #5.1.1"
    r"(?<![\d.])([45]\d\d)[ -]+#?([45]\.\d{1,3}\.\d{1,3})(?![\d.])", re.ASCII
)
_STATUS = re.compile(r"#([45]\.\d{1,3}\.\d{1,3})(?![\d.])", re.ASCII)  # qmail: "(#5.1.1)"
# A number is a reply's only where a reply can stand: at the start of a line, or after what introduces one.
_CODE = re.compile(
    r"(?:^[ \t>]*(?:<<<[ \t]*)?|[:;>][ \t]+|\b(?:said|error|reason|response)\W{1,3})"
    r"((?:4[2-5]|5[0-7])\d)[ -](?=[^\d\s])", re.ASCII | re.MULTILINE
)
_AFTER_DATA = re.compile(
    r"\bend of DATA\b|\b(?:DATA|TEXT) command\b|\bfinal DATA\b|\bafter (?:end of )?(?:data|message)\b"
)
_SENDMAIL_DATA = re.compile(r"^>>> (?:DATA|\.)\s*$", re.MULTILINE)
_WITHOUT_RECIPIENT = re.compile(r"^<<< (?:503|554) ", re.MULTILINE)  # so what was refused before was the address
_PARAGRAPH_END = re.compile(r"\n[ \t]*\r?\n")
_REPLY_END = re.compile(r"\n(?!<<<)")  # of a transcript: other commands' replies follow
_BREAKS = re.compile(r"(?=<(?:br|p|div|tr|li|h\d)\b)", re.IGNORECASE)
_TAGS = re.compile(r"<[^<>]*>")
_DELAYED = re.compile(
    r"\b(?:not yet been delivered|will continue|will keep (?:on )?trying|will be retried|still being retried)\b",
    re.IGNORECASE,
)
_GIVEN_UP = re.compile(
    r"\b(?:could not be delivered|(?:was|been) (?:un|not )deliver(?:ed|able)|unable to deliver|failed to deliver"
    r"|permanent(?:ly)?|giv(?:e|en|ing) up|not going to try again)\b", re.IGNORECASE,
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
    after_data: bool = False  # the message was refused, not the address


def read(message: Message, size: int, *, by_machine: bool = True) -> Said:
    """Read a letter of `size` octets about a delivery; never raises.

    `by_machine`: a mailer wrote it, so that its words count; of others (a holiday note has the null sender too) only
    a whole reply counts, a code with its enhanced code.
    """
    words_, returned = _split(_text(message))
    words_ = words_[:_WORDS]
    status, code, diagnostic = _verdict(words_, by_machine=by_machine)
    for_a_while, for_good = _scanned(message, size) if by_machine else ({}, {})
    failed = for_good or ({} if for_a_while else _failed_recipients(message))
    says_why = remote_words.says_why(diagnostic)
    if by_machine and not says_why and (told := reason(words_)):
        diagnostic, says_why = told, True
    known = status is not None or code is not None
    kind: Literal["failed", "delayed", "unclear"] = "unclear"
    if (for_a_while and not failed) or _DELAYED.search(words_):
        kind = "delayed"
    elif (
        failed or (known and str(code or status).startswith("5")) or (not known and says_why)
        or (by_machine and _GIVEN_UP.search(words_))
    ):
        kind = "failed"
    return Said(
        kind=kind, status=status, code=code, diagnostic=diagnostic,
        recipient=next(iter(sorted(failed or for_a_while)), None),
        message_id=match.group(1) if (match := _MESSAGE_ID.search(returned)) else None,
        senders=tuple(dict.fromkeys(_RETURN_PATH.findall(returned)[:3])),
        after_data=after_data(words_),
    )


def words(message: Message) -> str:
    """What a letter says before the copy of our message."""
    return _split(_text(message))[0][:_WORDS]


def reason(letter: str) -> str:
    """The first paragraph that says something about a mailbox; "" where none does."""
    paragraphs = (" ".join(one.split()) for one in re.split(r"\n[ \t]*\r?\n", letter))
    return next((one for one in paragraphs if remote_words.says_why(one)), "")


def after_data(letter: str) -> bool:
    """Whether a letter tells that the message itself was refused, after its recipient had been accepted."""
    if _SENDMAIL_DATA.search(letter) and not _WITHOUT_RECIPIENT.search(letter):
        return True
    return _AFTER_DATA.search(letter) is not None


def _split(text: str) -> tuple[str, str]:
    """(the words, the copy of our message after them)."""
    copy = _COPY.search(text)
    return (text[: copy.start()], text[copy.start() :]) if copy else (text, "")


def _text(message: Message) -> str:
    """The first part that is words, decoded as it says or as well as can be; never of a message that came back."""
    html = ""
    for part in message.walk():
        kind = part.get_content_type()
        if part.get_content_maintype() == "multipart" and isinstance(whole := part.get_payload(), str):
            return whole  # its boundary is wrong
        if kind.startswith("message/") or (kind == "text/rfc822-headers"):
            break
        if kind == "text/plain":
            return _decoded(part)
        if kind == "text/html" and not html:
            html = unescape(_TAGS.sub(" ", _BREAKS.sub("\n\n", _decoded(part)[:_LETTER])))
    return html


def _decoded(part: Message) -> str:
    raw = part.get_payload(decode=True)
    data = raw if isinstance(raw, bytes) else b""
    try:
        return data.decode(part.get_content_charset("utf-8"), "replace")
    except (LookupError, ValueError):  # a charset that nobody knows
        return data.decode("utf-8", "replace")


def _verdict(letter: str, *, by_machine: bool) -> tuple[str | None, int | None, str]:
    """(enhanced status, SMTP code, the lines they stand in), as far as the words tell."""
    both = _CODES.search(letter)
    if both:
        return both.group(2), int(both.group(1)), _lines(letter, both.start())
    if not by_machine:
        return None, None, ""
    if status := _STATUS.search(letter):
        code = _CODE.search(letter)
        return status.group(1), int(code.group(1)) if code else None, _lines(letter, status.start())
    if code := _CODE.search(letter):
        return None, int(code.group(1)), _lines(letter, code.start(1))
    return None, None, ""


def _lines(letter: str, at: int) -> str:
    """The line at `at`, and those after it up to an empty one: replies are wrapped."""
    start = letter.rfind("\n", 0, at) + 1
    end = (_REPLY_END if letter.startswith("<<<", start) else _PARAGRAPH_END).search(letter, at)
    return letter[start : end.start() if end else len(letter)].strip()[:1000]


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
