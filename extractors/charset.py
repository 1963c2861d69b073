"""From a page's bytes to its text by one fixed chain, so that the same bytes always read the same."""

import codecs
import re
from collections.abc import Iterator
from itertools import chain

from extractors.encodings import decode_as, encoding_of

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_HEADER = re.compile(r"charset\s*=\s*[\"']?\s*([^\s\"';,]+)", re.IGNORECASE)
_IN_CONTENT = re.compile(rb"charset\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s;\"'][^\s;]*))", re.IGNORECASE)
_XML = re.compile(rb"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']\s*([A-Za-z0-9._:-]+)")
_FIRST_TAG = re.compile(rb"<([a-z][a-z0-9:]{0,40})[\s>/]", re.IGNORECASE)
_FEED_TAGS = (b"rss", b"feed", b"rdf:rdf", b"channel")
_MARKUP = re.compile(
    rb"<!--.*?-->|<(?P<tag>/?[a-z][^\s/>]*+)(?P<rest>(?:[^>\"'=]|=\s*(?:\"[^\"]*\"|'[^']*')?|[\"'])*+)>|<[!/?][^>]*>",
    re.DOTALL | re.IGNORECASE,
)
_ATTRIBUTE = re.compile(rb"([^\s/=][^\s/=]*)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s]*)))?")
_LOOKED_AT = 4_096  # bytes within which a document has its first tag
_META_WITHIN = 64 * 1024  # bytes; the standard's first glance takes 1,024, but its parser believes a later <meta> too
_BY_MARKUP = {"utf-16le": "utf-8", "utf-16be": "utf-8", "x-user-defined": "windows-1252"}  # HTML §13.2.3.2


def decode(body: bytes, content_type: str = "") -> str:
    """The text of `body`; never fails, what can't be decoded becomes U+FFFD.

    Byte-order mark, then the charset of `content_type`, then that of a <meta> or an XML declaration, then UTF-8, then
    windows-1252 (the order of the HTML standard, §13.2.3.2, without its guessing). A declared charset that is unknown,
    or that doesn't fit where another does, is passed over; where none fits, the first that was declared is read with
    its gaps.
    """
    for mark, encoding in _BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace")
    declared: list[str] = []
    for name in chain(_declared(body, content_type), ["utf-8"]):
        declared.append(name)
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
    match = _HEADER.search(content_type)
    name = encoding_of(match[1]) if match else None
    first = _FIRST_TAG.search(body[:_LOOKED_AT])
    feed = first is not None and first[1].lower() in _FEED_TAGS
    if match and feed and match[1].casefold() in ("us-ascii", "ascii"):
        name = None  # what servers say of text/xml by themselves (RFC 3023, which RFC 7303 took back)
    if name and (b"\0" in body[:1024] or not name.startswith("utf-16")):  # markup in UTF-16 is every other byte zero
        yield name
    if feed:  # what it holds may be HTML that says something of itself (a feed)
        declared = _XML.match(body)
        name = encoding_of(declared[1].decode("ascii")) if declared else "utf-8"
    else:
        name = _by_markup(body[:_META_WITHIN])
    if name:
        yield _BY_MARKUP.get(name, name)


def _by_markup(head: bytes) -> str | None:
    """What the first <meta> that names an encoding says, or the XML declaration (HTML §13.2.3.2, the prescan)."""
    at = head.find(b"<")
    while at >= 0:
        found = _MARKUP.match(head, at)
        if found is None and (head[at + 1 : at + 2].isalpha() or head[at + 1 : at + 2] in (b"!", b"/", b"?")):
            break  # a tag or a comment that doesn't end
        if found and found["tag"] and found["tag"].lower() == b"meta" and (name := _by_meta(found["rest"])):
            return name
        at = head.find(b"<", found.end() if found else at + 1)
    declared = _XML.match(head)
    return encoding_of(declared[1].decode("ascii")) if declared else None


def _by_meta(attributes: bytes) -> str | None:
    given: dict[bytes, bytes] = {}
    for found in _ATTRIBUTE.finditer(attributes):
        given.setdefault(found[1].lower(), found[2] or found[3] or found[4] or b"")
    label = given.get(b"charset")
    if label is None and given.get(b"http-equiv", b"").lower() == b"content-type":
        content = _IN_CONTENT.search(given.get(b"content", b""))
        label = next((part for part in content.groups() if part is not None), None) if content else None
    return encoding_of(label.decode("latin-1")) if label else None


def _mostly_utf8(text: str) -> bool:
    """Whether a damaged spot, not another encoding, is what kept the bytes of `text` from being UTF-8."""
    damaged = text.count("�")
    beyond_ascii = sum(1 for sign in text if sign > "\x7f")
    return beyond_ascii > 2 * damaged
