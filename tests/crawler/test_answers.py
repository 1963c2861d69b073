"""Telling a page from what only looks like one."""

import pytest

from crawler.answers import fault

HTML = "text/html; charset=utf-8"
TEXT = b"<h1>A loom</h1><p>" + b"It weaves by itself. " * 40


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
    "in-its-address": (page(b'<link rel=canonical href="/timeline/h-captcha-2018"><h1>Signs for a person</h1>'), HTML),
    "password-in-the-header": (
        page(b"<header><form><input type=password></form></header>" + TEXT), HTML
    ),
    "short-with-password-in-the-header": (
        page(b"<header><form><input type=password></form></header><main><h1>A loom</h1><p>It weaves.</main>"), HTML
    ),
    "comments-behind-a-captcha": (
        page(b"" + TEXT + b'</p><form><div class="h-captcha"></div></form>'), HTML
    ),
    "words-about-it": (
        page(b"<h1>Verify you are human</h1><p>So it asked in 2009: " + b"a g-recaptcha of signs. " * 30), HTML
    ),
    "titled-like-one-with-a-captcha-behind": (
        page(b"<title>Attention required: looms</title>" + TEXT + b'</p><form><div class="g-recaptcha"></div></form>'),
        HTML,
    ),
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
    "turnstile": (
        page(b"<title>One moment</title><h1>bridges.example</h1><p>Who is there?</p>"
             b"<div class='box cf-turnstile'></div><noscript>Scripts are needed.</noscript>"), HTML, "challenge"
    ),
    "checkbox": (
        page(b"<head><title>Hello</title><style>p{color:red}</style></head><form id=c><p>Tick it, please</p>"
             b"<div class=g-recaptcha data-sitekey=x></div></form>"), HTML, "challenge"
    ),
    "orchestrated": (
        page(b"<title>bridges.example</title><script>(function(){window._cf_chl_opt={cvId:'3',cType:'managed'};}());</script>"
             + b"<p>words </p>" * 500), HTML, "challenge"
    ),
    "press-and-hold": (page(b"<script>window._pxAppId='PX1';</script><div id=px-captcha></div>"), HTML, "challenge"),
    "browser-check": (page(b"<title>Checking your browser before you go</title><p>5 seconds."), HTML, "challenge"),
    "login-with-footer": (
        page(b"<nav>" + b"Home About " * 60 + b"</nav><main><h1>Sign in</h1><form><label>Name<input name=u></label>"
             b"<input type='password' name=p></form></main><footer>" + b"legal words " * 90 + b"</footer>"),
        HTML, "login",
    ),
    "captcha-that-explains-itself": (
        page(b"<title>Attention Required! | bridges.example</title><h1>Almost there</h1><form class=f>"
             b"<div class='g-recaptcha'></div></form><h2>Why this page?</h2><p>" + b"Machines knock here. " * 40),
        HTML, "challenge",
    ),
    "its-script-alone": (
        page(b"<title>bridges.example</title><script>sucuri_cloudproxy_js='';</script>"), HTML, "challenge"
    ),
    "its-answer-s-address": (
        page(b"<h1>Almost there</h1><form action='/?__cf_chl_tk=1'>" + b"<p>Machines knock here. " * 40 + b"</form>"),
        HTML, "challenge",
    ),
    "denied": (page(b"<title>Access Denied</title>"), HTML, "challenge"),
    "not-found": (page(b"<title>Page Not Found | Timeline</title>"), HTML, "not found"),
    "not-found-h1": (page(b"<title>Timeline</title><h1 class='x'>404</h1>"), HTML, "not found"),
}


@pytest.mark.parametrize(("body", "kind", "why"), BAD.values(), ids=BAD.keys())
def test_no_page(body, kind, why):
    assert why in (fault(body, kind) or "")


@pytest.mark.parametrize("unit", [
    b"<title ", b"<h1>", b"<input type=", b"type = password", b"<header>", b"<head ", b"class='", b"<!--",
    b"<title>404", b"</htm", b"<a <b", b"<title>just a moment",
], ids=bytes.decode)
def test_repetition_is_no_trap(unit):
    for also in (b"", b"<input type=password>"):  # an end within the test's time-out is what counts
        why = fault(page(also + unit * 40_000), HTML)
        assert why is None or why.startswith(("it is a login", "it says", "it is a challenge"))
