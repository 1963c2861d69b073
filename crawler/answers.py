"""Tells a page from what only looks like one: cut short, empty, a challenge, a login, "not found" with a 200; pure."""

import re

_HTML_TYPES = ("text/html", "application/xhtml+xml")
_TAIL = 64 * 1024
# What challenge pages of the well-known kinds carry; lower case.
_CHALLENGES: tuple[bytes, ...] = (
    b"cf-chl-", b"cf_chl_opt", b"cf-challenge", b"<title>just a moment", b"<title>attention required",
    b"_incapsula_resource", b"px-captcha", b"captcha-delivery.com", b"awswafcookiedomainlist", b"g-recaptcha",
    b"h-captcha", b"cf-turnstile", b"<title>access denied", b"<title>are you a robot", b"verify you are human",
)
_PASSWORD = re.compile(rb"""\btype\s{0,4}=\s{0,4}["']?password\b""")
_CONTENT = (b"<article", b"application/ld+json")  # a page that has either is about something
_TITLE = re.compile(rb"<(?:title|h1)\b[^>]{0,300}>([^<]{0,300})<")
_NOT_FOUND = re.compile(rb"^\s*(?:error\s*)?(?:404\b|not found)|page not found|\b404\s*$|\b404 not found")


def _is_html(content_type: str, lower: bytes) -> bool:
    kind = content_type.split(";", 1)[0].strip().lower()
    if kind:
        return kind in _HTML_TYPES
    head = lower[:1024]
    return b"<!doctype html" in head or b"<html" in head


def _plain(body: bytes) -> bytes:
    """Lower-case ASCII-ish bytes to look for words in; UTF-16 loses its zero bytes."""
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        body = body.replace(b"\0", b"")
    return body.lower()


def fault(body: bytes, content_type: str) -> str | None:
    """Why a 200's body is not the page that was asked for, in a few words; None when it may well be."""
    if not body.strip():
        return "the page is empty"
    lower = _plain(body)
    if not _is_html(content_type, lower):
        return f"it is not HTML ({content_type.split(';', 1)[0].strip()[:60] or 'no Content-Type'})"
    if b"</html" not in lower[-_TAIL:]:
        return "the page is cut short (no </html>)"
    if any(sign in lower for sign in _CONTENT):
        return None
    if b"password" in lower and _PASSWORD.search(lower):
        return "it is a login page"
    if any(sign in lower for sign in _CHALLENGES):
        return "it is a challenge (captcha) page"
    for title in _TITLE.findall(lower[: 256 * 1024])[:4]:
        if _NOT_FOUND.search(title):
            return "it says “not found” with status 200"
    return None
