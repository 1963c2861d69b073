"""Checks a rendered issue the way its readers' programs will meet it; each finding is one sentence."""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from lxml import html as lxml_html

from milepost.codec import field_to_json
from milepost.fields import FIELDS
from milepost.records import IssueItem, Variant
from milepost.settings import MailSettings, NewsletterSettings, WebSettings
from newsletter.issue.corrections import strings, texts
from newsletter.issue.mail_support import unsupported
from newsletter.issue.readable import unreadable
from newsletter.issue.render import HTML_LIMIT
from newsletter.issue.safe import header, paragraphs
from newsletter.issue.theme import MIN_CONTRAST, Theme, contrast, theme_for

_OURS = re.compile(r"\{\{|\{%|\{#|</?mj-")  # what a template would leave behind
_URL = re.compile(r"https?://[^\s<>\"]+")
_LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
_SUBJECT_LIMIT = 250  # a folded line more than any reader shows
_HIDDEN_SIZES = frozenset({"0", "1", "0px", "1px"})


def lint(
    variant: Variant, *, newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings,
    items: Sequence[IssueItem], bases: Collection[str] = (), theme: Theme | None = None, intro: str = "",
) -> list[str]:
    """All findings on one variant, [] for a good one.

    `items`: what it was rendered from, so that a record that shows braces is not taken for a broken template. `bases`:
    base URLs of the sources, beside `web.base_url` the only ones that may be plain http. `theme`: the newsletter's own
    unless told otherwise. `intro`: the editor's, as typed.
    """
    document = lxml_html.document_fromstring(variant.html) if variant.html else lxml_html.Element("html")
    return [
        *_whole(variant, document, mail),
        *_leftovers(variant, items, newsletter, mail, intro),
        *_links(variant, document, (web.base_url, *bases)),
        *_loads(document, newsletter, f"{web.base_url}/i/"),
        *unsupported(document),
        *_colours(theme or theme_for(newsletter.accent)),
        *unreadable(document),
    ]


def _whole(variant: Variant, document: Any, mail: MailSettings) -> Iterator[str]:
    if not variant.subject.strip():
        yield "the subject is empty"
    if len(variant.subject) > _SUBJECT_LIMIT:
        yield f"the subject has {len(variant.subject)} characters, more than {_SUBJECT_LIMIT}"
    if variant.subject != header(variant.subject):
        yield "the subject is not one clean line: it has breaks, control characters or an encoded word"
    if not variant.html.isascii():
        yield "the HTML is not pure ASCII"
    if len(variant.html.encode()) > HTML_LIMIT:
        yield f"the HTML has {len(variant.html.encode())} bytes, more than {HTML_LIMIT}: some readers would cut it"
    for part, body in (("HTML", variant.html), ("text", variant.text)):
        if variant.placeholder not in body:
            yield f"the {part} part has no unsubscribe link"
    address = paragraphs(mail.postal_address)
    if not address:
        yield "there is no postal address: set mail.postal_address"
    for part, words in (("HTML", " ".join(document.itertext())), ("text", variant.text)):
        if not {word for line in address for word in line.split()} <= set(words.split()):
            yield f"the {part} part does not show the postal address"


def _leftovers(
    variant: Variant, items: Sequence[IssueItem], newsletter: NewsletterSettings, mail: MailSettings, intro: str
) -> Iterator[str]:
    """In the HTML a record's braces are entities, so that raw ones are ours; in text they have to be a record's."""
    without_style = re.sub(r"<style.*?</style>", "", variant.html, flags=re.DOTALL)
    for match in set(_OURS.findall(without_style)):
        yield f"the HTML shows {match}, left over from a template"
    theirs = " ".join([
        newsletter.name, newsletter.tagline, mail.postal_address, intro,
        *(part for item in items for part in _texts(item)),
    ])
    for word in variant.text.split():
        for match in _OURS.findall(word):
            if match not in theirs and match.lower() not in theirs.lower():
                yield f"the text part shows {match}, left over from a template"


def _texts(item: IssueItem) -> Iterator[str]:
    yield item.milestone.url
    for name in FIELDS:
        yield from strings(field_to_json(item.milestone, name))
    yield from texts(item.fields)


def _links(variant: Variant, document: Any, bases: Collection[str]) -> Iterator[str]:
    linked = {element.get("href") for element in document.iter("a")}
    lines = variant.text.split("\n")
    for url in sorted(link for link in linked if link is not None):
        if url.startswith(variant.placeholder):
            pass  # the recipient's own: the way out, the page of their choice
        elif not url.startswith(("https://", "http://")):
            yield f"the HTML links to {url[:80]}, which is no web address"
        elif url.startswith("http://") and not any(url == base or url.startswith(f"{base}/") for base in bases):
            yield f"{url[:80]} is not encrypted: link to https"
        if url not in lines:
            yield f"the text part lacks the link {url[:80]}"
    for line in lines:
        own = line.startswith(variant.placeholder)
        if (own or _URL.fullmatch(line)) and line not in linked and not _said(line, document):
            yield f"the HTML lacks the link {line[:80]}"


def _said(line: str, document: Any) -> bool:
    """Whether a line that is all address is running text, which the HTML shows too."""
    return line in " ".join(document.text_content().split())


def _loads(document: Any, newsletter: NewsletterSettings, hosted: str) -> Iterator[str]:
    """`hosted`: how the address of a picture begins that we serve ourselves."""
    for element in document.iter(*_LOADED):
        address = element.get(_LOADED[element.tag]) or ""
        if element.tag != "img":
            yield f"the HTML has a <{element.tag}>, which loads {address[:80] or 'something'}"
        elif not newsletter.images and address != newsletter.logo:
            yield f"the HTML loads {address[:80]}, and newsletter.images is off"
        elif newsletter.images == "hosted" and address != newsletter.logo and not address.startswith(hosted):
            yield f"the HTML loads {address[:80]}, and newsletter.images has them loaded from us alone"
    for image in document.iter("img"):
        if not (image.get("src") or "").startswith(("https://", hosted)):
            yield f"the image {(image.get('src') or '')[:80]} is not loaded over https"
        if not (image.get("alt") or "").strip():
            yield f"the image {(image.get('src') or '')[:80]} has no alt text"
        if _HIDDEN_SIZES & {image.get("width"), image.get("height")}:
            yield f"the image {(image.get('src') or '')[:80]} is too small to see: a tracking pixel"
    for style in document.iter("style"):
        if "@import" in (style.text or "") or "url(" in (style.text or ""):
            yield "a <style> block loads something"


def _colours(theme: Theme) -> Iterator[str]:
    for name, palette in (("light", theme.light), ("dark", theme.dark)):
        for pair, text, ground in palette.pairs():
            ratio = contrast(text, ground)
            if ratio < MIN_CONTRAST:
                yield f"{pair} ({text} on {ground}, {name}) has a contrast of {ratio:.1f}, less than {MIN_CONTRAST}"
