"""The choke point every header line passes: our own names only, one line of ASCII, folded to 76 columns.

Sources: RFC 5322 §2.1.1 and §3.4, RFC 2047 §2 and §5 (encoded words), RFC 2919 (List-Id), RFC 2369 §2 (List-*).
"""

import datetime as dt
import re
import unicodedata
from email.header import Header
from email.utils import format_datetime
from typing import NamedTuple

from milepost.errors import RenderError
from milepost.records import check_aware

ALLOWED = (
    "From", "To", "Reply-To", "Subject", "Date", "Message-ID", "MIME-Version", "List-Id", "List-Archive",
    "List-Unsubscribe", "List-Unsubscribe-Post", "Feedback-ID", "Auto-Submitted", "Content-Type", "DKIM-Signature",
)
ONCE = ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version")
MAX_HEADERS = 16 * 1024  # octets, all headers together
MAX_LINE = 998  # octets without CRLF
FOLD = 76  # octets: what a line with an encoded word may have
_MAX_WORDS = 250  # characters of a subject or a display name; nobody sees more

# atext (RFC 5322 §3.2.3) in a dot-atom; quoted local parts and literals are refused at the door already.
_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*",
    re.ASCII,
)
_PLAIN_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/^_`{|}~ -]+", re.ASCII)  # atoms and spaces: needs no quotes
_URL = re.compile(r"https?://[A-Za-z0-9._~:/?#@!$&()*+;=%\[\]-]+", re.ASCII)  # RFC 3986, less comma and quote
_MESSAGE_ID = re.compile(r"<[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+>", re.ASCII)
_LIST_ID = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+", re.ASCII)
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Mailbox(NamedTuple):
    """Who a header names, as a person reads it: nothing is encoded, quoted or escaped before it comes here."""

    name: str  # "Zeitreise für KI", or ""
    address: str  # "news@zeitreise.example"


def legible(text: str) -> str:
    """What of `text` a header can show at all: its words on one line, without controls and turners of direction."""
    kept = "".join(
        " " if sign.isspace() else sign
        for sign in text
        if sign.isspace() or (unicodedata.category(sign) not in ("Cc", "Cs") and sign not in _BIDI)
    )
    return " ".join(kept.split())


def one_line(text: str, *, limit: int = _MAX_WORDS) -> str:
    """`text` as one line that can't become a header: no line ends or controls, no opening of an encoded word."""
    line = legible(text[: limit * 4])
    if len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    return line.replace("=?", "= ?")  # Python ≤ 3.12.1 turns an encoded word holding CRLF into headers


def words(name: str, text: str) -> str:
    """Unstructured text (a subject) for the header `name`: plain when it fits on one line, encoded words when not."""
    line = one_line(text)
    if line.isascii() and len(name) + 2 + len(line) <= FOLD:
        return line
    return Header(line, charset="utf-8", header_name=name, maxlinelen=FOLD - 1).encode(linesep="\r\n")


def phrase(name: str, text: str) -> str:
    """A display name for the header `name`: atoms, a quoted string, or encoded words."""
    line = one_line(text)
    if line.isascii() and len(name) + 4 + len(line) <= FOLD:
        if _PLAIN_PHRASE.fullmatch(line):
            return line
        escaped = line.replace("\\", "\\\\").replace('"', '\\"')
        if len(name) + 4 + len(escaped) <= FOLD:
            return f'"{escaped}"'
    return Header(line, charset="utf-8", header_name=name, maxlinelen=FOLD - 1).encode(linesep="\r\n")


def address(value: str) -> str:
    """`value`, when it is exactly one plain ASCII address (RFC 5321 §4.1.2, at most 254 octets); raises RenderError."""
    local, _, domain = value.rpartition("@")
    if not _ADDRESS.fullmatch(value) or "=?" in value or len(value) > 254 or len(local) > 64 or len(domain) > 253:
        raise RenderError(f"{value[:80]!r} is not one plain mail address")
    return value


def mailbox(name: str, who: Mailbox) -> str:
    """`Display Name <address>` for the header `name`, encoded and folded here and nowhere else; raises RenderError."""
    addr = address(who.address)
    if not one_line(who.name):
        return addr
    return _with_bracket(name, phrase(name, who.name), f"<{addr}>")


def list_id(identifier: str, text: str) -> str:
    """The value of List-Id: `Name <identifier>` (RFC 2919 §3); raises RenderError."""
    if not _LIST_ID.fullmatch(identifier) or len(identifier) > 255:
        raise RenderError(f"{identifier[:80]!r} is no list id", hint="Want a form like milestones.example.org.")
    return _with_bracket("List-Id", phrase("List-Id", text), f"<{identifier}>") if one_line(text) else f"<{identifier}>"


def url(value: str) -> str:
    """`value`, when it can stand between angle brackets in a header; raises RenderError."""
    if not _URL.fullmatch(value) or len(value) > 900:
        raise RenderError(f"{value[:80]!r} is not an http(s) address that a header can carry")
    return value


def message_id(value: str) -> str:
    """`value`, when it is a Message-ID with its angle brackets; raises RenderError."""
    if not _MESSAGE_ID.fullmatch(value) or len(value) > 250:
        raise RenderError(f"{value[:80]!r} is no Message-ID")
    return value


def date(moment: dt.datetime) -> str:
    """The value of Date, in UTC (RFC 5322 §3.3); raises ValueError for a naive datetime."""
    return format_datetime(check_aware(moment).astimezone(dt.UTC))


def line(name: str, value: str) -> bytes:
    """One header, with its CRLF; every header of every message is made here. Raises RenderError.

    `value` is ASCII; the only line ends allowed in it are folds: CRLF, then a space, then something.
    """
    if name not in ALLOWED:
        raise RenderError(f"{name!r} is not one of our headers")
    raw = f"{name}: {value}"
    unfolded = re.sub(r"\r\n (?=[!-~])", " ", raw)
    if not unfolded.isascii() or any(ord(sign) < 32 or ord(sign) == 127 for sign in unfolded):
        raise RenderError(f"the header {name} holds a control character or something beyond ASCII")
    if any(len(part) > MAX_LINE for part in raw.split("\r\n")):
        raise RenderError(f"the header {name} is too long")
    return f"{raw}\r\n".encode("ascii")


def _with_bracket(name: str, text: str, bracket: str) -> str:
    used = len(text.rpartition("\r\n")[2]) + (0 if "\r\n" in text else len(name) + 2)
    return f"{text} {bracket}" if used + 1 + len(bracket) <= FOLD else f"{text}\r\n {bracket}"
