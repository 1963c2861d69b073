"""From a page's bytes to its text by one fixed chain, so that the same bytes always read the same."""

import codecs
import re

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_HEADER = re.compile(r"charset\s*=\s*[\"']?\s*([A-Za-z0-9._:-]+)", re.IGNORECASE)
_META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9._:-]+)", re.IGNORECASE)
_META_WITHIN = 1024  # bytes: where the standard looks for it
# WHATWG Encoding §4.2: these labels mean windows-1252. UTF-7 is no encoding of the web, and an old way to smuggle tags.
_LATIN = frozenset(
    {"ascii", "us-ascii", "iso-8859-1", "iso8859-1", "latin1", "latin-1", "l1", "cp1252", "windows-1252"}
)
_REFUSED = frozenset({"utf-7", "utf7", "unicode-1-1-utf-7", "utf-32", "utf-16"})


def decode(body: bytes, content_type: str = "") -> str:
    """The text of `body`; never fails, what can't be decoded becomes U+FFFD.

    Byte-order mark, then the charset of `content_type`, then that of a <meta> in the first 1,024 bytes, then UTF-8,
    then windows-1252 (the order of the HTML standard, §13.2.3.2, without its guessing). A declared charset that is
    unknown, or that doesn't fit where UTF-8 does, is passed over.
    """
    for mark, encoding in _BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace")
    declared = [match.group(1) for match in [_HEADER.search(content_type)] if match]
    declared += [match.group(1).decode("ascii") for match in [_META.search(body, 0, _META_WITHIN)] if match]
    for name in (*declared, "utf-8"):
        known = _codec(name)
        if known is None:
            continue
        try:
            return body.decode(known)
        except UnicodeDecodeError:
            continue
    return body.decode("utf-8" if _mostly_utf8(body) else "cp1252", "replace")


def _codec(name: str) -> str | None:
    label = name.strip().lower()
    if label in _REFUSED:
        return None
    if label in _LATIN:
        return "cp1252"
    try:
        found = codecs.lookup(label)
    except LookupError:
        return None
    return found.name if found._is_text_encoding else None  # noqa: SLF001 - else "rot13" or "zip" would be a charset


def _mostly_utf8(body: bytes) -> bool:
    """Whether one damaged spot, not another encoding, is what kept `body` from being UTF-8."""
    text = body.decode("utf-8", "replace")
    damaged = text.count("�")
    beyond_ascii = sum(1 for sign in text if sign > "\x7f")
    return beyond_ascii > 2 * damaged
