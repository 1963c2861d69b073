"""What a mail shows of a field beside its label: in each language, in both parts, and in a correction of it."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

import pytest
from lxml import html as lxml_html

from milepost.fields import FIELD, shown_at
from milepost.records import FieldChange, IssueItem
from milepost.settings import MailSettings, NewsletterSettings, WebSettings
from newsletter.issue.lint import lint
from newsletter.issue.render import Renderer
from tests.html_page import text_of

NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
ItemMaker = Callable[..., IssueItem]


@pytest.mark.parametrize(("language", "labels"), [
    ("en", ["People", "Organizations", "Location"]), ("de", ["Personen", "Organisationen", "Ort"]),
    ("he", ["אנשים", "ארגונים", "מקום"]),
])
def test_rows_are_labelled_in_the_language_of_the_newsletter(
    make_item: ItemMaker, newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings, language: str,
    labels: list[str],
) -> None:
    letter = newsletter.model_copy(update={"language": language})
    item = make_item(
        1, people=("Ada Reed", "Bo Lind"), organizations=("Harbour Board",), location="Gull Rock, Exampletown"
    )
    wrong = replace(
        make_item(2, role="correction"), corrected_at=NOW,
        fields=(FieldChange("location", "corrected", "Gull Rock", "Fern Rock"),),
    )
    variant = Renderer(letter, mail, web).render(1, "weekly", [item, wrong], NOW)
    words = " ".join(text_of(lxml_html.fromstring(variant.html)).split())
    for label, value in zip(labels, ["Ada Reed, Bo Lind", "Harbour Board", "Gull Rock, Exampletown"], strict=True):
        assert f"{label} {value}" in words or f"{label}{value}" in words
        assert f"{label}: {value}" in variant.text
    assert f"{labels[2]}: Gull Rock" in variant.text
    assert "Fern Rock" in variant.text
    assert lint(variant, newsletter=letter, mail=mail, web=web, items=[item, wrong]) == []


def test_what_is_empty_has_no_row(
    make_item: ItemMaker, newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings
) -> None:
    variant = Renderer(newsletter, mail, web).render(1, "weekly", [make_item(1, organizations=())], NOW)
    assert "People: " in variant.text
    for name in ("organizations", "location"):
        label = FIELD[name].labels["en"]
        assert f"{label}:" not in variant.text
        assert f">{label}<" not in variant.html
    assert shown_at("row") == ("people", "organizations", "location")
