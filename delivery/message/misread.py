"""Reads the headers of a finished message as a mail program does, and tells where that is not what was meant.

    finished bytes ─▶ structure (RFC 5322) ─▶ encoded words (RFC 2047 §6) ─▶ what a reader sees = what was meant?

It shares nothing with the code that wrote them: a name that was encoded twice passes every check of form.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from email import policy
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.parser import BytesHeaderParser
from email.utils import getaddresses

from delivery.message.headers import legible

_SHOWN = 120  # characters of a value in a finding


@dataclass(frozen=True, kw_only=True, slots=True)
class Meant:
    """What one header is to say to a reader."""

    words: str = ""  # a text or a display name, as a person reads it
    bare: str | None = None  # what stands in angle brackets after it: an address, an identifier, a URL
    setting: str  # where both come from


def misread_headers(raw: bytes, meant: Mapping[str, Meant]) -> list[str]:
    """A sentence for each header of `meant` (by name) that a reader would see otherwise, or not at all."""
    message = BytesHeaderParser(policy=policy.compat32).parsebytes(raw)
    found = []
    for name, one in meant.items():
        values = [str(value) for value in message.get_all(name, [])]
        seen = [_seen(value, bracketed=one.bare is not None) for value in values]
        want = (legible(one.words), one.bare)
        if seen != [want]:
            shown = ", ".join(_said(*each) for each in seen) or "nothing"
            found.append(f"{name} reads {shown}, and {one.setting} says {_said(*want)}")
    return found


def _seen(value: str, *, bracketed: bool) -> tuple[str, str | None]:
    """(words, what the brackets hold) of a header as it came over the wire, folded and encoded."""
    line = " ".join(value.split())  # unfolded (RFC 5322 §2.2.3)
    if not bracketed:
        return _decoded(line), None
    if line.startswith("<") and line.endswith(">"):
        return "", line[1:-1]
    pairs = getaddresses([line])
    if len(pairs) != 1:
        return _decoded(line), None
    words, bare = pairs[0]
    return _decoded(words), bare


def _decoded(value: str) -> str:
    """`value` with its encoded words decoded, once; one that can't be is shown raw, as mail programs do."""
    try:
        return str(make_header(decode_header(value)))
    except (HeaderParseError, LookupError, UnicodeError):
        return value


def _said(words: str, bare: str | None) -> str:
    whole = " ".join(part for part in (words, None if bare is None else f"<{bare}>") if part)
    return f"“{whole[:_SHOWN]}”"
