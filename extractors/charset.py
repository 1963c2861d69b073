"""From a page's bytes to its text by one fixed chain, so that the same bytes always read the same."""

import codecs
import re
from collections.abc import Iterator

from extractors.encodings import decode_as, encoding_of

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_HEADER = re.compile(r"charset\s*=\s*[\"']?\s*([^\s\"';,]+)", re.IGNORECASE)
_META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9._:-]+)", re.IGNORECASE)
_XML = re.compile(rb"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']\s*([A-Za-z0-9._:-]+)")
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_META_WITHIN = 1024  # bytes: where the standard looks for it
_BY_MARKUP = {"utf-16le": "utf-8", "utf-16be": "utf-8", "x-user-defined": "windows-1252"}  # HTML §13.2.3.2


def decode(body: bytes, content_type: str = "") -> str:
    """The text of `body`; never fails, what can't be decoded becomes U+FFFD.

    Byte-order mark, then the charset of `content_type`, then that of a <meta> or an XML declaration in the first 1,024
    bytes, then UTF-8, then windows-1252 (the order of the HTML standard, §13.2.3.2, without its guessing). A declared
    charset that is unknown, or that doesn't fit where another does, is passed over; where none fits, the first that was
    declared is read with its gaps.
    """
    for mark, encoding in _BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace")
    declared = list(_declared(body, content_type))
    for name in (*declared, "utf-8"):
        try:
            return decode_as(name, body, strictly=True)
        except ValueError:
            continue
    legacy = next((name for name in declared if name != "utf-8"), None)
    text = decode_as(legacy or "windows-1252", body, strictly=False)
    utf8 = body.decode("utf-8", "replace")
    if _mostly_utf8(utf8) and (legacy is None or utf8.count("\ufffd") < text.count("\ufffd")):
        return utf8
    return text


def _declared(body: bytes, content_type: str) -> Iterator[str]:
    """The encodings that the header and the page name, in the order in which they are believed."""
    head = body[:_META_WITHIN]
    match = _HEADER.search(content_type)
    name = encoding_of(match[1]) if match else None
    if name and (b"\0" in head or not name.startswith("utf-16")):  # markup in UTF-16 is every other byte zero
        yield name
    if b"<!--" in head:
        head = _COMMENT.sub(b"", head)
    meta = _META.search(head) or _XML.match(head.lstrip())
    if meta and (name := encoding_of(meta[1].decode("ascii"))):
        yield _BY_MARKUP.get(name, name)


def _mostly_utf8(text: str) -> bool:
    """Whether a damaged spot, not another encoding, is what kept the bytes of `text` from being UTF-8."""
    damaged = text.count("�")
    beyond_ascii = sum(1 for sign in text if sign > "\x7f")
    return beyond_ascii > 2 * damaged
