"""An issue as its readers get it: what both parts show, what hostile text can't do, what is cut when it is too long."""

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import html as lxml_html

from milepost.dates import PartialDate
from milepost.errors import RenderError
from milepost.records import CADENCES, Card, Image, IssueItem, Variant
from milepost.settings import MailSettings, NewsletterSettings, WebSettings
from newsletter.lint import lint, lint_mjml
from newsletter.render import HTML_LIMIT, TEXT_WIDTH, Renderer, templates_digest, templates_folder
from newsletter.safe import one_line

ItemMaker = Callable[..., IssueItem]
NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)


@pytest.fixture
def renderer(newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings) -> Renderer:
    return Renderer(newsletter, mail, web)


@pytest.fixture
def illustrated(newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings) -> Renderer:
    return Renderer(newsletter.model_copy(update={"images": True}), mail, web)


def shown(variant: Variant) -> tuple[str, str]:
    """The words of the HTML and of the text part, single-spaced."""
    words = lxml_html.document_fromstring(variant.html).xpath("//body//text()")
    return " ".join(" ".join(words).split()), " ".join(variant.text.split())


def squeezed(text: str) -> str:
    """Without any space, so that a line break in one part and a tag in the other make no difference."""
    return "".join(text.split())


def findings(renderer: Renderer, variant: Variant, items: list[IssueItem]) -> list[str]:
    return lint(variant, newsletter=renderer.newsletter, mail=renderer.mail, web=renderer.web, items=items)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_both_parts_show_every_word_of_every_item(renderer: Renderer, make_item: ItemMaker, count: int) -> None:
    items = [make_item(n) for n in range(1, count + 1)]

    variant = renderer.render(12, "weekly", items, NOW)

    for part in shown(variant):
        for milestone in (item.milestone for item in items):
            for text in (milestone.title, milestone.what_happened, milestone.why_it_mattered):
                assert squeezed(text) in squeezed(part)
            for name in (*milestone.people, *milestone.organizations):
                assert squeezed(name) in squeezed(part)
        assert squeezed("Issue 12 · Monday, 23 November 2026") in squeezed(part)
        assert "1234 AB Delft, The Netherlands" in part
    for item in items:
        assert f'href="{item.milestone.url}"' in variant.html
        assert item.milestone.url in variant.text.split("\n")
    assert "https://news.timekeeping.example.org/issues/12" in variant.text.split("\n")
    assert findings(renderer, variant, items) == []


def test_the_recipients_link_stands_in_both_parts_once(renderer: Renderer, make_item: ItemMaker) -> None:
    variant = renderer.render(12, "weekly", [make_item()], NOW)

    assert re.fullmatch(r"milepost-link-[0-9a-f]{20}", variant.placeholder)
    assert variant.html.count(variant.placeholder) == 1
    assert f'href="{variant.placeholder}"' in variant.html
    assert variant.text.split("\n").count(variant.placeholder) == 1


def test_the_document_is_in_order_for_those_who_listen(renderer: Renderer, make_item: ItemMaker) -> None:
    variant = renderer.render(12, "weekly", [make_item(n) for n in range(1, 5)], NOW)

    document = lxml_html.document_fromstring(variant.html)
    levels = [int(element.tag[1]) for element in document.iter("h1", "h2", "h3")]
    assert levels == [1, 2, 3, 2, 3, 2, 3, 2, 3]
    assert {table.get("role") for table in document.iter("table")} == {"presentation"}
    assert document.get("lang") == "en"
    assert not list(document.iter("img"))


@pytest.mark.parametrize(
    ("date", "told"),
    [
        pytest.param("1656", "1656", id="year"),
        pytest.param("1656-12", "December 1656", id="month"),
        pytest.param("1656-12-25", "25 December 1656", id="day"),
    ],
)
def test_a_date_is_told_to_the_precision_known(renderer: Renderer, make_item: ItemMaker, date: str, told: str) -> None:
    variant = renderer.render(1, "instant", [make_item(date=PartialDate(value=date))], NOW)

    assert f"\n{told} · Mechanisms · Precision era · Impact 5 of 5\n" in variant.text


def test_a_bare_record_leaves_no_empty_labels(renderer: Renderer, make_item: ItemMaker) -> None:
    bare: dict[str, Any] = {
        "date": None, "category": None, "era": None, "impact": None, "what_happened": "", "why_it_mattered": "",
        "people": (), "organizations": (), "tags": (), "image": None,
    }
    items = [make_item(1, **bare), make_item(2, **bare)]

    variant = renderer.render(1, "instant", items, NOW)

    for part in shown(variant):
        for label in ("Why it mattered", "People", "Organizations", "Impact", "None"):
            assert label not in part
    assert findings(renderer, variant, items) == []


def test_the_lead_stands_between_its_nearest_neighbours(renderer: Renderer, make_item: ItemMaker) -> None:
    related = (
        Card(key="a", title="The Verge", date=PartialDate(value="1283")),
        Card(key="b", title="An Escapement", date=PartialDate(value="1641")),
        Card(key="c", title="The Balance Spring", date=PartialDate(value="1675-01")),
        Card(key="d", title="Undated"),
    )

    variant = renderer.render(1, "instant", [make_item(related=related)], NOW)

    assert "1641  An Escapement\n > 1656  The Pendulum Clock\n   1675  The Balance Spring\n" in variant.text
    for part in shown(variant):
        assert "The Verge" not in part
        assert "Undated" not in part


@pytest.mark.parametrize(("count", "listed", "more"), [(2, 0, 0), (3, 3, 0), (12, 12, 0), (13, 12, 1), (40, 12, 28)])
def test_the_list_of_contents_stays_short(
    renderer: Renderer, make_item: ItemMaker, count: int, listed: int, more: int
) -> None:
    text = renderer.render(1, "weekly", [make_item(n, key=f"m{n}") for n in range(1, count + 1)], NOW).text

    contents = text.split("=" * 72)[1].split("In this issue")[1] if listed else ""
    lines = contents.split("\n")
    assert len([line for line in lines if re.match(r"  \d{4}  ", line)]) == listed
    assert [line.strip() for line in lines if "more" in line] == ([f"and {more} more"] if more else [])


@pytest.mark.parametrize("cadence", CADENCES)
def test_the_colophon_says_why_it_came(renderer: Renderer, make_item: ItemMaker, cadence: Any) -> None:
    rhythm = {
        "instant": "as milestones are added", "daily": "every day", "weekly": "every week", "monthly": "every month",
    }

    sentence = squeezed(f"You get this because you asked Escapements to write to you {rhythm[cadence]}.")
    for part in shown(renderer.render(1, cadence, [make_item()], NOW)):
        assert sentence in squeezed(part)


def test_the_day_is_the_newsletters_own(renderer: Renderer, make_item: ItemMaker) -> None:
    late = dt.datetime(2026, 11, 23, 23, 30, tzinfo=dt.UTC)  # past midnight in Amsterdam

    assert "Tuesday, 24 November 2026" in renderer.render(1, "instant", [make_item()], late).text


@pytest.mark.parametrize(
    ("images", "url", "loaded"),
    [
        pytest.param(False, "https://pics.example.org/a.png", False, id="off"),
        pytest.param(True, "https://pics.example.org/a.png", True, id="on"),
        pytest.param(True, "http://pics.example.org/a.png", False, id="not over https"),
        pytest.param(True, "data:image/png;base64,AAAA", False, id="data"),
        pytest.param(True, None, False, id="only described"),
    ],
)
def test_images(
    newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings, make_item: ItemMaker,
    images: bool, url: str | None, loaded: bool,
) -> None:
    renderer = Renderer(newsletter.model_copy(update={"images": images}), mail, web)
    items = [make_item(1, image=Image(url=url, alt='A "clock" & more')), make_item(2, image=Image(url=url))]

    variant = renderer.render(1, "instant", items, NOW)

    pictures = list(lxml_html.document_fromstring(variant.html).iter("img"))
    titles = ['A "clock" & more', "A Spring to Balance the Watch"]  # a picture without a description is called so
    assert [picture.get("alt") for picture in pictures] == (titles if loaded else [])
    assert findings(renderer, variant, items) == []


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


def assert_tame(variant: Variant) -> None:
    """Nothing in the HTML acts: no script, frame, handler, foreign scheme or include, and nothing but ASCII."""
    assert variant.html.isascii()
    assert "\x00" not in variant.html
    document = lxml_html.document_fromstring(variant.html)
    allowed = {
        "html", "head", "title", "meta", "style", "body", "div", "table", "tbody", "tr", "td", "p", "h1", "h2", "h3",
        "a", "span", "br", "img",
    }  # fmt: skip
    assert {element.tag for element in document.iter() if isinstance(element.tag, str)} <= allowed
    for element in document.iter(*allowed):
        assert not [name for name in element.attrib if name.lower().startswith("on")]
    assert "position:fixed" not in " ".join(element.get("style", "") for element in document.iter(*allowed))
    links = {element.get("href") for element in document.iter("a")}
    assert all(link.startswith("https://") for link in links - {variant.placeholder})
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", variant.text)
    variant.text.encode("utf-8")


texts = st.text(max_size=60)
fields = st.fixed_dictionaries({
    "title": texts, "what_happened": texts, "why_it_mattered": texts, "category": texts, "era": texts,
    "people": st.lists(texts, max_size=2).map(tuple), "organizations": st.lists(texts, max_size=2).map(tuple),
    "url": texts | st.builds("https://timekeeping.example.org/{}".format, texts),
    "image": st.builds(Image, url=texts | st.just("https://pics.example.org/a.png"), alt=texts),
})


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lead=fields, other=fields)
def test_any_text_in_any_field_renders_and_is_shown_in_both_parts(
    illustrated: Renderer, make_item: ItemMaker, lead: dict[str, Any], other: dict[str, Any]
) -> None:
    items = [make_item(1, **lead), make_item(2, **other)]

    variant = illustrated.render(12, "weekly", items, NOW)

    for part in shown(variant):
        words = squeezed(part)
        for story in (lead, other):
            for name in ("title", "what_happened", "why_it_mattered"):
                assert squeezed(one_line(story[name])) in words
            for name in (*story["people"], *story["organizations"]):
                assert squeezed(one_line(name)) in words
    assert_tame(variant)


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

    document = lxml_html.document_fromstring(variant.html)
    assert len(list(document.iter("a"))) == 2  # the issue's page and the way out
    assert "Read on the timeline" not in variant.text


def test_a_link_beyond_ascii_is_encoded(renderer: Renderer, make_item: ItemMaker) -> None:
    item = make_item(url='https://bücher.example/zeit/größe?q="ü"&a=%C3%BC#<x>')

    variant = renderer.render(12, "weekly", [item], NOW)

    url = "https://xn--bcher-kva.example/zeit/gr%C3%B6%C3%9Fe?q=%22%C3%BC%22&a=%C3%BC#%3Cx%3E"
    assert url in variant.text.split("\n")
    assert url in {element.get("href") for element in lxml_html.document_fromstring(variant.html).iter("a")}


def test_the_same_arguments_give_the_same_bytes(
    renderer: Renderer, newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings, make_item: ItemMaker
) -> None:
    items = [make_item(n) for n in range(1, 6)]

    once = renderer.render(12, "weekly", items, NOW)

    assert Renderer(newsletter, mail, web).render(12, "weekly", items, NOW) == once
    assert renderer.render(12, "weekly", items[::-1], NOW) == once
    assert renderer.render(12, "weekly", items, NOW, name="few") == replace(once, name="few")


def test_the_placeholder_cannot_be_foreseen_by_a_record(renderer: Renderer, make_item: ItemMaker) -> None:
    foreseen = renderer.render(12, "weekly", [make_item(1)], NOW).placeholder

    variant = renderer.render(12, "weekly", [make_item(1, what_happened=foreseen)], NOW)

    assert variant.placeholder != foreseen
    assert variant.html.count(variant.placeholder) == variant.text.count(variant.placeholder) == 1


@pytest.mark.parametrize(
    ("count", "length"),
    [
        pytest.param(8, 20_000, id="long stories"),
        pytest.param(120, 200, id="many items"),
        pytest.param(900, 2_000, id="very many items"),
        pytest.param(1, 300_000, id="one endless story"),
    ],
)
def test_an_issue_that_is_too_long_is_shortened_and_links_to_the_rest(
    renderer: Renderer, make_item: ItemMaker, count: int, length: int
) -> None:
    story = "tick tock " * (length // 10)
    items = [
        make_item(n, key=f"m{n}", what_happened=story, first_seen_at=NOW - dt.timedelta(minutes=n), impact=4)
        for n in range(1, count + 1)
    ]

    variant = renderer.render(12, "weekly", items, NOW)

    assert len(variant.html) <= HTML_LIMIT
    assert "Read the rest on the timeline" in variant.text
    told = [number for number in range(1, count + 1) if f"/timeline/m{number}\n" in variant.text]
    assert told == list(range(1, len(told) + 1))
    if len(told) < count:
        assert f"{count - len(told)} more milestones are on the page of this issue." in shown(variant)[0]
    assert findings(renderer, variant, items) == []


def test_as_much_is_shown_as_fits(renderer: Renderer, make_item: ItemMaker) -> None:
    items = [make_item(n, key=f"m{n}", what_happened="tick tock " * 700) for n in range(1, 31)]

    variant = renderer.render(12, "weekly", items, NOW)

    assert HTML_LIMIT - 9_000 < len(variant.html) <= HTML_LIMIT
    assert variant.text.count("Read on the timeline") > 3


def test_a_mail_that_cannot_fit_is_refused(mail: MailSettings, web: WebSettings, make_item: ItemMaker) -> None:
    renderer = Renderer(NewsletterSettings(name="x" * 100_000), mail, web)

    with pytest.raises(RenderError, match=r"newsletter\.name"):
        renderer.render(1, "instant", [make_item()], NOW)


def test_the_text_part_keeps_to_its_width(renderer: Renderer, make_item: ItemMaker) -> None:
    variant = renderer.render(12, "weekly", [make_item(n) for n in range(1, 9)], NOW)

    lines = variant.text.split("\n")
    assert [line for line in lines if len(line) > TEXT_WIDTH and not line.startswith("https://")] == []
    assert [line for line in lines if line != line.rstrip()] == []
    assert "\n\n\n\n" not in variant.text


@pytest.mark.parametrize(("language", "direction"), [("en", "ltr"), ("nl-BE", "ltr"), ("he", "rtl"), ("ar-EG", "rtl")])
def test_the_language_is_told(
    newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings, make_item: ItemMaker,
    language: str, direction: str,
) -> None:
    renderer = Renderer(newsletter.model_copy(update={"language": language}), mail, web)

    document = lxml_html.document_fromstring(renderer.render(1, "instant", [make_item()], NOW).html)

    assert (document.get("lang"), document.get("dir")) == (language, direction)


def test_a_naive_clock_is_refused(renderer: Renderer, make_item: ItemMaker) -> None:
    with pytest.raises(ValueError, match="naive"):
        renderer.render(1, "instant", [make_item()], dt.datetime(2026, 1, 1))  # noqa: DTZ001


def test_the_templates_mjml_is_of_published_components(
    renderer: Renderer, make_item: ItemMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources: list[str] = []
    original = Renderer.mjml
    monkeypatch.setattr(Renderer, "mjml", lambda self, view: sources.append(original(self, view)) or sources[-1])

    renderer.render(12, "weekly", [make_item(1), make_item(2), make_item(3, role="correction")], NOW)

    assert sources
    assert lint_mjml(sources[0]) == []


def test_the_templates_are_ascii_and_have_one_digest() -> None:
    """What a template prints as it stands goes to MJML unescaped; `safe` would let scraped text do the same."""
    for path in [*templates_folder().glob("issue.*.j2"), *(templates_folder() / "partials").glob("*.j2")]:
        assert path.read_bytes().isascii(), path
        assert "safe" not in path.read_text(encoding="ascii"), path
    assert re.fullmatch("[0-9a-f]{64}", templates_digest())
