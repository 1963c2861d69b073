"""A second language is complete, a third reads from right to left, and dates are the language's own."""

import dataclasses
import datetime as dt
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from lxml import html as lxml_html

from milepost.dates import PartialDate
from milepost.fields import FIELD, FIELDS
from milepost.records import CADENCES, Card, Edit, FieldChange, IssueItem, KnownTopics
from milepost.settings import MailSettings, NewsletterSettings, WebSettings
from newsletter.issue.bidi import lang_and_dir, reading_direction
from newsletter.issue.known import Known
from newsletter.issue.lint import lint
from newsletter.issue.render import Renderer
from newsletter.words.german import GERMAN
from newsletter.words.hebrew import HEBREW
from newsletter.words.languages import CATALOGUES, phrases_for
from newsletter.words.phrases import ENGLISH, Phrases
from tests.html_page import strings, text_of
from web.pages import Pages
from web.public.preferences import choice

ItemMaker = Callable[..., IssueItem]
NOW = dt.datetime(2026, 11, 23, 23, 30, tzinfo=dt.UTC)
ALIKE: dict[str, set[str]] = {"de": {"pause"}, "he": set()}  # words of two languages
NOT_WORDS = {"locale", "acronyms", "no_year", "day_form", "month_form", "weekday_and_day", "from_to"}


def words(phrases: Phrases) -> dict[str, str]:
    """Every phrase by its place: "fields.title"."""
    found: dict[str, str] = {}
    for field in dataclasses.fields(phrases):
        value: Any = getattr(phrases, field.name)
        if isinstance(value, Mapping):
            found |= {f"{field.name}.{key}": text for key, text in value.items()}
        elif field.name not in NOT_WORDS:
            found[field.name] = value
    return found


def holes(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", ["de", "he"])
def test_every_phrase_is_translated_and_has_the_same_holes(language: str) -> None:
    phrases = CATALOGUES[language]
    english, other = words(ENGLISH), words(phrases)

    assert other.keys() == english.keys()
    same = {name for name, text in other.items() if text == english[name] and re.search("[A-Za-z]{3}", holeless(text))}
    assert same == ALIKE[language]
    for name, text in other.items():
        assert holes(text) == holes(english[name]), name
    assert {name: field.labels.keys() for name, field in FIELD.items()} == dict.fromkeys(FIELDS, CATALOGUES.keys())
    assert {phrases.field(name) for name in FIELDS}.isdisjoint(ENGLISH.field(name) for name in FIELDS)
    assert set(phrases.rhythms) == set(CADENCES)


def holeless(text: str) -> str:
    return re.sub(r"\{\w+\}", "", text)


@pytest.fixture
def items(make_item: ItemMaker) -> list[IssueItem]:
    """Every kind of thing that an issue can say, told in no language."""
    bare: dict[str, Any] = {
        "title": "Xx", "what_happened": "Xx xx.", "why_it_mattered": "Xx.", "people": ("Xx",), "era": "xx",
        "organizations": ("Xx",), "category": "xx", "tags": ("xx",), "image": None,
        "related": (Card(key="x", title="Xx", date=PartialDate(value="1600")),),
    }
    news = [make_item(n, **bare) for n in range(1, 5)]
    undated = make_item(5, **(bare | {"date": None}))
    changes = tuple(
        FieldChange(name, "corrected", old, new) for name, old, new in (
            ("title", "Xa", "Xb"), ("impact", 3, 4), ("people", ["Xa"], []),
            ("date", {"value": "1656-12", "precision": "month", "confirmed": True}, None),
            ("image", {"url": "https://x.example/1", "alt": ""}, {"url": "https://x.example/2", "alt": ""}),
            ("tags", [], ["xx"]), ("what_happened", "Xx", "Xy"), ("why_it_mattered", "Xx", "Xy"),
        )
    )
    wrong = replace(make_item(6, role="correction", **bare), fields=changes, corrected_at=NOW)
    return [*news, undated, wrong]


@pytest.mark.parametrize("cadence", CADENCES)
def test_a_german_issue_says_nothing_in_english(
    newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings, items: list[IssueItem], cadence: Any
) -> None:
    german = newsletter.model_copy(update={"language": "de-AT", "name": "Xx", "tagline": ""})
    renderer = Renderer(german, mail, web)

    variant = renderer.render(12, cadence, items, NOW, edit=Edit(intro="Xx"))

    page = text_of(lxml_html.document_fromstring(variant.html))
    shown = re.sub(r"https?://\S+", "", f"{variant.subject}\n{variant.text}\n{page}".casefold())
    for name, text in words(ENGLISH).items():
        for piece in re.split(r"\{\w+\}", text):
            said = piece.strip(" ,.…:·").casefold()
            if len(said) > 3 and said not in " ".join(words(GERMAN).values()).casefold():
                assert not re.search(rf"\b{re.escape(said)}\b", shown), (name, said)
    assert "Dienstag, 24. November 2026" in variant.text  # past midnight in the newsletter's own zone
    assert "Dezember 1656" in variant.text
    assert "5 neue Meilensteine, 1 Korrektur" in " ".join(variant.text.split())
    assert lint(variant, newsletter=german, mail=mail, web=web, items=items) == []


PAGES: dict[str, Any] = {
    "issues": [], "choice": "/x/preferences", "here": "/x", "own": "/x", "hint": GERMAN.broken_hint, "again": "/x",
    "until": "23. Dezember 2026", "seldom": [("weekly", GERMAN.rhythms["weekly"])], "paused": "23. Dezember 2026",
    "saved": GERMAN.saved, "wrong": "", "typed": "", "address": "x…@readers.example", "skips": True, "pauses": [],
    "first": "2026-11-24", "last": "2027-11-23", "languages": [("de", "Deutsch", True)],
    **choice(GERMAN, KnownTopics(categories=("xx",), tags=("xy",)), cadences=CADENCES, cadence="daily", topics=()),
}


@pytest.mark.parametrize("template", ["issues", "leave", "left", "leave_about", "leave_unknown", "missing", "refused",
                                      "unable", "choice"])
def test_the_pages_are_german_too(newsletter: NewsletterSettings, web: WebSettings, template: str) -> None:
    german = newsletter.model_copy(update={"language": "de", "name": "Xx", "tagline": ""})

    page = lxml_html.document_fromstring(Pages(german, web).html(f"{template}.html.j2", **PAGES))

    assert page.get("lang") == "de"
    shown = " ".join(strings(page, "//body//text()"))
    assert not re.search(r"\b(the|is|you|and|are|your|issues|here)\b", shown.casefold())
    assert any(text.split("{")[0].strip() in shown for text in words(GERMAN).values() if len(text) > 8)


def test_an_issue_from_right_to_left(
    newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings, items: list[IssueItem]
) -> None:
    hebrew = newsletter.model_copy(update={"language": "he"})

    variant = Renderer(hebrew, mail, web).render(12, "weekly", items, NOW)

    document = lxml_html.document_fromstring(variant.html)
    assert (document.get("lang"), document.get("dir")) == ("he", "rtl")
    assert HEBREW.corrected in variant.text
    assert "24 בנובמבר 2026" in variant.text
    assert strings(document, "//h1/@dir") == ["ltr"]  # the newsletter's own name is written in Latin letters
    assert lint(variant, newsletter=hebrew, mail=mail, web=web, items=items) == []


TITLE, TOLD = "שעון המטוטלת", "הויחנס תלה משקולת בשעון."


@pytest.mark.parametrize("language", ["en", "he"])
def test_each_word_is_read_its_own_way(
    newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings, make_item: ItemMaker, language: str
) -> None:
    """English stories in a Hebrew newsletter and the other way round; the address of either is as it was typed."""
    letter = newsletter.model_copy(update={"language": language})
    address = mail.model_copy(update={"postal_address": "12345 Exampletown\nרחוב השעון 7"})
    known = Known(languages={"a": "en", "b": "he"})
    english = make_item(1, source="a", people=("Ada", "Bo"), tags=("pendulum",))
    hebrew = make_item(2, source="b", title=TITLE, what_happened=TOLD, why_it_mattered=TOLD, tags=())
    wrong = replace(make_item(3, role="correction", source="b", title=TITLE), corrected_at=NOW,
                    fields=(FieldChange("title", "corrected", "שעון", TITLE),))
    items = [english, hebrew, wrong]

    variant = Renderer(letter, address, web, known=known).render(12, "weekly", items, NOW)

    document = lxml_html.document_fromstring(variant.html)

    def read(words: str) -> set[tuple[str | None, str | None]]:
        found = [one for one in document.iter() if isinstance(one.tag, str) and text_of(one).strip() == words]
        innermost = [next(up for up in (one, *one.iterancestors()) if up.get("dir")) for one in found
                     if not any(text_of(child).strip() == words for child in one)]
        return {(one.get("lang"), one.get("dir")) for one in innermost}

    assert read(english.milestone.title) == read(english.milestone.what_happened) == {("en", "ltr")}
    assert read("Ada, Bo") == {(None, "ltr")}
    assert read("Pendulum") == {("en", "ltr")}
    assert read(TITLE) == read(TOLD) == {("he", "rtl")}
    assert read("12345 Exampletown") == {(None, "ltr")}
    assert read("רחוב השעון 7") == {(None, "rtl")}
    assert read(phrases_for(language).why) == {(language, "rtl" if language == "he" else "ltr")}
    sides = {way: strings(document, f"//div[@dir='{way}']/parent::div/parent::td/@align") for way in ("ltr", "rtl")}
    assert sides == {"ltr": ["left"], "rtl": ["right"]}
    assert "←" in text_of(document)  # from the old to the new, as the correction is read
    assert lint(variant, newsletter=letter, mail=address, web=web, items=items) == []


@pytest.mark.parametrize(("text", "language", "way"), [
    ("1955", "", "ltr"), ("1955", "he", "rtl"), ("IBM מציגה מחשב", "he", "rtl"), ("IBM מציגה מחשב", "en", "ltr"),
    ("IBM מציגה מחשב", "", "ltr"), ("מחשב של IBM", "", "rtl"), ("مرحبا", "en", "rtl"), ("Clock", "he", "ltr"),
    ("", "", "ltr"), ("★ 12", "he", "rtl"),
])
def test_which_way_a_text_is_read(text: str, language: str, way: str) -> None:
    assert reading_direction(text, language) == way
    spoken = bool(language) and (language == "he") == (way == "rtl")
    assert (f'lang="{language}"' in lang_and_dir(text, language)) == spoken


def test_languages_by_their_tags() -> None:
    assert phrases_for("de-CH") is phrases_for("DE") is GERMAN
    assert phrases_for("fy") is ENGLISH
    assert set(CATALOGUES) == {"en", "de", "he"}


def test_languages_in_one_process_keep_their_own_months() -> None:
    january = PartialDate.of(1675, 1)

    told = [(phrases_for(tag).date(january), phrases_for(tag).day(dt.date(2026, 1, 5))) for tag in ("he", "de", "en")]

    assert told[1:] == [("Januar 1675", "Montag, 5. Januar 2026"), ("January 1675", "Monday, 5 January 2026")]
    assert "ינואר" in told[0][0]


@pytest.mark.parametrize(("phrases", "told"), [
    (ENGLISH, ("c. 1440", "1957 – 1960", "since April 1957")), (GERMAN, ("um 1440", "1957 – 1960", "seit April 1957")),
    (HEBREW, ("בסביבות 1440", "1957 – 1960", "מאז אפריל 1957")),
], ids=["english", "german", "hebrew"])
def test_a_date_that_the_site_marks_is_told_with_its_mark(phrases: Phrases, told: tuple[str, ...]) -> None:
    dates = (
        PartialDate(value="1440", circa=True, confirmed=False), PartialDate(value="1957", until="1960"),
        PartialDate(value="1957-04", until=".."),
    )
    assert tuple(map(phrases.date, dates)) == told
