"""Quoted-printable (RFC 2045 §6.7) whose places for a recipient's values can be filled by joining bytes.

A body is encoded once, in segments around its placeholder; a value goes on lines of its own, between soft line breaks:

    …your choice: =        ◀ segment
    https://example.org/u/AQ=3D     ◀ value, `=` as `=3D`
    =                      ◀ segment
"""

import re

_LINE = 75  # octets, and a 76th for the soft break
_CODED = re.compile(rb"[^\n !-<>-~]")  # octets that are written as codes
_CODES = {bytes([octet]): b"=%02X" % octet for octet in range(256)}
# At the start of a line a dot asks for stuffing and "From " for mangling by an mbox: encoded, both are left alone.
_AT_START = {".": "=2E", "F": "=46"}


def encode(text: str) -> bytes:
    """`text` as quoted-printable of its UTF-8, CRLF line ends, at most 76 octets a line; CR, LF and CRLF end a line."""
    octets = text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace")
    rows = _CODED.sub(lambda found: _CODES[found[0]], octets).decode("ascii").split("\n")
    return "\r\n".join(_cut(f"{row[:-1]}=20" if row.endswith(" ") else row) for row in rows).encode("ascii")


def _cut(rest: str) -> str:
    """One encoded line of text in lines that are short enough, between soft line breaks."""
    lines: list[str] = []
    while rest:
        if rest[0] in _AT_START:
            rest = _AT_START[rest[0]] + rest[1:]
        if len(rest) <= _LINE:
            lines.append(rest)
            break
        code = rest.rfind("=", _LINE - 2, _LINE)
        end = _LINE if code < 0 else code  # a code stays in one piece
        lines.append(rest[:end])
        rest = rest[end:]
    return "=\r\n".join(lines)


def segments(text: str, placeholder: str) -> tuple[bytes, ...]:
    """`text` encoded and split at each `placeholder`: with `value(…)` between the parts, one body."""
    parts = text.split(placeholder)
    return tuple(
        (b"=\r\n" if index else b"") + encode(part) + (b"=\r\n" if index < len(parts) - 1 else b"")
        for index, part in enumerate(parts)
    )


def value(url: str) -> bytes:
    """What goes between two segments: `url` (ASCII) on a line of its own, on more only when it is beyond 75 octets."""
    plain = url.replace("=", "=3D")  # all that an address can hold and quoted-printable can't
    return (plain if len(plain) <= _LINE else _cut(plain)).encode("ascii")
