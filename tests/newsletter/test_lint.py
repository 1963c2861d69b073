"""Each rule of good mail is broken once, and found."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from milepost.records import Card, FieldChange, IssueItem, Variant
from milepost.settings import MailSettings, NewsletterSettings, WebSettings
from newsletter.issue.lint import lint
from newsletter.issue.mjml_vocabulary import lint_mjml
from newsletter.issue.theme import Palette, Theme, contrast, theme_for

ItemMaker = Callable[..., IssueItem]

GOOD = Variant(
    name="all", subject="The Pendulum Clock", placeholder="milepost-link-0",
    html='<html><body><a href="https://a.example.org/x">Read</a><a href="milepost-link-0">Stop</a> '
    "Escapements, Pendulum Lane 4</body></html>",
    text="The Pendulum Clock\nhttps://a.example.org/x\nmilepost-link-0\nEscapements, Pendulum Lane 4\n",
)  # fmt: skip


def with_html(html: str) -> Variant:
    return replace(GOOD, html=GOOD.html.replace("</body>", f"{html}</body>"))


@pytest.fixture
def find(newsletter: NewsletterSettings, web: WebSettings, make_item: ItemMaker) -> Callable[..., list[str]]:
    def run(
        variant: Variant, *, images: bool = False, address: str = "Escapements, Pendulum Lane 4",
        bases: tuple[str, ...] = (), theme: Theme | None = None, title: str = "The Pendulum Clock",
    ) -> list[str]:
        return lint(
            variant, newsletter=newsletter.model_copy(update={"images": images}), web=web, bases=bases, theme=theme,
            mail=MailSettings(postal_address=address), items=[make_item(title=title)],
        )  # fmt: skip

    return run


def test_a_good_variant_has_no_findings(find: Callable[..., list[str]]) -> None:
    assert find(GOOD) == []


@pytest.mark.parametrize(
    ("variant", "finding"),
    [
        pytest.param(replace(GOOD, subject=" "), "the subject is empty", id="no subject"),
        pytest.param(replace(GOOD, subject="A\nBcc: x"), "not one clean line", id="subject of two lines"),
        pytest.param(replace(GOOD, subject="=?utf-8?q?x?="), "not one clean line", id="encoded word"),
        pytest.param(replace(GOOD, subject="x" * 251), "more than 250", id="endless subject"),
        pytest.param(with_html("<p>é</p>"), "not pure ASCII", id="not ASCII"),
        pytest.param(with_html("<p>" + "x" * 95_000), "more than 95000", id="too long"),
        pytest.param(with_html("{{ issue.name }}"), "shows {{", id="Jinja in the HTML"),
        pytest.param(with_html("<mj-text>x</mj-text>"), "shows <mj-", id="MJML in the HTML"),
        pytest.param(replace(GOOD, text=GOOD.text + "{% if x %}"), "text part shows {%", id="Jinja in the text"),
        pytest.param(replace(GOOD, placeholder="milepost-link-1"), "no unsubscribe link", id="no way out"),
        pytest.param(
            replace(GOOD, text=GOOD.text.replace("milepost-link-0\n", "")), "text part has no unsubscribe link",
            id="no way out of the text",
        ),
        pytest.param(
            replace(GOOD, text=GOOD.text.replace("Lane", "")), "text part does not show the postal", id="no address"
        ),
        pytest.param(
            replace(GOOD, html=GOOD.html.replace("Lane", "")), "HTML part does not show the postal",
            id="no address in the HTML",
        ),
        pytest.param(
            with_html('<a href="milepost-link-0/preferences">x</a>'), "text part lacks", id="own link only in the HTML"
        ),
        pytest.param(
            replace(GOOD, text=GOOD.text + "milepost-link-0/preferences\n"), "HTML lacks", id="own link only in text"
        ),
        pytest.param(with_html('<a href="https://b.example.org">x</a>'), "text part lacks", id="link only in the HTML"),
        pytest.param(
            replace(GOOD, text=GOOD.text + "https://b.example.org\n"), "HTML lacks", id="link only in the text"
        ),
        pytest.param(with_html('<a href="http://a.example.org/y">x</a>'), "not encrypted", id="plain http"),
        pytest.param(with_html('<a href="javascript:x">x</a>'), "no web address", id="javascript link"),
        pytest.param(with_html("<script>x</script>"), "<script>", id="script"),
        pytest.param(with_html('<link href="https://f.example.org/f.css">'), "<link>", id="third-party font"),
        pytest.param(with_html('<iframe src="https://f.example.org"></iframe>'), "<iframe>", id="frame"),
        pytest.param(with_html("<style>@import url(https://f.example.org);</style>"), "loads something", id="import"),
        pytest.param(with_html('<img src="https://p.example.org/p" alt="A">'), "images is off", id="image while off"),
    ],
)
def test_each_fault_is_found(find: Callable[..., list[str]], variant: Variant, finding: str) -> None:
    assert any(finding in sentence for sentence in find(variant)), find(variant)


@pytest.mark.parametrize(
    ("html", "finding"),
    [
        pytest.param("<svg></svg>", "html-svg is not supported by", id="svg"),
        pytest.param('<p style="margin:0;box-shadow:0 0 1px red">x</p>', "css-box-shadow", id="inline"),
        pytest.param("<style>p{color:red;clip-path:circle()}</style>", "css-clip-path", id="block"),
        pytest.param("<video></video>", "Gmail (web)", id="names the programs"),
        pytest.param("<style>@supports (color:red){p{color:red}}</style>", "css-at-supports", id="rule"),
        pytest.param('<p style="display:grid">x</p>', "css-display-grid", id="value"),
    ],
)
def test_what_too_few_mail_programs_show_is_found(find: Callable[..., list[str]], html: str, finding: str) -> None:
    told = [sentence for sentence in find(with_html(html)) if "mail programs" in sentence]

    assert [finding in sentence for sentence in told] == [True]
    assert "tests of 20" in told[0]
    assert find(with_html('<p style="margin:0;padding:0;font-size:17px"><strong>x</strong></p>')) == []


@pytest.mark.parametrize(
    ("image", "finding"),
    [
        pytest.param('<img src="https://p.example.org/p">', "no alt text", id="no alt"),
        pytest.param('<img src="http://p.example.org/p" alt="A">', "not loaded over https", id="plain http"),
        pytest.param('<img src="cid:p" alt="A">', "not loaded over https", id="attached"),
        pytest.param('<img src="https://p.example.org/p" alt=" ">', "no alt text", id="blank alt"),
        pytest.param('<img src="https://p.example.org/p" alt="A" width="1" height="1">', "tracking", id="pixel"),
        pytest.param('<img src="https://p.example.org/p" alt="A" height="0">', "tracking", id="no height"),
    ],
)
def test_images_that_are_on_are_looked_at(find: Callable[..., list[str]], image: str, finding: str) -> None:
    assert [finding in sentence for sentence in find(with_html(image), images=True)] == [True]
    assert find(with_html('<img src="https://p.example.org/p" alt="A">'), images=True) == []


def test_a_record_may_show_braces_and_addresses(find: Callable[..., list[str]]) -> None:
    variant = replace(with_html("<p>&#123;&#123;7*7}} https://b.example.org</p>"),
                      text=GOOD.text + "{{7*7}}\nhttps://b.example.org\n")  # fmt: skip

    assert find(variant, title="{{7*7}}") == []


@pytest.mark.parametrize(
    "field",
    ["title", "what_happened", "why_it_mattered", "url", "category", "era", "people", "organizations", "related"],
)
def test_any_field_of_a_record_may_show_braces(
    make_item: ItemMaker, newsletter: NewsletterSettings, web: WebSettings, field: str
) -> None:
    braces = "{{7*7}}"
    shown: dict[str, object] = {
        "people": (braces,), "organizations": (braces,), "related": (Card(key="x", title=braces),),
    }
    variant = replace(GOOD, text=f"{GOOD.text}{braces}\n")
    mail = MailSettings(postal_address="Escapements, Pendulum Lane 4")
    item = make_item(**{field: shown.get(field, braces)})

    assert lint(variant, newsletter=newsletter, web=web, mail=mail, items=[item]) == []
    assert len(lint(variant, newsletter=newsletter, web=web, mail=mail, items=[make_item()])) == 1


@pytest.mark.parametrize(("old", "new"), [("{{7*7}}", "49"), (["{{7*7}}"], []), ({"alt": "{{7*7}}"}, None)])
def test_what_a_correction_tells_may_show_braces(
    newsletter: NewsletterSettings, web: WebSettings, make_item: ItemMaker, old: object, new: object
) -> None:
    wrong = replace(make_item(role="correction"), fields=(FieldChange("title", "corrected", old, new),))
    variant = replace(GOOD, text=GOOD.text + "{{7*7}}\n")

    assert lint(variant, newsletter=newsletter, web=web, items=[wrong],
                mail=MailSettings(postal_address="Escapements, Pendulum Lane 4")) == []


def test_plain_http_is_for_the_configured_bases(find: Callable[..., list[str]]) -> None:
    link = "http://127.0.0.1:8000/timeline/x"
    variant = replace(with_html(f'<a href="{link}">x</a>'), text=GOOD.text + link + "\n")

    assert find(variant, bases=("http://127.0.0.1:8000",)) == []
    assert len(find(variant, bases=("http://127.0.0.1:80",))) == 1


def test_a_newsletter_without_an_address_is_found(find: Callable[..., list[str]]) -> None:
    assert find(GOOD, address=" ") == ["there is no postal address: set mail.postal_address"]


def test_colours_that_cannot_be_read_are_found(find: Callable[..., list[str]]) -> None:
    good = theme_for("#4f46e5")
    pale = {name: getattr(good.light, name) for name in Palette.__dataclass_fields__} | {"muted": "#bbbbbb"}

    found = find(GOOD, theme=Theme(light=Palette(**pale), dark=good.dark))

    assert len(found) == 3
    assert "muted on card (#bbbbbb on #ffffff, light) has a contrast of 1.9" in found[1]


@pytest.mark.parametrize(
    ("html", "told"),
    [
        pytest.param('<p style="color:#999">x</p>', "“x” (#999999 on #ffffff) has a contrast of 2.8", id="too pale"),
        pytest.param('<p style="color:#999"><b>x</b></p>', "#999999", id="inherited colour"),
        pytest.param('<p style="color:#999">x</p><p style="color:#999">y</p>', "“x”", id="told once"),
        pytest.param('<div style="background:#222">x</div>', "#000000 on #222222", id="dark ground"),
        pytest.param('<td bgcolor="#222222"><b>x</b></td>', "#000000 on #222222", id="old ground"),
        pytest.param('<div style="background-color:#222"><i></i>x</div>', "“x”", id="after an element"),
        pytest.param('<p style="color:#888;font-size:23px">x</p>', "#888888", id="almost large"),
        pytest.param('<p style="color:#888;font-size:24px">x</p>', None, id="large"),
        pytest.param('<p style="color:#aaa;font-size:24px">x</p>', "#aaaaaa", id="large and too pale"),
        pytest.param('<div style="display:none;color:#fff">x</div>', None, id="not shown"),
        pytest.param('<div style="color:#999">&#160; </div>', None, id="no text"),
        pytest.param('<p style="color:#555">x</p>', None, id="good"),
    ],
)
def test_text_that_can_not_be_told_from_its_ground_is_found(
    find: Callable[..., list[str]], html: str, told: str | None
) -> None:
    found = find(with_html(html))

    assert [told in sentence for sentence in found if told] == ([True] if told else [])
    assert bool(found) == bool(told)


@pytest.mark.parametrize(
    "accent", ["#000000", "#ffffff", "#ffff00", "#00ff00", "#0000ff", "#808080", "#4f46e5", "#b4461f", "#7f0000"]
)
def test_any_accent_makes_a_readable_theme(accent: str) -> None:
    theme = theme_for(accent)

    assert min(contrast(text, ground) for side in (theme.light, theme.dark) for _, text, ground in side.pairs()) >= 4.5


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [("#000000", "#ffffff", 21.0), ("#777777", "#ffffff", 4.48), ("#ff0000", "#ffffff", 4.0), ("#123456", "#123456", 1)]
)
def test_contrast_is_that_of_the_guidelines(one: str, other: str, ratio: float) -> None:
    assert round(contrast(one, other), 2) == ratio
    assert contrast(one, other) == contrast(other, one)


@pytest.mark.parametrize(
    ("body", "finding"),
    [
        pytest.param("<mj-text>x</mj-text>", None, id="good"),
        pytest.param('<mj-text css-class="a" mj-class="b">x</mj-text>', None, id="classes everywhere"),
        pytest.param("<mj-txet>x</mj-txet>", "<mj-txet> is not an MJML component", id="unknown component"),
        pytest.param('<mj-text colour="red">x</mj-text>', "<mj-text> has no attribute colour", id="unknown attribute"),
        pytest.param('<mj-text mj-class="a b">x</mj-text>', "two classes", id="two classes"),
        pytest.param("<mj-social></mj-social>", "third parties", id="social"),
        pytest.param('<mj-include path="x"/>', "files", id="include"),
        pytest.param("<mj-text><p>x</mj-text>", "not well-formed", id="broken"),
    ],
)
def test_mjml_is_checked_against_the_published_lists(body: str, finding: str | None) -> None:
    found = lint_mjml(f"<mjml><mj-body><mj-section><mj-column>{body}</mj-column></mj-section></mj-body></mjml>")

    assert [finding in sentence for sentence in found if finding] == ([True] if finding else [])
    assert bool(found) == bool(finding)
