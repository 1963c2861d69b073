"""An issue as its readers get it: what both parts show, and how."""

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lxml import html as lxml_html

from milepost.dates import PartialDate
from milepost.errors import LintError
from milepost.records import CADENCES, Card, Image, IssueItem, Variant
from milepost.settings import MailSettings, NewsletterSettings, WebSettings
from newsletter.issue.known import Known, page_key
from newsletter.issue.render import TEXT_WIDTH, Renderer, templates_digest, templates_folder
from tests.html_page import text_of
from tests.newsletter.reading import findings, shown, squeezed

ItemMaker = Callable[..., IssueItem]
NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
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


def test_the_recipients_own_links_stand_in_both_parts(renderer: Renderer, make_item: ItemMaker) -> None:
    variant = renderer.render(12, "weekly", [make_item()], NOW)

    assert re.fullmatch(r"milepost-link-[0-9a-f]{20}", variant.placeholder)
    assert variant.html.count(variant.placeholder) == variant.text.count(variant.placeholder) == 2
    for link in (variant.placeholder, f"{variant.placeholder}/preferences"):
        assert variant.html.count(f'href="{link}"') == 1
        assert variant.text.split("\n").count(link) == 1


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

    page = "https://timekeeping.example.org/timeline/b"
    renderer = Renderer(renderer.newsletter, renderer.mail, renderer.web,
                        known=Known(pages={page_key("timekeeping", "b"): page}))
    variant = renderer.render(1, "instant", [make_item(related=related)], NOW)

    assert f"Before it: 1641  An Escapement\n{page}\n\nAfter it: 1675  The Balance Spring\n" in variant.text
    assert linked(variant)["An Escapement"] == page
    assert "The Balance Spring" not in linked(variant)  # nobody knows its page
    for part in shown(variant):
        assert "The Verge" not in part
        assert "Undated" not in part
    assert findings(renderer, variant, [make_item(related=related)]) == []


def linked(variant: Variant) -> dict[str, str]:
    """What the HTML links, by the words that are clicked."""
    return {" ".join(text_of(one).split()): str(one.get("href"))
            for one in lxml_html.document_fromstring(variant.html).iter("a")}


def test_the_list_of_contents_holds_what_is_in_the_issue_and_leads_there(
    renderer: Renderer, make_item: ItemMaker
) -> None:
    related = (Card(key="verge", title="The Verge", date=PartialDate(value="1283")),)
    items = [make_item(1, related=related), make_item(2), make_item(4, date=None)]

    variant = renderer.render(1, "weekly", items, NOW)

    assert (
        "In this issue\n\n"
        "> 1656  The Pendulum Clock\n> 1675  A Spring to Balance the Watch\n> Undated  Railways Agree What Time It Is\n"
        "\n===="
    ) in variant.text
    for item in items:
        assert linked(variant)[item.milestone.title] == item.milestone.url
    assert findings(renderer, variant, items) == []


def test_two_stories_need_no_list_of_contents(renderer: Renderer, make_item: ItemMaker) -> None:
    assert "In this issue" not in renderer.render(1, "weekly", [make_item(1), make_item(2)], NOW).text


def test_five_are_told_in_full_and_the_others_in_a_line_by_era_in_order_of_date(
    renderer: Renderer, make_item: ItemMaker
) -> None:
    brief: list[dict[str, Any]] = [
        {"key": "a", "title": "Aa", "date": PartialDate(value="1990-05"), "era": "late"},
        {"key": "b", "title": "Bb", "date": PartialDate(value="1720"), "era": "early"},
        {"key": "c", "title": "Cc", "date": None, "era": None},
        {"key": "d", "title": "Dd", "date": PartialDate(value="1980"), "era": "late"},
        {"key": "e", "title": "Ee", "date": None, "era": "late"},
    ]
    items = [make_item(n) for n in range(1, 6)] + [
        make_item(9, impact=None, **story) for story in brief
    ]
    items = [replace(item, change_id=n, milestone_id=n) for n, item in enumerate(items, 1)]

    variant = renderer.render(1, "weekly", items, NOW)

    for item in items[:5]:
        assert squeezed(item.milestone.what_happened) in squeezed(variant.text)
    told = " ".join(variant.text.split("IN A LINE EACH")[1].split("=" * 72)[0].split())
    page = "https://timekeeping.example.org/timeline/"
    assert told == (f"Early 1720 Bb {page}b Late 1980 Dd {page}d 1990 Aa {page}a — Ee {page}e — Cc {page}c")
    assert variant.text.split("=" * 72)[1].count("\n> ") == 5
    assert "  and 5 more\n" in variant.text
    assert {linked(variant)[str(story["title"])] for story in brief} == {f"{page}{story['key']}" for story in brief}
    assert findings(renderer, variant, items) == []


@pytest.mark.parametrize("count", [1, 2, 5])
def test_no_year_is_told_twice_of_a_story(renderer: Renderer, make_item: ItemMaker, count: int) -> None:
    items = [make_item(n) for n in range(1, count + 1)]
    document = lxml_html.document_fromstring(renderer.render(1, "weekly", items, NOW).html)

    cards = " ".join(text_of(one) for one in document.iter("h2", "p", "td", "h3") if not list(one.iter("td")))
    after_contents = cards[cards.index("New on the timeline"):]
    for item in items:
        assert item.milestone.date is not None
        assert after_contents.count(str(item.milestone.date.year)) == 1


def test_tags_are_quiet_words_and_say_nothing_again(
    newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings, make_item: ItemMaker
) -> None:
    known = Known(labels={"gpt": "GPT"}, site_labels={"deepmind": "DeepMind", "gpt": "Gpt!"})
    item = make_item(tags=("gpt", "deepmind", "ibm-research", "mechanisms"))  # the last is its category

    variant = Renderer(newsletter, mail, web, known=known).render(1, "weekly", [item], NOW)

    assert "\nGPT · DeepMind · Ibm research\n" in variant.text
    assert "GPT · DeepMind · Ibm research" in shown(variant)[0]


def test_categories_and_eras_are_called_as_the_operator_says(
    newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings, make_item: ItemMaker
) -> None:
    german = newsletter.model_copy(update={"language": "de"})
    known = Known(labels={"mechanisms": "Räderwerke", "precision": "Zeit der Genauigkeit"})

    variant = Renderer(german, mail, web, known=known).render(1, "weekly", [make_item()], NOW)

    assert "25. Dezember 1656 · Räderwerke · Zeit der Genauigkeit · Bedeutung 5 von 5" in " ".join(variant.text.split())


@pytest.mark.parametrize("title", ["x" * 1000, "Word " * 200, "שעון " * 3 + "clock", "👩🏽‍🔬" * 40, ""])
def test_whatever_a_title_is_a_mail_of_it_is_fit_to_be_sent(
    renderer: Renderer, make_item: ItemMaker, title: str
) -> None:
    items = [make_item(n, key=f"m{n}", title=title) for n in range(1, 8)]
    variant = renderer.render(1, "weekly", items, NOW)
    assert findings(renderer, variant, items) == []
    assert not title or " ".join(title.split()) in linked(variant)


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
    assert variant.html.count(variant.placeholder) == variant.text.count(variant.placeholder) == 2


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


@pytest.mark.parametrize(
    ("mjml", "finding"),
    [("<mj-txet>x</mj-txet>", "not an MJML component"), ('<mj-text colour="red">x</mj-text>', "no attribute colour")],
)
def test_a_template_that_asks_for_what_mjml_does_not_know_seals_nothing(
    newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings, make_item: ItemMaker, tmp_path: Path,
    mjml: str, finding: str,
) -> None:
    (tmp_path / "partials").mkdir()
    (tmp_path / "partials" / "colophon.j2").write_text(
        f"<mj-section><mj-column>{mjml}</mj-column></mj-section>", encoding="ascii"
    )
    renderer = Renderer(newsletter.model_copy(update={"templates": tmp_path}), mail, web)

    with pytest.raises(LintError, match=finding):
        renderer.render(12, "weekly", [make_item(1)], NOW)


def test_the_templates_are_ascii_and_have_one_digest() -> None:
    """What a template prints as it stands goes to MJML unescaped; `safe` would let scraped text do the same."""
    for path in [*templates_folder().glob("issue.*.j2"), *(templates_folder() / "partials").glob("*.j2")]:
        assert path.read_bytes().isascii(), path
        assert "safe" not in path.read_text(encoding="ascii"), path
    assert re.fullmatch("[0-9a-f]{64}", templates_digest())
