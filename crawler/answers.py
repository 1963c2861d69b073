"""Tells a page from what only looks like one: cut short, empty, a challenge, a login, "not found" with a 200; pure."""

import re
from collections.abc import Callable

_HTML_TYPES = ("text/html", "application/xhtml+xml")
_TAIL = 64 * 1024
# What a page carries only where it asks who is there, whatever else is on it (lower case): scripts and settings of the
# well-known kinds, which no article needs.
_CHALLENGES: tuple[bytes, ...] = (
    b"_cf_chl_opt", b"/cdn-cgi/challenge-platform/h/", b"_incapsula_resource", b"awswafcookiedomainlist",
    b"captcha-delivery.com/c.js", b"window._pxappid", b"/cdn-cgi/l/chk_", b"/cdn-cgi/scripts/cf.challenge.js",
    b"__cf_chl_", b"sucuri_cloudproxy_js",
)
# What it may carry as well as an article with a form under it: a challenge is a page that has hardly a word beside.
_WIDGET = re.compile(
    rb"""\b(?:class|id)\s{0,4}=\s{0,4}["']?[^"'<>]{0,200}\b(?:cf-turnstile|g-recaptcha|h-captcha|px-captcha|cf-challenge)\b"""
)
_CHALLENGE_TITLE = re.compile(
    rb"<title\b[^>]{0,300}>\s{0,99}(?:just a moment|attention required|access denied|are you a robot|"
    rb"(?:please )?verify (?:that )?you are (?:a )?human|security check|checking your browser)\b"
)
_PASSWORD = re.compile(rb"""\btype\s{0,4}=\s{0,4}["']?password\b""")
_TAG_OR_WORD = re.compile(rb"<(/?)([a-z][a-z0-9]*)[^<>]{0,4000}>|<[^<>]{0,4000}>|([a-z]{2,}|[\x80-\xff]{6,})")
_ASIDE = frozenset(
    (b"script", b"style", b"noscript", b"head", b"header", b"nav", b"footer", b"aside", b"svg", b"template")
)
_ASKING = (  # without any of these there is no need to look closer
    b"password", b"captcha", b"turnstile", b"challenge", b"moment", b"attention", b"denied", b"verify",
    b"robot", b"security check", b"checking your",
)
_FEW = 80  # words beside header and footer: a page with more is about something
_EXPLAINED = 400  # … but for one whose title asks and whose widget stands among the first of them: it explains itself
_LOOKED_AT = 512 * 1024  # bytes: no challenge and no login is larger
_CONTENT = (b"<article", b"application/ld+json")  # a page that has either is about something
_FIRST_TAG = re.compile(rb"<([a-z][a-z0-9:]{0,40})[\s>/]")
_FEED_TAGS = (b"rss", b"feed", b"rdf:rdf", b"channel")
_TITLE = re.compile(rb"<(?:title|h1)\b[^>]{0,300}>([^<]{0,300})<")
_NOT_FOUND = re.compile(rb"^\s*(?:error\s*)?(?:404\b|not found)|page not found|\b404\s*$|\b404 not found")


def html_alone(content_type: str) -> bool:
    """What `fault` takes where nothing else is said: HTML."""
    return content_type in _HTML_TYPES


def _begins_as_html(lower: bytes) -> bool:
    head = lower[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    return head.startswith((b"<!doctype html", b"<html", b"<?xml")) and b"<html" in lower[:4096]


def _begins_as_feed(lower: bytes) -> bool:
    head = lower[:8192].lstrip(b"\xef\xbb\xbf \t\r\n")
    first = _FIRST_TAG.search(head)
    return head.startswith(b"{") or (first is not None and first[1] in _FEED_TAGS)


def _looks_like_html(lower: bytes) -> bool:
    head = lower[:1024]
    return b"<!doctype html" in head or b"<html" in head


def _plain(body: bytes) -> bytes:
    """Lower-case ASCII-ish bytes to look for words in; UTF-16 loses its zero bytes."""
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        body = body.replace(b"\0", b"")
    return body.lower()


def _asks_who_is_there(lower: bytes) -> str | None:
    """What a page asks for in place of telling something; None when it tells something, or asks only in passing.

    What stands in a header, navigation or footer is in passing: a page's own form, its widget and its words are not.
    """
    words = 0
    titled = _CHALLENGE_TITLE.search(lower) is not None
    asked: str | None = None
    inside: bytes | None = None  # the element whose parts don't count
    for found in _TAG_OR_WORD.finditer(lower):
        closing, name, word = found.groups()
        if inside is not None:
            inside = None if closing and name == inside else inside
        elif word is not None:
            words += 1
            if words > (_EXPLAINED if titled and asked else _FEW):
                return None
        elif name in _ASIDE and not closing:
            inside = name
        elif _WIDGET.search(found[0]):
            asked = "it is a challenge (captcha) page"
        elif _PASSWORD.search(found[0]):
            asked = asked or "it is a login page"
    return "it is a challenge (captcha) page" if titled else asked


def fault(body: bytes, content_type: str, takes: Callable[[str], bool] = html_alone) -> str | None:
    """Why a 200's body is not the page that was asked for, in a few words; None when it may well be.

    `takes`: whether a content type, in small letters and without parameters, is one that is read there. What is no
    HTML can't show that it was cut short; what claims to be text and begins as HTML is looked at as that.
    """
    if not body.strip():
        return "the page is empty"
    lower = _plain(body)
    kind = content_type.split(";", 1)[0].strip().lower()
    told = kind[:60] or "no Content-Type"
    html = kind in _HTML_TYPES if kind else _looks_like_html(lower)
    if html and takes("application/rss+xml") and _begins_as_feed(lower):
        html = False  # whatever it is served as
    if not takes(_HTML_TYPES[0] if html else kind):
        return f"it is not HTML ({told})" if takes is html_alone else f"it is nothing that is read there ({told})"
    if not html and b"\0" in lower[:_TAIL]:
        return f"it is no text ({told})"
    if not html and not _begins_as_html(lower):
        return None
    if b"</html" not in lower[-_TAIL:]:
        return "the page is cut short (no </html>)"
    if any(sign in lower for sign in _CONTENT):
        return None
    if any(sign in lower for sign in _CHALLENGES):
        return "it is a challenge (captcha) page"
    if len(lower) <= _LOOKED_AT and any(sign in lower for sign in _ASKING):
        asked = _asks_who_is_there(lower)
        if asked is not None:
            return asked
    for title in _TITLE.findall(lower[: 256 * 1024])[:4]:
        if _NOT_FOUND.search(title):
            return "it says “not found” with status 200"
    return None
