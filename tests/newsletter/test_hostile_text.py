"""Text from anywhere is shown as it was written and can do nothing: not in the HTML, not in the mail's headers."""

import datetime as dt
import email
import html
from collections.abc import Callable
from dataclasses import replace
from email import policy
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from delivery.message.build import Letterhead, MessageTemplate
from delivery.message.headers import Mailbox
from milepost.dates import PartialDate
from milepost.records import Card, Edit, FieldChange, Image, IssueItem, Variant
from milepost.settings import MailSettings, NewsletterSettings, WebSettings
from newsletter.issue.render import Renderer
from newsletter.issue.safe import clean, one_line, paragraphs, subject_line
from tests.newsletter.reading import assert_tame, findings, links_of, shown, squeezed

ItemMaker = Callable[..., IssueItem]
NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
LINK = "https://news.timekeeping.example.org/u/AQEqbWlsZXN0b25lcw=="
HEADERS = [
    "From", "To", "Reply-To", "Subject", "Date", "Message-ID", "MIME-Version", "List-Id", "List-Archive",
    "List-Unsubscribe", "List-Unsubscribe-Post", "Content-Type",
]


HOSTILE = [
    pytest.param("<script>alert(1)</script>", id="11 script"),
    pytest.param('<img src=x onerror="alert(1)">', id="11 on-attribute"),
    pytest.param("<svg onload=alert(1)><style>*{display:none}</style>", id="11 svg and style"),
    pytest.param("<iframe src='https://evil.example'></iframe>", id="11 iframe"),
    pytest.param('" style="position:fixed" onmouseover="x', id="11 attribute breakout"),
    pytest.param("<!-- <![endif]--> <!--[if mso]>", id="11 comments"),
    pytest.param("javascript:alert(1)", id="12 javascript"),
    pytest.param("data:text/html,<b>x</b>", id="12 data"),
    pytest.param("//evil.example/x", id="12 no scheme"),
    pytest.param("java\tscript:alert(1)", id="12 tab in the scheme"),
    pytest.param("A\r\nBcc: all@example.org", id="13 CRLF"),
    pytest.param("A\vB\fC\x85D\u2028E\u2029F", id="13 other breaks"),
    pytest.param("=?utf-8?q?A=0D=0ABcc:_x?=", id="13 encoded word"),
    pytest.param("A & B < C > D &amp; E &lt;", id="14 ampersand"),
    pytest.param("A -- B --> C --- D --!> E", id="14 hyphens of a comment"),
    pytest.param("</mj-text></mj-column><mj-raw><b>x</b></mj-raw>", id="14 mj-raw"),
    pytest.param('<mj-include path="/etc/passwd" />', id="14 mj-include"),
    pytest.param("{{7*7}} {% for x in y %} {# z #} ${7*7}", id="14 template"),
    pytest.param("{{ issue.placeholder }} {{ config }}", id="14 template names"),
    pytest.param("{title} %s %(x)s $x", id="14 format fields"),
    pytest.param('back\\slash \\" \\n \\x41', id="9 backslashes"),
    pytest.param("A\x00B\x07C\x1b[31mD\x9b", id="9 controls"),
    pytest.param("A\u202eB\u2066C", id="9 bidi"),
    pytest.param("👩‍🚀 Ωμέγα 時計 ساعة é", id="9 many scripts"),
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("images", [False, True], ids=["plain", "images"])
def test_hostile_text_is_shown_literally_in_both_parts(
    newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings, make_item: ItemMaker, text: str, images: bool
) -> None:
    renderer = Renderer(newsletter.model_copy(update={"images": images, "tagline": text}), mail, web)
    fields: dict[str, Any] = {
        "title": text, "what_happened": text, "why_it_mattered": text, "people": (text,), "organizations": (text,),
        "category": text, "era": text, "tags": (text,), "image": Image(url="https://pics.example.org/a.png", alt=text),
        "related": (Card(key="x", title=text, date=PartialDate(value="1600")),),
    }
    items = [make_item(n, **fields) for n in range(1, 4)] + [make_item(4, url=text), make_item(5, role="correction")]

    variant = renderer.render(12, "weekly", items, NOW)

    expected = squeezed(one_line(text))
    for part in shown(variant):
        assert squeezed(part).count(expected) >= 3 * 5
    assert_tame(variant)
    assert findings(renderer, variant, items) == []


FRAGMENTS = [
    "{{7*7}}", "{% for x in y %}", "{# x #}", "${7*7}", "{title}", "%s", "</mj-text>", "<mj-raw>", "<!--[if mso]>",
    "]]>", "-->", "<script>alert(1)</script>", "<img src=x onerror=y>", "&amp;", "&#0;", '"', "'", "\\",
    "[x](javascript:y)",
    "=?utf-8?q?=0D=0ABcc:_x?=", "=0D=0A", "\r\nBcc: x@example.org", "\r\n\r\n", "\n.\n", "\nFrom x", "milepost-link-",
    "\u2028", "\u202e", "\x00",
]
texts = st.text(max_size=60) | st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=8), max_size=6).map("".join)
names = st.lists(texts, max_size=2).map(tuple)
stories = st.fixed_dictionaries({
    "title": texts, "what_happened": texts, "why_it_mattered": texts, "category": texts, "era": texts,
    "people": names, "organizations": names,
    "url": texts | st.builds("https://timekeeping.example.org/{}".format, texts),
    "image": st.builds(Image, url=texts | st.just("https://pics.example.org/a.png"), alt=texts),
    "related": st.lists(st.builds(Card, key=texts, title=texts, date=st.just(PartialDate(value="1600"))), max_size=1)
    .map(tuple),
})
letters = st.fixed_dictionaries({"name": texts, "tagline": texts, "logo_alt": texts})
edits = st.builds(Edit, subject=texts, intro=texts)
NOTHING: dict[str, Any] = {"title": "", "what_happened": "", "why_it_mattered": "", "people": (), "organizations": ()}


@settings(  # without shrinking, which takes minutes for a whole issue
    max_examples=40, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(lead=stories, other=stories, wrong=st.tuples(texts, texts), letter=letters, edit=edits, postal=texts)
@example(lead=NOTHING, other=NOTHING, wrong=("", ""), letter={"name": "", "tagline": ""}, edit=Edit(), postal="")
@example(
    lead=NOTHING | {"title": "\u200e\u200f\u061c"}, other=NOTHING, wrong=("", ""), letter={"name": "", "tagline": ""},
    edit=Edit(subject="\u200f"), postal="",
)
def test_any_text_in_any_field_is_shown_in_both_parts_of_a_mail_that_parses_and_does_nothing(
    renderer: Renderer, newsletter: NewsletterSettings, mail: MailSettings, make_item: ItemMaker,
    lead: dict[str, Any], other: dict[str, Any], wrong: tuple[str, str], letter: dict[str, Any], edit: Edit,
    postal: str,
) -> None:
    """Whatever is scraped, typed by the editor or set: no word is lost, no header added, no template evaluated."""
    shows = {"images": True, "logo": "https://pics.example.org/logo.png"}
    renderer.newsletter = newsletter.model_copy(update=letter | shows)  # one renderer: templates are compiled once
    renderer.mail = mail.model_copy(update={"postal_address": postal})
    correction = replace(
        make_item(3, role="correction", **lead), fields=(FieldChange("people", "corrected", [wrong[0]], [wrong[1]]),)
    )
    items = [make_item(1, **lead), make_item(2, **other), correction]

    variant = renderer.render(12, "weekly", items, NOW, edit=edit)

    told = [story[name] for story in (lead, other) for name in ("title", "what_happened", "why_it_mattered")]
    told += [name for story in (lead, other) for name in (*story["people"], *story["organizations"])]
    told += [*paragraphs(postal), letter["tagline"]]
    if one_line(wrong[0]) != one_line(wrong[1]):
        told += wrong if max(map(len, wrong)) < 30 else ()  # of longer ones only what differs is shown
    for part in shown(variant):
        words = squeezed(part)
        assert [text for text in told if squeezed(one_line(text)) not in words] == []
        assert squeezed(one_line(letter["name"])).upper() in words.upper()
    assert_tame(variant)
    assert_arrives(variant, list_name=letter["name"], subject=subject_line(edit.subject))


def assert_arrives(variant: Variant, *, list_name: str, subject: str) -> None:
    """As a message it has our headers and no others, and both parts arrive as they were rendered."""
    if not variant.subject:
        return  # lint refuses it, and there is no message without a subject: tests/newsletter/test_lint.py
    list_name = one_line(list_name).replace("=?", "")  # such a name is refused: tests/delivery/test_message.py
    letterhead = Letterhead(
        sender=Mailbox("Escapements", "news@timekeeping.example.org"), list_id="news.timekeeping.example.org",
        list_name=list_name, reply_to=Mailbox("", "editor@timekeeping.example.org"), archive="https://news.timekeeping.example.org/",
    )
    raw = MessageTemplate.build(variant, letterhead=letterhead, date=NOW).bytes_for(
        address="reader@readers.example.org", unsubscribe_url=LINK, message_id="<a@timekeeping.example.org>",
    )
    message = email.message_from_bytes(raw, policy=policy.SMTP)
    assert message.keys() == HEADERS
    assert message.defects == []
    assert str(message["To"]) == "reader@readers.example.org"
    assert str(message["Subject"]) == variant.subject
    assert subject in ("", variant.subject)
    parts = {part.get_content_type(): lines(part.get_content()) for part in message.iter_parts()}  # type: ignore[attr-defined]
    assert parts == {
        "text/plain": lines(variant.text.replace(variant.placeholder, LINK)),
        "text/html": lines(variant.html.replace(variant.placeholder, html.escape(LINK))),
    }


def lines(text: str) -> list[str]:
    return text.rstrip("\r\n").replace("\r\n", "\n").split("\n")


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)", "data:text/html,x", "//evil.example", "ftp://a.example/x", "java\nscript:x", "https:",
        "https://a.example\\@evil.example/", "https://user:pass@a.example/", "https://a.example:x/", "https://[::1/",
        "https://a.example/\u202ex", " https://a.example/x", "",
    ],
)
def test_a_link_that_is_none_is_dropped(renderer: Renderer, make_item: ItemMaker, url: str) -> None:
    variant = renderer.render(12, "weekly", [make_item(1, url=url), make_item(2, url=url)], NOW)

    ours = "https://news.timekeeping.example.org"
    assert links_of(variant) == {f"{ours}/issues/12", f"{ours}/subscribe"}
    assert "Read on the timeline" not in variant.text


def test_a_link_beyond_ascii_is_encoded(renderer: Renderer, make_item: ItemMaker) -> None:
    item = make_item(url='https://bücher.example/zeit/größe?q="ü"&a=%C3%BC#<x>')

    variant = renderer.render(12, "weekly", [item], NOW)

    url = "https://xn--bcher-kva.example/zeit/gr%C3%B6%C3%9Fe?q=%22%C3%BC%22&a=%C3%BC#%3Cx%3E"
    assert url in variant.text.split("\n")
    assert url in links_of(variant)


def test_what_no_text_is_made_of_is_taken_out_of_every_plane() -> None:
    assert clean("a\U0001fffeb\U0010ffffc\ufeff\u202ed\x07e") == "abcde"
    assert clean("\U0001fffd\U00020000\u2065\u202f\u206a") == "\U0001fffd\U00020000\u2065\u202f\u206a"
    assert clean("one\r\n\u2028two\x85") == "one\ntwo\n"
