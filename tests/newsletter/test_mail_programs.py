"""What mail programs make of a mail of their own accord, and what a mail does about it."""

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from lxml import html as lxml_html

from milepost.records import Edit, FieldChange, IssueItem, Variant
from milepost.settings import MailSettings, NewsletterSettings, WebSettings
from newsletter.issue.render import Renderer
from newsletter.issue.theme import MIN_CONTRAST, contrast, theme_for
from newsletter.issue.word_fonts import word_font
from newsletter.letters import letter_view

ItemMaker = Callable[..., IssueItem]
NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)


def letter_of(renderer: Renderer) -> Variant:
    return renderer.letter(letter_view(
        "confirm", cadence="weekly", newsletter=renderer.newsletter, mail=renderer.mail, phrases=renderer.phrases,
    ))


@pytest.mark.parametrize("length", [5, 110, 190, 400])
def test_an_inbox_never_goes_on_from_the_preheader_to_the_masthead(
    renderer: Renderer, make_item: ItemMaker, length: int
) -> None:
    """Gmail shows up to 200 characters beside a subject, and collapses spaces that nothing stands between."""
    document = lxml_html.document_fromstring(
        renderer.render(1, "weekly", [make_item()], NOW, edit=Edit(preheader="x" * length)).html
    )
    hidden = next(one for one in document.iter("div") if "display:none" in (one.get("style") or ""))
    told = hidden.text or ""
    words, padding = told[:length], told[length:]

    assert words == "x" * length
    assert re.fullmatch("(\u034f\u00a0)+", padding)
    assert len(words) + padding.count("\u00a0") >= 200
    ink = re.search(r"[; ]color:(#\w{6})", f" {hidden.get('style')}")
    assert ink is not None
    assert contrast(ink.group(1), theme_for(renderer.newsletter.accent).light.page) >= MIN_CONTRAST


def test_issues_and_letters_ask_for_no_links_of_others_and_no_other_sizes(
    renderer: Renderer, make_item: ItemMaker
) -> None:
    for variant in (renderer.render(1, "weekly", [make_item()], NOW), letter_of(renderer)):
        document = lxml_html.document_fromstring(variant.html)
        metas = {one.get("name"): one.get("content") or "" for one in document.iter("meta")}
        assert "x-apple-disable-message-reformatting" in metas
        assert "date=no" in metas["format-detection"]
        assert metas["color-scheme"] == "light dark"
        assert "a[x-apple-data-detectors]{color:inherit!important" in variant.html
        assert "[data-ogsb] .card" in variant.html
        assert "[data-ogsc] .t{color" in variant.html
        styles = re.findall(r"<style[^>]*>.*?</style>", variant.html, flags=re.DOTALL)
        assert sum(map(len, styles)) < 8192  # of styles Gmail reads no more than 8 to 16 KB


def test_the_way_to_the_web_stands_where_a_mail_begins(renderer: Renderer, make_item: ItemMaker) -> None:
    document = lxml_html.document_fromstring(renderer.render(12, "weekly", [make_item(n) for n in (1, 2, 3)], NOW).html)

    assert next(document.iter("a")).get("href") == "https://news.timekeeping.example.org/issues/12"


@pytest.mark.parametrize(
    ("stack", "asked"),
    [
        ("Charter, Iowan Old Style, Georgia, Times New Roman, serif", "Georgia"),
        ("-apple-system, Segoe UI, Helvetica, Arial, sans-serif", "Segoe UI"),
        ("Georgia, serif", ""), ("Charter, serif", ""), ("arial", ""),
    ],
)
def test_word_is_asked_for_a_font_that_it_has(stack: str, asked: str) -> None:
    assert word_font(stack) == asked


def test_outlook_on_windows_has_labels_in_the_fonts_of_labels(
    renderer: Renderer, mail: MailSettings, web: WebSettings, make_item: ItemMaker
) -> None:
    def for_word(newsletter: NewsletterSettings) -> str:
        html = Renderer(newsletter, mail, web).render(1, "weekly", [make_item()], NOW).html
        return "".join(re.findall(r"<!--\[if mso\]><style>(.*?)</style><!\[endif\]-->", html))

    assert ".t,.b{font-family:Georgia!important}.s,.s a" in for_word(renderer.newsletter)
    plain = renderer.newsletter.model_copy(update={"font": "Georgia, serif", "label_font": "Arial, sans-serif"})
    assert for_word(plain) == ""
    document = lxml_html.document_fromstring(renderer.render(1, "weekly", [make_item()], NOW).html)
    labels = [one for one in document.iter("p", "h2", "h3", "td") if "-apple-system" in (one.get("style") or "")]
    assert labels
    for one in labels:
        assert "s" in (one.get("class") or "").split(), one.get("style")


@pytest.mark.parametrize("language", ["en", "he"])
def test_an_arrow_in_plain_text_is_turned_by_who_shows_it(
    newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings, make_item: ItemMaker, language: str
) -> None:
    """A ">" is mirrored where the line runs from right to left, and stays between two names in Latin letters."""
    wrong = replace(make_item(role="correction"), fields=(FieldChange("people", "corrected", ["Hooke"], ["Huygens"]),))
    renderer = Renderer(newsletter.model_copy(update={"language": language}), mail, web)

    assert ": Hooke -> Huygens\n" in renderer.render(1, "weekly", [wrong], NOW).text
