"""Telling a page from what only looks like one."""

import pytest

from crawler.answers import fault

HTML = "text/html; charset=utf-8"


def page(inside):
    return b"<!DOCTYPE html><html>" + inside + b"</html>"


GOOD = {
    "article": (page(b"<article>x</article>"), HTML),
    "plain": (page(b"<h1>Deep Blue beats Kasparov</h1>"), HTML),
    "xhtml": (page(b"<p/>"), "application/xhtml+xml"),
    "no-type": (page(b"<p>"), ""),
    "capitals": (b"<!doctype HTML><HTML><BODY>x</BODY></HTML>", "TEXT/HTML"),
    "comment-after-the-end": (page(b"x") + b"<!-- built 2026-03-02 -->\n", HTML),
    "utf-16": (page(b"x").decode().encode("utf-16"), HTML),
    "captcha-and-milestone": (page(b'<script type="application/ld+json">{}</script><i class="g-recaptcha">'), HTML),
    "about-a-404": (page(b"<title>The 404 bus gets autonomy</title>"), HTML),
    "about-passwords": (page(b"<h1>Passwords fall to a neural network</h1>"), HTML),
}


@pytest.mark.parametrize(("body", "kind"), GOOD.values(), ids=GOOD.keys())
def test_a_page(body, kind):
    assert fault(body, kind) is None


BAD = {
    "empty": (b"", HTML, "empty"),
    "json": (b"{}", "application/json", "application/json"),
    "nothing-said-nothing-seen": (b"\x89PNG", "", "no Content-Type"),
    "cut": (b"<html><body><article>x", HTML, "cut short"),
    "end-only-in-the-middle": (page(b"x") + b"y" * 70_000, HTML, "cut short"),
    "login": (page(b'<input name=a TYPE = "Password">'), HTML, "login"),
    "cloudflare": (page(b"<title>Just a moment...</title>"), HTML, "challenge"),
    "denied": (page(b"<title>Access Denied</title>"), HTML, "challenge"),
    "not-found": (page(b"<title>Page Not Found | Timeline</title>"), HTML, "not found"),
    "not-found-h1": (page(b"<title>Timeline</title><h1 class='x'>404</h1>"), HTML, "not found"),
}


@pytest.mark.parametrize(("body", "kind", "why"), BAD.values(), ids=BAD.keys())
def test_no_page(body, kind, why):
    assert why in fault(body, kind)


@pytest.mark.parametrize(
    "unit", [b"<title ", b"<h1>", b"<input type=", b"type = password", b"<title>404", b"</htm"], ids=bytes.decode
)
def test_repetition_is_no_trap(unit):
    why = fault(page(unit * 100_000), HTML)  # an end within the test's time-out is what counts
    assert why is None or why.startswith(("it is a login", "it says"))
