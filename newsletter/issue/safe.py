"""Scraped text and links made fit for a header, for MJML and for plain text; the words stay as they were.

    scraped text ─▶ one_line | paragraphs ─▶ (MJML) ascii_markup
    scraped link ─▶ link
"""

import re
import unicodedata
from urllib.parse import quote, urlsplit, urlunsplit

from markupsafe import Markup, escape

from milepost.text_shape import blocks_of, in_one_line, is_shaped, plain

# Breaks in the sense of str.splitlines, which knows more of them than mail does.
_BREAKS = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
_MARKS = dict.fromkeys((0x061C, 0x200E, 0x200F))  # directions without a sign, which no header shows
# Embeddings, overrides and isolates can turn round the words that follow; a byte order mark is no text.
_TURNERS = "\u202a-\u202e\u2066-\u2069\ufeff"
_CONTROLS = re.compile(rf"[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff{_TURNERS}]")
_ENDS = "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0x110000, 0x10000))
_NONCHARACTERS = re.compile(f"[{_ENDS}]")  # the last two of each further plane
_URL_SAFE = "/:?#[]@!$&'()*+,;=-._~%"  # RFC 3986 §2: what may stand as it is; % is taken as encoded already
_JOINING = "\u200d\ufe0e\ufe0f\u20e3"  # zero-width joiner, variation selectors, the keycap
_MODIFIERS = "".join(map(chr, range(0x1F3FB, 0x1F400)))  # skin tones
_FLAGS = "".join(map(chr, range(0x1F1E6, 0x1F200)))  # regional indicators
BULLETS = ("•", "◦", "▪")  # of an item in a list, in one within it, and so on
_BRACES = str.maketrans({"{": "&#123;", "}": "&#125;", "\\": "&#92;"})


def clean(text: str) -> str:
    """`text` without control, surrogate and direction-turning characters; line breaks become LF."""
    if text.isprintable():  # most texts are one line, and nothing that goes is printable; found out many times sooner
        return text
    return _NONCHARACTERS.sub("", _BREAKS.sub("\n", _CONTROLS.sub("", text)))


def clean_lines(text: str) -> str:
    """`clean`, with empty lines kept: they part the paragraphs of what somebody typed."""
    return "\n".join(clean(line) for line in text.replace("\r\n", "\n").split("\n"))


def one_line(text: str) -> str:
    """`text` on one line, single-spaced."""
    return " ".join(clean(text).split())


def paragraphs(text: str) -> tuple[str, ...]:
    """The lines of `text` that have words, each single-spaced."""
    lines = (" ".join(line.split()) for line in clean(text).split("\n"))
    return tuple(line for line in lines if line)


def prose_lines(text: str) -> tuple[str, ...]:
    """`paragraphs` of a record's text; where it has a shape, items with their marks and code line by line."""
    if not is_shaped(text):
        return paragraphs(text)
    lines: list[str] = []
    for block in blocks_of(text):
        if block.kind == "item":
            lines += paragraphs(f"{BULLETS[block.depth] if block.mark == '-' else block.mark} {plain(block.text)}")
        else:
            lines += paragraphs(plain(block.text) if block.kind == "paragraph" else block.text)
    return tuple(lines)


def prose_line(text: str) -> str:
    """A record's text on one line, whatever its shape."""
    return one_line(in_one_line(text))


def header(text: str) -> str:
    """One line for a Subject: nothing in it reads as an RFC 2047 encoded word, which some readers decode into more."""
    return one_line(text).replace("=?", "= ?")


def subject_line(text: str) -> str:
    """`header` without marks of direction either: what is approved is what arrives, and "" is what nobody could see."""
    return header(text.translate(_MARKS))


def clip(text: str, width: int) -> str:
    """`text` in at most `width` characters, cut between words where there are any, an ellipsis where it was cut."""
    if len(text) <= width:
        return text
    head = text[: width - 1]
    if not text[width - 1].isspace() and " " in head[width // 2 :]:
        head = head[: head.rindex(" ")]
    while head and unicodedata.combining(text[len(head)]):
        head = head[:-1]
    return f"{head.rstrip(' ,;:—–-')}…"


def cut(text: str, width: int) -> str:
    """`clip` that leaves every sign whole: no emoji without its half, and room enough is never wasted on one word."""
    if len(text) <= width:
        return text
    head = clip(text, width)[:-1]
    while head and (text[len(head)] in _JOINING or text[len(head)] in _MODIFIERS or head[-1] == "\u200d"):
        head = head[:-1]
    pairs = len(head) - len(head.rstrip(_FLAGS))  # a flag is two letters of its own kind
    if pairs % 2 and text[len(head)] in _FLAGS:
        head = head[:-1]
    return f"{head.rstrip(' ,;:—–-')}…"


def link(url: str | None) -> str | None:
    """`url` in ASCII if it is an absolute http(s) one without tricks, else None."""
    if not url or any(char.isspace() or not char.isprintable() for char in url) or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode("ascii")
        port = parts.port
    except (ValueError, UnicodeError):
        return None
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        return None
    place = f"[{host}]" if ":" in host else host
    netloc = quote(place, safe="[]:.-_") + (f":{port}" if port else "")
    path, query, fragment = (quote(part, safe=_URL_SAFE) for part in parts[2:])
    return urlunsplit((parts.scheme, netloc, path, query, fragment))


def ascii_markup(value: object) -> Markup:
    """What Jinja may hand to MJML: escaped, pure ASCII, other characters as numeric entities.

    Braces and backslashes are entities too, so that what looks like a template in the result is ours, and so that MJML,
    which escapes attribute values its own way, has nothing to escape; of two hyphens the second is one, since they may
    not stand in a comment, such as Outlook's own part of a mail. Markup (a macro's result) is known to be escaped.
    """
    text = str(value) if isinstance(value, Markup) else str(escape(value)).translate(_BRACES).replace("--", "-&#45;")
    return Markup(text.encode("ascii", "xmlcharrefreplace").decode("ascii"))  # noqa: S704 - escaped just above
