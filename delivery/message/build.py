"""A message is built once per issue and variant, then filled for each recipient by joining bytes.

    Variant + Letterhead + date ─▶ MessageTemplate ─▶ bytes_for(address, unsubscribe_url, message_id)

Sources: RFC 5322, RFC 2045 and 2046 (the two parts), RFC 8058 (one-click), RFC 2369 and 2919 (the list headers),
RFC 6068 (mailto).
"""

import datetime as dt
import hashlib
import html
from collections import Counter
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.headerregistry import HeaderRegistry
from email.parser import BytesHeaderParser
from functools import lru_cache
from typing import Any, Final, Literal, Self

from delivery.message import headers, quoted
from delivery.message.misread import Meant, misread_headers
from milepost.errors import RenderError
from milepost.records import Variant

_Slot = Literal["address", "message_id", "url", "url_in_text", "url_in_html", "leave"]
_Piece = bytes | _Slot
# A message is asked for its Content-Type a dozen times, and every look at a header parses it anew.
_READER = policy.SMTP.clone(header_factory=lru_cache(maxsize=64)(HeaderRegistry()))
_SAMPLE: Final = {
    "address": "reader@verify.example",
    "unsubscribe_url": "https://verify.example/u/AQEqbWlsZXN0b25lcw==",
    "message_id": "<verify@verify.example>",
}
_SAMPLE_LEAVE: Final = "bounces+leave-verify@verify.example"


@dataclass(frozen=True, kw_only=True, slots=True)
class Letterhead:
    """What every message of a list says about the list."""

    sender: headers.Mailbox  # From
    list_id: str  # "milestones.timeline.example" (RFC 2919): lower case, never changed once mailed
    list_name: str = ""
    reply_to: headers.Mailbox | None = None
    archive: str | None = None  # http(s) URL of the web archive
    feedback_id: str | None = None  # "campaign:customer:type:sender", where a mailbox provider wants it
    one_click: bool = True  # the message's link is the way out; False: it confirms, and no program may press it
    leave_by_mail: bool = False  # the message has a second way out: an address of the reader's own to write to
    auto_submitted: bool = False  # RFC 3834: an answer to what somebody did; no vacation notice comes back


class MessageTemplate:
    """One issue's message for one variant; immutable. Build it with `build`."""

    __slots__ = ("_content_hash", "_pieces", "_slots", "_variant")

    def __init__(self, variant: str, pieces: tuple[_Piece, ...]) -> None:
        self._variant = variant
        self._pieces = pieces
        self._slots = tuple((at, piece) for at, piece in enumerate(pieces) if not isinstance(piece, bytes))
        digest = hashlib.sha256()
        for piece in pieces:
            digest.update(piece if isinstance(piece, bytes) else b"\0" + piece.encode("ascii") + b"\0")
        self._content_hash = digest.hexdigest()

    @classmethod
    def build(
        cls, variant: Variant, *, letterhead: Letterhead, date: dt.datetime, verified: bool = False
    ) -> Self:
        """The template of `variant`, verified unless the same one was before; raises RenderError.

        `date` (aware) is when the issue was sealed, never the time of an attempt: a retry sends the same bytes.
        """
        if not headers.one_line(variant.subject):
            raise RenderError("the subject is empty", where=f"variant {variant.name}")
        if not variant.placeholder or any(variant.placeholder not in part for part in (variant.html, variant.text)):
            raise RenderError("a part has no place for the unsubscribe link", where=f"variant {variant.name}")
        digest = hashlib.sha256(f"{variant.text}\0{variant.html}".encode("utf-8", "replace")).hexdigest()
        boundary = f"=_{digest[:32]}"  # "=_" can't occur in quoted-printable (RFC 2045 §6.7)
        pieces: list[_Piece] = [
            *_head(variant, letterhead, date, boundary),
            f"\r\n--{boundary}\r\n".encode("ascii"),
            *_part("plain", variant.text, variant.placeholder, "url_in_text"),
            f"--{boundary}\r\n".encode("ascii"),
            *_part("html", variant.html, variant.placeholder, "url_in_html"),
            f"--{boundary}--\r\n".encode("ascii"),
        ]
        template = cls(variant.name, _merged(pieces))
        if not verified:
            template.verify(variant, letterhead, date)
        return template

    @property
    def variant(self) -> str:
        return self._variant

    @property
    def content_hash(self) -> str:
        """SHA-256 (hex) of all that recipients share: equal for equal input, on any machine and on any day."""
        return self._content_hash

    def bytes_for(
        self, *, address: str, unsubscribe_url: str, message_id: str, leave_address: str | None = None
    ) -> bytes:
        """The whole message for one recipient: CRLF, ASCII, the same bytes for the same arguments.

        `leave_address`: where a mail of theirs takes them off the list; wanted where the letterhead has it. No line of
        it begins with a dot, so that it is the same before and after dot-stuffing (RFC 5321 §4.5.2).
        Raises RenderError when an argument could make another header or another recipient.
        """
        link = headers.url(unsubscribe_url)
        in_html = html.escape(link)
        in_text = quoted.value(link)
        values: dict[_Slot, bytes] = {
            "address": headers.address(address).encode("ascii"),
            "message_id": headers.message_id(message_id).encode("ascii"),
            "url": link.encode("ascii"),
            "url_in_text": in_text,
            "url_in_html": in_text if in_html == link else quoted.value(in_html),
        }
        if leave_address is not None:
            if len(link) + len(leave_address) > headers.MAX_LINE - 60:
                raise RenderError("the two ways out are too long for one line of the header", where=link[:80])
            values["leave"] = headers.address(leave_address).encode("ascii")
        pieces: list[Any] = list(self._pieces)
        for index, slot in self._slots:
            pieces[index] = values[slot]
        return b"".join(pieces)

    def verify(self, variant: Variant, letterhead: Letterhead, date: dt.datetime) -> None:
        """Check the finished bytes of a sample recipient as another program would read them; raises RenderError."""
        where = f"variant {self._variant}"
        raw = self.bytes_for(**_SAMPLE, leave_address=_SAMPLE_LEAVE if letterhead.leave_by_mail else None)
        head, _, body = raw.partition(b"\r\n\r\n")
        if not (raw.count(b"\r\n") == raw.count(b"\r") == raw.count(b"\n")) or not raw.isascii() or b"\0" in raw:
            raise RenderError("the message holds a bare line end or something beyond ASCII", where=where)
        if raw.startswith(b".") or b"\r\n." in raw:
            raise RenderError("a line begins with a dot, which a relay would take away", where=where)
        if len(head) > headers.MAX_HEADERS:
            raise RenderError(f"the headers take {len(head)} octets, more than {headers.MAX_HEADERS}", where=where)
        if max(map(len, body.split(b"\r\n"))) > headers.FOLD:
            raise RenderError("a line of the body is longer than quoted-printable allows", where=where)
        parsed = message_from_bytes(raw, policy=_READER)
        names, reader = parsed.keys(), BytesHeaderParser(policy=_READER)
        if reader.parsebytes(reader.parsebytes(head).as_bytes()).keys() != names:
            raise RenderError("a reader's program would see other headers than we wrote", where=where)
        counts = Counter(names)
        if not set(headers.ONCE) <= set(names) <= set(headers.ALLOWED) or max(counts.values()) > 1:
            raise RenderError(f"the headers are not the ones we send: {', '.join(names)}", where=where)
        misread = misread_headers(head, _meant(variant, letterhead, date))
        if misread:
            raise RenderError("; ".join(misread), where=where)
        contents = {part.get_content_type(): part.get_content() for part in parsed.iter_parts()}
        if list(contents) != ["text/plain", "text/html"]:
            raise RenderError("the message does not parse into its two parts", where=where)
        for content in contents.values():
            if variant.placeholder in content or html.escape(_SAMPLE["unsubscribe_url"]) not in content:
                raise RenderError("the unsubscribe link does not arrive in both parts", where=where)


def message_findings(variant: Variant, *, letterhead: Letterhead, date: dt.datetime) -> list[str]:
    """What would keep `variant` from being sent under `letterhead`, [] for a good one: told before anybody approves."""
    try:
        MessageTemplate.build(variant, letterhead=letterhead, date=date)
    except RenderError as error:
        return [error.what]
    return []


def _meant(variant: Variant, letterhead: Letterhead, date: dt.datetime) -> dict[str, Meant]:
    """What a reader is to be shown: header → its words, what stands between its brackets, and the setting of both."""
    meant = {
        "From": Meant(words=letterhead.sender.name, bare=letterhead.sender.address, setting="mail.from"),
        "Subject": Meant(words=headers.one_line(variant.subject), setting="the issue's subject"),
        "Date": Meant(words=headers.date(date), setting="the day of the hand-over"),
        "List-Id": Meant(words=letterhead.list_name, bare=letterhead.list_id, setting="newsletter.name"),
    }
    if letterhead.reply_to:
        name, address = letterhead.reply_to
        meant["Reply-To"] = Meant(words=name, bare=address, setting="mail.reply_to")
    if letterhead.archive:
        meant["List-Archive"] = Meant(bare=letterhead.archive, setting="web.base_url")
    if letterhead.feedback_id:
        meant["Feedback-ID"] = Meant(words=letterhead.feedback_id, setting="mail.feedback_id")
    return meant


def _head(variant: Variant, letterhead: Letterhead, date: dt.datetime, boundary: str) -> list[_Piece]:
    """The headers, in the order mail programs like to show them, with the slots of the recipient."""
    pieces: list[_Piece] = [headers.line("From", headers.mailbox("From", letterhead.sender))]
    pieces += [b"To: ", "address", b"\r\n"]
    if letterhead.reply_to:
        pieces.append(headers.line("Reply-To", headers.mailbox("Reply-To", letterhead.reply_to)))
    pieces.append(headers.line("Subject", headers.words("Subject", variant.subject)))
    pieces.append(headers.line("Date", headers.date(date)))
    pieces += [b"Message-ID: ", "message_id", b"\r\n"]
    pieces.append(headers.line("MIME-Version", "1.0"))
    pieces.append(headers.line("List-Id", headers.list_id(letterhead.list_id, letterhead.list_name)))
    if letterhead.archive:
        pieces.append(headers.line("List-Archive", f"<{headers.url(letterhead.archive)}>"))
    if letterhead.one_click:
        # Bytes, not EmailMessage: that RFC 2047-encodes a long URL, and one-click breaks (python/cpython#85725).
        # The order is ours to choose and says which way we like best (RFC 2369 §2): the one-click is first.
        # One line: programs that read it by themselves stumble over a fold.
        pieces += [b"List-Unsubscribe: <", "url", b">"]
        if letterhead.leave_by_mail:
            pieces += [b", <mailto:", "leave", b"?subject=unsubscribe>"]
        pieces.append(b"\r\n")
        pieces.append(headers.line("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
    if letterhead.auto_submitted:
        pieces.append(headers.line("Auto-Submitted", "auto-generated"))
    if letterhead.feedback_id:
        pieces.append(headers.line("Feedback-ID", headers.one_line(letterhead.feedback_id)))
    pieces.append(headers.line("Content-Type", f'multipart/alternative;\r\n boundary="{boundary}"'))
    return pieces


def _part(kind: str, content: str, placeholder: str, slot: _Slot) -> list[_Piece]:
    """One body part with its own headers; ends in a line end."""
    head = f"Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    pieces: list[_Piece] = [head.encode("ascii")]
    for index, segment in enumerate(quoted.segments(content, placeholder)):
        if index:
            pieces.append(slot)
        pieces.append(segment)
    return [*pieces, b"\r\n"]


def _merged(pieces: list[_Piece]) -> tuple[_Piece, ...]:
    """Neighbouring bytes as one piece: what is joined for each recipient should be few things."""
    merged: list[_Piece] = []
    for piece in pieces:
        if merged and isinstance(piece, bytes) and isinstance(merged[-1], bytes):
            merged[-1] += piece
        elif piece:
            merged.append(piece)
    return tuple(merged)
